package ui

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// unsafeRune tells what may not reach a terminal, without asking the code under test: controls (C0, DEL, C1), Unicode's bidirectional controls
// (annex 9), zero-width characters, line separators and tags.
func unsafeRune(r rune) bool {
	switch {
	case r == '\n':
		return false
	case r < ' ', r >= 0x7f && r <= 0x9f, r == 0xad, r == 0x61c, r == 0x180e, r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff,
		r >= 0xfff9 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe0fff:
		return true
	}
	return false
}

// FuzzOutput puts any text into everything that is printed: plans, problems, errors, summaries, diagnostics. No control character, no
// bidirectional or zero-width character comes out, no line that is none of ours begins at the margin, and JSON stays JSON.
func FuzzOutput(f *testing.F) {
	for _, s := range []string{
		hostile, "\x1b[2J\x1b]52;c;Zm9v\x07", "\x9b31m", "\u009b31m", "a\rb", "a\r\nb", "\nApply complete: 9 hosts changed.", "a\u202eb\u2066c\u200fd", "a\u200bb\u2060\ufeff", "\u2028x\u2029", "\xff\xfe",
		"\U000e0041", "\x00", "$(touch /pwn-1)", "e" + strings.Repeat("\u0301", 9), "\u061c", "\x7f", "a\tb\vc\fd", "(sensitive value)", "\u00ad", "\x85",
	} {
		f.Add(s, "x")
		f.Add("x", s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		r := &engine.Resource{Address: engine.Address{Host: a}, Source: b}
		plan := &engine.Plan{Hosts: []*engine.HostPlan{
			{Host: a, Changes: []engine.Change{
				{Address: b, Type: a, Action: engine.Update, Before: []engine.Attribute{{Name: "x", Value: a}, {Name: "list", Value: []string{a, b}}, {Name: b, Value: map[string]string{a: b}}},
					After: []engine.Attribute{{Name: "x", Value: a + "\n" + b}, {Name: "list", Value: []string{b}}, {Name: "s", Value: b, Sensitive: true}}, Steps: []engine.Step{{Summary: a, Final: b}}},
				{Address: a, Type: "file", Action: engine.Create, After: []engine.Attribute{{Name: "content", Value: a + "\n" + b}}},
				{Address: a, Type: "file", Action: engine.Delete, Before: []engine.Attribute{{Name: "content", Value: b}}, Steps: []engine.Step{{Summary: b}}},
			}, Problems: []*engine.ResourceProblem{{Resource: r, Problem: engine.Problem{Severity: engine.Warning, Summary: a, Detail: b}}, {Problem: engine.Errorf("", "%s", b)}}},
			{Host: b, Err: errors.New(a)},
		}}
		for _, o := range []Options{{Color: "never"}, {Color: "never", Width: 40}} {
			u, out, err := newTest(o)
			u.Plan(plan, PlanOptions{})
			u.Plan(plan, PlanOptions{Full: true})
			u.Summary(&engine.Result{Hosts: []*engine.HostResult{{Host: a, Err: errors.New(b)}, {Host: b, Done: []*engine.Change{{}}}}})
			u.Note(a)
			u.Warning(b)
			u.Error(errors.Join(errors.New(a), errors.New(b)))
			u.Diagnostics(hcl.Diagnostics{{Severity: hcl.DiagError, Summary: a, Detail: b, Subject: &hcl.Range{Filename: b, Start: hcl.InitialPos, End: hcl.Pos{Line: 1, Column: 2, Byte: 1}}}},
				map[string]*hcl.File{b: {Bytes: []byte(a)}})
			for _, text := range []string{out.String(), err.String()} {
				checkSafe(t, text)
				if i := strings.IndexFunc(text, unsafeRune); i >= 0 {
					t.Fatalf("%q comes out of %q, %q: %q", text[i:min(len(text), i+8)], a, b, text)
				}
			}
			if strings.Contains(out.String(), "\nApply complete") && !strings.HasPrefix(a, "Apply") && !strings.HasPrefix(b, "Apply") {
				t.Errorf("%q, %q are taken for a message of ours: %s", a, b, out)
			}
		}
		for i := range plan.Hosts[0].Changes {
			if text := ChangeDiff(&plan.Hosts[0].Changes[i]); strings.IndexFunc(text, unsafeRune) >= 0 {
				t.Fatalf("a diff holds what a terminal could take: %q", text)
			}
		}
		encoded, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		doc := plain.VisibleJSON(encoded)
		var read string
		if err := json.Unmarshal(doc, &read); err != nil || read != string([]rune(a)) { // with U+FFFD for each byte that is not UTF-8
			t.Errorf("%v in %s", err, doc)
		}
		if i := strings.IndexFunc(string(doc), unsafeRune); i >= 0 || strings.Contains(string(doc), "\n") {
			t.Fatalf("JSON holds what a terminal could take: %q", doc)
		}
	})
}
