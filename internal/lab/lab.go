package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Options say what lab to open.
type Options struct {
	// Name tells labs apart: lower-case letters, digits and hyphens, at most 32
	// bytes. Empty means "lab-" and the process id.
	Name string
	// Dir holds what is expensive to make and kept: the hosts' base trees; and
	// the hosts' own data while the lab is up. Empty means DefaultDir.
	Dir string
	// Persistent keeps the lab when this process ends, until Down.
	Persistent bool
	// Log gets a line for everything that takes longer than about a second.
	// Nil discards them.
	Log io.Writer
}

// DefaultDir is where Open keeps the base trees unless told otherwise: about
// 700 MB, and 300 MB for each other release that hosts have asked for.
const DefaultDir = "/var/cache/mirrorform-lab"

// Lab is a network with hosts. Its methods may be called concurrently.
type Lab struct {
	Name    string
	Bridge  string // name of the network interface on the machine
	Gateway string // the machine's IPv4 address in the lab

	dir    string // run directory
	data   string // directory of overlays and disks
	cache  *cache
	base   string
	recipe *recipe
	log    io.Writer

	mu    sync.Mutex
	hosts map[string]*Host
}

var labName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// Open makes a lab without hosts. It first ends the labs whose owner is gone
// (Sweep), and makes the base tree if the cache has none, which takes a few
// minutes once. The caller ends the lab with Down. An error wraps
// ErrUnavailable if this machine or user cannot run one.
func Open(ctx context.Context, options Options) (*Lab, error) {
	if options.Name == "" {
		options.Name = fmt.Sprintf("lab-%d", os.Getpid())
	}
	if options.Dir == "" {
		options.Dir = DefaultDir
	}
	if !labName.MatchString(options.Name) {
		return nil, fmt.Errorf("lab name %q: use at most 32 lower-case letters, digits and hyphens", options.Name)
	}
	if err := ensureRequirements(ctx, options.Log); err != nil {
		return nil, err
	}
	if err := Sweep(ctx); err != nil {
		return nil, err
	}
	r, err := newRecipe()
	if err != nil {
		return nil, err
	}
	c := &cache{dir: options.Dir, log: options.Log}
	base, err := c.base(ctx, r)
	if err != nil {
		return nil, err
	}
	l := &Lab{Name: options.Name, dir: filepath.Join(runRoot, options.Name), data: filepath.Join(options.Dir, "labs", options.Name),
		cache: c, base: base, recipe: r, log: options.Log, hosts: map[string]*Host{}}
	if err := l.create(ctx, options.Persistent); err != nil {
		return nil, fmt.Errorf("opening lab %s: %w", l.Name, err)
	}
	return l, nil
}

// create reserves the name and the network, and makes the lab's directories,
// key and bridge.
func (l *Lab) create(ctx context.Context, persistent bool) error {
	unlock, err := lockAll(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	boot, err := bootID()
	if err != nil {
		return err
	}
	owner, err := findProcess(os.Getpid())
	if err != nil {
		return err
	}
	if err := os.Mkdir(l.dir, 0o711); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return errors.New("a lab of this name is up; attach to it or end it first")
		}
		return err
	}
	network, number, err := freeNetwork()
	if err != nil {
		_ = os.Remove(l.dir)
		return err
	}
	l.Bridge, l.Gateway = fmt.Sprintf("mflab%d", number), network+".1"
	// The state comes before what it describes, so that Sweep finds all of it.
	s := &state{Name: l.Name, BootID: boot, Owner: owner, Persistent: persistent, Bridge: l.Bridge,
		Network: network, Cache: l.cache.dir, Base: l.base, Data: l.data, Hosts: map[string]hostState{}}
	if err := writeState(l.dir, s); err != nil {
		return errors.Join(err, os.RemoveAll(l.dir))
	}
	err = makeDirs(l.data)
	if err == nil {
		err = writeClientKey(l.KeyPath(), "mirrorform lab "+l.Name)
	}
	if err == nil {
		err = os.WriteFile(l.KnownHosts(), nil, 0o644)
	}
	if err == nil {
		err = makeBridge(ctx, l.Bridge, l.Gateway+"/24")
	}
	if err != nil {
		return errors.Join(err, end(context.WithoutCancel(ctx), l.dir, s))
	}
	return nil
}

// Attach opens a lab that is up, of this or another process. The lab stays
// its owner's: it ends with the owner unless it is persistent.
func Attach(ctx context.Context, name string, log io.Writer) (*Lab, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	if !labName.MatchString(name) {
		return nil, fmt.Errorf("lab name %q: use at most 32 lower-case letters, digits and hyphens", name)
	}
	dir := filepath.Join(runRoot, name)
	s, err := readState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("attaching to lab %s: no lab of this name is up", name)
	}
	if err != nil {
		return nil, err
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	if s.dead(boot) {
		return nil, fmt.Errorf("attaching to lab %s: it was left by a process that is gone; end it and open a new one", name)
	}
	r, err := newRecipe()
	if err != nil {
		return nil, err
	}
	l := &Lab{Name: name, Bridge: s.Bridge, Gateway: s.Network + ".1", dir: dir, data: s.Data,
		cache: &cache{dir: s.Cache, log: log}, base: s.Base, recipe: r, log: log, hosts: map[string]*Host{}}
	for hostName, hs := range s.Hosts {
		l.hosts[hostName] = l.host(hostName, s.Network, hs)
	}
	return l, ctx.Err()
}

// Hosts returns the lab's hosts, sorted by name.
func (l *Lab) Hosts() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	hosts := make([]*Host, 0, len(l.hosts))
	for _, name := range slices.Sorted(maps.Keys(l.hosts)) {
		hosts = append(hosts, l.hosts[name])
	}
	return hosts
}

// Host returns the host of the given name, or an error that names those that
// there are.
func (l *Lab) Host(name string) (*Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h, ok := l.hosts[name]; ok {
		return h, nil
	}
	return nil, fmt.Errorf("lab %s has no host %q; it has %q", l.Name, name, slices.Sorted(maps.Keys(l.hosts)))
}

// KeyPath is the private ssh key (ed25519, OpenSSH format) with which every
// account of every host can be logged in to.
func (l *Lab) KeyPath() string { return filepath.Join(l.dir, "id_ed25519") }

// KnownHosts is a file in the format of sshd(8), SSH_KNOWN_HOSTS, with all
// host keys of the lab's hosts, by address.
func (l *Lab) KnownHosts() string { return filepath.Join(l.dir, "known_hosts") }

// Down ends the lab: hosts, upstream, mounts, loop devices, network, data.
// It goes on after errors and returns all of them; calling it again is
// harmless. A ctx that is cancelled does not keep it from ending the lab.
func (l *Lab) Down(ctx context.Context) error {
	l.mu.Lock()
	l.hosts = map[string]*Host{}
	l.mu.Unlock()
	return Down(ctx, l.Name)
}

// Down ends the lab of the given name, whoever owns it. No lab of that name
// is no error.
func Down(ctx context.Context, name string) error {
	if err := Check(); err != nil {
		return err
	}
	if !labName.MatchString(name) {
		return fmt.Errorf("lab name %q: use at most 32 lower-case letters, digits and hyphens", name)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	dir := filepath.Join(runRoot, name)
	unlock, err := lockAll(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return endDir(ctx, dir)
}

// Sweep ends the labs that nobody owns: those of processes that are gone,
// unless they are persistent, and all from before the machine's last boot.
func Sweep(ctx context.Context) error {
	unlock, err := lockAll(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	dirs, err := labDirs()
	if err != nil {
		return err
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		s, err := readState(dir)
		if err == nil && !s.dead(boot) {
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w; remove %s if no lab uses it", err, dir)
		}
		if err := endDir(ctx, dir); err != nil {
			return fmt.Errorf("sweeping a lab that nobody owns: %w", err)
		}
	}
	return nil
}

// endDir ends the lab with the run directory dir; the caller holds lockAll.
func endDir(ctx context.Context, dir string) error {
	s, err := readState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(dir) // its owner died before it made anything
	}
	if err != nil {
		return err
	}
	if err := end(ctx, dir, s); err != nil {
		return fmt.Errorf("ending lab %s: %w", s.Name, err)
	}
	return nil
}

// end removes all of a lab, the run directory last, so that it can be tried
// again when a step fails.
func end(ctx context.Context, dir string, s *state) error {
	err := errors.Join(
		endCgroup(ctx, s.Name),
		removeBridge(ctx, s.Bridge),
		unmountBelow(s.Data),
		detachLoops(ctx, s.Data),
	)
	for _, hs := range s.Hosts {
		err = errors.Join(err, removePropagation(hs.Machine))
	}
	if err == nil {
		err = removeTree(s.Data)
		_ = os.Remove(filepath.Dir(s.Data)) // fails while there are other labs
	}
	if err == nil {
		err = os.RemoveAll(dir)
	}
	return err
}

// detachLoops detaches the loop devices over files below dir and waits until
// the kernel has let go of them.
func detachLoops(ctx context.Context, dir string) error {
	return poll(ctx, 20*time.Second, func() (bool, error) {
		devices, err := loopsBelow(dir)
		if err != nil {
			return false, err
		}
		for _, device := range devices {
			if err := detachLoop(device); err != nil {
				return false, err
			}
		}
		return len(devices) == 0, nil
	})
}

// Info describes a lab for a listing.
type Info struct {
	Name       string
	Persistent bool
	Owner      int  // process id
	Owned      bool // false when the owner is gone, and Sweep may end it
	Hosts      []HostInfo
	Upstream   string // rsync URL of the upstream, or empty
}

// HostInfo describes a host for a listing.
type HostInfo struct {
	Name, Address string
	Family        Family
	Running       bool
}

// List describes every lab on the machine, sorted by name.
func List(ctx context.Context) ([]Info, error) {
	dirs, err := labDirs()
	if err != nil {
		return nil, err
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	var infos []Info
	for _, name := range slices.Sorted(maps.Keys(dirs)) {
		s, err := readState(dirs[name])
		if errors.Is(err, fs.ErrNotExist) {
			continue // being made or ended just now
		}
		if err != nil {
			return nil, err
		}
		info := Info{Name: s.Name, Persistent: s.Persistent, Owner: s.Owner.PID, Owned: !s.dead(boot)}
		for _, hostName := range slices.Sorted(maps.Keys(s.Hosts)) {
			hs := s.Hosts[hostName]
			info.Hosts = append(info.Hosts, HostInfo{hostName, fmt.Sprintf("%s.%d", s.Network, hs.Index), hs.Family, hs.Keeper.alive()})
		}
		if s.Upstream != nil && s.Upstream.Process.alive() {
			info.Upstream = "rsync://" + s.Upstream.Address + "/"
		}
		infos = append(infos, info)
	}
	return infos, ctx.Err()
}
