package resources

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// richRule has what a rich rule of firewalld (firewalld.richlanguage(5)) decides about packets from
// everywhere to ports of the host.
type richRule struct {
	text     string // as firewall-cmd lists it
	priority int
	family   string // ipv4, ipv6, or "": both
	service  string
	ports    portRange // without a service; of all ports for a protocol
	action   string    // accept, reject or drop; "": it is about something else
}

// xmlRule is a rich rule in the file of a zone.
type xmlRule struct {
	Family   string    `xml:"family,attr"`
	Priority int       `xml:"priority,attr"`
	Elements []element `xml:",any"`
}

// element is a part of a rich rule.
type element struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Inner   []struct {
		XMLName xml.Name
	} `xml:",any"`
}

// attr returns the value of an attribute.
func (e *element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// richWord is a word of a rule, or an attribute of the word before it.
var richWord = regexp.MustCompile(`([a-z-]+)(?:="([^"]*)")?`)

// parseRichRule reads a rule as firewall-cmd lists it.
func parseRichRule(text string) richRule {
	x := xmlRule{}
	var last *element
	for _, m := range richWord.FindAllStringSubmatch(text, -1) {
		name := xml.Name{Local: m[1]}
		switch word := !strings.HasSuffix(m[0], `"`); {
		case word && m[1] == "limit" && last != nil: // of an action or a log
			last.Inner = append(last.Inner, struct{ XMLName xml.Name }{name})
		case word && m[1] != "rule":
			x.Elements = append(x.Elements, element{XMLName: name})
			last = &x.Elements[len(x.Elements)-1]
		case last != nil:
			last.Attrs = append(last.Attrs, xml.Attr{Name: name, Value: m[2]})
		case m[1] == "family":
			x.Family = m[2]
		case m[1] == "priority":
			x.Priority, _ = strconv.Atoi(m[2])
		}
	}
	return x.rich()
}

// String returns the rule as firewall-cmd lists it, without limits.
func (x *xmlRule) String() string {
	text := "rule"
	if x.Priority != 0 {
		text += fmt.Sprintf(" priority=%q", strconv.Itoa(x.Priority))
	}
	if x.Family != "" {
		text += fmt.Sprintf(" family=%q", x.Family)
	}
	for _, e := range x.Elements {
		text += " " + e.XMLName.Local
		for _, a := range e.Attrs {
			text += fmt.Sprintf(" %s=%q", a.Name.Local, a.Value)
		}
	}
	return text
}

// rich returns the rule.
func (x *xmlRule) rich() richRule {
	r := richRule{priority: x.Priority, family: x.Family, text: x.String()}
	action, about := "", false
	for i := range x.Elements {
		e := &x.Elements[i]
		switch kind := e.XMLName.Local; kind {
		case "service":
			r.service, about = e.attr("name"), true
		case "port":
			r.ports, about = parsePorts(e.attr("port") + "/" + e.attr("protocol"))
		case "protocol":
			r.ports, about = portRange{1, 1<<16 - 1, e.attr("value")}, true
		case "accept", "reject", "drop":
			if len(e.Inner) > 0 { // a limit
				return r
			}
			action = kind
		case "log", "nflog", "audit":
		default: // a source or a destination, or about something else than ports
			return r
		}
	}
	if about {
		r.action = action
	}
	return r
}

// about reports whether the rule decides about the opening's clients of an address family.
func (r *richRule) about(s *Firewall, family string) bool {
	if r.action == "" || r.family != "" && r.family != family {
		return false
	}
	if r.service != "" && r.service == s.service() {
		return true
	}
	want, known := s.port()
	ports := r.ports
	if r.service != "" {
		ports, _ = parsePorts(servicePorts[r.service])
	}
	return known && ports.first > 0 && (ports.contains(want) || r.action != "accept" && ports.meets(want))
}

// decide returns the first of the rules about the opening, in the order in which firewalld has
// them. Services and ports come after all rules up to priority 0, and before the others.
func (l *zoneList) decide(s *Firewall, family string) *richRule {
	rules := slices.Clone(l.rules)
	slices.SortStableFunc(rules, func(a, b richRule) int {
		denies := func(r richRule) int { return min(1, len(strings.TrimPrefix(r.action, "accept"))) }
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(denies(b), denies(a)))
	})
	if i := slices.IndexFunc(rules, func(r richRule) bool { return r.about(s, family) }); i >= 0 {
		return &rules[i]
	}
	return nil
}

// opens reports whether the list lets the opening's clients in, over both address families. accepts
// is whether the zone accepts what nothing is about.
func (l *zoneList) opens(s *Firewall, accepts bool) bool {
	if l == nil {
		return false
	}
	listed := l.lets(s)
	for _, family := range []string{"ipv4", "ipv6"} {
		r := l.decide(s, family)
		switch {
		case r != nil && (r.priority <= 0 || !listed):
			if r.action != "accept" {
				return false
			}
		case !listed && !accepts:
			return false
		}
	}
	return true
}

// denies returns the rule that keeps the opening's clients out, even if the list has the opening.
func (l *zoneList) denies(s *Firewall) string {
	if l == nil {
		return ""
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		if r := l.decide(s, family); r != nil && r.action != "accept" && r.priority <= 0 {
			return r.text
		}
	}
	return ""
}
