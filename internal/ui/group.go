package ui

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// Fewest is how many hosts are shown as one, at least: two are read side by side.
const Fewest = 3

// What a group of hosts shows instead of the values that are each host's own.
const (
	ownName    = "‹host›"
	ownAddress = "‹address›"
	ownDigest  = "‹digest›"
)

// group are hosts whose plans differ in nothing but each host's own name and address.
type group struct {
	hosts []*engine.HostPlan
}

// groups groups the hosts of a plan, in the order of the first host of each. The key of a host is
// the whole text of its plan, in which nothing is shortened; a host with a problem, an error or a
// note is alone.
func groups(hosts []*engine.HostPlan, o PlanOptions) []group {
	full := &stream{style: newStyle(false)}
	var list []group
	at := map[string]int{}
	for _, h := range hosts {
		key := ""
		if !o.Expand && len(hosts) >= Fewest && h.Err == nil && !h.Failed() && len(h.Notes) == 0 && len(h.Changes) > 0 &&
			(o.OmitProblems || len(h.Problems) == 0) {
			key = newOwn(h).Hide(full.changes(h, PlanOptions{Full: true, grouped: true}))
		}
		if i, ok := at[key]; ok && key != "" {
			list[i].hosts = append(list[i].hosts, h)
			continue
		}
		at[key] = len(list)
		list = append(list, group{hosts: []*engine.HostPlan{h}})
	}
	var shown []group
	for _, g := range list {
		if len(g.hosts) >= Fewest {
			shown = append(shown, g)
			continue
		}
		for _, h := range g.hosts {
			shown = append(shown, group{hosts: []*engine.HostPlan{h}})
		}
	}
	return shown
}

// digests are, in files that mirrorform generates, those of the host's own values.
var digests = regexp.MustCompile(`\b[0-9a-f]{64}\b`)

// groupPlan prints a group as its first host, with marks instead of what is each host's own.
func (s *stream) groupPlan(g group, o PlanOptions) string {
	first := g.hosts[0]
	names := make([]string, len(g.hosts))
	for i, h := range g.hosts {
		names[i] = plain.Escape(h.Host)
	}
	o.grouped, o.summary = true, true
	text := s.style.heading(listNames(names)) + ": on each, " + hostCounts(first) + "\n"
	return text + strings.TrimRight(newOwn(first).Hide(s.changes(first, o)), "\n") + "\n"
}

// changes prints the changes of a host.
func (s *stream) changes(h *engine.HostPlan, o PlanOptions) string {
	var b strings.Builder
	for i := range h.Changes {
		b.WriteString(s.change(h, &h.Changes[i], o))
		if !o.Compact {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// Own are the words that are a host's own, longest first, with what stands for them where several
// hosts are shown as one.
type Own []struct{ word, mark string }

// NewOwn returns the own words of a host: its name, its key in a for_each block, and addresses.
// Texts that are not IP addresses are left out.
func NewOwn(host string, addresses []string) Own {
	var list Own
	add := func(word, mark string) {
		if word != "" && !slices.ContainsFunc(list, func(o struct{ word, mark string }) bool { return o.word == word }) {
			list = append(list, struct{ word, mark string }{word, mark})
		}
	}
	add(plain.Escape(host), ownName)
	if _, key, ok := strings.Cut(host, `["`); ok { // a for_each block
		add(plain.Escape(strings.TrimSuffix(key, `"]`)), ownName)
	}
	for _, text := range addresses {
		if _, err := netip.ParseAddr(text); err == nil {
			add(text, ownAddress)
		}
	}
	slices.SortStableFunc(list, func(a, b struct{ word, mark string }) int { return len(b.word) - len(a.word) })
	return list
}

// newOwn returns the own words of a host in its plan, with the addresses that its sites answer for.
func newOwn(h *engine.HostPlan) Own {
	var addresses []string
	for i := range h.Changes {
		for _, attributes := range [][]engine.Attribute{h.Changes[i].Before, h.Changes[i].After} {
			if a := findAttribute(attributes, "address"); a != nil {
				text, _ := plainValue(a.Value).(string)
				addresses = append(addresses, text)
			}
		}
	}
	return NewOwn(h.Host, addresses)
}

// HideDigests replaces the digests in a file that mirrorform generates: they are those of the own
// words.
func HideDigests(text string) string { return digests.ReplaceAllString(text, ownDigest) }

// Hide replaces whole words. Colours do not belong to words.
func (o Own) Hide(text string) string {
	var b strings.Builder
next:
	for i := 0; i < len(text); {
		for _, w := range o {
			if strings.HasPrefix(text[i:], w.word) && wordStarts(text, i) && wordEnds(text, i+len(w.word)) {
				b.WriteString(w.mark)
				i += len(w.word)
				continue next
			}
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

// colourBefore matches the sequence of a colour at the end of a text.
var colourBefore = regexp.MustCompile("\x1b\\[[0-9;]*m$")

func wordStarts(text string, i int) bool {
	return i == 0 || !inWord(text[i-1]) || text[i-1] == 'm' && colourBefore.MatchString(text[max(0, i-12):i])
}

func wordEnds(text string, i int) bool { return i == len(text) || !inWord(text[i]) }

func inWord(c byte) bool {
	return c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// generated reports whether mirrorform makes an attribute's value from other attributes.
func generated(c *engine.Change, name string) bool {
	if name != "content" {
		return false
	}
	a, _ := engine.ParseAddress(c.Address)
	return c.Type != "file" || a.Part != ""
}
