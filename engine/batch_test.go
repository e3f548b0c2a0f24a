package engine

import (
	"reflect"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
)

type batchType struct{ partType }

func (batchType) Batch() string { return "policy" }

func addresses(ordered []*Resource) string {
	var names []string
	for _, r := range ordered {
		names = append(names, r.Address.Host)
	}
	return strings.Join(names, " ")
}

// Two mirrors: each has a directory, its label, and a site that needs it.
func TestOrderOfBatches(t *testing.T) {
	t.Parallel()
	r := &Registry{}
	Register(r, "part", partType{})
	Register(r, "batch", batchType{})
	dir := func(path string, dependsOn ...string) *Resource {
		return aPart(r, path, part{Provides: []Key{PathKey(path)}}, dependsOn...)
	}
	label := func(path string, needs ...Key) *Resource {
		l := aPart(r, "label:"+path, part{Provides: []Key{Key("label:" + path)}, Needs: append(needs, PathKey(path))})
		l.Kind = r.Kind("batch")
		return l
	}
	site := func(path string) *Resource { return aPart(r, "site:"+path, part{Needs: []Key{Key("label:" + path)}}) }
	removed := func(list ...*Resource) []*Resource {
		for _, r := range list {
			r.Remove = true
		}
		return list
	}
	two := func() []*Resource {
		return []*Resource{dir("/a"), label("/a"), site("/a"), dir("/b"), label("/b"), site("/b")}
	}
	for name, c := range map[string]struct {
		in   []*Resource
		want string
	}{
		"together, after what any needs": {two(), "/a /b label:/a label:/b site:/a site:/b"},
		"removed: after what needs any":  {removed(two()...), "site:/b site:/a label:/b label:/a /b /a"},
		"unless one comes after another": {
			[]*Resource{dir("/a"), label("/a"), dir("/b", "label:/a"), label("/b")}, "/a label:/a /b label:/b",
		},
		"one that needs another": {[]*Resource{dir("/a/b"), label("/a/b", "label:/a"), dir("/a"), label("/a")}, "/a/b /a label:/a label:/a/b"},
		"removed and wanted": {
			append(removed(dir("/a"), label("/a"), site("/a")), dir("/b"), label("/b"), site("/b")), "site:/a /b label:/a label:/b /a site:/b",
		},
		"two removed and two wanted": {
			append(removed(dir("/a"), label("/a"), dir("/a/b"), label("/a/b", "label:/a")), dir("/c"), label("/c"), dir("/d"), label("/d")),
			"/c /d label:/a/b label:/a label:/c label:/d /a/b /a",
		},
		"removed, and wanted after something of it": {
			append(removed(dir("/a"), label("/a")), dir("/b", "label:/a"), label("/b")), "label:/a /a /b label:/b",
		},
	} {
		ordered, problems := Order(Target{}, c.in)
		if got := addresses(ordered); len(problems) > 0 || got != c.want {
			t.Errorf("%s: %s, want %s; %v", name, got, c.want, problems)
		}
	}
}

func TestPolicyRunsOnce(t *testing.T) {
	t.Parallel()
	change := func(name string, steps ...Step) Change {
		return Change{Resource: &Resource{Address: Address{Host: name}}, Steps: steps}
	}
	step := func(name string, undo bool) Step {
		s := Step{Summary: name, Do: wire.Op{Policy: &wire.PolicyOp{Commands: []string{"+" + name}, Relabel: []string{"/" + name}}}, Final: "for a reason"}
		if undo {
			s.Final, s.Undo = "", &wire.Op{Policy: &wire.PolicyOp{Forget: []string{name}, Booleans: []string{name + "=off"}}}
		}
		return s
	}
	tasks := tasksOf([]Change{
		change("a", step("a", false)), change("b", step("b", true)), change("c", step("c", true)),
		change("d", Step{Summary: "d", Do: wire.Op{Remove: &wire.RemoveOp{Path: "/d"}}}), change("e", step("e", false)),
	})
	if len(tasks) != 3 || tasks[0].summary != "a, b, c" || len(tasks[0].changes) != 3 || tasks[2].summary != "e" {
		t.Fatalf("%+v", tasks)
	}
	want := wire.Order{
		Op:   wire.Op{Policy: &wire.PolicyOp{Commands: []string{"+a", "+b", "+c"}, Relabel: []string{"/a", "/b", "/c"}}},
		Undo: &wire.Op{Policy: &wire.PolicyOp{Forget: []string{"c", "b"}, Booleans: []string{"c=off", "b=off"}}},
	}
	if !reflect.DeepEqual(tasks[0].order, want) {
		t.Errorf("%+v", tasks[0].order)
	}
	if o := tasks[2].order; o.Undo != nil || o.Final != "for a reason" {
		t.Errorf("%+v", o)
	}
}

// The label of a path is asked beside the path itself: operations expect what the latter answered.
func TestLabelsAreNotExpected(t *testing.T) {
	t.Parallel()
	whole, label := wire.Query{Verb: wire.AskFile, Arg: "/a"}, wire.Query{Verb: wire.AskFile, Arg: "/a", Option: "labels"}
	for _, queries := range [][]wire.Query{{whole, label}, {label, whole}} {
		var answers []wire.Answer
		for _, q := range queries {
			answers = append(answers, wire.Answer{File: &wire.File{Fingerprint: "print" + q.Option}})
		}
		got, err := NewAnswers(queries, answers)
		if err != nil || got.prints["/a"] != "print" {
			t.Errorf("%v: %v, %v", queries, got.prints, err)
		}
	}
}
