package run

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/resources"
)

// HostsToRetire returns the selected hosts with a mirror of AlmaLinux. It fails if one of them has
// no mirror at all, or is the hub of a mirror that stays. Mirrors of other distributions are not in
// AlmaLinux's list, so they are not retired: a note names them.
func (s *Scope) HostsToRetire() ([]string, error) {
	var names, kept []string
	for _, h := range s.Hosts {
		if h.Last {
			continue
		}
		almalinux, others := s.mirrorsOn(h.Name)
		for _, p := range others {
			kept = append(kept, fmt.Sprintf("%s on host %s", p.Name, h.Name))
		}
		if len(almalinux) == 0 && len(others) > 0 {
			continue
		}
		if len(almalinux) == 0 {
			return nil, fmt.Errorf("the configuration has no mirror on host %s: retire needs the mirror block until "+
				"the mirror is retired", h.Name)
		}
		names = append(names, h.Name)
	}
	if len(kept) > 0 {
		s.observer.Note("not retired, since only AlmaLinux's mirrors are in its list: mirror " + strings.Join(kept, ", ") +
			". To remove one, remove its block and apply")
	}
	if len(names) == 0 && len(kept) > 0 {
		return nil, errors.New("nothing to retire: these hosts have no mirror of AlmaLinux")
	}
	if len(names) == 0 {
		return nil, errors.New("host local has no mirror to retire")
	}
	return names, s.checkLeaves(names)
}

// Stopping returns the aim of a plan that stops the mirrors of hosts. It includes host local, which
// has their files in mirrors.d.
func (s *Scope) Stopping(hosts []string, data MirrorData) Aim {
	aim := s.Aim()
	aim.Hosts, aim.Check = s.only(hosts, true), data.check
	aim.Select = func(t engine.Target, list []*engine.Resource) []*engine.Resource {
		return slices.DeleteFunc(slices.Clone(list), func(res *engine.Resource) bool {
			host, name, part := partOf(res.Address)
			return res.Orphan || !mirror.Live(part) || !slices.Contains(hosts, host) || !s.retires(host, name) ||
				part == mirror.TLSSite && s.sharesSite(t, list, host, name)
		})
	}
	aim.Adjust = func(list []*engine.Resource) []*engine.Resource {
		for _, res := range list {
			res.Remove = true
		}
		return list
	}
	return aim
}

// sharesSite reports whether a mirror that is not retired has a part in the site of one that is.
// That site stays, and so does the one over HTTPS, which has all its trees.
func (s *Scope) sharesSite(t engine.Target, list []*engine.Resource, host, name string) bool {
	var own, others []engine.Key
	for _, res := range list {
		on, of, part := partOf(res.Address)
		if part != mirror.Site || on != host || res.Orphan {
			continue
		}
		provides, _ := res.Kind.Keys(t, res.State)
		switch {
		case of == name:
			own = append(own, provides...)
		case !s.retires(host, of):
			others = append(others, provides...)
		}
	}
	return slices.ContainsFunc(own, func(k engine.Key) bool { return slices.Contains(others, k) })
}

// retires reports whether retiring a host retires its mirror with a name.
func (s *Scope) retires(host, name string) bool {
	almalinux, _ := s.mirrorsOn(host)
	return slices.ContainsFunc(almalinux, func(p config.MirrorPlace) bool { return p.Name == name })
}

// only returns the named ones of the selected hosts, and host local if local is set.
func (s *Scope) only(hosts []string, local bool) []engine.Host {
	return slices.DeleteFunc(slices.Clone(s.Hosts), func(h engine.Host) bool { return h.Last && !local || !h.Last && !slices.Contains(hosts, h.Name) })
}

// MirrorData contains the addresses of directories with mirrors' files, by host.
type MirrorData map[string][]engine.Address

// DataToDelete checks --delete-data as far as that is possible without a connection.
func (s *Scope) DataToDelete(hosts, addresses []string) (MirrorData, error) {
	data := MirrorData{}
	for _, text := range addresses {
		address, _ := engine.ParseAddress(text)
		host, name, part := partOf(address)
		if !slices.Contains(hosts, host) {
			return nil, fmt.Errorf("--delete-data %s: not on a host that this command retires", text)
		}
		places, _ := s.mirrorsOn(host)
		i := slices.IndexFunc(places, func(p config.MirrorPlace) bool { return p.Name == name })
		if _, isData := mirror.Data(part); !isData || i < 0 {
			return nil, noDataError(text)
		}
		if parts := places[i].Parts; parts != nil {
			if err := checkData(parts, address); err != nil {
				return nil, err
			}
		}
		data[host] = append(data[host], address)
	}
	return data, nil
}

// check checks the addresses of a host against its resources.
func (d MirrorData) check(host string, list []*engine.Resource) error {
	var parts []string
	for _, res := range list {
		if of, _, part := partOf(res.Address); of == host && part != "" {
			parts = append(parts, part)
		}
	}
	var errs []error
	for _, address := range d[host] {
		errs = append(errs, checkData(parts, address))
	}
	return errors.Join(errs...)
}

// checkData checks an address of --delete-data against the parts of its mirror.
func checkData(parts []string, address engine.Address) error {
	_, _, part := partOf(address)
	if !slices.Contains(parts, part) {
		return noDataError(address.String())
	}
	if part == "mount_point" && slices.Contains(parts, "directory") {
		below := address
		below.Part = "directory"
		return fmt.Errorf("--delete-data %s: the mirror's files are in a directory below it: use "+
			"--delete-data %s", address, below)
	}
	return nil
}

func noDataError(address string) error {
	return fmt.Errorf("--delete-data %s: not a directory of a mirror's files. These are "+
		"HOST/mirror.NAME.directory and HOST/mirror.NAME.kitten_directory, "+
		"or HOST/mirror.NAME.mount_point if the file system is mounted on that directory itself", address)
}

// Deleting returns the aim of a plan that deletes directories with their content, in a separate
// transaction: nothing in it can be undone. The aim has no hosts if none of them has data.
func (s *Scope) Deleting(hosts []string, data MirrorData) Aim {
	aim := s.Aim()
	aim.Hosts = slices.DeleteFunc(s.only(hosts, false), func(h engine.Host) bool { return data[h.Name] == nil })
	aim.Check = data.check
	aim.Select = func(_ engine.Target, list []*engine.Resource) []*engine.Resource { return data.deleting(list) }
	return aim
}

// deleting returns the directories to delete, each with the locks of the syncs that write to it.
func (d MirrorData) deleting(list []*engine.Resource) []*engine.Resource {
	locks := map[engine.Address]string{} // by address of what schedules the syncs
	for _, res := range list {
		if j, ok := res.Data.(*syncs.Job); ok && !res.Orphan {
			locks[res.Address] = j.Lock
		}
	}
	var found []*engine.Resource
	for _, res := range list {
		host, name, part := partOf(res.Address)
		directory, ok := res.State.(*resources.Directory)
		if !ok || res.Orphan || !slices.Contains(d[host], res.Address) {
			continue
		}
		var held []string
		crons, _ := mirror.Data(part)
		for _, cron := range crons {
			of := engine.Address{Host: host, Type: "mirror", Name: name, Part: cron}
			if lock := locks[of]; lock != "" {
				held = append(held, lock)
			}
		}
		res.State, res.Remove, res.Purge = directory.Deleting(held...), true, true
		found = append(found, res)
	}
	return found
}

// TakeOut lists what to remove from the configuration, so that the next apply does not recreate
// retired mirrors.
func (s *Scope) TakeOut(hosts []string) string {
	lines := []string{"The configuration still declares the retired mirrors, so the next apply would recreate " +
		"them. Remove from it:"}
	listed := map[string]bool{}
	for _, host := range hosts {
		retired, _ := s.mirrorsOn(host)
		for _, p := range retired {
			at := fmt.Sprintf("%s:%d", p.Reference.Filename, p.Reference.Start.Line)
			line := fmt.Sprintf("  %s  the reference that adds host %s to mirror %q", at, host, p.Name)
			switch {
			case !slices.ContainsFunc(p.Hosts, func(h string) bool { return !slices.Contains(hosts, h) }):
				line = fmt.Sprintf("  %s:%d-%d  the block mirror %q", p.Block.Filename, p.Block.Start.Line, p.Block.End.Line, p.Name)
			case p.Exact:
				line = fmt.Sprintf("  %s  host %s in the hosts of mirror %q", at, host, p.Name)
			}
			if !listed[line] {
				listed[line] = true
				lines = append(lines, line)
			}
		}
	}
	lines = append(lines, "The apply after that removes the packages and scripts of the mirrors, and keeps "+
		"their files and accounts.")
	return strings.Join(lines, "\n")
}

// partOf returns the mirror's host, its name and the part of an address. part is "" if the address
// is not one of a mirror's part.
func partOf(a engine.Address) (host, mirrorName, part string) {
	if a.Type != "mirror" || a.Part == "" {
		return a.Host, "", ""
	}
	return cmp.Or(a.Key, a.Host), a.Name, a.Part
}
