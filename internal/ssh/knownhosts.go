package ssh

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	gossh "golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// paths returns the files to search.
func (h *hostKeys) paths() []string {
	if h.files != nil {
		return h.files
	}
	return slices.Concat(UserKnownHosts(), SystemKnownHosts())
}

// UserKnownHosts returns the user's default known_hosts files (ssh_config(5)).
func UserKnownHosts() []string {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	return []string{filepath.Join(home, ".ssh", "known_hosts"), filepath.Join(home, ".ssh", "known_hosts2")}
}

// SystemKnownHosts returns the system's default known_hosts files.
func SystemKnownHosts() []string {
	return []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
}

// read loads the files. It ignores invalid lines, as ssh(1) does; the library would reject the
// whole file.
func (h *hostKeys) read() error {
	var usable []string
	for _, file := range h.paths() {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("known hosts: %w", err)
		}
		cleaned, bad := withoutBadLines(data)
		h.noteRevoked(file, cleaned)
		if bytes.Equal(cleaned, data) {
			usable = append(usable, file)
			continue
		}
		for _, b := range bad {
			h.log(fmt.Sprintf("%s:%d: ignored, invalid known_hosts line: %v", file, b.line, b.err))
		}
		copied, err := writeTemp(cleaned)
		if err != nil {
			return fmt.Errorf("known hosts: %w", err)
		}
		defer func() { _ = os.Remove(copied) }()
		h.names[copied] = file
		usable = append(usable, copied)
	}
	db, err := knownhosts.NewDB(usable...)
	if err != nil {
		return fmt.Errorf("known hosts: %w", err)
	}
	h.db = db
	return nil
}

// badLine is an invalid line of known_hosts.
type badLine struct {
	line int
	err  error
}

// withoutBadLines empties the lines that the library would reject, so that the others keep their
// numbers. It separates fields by single spaces, so that the library reads the same fields that
// were checked here.
func withoutBadLines(data []byte) (cleaned []byte, bad []badLine) {
	lines := bytes.Split(data, []byte("\n"))
	for i, line := range lines {
		fields := bytes.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			lines[i] = nil
			continue
		}
		if err := checkKnownHostsLine(string(line)); err != nil {
			bad = append(bad, badLine{i + 1, err})
			lines[i] = nil
			continue
		}
		lines[i] = bytes.Join(fields, []byte(" "))
	}
	return bytes.Join(lines, []byte("\n")), bad
}

// checkKnownHostsLine returns why a line is invalid (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
func checkKnownHostsLine(line string) error {
	fields := strings.Fields(line)
	if fields[0][0] == '@' {
		if fields[0] != "@cert-authority" && fields[0] != "@revoked" {
			return fmt.Errorf("unknown marker %s", quote(fields[0]))
		}
		fields = fields[1:]
	}
	if len(fields) < 3 {
		return errors.New("too few fields")
	}
	hosts, kind, blob := fields[0], fields[1], fields[2]
	data, err := base64.StdEncoding.DecodeString(blob)
	if err != nil {
		return err
	}
	key, err := gossh.ParsePublicKey(data)
	if err != nil {
		return fmt.Errorf("key type %s: %s", quote(kind), quote(err.Error())) // the error repeats text of the line
	}
	if key.Type() != kind {
		return fmt.Errorf("the type is %s, but the key is %s", quote(kind), quote(key.Type()))
	}
	if hosts[0] == '|' {
		_, salt, _ := strings.Cut(hosts, "|1|")
		salt, hash, ok := strings.Cut(salt, "|")
		_, err1 := base64.StdEncoding.DecodeString(salt)
		_, err2 := base64.StdEncoding.DecodeString(hash)
		if !ok || err1 != nil || err2 != nil {
			return errors.New("malformed hashed host name")
		}
		return nil
	}
	for host := range strings.SplitSeq(hosts, ",") {
		host, negated := strings.CutPrefix(host, "!")
		if negated && host == "" {
			return errors.New("! without a host")
		}
		// x/crypto takes exponential time to match asterisks.
		if strings.Count(host, "*") > maxAsterisks {
			return fmt.Errorf("more than %d asterisks in host %s", maxAsterisks, quote(host))
		}
		if strings.HasPrefix(host, "[") {
			if _, _, err := net.SplitHostPort(host); err != nil {
				return fmt.Errorf("malformed host %s", quote(host))
			}
		}
	}
	return nil
}

// writeTemp writes data to a new file that only this user can read.
func writeTemp(data []byte) (string, error) {
	f, err := os.CreateTemp("", "mirrorform-known-hosts-")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	return f.Name(), errors.Join(err, f.Close())
}

// file returns the file that an entry is in.
func (h *hostKeys) file(k xknownhosts.KnownKey) string {
	if name, ok := h.names[k.Filename]; ok {
		return name
	}
	return k.Filename
}

// place returns FILE:LINE of an entry.
func (h *hostKeys) place(k xknownhosts.KnownKey) string {
	return fmt.Sprintf("%s:%d", h.file(k), k.Line)
}

// entryName returns the name of ADDRESS:PORT in known_hosts: HOST, or [HOST]:PORT if the port is
// not 22.
func entryName(endpoint string) string {
	return knownhosts.Normalize(endpoint) //nolint:misspell // the library's name
}
