package report

import (
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/internal/plain"
)

// A Renderer renders a result in one format, with a final newline.
type Renderer func(r *Result, o Options) ([]byte, error)

// Options are options of Renderers.
type Options struct {
	// Limit is the largest size of Markdown in bytes; 0 means DefaultLimit. Other formats have no
	// limit.
	Limit int
	// Version is the version of this mirrorform, for results without a version.
	Version string
}

// renderers by the names of their formats.
var renderers = map[string]Renderer{
	"json":       func(r *Result, _ Options) ([]byte, error) { return withNewline(r.JSON()) },
	"junit":      JUnit,
	"sarif":      SARIF,
	"markdown":   Markdown,
	"prometheus": Prometheus,
	"html":       func(r *Result, o Options) ([]byte, error) { return HTML([]*Result{r}, o) },
}

// Formats returns the names of all formats.
func Formats() []string { return []string{"json", "junit", "sarif", "markdown", "prometheus", "html"} }

// RendererOf returns the renderer of a format.
func RendererOf(format string) (Renderer, error) {
	if render := renderers[format]; render != nil {
		return render, nil
	}
	names := Formats()
	last := len(names) - 1
	return nil, fmt.Errorf("unknown report format %q: must be %s or "+
		"%s", format, strings.Join(names[:last], ", "), names[last])
}

func withNewline(text []byte, err error) ([]byte, error) {
	return append(text, '\n'), err
}

// lines escapes a text line by line. The result has no final newline.
func lines(text string) string {
	list := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range list {
		list[i] = plain.Escape(l)
	}
	return strings.Join(list, "\n")
}

// firstLine returns the first line of a text, escaped.
func firstLine(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return plain.Escape(first)
}

// describe returns a change in one line: "update: write /etc/motd, reload nginx".
func (c *Change) describe() string {
	text := string(c.Action)
	if c.Orphan {
		text += ", no longer in the configuration"
	}
	if c.Later {
		text += ", later"
	}
	if len(c.Steps) > 0 {
		text += ": " + strings.Join(c.Steps, ", ")
	}
	return plain.Escape(text)
}

// words returns an outcome in words.
func (o Outcome) words() string {
	switch o {
	case OK:
		return "as configured"
	case RolledBack:
		return "rolled back"
	case NotStarted:
		return "not started"
	}
	return string(o)
}

// place returns a source as fleet.hcl:12, escaped, or "".
func (s *Source) place() string {
	if s == nil {
		return ""
	}
	return plain.Escape(fmt.Sprintf("%s:%d", s.File, s.Line))
}

// count formats a number with its noun: "1 host", "2 hosts".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
