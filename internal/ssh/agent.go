package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const (
	agentListTimeout = 5 * time.Second
	// agentSignTimeout leaves a person the time to confirm, or to touch a security key.
	agentSignTimeout = 2 * time.Minute
)

// agentKeys are the keys of ssh-agent. Each signature has a connection of its own, so that hosts do not wait for
// each other and each has its own deadline.
type agentKeys struct {
	socket string // "": there is no agent

	once sync.Once
	keys []candidate
	err  error
}

// list asks the agent for its keys, once.
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
		if err != nil { // of a type that the library does not know
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
		ctx, cancel := context.WithTimeoutCause(ctx, agentSignTimeout, errors.New("ssh-agent: no signature came in time"))
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
