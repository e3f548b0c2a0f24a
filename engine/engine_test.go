package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/wire"
)

// thing is a resource type for tests: a named value that may live below, need and follow others.
type thing struct {
	Name    string   `hcl:"name" id:"true"`
	Value   string   `hcl:"value,optional"`
	Needs   []string `hcl:"needs,optional"`
	Follows []string `hcl:"follows,optional"`
	Fresh   *bool    `plan:"fresh"`
	Package bool
}

type thingType struct{}

func query(s *thing) wire.Query { return wire.Query{Verb: wire.AskFile, Arg: s.Name} }

func (thingType) Keys(_ engine.Target, want *thing) (provides, needs []engine.Key) {
	for _, n := range want.Needs {
		needs = append(needs, engine.PathKey(n))
	}
	return []engine.Key{engine.PathKey(want.Name)}, needs
}

func (thingType) Validate(*thing) []engine.Problem { return nil }

func (thingType) Ask(_ engine.Target, want *thing) []wire.Query { return []wire.Query{query(want)} }

func (thingType) Read(_ engine.Target, want *thing, got engine.Answers) (*thing, error) {
	f, err := got.File(query(want))
	if err != nil || f.Kind == wire.Absent {
		return nil, err
	}
	fresh := true
	return &thing{Name: want.Name, Value: string(f.Content), Fresh: &fresh}, nil
}

func (thingType) Check(_ engine.Target, want, _ *thing) []engine.Problem {
	if want.Value == "refused" {
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
	switch {
	case want == nil:
		return []engine.Step{{Summary: "remove " + have.Name, Do: wire.Op{Remove: &wire.RemoveOp{Path: have.Name}}, Final: "test"}}
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
	return r
}

func resource(s *thing) *engine.Resource {
	kind := "thing"
	if s.Package {
		kind = "package"
	}
	return &engine.Resource{Address: "h/" + kind + "." + s.Name, Kind: registry().Kind(kind), State: s, Source: "test.hcl:1"}
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
		{"cycle", resources(&thing{Name: "/a", Needs: []string{"/b"}}, &thing{Name: "/b", Needs: []string{"/c"}}, &thing{Name: "/c", Needs: []string{"/b"}}), "in a cycle: h/thing./b (test.hcl:1) needs h/thing./c (test.hcl:1) needs h/thing./b"},
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
	r.DependsOn = []string{"h/thing.gone"}
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

func TestHostOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"fra1/file.motd":                    "fra1",
		`edge["a/b"]/mirror.almalinux.cron`: `edge["a/b"]`,
		`edge["a\"/b"]/file.x`:              `edge["a\"/b"]`,
		"fra1":                              "fra1",
	} {
		if got := engine.HostOf(address); got != want {
			t.Errorf("HostOf(%q) = %q, want %q", address, got, want)
		}
	}
}

// answers plays a host whose files are as given.
func answers(t *testing.T, qs []wire.Query, files map[string]string) engine.Answers {
	t.Helper()
	got, err := engine.NewAnswers(qs, answer(qs, files))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func answer(qs []wire.Query, files map[string]string) []wire.Answer {
	var as []wire.Answer
	for _, q := range qs {
		f := &wire.File{Fingerprint: "absent"}
		if content, ok := files[q.Arg]; ok {
			f = &wire.File{Kind: wire.Regular, Content: []byte(content), Fingerprint: "print of " + content}
		}
		as = append(as, wire.Answer{File: f})
	}
	return as
}

func TestCompare(t *testing.T) {
	t.Parallel()
	all := resources(
		&thing{Name: "/new", Value: "x"}, &thing{Name: "/same", Value: "x"}, &thing{Name: "/differs", Value: "x"},
		&thing{Name: "/follows", Value: "x", Follows: []string{"/differs"}}, &thing{Name: "/follows-same", Value: "x", Follows: []string{"/same"}})
	gone := resource(&thing{Name: "/gone"})
	gone.Remove = true
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

// host plays a helper: it keeps files in memory and refuses to write what is named /broken.
type host struct {
	mu    sync.Mutex
	files map[string]string
	runs  []string // packages of each run of the package manager
	// brings are files that come with any package.
	brings map[string]string
	die    bool // end the connection in place of the first operation
}

func (h *host) session(t *testing.T) *engine.Session {
	t.Helper()
	ours, theirs := net.Pipe()
	go h.serve(theirs)
	s, err := engine.NewSession(ours, &wire.Hello{Facts: &wire.Facts{Hostname: "h"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (h *host) serve(conn io.ReadWriteCloser) {
	defer func() { _ = conn.Close() }()
	say := func(m *wire.Message) { _ = wire.Write(conn, m) }
	for {
		m, err := wire.Read(conn)
		if err != nil {
			return
		}
		switch {
		case m.Ask != nil:
			h.mu.Lock()
			a := answer(m.Ask.Queries, h.files)
			h.mu.Unlock()
			say(&wire.Message{Beat: &wire.Beat{}})
			say(&wire.Message{Answers: &wire.Answers{Answers: a}})
		case m.Do != nil:
			if h.die {
				return
			}
			done := &wire.Done{}
			for _, o := range m.Do.Ops {
				say(&wire.Message{Event: &wire.Event{ID: o.ID, State: wire.Started}})
				if err := h.do(o.Op); err != nil {
					say(&wire.Message{Event: &wire.Event{ID: o.ID, State: wire.Failed, Error: err.Error()}})
					done.Failed = &o.ID
					break
				}
				say(&wire.Message{Event: &wire.Event{ID: o.ID, State: wire.Finished}})
			}
			say(&wire.Message{Done: done})
		}
	}
}

func (h *host) do(op wire.Op) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if op.Expect != "" {
		if now := answer([]wire.Query{{Arg: op.Path()}}, h.files)[0].File.Fingerprint; now != op.Expect {
			return fmt.Errorf("%s is %q, expected %q", op.Path(), now, op.Expect)
		}
	}
	switch {
	case op.Write != nil && op.Write.Path == "/broken":
		return errors.New("read-only file system")
	case op.Write != nil:
		h.files[op.Write.Path] = string(op.Write.Content)
	case op.Remove != nil:
		delete(h.files, op.Remove.Path)
	case op.Package != nil:
		h.runs = append(h.runs, strings.Join(op.Package.Install, " "))
		for _, p := range op.Package.Install {
			h.files[p] = ""
			for name, content := range h.brings {
				h.files[name] = content
			}
		}
	}
	return nil
}

func TestFleet(t *testing.T) {
	t.Parallel()
	hosts := map[string]*host{"good": {files: map[string]string{}}, "bad": {files: map[string]string{}}, "cut": {files: map[string]string{}, die: true}}
	wanted := map[string][]*engine.Resource{
		"good": resources(&thing{Name: "/a", Value: "x"}, &thing{Name: "/p", Package: true}, &thing{Name: "/q", Package: true}),
		"bad":  resources(&thing{Name: "/a", Value: "x"}, &thing{Name: "/broken", Value: "x"}, &thing{Name: "/c", Value: "x"}),
		"cut":  resources(&thing{Name: "/a", Value: "x"}),
	}
	var mu sync.Mutex
	stages := map[string]int{}
	fleet := &engine.Fleet{
		Connect: func(_ context.Context, name string) (*engine.Session, error) {
			if hosts[name] == nil {
				return nil, errors.New("no route to host")
			}
			return hosts[name].session(t), nil
		},
		Wanted: func(name string, _ map[string]*wire.Facts) ([]*engine.Resource, error) { return wanted[name], nil },
		Report: func(p engine.Progress) {
			mu.Lock()
			defer mu.Unlock()
			stages[p.Host+" "+string(p.Stage)]++
		},
	}
	defer fleet.Close()
	list := []engine.Host{{Name: "good"}, {Name: "bad"}, {Name: "cut"}, {Name: "down"}}
	plan := fleet.Plan(t.Context(), list)
	if c := plan.Counts(); c.Create != 7 || !plan.Failed() || plan.Hosts[3].Err == nil {
		t.Fatalf("plan: %+v, unreachable: %v", c, plan.Hosts[3].Err)
	}
	result := fleet.Apply(t.Context(), plan, list)
	good, bad, cut, down := result.Hosts[0], result.Hosts[1], result.Hosts[2], result.Hosts[3]
	if good.Err != nil || len(good.Done) != 3 || !slices.Equal(hosts["good"].runs, []string{"/p /q"}) {
		t.Errorf("good: %v, %d done, package runs %q (one is wanted)", good.Err, len(good.Done), hosts["good"].runs)
	}
	if bad.Err == nil || bad.Failed.Address != "h/thing./broken" || len(bad.Done) != 1 || len(bad.NotRun) != 1 {
		t.Errorf("bad: %+v", bad)
	}
	if !errors.Is(cut.Err, engine.ErrLost) || !strings.Contains(cut.Err.Error(), "not known") {
		t.Errorf("cut: %v", cut.Err)
	}
	if down.Err == nil || !result.Failed() {
		t.Errorf("down: %v", down.Err)
	}
	if stages["good step-done"] != 2 || stages["bad step-failed"] != 1 || stages["good applied"] != 1 || stages["bad not-applied"] != 1 || stages["down unplanned"] != 1 {
		t.Errorf("stages: %v", stages)
	}
	if again := fleet.Plan(t.Context(), list[:1]); again.Counts().Changes() != 0 {
		t.Errorf("the second plan has changes: %v", again.Hosts[0].Changes)
	}
}

func TestAppliedMeansObserved(t *testing.T) {
	t.Parallel()
	h := &host{files: map[string]string{}}
	// A package whose installation leaves a value other than the wanted one.
	wanted := resources(&thing{Name: "/p", Package: true, Value: "x"})
	fleet := &engine.Fleet{
		Settle:  time.Millisecond,
		Connect: func(context.Context, string) (*engine.Session, error) { return h.session(t), nil },
		Wanted:  func(string, map[string]*wire.Facts) ([]*engine.Resource, error) { return wanted, nil },
	}
	defer fleet.Close()
	list := []engine.Host{{Name: "h"}}
	result := fleet.Apply(t.Context(), fleet.Plan(t.Context(), list), list)
	if err := result.Hosts[0].Err; err == nil || !strings.Contains(err.Error(), "not as wanted") {
		t.Errorf("got %v", err)
	}
}

func TestPackageBringsFiles(t *testing.T) {
	t.Parallel()
	h := &host{files: map[string]string{}, brings: map[string]string{"/p.conf": "the package's", "/same.conf": "x"}}
	wanted := resources(&thing{Name: "/p", Package: true}, &thing{Name: "/p.conf", Value: "ours"}, &thing{Name: "/same.conf", Value: "x"})
	fleet := &engine.Fleet{
		Connect: func(context.Context, string) (*engine.Session, error) { return h.session(t), nil },
		Wanted:  func(string, map[string]*wire.Facts) ([]*engine.Resource, error) { return wanted, nil },
	}
	defer fleet.Close()
	list := []engine.Host{{Name: "h"}}
	plan := fleet.Plan(t.Context(), list)
	result := fleet.Apply(t.Context(), plan, list).Hosts[0]
	if result.Err != nil || len(result.Done) != 3 || h.files["/p.conf"] != "ours" {
		t.Errorf("%v, %d done, files %v", result.Err, len(result.Done), h.files)
	}
}

func TestDriftAfterPlanIsRefused(t *testing.T) {
	t.Parallel()
	h := &host{files: map[string]string{}}
	wanted := resources(&thing{Name: "/a", Value: "ours"})
	fleet := &engine.Fleet{
		Connect: func(context.Context, string) (*engine.Session, error) { return h.session(t), nil },
		Wanted:  func(string, map[string]*wire.Facts) ([]*engine.Resource, error) { return wanted, nil },
	}
	defer fleet.Close()
	list := []engine.Host{{Name: "h"}}
	plan := fleet.Plan(t.Context(), list)
	h.files["/a"] = "somebody else's"
	if err := fleet.Apply(t.Context(), plan, list).Hosts[0].Err; err == nil || h.files["/a"] != "somebody else's" {
		t.Errorf("%v, files %v", err, h.files)
	}
}
