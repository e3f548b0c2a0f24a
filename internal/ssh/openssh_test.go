package ssh

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// byOpenSSH makes a target one that ssh reaches, without the files of who runs the test. The test is
// skipped where there is no ssh.
func byOpenSSH(t *testing.T, target Target) Target {
	t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip(err)
	}
	target.ByOpenSSH = true
	target.OpenSSH = &OpenSSH{
		Host: target.Address, User: target.User, Port: target.Port, Identities: target.Identities, ConfigFile: "none",
	}
	return target
}

// socketsIn puts the sockets into a directory of the test, which it returns.
func socketsIn(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "mf") // t.TempDir may be too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("SSH_AUTH_SOCK", "")
	return dir
}

// fakeSSH puts a shell script in front of ssh.
func fakeSSH(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// TestOpenSSH: ssh carries the helper and SFTP, a lost connection is explained, and nothing is left.
func TestOpenSSH(t *testing.T) {
	key, pub, _ := newKeyFile(t)
	dir := socketsIn(t)
	s := newServer(t, pub).serve()
	d := testDialer(t, Options{KnownHostsFiles: []string{s.knownHosts(edKey())}})
	link, err := connect(t, d, byOpenSSH(t, s.target(key)), standIn(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	if n := s.logins.Load(); n != 1 {
		t.Errorf("%d logins for pushing and running the helper, not 1", n)
	}
	s.drop()
	_, err = link.Read(make([]byte, 1))
	wantError(t, err, nil, "host web1: connection lost: ssh ")
	d.Close()
	if left := names(t, dir); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

// TestOpenSSHHostKeys: ssh refuses what the native client refuses.
func TestOpenSSHHostKeys(t *testing.T) {
	key, pub, _ := newKeyFile(t)
	socketsIn(t)
	s := newServer(t, pub).serve()
	_, other, _ := newKeyFile(t)
	for name, c := range map[string]struct {
		options Options
		pin     gossh.PublicKey
		want    error
	}{
		"pinned":       {Options{}, edKey().PublicKey(), nil},
		"wrong pin":    {Options{KnownHostsFiles: []string{s.knownHosts(edKey())}}, other, ErrHostKeyChanged},
		"unknown":      {Options{}, nil, ErrHostKeyUnknown},
		"known":        {Options{KnownHostsFiles: []string{s.knownHosts(edKey())}}, nil, nil},
		"may be added": {Options{KnownHostsFiles: []string{writeFile(t, "")}, AcceptNewHostKeys: true}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			target := byOpenSSH(t, s.target(key))
			if c.pin != nil {
				target.HostKey = publicLine(c.pin)
			}
			d := testDialer(t, c.options)
			defer d.Close()
			link, err := connect(t, d, target, standIn(t, ""))
			if c.want != nil {
				wantError(t, err, c.want, "ssh printed")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]KeyOrigin{"pinned": KeyPinned, "known": KeyKnown, "may be added": KeyNew}[name]
			if got := link.s.keyOrigin(); got != want {
				t.Errorf("origin %d, not %d", got, want)
			}
		})
	}
}

// TestOpenSSHAsks: a passphrase that ssh asks for is asked by this process, on its terminal.
func TestOpenSSHAsks(t *testing.T) {
	file, pub, _ := encryptedKey(t)
	socketsIn(t)
	s := newServer(t, pub).serve()
	before := hasTerminal
	hasTerminal = func() bool { return true }
	defer func() { hasTerminal = before }()
	var asked []string
	d := testDialer(t, Options{KnownHostsFiles: []string{s.knownHosts(edKey())}, Answer: func(host, question string) (string, error) {
		asked = append(asked, host+": "+question)
		return map[int]string{1: "wrong"}[len(asked)] + map[bool]string{true: "secret"}[len(asked) > 1], nil
	}})
	defer d.Close()
	if _, err := connect(t, d, byOpenSSH(t, s.target(file)), standIn(t, "")); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 2 || !strings.HasPrefix(asked[0], "ssh for host web1: Enter passphrase for") {
		t.Errorf("asked %q", asked)
	}
}

// TestOpenSSHJump: a jump host has a shared connection of its own.
func TestOpenSSHJump(t *testing.T) {
	key, pub, _ := newKeyFile(t)
	socketsIn(t)
	gate, inner := newServer(t, pub).serve(), newServer(t, pub).serve()
	d := testDialer(t, Options{KnownHostsFiles: []string{gate.knownHosts(edKey()), inner.knownHosts(edKey())}})
	defer d.Close()
	via := byOpenSSH(t, gate.target(key))
	via.Name = "gate"
	target := byOpenSSH(t, inner.target(key))
	target.Jump = &via
	for range 2 {
		if _, err := connect(t, d, target, standIn(t, "")); err != nil {
			t.Fatal(err)
		}
	}
	if gate.logins.Load() != 1 || inner.logins.Load() != 2 {
		t.Errorf("%d logins on the jump host, %d behind it", gate.logins.Load(), inner.logins.Load())
	}
}

// TestOpenSSHErrors: what ssh prints is the error, with the next step.
func TestOpenSSHErrors(t *testing.T) {
	socketsIn(t)
	for text, want := range map[string]struct {
		kind  error
		parts []string
	}{
		"admin@web1: Permission denied (publickey).":       {ErrAuthentication, []string{"make `ssh 127.0.0.1` log in"}},
		"Bad configuration option: nonsense":               {nil, []string{"correct ssh's configuration"}},
		"unix_listener: cannot bind: No space left":        {nil, []string{"XDG_RUNTIME_DIR"}},
		`a\033[31mred\033[0m line`:                         {nil, []string{`a\x1b[31mred`, "find out why with `ssh 127.0.0.1`"}},
		"Timeout, server 10.0.0.1 not responding.":         {nil, []string{"check the host and the network"}},
		"Unable to negotiate with 10.0.0.1 port 22: no m…": {nil, []string{"no algorithm in common"}},
	} {
		fakeSSH(t, "printf '"+text+`\n' >&2; exit 255`)
		d := testDialer(t, Options{})
		target := byOpenSSH(t, Target{Name: "web1", Address: "127.0.0.1", User: "admin"})
		_, err := d.Connect(t.Context(), target, standIn(t, ""))
		wantError(t, err, want.kind, append(want.parts, "host web1 (127.0.0.1:22): ", "ssh printed")...)
		d.Close()
	}
}

// TestOpenSSHLate: a login that takes too long ends, and with it ssh.
func TestOpenSSHLate(t *testing.T) {
	dir := socketsIn(t)
	fakeSSH(t, "echo trying >&2; exec sleep 600")
	d := testDialer(t, Options{})
	target := byOpenSSH(t, Target{Name: "web1", Address: "127.0.0.1", User: "admin", ConnectTimeout: 250 * time.Millisecond})
	_, err := d.Connect(t.Context(), target, standIn(t, ""))
	wantError(t, err, ErrTimeout, "while waiting for ssh to log in", "check the address and port", `ssh printed "trying"`)
	d.Close() // waits for ssh
	if left := names(t, dir); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

// TestOpenSSHArguments: values are arguments, and those that ssh could take for something else are
// refused.
func TestOpenSSHArguments(t *testing.T) {
	t.Parallel()
	o := OpenSSH{Host: "web1", User: "admin", Port: 2200, Identities: []string{"/my keys/100%"}, ConnectTimeout: 1500 * time.Millisecond, ConfigFile: "c"}
	d := testDialer(t, Options{KnownHostsFiles: []string{"/known hosts/a", "/b"}})
	args, err := d.arguments(Target{OpenSSH: &o}, "/r/1", "", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{
		{"-M", "-S", "/r/1", "-N", "-T", "-F", "c", "-l", "admin", "-p", "2200", "-i", "/my keys/100%%", "-o", "ConnectTimeout=2"},
		{"-o", "BatchMode=yes"}, {"-o", "StrictHostKeyChecking=yes"}, {"-o", "ControlPersist=no"},
		{"-o", `UserKnownHostsFile="/known hosts/a" "/b"`}, {"-o", "ServerAliveInterval=10"}, {"--", "web1"},
	} {
		if !strings.Contains(fmt.Sprintf("%q", args), strings.Trim(fmt.Sprintf("%q", want), "[]")) {
			t.Errorf("no %q in %q", want, args)
		}
	}
	for _, wrong := range []OpenSSH{
		{Host: "-oProxyCommand=x"}, {Host: "a b"}, {Host: "a;b"}, {Host: "a", User: "-l"}, {Host: "a", User: `d\u`}, {Host: "a", User: "u$"},
		{Host: "a", Identities: []string{"/k/${HOME}"}},
	} {
		if args, err := wrong.values(); err == nil {
			t.Errorf("%+v: %q", wrong, args)
		}
	}
	if args, _ := (&OpenSSH{Host: "a", Identities: []string{}}).values(); !slices.Contains(args, "IdentityFile=none") {
		t.Error(args)
	}
}

// TestOpenSSHSettings reads ssh -G.
func TestOpenSSHSettings(t *testing.T) {
	t.Parallel()
	s, err := parseSettings("user op\nhostname WEB1.example.org\nport 2200\nconnecttimeout none\nproxyjump a@gate:2222,mid\nserveraliveinterval 5\n")
	if err != nil || s.User != "op" || s.HostName != "web1.example.org" || s.Port != 2200 || s.ConnectTimeout != 0 ||
		s.ServerAliveInterval != 5*time.Second || len(s.Jump) != 2 || s.Jump[0].Host != "gate" || s.Jump[1].Host != "mid" {
		t.Errorf("%+v, %v", s, err)
	}
	_, err = parseSettings("unknown\n")
	wantError(t, err, nil, "OpenSSH 7.6")
}

// TestSocketDirectories: what a killed run left is removed, and nothing that is used or another's.
func TestSocketDirectories(t *testing.T) {
	base := socketsIn(t)
	old := time.Now().Add(-time.Hour)
	leave := func(name, file string) string {
		t.Helper()
		dir := filepath.Join(base, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if file != "" {
			if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	leave("mirrorform-ssh-1", "7")
	used := leave("mirrorform-ssh-2", "8.known")
	leave("mirrorform-ssh-3", "notes.txt.bak")
	leave("mirrorform-ssh-test", "9")
	lock, err := lockDir(used)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	var s socketDir
	path, err := s.next()
	if err != nil || !strings.HasPrefix(path, base+"/mirrorform-ssh-") {
		t.Fatal(path, err)
	}
	want := []string{"mirrorform-ssh-2", "mirrorform-ssh-3", filepath.Base(filepath.Dir(path)), "mirrorform-ssh-test"}
	slices.Sort(want)
	if got := names(t, base); !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	s.close()
	t.Setenv("XDG_RUNTIME_DIR", base+"/"+strings.Repeat("long", 20))
	t.Setenv("TMPDIR", base)
	if path, err := s.next(); err != nil || !strings.HasPrefix(path, base+"/mirrorform-ssh-") {
		t.Error(path, err)
	}
	s.close()
}

// TestFallback: ssh is tried where the native client lacks something, and the reason is noted once.
func TestFallback(t *testing.T) {
	socketsIn(t)
	fakeSSH(t, "echo no luck >&2; exit 255")
	key := hardwareKeyFile(t)
	_, pub, _ := newKeyFile(t)
	s := newServer(t, pub).serve()
	var notes []string
	d := testDialer(t, Options{KnownHostsFiles: []string{s.knownHosts(edKey())}, Log: func(text string) { notes = append(notes, text) }})
	defer d.Close()
	target := s.target(key)
	_, err := d.Connect(t.Context(), target, standIn(t, ""))
	wantError(t, err, ErrAuthentication, "FIDO device")
	target = byOpenSSH(t, target)
	target.ByOpenSSH = false
	for range 2 {
		_, err = d.Connect(t.Context(), target, standIn(t, ""))
		wantError(t, err, nil, "no luck")
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "FIDO key") || !strings.Contains(notes[0], "connecting with ssh") {
		t.Errorf("%q", notes)
	}
	negotiation := &gossh.AlgorithmNegotiationError{What: "key exchange", RequestedAlgorithms: []string{"sntrup761x25519-sha512@openssh.com"}}
	if why := lacking((&attempt{}).explain(negotiation)); !strings.Contains(why, "sntrup761") {
		t.Error(why)
	}
	negotiation.RequestedAlgorithms = []string{"diffie-hellman-group1-sha1"}
	if why := lacking((&attempt{}).explain(negotiation)); why != "" {
		t.Error(why)
	}
}

// hardwareKeyFile writes an identity file of a FIDO key, as far as its type can be seen.
func hardwareKeyFile(t *testing.T) string {
	t.Helper()
	public := gossh.Marshal(struct{ Type, Key, Application string }{"sk-ssh-ed25519@openssh.com", strings.Repeat("k", 32), "ssh:"})
	key := gossh.Marshal(struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Public, Private      []byte
	}{"none", "none", "", 1, public, bytes.Repeat([]byte{0}, 64)})
	block := &pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: append([]byte("openssh-key-v1\x00"), key...)}
	return writeFile(t, string(pem.EncodeToMemory(block)))
}
