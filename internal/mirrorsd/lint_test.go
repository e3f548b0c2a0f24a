package mirrorsd

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the findings and fixed files into testdata/lint")

// raw are the bytes that a txtar archive cannot show, by what stands for them.
var raw = []string{"<BOM>", byteOrderMark, "<CR>", "\r", "<TAB>", "\t", "<FF>", "\xff", "<RLO>", "\u202e", "<NEL>", "\u0085"}

func unshown(data []byte) []byte {
	return []byte(strings.NewReplacer(raw...).Replace(string(data)))
}

func shown(data []byte) []byte {
	back := slices.Clone(raw)
	for i := 0; i < len(back); i += 2 {
		back[i], back[i+1] = back[i+1], back[i]
	}
	return []byte(strings.NewReplacer(back...).Replace(string(data)))
}

func newLinter(t testing.TB, o Options) *Linter {
	t.Helper()
	l, err := NewLinter(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// line renders a finding for comparison.
func line(f Finding) string {
	at := fmt.Sprintf("%d:%d-%d", f.Start.Line, f.Start.Column, f.End.Column)
	if f.End.Line != f.Start.Line {
		at = fmt.Sprintf("%d:%d-%d:%d", f.Start.Line, f.Start.Column, f.End.Line, f.End.Column)
	}
	fix := ""
	if f.Fix != nil {
		fix = " {" + f.Fix.Description + "}"
	}
	return fmt.Sprintf("%s:%s: %s %s: %s%s\n", f.File, at, f.Severity, f.Rule, f.Message, fix)
}

// lintCases returns the files of each archive in testdata/lint, those with fixed/ before their names, and the wanted findings.
func lintCases(t testing.TB) map[string]*txtar.Archive {
	t.Helper()
	names, err := filepath.Glob("testdata/lint/*.txtar")
	if err != nil || len(names) < 5 {
		t.Fatalf("testdata/lint: %d archives, %v", len(names), err)
	}
	all := map[string]*txtar.Archive{}
	for _, name := range names {
		if all[name], err = txtar.ParseFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestLint holds findings and fixes against testdata/lint. Each archive is one run of the linter with all rules.
func TestLint(t *testing.T) {
	t.Parallel()
	l := newLinter(t, Options{Enable: []string{AllRules}})
	found, fixed, grades := map[string]bool{}, map[string]bool{}, map[string]map[Severity]bool{}
	for name, archive := range lintCases(t) {
		var sources []Source
		want := map[string]string{}
		for _, f := range archive.Files {
			if f.Name == "findings" || strings.HasPrefix(f.Name, "fixed/") {
				want[f.Name] = string(f.Data)
			} else {
				sources = append(sources, Source{Name: f.Name, Data: unshown(f.Data)})
			}
		}
		got := &txtar.Archive{Comment: archive.Comment}
		var text strings.Builder
		for _, f := range l.Lint(sources) {
			text.WriteString(line(f))
			found[f.Rule] = true
			if grades[f.Rule] == nil {
				grades[f.Rule] = map[Severity]bool{}
			}
			grades[f.Rule][f.Severity] = true
			fixed[f.Rule] = fixed[f.Rule] || f.Fix != nil
			if f.Key == "" && strings.Contains(f.Rule, "key") {
				t.Errorf("%s: %s has no key", name, line(f))
			}
		}
		for _, s := range sources {
			got.Files = append(got.Files, txtar.File{Name: s.Name, Data: shown(s.Data)})
			if data, done := l.Fix(s); len(done) > 0 {
				got.Files = append(got.Files, txtar.File{Name: "fixed/" + s.Name, Data: shown(data)})
				again, more := l.Fix(Source{Name: s.Name, Data: data})
				if len(more) > 0 || !bytes.Equal(again, data) {
					t.Errorf("%s: %s: fixing again changes it", name, s.Name)
				}
			}
		}
		got.Files = append(got.Files, txtar.File{Name: "findings", Data: []byte(text.String())})
		if *update {
			if err := os.WriteFile(name, txtar.Format(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for _, f := range got.Files {
			if f.Name != "findings" && !strings.HasPrefix(f.Name, "fixed/") {
				continue
			}
			if want[f.Name] != string(f.Data) {
				t.Errorf("%s: %s: got\n%s\nwant\n%s", name, f.Name, f.Data, want[f.Name])
			}
			delete(want, f.Name)
		}
		for left := range maps.Keys(want) {
			t.Errorf("%s: nothing makes %s", name, left)
		}
	}
	for _, r := range Rules() {
		if !found[r.Name] {
			t.Errorf("no case has a finding of %s", r.Name)
		}
		if got := len(grades[r.Name]) == 2; found[r.Name] && (got != r.Mixed || !grades[r.Name][r.Severity]) {
			t.Errorf("%s: its findings are of %v, but it is mixed: %t", r.Name, slices.Sorted(maps.Keys(grades[r.Name])), r.Mixed)
		}
		if fixed[r.Name] != r.Fixable {
			t.Errorf("%s: fixable is %t, and findings with a fix: %t", r.Name, r.Fixable, fixed[r.Name])
		}
		if r.Summary == "" || r.Detail == "" || strings.HasSuffix(r.Summary, ".") || !strings.HasSuffix(r.Detail, ".") {
			t.Errorf("%s: the summary or the detail is not as it should be", r.Name)
		}
	}
}

// TestCheckRules: each problem of Check has a rule, and a warning of Check is one for lint too.
// Check is stricter, since it is for files that mirrorform writes.
func TestCheckRules(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, c := range cases(t, "testdata/check/rules.txt", ".problems") {
		f, err := Parse(c[0].Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range f.Check() {
			checked++
			if !slices.ContainsFunc(rules, func(r Rule) bool { return r.Name == p.Rule }) {
				t.Errorf("%s: there is no rule %q", c[0].Name, p.Rule)
			}
			if p.Severity == Warning && grade(p.Rule, p.mild) != Warning {
				t.Errorf("%s: a warning of the rule %s, of which lint makes an error", c[0].Name, p.Rule)
			}
			if p.mild && !slices.ContainsFunc(rules, func(r Rule) bool { return r.Name == p.Rule && (r.Mixed || r.Severity == Warning) }) {
				t.Errorf("%s: a mild problem of the rule %s, which is not mixed", c[0].Name, p.Rule)
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d problems", checked)
	}
}

func TestSelectRules(t *testing.T) {
	t.Parallel()
	count := func(o Options) int {
		n := 0
		for _, on := range newLinter(t, o).on {
			if on {
				n++
			}
		}
		return n
	}
	all := len(rules)
	for want, o := range map[int]Options{
		all - 1: {},
		all:     {Enable: []string{AllRules}},
		all - 2: {Disable: []string{ruleTab}},
		0:       {Disable: []string{AllRules}},
		1:       {Disable: []string{AllRules}, Enable: []string{ruleCountry}},
	} {
		if got := count(o); got != want {
			t.Errorf("%+v: %d rules, want %d", o, got, want)
		}
	}
	for want, o := range map[string]Options{
		`unknown rule "contry"; did you mean country?`: {Disable: []string{"contry"}},
		`unknown rule "xyzzy"`:                         {Enable: []string{"xyzzy"}},
		"both enabled and disabled":                    {Enable: []string{ruleTab}, Disable: []string{ruleTab}},
	} {
		if _, err := NewLinter(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", o, err, want)
		}
	}
}

func TestService(t *testing.T) {
	t.Parallel()
	// The service's own limit decides what is slow, and its protocols which are required.
	l := newLinter(t, Options{Service: Service{AllowedOutdate: 24 * time.Hour, RequiredProtocols: []string{"http"}}})
	data := bytes.Replace(canonical(t)["minimal.yml"], []byte("update_frequency: 3h"), []byte("update_frequency: 24h"), 1)
	findings := l.Lint([]Source{{Unnamed: true, Data: data}})
	var got []string
	for _, f := range findings {
		got = append(got, f.Rule)
	}
	if want := []string{ruleGeolocation, ruleRequired, ruleSlow}; !slices.Equal(got, want) ||
		findings[1].Message != "address: needs http, since dnf uses no other protocol; add at least one such URL" {
		t.Errorf("%+v", findings)
	}
}

// upstreamCounts are the findings in upstream's own files by rule. Each was looked at, and is true.
var upstreamCounts = map[string]int{
	ruleCountry: 3, ruleDuplicateKey: 3, ruleNoEmail: 3, ruleFileName: 23, ruleForeign: 1, ruleGeolocation: 42, ruleHTTPS: 14,
	ruleLineEnding: 4, ruleMisspelt: 1, ruleMisspeltKey: 2, ruleModule: 3, ruleNameHost: 5, rulePlace: 1, rulePrivate: 7,
	ruleSlow: 6, ruleTemplate: 4, ruleURL: 3, ruleScheme: 7,
}

// TestLintUpstream checks all of upstream's files together, and fixes them.
func TestLintUpstream(t *testing.T) {
	t.Parallel()
	dir := upstreamDir(t)
	names, err := filepath.Glob(filepath.Join(dir, "mirrors.d", "*.yml"))
	if err != nil || len(names) < 200 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	var sources []Source
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, Source{Name: filepath.Base(name), Data: data})
	}
	l := newLinter(t, Options{Enable: []string{AllRules}})
	got := map[string]int{}
	for _, f := range l.Lint(sources) {
		got[f.Rule]++
		t.Log(strings.TrimSuffix(line(f), "\n"))
	}
	if !maps.Equal(got, upstreamCounts) {
		t.Errorf("got %v, want %v", got, upstreamCounts)
	}
	for _, s := range sources {
		checkFix(t, l, s)
	}
}

// TestLintHostile lints and fixes large files of the most expensive kinds, as they may come with a pull request: each has to end.
func TestLintHostile(t *testing.T) {
	t.Parallel()
	fill := func(head, unit, tail string) string {
		return head + strings.Repeat(unit, MaxSize/32/len(unit)) + tail
	}
	l := newLinter(t, Options{Enable: []string{AllRules}})
	for name, data := range map[string]string{
		"tabs":           fill("a: [b,", "\t", "]"),
		"tab lines":      fill("a: [b,\n", "\t\n", "]"),
		"comments":       fill("a: b ", "#\t", ""),
		"returns":        fill("a: b #", "\r", ""),
		"one key":        fill("", "a:\n", ""),
		"one known key":  fill("", "email: a\n", ""),
		"misspelt":       fill("", "emal: a\n", ""),
		"flow misspelt":  fill("{", "Email: a, ", "}"),
		"numbers":        fill("cloud_regions: [", "1, ", "]"),
		"tagged":         fill("cloud_regions: [", "! 1, ", "]"),
		"subnets":        fill("subnets: [", "1.2.3.4, ", "]"),
		"subnets lines":  fill("subnets:\n", "- 1.2.3.4\n", ""),
		"quoted asn":     fill("asn: [", `"1",`, "]"),
		"quotes":         fill("asn: ['", "''", "']"),
		"multi-line":     fill("name: a\n", " b\n", ""),
		"template":       fill("a: b\n", "# remove these comments before submitting\n", ""),
		"wide":           fill("cloud_regions: [", "\u00fc, ", "]"),
		"unread":         fill("", "\t", ""),
		"too large":      strings.Repeat("a: b\n", MaxSize/4),
		"deep":           strings.Repeat("[", MaxSize),
		"aliases":        fill("a: &a b\nc: [", "*a, ", "]"),
		"address":        fill("address: {", "http: ftp://x, ", "}"),
		"not utf-8":      fill("a: ", "\xff", ""),
		"unknown nested": fill("", "kitten: {}\n", ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Source{Name: "mirror.example.org.yml", Data: []byte(data)}
			findings := l.Lint([]Source{s, {Name: "b.yml", Data: s.Data}})
			if len(findings) == 0 {
				t.Error("nothing is found")
			}
			for _, f := range findings {
				if len(f.Message) > 1000 || len(f.Key) > 1000 {
					t.Fatalf("a message of %d bytes, a key of %d", len(f.Message), len(f.Key))
				}
			}
			checkFix(t, l, s)
		})
	}
}
