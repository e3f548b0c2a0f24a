package mirrorsd

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Edit returns the document's text with the values of want. It changes only the lines of keys that
// differ and keeps comments, the order of keys, quoting, line ends and foreign keys. It removes
// keys that are empty in want; comments on their lines move to separate lines. Without differences,
// Edit returns the text unchanged.
//
// Edit fails if want cannot be written (see File.Bytes), or if the layout of the text does not
// allow editing in place. It reads the result again and compares it before it returns.
func (d *Document) Edit(want File) ([]byte, error) {
	if len(d.Compare(want)) == 0 {
		return d.data, nil
	}
	if _, err := want.Bytes(); err != nil {
		return nil, err
	}
	if d.root.Style&yaml.FlowStyle != 0 {
		return nil, errors.New("the file uses YAML's flow style ({…}); first rewrite it with one key per line")
	}
	e := newEditor(d)
	if err := e.mapping("", want.fields(), d.file.fields(), d.root, len(e.source.marks)-1); err != nil {
		return nil, fmt.Errorf("edit mirrors.d file: %w", err)
	}
	out := splice(e.source.data, e.edits)
	if err := d.confirm(out, want); err != nil {
		return nil, fmt.Errorf("the file cannot be edited in place (%w); first rewrite it by hand with one key per line",
			err)
	}
	return out, nil
}

// confirm reads an edited text and checks that it has the wanted values, and the foreign keys of
// the original.
func (d *Document) confirm(out []byte, want File) error {
	edited, err := ParseDocument(out)
	if err != nil {
		return err
	}
	if diffs := edited.Compare(want); len(diffs) > 0 {
		return fmt.Errorf("%s would not have the wanted value", diffs[0].Key)
	}
	before, after := d.foreignValues(), edited.foreignValues()
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if !slices.Equal(before[key], after[key]) {
			return fmt.Errorf("%s, which upstream's schema does not define, would change its value", key)
		}
	}
	if len(before) != len(after) {
		return errors.New("a key that upstream's schema does not define would be added")
	}
	return nil
}

// foreignValues describes the values of keys that upstream's schema does not define.
func (d *Document) foreignValues() map[string][]string {
	known, sections := map[string]bool{}, []string{}
	var walk func(path string, s section)
	walk = func(path string, s section) {
		for _, f := range s {
			key := join(path, f.key)
			if sub, ok := f.value.(section); ok {
				sections = append(sections, key)
				walk(key, sub)
			} else {
				known[key] = true
			}
		}
	}
	walk("", d.file.fields())
	values := leaves(d.root, known)
	for _, key := range sections {
		delete(values, key) // an empty section, or a value that is not a mapping
	}
	return values
}

// editor collects the edits that produce the wanted text. It counts lines like yaml.v3.
type editor struct {
	doc    *Document
	source *source
	eol    string
	edits  []Edit
}

func newEditor(d *Document) *editor {
	e := &editor{doc: d, source: newSource(d.data), eol: "\n"}
	if first := e.source.ends[0]; bytes.HasPrefix(d.data[first:], []byte("\r\n")) {
		e.eol = "\r\n"
	}
	if last := len(e.source.marks); e.source.marks[last-1] < len(d.data) { // the last line has no line end
		e.source = newSource(append(slices.Clip(d.data), e.eol...))
	}
	return e
}

// replace returns an edit that replaces the lines first to last, counted from 1. If last is less
// than first, it inserts before line first.
func (e *editor) replace(first, last int, lines ...string) Edit {
	s := e.source
	return Edit{s.position(s.marks[first-1]), s.position(s.marks[max(first-1, last)]), strings.Join(lines, "")}
}

// pair is a key with its value and their lines, first to last, counted from 1.
type pair struct {
	k, v        *yaml.Node
	first, last int
}

// pairs returns a block mapping's pairs by key. end is the last line that the mapping can have.
func (e *editor) pairs(n *yaml.Node, end int) map[string]pair {
	found := map[string]pair{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		limit := end
		if i+2 < len(n.Content) {
			limit = n.Content[i+2].Line - 1
		}
		k := n.Content[i]
		found[k.Value] = pair{k, n.Content[i+1], k.Line, e.trim(k.Line, limit, n.Content[i+1], k.Column)}
	}
	return found
}

// trim returns the last line of a value, without the blank lines, comments and document ends after
// it. column is the column of the value's key: in a block scalar, lines indented further are text.
func (e *editor) trim(first, last int, v *yaml.Node, column int) int {
	blockScalar := v.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	for ; last > first; last-- {
		line := strings.TrimSpace(e.source.line(last))
		isText := blockScalar && strings.HasPrefix(e.source.line(last), strings.Repeat(" ", column))
		if line != "" && !strings.HasPrefix(line, "#") && line != "..." || isText {
			break
		}
	}
	return last
}

// mapping edits a mapping in block style.
func (e *editor) mapping(path string, want, have section, n *yaml.Node, end int) error {
	pairs := e.pairs(n, end)
	indent := strings.Repeat(" ", n.Content[0].Column-1)
	for i, w := range want {
		key := join(path, w.key)
		p, present := pairs[w.key]
		sub, isSection := w.value.(section)
		remove := w.empty() && !w.always
		switch {
		case !present:
			if !remove {
				lines, err := e.encode(key, w, indent)
				if err != nil {
					return err
				}
				at := place(want, i, n, pairs)
				e.edits = append(e.edits, e.replace(at, at-1, lines...))
			}
			continue
		case isSection && p.v.Kind == yaml.MappingNode:
			inner := have[i].value.(section)
			keep := len(foreign(key, sub, p.v)) > 0
			switch {
			case len(e.doc.differences(key, sub, inner)) == 0 && !lacksBlank(sub, p.v):
				continue
			case remove && !keep:
			case p.v.Style&yaml.FlowStyle == 0 && len(p.v.Content) > 0:
				if err := e.mapping(key, sub, inner, p.v, p.last); err != nil {
					return err
				}
				continue
			case keep:
				return fmt.Errorf("%s uses YAML's flow style ({…}) and has keys that upstream's schema does not define; "+
					"first rewrite it with one key per line", key)
			}
		case e.doc.same(key, w, have[i]):
			continue
		case !remove && e.inPlace(key, w, p):
			continue
		}
		lines := e.comments(p, indent)
		if !remove {
			encoded, err := e.encode(key, w, indent)
			if err != nil {
				return err
			}
			lines = append(lines, encoded...)
		}
		e.edits = append(e.edits, e.replace(p.first, p.last, lines...))
	}
	return nil
}

// lacksBlank reports whether a section in block style lacks a key that is written even if empty.
// Without other differences the text is unchanged.
func lacksBlank(s section, n *yaml.Node) bool {
	if n.Style&yaml.FlowStyle != 0 || len(n.Content) == 0 {
		return false
	}
	for _, f := range s {
		has := false
		for i := 0; i+1 < len(n.Content); i += 2 {
			has = has || n.Content[i].Value == f.key
		}
		if f.always && f.empty() && !has {
			return true
		}
	}
	return false
}

// place returns the line before which the absent key want[i] is inserted: after the nearest present
// key that precedes it in File's order, else before the nearest that follows it, else at the end.
func place(want section, i int, n *yaml.Node, pairs map[string]pair) int {
	for j := i - 1; j >= 0; j-- {
		if p, ok := pairs[want[j].key]; ok {
			return p.last + 1
		}
	}
	for _, w := range want[i+1:] {
		if p, ok := pairs[w.key]; ok {
			at := p.first
			if p.k.HeadComment != "" {
				at -= strings.Count(p.k.HeadComment, "\n") + 1
			}
			return max(at, 1)
		}
	}
	return pairs[n.Content[len(n.Content)-2].Value].last + 1
}

// encode returns the lines of a key with its wanted value.
func (e *editor) encode(path string, f field, indent string) ([]string, error) {
	v, err := fieldNode(path, f)
	if err != nil {
		return nil, err
	}
	m := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: f.key}, v}}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(m), enc.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var lines []string
	for line := range strings.Lines(b.String()) {
		lines = append(lines, indent+strings.TrimSuffix(line, "\n")+e.eol)
	}
	return lines, nil
}

// comments returns the comments on the lines of a pair that will be replaced, each as a separate
// line.
func (e *editor) comments(p pair, indent string) []string {
	text := string(e.source.data[e.source.marks[p.first-1]:e.source.marks[p.last]])
	var lines []string
	add := func(comment string) {
		for line := range strings.SplitSeq(comment, "\n") {
			if line = strings.TrimSpace(line); line != "" && strings.Contains(text, line) {
				lines = append(lines, indent+line+e.eol)
			}
		}
	}
	add(p.k.LineComment)
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		add(n.HeadComment)
		add(n.LineComment)
		for _, c := range n.Content {
			walk(c)
		}
		add(n.FootComment)
	}
	walk(p.v)
	return lines
}

// inPlace changes a value and keeps the rest of its lines. It reports whether that was possible.
func (e *editor) inPlace(path string, f field, p pair) bool {
	n, err := fieldNode(path, f)
	if err != nil {
		return false
	}
	switch {
	case n.Tag == "!!null":
		return false
	case n.Kind == yaml.ScalarNode && p.v.Kind == yaml.ScalarNode && p.first == p.last:
		return e.scalar(p, n)
	case n.Kind == yaml.SequenceNode && p.v.Kind == yaml.SequenceNode && p.v.Style&yaml.FlowStyle == 0 &&
		len(p.v.Content) > 0:
		return e.list(p, n)
	}
	return false
}

// scalar replaces a value on the same line as its key.
func (e *editor) scalar(p pair, want *yaml.Node) bool {
	start, end, exact := e.source.span(p.v)
	if !exact {
		return false
	}
	text := want.Value
	if want.Tag == "!!str" {
		text = restyle(p.v, want.Value, false) // keep the quotes of the file's author
	}
	e.edits = append(e.edits, Edit{e.source.position(start), e.source.position(end), text})
	return true
}

// list removes items from a block sequence and appends others. It keeps the other items and their
// comments.
func (e *editor) list(p pair, want *yaml.Node) bool {
	var missing []*yaml.Node
	for _, w := range want.Content {
		if !slices.ContainsFunc(p.v.Content, func(have *yaml.Node) bool { return sameItem(have, w) }) {
			missing = append(missing, w)
		}
	}
	var edits []Edit
	last := 0
	for i, have := range p.v.Content {
		limit := p.last
		if i+1 < len(p.v.Content) {
			limit = p.v.Content[i+1].Line - 1
		}
		last = e.trim(have.Line, limit, have, have.Column)
		if have.Kind != yaml.ScalarNode || last != have.Line || have.Line == p.first {
			return false
		}
		if !slices.ContainsFunc(want.Content, func(w *yaml.Node) bool { return sameItem(have, w) }) {
			item := pair{k: &yaml.Node{}, v: have, first: have.Line, last: have.Line}
			indent := strings.Repeat(" ", p.v.Column-1)
			edits = append(edits, e.replace(have.Line, have.Line, e.comments(item, indent)...))
		}
	}
	first := e.source.line(p.v.Content[0].Line)
	dash := strings.IndexByte(first, '-')
	if dash < 0 || strings.TrimSpace(first[:dash]) != "" {
		return false
	}
	e.edits = append(e.edits, edits...)
	for _, w := range missing {
		e.edits = append(e.edits, e.replace(last+1, last, first[:dash]+"- "+inline(w)+e.eol))
	}
	return true
}

// sameItem reports whether two list items have the same value for upstream's reader.
func sameItem(have, want *yaml.Node) bool {
	if have.Value != want.Value {
		return false
	}
	p := &parser{}
	if want.Tag == "!!int" {
		_, ok := p.integer("", have)
		return ok
	}
	_, ok := p.str("", have)
	return ok
}
