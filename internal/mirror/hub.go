package mirror

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/syncs"
)

// A leaf is a mirror with sync.from: its upstream is the rsync daemon of another host, the hub. The
// hub's block has all that the leaf needs, so nothing is typed twice.

// leafEvery is the interval of a leaf's syncs. It is short, since most of them end with the
// question for one file.
const leafEvery = "15m"

// hubsOf returns the names of the hosts that a mirror's trees come from, each once. Kitten's are
// the mirror's, or its own.
func hubsOf(spec *Spec) (names []string) {
	add := func(s *Sync) {
		if s == nil {
			return
		}
		for _, name := range s.From {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	add(spec.Sync)
	if spec.Kitten != nil {
		add(spec.Kitten.Sync)
	}
	return names
}

// syncedTree is one of the trees of a mirror block, with its sync block.
type syncedTree struct {
	kitten bool
	sync   Sync
}

func treesOf(spec *Spec) []syncedTree {
	main := settled(spec.Sync)
	trees := []syncedTree{{false, main}}
	if spec.Kitten != nil && spec.AlmaLinux() {
		trees = append(trees, syncedTree{true, inherit(settled(spec.Kitten.Sync), main)})
	}
	return trees
}

// offers reports whether a mirror block on a hub has the tree that a leaf wants.
func offers(hub *engine.NeighbourBlock, leaf *Spec, leafLabel string, t syncedTree) bool {
	spec := hub.Spec.(*Spec)
	switch {
	case spec.AlmaLinux() != leaf.AlmaLinux():
		return false
	case t.sync.Module != "":
		return moduleOf(spec, hub.Label, t.kitten) == t.sync.Module
	case spec.AlmaLinux():
		return true
	}
	return hub.Label == leafLabel || moduleOf(spec, hub.Label, false) == leafLabel
}

// asLeaf sets the defaults of a sync from a hub: it asks for the hub's TIME first, and often.
func (x *settling) asLeaf(s Sync) Sync {
	if len(s.From) == 0 {
		return s
	}
	if file := x.guide.freshness; s.Freshness == nil && file != "" {
		s.Freshness = &file
	}
	if s.Every == "" && s.Schedule == "" && s.Freshness != nil && *s.Freshness != "" {
		s.Every = leafEvery
	}
	return s
}

// settleHubs makes the hubs' modules the upstreams of a job. own is the job's block, and s has what
// it inherits as well.
func (x *settling) settleHubs(j *job, own, s Sync) {
	switch {
	case len(own.From) > 0 && len(own.Upstream) > 0:
		x.errorf(j.attribute("upstream"), "remove one of them", "both from and upstream say where the tree comes from")
		return
	case len(s.From) == 0 && own.Module != "":
		x.errorf(j.attribute("module"), "set from to the hub, or write the module into the URL of upstream",
			"module names a hub's module, but from is not set")
	}
	if len(s.From) == 0 {
		return
	}
	f := &hubFinder{x, j, syncedTree{j.prefix != "", s}, len(own.From) == 0}
	for _, name := range s.From {
		i := slices.IndexFunc(x.host.DependsOn, func(n engine.Neighbour) bool { return n.Host == name })
		switch {
		case i < 0:
			f.unlessInherited(j.attribute("from"), "use a host of this configuration, as in host.hub",
				"host %q not found", name)
		case x.host.DependsOn[i].Unknown:
			j.settings.Upstream = unknownHub
		default:
			f.use(&x.host.DependsOn[i])
		}
	}
	for i, h := range j.hubs {
		if i == 0 {
			j.settings.Upstream, j.settings.Fallback = h.URL, nil
		} else {
			j.settings.Fallback = append(j.settings.Fallback, h.URL)
		}
	}
}

// unknownHub is in the place of a hub that is not known. The parts with it are not used.
const unknownHub = "rsync://hub.invalid/unknown/"

// hubFinder finds the tree of a leaf's job on its hubs.
type hubFinder struct {
	*settling
	j         *job
	tree      syncedTree
	inherited bool // from is that of the main sync block, which reports what is wrong with it
}

// use adds a host to the hubs of the job, or reports why it cannot be one.
func (f *hubFinder) use(n *engine.Neighbour) {
	attribute, me := f.j.attribute("from"), f.host.Target.Name
	if n.Host == me {
		f.unlessInherited(attribute, fmt.Sprintf("for a block with a hub and its leaves: "+
			"from = target.name == host.%[1]s.name ? null : host.%[1]s", me), "host %s cannot sync from itself", me)
		return
	}
	b := f.block(n, attribute)
	if b == nil {
		return
	}
	spec := b.Spec.(*Spec)
	what := mirrorOf(b, n)
	switch {
	case spec.RsyncDaemon == nil:
		f.unlessInherited(attribute, fmt.Sprintf("add to mirror %s (%s): rsync_daemon {}", b.Label, b.Source),
			"%s has no rsync_daemon block, so host %s cannot sync from it", what, me)
		return
	case f.tree.kitten && spec.Kitten == nil:
		f.errorf(attribute, "add a kitten block there, or set kitten.sync.upstream here",
			"%s has no kitten block, so host %s cannot sync Kitten from it", what, me)
		return
	}
	address, why := hubAddress(n, spec.RsyncDaemon)
	if why != "" {
		f.unlessInherited(attribute, fmt.Sprintf("set rsync_daemon.hub_address of mirror %s (%s) "+
			"to the address or name at which its leaves reach it", b.Label, b.Source),
			"host %s (%s) %s", n.Host, n.Source, why)
		return
	}
	module := moduleOf(spec, b.Label, f.tree.kitten)
	hub := syncs.Hub{Host: n.Host, Mirror: b.Label, URL: "rsync://" + address + "/" + module + "/"}
	if f.tree.kitten {
		hub.Mirror += kittenSuffix
	}
	if len(f.j.hubs) == 0 {
		f.j.hubEvery = settled(spec.Sync).Every
	}
	f.j.hubs = append(f.j.hubs, hub)
	f.warnOfEarlyTime(b, n, attribute)
}

// warnOfEarlyTime warns of a hub whose TIME is new before its other files are: then a leaf may have
// that TIME with old files, and asks for nothing more until the next one.
func (f *hubFinder) warnOfEarlyTime(b *engine.NeighbourBlock, n *engine.Neighbour, attribute string) {
	spec := b.Spec.(*Spec)
	s := settled(spec.Sync)
	if f.tree.kitten {
		s = inherit(settled(spec.Kitten.Sync), s)
	}
	if len(s.Flags) == 0 || slices.Contains(append(slices.Clip(s.Flags), s.Options...), "--delay-updates") ||
		f.tree.sync.Freshness == nil || *f.tree.sync.Freshness == "" || f.inherited {
		return
	}
	f.caution(attribute, `add "--delay-updates" to sync.options there, or set freshness = "" here`,
		"syncs of %s have no --delay-updates, so its %s is new before its other files, "+
			"and this leaf may miss them until the next one",
		mirrorOf(b, n), *f.tree.sync.Freshness)
}

// mirrorOf names a block of a hub and its place.
func mirrorOf(b *engine.NeighbourBlock, n *engine.Neighbour) string {
	return fmt.Sprintf("mirror %s of host %s (%s)", b.Label, n.Host, b.Source)
}

// unlessInherited reports an error of a from that this job's own block sets.
func (f *hubFinder) unlessInherited(attribute, detail, format string, args ...any) {
	if !f.inherited {
		f.errorf(attribute, detail, format, args...)
	}
}

// block returns the mirror block of a hub that has the tree, or reports why there is not exactly
// one.
func (f *hubFinder) block(n *engine.Neighbour, attribute string) *engine.NeighbourBlock {
	var found *engine.NeighbourBlock
	var several bool
	var there []string // mirrors of the same kind
	for i := range n.Blocks {
		b := &n.Blocks[i]
		spec := b.Spec.(*Spec)
		if spec.AlmaLinux() != f.spec.AlmaLinux() && !b.Unknown["distribution"] {
			continue
		}
		for _, path := range []string{"distribution", "rsync_daemon.module", "rsync_daemon.hub_address"} {
			if b.Unknown[path] {
				f.unlessInherited(attribute, "set it to a value that is known before any host is reached",
					"%s of %s needs facts of that host, which its leaves do not have", path, mirrorOf(b, n))
				return nil
			}
		}
		module := moduleOf(spec, b.Label, f.tree.kitten)
		there = append(there, fmt.Sprintf("%s (mirror %s, %s)", cmp.Or(module, "none"), b.Label, b.Source))
		if offers(b, f.spec, f.name, f.tree) {
			several = found != nil
			found = b
		}
	}
	kind := "AlmaLinux mirror"
	if !f.spec.AlmaLinux() {
		kind = "mirror of another distribution"
	}
	where := fmt.Sprintf("host %s (%s)", n.Host, n.Source)
	list := strings.Join(there, ", ")
	switch {
	case len(there) == 0:
		f.unlessInherited(attribute, fmt.Sprintf("add host.%s to the hosts of a mirror block with rsync_daemon {}, "+
			"or set upstream instead of from", n.Host),
			"%s has no %s, so host %s cannot sync from it", where, kind, f.host.Target.Name)
		return nil
	case several:
		f.unlessInherited(attribute, "set "+f.j.attribute("module")+" to one of them",
			"%s has several mirrors of this tree, with the modules %s", where, list)
		return nil
	case found == nil:
		f.unlessInherited(attribute, "set "+f.j.attribute("module")+" to one of these modules, if it has this tree: "+list,
			"%s has no rsync module %s", where, cmp.Or(f.tree.sync.Module, f.name))
	}
	return found
}

// hubAddress returns the address of a hub, in the form that URLs have, or why it has none.
func hubAddress(n *engine.Neighbour, d *RsyncDaemon) (address, why string) {
	address = cmp.Or(d.HubAddress, n.Address)
	ip, err := netip.ParseAddr(address)
	switch {
	case d.HubAddress != "" && err != nil && !isHostName(address):
		return "", fmt.Sprintf("has an invalid hub_address %q", address)
	case d.HubAddress == "" && n.Here:
		return "", "is this machine, which other hosts reach at an address that is not known"
	case address == "localhost" || err == nil && ip.IsLoopback():
		return "", fmt.Sprintf("has the address %s, at which each host reaches itself", address)
	case err == nil && ip.Zone() != "":
		return "", fmt.Sprintf("has the address %s, whose zone %s is one of this machine", address, ip.Zone())
	case err == nil && ip.Is6():
		return "[" + ip.String() + "]", ""
	case err != nil && !isHostName(address):
		return "", fmt.Sprintf("has the address %q, which cannot be part of a URL", address)
	}
	return address, ""
}

// firstHub returns the name of the host that a job's tree comes from, or "".
func (j *job) firstHub() string {
	if len(j.hubs) == 0 {
		return ""
	}
	return j.hubs[0].Host
}

// leaf is a host that syncs a tree from this one.
type leaf struct {
	host, address, source string
}

// leaves returns the hosts that sync a job's tree from this host.
func (x *settling) leaves(j *job) (list []leaf) {
	me := &engine.NeighbourBlock{Label: x.name, Spec: x.spec}
	for _, n := range x.host.Dependents {
		for _, b := range n.Blocks {
			spec := b.Spec.(*Spec)
			for _, t := range treesOf(spec) {
				from := t.kitten == (j.prefix != "") && slices.Contains(t.sync.From, x.host.Target.Name)
				if from && offers(me, spec, b.Label, t) {
					address := n.Address
					if n.Here {
						address = ""
					}
					list = append(list, leaf{n.Host, address, b.Source})
				}
			}
		}
	}
	return list
}

// checkLeaves warns if the daemon may refuse the host's own leaves. The lists of clients are the
// operator's, so nothing is added to them.
func (x *settling) checkLeaves() {
	d := x.spec.RsyncDaemon
	var refused []string
	var add []string
	for _, j := range x.jobs {
		leaves := x.leaves(j)
		if most := d.MaxConnections; most != nil && *most < len(leaves) {
			x.caution("rsync_daemon.max_connections",
				fmt.Sprintf("use at least %d, and more if others use the module", len(leaves)),
				"%d leaves sync from the module %s, which serves %d clients at a time",
				len(leaves), x.rsyncModule(j), *most)
		}
		for _, l := range leaves {
			// Behind another address of the hub, the leaves have others, too.
			text := fmt.Sprintf("%s (%s, %s)", l.host, l.address, l.source)
			if d.HubAddress == "" && refuses(d, l.address) && !slices.Contains(refused, text) {
				refused, add = append(refused, text), append(add, fmt.Sprintf("%q", l.address))
			}
		}
	}
	if len(refused) == 0 {
		return
	}
	attribute := "rsync_daemon.hosts_allow"
	if len(d.HostsAllow) == 0 {
		attribute = "rsync_daemon.hosts_deny"
	}
	x.caution(attribute, "add to hosts_allow, if the hub sees them with these addresses: "+strings.Join(add, ", "),
		"the rsync daemon refuses leaves of this hub: %s", strings.Join(refused, ", "))
}

// caution adds a warning.
func (x *settling) caution(attribute, detail, format string, args ...any) {
	p := engine.Errorf(attribute, format, args...)
	p.Severity, p.Detail = engine.Warning, detail
	x.list = append(x.list, p)
}

// refuses reports whether the daemon certainly refuses a client: rsyncd.conf(5), hosts allow. A
// name in a list may be that of any address.
func refuses(d *RsyncDaemon, address string) bool {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	allowed, allowNames := listed(d.HostsAllow, ip)
	denied, _ := listed(d.HostsDeny, ip)
	switch {
	case allowed || allowNames:
		return false
	case len(d.HostsDeny) > 0:
		return denied
	}
	return len(d.HostsAllow) > 0
}

// listed reports whether a list of clients has an address, and whether it has other patterns than
// addresses and networks.
func listed(list []string, ip netip.Addr) (found, names bool) {
	for _, word := range list {
		if one, err := netip.ParseAddr(word); err == nil {
			found = found || one.Unmap() == ip.Unmap()
			continue
		}
		network, err := netip.ParsePrefix(word)
		found = found || err == nil && network.Masked().Contains(ip.Unmap())
		names = names || err != nil
	}
	return found, names
}
