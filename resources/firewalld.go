package resources

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

const (
	firewalldUnit  = "firewalld.service"
	firewalldPlace = "firewalld zone " // and the name of the zone
)

// hostFirewall is the firewall of a host as far as one opening is concerned.
type hostFirewall interface {
	// place is the value of Firewall.Where.
	place() string
	// open reports whether the ports are open, by whatever entry of the firewall.
	open(s *Firewall) (permanent, now bool)
	// items are the entries that the resource itself would add.
	items(s *Firewall) []ownedItem
	// settle sets in a wanted state how the opening is made, and what keeps it from being made.
	settle(full *Firewall, prior *engine.Record)
}

// zoneOf returns the zone of a Firewall.Where, if that is one of firewalld.
func zoneOf(where string) (zone string, ok bool) {
	if zone, ok = strings.CutPrefix(where, firewalldPlace); !ok {
		return "", false
	}
	return zone, true
}

// firewallOf returns the firewall in which the opening belongs once the plan has started and
// stopped units, or nil. What is not known is an error, such as the state of firewalld while it
// restarts.
func firewallOf(t engine.Target, want *Firewall, got engine.Answers) (hostFirewall, error) {
	unit, err := got.Unit(firewalldUnitQuery)
	if err != nil {
		return nil, err
	}
	soon := startsSoon(t, firewalldUnit) || debianStarts(t, "firewalld", unit)
	switch {
	case slices.Contains(t.Stops, firewalldUnit):
	case active(unit) || soon:
		d, err := readFirewalld(t, want, got)
		switch {
		case err != nil:
			return nil, err
		case soon:
			return firewalldSoon(d, want), nil
		}
		return d.zoneFor(want), nil
	case !stopped(unit):
		return nil, fmt.Errorf("%s is %s: plan again when it has finished", firewalldUnit, unit.ActiveState)
	}
	u, err := readUFW(got)
	switch {
	case err != nil:
		return nil, err
	case u.enabled:
		return u, nil
	case startsSoon(t, ufwUnit):
		return ufwSoon(u), nil
	}
	return nil, nil
}

// storedIn returns the firewall that has the opening as the manifest has it, which need not run any
// more; otherwise the one in which it belongs.
func storedIn(t engine.Target, want *Firewall, now hostFirewall, got engine.Answers) (hostFirewall, error) {
	switch {
	case want.Where == "" || now != nil && now.place() == want.Where:
		return now, nil
	case want.Where == ufwPlace:
		u, err := readUFW(got)
		if err != nil || u.missing {
			return nil, err
		}
		return u, nil
	}
	d, err := readFirewalld(t, want, got)
	if err != nil {
		return nil, err
	}
	name, _ := zoneOf(want.Where)
	z := d.zone(name)
	if z.permanent == nil {
		return nil, nil // the zone, or firewalld, was removed
	}
	return z, nil
}

var firewalldUnitQuery = wire.Query{Verb: wire.AskUnit, Arg: firewalldUnit}

// firewalldZones asks for the permanent zones: those in /etc replace those of the package.
var firewalldZones = wire.Query{Verb: wire.AskRun, Args: []string{
	"grep", "-rsH", "--include=*.xml", "", firewalldEtc, firewalldLib,
}}

const firewalldEtc, firewalldLib = "/etc/firewalld/zones", "/usr/lib/firewalld/zones"

// Methods of firewalld (firewalld.dbus(5)).
const (
	firewalldBus      = "org.fedoraproject.FirewallD1"
	getDefaultZone    = firewalldBus + ".getDefaultZone"
	getActiveZones    = firewalldBus + ".zone.getActiveZones"
	getZoneServices   = firewalldBus + ".zone.getServices"
	getZonePorts      = firewalldBus + ".zone.getPorts"
	getZoneRules      = firewalldBus + ".zone.getRichRules"
	firewalldBusPath  = "/org/fedoraproject/FirewallD1"
	firewalldNoAnswer = "firewalld.service is active, but firewalld does not answer on the system bus"
)

// runtimeQuery asks firewalld for its state: of the default zone, of those with interfaces, and of
// those that the opening names.
func runtimeQuery(want *Firewall) wire.Query {
	q := wire.Query{Verb: wire.AskBus, Arg: firewalldBus, Args: []string{
		firewalldBusPath, getDefaultZone, getActiveZones, getZoneServices + " *", getZonePorts + " *", getZoneRules + " *",
	}}
	named := []string{want.Zone}
	if stored, ok := zoneOf(want.Where); ok {
		named = append(named, stored)
	}
	for _, zone := range sorted(named) {
		if zone != "" {
			q.Args = append(q.Args, getZoneServices+" "+zone, getZonePorts+" "+zone, getZoneRules+" "+zone)
		}
	}
	return q
}

func firewalldQueries(want *Firewall) []wire.Query {
	queries := []wire.Query{firewalldUnitQuery, runtimeQuery(want), firewalldZones, routes4, routes6}
	for _, unit := range otherFirewallUnits {
		queries = append(queries, wire.Query{Verb: wire.AskUnit, Arg: unit})
	}
	return queries
}

// firewalld is the state of firewalld.
type firewalld struct {
	runs      bool // and the plan does not stop it
	byDefault string
	bound     map[string][]string // the interfaces of zones that have some
	external  []string            // the interfaces with a default route
	permanent map[string]*zoneList
	runtime   map[string]*zoneList
}

// zoneList has what a zone lets in.
type zoneList struct {
	services []string
	ports    []portRange
	rules    []richRule
	all      bool // it lets everything in
}

// zone is a zone of firewalld. permanent is nil if firewalld does not have it, runtime if firewalld
// has not loaded it or does not run.
type zone struct {
	name               string
	permanent, runtime *zoneList
	runs               bool // firewalld
}

func readFirewalld(t engine.Target, want *Firewall, got engine.Answers) (*firewalld, error) {
	d := &firewalld{runtime: map[string]*zoneList{}}
	files, err := got.Run(firewalldZones)
	if err != nil {
		return nil, err
	}
	if d.permanent, err = parseZones(files.Stdout); err != nil {
		return nil, err
	}
	unit, err := got.Unit(firewalldUnitQuery)
	if err != nil || !active(unit) || slices.Contains(t.Stops, firewalldUnit) {
		return d, err
	}
	d.runs = true
	bus, err := got.Bus(runtimeQuery(want))
	if err == nil && bus.Absent {
		err = errors.New(firewalldNoAnswer)
	}
	if err != nil {
		return nil, err
	}
	if err := d.parseRuntime(bus.Results); err != nil {
		return nil, fmt.Errorf("the answer of firewalld is not understood: %w", err)
	}
	d.external, err = outerInterfaces(got)
	return d, err
}

// parseRuntime reads the results of runtimeQuery.
func (d *firewalld) parseRuntime(text string) error {
	var results map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &results); err != nil {
		return err
	}
	if err := json.Unmarshal(results[getDefaultZone], &d.byDefault); err != nil {
		return err
	}
	var bound map[string]map[string][]string
	if err := json.Unmarshal(results[getActiveZones], &bound); err != nil {
		return err
	}
	d.bound = map[string][]string{}
	for name, by := range bound {
		d.bound[name] = by["interfaces"]
	}
	for call, result := range results {
		name, ok := strings.CutPrefix(call, getZoneServices+" ")
		if !ok || strings.HasPrefix(string(result), "{") { // firewalld does not have the zone
			continue
		}
		list := new(zoneList)
		var ports [][]string
		var rules []string
		if err := errors.Join(json.Unmarshal(result, &list.services), json.Unmarshal(results[getZonePorts+" "+name], &ports),
			json.Unmarshal(results[getZoneRules+" "+name], &rules)); err != nil {
			return err
		}
		for _, rule := range rules {
			list.rules = append(list.rules, parseRichRule(rule))
		}
		for _, p := range ports {
			list.add(strings.Join(p, "/"))
		}
		d.runtime[name] = list
	}
	return nil
}

func (l *zoneList) add(port string) {
	if p, ok := parsePorts(port); ok {
		l.ports = append(l.ports, p)
	}
}

// xmlZone is the file of a zone (firewalld.zone(5)).
type xmlZone struct {
	Target   string `xml:"target,attr"`
	Services []struct {
		Name string `xml:"name,attr"`
	} `xml:"service"`
	Ports []struct {
		Port     string `xml:"port,attr"`
		Protocol string `xml:"protocol,attr"`
	} `xml:"port"`
	Rules []xmlRule `xml:"rule"`
}

// parseZones reads the files of zones, whose lines grep(1) has printed with their paths.
func parseZones(found string) (map[string]*zoneList, error) {
	texts := map[string]*strings.Builder{}
	for line := range strings.Lines(found) {
		file, text, _ := strings.Cut(line, ":")
		if texts[file] == nil {
			texts[file] = new(strings.Builder)
		}
		texts[file].WriteString(text)
	}
	zones := map[string]*zoneList{}
	for _, file := range slices.Sorted(maps.Keys(texts)) { // those in /etc come first
		name := strings.TrimSuffix(path.Base(file), ".xml")
		if zones[name] != nil {
			continue
		}
		var x xmlZone
		if err := xml.Unmarshal([]byte(texts[file].String()), &x); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list := &zoneList{all: x.Target == "ACCEPT"}
		for _, s := range x.Services {
			list.services = append(list.services, s.Name)
		}
		for _, p := range x.Ports {
			list.add(p.Port + "/" + p.Protocol)
		}
		for _, r := range x.Rules {
			list.rules = append(list.rules, r.rich())
		}
		zones[name] = list
	}
	return zones, nil
}

// zoneFor returns the zone in which an opening belongs: that of the interface with the default
// route, since most clients come by that one. An interface that no zone has is in the default zone.
func (d *firewalld) zoneFor(want *Firewall) *zone {
	if want.Zone != "" {
		return d.zone(want.Zone)
	}
	for _, name := range slices.Sorted(maps.Keys(d.bound)) {
		if slices.ContainsFunc(d.bound[name], func(i string) bool { return slices.Contains(d.external, i) }) {
			return d.zone(name)
		}
	}
	return d.zone(d.byDefault)
}

func (d *firewalld) zone(name string) *zone {
	return &zone{name: name, permanent: d.permanent[name], runtime: d.runtime[name], runs: d.runs}
}

func (z *zone) place() string { return firewalldPlace + z.name }

func (z *zone) open(s *Firewall) (permanent, now bool) {
	accepts := z.permanent != nil && z.permanent.all
	return z.permanent.opens(s, accepts), accepts && z.runtime == nil || z.runtime.opens(s, accepts)
}

// lets reports whether services or ports of the list let the opening's clients in.
func (l *zoneList) lets(s *Firewall) bool {
	if l == nil {
		return false
	}
	if s.Service != "" && slices.Contains(l.services, s.service()) {
		return true
	}
	want, known := s.port()
	if !known {
		return false
	}
	if slices.ContainsFunc(l.ports, func(p portRange) bool { return p.contains(want) }) {
		return true
	}
	return slices.ContainsFunc(l.services, func(name string) bool {
		p, ok := parsePorts(servicePorts[name])
		return ok && p.contains(want)
	})
}

// has reports whether the list has an entry.
func (l *zoneList) has(item string) bool {
	if l == nil {
		return false
	}
	kind, value, _ := strings.Cut(item, "=")
	if kind == "service" {
		return slices.Contains(l.services, value)
	}
	p, _ := parsePorts(value)
	return slices.Contains(l.ports, p)
}

func (z *zone) items(s *Firewall) (own []ownedItem) {
	for _, item := range s.items() {
		if o := (ownedItem{item: item, permanent: z.permanent.has(item), now: z.runtime.has(item), offline: !z.runs}); o.permanent || o.now {
			own = append(own, o)
		}
	}
	return own
}

func (z *zone) settle(full *Firewall, _ *engine.Record) {
	if z.permanent == nil && z.runtime == nil {
		full.lost = z.name
	}
	full.denied = cmp.Or(z.permanent.denies(full), z.runtime.denies(full))
}

// firewalldList is a list of firewalld's: what a zone lets in now, or permanently. The permanent
// one can be changed while firewalld does not run.
type firewalldList string

// The lists, as the summaries of steps name them.
const (
	listNow       firewalldList = "now"
	listPermanent firewalldList = "permanently"
	listOffline   firewalldList = "permanently, while it does not run"
)

// firewalldStep returns the step that adds an entry to a zone, or removes it. Without a zone, it is
// the default one.
func firewalldStep(zone, item string, list firewalldList, add bool) engine.Step {
	run := func(add bool) wire.Op {
		argv := []string{"/usr/bin/firewall-cmd"}
		option := "--remove-" + item
		switch {
		case add:
			option = "--add-" + item
		case list == listOffline:
			option = "--remove-" + strings.Replace(item, "service=", "service-from-zone=", 1)
		}
		switch list {
		case listPermanent:
			argv = append(argv, "--permanent")
		case listOffline:
			argv[0] = "/usr/bin/firewall-offline-cmd"
		}
		if zone != "" {
			argv = append(argv, "--zone="+zone)
		}
		return wire.Op{Run: &wire.RunOp{Argv: append(argv, option), Timeout: firewallTime}}
	}
	_, name, _ := strings.Cut(item, "=")
	verb := "close"
	if add {
		verb = "open"
	}
	undo := run(!add)
	return engine.Step{Summary: fmt.Sprintf("%s %s in firewalld's zone %s, %s", verb, name, zone, list), Do: run(add), Undo: &undo}
}

// firewallTime is how long a program of a firewall may take, in seconds.
const firewallTime = 120
