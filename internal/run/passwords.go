package run

import (
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/ssh"
)

// becomePasswordVar is the environment variable that holds the password for sudo, where no person
// is there to be asked.
const becomePasswordVar = "MIRRORFORM_BECOME_PASSWORD"

// AskPass says how the operator is asked for sudo's password: not at all, once for all hosts, or
// for each host that wants one.
type AskPass string

// The ways to ask.
const (
	AskNever AskPass = ""
	AskOnce  AskPass = "once"
	AskEach  AskPass = "each"
)

// passwords are those for sudo of one run.
type passwords struct {
	how    AskPass
	ask    func(prompt string) (string, error)
	strict bool // the configuration may be anybody's: what it says of a host's key counts for nothing

	mu     sync.Mutex
	shared string            // for hosts without one of their own; "" is not set
	byHost map[string]string // that were asked for
	secret []string          // all that are known
}

// newPasswords finds the password that hosts share: AskOnce asks at once, before hosts are reached.
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

// know has a password hidden wherever it turns up.
func (p *passwords) know(password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if password != "" {
		p.secret = append(p.secret, password)
	}
}

// all are the passwords that are known. Those of the configuration are its own to tell.
func (p *passwords) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.secret)
}

// give says how a host gets its password, if it asks for one.
func (p *passwords) give(t *ssh.Target, h *config.Host) {
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

// known reports whether a host was known before this run, so that it may have the password of
// others.
func (p *passwords) known(key ssh.KeyOrigin) bool {
	return key == ssh.KeyKnown || key == ssh.KeyPinned && !p.strict
}

// refuse keeps the password of the environment from hosts that a change of the configuration may
// have brought in.
func (p *passwords) refuse(t *ssh.Target, key ssh.KeyOrigin) error {
	if p.known(key) {
		return nil
	}
	why := "its key was not known before this run"
	if key == ssh.KeyPinned {
		why = "known_hosts has no key of it (with --confine, host_key does not count)"
	}
	return fmt.Errorf("%s is not given to it, since %s: verify the key of %s and add it to known_hosts, set become_password in the block of host %s, or use --ask-become-pass",
		becomePasswordVar, why, t.Address, t.Name)
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
