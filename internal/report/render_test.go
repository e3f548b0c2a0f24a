package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/joshdk/go-junit"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/mirrorform/mirrorform/internal/sarif/sariftest"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	goldhtml "github.com/yuin/goldmark/renderer/html"
	"golang.org/x/net/html"
)

// samples are results of every kind.
func samples() map[string]*Result {
	status := &Result{FormatVersion: Format, Command: "status", Hosts: []HostResult{}, Status: &Status{FormatVersion: "1.0", Hosts: []HostStatus{
		{Name: "fra1", Reachable: true, Changes: ptr(2), Mirrors: []MirrorStatus{{Name: "kitten", LastSync: &syncs.Record{Start: 1772330000, End: 1772330400, Exit: 23, By: "cron"}}, {
			Name: "epel", LastSync: &syncs.Record{Start: 1772330000, End: 1772330400, Exit: 65, By: "cron"}, Held: ptr(true), Rsync: NotServed,
		}, {
			Name: "almalinux", Path: "/srv/mirror/almalinux", LastSync: &syncs.Record{Start: 1772330000, End: 1772330500, By: "cron"},
			Clock: ptr(testStart), SuccessAge: ptr(int64(484)), Held: ptr(false), UpstreamTime: ptr(int64(1772330000)), Rsync: "full",
			Used: ptr(uint64(1 << 40)), Available: ptr(uint64(1 << 39)), DaysUntilFull: ptr(90.5),
			Certificate: &Certificate{File: "/etc/ssl/cert.pem", NotBefore: ptr(testStart), NotAfter: ptr(testStart.AddDate(0, 0, 61)), DaysLeft: ptr(60)},
		}}},
		{Name: "far", Error: "no route", Mirrors: []MirrorStatus{}},
	}}}
	status.Count()
	ended := planResult()
	ended.Command, ended.Error = "apply", "not approved; nothing was changed"
	ended.NotDone()
	broken := &Result{FormatVersion: Format, Command: "plan", Start: testStart, End: testStart, Hosts: []HostResult{}, Error: "the configuration has errors",
		Problems: []Problem{{Severity: "error", Summary: "Unsupported argument", Detail: "Did you mean \"content\"?", File: "fleet.hcl", Line: 3, Column: 3, EndLine: 3, EndColumn: 9}}}
	broken.Count()
	return map[string]*Result{
		"drift": planResult(), "apply": applyResult(), "ended": ended, "broken": broken, "verify": verifyResult(), "status": status, "plan": FromPlan(fleetPlan()),
		"empty": FromPlan(&engine.Plan{}), "hostile": hostileResult(),
	}
}

func ptr[T any](v T) *T { return &v }

// eachSample renders every sample, and has what comes out be for a terminal, too.
func eachSample(t *testing.T, format, extension string, check func(t *testing.T, r *Result, text []byte)) {
	t.Helper()
	render, err := RendererOf(format)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range samples() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := render(r, Options{Version: "v1.2.3"})
			if err != nil {
				t.Fatal(err)
			}
			checkSafe(t, string(text))
			if bytes.Contains(text, []byte("canary")) {
				t.Error("a sensitive value is in it")
			}
			if !bytes.HasSuffix(text, []byte("\n")) {
				t.Error("it has no final newline")
			}
			if name != "hostile" {
				golden(t, name+extension, string(text))
			}
			check(t, r, text)
		})
	}
}

// TestJUnit reads the files with a library that CI tools use, and holds their elements and attributes against those that Jenkins's schema has.
func TestJUnit(t *testing.T) {
	t.Parallel()
	eachSample(t, "junit", ".junit.xml", func(t *testing.T, r *Result, text []byte) {
		checkElements(t, text)
		suites, err := junit.Ingest(text)
		if err != nil {
			t.Fatal(err)
		}
		want := len(r.Hosts)
		if r.Error != "" || slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Severity == "error" }) {
			want++
		}
		if r.Status != nil {
			want += len(r.Status.Hosts)
		}
		if r.Verify != nil {
			want += len(r.Verify.Mirrors)
		}
		if len(suites) != want {
			t.Fatalf("%d suites, want %d", len(suites), want)
		}
		for _, s := range suites {
			h := r.Host(s.Name)
			if h == nil {
				continue
			}
			drifted := 0
			for _, test := range s.Tests {
				var e junit.Error
				if test.Status == junit.StatusFailed && errors.As(test.Error, &e) && e.Type == "drift" {
					drifted++
				}
				if test.Name == "host" && (test.Status == junit.StatusError) != h.Outcome.Bad() {
					t.Errorf("%s is %s, and its test case is %s", h.Name, h.Outcome, test.Status)
				}
			}
			if h.Outcome == Drifted && drifted != len(h.Changes) || h.Outcome != Drifted && drifted > 0 {
				t.Errorf("%s: %d failures for %d changes", h.Name, drifted, len(h.Changes))
			}
		}
	})
}

// checkElements holds a document against the elements and attributes of junit-10.xsd of Jenkins's xunit plugin: which are required and allowed.
func checkElements(t *testing.T, text []byte) {
	t.Helper()
	allowed := map[string]struct{ parents, required, optional string }{
		"testsuites": {"", "", "name time tests failures errors"},
		"testsuite":  {"testsuites", "name tests failures errors", "group time skipped timestamp hostname id package file log url"},
		"testcase":   {"testsuite", "name", "time classname group"},
		"failure":    {"testcase", "", "type message"},
		"error":      {"testcase", "", "type message"},
		"skipped":    {"testcase", "", "type message"},
		"system-out": {"testcase", "", ""},
	}
	number := regexp.MustCompile(`^[0-9]*(\.[0-9]*)?$`)
	dec := xml.NewDecoder(bytes.NewReader(text))
	stack := []string{""}
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			rule, ok := allowed[name]
			if !ok || rule.parents != stack[len(stack)-1] {
				t.Fatalf("<%s> stands in <%s>", name, stack[len(stack)-1])
			}
			left := strings.Fields(rule.required)
			for _, a := range token.Attr {
				left = slices.DeleteFunc(left, func(s string) bool { return s == a.Name.Local })
				if !slices.Contains(strings.Fields(rule.required+" "+rule.optional), a.Name.Local) || a.Name.Local == "time" && !number.MatchString(a.Value) {
					t.Errorf("<%s> has %s=%q", name, a.Name.Local, a.Value)
				}
			}
			if len(left) > 0 {
				t.Errorf("<%s> lacks %v", name, left)
			}
			stack = append(stack, name)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if top := stack[len(stack)-1]; strings.TrimSpace(string(token)) != "" && (top == "testsuites" || top == "testsuite" || top == "testcase") {
				t.Errorf("<%s> has the text %q", top, token)
			}
		}
	}
}

// TestSARIF holds the logs against the official schema, and reads them with a library that is not ours.
func TestSARIF(t *testing.T) {
	t.Parallel()
	schema := sariftest.Schema(t)
	eachSample(t, "sarif", ".sarif", func(t *testing.T, r *Result, text []byte) {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Error(err)
		}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		var log sarif.Report
		if err := dec.Decode(&log); err != nil {
			t.Fatal(err)
		}
		drifted := 0
		seen := map[string]bool{}
		for _, res := range log.Runs[0].Results {
			if *log.Runs[0].Tool.Driver.Rules[res.RuleIndex].ID != *res.RuleID {
				t.Errorf("%s has the index %d", *res.RuleID, res.RuleIndex)
			}
			fingerprint := res.PartialFingerprints["primaryLocationLineHash"]
			if *res.RuleID != "mirror" && seen[fingerprint] { // what is about one file in a mirror is one finding with others of the same check
				t.Errorf("two results have the fingerprint %s", fingerprint)
			}
			seen[fingerprint] = true
			if *res.RuleID != "drift" {
				continue
			}
			drifted++
			if r.Command != "" && len(res.Locations) == 0 {
				t.Errorf("%s has no location", *res.Message.Text)
			}
		}
		want := 0
		for _, h := range r.Hosts {
			if h.Outcome == Drifted {
				want += len(h.Changes)
			}
		}
		if drifted != want {
			t.Errorf("%d results for %d changes", drifted, want)
		}
	})
}

// TestPrometheus reads the text with Prometheus's own parser and linter.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	eachSample(t, "prometheus", ".prom", func(t *testing.T, r *Result, text []byte) {
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		problems, err := promlint.New(bytes.NewReader(text)).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("%v, %v", problems, err)
		}
		if len(r.Hosts) == 0 {
			return
		}
		drifted, outcomes := map[string]float64{}, 0.0
		for _, m := range families["mirrorform_host_drifted"].GetMetric() {
			drifted[label(m, "host")] = m.GetGauge().GetValue()
		}
		for _, m := range families["mirrorform_host_outcome"].GetMetric() {
			outcomes += m.GetGauge().GetValue()
		}
		if int(outcomes) != len(r.Hosts) {
			t.Errorf("%v outcomes of %d hosts", outcomes, len(r.Hosts))
		}
		for _, h := range r.Hosts {
			v, known := drifted[plain.Escape(h.Name)]
			if h.Outcome == Drifted && (!known || v != 1) || h.Outcome == Unreachable && known || h.Outcome == OK && (!known || v != 0) {
				t.Errorf("%s is %s, and the metric is %v (%t)", h.Name, h.Outcome, v, known)
			}
		}
	})
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// TestMarkdown renders with a parser that is not ours: nothing but the elements that are meant to be there comes out, and what is in a result is text.
func TestMarkdown(t *testing.T) {
	t.Parallel()
	eachSample(t, "markdown", ".md", func(t *testing.T, r *Result, text []byte) {
		checkMarkdown(t, text)
	})
}

func checkMarkdown(t *testing.T, text []byte) {
	t.Helper()
	var page bytes.Buffer
	md := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(goldhtml.WithUnsafe()))
	if err := md.Convert(text, &page); err != nil {
		t.Fatal(err)
	}
	meant := strings.Fields("h2 h3 p strong code pre ul li details summary table thead tbody tr th td")
	open := map[string]int{}
	z := html.NewTokenizer(bytes.NewReader(page.Bytes()))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		token := z.Token()
		switch kind {
		case html.StartTagToken:
			open[token.Data]++
			if !slices.Contains(meant, token.Data) || len(token.Attr) > 0 && (token.Data != "code" || token.Attr[0].Val != "language-diff") {
				t.Fatalf("%s comes out of\n%s", token, text)
			}
		case html.EndTagToken:
			open[token.Data]--
		case html.SelfClosingTagToken, html.CommentToken, html.DoctypeToken:
			t.Fatalf("%s comes out of\n%s", token, text)
		}
		if open["details"] < 0 || open["details"] > 1 {
			t.Fatalf("a section ends too early, or is in another:\n%s", text)
		}
	}
	for name, n := range open {
		if n != 0 {
			t.Errorf("%d <%s> are open at the end of\n%s", n, name, text)
		}
	}
}

// TestMarkdownLimit has results that do not fit.
func TestMarkdownLimit(t *testing.T) {
	t.Parallel()
	r := hostileResult()
	for i := range 3000 {
		h := r.Hosts[i%6]
		h.Name = fmt.Sprintf("%s%d", h.Name, i)
		r.Hosts = append(r.Hosts, h)
	}
	long := strings.Repeat("+line\n", 20000)
	r.Hosts[0].Changes[0].Diff, r.Error = long, strings.Repeat("\n", 100000)
	r.Count()
	for _, limit := range []int{0, 1000, 5000, 20000, SummaryLimit} {
		text, err := Markdown(r, Options{Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		if most := max(limit, 1); limit > 0 && len(text) > most || limit == 0 && len(text) > DefaultLimit {
			t.Errorf("%d bytes for a limit of %d", len(text), limit)
		}
		checkMarkdown(t, text)
		if !strings.Contains(string(text), "The JSON result has everything.") && limit != SummaryLimit {
			t.Errorf("it does not say that something is left out: %s", text)
		}
	}
}

func TestRendererOf(t *testing.T) {
	t.Parallel()
	for _, f := range Formats() {
		if _, err := RendererOf(f); err != nil {
			t.Error(err)
		}
	}
	if _, err := RendererOf("xml"); err == nil || !strings.Contains(err.Error(), `"xml"`) || !strings.Contains(err.Error(), "junit") {
		t.Error(err)
	}
}

// FuzzRender puts any text into the fields of a result: every renderer's output stays what it is.
func FuzzRender(f *testing.F) {
	f.Add(hostile, "x")
	f.Add("```", "``````\n`")
	f.Add("a|b", "<details>\n\n</details>")
	f.Add("\\", "\"\\\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		r := &Result{FormatVersion: Format, Command: "drift", Start: testStart, End: testStart, Error: b, Problems: []Problem{{Severity: "warning", Summary: a, Detail: b, File: "f.hcl", Line: 1}},
			Hosts: []HostResult{{Name: a, Address: b, Outcome: Failed, Error: &b, Warnings: []string{a}, Notes: []string{b}, Resources: []Resource{{Address: b, Type: a}},
				Changes: []Change{{Address: a, Type: b, Action: engine.Update, Steps: []string{a, b}, Diff: a + "\n" + b}}}}}
		r.Count()
		for _, format := range Formats() {
			render, err := RendererOf(format)
			if err != nil {
				t.Fatal(err)
			}
			text, err := render(r, Options{})
			if err != nil {
				t.Fatal(err)
			}
			checkSafe(t, string(text))
			switch format {
			case "junit":
				checkElements(t, text)
			case "markdown":
				checkMarkdown(t, text)
			case "html":
				checkPage(t, text)
			case "prometheus":
				parser := expfmt.NewTextParser(model.LegacyValidation)
				if _, err := parser.TextToMetricFamilies(bytes.NewReader(text)); err != nil {
					t.Fatalf("%v in\n%s", err, text)
				}
			default:
				if !json.Valid(text) {
					t.Fatalf("not JSON: %s", text)
				}
			}
		}
	})
}
