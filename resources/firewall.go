package resources

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Firewall is an opening in the host's firewall for clients from everywhere, over IPv4 and IPv6,
// now and after a restart. It is for firewalld while that runs, and for ufw while that is enabled,
// also if the same apply starts them; on other hosts it changes nothing. What is open already stays
// open after a removal.
type Firewall struct {
	// Service is the name of a service in firewalld, such as http, https or rsyncd. Set it or Port.
	Service string `hcl:"service,optional" id:"true"`
	// Port is a port, or the first and the last of several, with the protocol: 8080/tcp,
	// 6000-6010/udp.
	Port string `hcl:"port,optional" id:"true"`
	// Zone is firewalld's zone; default: that of the interface with the default route. ufw has no
	// zones.
	Zone string `hcl:"zone,optional" id:"true"`

	// Where is what has the opening: "firewalld zone public", or "ufw".
	Where     string `plan:"where" remember:"where"`
	Permanent *bool  `plan:"permanent"` // whether it is open after a restart of the firewall
	Now       *bool  `plan:"now"`       // whether it is open now

	// Half is the address family for which mirrorform opened it in ufw, if it was open for the other
	// one before, or bothHalves; "" is what the firewall filters.
	Half string `remember:"half,first"`

	moved  bool        // wanted: mirrorform opened it in Where as the manifest has it, which is another place
	soon   string      // wanted: the program of a firewall that the plan starts, or has load its files again
	closed string      // wanted: the only half of ufw that is to be opened, see Half
	denied string      // wanted: the rule of the firewall that denies it, as the firewall has it
	lost   string      // wanted: the zone that firewalld does not have
	others []string    // wanted: units with rules of the host's own; there is no firewall of a known kind
	own    []ownedItem // found: what is open in Where by an item that this resource would add
	stored string      // found: the place of own
}

// ownedItem is an entry of a firewall's list.
type ownedItem struct {
	item           string // as firewall-cmd's options have it: service=http, port=8080/tcp
	permanent, now bool
	offline        bool   // firewalld does not run
	half           string // of ufw, if not in all
}

type firewallType struct{}

func init() { register("firewall", firewallType{}) }

// servicePorts are the ports of services, by their names in firewalld.
var servicePorts = map[string]string{
	"http": "80/tcp", "https": "443/tcp", "http3": "443/udp", "rsyncd": "873/tcp", "ssh": "22/tcp", "ftp": "21/tcp",
	"prometheus-node-exporter": "9100/tcp",
}

// service returns firewalld's name of the service.
func (s *Firewall) service() string {
	if s.Service == "rsync" {
		return "rsyncd"
	}
	return s.Service
}

// port returns the port that is opened. ok is false if only firewalld knows the service.
func (s *Firewall) port() (p portRange, ok bool) {
	return parsePorts(cmp.Or(s.Port, servicePorts[s.service()]))
}

// items returns the entries of firewalld's lists that open it: the first one is added.
func (s *Firewall) items() (items []string) {
	if s.Service != "" {
		items = append(items, "service="+s.service())
	}
	if s.Port != "" {
		items = append(items, "port="+s.Port)
	}
	return items
}

// what names the opening in the summaries of steps.
func (s *Firewall) what() string { return cmp.Or(s.service(), s.Port) }

// Complete returns want with its implied attributes.
func (firewallType) Complete(_ engine.Target, want *Firewall) *Firewall {
	full := *want
	full.Permanent, full.Now = orYes(full.Permanent), orYes(full.Now)
	return &full
}

func (firewallType) Keys(_ engine.Target, want *Firewall) (provides, needs []engine.Key) {
	name := cmp.Or(want.Port, servicePorts[want.service()], want.service())
	if want.Zone != "" {
		name += " in zone " + want.Zone
	}
	needs = []engine.Key{engine.PackageKey("firewalld"), engine.UnitKey(firewalldUnit), engine.PathKey("/etc/firewalld"),
		engine.PackageKey("ufw"), engine.UnitKey(ufwUnit), engine.PathKey("/etc/ufw")}
	return []engine.Key{engine.Key("opening:" + name)}, needs
}

// Risk implements engine.Risky: the program may load the whole firewall again.
func (firewallType) Risk(_, _ *Firewall) string { return "firewall" }

// firewallName is a name of a zone or a service in firewalld.
var firewallName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]*$`)

func (firewallType) Validate(want *Firewall) []engine.Problem {
	var out []engine.Problem
	switch {
	case (want.Service == "") == (want.Port == ""):
		out = append(out, refusal("service", "an opening has either a service or a port", "set one of service and port"))
	case want.Service != "" && (len(want.Service) > maxName || !firewallName.MatchString(want.Service)):
		out = append(out, refusal("service", fmt.Sprintf("invalid service %q", want.Service),
			"use the name of a service in firewalld, such as http, or set port"))
	case want.Port != "":
		if _, ok := parsePorts(want.Port); !ok {
			out = append(out, refusal("port", fmt.Sprintf("invalid port %q", want.Port),
				"write the port with its protocol, such as 8080/tcp or 6000-6010/udp"))
		}
	}
	if want.Zone != "" && (len(want.Zone) > maxName || !firewallName.MatchString(want.Zone)) {
		out = append(out, refusal("zone", fmt.Sprintf("invalid zone %q", want.Zone), "use the name of a zone in firewalld, such as public"))
	}
	return out
}

func (firewallType) Ask(_ engine.Target, want *Firewall) []wire.Query {
	return append(firewalldQueries(want), ufwQueries()...)
}

// Applies implements engine.Conditional: a host without a firewall has nothing to open. If that is
// not known, Read reports why.
func (firewallType) Applies(t engine.Target, want *Firewall, got engine.Answers) bool {
	f, err := firewallOf(t, want, got)
	return err != nil || f != nil
}

// Settle finds where the opening belongs, and what is in the way.
func (ft firewallType) Settle(t engine.Target, want *Firewall, prior *engine.Record, got engine.Answers) *Firewall {
	full := *want
	full.Half = ""
	f, err := firewallOf(t, want, got)
	switch {
	case err != nil:
	case f == nil:
		full.others = otherFirewalls(got)
	default:
		full.Where = f.place()
		full.moved = prior != nil && prior.Made && want.Where != "" && want.Where != full.Where
		f.settle(&full, prior)
	}
	return &full
}

// Read returns what is open where the opening belongs now, and what this resource may have opened
// where the manifest has it.
func (ft firewallType) Read(t engine.Target, want *Firewall, got engine.Answers) (*Firewall, error) {
	f, err := firewallOf(t, want, got)
	if err != nil {
		return nil, err
	}
	have := &Firewall{Service: want.Service, Port: want.Port, Zone: want.Zone, Where: want.Where}
	have.Permanent, have.Now = new(false), new(false)
	stored, err := storedIn(t, want, f, got)
	if err != nil {
		return nil, err
	}
	if stored != nil {
		have.own, have.stored = stored.items(want), stored.place()
	}
	if f != nil {
		have.Where = cmp.Or(want.Where, f.place())
		*have.Permanent, *have.Now = f.open(want)
	}
	if !*have.Permanent && !*have.Now && len(have.own) == 0 {
		return nil, nil
	}
	return have, nil
}

func (ft firewallType) Diff(_ engine.Target, want, have *Firewall) []engine.Step {
	if want == nil {
		return have.close()
	}
	var steps []engine.Step
	permanently := isTrue(want.Permanent) && (have == nil || !isTrue(have.Permanent))
	now := isTrue(want.Now) && (have == nil || !isTrue(have.Now))
	switch zone, ok := zoneOf(want.Where); {
	case want.soon != "":
		if permanently || now {
			steps = append(steps, soonStep(want))
		}
	case ok:
		// The permanent list comes first: if firewalld is reloaded in between, the opening remains.
		if permanently {
			steps = append(steps, firewalldStep(zone, want.items()[0], listPermanent, true))
		}
		if now {
			steps = append(steps, firewalldStep(zone, want.items()[0], listNow, true))
		}
	case permanently || now:
		steps = append(steps, ufwStep(want, want.closed, true))
	}
	if want.moved && have != nil {
		steps = append(steps, have.close()...)
	}
	return steps
}

// close returns the steps that close what the resource has opened.
func (s *Firewall) close() (steps []engine.Step) {
	zone, _ := zoneOf(s.stored)
	for _, o := range s.own {
		if s.stored == ufwPlace {
			steps = append(steps, ufwStep(s, o.half, false))
			continue
		}
		switch {
		case o.permanent && o.offline:
			steps = append(steps, firewalldStep(zone, o.item, listOffline, false))
		case o.permanent:
			steps = append(steps, firewalldStep(zone, o.item, listPermanent, false))
		}
		if o.now {
			steps = append(steps, firewalldStep(zone, o.item, listNow, false))
		}
	}
	return steps
}

func (ft firewallType) Check(t engine.Target, want, _ *Firewall) []engine.Problem {
	if want == nil {
		return nil
	}
	port, known := want.port()
	switch {
	case want.lost != "":
		return []engine.Problem{refusal("zone", fmt.Sprintf("firewalld of %s has no zone %q", t.Name, want.lost),
			"use one of those that this lists on the host: firewall-cmd --get-zones")}
	case want.denied != "":
		return []engine.Problem{refusal("", fmt.Sprintf("a rule of %s on %s denies %s: %s",
			strings.Replace(want.Where, "firewalld", "firewalld's", 1), t.Name, cmp.Or(port.String(), want.Service), want.denied), want.howToPermit())}
	case want.Where == ufwPlace && !known:
		return []engine.Problem{refusal("service", fmt.Sprintf("the port of service %q is not known for ufw", want.Service),
			"set port, such as 8080/tcp")}
	case len(want.others) > 0:
		return []engine.Problem{caution("", fmt.Sprintf("the rules of %s are the host's own and are not changed: they have to accept %s",
			strings.Join(want.others, " and "), cmp.Or(port.String(), want.Service)),
			"accept it there; to plan no opening on this host, set firewall = false in its mirror, or remove the resource")}
	}
	return nil
}

// howToPermit is what to do about a rule that denies the opening.
func (s *Firewall) howToPermit() string {
	list := "ufw status numbered"
	if zone, ok := zoneOf(s.Where); ok {
		list = "firewall-cmd --zone=" + zone + " --list-rich-rules, also with --permanent,"
	}
	return "remove the rule on the host (" + list + " lists it), or leave the firewall to its operator"
}

// otherFirewallUnits load rules that are the host's own.
var otherFirewallUnits = []string{"nftables.service", "iptables.service", "netfilter-persistent.service"}

// otherFirewalls returns the units that have loaded rules of the host's own.
func otherFirewalls(got engine.Answers) []string {
	return slices.DeleteFunc(slices.Clone(otherFirewallUnits), func(unit string) bool {
		u, err := got.Unit(wire.Query{Verb: wire.AskUnit, Arg: unit})
		return err != nil || !active(u)
	})
}
