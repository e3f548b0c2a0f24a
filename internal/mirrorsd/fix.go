package mirrorsd

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// restyle returns a string as a scalar in the style of the node that it replaces. flow is true if
// that node may be in a flow collection.
func restyle(n *yaml.Node, value string, flow bool) string {
	switch {
	case n.Style == 0 && plain(value) && (!flow || !strings.ContainsAny(value, ",[]{}")):
		return value
	case n.Style == yaml.SingleQuotedStyle && quote(value) == `"`+value+`"`:
		return "'" + strings.ReplaceAll(value, "'", "''") + "'"
	}
	return quote(value)
}

// maxPasses bounds the repetitions of Fix. One fix can enable another on the same value, so a chain
// is at most as long as there are kinds of fixes.
const maxPasses = 10

// Fix applies all fixes to a file, and repeats this with the result until no fixes are left. It
// keeps all other bytes. It returns the new content, which equals the old without fixes, and the
// fixed findings, with their positions in the content in which they were found.
//
// Fix reads each result again. It omits a fix that would change another value.
func (l *Linter) Fix(file Source) ([]byte, []Finding) {
	var done []Finding
	for range maxPasses {
		var fixable []Finding
		for _, f := range l.Lint([]Source{file}) {
			if f.Fix != nil {
				fixable = append(fixable, f)
			}
		}
		data, applied := applyFixes(file.Data, fixable)
		if len(applied) == 0 {
			break
		}
		file.Data = data
		done = append(done, applied...)
	}
	return file.Data, done
}

// applyFixes applies the fixes that do not overlap and are harmless.
func applyFixes(data []byte, findings []Finding) ([]byte, []Finding) {
	applied := settle(data, apart(findings))
	return splice(data, editsOf(applied)), applied
}

// apart omits findings with an edit that overlaps an edit of another finding.
func apart(findings []Finding) []Finding {
	type owned struct {
		Edit
		owner int
	}
	var edits []owned
	for i, f := range findings {
		for _, e := range f.Fix.Edits {
			edits = append(edits, owned{e, i})
		}
	}
	slices.SortStableFunc(edits, func(a, b owned) int { return a.Start.Byte - b.Start.Byte })
	dropped, end := map[int]bool{}, -1
	for _, e := range edits {
		switch {
		case dropped[e.owner]:
		case e.Start.Byte < end:
			dropped[e.owner] = true
		default:
			end = max(e.End.Byte, e.Start.Byte+1)
		}
	}
	var kept []Finding
	for i, f := range findings {
		if !dropped[i] {
			kept = append(kept, f)
		}
	}
	return kept
}

// settle returns findings whose fixes are harmless together. If all of them are not, it halves the
// list to find those that are.
func settle(data []byte, findings []Finding) []Finding {
	if len(findings) == 0 || harmless(data, splice(data, editsOf(findings)), findings) {
		return findings
	}
	if len(findings) == 1 {
		return nil
	}
	half := len(findings) / 2
	first, second := settle(data, findings[:half]), settle(data, findings[half:])
	if both := slices.Concat(first, second); harmless(data, splice(data, editsOf(both)), both) {
		return both
	}
	return first
}

// editsOf returns the edits of all fixes.
func editsOf(findings []Finding) []Edit {
	var edits []Edit
	for _, f := range findings {
		edits = append(edits, f.Fix.Edits...)
	}
	return edits
}

// splice applies edits that do not replace the same bytes. At one position, insertions come before
// replacements, and otherwise the order of the edits counts.
func splice(data []byte, edits []Edit) []byte {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int {
		return cmp.Or(a.Start.Byte-b.Start.Byte, min(a.End.Byte-a.Start.Byte, 1)-min(b.End.Byte-b.Start.Byte, 1))
	})
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(out, data[at:max(e.Start.Byte, at)]...) // an insertion may be inside a replaced range
		out = append(out, e.Text...)
		at = max(e.End.Byte, at)
	}
	return append(out, data[at:]...)
}

// harmless reports whether both contents have the same values, except for the keys of the findings.
func harmless(before, after []byte, findings []Finding) bool {
	old, err := decode(before)
	if err != nil {
		return true // such a file has fixes only for bytes outside the YAML
	}
	fixed, err := decode(after)
	if err != nil {
		return false
	}
	except := map[string]bool{}
	for _, f := range findings {
		for _, key := range f.Fix.keys {
			except[key] = true
		}
	}
	return maps.EqualFunc(leaves(old.Content[0], except), leaves(fixed.Content[0], except), slices.Equal)
}

// leaves describes every scalar and every empty collection below a document's root by its path. It
// omits the excepted paths and everything below them.
func leaves(root *yaml.Node, except map[string]bool) map[string][]string {
	all := map[string][]string{}
	var walk func(path string, n *yaml.Node)
	walk = func(path string, n *yaml.Node) {
		switch {
		case except[path]:
		case n.Kind == yaml.MappingNode && len(n.Content) > 0:
			for i := 0; i+1 < len(n.Content); i += 2 {
				key := join(path, n.Content[i].Value)
				if n.Content[i].Kind != yaml.ScalarNode {
					key = fmt.Sprintf("%s?%d", path, i)
					walk(key+"?", n.Content[i])
				}
				walk(key, n.Content[i+1])
			}
		case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
			for i, item := range n.Content {
				walk(fmt.Sprintf("%s[%d]", path, i), item)
			}
		default: // a repeated key has several values
			all[path] = append(all[path], fmt.Sprintf("%d %s &%s %s", n.Kind, n.Tag, n.Anchor, n.Value))
		}
	}
	walk("", root)
	return all
}
