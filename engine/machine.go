package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// errOneMachine is the error of a host whose machine has been reached under another name. Plan replaces
// it by one that lists all of its names.
var errOneMachine = errors.New("it has the machine-id of another host")

// machines knows which hosts of a plan have one machine-id. One machine has one manifest and one
// configuration: under two names, each name's plan would remove what the other one has.
type machines struct {
	mu    sync.Mutex
	hosts map[string][]machine // by machine-id
}

// machine is a host that was reached.
type machine struct{ host, boot string }

// meet is an error for a host with the machine-id of one that was met before. A host without one is
// not compared.
func (m *machines) meet(host, id, boot string) error {
	if id == "" || id == "uninitialized" { // machine-id(5): an image that has not booted yet
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hosts == nil {
		m.hosts = map[string][]machine{}
	}
	m.hosts[id] = append(m.hosts[id], machine{host, boot})
	if len(m.hosts[id]) > 1 {
		return errOneMachine
	}
	return nil
}

// refused has the error of each host that is not alone with its machine-id, by its place in hosts.
func (m *machines) refused(hosts []Host) map[int]error {
	errs := map[int]error{}
	for _, same := range m.hosts {
		if len(same) < 2 {
			continue
		}
		err := sameMachine(same)
		for _, s := range same {
			errs[slices.IndexFunc(hosts, func(h Host) bool { return h.Name == s.host })] = err
		}
	}
	return errs
}

// sameMachine is the error of hosts with one machine-id: machines that have it by a copy of the
// disk have been started at different times.
func sameMachine(hosts []machine) error {
	var names []string
	boots := map[string][]string{}
	for _, h := range hosts {
		names = append(names, h.host)
		boots[h.boot] = append(boots[h.boot], h.host)
	}
	var err error
	for _, boot := range slices.Sorted(maps.Keys(boots)) {
		if one := boots[boot]; len(one) > 1 {
			slices.Sort(one)
			err = errors.Join(err, fmt.Errorf("%s are one machine under %d names, with one machine-id and one boot_id: each name's plan would remove what the other has. "+
				"Keep one of the names, and place all of the machine's resources on it", listed(one), len(one)))
		}
	}
	if len(boots) > 1 {
		slices.Sort(names)
		err = errors.Join(err, fmt.Errorf("%s have one machine-id, and are different machines: they were cloned. Give each clone an ID of its own, and start it again: "+
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
