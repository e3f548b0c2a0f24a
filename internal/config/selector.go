package config

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Selector selects hosts. Its text is a list of terms, separated by commas, in one of these forms:
//
//	fra1,edge,web-*            names of hosts and of for_each blocks, and globs (path.Match); it
//	                           selects the hosts that match any term
//	edge,!edge["ams"]          the same, without the hosts that match a term with !; with only such
//	                           terms, all hosts but these
//	wave=canary,country!=DE    labels: LABEL=GLOB and LABEL!=GLOB; it selects the hosts that match all
//	                           terms
//
// A missing label is empty. Commas in double quotes do not separate terms, and a backslash escapes
// a quote: edge["a,b"], note="a,b".
type Selector struct {
	text   string
	terms  []selectorTerm
	labels bool
}

// selectorTerm is one term: a pattern for names, or, if label is set, for the value of that label.
type selectorTerm struct {
	text, label, pattern string
	not                  bool
}

var labelTerm = regexp.MustCompile(`^([^\s=!,"'\[\]*?@]+)\s*(!=|==?)\s*(.*)$`)

// ParseSelector parses a selector.
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
				return nil, fmt.Errorf("%q: ! excludes hosts; to exclude by label, write %s!=%s", part, m[1], m[3])
			}
			t.not, t.pattern = true, name
			named++
		} else if m := labelTerm.FindStringSubmatch(part); m != nil {
			t.label, t.not, t.pattern = m[1], m[2] == "!=", m[3]
			if strings.HasPrefix(t.pattern, `"`) {
				if t.pattern, err = strconv.Unquote(t.pattern); err != nil {
					return nil, fmt.Errorf("in %q, the quotes around the value are wrong", part)
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
		return nil, fmt.Errorf(
			"%q mixes hosts and labels, which match differently (any host, all labels): use one or the other", text)
	}
	return s, nil
}

// splitSelector splits a text at the commas that are not in quotes.
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
		return nil, fmt.Errorf("%q has a quote without an end", text)
	}
	return parts, nil
}

// String returns the text of the selector.
func (s *Selector) String() string { return s.text }

// Match reports whether the selector selects a host. Only its name selects host local, which has no
// labels.
func (s *Selector) Match(h *DeclaredHost) bool {
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

// Subtracts reports whether the selector has only terms with !, which exclude hosts.
func (s *Selector) Subtracts() bool {
	return !s.labels && !slices.ContainsFunc(s.terms, func(t selectorTerm) bool { return !t.not })
}

// match reports whether a host matches a term's pattern or its condition on a label.
func (t *selectorTerm) match(h *DeclaredHost) bool {
	if t.label != "" {
		ok, _ := path.Match(t.pattern, h.Labels[t.label]) // ParseSelector has checked the pattern
		return ok != t.not
	}
	ok, _ := path.Match(t.pattern, h.Name)
	if h.Local {
		return t.pattern == h.Name
	}
	return ok || t.pattern == h.Name || t.pattern == h.Block
}

// MeansLocal reports whether the selector selects host local.
func (s *Selector) MeansLocal() bool { return s.Match(&DeclaredHost{Name: localHost, Local: true}) }

// Unmatched returns the first term that matches none of the hosts. If only all terms together
// select no host, it returns the whole text, and otherwise "".
func (s *Selector) Unmatched(hosts []*DeclaredHost) string {
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

// UnknownLabel returns a label of the selector that no host has, or "".
func (s *Selector) UnknownLabel(hosts []*DeclaredHost) string {
	for _, t := range s.terms {
		if t.label == "" {
			continue
		}
		if !slices.ContainsFunc(hosts, func(h *DeclaredHost) bool { _, ok := h.Labels[t.label]; return ok }) {
			return t.label
		}
	}
	return ""
}
