package adopt

import (
	"strings"

	"github.com/mirrorform/mirrorform/internal/adopt/shell"
	"mvdan.cc/sh/v3/syntax"
)

// Limits for a command or script.
const (
	maxScript = 64 << 10 // bytes
	maxDepth  = 3        // nested commands: sh -c "flock … -c \"rsync …\""
	maxValue  = 1 << 10  // bytes of a variable's value
)

// commands has what a command or script sets and says, besides what it runs.
type commands struct {
	passwd bool // RSYNC_PASSWORD is set
	secret int  // a line with a possible secret, or 0
}

// reader parses shell commands. It never runs them.
type reader struct {
	vars map[string]string
	out  commands
}

// readCommands reads a shell command or script. The evaluation reports one that cannot be parsed.
func readCommands(text string) commands {
	r := &reader{vars: map[string]string{}}
	r.text(text, 1, 0, false)
	return r.out
}

func (r *reader) text(text string, line, depth int, nested bool) {
	if r.parse(text, line, depth, nested) != nil && strings.Contains(text, "@") {
		r.secret(line)
	}
}

func (r *reader) secret(line int) {
	if r.out.secret == 0 {
		r.out.secret = max(line, 1)
	}
}

func (r *reader) parse(text string, line, depth int, nested bool) error {
	file, err := shell.Parse(text)
	if err != nil {
		return err
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Stmt:
			r.statement(n, line, depth)
		case *syntax.Word:
			if isSecretWord(r.known(n.Parts)) {
				at := line
				if !nested {
					at += int(n.Pos().Line()) - 1
				}
				r.secret(at)
			}
		}
		return true
	})
	return nil
}

// statement reads the variables that one simple command sets, and looks into nested commands.
func (r *reader) statement(stmt *syntax.Stmt, line, depth int) {
	call, ok := stmt.Cmd.(*syntax.CallExpr)
	if !ok {
		return
	}
	for _, a := range call.Assigns {
		r.assign(a)
	}
	for _, w := range call.Args {
		words, known := r.words(w)
		for _, text := range words {
			switch {
			case strings.HasPrefix(text, "RSYNC_PASSWORD="):
				r.out.passwd = true
			case known && depth < maxDepth && strings.Contains(text, "rsync ") && text != "": // sh -c "…"
				r.text(text, line+int(call.Pos().Line())-1, depth+1, true)
			}
		}
	}
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
			out.WriteString(shell.Unescape(p.Value, depth > 0))
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
