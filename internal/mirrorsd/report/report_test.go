package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	ours "github.com/mirrorform/mirrorform/internal/sarif"
	"github.com/mirrorform/mirrorform/internal/sarif/sariftest"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// sample has findings with and without a place, a key and a fix, and a file whose name needs every kind of escape.
func sample(t *testing.T) []mirrorsd.Finding {
	t.Helper()
	l, err := mirrorsd.NewLinter(mirrorsd.Options{Enable: []string{mirrorsd.AllRules}})
	if err != nil {
		t.Fatal(err)
	}
	findings := l.Lint([]mirrorsd.Source{
		{Name: "mirrors.d/a.example.org.yml", Data: []byte("\ufeffname: a.example.org\r\nCity: Zürich\n\"{0}\": 1\nsponsor: no\n" +
			"address: {http: ftp://x.example.org}\ngeolocation: {country: UK}\nprivate: true\n")},
		{Name: "odd, 100%: a\nb c.yaml", Data: []byte("{}")},
		{Name: "/abs/empty.yml"},
	})
	if len(findings) < 12 {
		t.Fatalf("only %d findings", len(findings))
	}
	return findings
}

// TestSARIF holds the log against the official schema, and reads it with a library that is not ours.
func TestSARIF(t *testing.T) {
	t.Parallel()
	findings := sample(t)
	schema := sariftest.Schema(t)
	for _, list := range [][]mirrorsd.Finding{findings, nil} {
		data, err := SARIF(list, "v1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Error(err)
		}
		doc.(map[string]any)["version"] = "9"
		if schema.Validate(doc) == nil {
			t.Error("a log of version 9 is valid")
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		var log sarif.Report
		if err := dec.Decode(&log); err != nil {
			t.Fatal(err)
		}
		if log.Version != "2.1.0" || len(log.Runs) != 1 || len(log.Runs[0].Results) != len(list) {
			t.Fatalf("version %s, %d runs", log.Version, len(log.Runs))
		}
		run := log.Runs[0]
		if len(run.Tool.Driver.Rules) != len(mirrorsd.Rules()) || *run.Tool.Driver.Version != "v1.2.3" {
			t.Errorf("%d rules of version %v", len(run.Tool.Driver.Rules), run.Tool.Driver.Version)
		}
		for i, f := range list {
			checkResult(t, run, run.Results[i], f)
		}
	}
}

func checkResult(t *testing.T, run *sarif.Run, res *sarif.Result, f mirrorsd.Finding) {
	t.Helper()
	if *res.RuleID != f.Rule || *run.Tool.Driver.Rules[res.RuleIndex].ID != f.Rule || res.Level != string(f.Severity) || *res.Message.Text != ours.Text(f.Message) {
		t.Errorf("%+v for %+v", res, f)
	}
	at := res.Locations[0].PhysicalLocation
	r := at.Region
	if *r.StartLine != f.Start.Line || *r.StartColumn != f.Start.Column || *r.EndLine != f.End.Line || *r.EndColumn != f.End.Column {
		t.Errorf("%+v for %+v", r, f)
	}
	wantURI := map[string]string{
		"mirrors.d/a.example.org.yml": "mirrors.d/a.example.org.yml",
		"odd, 100%: a\nb c.yaml":      "./odd,%20100%25:%20a%0Ab%20c.yaml",
		"/abs/empty.yml":              "file:///abs/empty.yml",
	}[f.File]
	if *at.ArtifactLocation.URI != wantURI {
		t.Errorf("%q has the URI %q, want %q", f.File, *at.ArtifactLocation.URI, wantURI)
	}
	if (f.Fix != nil) != (len(res.Fixes) == 1) {
		t.Fatalf("%d fixes of %s, want them: %t", len(res.Fixes), f.Rule, f.Fix != nil)
	}
	if f.Fix == nil {
		return
	}
	replacements := res.Fixes[0].ArtifactChanges[0].Replacements
	if len(replacements) != len(f.Fix.Edits) {
		t.Fatalf("%d replacements for %d edits", len(replacements), len(f.Fix.Edits))
	}
	for i, e := range f.Fix.Edits {
		got := replacements[i]
		if got.DeletedRegion.ByteOffset != e.Start.Byte || *got.DeletedRegion.ByteLength != e.End.Byte-e.Start.Byte || *got.InsertedContent.Text != e.Text {
			t.Errorf("%+v for %+v", got, e)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	findings := sample(t)
	data, err := JSON(findings, 3)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		FormatVersion string `json:"format_version"`
		Findings      []struct {
			File, Key, Rule, Severity, Message string
			Line, Column                       int
			EndLine                            int `json:"end_line"`
			EndColumn                          int `json:"end_column"`
			Fix                                *struct {
				Description string
				Edits       []struct {
					Start, End int
					Text       string
				}
			}
		}
		Summary struct{ Files, Errors, Warnings, Fixable int }
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	s := doc.Summary
	if doc.FormatVersion != Format || len(doc.Findings) != len(findings) || s.Files != 3 || s.Errors+s.Warnings != len(findings) || s.Errors == 0 || s.Warnings == 0 {
		t.Errorf("%+v", doc)
	}
	fixable := 0
	for i, f := range findings {
		got := doc.Findings[i]
		if got.File != f.File || got.Key != f.Key || got.Rule != f.Rule || got.Severity != string(f.Severity) || got.Message != f.Message ||
			got.Line != f.Start.Line || got.Column != f.Start.Column || got.EndLine != f.End.Line || got.EndColumn != f.End.Column {
			t.Errorf("%+v for %+v", got, f)
		}
		if f.Fix != nil {
			fixable++
			if got.Fix == nil || len(got.Fix.Edits) != len(f.Fix.Edits) || got.Fix.Edits[0].Text != f.Fix.Edits[0].Text || got.Fix.Edits[0].End != f.Fix.Edits[0].End.Byte {
				t.Errorf("%+v for %+v", got.Fix, f.Fix)
			}
		}
	}
	if fixable == 0 || s.Fixable != fixable {
		t.Errorf("%d fixable, want %d", s.Fixable, fixable)
	}
	empty, err := JSON(nil, 0)
	if err != nil || !strings.Contains(string(empty), `"findings": []`) {
		t.Errorf("%s, %v", empty, err)
	}
}

func TestGitHub(t *testing.T) {
	t.Parallel()
	at := func(line, column int) mirrorsd.Position { return mirrorsd.Position{Line: line, Column: column} }
	got := string(GitHub([]mirrorsd.Finding{
		{File: "mirrors.d/a.yml", Rule: "country", Severity: mirrorsd.Error, Message: "a, b: 100%", Start: at(2, 3), End: at(2, 5)},
		{File: "o,dd:100%\r\n.yml", Rule: "line-ending", Severity: mirrorsd.Warning, Message: "x\ny\r", Start: at(1, 1), End: at(2, 1)},
		{File: "a.yml", Rule: "required", Severity: mirrorsd.Error, Message: "m", Start: at(1, 1), End: at(1, 1)},
	}))
	want := "::error file=mirrors.d/a.yml,line=2,endLine=2,col=3,endColumn=4,title=mirrorform lint%3A country::a, b: 100%25\n" +
		"::warning file=o%2Cdd%3A100%25%0D%0A.yml,line=1,endLine=2,title=mirrorform lint%3A line-ending::x%0Ay%0D\n" +
		"::error file=a.yml,line=1,endLine=1,col=1,endColumn=1,title=mirrorform lint%3A required::m\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if lines := strings.Count(string(GitHub(sample(t))), "\n"); lines != len(sample(t)) {
		t.Errorf("%d lines for %d findings", lines, len(sample(t)))
	}
}
