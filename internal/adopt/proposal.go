package adopt

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/resources"
)

// proposal returns the mirror block that would do the same as what was found: its name, and the
// values that differ from the defaults. Without a sync, spec is nil.
func (f *found) proposal(h Input) (name string, spec *mirror.Spec) {
	j := f.subject()
	if j == nil {
		return "", nil
	}
	name = "almalinux"
	if n, ok := strings.CutPrefix(path.Base(j.at.File), "mirrorform-"); ok && j.kind == byCronD {
		name = n // a mirror block of mirrorform wrote this file
	}
	spec = &mirror.Spec{Storage: mirror.Storage{Path: j.sync.tree}}
	if j.user != "mirror" {
		spec.User = j.user
	}
	edition := matching(j.sync.options)
	if edition.Name != mirror.Editions()[0].Name {
		spec.Guide = edition.Name
	}
	fs := f.fs[j.sync.tree]
	if fs.MountPoint != "" && fs.MountPoint != "/" && engine.PathWithin(j.sync.tree, fs.MountPoint) {
		spec.Storage.MountPoint = fs.MountPoint
	}
	k := f.kitten()
	least := edition.Minimum
	if k != nil {
		least = edition.KittenMinimum
	}
	if n, err := resources.ParseSize(least); err == nil && fs.Size > 0 && fs.Size < n {
		spec.Storage.Minimum = fmt.Sprintf("%dMB", fs.Size/1e6)
		if fs.Size > 2e9 {
			spec.Storage.Minimum = fmt.Sprintf("%dGB", fs.Size/1e9)
		}
		f.remark(Place{fs.MountPoint, 0}, "the file system has %s, but the guide requires %s: the mirror block sets storage.minimum", spec.Storage.Minimum, least)
	}
	spec.Sync = syncBlock(j, edition, edition.Upstream, edition.Lock, spec.Storage.MountPoint)
	f.settleSync(j, spec.Sync)
	spec.Web = f.webBlock(h, j.sync.tree)
	f.settleSchedule(h, name, spec, j)
	if k != nil {
		spec.Kitten = &mirror.Kitten{Path: k.sync.tree, Sync: kittenSync(k, edition, spec)}
		for _, s := range f.serving([]string{k.sync.tree}) {
			if location := s.serves(k.sync.tree); location != strings.TrimSuffix(cmp.Or(spec.Web.Location, "/almalinux/"), "/")+"-kitten/" {
				spec.Kitten.Location = location
			}
		}
	}
	if h.MirrorsD != nil {
		spec.Publish = publishBlock(h.MirrorsD)
	}
	return name, spec
}

// subject returns the sync that the mirror block replaces. For a tree that the operator has named,
// and no sync fills, it is one of which nothing is known.
func (f *found) subject() *job {
	if j := f.main(); j != nil {
		return j
	}
	if f.named == "" || f.files[f.named].Kind != wire.Directory {
		return nil
	}
	f.remark(Place{f.named, 0}, "no sync of this tree is understood: the mirror block has AlmaLinux's upstream, and the guide's schedule")
	return &job{starter: starter{user: f.files[f.named].Owner}, sync: syncCommand{tree: f.named}}
}

// settleSync removes from a block the lock and the schedule that it cannot have.
func (f *found) settleSync(j *job, s *mirror.Sync) {
	if lock := j.sync.lock(); lock != "" && f.sharesLock(j) {
		s.Lock = ""
		f.remark(j.sync.at, "other syncs have the same lock, %s, so the mirror block has one of its own", printable(lock))
	}
	if j.schedule == "@reboot" || j.schedule == "" && j.timer.name == "" && j.kind != "" {
		s.Schedule = ""
		f.remark(j.at, "no schedule is known for this sync: the mirror block has the guide's, unless you set sync.every")
	}
}

// settleSchedule removes the schedule from the block if the block would choose the same one.
func (f *found) settleSchedule(h Input, name string, spec *mirror.Spec, j *job) {
	for _, every := range mirror.Intervals() {
		tried := *spec
		sync := *spec.Sync
		sync.Every, sync.Schedule = every, ""
		tried.Sync = &sync
		parts, _ := mirror.Expand(h.Types, name, &tried, engine.Site{Target: f.target, Address: h.Address, Dir: h.Dir})
		for _, p := range parts {
			if c, ok := p.State.(*resources.Cron); !ok || p.Name != "cron" || c.Schedule != j.schedule {
				continue
			}
			if sync.Schedule = ""; every == mirror.Editions()[0].Every {
				sync.Every = ""
			}
			*spec.Sync = sync
			return
		}
	}
}

// kittenSync returns the arguments that differ from Kitten's defaults. Arguments that are not set
// there are those of the mirror's sync block.
func kittenSync(k *job, e mirror.Edition, spec *mirror.Spec) *mirror.Sync {
	s, main := syncBlock(k, e, e.KittenUpstream, e.KittenLock, spec.Storage.MountPoint), spec.Sync
	if s.Schedule == main.Schedule {
		s.Schedule = ""
	}
	if s.Flags == nil && main.Flags != nil {
		s.Flags = e.Rsync
	}
	for own, from := range map[*[]string][]string{&s.Options: main.Options, &s.Exclude: main.Exclude} {
		if *own == nil && from != nil {
			*own = []string{}
		}
	}
	if s.MaxDelete == nil && main.MaxDelete != nil {
		standard := mirror.MaxDelete
		s.MaxDelete = &standard
	}
	if s.Bandwidth == nil && main.Bandwidth != nil {
		s.Bandwidth = mirror.AllDay("0") // no limit (rsync(1))
	}
	return s
}

// matching returns the edition of the guide whose flags are among the options, or the first
// edition.
func matching(options [][]string) mirror.Edition {
	for _, e := range mirror.Editions() {
		if _, ok := without(options, e); ok {
			return e
		}
	}
	return mirror.Editions()[0]
}

// spelt returns an option as one word, so that its two spellings are equal.
func spelt(option []string) string {
	if len(option) == 2 && strings.HasPrefix(option[0], "--") {
		return option[0] + "=" + option[1]
	}
	return strings.Join(option, " ")
}

// without returns the options without the flags of an edition. ok reports whether all flags were
// there.
func without(options [][]string, e mirror.Edition) (rest [][]string, ok bool) {
	rest = slices.Clone(options)
	guide, _ := mirror.SplitOptions(e.Rsync)
	for _, g := range guide {
		i := slices.IndexFunc(rest, func(o []string) bool { return spelt(o) == spelt(g) })
		if i < 0 {
			return options, false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return rest, true
}

// withoutHelp returns an option without -h, which a mirror block does not take: alone it is --help,
// beside other options it only changes the output (rsync(1)). It returns nil if nothing else is
// left.
func withoutHelp(option []string) []string {
	if len(option) != 1 || len(option[0]) < 2 || option[0][1] == '-' || strings.ContainsAny(option[0], "eBMfT@=") {
		return option
	}
	rest := strings.ReplaceAll(option[0], "h", "")
	if rest == "-" {
		return nil
	}
	return []string{rest}
}

// syncBlock returns the arguments that differ from the edition's sync.
func syncBlock(j *job, e mirror.Edition, upstream, lock, mount string) *mirror.Sync {
	s := &mirror.Sync{Schedule: j.schedule}
	rest, fits := without(j.sync.options, e)
	rest = slices.DeleteFunc(rest, func(o []string) bool { return slices.Contains(mirror.SafetyOptions(), spelt(o)) }) // the block adds them
	for _, o := range rest {
		if o = withoutHelp(o); o == nil {
			continue
		}
		word := spelt(o)
		if strings.HasPrefix(word, "--password-file") || strings.HasPrefix(word, "-e ") || strings.HasPrefix(word, "--rsh") || word == "--log-file="+j.sync.log {
			continue // reported
		}
		if most, limits := strings.CutPrefix(word, "--max-delete="); limits {
			if n, err := strconv.Atoi(most); err == nil && n > 0 {
				if n != mirror.MaxDelete {
					s.MaxDelete = &n
				}
				continue
			}
		}
		pattern, excludes := strings.CutPrefix(word, "--exclude=")
		rate, limits := strings.CutPrefix(word, "--bwlimit=")
		switch {
		case fits && excludes && pattern == "/lost+found" && mount == j.sync.tree: // the block adds it
		case fits && excludes:
			s.Exclude = append(s.Exclude, pattern)
		case limits:
			s.Bandwidth = mirror.AllDay(rate)
		case fits:
			s.Options = append(s.Options, o...)
		default:
			s.Flags = append(s.Flags, o...)
		}
	}
	if j.sync.upstream != "" && (j.sync.upstream != upstream || len(j.sync.fallbacks) > 0) {
		s.Upstream = append([]string{j.sync.upstream}, j.sync.fallbacks...)
	}
	// Every user can lock files in /run/lock, so a mirror block does not allow them.
	own := j.sync.lock()
	shared := strings.HasPrefix(own, "/run/lock/") || strings.HasPrefix(own, "/var/lock/")
	if own != lock && !shared {
		s.Lock = own
	}
	aroundBlock(j, s)
	if own, ok := strings.CutPrefix(path.Base(j.at.File), "mirrorform-"); j.sync.log != "" && (!ok || j.sync.log != "/var/log/mirrorform-"+own+".log") {
		s.Log = &j.sync.log
	}
	return s
}

// publishBlock returns a publish block with the values of a mirrors.d file.
func publishBlock(m *mirrorsd.File) *mirror.Publish {
	text := func(s string) *string { return &s }
	p := &mirror.Publish{
		Name: m.Name, HTTP: text(m.Address.HTTP), UpdateFrequency: m.UpdateFrequency, Sponsor: m.Sponsor, SponsorURL: m.SponsorURL, Email: m.Email,
		Subnets: m.Subnets.CIDRs, SubnetsURL: m.Subnets.URL, CloudType: m.CloudType, CloudRegions: m.CloudRegions,
	}
	for value, to := range map[string]**string{
		m.Address.HTTPS: &p.HTTPS, m.Address.Rsync: &p.Rsync, m.Address.FTP: &p.FTP, m.AddressOptional.Kitten.HTTP: &p.KittenHTTP,
		m.AddressOptional.Kitten.HTTPS: &p.KittenHTTPS, m.AddressOptional.Kitten.Rsync: &p.KittenRsync,
	} {
		if value != "" {
			*to = &value
		}
	}
	for _, n := range m.ASN {
		p.ASN = append(p.ASN, int(n))
	}
	yes := true
	if m.Private {
		p.Private = &yes
	}
	if m.Monopoly {
		p.Monopoly = &yes
	}
	if g := m.Geolocation; g != (mirrorsd.Geolocation{}) {
		p.Geolocation = &mirror.Geolocation{Country: g.Country, StateProvince: g.StateProvince, City: g.City}
	}
	return p
}

// parts returns the resources of a mirror block on its host, or the problems of the block.
func parts(h Input, t engine.Target, name string, spec *mirror.Spec) ([]*engine.Resource, []engine.Problem) {
	list, problems := mirror.Expand(h.Types, name, spec, engine.Site{Target: t, Address: h.Address, Dir: h.Dir})
	address := func(part string) engine.Address {
		return engine.Address{Host: t.Name, Type: "mirror", Name: name, Part: part}
	}
	var out []*engine.Resource
	for _, p := range list {
		if p.Local {
			continue
		}
		r := &engine.Resource{Address: address(p.Name), Kind: h.Types.Kind(p.Type), State: p.State, Source: "adopt"}
		for _, d := range p.DependsOn {
			r.DependsOn = append(r.DependsOn, address(d))
		}
		out = append(out, r)
	}
	return out, problems
}
