package ui

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

func TestReport(t *testing.T) {
	t.Parallel()
	var out, err strings.Builder
	u := New(&out, &err, Options{Color: "never", Environ: []string{}})
	u.Report(hcl.Diagnostics{{
		Severity: hcl.DiagError, Summary: "a\x1b", Subject: &hcl.Range{Filename: "f", Start: hcl.Pos{Line: 1, Byte: 0}, End: hcl.Pos{Line: 1, Byte: 1}},
	}}, map[string]*hcl.File{"f": {Bytes: []byte("xyz\n")}})
	u.Diff("a\nb", "one\r\ntwo\n", "one\n\ttwo\n")
	u.Table([][]string{{"a", "b", "c"}, {"länger", "", "d\x07"}})
	want := `Error: a\x1b

  on f line 1:
  1 │ xyz
    │ ^

1 error
--- a\nb
+++ a\nb
@@ -1,2 +1,2 @@
-one\r
-two
+one
+    two
a       b  c
länger     d\x07
`
	if out.String() != want || err.String() != "" {
		t.Errorf("got\n%s\nwant\n%s\nand on the second stream %q", out.String(), want, err.String())
	}
}
