package shell

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// tools are programs whose output follows from their arguments and from known input. Of what they
// do not understand, the output is unknown.
var tools map[string]func(*shell, []string) (string, bool)

func init() {
	tools = map[string]func(*shell, []string) (string, bool){
		"cat": cat, "grep": grep, "egrep": func(s *shell, args []string) (string, bool) {
			return grep(s,
				append([]string{"-E"}, args...))
		},
		"fgrep": func(s *shell, args []string) (string, bool) { return grep(s, append([]string{"-F"}, args...)) },
		"cut":   cutTool, "head": lines(true), "tail": lines(false), "basename": basename,
		"dirname": dirname, "readlink": realPath, "realpath": realPath, "id": identity, "whoami": ownName,
		"logname": ownName, "sort": sorted,
		"uniq": sorted, "tr": translate, "sed": sed, "seq": sequence, "awk": awk, "gawk": awk, "mawk": awk,
		"which": func(s *shell, args []string) (string, bool) { which(s, args, call{}); return "", true },
	}
}

// sourceText returns the text that a tool reads: its files, or standard input.
func (s *shell) sourceText(files []string) (string, bool) {
	if len(files) == 0 || len(files) == 1 && files[0] == "-" {
		if !s.in.known {
			return "", false
		}
		text := s.in.text
		s.in.text = ""
		return text, true
	}
	var out strings.Builder
	for _, f := range files {
		in := &input{}
		if Known(f) {
			in = content(s, s.absolute(f))
		}
		if !in.known || out.Len()+len(in.text) > maxText {
			return "", false
		}
		out.WriteString(in.text)
	}
	return out.String(), true
}

func cat(s *shell, args []string) (string, bool) {
	o := parseOptions(args, "", nil)
	return s.sourceText(o.rest)
}

// basic converts a basic regular expression to an extended one (XBD 9.3).
var basic = strings.NewReplacer(`\\`, `\\`, `\(`, `(`, `\)`, `)`, `\{`, `{`, `\}`, `}`, `\|`, `|`, `\+`, `+`,
	`\?`, `?`,
	`(`, `\(`, `)`, `\)`, `{`, `\{`, `}`, `\}`, `|`, `\|`, `+`, `\+`, `?`, `\?`)

func grep(s *shell, args []string) (string, bool) {
	o := parseOptions(args, "eABCm", []string{"regexp"})
	rest := o.rest
	expr := o.value["e"] + o.value["regexp"]
	if expr == "" && len(rest) > 0 {
		expr, rest = rest[0], rest[1:]
	}
	text, ok := s.sourceText(rest)
	if !ok || !Known(expr) || !s.spend(len(expr)/4+len(text)/16) {
		return "", false
	}
	if !o.has("E") && !o.has("P") && !o.has("F") {
		expr = basic.Replace(expr)
	}
	if o.has("F") {
		expr = regexp.QuoteMeta(expr)
	}
	if o.has("i") {
		expr = "(?i)" + expr
	}
	re, err := regexp.Compile(expr)
	if err != nil || o.has("A") || o.has("B") || o.has("C") {
		return "", false
	}
	var out strings.Builder
	count := 0
	for line := range strings.Lines(text) {
		if re.MatchString(strings.TrimSuffix(line, "\n")) == o.has("v") {
			continue
		}
		count++
		if o.has("o") {
			line = strings.Join(re.FindAllString(line, -1), "\n") + "\n"
		}
		out.WriteString(line)
	}
	s.status = status{code: map[bool]int{true: 1}[count == 0]}
	switch {
	case o.has("q"):
		return "", true
	case o.has("c"):
		return strconv.Itoa(count) + "\n", true
	}
	return out.String(), true
}

func cutTool(s *shell, args []string) (string, bool) {
	o := parseOptions(args, "dfc", []string{"delimiter", "fields"})
	text, ok := s.sourceText(o.rest)
	delimiter, fields := o.value["d"]+o.value["delimiter"], o.value["f"]+o.value["fields"]
	if delimiter == "" {
		delimiter = "\t"
	}
	first, last, isRange := strings.Cut(fields, "-")
	from, err := strconv.Atoi(first)
	to := from
	if isRange {
		if to, _ = strconv.Atoi(last); last == "" {
			to = maxFields
		}
	}
	if !ok || err != nil || from < 1 || o.has("c") {
		return "", false
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		parts := strings.Split(strings.TrimSuffix(line, "\n"), delimiter)
		if len(parts) == 1 {
			out.WriteString(parts[0] + "\n")
			continue
		}
		lo, hi := min(from-1, len(parts)), min(max(to, from-1), len(parts))
		out.WriteString(strings.Join(parts[lo:hi], delimiter) + "\n")
	}
	return out.String(), true
}

func lines(first bool) func(*shell, []string) (string, bool) {
	return func(s *shell, args []string) (string, bool) {
		n := 10
		if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
			if given, err := strconv.Atoi(args[0][1:]); err == nil {
				n, args = given, args[1:]
			}
		}
		o := parseOptions(args, "nc", []string{"lines", "bytes"})
		if given := o.value["n"] + o.value["lines"]; given != "" {
			parsed, err := strconv.Atoi(given)
			if err != nil || parsed < 0 || given[0] == '+' {
				return "", false
			}
			n = parsed
		}
		text, ok := s.sourceText(o.rest)
		if !ok || o.has("c") || o.has("f") {
			return "", false
		}
		all := slices.Collect(strings.Lines(text))
		if n < len(all) {
			if first {
				all = all[:n]
			} else {
				all = all[len(all)-n:]
			}
		}
		return strings.Join(all, ""), true
	}
}

// realPath evaluates readlink -f and realpath.
func realPath(s *shell, args []string) (string, bool) {
	o := parseOptions(args, "", nil)
	if len(o.rest) != 1 || !Known(o.rest[0]) {
		return "", false
	}
	p := s.absolute(o.rest[0])
	if _, target, ok := s.host.Text(p); ok {
		p = target
	}
	return p + "\n", true
}

// identity evaluates id(1) with -u, and with -un.
func identity(s *shell, args []string) (string, bool) {
	o := parseOptions(args, "", nil)
	switch {
	case len(o.rest) > 0 || !o.has("u"):
		return "", false
	case o.has("n"):
		return ownName(s, nil)
	}
	return "0\n", s.user == "root"
}

func ownName(s *shell, _ []string) (string, bool) {
	return s.user + "\n", s.user != "" && Known(s.user)
}

func sorted(s *shell, args []string) (string, bool) {
	o := parseOptions(args, "kto", nil)
	text, ok := s.sourceText(o.rest)
	return text, ok && !o.has("o") // the order does not matter here
}

func translate(s *shell, args []string) (string, bool) {
	o := parseOptions(args, "", nil)
	text, ok := s.sourceText(nil)
	if !ok || len(o.rest) == 0 || !Known(strings.Join(o.rest, "")) {
		return "", false
	}
	from := backslashes(o.rest[0])
	switch {
	case o.has("d") && !strings.ContainsAny(from, "[-"):
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(from, r) {
				return -1
			}
			return r
		}, text), true
	case len(o.rest) == 2 && len(o.value) == 0 && len(from) == 1:
		return strings.ReplaceAll(text, from, backslashes(o.rest[1])[:1]), o.rest[1] != ""
	case len(o.rest) == 2 && (o.rest[0] == "A-Z" && o.rest[1] == "a-z" || o.rest[0] == "[:upper:]" &&
		o.rest[1] == "[:lower:]"):
		return strings.ToLower(text), true
	}
	return "", false
}

// substitution is a command s/A/B/ of sed.
var substitution = regexp.MustCompile(`^s([/|#,@])(.*)$`)

// deletion is a command /A/d of sed.
var deletion = regexp.MustCompile(`^/(.*)/d$`)

func sed(s *shell, args []string) (string, bool) {
	o := parseOptions(args, "efi", []string{"expression"})
	rest := o.rest
	script := o.value["e"] + o.value["expression"]
	if script == "" && len(rest) > 0 {
		script, rest = rest[0], rest[1:]
	}
	if o.has("i") || o.has("n") || o.has("f") || !Known(script) {
		return "", false
	}
	text, ok := s.sourceText(rest)
	if !ok {
		return "", false
	}
	for command := range strings.SplitSeq(script, ";") {
		if text, ok = sedCommand(s, strings.TrimSpace(command), text); !ok {
			return "", false
		}
	}
	return text, true
}

func sedCommand(s *shell, command, text string) (string, bool) {
	if !s.spend(1 + len(command)/4 + len(text)/16) {
		return "", false
	}
	if m := deletion.FindStringSubmatch(command); m != nil {
		re, err := regexp.Compile(basic.Replace(m[1]))
		if err != nil {
			return "", false
		}
		var out strings.Builder
		for line := range strings.Lines(text) {
			if !re.MatchString(strings.TrimSuffix(line, "\n")) {
				out.WriteString(line)
			}
		}
		return out.String(), true
	}
	m := substitution.FindStringSubmatch(command)
	if m == nil {
		return "", false
	}
	parts := strings.Split(m[2], m[1])
	if len(parts) != 3 || strings.Trim(parts[2], "g") != "" || strings.ContainsAny(parts[1], `\&`) {
		return "", false
	}
	re, err := regexp.Compile(basic.Replace(parts[0]))
	if err != nil {
		return "", false
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		body := strings.TrimSuffix(line, "\n")
		if out.Len() > maxText {
			return "", false
		}
		if parts[2] == "g" {
			out.WriteString(re.ReplaceAllLiteralString(body, parts[1]))
		} else if loc := re.FindStringIndex(body); loc != nil {
			out.WriteString(body[:loc[0]] + parts[1] + body[loc[1]:])
		} else {
			out.WriteString(body)
		}
		out.WriteString(line[len(body):])
	}
	return out.String(), true
}

// printField is an awk program that prints one field.
var printField = regexp.MustCompile(`^\{\s*print\s+\$([0-9]+);?\s*\}$`)

func awk(s *shell, args []string) (string, bool) {
	o := parseOptions(args, "Fvf", nil)
	if len(o.rest) == 0 || o.has("v") || o.has("f") {
		return "", false
	}
	m := printField.FindStringSubmatch(strings.TrimSpace(o.rest[0]))
	text, ok := s.sourceText(o.rest[1:])
	if m == nil || !ok {
		return "", false
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || len(o.value["F"]) > 1 {
		return "", false
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		fields := strings.Fields(line)
		if sep := o.value["F"]; sep != "" {
			fields = strings.Split(line, sep)
		}
		switch {
		case n == 0:
			out.WriteString(line)
		case n <= len(fields):
			out.WriteString(fields[n-1])
		}
		out.WriteByte('\n')
	}
	return out.String(), true
}

func sequence(s *shell, args []string) (string, bool) {
	from, step, to := 1, 1, 0
	var numbers []int
	for _, a := range args {
		n, err := strconv.Atoi(a)
		if err != nil {
			return "", false
		}
		numbers = append(numbers, n)
	}
	switch len(numbers) {
	case 1:
		to = numbers[0]
	case 2:
		from, to = numbers[0], numbers[1]
	case 3:
		from, step, to = numbers[0], numbers[1], numbers[2]
	}
	if step <= 0 || (to-from)/step > maxFields {
		return "", false
	}
	var out strings.Builder
	for n := from; n <= to; n += step {
		out.WriteString(strconv.Itoa(n) + "\n")
	}
	return out.String(), true
}

// tool evaluates a program that prints what follows from its arguments and input. It reports
// whether the program is one of these.
func tool(s *shell, name string, args []string) bool {
	tool := tools[name]
	if tool == nil {
		return false
	}
	s.status = status{}
	text, ok := tool(s, args)
	if !ok || !s.spend(1+len(text)/64) {
		text = Unknown
		s.status = status{unknown: true}
	}
	s.print(text)
	return true
}

// base evaluates basename and dirname.
func base(of func(string) string) func(*shell, []string) (string, bool) {
	return func(_ *shell, args []string) (string, bool) {
		o := parseOptions(args, "s", nil)
		if len(o.rest) == 0 || !Known(strings.Join(o.rest, "")) {
			return "", false
		}
		text := of(o.rest[0])
		if len(o.rest) > 1 {
			text = strings.TrimSuffix(text, o.rest[1])
		}
		return strings.TrimSuffix(text, o.value["s"]) + "\n", true
	}
}

var basename, dirname = base(path.Base), base(path.Dir)
