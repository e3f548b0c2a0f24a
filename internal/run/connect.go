package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/helper"
	"github.com/mirrorform/mirrorform/internal/runlog"
	"github.com/mirrorform/mirrorform/internal/ssh"
)

// Access contains the options for connecting to hosts.
type Access struct {
	AcceptNewHostKeys bool
	KnownHosts        []string // files instead of the user's and the system's
	SSHConfig         string   // file instead of the user's and the system's; "none" for no file
	AskBecomePass     AskPass
	// Ask asks the operator for a password or passphrase.
	Ask func(prompt string) (string, error)
	// Log logs the messages on the wire. It may be nil.
	Log *runlog.Log
}

// connector opens sessions with hosts. It is the engine.Access of a run.
type connector struct {
	*reach
	dir       string // the configuration's directory
	version   string
	dialer    *ssh.Dialer
	bundle    func() (*helper.Bundle, error)
	passwords *passwords      // for sudo
	secrets   *engine.Secrets // of the configuration, and the passwords
	log       *runlog.Log
}

// newConnector returns a connector for the hosts of a configuration. It connects to no host, but
// may ask the operator for a password. The caller must close it.
func newConnector(s *Scope, a Access) (*connector, error) {
	passwords, err := newPasswords(a.AskBecomePass, s.sources.Confine, a.Ask)
	if err != nil {
		return nil, err
	}
	c := &connector{
		reach:     newReach(s.byName, a.SSHConfig, s.sources.Confine),
		dir:       s.sources.Dir,
		version:   s.sources.Version,
		passwords: passwords,
		secrets:   &engine.Secrets{Values: func() []string { return append(s.Config.Secrets(), passwords.all()...) }},
		log:       a.Log,
		bundle:    sync.OnceValues(func() (*helper.Bundle, error) { return helper.Open(context.Background()) }),
		dialer: ssh.NewDialer(ssh.Options{
			AcceptNewHostKeys: a.AcceptNewHostKeys,
			KnownHostsFiles:   a.KnownHosts,
			Passphrase: func(file string) ([]byte, error) {
				secret, err := a.Ask("Passphrase for " + file)
				return []byte(secret), err
			},
			Answer: func(host, question string) (string, error) {
				return a.Ask(fmt.Sprintf("%s asks: %s", host, question))
			},
			TakenKeys: takenKeys(),
			Log:       s.observer.Note,
			Stage:     a.Log.Stage,
		}),
	}
	c.note = c.dialer.NoteOpenSSH
	return c, nil
}

// Askpass answers a question of ssh(1), if this process was started for that: see
// [ssh.Askpass].
func Askpass(args []string, out io.Writer) (status int, asked bool) { return ssh.Askpass(args, out) }

// close closes the connections to jump hosts, which sessions share.
func (c *connector) close() { c.dialer.Close() }

// Connect implements engine.Access.
func (c *connector) Connect(ctx context.Context, name string) (*engine.Session, error) {
	h := c.hosts[name]
	if h.Local {
		return c.connectLocal(ctx)
	}
	b, err := c.bundle()
	if err != nil {
		return nil, err
	}
	connect, t := c.dialer.ConnectLocal, ssh.Target{Name: h.Name}
	if !h.OnThisMachine {
		found, err := c.target(name)
		if err != nil {
			return nil, err
		}
		connect, t = c.dialer.Connect, *found
	}
	t.Become = h.Become
	c.passwords.give(&t, h)
	link, err := connect(ctx, t, b)
	if err != nil {
		return nil, c.secrets.HideError(err)
	}
	if c.log.Traces() {
		c.log.Frame(name, engine.NewFrame(&wire.Message{Hello: &link.Hello}))
	}
	return c.session(c.log.Conn(name, link), &link.Hello)
}

// session returns a session on a connection.
func (c *connector) session(conn io.ReadWriteCloser, hello *wire.Hello) (*engine.Session, error) {
	s, err := engine.NewSession(conn, hello)
	if err == nil {
		s.Secrets = c.secrets
	}
	return s, err
}

// connectLocal runs the helper in this process.
func (c *connector) connectLocal(ctx context.Context) (*engine.Session, error) {
	dir, err := localState(c.dir)
	if err != nil {
		return nil, err
	}
	conn, err := localHelper(context.WithoutCancel(ctx), c.version, dir)
	if err != nil {
		return nil, err
	}
	if err := readPreamble(conn); err != nil {
		return nil, errors.Join(fmt.Errorf("host local: %w", err), conn.Close())
	}
	conn = c.log.Conn("local", conn)
	hello, err := sayHello(conn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("host local: %w", err), conn.Close())
	}
	return c.session(conn, hello)
}

// takenKeys returns the file that remembers which SSH keys hosts accepted; "" if the user has no
// cache directory.
func takenKeys() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "mirrorform", "ssh-keys")
}

// readPreamble reads the preamble of a helper, on a stream without other output before it.
func readPreamble(conn io.Reader) error {
	preamble := make([]byte, len(wire.Preamble))
	if _, err := io.ReadFull(conn, preamble); err != nil {
		return err
	}
	if !bytes.Equal(preamble, []byte(wire.Preamble)) {
		return errors.New("the helper did not send its preamble")
	}
	return nil
}

// sayHello exchanges greetings with a helper.
func sayHello(conn io.ReadWriter) (*wire.Hello, error) {
	nonce := engine.NewNonce()
	if err := wire.Write(conn, &wire.Message{Hello: &wire.Hello{Protocol: wire.Protocol, Nonce: nonce}}); err != nil {
		return nil, err
	}
	m, err := wire.Read(conn)
	if err != nil {
		return nil, err
	}
	if m.Hello == nil || m.Hello.Nonce != nonce {
		return nil, errors.New("the helper did not answer the greeting")
	}
	return m.Hello, nil
}
