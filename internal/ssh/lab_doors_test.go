package ssh

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// TestLabTrixie: what OpenSSH 10 and sudo-rs do differently. The parts share a host, one after the
// other.
func TestLabTrixie(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"ssh-keygen", "ssh-agent", "ssh-add"} {
		labtest.Program(t, program)
	}
	h := newLabHost(t, lab.HostSpec{OS: lab.Debian13})
	t.Run("sudo-rs", func(t *testing.T) { testSudoRS(t, h) })
	t.Run("logins", func(t *testing.T) { testLogins(t, h) })
	t.Run("penalties", func(t *testing.T) { testPenalties(t, h) })
}

// notPushed fails the test if the last connect pushed the helper.
func (h *labHost) notPushed(t *testing.T) {
	t.Helper()
	if len(h.log) > 0 {
		t.Errorf("the log is %q", h.log)
	}
}

func testSudoRS(t *testing.T, h *labHost) {
	b := realBundle(t)
	h.run("ln", "-sfn", "/usr/lib/cargo/bin/sudo", "/usr/bin/sudo")
	refused := func(user, password, part string) {
		t.Helper()
		target := h.target(user, "sudo")
		if password != "" {
			target.BecomePassword = func() (string, error) { return password, nil }
		}
		_, err := h.connect(target, b)
		wantError(t, err, ErrBecome, part)
		if strings.Contains(fmt.Sprint(err, h.log), "canary") {
			t.Errorf("the password is in: %v, %q", err, h.log)
		}
		h.notPushed(t)
	}
	for _, login := range [][2]string{{"op", "none"}, {"plain", "none"}, {"admin", "sudo"}} { // root's helper, too
		if _, err := h.connect(h.target(login[0], login[1]), b); err != nil {
			t.Fatal(err)
		}
	}
	refused("op", "", "sudo asks for the password of user op")
	refused("op", "canary-5310", "sudo refused the password for user op")
	refused("plain", "", "sudo does not permit user plain")
	for user, password := range map[string]string{"op": lab.OpPassword, "admin": ""} {
		target := h.target(user, "sudo")
		target.BecomePassword = func() (string, error) { return password, nil }
		link, err := h.connect(target, b)
		if err != nil {
			t.Fatal(err)
		}
		beat(t, link)
		h.notPushed(t)
	}
	testSecondFactor(t, h)
	// A home that may not be executed from.
	h.run("mount", "--bind", "/home/admin", "/home/admin")
	h.run("mount", "-o", "remount,bind,noexec", "/home/admin")
	link, err := h.connect(h.target("admin", "sudo"), b)
	if err != nil {
		t.Fatal(err)
	}
	beat(t, link)
	h.run("umount", "-l", "/home/admin")
}

// testSecondFactor: PAM asks for more than the password, which is right.
func testSecondFactor(t *testing.T, h *labHost) {
	t.Helper()
	before, err := h.Read("/etc/pam.d/sudo")
	if err != nil {
		t.Fatal(err)
	}
	twice := "auth required pam_unix.so\nauth required pam_ftp.so users=op ignore\naccount required pam_unix.so\nsession required pam_permit.so\n"
	if err := h.Write("/etc/pam.d/sudo", []byte(twice), 0o644); err != nil {
		t.Fatal(err)
	}
	target := h.target("op", "sudo")
	target.BecomePassword = func() (string, error) { return lab.OpPassword, nil }
	_, err = h.connect(target, realBundle(t))
	wantError(t, err, ErrBecome, "did not refuse the password", "second factor", "NOPASSWD")
	h.notPushed(t)
	if err := h.Write("/etc/pam.d/sudo", before, 0o644); err != nil {
		t.Fatal(err)
	}
}

// testLogins: hosts that let a user log in, and run nothing.
func testLogins(t *testing.T, h *labHost) {
	b := realBundle(t)
	h.run("chage", "-d", "0", "plain")
	_, err := h.connect(h.target("plain", "none"), b)
	wantError(t, err, nil, "the password of user plain has expired", "passwd plain")
	h.notPushed(t)
	h.run("chage", "-d", "20000", "plain")

	h.run("usermod", "-s", "/usr/sbin/nologin", "plain")
	_, err = h.connect(h.target("plain", "none"), b)
	wantError(t, err, nil, "the login shell of user plain is nologin(8)")
	h.notPushed(t)

	h.run("usermod", "-s", "/bin/false", "plain")
	_, err = h.connect(h.target("plain", "none"), b)
	wantError(t, err, nil, "check the login shell of user plain")
	h.run("usermod", "-s", "/bin/bash", "plain")
}

// testPenalties: an agent with more keys than a host asks for does not lock its user out, in one
// command and in many.
func testPenalties(t *testing.T, h *labHost) {
	b := realBundle(t)
	forgive := func() {
		h.run("systemctl", "reset-failed", "ssh")
		h.run("systemctl", "restart", "ssh")
	}
	dir := t.TempDir()
	socket := labAgent(t, filepath.Join(dir, "agent"))
	add := func(n int) {
		t.Helper()
		for i := range n {
			key := filepath.Join(dir, fmt.Sprint("id_", n, "_", i))
			keygen(t, "-q", "-t", "ed25519", "-N", "", "-f", key)
			sshAdd(t, socket, key)
		}
		cmd := exec.Command("ssh-add", "-q", "-d", h.lab.KeyPath()) // to be the last; it may not be there
		cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		_ = cmd.Run()
		sshAdd(t, socket, h.lab.KeyPath())
	}
	command := func(user, file string) error { // with all that a command has of its own
		d := testDialer(t, Options{AgentSocket: socket, KnownHostsFiles: []string{h.lab.KnownHosts()}, TakenKeys: file})
		link, err := d.Connect(t.Context(), Target{Name: h.Name, Address: h.Address, User: user}, b)
		if err == nil {
			err = link.Close()
		}
		return err
	}
	forgive()
	add(12)
	for n := range 5 {
		if err := command("admin", filepath.Join(dir, "taken")); err != nil {
			t.Fatalf("command %d: %v", n+1, err)
		}
	}
	// The host does count: without the memory the same commands are too many.
	forgive()
	var g errgroup.Group
	for range 5 { // at once, so that no penalty is over before the next
		g.Go(func() error { return command("admin", "") })
	}
	wantError(t, g.Wait(), nil, "rejects connections from this address", "PerSourcePenalties", "identities")
	// More keys than the host's patience has room for at once.
	forgive()
	add(5)
	if err := command("op", filepath.Join(dir, "taken")); err != nil {
		t.Error(err)
	}
	forgive()
	h.run("mv", "/home/plain/.ssh/authorized_keys", "/home/plain/.ssh/none")
	wantError(t, command("plain", ""), ErrAuthentication, "none of the 18 keys", "IdentitiesOnly", "PerSourcePenalties")
	h.run("mv", "/home/plain/.ssh/none", "/home/plain/.ssh/authorized_keys")
	forgive()
}
