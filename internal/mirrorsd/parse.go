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

	"gopkg.in/yaml.v3"
)

// maxErrors bounds how many errors Parse collects from one file.
const maxErrors = 50

// Parse reads a mirrors.d file strictly, with the types of PyYAML's safe_load: an unquoted NO is a
// boolean, and an error where a string is required. Unknown and repeated keys, wrong types, YAML
// tags, anchors and aliases, several documents, invalid UTF-8 and files above MaxSize are errors.
// Parse joins all errors, each with its line and key. The File returned with an error has the
// values that could be read. Check has the rules for values.
func Parse(data []byte) (File, error) {
	var f File
	doc, err := read(data)
	if err != nil {
		return f, err
	}
	p := parseDocument(&f, doc, maxErrors)
	var errs []error
	for _, fault := range p.faults {
		if !fault.readable {
			errs = append(errs, errors.New(fault.String()))
		}
	}
	if p.more {
		errs = append(errs, errors.New("too many errors; correct these first, then check the file again"))
	}
	return f, errors.Join(errs...)
}

// read checks the size and the encoding of a file, then decodes it.
func read(data []byte) (doc *yaml.Node, err error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("the file has %d bytes, more than the limit of %d bytes", len(data), MaxSize)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("the file is not valid UTF-8; save it as UTF-8")
	}
	return decode(data)
}

// parseDocument reads a decoded document into f. It keeps at most limit faults; 0 means no limit.
func parseDocument(f *File, doc *yaml.Node, limit int) *parser {
	p := &parser{limit: limit, keys: map[string]*yaml.Node{}, values: map[string]*yaml.Node{}}
	p.section("", f.fields(), doc.Content[0])
	return p
}

// decode reads exactly one YAML document. It does not expand aliases, so that a small file cannot
// grow in memory.
func decode(data []byte) (doc *yaml.Node, err error) {
	// The parser of yaml.v3 panics on some inputs, and the file is untrusted.
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
		return nil, errors.New("the file has no YAML value")
	}
	if err := dec.Decode(&yaml.Node{}); err == nil {
		return nil, errors.New("the file has more than one YAML document; keep one")
	} else if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the file is not readable YAML: %w", err)
	}
	return doc, nil
}

// parser reads nodes into a File and records the position of each key and value.
type parser struct {
	limit  int
	faults []*fault
	more   bool                  // more than limit faults were found
	keys   map[string]*yaml.Node // the key of each path that was read
	values map[string]*yaml.Node // and its value
}

// fault is an error in one node.
type fault struct {
	rule     string
	node     *yaml.Node
	path     string // dotted path of the key; "" is the file
	message  string
	readable bool         // Parse accepts the value, because PyYAML does
	mild     bool         // a warning for the Linter: AlmaLinux's service accepts it
	source   string       // YAML to replace the node; "" if the intended value is ambiguous
	meant    string       // the path that a misspelt key most likely means
	remove   []*yaml.Node // a key and its value that repeat another pair
}

// String returns the fault with its line, as Parse reports it.
func (f *fault) String() string {
	at := fmt.Sprintf("line %d: ", f.node.Line)
	if f.path != "" {
		at += f.path + ": "
	}
	return at + f.message
}

// errorf records a fault and returns it, so that the caller can add a correction.
func (p *parser) errorf(rule string, n *yaml.Node, path, format string, args ...any) *fault {
	f := &fault{rule: rule, node: n, path: path, message: fmt.Sprintf(format, args...)}
	if p.limit == 0 || len(p.faults) < p.limit {
		p.faults = append(p.faults, f)
	} else {
		p.more = true
	}
	return f
}

// unread returns the paths of the known keys and sections whose value could not be read.
func (p *parser) unread() map[string]bool {
	keys := map[string]bool{}
	for _, f := range p.faults {
		if !f.readable && f.rule != ruleDuplicateKey && !unknownKey(f.rule) {
			keys[base(f.path)] = true
		}
	}
	return keys
}

// bare rejects the YAML features that these files do not need: tags, anchors and aliases.
func (p *parser) bare(n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		p.errorf(ruleFeature, n, path, "is a YAML alias; write the value instead").mild = true
	case n.Anchor != "":
		p.errorf(ruleFeature, n, path, "has the YAML anchor %s; remove it", show(n.Anchor)).mild = true
	case n.Style&yaml.TaggedStyle != 0:
		p.errorf(ruleFeature, n, path, "has the YAML tag %s; remove it", show(n.Tag)).mild = safeTag(n.Tag)
	default:
		return true
	}
	return false
}

// safeTag reports whether PyYAML's safe_load knows a tag.
func safeTag(tag string) bool {
	switch strings.TrimPrefix(strings.TrimPrefix(tag, "!!"), "tag:yaml.org,2002:") {
	case "!", "null", "bool", "int", "float", "binary", "timestamp", "omap", "pairs", "set", "str", "seq", "map":
		return true
	}
	return false
}

func (p *parser) section(path string, s section, n *yaml.Node) {
	if !p.bare(n, path) {
		return
	}
	if n.Kind != yaml.MappingNode {
		p.errorf(ruleType, n, path, "must be a mapping with the keys %s", strings.Join(s.keys(), ", "))
		return
	}
	wanted := map[string]int{} // for each known key, how many keys are equal or closest to it
	for i := 0; i+1 < len(n.Content); i += 2 {
		near := n.Content[i].Value
		if s.find(near) == nil {
			near, _ = meant(path, near, s.keys())
		}
		wanted[near]++
	}
	seen, last := map[string]int{}, map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		last[n.Content[i].Value] = i // PyYAML uses the last of equal keys
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if !p.bare(k, path) {
			continue
		}
		if k.Kind != yaml.ScalarNode {
			p.errorf(ruleType, k, path, "has a key that is not a string")
			continue
		}
		f := s.find(k.Value)
		if f == nil {
			p.unknown(path, s, wanted, k, v)
			continue
		}
		full := join(path, f.key)
		if at, ok := seen[f.key]; ok {
			fault := p.errorf(ruleDuplicateKey, k, full, "is already set on line %d; keep one", n.Content[at].Line)
			if equal(v, n.Content[at+1]) {
				fault.remove = []*yaml.Node{k, v}
			}
		} else {
			seen[f.key] = i
		}
		if i == last[f.key] {
			p.keys[full], p.values[full] = k, v
			p.value(full, f, v)
		}
	}
}

// equal reports whether two nodes have the same value for every reader. It ignores comments and the
// style of collections, but not the style of scalars.
func equal(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Value != b.Value || a.Tag != b.Tag || a.Anchor != "" || b.Anchor != "" ||
		a.Kind == yaml.AliasNode ||
		len(a.Content) != len(b.Content) || a.Kind == yaml.ScalarNode && a.Style != b.Style {
		return false
	}
	for i := range a.Content {
		if !equal(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

func (p *parser) value(path string, f *field, n *yaml.Node) {
	switch v := f.value.(type) {
	case section:
		if n.Kind == yaml.MappingNode && len(n.Content) == 0 && !f.always {
			p.errorf(ruleType, n, path, "is empty; set a value or remove the key").mild =
				path != "address_optional.kitten" // of which the schema requires a URL
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

// str reads a string: a quoted scalar, or a plain scalar that is a string in YAML 1.1.
func (p *parser) str(path string, n *yaml.Node) (string, bool) {
	if !p.bare(n, path) {
		return "", false
	}
	if n.Kind != yaml.ScalarNode {
		p.errorf(ruleType, n, path, "must be a string")
		return "", false
	}
	if n.Style != 0 {
		return n.Value, true
	}
	switch tag := yaml11Tag(n.Value); {
	case tag == tagStr && otherTypes.MatchString(n.Value):
		f := p.errorf(ruleAmbiguous, n, path, "%s without quotes is a string in YAML 1.1, but not for all readers; "+
			"put it in quotes", show(n.Value))
		f.source, f.readable = quote(n.Value), true
		return n.Value, true
	case tag == tagStr:
		return n.Value, true
	case n.Value == "":
		p.errorf(ruleType, n, path, "has no value; set one or remove the key")
	default:
		f := p.errorf(ruleYAMLType, n, path, "%s without quotes is of type %s in YAML 1.1; put it in quotes",
			show(n.Value), tag)
		if tag != tagNull { // null can mean the word or an absent value
			f.source = quote(n.Value)
		}
	}
	return "", false
}

func (p *parser) boolean(path string, n *yaml.Node) (value, ok bool) {
	if !p.bare(n, path) {
		return false, false
	}
	lower := strings.ToLower(n.Value)
	if n.Kind != yaml.ScalarNode || n.Style != 0 || yaml11Tag(n.Value) != tagBool {
		f := p.errorf(ruleType, n, path, "must be true or false, without quotes")
		if n.Kind == yaml.ScalarNode && (lower == "true" || lower == "false") {
			f.source = lower
		}
		return false, false
	}
	value = lower == "true" || lower == "yes" || lower == "on"
	if lower != "true" && lower != "false" {
		f := p.errorf(ruleAmbiguous, n, path, "%s is a boolean only in YAML 1.1; write %t", show(n.Value), value)
		f.source, f.readable = strconv.FormatBool(value), true
	}
	return value, true
}

func (p *parser) strings(path string, n *yaml.Node) []string {
	if !p.bare(n, path) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		p.errorf(ruleType, n, path, "must be a list of strings")
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

// decimal does not match YAML 1.1's other integer forms (octal, base 60, underscores), because
// readers disagree about them.
var decimal = regexp.MustCompile(`^(?:0|-?[1-9][0-9]*)$`)

// quotedNumber matches quoted numbers, with or without the prefix of an AS number.
var quotedNumber = regexp.MustCompile(`^(?:AS|as|ASN|asn)? ?([1-9][0-9]{0,9})$`)

func (p *parser) integer(path string, n *yaml.Node) (int64, bool) {
	if !p.bare(n, path) {
		return 0, false
	}
	if n.Kind != yaml.ScalarNode || n.Style != 0 || !decimal.MatchString(n.Value) {
		f := p.errorf(ruleType, n, path, "must be a decimal integer, without quotes")
		if m := quotedNumber.FindStringSubmatch(n.Value); n.Kind == yaml.ScalarNode && m != nil {
			f.source = m[1]
		}
		return 0, false
	}
	i, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		p.errorf(ruleType, n, path, "%s is too large", show(n.Value))
		return 0, false
	}
	return i, true
}
