package resources

import (
	"regexp"
	"strconv"
	"strings"
)

// portRange is a range of ports of one protocol.
type portRange struct {
	first, last int
	protocol    string // "" is any
}

var portPattern = regexp.MustCompile(`^([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?/(tcp|udp|sctp|dccp)$`)

// parsePorts parses ports as firewall-cmd(1) writes them: 80/tcp, 6000-6010/udp.
func parsePorts(text string) (p portRange, ok bool) {
	m := portPattern.FindStringSubmatch(text)
	if m == nil {
		return p, false
	}
	p.first, _ = strconv.Atoi(m[1])
	p.last, p.protocol = p.first, m[3]
	if m[2] != "" {
		p.last, _ = strconv.Atoi(m[2])
	}
	return p, p.first <= p.last && p.last < 1<<16
}

// contains reports whether p has all ports of o.
func (p portRange) contains(o portRange) bool {
	return p.first <= o.first && o.last <= p.last && (p.protocol == "" || p.protocol == o.protocol)
}

// meets reports whether p and o have a port in common.
func (p portRange) meets(o portRange) bool {
	return p.first <= o.last && o.first <= p.last && (p.protocol == "" || p.protocol == o.protocol)
}

// ufw returns the ports as ufw(8) writes them: 6000:6010/udp.
func (p portRange) ufw() string { return strings.Replace(p.String(), "-", ":", 1) }

// String returns the ports as firewall-cmd(1) writes them, "" for none.
func (p portRange) String() string {
	if p.first == 0 {
		return ""
	}
	text := strconv.Itoa(p.first)
	if p.last != p.first {
		text += "-" + strconv.Itoa(p.last)
	}
	if p.protocol != "" {
		text += "/" + p.protocol
	}
	return text
}
