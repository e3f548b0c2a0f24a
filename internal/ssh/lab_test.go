package ssh

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/helper"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// realBundle is this module's own helper.
func realBundle(t testing.TB) *helper.Bundle {
	t.Helper()
	b, err := helper.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// labHost is a lab host with what connects to it.
type labHost struct {
	*lab.Host
	t   testing.TB
	lab *lab.Lab
	log []string
}

func newLabHost(t testing.TB, spec ...lab.HostSpec) *labHost {
	t.Helper()
	h := labtest.Host(t, spec...)
	return &labHost{Host: h, t: t, lab: labtest.Lab(t)}
}

// target is the host with a user of the lab's.
func (h *labHost) target(user, become string) Target {
	return Target{Name: h.Name, Address: h.Address, User: user, Identities: []string{h.lab.KeyPath()}, Become: become}
}

// connect connects with a new Dialer; what was logged is then in h.log.
func (h *labHost) connect(target Target, b Bundle) (*Link, error) {
	h.t.Helper()
	h.log = nil
	return connect(h.t, testDialer(h.t, Options{
		KnownHostsFiles: []string{h.lab.KnownHosts()},
		Log:             func(m string) { h.log = append(h.log, m) },
	}), target, b)
}

// run runs a program on the host, as root.
func (h *labHost) run(argv ...string) string {
	h.t.Helper()
	out, err := h.Run(h.t.Context(), argv...)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(out)
}

// beat checks that the helper at the other end works: it answers a question.
func beat(t testing.TB, link *Link) {
	t.Helper()
	if err := wire.Write(link, &wire.Message{Ask: &wire.Ask{Queries: []wire.Query{{Verb: wire.AskFile, Arg: "/etc"}}}}); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := wire.Read(link)
		if err != nil {
			t.Fatal(err)
		}
		if m.Beat != nil {
			continue
		}
		if m.Answers == nil || len(m.Answers.Answers) != 1 || m.Answers.Answers[0].File == nil || m.Answers.Answers[0].File.Kind != wire.Directory {
			t.Fatalf("the helper answered %+v", m)
		}
		return
	}
}

func TestLabUsers(t *testing.T) {
	t.Parallel()
	h := newLabHost(t)
	b := realBundle(t)
	for _, c := range []struct {
		user, become, password string
		root                   bool
	}{
		{"root", "none", "", true},
		{"admin", "none", "", false},
		{"admin", "sudo", "", true},
		{"admin", "sudo", "not asked for", true},
		{"op", "sudo", lab.OpPassword, true},
		{"plain", "none", "", false},
		{"doas", "doas", "", true},
		{"csh", "none", "", false},
		{"csh", "sudo", "", true},
		{"fish", "none", "", false},
		{"fish", "sudo", "", true},
		{"noisy", "none", "", false},
		{"noisy", "sudo", "", true},
	} {
		t.Run(fmt.Sprintf("%s %s %t", c.user, c.become, c.password != ""), func(t *testing.T) {
			target := h.target(c.user, c.become)
			if c.password != "" {
				target.BecomePassword = func() (string, error) {
					if c.password != lab.OpPassword {
						t.Error("the password was asked for")
					}
					return c.password, nil
				}
			}
			link, err := h.connect(target, b)
			if err != nil {
				t.Fatal(err)
			}
			if facts := link.Hello.Facts; (facts.UID == 0) != c.root {
				t.Errorf("the helper runs as user %d", facts.UID)
			}
			beat(t, link)
			again, err := h.connect(target, b)
			if err != nil {
				t.Fatal(err)
			}
			beat(t, again)
			if len(h.log) > 0 {
				t.Errorf("the second time: %q", h.log)
			}
		})
	}
}

func TestLabBecomeRefused(t *testing.T) {
	t.Parallel()
	h := newLabHost(t)
	b := realBundle(t)
	h.run("mv", "/usr/bin/doas", "/usr/bin/doas.away")
	for _, c := range []struct{ user, become, password, part string }{
		{"op", "sudo", "", "sudo asks for the password of user op"},
		{"op", "sudo", "canary-5309", "sudo refused the password for user op"},
		{"plain", "sudo", "", "sudo asks for the password of user plain"}, // sudo tells only whom it knows who may not
		{"csh", "doas", "", "doas is not installed"},
	} {
		target := h.target(c.user, c.become)
		if c.password != "" {
			target.BecomePassword = func() (string, error) { return c.password, nil }
		}
		_, err := h.connect(target, b)
		wantError(t, err, ErrBecome, c.part)
		if strings.Contains(fmt.Sprint(err, h.log), "canary") {
			t.Errorf("the password is in: %v, %q", err, h.log)
		}
	}
	h.run("mv", "/usr/bin/doas.away", "/usr/bin/doas")
	_, err := h.connect(h.target("plain", "doas"), b)
	wantError(t, err, ErrBecome, "doas does not permit user plain")

	testSecondFactor(t, h)

	h.run("mv", "/usr/bin/sudo", "/usr/bin/sudo.away")
	_, err = h.connect(h.target("admin", "sudo"), b)
	wantError(t, err, ErrBecome, "sudo is not installed")
	h.run("mv", "/usr/bin/sudo.away", "/usr/bin/sudo")

	if err := h.Write("/etc/sudoers.d/zz-test", []byte("op ALL=(ALL) !ALL\nDefaults:fish requiretty\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	target := h.target("op", "sudo")
	target.BecomePassword = func() (string, error) { return lab.OpPassword, nil }
	_, err = h.connect(target, b)
	wantError(t, err, ErrBecome, "sudo does not permit user op")
	_, err = h.connect(h.target("fish", "sudo"), b)
	wantError(t, err, ErrBecome, "requiretty")
}

// TestLabDirectories: where the helper of an account that does not become root may lie.
func TestLabDirectories(t *testing.T) {
	t.Parallel()
	h := newLabHost(t)
	b := realBundle(t)
	name := helperName(b.ID())
	at := func(user, dir string) {
		t.Helper()
		link, err := h.connect(h.target(user, "none"), b)
		if err != nil {
			t.Fatal(err)
		}
		beat(t, link)
		if got := h.run("stat", "-c", "%a %U", dir, dir+"/"+name); got != "700 "+user+"\n500 "+user+"\n" {
			t.Errorf("%s: %q", dir, got)
		}
	}

	// A home that may not be executed from.
	h.run("install", "-d", "-o", "admin", "-m", "0755", "/home/admin/.cache")
	h.run("mount", "-t", "tmpfs", "-o", "noexec,mode=0700,uid=admin", "tmpfs", "/home/admin/.cache")
	at("admin", "/var/tmp/mirrorform-admin")
	if left := h.run("find", "/home/admin/.cache", "-type", "f"); left != "" {
		t.Errorf("left: %s", left)
	}

	// Directories that somebody else has put there.
	h.run("install", "-d", "-o", "plain", "-m", "0777", "/var/tmp/mirrorform-csh")
	h.run("install", "-d", "-o", "root", "-m", "0777", "/home/csh/.cache/mirrorform")
	h.run("cp", "/bin/true", "/var/tmp/mirrorform-csh/"+name)
	h.run("cp", "/bin/true", "/home/csh/.cache/mirrorform/"+name)
	link, err := h.connect(h.target("csh", "none"), b)
	if err != nil {
		t.Fatal(err)
	}
	beat(t, link)
	if log := strings.Join(h.log, "\n"); !strings.Contains(log, "/run/user/") && !strings.Contains(log, "/dev/shm/mirrorform-csh") {
		t.Errorf("the log is %s", log)
	}

	// A helper that is not the one it should be.
	at("fish", "/home/fish/.cache/mirrorform")
	h.run("rm", "/home/fish/.cache/mirrorform/"+name)
	if err := h.Write("/home/fish/.cache/mirrorform/"+name, []byte("#!/bin/sh\necho hello\n"), 0o500); err != nil {
		t.Fatal(err)
	}
	h.run("chown", "fish", "/home/fish/.cache/mirrorform/"+name)
	at("fish", "/home/fish/.cache/mirrorform")
	if !strings.Contains(strings.Join(h.log, "\n"), "replacing it") {
		t.Errorf("the log is %q", h.log)
	}

	// Nothing may be executed from anywhere.
	h.run("install", "-d", "-o", "doas", "-m", "0755", "/home/doas/.cache")
	h.run("mount", "-t", "tmpfs", "-o", "noexec,mode=0700,uid=doas", "tmpfs", "/home/doas/.cache")
	h.run("mount", "-t", "tmpfs", "-o", "noexec,mode=1777", "tmpfs", "/var/tmp")
	h.run("mount", "-o", "remount,noexec", "/dev/shm")
	uid := strings.TrimSpace(h.run("id", "-u", "doas"))
	h.run("loginctl", "enable-linger", "doas") // so that /run/user/UID stays
	h.run("systemctl", "start", "user@"+uid+".service")
	h.run("mount", "-o", "remount,noexec", "/run/user/"+uid)
	_, err = h.connect(h.target("doas", "none"), b)
	wantError(t, err, nil, "/home/doas/.cache/mirrorform: programs cannot be executed there", "/var/tmp/mirrorform-doas: programs",
		"/run/user/"+uid+"/mirrorform: programs", "/dev/shm/mirrorform-doas: programs", "Permission denied", "noexec")
}

// TestLabRootsCopy: root runs no helper but its own, wherever that one lies, and whatever the login
// account does.
func TestLabRootsCopy(t *testing.T) {
	t.Parallel()
	h := newLabHost(t)
	b := realBundle(t)
	name := helperName(b.ID())
	// at connects, and checks that root's helper runs from dir, in which only root can write, from
	// the root directory down.
	at := func(user, become, dir string) {
		t.Helper()
		link, err := h.connect(h.target(user, become), b)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = link.Close() }()
		beat(t, link)
		pid := strings.TrimSpace(h.run("pgrep", "-n", "-u", "root", "-f", "^/[a-z/]*/"+name+" --nonce"))
		if got, want := h.run("readlink", "/proc/"+pid+"/exe"), dir+"/"+name+"\n"; got != want {
			t.Errorf("root runs %q, not %q", got, want)
		}
		if open := h.run("find", dir+"/"+name, dir, filepath.Dir(dir), "-maxdepth", "0", "(", "-not", "-user", "root", "-o", "-perm", "/022", ")"); open != "" {
			t.Errorf("others than root can write to: %s", open)
		}
	}
	const first, second = "/var/lib/mirrorform/helper", "/opt/mirrorform"

	// A state directory of an earlier version, into which nobody sees.
	h.run("install", "-d", "-m", "0700", "/var/lib/mirrorform")
	at("admin", "sudo", first)
	// The login account has nothing that root would run, and what it puts where a helper used to
	// lie stays unused.
	if left := h.run("find", "/home", "/var/tmp", "/tmp", "/dev/shm", "/run/user", "-name", "*helper-*"); left != "" {
		t.Errorf("left: %s", left)
	}
	for _, dir := range []string{"/home/admin/.cache/mirrorform", "/var/tmp/mirrorform-admin", "/dev/shm/mirrorform-admin"} {
		h.run("install", "-d", "-o", "admin", "-m", "0700", dir)
		if err := h.Write(dir+"/"+name, []byte("#!/bin/sh\nid >>/var/tmp/ran\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		h.run("chown", "admin", dir+"/"+name)
	}
	for _, c := range [][2]string{{"admin", "sudo"}, {"doas", "doas"}, {"root", "none"}, {"csh", "sudo"}, {"fish", "sudo"}, {"noisy", "sudo"}} {
		at(c[0], c[1], first)
		if len(h.log) > 0 {
			t.Errorf("%s: the helper was there, and yet: %q", c[0], h.log)
		}
	}
	h.run("rm", first+"/"+name) // and it is pushed again
	at("admin", "sudo", first)
	h.run("test", "!", "-e", "/var/tmp/ran")

	// Helpers of other versions go when nobody has run them for long.
	for old, times := range map[string][2]string{"helper-0001": {"40 days ago", "40 days ago"}, "helper-0002": {"40 days ago", "1 day ago"}} {
		h.run("touch", "-m", "-d", times[0], first+"/"+old)
		h.run("touch", "-a", "-d", times[1], first+"/"+old)
	}
	h.run("rm", first+"/"+name)
	at("root", "none", first)
	if got := strings.Fields(h.run("ls", "-A", first)); !slices.Contains(got, "helper-0002") || slices.Contains(got, "helper-0001") || len(got) != 2 {
		t.Errorf("left: %q", got)
	}

	// /var may not be executed from; then nothing may.
	h.run("mount", "-t", "tmpfs", "-o", "noexec,mode=0700", "tmpfs", "/var/lib/mirrorform")
	at("admin", "sudo", second)
	at("doas", "doas", second)
	h.run("mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", "/opt")
	for _, c := range [][2]string{{"admin", "sudo"}, {"root", "none"}} {
		_, err := h.connect(h.target(c[0], c[1]), b)
		wantError(t, err, nil, first+": programs cannot be executed there", second+": programs cannot be executed there", "Permission denied", "noexec")
	}
	h.run("umount", "/opt")
	h.run("umount", "/var/lib/mirrorform")
	h.run("rm", "-r", "/var/lib/mirrorform", second)

	// What is not root's own is not taken: a directory of somebody else's, and a link.
	h.run("install", "-d", "-o", "admin", "/var/lib/mirrorform")
	h.run("ln", "-s", "/home/admin", second)
	_, err := h.connect(h.target("admin", "sudo"), b)
	wantError(t, err, nil, first+": it is a symbolic link, or does not belong to root", second+": it is a symbolic link")
}

// TestLabServer: sshd's own settings.
func TestLabServer(t *testing.T) {
	t.Parallel()
	h := newLabHost(t)
	b := realBundle(t)
	restart := func() {
		t.Helper()
		h.run("systemctl", "reset-failed", "ssh") // not more than five starts in ten seconds: systemd.unit(5)
		h.run("systemctl", "restart", "ssh")
	}
	set := func(lines string) {
		t.Helper()
		if err := h.Write("/etc/ssh/sshd_config.d/00-test.conf", []byte(lines), 0o644); err != nil {
			t.Fatal(err)
		}
		restart()
	}
	set("MaxSessions 1\nMaxAuthTries 2\n") // one session at a time is enough
	target := h.target("admin", "sudo")
	link, err := h.connect(target, b)
	if err != nil {
		t.Fatal(err)
	}
	beat(t, link)

	set("MaxSessions 0\n")
	_, err = h.connect(target, b)
	wantError(t, err, nil, "refused a session", "MaxSessions")

	set("ForceCommand /bin/echo 'This account is for transfers only.'\n")
	_, err = h.connect(target, b)
	wantError(t, err, nil, "This account is for transfers only.")

	set("AuthenticationMethods publickey,password\n")
	_, err = h.connect(target, b)
	wantError(t, err, ErrAuthentication, "a second factor that mirrorform cannot provide")

	set("")
	h.run("chage", "-E", "0", "csh")
	_, err = h.connect(h.target("csh", "sudo"), b)
	wantError(t, err, ErrAuthentication, "expired")

	set("PubkeyAuthentication no\n")
	_, err = h.connect(target, b)
	wantError(t, err, ErrAuthentication, "does not offer public key authentication to user admin")

	set("")
	config, err := h.Read("/etc/ssh/sshd_config")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Write("/etc/ssh/sshd_config", []byte(strings.ReplaceAll(string(config), "Subsystem", "#Subsystem")), 0o644); err != nil {
		t.Fatal(err)
	}
	restart()
	_, err = h.connect(h.target("fish", "none"), b)
	wantError(t, err, nil, "SFTP", "Subsystem sftp internal-sftp")
	link, err = h.connect(h.target("fish", "sudo"), b) // root's own copy comes without it
	if err != nil {
		t.Fatal(err)
	}
	beat(t, link)
}

// TestLabKeys: the host is known by RSA only; keys come from ssh-keygen and ssh-agent themselves.
func TestLabKeys(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"ssh-keygen", "ssh-agent", "ssh-add"} {
		labtest.Program(t, program)
	}
	l := labtest.Lab(t)
	hosts := labtest.Hosts(t, 3)
	b := realBundle(t)
	dir := t.TempDir()
	encrypted := filepath.Join(dir, "id_encrypted")
	keygen(t, "-q", "-t", "ed25519", "-N", "secret", "-f", encrypted)
	pub := readFile(t, encrypted+".pub")
	var known strings.Builder
	for _, h := range hosts {
		rsa, err := h.Read("/etc/ssh/ssh_host_rsa_key.pub")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&known, "%s %s", h.Address, rsa)
		keys, err := h.Read("/home/plain/.ssh/authorized_keys")
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Write("/home/plain/.ssh/authorized_keys", append(keys, pub...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "known_hosts")
	if err := os.WriteFile(file, []byte(known.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	keygen(t, "-q", "-H", "-f", file) // hashed, as Debian's ssh writes it

	var asked atomic.Int32
	all := func(o Options, identities ...string) {
		t.Helper()
		d := testDialer(t, o)
		var g errgroup.Group
		for _, h := range hosts {
			g.Go(func() error {
				_, err := connect(t, d, Target{Name: h.Name, Address: h.Address, User: "plain", Identities: identities}, b)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	}
	all(Options{KnownHostsFiles: []string{file}, Passphrase: func(string) ([]byte, error) {
		asked.Add(1)
		return []byte("secret"), nil
	}}, encrypted)
	if n := asked.Load(); n != 1 {
		t.Errorf("the passphrase was asked for %d times", n)
	}

	socket := labAgent(t, filepath.Join(dir, "agent"))
	for i := range 8 { // more than MaxAuthTries
		other := filepath.Join(dir, fmt.Sprint("id_other", i))
		keygen(t, "-q", "-t", "ed25519", "-N", "", "-f", other)
		sshAdd(t, socket, other)
	}
	sshAdd(t, socket, l.KeyPath())
	all(Options{KnownHostsFiles: []string{file}, AgentSocket: socket})
}

func keygen(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

func sshAdd(t testing.TB, socket, key string) {
	t.Helper()
	cmd := exec.Command("ssh-add", "-q", key)
	cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v\n%s", err, out)
	}
}

// TestLabNothingLeft: when a link is closed, or its connection is lost, the helper ends.
func TestLabNothingLeft(t *testing.T) {
	t.Parallel()
	h := newLabHost(t)
	b := realBundle(t)
	running := func() string {
		// pgrep: exit status 1 where there is none.
		out, _ := h.Run(context.WithoutCancel(t.Context()), "pgrep", "-a", "-f", "helper-[0-9a-f]{16}")
		return string(out)
	}
	for _, c := range []struct{ user, become string }{{"root", "none"}, {"admin", "sudo"}, {"doas", "doas"}, {"fish", "sudo"}, {"csh", "sudo"}} {
		for _, end := range []func(*Link) error{(*Link).Close, func(l *Link) error { return l.s.conn.Close() }} {
			link, err := h.connect(h.target(c.user, c.become), b)
			if err != nil {
				t.Fatal(err)
			}
			beat(t, link)
			if running() == "" {
				t.Fatal("the helper does not run")
			}
			if err := end(link); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(20 * time.Second); running() != ""; time.Sleep(50 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s: still running: %s", c.user, running())
				}
			}
		}
	}
	// The other way round: the helper ends first.
	link, err := h.connect(h.target("admin", "sudo"), b)
	if err != nil {
		t.Fatal(err)
	}
	h.run("pkill", "-KILL", "-f", "/helper-[0-9a-f]{16} --nonce")
	_, err = wire.Read(link)
	wantError(t, err, io.EOF, "the helper ended")
}
