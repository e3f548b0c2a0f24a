package adopt

import "strings"

// cronLine is one job of a crontab or of anacrontab.
type cronLine struct {
	line     int
	schedule string
	user     string
	command  string  // the command for the shell
	input    *string // an unescaped % gives the command standard input
}

// cronVariable is a variable that a crontab or anacrontab sets for the jobs below it.
type cronVariable struct {
	line        int
	name, value string
}

// cronTab is a crontab(5) or an anacrontab(5).
type cronTab struct {
	jobs      []cronLine
	variables []cronVariable
	unclear   []int // the lines that cannot be parsed
}

// readCrontab parses a crontab(5). With withUser, each job has a user after its schedule, as in
// /etc/crontab and /etc/cron.d; otherwise user is the user of all jobs.
func readCrontab(text, user string, withUser bool) (t cronTab) {
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if name, value, ok := cronAssignment(line); ok {
			t.variables = append(t.variables, cronVariable{number, name, value})
			continue
		}
		fields := 5
		if line[0] == '@' {
			fields = 1
		}
		words, rest := cutFields(line, fields)
		schedule, isSchedule := cronSchedule(words)
		j := cronLine{line: number, schedule: schedule, user: user}
		if withUser && isSchedule {
			var name []string
			if name, rest = cutFields(rest, 1); len(name) == 1 {
				j.user = name[0]
			}
		}
		if !isSchedule || rest == "" || j.user == "" {
			t.unclear = append(t.unclear, number)
			continue
		}
		j.command, j.input = cronCommand(rest)
		t.jobs = append(t.jobs, j)
	}
	return t
}

// readAnacrontab parses an anacrontab(5): lines of period, delay, name and command. anacron joins
// lines that end in a backslash by a blank, and removes all other backslashes.
func readAnacrontab(text string) (t cronTab) {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		number, line := i+1, lines[i]
		for ; strings.HasSuffix(line, `\`) && i+1 < len(lines); i++ {
			line += " " + lines[i+1]
		}
		line = strings.TrimLeft(strings.ReplaceAll(line, `\`, ""), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		if name, value, ok := cutAssignment(line); ok {
			t.variables = append(t.variables, cronVariable{number, name, value})
			continue
		}
		words, command := cutFields(line, 3)
		if len(words) < 3 || command == "" {
			t.unclear = append(t.unclear, number)
			continue
		}
		t.jobs = append(t.jobs, cronLine{line: number, schedule: period(words[0]), user: "root", command: command})
	}
	return t
}

// cutAssignment cuts a line that sets a variable: a name without blanks, and all that follows the
// equals sign. This is the value for anacron, which keeps its quotes and blanks.
func cutAssignment(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, "=")
	name = strings.Trim(name, " \t")
	return name, value, ok && name != "" && !strings.ContainsAny(name, " \t")
}

// cronAssignment cuts a line that sets a variable for cron, which removes the blanks around name
// and value, and then quotes around the whole of each (crontab(5)).
func cronAssignment(line string) (name, value string, ok bool) {
	name, value, ok = cutAssignment(line)
	name, named := unquoted(name)
	value, closed := unquoted(strings.Trim(value, " \t"))
	return name, value, ok && named && closed
}

// unquoted removes the quotes around text. ok is false if the quote that begins it is not closed by
// its last character: then cron does not take the line for a variable.
func unquoted(text string) (inner string, ok bool) {
	if text == "" || text[0] != '"' && text[0] != '\'' {
		return text, true
	}
	if end := strings.IndexByte(text[1:], text[0]); end < 0 || end != len(text)-2 {
		return "", false
	}
	return text[1 : len(text)-1], true
}

// cutFields cuts n words from the beginning of a line.
func cutFields(line string, n int) (words []string, rest string) {
	rest = strings.TrimLeft(line, " \t")
	for range n {
		end := strings.IndexAny(rest, " \t")
		if end < 0 {
			if rest != "" {
				words = append(words, rest)
			}
			return words, ""
		}
		words = append(words, rest[:end])
		rest = strings.TrimLeft(rest[end:], " \t")
	}
	return words, rest
}

// cronCommand returns the command for the shell: the text up to an unescaped %, with \% as %
// (crontab(5)).
func cronCommand(text string) (command string, input *string) {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '%':
			out.WriteByte('%')
			i++
		case text[i] == '%':
			lines := strings.ReplaceAll(text[i+1:], "%", "\n") + "\n"
			return out.String(), &lines
		default:
			out.WriteByte(text[i])
		}
	}
	return out.String(), nil
}
