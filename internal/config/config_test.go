package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/resources"
	"github.com/rogpeppe/go-internal/txtar"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// The sections of a case that are not files of the configuration: what Load is given, and what is expected.
const (
	sectionArgs        = "args"        // lines: var NAME=VALUE, var-file PATH, env KEY=VALUE, allow-missing
	sectionFacts       = "facts"       // JSON: host to wire.Facts
	sectionDiagnostics = "diagnostics" // of Load
	sectionHosts       = "hosts"
	sectionResources   = "resources" // of all hosts, with facts; with the diagnostics of Resources
	sectionOutputs     = "outputs"
	sectionMoves       = "moves"
	sectionRollout     = "rollout"
	// sectionFound is given, in JSON: the address of a resource to the state that is found after an apply, or null.
	// sectionAfter is expected: what postconditions say of it.
	sectionFound = "found"
	sectionAfter = "after"
)

// expectations are the sections that are expected, in their order.
var expectations = []string{sectionDiagnostics, sectionHosts, sectionResources, sectionOutputs, sectionMoves, sectionRollout, sectionAfter}

// TestCases loads each configuration in testdata and compares what comes out.
func TestCases(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := runCase(t, archive)
			if *update {
				writeCase(t, path, archive, got)
				return
			}
			compareCase(t, archive, got)
		})
	}
}

func isExpectation(name string) bool {
	return slices.Contains(expectations, name)
}

// runCase returns the text of every expectation; those that are empty are left out.
func runCase(t *testing.T, archive *txtar.Archive) map[string]string {
	dir := t.TempDir()
	o := Options{Dir: dir, Registry: testRegistry()}
	facts := map[string]*wire.Facts{}
	found := map[string]json.RawMessage{}
	for _, f := range archive.Files {
		switch {
		case f.Name == sectionArgs:
			readArgs(t, dir, string(f.Data), &o)
		case f.Name == sectionFacts:
			if err := json.Unmarshal(f.Data, &facts); err != nil {
				t.Fatal(err)
			}
		case f.Name == sectionFound:
			if err := json.Unmarshal(f.Data, &found); err != nil {
				t.Fatal(err)
			}
		case !isExpectation(f.Name):
			path := filepath.Join(dir, f.Name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, f.Data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	c, diags := Load(o)
	got := map[string]string{sectionDiagnostics: diagnosticsText(diags, dir)}
	if !diags.HasErrors() {
		got[sectionHosts] = hostsText(c)
		got[sectionResources] = strings.ReplaceAll(resourcesText(t, c, facts, dir), dir, "DIR")
		got[sectionOutputs] = outputsText(t, c, facts, dir)
		for _, m := range c.Moves() {
			got[sectionMoves] += fmt.Sprintf("%s -> %s\n", m.From, m.To)
		}
		got[sectionRollout] = rolloutText(c.Rollout())
		got[sectionAfter] = afterText(t, c, facts, found, dir)
	}
	checkRanges(t, c, diags)
	return got
}

// checkRanges checks that each place lies within its file.
func checkRanges(t *testing.T, c *Config, diags hcl.Diagnostics) {
	t.Helper()
	files := c.Files()
	for _, d := range diags {
		if d.Subject == nil {
			continue
		}
		f := files[d.Subject.Filename]
		if f == nil {
			t.Errorf("%s: %s: there is no file of that name", d.Subject, d.Summary)
		} else if !d.Subject.CanSliceBytes(f.Bytes) {
			t.Errorf("%s: %s: the place is outside of the file", d.Subject, d.Summary)
		}
	}
}

func readArgs(t *testing.T, dir, text string, o *Options) {
	for line := range strings.Lines(text) {
		kind, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch kind {
		case "var":
			o.Sources = append(o.Sources, lang.VarSource{Assign: value})
		case "var-file":
			o.Sources = append(o.Sources, lang.VarSource{File: filepath.Join(dir, value)})
		case "env":
			o.Environ = append(o.Environ, value)
		case "allow-missing":
			o.AllowMissing = true
		default:
			t.Fatalf("unknown argument %q", line)
		}
	}
}

func diagnosticsText(diags hcl.Diagnostics, dir string) string {
	var b strings.Builder
	for _, d := range diags {
		severity, at := "error", "-"
		if d.Severity == hcl.DiagWarning {
			severity = "warning"
		}
		if d.Subject != nil {
			at = d.Subject.String()
		}
		fmt.Fprintf(&b, "%s %s: %s\n    %s\n", severity, at, d.Summary, strings.ReplaceAll(d.Detail, "\n", "\n    "))
	}
	return strings.ReplaceAll(b.String(), dir+"/", "")
}

func hostsText(c *Config) string {
	var b strings.Builder
	for _, h := range c.Hosts() {
		fmt.Fprintf(&b, "%s address=%s user=%s port=%d become=%s password=%q keys=%q timeout=%s labels=%v local=%t at %s\n",
			h.Name, h.Address, h.User, h.Port, h.Become, h.BecomePassword, h.HostKey, h.ConnectTimeout, h.Labels, h.Local, sourceOf(h.Range))
		if h.ConfirmTimeout != defaultConfirm {
			fmt.Fprintf(&b, "%s confirm=%s\n", h.Name, h.ConfirmTimeout)
		}
		if h.Jump != nil {
			fmt.Fprintf(&b, "%s jump=%s\n", h.Name, h.Jump.Name)
		}
		if h.OnThisMachine {
			fmt.Fprintf(&b, "%s runs here\n", h.Name)
		}
	}
	return b.String()
}

func resourcesText(t *testing.T, c *Config, facts map[string]*wire.Facts, dir string) string {
	var b strings.Builder
	for _, h := range c.Hosts() {
		list, diags := c.Resources(h.Name, facts)
		b.WriteString(diagnosticsText(diags, dir))
		for _, r := range list {
			state, err := json.Marshal(shortened(r.State))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s %s", r, state)
			if len(r.Sensitive) > 0 {
				fmt.Fprintf(&b, " sensitive=%v", lang.SortedKeys(r.Sensitive))
			}
			if r.PreventDestroy {
				b.WriteString(" prevent_destroy")
			}
			if len(r.DependsOn) > 0 {
				fmt.Fprintf(&b, " after=%v", r.DependsOn)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// shortened is a state with what a file holds cut after its second line, where it is long: a mirror's script is not this package's matter.
func shortened(state any) any {
	f, ok := state.(*resources.File)
	if !ok || f.Content == nil || len(*f.Content) < 1000 {
		return state
	}
	short := *f
	cut := strings.Join(strings.SplitAfterN(*f.Content, "\n", 3)[:2], "") + "…"
	short.Content = &cut
	return &short
}

// afterText tells what the postconditions of all resources that have some say of the found states.
func afterText(t *testing.T, c *Config, facts map[string]*wire.Facts, found map[string]json.RawMessage, dir string) string {
	var b strings.Builder
	for _, h := range c.Hosts() {
		list, _ := c.Resources(h.Name, facts)
		for _, r := range list {
			raw, given := found[r.Address.String()]
			delete(found, r.Address.String())
			if given != (r.Postcondition != nil) {
				t.Errorf("%s: a found state is given: %t, there are postconditions: %t", r.Address, given, r.Postcondition != nil)
			}
			if !given || r.Postcondition == nil {
				continue
			}
			var state any
			if string(raw) != "null" {
				state = r.Kind.New()
				if err := json.Unmarshal(raw, state); err != nil {
					t.Fatal(err)
				}
			}
			problems := r.Postcondition(state)
			if len(problems) == 0 {
				fmt.Fprintf(&b, "%s holds\n", r.Address)
			}
			for _, p := range problems {
				b.WriteString(diagnosticsText(hcl.Diagnostics{c.Problem(r, p)}, dir))
			}
		}
	}
	for address := range found {
		t.Errorf("there is no resource %s", address)
	}
	return b.String()
}

func outputsText(t *testing.T, c *Config, facts map[string]*wire.Facts, dir string) string {
	outputs, diags := c.Outputs(facts)
	var b strings.Builder
	b.WriteString(diagnosticsText(diags, dir))
	for _, name := range lang.SortedKeys(outputs) {
		o := outputs[name]
		text := "(unknown)"
		if o.Value.IsWhollyKnown() {
			value, err := ctyjson.Marshal(o.Value, o.Value.Type())
			if err != nil {
				t.Fatal(err)
			}
			text = string(value)
		}
		fmt.Fprintf(&b, "%s = %s", name, text)
		if o.Sensitive {
			b.WriteString(" sensitive")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func compareCase(t *testing.T, archive *txtar.Archive, got map[string]string) {
	want := map[string]string{}
	for _, f := range archive.Files {
		if isExpectation(f.Name) {
			want[f.Name] = string(f.Data)
		}
	}
	if len(want) == 0 {
		t.Error("the case expects nothing")
	}
	for _, name := range expectations {
		if got[name] != want[name] {
			t.Errorf("%s:\n--- got\n%s--- want\n%s", name, got[name], want[name])
		}
	}
}

func writeCase(t *testing.T, path string, archive *txtar.Archive, got map[string]string) {
	out := &txtar.Archive{Comment: archive.Comment}
	for _, f := range archive.Files {
		if !isExpectation(f.Name) {
			out.Files = append(out.Files, f)
		}
	}
	for _, name := range expectations {
		if got[name] != "" {
			out.Files = append(out.Files, txtar.File{Name: name, Data: []byte(got[name])})
		}
	}
	if err := os.WriteFile(path, txtar.Format(out), 0o644); err != nil {
		t.Fatal(err)
	}
}

// thing is a resource whose arguments have every type that arguments can have.
type thing struct {
	Name    string            `hcl:"name" id:"true"`
	Text    string            `hcl:"text,optional" json:",omitempty"`
	TextP   *string           `hcl:"text_pointer,optional" json:",omitempty"`
	Flag    bool              `hcl:"flag,optional" json:",omitempty"`
	FlagP   *bool             `hcl:"flag_pointer,optional" json:",omitempty"`
	Int     int               `hcl:"int,optional" json:",omitempty"`
	IntP    *int              `hcl:"int_pointer,optional" json:",omitempty"`
	Int64   int64             `hcl:"int64,optional" json:",omitempty"`
	Uint64  uint64            `hcl:"uint64,optional" json:",omitempty"`
	Float   float64           `hcl:"float,optional" json:",omitempty"`
	Texts   []string          `hcl:"texts,optional" json:",omitempty"`
	Ints    []int             `hcl:"ints,optional" json:",omitempty"`
	TextMap map[string]string `hcl:"text_map,optional" json:",omitempty"`
	Place   *thingPlace       `hcl:"place,optional" json:",omitempty"`
	Part    *thingPart        `hcl:"part,block" json:",omitempty"`
	Rules   []thingRule       `hcl:"rule,block" json:",omitempty"`
	Derived string            `plan:"derived" json:",omitempty"`
}

type thingPlace struct {
	Country string `hcl:"country"`
	City    string `hcl:"city,optional"`
}

type thingPart struct {
	Size string `hcl:"size"`
	Note string `hcl:"note,optional"`
}

type thingRule struct {
	Port int `hcl:"port"`
}

type thingType struct{}

func (thingType) Keys(_ engine.Target, want *thing) (provides, needs []engine.Key) {
	return []engine.Key{engine.Key("thing:" + want.Name)}, nil
}

func (thingType) Validate(want *thing) []engine.Problem {
	var problems []engine.Problem
	if strings.Contains(want.Name, "/") {
		problems = append(problems, engine.Errorf("name", "the name %q holds a slash", want.Name))
	}
	if want.Text != "" && want.TextP != nil {
		problems = append(problems, engine.Errorf("", "text and text_pointer are both set: %s", want.Text))
	}
	if strings.HasPrefix(want.Text, "bad") {
		problems = append(problems, engine.Errorf("text", "the text %q is bad", want.Text))
	}
	for i, r := range want.Rules {
		if r.Port > 65535 {
			problems = append(problems, engine.Errorf(fmt.Sprintf("rule[%d].port", i), "there is no port %d", r.Port))
		}
	}
	if want.Place != nil && len(want.Place.Country) != 2 {
		problems = append(problems, engine.Errorf("place.country", "%q is not a country", want.Place.Country))
	}
	if want.Part != nil && want.Part.Size == "0" {
		problems = append(problems, engine.Problem{Severity: engine.Warning, Attribute: "part.size", Summary: "the size is zero", Detail: "that is little"})
	}
	return problems
}

func (thingType) Ask(engine.Target, *thing) []wire.Query                     { return nil }
func (thingType) Read(engine.Target, *thing, engine.Answers) (*thing, error) { return nil, nil }
func (thingType) Diff(engine.Target, *thing, *thing) []engine.Step           { return nil }

// testRegistry holds the real types, and thing.
func testRegistry() *engine.Registry {
	r := mirror.Types()
	engine.Register(r, "thing", thingType{})
	return r
}
