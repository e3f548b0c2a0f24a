package conformance

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
	"github.com/mirrorform/mirrorform/resources"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The groups wait for their hosts more than they compute: all of them at once, however few processors there are.
	if at := flag.Lookup("test.parallel"); at.Value.String() == at.DefValue {
		if err := at.Value.Set(strconv.Itoa(max(len(groups), runtime.GOMAXPROCS(0)))); err != nil {
			panic(err) // the flag is package testing's, and a number
		}
	}
	os.Exit(labtest.Main(m))
}

// testCase is a resource on which all laws are checked.
type testCase struct {
	kind string
	name string
	// variants are wanted states (*S) of one resource; the first is gone back to from each of the others.
	variants []any
	files    []file     // written to the host before
	prepare  [][]string // programs that run on the host before
	// reset brings the host back to what was found, where a final step was done.
	reset [][]string
	// harmless says that the final steps change nothing, such as a check: undoing the others restores all.
	harmless bool
	// slow says that operations take seconds: edits are repaired without rehearsals.
	slow bool
	// condition says that the resource never has steps: it says what must be so.
	condition bool
	edits     []edit
	// ignored are hand edits of what the first variant does not set: plans do not find them.
	ignored []edit
	// effect is a program that must succeed while the first variant is in place, and fail when it is not: what the
	// resource is for, seen by other eyes than the helper's.
	effect []string
	// touches are what the resource may change besides the paths that its operations name, with what lies below.
	touches []string
	// stays says why something is still found after the removal; empty: nothing is.
	stays string
	// cleanup takes away what was prepared.
	cleanup [][]string
}

func (c *testCase) String() string { return c.kind + "/" + c.name }

// valid returns the problems of a wanted state of the case's type.
func (c *testCase) valid(state any) []engine.Problem { return registry.Kind(c.kind).Validate(state) }

// file is a file on a host.
type file struct {
	path, content string
	mode          fs.FileMode
}

// edit is a manual change of a host.
type edit struct {
	name  string
	argvs [][]string
	// broken means that the edited state cannot be activated, so that the test does not undo the repair.
	broken bool
	// unloaded means that a server has not loaded the edit. A rollback makes it load the current files,
	// so that its answers differ from before.
	unloaded bool
}

// by is an edit by one program.
func by(name string, argv ...string) edit { return edit{name: name, argvs: [][]string{argv}} }

// refusal is a state that must be refused on a host in its current state.
type refusal struct {
	kind, name string
	state      any
	files      []file
	prepare    [][]string
	problem    string // part of what the plan says
	// op is ordered all the same: the helper must refuse it by itself, saying that.
	op      *wire.Op
	refuses string
	same    []string // a program whose output must stay the same
	cleanup [][]string
}

// failure is a state that the plan accepts and whose apply fails. Nothing of it remains.
type failure struct {
	kind, name string
	state      any
	files      []file
	prepare    [][]string
	between    [][]string // programs that run on the host between plan and apply
	says       string     // part of the error, as a regular expression
	cleanup    [][]string
}

// group is a host and the cases that are checked on it.
type group struct {
	name    string
	spec    lab.HostSpec
	prepare [][]string
	// cases get the paths of the host's disks.
	cases    func(disks []string) []testCase
	refusals func(disks []string) []refusal
	failures []failure
}

// disks returns the paths of the host's disks, or empty paths without a host.
func (g *group) disks(h *host) []string {
	paths := make([]string, len(g.spec.Disks))
	for i := range paths {
		if h != nil {
			paths[i] = h.Disks[i].Path
		}
	}
	return paths
}

func (g *group) refused(h *host) []refusal {
	if g.refusals == nil {
		return nil
	}
	return g.refusals(g.disks(h))
}

// boot boots a host of the group.
func (g *group) boot(t *testing.T) *host {
	t.Helper()
	h := boot(t, g.spec)
	h.run(t, g.prepare...)
	return h
}

var registry = resources.All()

// elsewhere says why a type has no case here, and which test has its laws.
var elsewhere = map[string]string{
	"certificate":     "it needs a CA, whose certificates cannot be taken back: TestFault46CADown",
	"selinux_boolean": "it needs a kernel that enforces: TestLab/vmselinux",
	"selinux_context": "it needs a kernel that enforces: TestLab/vmselinux",
}

// TestCasesForAllTypes needs no host. It checks that every type has a case, since a type without a
// case would not be tested.
func TestCasesForAllTypes(t *testing.T) {
	t.Parallel()
	counts := map[string]int{}
	for _, g := range groups {
		for _, c := range g.cases(g.disks(nil)) {
			counts[c.kind]++
			if len(c.variants) == 0 {
				t.Errorf("%s: %s has no wanted state", g.name, &c)
			}
		}
		for _, r := range g.refused(nil) {
			if r.state == nil && r.op == nil || r.state != nil && r.problem == "" || r.op != nil && r.refuses == "" {
				t.Errorf("%s: %s/%s does not say what is refused, and how", g.name, r.kind, r.name)
			}
		}
		for _, f := range g.failures {
			if f.state == nil || f.says == "" {
				t.Errorf("%s: %s/%s does not say what fails, and how", g.name, f.kind, f.name)
			}
		}
	}
	for kind := range elsewhere {
		counts[kind]++
	}
	if have, want := slices.Sorted(maps.Keys(counts)), registry.Names(); !slices.Equal(have, want) {
		t.Errorf("there are cases for %v, registered are %v", have, want)
	}
}

// TestLaws boots one host for each group. The cases of a group run one after another, so that only
// one case changes the host at a time.
func TestLaws(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			var h *host
			run := func(name string, check func(t *testing.T)) {
				if h == nil {
					h = g.boot(t)
				}
				if !t.Run(name, check) {
					h = nil // what a failed case leaves would make others fail: they get another host
				}
			}
			for i, c := range g.cases(g.disks(nil)) {
				run(c.String(), func(t *testing.T) { checkCase(t, h, &g.cases(g.disks(h))[i]) })
			}
			for i, r := range g.refused(nil) {
				run(r.kind+"/"+r.name, func(t *testing.T) { checkRefusal(t, h, &g.refused(h)[i]) })
			}
			for _, f := range g.failures {
				run(f.kind+"/"+f.name, func(t *testing.T) { checkFailure(t, h, &f) })
			}
			if h != nil {
				h.hangUp(t)
			}
		})
	}
}

// resource returns a wanted state as a resource of the engine.
func resource(h *host, kind string, state any) *engine.Resource {
	return &engine.Resource{Address: engine.Address{Host: h.Name, Type: kind, Name: "case"}, Kind: registry.Kind(kind), State: state, Source: "case.hcl:1"}
}

// write writes files to the host.
func (h *host) write(t *testing.T, files []file) {
	t.Helper()
	for _, f := range files {
		if err := h.Write(f.path, []byte(f.content), f.mode); err != nil {
			t.Fatal(err)
		}
	}
}

// stepText names the steps of a plan, for messages.
func stepText(p *engine.HostPlan) string {
	var b strings.Builder
	for _, c := range p.Changes {
		for _, s := range c.Steps {
			fmt.Fprintf(&b, "%s: %s; ", c.Address, s.Summary)
		}
		fmt.Fprintf(&b, "before %v, after %v; ", values(c.Before), values(c.After))
	}
	for _, p := range p.Problems {
		fmt.Fprintf(&b, "%s: %s; ", p.Severity, p.Problem)
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func values(list []engine.Attribute) map[string]any {
	m := map[string]any{}
	for _, a := range list {
		m[a.Name] = a.Value
	}
	return m
}
