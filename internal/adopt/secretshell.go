package adopt

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/adopt/shell"
	"mvdan.cc/sh/v3/syntax"
)

// Limits for a command or script.
const (
	maxScript = 64 << 10 // bytes
	maxValue  = 1 << 10  // bytes of a variable's value
)

// commands has what a command or script says about secrets.
type commands struct {
	passwd bool // RSYNC_PASSWORD is set
	secret int  // a line with a possible secret, or 0
}

// readCommands looks for secrets in a shell command or script. The evaluation reports one that
// cannot be parsed.
func readCommands(text string) (c commands) {
	s, err := scanShell(text)
	if err != nil {
		if strings.Contains(text, "@") {
			c.secret = 1
		}
		return c
	}
	if lines := slices.Sorted(maps.Keys(s.found)); len(lines) > 0 {
		c.secret = lines[0]
	}
	c.passwd = s.passwd
	return c
}

// shellSecrets returns the lines of a script with secrets that only the shell's grammar shows:
// words in quotes and escapes, variables that are used as a secret, text that goes into a file with
// a secret. It is empty for other text.
func shellSecrets(text string) map[int]string {
	s, err := scanShell(text)
	if err != nil {
		return nil
	}
	return s.found
}

func scanShell(text string) (*shellScan, error) {
	file, err := shell.Parse(text)
	if err != nil {
		return nil, err
	}
	s := &shellScan{found: map[int]string{}, values: map[string]string{}, tainted: map[string]bool{},
		calls: map[string]bool{}, files: secretFiles(text)}
	for range 4 { // a variable whose value has another one
		before := len(s.tainted) + len(s.calls)
		s.scan(file)
		if len(s.tainted)+len(s.calls) == before {
			break
		}
	}
	return s, nil
}

// shellScan looks for secrets in a script.
type shellScan struct {
	found   map[int]string
	passwd  bool              // RSYNC_PASSWORD is set
	values  map[string]string // of variables, as far as the script's text has them
	tainted map[string]bool   // variables that are used as a secret
	calls   map[string]bool   // functions with an argument that is a secret
	files   []string          // files that hold a secret, as the script writes them
	in      string            // the function
}

func (s *shellScan) mark(n syntax.Node, why string) {
	for line := int(n.Pos().Line()); line <= int(n.End().Line()); line++ {
		if _, known := s.found[line]; !known {
			s.found[line] = why
		}
	}
}

func (s *shellScan) scan(file *syntax.File) {
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.FuncDecl:
			outer := s.in
			s.in = n.Name.Value
			syntax.Walk(n.Body, func(in syntax.Node) bool { return s.visit(in) })
			s.in = outer
			return false
		default:
			return s.visit(n)
		}
	})
}

func (s *shellScan) visit(n syntax.Node) bool {
	switch n := n.(type) {
	case *syntax.Word:
		s.word(n)
	case *syntax.Assign:
		s.assign(n)
	case *syntax.Stmt:
		s.redirects(n)
	case *syntax.BinaryCmd:
		s.pipe(n)
	case *syntax.CallExpr:
		s.call(n)
	}
	return true
}

// word marks a word with a user or a password, and one that sets rsync's password, as for env.
func (s *shellScan) word(w *syntax.Word) {
	text := plainWord(w.Parts, func(name string) string { return s.values[name] })
	s.passwd = s.passwd || strings.HasPrefix(text, rsyncPassword+"=") || strings.Contains(text, " "+rsyncPassword+"=")
	if secretWord.MatchString(text) || !strings.Contains(text, "\n") && looksSecret(text) {
		s.mark(w, "a word with a user or a password")
	}
}

// rsyncPassword is the variable with the password of a user of an rsync daemon (rsync(1)).
const rsyncPassword = "RSYNC_PASSWORD"

// keep stores a variable for later words, unless it is a secret: a word with its name shows
// nothing.
func (s *shellScan) keep(a *syntax.Assign) {
	name := a.Name.Value
	delete(s.values, name)
	if a.Value == nil || a.Append || a.Index != nil || looksSecret(name+"=x") {
		return
	}
	value := plainWord(a.Value.Parts, func(name string) string { return s.values[name] })
	if len(value) <= maxValue && !isSecretWord(value) {
		s.values[name] = value
	}
}

// assign marks a variable that is used as a secret, and keeps the value of another one.
func (s *shellScan) assign(a *syntax.Assign) {
	if a.Name != nil {
		s.passwd = s.passwd || a.Name.Value == rsyncPassword
		s.keep(a)
	}
	if a.Name == nil || a.Value == nil && a.Array == nil || !s.tainted[a.Name.Value] {
		return
	}
	s.mark(a, "a variable with a secret")
	if a.Value != nil {
		for _, v := range variables(a.Value) {
			s.taint(v)
		}
	}
}

func (s *shellScan) taint(v string) {
	if len(v) == 1 && strings.ContainsAny(v, "123456789@*") {
		if s.in != "" {
			s.calls[s.in] = true
		}
		return
	}
	s.tainted[v] = true
}

// call marks a command that has a secret once its quotes and escapes are gone.
func (s *shellScan) call(c *syntax.CallExpr) {
	if len(c.Args) > 0 && s.calls[c.Args[0].Lit()] {
		s.mark(c, "an argument with a secret")
	}
	if why := secretForm(plainWords(c, "")); why != "" {
		s.mark(c, why)
	}
	const most = 32 // variables of a command
	named := map[string]bool{}
	for _, w := range c.Args {
		for _, v := range variables(w) {
			if named[v] = true; len(named) > most {
				s.mark(c, "a command with too many variables")
				return
			}
		}
	}
	for v := range named {
		if secretForm(plainWords(c, v)) != "" && secretForm(plainWords(c, "")) == "" {
			s.taint(v)
		}
	}
}

// plainWords returns the words of a command without quotes, for a look at their form. One variable
// has a value that is not empty; the others are empty.
func plainWords(c *syntax.CallExpr, variable string) string {
	value := func(name string) string {
		if name == variable && variable != "" {
			return "abcxyz"
		}
		return ""
	}
	var words []string
	for _, w := range c.Args {
		text := plainWord(w.Parts, value)
		switch {
		case text == "":
			text = "-" // no pattern takes it for a value
		case strings.ContainsAny(text, " \t\n") && !strings.ContainsAny(text, `'"`):
			text = "'" + text + "'"
		}
		words = append(words, text)
	}
	return strings.Join(words, " ")
}

var escaped = regexp.MustCompile(`(?s)\\(.)`)

// plainWord returns a word without quotes and escapes, with the values of variables.
func plainWord(parts []syntax.WordPart, value func(name string) string) string {
	var out strings.Builder
	for _, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			out.WriteString(escaped.ReplaceAllString(p.Value, "$1"))
		case *syntax.SglQuoted:
			out.WriteString(p.Value)
		case *syntax.DblQuoted:
			out.WriteString(plainWord(p.Parts, value))
		case *syntax.ParamExp:
			if p.Param != nil {
				out.WriteString(value(p.Param.Value))
			}
		}
		if out.Len() > maxScript {
			break
		}
	}
	return out.String()
}

// variables returns the names of the variables in a word.
func variables(n syntax.Node) []string {
	var names []string
	syntax.Walk(n, func(n syntax.Node) bool {
		if p, ok := n.(*syntax.ParamExp); ok && p.Param != nil {
			names = append(names, p.Param.Value)
		}
		return true
	})
	return names
}

// secretOption matches an option or a setting that names a file with a secret.
var secretOption = regexp.MustCompile(`(?i)[\w-]*(pass|secret|cred|key|token|netrc|auth|defaults|askpass|config)` +
	`[\w-]*[= ]\s*["']?([^\s"';]*[/$~.][^\s"';]*)`)

// secretFiles returns the files that a script uses for secrets, as it writes them.
func secretFiles(text string) []string {
	var list []string
	for _, m := range secretOption.FindAllStringSubmatch(text, -1) {
		list = append(list, m[2])
	}
	return list
}

// redirects marks text that a script writes into a file with a secret.
func (s *shellScan) redirects(stmt *syntax.Stmt) {
	program := ""
	if call, ok := stmt.Cmd.(*syntax.CallExpr); ok && len(call.Args) > 0 {
		program = call.Args[0].Lit()
	}
	for _, r := range stmt.Redirs {
		asked := slices.Contains(askers, program)
		if r.Hdoc != nil && (writesSecret(stmt, s.files) || asked) || r.Op == syntax.WordHdoc && asked {
			s.mark(stmt, "text that is a secret by its place")
			s.mark(r, "text that is a secret by its place")
		}
	}
	if slices.Contains([]string{"echo", "printf", "print"}, program) && writesSecret(stmt, s.files) {
		s.mark(stmt, "text that is a secret by its place")
		for _, w := range stmt.Cmd.(*syntax.CallExpr).Args[1:] {
			for _, v := range variables(w) {
				s.taint(v)
			}
		}
	}
}

// writesSecret reports whether a statement writes to one of the files, or to one whose name
// suggests a secret.
func writesSecret(stmt *syntax.Stmt, files []string) bool {
	return slices.ContainsFunc(stmt.Redirs, func(r *syntax.Redirect) bool {
		if r.Word == nil || r.Op != syntax.RdrOut && r.Op != syntax.AppOut && r.Op != syntax.RdrClob {
			return false
		}
		var raw strings.Builder
		_ = syntax.NewPrinter().Print(&raw, r.Word) // into memory
		name := strings.Trim(raw.String(), `"'`)
		return slices.Contains(files, name) || secretFile.MatchString(name) ||
			suspect(name[strings.LastIndexByte(name, '/')+1:])
	})
}

// askers are programs that read a secret from their standard input.
var askers = []string{"sudo", "sshpass", "gpg", "gpg2", "mysql", "mariadb", "chpasswd", "passwd", "openssl", "docker", "podman", "kinit",
	"smbpasswd",
	"cryptsetup", "keyctl", "ssh-add", "ftp", "telnet", "expect", "age", "pass", "vault", "skopeo", "oathtool", "su"}

// pipe marks text that goes to a program that asks for a secret.
func (s *shellScan) pipe(b *syntax.BinaryCmd) {
	if b.Op != syntax.Pipe && b.Op != syntax.PipeAll {
		return
	}
	to, ok := b.Y.Cmd.(*syntax.CallExpr)
	if !ok || len(to.Args) == 0 {
		return
	}
	name := to.Args[0].Lit()
	name = name[strings.LastIndexByte(name, '/')+1:]
	file := name == "tee" && len(to.Args) > 1 && slices.ContainsFunc(to.Args[1:], func(w *syntax.Word) bool {
		return slices.Contains(s.files, w.Lit()) || secretFile.MatchString(w.Lit())
	})
	if slices.Contains(askers, name) || file {
		s.mark(b, "text that is a secret by its place")
		for _, v := range variables(b.X) {
			s.taint(v)
		}
	}
}
