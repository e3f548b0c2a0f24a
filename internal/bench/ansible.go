package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// ansible is a playbook with an inventory, in a directory of its own.
type ansible struct {
	bench *bench
	dir   string
	hosts []*lab.Host
	count int // of hosts, also of those that are not the lab's
}

// configuration is ansible.cfg: pipelining is on, and all hosts are worked on at once. ssh_args are Ansible's own defaults, with the
// sockets of the masters in our directory.
const configuration = `[defaults]
forks = %d
inventory = inventory
host_key_checking = true
nocows = true
retry_files_enabled = false
local_tmp = %[2]s/tmp
interpreter_python = /usr/bin/python3

[ssh_connection]
pipelining = true
control_path_dir = %[2]s/cp
ssh_args = -C -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=%[3]s -o IdentitiesOnly=yes -o IdentityAgent=none
`

// newAnsible writes the playbook and its inventory.
func (b *bench) newAnsible(hosts []*lab.Host) (*ansible, error) {
	var inventory strings.Builder
	for _, h := range hosts {
		fmt.Fprintf(&inventory, "%s ansible_host=%s ansible_user=root ansible_ssh_private_key_file=%s\n", h.Name, h.Address, h.SSHKeyPath)
	}
	a, err := b.playbook("ansible", inventory.String(), b.lab.KnownHosts(), len(hosts), len(hosts))
	if err == nil {
		a.hosts = hosts
	}
	return a, err
}

// playbook writes testdata/NAME with an inventory of so many hosts. forks is how many Ansible works on at once.
func (b *bench) playbook(name, inventory, knownHosts string, count, forks int) (*ansible, error) {
	dir, err := os.MkdirTemp(b.dir, "a") // short: sockets lie in it
	if err != nil {
		return nil, err
	}
	files, err := fs.Sub(testdata, "testdata/"+name)
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, files); err != nil {
		return nil, err
	}
	return &ansible{bench: b, dir: dir, count: count}, errors.Join(
		os.Mkdir(filepath.Join(dir, "mirrors.d"), 0o755),
		os.Mkdir(filepath.Join(dir, "cp"), 0o700),
		os.WriteFile(filepath.Join(dir, "ansible.cfg"), fmt.Appendf(nil, configuration, forks, dir, knownHosts), 0o644),
		os.WriteFile(filepath.Join(dir, "inventory"), []byte(inventory), 0o644),
	)
}

// prepareHosts installs what Ansible needs on hosts.
func (a *ansible) prepareHosts(ctx context.Context) error {
	return onEach(a.hosts, func(h *lab.Host) error {
		_, err := h.Run(ctx, "apt-get", "install", "-y", "-q", "--no-install-recommends", "python3", "python3-apt")
		return err
	})
}

var (
	recap   = regexp.MustCompile(`(?m)^\S+ +: ok=\d+ .*$`)
	counted = regexp.MustCompile(`(changed|unreachable|failed)=(\d+)`)
)

// play runs the playbook. With converged it must change nothing.
func (a *ansible) play(ctx context.Context, converged bool) (sample, error) {
	env := []string{"ANSIBLE_CONFIG=" + a.dir + "/ansible.cfg", "ANSIBLE_NOCOLOR=1"}
	results, err := execute(ctx, a.dir, env, []string{"ansible-playbook", "--extra-vars", "mirrors_d=" + a.dir + "/mirrors.d", "playbook.yml"})
	if err != nil {
		return sample{}, err
	}
	if err := checkRecap(results[0].output, a.count, converged); err != nil {
		return sample{}, fmt.Errorf("%w:\n%s", err, lastLines(results[0].output, 40))
	}
	return results[0].sample, nil
}

// checkRecap reads the last part of what ansible-playbook prints.
func checkRecap(output string, hosts int, converged bool) error {
	lines := recap.FindAllString(output, -1)
	if len(lines) != hosts {
		return fmt.Errorf("ansible-playbook tells of %d hosts, not %d", len(lines), hosts)
	}
	for _, line := range lines {
		for _, m := range counted.FindAllStringSubmatch(line, -1) {
			if m[2] != "0" && (m[1] != "changed" || converged) {
				return errors.New("ansible-playbook did not do what it should")
			}
		}
	}
	return nil
}

// disconnect ends the connections that Ansible leaves open for a minute, so that each run begins without them as the others do.
func (a *ansible) disconnect(ctx context.Context) error {
	sockets, err := filepath.Glob(filepath.Join(a.dir, "cp", "*"))
	if err != nil {
		return err
	}
	for _, socket := range sockets {
		if _, err := execute(ctx, a.dir, nil, []string{"ssh", "-F", "/dev/null", "-o", "ControlPath=" + socket, "-O", "exit", "host"}); err != nil {
			return err
		}
	}
	return nil
}
