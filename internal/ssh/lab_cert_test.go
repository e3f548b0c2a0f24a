package ssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// sshd sets the host's sshd up.
func (h *labHost) sshd(lines string) {
	h.t.Helper()
	if err := h.Write("/etc/ssh/sshd_config.d/00-test.conf", []byte(lines), 0o644); err != nil {
		h.t.Fatal(err)
	}
	h.run("systemctl", "reset-failed", "ssh") // not more than five starts in ten seconds: systemd.unit(5)
	h.run("systemctl", "restart", "ssh")
}

// TestLabHostCertificate: what ssh-keygen signs and sshd shows.
func TestLabHostCertificate(t *testing.T) {
	t.Parallel()
	labtest.Program(t, "ssh-keygen")
	h := newLabHost(t)
	b := realBundle(t)
	dir := t.TempDir()
	authority, other, hostPub := filepath.Join(dir, "ca"), filepath.Join(dir, "other"), filepath.Join(dir, "host.pub")
	keygen(t, "-q", "-t", "ecdsa", "-N", "", "-f", authority)
	keygen(t, "-q", "-t", "ed25519", "-N", "", "-f", other)
	pub, err := h.Read("/etc/ssh/ssh_host_ed25519_key.pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hostPub, pub, 0o600); err != nil {
		t.Fatal(err)
	}
	sign := func(options ...string) {
		t.Helper()
		keygen(t, append(append([]string{"-q", "-h", "-I", "lab host"}, options...), hostPub)...)
		if err := h.Write("/etc/ssh/ssh_host_ed25519_key-cert.pub", []byte(readFile(t, filepath.Join(dir, "host-cert.pub"))), 0o644); err != nil {
			t.Fatal(err)
		}
		h.sshd("HostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub\n")
	}
	marked := func(marker, file string) string { return marker + " * " + readFile(t, file) }
	try := func(alias, known string) error {
		t.Helper()
		target := h.target("admin", "sudo")
		target.HostKeyAlias = alias
		_, err := connect(t, testDialer(t, Options{KnownHostsFiles: []string{writeFile(t, known)}}), target, b)
		return err
	}
	trust := marked("@cert-authority", authority+".pub")

	sign("-s", authority, "-n", h.Address+",mirror", "-V", "-1m:+1h")
	for _, alias := range []string{"", "mirror"} {
		if err := try(alias, trust); err != nil {
			t.Errorf("alias %q: %v", alias, err)
		}
	}
	wantError(t, try("elsewhere", trust), ErrHostKeyChanged, "principal", `certificate "lab host" of the authority ecdsa-sha2-nistp256`)
	wantError(t, try("", marked("@cert-authority", other+".pub")), ErrHostKeyUnknown)
	wantError(t, try("", trust+marked("@revoked", authority+".pub")), ErrHostKeyChanged, "@revoked", "the authority that signed")
	wantError(t, try("", trust+marked("@revoked", hostPub)), ErrHostKeyChanged, "@revoked", "the certified key")
	wantError(t, try("", h.Address+" "+string(pub)+marked("@revoked", hostPub)), ErrHostKeyChanged, "@revoked")

	sign("-s", authority, "-n", h.Address, "-V", "-2h:-1h")
	wantError(t, try("", trust), ErrHostKeyChanged, "expired")
}

// TestLabUserCertificate: a certificate next to the key, in a file of its own, and held by ssh-agent; and those that sshd does not accept.
func TestLabUserCertificate(t *testing.T) {
	t.Parallel()
	labtest.Program(t, "ssh-keygen")
	labtest.Program(t, "ssh-agent")
	labtest.Program(t, "ssh-add")
	h := newLabHost(t)
	b := realBundle(t)
	dir := t.TempDir()
	authority, key := filepath.Join(dir, "ca"), filepath.Join(dir, "id")
	keygen(t, "-q", "-t", "ed25519", "-N", "", "-f", authority)
	keygen(t, "-q", "-t", "rsa", "-b", "3072", "-N", "", "-f", key)
	if err := h.Write("/etc/ssh/user_ca.pub", []byte(readFile(t, authority+".pub")), 0o644); err != nil {
		t.Fatal(err)
	}
	h.sshd("TrustedUserCAKeys /etc/ssh/user_ca.pub\n")
	target := h.target("admin", "sudo")
	target.Identities = []string{key}
	_, err := h.connect(target, b)
	wantError(t, err, ErrAuthentication, "did not accept the key")

	sign := func(options ...string) {
		t.Helper()
		keygen(t, append(append([]string{"-q", "-s", authority, "-I", "alice"}, options...), key+".pub")...)
	}
	try := func(edit func(*Target)) error {
		t.Helper()
		at := target
		if edit != nil {
			edit(&at)
		}
		_, err := h.connect(at, b)
		return err
	}
	sign("-n", "admin", "-V", "-1m:+1h")
	if err := try(nil); err != nil {
		t.Errorf("next to the key: %v", err)
	}
	socket := labAgent(t, filepath.Join(dir, "agent"), key) // it takes the certificate along
	if err := try(func(at *Target) { at.Identities, at.AgentSocket = nil, socket }); err != nil {
		t.Errorf("from ssh-agent: %v", err)
	}
	elsewhere := filepath.Join(dir, "alice.pub")
	if err := os.Rename(key+"-cert.pub", elsewhere); err != nil {
		t.Fatal(err)
	}
	wantError(t, try(nil), ErrAuthentication)
	if err := try(func(at *Target) { at.Certificates = []string{elsewhere} }); err != nil {
		t.Errorf("in a file of its own: %v", err)
	}
	wantError(t, try(func(at *Target) { at.User, at.Certificates = "op", []string{elsewhere} }), ErrAuthentication)

	sign("-n", "admin", "-V", "-2h:-1h")
	wantError(t, try(nil), ErrAuthentication, "expired on")

	// Revoked by serial number, in a list as ssh-keygen makes it.
	sign("-n", "admin", "-V", "-1m:+1h", "-z", "7")
	if err := try(nil); err != nil {
		t.Fatal(err)
	}
	krl := filepath.Join(dir, "krl")
	keygen(t, "-q", "-k", "-f", krl, key+"-cert.pub")
	if err := h.Write("/etc/ssh/revoked", []byte(readFile(t, krl)), 0o644); err != nil {
		t.Fatal(err)
	}
	h.sshd("TrustedUserCAKeys /etc/ssh/user_ca.pub\nRevokedKeys /etc/ssh/revoked\n")
	wantError(t, try(nil), ErrAuthentication)
}

// labAgent starts ssh-agent with keys.
func labAgent(t testing.TB, socket string, keys ...string) string {
	t.Helper()
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	for _, key := range keys {
		sshAdd(t, socket, key)
	}
	return socket
}

// TestLabQuestions: PAM asks for the password, after a key and instead of one.
func TestLabQuestions(t *testing.T) {
	t.Parallel()
	h := newLabHost(t)
	b := realBundle(t)
	wrong, _, _ := newKeyFile(t)
	try := func(identity, answer string) (asked []string, err error) {
		t.Helper()
		target := h.target("op", "none")
		target.Identities = []string{identity}
		_, err = connect(t, testDialer(t, Options{KnownHostsFiles: []string{h.lab.KnownHosts()}, Answer: func(_, question string) (string, error) {
			asked = append(asked, question)
			return answer, nil
		}}), target, b)
		return asked, err
	}
	h.sshd("KbdInteractiveAuthentication yes\nUsePAM yes\n")
	for _, identity := range []string{h.lab.KeyPath(), wrong} {
		asked, err := try(identity, lab.OpPassword)
		if err != nil {
			t.Error(err)
		}
		if want := identity == wrong; want != (len(asked) == 1) {
			t.Errorf("asked %q", asked)
		}
	}
	h.sshd("KbdInteractiveAuthentication yes\nUsePAM yes\nAuthenticationMethods publickey,keyboard-interactive\n")
	if asked, err := try(h.lab.KeyPath(), lab.OpPassword); err != nil || len(asked) != 1 || !strings.Contains(asked[0], "Password") {
		t.Errorf("asked %q: %v", asked, err)
	}
	_, err := try(h.lab.KeyPath(), "canary-7781")
	wantError(t, err, ErrAuthentication, "did not accept the answers")
	if strings.Contains(err.Error(), "7781") {
		t.Errorf("the answer is in the error: %v", err)
	}
	target := h.target("op", "none")
	_, err = h.connect(target, b)
	wantError(t, err, ErrAuthentication, "accepts the key of user op", `the host asks "`, "no terminal to answer on")
}

// TestLabSecurityKey: the key of a FIDO authenticator, which signs by way of ssh-agent. The agent and the authenticator are this test's, made by the
// documents (OpenSSH's PROTOCOL.u2f); what judges the signature is OpenSSH's sshd.
func TestLabSecurityKey(t *testing.T) {
	t.Parallel()
	h := newLabHost(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const kind, application = gossh.KeyAlgoSKED25519, "ssh:"
	pub, err := gossh.ParsePublicKey(gossh.Marshal(struct{ Kind, Key, Application string }{kind, string(public), application}))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Write("/home/admin/.ssh/authorized_keys", []byte(publicLine(pub)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = agent.ServeAgent(&securityKey{pub: pub, private: private, application: application}, conn)
				_ = conn.Close()
			}()
		}
	}()
	target := h.target("admin", "sudo")
	target.Identities, target.AgentSocket = nil, socket
	if _, err := h.connect(target, realBundle(t)); err != nil {
		t.Fatal(err)
	}
}

// securityKey is an agent with one FIDO key. What it does not need panics.
type securityKey struct {
	agent.ExtendedAgent
	pub         gossh.PublicKey
	private     ed25519.PrivateKey
	application string
}

func (k *securityKey) List() ([]*agent.Key, error) {
	return []*agent.Key{{Format: k.pub.Type(), Blob: k.pub.Marshal(), Comment: "FIDO"}}, nil
}

func (k *securityKey) SignWithFlags(key gossh.PublicKey, data []byte, _ agent.SignatureFlags) (*gossh.Signature, error) {
	if string(key.Marshal()) != string(k.pub.Marshal()) {
		return nil, errors.New("another key")
	}
	const present, counter = 1, 42
	app, message := sha256.Sum256([]byte(k.application)), sha256.Sum256(data)
	signed := append(append(app[:], present), binary.BigEndian.AppendUint32(nil, counter)...)
	signed = append(signed, message[:]...)
	return &gossh.Signature{
		Format: k.pub.Type(), Blob: ed25519.Sign(k.private, signed),
		Rest: append([]byte{present}, binary.BigEndian.AppendUint32(nil, counter)...),
	}, nil
}

// TestLabJump: real sshd in between; the connection to it is shared.
func TestLabJump(t *testing.T) {
	t.Parallel()
	hosts := labtest.Hosts(t, 2)
	l := labtest.Lab(t)
	b := realBundle(t)
	address, err := hosts[1].MoveBehind(t.Context(), hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	d := testDialer(t, Options{KnownHostsFiles: []string{l.KnownHosts()}})
	defer d.Close()
	jump := Target{Name: "gate", Address: hosts[0].Address, User: "plain", Identities: []string{l.KeyPath()}}
	target := Target{Name: "web", Address: address, User: "admin", Identities: []string{l.KeyPath()}, Become: "sudo", HostKeyAlias: hosts[1].Address, Jump: &jump}
	for range 3 {
		link, err := connect(t, d, target, b)
		if err != nil {
			t.Fatal(err)
		}
		beat(t, link)
	}
	out, err := hosts[0].Run(t.Context(), "pgrep", "-c", "-f", "^sshd: plain$")
	if err != nil || strings.TrimSpace(string(out)) != "1" {
		t.Errorf("%s connections to the jump host: %v", strings.TrimSpace(string(out)), err)
	}
	target.Jump = nil
	target.ConnectTimeout = time.Second
	_, err = connect(t, d, target, b)
	wantError(t, err, nil, fmt.Sprintf("host web (%s:22): ", address)) // what answers instead is up to the machine's own network
}
