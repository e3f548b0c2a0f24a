package lang

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
)

// ErrorAt returns an error with a position. The detail is a format.
func ErrorAt(subject hcl.Range, summary, detail string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: &subject}
}

// WarningAt returns a warning with a position. The detail is a format.
func WarningAt(subject hcl.Range, summary, detail string, args ...any) *hcl.Diagnostic {
	d := ErrorAt(subject, summary, detail, args...)
	d.Severity = hcl.DiagWarning
	return d
}

// ErrorNowhere returns an error that belongs to no file. The detail is a format.
func ErrorNowhere(summary, detail string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(detail, args...)}
}

// Suggest returns the candidate that name most likely misspells, or "".
func Suggest(name string, candidates []string) string {
	if len(name) > 100 {
		return ""
	}
	limit := min((len(name)+2)/3, 3) // swapping two letters counts as two edits
	if len(name) < 3 {
		limit = len(name) - 1
	}
	best, bestDistance := "", limit+1
	sorted := append([]string(nil), candidates...)
	sort.Strings(sorted)
	for _, c := range sorted {
		if len(c) > 100 || c == name {
			continue
		}
		if strings.EqualFold(c, name) {
			return c
		}
		if d := levenshtein.Distance(name, c, nil); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// DidYouMean returns a sentence that suggests a candidate, with a leading space, or "".
func DidYouMean(name string, candidates []string) string {
	if s := Suggest(name, candidates); s != "" {
		return fmt.Sprintf(" Did you mean %q?", s)
	}
	return ""
}

// DidYouMeanReference is DidYouMean for a reference prefix.NAME.
func DidYouMeanReference(prefix, name string, candidates []string) string {
	if s := Suggest(name, candidates); s != "" {
		return fmt.Sprintf(" Did you mean %s.%s?", prefix, s)
	}
	return ""
}

// WithArticle returns a word with its indefinite article: "an assert", "a check".
func WithArticle(word string) string {
	if word != "" && strings.ContainsAny(word[:1], "aeio") {
		return "an " + word
	}
	return "a " + word
}

// WithSentence appends a sentence to a text. If the text has no full stop, it gets one.
func WithSentence(text, sentence string) string {
	text = strings.TrimSpace(text)
	if last, _ := utf8.DecodeLastRuneInString(text); unicode.IsLetter(last) || unicode.IsDigit(last) {
		text += "."
	}
	return strings.TrimSpace(text + " " + sentence)
}

// AllOf joins names for a sentence: "a, b and c".
func AllOf(names []string) string {
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// Place returns a position as text: fleet.hcl:12.
func Place(r hcl.Range) string {
	return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line)
}

// MaxDiagnostics is the largest number of diagnostics that one call returns. A broken file can
// cause hundreds of thousands, and nobody reads that many.
const MaxDiagnostics = 500

// Tidy removes duplicate diagnostics, sorts them by file and position, and drops those above
// MaxDiagnostics. Diagnostics without a position come first; the sort is stable.
func Tidy(diags hcl.Diagnostics) hcl.Diagnostics {
	type key struct {
		severity        hcl.DiagnosticSeverity
		summary, detail string
		subject         hcl.Range
	}
	seen := make(map[key]bool, len(diags))
	var kept hcl.Diagnostics
	for _, d := range diags {
		k := key{severity: d.Severity, summary: d.Summary, detail: d.Detail}
		if d.Subject != nil {
			k.subject = *d.Subject
		}
		if !seen[k] {
			seen[k] = true
			kept = append(kept, d)
		}
	}
	sort.SliceStable(kept, func(i, j int) bool { return Before(kept[i].Subject, kept[j].Subject) })
	if len(kept) <= MaxDiagnostics {
		return kept
	}
	// Errors come first, so that only warnings are dropped if possible.
	sort.SliceStable(kept, func(i, j int) bool { return kept[i].Severity < kept[j].Severity })
	rest := len(kept) - MaxDiagnostics
	last := &hcl.Diagnostic{
		Severity: kept[MaxDiagnostics].Severity,
		Summary:  "Too many problems",
		Detail:   fmt.Sprintf("%d more problems are not shown.", rest),
		Subject:  kept[MaxDiagnostics].Subject,
	}
	return append(kept[:MaxDiagnostics:MaxDiagnostics], last)
}

// Before reports whether a comes before b, by file and position. No position comes first.
func Before(a, b *hcl.Range) bool {
	switch {
	case a == nil || b == nil:
		return a == nil && b != nil
	case a.Filename != b.Filename:
		return a.Filename < b.Filename
	default:
		return a.Start.Byte < b.Start.Byte
	}
}

// Sentence makes a sentence of a text: it capitalises the first letter and adds end. A text whose
// first word is not plain lower case, such as a name or a path, stays unchanged.
func Sentence(text, end string) string {
	first, _, _ := strings.Cut(text, " ")
	if text == "" || !lowerWord.MatchString(first) {
		return text
	}
	text = string(text[0]&^0x20) + text[1:]
	if strings.ContainsAny(text[len(text)-1:], ".!?") {
		return text
	}
	return text + end
}

var lowerWord = regexp.MustCompile(`^[a-z]+,?$`)

// lowerFirst turns a sentence into the last part of another sentence: it lowers the first letter
// and removes the full stop.
func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	if last := len(s) - 1; s[last] == '.' {
		s = s[:last]
	}
	return string(s[0]|0x20) + s[1:]
}

// Labelled returns copies of diagnostics with a sentence appended to each detail.
func Labelled(diags hcl.Diagnostics, about string) hcl.Diagnostics {
	out := make(hcl.Diagnostics, len(diags))
	for i, d := range diags {
		said := *d
		said.Detail = WithSentence(said.Detail, about)
		out[i] = &said
	}
	return out
}
