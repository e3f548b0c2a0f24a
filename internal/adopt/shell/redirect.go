package shell

import (
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// redirected is what redirections change.
type redirected struct {
	fds   map[string]string
	log   string
	out   *strings.Builder
	in    *input
	locks []Lock
}

func redirections(s *shell) redirected {
	r := redirected{map[string]string{}, s.log, s.out, s.in, s.locks}
	for k, v := range s.fds {
		r.fds[k] = v
	}
	return r
}

// restore ends the redirections of a statement. A lock on a descriptor that it opened ends with it.
func restore(s *shell, r redirected) {
	var kept []Lock
	for _, l := range s.locks {
		closed := false
		for fd, file := range s.fds {
			closed = closed || l.Kind == Flock && l.Path == file && r.fds[fd] != file
		}
		if !closed {
			kept = append(kept, l)
		}
	}
	variables := map[string]string{} // {fd}> stays open
	for fd, file := range s.fds {
		if strings.HasPrefix(fd, "{") {
			variables[fd] = file
		}
	}
	s.fds, s.log, s.out, s.in, s.locks = r.fds, r.log, r.out, r.in, kept
	for fd, file := range variables {
		s.fds[fd] = file
	}
}

func redirect(s *shell, list []*syntax.Redirect) {
	for _, r := range list {
		redirection(s, r)
	}
}

func redirection(s *shell, r *syntax.Redirect) {
	fd := "1"
	switch r.Op {
	case syntax.RdrIn, syntax.RdrInOut, syntax.DplIn, syntax.Hdoc, syntax.DashHdoc, syntax.WordHdoc:
		fd = "0"
	}
	if r.N != nil {
		fd = r.N.Value
	}
	switch r.Op {
	case syntax.Hdoc, syntax.DashHdoc:
		s.in = known(wordOf(s, r.Hdoc))
		return
	case syntax.WordHdoc:
		s.in = known(wordOf(s, r.Word) + "\n")
		return
	case syntax.DplIn, syntax.DplOut:
		target := wordOf(s, r.Word)
		if fd == "1" && target == "2" {
			s.out = nil
		}
		if file, open := s.fds[target]; open {
			s.fds[fd] = file
		}
		return
	}
	if w, ok := substituted(r.Word); ok { // < <(command), > >(tee file)
		process(s, fd, w)
		return
	}
	file := wordOf(s, r.Word)
	if Known(file) {
		file = s.absolute(file)
	}
	if name, isVariable := strings.CutPrefix(fd, "{"); isVariable {
		fd = "{" + strings.TrimSuffix(name, "}") + "}"
		s.set(strings.Trim(fd, "{}"), variable{value: fd})
	}
	s.fds[fd] = file
	switch fd {
	case "0":
		s.in = content(s, file)
	case "1":
		s.out = nil
		if Known(file) && file != "/dev/null" {
			s.log = file
		}
	}
}

func known(text string) *input {
	if !Known(text) {
		return &input{}
	}
	return &input{text: text, known: true}
}

// content returns a file as standard input.
func content(s *shell, file string) *input {
	if file == "/dev/null" {
		return &input{known: true}
	}
	if !path.IsAbs(file) || !Known(file) {
		return &input{}
	}
	text, _, ok := s.host.Text(file)
	if !ok || len(text) > maxText || !s.spend(len(text)/64) {
		return &input{}
	}
	return &input{text: text, known: true}
}

// substituted returns the process substitution that a word is.
func substituted(w *syntax.Word) (*syntax.ProcSubst, bool) {
	if w == nil || len(w.Parts) != 1 {
		return nil, false
	}
	p, ok := w.Parts[0].(*syntax.ProcSubst)
	return p, ok
}

// process evaluates the other side of < <( … ) or > >( … ).
func process(s *shell, fd string, p *syntax.ProcSubst) {
	sub := s.subshell()
	if s.depth >= maxDepth {
		return
	}
	if p.Op == syntax.CmdIn {
		sub.out = &strings.Builder{}
		sub.statements(p.Stmts)
		if fd == "0" {
			s.in = known(sub.out.String())
		}
		return
	}
	sub.in = &input{}
	sub.statements(p.Stmts)
}

// tee records where the output of the command before it goes.
func tee(s *shell, c *syntax.CallExpr) {
	for _, w := range fieldsOf(s, c.Args[1:]) {
		if len(s.ran) > 0 && path.IsAbs(w) && Known(w) {
			last := &s.trace.Commands[s.ran[len(s.ran)-1]]
			if last.Log == "" && s.at(c) == last.At {
				last.Log = w
			}
		}
	}
}
