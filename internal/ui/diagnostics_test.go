package ui

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

const fleet = `variable "mode" {
  type = string
}

host "fra1" {
	address	= "203.0.113.10"	# tabs
  labels  = { naïve = "é世界", x = 中文 }
}

resource "file" "motd" {
  hosts   = [host.fra1]
  contnt  = var.name
  mode    = "${var.mode}${var.secret}"
  owner   = [
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    "h",
  ]
}
`

// rangeOf is the range of the first occurrence of text in src.
func rangeOf(t *testing.T, file, src, text string) *hcl.Range {
	t.Helper()
	at := strings.Index(src, text)
	if at < 0 {
		t.Fatalf("%q is not in the source", text)
	}
	line := 1 + strings.Count(src[:at], "\n")
	return &hcl.Range{Filename: file, Start: hcl.Pos{Byte: at, Line: line, Column: 1}, End: hcl.Pos{Byte: at + len(text), Line: line, Column: 1}}
}

type suggestion string

func (s suggestion) Suggestion() string { return string(s) }

func testDiagnostics(t *testing.T) (hcl.Diagnostics, map[string]*hcl.File) {
	t.Helper()
	file, diags := hclsyntax.ParseConfig([]byte(fleet), "fleet.hcl", hcl.InitialPos)
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	expr, diags := hclsyntax.ParseExpression([]byte(`"${var.mode}${var.secret}${var.list[1]}${var.later}${var.obj}${var.mode}"`), "fleet.hcl", hcl.InitialPos)
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	values := &hcl.EvalContext{Variables: map[string]cty.Value{"var": cty.ObjectVal(map[string]cty.Value{
		"mode":   cty.StringVal("0644\x1b[2J" + strings.Repeat("long ", 40)),
		"secret": cty.StringVal("canary-secret").Mark("sensitive"),
		"list":   cty.TupleVal([]cty.Value{cty.True, cty.NumberIntVal(3)}),
		"later":  cty.UnknownVal(cty.String),
		"obj":    cty.ObjectVal(map[string]cty.Value{"pw": cty.StringVal("canary-secret").Mark("sensitive")}),
	})}}
	at := func(text string) *hcl.Range { return rangeOf(t, "fleet.hcl", fleet, text) }
	misspelt := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Unsupported argument", Subject: at("contnt"),
		Detail: `An argument named "contnt" is not expected here. Did you mean "content"?`}
	missing := rangeOf(t, "other.hcl", fleet, "host")
	return hcl.Diagnostics{
		{Severity: hcl.DiagError, Summary: "No host could be reached", Detail: "Check the network,\nthen try again."},
		misspelt,
		{Severity: hcl.DiagError, Summary: "Invalid mode", Subject: at(`"${var.mode}${var.secret}"`), Expression: expr, EvalContext: values,
			Detail: "A mode is three or four octal digits, such as 0644, written as a string, since a number would lose its leading zero."},
		{Severity: hcl.DiagWarning, Summary: "Values for undeclared variables", Subject: missing},
		misspelt,
		{Severity: hcl.DiagError, Summary: "Wide and combining", Subject: at("中文"), Extra: suggestion("Quote it.")},
		{Severity: hcl.DiagWarning, Summary: "Tabs", Subject: at(`"203.0.113.10"`)},
		{Severity: hcl.DiagError, Summary: "Several lines", Subject: at("[\n    \"a\",\n    \"b\",\n    \"c\",\n    \"d\",\n    \"e\",\n    \"f\",\n    \"g\",\n    \"h\",\n  ]")},
		{Severity: hcl.DiagError, Summary: "Two lines", Subject: at("type = string\n}")},
	}, map[string]*hcl.File{"fleet.hcl": file}
}

func TestDiagnostics(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			diags, files := testDiagnostics(t)
			u, out, stderr := newTest(v.options)
			u.Diagnostics(diags, files)
			if out.Len() > 0 {
				t.Errorf("results got %q", out)
			}
			if strings.Contains(stderr.String(), "canary") {
				t.Error("a sensitive value was printed")
			}
			if v.options.Color == "never" {
				checkSafe(t, stderr.String())
			}
			golden(t, "diagnostics-"+v.name, stderr.String())
		})
	}
}

func TestDiagnosticsNone(t *testing.T) {
	t.Parallel()
	u, out, stderr := newTest(Options{})
	u.Diagnostics(nil, nil)
	u.Diagnostics(hcl.Diagnostics{nil}, nil)
	if out.Len()+stderr.Len() > 0 {
		t.Errorf("printed %q and %q", out, stderr)
	}
}

func TestDiagnosticsHostile(t *testing.T) {
	t.Parallel()
	src := "x = \"" + hostile + "\"\n"
	file := &hcl.File{Bytes: []byte(src)}
	name := "f" + hostile + ".hcl"
	u, _, stderr := newTest(Options{})
	u.Diagnostics(hcl.Diagnostics{{Severity: hcl.DiagError, Summary: hostile, Detail: hostile + " Did you mean \"" + hostile + "\"?", Extra: suggestion(hostile),
		Subject: &hcl.Range{Filename: name, Start: hcl.Pos{Line: 1, Byte: 4}, End: hcl.Pos{Line: 1, Byte: 20}}}}, map[string]*hcl.File{name: file})
	checkSafe(t, stderr.String())
	if !strings.Contains(stderr.String(), "^") {
		t.Errorf("no snippet: %s", stderr)
	}
}

// TestSnippet checks the marks: what stands above them is what the range holds.
func TestSnippet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, src, mark, want string }{
		{"plain", "a = bcd\n", "bcd", "  1 │ a = bcd\n    │     ^^^\n"},
		{"first column", "abc", "a", "  1 │ abc\n    │ ^\n"},
		{"tabs", "\ta\t= b\n", "b", "  1 │     a   = b\n    │           ^\n"},
		{"a tab is marked in full", "a\tb", "\tb", "  1 │ a   b\n    │  ^^^^\n"},
		{"wide", "世 = 界 x", "界", "  1 │ 世 = 界 x\n    │      ^^\n"},
		{"combining", "e\u0301e\u0301 = x", "x", "  1 │ e\u0301e\u0301 = x\n    │      ^\n"},
		{"escape", "\x1b = x", "x", "  1 │ \\x1b = x\n    │        ^\n"},
		{"bidi", "\u202e = x", "x", "  1 │ \\u202e = x\n    │          ^\n"},
		{"crlf", "a = b\r\nc = d\r\n", "d", "  2 │ c = d\n    │     ^\n"},
		{"with its newline", "a = b\nc\n", "b\n", "  1 │ a = b\n    │     ^\n"},
		{"two lines", "x {\n  y\n\n}\n", "x {\n  y\n\n}", "  1 │ x {\n    │ ^^^\n  2 │   y\n    │   ^\n  3 │\n  4 │ }\n    │ ^\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u, _, _ := newTest(Options{})
			if got := u.err.snippet([]byte(c.src), *rangeOf(t, "f", c.src, c.mark), hcl.DiagError); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
	at := func(start, end int) hcl.Range {
		return hcl.Range{Start: hcl.Pos{Byte: start}, End: hcl.Pos{Byte: end}}
	}
	for _, c := range []struct {
		name, src string
		r         hcl.Range
		want      string
	}{
		{"empty range", "a = \n", at(4, 4), "  1 │ a =\n    │     ^\n"},
		{"end of file", "a = \n", at(5, 5), "  2 │\n    │ ^\n"},
		{"empty file", "", at(0, 0), "  1 │\n    │ ^\n"},
		{"outside", "ab", at(-7, 900), "  1 │ ab\n    │ ^^\n"},
		{"backwards", "abc", at(2, 1), "  1 │ abc\n    │   ^\n"},
		{"inside a character", "世x", at(1, 2), "  1 │ 世x\n    │ ^^\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u, _, _ := newTest(Options{})
			if got := u.err.snippet([]byte(c.src), c.r, hcl.DiagError); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

func TestSnippetLongLine(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 30, 2000, 40_000, 80_000} {
		src := strings.Repeat("(", before) + "HERE" + strings.Repeat(")", 80_000-before)
		u, _, _ := newTest(Options{Width: 60})
		got := u.err.snippet([]byte(src), *rangeOf(t, "f", src, "HERE"), hcl.DiagError)
		lines := strings.Split(got, "\n")
		if len(lines) != 3 {
			t.Fatalf("%d lines: %q", len(lines), got)
		}
		at := strings.Index(lines[1], "^")
		marked := string([]rune(lines[0])[columns(lines[1][:at]):])
		if !strings.HasPrefix(marked, "HERE") || strings.Count(lines[1], "^") != 4 {
			t.Errorf("with %d before:\n%s", before, got)
		}
		for _, l := range lines {
			if columns(l) > 60 {
				t.Errorf("%d columns: %s", columns(l), l)
			}
		}
	}
}

func FuzzSnippet(f *testing.F) {
	f.Add([]byte(fleet), 10, 40, 80)
	f.Add([]byte(hostile+"\n\r\n\t"+hostile), 3, 30, 40)
	f.Add([]byte(strings.Repeat("世\t", 9000)), 20000, 20010, 30)
	f.Add([]byte(strings.Repeat("e\u0301", 20000)), 40000, 50000, 0)
	f.Add([]byte("\n\n\n"), -1, 99, 1)
	f.Fuzz(func(t *testing.T, src []byte, start, end, width int) {
		u, _, _ := newTest(Options{Width: width})
		got := u.err.snippet(src, hcl.Range{Start: hcl.Pos{Byte: start, Line: 1}, End: hcl.Pos{Byte: end, Line: 1}}, hcl.DiagError)
		checkSafe(t, got)
		limit := max(width, 40)
		if width <= 0 {
			limit = snippetWidth
		}
		lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
		for _, l := range lines {
			if columns(l) > limit {
				t.Errorf("%d columns of %d: %q", columns(l), limit, l)
			}
		}
		if len(lines) > 2*(snippetHead+snippetTail+1)+1 {
			t.Errorf("%d lines", len(lines))
		}
	})
}

func TestErrKeepsTheFirstFailure(t *testing.T) {
	t.Parallel()
	u := New(failingWriter{}, failingWriter{}, Options{})
	u.Print("x")
	u.Error(errors.New("y"))
	if err := u.Err(); !errors.Is(err, errFull) {
		t.Errorf("Err() = %v", err)
	}
}

var errFull = errors.New("no space left on device")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errFull }
