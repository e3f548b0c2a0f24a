package mirrorsd

import (
	"bytes"
	"sort"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Position is a position in a file.
type Position struct {
	Byte   int // offset from 0
	Line   int // from 1; lines end with a line feed
	Column int // from 1, in characters (Unicode code points), without a byte order mark
}

// byteOrderMark is U+FEFF in UTF-8.
const byteOrderMark = "\ufeff"

// source finds positions in a file's bytes. Each lookup takes at most logarithmic time, because
// files are untrusted.
type source struct {
	data  []byte
	runes []int32 // for each byte and the end: the characters before it, without a byte order mark
	lines []int   // the start of each line
	marks []int   // the start of each line as YAML counts lines, with more kinds of line breaks
	ends  []int   // the end of each such line, without its line break
}

func newSource(data []byte) *source {
	first := 0
	if bytes.HasPrefix(data, []byte(byteOrderMark)) {
		first = len(byteOrderMark)
	}
	s := &source{data: data, runes: make([]int32, len(data)+1), lines: []int{0}, marks: []int{first}}
	for i := first; i < len(data); i++ {
		s.runes[i+1] = s.runes[i]
		if utf8.RuneStart(data[i]) {
			s.runes[i+1]++
		}
	}
	for i := first; i < len(data); {
		size := breakSize(data[i:])
		if size == 0 {
			i++
			continue
		}
		s.ends = append(s.ends, i)
		i += size
		s.marks = append(s.marks, i)
		if data[i-1] == '\n' {
			s.lines = append(s.lines, i)
		}
	}
	s.ends = append(s.ends, len(data))
	return s
}

// breakSize returns the size of the line break at the start of b, or 0 (YAML 1.1, section 4.1.4).
func breakSize(b []byte) int {
	for _, s := range []string{"\r\n", "\n", "\r", "\u0085", "\u2028", "\u2029"} {
		if bytes.HasPrefix(b, []byte(s)) {
			return len(s)
		}
	}
	return 0
}

// position returns the Position of a byte offset.
func (s *source) position(at int) Position {
	at = min(max(at, 0), len(s.data))
	line := sort.SearchInts(s.lines, at+1)
	return Position{Byte: at, Line: line, Column: int(s.runes[at]-s.runes[s.lines[line-1]]) + 1}
}

// offset returns the byte offset of a node.
func (s *source) offset(n *yaml.Node) int {
	if n.Line < 1 || n.Line > len(s.marks) {
		return 0
	}
	start := s.marks[n.Line-1]
	want := s.runes[start] + int32(n.Column) - 1
	return min(start+sort.Search(len(s.data)-start, func(i int) bool { return s.runes[start+i+1] > want }), len(s.data))
}

// span returns the byte range of a node. If exact is true, the node is a scalar and the range
// covers exactly its bytes. Otherwise the range ends at the end of the line.
func (s *source) span(n *yaml.Node) (start, end int, exact bool) {
	start = s.offset(n)
	rest := s.data[start:]
	if n.Kind == yaml.ScalarNode && n.Anchor == "" {
		switch n.Style {
		case 0:
			if n.Value != "" && bytes.HasPrefix(rest, []byte(n.Value)) &&
				!strings.ContainsAny(n.Value, "\r\n\u0085\u2028\u2029") {
				return start, start + len(n.Value), true
			}
		case yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle:
			if size := quotedSize(rest); size > 0 {
				return start, start + size, true
			}
		}
	}
	return start, s.lineEnd(start), false
}

// quotedSize returns the size of the quoted scalar at the start of b, or 0.
func quotedSize(b []byte) int {
	if len(b) == 0 || b[0] != '"' && b[0] != '\'' {
		return 0
	}
	for i := 1; i < len(b); i++ {
		switch {
		case b[0] == '"' && b[i] == '\\':
			i++
		case b[i] != b[0]:
		case b[0] == '\'' && i+1 < len(b) && b[i+1] == '\'':
			i++
		default:
			return i + 1
		}
	}
	return 0
}

// lineStart returns the start of the line at an offset, and lineEnd the end of its text, as YAML
// counts lines.
func (s *source) lineStart(at int) int {
	return s.marks[max(sort.SearchInts(s.marks, at+1)-1, 0)]
}

func (s *source) lineEnd(at int) int {
	return s.ends[max(sort.SearchInts(s.marks, at+1)-1, 0)]
}

// line returns the text of a line without its line break, as YAML counts lines, from 1.
func (s *source) line(n int) string {
	return string(s.data[s.marks[n-1]:s.ends[n-1]])
}

// scalars marks the bytes of scalars. A scalar whose exact end is unknown extends to the next node.
func (s *source) scalars(doc *yaml.Node) []bool {
	covered := make([]bool, len(s.data))
	var nodes []*yaml.Node
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		nodes = append(nodes, n)
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(doc)
	for i, n := range nodes {
		if n.Kind != yaml.ScalarNode {
			continue
		}
		start, end, exact := s.span(n)
		if n.Value == "" && n.Style == 0 {
			continue // an absent value is null and has no bytes
		}
		if !exact {
			end = len(s.data)
			if i+1 < len(nodes) {
				end = s.offset(nodes[i+1])
			}
		}
		for at := start; at < end; at++ {
			covered[at] = true
		}
	}
	return covered
}

// comments marks the bytes of comments. covered marks those of scalars.
func (s *source) comments(covered []bool) []bool {
	marked := make([]bool, len(s.data))
	for i, start := range s.marks {
		for at := start; at < s.ends[i]; at++ {
			switch {
			case at > start && marked[at-1]:
				marked[at] = true
			case s.data[at] == '#' && !covered[at]:
				marked[at] = at == start || s.data[at-1] == ' ' || s.data[at-1] == '\t'
			}
		}
	}
	return marked
}
