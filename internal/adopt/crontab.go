package adopt

import (
	"regexp"
	"strings"
)

// cronLine is one job of a crontab.
type cronLine struct {
	line     int
	schedule string
	user     string
	command  string  // the command for the shell
	input    *string // an unescaped % gives the command standard input
}

// cronVariable is a variable in a crontab.
type cronVariable struct {
	line        int
	name, value string
}

// cronVariableLine matches the beginning of a line that sets a variable (crontab(5)).
var cronVariableLine = regexp.MustCompile(`^[ \t]*["']?[A-Za-z_][A-Za-z0-9_]*["']?[ \t]*=`)

// readCrontab parses a crontab(5). With withUser, each job has a user after its schedule, as in
// /etc/crontab and /etc/cron.d; otherwise user is the user of all jobs. unclear has the lines that
// cannot be parsed.
func readCrontab(text, user string, withUser bool) (jobs []cronLine, variables []cronVariable, unclear []int) {
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if cronVariableLine.MatchString(line) {
			name, value, _ := strings.Cut(line, "=")
			variables = append(variables, cronVariable{number, strings.Trim(name, " \t\"'"), strings.Trim(value, " \t\"'")})
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
			unclear = append(unclear, number)
			continue
		}
		j.command, j.input = cronCommand(rest)
		jobs = append(jobs, j)
	}
	return jobs, variables, unclear
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
