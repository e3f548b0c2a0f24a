package ssh

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// scripted returns what connects to a server whose command is f.
func scripted(t testing.TB, o Options, f func(ch gossh.Channel) int) (*Dialer, Target) {
	t.Helper()
	return scriptedServer(t, o, func(_ *server, _ string, ch gossh.Channel) int { return f(ch) })
}

// started is the channel of a command line that a server has started.
type started struct {
	gossh.Channel
	command string
}

// scriptedServer is scripted for a command that wants to know more.
func scriptedServer(t testing.TB, o Options, f func(s *server, command string, ch gossh.Channel) int) (*Dialer, Target) {
	t.Helper()
	key, pub, _ := newKeyFile(t)
	s := newServer(t, pub)
	s.exec = f
	s.noSFTP = true
	s.serve()
	o.KnownHostsFiles = []string{s.knownHosts(edKey())}
	return testDialer(t, o), s.target(key)
}

// greet greets as the bundle's helper would, after edit has changed the greeting.
func greet(ch gossh.Channel, b *testBundle, edit func(*wire.Hello)) error {
	if _, err := io.WriteString(ch, wire.Preamble); err != nil {
		return err
	}
	_, rest, _ := strings.Cut(ch.(started).command, " --nonce ")
	nonce, _, _ := strings.Cut(rest, ";")
	hello := &wire.Hello{Protocol: wire.Protocol, Nonce: nonce, SHA256: b.digest, Facts: &wire.Facts{Arch: runtime.GOARCH}}
	if edit != nil {
		edit(hello)
	}
	return wire.Write(ch, &wire.Message{Hello: hello})
}

func TestLink(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	d, target := scripted(t, Options{}, func(ch gossh.Channel) int {
		_, _ = io.WriteString(ch, "Welcome!\nno newline")
		if greet(ch, b, nil) != nil {
			return 1
		}
		for {
			m, err := wire.Read(ch)
			if err != nil {
				return 1
			}
			if m.Beat != nil {
				_, _ = io.WriteString(ch.Stderr(), "out of \x1b[31mcheese\u202e\n")
				return 3
			}
			if wire.Write(ch, m) != nil {
				return 1
			}
		}
	})
	link, err := connect(t, d, target, b)
	if err != nil {
		t.Fatal(err)
	}
	if link.Hello.SHA256 != b.digest || link.Hello.Facts.Arch != runtime.GOARCH {
		t.Errorf("the greeting is %+v", link.Hello)
	}
	sent := &wire.Message{Failure: &wire.Failure{Message: strings.Repeat("x", 3<<20)}}
	writing := make(chan error, 1)
	go func() { writing <- wire.Write(link, sent) }()
	got, err := wire.Read(link)
	if err != nil || got.Failure == nil || got.Failure.Message != sent.Failure.Message {
		t.Fatalf("a large message did not come back: %v", err)
	}
	if err := <-writing; err != nil {
		t.Fatal(err)
	}
	if err := wire.Write(link, &wire.Message{Beat: &wire.Beat{}}); err != nil {
		t.Fatal(err)
	}
	_, err = wire.Read(link)
	wantError(t, err, io.EOF, "host web1: the helper ended (exit status 3", `out of \x1b[31mcheese\u202e`)
	if err := link.Close(); err != nil {
		t.Error(err)
	}
	_, err = wire.Read(link)
	wantError(t, err, errClosed)
}

// TestConnectionLost: the host goes away while Connect runs, and while the link is used.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	d, target := scriptedServer(t, Options{}, func(s *server, _ string, ch gossh.Channel) int {
		if greet(ch, b, nil) == nil {
			_, _ = wire.Read(ch)
			s.drop()
			_, _ = io.Copy(io.Discard, ch)
		}
		return 0
	})
	link, err := connect(t, d, target, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := wire.Write(link, &wire.Message{Beat: &wire.Beat{}}); err != nil {
		t.Fatal(err)
	}
	_, err = wire.Read(link)
	wantError(t, err, io.EOF, "host web1: connection lost")

	d, target = scriptedServer(t, Options{}, func(s *server, _ string, ch gossh.Channel) int {
		_, _ = io.WriteString(ch, "hello\n")
		s.drop()
		return 0
	})
	_, err = connect(t, d, target, b)
	wantError(t, err, nil, "host web1 (", "connection lost")
}

// frame is text as a frame of package wire.
func frame(text string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(text)))) + text
}

func TestHostileHelper(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	endless := func(w io.Writer) int {
		for {
			if _, err := io.WriteString(w, strings.Repeat("y\n", 500)); err != nil {
				return 1
			}
		}
	}
	hello := func(edit func(*wire.Hello)) func(gossh.Channel) int {
		return func(ch gossh.Channel) int {
			if greet(ch, b, edit) == nil {
				_, _ = io.Copy(io.Discard, ch)
			}
			return 0
		}
	}
	raw := func(text string) func(gossh.Channel) int {
		return func(ch gossh.Channel) int { _, _ = io.WriteString(ch, text); _, _ = io.Copy(io.Discard, ch); return 0 }
	}
	cases := map[string]struct {
		run   func(gossh.Channel) int
		parts []string
	}{
		"endless noise":          {func(ch gossh.Channel) int { return endless(ch) }, []string{"more than 64 KiB", `"y\ny\n`}},
		"noise without newlines": {raw(strings.Repeat("z", 70<<10)), []string{"more than 64 KiB"}},
		"endless standard error": {func(ch gossh.Channel) int {
			go endless(ch.Stderr())
			_ = greet(ch, b, func(h *wire.Hello) { h.Nonce = "" })
			return 0
		}, []string{"greeting does not belong"}},
		"forged preamble":      {raw(wire.Preamble + "\xff\xff\xff\xffgarbage"), []string{"malformed frame", "4294967295"}},
		"forged frame":         {raw(wire.Preamble + frame("hello")), []string{"malformed frame"}},
		"short frame":          {func(ch gossh.Channel) int { _, _ = io.WriteString(ch, wire.Preamble+"\x00\x00\x00\x05{\""); return 4 }, []string{"ended at once", "exit status 4"}},
		"huge frame that ends": {func(ch gossh.Channel) int { _, _ = io.WriteString(ch, wire.Preamble+"\x01\x00\x00\x00{"); return 5 }, []string{"exit status 5"}},
		"newer preamble":       {raw("\x00mirrorform-helper/2\n"), []string{"unknown protocol"}},
		"replayed greeting":    {hello(func(h *wire.Hello) { h.Nonce = "1234" }), []string{"greeting does not belong"}},
		"wrong digest":         {hello(func(h *wire.Hello) { h.SHA256 = "\x1b]52;c;x\a" }), []string{`SHA-256 is "\x1b]52;c;x\a"`}},
		"newer protocol":       {hello(func(h *wire.Hello) { h.Protocol = 2 }), []string{"speaks protocol 2"}},
		"no facts":             {hello(func(h *wire.Hello) { h.Facts = nil }), []string{"no facts about the host"}},
		"no greeting":          {raw(wire.Preamble + frame(`{"done":{}}`)), []string{"not a greeting"}},
		"failure":              {raw(wire.Preamble + frame(`{"failure":{"message":"too\u001bold"}}`)), []string{`too\x1bold`}},
		"silent end":           {func(gossh.Channel) int { return 0 }, []string{"ended at once", "exit status 0"}},
		"malformed exit status": {func(ch gossh.Channel) int {
			_, _ = ch.SendRequest("exit-status", false, []byte{1})
			_ = ch.Close()
			return 0
		}, []string{"no exit status"}},
		"survey: missing, but not really": {func(ch gossh.Channel) int { _, _ = io.WriteString(ch, missing+"\n"); return 127 }, []string{"/bin/sh"}},
		"survey: unknown architecture": {func(ch gossh.Channel) int {
			_, _ = io.WriteString(ch, missing+"\nvax\n0\n/a\n/b\n/c\n/d\n")
			return 127
		},
			[]string{`architecture "vax"`}},
		"survey: directory not absolute": {func(ch gossh.Channel) int {
			_, _ = io.WriteString(ch, missing+"\nx86_64\n0\n/a\n/b\nc\n/d\n")
			return 127
		},
			[]string{`"c"`, "not an absolute path"}},
		"no SFTP": {func(ch gossh.Channel) int {
			_, _ = io.WriteString(ch, missing+"\nx86_64\n0\n/a\n/b\n/c\n/d\n")
			return 127
		},
			[]string{"no working SFTP subsystem", "Subsystem sftp internal-sftp"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A helper that is wrong is replaced: the survey for that gets a proper answer, and fails for want of SFTP.
			ownSurvey := strings.HasPrefix(name, "survey: ")
			var log []string
			d, target := scriptedServer(t, Options{Log: func(m string) { log = append(log, m) }}, func(_ *server, command string, ch gossh.Channel) int {
				if command == surveyCommand() && !ownSurvey {
					_, _ = io.WriteString(ch, missing+"\nx86_64\n0\n/a\n/b\n/c\n/d\n")
					return 127
				}
				return c.run(ch)
			})
			_, err := connect(t, d, target, b)
			if err == nil {
				t.Fatal("no error")
			}
			text := strings.Join(log, "\n") + "\n" + err.Error()
			for _, part := range c.parts {
				if !strings.Contains(text, part) {
					t.Errorf("no %q in: %s", part, text)
				}
			}
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == 0x202e }) {
				t.Errorf("control characters in: %q", text)
			}
			if len(text) > 8<<10 {
				t.Errorf("an error of %d bytes", len(text))
			}
		})
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	wait := func(ch gossh.Channel) { _, _ = io.Copy(io.Discard, ch) }
	for name, c := range map[string]struct {
		run   func(gossh.Channel) int
		parts []string
	}{
		"says nothing":   {func(ch gossh.Channel) int { wait(ch); return 0 }, []string{"while starting the helper"}},
		"noise":          {func(ch gossh.Channel) int { _, _ = io.WriteString(ch, "hello?"); wait(ch); return 0 }, []string{`printed "hello?"`}},
		"standard error": {func(ch gossh.Channel) int { _, _ = io.WriteString(ch.Stderr(), "Enter code:"); wait(ch); return 0 }, []string{`"Enter code:"`}},
		"preamble alone": {func(ch gossh.Channel) int { _, _ = io.WriteString(ch, wire.Preamble); wait(ch); return 0 }, []string{"while starting the helper"}},
		"half a frame": {func(ch gossh.Channel) int {
			_, _ = io.WriteString(ch, wire.Preamble+"\x00\x00\x01")
			wait(ch)
			return 0
		}, []string{"while starting"}},
		"drips": {func(ch gossh.Channel) int { return drip(ch) }, []string{"while starting"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, target := scripted(t, Options{}, c.run)
			target.ConnectTimeout = 3 * time.Second
			_, err := connect(t, d, target, b)
			wantError(t, err, ErrTimeout, append(c.parts, "host web1")...)
		})
	}
}

// drip prints forever, slowly.
func drip(ch gossh.Channel) int {
	for {
		if _, err := io.WriteString(ch, "."); err != nil {
			return 1
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// mute accepts connections and says nothing, or only what it is given.
func mute(t testing.TB, says string) Target {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, says)
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return Target{Name: "web1", Address: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, User: "admin"}
}

func TestHandshakeFailures(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	silent := mute(t, "")
	silent.ConnectTimeout = time.Second
	_, err := connect(t, testDialer(t, Options{}), silent, b)
	wantError(t, err, ErrTimeout, "while exchanging keys", "did not greet")

	half := mute(t, "SSH-2.0-x\r\n")
	half.ConnectTimeout = time.Second
	_, err = connect(t, testDialer(t, Options{}), half, b)
	wantError(t, err, ErrTimeout, "while exchanging keys")

	_, err = connect(t, testDialer(t, Options{}), mute(t, "HTTP/1.1 400 \x1b[2J\r\n\r\n"+strings.Repeat("x", 1000)+"\r\nSSH-1.5-old\r\n"), b)
	wantError(t, err, nil, "SSH handshake failed")
	if strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%q", err)
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	_, err = connect(t, testDialer(t, Options{}), Target{Name: "web1", Address: "127.0.0.1", Port: port, User: "admin"}, b)
	wantError(t, err, nil, "host web1 (127.0.0.1:", "cannot connect", "refused")
}

// TestCancel: a cancelled context ends Connect in whatever stage it is.
func TestCancel(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	reason := errors.New("interrupted")
	started := make(chan struct{}, 8)
	stuck := func(ch gossh.Channel) int { started <- struct{}{}; _, _ = io.Copy(io.Discard, ch); return 0 }
	running, runningTarget := scripted(t, Options{}, stuck)

	key, pub, _ := encryptedKey(t)
	s := newServer(t, pub).serve()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	asking := testDialer(t, Options{KnownHostsFiles: []string{s.knownHosts(edKey())}, Passphrase: func(string) ([]byte, error) {
		started <- struct{}{}
		<-release // a person who does not answer
		return nil, errors.New("too late")
	}})

	for name, c := range map[string]struct {
		d      *Dialer
		target Target
		wait   bool
	}{
		"handshake":  {testDialer(t, Options{}), mute(t, ""), false},
		"running":    {running, runningTarget, true},
		"passphrase": {asking, s.target(key), true},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error, 1)
		go func() { _, err := c.d.Connect(ctx, c.target, b); failed <- err }()
		if c.wait {
			<-started
		}
		cancel(reason)
		if err := <-failed; !errors.Is(err, reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSilence: a connection on which nothing arrives any more is given up. TestIdle has one that is
// merely idle.
func TestSilence(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	options := Options{KeepaliveInterval: 100 * time.Millisecond, SilenceLimit: 3 * time.Second}
	d, target := scripted(t, options, func(ch gossh.Channel) int {
		if greet(ch, b, nil) == nil {
			_, _ = io.Copy(io.Discard, ch)
		}
		return 0
	})
	// A proxy in between, which can stop to forward.
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var swallow atomic.Bool
	go func() {
		for {
			in, err := proxy.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target.endpoint())
			if err != nil {
				_ = in.Close()
				return
			}
			t.Cleanup(func() { _, _ = in.Close(), out.Close() })
			go forward(out, in, &swallow)
			go forward(in, out, &swallow)
		}
	}()
	t.Cleanup(func() { _ = proxy.Close() })
	through := target
	through.Port = proxy.Addr().(*net.TCPAddr).Port
	through.HostKey = publicLine(edKey().PublicKey())
	link, err := connect(t, d, through, b)
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { _, err := link.Read(make([]byte, 1)); result <- err }()
	swallow.Store(true)
	wantError(t, <-result, nil, "host web1: connection lost: no data from the host for 3s")
}

// forward copies until it is told to swallow; the connections stay open.
func forward(to io.Writer, from io.Reader, swallow *atomic.Bool) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if !swallow.Load() {
			_, _ = to.Write(b[:n])
		}
	}
}

func TestBecome(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	// A sudo that asks, as sudo(8) with -S does, and then runs the rest of its arguments.
	const asks = `shift; shift; p="$1"; shift; shift; printf %s "$p" >&2; read -r word
if [ "$word" != secret ]; then echo "Sorry, try again." >&2; printf %s "$p" >&2; read -r word; fi
if [ "$word" != secret ]; then echo "sudo: 2 incorrect password attempts" >&2; exit 1; fi
exec "$@"`
	says := func(text string) string { return "echo '" + text + "' >&2; exit 1" }
	for name, c := range map[string]struct {
		become, program, password string
		asked                     int
		parts                     []string
	}{
		"sudo":                {"sudo", `shift; shift; exec "$@"`, "", 0, nil},
		"sudo asks":           {"sudo", asks, "secret", 1, nil},
		"sudo does not ask":   {"sudo", `shift; shift; shift; shift; exec "$@"`, "secret", 0, nil},
		"doas":                {"doas", `shift; shift; exec "$@"`, "secret", 0, nil},
		"wrong password":      {"sudo", asks, "canary-5309", 1, []string{"sudo refused the password for user admin"}},
		"one try":             {"sudo", "printf %s \"$3\" >&2; read -r word; " + says("sudo: 1 incorrect password attempt"), "canary-5309", 1, []string{"refused the password"}},
		"multi-line password": {"sudo", asks, "canary\n5309", 1, []string{"contains a newline"}},
		"no password":         {"sudo", says("sudo: a password is required"), "", 0, []string{"--ask-become-pass", "become_password", "NOPASSWD"}},
		"no sudoer":           {"sudo", says("admin is not in the sudoers file."), "", 0, []string{"does not permit user admin"}},
		"requiretty":          {"sudo", says("sudo: sorry, you must have a tty to run sudo"), "", 0, []string{"requiretty"}},
		"something else":      {"sudo", says("sudo: unknown \x1bproblem"), "", 0, []string{`unknown \x1bproblem`}},
		"doas refuses":        {"doas", says("doas: Operation not permitted"), "", 0, []string{"doas.conf"}},
		"doas asks":           {"doas", says("doas: Authorization required"), "", 0, []string{"nopass"}},
		"no doas":             {"doas", "", "", 0, []string{"doas is not installed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, pub, _ := newKeyFile(t)
			s := newServer(t, pub)
			if c.program != "" {
				s.program(c.become, c.program)
			}
			s.serve()
			target := s.target(key)
			target.Become = c.become
			asked := 0
			if c.password != "" {
				target.BecomePassword = func() (string, error) { asked++; return c.password, nil }
			}
			var log []string
			link, err := connect(t, testDialer(t, Options{KnownHostsFiles: []string{s.knownHosts(edKey())}, Log: func(m string) { log = append(log, m) }}), target, b)
			if asked != c.asked {
				t.Errorf("the password was asked for %d times, not %d", asked, c.asked)
			}
			if c.parts == nil {
				if err != nil {
					t.Fatal(err)
				}
				// The password must not be among what the helper reads.
				if err := wire.Write(link, &wire.Message{Beat: &wire.Beat{}}); err != nil {
					t.Fatal(err)
				}
				if m, err := wire.Read(link); err != nil || m.Beat == nil {
					t.Errorf("%v, %v", m, err)
				}
				return
			}
			wantError(t, err, ErrBecome, c.parts...)
			if text := strings.Join(log, "") + err.Error(); strings.Contains(text, "canary") {
				t.Errorf("the password is in: %s", text)
			}
		})
	}
}

// TestForgedPrompt: no password goes to a host where nothing was asked to read one.
func TestForgedPrompt(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	for _, become := range []string{"none", "doas"} {
		read := make(chan []byte, 1)
		d, target := scripted(t, Options{}, func(ch gossh.Channel) int {
			_, _ = io.WriteString(ch.Stderr(), prompt)
			_, _ = io.WriteString(ch, prompt)
			b, _ := io.ReadAll(ch)
			read <- b
			return 0
		})
		target.Become = become
		target.ConnectTimeout = 3 * time.Second
		target.BecomePassword = func() (string, error) { t.Error("the password was asked for"); return "canary", nil }
		_, err := connect(t, d, target, b)
		wantError(t, err, ErrTimeout)
		if strings.Contains(string(<-read), "canary") {
			t.Error("the password was sent")
		}
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	for _, target := range []Target{
		{Address: ""}, {Address: "-oProxyCommand=id"}, {Address: "a b"}, {Address: "a\nb"}, {Address: "$(id)"}, {Address: "a;b"}, {Address: "é.example"},
		{Address: "[::1]"}, {Address: "fe80::1%-x"}, {Address: "web1:22"}, {Address: "user@web1"}, {Address: strings.Repeat("a", 300)}, {Address: "a\u202eb"},
		{Address: "web1", User: "-l"}, {Address: "web1", User: "a b"}, {Address: "web1", User: "a\x00"}, {Address: "web1", User: "\xff"},
		{Address: "web1", Port: -1}, {Address: "web1", Port: 65536}, {Address: "web1", Become: "su"},
	} {
		target.Name = "web1"
		_, err := connect(t, testDialer(t, Options{}), target, standIn(t, ""))
		if err == nil || !strings.HasPrefix(err.Error(), `host "web1": `) {
			t.Errorf("%+v: %v", target, err)
		}
	}
	for _, address := range []string{"web1", "WEB1.example.org", "web_1.example.", "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "1a", "xn--bcher-kva.example"} {
		got, err := Target{Address: address, User: `CORP\some.one`}.complete()
		if err != nil || got.Address != strings.ToLower(address) || got.Name == "" || got.Port != 22 || got.Become != "none" || got.ConnectTimeout != DefaultConnectTimeout {
			t.Errorf("%s: %+v, %v", address, got, err)
		}
	}
	if got, err := (Target{Address: "web1"}).complete(); err != nil || got.User == "" {
		t.Errorf("no default user: %+v, %v", got, err)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("noise ", 2000) + prompt + "Sorry, try again.\n" + prompt
	for _, piece := range []int{1, 7, len(prompt) - 1, 4096, len(whole)} {
		tail := newTail()
		for rest := whole; rest != ""; {
			n := min(piece, len(rest))
			if _, err := io.WriteString(tail, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if n := len(tail.prompts); n != 2 {
			t.Errorf("in pieces of %d: %d prompts", piece, n)
		}
		if s := tail.String(); !strings.HasSuffix(s, "Sorry, try again.") || strings.Contains(s, prompt) || len(s) > keptStderr {
			t.Errorf("in pieces of %d: kept %q", piece, s)
		}
	}
}

// TestCommands: the command lines have nothing in them that login shells read differently.
func TestCommands(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	commands := []string{surveyCommand(), runCommand(b.ID(), "00ff")}
	for _, how := range []string{"none", "sudo", "doas"} {
		for _, mayAsk := range []bool{false, true} {
			prefix := become(how, mayAsk)
			commands = append(commands, rootCommand(rootPlaces, b.ID(), "00ff", prefix))
			for _, place := range rootPlaces {
				d, _, err := newDelivery(t.Context(), b, "amd64", place)
				if err != nil {
					t.Fatal(err)
				}
				commands = append(commands, d.command("00ff", prefix))
			}
		}
	}
	for i := range directories {
		commands = append(commands, installCommand(i, tempName("00ff"), b.digest, b.ID()), installCommand(i, tempName("00ff"), "", b.ID()))
	}
	for _, c := range commands {
		script, ok := strings.CutPrefix(c, "/bin/sh -c '")
		script, ok2 := strings.CutSuffix(script, "'")
		if !ok || !ok2 || strings.ContainsAny(script, "'\\!`\n\r\t") || len(c) > 2000 {
			t.Errorf("%d bytes: %s", len(c), c)
		}
	}
	for _, bad := range []string{"", "x", "AB", "../a", "a b", "$(id)", strings.Repeat("a", 65)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken into a command line", bad)
				}
			}()
			_ = runCommand(bad, "00ff")
		}()
	}
}
