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
// now and after a restart. It is for firewalld while that runs, and for ufw while that is enabled;
// on other hosts it changes nothing. What is open already stays open after a removal.
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

	moved  bool        // wanted: mirrorform opened it in Where as the manifest has it, which is another place
	denied string      // wanted: the rule of ufw that denies it, as ufw has it
	lost   string      // wanted: the zone that firewalld does not have
	others []string    // wanted: units with rules of the host's own; there is no firewall of a known kind
	own    []ownedItem // found: what is open in Where by an item that this resource would add
	stored string      // found: the place of own
}

// ownedItem is an entry of a firewall's list.
type ownedItem struct {
	item           string // as firewall-cmd's options have it: service=http, port=8080/tcp
	permanent, now bool
	offline        bool // firewalld does not run
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
		engine.PackageKey("ufw"), engine.UnitKey("ufw.service"), engine.PathKey("/etc/ufw")}
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
func (firewallType) Applies(_ engine.Target, want *Firewall, got engine.Answers) bool {
	f, err := firewallOf(want, got)
	return err != nil || f != nil
}

// Settle finds where the opening belongs, and what is in the way.
func (ft firewallType) Settle(_ engine.Target, want *Firewall, prior *engine.Record, got engine.Answers) *Firewall {
	full := *want
	f, err := firewallOf(want, got)
	switch {
	case err != nil:
	case f == nil:
		full.others = otherFirewalls(got)
	default:
		full.Where = f.place()
		full.moved = prior != nil && prior.Made && want.Where != "" && want.Where != full.Where
		full.denied, full.lost = f.obstacle(want)
	}
	return &full
}

// Read returns what is open where the opening belongs now, and what this resource may have opened
// where the manifest has it.
func (ft firewallType) Read(_ engine.Target, want *Firewall, got engine.Answers) (*Firewall, error) {
	f, err := firewallOf(want, got)
	if err != nil {
		return nil, err
	}
	have := &Firewall{Service: want.Service, Port: want.Port, Zone: want.Zone, Where: want.Where}
	have.Permanent, have.Now = new(false), new(false)
	stored, err := storedIn(want, f, got)
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
	switch zone, ok := strings.CutPrefix(want.Where, firewalldPlace); {
	case ok:
		// The permanent list comes first: if firewalld is reloaded in between, the opening remains.
		if permanently {
			steps = append(steps, firewalldStep(zone, want.items()[0], listPermanent, true))
		}
		if now {
			steps = append(steps, firewalldStep(zone, want.items()[0], listNow, true))
		}
	case permanently || now:
		steps = append(steps, ufwStep(want, true))
	}
	if want.moved && have != nil {
		steps = append(steps, have.close()...)
	}
	return steps
}

// close returns the steps that close what the resource has opened.
func (s *Firewall) close() (steps []engine.Step) {
	for _, o := range s.own {
		if s.stored == ufwPlace {
			steps = append(steps, ufwStep(s, false))
			continue
		}
		zone := strings.TrimPrefix(s.stored, firewalldPlace)
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
		return []engine.Problem{refusal("", fmt.Sprintf("a rule of ufw on %s denies %s: %s", t.Name, port, want.denied),
			"remove the rule on the host (ufw status numbered lists it), or leave the firewall to its operator")}
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

// otherFirewallUnits load rules that are the host's own.
var otherFirewallUnits = []string{"nftables.service", "iptables.service", "netfilter-persistent.service"}

// otherFirewalls returns the units that have loaded rules of the host's own.
func otherFirewalls(got engine.Answers) []string {
	return slices.DeleteFunc(slices.Clone(otherFirewallUnits), func(unit string) bool {
		u, err := got.Unit(wire.Query{Verb: wire.AskUnit, Arg: unit})
		return err != nil || !active(u)
	})
}
