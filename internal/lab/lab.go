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

// Options describe a lab to open.
type Options struct {
	// Name identifies the lab: lower-case letters, digits and hyphens, at most 32 bytes. The default
	// is "lab-" and the process ID.
	Name string
	// Dir has the base trees, which are kept, and the hosts' data while the lab is up. The default is
	// DefaultDir.
	Dir string
	// Persistent keeps the lab when this process ends, until Down.
	Persistent bool
	// Log receives a line for every step that takes longer than about a second. It may be nil.
	Log io.Writer
}

// DefaultDir is the default directory of the trees: docs/lab.md has their sizes.
const DefaultDir = "/var/cache/mirrorform-lab"

// Lab is a network with hosts. Its methods may be called concurrently.
type Lab struct {
	Name    string
	Bridge  string // name of the network interface on the machine
	Gateway string // the machine's IPv4 address in the lab
	// Gateway6 is the machine's IPv6 address in the lab, or "" if the machine's kernel has no IPv6.
	Gateway6 string

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

// Open creates a lab without hosts. It first ends the labs whose owner has ended (Sweep), and
// builds the base tree if it is missing, which takes a few minutes. The caller ends the lab with
// Down. The error wraps ErrUnavailable if this machine or user cannot run a lab.
func Open(ctx context.Context, options Options) (*Lab, error) {
	if options.Name == "" {
		options.Name = fmt.Sprintf("lab-%d", os.Getpid())
	}
	if options.Dir == "" {
		options.Dir = DefaultDir
	}
	if !labName.MatchString(options.Name) {
		return nil, fmt.Errorf("invalid lab name %q: use at most 32 lower-case letters, digits and hyphens", options.Name)
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
	l := &Lab{Name: options.Name, dir: filepath.Join(runRoot, options.Name),
		data:  filepath.Join(options.Dir, "labs", options.Name),
		cache: c, base: base, recipe: r, log: options.Log, hosts: map[string]*Host{}}
	if err := l.create(ctx, options.Persistent); err != nil {
		return nil, fmt.Errorf("opening lab %s: %w", l.Name, err)
	}
	return l, nil
}

// create reserves the name and the network, and creates the lab's directories, key and bridge.
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
			return errors.New("a lab with this name is already up; attach to it, or end it first")
		}
		return err
	}
	network, number, err := freeNetwork()
	if err != nil {
		_ = os.Remove(l.dir)
		return err
	}
	l.Bridge, l.Gateway = fmt.Sprintf("mflab%d", number), network+".1"
	prefix6, address6 := "", ""
	if hasIPv6() {
		prefix6 = network6(network)
		l.Gateway6 = prefix6 + "::1"
		address6 = l.Gateway6 + "/64"
	}
	// Write the state before creating what it describes, so that Sweep finds everything.
	s := &state{Name: l.Name, BootID: boot, Owner: owner, Persistent: persistent, Bridge: l.Bridge,
		Network: network, Network6: prefix6, Cache: l.cache.dir, Base: l.base, Data: l.data, Hosts: map[string]hostState{}}
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
		err = makeBridge(ctx, l.Bridge, l.Gateway+"/24", address6)
	}
	if err != nil {
		return errors.Join(err, end(context.WithoutCancel(ctx), l.dir, s))
	}
	return nil
}

// Attach opens a lab of this or another process. The owner of the lab does not change: unless the
// lab is persistent, it ends with its owner.
func Attach(ctx context.Context, name string, log io.Writer) (*Lab, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	if !labName.MatchString(name) {
		return nil, fmt.Errorf("invalid lab name %q: use at most 32 lower-case letters, digits and hyphens", name)
	}
	dir := filepath.Join(runRoot, name)
	s, err := readState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("attaching to lab %s: lab not found", name)
	}
	if err != nil {
		return nil, err
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	if s.dead(boot) {
		return nil, fmt.Errorf("attaching to lab %s: the process that opened it has ended; "+
			"end the lab and open a new one", name)
	}
	r, err := newRecipe()
	if err != nil {
		return nil, err
	}
	l := &Lab{Name: name, Bridge: s.Bridge, Gateway: s.Network + ".1", dir: dir, data: s.Data,
		cache: &cache{dir: s.Cache, log: log}, base: s.Base, recipe: r, log: log, hosts: map[string]*Host{}}
	l.Gateway6 = s.address6(1)
	for hostName, hs := range s.Hosts {
		l.hosts[hostName] = l.host(hostName, s, hs)
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

// Host returns the host with the given name, or an error that lists the lab's hosts.
func (l *Lab) Host(name string) (*Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h, ok := l.hosts[name]; ok {
		return h, nil
	}
	return nil, fmt.Errorf("host %q not found in lab %s; its hosts are %q", name, l.Name,
		slices.Sorted(maps.Keys(l.hosts)))
}

// KeyPath returns the path of the private SSH key (ed25519, OpenSSH format) for every account of
// every host.
func (l *Lab) KeyPath() string { return filepath.Join(l.dir, "id_ed25519") }

// KnownHosts returns the path of a known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT) with the
// host keys of the lab's hosts, by address.
func (l *Lab) KnownHosts() string { return filepath.Join(l.dir, "known_hosts") }

// Down ends the lab: hosts, upstream, CAs, mounts, loop devices, network, data. It continues after
// errors and returns all of them. It may be called again. It ends the lab even if ctx is cancelled.
func (l *Lab) Down(ctx context.Context) error {
	l.mu.Lock()
	l.hosts = map[string]*Host{}
	l.mu.Unlock()
	return Down(ctx, l.Name)
}

// Down ends the lab with the given name, even if another process owns it. A missing lab is not an
// error.
func Down(ctx context.Context, name string) error {
	if err := Check(); err != nil {
		return err
	}
	if !labName.MatchString(name) {
		return fmt.Errorf("invalid lab name %q: use at most 32 lower-case letters, digits and hyphens", name)
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

// Sweep ends abandoned labs: labs of ended processes, unless they are persistent, and all labs from
// before the machine's last boot.
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
			return fmt.Errorf("ending an abandoned lab: %w", err)
		}
	}
	return nil
}

// endDir ends the lab with the run directory dir. The caller holds lockAll.
func endDir(ctx context.Context, dir string) error {
	s, err := readState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(dir) // the owner ended before it created anything
	}
	if err != nil {
		return err
	}
	if err := end(ctx, dir, s); err != nil {
		return fmt.Errorf("ending lab %s: %w", s.Name, err)
	}
	return nil
}

// end removes everything of a lab. It removes the run directory last, so that it can be called
// again if a step fails.
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
		_ = os.Remove(filepath.Dir(s.Data)) // fails, as intended, while other labs exist
	}
	if err == nil {
		err = os.RemoveAll(dir)
	}
	return err
}

// detachLoops detaches the loop devices with backing files below dir, and waits until the kernel
// has released them.
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
	Owner      int  // process ID
	Owned      bool // false if the owner has ended, so that Sweep ends the lab
	Hosts      []HostInfo
	Upstream   string // rsync URL of the upstream, or ""
}

// HostInfo describes a host for a listing.
type HostInfo struct {
	Name     string
	Address  string // IPv4
	Address6 string // IPv6, or "" in a lab without it
	OS       OS     // "" on a machine whose release has no name here
	Running  bool
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
			continue // the lab is being created or ended
		}
		if err != nil {
			return nil, err
		}
		info := Info{Name: s.Name, Persistent: s.Persistent, Owner: s.Owner.PID, Owned: !s.dead(boot)}
		for _, hostName := range slices.Sorted(maps.Keys(s.Hosts)) {
			hs := s.Hosts[hostName]
			info.Hosts = append(info.Hosts, HostInfo{hostName, s.address(hs.Index), s.address6(hs.Index), hs.OS,
				hs.Keeper.alive()})
		}
		if s.Upstream != nil && s.Upstream.Process.alive() {
			info.Upstream = "rsync://" + s.Upstream.Address + "/"
		}
		infos = append(infos, info)
	}
	return infos, ctx.Err()
}
