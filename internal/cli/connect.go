package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/helper"
	"github.com/mirrorform/mirrorform/internal/ssh"
)

// connector returns what opens sessions with hosts, and what closes the connections to jump hosts afterwards.
func (a *app) connector(hosts *reach) (connect func(context.Context, string) (*engine.Session, error), disconnect func(), err error) {
	a.passwords.ask = a.ui.Password
	if err := a.passwords.open(); err != nil {
		return nil, func() {}, err
	}
	dialer := ssh.NewDialer(ssh.Options{
		AcceptNewHostKeys: a.acceptHostKeys,
		KnownHostsFiles:   a.knownHosts,
		Passphrase: func(file string) ([]byte, error) {
			secret, err := a.ui.Password("Passphrase for " + file)
			return []byte(secret), err
		},
		Answer: func(host, question string) (string, error) {
			return a.ui.Password(fmt.Sprintf("%s asks: %s", host, question))
		},
		TakenKeys: takenKeys(),
		Log:       a.ui.Note,
		Stage:     a.log.Stage,
	})
	bundle := sync.OnceValues(func() (*helper.Bundle, error) { return helper.Open(context.Background()) })
	return func(ctx context.Context, name string) (*engine.Session, error) {
		h := hosts.hosts[name]
		if h.Local {
			return a.localSession(ctx)
		}
		b, err := bundle()
		if err != nil {
			return nil, err
		}
		connect, t := dialer.ConnectLocal, ssh.Target{Name: h.Name}
		if !h.OnThisMachine {
			found, err := hosts.target(name)
			if err != nil {
				return nil, err
			}
			connect, t = dialer.Connect, *found
		}
		t.Become = h.Become
		a.passwords.give(&t, h)
		link, err := connect(ctx, t, b)
		if err != nil {
			return nil, a.secrets.HideError(err)
		}
		a.log.Frame(name, engine.NewFrame(&wire.Message{Hello: &link.Hello}))
		return a.session(a.log.Conn(name, link), &link.Hello)
	}, dialer.Close, nil
}

// takenKeys is the file in which the keys that hosts took are remembered; "" where a user has no
// cache.
func takenKeys() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "mirrorform", "ssh-keys")
}

// session takes over a connection.
func (a *app) session(conn io.ReadWriteCloser, hello *wire.Hello) (*engine.Session, error) {
	s, err := engine.NewSession(conn, hello)
	if err == nil {
		s.Secrets = a.secrets
	}
	return s, err
}

// localState is the state directory of host local, the machine that mirrorform runs on. Each configuration directory has its own there.
func (a *app) localState() (string, error) {
	state, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("host local needs a directory for its state: %w", err)
	}
	dir, err := filepath.Abs(a.chdir)
	if err != nil {
		return "", fmt.Errorf("host local: %w", err)
	}
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(state, "mirrorform", "local", hex.EncodeToString(sum[:8])), nil
}

// hosts are the configuration's hosts, and host local when something of this configuration is still managed there.
func (a *app) hosts(c *config.Config) []*config.Host {
	hosts := c.Hosts()
	if slices.ContainsFunc(hosts, func(h *config.Host) bool { return h.Local }) {
		return hosts
	}
	dir, err := a.localState()
	if err != nil {
		return hosts
	}
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	var manifest struct{ Resources []json.RawMessage }
	if err != nil || json.Unmarshal(text, &manifest) == nil && len(manifest.Resources) == 0 {
		return hosts // one that is damaged is told of later
	}
	return append(slices.Clip(hosts), &config.Host{Name: "local", Local: true})
}

func hostsByName(hosts []*config.Host) map[string]*config.Host {
	byName := map[string]*config.Host{}
	for _, h := range hosts {
		byName[h.Name] = h
	}
	return byName
}

// localSession runs the helper in this process.
func (a *app) localSession(ctx context.Context) (*engine.Session, error) {
	dir, err := a.localState()
	if err != nil {
		return nil, err
	}
	conn, err := localHelper(context.WithoutCancel(ctx), dir)
	if err != nil {
		return nil, err
	}
	if err := readPreamble(conn); err != nil {
		return nil, errors.Join(fmt.Errorf("host local: %w", err), conn.Close())
	}
	conn = a.log.Conn("local", conn)
	hello, err := sayHello(conn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("host local: %w", err), conn.Close())
	}
	return a.session(conn, hello)
}

// readPreamble reads what a helper prints before its first message, on a stream on which nothing else is printed.
func readPreamble(conn io.Reader) error {
	preamble := make([]byte, len(wire.Preamble))
	if _, err := io.ReadFull(conn, preamble); err != nil {
		return err
	}
	if !bytes.Equal(preamble, []byte(wire.Preamble)) {
		return errors.New("the helper does not begin with its preamble")
	}
	return nil
}

// sayHello opens a conversation.
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
		return nil, errors.New("the helper does not answer the greeting")
	}
	return m.Hello, nil
}
