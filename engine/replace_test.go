package engine_test

import (
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

func TestReplace(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{}
		a, b := &thing{Name: "/a", Value: "x"}, &thing{Name: "/b", Value: "y", Follows: []string{"/a"}}
		converge(t, h, resources(a, b)...)
		f := single(t, h, resources(a, b)...)
		f.Replace = []string{"h/thing./a"}
		before := len(h.did())
		plan, result := f.apply()
		if got := changes(plan); got != "replace h/thing./a; update h/thing./b" {
			t.Fatalf("plan: %s", got)
		}
		if result.Err != nil || len(result.Done) != 2 {
			t.Fatalf("%v, done %v", result.Err, result.Done)
		}
		contains(t, "log", h.did()[before:], "remove /a; write /a; load /b")
		if again := single(t, h, resources(a, b)...).plan(); len(again.Changes) > 0 {
			t.Errorf("the second plan has changes: %s", changes(again))
		}
	})
}

// A later step fails: what was replaced is back.
func TestReplaceTakenBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{}
		a := &thing{Name: "/a", Value: "x"}
		converge(t, h, resource(a))
		f := single(t, h, resources(a, &thing{Name: "/broken", Value: "z"})...)
		f.Replace = []string{"h/thing./a"}
		_, result := f.apply()
		if result.State != engine.TakenBack {
			t.Fatalf("%s: %v", result.State, result.Err)
		}
		if text, ok := h.file("/a"); !ok || text != "x" {
			t.Errorf("/a is %q, %v", text, ok)
		}
	})
}

// What is not there is created.
func TestReplaceAbsent(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{}
		f := single(t, h, resource(&thing{Name: "/a", Value: "x"}))
		f.Replace = []string{"h/thing./a"}
		if plan, result := f.apply(); changes(plan) != "create h/thing./a" || result.Err != nil {
			t.Errorf("%s, %v", changes(plan), result.Err)
		}
	})
}

func TestReplaceRefused(t *testing.T) {
	t.Parallel()
	kind := func(name string) func(*engine.Resource) {
		return func(r *engine.Resource) { r.Kind = registry().Kind(name) }
	}
	for name, c := range map[string]struct {
		with func(*engine.Resource)
		want string
	}{
		"kept":            {kind("kept"), "its files would be lost"},
		"keep":            {func(r *engine.Resource) { r.Keep = "it is precious" }, "it is precious"},
		"prevent_destroy": {func(r *engine.Resource) { r.PreventDestroy = true }, "prevent_destroy"},
		"not empty":       {kind("dir"), "it contains something else"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				h := &host{files: map[string]string{"/a": "x"}}
				f := single(t, h, resource(&thing{Name: "/a", Value: "x"}))
				r := resource(&thing{Name: "/a", Value: "x"})
				c.with(r)
				f.Wanted = func(string, map[string]*wire.Facts) ([]*engine.Resource, error) { return []*engine.Resource{r}, nil }
				f.Replace = []string{"h/thing./a"}
				plan, result := f.apply()
				if len(plan.Problems) != 1 || !strings.Contains(plan.Problems[0].Summary, "cannot be replaced: "+c.want) && !strings.Contains(plan.Problems[0].Summary, c.want) {
					t.Errorf("problems: %v", plan.Problems)
				}
				if result.Err == nil || strings.Contains(h.did(), "remove") {
					t.Errorf("%v; %s", result.Err, h.did())
				}
			})
		})
	}
	bubble(t, func(t *testing.T) {
		f := single(t, &host{}, resource(&thing{Name: "/a", Value: "x"}))
		f.Replace = []string{"h/thing./b"}
		contains(t, "unknown", errorText(f.plan().Err), "h/thing./b cannot be replaced: it is not a resource of this host")
	})
}
