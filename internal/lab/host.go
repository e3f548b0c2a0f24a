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

// Family is the kind of distribution a host looks like.
type Family string

// The families.
const (
	Debian Family = "debian" // the machine's own Debian-like release
	EL     Family = "el"     // the same tree with dnf, rpm and AlmaLinux's os-release
)

// HostSpec says what host to boot.
type HostSpec struct {
	// Name is the host name: at most 40 lower-case letters, digits and hyphens.
	Name string
	// Disks are the sizes in bytes of block devices, backed by sparse files.
	Disks []int64
	// Family is Debian when empty.
	Family Family
	// Release is the code name of another release of the machine's distribution, as "trixie": its
	// tree is made when the first host asks for it. Such hosts have sudo-rs
	// (/usr/lib/cargo/bin/sudo) beside sudo, no packages that they could install but the demo's,
	// and no accounts "csh" and "fish". Empty: the machine's own release.
	Release string
	// System is the type of the file system on a block device of its own that
	// holds all that the host changes of its tree, "ext4" or "xfs", for
	// Snapshot and PowerCut. Empty: a directory of the machine holds it.
	System string
}

// Disk is a block device of a host.
type Disk struct {
	Path    string `json:"path"`    // /dev/loopN, inside the host as on the machine
	Backing string `json:"backing"` // the sparse file on the machine
	Size    int64  `json:"size"`    // bytes
}

// Host is a booted host. The methods may be called concurrently, but for
// those that start and stop it.
type Host struct {
	Name       string
	Address    string // IPv4
	Family     Family
	Disks      []Disk
	SSHKeyPath string // the lab's key; the accounts are root and those of Users

	lab     *Lab
	machine string // unique on the machine
	dir     string // upper, work, root
	system  *systemDisk
	release string
	lower   []string // the layers below upper, uppermost first
}

// Users are the accounts of each host besides root: "admin" (sudo without
// password), "op" (sudo with OpPassword), "plain" (no sudo), "doas" (doas
// without password), "csh" and "fish" (those login shells, sudo without
// password), "noisy" (start-up files that print, sudo without password).
func Users() []string { return []string{"admin", "op", "plain", "doas", "csh", "fish", "noisy"} }

const (
	firstHost = 10 // last byte of the first host's address
	lastHost  = 250
	// bootLimit bounds a boot. It takes about a second alone, and much longer
	// when thirty hosts boot at once on a busy machine.
	bootLimit = 2 * time.Minute
)

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

func (l *Lab) host(name, network string, hs hostState) *Host {
	return &Host{Name: name, Address: fmt.Sprintf("%s.%d", network, hs.Index), Family: hs.Family, Disks: hs.Disks,
		SSHKeyPath: l.KeyPath(), lab: l, machine: hs.Machine, release: hs.Release, dir: filepath.Join(l.data, name)}
}

// Boot makes a host and boots it; it returns when sshd accepts connections.
// When that fails, nothing of the host is left.
func (l *Lab) Boot(ctx context.Context, spec HostSpec) (*Host, error) {
	hosts, err := l.BootAll(ctx, spec)
	return hosts[0], err
}

// BootAll boots several hosts at once and gives them addresses in their
// order. When some fail, nothing of them is left, they are nil in the result
// and explained by the error, and the others are up.
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

// boot makes and starts a host that has been reserved.
func (h *Host) boot(ctx context.Context, spec HostSpec) error {
	begin := time.Now()
	l := h.lab
	lower, err := h.trees(ctx)
	if err != nil {
		return err
	}
	if err := h.prepare(ctx, spec, lower); err != nil {
		return err
	}
	if err := h.Start(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	l.hosts[h.Name] = h
	l.mu.Unlock()
	logf(l.log, "host %s is up at %s (%.1f s)", h.Name, h.Address, time.Since(begin).Seconds())
	return nil
}

// trees makes the layers that the host's file system lies on, if need be, and returns them,
// uppermost first.
func (h *Host) trees(ctx context.Context) ([]string, error) {
	l := h.lab
	if h.release != "" {
		tree, err := l.cache.release(ctx, l.recipe, h.release)
		return []string{filepath.Join(tree, "root")}, err
	}
	lower := []string{filepath.Join(l.base, "root")}
	if h.Family == EL {
		layer, err := l.cache.enterpriseLayer(ctx, l.recipe)
		if err != nil {
			return nil, err
		}
		lower = []string{filepath.Join(layer, "root"), lower[0]}
	}
	return lower, nil
}

// reserve enters the host in the lab's state under a free address.
func (l *Lab) reserve(ctx context.Context, spec HostSpec) (*Host, error) {
	if spec.Family == "" {
		spec.Family = Debian
	}
	if spec.Family != Debian && spec.Family != EL {
		return nil, fmt.Errorf("host %s: unknown family %q", spec.Name, spec.Family)
	}
	if spec.Release != "" && spec.Family != Debian {
		return nil, fmt.Errorf("host %s: family %s has no other release", spec.Name, spec.Family)
	}
	if spec.Release != "" && !hostName.MatchString(spec.Release) {
		return nil, fmt.Errorf("host %s: %q is not the code name of a release", spec.Name, spec.Release)
	}
	if !hostName.MatchString(spec.Name) {
		return nil, fmt.Errorf("host name %q: use at most 40 lower-case letters, digits and hyphens", spec.Name)
	}
	var h *Host
	err := l.update(ctx, func(s *state) error {
		if _, ok := s.Hosts[spec.Name]; ok {
			return fmt.Errorf("lab %s has a host %s already", l.Name, spec.Name)
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
		hs := hostState{Index: index, Family: spec.Family, Release: spec.Release,
			Machine: fmt.Sprintf("%s-%d-%s", s.Bridge, index, spec.Name)}
		s.Hosts[spec.Name] = hs
		h = l.host(spec.Name, s.Network, hs)
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

// prepare makes the host's disks and its file system with the files that are
// its own.
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
	if err := mountOverlay(h.root(), upper, work, lower...); err != nil {
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
	return h.lab.editKnownHosts(ctx, h.Address, publics)
}

func makeDisk(backing string, size int64) (Disk, error) {
	file, err := os.OpenFile(backing, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return Disk{}, fmt.Errorf("making a disk: %w", err)
	}
	if err := errors.Join(file.Truncate(size), file.Close()); err != nil {
		return Disk{}, fmt.Errorf("making a disk of %d bytes: %w", size, err)
	}
	device, err := attachLoop(backing)
	if err != nil {
		return Disk{}, err
	}
	return Disk{Path: device, Backing: backing, Size: size}, nil
}

// writeHostKeys gives the host ssh keys of its own and returns their public
// halves.
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

// writeIdentity gives the host its name, machine id (machine-id(5)) and
// address. The network has no route out, so what is not in the lab fails at
// once; the names of AlmaLinux's rsync servers are the lab's upstream.
func (h *Host) writeIdentity() error {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails (crypto/rand)
	// networkd's own file for containers is 80-container-host0; the first
	// name that matches wins (systemd.network(5)).
	network := fmt.Sprintf("[Match]\nName=host0\n\n[Network]\nAddress=%s/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n", h.Address)
	hosts := fmt.Sprintf("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n%s upstream rsync.repo.almalinux.org rsync.kitten.repo.almalinux.org\n",
		h.Name, h.lab.Gateway)
	return writeTreeFiles(h.root(), []treeFile{
		{"/etc/machine-id", 0o444, hex.EncodeToString(id) + "\n"},
		{"/etc/hostname", 0o644, h.Name + "\n"},
		{"/etc/hosts", 0o644, hosts},
		{"/etc/systemd/network/10-host0.network", 0o644, network},
	})
}

// authorize lets the lab's key in to every account.
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

// editKnownHosts replaces the keys of an address in the lab's known_hosts; no
// keys removes it.
func (l *Lab) editKnownHosts(ctx context.Context, address string, publics []string) error {
	return l.update(ctx, func(*state) error {
		old, err := os.ReadFile(l.KnownHosts())
		if err != nil {
			return fmt.Errorf("entering a host key: %w", err)
		}
		var b bytes.Buffer
		for line := range strings.Lines(string(old)) {
			if !strings.HasPrefix(line, address+" ") {
				b.WriteString(line)
			}
		}
		for _, public := range publics {
			b.WriteString(address + " " + public + "\n")
		}
		if err := replaceFile(l.KnownHosts(), b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("entering a host key: %w", err)
		}
		return nil
	})
}
