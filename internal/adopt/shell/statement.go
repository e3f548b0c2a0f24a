package shell

import (
	"path"
	"slices"
	"strconv"
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
		s.redirect(stmt.Redirs) // for the rest of the shell
		s.status = status{}
		return
	}
	old := s.redirections()
	s.redirect(stmt.Redirs)
	if stmt.Background {
		sub := s.subshell()
		sub.command(stmt)
		s.status = status{}
	} else {
		s.command(stmt)
	}
	s.restore(old)
	if stmt.Negated {
		if s.truth(stmt) {
			s.status = status{code: 1}
		} else {
			s.status = status{}
		}
	}
	if l := s.status.lock; s.strict && s.status.unknown && l != nil && !slices.Contains(s.locks, *l) { // set -e: it goes on with the lock
		s.locks = append(slices.Clip(s.locks), *l)
	}
}

func call0(c *syntax.CallExpr) string {
	if len(c.Args) == 0 {
		return ""
	}
	return c.Args[0].Lit()
}

// redirected is what redirections change.
type redirected struct {
	fds   map[string]string
	log   string
	out   *strings.Builder
	in    *input
	locks []Lock
}

func (s *shell) redirections() redirected {
	r := redirected{map[string]string{}, s.log, s.out, s.in, s.locks}
	for k, v := range s.fds {
		r.fds[k] = v
	}
	return r
}

// restore ends the redirections of a statement. A lock on a descriptor that it opened ends with it.
func (s *shell) restore(r redirected) {
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

func (s *shell) redirect(list []*syntax.Redirect) {
	for _, r := range list {
		s.redirection(r)
	}
}

func (s *shell) redirection(r *syntax.Redirect) {
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
		s.in = known(s.word(r.Hdoc))
		return
	case syntax.WordHdoc:
		s.in = known(s.word(r.Word) + "\n")
		return
	case syntax.DplIn, syntax.DplOut:
		target := s.word(r.Word)
		if fd == "1" && target == "2" {
			s.out = nil
		}
		if file, open := s.fds[target]; open {
			s.fds[fd] = file
		}
		return
	}
	if w, ok := substituted(r.Word); ok { // < <(command), > >(tee file)
		s.process(fd, w)
		return
	}
	file := s.word(r.Word)
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
		s.in = s.content(file)
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
func (s *shell) content(file string) *input {
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
func (s *shell) process(fd string, p *syntax.ProcSubst) {
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
			s.funcs[c.Name.Value] = c.Body
		}
		s.status = status{}
	case *syntax.TestClause:
		s.status = s.condition(c.X).status()
	case *syntax.ArithmCmd:
		n := s.arithmetic(c.X)
		s.status = status{code: int(truth(n.value == 0).value), unknown: !n.known}
	case *syntax.LetClause:
		for _, x := range c.Exprs {
			s.arithmetic(x)
		}
		s.status = status{}
	case *syntax.DeclClause:
		s.declare(c)
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
		s.tee(p)
	}
}

// tee records where the output of the command before it goes.
func (s *shell) tee(c *syntax.CallExpr) {
	for _, w := range s.words(c.Args[1:]) {
		if len(s.ran) > 0 && path.IsAbs(w) && Known(w) {
			last := &s.trace.Commands[s.ran[len(s.ran)-1]]
			if last.Log == "" && s.at(c) == last.At {
				last.Log = w
			}
		}
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
			items = s.words(l.Items)
		}
		for _, item := range items {
			s.set(l.Name.Value, variable{value: item})
			if !s.loop(c.Do) {
				return
			}
		}
	case *syntax.CStyleLoop:
		s.arithmetic(l.Init)
		for range maxRounds {
			n := s.arithmetic(l.Cond)
			if l.Cond != nil && n.known && n.value == 0 || !s.loop(c.Do) || !n.known {
				return
			}
			s.arithmetic(l.Post)
		}
	}
}

func (s *shell) caseClause(c *syntax.CaseClause) {
	word := s.word(c.Word)
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
			matches = matches || s.match(s.pattern(p), word)
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

// declare evaluates local, export, declare and readonly.
func (s *shell) declare(c *syntax.DeclClause) {
	exported, associative, reads := c.Variant.Value == "export", false, false
	local := c.Variant.Value == "local" || len(s.locals) > 0 && c.Variant.Value != "export" && c.Variant.Value != "readonly"
	for _, a := range c.Args {
		if a.Naked && a.Name == nil && a.Value != nil {
			option := s.word(a.Value)
			exported = exported || strings.HasPrefix(option, "-") && strings.Contains(option, "x")
			associative = associative || strings.HasPrefix(option, "-") && strings.Contains(option, "A")
			local = local && !strings.Contains(option, "g")
			reads = reads || strings.HasPrefix(option, "-") && strings.ContainsAny(option, "fpF")
		}
	}
	if reads {
		return
	}
	for _, a := range c.Args {
		if a.Name == nil {
			continue
		}
		name := a.Name.Value
		if local && len(s.locals) > 0 {
			s.keep(name)
		}
		switch {
		case !a.Naked:
			s.assign(a, associative)
		case associative:
			s.set(name, variable{array: true, keys: []string{}})
		case local:
			s.set(name, variable{})
		}
		if v := s.vars[name]; exported {
			v.exported = true
			s.vars[name] = v
		}
	}
	s.status = status{}
}

// keep remembers the value of a variable that is local to a function.
func (s *shell) keep(name string) {
	frame := s.locals[len(s.locals)-1]
	if _, kept := frame[name]; kept {
		return
	}
	if v, set := s.vars[name]; set {
		frame[name] = &v
		delete(s.vars, name)
	} else {
		frame[name] = nil
	}
}

// assign evaluates an assignment.
func (s *shell) assign(a *syntax.Assign, associative bool) {
	if a.Name == nil {
		return
	}
	name, old := a.Name.Value, s.vars[a.Name.Value]
	if a.Array != nil {
		v := variable{array: true}
		if associative || old.keys != nil {
			v.keys = []string{}
		}
		if a.Append {
			v = old
			v.list = append([]string{}, old.list...)
			if !old.array && old.value != "" {
				v.list = []string{old.value}
			}
			v.array = true
		}
		s.elements(&v, a.Array)
		s.set(name, v)
		return
	}
	value := s.word(a.Value)
	if a.Index != nil {
		s.assignElement(name, a.Index, value)
		return
	}
	if a.Append {
		if old.array && old.keys == nil && len(old.list) > 0 {
			old.list = append([]string{}, old.list...)
			old.list[0] += value
			s.set(name, old)
			return
		}
		value = old.value + value
	}
	s.set(name, variable{value: value})
}

func (s *shell) elements(v *variable, a *syntax.ArrayExpr) {
	for _, e := range a.Elems {
		if len(v.list) > maxFields {
			return
		}
		if e.Index == nil {
			if e.Value != nil {
				v.list = append(v.list, s.split(e.Value)...)
			}
			continue
		}
		key := ""
		if w, ok := e.Index.(*syntax.Word); ok {
			key = s.word(w)
		}
		if v.keys != nil {
			v.put(key, s.word(e.Value))
			continue
		}
		if n, err := strconv.Atoi(key); err == nil && n >= 0 && n <= maxFields {
			v.place(n, s.word(e.Value))
		}
	}
}

// put sets an element of an associative array.
func (v *variable) put(key, value string) {
	for i := range v.keys {
		if v.keys[i] == key {
			v.list[i] = value
			return
		}
	}
	if len(v.keys) <= maxFields {
		v.keys, v.list = append(v.keys, key), append(v.list, limited(value))
	}
}

// place sets an element of an array.
func (v *variable) place(n int, value string) {
	for len(v.list) <= n {
		v.list = append(v.list, "")
	}
	v.list[n] = limited(value)
}

func (s *shell) assignElement(name string, index syntax.ArithmExpr, value string) {
	v := s.vars[name]
	v.list = append([]string{}, v.list...)
	v.array = true
	if v.keys != nil {
		v.keys = append([]string{}, v.keys...)
		if w, ok := index.(*syntax.Word); ok {
			v.put(s.word(w), value)
		}
	} else if n := s.arithmetic(index); n.known && n.value >= 0 && n.value <= maxFields {
		v.place(int(n.value), value)
	}
	s.set(name, v)
}
