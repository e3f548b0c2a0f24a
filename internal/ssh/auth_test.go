package ssh

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/sync/errgroup"
)

// serveAgent runs an ssh-agent with the keys and returns its socket.
func serveAgent(t testing.TB, keys ...any) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: k}); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "agent") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				_ = agent.ServeAgent(ring, conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		open.Wait()
		_ = os.RemoveAll(dir)
	})
	return socket
}

// privateKeys makes n private keys that no server accepts.
func privateKeys(t testing.TB, n int) []any {
	t.Helper()
	var keys []any
	for range n {
		_, _, private := newKeyFile(t)
		keys = append(keys, private)
	}
	return keys
}

func TestAgent(t *testing.T) {
	t.Parallel()
	key, pub, private := newKeyFile(t)
	_, _, stranger := newKeyFile(t)
	encrypted, encryptedPub, encryptedPrivate := encryptedKey(t)
	pubFile := writeFile(t, publicLine(pub)+"\n")
	cases := map[string]struct {
		accept     gossh.PublicKey
		agent      []any
		identities []string
		offered    int32 // how many keys at most
		maxTries   int
	}{
		"agent alone":            {pub, []any{stranger, private}, nil, 2 + 1, 0},
		"rsa":                    {rsaKey().PublicKey(), []any{rsaPrivate()}, nil, 1 + 1, 0},
		"the file first":         {pub, privateKeys(t, 4), []string{key}, 1 + 1, 0},
		"agent after the file":   {pub, []any{private}, []string{writeKey(t, stranger)}, 2 + 1, 0},
		"public key file":        {pub, append(privateKeys(t, 4), private), []string{pubFile}, 1 + 1, 0},
		"encrypted, but loaded":  {encryptedPub, []any{stranger, encryptedPrivate}, []string{encrypted}, 1 + 1, 0},
		"more than MaxAuthTries": {pub, append(privateKeys(t, 13), private), nil, 14 + 1, 0},
		"fewer tries":            {pub, append(privateKeys(t, 7), private), nil, 8 + 1, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, c.accept)
			s.maxTries = c.maxTries
			s.serve()
			d := testDialer(t, Options{AgentSocket: serveAgent(t, c.agent...), KnownHostsFiles: []string{s.knownHosts(edKey())}})
			if _, err := connect(t, d, s.target(c.identities...), standIn(t, "")); err != nil {
				t.Fatal(err)
			}
			if n := s.offered.Load(); n > c.offered { // the accepted key is offered twice: asked about, then used
				t.Errorf("%d keys were offered, not %d", n, c.offered)
			}
		})
	}
}

// writeKey writes a private key to a file.
func writeKey(t testing.TB, private any) string {
	t.Helper()
	block, err := gossh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, string(pem.EncodeToMemory(block)))
}

// TestPassphraseOnce: however many hosts, the passphrase is asked for once, and only when a host accepts the key.
func TestPassphraseOnce(t *testing.T) {
	t.Parallel()
	file, pub, _ := encryptedKey(t)
	block, err := gossh.MarshalPrivateKeyWithPassphrase(privateKeys(t, 1)[0], "", []byte("another"))
	if err != nil {
		t.Fatal(err)
	}
	unused := writeFile(t, string(pem.EncodeToMemory(block)))
	var servers []*server
	var known []string
	for range 6 {
		s := newServer(t, pub).serve()
		servers = append(servers, s)
		known = append(known, s.knownHosts(edKey()))
	}
	var asked atomic.Int32
	d := testDialer(t, Options{KnownHostsFiles: known, Passphrase: func(name string) ([]byte, error) {
		asked.Add(1)
		if name != file {
			t.Errorf("the passphrase of %s was asked for", name)
		}
		return []byte("secret"), nil
	}})
	b := standIn(t, "")
	var g errgroup.Group
	for _, s := range servers {
		g.Go(func() error { _, err := connect(t, d, s.target(unused, file), b); return err })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the passphrase was asked for %d times", n)
	}
}

func TestPassphraseWrong(t *testing.T) {
	t.Parallel()
	file, pub, _ := encryptedKey(t)
	for name, c := range map[string]struct {
		passphrase func(string) ([]byte, error)
		asked      int
		want       string
	}{
		"wrong":     {func(string) ([]byte, error) { return []byte("wrong"), nil }, 3, "wrong passphrase"},
		"cancelled": {func(string) ([]byte, error) { return nil, errors.New("no terminal") }, 1, "no terminal"},
		"nobody":    {nil, 0, "ssh-add"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, pub).serve()
			asked := 0
			options := Options{KnownHostsFiles: []string{s.knownHosts(edKey())}}
			if c.passphrase != nil {
				options.Passphrase = func(file string) ([]byte, error) { asked++; return c.passphrase(file) }
			}
			d := testDialer(t, options)
			for range 2 { // asked once, also when it fails
				_, err := connect(t, d, s.target(file), standIn(t, ""))
				wantError(t, err, ErrAuthentication, c.want, file)
			}
			if asked != c.asked {
				t.Errorf("asked %d times, not %d", asked, c.asked)
			}
		})
	}
}

// TestBrokenKey: a key that cannot sign does not keep the next one from being used.
func TestBrokenKey(t *testing.T) {
	t.Parallel()
	encrypted, encryptedPub, _ := encryptedKey(t)
	key, pub, _ := newKeyFile(t)
	s := newServer(t, encryptedPub, pub).serve()
	d := testDialer(t, Options{KnownHostsFiles: []string{s.knownHosts(edKey())}})
	if _, err := connect(t, d, s.target(encrypted, key), standIn(t, "")); err != nil {
		t.Fatal(err)
	}
}

// TestOldEncryptedKey: a file that hides even its public key is decrypted only when no other key is accepted.
func TestOldEncryptedKey(t *testing.T) {
	t.Parallel()
	// As `openssl ec -aes128` and `ssh-keygen -m PEM` write it; the standard library still can, and calls it deprecated,
	// rightly.
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", der, []byte("secret"), x509.PEMCipherAES128) //nolint:staticcheck // what old files have
	if err != nil {
		t.Fatal(err)
	}
	old := writeFile(t, string(pem.EncodeToMemory(block)))
	key, pub, _ := newKeyFile(t)
	for name, c := range map[string]struct {
		accept gossh.PublicKey
		asked  int
	}{"needed": {mustSigner(nil, private, nil).PublicKey(), 1}, "not needed": {pub, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, c.accept).serve()
			asked := 0
			d := testDialer(t, Options{KnownHostsFiles: []string{s.knownHosts(edKey())}, Passphrase: func(string) ([]byte, error) {
				asked++
				return []byte("secret"), nil
			}})
			if _, err := connect(t, d, s.target(key, old), standIn(t, "")); err != nil {
				t.Fatal(err)
			}
			if asked != c.asked {
				t.Errorf("asked %d times, not %d", asked, c.asked)
			}
		})
	}
}

func TestUserCertificate(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	cert := &gossh.Certificate{Key: pub, CertType: gossh.UserCert, ValidPrincipals: []string{"admin"}, ValidBefore: gossh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, otherKey()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key+"-cert.pub", gossh.MarshalAuthorizedKey(cert), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, cert).serve()
	d := testDialer(t, Options{KnownHostsFiles: []string{s.knownHosts(edKey())}})
	if _, err := connect(t, d, s.target(key), standIn(t, "")); err != nil {
		t.Fatal(err)
	}
}

func TestAuthenticationRefused(t *testing.T) {
	t.Parallel()
	key, _, _ := newKeyFile(t)
	open, openPub, _ := newKeyFile(t)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	lonely := writeFile(t, publicLine(openPub))
	for name, c := range map[string]struct {
		identities []string
		parts      []string
	}{
		"not accepted":     {[]string{key}, []string{"did not accept the key offered for user admin", "authorized_keys"}},
		"several":          {[]string{key, writeKey(t, privateKeys(t, 1)[0])}, []string{"none of the 2 keys"}},
		"missing":          {[]string{"/proc/nonexistent/id"}, []string{"no key to offer", "/proc/nonexistent/id", "no such file"}},
		"others can read":  {[]string{open}, []string{open, "0644", "chmod 600"}},
		"public key alone": {[]string{lonely}, []string{lonely, "ssh-agent does not hold"}},
		"no key":           {[]string{writeFile(t, "hello")}, []string{"no key found"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t).serve()
			d := testDialer(t, Options{KnownHostsFiles: []string{s.knownHosts(edKey())}})
			_, err := connect(t, d, s.target(c.identities...), standIn(t, ""))
			wantError(t, err, ErrAuthentication, append(c.parts, "host web1")...)
		})
	}
}

// TestAgentGone: an agent that does not answer is said, and the files are used.
func TestAgentGone(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	good, bad := newServer(t, pub).serve(), newServer(t).serve()
	d := testDialer(t, Options{AgentSocket: "/proc/nonexistent/agent", KnownHostsFiles: []string{good.knownHosts(edKey()), bad.knownHosts(edKey())}})
	if _, err := connect(t, d, good.target(key), standIn(t, "")); err != nil {
		t.Error(err)
	}
	_, err := connect(t, d, bad.target(key), standIn(t, ""))
	wantError(t, err, ErrAuthentication, "ssh-agent at /proc/nonexistent/agent")
}

// TestConnectionEndsAfterSignature: a host that hangs up once it has a signature is not asked for ever.
func TestConnectionEndsAfterSignature(t *testing.T) {
	t.Parallel()
	_, pub, private := newKeyFile(t)
	s := newServer(t, pub)
	s.hangUp = true
	s.serve()
	d := testDialer(t, Options{AgentSocket: serveAgent(t, private), KnownHostsFiles: []string{s.knownHosts(edKey())}})
	_, err := connect(t, d, s.target(), standIn(t, ""))
	wantError(t, err, nil, "host web1", "ended during authentication")
}
