package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// thing is a resource type for tests: a named value that may live below, need and follow others.
type thing struct {
	Name    string   `hcl:"name" id:"true"`
	Value   string   `hcl:"value,optional"`
	Needs   []string `hcl:"needs,optional"`
	Follows []string `hcl:"follows,optional"`
	Token   *string  `hcl:"token,optional"`
	Fresh   *bool    `plan:"fresh"`
	Awaits  string   `hcl:"awaits,optional"`
	Package bool
	Panic   string // where it panics: keys, ask, read, diff; applied: in Read, once the value is as wanted
}

type thingType struct{}

func query(s *thing) wire.Query { return wire.Query{Verb: wire.AskFile, Arg: s.Name} }

// keptType is one whose things hold what cannot be brought back.
type keptType struct{ thingType }

func (keptType) Keep() string { return "its files would be lost" }

// laterType is one whose things may fail for reasons of others.
type laterType struct{ thingType }

func (laterType) Later(want *thing) bool { return want.Value != "at once" }

func (l laterType) Diff(t engine.Target, want, have *thing) []engine.Step {
	steps := l.thingType.Diff(t, want, have)
	for i := range steps {
		steps[i].Hints = []engine.Hint{{Text: "too many", Advice: "wait an hour"}, {Text: "help", Advice: "none"}}
	}
	return steps
}

// interimType is one whose things have the value "meanwhile" until what they await is there. With
// the value "absent", they do not exist while that is missing.
type interimType struct{ thingType }

func (interimType) Awaits(_ engine.Target, want *thing) []engine.Key {
	return []engine.Key{engine.PathKey(want.Awaits)}
}

func (interimType) Loads(engine.Target, *thing) []engine.Key {
	return []engine.Key{engine.UnitKey("web.service")}
}

func (interimType) Interim(_ engine.Target, want *thing, _ engine.Answers, missing bool) (*thing, string) {
	switch c := *want; {
	case want.Value != "absent":
		c.Value = "meanwhile"
		return &c, want.Name + " is not the last one"
	case missing:
		return nil, want.Name + " is missing"
	}
	return want, ""
}

// shareType is one whose things can be parts of one thing. What they need is a name of it.
type shareType struct{ thingType }

func (shareType) Shares() bool { return true }

func (shareType) Keys(_ engine.Target, want *thing) (provides, needs []engine.Key) {
	provides = []engine.Key{engine.PathKey(want.Name)}
	for _, n := range want.Needs {
		provides = append(provides, engine.Key("name:"+n))
	}
	return provides, nil
}

// dirType is one whose things hold others: the value names them.
type dirType struct{ thingType }

func (dirType) Without(have *thing, gone func(path string) bool) *thing {
	without := *have
	without.Value = strings.Join(slices.DeleteFunc(strings.Fields(have.Value), gone), " ")
	return &without
}

func (d dirType) Diff(t engine.Target, want, have *thing) []engine.Step {
	if want == nil && have.Value != "" {
		return nil
	}
	return d.thingType.Diff(t, want, have)
}

func (s *thing) panics(where string) {
	if s != nil && s.Panic == where {
		panic("in " + where)
	}
}

func (thingType) Keys(_ engine.Target, want *thing) (provides, needs []engine.Key) {
	want.panics("keys")
	for _, n := range want.Needs {
		needs = append(needs, engine.PathKey(n))
	}
	return []engine.Key{engine.PathKey(want.Name)}, needs
}

func (thingType) Validate(*thing) []engine.Problem { return nil }

func (thingType) Ask(_ engine.Target, want *thing) []wire.Query {
	want.panics("ask")
	return []wire.Query{query(want)}
}

func (thingType) Read(_ engine.Target, want *thing, got engine.Answers) (*thing, error) {
	want.panics("read")
	f, err := got.File(query(want))
	if string(f.Content) == want.Value {
		want.panics("applied")
	}
	if err != nil || f.Kind == wire.Absent {
		return nil, err
	}
	fresh := true
	return &thing{Name: want.Name, Value: string(f.Content), Fresh: &fresh}, nil
}

// refusing is whether things with the value "refused now" are refused.
var refusing atomic.Bool

func (thingType) Check(_ engine.Target, want, _ *thing) []engine.Problem {
	if want.Value == "refused" || want.Value == "refused now" && refusing.Load() {
		return []engine.Problem{engine.Errorf("value", "this value is refused")}
	}
	return nil
}

func (thingType) Follows(_ engine.Target, want *thing) []engine.Key {
	var keys []engine.Key
	for _, f := range want.Follows {
		keys = append(keys, engine.PathKey(f))
	}
	return keys
}

func (thingType) Stale(_, have *thing) *thing {
	stale := *have
	stale.Fresh = nil
	return &stale
}

func (thingType) Diff(_ engine.Target, want, have *thing) []engine.Step {
	want.panics("diff")
	switch {
	case want == nil:
		return []engine.Step{{Summary: "remove " + have.Name, Do: wire.Op{Remove: &wire.RemoveOp{Path: have.Name}},
			Undo: &wire.Op{Restore: &wire.RestoreOp{Path: have.Name}}}}
	case want.Package && have == nil:
		return []engine.Step{{Summary: "install " + want.Name, Do: wire.Op{Package: &wire.PackageOp{Install: []string{want.Name}}}, Final: "test"}}
	case have == nil || want.Value != have.Value:
		return []engine.Step{{Summary: "write " + want.Name, Do: wire.Op{Write: &wire.WriteOp{Path: want.Name, Content: []byte(want.Value)}},
			Undo: &wire.Op{Restore: &wire.RestoreOp{Path: want.Name}}}}
	case want.Follows != nil && have.Fresh == nil:
		return []engine.Step{{Summary: "load " + want.Name, Do: wire.Op{Unit: &wire.UnitOp{Name: want.Name, Action: wire.UnitLoad}}, Final: "test"}}
	}
	return nil
}

func registry() *engine.Registry {
	r := new(engine.Registry)
	engine.Register(r, "thing", thingType{})
	engine.Register(r, "package", thingType{})
	engine.Register(r, "kept", keptType{})
	engine.Register(r, "dir", dirType{})
	engine.Register(r, "later", laterType{})
	engine.Register(r, "interim", interimType{})
	engine.Register(r, "share", shareType{})
	return r
}

func resource(s *thing) *engine.Resource {
	kind := "thing"
	if s.Package {
		kind = "package"
	}
	return &engine.Resource{Address: at("h/" + kind + "." + s.Name), Kind: registry().Kind(kind), State: s, Source: "test.hcl:1"}
}

// at is the address with this text.
func at(text string) engine.Address {
	a, _ := engine.ParseAddress(text)
	return a
}

func resources(things ...*thing) []*engine.Resource {
	var list []*engine.Resource
	for _, s := range things {
		list = append(list, resource(s))
	}
	return list
}

func names(list []*engine.Resource) string {
	var b strings.Builder
	for _, r := range list {
		b.WriteString(r.State.(*thing).Name + " ")
	}
	return strings.TrimSpace(b.String())
}

func TestOrder(t *testing.T) {
	t.Parallel()
	remove := func(list []*engine.Resource) []*engine.Resource {
		for _, r := range list {
			r.Remove = true
		}
		return list
	}
	for _, tc := range []struct {
		name string
		in   []*engine.Resource
		want string // names in order, or part of the problem
	}{
		{"as given", resources(&thing{Name: "/b"}, &thing{Name: "/a"}), "/b /a"},
		{"parents first", resources(&thing{Name: "/a/b/c", Needs: []string{"/a/b"}}, &thing{Name: "/a"}, &thing{Name: "/a/b", Needs: []string{"/a"}}), "/a /a/b /a/b/c"},
		{"packages first and together", resources(&thing{Name: "/x"}, &thing{Name: "/p", Package: true}, &thing{Name: "/y"}, &thing{Name: "/q", Package: true}), "/p /q /x /y"},
		{"removal in reverse", remove(resources(&thing{Name: "/a"}, &thing{Name: "/a/b", Needs: []string{"/a"}})), "/a/b /a"},
		{"no name that only begins alike", resources(&thing{Name: "/ab", Needs: []string{"/"}}, &thing{Name: "/a", Needs: []string{"/"}}), "/ab /a"},
		{"two of one path", resources(&thing{Name: "/a"}, &thing{Name: "/a"}), "two resources manage path /a: h/thing./a (test.hcl:1) and h/thing./a (test.hcl:1)"},
		{"cycle", resources(&thing{Name: "/a", Needs: []string{"/b"}}, &thing{Name: "/b", Needs: []string{"/c"}}, &thing{Name: "/c", Needs: []string{"/b"}}), "dependency cycle: h/thing./b (test.hcl:1) needs h/thing./c (test.hcl:1) needs h/thing./b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ordered, problems := engine.Order(engine.Target{}, tc.in)
			got := names(ordered)
			for _, p := range problems {
				got += p.String()
			}
			if got != tc.want && (len(problems) == 0 || !strings.Contains(got, tc.want)) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestOrderRefersToNothing(t *testing.T) {
	t.Parallel()
	r := resource(&thing{Name: "/a"})
	r.DependsOn = []engine.Address{at("h/thing.gone")}
	if _, problems := engine.Order(engine.Target{}, []*engine.Resource{r}); len(problems) != 1 || !strings.Contains(problems[0].Summary, "h/thing.gone") {
		t.Errorf("got %v", problems)
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	all := resources(&thing{Name: "/a"}, &thing{Name: "/a/b", Needs: []string{"/a"}}, &thing{Name: "/c"})
	for address, want := range map[string]string{
		"h/thing./a/b": "/a /a/b", "h": "/a /a/b /c", "h/thing./c": "/c", "h/thing": "/a /a/b /c", "h/thi": "", "other": "",
	} {
		if got := names(engine.Select(engine.Target{}, all, []string{address})); got != want {
			t.Errorf("%s selects %q, want %q", address, got, want)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	all := resources(
		&thing{Name: "/new", Value: "x"}, &thing{Name: "/same", Value: "x"}, &thing{Name: "/differs", Value: "x"},
		&thing{Name: "/follows", Value: "x", Follows: []string{"/differs"}}, &thing{Name: "/follows-same", Value: "x", Follows: []string{"/same"}})
	gone := resource(&thing{Name: "/gone"})
	gone.Remove, gone.Made = true, true
	never := resource(&thing{Name: "/never-there"})
	never.Remove = true
	all = append(all, gone, never)
	qs := engine.Questions(engine.Target{}, all)
	hp := engine.Compare(engine.Target{Name: "h"}, all, answers(t, qs, map[string]string{
		"/same": "x", "/differs": "y", "/follows": "x", "/follows-same": "x", "/gone": "x"}))
	var got []string
	for _, c := range hp.Changes {
		got = append(got, fmt.Sprintf("%s %s expect %q", c.Action, c.Steps[0].Summary, c.Steps[0].Do.Expect))
	}
	want := []string{
		`create write /new expect "absent"`, `update write /differs expect "print of y"`, `update load /follows expect ""`, `delete remove /gone expect "print of x"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if hp.Unchanged != 3 || hp.Failed() {
		t.Errorf("unchanged %d, failed %v", hp.Unchanged, hp.Failed())
	}
	update := hp.Changes[1]
	if fmt.Sprint(update.Before) != "[{name /differs false} {value y false}]" || fmt.Sprint(update.After) != "[{name /differs false} {value x false}]" {
		t.Errorf("attributes of the update: %v, then %v", update.Before, update.After)
	}
}

func TestCompareRefuses(t *testing.T) {
	t.Parallel()
	all := resources(&thing{Name: "/a", Value: "refused"}, &thing{Name: "/b"})
	hp := engine.Compare(engine.Target{}, all, answers(t, engine.Questions(engine.Target{}, all), nil))
	if !hp.Failed() || len(hp.Problems) != 1 || hp.Problems[0].Resource != all[0] {
		t.Errorf("problems: %v", hp.Problems)
	}
}

func TestSensitiveAttributes(t *testing.T) {
	t.Parallel()
	fresh := true
	for _, a := range engine.Attributes(&thing{Name: "/a", Value: "canary", Fresh: &fresh}, map[string]bool{"value": true}) {
		if want := a.Name != "name"; a.Sensitive != want {
			t.Errorf("%s: sensitive is %v; what is derived from a secret is one", a.Name, a.Sensitive)
		}
	}
}

func TestProblemsOfSensitiveResources(t *testing.T) {
	t.Parallel()
	r := resource(&thing{Name: "/a", Value: "refused"})
	open := &engine.ResourceProblem{Resource: r, Problem: engine.Errorf("value", "canary is refused")}
	if got := open.Shown().String(); got != "canary is refused" {
		t.Errorf("got %q", got)
	}
	r.Sensitive = map[string]bool{"value": true}
	if got := open.Shown().String(); strings.Contains(got, "canary") || open.Shown().Severity != engine.Error {
		t.Errorf("got %q", got)
	}
}
