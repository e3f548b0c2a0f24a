package cli

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/spf13/cobra"
)

// Completion in bash asks mirrorform itself what a line means: names such as edge["ams"] have
// characters that are special to the shell, and readline replaces only the last part of a word.

// bashRequest is the argument with which the script of bash calls mirrorform.
const bashRequest = "__bash"

const bashScript = `# bash completion for mirrorform
_mirrorform() {
    local IFS=$'\n' lines
    lines=($("${1/#\~/$HOME}" ` + bashRequest + ` "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" "%s" "$COMP_TYPE" "${COLUMNS:-80}" 2>/dev/null)) || return
    COMPREPLY=("${lines[@]:1}")
    case ${lines[0]} in *nospace*) compopt -o nospace ;; esac
    case ${lines[0]} in *files*) compopt -o default ;; esac
}
complete -F _mirrorform mirrorform
`

// bashWord is the word at the end of a command line, as bash and readline see it.
type bashWord struct {
	text  string // without quotes
	quote byte   // the quote that is open, or 0
	// Readline replaces what follows the open quote, or the last break of completion, such as =.
	before, typed string // the text before that, and from there on
	raw           string // typed, with its quotes
}

// bashWords splits a line into the words of its last command. It expands nothing.
func bashWords(line, breaks string) (words []string, last bashWord) {
	var text []byte
	begun, quote := false, byte(0)
	done, from := 0, 0 // where the part that is replaced begins, in text and in line
	end := func(next int) {
		if begun {
			words = append(words, string(text))
		}
		text, begun, done, from = nil, false, 0, next
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote == '\'' && c != '\'', quote == '"' && c != '"' && c != '\\':
			text = append(text, c)
		case quote == c && c != 0:
			quote = 0
		case c == '\\' && i+1 < len(line):
			i++
			if quote == '"' && strings.IndexByte("$`\"\\", line[i]) < 0 {
				text = append(text, '\\')
			}
			text, begun = append(text, line[i]), true
		case c == '\'' || c == '"':
			quote, begun, done, from = c, true, len(text), i+1
		case strings.IndexByte(" \t", c) >= 0:
			end(i + 1)
		case strings.IndexByte(";|&()\n", c) >= 0:
			end(i + 1)
			words = nil
		default:
			text, begun = append(text, c), true
			if strings.IndexByte(breaks, c) >= 0 {
				done, from = len(text), i+1
			}
		}
	}
	return words, bashWord{string(text), quote, string(text[:done]), string(text[done:]), line[from:]}
}

// replacement returns what readline inserts for a candidate, or false if the candidate is another
// word. What is typed stays unchanged. In --limit=fra1, candidates are for the value alone.
func (w *bashWord) replacement(candidate string) (string, bool) {
	rest, whole := strings.CutPrefix(candidate, w.before)
	rest, ok := strings.CutPrefix(rest, w.typed)
	if !ok || !whole && !strings.HasPrefix(w.text, "-") {
		return "", false
	}
	switch w.quote {
	case '\'':
		return w.raw + rest, true // a name has no apostrophe
	case '"':
		return w.raw + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(rest), true
	}
	var b strings.Builder
	b.WriteString(w.raw)
	for _, r := range rest {
		if strings.ContainsRune(" \t\"'`\\$&|;<>()[]{}*?!", r) || w.raw == "" && b.Len() == 0 && (r == '~' || r == '#') {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String(), true
}

// completeBash answers the script of bash: a line with "nospace" and "files" where these hold, then
// the candidates. args are the line up to the cursor, $COMP_WORDBREAKS, "plain" to omit
// descriptions, $COMP_TYPE, and the width of the terminal.
func (g *global) completeBash(ctx context.Context, args []string) int {
	if len(args) != 5 {
		return 1
	}
	words, last := bashWords(args[0], args[1])
	if len(words) == 0 {
		return 1 // the program's own name
	}
	root := g.rootCommand()
	var out, discarded bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&discarded)
	root.SetArgs(append(append([]string{cobra.ShellCompRequestCmd}, words[1:]...), last.text))
	if root.ExecuteContext(ctx) != nil {
		return 1
	}
	end := strings.LastIndexByte(out.String(), ':') // then comes the directive
	if end < 0 {
		return 1
	}
	text := out.String()[:end]
	bits, err := strconv.Atoi(strings.TrimSpace(out.String()[end+1:]))
	directive := cobra.ShellCompDirective(bits)
	if err != nil || directive&cobra.ShellCompDirectiveError != 0 {
		return 1
	}
	how := "ok"
	if directive&cobra.ShellCompDirectiveNoSpace != 0 {
		how += " nospace"
	}
	if directive&cobra.ShellCompDirectiveNoFileComp == 0 {
		how += " files"
	}
	g.print("%s\n", how)
	width, _ := strconv.Atoi(args[4])
	const menu, inserted = "37", "42" // readline inserts whole candidates then
	described := args[2] != "plain" && args[3] != menu && args[3] != inserted
	for _, line := range bashCandidates(strings.Split(text, "\n"), &last, described, width) {
		g.print("%s\n", line)
	}
	return 0
}

// bashCandidates returns the candidates that begin with the word, with their descriptions if there
// are several: readline inserts what they have in common, and lists them.
func bashCandidates(list []string, last *bashWord, described bool, width int) []string {
	var names, texts []string
	longest := 0
	for _, line := range list {
		name, text, _ := strings.Cut(line, "\t")
		name, ok := last.replacement(name)
		if !ok || line == "" {
			continue
		}
		names, texts = append(names, name), append(texts, plain.Escape(text))
		longest = max(longest, len(name))
	}
	if !described || len(names) < 2 {
		return names
	}
	for i, text := range texts {
		room := width - longest - len("  ()") - 1
		if text == "" || room < 20 {
			continue
		}
		if runes := []rune(text); len(runes) > room {
			text = string(runes[:room-1]) + "…"
		}
		names[i] = fmt.Sprintf("%-*s  (%s)", longest, names[i], text)
	}
	return names
}
