package adopt

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/mirrorform/mirrorform/internal/mirror"
)

// Limits for a command or script. The parser recurses, so nesting is measured before it runs.
const (
	maxScript  = 64 << 10 // bytes
	maxNesting = 1000     // opening brackets and keywords
	maxDepth   = 3        // nested commands: sh -c "flock … -c \"rsync …\""
	maxValue   = 1 << 10  // bytes of a variable's value
)

// syncCommand is an rsync command.
type syncCommand struct {
	line     int        // in the text, from 1
	options  [][]string // each with its argument
	upstream string     // rsync:// URL without user and password
	tree     string     // clean path of the directory that gets the upstream's content
	lock     string     // lock file of flock(1), or ""
	log      string     // file that gets the output, or ""
	user     string     // user of sudo or runuser, or ""
	wrappers []string   // programs that run rsync, except flock and shells: nice, timeout
	secret   bool       // the command has a user or password, which is left out
}

// commands has the programs that a command or script runs.
type commands struct {
	syncs   []syncCommand
	scripts []string // absolute paths of other programs
	unclear []int    // lines with an rsync that cannot be parsed
	passwd  bool     // RSYNC_PASSWORD is set
	secret  int      // a line with a possible secret, or 0
}

// reader parses shell commands. It never runs them.
type reader struct {
	vars map[string]string
	out  commands
}

// readCommands returns the programs that a shell command or script runs.
func readCommands(text string) (commands, error) {
	r := &reader{vars: map[string]string{}}
	err := r.text(text, 1, 0, syncCommand{})
	return r.out, err
}

func (r *reader) text(text string, line, depth int, outer syncCommand) error {
	err := r.parse(text, line, depth, outer)
	if err != nil && strings.Contains(text, "@") {
		r.secret(line)
	}
	return err
}

func (r *reader) secret(line int) {
	if r.out.secret == 0 {
		r.out.secret = max(line, 1)
	}
}

func (r *reader) parse(text string, line, depth int, outer syncCommand) error {
	if len(text) > maxScript {
		return fmt.Errorf("it has %d bytes; the limit is %d", len(text), maxScript)
	}
	nesting := 0
	for _, c := range []string{"(", "{", "`", "[", "if", "while", "until", "for", "case"} {
		nesting += strings.Count(text, c)
	}
	if nesting > maxNesting {
		return errors.New("it is nested too deeply")
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return errors.New("it is not a valid shell command")
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Stmt:
			r.statement(n, line, depth, outer)
		case *syntax.Word:
			if isSecretWord(r.known(n.Parts)) {
				r.secret(cmp.Or(outer.line, line+int(n.Pos().Line())-1))
			}
		}
		return true
	})
	return nil
}

// statement reads one simple command. The walk in parse also visits nested commands.
func (r *reader) statement(stmt *syntax.Stmt, line, depth int, outer syncCommand) {
	call, ok := stmt.Cmd.(*syntax.CallExpr)
	if !ok {
		return
	}
	for _, a := range call.Assigns {
		r.assign(a)
	}
	at := line + int(call.Pos().Line()) - 1
	if outer.line != 0 {
		at = outer.line
	}
	var argv []string
	known := true
	for _, w := range call.Args {
		words, ok := r.words(w)
		known = known && ok
		argv = append(argv, words...)
	}
	cmd := outer
	cmd.line = at
	for _, redirect := range stmt.Redirs {
		if redirect.Word == nil || redirect.Op != syntax.AppOut && redirect.Op != syntax.RdrOut && redirect.Op != syntax.RdrAll && redirect.Op != syntax.AppAll {
			continue
		}
		if words, ok := r.words(redirect.Word); ok && len(words) == 1 && words[0] != "/dev/null" && path.IsAbs(words[0]) {
			cmd.log = words[0]
		}
	}
	r.argv(argv, known, depth, cmd)
}

// assign stores a variable for later words.
func (r *reader) assign(a *syntax.Assign) {
	if a.Name == nil {
		return
	}
	if a.Name.Value == "RSYNC_PASSWORD" {
		r.out.passwd = true
	}
	delete(r.vars, a.Name.Value)
	if a.Value == nil || a.Append || a.Index != nil {
		return
	}
	if looksSecret(a.Name.Value + "=x") {
		return
	}
	if text, ok := r.literal(a.Value.Parts, 0); ok && len(text) <= maxValue {
		r.vars[a.Name.Value] = text
	}
}

// words returns the result of expanding a word. As in a shell, an unquoted variable that is the
// whole word is split at blanks.
func (r *reader) words(w *syntax.Word) ([]string, bool) {
	if len(w.Parts) == 1 {
		if p, ok := w.Parts[0].(*syntax.ParamExp); ok {
			text, ok := r.parameter(p)
			return strings.Fields(text), ok
		}
	}
	text, ok := r.literal(w.Parts, 0)
	return []string{text}, ok
}

func (r *reader) literal(parts []syntax.WordPart, depth int) (string, bool) {
	var out strings.Builder
	for _, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			out.WriteString(unescape(p.Value, depth > 0))
		case *syntax.SglQuoted:
			if p.Dollar {
				return "", false
			}
			out.WriteString(p.Value)
		case *syntax.DblQuoted:
			text, ok := r.literal(p.Parts, depth+1)
			if !ok || p.Dollar {
				return "", false
			}
			out.WriteString(text)
		case *syntax.ParamExp:
			text, ok := r.parameter(p)
			if !ok {
				return "", false
			}
			out.WriteString(text)
		default:
			return "", false
		}
		if out.Len() > maxScript {
			return "", false
		}
	}
	return out.String(), true
}

// parameter returns the value of $NAME or ${NAME} for a variable that the text itself sets.
func (r *reader) parameter(p *syntax.ParamExp) (string, bool) {
	if p.Param == nil || p.Excl || p.Length || p.Width || p.Index != nil || p.Slice != nil || p.Repl != nil || p.Exp != nil || p.Names != 0 {
		return "", false
	}
	value, ok := r.vars[p.Param.Value]
	return value, ok
}

// unescape removes backslashes like a POSIX shell (XCU 2.2.1, 2.2.3).
func unescape(s string, quoted bool) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) || quoted && !strings.ContainsRune("$`\"\\\n", rune(s[i+1])) {
			out.WriteByte(s[i])
			continue
		}
		if i++; s[i] != '\n' {
			out.WriteByte(s[i])
		}
	}
	return out.String()
}

// shells run the word after -c.
var shells = []string{"sh", "bash", "dash", "ksh", "zsh"}

// argv reads the arguments of one command. known reports that all of them were expanded.
func (r *reader) argv(argv []string, known bool, depth int, cmd syncCommand) {
	for len(argv) > 0 {
		program := path.Base(argv[0])
		switch {
		case program == "rsync":
			r.rsync(argv[1:], known, cmd)
			return
		case program == "flock":
			rest, lock := flockArguments(argv[1:])
			cmd.lock = lock
			if len(rest) > 1 && (rest[0] == "-c" || rest[0] == "--command") {
				rest = append([]string{"sh"}, rest...)
			}
			argv = rest
		case slices.Contains(shells, program) && len(argv) > 2 && shellFlag(argv[1]):
			if depth < maxDepth && r.text(argv[2], cmd.line, depth+1, cmd) == nil {
				return
			}
			r.unclear(cmd.line, argv)
			return
		case slices.Contains(shells, program) && len(argv) == 2:
			argv = argv[1:]
		case strings.HasPrefix(program, "mirrorform-sync-") && len(argv) > 2 && (argv[1] == "--cron" || argv[1] == "--timer"):
			argv = argv[2:]
		case slices.Contains([]string{"sudo", "runuser"}, program):
			rest := afterOptions(argv[1:], "-u", "-g", "--user", "--group", "-s")
			for i, w := range argv[:len(argv)-len(rest)] {
				if (w == "-u" || w == "--user") && i+1 < len(argv) {
					cmd.user = argv[i+1]
				}
			}
			argv = rest
		case slices.Contains([]string{"nice", "ionice", "timeout", "nohup", "setsid", "chronic", "exec", "env", "time", "stdbuf", "systemd-cat"}, program):
			rest := afterOptions(argv[1:], "-n", "-c", "-k", "-s", "-t", "-p", "--signal", "--kill-after")
			if program == "timeout" && len(rest) > 0 {
				rest = rest[1:]
			}
			for program == "env" && len(rest) > 0 && strings.Contains(rest[0], "=") {
				if strings.HasPrefix(rest[0], "RSYNC_PASSWORD=") {
					r.out.passwd = true
				}
				rest = rest[1:]
			}
			if program != "exec" {
				cmd.wrappers = append(slices.Clip(cmd.wrappers), program)
			}
			argv = rest
		default:
			if slices.ContainsFunc(argv, func(w string) bool { return path.Base(w) == "rsync" }) {
				r.unclear(cmd.line, argv)
			}
			if path.IsAbs(argv[0]) && path.Clean(argv[0]) == argv[0] {
				r.out.scripts = append(r.out.scripts, argv[0])
			}
			return
		}
	}
}

func (r *reader) unclear(line int, argv []string) {
	if strings.Contains(strings.Join(argv, " "), "rsync") && !slices.Contains(r.out.unclear, line) {
		r.out.unclear = append(r.out.unclear, line)
	}
}

// shellFlag reports whether an argument of a shell is -c, alone or with other flags: -ec, -lc.
func shellFlag(w string) bool {
	return len(w) > 1 && w[0] == '-' && w[1] != '-' && strings.HasSuffix(w, "c")
}

// flockArguments splits the arguments of flock(1) into the lock file and the command.
func flockArguments(words []string) (rest []string, lock string) {
	words = afterOptions(words, "-w", "-E", "--wait", "--timeout", "--conflict-exit-code")
	if len(words) == 0 {
		return nil, ""
	}
	return words[1:], words[0]
}

// afterOptions removes the options at the beginning of words. takes names those with an argument.
func afterOptions(words []string, takes ...string) []string {
	for len(words) > 0 && len(words[0]) > 1 && words[0][0] == '-' {
		n := 1
		if slices.Contains(takes, words[0]) {
			n = 2
		}
		end := words[0] == "--"
		words = words[min(n, len(words)):]
		if end {
			break
		}
	}
	return words
}

// rsync reads the arguments of rsync. It ignores dry runs, daemons and copies that are not from a
// remote host to a local directory.
func (r *reader) rsync(words []string, known bool, cmd syncCommand) {
	if !known {
		r.out.unclear = append(r.out.unclear, cmd.line)
		return
	}
	options, rest := mirror.SplitOptions(words)
	if mirror.DryRun(options) || slices.ContainsFunc(options, func(o []string) bool { return o[0] == "--daemon" }) {
		return
	}
	if len(rest) != 2 {
		r.out.unclear = append(r.out.unclear, cmd.line)
		return
	}
	upstream, secret, ok := upstreamURL(rest[0])
	if !ok || !path.IsAbs(rest[1]) {
		if strings.Contains(rest[0], ":") || ok {
			r.out.unclear = append(r.out.unclear, cmd.line)
		}
		return
	}
	cmd.options, cmd.upstream, cmd.tree, cmd.secret = options, upstream, path.Clean(rest[1]), secret || r.out.passwd
	if !strings.HasSuffix(upstream, "/") { // rsync(1): without the slash, it copies the directory itself
		cmd.tree = path.Join(cmd.tree, path.Base(upstream))
		cmd.upstream += "/"
	}
	r.out.syncs = append(r.out.syncs, cmd)
}

// upstreamURL returns the rsync:// URL of a source (rsync://HOST/… or HOST::…) without user and
// password. secret reports that the source had one.
func upstreamURL(source string) (url string, secret, ok bool) {
	rest, isURL := strings.CutPrefix(source, "rsync://")
	if !isURL {
		host, module, double := strings.Cut(source, "::")
		if !double || strings.Contains(host, "/") {
			return "", false, false
		}
		rest = host + "/" + module
	}
	authority, module, _ := strings.Cut(rest, "/")
	if strings.Contains(module, "@") { // a password with a slash: the start of the host is ambiguous
		return "", true, false
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		secret = true
		authority = authority[i+1:]
	}
	return "rsync://" + authority + "/" + module, secret, authority != "" && module != ""
}
