package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
)

// via names a server as the jump host of a target.
func (s *server) via(name string, jump *Target, identities ...string) *Target {
	t := s.target(identities...)
	t.Name, t.Jump, t.HostKey = name, jump, publicLine(edKey().PublicKey())
	return &t
}

func TestJumpChain(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	b := standIn(t, "")
	outer, inner := newServer(t, pub).serve(), newServer(t, pub).serve()
	d := testDialer(t, Options{})
	defer d.Close()
	chain := inner.via("inner", outer.via("outer", nil, key), key)
	const hosts = 5
	targets := make([]*server, hosts)
	for i := range targets {
		targets[i] = newServer(t, pub).serve()
	}
	var g errgroup.Group
	for i, s := range targets {
		g.Go(func() error {
			target := s.target(key)
			target.Name, target.HostKey, target.Jump = fmt.Sprint("web", i), publicLine(edKey().PublicKey()), chain
			_, err := connect(t, d, target, b)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if o, i := outer.logins.Load(), inner.logins.Load(); o != 1 || i != 1 {
		t.Errorf("%d and %d logins to the jump hosts", o, i)
	}
	if n := inner.forwarded.Load(); n != hosts {
		t.Errorf("%d connections through the inner jump host", n)
	}
	if n := outer.forwarded.Load(); n != 1 {
		t.Errorf("%d connections through the outer jump host", n)
	}
}

// TestJumpLost: what goes through a jump host ends with it, and says so; the next one connects anew.
func TestJumpLost(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	jump, s := newServer(t, pub).serve(), newServer(t, pub).serve()
	d := testDialer(t, Options{})
	defer d.Close()
	target := s.target(key)
	target.HostKey, target.Jump = publicLine(edKey().PublicKey()), jump.via("bastion", nil, key)
	link, err := connect(t, d, target, standIn(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	jump.drop()
	_, err = link.Read(make([]byte, 1))
	wantError(t, err, nil, "host web1: connection lost: jump host \"bastion\" (127.0.0.1:")
	if _, err := connect(t, d, target, standIn(t, "")); err != nil {
		t.Fatal(err)
	}
	if n := jump.logins.Load(); n != 2 {
		t.Errorf("%d logins", n)
	}
}

func TestJumpRefused(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := nobody.Addr().(*net.TCPAddr).Port
	_ = nobody.Close()
	for name, c := range map[string]struct {
		edit  func(target *Target, jump *server)
		kind  error
		parts []string
		quiet bool // no key may be offered to the jump host
	}{
		"jump host's key unknown": {
			edit: func(target *Target, _ *server) { target.Jump.HostKey = "" }, kind: ErrHostKeyUnknown, quiet: true,
			parts: []string{"host web1 (", `jump host "bastion" (127.0.0.1:`, "unknown host key"},
		},
		"jump host's key wrong": {
			edit: func(target *Target, _ *server) { target.Jump.HostKey = publicLine(otherKey().PublicKey()) }, kind: ErrHostKeyChanged, quiet: true,
			parts: []string{`jump host "bastion"`},
		},
		"host key behind it wrong": {
			edit: func(target *Target, _ *server) { target.HostKey = publicLine(otherKey().PublicKey()) }, kind: ErrHostKeyChanged,
			parts: []string{"host web1 (127.0.0.1:", "wrong host key: host_key pins"},
		},
		"no key for the jump host": {
			edit: func(_ *Target, jump *server) { jump.accept = nil }, kind: ErrAuthentication, parts: []string{`jump host "bastion"`, "did not accept the key"},
		},
		"jump host down": {
			edit: func(target *Target, _ *server) { target.Jump.Port = free }, parts: []string{`jump host "bastion"`, "cannot connect", "refused"}, quiet: true,
		},
		"host behind it down": {
			edit: func(target *Target, _ *server) { target.Port = free }, parts: []string{`jump host "bastion" cannot connect to 127.0.0.1:`, "Connection refused"},
		},
		"no forwarding": {
			edit: func(_ *Target, jump *server) { jump.noForwarding = true }, parts: []string{`jump host "bastion"`, "AllowTcpForwarding"},
		},
		"no such user": {
			edit: func(target *Target, _ *server) { target.Jump.User = "-x" }, parts: []string{`jump host "bastion": invalid user name "-x"`}, quiet: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			jump, s := newServer(t, pub).serve(), newServer(t, pub).serve()
			d := testDialer(t, Options{KnownHostsFiles: []string{writeFile(t, "")}})
			defer d.Close()
			target := s.target(key)
			target.HostKey, target.Jump = publicLine(edKey().PublicKey()), jump.via("bastion", nil, key)
			c.edit(&target, jump)
			_, err := connect(t, d, target, standIn(t, ""))
			wantError(t, err, c.kind, c.parts...)
			if n := jump.offered.Load(); c.quiet && n > 0 {
				t.Errorf("%d keys were offered to the jump host", n)
			}
			if n := s.offered.Load(); n > 0 {
				t.Errorf("%d keys were offered to the host", n)
			}
		})
	}
}

// TestJumpCancel: one that leaves does not take the jump host's connection from the others; the last one does.
func TestJumpCancel(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	s := newServer(t, pub).serve()
	silent := mute(t, "")
	d := testDialer(t, Options{})
	defer d.Close()
	target := s.target(key)
	silent.Name, silent.HostKey = "bastion", publicLine(edKey().PublicKey())
	target.HostKey, target.Jump = publicLine(edKey().PublicKey()), &silent
	ctx, cancel := context.WithCancelCause(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := d.Connect(ctx, target, standIn(t, "")); first <- err }()
	for waiting(d) != 1 {
		time.Sleep(time.Millisecond)
	}
	late, stop := context.WithCancel(t.Context())
	go func() { _, err := d.Connect(late, target, standIn(t, "")); second <- err }()
	for waiting(d) != 2 {
		time.Sleep(time.Millisecond)
	}
	gone := errors.New("gone")
	cancel(gone)
	if err := <-first; !errors.Is(err, gone) {
		t.Error(err)
	}
	if waiting(d) != 1 {
		t.Error("nobody waits any more")
	}
	stop()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if waiting(d) != 0 {
		t.Error("the attempt goes on")
	}
}

// waiting is how many wait for a jump host.
func waiting(d *Dialer) (n int) {
	d.jumps.mu.Lock()
	defer d.jumps.mu.Unlock()
	for _, j := range d.jumps.open {
		n += j.waiting
	}
	return n
}

// TestRetry: a host that has too many at its door is tried again, and so is one that is just coming up.
func TestRetry(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	s := newServer(t, pub).serve()
	// Two connections are turned away before the host key is shown.
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = door.Close() })
	var n int
	go func() {
		for {
			conn, err := door.Accept()
			if err != nil {
				return
			}
			if n++; n <= 2 {
				_, _ = conn.Write([]byte("Exceeded MaxStartups\r\n"))
				_ = conn.Close()
				continue
			}
			s.conns.Store(conn, nil)
			s.open.Go(func() { s.handle(conn) })
		}
	}()
	target := s.target(key)
	target.Port, target.HostKey = door.Addr().(*net.TCPAddr).Port, publicLine(edKey().PublicKey())
	if _, err := connect(t, testDialer(t, Options{}), target, standIn(t, "")); err != nil {
		t.Fatal(err)
	}

	// The jump host cannot connect to it yet.
	jump := newServer(t, pub)
	jump.refuse.Store(2)
	jump.serve()
	d := testDialer(t, Options{})
	defer d.Close()
	target = s.target(key)
	target.HostKey, target.Jump = publicLine(edKey().PublicKey()), jump.via("bastion", nil, key)
	if _, err := connect(t, d, target, standIn(t, "")); err != nil {
		t.Fatal(err)
	}
	if n := jump.refuse.Load(); n >= 0 {
		t.Errorf("%d refusals are left", n)
	}
}

func TestTransient(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&dialError{err: refused}, true},
		{&dialError{err: &net.DNSError{IsTemporary: true}}, true},
		{&dialError{via: "x", err: &forwardError{"x:22", &gossh.OpenChannelError{Reason: gossh.ConnectionFailed}}}, true},
		{&dialError{err: &net.DNSError{IsNotFound: true}}, false},
		{&dialError{err: &net.DNSError{IsTemporary: true, IsTimeout: true}}, false},
		{&dialError{err: &timeoutError{stage: "connecting"}}, false},
		{&dialError{err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}}, false},
		{&jumpError{Target{}, &dialError{err: refused}}, false}, // it was tried again already
		{context.Canceled, false},
	} {
		if got := transient(c.err); got != c.want {
			t.Errorf("%v: %t", c.err, got)
		}
	}
}

// TestQuestions: keyboard-interactive, alone and after a key.
func TestQuestions(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	other, _, _ := newKeyFile(t)
	ask := func(client gossh.KeyboardInteractiveChallenge) error {
		answers, err := client("", "Two\x1b[31m things.", []string{"Token: ", "Colour: "}, []bool{false, true})
		if err == nil && (len(answers) != 2 || answers[0] != "1234" || answers[1] != "blue") {
			err = errors.New("wrong")
		}
		return err
	}
	alone := func(c *gossh.ServerConfig) {
		c.KeyboardInteractiveCallback = func(_ gossh.ConnMetadata, client gossh.KeyboardInteractiveChallenge) (*gossh.Permissions, error) {
			return nil, ask(client)
		}
	}
	second := func(c *gossh.ServerConfig) {
		first := c.PublicKeyCallback
		c.PublicKeyCallback = func(m gossh.ConnMetadata, k gossh.PublicKey) (*gossh.Permissions, error) {
			if _, err := first(m, k); err != nil {
				return nil, err
			}
			return nil, &gossh.PartialSuccessError{Next: gossh.ServerAuthCallbacks{
				KeyboardInteractiveCallback: func(_ gossh.ConnMetadata, client gossh.KeyboardInteractiveChallenge) (*gossh.Permissions, error) {
					return nil, ask(client)
				},
			}}
		}
	}
	right := map[string]string{"Two\x1b[31m things. Token": "1234", "Colour": "blue"}
	for name, c := range map[string]struct {
		setUp   func(*gossh.ServerConfig)
		keys    []string
		answers map[string]string
		parts   []string // of the error; nil: none
	}{
		"instead of a key":       {setUp: alone, keys: []string{other}, answers: right},
		"a key is enough":        {setUp: alone, keys: []string{other, other, key}, answers: map[string]string{}},
		"after a key":            {setUp: second, keys: []string{key}, answers: right},
		"wrong answers":          {setUp: second, keys: []string{key}, answers: map[string]string{"Two\x1b[31m things. Token": "4321", "Colour": "blue"}, parts: []string{"did not accept the answers"}},
		"nobody there":           {setUp: second, keys: []string{key}, parts: []string{"the host accepts the key of user admin, but asks for more", `the host asks "Two\x1b[31m things. Token"`, "no terminal to answer on"}},
		"nobody there, no key":   {setUp: alone, keys: []string{other}, parts: []string{"did not accept the key offered for user admin", `the host asks "Two\x1b[31m things. Token"`, "no terminal to answer on"}},
		"a terminal that is not": {setUp: alone, keys: []string{other}, answers: map[string]string{}, parts: []string{"no terminal"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, pub)
			s.authentication = c.setUp
			s.serve()
			o := Options{KnownHostsFiles: []string{s.knownHosts(edKey())}}
			if c.answers != nil {
				o.Answer = func(host, question string) (string, error) {
					if host != "web1" {
						t.Errorf("host %s", host)
					}
					if a, ok := c.answers[question]; ok {
						return a, nil
					}
					return "", fmt.Errorf("%q: no terminal", question)
				}
			}
			_, err := connect(t, testDialer(t, o), s.target(c.keys...), standIn(t, ""))
			if c.parts == nil && err != nil {
				t.Fatal(err)
			}
			if c.parts != nil {
				wantError(t, err, ErrAuthentication, c.parts...)
				if strings.Contains(err.Error(), "4321") || strings.Contains(err.Error(), "\x1b") {
					t.Errorf("the error tells too much: %q", err)
				}
			}
		})
	}
}
