package resources

import (
	"encoding/hex"
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
	// obstacle returns what keeps the opening from being made.
	obstacle(s *Firewall) (denied, lost string)
}

// firewallOf returns the firewall in which the opening belongs, or nil. What is not known is an
// error: firewalld does not answer while it restarts.
func firewallOf(want *Firewall, got engine.Answers) (hostFirewall, error) {
	unit, err := got.Unit(firewalldUnitQuery)
	switch {
	case err != nil:
		return nil, err
	case active(unit):
		d, err := readFirewalld(want, got)
		if err != nil {
			return nil, err
		}
		return d.zoneFor(want), nil
	case !stopped(unit):
		return nil, fmt.Errorf("%s is %s: plan again when it has finished", firewalldUnit, unit.ActiveState)
	}
	u, err := readUFW(got)
	if err != nil || !u.enabled {
		return nil, err
	}
	return u, nil
}

// storedIn returns the firewall that has the opening as the manifest has it, which need not run any
// more; otherwise the one in which it belongs.
func storedIn(want *Firewall, now hostFirewall, got engine.Answers) (hostFirewall, error) {
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
	d, err := readFirewalld(want, got)
	if err != nil {
		return nil, err
	}
	z := d.zone(strings.TrimPrefix(want.Where, firewalldPlace))
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

// Routes of the host, which show the interface to the world.
var (
	routes4 = wire.Query{Verb: wire.AskFile, Arg: "/proc/1/net/route", Option: "head"}
	routes6 = wire.Query{Verb: wire.AskFile, Arg: "/proc/1/net/ipv6_route", Option: "head"}
)

// Methods of firewalld (firewalld.dbus(5)).
const (
	firewalldBus      = "org.fedoraproject.FirewallD1"
	getDefaultZone    = firewalldBus + ".getDefaultZone"
	getActiveZones    = firewalldBus + ".zone.getActiveZones"
	getZoneServices   = firewalldBus + ".zone.getServices"
	getZonePorts      = firewalldBus + ".zone.getPorts"
	firewalldBusPath  = "/org/fedoraproject/FirewallD1"
	firewalldNoAnswer = "firewalld.service is active, but firewalld does not answer on the system bus"
)

// runtimeQuery asks firewalld for its state: of the default zone, of those with interfaces, and of
// those that the opening names.
func runtimeQuery(want *Firewall) wire.Query {
	q := wire.Query{Verb: wire.AskBus, Arg: firewalldBus, Args: []string{
		firewalldBusPath, getDefaultZone, getActiveZones, getZoneServices + " *", getZonePorts + " *",
	}}
	stored, _ := strings.CutPrefix(want.Where, firewalldPlace)
	if want.Where == ufwPlace {
		stored = ""
	}
	for _, zone := range sorted([]string{want.Zone, stored}) {
		if zone != "" {
			q.Args = append(q.Args, getZoneServices+" "+zone, getZonePorts+" "+zone)
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
	runs      bool
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
	all      bool // it lets everything in
}

// zone is a zone of firewalld. permanent is nil if firewalld does not have it, runtime if firewalld
// has not loaded it or does not run.
type zone struct {
	name               string
	permanent, runtime *zoneList
	runs               bool // firewalld
}

func readFirewalld(want *Firewall, got engine.Answers) (*firewalld, error) {
	d := &firewalld{runtime: map[string]*zoneList{}}
	files, err := got.Run(firewalldZones)
	if err != nil {
		return nil, err
	}
	if d.permanent, err = parseZones(files.Stdout); err != nil {
		return nil, err
	}
	unit, err := got.Unit(firewalldUnitQuery)
	if err != nil || !active(unit) {
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
	for q, parse := range map[*wire.Query]func(string) []string{&routes4: defaultRoutes4, &routes6: defaultRoutes6} {
		if f, err := got.File(*q); err == nil { // without IPv6, there is no file
			d.external = append(d.external, parse(string(f.Content))...)
		}
	}
	return d, nil
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
		if err := errors.Join(json.Unmarshal(result, &list.services), json.Unmarshal(results[getZonePorts+" "+name], &ports)); err != nil {
			return err
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
		zones[name] = list
	}
	return zones, nil
}

// defaultRoutes4 returns the interfaces with a default route in /proc/net/route (proc(5)).
func defaultRoutes4(text string) (interfaces []string) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" {
			interfaces = append(interfaces, f[0])
		}
	}
	return interfaces
}

// defaultRoutes6 does the same for /proc/net/ipv6_route. The kernel's own reject route is on lo.
func defaultRoutes6(text string) (interfaces []string) {
	none := hex.EncodeToString(make([]byte, 16))
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 10 && f[0] == none && f[1] == "00" && f[9] != "lo" {
			interfaces = append(interfaces, f[9])
		}
	}
	return interfaces
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
	return accepts || z.permanent.lets(s), accepts || z.runtime.lets(s)
}

// lets reports whether the list lets the opening's clients in.
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
		if o := (ownedItem{item, z.permanent.has(item), z.runtime.has(item), !z.runs}); o.permanent || o.now {
			own = append(own, o)
		}
	}
	return own
}

func (z *zone) obstacle(*Firewall) (denied, lost string) {
	if z.permanent == nil && z.runtime == nil {
		return "", z.name
	}
	return "", ""
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

// firewalldStep returns the step that adds an entry to a zone, or removes it.
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
		return wire.Op{Run: &wire.RunOp{Argv: append(argv, "--zone="+zone, option), Timeout: firewallTime}}
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
