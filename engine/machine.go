package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// errOneMachine is the error of a host whose machine was already reached under another name. Plan
// replaces it with an error that lists all names.
var errOneMachine = errors.New("it has the machine-id of another host")

// machines finds hosts of a plan with the same machine-id. A machine has one manifest, so under two
// names each name's plan would remove the resources of the other.
type machines struct {
	mu    sync.Mutex
	hosts map[string][]machine // by machine-id
}

// machine is a host that was reached.
type machine struct {
	Host
	boot string
}

// collides reports whether two hosts must not have the same machine-id. Host local (Last) and a
// host with Here set may be the same machine: their states are separate.
func (a machine) collides(b machine) bool {
	meant := a.Last && b.Here || a.Here && b.Last
	return !meant
}

// meet records a host that was reached. It returns an error if an earlier host has the same
// machine-id. An empty machine-id is not compared.
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

// refused returns the error of each host that collides with another, by its index in hosts.
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

// sameMachine returns the error of hosts with the same machine-id. Different boot_ids mean
// different machines: the disk was cloned together with its machine-id.
func sameMachine(hosts []machine) error {
	var names []string
	boots := map[string][]string{}
	way := "keep one of the names, and move all resources of the machine to it"
	for _, h := range hosts {
		names = append(names, h.Name)
		boots[h.boot] = append(boots[h.boot], h.Name)
		if h.Last {
			way += `; besides host local, give that name connection { type = "local" }`
		}
	}
	var err error
	for _, boot := range slices.Sorted(maps.Keys(boots)) {
		if one := boots[boot]; len(one) > 1 {
			slices.Sort(one)
			err = errors.Join(err, fmt.Errorf("%s are one machine under %d names (same machine-id and boot_id): "+
				"each name's plan would remove the resources of the other: %s", listed(one), len(one), way))
		}
	}
	if len(boots) > 1 {
		slices.Sort(names)
		err = errors.Join(err, fmt.Errorf("%s have the same machine-id, but are different machines: they were cloned. "+
			"Run this on each clone, and reboot it: "+
			"rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup", listed(names)))
	}
	return err
}

// listed joins host names for a sentence. Of many, it names the first ones.
func listed(names []string) string {
	const most = 5
	last := names[len(names)-1]
	if len(names) > most {
		last = fmt.Sprintf("%d more hosts", len(names)-most)
		names = names[:most+1]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + last
}
