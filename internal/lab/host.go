package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// HostSpec describes a host to boot.
type HostSpec struct {
	// Name is the host name: at most 40 lower-case letters, digits and hyphens.
	Name string
	// Disks has the sizes of block devices in bytes. Sparse files back them.
	Disks []int64
	// OS is the machine's own release if empty. The first host of another one builds its trees. Only
	// the machine's own release and EL hosts made of it have the accounts "csh" and "fish".
	OS OS
	// System is a file system type, "ext4" or "xfs". If it is set, the host keeps all changes of its
	// tree on a block device with this file system, which Snapshot and PowerCut require. By default
	// it keeps them in a directory of the machine.
	System string
	// Durable makes fsync(2) wait for the machine's disk, as on other machines. By default it does so
	// only with System: many hosts share the disk, and package managers sync each file.
	Durable bool
	// VM makes the host a virtual machine of the machine's own release, whose kernel enforces SELinux
	// and has the drivers of LVM, RAID and netem. The first one builds its image, which takes two
	// minutes. It needs an amd64 machine.
	VM bool
}

// Disk is a block device of a host.
type Disk struct {
	Path    string `json:"path"`    // /dev/loopN, on the host and on the machine; in a virtual machine /dev/vdX
	Backing string `json:"backing"` // the sparse file on the machine
	Size    int64  `json:"size"`    // bytes
}

// Host is a booted host. Its methods may be called concurrently, except those that start or stop
// it.
type Host struct {
	Name       string
	Address    string // IPv4
	Address6   string // IPv6 with the same last digits, or "" in a lab without it
	OS         OS     // "" only on a machine whose release has no name here
	Disks      []Disk
	SSHKeyPath string // the lab's key, which is valid for root and the accounts in Users

	lab     *Lab
	machine string // unique on the machine
	dir     string // upper, work, root
	system  *systemDisk
	lower   []string // the layers below upper, topmost first
	vm      *virtual // nil for a container
}

// Users returns the accounts of each host besides root: "admin" (sudo without password), "op" (sudo
// with OpPassword), "plain" (no sudo), "doas" (doas without password), "csh" and "fish" (with these
// login shells, sudo without password), "noisy" (shell startup files that print, sudo without
// password).
func Users() []string { return []string{"admin", "op", "plain", "doas", "csh", "fish", "noisy"} }

const (
	firstHost = 10 // last byte of the first host's address
	lastHost  = 250
	// bootLimit bounds a boot. A single host boots in about a second; thirty hosts at once on a busy
	// machine take much longer.
	bootLimit = 2 * time.Minute
)

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

func (l *Lab) host(name string, s *state, hs hostState) *Host {
	h := &Host{Name: name, Address: s.address(hs.Index), Address6: s.address6(hs.Index), OS: hs.OS, Disks: hs.Disks,
		SSHKeyPath: l.KeyPath(), lab: l, machine: hs.Machine, dir: filepath.Join(l.data, name)}
	if hs.VM {
		h.vm = &virtual{Host: h, index: hs.Index, image: hs.Image}
	}
	return h
}

// Boot creates and boots a host. It returns when sshd accepts connections. If it fails, it removes
// the host.
func (l *Lab) Boot(ctx context.Context, spec HostSpec) (*Host, error) {
	hosts, err := l.BootAll(ctx, spec)
	return hosts[0], err
}

// BootAll boots several hosts in parallel, with addresses in the order of specs. It removes hosts
// that fail: they are nil in the result, and the error explains them. The other hosts are up.
func (l *Lab) BootAll(ctx context.Context, specs ...HostSpec) ([]*Host, error) {
	hosts := make([]*Host, len(specs))
	errs := make([]error, len(specs))
	var wait sync.WaitGroup
	for i, spec := range specs {
		hosts[i], errs[i] = l.reserve(ctx, spec)
		if errs[i] != nil {
			continue
		}
		wait.Go(func() {
			if errs[i] = hosts[i].boot(ctx, spec); errs[i] != nil {
				errs[i] = errors.Join(fmt.Errorf("booting host %s: %w", spec.Name, errs[i]), hosts[i].Remove(ctx))
				hosts[i] = nil
			}
		})
	}
	wait.Wait()
	return hosts, errors.Join(errs...)
}

// boot creates and starts a reserved host.
func (h *Host) boot(ctx context.Context, spec HostSpec) error {
	begin := time.Now()
	l := h.lab
	create := h.createContainer
	if h.vm != nil {
		create = h.vm.create
	}
	if err := create(ctx, spec); err != nil {
		return err
	}
	l.mu.Lock()
	l.hosts[h.Name] = h
	l.mu.Unlock()
	logf(l.log, "host %s is up at %s (%.1f s)", h.Name, h.Address, time.Since(begin).Seconds())
	return nil
}

// createContainer prepares the container and starts it.
func (h *Host) createContainer(ctx context.Context, spec HostSpec) error {
	lower, err := h.lab.cache.trees(ctx, h.lab.recipe, h.OS)
	if err != nil {
		return err
	}
	if err := h.prepare(ctx, spec, lower); err != nil {
		return err
	}
	return h.Start(ctx)
}

// reserve adds the host to the lab's state with a free address.
func (l *Lab) reserve(ctx context.Context, spec HostSpec) (*Host, error) {
	system, err := resolveOS(spec.OS, l.recipe.Codename)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", spec.Name, err)
	}
	if !hostName.MatchString(spec.Name) {
		return nil, fmt.Errorf("invalid host name %q: use at most 40 lower-case letters, digits and hyphens", spec.Name)
	}
	if spec.VM {
		if err := checkVMSpec(spec); err != nil {
			return nil, err
		}
	}
	var h *Host
	err = l.update(ctx, func(s *state) error {
		if _, ok := s.Hosts[spec.Name]; ok {
			return fmt.Errorf("lab %s already has a host %s", l.Name, spec.Name)
		}
		used := map[int]bool{}
		for _, other := range s.Hosts {
			used[other.Index] = true
		}
		index := firstHost
		for used[index] {
			index++
		}
		if index > lastHost {
			return fmt.Errorf("lab %s is full: it has %d hosts", l.Name, len(s.Hosts))
		}
		hs := hostState{Index: index, OS: system, VM: spec.VM,
			Machine: fmt.Sprintf("%s-%d-%s", s.Bridge, index, spec.Name)}
		s.Hosts[spec.Name] = hs
		h = l.host(spec.Name, s, hs)
		return nil
	})
	return h, err
}

// change updates the host's entry in the lab's state.
func (h *Host) change(ctx context.Context, change func(hs *hostState)) error {
	return h.lab.update(ctx, func(s *state) error {
		hs, ok := s.Hosts[h.Name]
		if !ok {
			return fmt.Errorf("host %s is no longer part of lab %s", h.Name, h.lab.Name)
		}
		change(&hs)
		s.Hosts[h.Name] = hs
		return nil
	})
}

func (h *Host) root() string { return filepath.Join(h.dir, "root") }

// prepare creates the host's disks and its file system, with the files that differ between hosts.
func (h *Host) prepare(ctx context.Context, spec HostSpec, lower []string) error {
	if spec.System != "" {
		if err := makeDirs(h.dir); err != nil {
			return err
		}
		if err := h.makeSystem(ctx, spec.System); err != nil {
			return err
		}
	}
	h.lower = lower
	upper, work := h.overlayDirs()
	for _, dir := range []string{upper, work, h.root()} {
		if err := makeDirs(dir); err != nil {
			return err
		}
	}
	for i, size := range spec.Disks {
		disk, err := makeDisk(filepath.Join(h.dir, fmt.Sprintf("disk%d", i)), size)
		if err != nil {
			return err
		}
		h.Disks = append(h.Disks, disk)
	}
	if err := h.change(ctx, func(hs *hostState) { hs.Disks = h.Disks }); err != nil {
		return err
	}
	if err := mountOverlay(h.root(), upper, work, spec.System == "" && !spec.Durable, lower...); err != nil {
		return err
	}
	publics, err := h.writeHostKeys()
	if err != nil {
		return err
	}
	if err := h.writeIdentity(); err != nil {
		return err
	}
	if err := h.authorize(); err != nil {
		return err
	}
	return h.editKnownHosts(ctx, publics)
}

func makeDisk(backing string, size int64) (Disk, error) {
	if err := makeSparse(backing, size); err != nil {
		return Disk{}, err
	}
	device, err := attachLoop(backing)
	if err != nil {
		return Disk{}, err
	}
	return Disk{Path: device, Backing: backing, Size: size}, nil
}

// makeSparse creates a file of size bytes without content.
func makeSparse(name string, size int64) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("creating a disk: %w", err)
	}
	if err := errors.Join(file.Truncate(size), file.Close()); err != nil {
		return fmt.Errorf("creating a disk of %d bytes: %w", size, err)
	}
	return nil
}

// writeHostKeys generates the host's SSH keys and returns the public keys.
func (h *Host) writeHostKeys() ([]string, error) {
	kinds := []string{"ed25519", "ecdsa", "rsa"}
	publics := make([]string, len(kinds))
	for i, kind := range kinds {
		key, err := newKey(kind)
		if err != nil {
			return nil, err
		}
		publics[i] = key.public
		file := "/etc/ssh/ssh_host_" + kind + "_key"
		err = writeTreeFiles(h.root(), []treeFile{
			{file, 0o600, string(key.private)},
			{file + ".pub", 0o644, key.public + " root@" + h.Name + "\n"},
		})
		if err != nil {
			return nil, err
		}
	}
	return publics, nil
}

// writeIdentity sets the host's name, machine ID (machine-id(5)) and addresses. The network has no
// route to other networks, so connections to them fail immediately. The names of AlmaLinux's rsync
// servers resolve to the lab's upstream.
func (h *Host) writeIdentity() error {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails (crypto/rand)
	// networkd's own file for containers is 80-container-host0. The first matching file in the order
	// of names applies (systemd.network(5)).
	linkLocal, address6 := "no", ""
	if h.Address6 != "" {
		// The kernel confirms its neighbours from its link-local address. Without duplicate address
		// detection the other one is usable at once.
		linkLocal = "ipv6"
		address6 = fmt.Sprintf("\n[Address]\nAddress=%s/64\nDuplicateAddressDetection=none\n", h.Address6)
	}
	network := fmt.Sprintf("[Match]\nName=host0\n\n[Network]\nAddress=%s/24\nLinkLocalAddressing=%s\nIPv6AcceptRA=no\n%s",
		h.Address, linkLocal, address6)
	hosts := fmt.Sprintf("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n%s upstream rsync.repo.almalinux.org "+
		"rsync.kitten.repo.almalinux.org\n",
		h.Name, h.lab.Gateway)
	return writeTreeFiles(h.root(), []treeFile{
		{"/etc/machine-id", 0o444, hex.EncodeToString(id) + "\n"},
		{"/etc/hostname", 0o644, h.Name + "\n"},
		{"/etc/hosts", 0o644, hosts},
		{"/etc/systemd/network/10-host0.network", 0o644, network},
	})
}

// authorize adds the lab's key to the authorized keys of every account.
func (h *Host) authorize() error {
	public, err := os.ReadFile(h.lab.KeyPath() + ".pub")
	if err != nil {
		return err
	}
	passwd, err := os.ReadFile(filepath.Join(h.root(), "etc/passwd"))
	if err != nil {
		return err
	}
	accounts := append(Users(), "root")
	for line := range strings.Lines(string(passwd)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) < 7 || !slices.Contains(accounts, fields[0]) {
			continue
		}
		uid, uidErr := strconv.Atoi(fields[2])
		gid, gidErr := strconv.Atoi(fields[3])
		if err := errors.Join(uidErr, gidErr); err != nil {
			return fmt.Errorf("reading the tree's accounts: %w", err)
		}
		dir := filepath.Join(h.root(), fields[5], ".ssh")
		file := filepath.Join(dir, "authorized_keys")
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := os.WriteFile(file, public, 0o600); err != nil {
			return err
		}
		for _, path := range []string{dir, file} {
			if err := os.Lchown(path, uid, gid); err != nil {
				return err
			}
		}
	}
	return nil
}

// editKnownHosts replaces the host's keys in the lab's known_hosts. Without keys it removes the
// host.
func (h *Host) editKnownHosts(ctx context.Context, publics []string) error {
	addresses := []string{h.Address}
	if h.Address6 != "" {
		addresses = append(addresses, h.Address6)
	}
	return h.lab.update(ctx, func(*state) error {
		path := h.lab.KnownHosts()
		old, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("adding a host key: %w", err)
		}
		var b bytes.Buffer
		for line := range strings.Lines(string(old)) {
			if address, _, _ := strings.Cut(line, " "); !slices.Contains(addresses, address) {
				b.WriteString(line)
			}
		}
		for _, address := range addresses {
			for _, public := range publics {
				b.WriteString(address + " " + public + "\n")
			}
		}
		if err := replaceFile(path, b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("adding a host key: %w", err)
		}
		return nil
	})
}
