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

// ansible is a playbook with an inventory, in a separate directory.
type ansible struct {
	bench *bench
	dir   string
	hosts []*lab.Host
	count int // of hosts, including simulated ones
}

// configuration is ansible.cfg. It enables pipelining and runs all hosts in parallel. ssh_args are
// Ansible's defaults with the benchmark's known_hosts file and no other identities.
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
		fmt.Fprintf(&inventory, "%s ansible_host=%s ansible_user=root ansible_ssh_private_key_file=%s\n", h.Name,
			h.Address, h.SSHKeyPath)
	}
	a, err := b.playbook("ansible", inventory.String(), b.lab.KnownHosts(), len(hosts), len(hosts))
	if err == nil {
		a.hosts = hosts
	}
	return a, err
}

// playbook writes testdata/NAME with an inventory. count is the number of hosts, and forks the
// number that Ansible handles in parallel.
func (b *bench) playbook(name, inventory, knownHosts string, count, forks int) (*ansible, error) {
	dir, err := os.MkdirTemp(b.dir, "a") // a short name, since paths of sockets are limited
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

// prepareHosts installs Python, which Ansible needs on hosts.
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

// play runs the playbook. If converged is true, it must not report changes.
func (a *ansible) play(ctx context.Context, converged bool) (sample, error) {
	env := []string{"ANSIBLE_CONFIG=" + a.dir + "/ansible.cfg", "ANSIBLE_NOCOLOR=1"}
	results, err := execute(ctx, a.dir, env,
		[]string{"ansible-playbook", "--extra-vars", "mirrors_d=" + a.dir + "/mirrors.d", "playbook.yml"})
	if err != nil {
		return sample{}, err
	}
	if err := checkRecap(results[0].output, a.count, converged); err != nil {
		return sample{}, fmt.Errorf("%w:\n%s", err, lastLines(results[0].output, 40))
	}
	return results[0].sample, nil
}

// checkRecap checks the recap at the end of ansible-playbook's output.
func checkRecap(output string, hosts int, converged bool) error {
	lines := recap.FindAllString(output, -1)
	if len(lines) != hosts {
		return fmt.Errorf("ansible-playbook reports %d hosts, not %d", len(lines), hosts)
	}
	for _, line := range lines {
		for _, m := range counted.FindAllStringSubmatch(line, -1) {
			if m[2] != "0" && (m[1] != "changed" || converged) {
				return errors.New("ansible-playbook reports failed or unreachable hosts, or unexpected changes")
			}
		}
	}
	return nil
}

// disconnect ends the connections that Ansible keeps open for a minute, so that each run starts
// without connections, like those of the other programs.
func (a *ansible) disconnect(ctx context.Context) error {
	sockets, err := filepath.Glob(filepath.Join(a.dir, "cp", "*"))
	if err != nil {
		return err
	}
	for _, socket := range sockets {
		if _, err := execute(ctx, a.dir, nil, []string{"ssh", "-F", "/dev/null", "-o", "ControlPath=" + socket, "-O",
			"exit", "host"}); err != nil {
			return err
		}
	}
	return nil
}
