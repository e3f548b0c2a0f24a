package resources

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what was got into the text files")

// The text files under testdata/TYPE/ hold one case each. What is given:
//
//	want      the wanted state, as JSON by attribute name
//	remove    is there when the resource is to be removed; want is then its last wanted state
//	stale     is there when something that the resource follows changes in the same plan
//	prior     the resource's attributes in the host's manifest, as JSON; without it, the manifest does not have it
//	secret    is there when a sensitive value goes into it
//	made      is there when the manifest says that mirrorform made it
//	removed   the states of its type that the same plan removes, in this order, as a JSON list
//	facts     the host's facts as JSON, in place of defaultFacts
//	answers   the host's answers as JSON by Query.Key without the option; a mode may be written "0644", and
//	          "same": true in a file gives it the content that would be written, and the body "served" is
//	          what a server must answer with
//	host PATH the content of the file PATH on the host
//
// and what is expected (-update writes it): problems, found, settled (what the answers decide),
// steps, and keys.
func TestCases(t *testing.T) {
	t.Parallel()
	for _, name := range All().Names() {
		files, err := filepath.Glob(filepath.Join("testdata", name, "*.txtar"))
		if err != nil || len(files) < 4 {
			t.Errorf("%s has %d cases, every type needs some: %v", name, len(files), err)
		}
		for _, file := range files {
			t.Run(name+"/"+strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
				t.Parallel()
				archive, err := txtar.ParseFile(file)
				if err != nil {
					t.Fatal(err)
				}
				c := parseCase(t, archive)
				got := typeUnderTest{All().Kind(name)}.run(t, c)
				if *update {
					c.write(t, file, archive, got)
					return
				}
				for _, section := range expected {
					if want := c.text[section]; want != got[section] {
						t.Errorf("%s: got\n%s\nwant\n%s", section, got[section], want)
					}
				}
			})
		}
	}
}

// expected are the sections that a case's run makes.
var expected = []string{"problems", "found", "settled", "steps", "keys"}

const defaultFacts = `{"os": {"id": "debian", "family": "debian"}, "packages": "apt", "systemd": true}`

type testCase struct {
	text   map[string]string
	target engine.Target
	files  map[string]string // contents on the host
}

func parseCase(t testing.TB, a *txtar.Archive) *testCase {
	t.Helper()
	c := &testCase{text: map[string]string{}, files: map[string]string{}, target: engine.Target{Name: "fra1", Helper: "digest-of-the-helper"}}
	for _, f := range a.Files {
		if path, ok := strings.CutPrefix(f.Name, "host "); ok {
			c.files[path] = string(f.Data)
			continue
		}
		if _, twice := c.text[f.Name]; twice {
			t.Fatalf("two sections %s", f.Name)
		}
		c.text[f.Name] = string(f.Data)
	}
	known := append([]string{"want", "remove", "stale", "prior", "secret", "made", "removed", "starts", "stops", "installs", "facts", "answers"}, expected...)
	for name := range c.text {
		if !slices.Contains(known, name) {
			t.Fatalf("unknown section %s", name)
		}
	}
	facts := c.text["facts"]
	if facts == "" {
		facts = defaultFacts
	}
	decode(t, "facts", facts, &c.target.Facts)
	c.target.Starts, c.target.Stops = strings.Fields(c.text["starts"]), strings.Fields(c.text["stops"])
	c.target.Provided = map[engine.Key]bool{}
	for name := range strings.FieldsSeq(c.text["installs"]) {
		c.target.Provided[engine.PackageKey(name)] = true
	}
	return c
}

func decode(t testing.TB, what, text string, into any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// write puts what was got into the file, in the place of what was there.
func (c *testCase) write(t *testing.T, file string, a *txtar.Archive, got map[string]string) {
	t.Helper()
	a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return slices.Contains(expected, f.Name) })
	for _, section := range expected {
		if got[section] != "" {
			a.Files = append(a.Files, txtar.File{Name: section, Data: []byte(got[section])})
		}
	}
	if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}

// typeUnderTest runs the cases of a type, and the laws that hold for every type.
type typeUnderTest struct{ kind *engine.Kind }

func (a typeUnderTest) run(t *testing.T, c *testCase) map[string]string {
	raw := a.kind.New()
	setState(t, raw, c.text["want"])
	if _, ok := c.text["secret"]; ok {
		raw.(engine.Discreet).HoldsSecret()
	}
	before := fmt.Sprintf("%#v", reflect.ValueOf(raw).Elem())
	defer func() {
		if after := fmt.Sprintf("%#v", reflect.ValueOf(raw).Elem()); after != before {
			t.Errorf("the wanted state was changed from %s to %s", before, after)
		}
	}()
	got := map[string]string{}
	problems := a.kind.Validate(raw)
	got["problems"] = problemText("validate", problems)
	if refused(problems) {
		if c.text["answers"] != "" {
			t.Error("the state is refused, so answers have no use")
		}
		return got
	}
	provides, needs := a.kind.Keys(c.target, raw)
	got["keys"] = keyText("provides", provides) + keyText("needs", needs) + keyText("follows", a.kind.Follows(c.target, raw))
	want := a.kind.Complete(c.target, raw)
	a.remove(t, c)
	a.sameIsDone(t, c, want)

	answers := a.answers(t, c, want)
	_, removed := c.text["remove"]
	if !removed && !a.kind.Applies(c.target, want, answers) {
		got["found"] = "nothing to compare on this host\n"
		goal := a.kind.Complete(c.target, a.kind.Settle(c.target, want, a.prior(t, c), answers))
		got["problems"] += problemText("check", a.kind.Check(c.target, goal, nil))
		return got
	}
	have, err := a.kind.Read(c.target, want, answers)
	if err != nil {
		got["found"] = "error: " + err.Error() + "\n"
		return got
	}
	if have != nil {
		got["found"] = stateText(have)
		a.sameIsDone(t, c, have)
	}
	goal := any(nil)
	if !removed {
		goal = a.kind.Settle(c.target, want, a.prior(t, c), answers)
		if a.kind.Settles() {
			got["settled"] = settledText(raw, want, goal)
		}
		goal = a.kind.Complete(c.target, goal)
	}
	got["problems"] += problemText("check", a.kind.Check(c.target, goal, have))
	if goal == nil && have == nil {
		return got
	}
	if _, ok := c.text["stale"]; ok {
		have = a.kind.Stale(want, have)
	}
	steps := a.kind.Diff(c.target, goal, have)
	got["steps"] = stepText(t, steps)
	for _, s := range steps {
		a.safeSummary(t, s, want, have)
	}
	return got
}

// remove has the target say what the plan removes.
func (a typeUnderTest) remove(t *testing.T, c *testCase) {
	t.Helper()
	var states []json.RawMessage
	if c.text["removed"] != "" {
		decode(t, "removed", c.text["removed"], &states)
	}
	for _, text := range states {
		state := a.kind.New()
		setState(t, state, string(text))
		c.target.Removed = append(c.target.Removed, a.kind.Complete(c.target, state))
	}
}

// prior is what the case's manifest has of the resource.
func (a typeUnderTest) prior(t *testing.T, c *testCase) *engine.Record {
	t.Helper()
	text, ok := c.text["prior"]
	if !ok {
		return nil
	}
	state := a.kind.New()
	setState(t, state, text)
	_, made := c.text["made"]
	return &engine.Record{Own: true, State: state, Made: made}
}

// settledText is what the answers have set.
func settledText(raw, completed, settled any) string {
	before := stateText(raw) + stateText(completed)
	var out strings.Builder
	for _, line := range strings.SplitAfter(stateText(settled), "\n") {
		if !strings.Contains(before, line) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// sameIsDone is the law that nothing is to be done from a state to the same.
func (a typeUnderTest) sameIsDone(t *testing.T, c *testCase, s any) {
	t.Helper()
	if steps := a.kind.Diff(c.target, s, s); len(steps) > 0 {
		t.Errorf("from a state to the same there are steps:\n%s\n%s", stateText(s), stepText(t, steps))
	}
}

// safeSummary is the law that the summary of a step holds no value that may be secret: none but what says which thing is meant.
func (a typeUnderTest) safeSummary(t *testing.T, s engine.Step, states ...any) {
	t.Helper()
	for _, state := range states {
		if state == nil {
			continue
		}
		var ids, others []string
		eachAttribute(state, func(f reflect.StructField, name string, v reflect.Value) {
			values := strings.FieldsFunc(fmt.Sprint(v.Interface()), func(r rune) bool { return strings.ContainsRune("[]: ", r) })
			if f.Tag.Get("id") == "true" {
				ids = append(ids, values...)
			} else if f.Tag.Get("hcl") != "" && v.Kind() != reflect.Bool {
				others = append(others, values...)
			}
		})
		for _, value := range others {
			named := slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(id, value) })
			if len(value) >= 4 && !named && strings.Contains(s.Summary, value) {
				t.Errorf("the summary %q holds the value %q", s.Summary, value)
			}
		}
	}
}

// answers are those of the case. Each must be asked for, and each question answered.
func (a typeUnderTest) answers(t *testing.T, c *testCase, want any) engine.Answers {
	t.Helper()
	raw := map[string]map[string]any{}
	if c.text["answers"] != "" {
		decode(t, "answers", c.text["answers"], &raw)
	}
	queries := a.kind.Ask(c.target, want)
	var list []wire.Answer
	for _, q := range queries {
		plain := q
		plain.Option = ""
		r, ok := raw[plain.Key()]
		if !ok {
			t.Fatalf("the question %q has no answer", plain.Key())
		}
		delete(raw, plain.Key())
		list = append(list, a.answer(t, c, q, r, want))
	}
	for key := range raw {
		t.Errorf("the answer to %q is not asked for", key)
	}
	got, err := engine.NewAnswers(queries, list)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// answer is one answer, as the helper gives it for the query's option.
func (a typeUnderTest) answer(t *testing.T, c *testCase, q wire.Query, raw map[string]any, want any) wire.Answer {
	t.Helper()
	file, _ := raw["file"].(map[string]any)
	if mode, ok := file["mode"].(string); ok {
		n, err := strconv.ParseUint(mode, 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		file["mode"] = n
	}
	if http, _ := raw["http"].(map[string]any); http["body"] == "served" {
		http["body"] = a.probed(t, c, want)
	}
	same := file["same"] == true
	delete(file, "same")
	text, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	var out wire.Answer
	decode(t, q.Key(), string(text), &out)
	content, ok := c.files[q.Arg]
	if same {
		content, ok = a.written(t, c, q.Arg, want), true
	}
	if ok && out.File != nil {
		out.File.SHA256, out.File.Size = digestOf([]byte(content)), int64(len(content))
		if unless, asked := strings.CutPrefix(q.Option, "content-unless:"); (asked || slices.Contains([]string{"content", "follow-content", "head"}, q.Option)) && unless != out.File.SHA256 {
			out.File.Content, out.File.HasContent = []byte(content), true
		}
	}
	if out.File != nil && out.File.Kind != wire.Absent {
		out.File.Fingerprint = "found"
	}
	return out
}

// probed is the body that a server must answer with after creating want.
func (a typeUnderTest) probed(t *testing.T, c *testCase, want any) string {
	t.Helper()
	for _, s := range a.kind.Diff(c.target, want, nil) {
		if s.Do.Probe != nil {
			return s.Do.Probe.Body
		}
	}
	t.Fatal("nothing is probed")
	return ""
}

// written is the content that creating want writes to path.
func (a typeUnderTest) written(t *testing.T, c *testCase, path string, want any) string {
	t.Helper()
	for _, s := range a.kind.Diff(c.target, want, nil) {
		if s.Do.Write != nil && s.Do.Write.Path == path {
			return string(s.Do.Write.Content)
		}
	}
	t.Fatalf("nothing writes %s", path)
	return ""
}

// eachAttribute calls f with each field of a state (*S) that has a name in configurations or plans, and is set.
func eachAttribute(state any, f func(field reflect.StructField, name string, v reflect.Value)) {
	v := reflect.ValueOf(state).Elem()
	for _, field := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(field.Tag.Get("hcl"), ",")
		if name == "" {
			name, _, _ = strings.Cut(field.Tag.Get("plan"), ",")
		}
		fv := v.FieldByIndex(field.Index)
		if name == "" || fv.IsZero() {
			continue
		}
		if fv.Kind() == reflect.Pointer {
			fv = fv.Elem()
		}
		f(field, name, fv)
	}
}

// setState fills a state (*S) from JSON by attribute name. Fields without a name go by their Go name.
func setState(t testing.TB, state any, text string) {
	t.Helper()
	raw := map[string]json.RawMessage{}
	decode(t, "want", text, &raw)
	v := reflect.ValueOf(state).Elem()
	for _, field := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(field.Tag.Get("hcl"), ",")
		if name == "" && (field.Tag.Get("plan") == "" || field.Tag.Get("remember") != "") {
			name = field.Name
		}
		value, ok := raw[name]
		if !ok {
			continue
		}
		delete(raw, name)
		if field.Type == reflect.TypeFor[[]byte]() {
			var s string
			decode(t, name, string(value), &s)
			v.FieldByIndex(field.Index).SetBytes([]byte(s))
			continue
		}
		decode(t, name, string(value), v.FieldByIndex(field.Index).Addr().Interface())
	}
	for name := range raw {
		t.Errorf("there is no attribute %s", name)
	}
}

func stateText(state any) string {
	var out strings.Builder
	eachAttribute(state, func(_ reflect.StructField, name string, v reflect.Value) {
		fmt.Fprintf(&out, "%s: %s\n", name, compact(v.Interface()))
	})
	return out.String()
}

// compact is JSON on one line, without the escapes that are for web pages.
func compact(v any) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(out.String())
}

func problemText(stage string, problems []engine.Problem) string {
	var out strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&out, "%s %s", stage, p.Severity)
		if p.Attribute != "" {
			fmt.Fprintf(&out, " %s", p.Attribute)
		}
		fmt.Fprintf(&out, ": %s\n", p)
	}
	return out.String()
}

func keyText(title string, keys []engine.Key) string {
	var out strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&out, "%s %s\n", title, k)
	}
	return out.String()
}

// stepText prints steps. It checks that each has an undo, or says why it has none, and not both.
func stepText(t *testing.T, steps []engine.Step) string {
	t.Helper()
	var out strings.Builder
	for _, s := range steps {
		if s.Summary == "" || (s.Undo == nil) == (s.Final == "") {
			t.Errorf("the step %+v needs a summary, and either an undo or a reason why it is final", s)
		}
		fmt.Fprintf(&out, "%s\n  do %s\n", s.Summary, opText(s.Do))
		if s.Do.Write != nil {
			out.WriteString(indent(string(s.Do.Write.Content)))
		}
		if s.Undo != nil {
			fmt.Fprintf(&out, "  undo %s\n", opText(*s.Undo))
		} else {
			fmt.Fprintf(&out, "  final: %s\n", s.Final)
		}
	}
	return out.String()
}

// indent marks the lines of a file, with $ at the end of one that does not end.
func indent(content string) string {
	var out strings.Builder
	for line := range strings.Lines(content) {
		text, ended := strings.CutSuffix(line, "\n")
		out.WriteString("    | " + text)
		if !ended {
			out.WriteString("$")
		}
		out.WriteString("\n")
	}
	return out.String()
}

var (
	jsonContent = regexp.MustCompile(`,"content":("[^"]*"|null)`)
	jsonMode    = regexp.MustCompile(`"mode":[0-9]+`)
)

// opText is an operation as JSON; the content of a file is left out, and modes are octal.
func opText(op wire.Op) string {
	text := compact(op)
	if op.Write != nil {
		text = jsonContent.ReplaceAllString(text, "")
	}
	return jsonMode.ReplaceAllStringFunc(text, func(s string) string {
		n, _ := strconv.ParseUint(strings.TrimPrefix(s, `"mode":`), 10, 32)
		return fmt.Sprintf(`"mode":%04o`, n)
	})
}

// Saved plans have digests of states, so a state is made of plain data.
func TestStatesArePlainData(t *testing.T) {
	t.Parallel()
	var check func(t *testing.T, of reflect.Type)
	check = func(t *testing.T, of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			check(t, of.Elem())
		case reflect.Map:
			check(t, of.Key())
			check(t, of.Elem())
		case reflect.Struct:
			for i := range of.NumField() {
				check(t, of.Field(i).Type)
			}
		case reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Uintptr, reflect.Complex64, reflect.Complex128:
			t.Errorf("a %s has no digest", of)
		}
	}
	for _, name := range All().Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, reflect.TypeOf(All().Kind(name).New()))
		})
	}
}
