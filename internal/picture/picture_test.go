package picture

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestSVG(t *testing.T) {
	t.Parallel()
	got := SVG("$ plan\n\x1b[32m+\x1b[0m \x1b[1mfra1\x1b[22m <a & \"b\">\n\x1b[31;1mError:\x1b[0;22m\x1b[7mxy\x1b[27m cut here\n\n", `two "lines"`, 12)
	for _, want := range []string{
		`width="125" height="86"`, `aria-label="two &#34;lines&#34;"`, `<text x="16.0" y="29" textLength="46.8">$ plan</text>`,
		`<text x="16.0" y="47" textLength="7.8" fill="#7ee787">+</text>`, `font-weight="bold">fra1</text>`, `>&lt;a &amp;</text>`,
		`fill="#ff7b72" font-weight="bold">Error:</text>`, `text-decoration="underline">xy</text>`, `>cut</text>`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
}

func FuzzSVG(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m\nplain")
	f.Add("\x1b[;;1m\x00\xff")
	f.Fuzz(func(t *testing.T, text string) {
		d := xml.NewDecoder(strings.NewReader(SVG(text, text, 80)))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}
