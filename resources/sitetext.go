package resources

import (
	"cmp"
	"strings"
)

// siteWriter writes the lines of a web server's configuration, indented by their depth. Each server
// embeds it in a writer of its own directives.
type siteWriter struct {
	strings.Builder
	depth int
	unit  string // of the indentation; default: four spaces
}

// word writes a line.
func (w *siteWriter) word(text string) {
	w.WriteString(strings.Repeat(cmp.Or(w.unit, "    "), w.depth) + text + "\n")
}

func (w *siteWriter) blank() { w.WriteByte('\n') }

// text writes directives of the configuration unchanged, but indented.
func (w *siteWriter) text(directives string) {
	for line := range strings.Lines(strings.TrimRight(directives, "\n")) {
		if line = strings.TrimRight(line, "\n"); line == "" {
			w.blank()
		} else {
			w.word(line)
		}
	}
}

// quotedWords returns the words of a directive, each as quote writes it.
func quotedWords(words []string, quote func(word string) string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = quote(word)
	}
	return strings.Join(quoted, " ")
}
