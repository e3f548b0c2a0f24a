package config

import (
	"strings"
	"testing"
)

func TestSelector(t *testing.T) {
	t.Parallel()
	hosts := []*DeclaredHost{
		{Name: "fra1", Block: "fra1", Labels: map[string]string{"wave": "canary", "country": "DE"}},
		{Name: "fra2", Block: "fra2", Labels: map[string]string{"wave": "two", "country": "DE", "note": "a,b"}},
		{Name: `edge["ams"]`, Block: "edge", Labels: map[string]string{"wave": "canary", "country": "NL"}},
		{Name: `edge["a,b"]`, Block: "edge", Labels: map[string]string{"country": "SG"}},
		{Name: "local", Block: "local", Local: true},
	}
	for _, c := range []struct{ text, want, unmatched, label string }{
		{text: "fra1", want: "fra1"},
		{text: "fra1, fra2", want: "fra1 fra2"},
		{text: "fra?", want: "fra1 fra2"},
		{text: "edge", want: `edge["ams"] edge["a,b"]`},
		{text: `edge["ams"]`, want: `edge["ams"]`},
		{text: `edge["a,b"],fra1`, want: `fra1 edge["a,b"]`},
		{text: "*", want: `fra1 fra2 edge["ams"] edge["a,b"]`},
		{text: "local", want: "local"},
		{text: "fra1,fra9", want: "fra1", unmatched: "fra9"},
		{text: "!fra1", want: `fra2 edge["ams"] edge["a,b"]`},
		{text: "!fra?", want: `edge["ams"] edge["a,b"]`},
		{text: "!fra?,!edge", unmatched: "!fra?,!edge"},
		{text: `edge,!edge["ams"]`, want: `edge["a,b"]`},
		{text: `!edge["a,b"],*`, want: `fra1 fra2 edge["ams"]`},
		{text: "fra1,!fra9", want: "fra1", unmatched: "!fra9"},
		{text: "fra1,!fra*", unmatched: "fra1,!fra*"},
		{text: "!local", want: `fra1 fra2 edge["ams"] edge["a,b"]`},
		{text: "wave=canary", want: `fra1 edge["ams"]`},
		{text: "wave==canary", want: `fra1 edge["ams"]`},
		{text: "wave=canary,country!=DE", want: `edge["ams"]`},
		{text: "country!=DE", want: `edge["ams"] edge["a,b"]`},
		{text: "wave=", want: `edge["a,b"]`},
		{text: "wave!=canary", want: `fra2 edge["a,b"]`},
		{text: "country=D*", want: "fra1 fra2"},
		{text: `note="a,b"`, want: "fra2"},
		{text: "wave=canary,country=SG", unmatched: "wave=canary,country=SG"},
		{text: "wafe=canary", unmatched: "wafe=canary", label: "wafe"},
	} {
		s, err := ParseSelector(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		var got []string
		for _, h := range hosts {
			if s.Match(h) {
				got = append(got, h.Name)
			}
		}
		if strings.Join(got, " ") != c.want || s.Unmatched(hosts) != c.unmatched || s.UnknownLabel(hosts) != c.label {
			t.Errorf("%s: means %q, unmatched %q, unknown label %q; want %q, %q, %q",
				c.text, got, s.Unmatched(hosts), s.UnknownLabel(hosts), c.want, c.unmatched, c.label)
		}
		if s.MeansLocal() != (c.want == "local") {
			t.Errorf("%s: MeansLocal is %v", c.text, s.MeansLocal())
		}
	}
}

func TestSelectorErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                 "empty term",
		"fra1,":            "empty term",
		",":                "empty term",
		"fra1,wave=canary": "mixes",
		`edge["ams]`:       "quote without an end",
		`note="a" b`:       "quotes around the value",
		"fra[":             "not a host name or glob",
		"!":                "not a host name or glob",
		"!wave=canary":     "write wave!=canary",
		"wave=[":           "not a host name or glob",
	} {
		if _, err := ParseSelector(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
	}
}

func FuzzSelector(f *testing.F) {
	for _, text := range []string{"fra1,edge", `edge["a\"b"]`, `a="x,y",b!=z`, `"`, "=", `\`, "!fra9", "edge,!fra1"} {
		f.Add(text)
	}
	host := &DeclaredHost{Name: "fra1", Block: "fra1"}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSelector(text)
		if err != nil {
			return
		}
		// A term with ! that means no host means all, and is reported.
		if s.Match(host) && s.Unmatched([]*DeclaredHost{host}) == text && len(s.terms) == 1 && !s.Subtracts() {
			t.Errorf("%q means a host and none", text)
		}
	})
}
