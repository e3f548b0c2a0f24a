package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// HostDiagnostics has the diagnostics of one host.
type HostDiagnostics struct {
	Host        string
	Diagnostics hcl.Diagnostics
}

// Together merges the diagnostics of several hosts. The same problem on many hosts becomes one
// diagnostic, which names the first host and counts the others.
func (c *Config) Together(found []HostDiagnostics) hcl.Diagnostics {
	var g gathering
	for _, f := range found {
		h := c.inventory.byName[f.Host]
		if h == nil {
			h = &DeclaredHost{Name: f.Host}
		}
		g.add(h, f.Diagnostics)
	}
	return lang.Tidy(g.diagnostics())
}

// perHost merges the diagnostics of a block on each of its hosts. A diagnostic that only some hosts
// have names these hosts.
func perHost(hosts []*DeclaredHost, found []hcl.Diagnostics) hcl.Diagnostics {
	var g gathering
	for n, diags := range found {
		g.add(hosts[n], diags)
	}
	diags := make(hcl.Diagnostics, len(g.order))
	for i, p := range g.order {
		switch diags[i] = p.first; {
		case p.differs:
			diags[i] = p.saying(firstOf(p.on))
		case len(p.on) < len(hosts):
			diags[i] = p.saying(someOf(p.on))
		}
	}
	return diags
}

// perInstance merges the diagnostics of each instance of a block.
func perInstance(instances []*instance, find func(*instance) hcl.Diagnostics) hcl.Diagnostics {
	if len(instances) == 1 {
		return find(instances[0])
	}
	found := make([]hcl.Diagnostics, len(instances))
	some := false
	for n, i := range instances {
		found[n] = find(i)
		some = some || len(found[n]) > 0
	}
	if !some {
		return nil
	}
	var g gathering
	for n, i := range instances {
		g.add(&DeclaredHost{Name: i.block.name + i.key, Key: strings.TrimSuffix(strings.TrimPrefix(i.key, `["`), `"]`)}, found[n])
	}
	return g.diagnostics()
}

// problemKey identifies a problem independently of the host.
type problemKey struct {
	severity        hcl.DiagnosticSeverity
	summary, detail string
	subject         hcl.Range
}

// shared is a problem and the hosts that have it.
type shared struct {
	first   *hcl.Diagnostic
	on      []string // names of hosts, each once
	differs bool     // the texts of the hosts differ
}

// gathering collects problems and their hosts. Its zero value is ready to use.
type gathering struct {
	order []*shared
	byKey map[problemKey]*shared
}

func (g *gathering) add(h *DeclaredHost, diags hcl.Diagnostics) {
	for _, d := range diags {
		k := problemKey{severity: d.Severity, summary: h.withoutOwn(d.Summary), detail: h.withoutOwn(d.Detail)}
		if d.Subject != nil {
			k.subject = *d.Subject
		}
		p := g.byKey[k]
		if p == nil {
			if p = (&shared{first: d}); g.byKey == nil {
				g.byKey = map[problemKey]*shared{}
			}
			g.byKey[k], g.order = p, append(g.order, p)
		}
		p.differs = p.differs || p.first.Summary != d.Summary || p.first.Detail != d.Detail
		if !slices.Contains(p.on, h.Name) {
			p.on = append(p.on, h.Name)
		}
	}
}

// diagnostics returns one diagnostic for each problem. If several hosts have the problem, it names
// the first one and counts the others.
func (g *gathering) diagnostics() hcl.Diagnostics {
	diags := make(hcl.Diagnostics, len(g.order))
	for i, p := range g.order {
		if diags[i] = p.first; len(p.on) > 1 {
			diags[i] = p.saying(firstOf(p.on))
		}
	}
	return diags
}

const soOn = "This applies to "

// saying returns the diagnostic with a sentence that names hosts.
func (p *shared) saying(hosts string) *hcl.Diagnostic {
	said := *p.first
	said.Detail = lang.WithSentence(strings.TrimSuffix(said.Detail, soOn+p.on[0]+"."), soOn+hosts+".")
	return &said
}

var digits = regexp.MustCompile(`[0-9]+`)

// withoutOwn removes from a text what differs from host to host: quoted words, numbers, and the
// host's own words.
func (h *DeclaredHost) withoutOwn(text string) string {
	for _, own := range h.ownWords() {
		text = strings.ReplaceAll(text, own, "…")
	}
	for _, short := range []string{h.Name, h.Key} {
		if rest, ok := strings.CutPrefix(text, short+" "); ok && short != "" {
			text = "… " + rest
		}
	}
	return digits.ReplaceAllString(lang.Quoted.ReplaceAllString(text, "…"), "0")
}

// ownWords returns a host's name, plain and in the form of quoted strings, its key, address and
// labels, longest first.
func (h *DeclaredHost) ownWords() []string {
	words := []string{h.Name, strings.Trim(strconv.Quote(h.Name), `"`), h.Key, h.Address}
	for _, label := range lang.SortedKeys(h.Labels) {
		words = append(words, h.Labels[label])
	}
	words = slices.DeleteFunc(words, func(w string) bool { return len(w) < 2 }) // "a" may be an article
	words = append(words, h.Name+"/", "host "+h.Name, soOn+h.Name)
	slices.SortStableFunc(words, func(a, b string) int { return len(b) - len(a) })
	return words
}

// firstOf names the first of several hosts and counts the others: "fra1 and 2 others".
func firstOf(names []string) string {
	switch others := len(names) - 1; others {
	case 0:
		return names[0]
	case 1:
		return names[0] + " and 1 other"
	default:
		return fmt.Sprintf("%s and %d others", names[0], others)
	}
}

// someOf names up to five hosts and counts the others.
func someOf(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return lang.AllOf(names)
	}
	return fmt.Sprintf("%s and %d other hosts", strings.Join(names[:shown], ", "), len(names)-shown)
}
