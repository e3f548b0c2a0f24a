package shell

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// statements evaluates a list until something ends it.
func (s *shell) statements(list []*syntax.Stmt) {
	for _, stmt := range list {
		if s.flow != onward || !s.spend(1) {
			return
		}
		s.statement(stmt)
	}
}

// statement evaluates a command with its redirections.
func (s *shell) statement(stmt *syntax.Stmt) {
	if stmt.Cmd == nil && len(stmt.Redirs) == 0 {
		return
	}
	call, simple := stmt.Cmd.(*syntax.CallExpr)
	if exec := simple && len(call.Args) > 0 && call.Args[0].Lit() == "exec"; exec && len(call.Args) == 1 {
		redirect(s, stmt.Redirs) // for the rest of the shell
		s.status = status{}
		return
	}
	old := redirections(s)
	redirect(s, stmt.Redirs)
	if stmt.Background {
		sub := s.subshell()
		sub.command(stmt)
		s.status = status{}
	} else {
		s.command(stmt)
	}
	restore(s, old)
	if stmt.Negated {
		if s.truth(stmt) {
			s.status = status{code: 1}
		} else {
			s.status = status{}
		}
	}
	if l := s.status.lock; s.strict && s.status.unknown && l != nil && !slices.Contains(s.locks,
		*l) { // set -e: it goes on with the lock
		s.locks = append(slices.Clip(s.locks), *l)
	}
}

func call0(c *syntax.CallExpr) string {
	if len(c.Args) == 0 {
		return ""
	}
	return c.Args[0].Lit()
}

// command evaluates a command.
func (s *shell) command(stmt *syntax.Stmt) {
	switch c := stmt.Cmd.(type) {
	case *syntax.CallExpr:
		s.call(c)
	case *syntax.Block:
		s.statements(c.Stmts)
	case *syntax.Subshell:
		s.inSubshell(c.Stmts)
	case *syntax.BinaryCmd:
		s.binaryCommand(c)
	case *syntax.IfClause:
		s.ifClause(c)
	case *syntax.WhileClause:
		s.while(c)
	case *syntax.ForClause:
		s.forClause(c)
	case *syntax.CaseClause:
		s.caseClause(c)
	case *syntax.FuncDecl:
		if c.Name != nil && len(s.funcs) < maxVars {
			s.funcs[c.Name.Value] = function{c.Body, s.file, s.line, s.textName}
		}
		s.status = status{}
	case *syntax.TestClause:
		s.status = condition(s, c.X).status()
	case *syntax.ArithmCmd:
		n := arithmetic(s, c.X)
		s.status = status{code: int(truth(n.value == 0).value), unknown: !n.known}
	case *syntax.LetClause:
		for _, x := range c.Exprs {
			arithmetic(s, x)
		}
		s.status = status{}
	case *syntax.DeclClause:
		declare(s, c)
	case *syntax.TimeClause:
		if c.Stmt != nil {
			s.statement(c.Stmt)
		}
	case *syntax.CoprocClause:
		sub := s.subshell()
		sub.statement(c.Stmt)
		s.status = status{}
	}
}

func (s *shell) inSubshell(list []*syntax.Stmt) {
	if s.depth >= maxDepth {
		s.status = status{unknown: true}
		return
	}
	sub := s.subshell()
	sub.statements(list)
	s.status = sub.status
}

func (s *shell) binaryCommand(c *syntax.BinaryCmd) {
	switch c.Op {
	case syntax.AndStmt, syntax.OrStmt:
		s.statement(c.X)
		if s.flow == onward && s.truth(c) == (c.Op == syntax.AndStmt) {
			s.statement(c.Y)
		}
	default:
		s.pipe(c)
	}
}

// pipe evaluates both sides of a pipe, the second with the output of the first.
func (s *shell) pipe(c *syntax.BinaryCmd) {
	if s.depth >= maxDepth {
		s.status = status{unknown: true}
		return
	}
	left, right := s.subshell(), s.subshell()
	left.out = &strings.Builder{}
	left.statement(c.X)
	right.in = known(left.out.String())
	ranBefore := len(s.ran)
	right.statement(c.Y)
	s.status = right.status
	if len(s.ran) == ranBefore && left.status.unknown && left.status.command > 0 && !s.status.unknown {
		s.status = left.status // rsync … | tee: pipefail or not, its status decides
	}
	if p, ok := c.Y.Cmd.(*syntax.CallExpr); ok && path.Base(call0(p)) == "tee" && len(p.Args) > 1 {
		tee(s, p)
	}
}

func (s *shell) ifClause(c *syntax.IfClause) {
	for ; c != nil; c = c.Else {
		if len(c.Cond) > 0 {
			s.statements(c.Cond)
			if s.flow != onward {
				return
			}
		}
		if len(c.Cond) == 0 || s.truth(c) {
			s.statements(c.Then)
			return
		}
	}
	s.status = status{}
}

// loop evaluates one round of a loop. It reports whether the loop goes on.
func (s *shell) loop(body []*syntax.Stmt) bool {
	if !s.spend(1) {
		return false
	}
	s.statements(body)
	switch s.flow {
	case breaks, continues:
		again := s.flow == continues
		if s.levels--; s.levels > 0 {
			return false
		}
		s.flow = onward
		return again
	}
	return s.flow == onward
}

// while evaluates a loop. After a round that an unknown began, or that began like every other one,
// the next rounds are taken to be the same.
func (s *shell) while(c *syntax.WhileClause) {
	for range maxRounds {
		if !s.spend(1) {
			return
		}
		unread := s.in.asked
		s.statements(c.Cond)
		if s.flow != onward {
			return
		}
		unknown := s.status.unknown || s.in.asked > unread
		endless := len(c.Cond) == 1 && forever(c.Cond[0], c.Until)
		if s.truth(c) == c.Until {
			break
		}
		if !s.loop(c.Do) {
			return
		}
		if unknown || endless {
			break
		}
	}
	if s.flow == onward {
		s.status = status{}
	}
}

// forever reports whether a condition of a loop never changes: true, :, false.
func forever(c *syntax.Stmt, until bool) bool {
	call, ok := c.Cmd.(*syntax.CallExpr)
	name := ""
	if ok && len(call.Args) == 1 {
		name = call.Args[0].Lit()
	}
	return !until && (name == "true" || name == ":") || until && name == "false"
}

func (s *shell) forClause(c *syntax.ForClause) {
	switch l := c.Loop.(type) {
	case *syntax.WordIter:
		items := s.params
		if l.InPos.IsValid() {
			items = fieldsOf(s, l.Items)
		}
		for _, item := range items {
			s.set(l.Name.Value, variable{value: item})
			if !s.loop(c.Do) {
				return
			}
		}
	case *syntax.CStyleLoop:
		arithmetic(s, l.Init)
		for range maxRounds {
			n := arithmetic(s, l.Cond)
			if l.Cond != nil && n.known && n.value == 0 || !s.loop(c.Do) || !n.known {
				return
			}
			arithmetic(s, l.Post)
		}
	}
}

func (s *shell) caseClause(c *syntax.CaseClause) {
	word := wordOf(s, c.Word)
	s.status = status{}
	if !Known(word) {
		if n := s.choose(s.site(c), len(c.Items)+1); n < len(c.Items) {
			s.statements(c.Items[n].Stmts)
		}
		return
	}
	through := false
	for _, item := range c.Items {
		matches := through
		for _, p := range item.Patterns {
			matches = matches || matchesPattern(s, patternOf(s, p), word)
		}
		if !matches {
			continue
		}
		s.statements(item.Stmts)
		if item.Op == syntax.Break {
			return
		}
		through = item.Op == syntax.Fallthrough
	}
}
