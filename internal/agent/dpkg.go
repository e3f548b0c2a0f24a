package agent

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// parseDpkg reads the wanted packages of a status file into found; all packages if wanted is nil.
func parseDpkg(r io.Reader, wanted map[string]bool, found map[instance]*wire.Package) error {
	in := bufio.NewReaderSize(r, 128<<10)
	var name, status, version, of string
	var essential bool
	flush := func() {
		if name != "" {
			found[instance{name, of}] = dpkgPackage(status, version, essential)
		}
		name, status, version, of, essential = "", "", "", "", false
	}
	for {
		line, err := in.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		switch {
		case len(line) > 0 && line[0] == '\n':
			flush()
		case len(line) > 9 && line[0] == 'P' && string(line[:9]) == "Package: ":
			if n := strings.TrimSpace(string(line[9:])); wanted == nil || wanted[n] {
				name = n
			}
		case name == "" || len(line) == 0 || line[0] == ' ':
		default:
			key, value, _ := strings.Cut(string(line), ":")
			value = strings.TrimSpace(value)
			switch key {
			case "Status":
				status = value
			case "Version":
				version = value
			case "Architecture":
				of = value
			case "Essential", "Protected":
				essential = essential || value == "yes"
			}
		}
		for long { // skip the rest of a long line
			_, err = in.ReadSlice('\n')
			long = errors.Is(err, bufio.ErrBufferFull)
		}
		if err == io.EOF {
			flush()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// dpkgPackage parses a Status field: the wanted state, a flag, and the state (dpkg-query(1)).
func dpkgPackage(status, version string, essential bool) *wire.Package {
	p := &wire.Package{Essential: essential}
	f := strings.Fields(status)
	if len(f) != 3 {
		p.Broken = "unknown status " + quote(status)
		return p
	}
	p.Held = f[0] == "hold"
	switch f[2] {
	case "not-installed", "config-files":
	case "half-installed":
		p.Broken = f[2]
	case "installed":
		p.Installed = version
	default: // unpacked, half-configured, triggers-awaited, triggers-pending
		p.Installed, p.Broken = version, f[2]
	}
	if f[1] != "ok" {
		p.Broken = strings.TrimSpace(f[1] + " " + p.Broken)
	}
	return p
}

// parsePolicy parses the output of apt-cache policy.
func parsePolicy(text string) map[string]string {
	versions := map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if n, ok := strings.CutSuffix(line, ":"); ok && n != "" && n[0] != ' ' {
			name = n
		} else if v, ok := strings.CutPrefix(line, "  Candidate: "); ok && v != "(none)" {
			versions[name] = v
		}
	}
	return versions
}
