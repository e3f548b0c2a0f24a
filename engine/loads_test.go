package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// part is a resource of which all keys are given.
type part struct {
	Provides, Needs, ReadsKeys, LoadsKeys []Key
	Steps                                 []Step
}

type partType struct{}

func (partType) Keys(_ Target, want *part) (provides, needs []Key)   { return want.Provides, want.Needs }
func (partType) Validate(*part) []Problem                            { return nil }
func (partType) Ask(Target, *part) []wire.Query                      { return nil }
func (partType) Read(_ Target, want *part, _ Answers) (*part, error) { return want, nil }
func (partType) Reads(_ Target, want *part) []Key                    { return want.ReadsKeys }
func (partType) Loads(_ Target, want *part) []Key                    { return want.LoadsKeys }
func (partType) Diff(_ Target, want, have *part) []Step {
	if want == nil {
		return have.Steps
	}
	return want.Steps
}

func aPart(r *Registry, name string, p part, dependsOn ...string) *Resource {
	res := &Resource{Address: Address{Host: name}, Kind: r.Kind("part"), State: &p}
	for _, d := range dependsOn {
		res.DependsOn = append(res.DependsOn, Address{Host: d})
	}
	return res
}

func TestOrderOfWhatAServiceReads(t *testing.T) {
	t.Parallel()
	r := &Registry{}
	Register(r, "part", partType{})
	web := UnitKey("web.service")
	service := func(dependsOn ...string) *Resource {
		return aPart(r, "service", part{Provides: []Key{web}, ReadsKeys: []Key{PathKey("/etc/web"), PathKey("/etc/default/web")}}, dependsOn...)
	}
	site := func(name string, dependsOn ...string) *Resource {
		return aPart(r, name, part{
			Provides: []Key{PathKey("/etc/web/" + name)}, Needs: []Key{web}, LoadsKeys: []Key{web}, ReadsKeys: []Key{PathKey("/etc/web")},
		}, dependsOn...)
	}
	file := func(path string, dependsOn ...string) *Resource {
		return aPart(r, path, part{Provides: []Key{PathKey(path)}}, dependsOn...)
	}
	removed := func(list ...*Resource) []*Resource {
		for _, r := range list {
			r.Remove = true
		}
		return list
	}
	for name, c := range map[string]struct {
		in   []*Resource
		want string
	}{
		"a site before its service":                 {[]*Resource{service(), site("a")}, "a service"},
		"although it depends on it":                 {[]*Resource{service(), site("a", "service")}, "a service"},
		"unless by way of another":                  {[]*Resource{service(), site("a", "/srv/x"), file("/srv/x", "service")}, "service /srv/x a"},
		"what a site is checked with":               {[]*Resource{service(), site("a"), site("b"), file("/etc/web/main.conf")}, "/etc/web/main.conf a b service"},
		"two that read each other, as declared":     {[]*Resource{site("b"), site("a")}, "b a"},
		"files by custom, of directories too":       {[]*Resource{service(), file("/etc/default/web"), file("/etc/web/x/y")}, "/etc/default/web /etc/web/x/y service"},
		"what depends on the service comes after":   {[]*Resource{service(), file("/etc/web/made", "service")}, "service /etc/web/made"},
		"a removed site, too":                       {append(removed(site("a")), service()), "a service"},
		"both removed: it stops serving, then ends": {removed(service(), site("a")), "a service"},
		"removed: ends before its files go":         {removed(file("/etc/default/web"), service()), "service /etc/default/web"},
	} {
		ordered, problems := Order(Target{}, c.in)
		var got []string
		for _, r := range ordered {
			got = append(got, r.Address.String())
		}
		if len(problems) > 0 || strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, want %s (%v)", name, got, c.want, problems)
		}
	}
	all := []*Resource{service(), site("a"), file("/etc/web/main.conf"), file("/etc/motd")}
	for target, want := range map[string]int{"service": 3, "a": 2} {
		if got := Select(Target{}, all, []string{target}); len(got) != want {
			t.Errorf("with %s %d are selected, want %d", target, len(got), want)
		}
	}
}

// All files that one unit reads are written before it checks and loads any.
func TestTasksWriteFirst(t *testing.T) {
	t.Parallel()
	r := &Registry{}
	Register(r, "part", partType{})
	web, other := UnitKey("web.service"), UnitKey("other.service")
	write := func(path string) Step {
		return Step{Summary: "write " + path, Do: wire.Op{Write: &wire.WriteOp{Path: "/" + path}}}
	}
	run := func(what string) Step { return Step{Summary: what, Do: wire.Op{Run: &wire.RunOp{}}} }
	change := func(name string, loads Key, dependsOn ...string) Change {
		p := part{Steps: []Step{write(name)}}
		c := Change{Resource: aPart(r, name, p, dependsOn...), Address: name, Steps: p.Steps}
		if loads != "" {
			c.loads = []Key{loads}
			c.Steps = append(c.Steps, run("load "+name))
		}
		return c
	}
	service := Change{Resource: aPart(r, "service", part{}), Address: "service", Steps: []Step{run("start")}}
	stop := service
	stop.Action = Delete
	needed := stop
	needed.provides = []Key{web}
	user := change("a", web)
	user.needs = []Key{web}
	for name, c := range map[string]struct {
		in   []Change
		want string
	}{
		"one":                  {[]Change{change("a", web), service}, "write a, load a, start"},
		"two":                  {[]Change{change("a", web), change("b", web), service}, "write a, write b, load a, load b, start"},
		"with a file between":  {[]Change{change("a", web), change("f", ""), change("b", web)}, "write a, write f, write b, load a, load b"},
		"one that depends":     {[]Change{change("a", web), change("f", "", "a"), change("b", web)}, "write a, load a, write f, write b, load b"},
		"a site that depends":  {[]Change{change("a", web), change("b", web, "a")}, "write a, write b, load a, load b"},
		"another step between": {[]Change{change("a", web), service, change("b", web)}, "write a, load a, start, write b, load b"},
		"a removal between":    {[]Change{change("a", web), stop, change("b", web)}, "write a, start, write b, load a, load b"},
		"of what it refers to": {[]Change{change("a", web, "service"), stop, change("b", web)}, "write a, load a, start, write b, load b"},
		"of what it needs":     {[]Change{user, needed, change("b", web)}, "write a, load a, start, write b, load b"},
		"of two units":         {[]Change{change("a", web), change("b", other), change("c", web)}, "write a, load a, write b, load b, write c, load c"},
		"files":                {[]Change{change("a", ""), change("b", "")}, "write a, write b"},
	} {
		var got []string
		for _, task := range tasksOf(c.in) {
			got = append(got, task.summary)
		}
		if want := strings.Split(c.want, ", "); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// One run of the package manager installs all packages, except those that come from what another
// one brings, such as a repository.
func TestTasksInstallTogether(t *testing.T) {
	t.Parallel()
	r := &Registry{}
	Register(r, "part", partType{})
	install := func(name string, dependsOn ...string) Change {
		step := Step{Summary: "install " + name, Do: wire.Op{Package: &wire.PackageOp{Install: []string{name}}}}
		return Change{Resource: aPart(r, name, part{}, dependsOn...), Address: name, Steps: []Step{step}}
	}
	var got []string
	for _, task := range tasksOf([]Change{install("a"), install("repository"), install("b", "repository"), install("c", "a")}) {
		got = append(got, strings.Join(task.order.Op.Package.Install, " "))
	}
	if want := []string{"a repository", "b c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What a removal makes room for is written and checked before the removal, and loaded after it.
func TestTasksMakeRoom(t *testing.T) {
	t.Parallel()
	r := &Registry{}
	Register(r, "part", partType{})
	old, next := UnitKey("old.service"), UnitKey("new.service")
	write := func(path string) Step {
		return Step{Summary: "write " + path, Do: wire.Op{Write: &wire.WriteOp{Path: "/" + path}}}
	}
	run := func(what string) Step { return Step{Summary: what, Do: wire.Op{Run: &wire.RunOp{}}} }
	unit := func(what string) Step { return Step{Summary: what, Do: wire.Op{Unit: &wire.UnitOp{Name: "x.service"}}} }
	change := func(name string, loads []Key, steps ...Step) Change {
		return Change{Resource: aPart(r, name, part{}), Address: name, Steps: steps, loads: loads}
	}
	site := func(name string) Change {
		return change(name, []Key{next}, write(name), run("check "+name), unit("load "+name), run("verify "+name))
	}
	a, b, alone := site("a"), site("b"), site("c")
	gone := change("gone", []Key{old}, write("gone"), run("check old"), unit("reload old"))
	stop := change("stop", nil, Step{Summary: "stop old", Do: wire.Op{Unit: &wire.UnitOp{Name: "old.service", Action: wire.UnitStop}}}, run("disable old"))
	pkg := change("package", nil, run("remove old"))
	for _, c := range []*Change{&gone, &stop} {
		c.Resource.yields = []*Resource{a.Resource, b.Resource}
	}
	for name, c := range map[string]struct {
		in   []Change
		want string
	}{
		"one": {
			[]Change{gone, stop, a, pkg},
			"write a, check a, write gone, check old, reload old, stop old, load a, verify a, disable old, remove old",
		},
		"stop": {[]Change{stop, a}, "write a, check a, stop old, load a, verify a, disable old"},
		"two": {
			[]Change{gone, stop, a, b},
			"write a, write b, check a, check b, write gone, check old, reload old, stop old, load a, verify a, load b, verify b, disable old",
		},
		"and another": {[]Change{gone, a, alone}, "write a, check a, write gone, check old, reload old, write c, load a, verify a, check c, load c, verify c"},
	} {
		var got []string
		for _, task := range tasksOf(c.in) {
			got = append(got, task.summary)
		}
		if want := strings.Split(c.want, ", "); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
