package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/doctor"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/zclconf/go-cty/cty"
)

// login is the value of init --host.
type login struct {
	user, address string
	port          int // 0 is not set
}

// parseLogin reads [USER@]ADDRESS[:PORT]. An IPv6 address with a port is in brackets.
func parseLogin(text string) (l login, err error) {
	l.address = text
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		l.user, l.address = text[:i], text[i+1:]
		if l.user == "" {
			return l, fmt.Errorf("--host %s: the user before @ is empty", text)
		}
	}
	if host, port, splitErr := net.SplitHostPort(l.address); splitErr == nil {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return l, fmt.Errorf("--host %s: %q is not a port from 1 to 65535", text, port)
		}
		l.address, l.port = host, n
	}
	l.address = strings.Trim(l.address, "[]")
	if l.address == "" || strings.ContainsAny(l.address, "/ \t") {
		return l, fmt.Errorf("--host %s: it takes [USER@]ADDRESS[:PORT]", text)
	}
	return l, nil
}

// initHost writes a configuration for a host from what is found there.
func initHost(ctx context.Context, g *global, w *observer, o initOptions, dir string) error {
	l, err := parseLogin(o.host)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, "fleet.hcl")
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(err, errStarterExists(name))
	}
	if o.become == "" && l.user != "" && l.user != "root" {
		o.become = "sudo"
	}
	facts, start, err := lookAtNewHost(ctx, g, w, o, l)
	if err != nil {
		return err
	}
	serverName := cmp.Or(o.serverName, facts.Hostname)
	if !strings.Contains(serverName, ".") {
		serverName = start.Name + ".mirror.example.org"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeNew(name, starterFor(l, o.become, facts, start, serverName)); errors.Is(err, fs.ErrExist) {
		return errStarterExists(name)
	} else if err != nil {
		return err
	}
	g.print("Wrote %s for %s (%s).\nNext: read it, then run mirrorform doctor and mirrorform plan.\n", name, start.Name, plain.Escape(facts.OS.Name))
	return nil
}

// lookAtNewHost connects to a host that no configuration declares: one in a directory of its own
// does, for as long as it takes.
func lookAtNewHost(ctx context.Context, g *global, w *observer, o initOptions, l login) (*wire.Facts, doctor.Start, error) {
	dir, err := os.MkdirTemp("", "mirrorform-init-")
	if err != nil {
		return nil, doctor.Start{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it has what the command line has
	const host = "new"
	if err := writeNew(filepath.Join(dir, "fleet.hcl"), hostText(host, l, o.become)); err != nil {
		return nil, doctor.Start{}, err
	}
	sources := run.Sources{Dir: dir, Version: Version(), Types: g.types}
	r, err := run.New(run.Options{Sources: sources, Access: o.access(w), Parallelism: 1}, w)
	if err != nil {
		return nil, doctor.Start{}, err
	}
	defer r.Close()
	session, err := r.Connect(ctx, host)
	if err != nil {
		return nil, doctor.Start{}, fmt.Errorf("nothing was written: %w", err)
	}
	defer func() { _ = session.Close() }() // no answer is outstanding
	got, err := session.Ask(ctx, doctor.StartQuestions())
	if err != nil {
		return nil, doctor.Start{}, fmt.Errorf("nothing was written: %w", err)
	}
	return session.Hello.Facts, doctor.NewStart(session.Hello.Facts, got), nil
}

// quoted returns a text as HCL.
func quoted(text string) string {
	return string(hclwrite.TokensForValue(cty.StringVal(text)).Bytes())
}

// hostText returns a host block.
func hostText(name string, l login, become string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "host %s {\naddress = %s\n", quoted(name), quoted(l.address))
	if l.user != "" {
		fmt.Fprintf(&b, "user = %s\n", quoted(l.user))
	}
	if l.port != 0 {
		fmt.Fprintf(&b, "port = %d\n", l.port)
	}
	if become != "" {
		fmt.Fprintf(&b, "become = %s\n", quoted(become))
	}
	b.WriteString("}\n")
	return hclwrite.Format([]byte(b.String()))
}

// starterFor returns the configuration.
func starterFor(l login, become string, facts *wire.Facts, s doctor.Start, serverName string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# A mirror on %s, as mirrorform init found it: %s.\n#\n", s.Name, plain.Escape(facts.OS.Name))
	b.WriteString("#   mirrorform doctor   check whether the host can become the mirror\n" +
		"#   mirrorform plan     show what would change\n#   mirrorform apply    change it, after confirmation\n\n")
	b.Write(hostText(s.Name, l, become))
	fmt.Fprintf(&b, "\nmirror \"almalinux\" {\nhosts = [host.%s]\n\n", s.Name)
	for _, remark := range s.Remarks {
		b.WriteString("# " + plain.Escape(remark) + "\n")
	}
	fmt.Fprintf(&b, "storage {\npath = %s\n}\n\nsync {\nevery = \"3h\"\n}\n\nweb {\n", quoted(s.Path))
	if s.Server != "nginx" {
		fmt.Fprintf(&b, "server = %s\n", quoted(s.Server))
	}
	fmt.Fprintf(&b, "server_name = %s # the mirror's name in DNS\n}\n\n", quoted(serverName))
	b.WriteString(`# The entry for AlmaLinux's mirror list, once the mirror has its files: docs/publish.md.
# publish {
#   sponsor     = "Example Org"
#   sponsor_url = "https://example.org"
#   email       = "mirror@example.org"
#   geolocation = { country = "DE", state_province = "Hesse", city = "Frankfurt" }
# }
}
`)
	return hclwrite.Format([]byte(b.String()))
}
