package adopt

import (
	"path"
	"regexp"
	"strings"

	"github.com/mirrorform/mirrorform/internal/adopt/shell"
)

// quotedWord matches a word in quotes, or the words of Perl's qw().
var quotedWord = regexp.MustCompile(`"((?:[^"\\$@{}]|\\.)*)"|'([^'\\]*)'|` +
	`\bqw\s*(?:\(([^)]*)\)|\[([^\]]*)\]|\{([^}]*)\})`)

// foreign reads a script in another language than the shell. It is not evaluated: of each line, or
// list, with an rsync all words in quotes are its arguments, if they are those of a sync.
func (f evaluator) foreign(s shell.Script, by starter) {
	text, _, _, err := f.text(s.Path)
	if err != nil || !strings.Contains(text, "rsync") {
		return
	}
	found := 0
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		if trimmed := strings.TrimSpace(line); !strings.Contains(line, "rsync") || strings.HasPrefix(trimmed, "#") ||
			strings.HasPrefix(trimmed, "//") {
			continue
		}
		at := Place{s.Path, number}
		argv := foreignArguments(line)
		if argv == nil {
			continue
		}
		c := s.Command
		c.At, c.Argv = shell.Place{File: at.File, Line: at.Line}, argv
		before := len(f.jobs)
		f.recorded(c, by, []string{s.Real}, -1)
		if len(f.jobs) > before {
			f.remark(at, "this script is in %s, which mirrorform does not evaluate: it has taken this rsync from the "+
				"words in quotes, so check it", printable(s.Other))
			found++
		}
	}
	if found == 0 {
		f.remark(Place{s.Path, 0}, "%s runs this file, which has an rsync that mirrorform cannot parse: it is in %s. "+
			"If it fills AlmaLinux's tree, name the directory with --tree", Place{s.By.File, s.By.Line}, printable(s.Other))
	}
}

// foreignArguments returns the words in quotes of a line, from rsync on. A line with what may
// change them has none.
func foreignArguments(line string) []string {
	if strings.ContainsAny(line, "$%+") {
		return nil
	}
	var argv []string
	for _, m := range quotedWord.FindAllStringSubmatch(line, -1) {
		switch {
		case m[3]+m[4]+m[5] != "":
			argv = append(argv, strings.Fields(m[3]+m[4]+m[5])...)
		case strings.Contains(m[0], " ") && strings.Contains(m[0], "rsync"):
			argv = append(argv, strings.Fields(m[1]+m[2])...)
		default:
			argv = append(argv, m[1]+m[2])
		}
	}
	for i, w := range argv {
		if path.Base(w) == "rsync" {
			return argv[i:]
		}
	}
	return nil
}
