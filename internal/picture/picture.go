// Package picture draws what a terminal shows as SVG, for documentation.
package picture

import (
	"fmt"
	"html"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/internal/plain"
)

// Sizes in pixels: of a character of a 13 px monospace font, of a line, and of the margin.
const (
	charWidth = 7.8
	lineSize  = 18
	margin    = 16
)

// A picture has the palette of a dark terminal, by the numbers of SGR (ECMA-48, 8.3.117).
var colours = map[int]string{31: "#ff7b72", 32: "#7ee787", 33: "#e3b341", 34: "#79c0ff", 35: "#d2a8ff", 36: "#76e3ea"}

const (
	background = "#0d1117"
	foreground = "#e6edf3"
	faint      = "#8b949e"
)

// sgr matches a sequence that selects how text is shown.
var sgr = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// style is how text is shown.
type style struct {
	bold, dim, reverse bool
	colour             int // 0 is none
}

// set follows the parameters of a sequence. Those that are not known here change nothing.
func (s *style) set(parameters string) {
	for text := range strings.SplitSeq(parameters, ";") {
		n, _ := strconv.Atoi(text) // "" is 0
		switch {
		case n == 0:
			*s = style{}
		case n == 1:
			s.bold = true
		case n == 2:
			s.dim = true
		case n == 7:
			s.reverse = true
		case n == 22:
			s.bold, s.dim = false, false
		case n == 27:
			s.reverse = false
		case n == 39:
			s.colour = 0
		case colours[n] != "":
			s.colour = n
		}
	}
}

// attributes returns the style as attributes of SVG, "" for the usual one.
func (s style) attributes() string {
	fill := colours[s.colour]
	if fill == "" && s.dim {
		fill = faint
	}
	text := ""
	if fill != "" {
		text = ` fill="` + fill + `"`
	}
	if s.bold {
		text += ` font-weight="bold"`
	}
	if s.reverse {
		text += ` text-decoration="underline"`
	}
	return text
}

// SVG draws text with colours as a terminal of the given width shows it; label is for those who do
// not see the picture. Lines that are wider are cut.
func SVG(text, label string, columns int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	var b strings.Builder
	width, height := int(charWidth*float64(columns))+2*margin, lineSize*len(lines)+2*margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n",
		width, height, width, height, html.EscapeString(plain.Escape(label)))
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", background)
	fmt.Fprintf(&b, `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="13" fill="%s" xml:space="preserve">`+"\n", foreground)
	var s style
	for i, line := range lines {
		drawLine(&b, line, &s, columns, margin+lineSize*i+13)
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

// drawLine draws each run of one style at its own column, whatever font the viewer has. Each
// character is as wide as another one.
func drawLine(b *strings.Builder, line string, s *style, columns, y int) {
	column := 0
	run := func(text string) {
		text = plain.Escape(text)
		if room := columns - column; utf8.RuneCountInString(text) > room {
			text = string([]rune(text)[:room])
		}
		shown := strings.TrimLeft(text, " ") // a viewer may drop spaces at either end
		at := column + len(text) - len(shown)
		column += utf8.RuneCountInString(text)
		if shown = strings.TrimRight(shown, " "); shown != "" {
			fmt.Fprintf(b, `<text x="%.1f" y="%d" textLength="%.1f"%s>%s</text>`+"\n",
				margin+charWidth*float64(at), y, charWidth*float64(utf8.RuneCountInString(shown)), s.attributes(), html.EscapeString(shown))
		}
	}
	at := 0
	for _, m := range sgr.FindAllStringSubmatchIndex(line, -1) {
		run(line[at:m[0]])
		s.set(line[m[2]:m[3]])
		at = m[1]
	}
	run(line[at:])
}
