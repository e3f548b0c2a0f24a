package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// loadText loads a configuration of one file.
func loadText(t testing.TB, text string, more ...string) (*Config, hcl.Diagnostics) {
	t.Helper()
	dir := t.TempDir()
	files := append([]string{"fleet.hcl", text}, more...)
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Load(Options{Dir: dir, Registry: testRegistry()})
}

// deepExpressions are expressions that would overflow the stack of a parser or evaluator that recurses, in about 80 KB.
var deepExpressions = map[string]string{
	"parentheses":                 strings.Repeat("(", 80_000),
	"closed":                      strings.Repeat("(", 40_000) + "1" + strings.Repeat(")", 40_000),
	"brackets":                    strings.Repeat("[", 80_000),
	"braces":                      strings.Repeat("{a=", 30_000),
	"interpolations":              strings.Repeat(`"${`, 30_000),
	"calls":                       strings.Repeat("upper(", 15_000),
	"not":                         strings.Repeat("!", 80_000) + "true",
	"minus":                       strings.Repeat("-", 80_000) + "1",
	"sum":                         "1" + strings.Repeat("+1", 40_000),
	"or":                          "true" + strings.Repeat("||true", 13_000),
	"conditional":                 strings.Repeat("true?1:", 12_000) + "1",
	"conditional left":            strings.Repeat("true?", 16_000),
	"index":                       "[1]" + strings.Repeat("[x]", 27_000),
	"splat":                       "[1]" + strings.Repeat("[*]", 27_000),
	"legacy splat":                "[1]" + strings.Repeat(".*", 40_000),
	"legacy splat and attributes": "[1]" + strings.Repeat(".*.a", 20_000),
	"if directives":               `"` + strings.Repeat("%{if true}", 8_000),
	"for directives":              `"` + strings.Repeat("%{for a in b}", 6_000),
	"mismatched":                  `"` + strings.Repeat("%{if true}%{endfor}", 4_000),
	"for expressions":             strings.Repeat("[for a in b:", 7_000),
	"sum over lines":              "(1" + strings.Repeat("\n+1", 27_000) + ")",
	"sum, operators at line ends": "(1" + strings.Repeat("+\n1", 27_000) + ")",
	"sum over comments":           "(1" + strings.Repeat("+ # x\n1", 11_000) + ")",
	"for with lines":              "{for a in b: a => 1" + strings.Repeat("\n+1", 27_000) + "}",
}

func TestDeepSources(t *testing.T) {
	t.Parallel()
	deep := func(d hcl.Diagnostics) bool {
		for _, diag := range d {
			if diag.Summary == "Nested too deeply" || diag.Summary == "Expression too long" {
				return diag.Subject != nil
			}
		}
		return false
	}
	for name, expr := range deepExpressions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, diags := loadText(t, "locals {\n  x = "+expr+"\n}\n"); !deep(diags) {
				t.Errorf("as configuration: %v", diags)
			}
			const declared = "variable \"x\" { type = any }\n"
			if _, diags := loadText(t, declared, "mirrorform.hclvars", "x = "+expr+"\n"); !deep(diags) {
				t.Errorf("in a variable file: %v", diags)
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "fleet.hcl"), []byte(declared), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, diags := Load(Options{Dir: dir, Sources: []lang.VarSource{{Assign: "x=" + expr}}}); !deep(diags) {
				t.Errorf("as --var: %v", diags)
			}
			if _, diags := loadText(t, "locals { x = templatefile(\"t\", {}) }", "t", "${"+expr+"}"); !deep(diags) {
				t.Errorf("as a template: %v", diags)
			}
			if _, diags := lang.Format([]byte("x = "+expr+"\n"), "fleet.hcl"); !deep(diags) {
				t.Errorf("to format: %v", diags)
			}
		})
	}
	if _, diags := loadText(t, strings.Repeat("a {\n", 20_000)); !deep(diags) {
		t.Errorf("blocks: %v", diags)
	}
}

// TestLargeSources has what is long but not deep, and must be taken.
func TestLargeSources(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("locals {\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "  l%d = \"${local.base}-%d\"\n", i, i)
	}
	b.WriteString("  base = \"x\"\n  list = [")
	for i := range 20_000 {
		fmt.Fprintf(&b, "-%d,\n", i)
	}
	b.WriteString("]\n  chain = 1" + strings.Repeat(" + 1", 900) + "\n")
	b.WriteString("  nested = " + strings.Repeat("[", 190) + strings.Repeat("]", 190) + "\n")
	b.WriteString("  text = <<EOT\n" + strings.Repeat("a ${local.base} b %{ if true }c%{ endif }\n", 5000) + "EOT\n")
	b.WriteString("  object = {\n" + strings.Repeat("    a : 1\n    b = -1\n", 2000) + "  }\n}\n")
	b.WriteString("output \"length\" { value = [length(local.list), local.l2999, local.chain, length(local.text)] }\n")
	c, diags := loadText(t, b.String())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if got := outputsText(t, c, nil, ""); got != "length = [20000,\"x-2999\",901,40000]\n" {
		t.Errorf("got %s", got)
	}
}

// TestLargeValues has a few lines that describe values which would not fit into memory, or work without end.
func TestLargeValues(t *testing.T) {
	t.Parallel()
	doubling := func(first, next string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "locals {\n  l0 = %s\n", first)
		for i := range 60 {
			fmt.Fprintf(&b, "  l%d = %s\n", i+1, strings.ReplaceAll(next, "X", fmt.Sprintf("local.l%d", i)))
		}
		return b.String() + "}\n"
	}
	kilobyte := `"` + strings.Repeat("x", 1024) + `"`
	megabyte := `join("", [for a in range(1024) : ` + kilobyte + `])`
	local := func(expr string) string { return "locals {\n  x = " + expr + "\n}\n" }
	const large, work, number, deep = "larger than", "more than 200000 steps", "between -1e308 and 1e308", "nested more than 200 levels deep"
	for name, tc := range map[string]struct{ text, want string }{
		"doubled strings":      {doubling(`"lol"`, `"${X}${X}"`), large},
		"doubled lists":        {doubling(`["lol"]`, `[X, X]`), large},
		"doubled objects":      {doubling(`{ a = 1 }`, `{ a = X, b = X }`), large},
		"doubled by concat":    {doubling(`["lol"]`, `concat(X, X)`), large},
		"doubled by format":    {doubling(`"lol"`, `format("%s%s", X, X)`), large},
		"doubled by join":      {doubling(`"lol"`, `join(X, [X, X])`), large},
		"doubled keys":         {doubling(`"lol"`, `keys({ "${X}${X}" = 1 })[0]`), large},
		"squared numbers":      {doubling(`1e100`, `X * X`), number},
		"many references":      {"locals {\n  m = " + megabyte + "\n  x = \"" + strings.Repeat("${local.m}", 10_000) + "\"\n}\n", "more than 64 MiB"},
		"many in a list":       {"locals {\n  m = " + megabyte + "\n  x = [" + strings.Repeat("local.m,", 10_000) + "]\n}\n", large},
		"many arguments":       {"locals {\n  m = " + megabyte + "\n  x = concat(" + strings.Repeat("[local.m],", 10_000) + "[])\n}\n", large},
		"format width":         {local(`format("%1000000000d", 1)`), "three digits"},
		"format precision":     {local(`format("%.1000000000f", 1)`), "three digits"},
		"formatlist width":     {local(`formatlist("%01000000000d", [1])`), "three digits"},
		"loops":                {local(`[for a in range(1024) : [for b in range(1024) : [for c in range(1024) : c]]]`), work},
		"loops without end":    {local(`[for a in range(1024) : [for b in range(1024) : [for c in range(1024) : c if false] if false] if true]`), work},
		"failing loops":        {local(`[for a in range(1024) : [for b in range(1024) : {}.x]]`), "does not have an attribute"},
		"loops in try":         {local(`[for a in range(1024) : try([for b in range(1024) : [for c in range(1024) : c]], 1)]`), work},
		"loops in directives":  {local(`"%{ for a in range(1024) }%{ for b in range(1024) }%{ for c in range(1024) }x%{ endfor }%{ endfor }%{ endfor }"`), work},
		"product":              {local(`setproduct(range(1024), range(1024), range(1024))`), "more than 500000 elements"},
		"replace":              {local(`replace(` + megabyte + `, "x", ` + kilobyte + `)`), large},
		"replace pattern":      {local(`replace(` + megabyte + `, "/x/", ` + kilobyte + `)`), large},
		"replace groups":       {local(`replace(` + megabyte + `, "/(x+)/", "` + strings.Repeat("$1", 100) + `")`), large},
		"indent":               {local(`indent(1000000000, "a\nb")`), large},
		"join":                 {local(`join(` + megabyte + `, range(1024))`), large},
		"split":                {local(`split("", ` + megabyte + `)`), "more than 500000 parts"},
		"number literal":       {local(`1e999999999`), number},
		"number from text":     {local(`"1e600000000" + 0`), number},
		"number, decoded":      {local(`jsondecode("1e600000000")`), number},
		"number in text":       {local(`"${"1e600000000" + 0}"`), number},
		"number, parsed":       {local(`parseint(` + megabyte + `, 36)`), "at most 400"},
		"power":                {local(`pow(10, 400)`), number},
		"infinity":             {local(`1 / 0`), number},
		"deep JSON":            {local(`jsondecode(replace(` + megabyte + `, "x", "["))`), deep},
		"deep YAML":            {local(`yamldecode(replace(substr(` + megabyte + `, 0, 500000), "x", "["))`), "exceeded max depth"},
		"deep YAML dashes":     {local(`yamldecode(replace(substr(` + megabyte + `, 0, 1000), "x", "- "))`), deep},
		"deep YAML blocks":     {local(`yamldecode(join("", [for i in range(1000) : "${substr("` + strings.Repeat(" ", 3000) + `", 0, i)}a:\n"]))`), deep},
		"YAML aliases":         {local("yamldecode(<<EOT\n" + yamlBomb() + "EOT\n)"), "more than 500000 elements"},
		"YAML alias of itself": {local(`yamldecode("a: &a [*a]")`), "more than 500000 elements"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, diags := loadText(t, tc.text)
			if len(diags) > lang.MaxDiagnostics+1 {
				t.Errorf("%d diagnostics", len(diags))
			}
			found := false
			for _, d := range diags {
				found = found || strings.Contains(d.Detail, tc.want)
				if d.Subject == nil || strings.Contains(d.Detail, "panic") || strings.Contains(d.Detail, "evaluation panicked") || len(d.Detail) > 2000 {
					t.Errorf("%s: %s: %.300s", d.Subject, d.Summary, d.Detail)
				}
			}
			if !found {
				t.Errorf("no error with %q: %.500v", tc.want, diags)
			}
		})
	}
}

// yamlBomb is a YAML text whose aliases double its value sixty times.
func yamlBomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [lol]\n")
	for i := range 60 {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	return b.String()
}

func TestSourceErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, summary, at string }{
		"not UTF-8": {"locals {\n  é = \"\xff\"\n}\n", "Not UTF-8 text", "2,8-9"},
		"UTF-16":    {"\xff\xfel\x00", "Not UTF-8 text", "1,1-2"},
	} {
		_, diags := loadText(t, tc.text)
		found := false
		for _, d := range diags {
			found = found || strings.Contains(d.Summary+d.Detail, tc.summary) && strings.HasSuffix(d.Subject.String(), tc.at)
		}
		if !found {
			t.Errorf("%s: got %v", name, diags)
		}
	}
	if _, diags := Load(Options{Dir: filepath.Join(t.TempDir(), "nowhere")}); len(diags) != 1 || diags[0].Summary != "Directory not found" {
		t.Errorf("no directory: %v", diags)
	}
	if _, diags := loadText(t, "# "+strings.Repeat("x", lang.MaxSource)); len(diags) != 1 || !strings.Contains(diags[0].Detail, "larger than 1 MiB") {
		t.Errorf("too large: %v", diags)
	}
	if _, diags := Load(Options{Dir: t.TempDir()}); len(diags) != 1 || diags[0].Summary != "No configuration files" {
		t.Errorf("no files: %v", diags)
	}
}
