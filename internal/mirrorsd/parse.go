package mirrorsd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
	"gopkg.in/yaml.v3"
)

// maxErrors bounds how many errors Parse collects from one file.
const maxErrors = 50

// Parse reads a mirrors.d file strictly, with the types PyYAML's safe_load would
// give: an unquoted NO is a boolean, and therefore an error where a string is due.
// Unknown and repeated keys, wrong types, YAML tags, anchors and aliases, several
// documents, invalid UTF-8 and files above MaxSize are errors. All of them are
// reported at once, joined, each with its line and key. The File returned with an
// error holds what could be read. Rules about values are Check's.
func Parse(data []byte) (File, error) {
	var f File
	if len(data) > MaxSize {
		return f, fmt.Errorf("the file has %d bytes, more than the limit of %d", len(data), MaxSize)
	}
	if !utf8.Valid(data) {
		return f, errors.New("the file is not valid UTF-8; save it as UTF-8")
	}
	doc, err := decode(data)
	if err != nil {
		return f, err
	}
	p := &parser{}
	p.section("", f.fields(), doc.Content[0])
	return f, errors.Join(p.errs...)
}

// decode reads exactly one YAML document. Aliases stay nodes, so they cannot
// multiply anything.
func decode(data []byte) (doc *yaml.Node, err error) {
	// yaml.v3 has inputs on which its parser panics; the file is not ours to trust.
	defer func() {
		if r := recover(); r != nil {
			doc, err = nil, fmt.Errorf("the file is not readable YAML: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	doc = &yaml.Node{}
	if err := dec.Decode(doc); errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty")
	} else if err != nil {
		return nil, fmt.Errorf("the file is not readable YAML: %w", err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, errors.New("the file holds no YAML value")
	}
	if err := dec.Decode(&yaml.Node{}); err == nil {
		return nil, errors.New("the file holds more than one YAML document; keep one")
	} else if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the file is not readable YAML: %w", err)
	}
	return doc, nil
}

type parser struct{ errs []error }

func (p *parser) errorf(n *yaml.Node, path, format string, args ...any) {
	switch {
	case len(p.errs) < maxErrors:
		at := fmt.Sprintf("line %d: ", n.Line)
		if path != "" {
			at += path + ": "
		}
		p.errs = append(p.errs, errors.New(at+fmt.Sprintf(format, args...)))
	case len(p.errs) == maxErrors:
		p.errs = append(p.errs, errors.New("there are more errors; correct these first"))
	}
}

// bare refuses what these files have no use for: tags, anchors and aliases.
func (p *parser) bare(n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		p.errorf(n, path, "is a YAML alias; write the value out")
	case n.Anchor != "":
		p.errorf(n, path, "has the YAML anchor %s; remove it", show(n.Anchor))
	case n.Style&yaml.TaggedStyle != 0:
		p.errorf(n, path, "has the YAML tag %s; remove it", show(n.Tag))
	default:
		return true
	}
	return false
}

func (p *parser) section(path string, s section, n *yaml.Node) {
	if !p.bare(n, path) {
		return
	}
	if n.Kind != yaml.MappingNode {
		p.errorf(n, path, "must be a mapping with the keys %s", strings.Join(s.keys(), ", "))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if !p.bare(k, path) {
			continue
		}
		if k.Kind != yaml.ScalarNode {
			p.errorf(k, path, "has a key that is not a string")
			continue
		}
		f := s.find(k.Value)
		if f == nil {
			p.errorf(k, path, "unknown key %s%s", show(k.Value), suggest(k.Value, s.keys()))
			continue
		}
		if line, ok := seen[f.key]; ok {
			p.errorf(k, join(path, f.key), "is already set on line %d; keep one", line)
			continue
		}
		seen[f.key] = k.Line
		p.value(join(path, f.key), f, v)
	}
}

func (p *parser) value(path string, f *field, n *yaml.Node) {
	switch v := f.value.(type) {
	case section:
		if n.Kind == yaml.MappingNode && len(n.Content) == 0 && !f.always {
			p.errorf(n, path, "is empty; fill it or leave the key out")
			return
		}
		p.section(path, v, n)
	case *string:
		if f.nullable && p.null(n) {
			return
		}
		if s, ok := p.str(path, n); ok {
			*v = s
		}
	case *bool:
		if b, ok := p.boolean(path, n); ok {
			*v = b
		}
	case *[]string:
		*v = p.strings(path, n)
	case *[]int64:
		*v = p.ints(path, n)
	case *Subnets:
		if n.Kind == yaml.ScalarNode {
			v.URL, _ = p.str(path, n)
			return
		}
		v.CIDRs = p.strings(path, n)
	}
}

func (p *parser) null(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0 && n.Anchor == "" && yaml11Tag(n.Value) == tagNull
}

// str reads a string: anything quoted, or a plain scalar that YAML 1.1 takes for one.
func (p *parser) str(path string, n *yaml.Node) (string, bool) {
	if !p.bare(n, path) {
		return "", false
	}
	if n.Kind != yaml.ScalarNode {
		p.errorf(n, path, "must be a string")
		return "", false
	}
	if n.Style != 0 {
		return n.Value, true
	}
	switch tag := yaml11Tag(n.Value); {
	case tag == tagStr:
		return n.Value, true
	case n.Value == "":
		p.errorf(n, path, "has no value; give one or leave the key out")
	default:
		p.errorf(n, path, "%s without quotes is of type %s in YAML 1.1; put it in quotes", show(n.Value), tag)
	}
	return "", false
}

func (p *parser) boolean(path string, n *yaml.Node) (value, ok bool) {
	if !p.bare(n, path) {
		return false, false
	}
	if n.Kind != yaml.ScalarNode || n.Style != 0 || yaml11Tag(n.Value) != tagBool {
		p.errorf(n, path, "must be true or false, without quotes")
		return false, false
	}
	switch strings.ToLower(n.Value) {
	case "true", "yes", "on":
		return true, true
	}
	return false, true
}

func (p *parser) strings(path string, n *yaml.Node) []string {
	if !p.bare(n, path) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		p.errorf(n, path, "must be a list of strings")
		return nil
	}
	var list []string
	for i, item := range n.Content {
		if s, ok := p.str(fmt.Sprintf("%s[%d]", path, i), item); ok {
			list = append(list, s)
		}
	}
	return list
}

// ints reads one integer or a list of them.
func (p *parser) ints(path string, n *yaml.Node) []int64 {
	if !p.bare(n, path) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		if i, ok := p.integer(path, n); ok {
			return []int64{i}
		}
		return nil
	}
	var list []int64
	for i, item := range n.Content {
		if v, ok := p.integer(fmt.Sprintf("%s[%d]", path, i), item); ok {
			list = append(list, v)
		}
	}
	return list
}

// decimal leaves out YAML 1.1's other integer forms (octal, base 60, underscores):
// readers disagree about them.
var decimal = regexp.MustCompile(`^(?:0|-?[1-9][0-9]*)$`)

func (p *parser) integer(path string, n *yaml.Node) (int64, bool) {
	if !p.bare(n, path) {
		return 0, false
	}
	if n.Kind != yaml.ScalarNode || n.Style != 0 || !decimal.MatchString(n.Value) {
		p.errorf(n, path, "must be a decimal integer, without quotes")
		return 0, false
	}
	i, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		p.errorf(n, path, "%s is too large", show(n.Value))
		return 0, false
	}
	return i, true
}

// suggest names the known key nearest to a misspelt one, if one is near.
func suggest(key string, known []string) string {
	if len(key) > 40 {
		return ""
	}
	best, distance := "", 4
	for _, k := range known {
		if d := levenshtein.Distance(strings.ToLower(key), k, nil); d < distance {
			best, distance = k, d
		}
	}
	if best == "" || distance > len(best)/2 {
		return ""
	}
	return "; did you mean " + best + "?"
}
