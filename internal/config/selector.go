package config

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Selector says which hosts are meant. Its text is terms with commas between them, in one of two forms:
//
//	fra1,edge,web-*            hosts: names, for_each blocks and globs (path.Match); those that any term means
//	edge,!edge["ams"]          the same without those that a term with ! means; with such terms alone, all hosts but these
//	wave=canary,country!=DE    labels: LABEL=GLOB and LABEL!=GLOB; the hosts for which all terms hold
//
// A label that a host does not have is empty. Double quotes, in which a backslash quotes, keep commas together: edge["a,b"], note="a,b".
type Selector struct {
	text   string
	terms  []selectorTerm
	labels bool
}

// selectorTerm is one term: a pattern for names, or with a label for that label's value.
type selectorTerm struct {
	text, label, pattern string
	not                  bool
}

var labelTerm = regexp.MustCompile(`^([^\s=!,"'\[\]*?@]+)\s*(!=|==?)\s*(.*)$`)

// ParseSelector reads a selector.
func ParseSelector(text string) (*Selector, error) {
	parts, err := splitSelector(text)
	if err != nil {
		return nil, err
	}
	s := &Selector{text: text}
	named := 0
	for _, part := range parts {
		t := selectorTerm{text: part, pattern: part}
		if name, without := strings.CutPrefix(part, "!"); without {
			if m := labelTerm.FindStringSubmatch(name); m != nil {
				return nil, fmt.Errorf("%q: ! stands before hosts; for a label write %s!=%s", part, m[1], m[3])
			}
			t.not, t.pattern = true, name
			named++
		} else if m := labelTerm.FindStringSubmatch(part); m != nil {
			t.label, t.not, t.pattern = m[1], m[2] == "!=", m[3]
			if strings.HasPrefix(t.pattern, `"`) {
				if t.pattern, err = strconv.Unquote(t.pattern); err != nil {
					return nil, fmt.Errorf("in %q, the quoted value does not end where the term does", part)
				}
			}
		} else {
			named++
		}
		if _, err := path.Match(t.pattern, ""); err != nil || t.pattern == "" && t.label == "" {
			return nil, fmt.Errorf("%q is not a host name or glob", part)
		}
		s.terms = append(s.terms, t)
	}
	if s.labels = named == 0; !s.labels && named < len(parts) {
		return nil, fmt.Errorf("%q mixes hosts and labels: all terms must hold of labels, and any of hosts, so they are given apart", text)
	}
	return s, nil
}

// splitSelector cuts a text at the commas that are not quoted.
func splitSelector(text string) ([]string, error) {
	var parts []string
	begin, quoted := 0, false
	for i := 0; i <= len(text); i++ {
		switch {
		case i < len(text) && text[i] == '\\' && quoted:
			i++
		case i < len(text) && text[i] == '"':
			quoted = !quoted
		case i >= len(text) || text[i] == ',' && !quoted:
			part := strings.TrimSpace(text[begin:min(i, len(text))])
			if part == "" {
				return nil, fmt.Errorf("%q has an empty term", text)
			}
			parts = append(parts, part)
			begin = i + 1
		}
	}
	if quoted {
		return nil, fmt.Errorf("%q has a quote that does not end", text)
	}
	return parts, nil
}

// String is the text that was read.
func (s *Selector) String() string { return s.text }

// Match tells whether a host is meant. Host local has no labels, and is meant by its name alone.
func (s *Selector) Match(h *Host) bool {
	if s.labels {
		return !h.Local && !slices.ContainsFunc(s.terms, func(t selectorTerm) bool { return !t.match(h) })
	}
	selected := s.Subtracts() && !h.Local
	for _, t := range s.terms {
		switch {
		case t.not && t.match(h):
			return false
		case !t.not:
			selected = selected || t.match(h)
		}
	}
	return selected
}

// Subtracts reports whether the selector only says which hosts to leave out.
func (s *Selector) Subtracts() bool {
	return !s.labels && !slices.ContainsFunc(s.terms, func(t selectorTerm) bool { return !t.not })
}

// match reports whether a term's pattern, or its condition on a label, holds of a host.
func (t *selectorTerm) match(h *Host) bool {
	if t.label != "" {
		ok, _ := path.Match(t.pattern, h.Labels[t.label]) // the pattern was checked
		return ok != t.not
	}
	ok, _ := path.Match(t.pattern, h.Name)
	if h.Local {
		return t.pattern == h.Name
	}
	return ok || t.pattern == h.Name || t.pattern == h.Block
}

// MeansLocal tells whether host local is named.
func (s *Selector) MeansLocal() bool { return s.Match(&Host{Name: localHost, Local: true}) }

// Unmatched is the first term that means none of the hosts, or the whole text where only all terms
// together mean none, or "".
func (s *Selector) Unmatched(hosts []*Host) string {
	if s.labels {
		if !slices.ContainsFunc(hosts, s.Match) {
			return s.text
		}
		return ""
	}
	for _, t := range s.terms {
		if !slices.ContainsFunc(hosts, t.match) {
			return t.text
		}
	}
	if !slices.ContainsFunc(hosts, s.Match) {
		return s.text
	}
	return ""
}

// UnknownLabel is a label of the selector that no host has, or "".
func (s *Selector) UnknownLabel(hosts []*Host) string {
	for _, t := range s.terms {
		if t.label == "" {
			continue
		}
		if !slices.ContainsFunc(hosts, func(h *Host) bool { _, ok := h.Labels[t.label]; return ok }) {
			return t.label
		}
	}
	return ""
}
