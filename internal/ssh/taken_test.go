package ssh

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// TestTakenKey: the key that a host took on a third connection is the first that the next run
// offers.
func TestTakenKey(t *testing.T) {
	t.Parallel()
	_, pub, private := newKeyFile(t)
	s := newServer(t, pub).serve()
	file := filepath.Join(t.TempDir(), "cache", "ssh-keys")
	socket := serveAgent(t, append(privateKeys(t, 12), private)...)
	offered := func(target Target) int32 {
		t.Helper()
		before := s.offered.Load()
		d := testDialer(t, Options{AgentSocket: socket, KnownHostsFiles: []string{s.knownHosts(edKey())}, TakenKeys: file})
		if _, err := connect(t, d, target, standIn(t, "")); err != nil {
			t.Fatal(err)
		}
		return s.offered.Load() - before
	}
	target := s.target()
	if n := offered(target); n != 13 {
		t.Errorf("%d keys were offered", n)
	}
	if n := offered(target); n != 1 {
		t.Errorf("the second time, %d keys were offered", n)
	}
	text := readFile(t, file)
	if want := "admin@" + target.endpoint() + " " + gossh.FingerprintSHA256(pub) + "\n"; text != want {
		t.Errorf("%s is %q, not %q", file, text, want)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// Another user is another login; the keys that the configuration names come first.
	target.User = "other"
	if n := offered(target); n != 13 {
		t.Errorf("for another user, %d keys were offered", n)
	}
	target.User, target.Identities = "admin", []string{writeKey(t, privateKeys(t, 1)[0])}
	if n := offered(target); n != 2 {
		t.Errorf("after a named key, %d keys were offered", n)
	}

	// What is remembered may be wrong or damaged.
	damaged := "x\n\nadmin@" + target.endpoint() + " SHA256:none\nother@" + target.endpoint() + " " + gossh.FingerprintSHA256(edKey().PublicKey()) + "\n"
	if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
		t.Fatal(err)
	}
	target.Identities = nil
	offered(target)
	if n := offered(target); n != 1 {
		t.Errorf("after a damaged file, %d keys were offered", n)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("x", maxTakenFile+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	offered(target)
	if text := readFile(t, file); strings.Count(text, "\n") != 1 || len(text) > 200 {
		t.Errorf("a file that is too long is then %d bytes", len(text))
	}
}

// TestTakenKeyFew: keys that are offered on one connection need no memory.
func TestTakenKeyFew(t *testing.T) {
	t.Parallel()
	_, pub, private := newKeyFile(t)
	s := newServer(t, pub).serve()
	file := filepath.Join(t.TempDir(), "ssh-keys")
	d := testDialer(t, Options{AgentSocket: serveAgent(t, append(privateKeys(t, 4), private)...), KnownHostsFiles: []string{s.knownHosts(edKey())}, TakenKeys: file})
	if _, err := connect(t, d, s.target(), standIn(t, "")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Errorf("%s was written", file)
	}
}

func TestPenalties(t *testing.T) {
	t.Parallel()
	var s search
	for n, want := range []time.Duration{0, 0, 0, 5 * time.Second, 10 * time.Second} {
		if got := s.delay(); got > want || got < want-3*time.Second {
			t.Errorf("after %d failed logins, the next one waits %v, not %v", n, got, want)
		}
		s.failed()
	}
	for version, want := range map[string]bool{
		"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u6": false,
		"SSH-2.0-OpenSSH_9.7":                    false,
		"SSH-2.0-OpenSSH_9.8p1":                  true,
		"SSH-2.0-OpenSSH_10.0p2 Debian-7":        true,
		"SSH-2.0-OpenSSH_for_Windows_8.1":        true,
		"SSH-2.0-dropbear_2022.83":               true,
		"":                                       true,
	} {
		if got := penalises(version); got != want {
			t.Errorf("%q: %t", version, got)
		}
	}
}

// TestTurnedAway: what the host says before the key exchange is named, and a penalty is not made
// longer.
func TestTurnedAway(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		says  string
		parts []string
	}{
		"penalty":      {"Not allowed at this time\r\n", []string{"rejects connections from this address", "PerSourcePenalties", "identities"}},
		"max startups": {"Exceeded MaxStartups\r\n", []string{"MaxStartups", "--parallelism"}},
		"others":       {"go \x1b[2Jaway\r\n", []string{"PerSourcePenalties", "MaxStartups", "fail2ban", `it sent "go \x1b[2Jaway"`}},
		"nothing":      {"", []string{"closed the connection before the key exchange", "PerSourcePenalties", "fail2ban"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, accepted := slammer(t, c.says)
			_, err := connect(t, testDialer(t, Options{}), target, standIn(t, ""))
			wantError(t, err, nil, append(c.parts, "host web1")...)
			if n := accepted.Load(); name == "penalty" && n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// slammer accepts connections, says something and closes them.
func slammer(t testing.TB, says string) (Target, *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var accepted atomic.Int32
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			go func() {
				_, _ = io.WriteString(conn, says)
				_ = conn.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, conn) // so that no reset comes before what was said
				_ = conn.Close()
			}()
		}
	}()
	return Target{Name: "web1", Address: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, User: "admin"}, &accepted
}
