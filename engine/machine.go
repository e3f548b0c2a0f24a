package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// errOneMachine is the error of a host whose machine has been reached under another name. Plan
// replaces it by one that lists all of its names.
var errOneMachine = errors.New("it has the machine-id of another host")

// machines knows which hosts of a plan have one machine-id. One machine has one manifest and one
// configuration: under two names, each name's plan would remove what the other one has.
type machines struct {
	mu    sync.Mutex
	hosts map[string][]machine // by machine-id
}

// machine is a host that was reached.
type machine struct {
	Host
	boot string
}

// collides reports whether two hosts may not have one machine-id. Host local (Last) and one that is
// Here are meant to be one machine, and have states of their own.
func (a machine) collides(b machine) bool {
	meant := a.Last && b.Here || a.Here && b.Last
	return !meant
}

// meet is an error for a host with the machine-id of one that was met before. A host without one is
// not compared.
func (m *machines) meet(host Host, id, boot string) error {
	if id == "" || id == "uninitialized" { // machine-id(5): an image that has not booted yet
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hosts == nil {
		m.hosts = map[string][]machine{}
	}
	met, now := m.hosts[id], machine{host, boot}
	m.hosts[id] = append(met, now)
	if slices.ContainsFunc(met, now.collides) {
		return errOneMachine
	}
	return nil
}

// refused has the error of each host that collides with another one, by its place in hosts.
func (m *machines) refused(hosts []Host) map[int]error {
	errs := map[int]error{}
	for _, same := range m.hosts {
		if len(same) < 2 || len(same) == 2 && !same[0].collides(same[1]) {
			continue
		}
		err := sameMachine(same)
		for _, s := range same {
			errs[slices.Index(hosts, s.Host)] = err
		}
	}
	return errs
}

// sameMachine is the error of hosts with one machine-id: machines that have it by a copy of the
// disk have been started at different times.
func sameMachine(hosts []machine) error {
	var names []string
	boots := map[string][]string{}
	way := "keep one of the names, and place all of the machine's resources on it"
	for _, h := range hosts {
		names = append(names, h.Name)
		boots[h.boot] = append(boots[h.boot], h.Name)
		if h.Last {
			way += `; beside host local, that one has connection { type = "local" }`
		}
	}
	var err error
	for _, boot := range slices.Sorted(maps.Keys(boots)) {
		if one := boots[boot]; len(one) > 1 {
			slices.Sort(one)
			err = errors.Join(err, fmt.Errorf("%s are one machine under %d names, with one machine-id and one boot_id: each name's plan would remove what the other has: %s", listed(one), len(one), way))
		}
	}
	if len(boots) > 1 {
		slices.Sort(names)
		err = errors.Join(err, fmt.Errorf("%s have one machine-id, and are different machines: they were cloned: give each clone an ID of its own, and start it again: "+
			"rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup", listed(names)))
	}
	return err
}

// listed names hosts in a sentence; of many, the first ones.
func listed(names []string) string {
	const most = 5
	last := names[len(names)-1]
	if len(names) > most {
		last = fmt.Sprintf("%d more hosts", len(names)-most)
		names = names[:most+1]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + last
}
