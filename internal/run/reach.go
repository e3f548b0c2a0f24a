package run

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/ssh"
	"github.com/mirrorform/mirrorform/internal/sshconfig"
)

// reach determines how to reach hosts: by their blocks and, for what these do not set, by
// ssh_config(5).
type reach struct {
	hosts map[string]*config.DeclaredHost
	open  func() (*sshconfig.Config, error) // returns nil, nil if no file is used
	file  string                            // instead of the user's and the system's files, if set
	// byOpenSSH is whether ssh itself may be used, which runs the programs that its files name.
	byOpenSSH bool
	// note is called when a host needs ssh itself, with what the files have that needs it.
	note func(host, why string)

	mu      sync.Mutex
	targets map[string]func() (*ssh.Target, error)
}

// newReach returns a reach that uses the given ssh_config instead of the user's, if file is set. It
// reads nothing until it is needed. Of a configuration that is not trusted, confined, such a file
// may be a part, so it names no programs to run.
func newReach(hosts map[string]*config.DeclaredHost, file string, confined bool) *reach {
	r := &reach{hosts: hosts, file: file, byOpenSSH: file == "" || file == "none" || !confined,
		note: func(string, string) {}, targets: map[string]func() (*ssh.Target, error){}}
	r.open = sync.OnceValues(func() (*sshconfig.Config, error) {
		if file == "none" {
			return nil, nil
		}
		return sshconfig.Open(file, file == "" || !confined)
	})
	return r
}

// target returns the SSH target of a host. The result is shared. Other hosts do not wait for one
// whose settings a program prints.
func (r *reach) target(name string) (*ssh.Target, error) {
	r.mu.Lock()
	target := r.targets[name]
	if target == nil {
		target = sync.OnceValues(func() (*ssh.Target, error) {
			c, err := r.open()
			if err != nil {
				return nil, err
			}
			t, err := r.declared(c, r.hosts[name])
			if err != nil {
				return nil, fmt.Errorf("host %s: %w", name, err)
			}
			return t, nil
		})
		r.targets[name] = target
	}
	r.mu.Unlock()
	return target()
}

// ConfirmTimeout implements engine.Access.
func (r *reach) ConfirmTimeout(host string) time.Duration { return r.hosts[host].ConfirmTimeout }

// Login implements engine.Access.
func (r *reach) Login(name string) string {
	h := r.hosts[name]
	if h.User != "" || h.Local || h.OnThisMachine {
		return h.User
	}
	t, err := r.target(name)
	if err != nil {
		return "" // such a host is not reachable anyway
	}
	return t.User
}

// declared returns the target of a host block.
func (r *reach) declared(c *sshconfig.Config, h *config.DeclaredHost) (*ssh.Target, error) {
	t := &ssh.Target{
		Name: h.Name, Address: h.Address, Port: h.Port, User: h.User, Identities: h.Identities,
		HostKey: strings.Join(h.HostKey, "\n"), ConnectTimeout: h.ConnectTimeout,
		ByOpenSSH: h.OpenSSH,
	}
	if h.Jump != nil {
		var err error
		if t.Jump, err = r.declared(c, h.Jump); err != nil {
			return nil, fmt.Errorf("jump host %s: %w", h.Jump.Name, err)
		}
	}
	return t, r.complete(c, t, nil)
}

// complete adds settings of ssh_config to a target where the block sets none. seen are the hops
// that ProxyJump has already passed.
func (r *reach) complete(c *sshconfig.Config, t *ssh.Target, seen []string) error {
	if r.byOpenSSH {
		t.OpenSSH = &ssh.OpenSSH{
			Host: t.Address, User: t.User, Port: t.Port, Identities: t.Identities, ConnectTimeout: t.ConnectTimeout,
			ConfigFile: r.file,
		}
	}
	if c == nil && !t.ByOpenSSH {
		return nil
	}
	s, err := r.settings(c, t)
	if err != nil {
		return err
	}
	asked := fmt.Sprintf("%s@%s:%d", t.User, t.Address, t.Port)
	t.Address, t.User, t.Port = s.HostName, s.User, s.Port
	t.AddressFamily = s.AddressFamily
	if t.Identities == nil {
		t.Identities = s.IdentityFiles
		if t.Identities == nil && s.NoIdentityFiles {
			t.Identities = []string{}
		}
	}
	t.Certificates, t.IdentitiesOnly, t.AgentSocket = s.CertificateFiles, s.IdentitiesOnly, s.IdentityAgent
	t.HostKeyAlias = s.HostKeyAlias
	t.ProxyCommand, t.ProxyPlace = s.ProxyCommand, s.ProxyPlace
	if s.UserKnownHostsFiles != nil || s.GlobalKnownHostsFile != nil {
		user, system := s.UserKnownHostsFiles, s.GlobalKnownHostsFile
		if user == nil {
			user = ssh.UserKnownHosts()
		}
		if system == nil {
			system = ssh.SystemKnownHosts()
		}
		t.KnownHostsFiles = slices.Concat(user, system)
	}
	t.ConnectTimeout = cmp.Or(t.ConnectTimeout, s.ConnectTimeout)
	t.Keepalive = s.ServerAliveInterval
	if s.ServerAliveInterval > 0 {
		t.Silence = s.ServerAliveInterval * time.Duration(min(cmp.Or(s.ServerAliveCountMax, 3), 100)) // 3: ssh_config(5)
	}
	if t.Jump == nil {
		t.Jump, err = r.hops(c, t.ByOpenSSH, s.Jump, append(slices.Clip(seen), asked))
	}
	return err
}

// settings returns what ssh_config says about a target. A target that needs ssh itself for it is
// marked.
func (r *reach) settings(c *sshconfig.Config, t *ssh.Target) (*sshconfig.Settings, error) {
	if !t.ByOpenSSH {
		s, err := c.For(t.Address, sshconfig.Given{User: t.User, Port: t.Port, Jump: t.Jump != nil})
		var lack *sshconfig.LackError
		if !errors.As(err, &lack) || !r.byOpenSSH {
			return s, err
		}
		r.note(t.Name, fmt.Sprintf("ssh_config has %s, which mirrorform's own client lacks", lack.Keyword))
		t.ByOpenSSH = true
	}
	if !r.byOpenSSH {
		return nil, errors.New("connection type openssh runs the programs that --ssh-config names, which --confine " +
			"does not allow: leave out one of the two options")
	}
	return t.OpenSSH.Settings()
}

// hops returns the target of the last hop. The hops before it lead there; the first one may have
// its own ProxyJump.
func (r *reach) hops(c *sshconfig.Config, byOpenSSH bool, list []sshconfig.Hop, seen []string) (*ssh.Target, error) {
	if len(list) == 0 {
		return nil, nil
	}
	last := list[len(list)-1]
	asked := fmt.Sprintf("%s@%s:%d", last.User, last.Host, last.Port)
	if slices.Contains(seen, asked) {
		return nil, fmt.Errorf("ssh_config: %s: ProxyJump leads through %s in a cycle: put `ProxyJump none` into "+
			"an earlier block for that host",
			last.Place, last.Host)
	}
	t := &ssh.Target{Name: last.Host, Address: last.Host, User: last.User, Port: last.Port, ByOpenSSH: byOpenSSH}
	var err error
	if t.Jump, err = r.hops(c, byOpenSSH, list[:len(list)-1], append(slices.Clip(seen), asked)); err != nil {
		return nil, err
	}
	if err := r.complete(c, t, seen); err != nil {
		return nil, fmt.Errorf("jump host %s: %w", last.Host, err)
	}
	return t, nil
}
