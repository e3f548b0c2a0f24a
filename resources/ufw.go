package resources

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// ufwPlace is the value of Firewall.Where for ufw.
const ufwPlace = "ufw"

const ufwUnit = "ufw.service"

// The files of ufw(8). It has no state besides these: each command writes a file of rules and the
// rules of the kernel.
var (
	ufwConf     = wire.Query{Verb: wire.AskFile, Arg: "/etc/ufw/ufw.conf", Option: "content"}
	ufwDefaults = wire.Query{Verb: wire.AskFile, Arg: "/etc/default/ufw", Option: "content"}
	ufwRules4   = wire.Query{Verb: wire.AskFile, Arg: "/etc/ufw/user.rules", Option: "content"}
	ufwRules6   = wire.Query{Verb: wire.AskFile, Arg: "/etc/ufw/user6.rules", Option: "content"}
)

func ufwQueries() []wire.Query { return []wire.Query{ufwConf, ufwDefaults, ufwRules4, ufwRules6} }

// ufw is the state of ufw.
type ufw struct {
	missing, enabled bool
	accepts          bool      // it lets in what no rule is about
	halves           []ufwHalf // of IPv4, and of IPv6 if it filters that
}

// ufwHalf has the rules for one address family. Each can have rules that the other one lacks.
type ufwHalf struct {
	name  string // IPv4 or IPv6
	rules []ufwRule
}

// bothHalves is a value of Firewall.Half.
const bothHalves = "both"

// ufwEverywhere has all addresses of each half, as ufw(8) reads them.
var ufwEverywhere = map[string]string{"IPv4": "0.0.0.0/0", "IPv6": "::/0"}

// ufwRule is a rule for packets from everywhere.
type ufwRule struct {
	action string // allow, limit, deny or reject
	ports  []portRange
	exact  bool   // nothing but action and ports was given
	on     string // the interface, if one was given
}

func readUFW(got engine.Answers) (*ufw, error) {
	u := new(ufw)
	conf, err := got.File(ufwConf)
	if err != nil {
		return nil, err
	}
	if u.missing = conf.Kind == wire.Absent; u.missing {
		return u, nil
	}
	defaults, err := got.File(ufwDefaults)
	if err != nil {
		return nil, err
	}
	u.enabled = ufwSetting(conf, "ENABLED") == "yes"
	u.accepts = ufwSetting(defaults, "DEFAULT_INPUT_POLICY") == "accept"
	halves := map[string]wire.Query{"IPv4": ufwRules4}
	if ufwSetting(defaults, "IPV6") != "no" {
		halves["IPv6"] = ufwRules6
	}
	outer, err := outerInterfaces(got)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(halves)) {
		f, err := got.File(halves[name])
		if err != nil {
			return nil, err
		}
		u.halves = append(u.halves, ufwHalf{name, ufwTuples(string(f.Content), outer)})
	}
	return u, nil
}

// ufwSetting returns the value of a line NAME=value or NAME="value", in lower case.
func ufwSetting(f wire.File, name string) (value string) {
	for line := range strings.Lines(string(f.Content)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			value = strings.ToLower(strings.Trim(strings.TrimSpace(v), `"'`))
		}
	}
	return value
}

// ufwTuple is the comment above each rule, of which ufw itself reads the rule: action, protocol,
// port and address of the destination, port and address of the source, perhaps the names of
// applications, direction, and perhaps a comment.
var ufwTuple = regexp.MustCompile(`(?m)^### tuple ### (allow|limit|deny|reject)(?:_\S+)? (any|tcp|udp) (\S+) ` +
	`(?:0\.0\.0\.0/0|::/0) any (?:0\.0\.0\.0/0|::/0)((?: \S+ \S+)?) in(?:_(\S+))?(?: comment=\S+)?$`)

// ufwTuples returns the rules for packets from everywhere, in their order. Rules for one interface
// are among them if they deny, and if the interface has a default route.
func ufwTuples(text string, outer []string) (rules []ufwRule) {
	for _, m := range ufwTuple.FindAllStringSubmatch(text, -1) {
		r := ufwRule{action: m[1], exact: m[1] == "allow" && m[4]+m[5] == "", on: m[5]}
		if r.on != "" && (r.lets() || !slices.Contains(outer, r.on)) {
			continue
		}
		for port := range strings.SplitSeq(m[3], ",") {
			p := portRange{first: 1, last: 1<<16 - 1}
			if port != "any" {
				var ok bool
				if p, ok = parsePorts(strings.Replace(port, ":", "-", 1) + "/tcp"); !ok {
					continue
				}
			}
			if p.protocol = m[2]; p.protocol == "any" {
				p.protocol = ""
			}
			r.ports = append(r.ports, p)
		}
		rules = append(rules, r)
	}
	return rules
}

func (u *ufw) place() string { return ufwPlace }

// first returns the first rule of a list about a wanted port. Rules after it have no effect.
func first(rules []ufwRule, want portRange) *ufwRule {
	for i, r := range rules {
		if slices.ContainsFunc(r.ports, func(p portRange) bool {
			return p.contains(want) || !r.lets() && p.meets(want)
		}) {
			return &rules[i]
		}
	}
	return nil
}

func (r *ufwRule) lets() bool { return r.action == "allow" || r.action == "limit" }

func (u *ufw) open(s *Firewall) (permanent, now bool) {
	_, known := s.port()
	yes := known && len(u.closed(s)) == 0
	return yes, yes
}

// closed returns the halves that do not let an opening's clients in. The port is known.
func (u *ufw) closed(s *Firewall) (halves []string) {
	want, _ := s.port()
	for _, h := range u.halves {
		if r := first(h.rules, want); r == nil && !u.accepts || r != nil && !r.lets() {
			halves = append(halves, h.name)
		}
	}
	return halves
}

// items returns the rules of the halves that the resource has opened. If it has opened none yet,
// what lets in by half was there before.
func (u *ufw) items(s *Firewall) (own []ownedItem) {
	want, known := s.port()
	if !known || s.Where == "" && len(u.closed(s)) > 0 {
		return nil
	}
	whole := ownedItem{item: "port=" + want.String(), permanent: true, now: u.enabled}
	for _, h := range u.halves {
		made := s.Half == "" || s.Half == bothHalves || s.Half == h.name
		if made && slices.ContainsFunc(h.rules, func(r ufwRule) bool { return r.exact && slices.Equal(r.ports, []portRange{want}) }) {
			part := whole
			part.half = h.name
			own = append(own, part)
		}
	}
	if len(own) == len(u.halves) {
		return []ownedItem{whole}
	}
	return own
}

func (u *ufw) settle(full *Firewall, prior *engine.Record) {
	want, known := full.port()
	if !known {
		return
	}
	for _, h := range u.halves {
		if r := first(h.rules, want); r != nil && !r.lets() {
			full.denied = cmp.Or(full.denied, r.String())
		}
	}
	closed := u.closed(full)
	full.Half = u.opened(closed, prior)
	if full.closed = ""; len(closed) == 1 && len(u.halves) > 1 {
		full.closed = closed[0]
	}
}

// opened returns Firewall.Half once the closed halves are open, too.
func (u *ufw) opened(closed []string, prior *engine.Record) string {
	before := ""
	if p, ok := stateIn(prior); ok && prior.Made && p.Where == ufwPlace {
		if before = p.Half; before == "" || before == bothHalves {
			return before
		}
		closed = sorted(closed, []string{before})
	}
	switch {
	case len(closed) == 1 && (len(u.halves) > 1 || before != ""):
		return closed[0]
	case before != "":
		return bothHalves
	}
	return ""
}

// stateIn returns the state of a record.
func stateIn(prior *engine.Record) (state *Firewall, ok bool) {
	if prior == nil {
		return nil, false
	}
	state, ok = prior.State.(*Firewall)
	return state, ok
}

// String returns the rule as ufw(8) writes it.
func (r *ufwRule) String() string {
	ports := make([]string, len(r.ports))
	for i, p := range r.ports {
		ports[i] = p.ufw()
	}
	text := r.action
	if r.on != "" {
		text += " in on " + r.on
	}
	return text + " " + strings.Join(ports, ",")
}

// ufwStep returns the step that adds the rule for an opening, or removes it. That of one half has
// its own form, which does not change the other one.
func ufwStep(s *Firewall, half string, add bool) engine.Step {
	port, _ := s.port()
	what, rule := s.what(), []string{port.ufw()}
	if half != "" {
		number, protocol, _ := strings.Cut(port.ufw(), "/")
		what += " for " + half
		rule = []string{"proto", protocol, "from", ufwEverywhere[half], "to", "any", "port", number}
	}
	run := func(words ...string) wire.Op {
		argv := slices.Concat([]string{"/usr/sbin/ufw"}, words, rule)
		return wire.Op{Run: &wire.RunOp{Argv: argv, Timeout: firewallTime}}
	}
	allow, remove := run("allow"), run("delete", "allow")
	if !add {
		return engine.Step{Summary: "close " + what + " in ufw", Do: remove, Undo: &allow}
	}
	return engine.Step{Summary: "open " + what + " in ufw", Do: allow, Undo: &remove}
}
