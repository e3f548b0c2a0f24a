package faults

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/crypto/ssh"
)

// peer is an SSH server with configurable behaviour, without a real host. Every account accepts the
// key in identity.
type peer struct {
	// To be set before serve.
	hostKeys []ssh.Signer
	version  string                                      // its first line (RFC 4253, 4.2)
	banner   string                                      // shown before authentication (RFC 4252, 5.4)
	run      func(command string, ch ssh.Channel) []byte // runs a command; the result is the payload of exit-status
	sftp     func(ch ssh.Channel)                        // nil: there is no SFTP server

	identity string // path of the private key
	accepted []byte // its public half
	listener net.Listener

	attempts atomic.Int32 // to authenticate, by whatever method
	commands atomic.Int32
	uploads  atomic.Int32 // times that SFTP was begun
	open     sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
	failures []error // what the server itself got wrong
}

// Host keys, made once.
var (
	edHostKey    = sync.OnceValue(func() ssh.Signer { return newHostKey(ed25519.GenerateKey(rand.Reader)) })
	otherHostKey = sync.OnceValue(func() ssh.Signer { return newHostKey(ed25519.GenerateKey(rand.Reader)) })
	rsaHostKey   = sync.OnceValue(newRSAHostKey)
	otherRSAKey  = sync.OnceValue(newRSAHostKey)
)

func newHostKey(_ any, key any, err error) ssh.Signer {
	var s ssh.Signer
	if err == nil {
		s, err = ssh.NewSignerFromKey(key)
	}
	if err != nil {
		panic(err)
	}
	return s
}

func newRSAHostKey() ssh.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return newHostKey(nil, key, err)
}

// newPeer returns a server with an Ed25519 host key, on which no command works yet.
func newPeer(t *testing.T) *peer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{hostKeys: []ssh.Signer{edHostKey()}, identity: filepath.Join(t.TempDir(), "id_ed25519"), accepted: key.Marshal()}
	if err := os.WriteFile(p.identity, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run = func(string, ssh.Channel) []byte { return status(1) }
	return p
}

// status is the payload of an exit-status request (RFC 4254, 6.10).
func status(n uint32) []byte { return ssh.Marshal(struct{ Status uint32 }{n}) }

// serve starts the server; it ends with the test.
func (p *peer) serve(t *testing.T) *peer {
	t.Helper()
	config := &ssh.ServerConfig{
		ServerVersion: p.version,
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if string(key.Marshal()) != string(p.accepted) {
				return nil, errors.New("no such key")
			}
			return nil, nil
		},
		// Called for each attempt, the one by "none" included.
		AuthLogCallback: func(ssh.ConnMetadata, string, error) { p.attempts.Add(1) },
	}
	if p.banner != "" {
		config.BannerCallback = func(ssh.ConnMetadata) string { return p.banner }
	}
	for _, k := range p.hostKeys {
		config.AddHostKey(k)
	}
	var err error
	if p.listener, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p.open.Go(func() {
		for {
			conn, err := p.listener.Accept()
			if err != nil {
				return // closed
			}
			p.mu.Lock()
			p.conns = append(p.conns, conn)
			p.mu.Unlock()
			p.open.Go(func() { p.serveConn(conn, config) })
		}
	})
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.open.Wait()
		for _, err := range p.failures {
			t.Error(err)
		}
	})
	return p
}

func (p *peer) serveConn(conn net.Conn, config *ssh.ServerConfig) {
	defer func() { _ = conn.Close() }()
	server, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return // the client did not want to
	}
	defer func() { _ = server.Close() }()
	p.open.Go(func() {
		for r := range requests {
			if r.WantReply {
				_ = r.Reply(false, nil) // as sshd answers a keepalive
			}
		}
	})
	for c := range channels {
		ch, requests, err := c.Accept()
		if err != nil {
			return
		}
		p.open.Go(func() { p.serveChannel(ch, requests) })
	}
}

func (p *peer) serveChannel(ch ssh.Channel, requests <-chan *ssh.Request) {
	for r := range requests {
		var what struct{ Value string }
		_ = ssh.Unmarshal(r.Payload, &what)
		switch {
		case r.Type == "exec":
			p.commands.Add(1)
			if r.WantReply {
				_ = r.Reply(true, nil)
			}
			p.open.Go(func() {
				payload := p.run(what.Value, ch)
				_, _ = ch.SendRequest("exit-status", false, payload)
				_ = ch.Close()
			})
		case r.Type == "subsystem" && what.Value == "sftp" && p.sftp != nil:
			p.uploads.Add(1)
			_ = r.Reply(true, nil)
			p.open.Go(func() {
				p.sftp(ch)
				_ = ch.Close()
			})
		default:
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
		}
	}
}

// fail records an error of the peer itself.
func (p *peer) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures = append(p.failures, err)
}

// port is the server's.
func (p *peer) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// block is the server's host block, with its first host key pinned unless other arguments are given.
func (p *peer) block(name, arguments string) string {
	return fmt.Sprintf("host %q {\n  address    = \"127.0.0.1\"\n  port       = %d\n  user       = \"admin\"\n  identities = [%q]\n%s}\n",
		name, p.port(), p.identity, arguments)
}

// pinned is the argument that pins the server's host key.
func (p *peer) pinned() string {
	return fmt.Sprintf("  host_key   = %q\n", publicLine(p.hostKeys[0]))
}

func publicLine(key ssh.Signer) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))
}

// knownHosts writes a known_hosts file (sshd(8)) with keys for the server, and returns its path.
func (p *peer) knownHosts(t *testing.T, keys ...ssh.Signer) string {
	t.Helper()
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "[127.0.0.1]:%d %s\n", p.port(), publicLine(k))
	}
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// run is what commands do on a peer on which the helper h runs.
func (h *play) run(p *peer) func(string, ssh.Channel) []byte {
	return func(command string, ch ssh.Channel) []byte {
		nonce, id := nonceArgument.FindStringSubmatch(command), helperID.FindStringSubmatch(command)
		if nonce == nil || id == nil {
			return status(1) // it wants to push another helper
		}
		if _, err := io.WriteString(ch, wire.Preamble); err != nil {
			return status(1)
		}
		if h.raw != nil {
			h.raw(ch)
			return status(0)
		}
		digest, err := helperDigest(id[1])
		if err != nil {
			p.fail(err)
			return status(1)
		}
		h.serve(ch, nonce[1], digest)
		return status(0)
	}
}

var (
	nonceArgument = regexp.MustCompile(`--nonce ([0-9a-f]+)`)
	helperID      = regexp.MustCompile(`/helper-([0-9a-f]+)`)
)

// helperDigest finds the SHA-256 of the helper that begins with id among those that were built on this machine.
func helperDigest(id string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	digest := ""
	err = filepath.WalkDir(filepath.Join(cache, "mirrorform", "helper"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" {
			return err
		}
		var built struct{ SHA256 string }
		text, err := os.ReadFile(path)
		if err == nil && json.Unmarshal(text, &built) == nil && strings.HasPrefix(built.SHA256, id) {
			digest = built.SHA256
		}
		return nil // another build may be replacing this one
	})
	if err == nil && digest == "" {
		err = fmt.Errorf("no helper %s was built on this machine", id)
	}
	return digest, err
}

// play is a helper without a process. It answers like the real helper on a host with writable
// files, except for the changes of a test.
type play struct {
	hello  func(*wire.Hello)
	answer func(*wire.Answer)
	event  func(*wire.Event)
	// committed is told the manifest of each commit.
	committed func(manifest []byte)
	// instead says all that there is to say to a message and returns true, or leaves it to the rest.
	instead func(m *wire.Message, say func(*wire.Message)) bool
	// stream is instead for what is no message.
	stream func(m *wire.Message, ch io.Writer) bool
	// raw writes what comes after the preamble in place of everything else.
	raw func(ch ssh.Channel)

	mu    sync.Mutex
	files map[string]wire.File
	heard []string // the kinds of the messages that came
}

// serve answers until the controller closes the connection.
func (h *play) serve(ch io.ReadWriter, nonce, digest string) {
	say := func(m *wire.Message) { _ = wire.Write(ch, m) } // a controller that is gone shows when it is read from
	hello := wire.Hello{Protocol: wire.Protocol, Nonce: nonce, Version: "fake", SHA256: digest, Facts: &wire.Facts{
		Hostname: "fake", MachineID: strings.Repeat("f", 32), Arch: runtime.GOARCH, Username: "root", Systemd: true, Packages: "apt",
		OS: wire.OSFacts{ID: "debian", Name: "Debian", Version: "12", Family: "debian"},
	}}
	if h.hello != nil {
		h.hello(&hello)
	}
	say(&wire.Message{Hello: &hello})
	for {
		m, err := wire.Read(ch)
		if err != nil {
			return
		}
		if kind := kindOf(m); kind != "" {
			h.mu.Lock()
			h.heard = append(h.heard, kind)
			h.mu.Unlock()
		}
		if m.Beat != nil || h.stream != nil && h.stream(m, ch) || h.instead != nil && h.instead(m, say) {
			continue
		}
		h.obey(m, say)
	}
}

// kindOf returns the kind of a controller's message.
func kindOf(m *wire.Message) string {
	switch {
	case m.Ask != nil:
		return "ask"
	case m.Begin != nil:
		return "begin"
	case m.Do != nil:
		return "do"
	case m.Rollback != nil:
		return "rollback"
	case m.Confirm != nil:
		return "confirm"
	case m.Commit != nil:
		return "commit"
	}
	return ""
}

func (h *play) obey(m *wire.Message, say func(*wire.Message)) {
	switch {
	case m.Ask != nil:
		var answers []wire.Answer
		for _, q := range m.Ask.Queries {
			a := h.ask(q)
			if h.answer != nil {
				h.answer(&a)
			}
			answers = append(answers, a)
		}
		say(&wire.Message{Answers: &wire.Answers{Answers: answers}})
	case m.Begin != nil:
		say(&wire.Message{Begun: &wire.Begun{ID: "00000000000000000000000000000000"}})
	case m.Do != nil:
		for _, o := range m.Do.Ops {
			for _, state := range []wire.State{wire.Started, wire.Finished} {
				e := wire.Event{ID: o.ID, State: state}
				if h.event != nil {
					h.event(&e)
				}
				say(&wire.Message{Event: &e})
				if e.State == wire.Failed {
					id := o.ID
					say(&wire.Message{Done: &wire.Done{Failed: &id, Undone: true}})
					return
				}
			}
			h.write(o.Op.Write)
		}
		say(&wire.Message{Done: &wire.Done{}})
	case m.Rollback != nil:
		say(&wire.Message{Done: &wire.Done{Undone: true}})
	case m.Confirm != nil, m.Commit != nil:
		if m.Commit != nil && h.committed != nil {
			h.committed(m.Commit.Manifest)
		}
		say(&wire.Message{Done: &wire.Done{}})
	}
}

// ask answers queries for files. Everything else is reported as absent.
func (h *play) ask(q wire.Query) wire.Answer {
	if q.Verb != wire.AskFile {
		return wire.Answer{Error: "this host has files only"}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if f, ok := h.files[q.Arg]; ok {
		return wire.Answer{File: &f}
	}
	return wire.Answer{File: &wire.File{Fingerprint: "absent"}}
}

func (h *play) write(op *wire.WriteOp) {
	if op == nil {
		return
	}
	mode := uint32(0o644)
	if op.Mode != nil {
		mode = *op.Mode
	}
	sum := sha256.Sum256(op.Content)
	digest := hex.EncodeToString(sum[:])
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files == nil {
		h.files = map[string]wire.File{}
	}
	h.files[op.Path] = wire.File{
		Kind: wire.Regular, Mode: mode, Owner: "root", Group: "root", Size: int64(len(op.Content)), SHA256: digest,
		Content: op.Content, HasContent: true, Fingerprint: "written " + digest,
	}
}

// forget rolls back all writes.
func (h *play) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files = nil
}

// said reports whether the controller has sent a message of this kind.
func (h *play) said(kind string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.heard, kind)
}
