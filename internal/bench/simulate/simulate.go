// Package simulate runs many hosts in one process. Each host is an SSH server with its own address.
// It speaks the real protocol and runs the code of the real helper (package agent) with its own
// state directory. The files of resources are on this machine, below the host's root.
package simulate

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/agent"
	"github.com/mirrorform/mirrorform/internal/lab"
	"golang.org/x/crypto/ssh"
)

// Options configure the simulated hosts.
type Options struct {
	Hosts int    // number of hosts, at most 65536
	Dir   string // absolute path of the directory for the directories of all hosts
	// Helper is the SHA-256, in lower-case hex, of the helper that the controller expects. The hosts
	// greet with it, as if the helper had been pushed to them.
	Helper string
	// AuthorizedKey is the public key that can log in with any user name, in the format of
	// authorized_keys.
	AuthorizedKey string
	// Delay is the round-trip time to each host. lab.Proxy simulates it.
	Delay time.Duration
	// Shell runs commands other than the helper with /bin/sh on this machine, for programs that need a
	// shell on their hosts.
	Shell bool
}

// Machine is one simulated host.
type Machine struct {
	Name    string // h00001
	Address string // in 127.0.0.0/8
	Port    int
	HostKey string // in the format of known_hosts, without the host
	Root    string // absolute path of the directory for the host's resources
}

// address returns the host's ADDRESS:PORT.
func (h *Machine) address() string { return net.JoinHostPort(h.Address, strconv.Itoa(h.Port)) }

// Run simulates hosts in this process. It reads Options as JSON from in, writes the list of hosts
// as JSON to out, and ends the hosts when in ends. It runs in a separate process, so that the
// processor time and memory of the controller do not include the hosts.
func Run(in io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(in)
	var o Options
	if err := decoder.Decode(&o); err != nil {
		return fmt.Errorf("reading options: %w", err)
	}
	hosts, stop, err := Serve(o)
	if err != nil {
		return err
	}
	defer stop()
	if err := json.NewEncoder(out).Encode(hosts); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// Serve starts the hosts. stop ends them.
func Serve(o Options) (hosts []Machine, stop func(), err error) {
	if o.Hosts < 1 || o.Hosts > 1<<16 {
		return nil, nil, fmt.Errorf("invalid number of hosts %d: it must be from 1 to %d", o.Hosts, 1<<16)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(o.AuthorizedKey))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the authorized key: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var closers []io.Closer
	stop = func() {
		cancel()
		for _, c := range closers {
			_ = c.Close() // do not wait for open connections
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	for i := range o.Hosts {
		h := Machine{Name: fmt.Sprintf("h%05d", i+1), Address: fmt.Sprintf("127.%d.%d.%d", 64+i>>14, i>>7&127, i&127+1)}
		dir := filepath.Join(o.Dir, h.Name)
		h.Root = filepath.Join(dir, "root")
		if err := os.MkdirAll(h.Root, 0o755); err != nil {
			return nil, nil, err
		}
		s, err := newServer(dir, key, o)
		if err != nil {
			return nil, nil, err
		}
		h.HostKey = string(ssh.MarshalAuthorizedKey(s.public))
		listener, err := net.Listen("tcp4", h.Address+":0")
		if err != nil {
			return nil, nil, err
		}
		closers = append(closers, listener)
		h.Port = listener.Addr().(*net.TCPAddr).Port
		if o.Delay > 0 {
			proxy, err := lab.NewProxy(listener.Addr().String())
			if err != nil {
				return nil, nil, err
			}
			closers = append(closers, proxy)
			proxy.Delay(o.Delay/2, o.Delay/2)
			address, err := net.ResolveTCPAddr("tcp4", proxy.Addr())
			if err != nil {
				return nil, nil, err
			}
			h.Address, h.Port = address.IP.String(), address.Port
		}
		go s.accept(ctx, listener)
		hosts = append(hosts, h)
	}
	return hosts, stop, nil
}

// server is the SSH server of one host.
type server struct {
	dir    string
	config *ssh.ServerConfig
	public ssh.PublicKey
	helper string
	shell  bool
}

func newServer(dir string, authorized ssh.PublicKey, o Options) (*server, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions,
		error) {
		if string(key.Marshal()) != string(authorized.Marshal()) {
			return nil, errors.New("this key is not authorized")
		}
		return nil, nil
	}}
	config.AddHostKey(signer)
	return &server{dir: dir, config: config, public: signer.PublicKey(), helper: o.Helper, shell: o.Shell}, nil
}

func (s *server) accept(ctx context.Context, listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go s.serve(ctx, conn)
	}
}

// serve serves one connection.
func (s *server) serve(ctx context.Context, tcp net.Conn) {
	defer func() { _ = tcp.Close() }()
	conn, channels, requests, err := ssh.NewServerConn(tcp, s.config)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	go ssh.DiscardRequests(requests)
	for c := range channels {
		if c.ChannelType() != "session" {
			_ = c.Reject(ssh.UnknownChannelType, "")
			continue
		}
		ch, requests, err := c.Accept()
		if err != nil {
			return
		}
		go s.session(ctx, ch, requests)
	}
}

// helperCommand matches the command with which the controller runs the helper. The group is the
// nonce.
var helperCommand = regexp.MustCompile(`/helper-[0-9a-f]+.* --nonce ([0-9a-f]+)`)

// session serves one channel, which runs one command (RFC 4254, section 6.5).
func (s *server) session(ctx context.Context, ch ssh.Channel, requests <-chan *ssh.Request) {
	var running sync.WaitGroup
	defer func() {
		running.Wait()
		_ = ch.Close()
	}()
	for r := range requests {
		var command struct{ Value string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &command) != nil {
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
			continue
		}
		if r.WantReply {
			_ = r.Reply(true, nil)
		}
		running.Go(func() {
			status := s.run(ctx, command.Value, ch)
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
			_ = ch.Close()
		})
	}
}

// run runs a command and returns its exit status.
func (s *server) run(ctx context.Context, command string, ch ssh.Channel) int {
	if m := helperCommand.FindStringSubmatch(command); m != nil {
		if err := s.help(ctx, m[1], ch); err != nil {
			_, _ = fmt.Fprintln(ch.Stderr(), err)
			return 1
		}
		return 0
	}
	if !s.shell {
		return 127
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Dir = s.dir
	cmd.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	stdin, err := cmd.StdinPipe() // Wait closes it, even if the controller keeps its end open
	if err != nil || cmd.Start() != nil {
		return 255
	}
	go func() {
		_, _ = io.Copy(stdin, ch)
		_ = stdin.Close()
	}()
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// help runs the helper's code. It reports the digest of the helper that the controller expects,
// since there is no executable to compute it from.
func (s *server) help(ctx context.Context, nonce string, ch ssh.Channel) error {
	conn := agent.Pipe(ctx, agent.Options{Version: "simulated", StateDir: filepath.Join(s.dir, "state"), Nonce: nonce})
	ending := sync.OnceFunc(func() { _ = conn.Close() })
	defer ending()
	preamble := make([]byte, len(wire.Preamble))
	if _, err := io.ReadFull(conn, preamble); err != nil {
		return err
	}
	hello, err := wire.Read(conn)
	if err != nil {
		return err
	}
	if hello.Hello == nil {
		return errors.New("the helper does not greet")
	}
	hello.Hello.SHA256 = s.helper
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte(s.dir)))
	hello.Hello.Facts.MachineID = digest[:32] // replaces this machine's ID, which all hosts would share
	if _, err := ch.Write(preamble); err != nil {
		return err
	}
	if err := wire.Write(ch, hello); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(conn, ch)
		ending()
	}()
	_, err = io.Copy(ch, conn)
	if errors.Is(err, io.ErrClosedPipe) {
		err = nil // the controller has ended
	}
	return err
}
