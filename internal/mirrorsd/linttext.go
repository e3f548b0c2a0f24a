package mirrorsd

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

func (n *lint) extension() {
	if base := filepath.Base(n.name); !n.unnamed && filepath.Ext(base) != ".yml" {
		stem := base
		if i := extensionForm.FindStringIndex(base); i != nil {
			stem = base[:i[0]]
		}
		n.add(ruleExtension, "", 0, 0, nil, "the file name %s does not end in .yml, and AlmaLinux reads only *.yml; "+
			"rename it to %s",
			show(base), show(stem+".yml"))
	}
}

func (n *lint) notUTF8() {
	data, at := n.source.data, 0
	for at < len(data) {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	n.add(ruleEncoding, "", at, at+1, nil, "the byte 0x%02x is not valid UTF-8; save the file as UTF-8", data[at])
}

// encoding applies the rules that do not need a YAML parser.
func (n *lint) encoding() {
	data := n.source.data
	if strings.HasPrefix(string(data), byteOrderMark) {
		fix := &Fix{Description: "remove the byte order mark", Edits: []Edit{n.edit(0, len(byteOrderMark), "")}}
		n.add(ruleBOM, "", 0, len(byteOrderMark), fix, "the file begins with a byte order mark; remove it")
	}
	fix := &Fix{Description: "remove carriage returns from line ends"}
	for i := range data {
		if data[i] != '\r' {
			continue
		}
		if i+1 < len(data) && data[i+1] == '\n' {
			fix.Edits = append(fix.Edits, n.edit(i, i+1, ""))
		} else {
			fix.Edits = append(fix.Edits, n.edit(i, i+1, "\n"))
		}
	}
	if lines := len(fix.Edits); lines > 0 {
		first := fix.Edits[0].Start.Byte
		n.add(ruleLineEnding, "", first, first+1, fix, "%s with a carriage return; use line feeds only",
			counted(lines, "line ends", "lines end"))
	}
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// unreadable reports the YAML reader's error, or a tab in the indentation if that is the likely
// cause.
func (n *lint) unreadable(err error) {
	message := strings.Replace(err.Error(), "yaml: ", "", 1)
	if strings.Contains(message, "cannot start any token") || strings.Contains(message, "tab character") {
		for _, start := range n.source.lines {
			end := start
			for end < len(n.source.data) && (n.source.data[end] == ' ' || n.source.data[end] == '\t') {
				end++
			}
			if tab := strings.IndexByte(string(n.source.data[start:end]), '\t'); tab >= 0 {
				n.add(ruleTab, "", start+tab, end, nil, "the indentation has a tab, which YAML forbids; use spaces")
				return
			}
		}
	}
	at := 0
	if m := yamlError.FindStringSubmatch(message); m != nil {
		message = strings.Replace(message, m[0], "", 1)
		if line, err := strconv.Atoi(m[1]); err == nil {
			at = n.source.marks[min(max(line, 1), len(n.source.marks))-1]
		}
	}
	n.add(ruleSyntax, "", at, n.source.lineEnd(at), nil, "%s", message)
}

// tabs reports tabs between tokens, where PyYAML accepts only spaces.
func (n *lint) tabs() {
	data := n.source.data
	for at := 0; at < len(data); at++ {
		if !n.loose(at) {
			continue
		}
		fix := &Fix{Description: "replace each tab with a space"}
		end, last := n.source.lineEnd(at), at
		text := len(bytes.TrimRight(data[:end], " \t")) // where trailing whitespace begins
		for i := at; i < end; i++ {
			switch {
			case !n.loose(i):
			case i < text:
				fix.Edits, last = append(fix.Edits, n.edit(i, i+1, " ")), i
			default:
				fix.Edits, last = append(fix.Edits, n.edit(i, i+1, "")), i
			}
		}
		n.add(ruleTab, "", at, at+1, fix, "the line has a tab outside values and comments, "+
			"which AlmaLinux's reader rejects; use spaces")
		at = last
	}
}

// loose reports whether the byte is a tab outside scalars and comments.
func (n *lint) loose(at int) bool {
	return n.source.data[at] == '\t' && !n.covered[at] && !n.comments[at]
}

func (n *lint) template() {
	lower := strings.ToLower(string(n.source.data))
	for i := 0; ; {
		at := strings.Index(lower[i:], instruction)
		if at < 0 {
			return
		}
		at += i
		i = at + len(instruction)
		if len(lower) == len(n.source.data) && n.comments[at] {
			start := at
			for start > 0 && n.comments[start-1] {
				start--
			}
			n.add(ruleTemplate, "", start, n.source.lineEnd(at), nil,
				"the file still has the instructions of AlmaLinux's template; remove these comments")
		}
	}
}

// cutOff reports a name whose end is a comment: of sponsor: Example #1, YAML reads Example.
func (n *lint) cutOff() {
	for _, key := range []string{"sponsor", "sponsor_url", "geolocation.state_province", "geolocation.city"} {
		v := n.node(key)
		if v == nil || v.Style != 0 {
			continue
		}
		_, end, exact := n.source.span(v)
		rest := string(n.source.data[end:n.source.lineEnd(end)])
		comment, ok := strings.CutPrefix(strings.TrimLeft(rest, " "), "#")
		if exact && ok && comment != "" && !strings.ContainsAny(comment[:1], " #\t\r!-") {
			at := end + len(rest) - len(comment) - 1
			n.add(ruleComment, key, at, end+len(rest), nil, "%s: the value ends before %s, which is a comment; put the value "+
				"in quotes if it belongs to it, or write a space after the #", key, show("#"+strings.TrimRight(comment, " \t\r")))
		}
	}
}

// fault adds a fault of the parser as a finding.
func (n *lint) fault(f *fault) {
	key, node := f.path, f.node
	start, end, exact := n.source.span(node)
	var fix *Fix
	switch {
	case f.source != "" && exact && f.meant != "":
		fix = &Fix{
			Description: "write " + f.source, keys: []string{join(key, node.Value), f.meant},
			Edits: []Edit{n.edit(start, end, restyle(node, f.source, true))},
		}
	case f.source != "" && exact:
		fix = &Fix{Description: "write " + f.source, Edits: []Edit{n.edit(start, end, f.source)}, keys: []string{key}}
	case f.remove != nil:
		if from, to, ok := n.lines(f.remove[0], f.remove[1]); ok {
			fix = &Fix{Description: "remove the duplicate", Edits: []Edit{n.edit(from, to, "")}, keys: []string{key}}
		}
	}
	if k := n.parser.keys[key]; k != nil && node.Kind == yaml.ScalarNode && node.Value == "" && node.Style == 0 {
		start, end, _ = n.source.span(k) // the value is absent, so point to the key
	} else if node.Kind == yaml.MappingNode && node.Style&yaml.FlowStyle == 0 && k != nil {
		start, end, _ = n.source.span(k)
	}
	message := f.message
	switch {
	case key != "":
		message = key + ": " + message
	case !unknownKey(f.rule):
		message = "the file " + message
	}
	if f.rule == ruleDuplicateKey && f.remove == nil {
		message += " (AlmaLinux's reader uses the last one)"
	}
	if unknownKey(f.rule) {
		key = join(key, strings.Trim(show(node.Value), `"…`))
	}
	n.addAs(grade(f.rule, f.mild), f.rule, key, start, end, fix, "%s", message)
}
