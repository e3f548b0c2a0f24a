package shell

import (
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// declare evaluates local, export, declare and readonly.
func declare(s *shell, c *syntax.DeclClause) {
	exported, associative, reads := c.Variant.Value == "export", false, false
	local := c.Variant.Value == "local" || len(s.locals) > 0 && c.Variant.Value != "export" &&
		c.Variant.Value != "readonly"
	for _, a := range c.Args {
		if a.Naked && a.Name == nil && a.Value != nil {
			option := wordOf(s, a.Value)
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
			keep(s, name)
		}
		switch {
		case !a.Naked:
			assign(s, a, associative)
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
func keep(s *shell, name string) {
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
func assign(s *shell, a *syntax.Assign, associative bool) {
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
		elements(s, &v, a.Array)
		s.set(name, v)
		return
	}
	value := wordOf(s, a.Value)
	if a.Index != nil {
		assignElement(s, name, a.Index, value)
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

func elements(s *shell, v *variable, a *syntax.ArrayExpr) {
	for _, e := range a.Elems {
		if len(v.list) > maxFields {
			return
		}
		if e.Index == nil {
			if e.Value != nil {
				v.list = append(v.list, fieldsOfWord(s, e.Value)...)
			}
			continue
		}
		key := ""
		if w, ok := e.Index.(*syntax.Word); ok {
			key = wordOf(s, w)
		}
		if v.keys != nil {
			v.put(key, wordOf(s, e.Value))
			continue
		}
		if n, err := strconv.Atoi(key); err == nil && n >= 0 && n <= maxFields {
			v.place(n, wordOf(s, e.Value))
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

func assignElement(s *shell, name string, index syntax.ArithmExpr, value string) {
	v := s.vars[name]
	v.list = append([]string{}, v.list...)
	v.array = true
	if v.keys != nil {
		v.keys = append([]string{}, v.keys...)
		if w, ok := index.(*syntax.Word); ok {
			v.put(wordOf(s, w), value)
		}
	} else if n := arithmetic(s, index); n.known && n.value >= 0 && n.value <= maxFields {
		v.place(int(n.value), value)
	}
	s.set(name, v)
}
