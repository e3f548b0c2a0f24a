package ssh

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/sync/errgroup"
)

func TestHostKeyKnown(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	b := standIn(t, "")
	cases := map[string]func(s *server) string{
		"ed25519":    func(s *server) string { return s.knownHosts(edKey()) },
		"rsa only":   func(s *server) string { return s.knownHosts(rsaKey()) },
		"ecdsa":      func(s *server) string { return s.knownHosts(ecKey()) },
		"one of two": func(s *server) string { return s.knownHosts(otherKey(), edKey()) },
		"hashed": func(s *server) string {
			return writeFile(t, xknownhosts.HashHostname(s.endpoint())+" "+publicLine(rsaKey().PublicKey())+"\n")
		},
		"wildcard": func(s *server) string {
			return writeFile(t, "127.0.0.* "+publicLine(edKey().PublicKey())+"\n")
		},
		"after unusable lines": func(s *server) string {
			return writeFile(t, "# comment\n\nhost ssh-none AAAA\nhost\n@what host ssh-rsa AAAA\n|1|x|y "+publicLine(edKey().PublicKey())+
				"\n[::1 "+publicLine(edKey().PublicKey())+"\n"+readFile(t, s.knownHosts(edKey())))
		},
	}
	for name, known := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, pub).serve()
			if _, err := connect(t, testDialer(t, Options{KnownHostsFiles: []string{"/proc/nonexistent", known(s)}}), s.target(key), b); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestHostKeyCertificate(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	cert := &gossh.Certificate{
		Key: rsaKey().PublicKey(), CertType: gossh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: gossh.CertTimeInfinity,
	}
	if err := cert.SignCert(zeroReader{}, otherKey()); err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.NewCertSigner(cert, rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	authority := "@cert-authority * " + publicLine(otherKey().PublicKey()) + "\n"

	s := newServer(t, pub)
	s.hostKeys = []gossh.Signer{signer, edKey()}
	s.serve()
	if _, err := connect(t, testDialer(t, Options{KnownHostsFiles: []string{writeFile(t, authority)}}), s.target(key), standIn(t, "")); err != nil {
		t.Error(err)
	}

	// A host without a certificate is unknown, not changed, and can be accepted.
	plain := newServer(t, pub).serve()
	file := writeFile(t, authority)
	_, err = connect(t, testDialer(t, Options{KnownHostsFiles: []string{file}}), plain.target(key), standIn(t, ""))
	wantError(t, err, ErrHostKeyUnknown)
	if _, err := connect(t, testDialer(t, Options{KnownHostsFiles: []string{file}, AcceptNewHostKeys: true}), plain.target(key), standIn(t, "")); err != nil {
		t.Error(err)
	}
}

// zeroReader is a source of bytes for a certificate's nonce.
type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestHostKeyRefused(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	shown, other := gossh.FingerprintSHA256(edKey().PublicKey()), gossh.FingerprintSHA256(otherKey().PublicKey())
	cases := map[string]struct {
		file   func(s *server) string
		pin    string
		accept bool
		kind   error
		parts  []string
	}{
		"unknown": {
			file: func(*server) string { return writeFile(t, "") }, kind: ErrHostKeyUnknown,
			parts: []string{"host web1 (127.0.0.1:", "ssh-ed25519 " + shown, "--accept-new-host-keys", "host_key = \"ssh-ed25519 AAAA", "ssh-keyscan -p "},
		},
		"changed": {
			file: func(s *server) string { return writeFile(t, "# one\n"+readFile(t, s.knownHosts(otherKey()))) }, kind: ErrHostKeyChanged, accept: true,
			parts: []string{"/file:2 has ssh-ed25519 " + other, "showed ssh-ed25519 " + shown, "ssh-keygen -f ", "/file -R '[127.0.0.1]:"},
		},
		"another type": { // a key of a type that is not known must not be accepted as new
			file: func(s *server) string { return s.knownHosts(otherECKey(t)) }, kind: ErrHostKeyChanged, accept: true,
			parts: []string{"ecdsa-sha2-nistp256 SHA256:", "ssh-keygen -f"},
		},
		"revoked": {
			file: func(s *server) string {
				return writeFile(t, readFile(t, s.knownHosts(edKey()))+"@revoked * "+publicLine(edKey().PublicKey())+"\n")
			}, kind: ErrHostKeyChanged, accept: true, parts: []string{"@revoked", "/file:2"},
		},
		"pinned": {
			file: func(s *server) string { return s.knownHosts(edKey()) }, pin: publicLine(otherKey().PublicKey()), kind: ErrHostKeyChanged, accept: true,
			parts: []string{"host_key pins ssh-ed25519 " + other, "showed ssh-ed25519 " + shown},
		},
		"pin is no key": {
			file: func(*server) string { return "" }, pin: "web1 ssh-ed25519 AAAA", parts: []string{"host_key", "not a public key"},
		},
		"pin is empty": {file: func(*server) string { return "" }, pin: "\n# none\n", parts: []string{"no supported public key"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, pub).serve()
			file := c.file(s)
			before, _ := os.ReadFile(file)
			target := s.target(key)
			target.HostKey = c.pin
			_, err := connect(t, testDialer(t, Options{KnownHostsFiles: []string{file}, AcceptNewHostKeys: c.accept}), target, standIn(t, ""))
			wantError(t, err, c.kind, c.parts...)
			if n := s.offered.Load(); n != 0 {
				t.Errorf("%d keys were offered to a host that is not trusted", n)
			}
			if after, _ := os.ReadFile(file); string(after) != string(before) {
				t.Errorf("known_hosts was changed:\n%s", after)
			}
		})
	}
}

// TestHostKeyGone: the type of key that is known is one that the host has no more.
func TestHostKeyGone(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	s := newServer(t, pub)
	s.hostKeys = []gossh.Signer{rsaKey()}
	s.serve()
	_, err := connect(t, testDialer(t, Options{KnownHostsFiles: []string{s.knownHosts(edKey())}, AcceptNewHostKeys: true}), s.target(key), standIn(t, ""))
	wantError(t, err, ErrHostKeyNotOffered, gossh.FingerprintSHA256(edKey().PublicKey()), "rsa-sha2-512", "does not show that the known key has changed",
		"HostKeyAlgorithms")
}

func TestHostKeyPinned(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	s := newServer(t, pub).serve()
	for _, pin := range []string{
		publicLine(rsaKey().PublicKey()), // though known_hosts says otherwise
		"# comment\n\n" + publicLine(otherKey().PublicKey()) + " old\n" + publicLine(edKey().PublicKey()) + " new@host\n",
	} {
		target := s.target(key)
		target.HostKey = pin
		if _, err := connect(t, testDialer(t, Options{KnownHostsFiles: []string{s.knownHosts(otherKey())}}), target, standIn(t, "")); err != nil {
			t.Errorf("%s: %v", pin, err)
		}
	}
}

func TestAcceptNewHostKeys(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	old := "other.example.org " + publicLine(otherKey().PublicKey())
	cases := map[string]struct{ before, want string }{
		"no file":        {"", ""},
		"plain":          {old + "\n", old + "\n"},
		"no newline":     {old, old + "\n"},
		"unusable lines": {"garbage\n" + old + "\n", "garbage\n" + old + "\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, pub).serve()
			file := filepath.Join(t.TempDir(), "ssh", "known_hosts")
			if c.before != "" {
				file = writeFile(t, c.before)
			}
			options := Options{KnownHostsFiles: []string{file, "/proc/nonexistent"}, AcceptNewHostKeys: true}
			d := testDialer(t, options)
			for range 2 { // with and without the entry
				if _, err := connect(t, d, s.target(key), standIn(t, "")); err != nil {
					t.Fatal(err)
				}
			}
			want := c.want + s.endpoint() + " " + publicLine(edKey().PublicKey()) + "\n"
			if got := readFile(t, file); got != want {
				t.Errorf("known_hosts is\n%s\nnot\n%s", got, want)
			}
			options.AcceptNewHostKeys = false
			if _, err := connect(t, testDialer(t, options), s.target(key), standIn(t, "")); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestAcceptNewHostKeysHashed(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	s := newServer(t, pub).serve()
	file := writeFile(t, xknownhosts.HashHostname("other.example.org")+" "+publicLine(otherKey().PublicKey())+"\n")
	options := Options{KnownHostsFiles: []string{file}, AcceptNewHostKeys: true}
	if _, err := connect(t, testDialer(t, options), s.target(key), standIn(t, "")); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(readFile(t, file)), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[1], "|1|") || strings.Contains(lines[1], "127.0.0.1") {
		t.Errorf("known_hosts is %q", lines)
	}
	options.AcceptNewHostKeys = false
	if _, err := connect(t, testDialer(t, options), s.target(key), standIn(t, "")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestAcceptNewHostKeysTogether: many hosts, and several processes (here: Dialers), add to one file at the same time.
func TestAcceptNewHostKeysTogether(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	file := filepath.Join(t.TempDir(), "known_hosts")
	var servers []*server
	for range 6 {
		servers = append(servers, newServer(t, pub).serve())
	}
	b := standIn(t, "")
	var g errgroup.Group
	for range 2 {
		d := testDialer(t, Options{KnownHostsFiles: []string{file}, AcceptNewHostKeys: true})
		for _, s := range servers {
			g.Go(func() error { _, err := connect(t, d, s.target(key), b); return err })
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	text := readFile(t, file)
	for _, s := range servers {
		if n := strings.Count(text, s.endpoint()+" "); n != 1 {
			t.Errorf("%s is there %d times", s.endpoint(), n)
		}
	}
	if n := strings.Count(text, "\n"); n != len(servers) {
		t.Errorf("%d lines for %d hosts:\n%s", n, len(servers), text)
	}
}

// TestAcceptNewHostKeysRace: another process has added a different key since the file was read.
func TestAcceptNewHostKeysRace(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "")
	h := newHostKeys([]string{file}, true, func(string) {})
	if _, err := h.policy(Target{Address: "web1", Port: 22}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, "web1 %s\n", publicLine(otherKey().PublicKey())), 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, h.check(Target{Address: "web1", Port: 22}, unspecified, edKey().PublicKey()), ErrHostKeyChanged, file+":1", "-R web1")
}

func TestShellWord(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"/home/me/.ssh/known_hosts": "/home/me/.ssh/known_hosts",
		"[::1]:22":                  "'[::1]:22'",
		"a b":                       "'a b'",
		"it's":                      `'it'\''s'`,
		"":                          "''",
	} {
		if got := shellWord(word); got != want {
			t.Errorf("shellWord(%q) = %s, not %s", word, got, want)
		}
	}
}
