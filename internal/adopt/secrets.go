package adopt

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// secretFile matches the paths of files that have secrets by their place.
var secretFile = regexp.MustCompile(`(?i)(^|/)(\.?netrc|\.pgpass|\.?my\.cnf|shadow|gshadow|id_[a-z0-9]+|` +
	`credentials(\.\w+)?|\.git-credentials|\.dockercfg|` +
	`[^/]*(passwd|password|secret|htpass|htdigest|apikey|token)[^/]*|\.env(\.\w+)?|[^/]*\.(env|key|pem|p12|pfx|` +
	`kdbx|pw|secrets))$`)

// innocentFile matches those of them that have none: accounts without hashes, and examples.
var innocentFile = regexp.MustCompile(`^/etc/passwd$|\.(md|txt|html)$`)

// maxLine is the length of a line that is still judged.
const maxLine = 8 << 10

// secretLines returns the lines of a file that look like secrets, with what they look like. The
// file's path can be "".
func secretLines(p, text string) map[int]string {
	lines := strings.Split(text, "\n")
	found := map[int]string{}
	mark := func(from, to int, why string) {
		for n := max(from, 1); n <= min(to, len(lines)); n++ {
			if _, known := found[n]; !known {
				found[n] = why
			}
		}
	}
	if secretFile.MatchString(p) && !innocentFile.MatchString(p) {
		mark(1, len(lines), "the file has secrets by its name")
		return found
	}
	for i := 0; i < len(lines); i++ {
		from := i
		line := lines[i]
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) && len(line) <= maxLine {
			i++
			line = strings.TrimSuffix(line, `\`) + " " + strings.TrimLeft(lines[i], " \t")
		}
		why := "a line that is too long to judge"
		if len(line) <= maxLine {
			why = secretForm(line)
		}
		to := blockEnd(lines, from, i)
		if opens(line) {
			if below := indented(lines, i); below > to {
				why, to = "a secret by its name", below
			}
		}
		if why != "" {
			mark(from+1, to+1, why)
			i = to
		}
	}
	for n, why := range shellSecrets(text) {
		mark(n, n, why)
	}
	return found
}

// blockEnd returns the last line of a PEM block that begins in the lines from to last, or last.
func blockEnd(lines []string, from, last int) int {
	if !strings.Contains(strings.Join(lines[from:last+1], "\n"), "-----BEGIN ") {
		return last
	}
	for i := from; i < len(lines); i++ {
		if strings.Contains(lines[i], "-----END ") {
			return max(i, last)
		}
	}
	return len(lines) - 1 // it does not end: all of the rest
}

// opening matches a suspicious name whose value is in the lines below it, as in YAML and JSON.
var opening = regexp.MustCompile(`([A-Za-z_][\w.-]*)["']?\s*[:=]\s*(?:[|>][+-]?|[\[({])?\s*$`)

func opens(line string) bool {
	m := opening.FindStringSubmatch(line)
	return m != nil && suspect(m[1])
}

// indented returns the last of the lines below i that are indented more.
func indented(lines []string, i int) int {
	indent := func(s string) int { return len(s) - len(strings.TrimLeft(s, " \t")) }
	own := indent(lines[i])
	for i+1 < len(lines) && (strings.TrimSpace(lines[i+1]) == "" || indent(lines[i+1]) > own) {
		i++
	}
	return i
}

// redact replaces the lines with secrets.
func redact(text string, secrets map[int]string) string {
	lines := strings.Split(text, "\n")
	for n, why := range secrets {
		if n >= 1 && n <= len(lines) {
			lines[n-1] = "(left out: " + why + ")"
		}
	}
	return strings.Join(lines, "\n")
}

// lineRanges returns line numbers as text: 3, 5-9.
func lineRanges(secrets map[int]string) string {
	var numbers []int
	for n := range secrets {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	var out []string
	for i := 0; i < len(numbers); {
		from := i
		for i++; i < len(numbers) && numbers[i] == numbers[i-1]+1; i++ {
		}
		out = append(out, lineRange(numbers[from], numbers[i-1]))
	}
	return strings.Join(out, ", ")
}

// values returns the words of lines with secrets that look random, so that nothing else shows them.
func secretValues(text string, secrets map[int]string) []string {
	var list []string
	for i, line := range strings.Split(text, "\n") {
		if _, secret := secrets[i+1]; !secret {
			continue
		}
		for _, w := range run.FindAllString(line, -1) {
			if len(w) >= 6 && strings.ContainsAny(w, "0123456789") && strings.ContainsFunc(w, isLetter) &&
				!slices.Contains(list, w) && path.Base(w) == w {
				list = append(list, w)
			}
		}
	}
	return list
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// lineRange returns two line numbers as text.
func lineRange(from, to int) string {
	if from == to {
		return strconv.Itoa(from)
	}
	return strconv.Itoa(from) + "-" + strconv.Itoa(to)
}
