package mirrorsd

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// restyle writes a string as a scalar of the same style as the node that it replaces, which may stand in a collection in flow style.
func restyle(n *yaml.Node, value string, flow bool) string {
	switch {
	case n.Style == 0 && plain(value) && (!flow || !strings.ContainsAny(value, ",[]{}")):
		return value
	case n.Style == yaml.SingleQuotedStyle && quote(value) == `"`+value+`"`:
		return "'" + strings.ReplaceAll(value, "'", "''") + "'"
	}
	return quote(value)
}

// maxPasses bounds how often Fix looks again: a fix can make room for another, in a chain as long as there are kinds of fixes on one value.
const maxPasses = 10

// Fix applies all fixes to a file, and again to the result until there are none. Everything else stays byte for byte. It returns the
// new content, equal to the old if there is nothing to fix, and the findings that were fixed, with their places in the content
// in which they were found.
//
// Each result is read again. A fix after which any value but those it is about would be another is left out.
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

// applyFixes applies what does not overlap and is harmless.
func applyFixes(data []byte, findings []Finding) ([]byte, []Finding) {
	applied := settle(data, apart(findings))
	return splice(data, editsOf(applied)), applied
}

// apart leaves out findings of which an edit overlaps that of another.
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

// settle returns those of the findings whose fixes are harmless together.
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

// editsOf are the edits of all fixes.
func editsOf(findings []Finding) []Edit {
	var edits []Edit
	for _, f := range findings {
		edits = append(edits, f.Fix.Edits...)
	}
	return edits
}

// splice applies edits of which none replaces what another does. What is inserted at a place comes before what replaces text there, and
// otherwise in the order of the edits.
func splice(data []byte, edits []Edit) []byte {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int {
		return cmp.Or(a.Start.Byte-b.Start.Byte, min(a.End.Byte-a.Start.Byte, 1)-min(b.End.Byte-b.Start.Byte, 1))
	})
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(out, data[at:max(e.Start.Byte, at)]...) // an insertion may be inside of what is replaced
		out = append(out, e.Text...)
		at = max(e.End.Byte, at)
	}
	return append(out, data[at:]...)
}

// harmless reports whether both contents hold the same values, but for the keys that the fixes are about.
func harmless(before, after []byte, findings []Finding) bool {
	old, err := decode(before)
	if err != nil {
		return true // only bytes around the YAML are fixed then
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

// leaves describes every scalar and every empty collection below a document's root by its path, but for those at or below the excepted ones.
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
		default: // a repeated key has several
			all[path] = append(all[path], fmt.Sprintf("%d %s &%s %s", n.Kind, n.Tag, n.Anchor, n.Value))
		}
	}
	walk("", root)
	return all
}
