package mirrorsd

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Document is the text of a mirrors.d file that others may have edited. It may have comments,
// another order of keys, and keys that upstream's schema does not define. Compare lists the
// differences from a File, and Edit changes only those.
type Document struct {
	data   []byte
	root   *yaml.Node // a mapping
	file   File       // the values that could be read
	parser *parser
	unread map[string]bool // see parser.unread
}

// ForeignKey is a key that upstream's schema does not define.
type ForeignKey struct {
	Key  string // dotted path, such as "address.gopher"
	Line int    // from 1
}

// Difference is a key whose value in a document differs from the wanted value.
type Difference struct {
	Key  string // dotted path, such as "address.http"
	Have string // the document's value as YAML on one line; "" if the key is absent
	Want string // the wanted value as YAML on one line; "" if the key should be absent
}

// ParseDocument reads a mirrors.d file that is to be compared or edited. It accepts more values
// than Parse; Compare reports invalid values as differences. It fails if the file is larger than
// MaxSize, is not UTF-8, is not a single YAML mapping, sets a key twice, or has anchors, aliases,
// tags or merge keys: such files cannot be edited in place. Errors name the line.
func ParseDocument(data []byte) (*Document, error) {
	doc, err := read(data)
	if err != nil {
		return nil, err
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: the file is not a YAML mapping of keys to values", root.Line)
	}
	if err := unusual(root, 0); err != nil {
		return nil, err
	}
	d := &Document{data: data, root: root}
	d.parser = parseDocument(&d.file, doc, 0)
	d.unread = d.parser.unread()
	return d, nil
}

// maxDepth bounds the recursion over an untrusted file. Valid files have three levels.
const maxDepth = 50

// unusual returns an error for YAML that cannot be edited in place.
func unusual(n *yaml.Node, depth int) error {
	p := &parser{}
	switch {
	case depth > maxDepth:
		return fmt.Errorf("line %d: the file is nested deeper than %d levels", n.Line, maxDepth)
	case !p.bare(n, ""):
		return errors.New(p.faults[0].String())
	}
	seen := map[string]int{}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if c.Kind != yaml.ScalarNode || c.Style == 0 && yaml11Tag(c.Value) == tagMerge {
				return fmt.Errorf("line %d: the key is not a plain string", c.Line)
			}
			if line, ok := seen[c.Value]; ok {
				return fmt.Errorf("line %d: %s is already set on line %d; keep one", c.Line, show(c.Value), line)
			}
			seen[c.Value] = c.Line
		}
		if err := unusual(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// Name returns the value of the key name, or "" if it is absent or not a string.
func (d *Document) Name() string { return d.file.Name }

// Foreign returns the keys that upstream's schema does not define, in document order. Edit does not
// change them.
func (d *Document) Foreign() []ForeignKey {
	var f File
	return foreign("", f.fields(), d.root)
}

func foreign(path string, s section, n *yaml.Node) []ForeignKey {
	var keys []ForeignKey
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		f := s.find(k.Value)
		if f == nil {
			keys = append(keys, ForeignKey{join(path, k.Value), k.Line})
			continue
		}
		if sub, ok := f.value.(section); ok && v.Kind == yaml.MappingNode {
			keys = append(keys, foreign(join(path, k.Value), sub, v)...)
		}
	}
	return keys
}

// Compare returns the differences between the document and want, in the order of File's keys. Lists
// are compared as sets, because their order has no meaning for upstream. A value that upstream's
// reader would read as another type, such as an unquoted NO, is a difference.
func (d *Document) Compare(want File) []Difference {
	return d.differences("", want.fields(), d.file.fields())
}

func (d *Document) differences(path string, want, have section) []Difference {
	var diffs []Difference
	for i, w := range want {
		key := join(path, w.key)
		v := d.parser.values[key]
		sub, isSection := w.value.(section)
		switch {
		case isSection && (v == nil || v.Kind == yaml.MappingNode):
			diffs = append(diffs, d.differences(key, sub, have[i].value.(section))...)
		case !d.same(key, w, have[i]):
			diffs = append(diffs, Difference{Key: key, Have: inline(v), Want: wanted(key, w)})
		}
	}
	return diffs
}

// same reports whether a key, other than a mapping, has the wanted value or is absent as wanted.
func (d *Document) same(key string, want, have field) bool {
	switch {
	case d.parser.values[key] == nil:
		return want.empty()
	case d.unread[key]:
		return false
	}
	switch w := want.value.(type) {
	case *[]string:
		return sameSet(*w, *have.value.(*[]string))
	case *[]int64:
		return sameSet(*w, *have.value.(*[]int64))
	case *Subnets:
		h := have.value.(*Subnets)
		return w.URL == h.URL && sameSet(w.CIDRs, h.CIDRs)
	}
	return reflect.DeepEqual(want.value, have.value)
}

func sameSet[T string | int64](a, b []T) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// wanted returns a wanted value as YAML on one line, or "" if the key should be absent.
func wanted(key string, f field) string {
	if f.empty() {
		return ""
	}
	n, err := valueNode(key, f.value)
	if err != nil {
		return err.Error()
	}
	return inline(n)
}

// inline returns a node as YAML on one line, without comments. A node without a value is "null".
func inline(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	if n.Kind == yaml.ScalarNode && n.Value == "" && n.Style == 0 {
		return "null"
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	if err := errors.Join(enc.Encode(flow(n)), enc.Close()); err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(strings.TrimSpace(b.String()), "\n", " ")
}

// flow returns a copy of a node without comments and with its collections in flow style.
func flow(n *yaml.Node) *yaml.Node {
	c := &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.Tag, Value: n.Value}
	switch {
	case n.Kind != yaml.ScalarNode:
		c.Style = yaml.FlowStyle
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		c.Style = yaml.DoubleQuotedStyle
	}
	for _, sub := range n.Content {
		c.Content = append(c.Content, flow(sub))
	}
	return c
}
