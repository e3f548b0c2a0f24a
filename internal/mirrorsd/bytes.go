package mirrorsd

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// MaxSize is the size limit, in bytes, of the mirrors.d files that Bytes writes and Parse reads.
// Upstream's largest file is about 1 KB.
const MaxSize = 256 << 10

// Bytes returns the file as YAML. Equal values give equal bytes. Strings that a YAML 1.1 reader
// would read as another type are double-quoted, so that PyYAML's safe_load and yaml.v3 both read
// back the same value. Empty optional keys are omitted, and so are private and monopoly if
// false. Beside a country, state_province and city are blank if they are empty.
//
// It fails if a string is not valid UTF-8, if Subnets has both a list and a URL, or if the result
// is larger than MaxSize. It does not apply the rules of Check.
func (f File) Bytes() ([]byte, error) {
	root, err := mappingNode("", f.fields())
	if err != nil {
		return nil, fmt.Errorf("write mirrors.d file: %w", err)
	}
	var b bytes.Buffer
	b.WriteString("---\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(root), enc.Close()); err != nil {
		return nil, fmt.Errorf("write mirrors.d file: %w", err)
	}
	b.WriteString("...\n")
	if b.Len() > MaxSize {
		return nil, fmt.Errorf("write mirrors.d file: the file would have %d bytes, more than the limit of %d bytes; "+
			"shorten its values, or set subnets to a URL", b.Len(), MaxSize)
	}
	return b.Bytes(), nil
}

func mappingNode(path string, s section) (*yaml.Node, error) {
	m := &yaml.Node{Kind: yaml.MappingNode}
	var errs []error
	for _, f := range s {
		if f.empty() && !f.always {
			continue
		}
		v, err := fieldNode(join(path, f.key), f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: f.key}, v)
	}
	if len(m.Content) == 0 {
		m.Style = yaml.FlowStyle
	}
	return m, errors.Join(errs...)
}

// fieldNode returns the value of the field at a path. An empty one that may be null is blank.
func fieldNode(path string, f field) (*yaml.Node, error) {
	if f.nullable && f.empty() {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}, nil
	}
	return valueNode(path, f.value)
}

func valueNode(path string, value any) (*yaml.Node, error) {
	switch v := value.(type) {
	case *string:
		return stringNode(path, *v)
	case *bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(*v)}, nil
	case *[]string:
		return listNode(path, *v)
	case *[]int64:
		if len(*v) == 1 { // most of upstream's files write a single number without a list
			return intNode((*v)[0]), nil
		}
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, n := range *v {
			list.Content = append(list.Content, intNode(n))
		}
		return list, nil
	case *Subnets:
		if v.URL != "" && len(v.CIDRs) != 0 {
			return nil, fmt.Errorf("%s: has both a list and a URL; keep one of them", path)
		}
		if v.URL != "" {
			return stringNode(path, v.URL)
		}
		return listNode(path, v.CIDRs)
	case section:
		return mappingNode(path, v)
	}
	return nil, fmt.Errorf("%s: cannot write a %T as YAML", path, value)
}

func listNode(path string, items []string) (*yaml.Node, error) {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for i, s := range items {
		n, err := stringNode(fmt.Sprintf("%s[%d]", path, i), s)
		if err != nil {
			return nil, err
		}
		list.Content = append(list.Content, n)
	}
	return list, nil
}

func stringNode(path, s string) (*yaml.Node, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("%s: is not valid UTF-8", path)
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if !plain(s) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n, nil
}

func intNode(n int64) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(n, 10)}
}

// show quotes a value for a message. It escapes control characters and truncates long values.
func show(s string) string {
	const limit = 80
	if len(s) <= limit {
		return strconv.Quote(s)
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + "…"
}
