package ssh

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const (
	agentListTimeout = 5 * time.Second
	// agentSignTimeout leaves the user time to confirm a signature or to touch a security key.
	agentSignTimeout = 2 * time.Minute
)

// agentKeys are the keys of ssh-agent. Each signature uses its own connection to the agent, so that
// hosts do not wait for each other and each has its own deadline.
type agentKeys struct {
	socket string // "" without an agent

	once sync.Once
	keys []candidate
	err  error
}

// list returns the agent's keys. It asks the agent once.
func (a *agentKeys) list() ([]candidate, error) {
	a.once.Do(func() {
		if a.socket == "" {
			return
		}
		if a.keys, a.err = a.read(); a.err != nil {
			a.err = fmt.Errorf("ssh-agent at %s: %w", a.socket, a.err)
		}
	})
	return a.keys, a.err
}

func (a *agentKeys) read() ([]candidate, error) {
	conn, err := net.DialTimeout("unix", a.socket, agentListTimeout)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(agentListTimeout)); err != nil {
		return nil, err
	}
	held, err := agent.NewClient(conn).List()
	if err != nil {
		return nil, err
	}
	var keys []candidate
	for _, k := range held {
		pub, err := gossh.ParsePublicKey(k.Blob)
		if err != nil { // a key type that x/crypto does not support
			continue
		}
		keys = append(keys, candidate{label: "ssh-agent", pub: pub, sign: a.signer(pub)})
	}
	return keys, nil
}

// signer returns the signFunc of one of the agent's keys.
func (a *agentKeys) signer(pub gossh.PublicKey) signFunc {
	return func(ctx context.Context, pause func() func(), data []byte, algorithm string) (*gossh.Signature, error) {
		resume := pause()
		defer resume()
		ctx, cancel := context.WithTimeoutCause(ctx, agentSignTimeout,
			fmt.Errorf("ssh-agent: no signature within %v", agentSignTimeout))
		defer cancel()
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", a.socket)
		if err != nil {
			return nil, fmt.Errorf("ssh-agent: %w", err)
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		defer func() { stop(); _ = conn.Close() }()
		var flags agent.SignatureFlags
		switch algorithm {
		case gossh.KeyAlgoRSASHA256:
			flags = agent.SignatureFlagRsaSha256
		case gossh.KeyAlgoRSASHA512:
			flags = agent.SignatureFlagRsaSha512
		}
		signature, err := agent.NewClient(conn).SignWithFlags(pub, data, flags)
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, fmt.Errorf("ssh-agent: %w", err)
		}
		return signature, nil
	}
}
