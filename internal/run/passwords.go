package run

import (
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/ssh"
)

// becomePasswordVar is the environment variable with the password for sudo, for runs without an
// operator.
const becomePasswordVar = "MIRRORFORM_BECOME_PASSWORD"

// AskPass is how to ask for the sudo password: never, once for all hosts, or for each host that
// needs one.
type AskPass string

// The values of AskPass.
const (
	AskNever AskPass = ""
	AskOnce  AskPass = "once"
	AskEach  AskPass = "each"
)

// passwords are the passwords for sudo in one run.
type passwords struct {
	how    AskPass
	ask    func(prompt string) (string, error)
	strict bool // the configuration is not trusted, so its host_key does not count

	mu     sync.Mutex
	shared string            // for hosts without their own; "" if not set
	byHost map[string]string // those that were asked for
	secret []string          // all known passwords
}

// newPasswords returns the passwords of a run. With AskOnce it asks now, before any connection.
func newPasswords(how AskPass, strict bool, ask func(prompt string) (string, error)) (*passwords, error) {
	p := &passwords{how: how, ask: ask, strict: strict, byHost: map[string]string{}}
	switch how {
	case AskNever:
		p.shared = os.Getenv(becomePasswordVar)
	case AskOnce:
		var err error
		if p.shared, err = ask("Password for sudo"); err != nil {
			return nil, err
		}
	}
	p.know(p.shared)
	return p, nil
}

// know adds a password to those that are hidden in all output.
func (p *passwords) know(password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if password != "" {
		p.secret = append(p.secret, password)
	}
}

// all returns the known passwords, without those that the configuration contains.
func (p *passwords) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.secret)
}

// give sets how a host gets its password, if its sudo asks for one.
func (p *passwords) give(t *ssh.Target, h *config.DeclaredHost) {
	switch {
	case h.BecomePassword != "":
		t.BecomePassword = func() (string, error) { return h.BecomePassword, nil }
	case p.how == AskEach:
		t.BecomePassword = func() (string, error) { return p.askFor(t) }
	case p.how == AskOnce:
		shared := true
		t.BeforePassword = func(key ssh.KeyOrigin) error {
			shared = p.known(key)
			return nil
		}
		t.BecomePassword = func() (string, error) {
			if shared {
				return p.shared, nil
			}
			return p.askFor(t)
		}
	case p.shared != "":
		t.BeforePassword = func(key ssh.KeyOrigin) error { return p.refuse(t, key) }
		t.BecomePassword = func() (string, error) { return p.shared, nil }
	}
}

// known reports whether a host was known before this run. Only then may it get a shared password.
func (p *passwords) known(key ssh.KeyOrigin) bool {
	return key == ssh.KeyKnown || key == ssh.KeyPinned && !p.strict
}

// refuse keeps the password of the environment from hosts that a changed configuration may have
// added.
func (p *passwords) refuse(t *ssh.Target, key ssh.KeyOrigin) error {
	if p.known(key) {
		return nil
	}
	why := "its key was not known before this run"
	if key == ssh.KeyPinned {
		why = "its key is not in known_hosts (with --confine, host_key does not count)"
	}
	return fmt.Errorf("%s is not sent to this host, since %s: verify the key of %s and add it to known_hosts, "+
		"set become_password in the block of host %s, or use --ask-become-pass", becomePasswordVar, why, t.Address, t.Name)
}

// askFor asks for the password of one host, once.
func (p *passwords) askFor(t *ssh.Target) (string, error) {
	p.mu.Lock()
	password, ok := p.byHost[t.Name]
	p.mu.Unlock()
	if ok {
		return password, nil
	}
	password, err := p.ask(fmt.Sprintf("Password for sudo on host %s (%s)", t.Name, t.Address))
	if err != nil {
		return "", err
	}
	p.know(password)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byHost[t.Name] = password
	return password, nil
}
