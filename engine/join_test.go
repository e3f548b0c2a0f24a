package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// named are resources of one registry, whose names are not those of the things that they want.
func named(things map[string]*thing, order ...string) []*engine.Resource {
	kind := registry().Kind("thing")
	var list []*engine.Resource
	for _, name := range order {
		list = append(list, &engine.Resource{Address: at("h/thing." + name), Kind: kind, State: things[name], Source: name + ".hcl:1"})
	}
	return list
}

// Resources that want one thing alike are one resource with several owners. What only one of them
// sets is set; what both set differently is an error that names both and the attribute.
func TestJoin(t *testing.T) {
	t.Parallel()
	secret := "s"
	list := named(map[string]*thing{
		"a": {Name: "/x", Value: "1"}, "b": {Name: "/x", Token: &secret}, "c": {Name: "/x", Value: "1"},
		"after": {Name: "/y"}, "before": {Name: "/z"},
	}, "after", "a", "b", "c", "before")
	list[0].DependsOn = []engine.Address{at("h/thing.b")}      // on a resource that is joined to another
	list[3].DependsOn = []engine.Address{at("h/thing.before")} // of a resource that is joined to another
	list[2].Sensitive = map[string]bool{"token": true}
	list[3].PreventDestroy = true
	ordered, problems := engine.Order(engine.Target{}, list)
	if len(problems) > 0 || names(ordered) != "/z /x /y" {
		t.Fatalf("%s %v", names(ordered), problems)
	}
	x := ordered[1]
	if got := x.Owners(); !slices.Equal(got, []engine.Address{at("h/thing.a"), at("h/thing.b"), at("h/thing.c")}) {
		t.Errorf("owners: %v", got)
	}
	if s := x.State.(*thing); s.Value != "1" || s.Token != &secret || !x.Sensitive["token"] || !x.PreventDestroy {
		t.Errorf("%+v %+v", s, x)
	}
	if s := list[1]; s.State.(*thing).Token != nil || s.PreventDestroy || len(s.Owners()) != 1 {
		t.Errorf("the resource itself was changed: %+v", s)
	}
	before, problems := engine.Dependencies(engine.Target{}, list)
	if len(problems) > 0 || !slices.EqualFunc(before, [][]int{{1}, {4}, {1}, {1}, nil}, slices.Equal) {
		t.Errorf("dependencies: %v %v", before, problems)
	}
}

func TestJoinRefused(t *testing.T) {
	t.Parallel()
	two := func(a, b *thing) []*engine.Resource { return named(map[string]*thing{"a": a, "b": b}, "a", "b") }
	alone := two(&thing{Name: "/x"}, &thing{Name: "/x"})
	alone[1].Alone = "give it another name"
	other := two(&thing{Name: "/x"}, &thing{Name: "/x"})
	other[1].Kind = registry().Kind("kept")
	const both = "two resources manage path /x: h/thing.a (a.hcl:1) and h/thing.b (b.hcl:1)"
	for want, list := range map[string][]*engine.Resource{
		both + "; they differ in value": two(&thing{Name: "/x", Value: "1"}, &thing{Name: "/x", Value: "2"}),
		both + "; give it another name": alone,
		both:                            other,
	} {
		_, problems := engine.Order(engine.Target{}, list)
		if len(problems) != 1 || problems[0].Summary != want {
			t.Errorf("%v, want %s", problems, want)
		}
	}
	// What is removed differs in nothing that matters.
	list := two(&thing{Name: "/x", Value: "1"}, &thing{Name: "/x", Value: "2"})
	list[0].Remove, list[1].Remove = true, true
	if ordered, problems := engine.Order(engine.Target{}, list); len(problems) > 0 || len(ordered) != 1 || ordered[0].Owners()[1].Name != "b" {
		t.Errorf("%v %v", ordered, problems)
	}
}

// What the manifest remembers of one resource is no difference from what another one sets.
func TestJoinRemembered(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var types engine.Registry
		engine.Register(&types, "choice", choiceType{})
		h := &host{}
		run := func(sets ...string) {
			t.Helper()
			var list []*engine.Resource
			for i, set := range sets {
				address := "h/choice." + string(rune('a'+i))
				list = append(list, &engine.Resource{Address: at(address), Kind: types.Kind("choice"), State: &choice{Name: "/c", Choice: set}, Source: "test.hcl:1"})
			}
			f := single(t, h, list...)
			f.Types = &types
			if _, r := f.apply(); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		run("")
		if got := h.content("/c"); got != "alone" {
			t.Errorf("chosen: %q", got)
		}
		run("", "beside")
		if got := h.content("/c"); got != "beside" {
			t.Errorf("the second owner sets it, and it is %q", got)
		}
	})
}

// What an address selects comes with all owners of it, and with what these need.
func TestSelectJoined(t *testing.T) {
	t.Parallel()
	list := named(map[string]*thing{
		"a": {Name: "/x"}, "b": {Name: "/x"}, "c": {Name: "/y"}, "d": {Name: "/z"}, "e": {Name: "/w"},
	}, "a", "b", "c", "d", "e")
	list[1].DependsOn = []engine.Address{at("h/thing.d")}
	for address, want := range map[string]string{"h/thing.a": "a b d", "h/thing.b": "a b d", "h/thing.c": "c", "h/thing.e": "e", "h": "a b c d e"} {
		var got []string
		for _, r := range engine.Select(engine.Target{}, list, []string{address}) {
			got = append(got, r.Address.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s selects %v, want %s", address, got, want)
		}
	}
}

// What is removed for one of its owners stays for the others, and so does what needs it.
func TestSelectJoinedRemoval(t *testing.T) {
	t.Parallel()
	list := named(map[string]*thing{
		"a": {Name: "/x"}, "b": {Name: "/x"}, "user": {Name: "/y"}, "alone": {Name: "/z"},
	}, "a", "b", "user", "alone")
	list[2].DependsOn = []engine.Address{at("h/thing.b")}
	list[3].DependsOn = []engine.Address{at("h/thing.a")}
	for _, r := range list {
		r.Remove = true
	}
	for _, c := range []struct{ addresses, want string }{
		{"a", "a"}, {"b", "b"}, {"a b", "a b user alone"}, {"user", "user"}, {"a alone", "a alone"},
	} {
		var addresses, got []string
		for _, a := range strings.Fields(c.addresses) {
			addresses = append(addresses, "h/thing."+a)
		}
		for _, r := range engine.Select(engine.Target{}, list, addresses) {
			got = append(got, r.Address.Name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s selects %v, want %s", c.addresses, got, c.want)
		}
	}
}
