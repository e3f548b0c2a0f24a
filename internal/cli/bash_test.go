package cli

import (
	"slices"
	"testing"
)

const bashBreaks = " \t\n\"'><=;|&(:"

func TestBashWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line  string
		words []string
		last  bashWord
	}{
		{"mirrorform ", []string{"mirrorform"}, bashWord{}},
		{"mirrorform pl", []string{"mirrorform"}, bashWord{text: "pl", typed: "pl", raw: "pl"}},
		{`ls "a b"; mirrorform 'x y' --limit=e`, []string{"mirrorform", "x y"}, bashWord{text: "--limit=e", before: "--limit=", typed: "e", raw: "e"}},
		{`m edge\[\"a`, []string{"m"}, bashWord{text: `edge["a`, typed: `edge["a`, raw: `edge\[\"a`}},
		{`m 'edge["a`, []string{"m"}, bashWord{text: `edge["a`, quote: '\'', typed: `edge["a`, raw: `edge["a`}},
		{`m "edge[\"a\x`, []string{"m"}, bashWord{text: `edge["a\x`, quote: '"', typed: `edge["a\x`, raw: `edge[\"a\x`}},
		{`m a'b'c`, []string{"m"}, bashWord{text: "abc", before: "a", typed: "bc", raw: "b'c"}},
		{`m '' x\`, []string{"m", ""}, bashWord{text: `x\`, typed: `x\`, raw: `x\`}},
		{"", nil, bashWord{}},
	} {
		words, last := bashWords(c.line, bashBreaks)
		if !slices.Equal(words, c.words) || last != c.last {
			t.Errorf("%s: %q %+v, want %q %+v", c.line, words, last, c.words, c.last)
		}
	}
}

func TestBashCandidates(t *testing.T) {
	t.Parallel()
	list := []string{`edge["ams"]` + "\tin Amsterdam", `edge["sin"]` + "\tin Singapore, a long way from here", "", "fra1", "country=DE"}
	for _, c := range []struct {
		line  string
		width int // 0: no descriptions
		want  []string
	}{
		{`m edge\[\"a`, 80, []string{`edge\[\"ams\"\]`}},
		{`m edge[`, 0, []string{`edge[\"ams\"\]`, `edge[\"sin\"\]`}},
		{`m "edge[`, 0, []string{`edge[\"ams\"]`, `edge[\"sin\"]`}},
		{`m 'edge[`, 80, []string{`edge["ams"]  (in Amsterdam)`, `edge["sin"]  (in Singapore, a long way from here)`}},
		{`m 'edge[`, 40, []string{`edge["ams"]  (in Amsterdam)`, `edge["sin"]  (in Singapore, a long wa…)`}},
		{`m 'edge[`, 20, []string{`edge["ams"]`, `edge["sin"]`}},
		{`m --limit=f`, 80, []string{"fra1"}},
		{`m country=`, 80, []string{"DE"}},
		{`m city=`, 80, nil},
	} {
		_, last := bashWords(c.line, bashBreaks)
		if got := bashCandidates(list, &last, c.width > 0, c.width); !slices.Equal(got, c.want) {
			t.Errorf("%s at %d: %q, want %q", c.line, c.width, got, c.want)
		}
	}
}

func FuzzBashWords(f *testing.F) {
	for _, line := range []string{`m --limit 'edge["a`, `m "x\`, "m a=b:c", `m \`} {
		f.Add(line, bashBreaks)
	}
	f.Fuzz(func(t *testing.T, line, breaks string) {
		_, last := bashWords(line, breaks)
		if last.before+last.typed != last.text {
			t.Errorf("%q: %+v", line, last)
		}
		if got, ok := last.replacement(last.text); !ok || got != last.raw {
			t.Errorf("%q: what is typed becomes %q: %+v", line, got, last)
		}
	})
}
