package ssh

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

func TestMain(m *testing.M) {
	if status, asked := Askpass(os.Args[1:], os.Stdout); asked { // ssh has started the test as SSH_ASKPASS
		os.Exit(status)
	}
	status := labtest.Main(m)
	for _, dir := range builtHelpers.dirs {
		_ = os.RemoveAll(dir)
	}
	os.Exit(status)
}

// testBundle is a Bundle with one binary, for the machine that runs the tests.
type testBundle struct {
	data   []byte
	digest string
}

func (b *testBundle) ID() string { return b.digest[:16] }

func (b *testBundle) Digest(context.Context, string) (string, error) { return b.digest, nil }

func (b *testBundle) Binary(context.Context, string) ([]byte, string, error) {
	return b.data, b.digest, nil
}

// bundleOf is a bundle with one binary.
func bundleOf(data []byte) *testBundle {
	sum := sha256.Sum256(data)
	return &testBundle{data: data, digest: hex.EncodeToString(sum[:])}
}

// longAgo is a time from before the tests.
var longAgo = time.Now().Add(-100 * 24 * time.Hour)

// builtHelpers are the stand-in helpers that this binary has built, by their linker flags.
var builtHelpers = struct {
	sync.Mutex
	bundles map[string]*testBundle
	dirs    []string
}{bundles: map[string]*testBundle{}}

// standIn builds testdata/helper.
func standIn(t testing.TB, ldflags string) *testBundle {
	t.Helper()
	builtHelpers.Lock()
	defer builtHelpers.Unlock()
	if b, ok := builtHelpers.bundles[ldflags]; ok {
		return b
	}
	dir, err := os.MkdirTemp("", "mirrorform-ssh-test-")
	if err != nil {
		t.Fatal(err)
	}
	builtHelpers.dirs = append(builtHelpers.dirs, dir)
	out := filepath.Join(dir, "helper")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w "+ldflags, "-o", out, "./testdata/helper")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	b := &testBundle{data: data, digest: hex.EncodeToString(sum[:])}
	builtHelpers.bundles[ldflags] = b
	return b
}

// Key pairs of each kind, made once.
var (
	edKey = sync.OnceValue(func() gossh.Signer { return mustSigner(ed25519.GenerateKey(rand.Reader)) })
	ecKey = sync.OnceValue(func() gossh.Signer {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		return mustSigner(nil, k, err)
	})
	rsaKey   = sync.OnceValue(func() gossh.Signer { return mustSigner(nil, rsaPrivate(), nil) })
	otherKey = sync.OnceValue(func() gossh.Signer { return mustSigner(ed25519.GenerateKey(rand.Reader)) })
)

// rsaPrivate is the private part of rsaKey.
var rsaPrivate = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// otherECKey is an ECDSA key that no server has.
func otherECKey(t testing.TB) gossh.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return mustSigner(nil, k, err)
}

func mustSigner(_ any, key any, err error) gossh.Signer {
	if err != nil {
		panic(err)
	}
	s, err := gossh.NewSignerFromKey(key)
	if err != nil {
		panic(err)
	}
	return s
}

// newKeyFile writes a new private key and returns its path, its public key and itself.
func newKeyFile(t testing.TB) (path string, pub gossh.PublicKey, private ed25519.PrivateKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return writeKey(t, private), mustSigner(nil, private, nil).PublicKey(), private
}

// encryptedKey is one key for all tests, in a file whose passphrase is "secret": its key derivation takes long.
func encryptedKey(t testing.TB) (path string, pub gossh.PublicKey, private ed25519.PrivateKey) {
	t.Helper()
	k := encryptedOnce()
	return writeFile(t, k.file), mustSigner(nil, k.private, nil).PublicKey(), k.private
}

var encryptedOnce = sync.OnceValue(func() (k struct {
	private ed25519.PrivateKey
	file    string
}) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	block, err := gossh.MarshalPrivateKeyWithPassphrase(private, "", []byte("secret"))
	if err != nil {
		panic(err)
	}
	k.private, k.file = private, string(pem.EncodeToMemory(block))
	return k
})

// server is an SSH server whose "host" is this machine: commands run in a real /bin/sh, with a home directory and
// programs of the test's own.
type server struct {
	t        testing.TB
	listener net.Listener
	config   *gossh.ServerConfig

	// To be set before serve.
	hostKeys []gossh.Signer
	accept   []gossh.PublicKey                                     // user keys
	exec     func(s *server, command string, ch gossh.Channel) int // in place of the shell
	noSFTP   bool
	sftp     func(ch gossh.Channel) // in place of an SFTP server
	// authentication, if not nil, changes what a client has to do to log in.
	authentication func(*gossh.ServerConfig)
	noForwarding   bool
	refuse         atomic.Int32 // how many connections cannot be forwarded
	noise          string       // what the login shell prints
	maxTries       int
	hangUp         bool   // when it has been given a signature
	become         string // how the test's targets become root

	home, bin, runtime, logname string
	roots                       []rootPlace // of the host's root, who is the user that runs the test

	offered   atomic.Int32 // public keys offered
	logins    atomic.Int32
	commands  atomic.Int32
	forwarded atomic.Int32
	open      sync.WaitGroup
	conns     sync.Map // those that were accepted
}

// newServer returns a server that accepts key; serve starts it.
func newServer(t testing.TB, keys ...gossh.PublicKey) *server {
	t.Helper()
	s := &server{t: t, accept: keys, hostKeys: []gossh.Signer{edKey(), ecKey(), rsaKey()}}
	dir := t.TempDir()
	s.home, s.bin, s.runtime = filepath.Join(dir, "home"), filepath.Join(dir, "bin"), filepath.Join(dir, "run")
	for _, d := range []string{s.home, s.bin, s.runtime} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.roots = []rootPlace{{dir + "/state", dir + "/state/helper"}, {dir + "/opt"}}
	var random [6]byte
	_, _ = rand.Read(random[:])
	s.logname = "test-" + hex.EncodeToString(random[:])
	t.Cleanup(func() {
		for _, dir := range []string{"/var/tmp/mirrorform-", "/dev/shm/mirrorform-"} {
			_ = os.RemoveAll(dir + s.logname)
		}
	})
	return s
}

// program adds a program to the host's PATH.
func (s *server) program(name, script string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		s.t.Fatal(err)
	}
}

// serve starts the server and returns it.
func (s *server) serve() *server {
	s.t.Helper()
	s.config = &gossh.ServerConfig{
		MaxAuthTries: s.maxTries,
		PublicKeyCallback: func(_ gossh.ConnMetadata, key gossh.PublicKey) (*gossh.Permissions, error) {
			s.offered.Add(1)
			for _, k := range s.accept {
				if string(k.Marshal()) == string(key.Marshal()) {
					return nil, nil
				}
			}
			return nil, errors.New("no")
		},
	}
	if s.hangUp {
		s.config.VerifiedPublicKeyCallback = func(from gossh.ConnMetadata, _ gossh.PublicKey, _ *gossh.Permissions, _ string) (*gossh.Permissions, error) {
			s.dropFrom(from.RemoteAddr()) // this one alone: the client may have connected again before this returns
			return nil, errors.New("no")
		}
	}
	if s.authentication != nil {
		s.authentication(s.config)
	}
	for _, k := range s.hostKeys {
		s.config.AddHostKey(k)
	}
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		s.t.Fatal(err)
	}
	s.open.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.conns.Store(conn, nil)
			s.open.Go(func() { s.handle(conn) })
		}
	})
	s.t.Cleanup(func() {
		_ = s.listener.Close()
		s.drop()
		s.open.Wait()
	})
	return s
}

// drop closes all connections.
func (s *server) drop() {
	s.conns.Range(func(conn, _ any) bool { _ = conn.(net.Conn).Close(); return true })
}

// dropFrom closes the connection from an address.
func (s *server) dropFrom(from net.Addr) {
	s.conns.Range(func(conn, _ any) bool {
		if c := conn.(net.Conn); c.RemoteAddr().String() == from.String() {
			_ = c.Close()
		}
		return true
	})
}

func (s *server) handle(tcp net.Conn) {
	defer func() { _ = tcp.Close() }()
	conn, channels, requests, err := gossh.NewServerConn(tcp, s.config)
	if err != nil {
		return
	}
	s.logins.Add(1)
	defer func() { _ = conn.Close() }()
	go func() {
		for r := range requests {
			_ = r.Reply(false, nil)
		}
	}()
	for c := range channels {
		if c.ChannelType() == "direct-tcpip" {
			s.open.Go(func() { s.forward(c) })
			continue
		}
		ch, requests, err := c.Accept()
		if err != nil {
			return
		}
		s.open.Go(func() { s.session(ch, requests) })
	}
}

// forward connects to where a client wants to go (RFC 4254, 7.2).
func (s *server) forward(c gossh.NewChannel) {
	if s.refuse.Add(-1) >= 0 {
		_ = c.Reject(gossh.ConnectionFailed, "Connection refused")
		return
	}
	if s.noForwarding {
		_ = c.Reject(gossh.Prohibited, "open failed")
		return
	}
	var to struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}
	if err := gossh.Unmarshal(c.ExtraData(), &to); err != nil {
		_ = c.Reject(gossh.ConnectionFailed, err.Error())
		return
	}
	tcp, err := net.Dial("tcp", net.JoinHostPort(to.Host, fmt.Sprint(to.Port)))
	if err != nil {
		_ = c.Reject(gossh.ConnectionFailed, "Connection refused")
		return
	}
	defer func() { _ = tcp.Close() }()
	ch, requests, err := c.Accept()
	if err != nil {
		return
	}
	s.forwarded.Add(1)
	go gossh.DiscardRequests(requests)
	s.open.Go(func() { _, _ = io.Copy(tcp, ch); _ = tcp.Close() })
	_, _ = io.Copy(ch, tcp)
	_ = ch.Close()
}

// session serves one channel.
func (s *server) session(ch gossh.Channel, requests <-chan *gossh.Request) {
	for r := range requests {
		name := struct{ Value string }{}
		_ = gossh.Unmarshal(r.Payload, &name)
		switch {
		case r.Type == "exec":
			_ = r.Reply(true, nil)
			s.open.Go(func() {
				s.commands.Add(1)
				status := s.run(name.Value, ch)
				_, _ = ch.SendRequest("exit-status", false, gossh.Marshal(struct{ Status uint32 }{uint32(status)}))
				_ = ch.Close()
			})
		case r.Type == "subsystem" && name.Value == "sftp" && !s.noSFTP:
			_ = r.Reply(true, nil)
			s.open.Go(func() {
				_, _ = io.WriteString(ch, s.noise)
				if s.sftp != nil {
					s.sftp(ch)
				} else if server, err := sftp.NewServer(ch); err == nil {
					_ = server.Serve()
				}
				_ = ch.Close()
			})
		default:
			_ = r.Reply(false, nil)
		}
	}
}

// run runs a command as sshd does: by a shell, with the channel as standard streams.
func (s *server) run(command string, ch gossh.Channel) int {
	if s.exec != nil {
		return s.exec(s, command, started{ch, command})
	}
	_, _ = io.WriteString(ch, s.noise)
	_, _ = io.WriteString(ch.Stderr(), s.noise)
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Dir = s.home
	cmd.Env = []string{"HOME=" + s.home, "LOGNAME=" + s.logname, "XDG_RUNTIME_DIR=" + s.runtime, "PATH=" + s.bin + ":/usr/bin:/bin"}
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 255
	}
	if err := cmd.Start(); err != nil {
		return 255
	}
	go func() {
		_, _ = io.Copy(stdin, ch)
		_ = stdin.Close()
	}()
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// target is the server as a Target.
func (s *server) target(identities ...string) Target {
	addr := s.listener.Addr().(*net.TCPAddr)
	return Target{
		Name: "web1", Address: addr.IP.String(), Port: addr.Port, User: "admin", Identities: identities,
		ConnectTimeout: 20 * time.Second, rootPlaces: s.roots,
	}
}

// endpoint is the server's name in known_hosts.
func (s *server) endpoint() string {
	return fmt.Sprintf("[127.0.0.1]:%d", s.listener.Addr().(*net.TCPAddr).Port)
}

// knownHosts writes a known_hosts file with the keys and returns its path.
func (s *server) knownHosts(keys ...gossh.Signer) string {
	s.t.Helper()
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "%s %s\n", s.endpoint(), publicLine(k.PublicKey()))
	}
	return writeFile(s.t, b.String())
}

// writeFile writes text to a new file.
func writeFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// testDialer returns a Dialer that uses nothing of the user's own.
func testDialer(t testing.TB, o Options) *Dialer {
	t.Helper()
	if o.AgentSocket == "" {
		o.AgentSocket = "none"
	}
	if o.KnownHostsFiles == nil {
		o.KnownHostsFiles = []string{}
	}
	return NewDialer(o)
}

// connect connects and closes the link when the test ends.
func connect(t testing.TB, d *Dialer, target Target, b Bundle) (*Link, error) {
	t.Helper()
	link, err := d.Connect(t.Context(), target, b)
	if err == nil {
		t.Cleanup(func() { _ = link.Close() })
	}
	return link, err
}

// wantError checks an error's kind and that its text has all the parts.
func wantError(t testing.TB, err, kind error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("error is not %q: %v", kind, err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not contain %q: %v", part, err)
		}
	}
}
