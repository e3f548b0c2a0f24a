package shell

import (
	"strconv"
	"strings"
)

// read evaluates read: of known input a line, of unknown input one line of unknown fields.
func read(s *shell, args []string, c call) {
	o := parseOptions(args, "adinNptu", nil)
	names := o.rest
	array := o.value["a"]
	if len(names) == 0 && array == "" {
		names = []string{"REPLY"}
	}
	ifs, isSet := c.env["IFS"]
	if !isSet {
		ifs = " \t\n"
		if v, ok := s.vars["IFS"]; ok {
			ifs = v.value
		}
	}
	if !s.in.known {
		for _, name := range names {
			s.set(name, variable{value: Unknown})
		}
		if array != "" {
			s.set(array, variable{array: true, list: []string{Unknown}})
		}
		s.status = status{code: min(s.in.asked, 1)}
		s.in.asked++
		return
	}
	if s.in.text == "" {
		s.status = status{code: 1}
		return
	}
	line, rest, ended := strings.Cut(s.in.text, "\n")
	s.in.text = rest
	if !ended && o.value["d"] == "" {
		s.status = status{code: 1} // the last line without its end is read, and read fails
	}
	line = strings.TrimSuffix(line, "\r")
	if array != "" {
		s.set(array, variable{array: true, list: cut(line, ifs, maxFields)})
		return
	}
	fields := cut(line, ifs, len(names))
	for i, name := range names {
		value := ""
		if i < len(fields) {
			value = fields[i]
		}
		s.set(name, variable{value: value})
	}
}

// cut splits a line for read into at most n fields: the last one has the rest.
func cut(line, ifs string, n int) []string {
	blanks := ""
	for _, r := range ifs {
		if r == ' ' || r == '\t' || r == '\n' {
			blanks += string(r)
		}
	}
	var out []string
	line = strings.Trim(line, blanks)
	for len(out) < n-1 && line != "" {
		i := strings.IndexAny(line, ifs)
		if i < 0 || ifs == "" {
			break
		}
		out = append(out, line[:i])
		separator := line[i : i+1]
		line = strings.TrimLeft(line[i+1:], blanks)
		if strings.ContainsAny(separator, blanks) { // blanks around another separator belong to it
			if line != "" && strings.ContainsRune(ifs, rune(line[0])) && !strings.ContainsRune(blanks, rune(line[0])) {
				line = strings.TrimLeft(line[1:], blanks)
			}
		}
	}
	return append(out, line)
}

func mapfile(s *shell, args []string, _ call) {
	o := parseOptions(args, "cCdnOsu", nil)
	name := "MAPFILE"
	if len(o.rest) > 0 {
		name = o.rest[0]
	}
	list := []string{Unknown}
	if s.in.known {
		list = nil
		for line := range strings.Lines(s.in.text) {
			if len(list) < maxFields {
				list = append(list, strings.TrimSuffix(line, "\n"))
			}
		}
		s.in.text = ""
	}
	s.set(name, variable{array: true, list: list})
}

// getopts evaluates getopts for the shell's own arguments.
func getopts(s *shell, args []string, _ call) {
	if len(args) < 2 {
		s.status = status{code: 1}
		return
	}
	spec, name := args[0], args[1]
	from := s.params
	if len(args) > 2 {
		from = args[2:]
	}
	index, _ := strconv.Atoi(s.vars["OPTIND"].value)
	index = max(index, 1)
	s.status = status{code: 1}
	if index > len(from) {
		s.set("OPTIND", variable{value: strconv.Itoa(index)})
		return
	}
	word := from[index-1]
	if !Known(word) {
		s.status = status{unknown: true}
		s.set(name, variable{value: Unknown})
		return
	}
	if len(word) < 2 || word[0] != '-' || word == "--" {
		return
	}
	option := word[1:2]
	index++
	if i := strings.Index(strings.TrimPrefix(spec, ":"), option+":"); i >= 0 {
		value := word[2:]
		if value == "" && index <= len(from) {
			value = from[index-1]
			index++
		}
		s.set("OPTARG", variable{value: value})
	}
	s.set(name, variable{value: option})
	s.set("OPTIND", variable{value: strconv.Itoa(index)})
	s.status = status{}
}
