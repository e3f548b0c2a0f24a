package ui

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// Suggester may be implemented by the Extra value of a diagnostic. Its text is printed on its own
// line below the detail.
type Suggester interface {
	Suggestion() string // one line: "Did you mean \"content\"?"
}

// Diagnostics prints diagnostics to the second stream, sorted by file and position, and then their
// number. Those without a position come last; those that print the same text are printed once.
// files maps names to sources, as hclparse does; without its source a diagnostic has no snippet.
// Without diagnostics nothing is printed.
func (u *UI) Diagnostics(diags hcl.Diagnostics, files map[string]*hcl.File) {
	u.write(u.err, u.err.diagnostics(diags, files))
}

func (s *stream) diagnostics(diags hcl.Diagnostics, files map[string]*hcl.File) string {
	diags = slices.DeleteFunc(slices.Clone(diags), func(d *hcl.Diagnostic) bool { return d == nil })
	slices.SortStableFunc(diags, compareDiagnostics)
	var b strings.Builder
	var errors, warnings int
	printed := map[string]bool{}
	for _, d := range diags {
		text := s.diagnostic(d, files)
		if printed[text] {
			continue
		}
		printed[text] = true
		if d.Severity == hcl.DiagWarning {
			warnings++
		} else {
			errors++
		}
		b.WriteString(text)
		b.WriteByte('\n')
	}
	if total := s.totals(errors, warnings); total != "" {
		b.WriteString(total + "\n")
	}
	return b.String()
}

func compareDiagnostics(a, b *hcl.Diagnostic) int {
	switch {
	case a.Subject == nil && b.Subject == nil:
		return 0
	case a.Subject == nil:
		return 1
	case b.Subject == nil:
		return -1
	}
	return cmp.Or(
		cmp.Compare(a.Subject.Filename, b.Subject.Filename),
		cmp.Compare(a.Subject.Start.Line, b.Subject.Start.Line),
		cmp.Compare(a.Subject.Start.Byte, b.Subject.Start.Byte),
		cmp.Compare(a.Subject.End.Byte, b.Subject.End.Byte),
	)
}

// totals returns the closing line: "3 errors, 1 warning".
func (s *stream) totals(errors, warnings int) string {
	var parts []string
	if errors > 0 {
		parts = append(parts, s.style.fail(count(errors, "error")))
	}
	if warnings > 0 {
		parts = append(parts, s.style.warn(count(warnings, "warning")))
	}
	return strings.Join(parts, ", ")
}

// diagnostic renders one diagnostic, with its final newline.
func (s *stream) diagnostic(d *hcl.Diagnostic, files map[string]*hcl.File) string {
	label := s.style.fail("Error:")
	if d.Severity == hcl.DiagWarning {
		label = s.style.warn("Warning:")
	}
	paragraphs := []string{label + " " + s.style.bold(plain.Escape(d.Summary))}
	if d.Subject != nil {
		paragraphs = append(paragraphs, s.place(d, files[d.Subject.Filename]))
	}
	if values := expressionValues(d); len(values) > 0 {
		paragraphs = append(paragraphs, "  "+s.style.dim(strings.Join(values, "\n  ")))
	}
	detail, suggestions := splitSuggestions(d)
	if detail != "" {
		paragraphs = append(paragraphs, strings.Join(wrap(escapeLines(detail), s.width()), "\n"))
	}
	for _, text := range suggestions {
		paragraphs = append(paragraphs, s.style.green("  "+plain.Escape(text)))
	}
	return strings.Join(paragraphs, "\n\n") + "\n"
}

// place returns the position of a diagnostic and its source.
func (s *stream) place(d *hcl.Diagnostic, file *hcl.File) string {
	at := fmt.Sprintf("  on %s line %d", plain.Escape(d.Subject.Filename), d.Subject.Start.Line)
	if file == nil || file.Bytes == nil {
		return at + ":\n  (source not available)"
	}
	if nav, ok := file.Nav.(interface{ ContextString(offset int) string }); ok {
		if in := nav.ContextString(d.Subject.Start.Byte); in != "" {
			at += ", in " + plain.Escape(in)
		}
	}
	return at + ":\n" + strings.TrimSuffix(s.snippet(file.Bytes, *d.Subject, d.Severity), "\n")
}

// didYouMean matches the suggestion at the end of a detail, where package hcl puts its own.
var didYouMean = regexp.MustCompile(`(?:^|\s)(Did you mean [^\n]*\?)\s*$`)

func splitSuggestions(d *hcl.Diagnostic) (detail string, suggestions []string) {
	detail = strings.TrimRight(d.Detail, " \t\r\n")
	if m := didYouMean.FindStringSubmatchIndex(detail); m != nil {
		suggestions = append(suggestions, detail[m[2]:m[3]])
		detail = strings.TrimRight(detail[:m[0]], " \t\r\n")
	}
	if sg, ok := hcl.DiagnosticExtra[Suggester](d); ok {
		if text := sg.Suggestion(); text != "" && !slices.Contains(suggestions, text) {
			suggestions = append(suggestions, text)
		}
	}
	return detail, suggestions
}

// Report prints diagnostics like Diagnostics, but on the first stream: for commands whose result
// they are.
func (u *UI) Report(diags hcl.Diagnostics, files map[string]*hcl.File) {
	u.write(u.out, u.out.diagnostics(diags, files))
}
