package mirrorsd

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Source is a file to check.
type Source struct {
	Name    string // path, as in findings; the rules for file names use the last part
	Unnamed bool   // the file has no name (standard input); the rules for file names do not apply
	Data    []byte
}

// Finding is a violation of a rule in a file.
type Finding struct {
	File       string // Source.Name
	Key        string // dotted path of the key, such as "address.http" or "subnets[0]"; "" is the file
	Rule       string // name of the Rule
	Severity   Severity
	Message    string   // what is wrong and what to write instead; one line, with foreign text escaped
	Start, End Position // the range in the file, End exclusive; equal if something is missing
	Fix        *Fix     // nil if the intended value is ambiguous
}

// Fix is the change that resolves a finding.
type Fix struct {
	Description string // what it does; one line, escaped
	Edits       []Edit // in file order, without overlaps
	keys        []string
}

// Edit replaces the bytes from Start up to End.
type Edit struct {
	Start, End Position
	Text       string
}

// Options select the rules of a Linter.
type Options struct {
	Service Service  // zero is DefaultService()
	Enable  []string // rules, or AllRules, to apply even if optional or disabled by AllRules
	Disable []string // rules, or AllRules, to skip
}

// Linter checks mirrors.d files.
type Linter struct {
	service Service
	on      map[string]bool
}

// NewLinter fails if a rule is unknown, or both enabled and disabled.
func NewLinter(o Options) (*Linter, error) {
	on, err := selectRules(o.Enable, o.Disable)
	if err != nil {
		return nil, err
	}
	if o.Service.AllowedOutdate == 0 {
		o.Service = DefaultService()
	}
	return &Linter{service: o.Service, on: on}, nil
}

// Lint checks files and compares them with each other. Findings are in the order of the files, and
// in each file in the order of their positions.
func (l *Linter) Lint(files []Source) []Finding {
	var all []*lint
	for _, f := range files {
		n := l.read(f)
		n.check()
		all = append(all, n)
	}
	compare(all)
	var findings []Finding
	for _, n := range all {
		slices.SortStableFunc(n.findings, func(a, b Finding) int {
			return cmp.Or(a.Start.Byte-b.Start.Byte, a.End.Byte-b.End.Byte, strings.Compare(a.Rule, b.Rule))
		})
		findings = append(findings, n.findings...)
	}
	return findings
}

// lint is the check of one file.
type lint struct {
	*Linter
	name     string
	unnamed  bool
	source   *source
	doc      *yaml.Node // nil if the file is not readable
	covered  []bool     // see source.scalars
	comments []bool     // see source.comments
	file     File
	parser   *parser
	findings []Finding
}

func (l *Linter) read(f Source) *lint {
	return &lint{Linter: l, name: f.Name, unnamed: f.Unnamed, source: newSource(f.Data)}
}

// add records a finding if its rule is enabled. The fix may be nil.
func (n *lint) add(rule, key string, start, end int, fix *Fix, format string, args ...any) {
	n.addAs(severity(rule), rule, key, start, end, fix, format, args...)
}

// grade returns the severity of a finding: that of its rule, or a warning if AlmaLinux's service
// accepts the value.
func grade(rule string, mild bool) Severity {
	if mild {
		return Warning
	}
	return severity(rule)
}

// addAs is add with the finding's own severity.
func (n *lint) addAs(s Severity, rule, key string, start, end int, fix *Fix, format string, args ...any) {
	if !n.on[rule] {
		return
	}
	if fix != nil && len(fix.Edits) == 0 {
		fix = nil
	}
	n.findings = append(n.findings, Finding{
		File: n.name, Key: key, Rule: rule, Severity: s, Message: fmt.Sprintf(format, args...),
		Start: n.source.position(start), End: n.source.position(max(start, end)), Fix: fix,
	})
}

func (n *lint) edit(start, end int, text string) Edit {
	return Edit{n.source.position(start), n.source.position(end), text}
}

func (n *lint) check() {
	data := n.source.data
	n.extension()
	switch {
	case len(data) > MaxSize:
		n.add(ruleSyntax, "", 0, 0, nil, "the file is larger than the limit of %d KiB", MaxSize>>10)
		return
	case !utf8.Valid(data):
		n.notUTF8()
		return
	}
	n.encoding()
	doc, err := decode(data)
	if err != nil {
		n.unreadable(err)
		return
	}
	n.doc = doc
	n.covered = n.source.scalars(doc)
	n.comments = n.source.comments(n.covered)
	n.tabs()
	n.template()
	n.parser = parseDocument(&n.file, doc, 0)
	n.cutOff()
	for _, f := range n.parser.faults {
		n.fault(f)
	}
	n.problems()
	if n.doc.Content[0].Kind == yaml.MappingNode {
		n.geolocation()
	}
	n.named()
	n.agree()
	if a := n.file.Address; a.HTTP != "" && a.HTTPS == "" && n.parser.values["address.https"] == nil {
		start, end := n.place("address")
		n.add(ruleHTTPS, "address", start, end, nil, "address: has no https URL; add one if the mirror serves HTTPS")
	}
}

// extensionForm matches common extensions, wrong ones included.
var extensionForm = regexp.MustCompile(`(?i)\.ya?ml(\.[a-z]+|~)?$|\.txt$|\.json$`)

// yamlError matches the line number in an error of yaml.v3.
var yamlError = regexp.MustCompile(`(?:yaml: )?line ([0-9]+): `)

// instruction is the sentence by which the comments of upstream's template are recognised.
const instruction = "remove these comments before submitting"

// unknownKey reports whether a fault of this rule is about a key that the parser does not know. The
// path of such a fault is that of the section around the key.
func unknownKey(rule string) bool {
	return rule == ruleMisspeltKey || rule == ruleMisplacedKey || rule == ruleUnknownKey
}

// lines returns the range of the lines of a key and its value. ok is false if these lines have
// anything else, such as a comment.
func (n *lint) lines(key, value *yaml.Node) (from, to int, ok bool) {
	start, _, exact := n.source.span(key)
	from = n.source.lineStart(start)
	last := value
	for len(last.Content) > 0 {
		last = last.Content[len(last.Content)-1]
	}
	_, end, lastExact := n.source.span(last)
	to = n.source.lineEnd(end)
	data := n.source.data
	if !exact || !lastExact || strings.Trim(string(data[from:start]), " ") != "" ||
		strings.Trim(string(data[end:to]), " \t") != "" {
		return 0, 0, false
	}
	for i := from; i < to; i++ {
		if n.comments[i] {
			return 0, 0, false
		}
	}
	return from, to + breakSize(data[to:]), true
}

// problems adds the problems of Check as findings, except for keys whose value could not be read.
func (n *lint) problems() {
	unread := n.parser.unread()
	for _, f := range n.parser.faults {
		switch {
		case f.meant != "":
			unread[f.meant] = true
		case f.path == "" && f.node == n.doc.Content[0]:
			return // the file is not a mapping
		}
	}
	problems := n.file.CheckFor(n.service)
	const kitten = "address_optional.kitten"
	if v := n.parser.values[kitten]; v != nil && len(v.Content) > 0 && n.file.AddressOptional.Kitten == (Address{}) {
		// Check ignores an address without URLs, but upstream's schema validates the mapping.
		c := &checker{service: n.service}
		c.address(kitten, Address{})
		problems = append(problems, c.problems...)
	}
	for _, p := range problems {
		key := base(p.Key)
		skip := p.Rule == ruleGeolocation // see geolocation
		for path := range unread {
			skip = skip || path == key || strings.HasPrefix(key, path+".") || strings.HasPrefix(path, key+".")
		}
		if skip {
			continue
		}
		start, end := n.place(p.Key)
		var fix *Fix
		if node := n.node(p.Key); p.Fix != "" && node != nil {
			if from, to, exact := n.source.span(node); exact {
				text := restyle(node, p.Fix, true)
				if p.list {
					text = "[" + quote(p.Fix) + "]"
				}
				fix = &Fix{Description: "write " + text, Edits: []Edit{n.edit(from, to, text)}, keys: []string{p.Key}}
			}
		}
		// The schema requires these keys, and accepts an empty value.
		blank := p.Rule == ruleRequired && strings.HasPrefix(p.Key, "sponsor") && n.node(p.Key) != nil
		n.addAs(grade(p.Rule, p.mild || blank), p.Rule, p.Key, start, end, fix, "%s: %s", p.Key, p.Message)
	}
}

// base returns the path of a list for the path of one of its items.
func base(key string) string {
	key, _, _ = strings.Cut(key, "[")
	return key
}

// node returns the value of a key, or nil if the file does not have it.
func (n *lint) node(key string) *yaml.Node {
	v := n.parser.values[base(key)]
	if _, index, ok := strings.Cut(key, "["); ok && v != nil {
		if i, err := strconv.Atoi(strings.TrimSuffix(index, "]")); err == nil && i < len(v.Content) {
			return v.Content[i]
		}
	}
	return v
}

// place returns the range of a key's value. If the value is missing or not a scalar, it returns the
// range of the key, or of the closest parent in the file.
func (n *lint) place(key string) (start, end int) {
	if v := n.node(key); v != nil && v.Kind == yaml.ScalarNode && v.Value != "" {
		start, end, _ = n.source.span(v)
		return start, end
	}
	for path := base(key); path != ""; {
		if k := n.parser.keys[path]; k != nil {
			start, end, _ = n.source.span(k)
			return start, end
		}
		i := max(strings.LastIndexByte(path, '.'), 0)
		path = path[:i]
	}
	start = n.source.offset(n.doc.Content[0])
	return start, start
}

// named compares the mirror's name with the file name and with the hosts of the URLs.
func (n *lint) named() {
	name := n.file.Name
	if hostName(name) != nil || n.parser.values["name"] == nil {
		return
	}
	start, end := n.place("name")
	base := filepath.Base(n.name)
	stem := extensionForm.ReplaceAllString(base, "")
	if !n.unnamed && !strings.EqualFold(stem, name) {
		n.add(ruleFileName, "name", start, end, nil,
			"name: %s does not match the file name %s; rename the file to %s, or correct the name",
			show(name), show(base), show(strings.ToLower(name)+".yml"))
	}
	var hosts []string
	n.file.Address.each(func(protocol, raw string) {
		if t, ok := treeOf(raw); ok && t.kind == "http" && (protocol == "http" || protocol == "https") {
			hosts = append(hosts, t.host)
		}
	})
	if len(hosts) > 0 && !slices.Contains(hosts, strings.ToLower(name)) {
		n.add(ruleNameHost, "name", start, end, nil,
			"name: %s differs from the host of the URLs (%s), but AlmaLinux locates the mirror by the addresses of name; "+
				"use the same host in both",
			show(name), show(hosts[0]))
	}
}

// IsEntry reports whether a file's content is a mirror's entry, regardless of its name: a YAML
// mapping with the keys name and address.
func IsEntry(data []byte) bool {
	if len(data) > MaxSize || !utf8.Valid(data) {
		return false
	}
	doc, err := decode(data)
	if err != nil {
		return false
	}
	found := 0
	root := doc.Content[0]
	for i := 0; root.Kind == yaml.MappingNode && i+1 < len(root.Content); i += 2 {
		if k := root.Content[i].Value; k == "name" || k == "address" {
			found++
		}
	}
	return found >= 2
}
