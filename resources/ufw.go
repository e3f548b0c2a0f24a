package resources

import (
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// ufwPlace is the value of Firewall.Where for ufw.
const ufwPlace = "ufw"

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
	accepts          bool        // it lets in what no rule is about
	rules            [][]ufwRule // for IPv4, and for IPv6 if it filters that
}

// ufwRule is a rule for packets from everywhere.
type ufwRule struct {
	action string // allow, limit, deny or reject
	ports  []portRange
	exact  bool // nothing but action and ports was given
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
	files := []wire.Query{ufwRules4}
	if ufwSetting(defaults, "IPV6") != "no" {
		files = append(files, ufwRules6)
	}
	for _, q := range files {
		f, err := got.File(q)
		if err != nil {
			return nil, err
		}
		u.rules = append(u.rules, ufwTuples(string(f.Content)))
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
	`(?:0\.0\.0\.0/0|::/0) any (?:0\.0\.0\.0/0|::/0)((?: \S+ \S+)?) in(?: comment=\S+)?$`)

// ufwTuples returns the rules for packets from everywhere, over any interface, in their order.
func ufwTuples(text string) (rules []ufwRule) {
	for _, m := range ufwTuple.FindAllStringSubmatch(text, -1) {
		r := ufwRule{action: m[1], exact: m[1] == "allow" && m[4] == ""}
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
	want, known := s.port()
	if !known {
		return false, false
	}
	for _, rules := range u.rules {
		if r := first(rules, want); r == nil && !u.accepts || r != nil && !r.lets() {
			return false, false
		}
	}
	return true, true
}

func (u *ufw) items(s *Firewall) []ownedItem {
	want, known := s.port()
	if known && slices.ContainsFunc(u.rules, func(rules []ufwRule) bool {
		return slices.ContainsFunc(rules, func(r ufwRule) bool { return r.exact && slices.Equal(r.ports, []portRange{want}) })
	}) {
		return []ownedItem{{item: "port=" + want.String(), permanent: true, now: u.enabled}}
	}
	return nil
}

func (u *ufw) obstacle(s *Firewall) (denied, lost string) {
	want, known := s.port()
	if !known {
		return "", ""
	}
	for _, rules := range u.rules {
		if r := first(rules, want); r != nil && !r.lets() {
			return r.String(), ""
		}
	}
	return "", ""
}

// String returns the rule as ufw(8) writes it.
func (r *ufwRule) String() string {
	ports := make([]string, len(r.ports))
	for i, p := range r.ports {
		ports[i] = p.ufw()
	}
	return r.action + " " + strings.Join(ports, ",")
}

// ufwStep returns the step that adds the rule for an opening, or removes it.
func ufwStep(s *Firewall, add bool) engine.Step {
	port, _ := s.port()
	allow := wire.Op{Run: &wire.RunOp{Argv: []string{"/usr/sbin/ufw", "allow", port.ufw()}, Timeout: firewallTime}}
	remove := wire.Op{Run: &wire.RunOp{Argv: []string{"/usr/sbin/ufw", "delete", "allow", port.ufw()}, Timeout: firewallTime}}
	if !add {
		return engine.Step{Summary: "close " + s.what() + " in ufw", Do: remove, Undo: &allow}
	}
	return engine.Step{Summary: "open " + s.what() + " in ufw", Do: allow, Undo: &remove}
}
