package adopt

import (
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/adopt/shell"
	"mvdan.cc/sh/v3/syntax"
)

// shellSecrets returns the lines of a script with secrets that only the shell's grammar shows:
// words in quotes and escapes, variables that are used as a secret, text that goes into a file with
// a secret. It is empty for other text.
func shellSecrets(text string) map[int]string {
	found := map[int]string{}
	file, err := shell.Parse(text)
	if err != nil {
		return found
	}
	s := &shellScan{found: found, tainted: map[string]bool{}, calls: map[string]bool{}, files: secretFiles(text)}
	for range 4 { // a variable whose value has another one
		before := len(s.tainted) + len(s.calls)
		s.scan(file)
		if len(s.tainted)+len(s.calls) == before {
			break
		}
	}
	return found
}

// shellScan looks for secrets in a script.
type shellScan struct {
	found   map[int]string
	tainted map[string]bool // variables that are used as a secret
	calls   map[string]bool // functions with an argument that is a secret
	files   []string        // files that hold a secret, as the script writes them
	in      string          // the function
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

// assign marks a variable whose name suggests a secret, or that is used as one.
func (s *shellScan) assign(a *syntax.Assign) {
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
	var words []string
	for _, w := range c.Args {
		text := plainWord(w.Parts, variable)
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

func plainWord(parts []syntax.WordPart, variable string) string {
	var out strings.Builder
	for _, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			out.WriteString(escaped.ReplaceAllString(p.Value, "$1"))
		case *syntax.SglQuoted:
			out.WriteString(p.Value)
		case *syntax.DblQuoted:
			out.WriteString(plainWord(p.Parts, variable))
		case *syntax.ParamExp:
			if p.Param != nil && p.Param.Value == variable && variable != "" {
				out.WriteString("abcxyz")
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
