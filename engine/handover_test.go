package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// website is a site of a server: a file that the server's unit loads, and a name on a port.
type website struct {
	Name string `hcl:"name" id:"true"`
	Port string `hcl:"port"`
	Path string `hcl:"path,optional"` // what it needs
}

// siteType is the type of a server's sites.
type siteType struct{ server string }

func (st siteType) file(s *website) string { return "/etc/" + st.server + "/" + s.Name }
func (st siteType) unit() string           { return st.server + ".service" }

func (st siteType) Keys(_ engine.Target, s *website) (provides, needs []engine.Key) {
	needs = []engine.Key{engine.UnitKey(st.unit()), engine.PathKey(st.server)}
	if s.Path != "" {
		needs = append(needs, engine.PathKey(s.Path))
	}
	return []engine.Key{engine.PathKey(st.file(s)), engine.Key("site:" + s.Name + " on " + s.Port)}, needs
}

func (st siteType) Loads(engine.Target, *website) []engine.Key {
	return []engine.Key{engine.UnitKey(st.unit())}
}

func (siteType) Shares() bool { return true }

func (siteType) Occupies(_ engine.Target, s *website) []engine.Key {
	return []engine.Key{engine.Key("port:" + s.Port)}
}

func (siteType) Validate(*website) []engine.Problem { return nil }

func (st siteType) Ask(_ engine.Target, s *website) []wire.Query {
	return []wire.Query{{Verb: wire.AskFile, Arg: st.file(s)}}
}

func (st siteType) Read(_ engine.Target, s *website, got engine.Answers) (*website, error) {
	f, err := got.File(wire.Query{Verb: wire.AskFile, Arg: st.file(s)})
	if err != nil || f.Kind == wire.Absent {
		return nil, err
	}
	return &website{Name: s.Name, Port: string(f.Content)}, nil
}

func (st siteType) Diff(_ engine.Target, want, have *website) []engine.Step {
	load := engine.Step{
		Summary: "load " + st.server, Do: wire.Op{Unit: &wire.UnitOp{Name: st.unit(), Action: wire.UnitLoad}},
		Undo: &wire.Op{Unit: &wire.UnitOp{Name: st.unit(), Action: wire.UnitRestore}},
	}
	check := engine.Step{Summary: "check " + st.server, Do: wire.Op{Run: &wire.RunOp{Argv: []string{"check"}}}, Final: "a check"}
	switch {
	case want == nil:
		return []engine.Step{{
			Summary: "remove " + st.file(have), Do: wire.Op{Remove: &wire.RemoveOp{Path: st.file(have)}},
			Undo: &wire.Op{Restore: &wire.RestoreOp{Path: st.file(have)}},
		}}
	case have == nil || have.Port != want.Port:
		return []engine.Step{{
			Summary: "write " + st.file(want), Do: wire.Op{Write: &wire.WriteOp{Path: st.file(want), Content: []byte(want.Port)}},
			Undo: &wire.Op{Restore: &wire.RestoreOp{Path: st.file(want)}},
		}, check, load}
	}
	return nil
}

// daemon is a service: a file with the name of its unit while it runs.
type daemon struct {
	Name string `hcl:"name" id:"true"`
}

type daemonType struct{}

func (daemonType) Keys(_ engine.Target, s *daemon) (provides, needs []engine.Key) {
	return []engine.Key{engine.UnitKey(s.Name)}, nil
}
func (daemonType) Validate(*daemon) []engine.Problem { return nil }
func (daemonType) Ask(_ engine.Target, s *daemon) []wire.Query {
	return []wire.Query{{Verb: wire.AskFile, Arg: s.Name}}
}

func (d daemonType) Read(t engine.Target, s *daemon, got engine.Answers) (*daemon, error) {
	f, err := got.File(d.Ask(t, s)[0])
	if err != nil || f.Kind == wire.Absent {
		return nil, err
	}
	return &daemon{s.Name}, nil
}

func (daemonType) Diff(_ engine.Target, want, have *daemon) []engine.Step {
	step := func(verb string, name string, action wire.UnitAction) []engine.Step {
		return []engine.Step{{
			Summary: verb + " " + name, Do: wire.Op{Unit: &wire.UnitOp{Name: name, Action: action}},
			Undo: &wire.Op{Unit: &wire.UnitOp{Name: name, Action: wire.UnitRestore}},
		}}
	}
	switch {
	case want == nil:
		return step("stop", have.Name, wire.UnitStop)
	case have == nil:
		return step("start", want.Name, wire.UnitStart)
	}
	return nil
}

// webTypes has two servers, a and b.
var webTypes = sync.OnceValue(func() *engine.Registry {
	r := registry()
	engine.Register(r, "a_site", siteType{"a"})
	engine.Register(r, "b_site", siteType{"b"})
	engine.Register(r, "service", daemonType{})
	return r
})

// served is what a block with a web server expands to: the part "site" has the server's type.
func served(server, port string) []*engine.Resource {
	types := webTypes()
	part := func(name, kind string, state any) *engine.Resource {
		return &engine.Resource{Address: at("h/mirror.m." + name), Kind: types.Kind(kind), State: state, Source: "test.hcl:1"}
	}
	return []*engine.Resource{
		part(server, "package", &thing{Name: server, Package: true}),
		part(server+"_service", "service", &daemon{server + ".service"}),
		part("site", server+"_site", &website{Name: "m", Port: port, Path: "/srv/m"}),
		part("data", "thing", &thing{Name: "/srv/m", Value: "x"}),
	}
}

// webHost starts a server only if no other one has its port.
func webHost() *host {
	return &host{starts: func(unit string, files map[string]string) error {
		server, other := "a", "b"
		if unit == "b.service" {
			server, other = other, server
		}
		if port := files["/etc/"+server+"/m"]; files[other+".service"] != "" && files["/etc/"+other+"/m"] == port {
			return fmt.Errorf("port %s is in use", port)
		}
		if files["/broken"] == server {
			return fmt.Errorf("%s does not start", server)
		}
		return nil
	}}
}

func webFleet(t *testing.T, h *host, wanted []*engine.Resource) *fleet {
	f := single(t, h, wanted...)
	f.Types = webTypes()
	return f
}

// types are the addresses and types in the host's manifest.
func (h *host) types(t *testing.T) string {
	t.Helper()
	var list []string
	for _, e := range h.managed(t).Resources {
		list = append(list, e.Address+" "+e.Type)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// TestChangeOfType changes the type of a block's part, and so the thing that it manages: the old
// one makes room for the new one.
func TestChangeOfType(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ port, plan, did string }{
		"on one port": {
			port: "80",
			plan: "create h/mirror.m.b; delete h/mirror.m.site; delete h/mirror.m.a_service; create h/mirror.m.site; " +
				"create h/mirror.m.b_service; delete h/mirror.m.a",
			did: "begin; write /etc/b/m; remove /etc/a/m; stop a.service; load b.service; start b.service; remove a; commit",
		},
		"on another port": {
			port: "8080",
			plan: "create h/mirror.m.b; create h/mirror.m.site; delete h/mirror.m.site; delete h/mirror.m.a_service; " +
				"create h/mirror.m.b_service; delete h/mirror.m.a",
			did: "begin; write /etc/b/m; load b.service; remove /etc/a/m; stop a.service; start b.service; remove a; commit",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				h := webHost()
				if _, r := webFleet(t, h, served("a", "80")).apply(); r.Err != nil {
					t.Fatal(r.Err)
				}
				h.log = nil
				f := webFleet(t, h, served("b", tc.port))
				hp, r := f.apply()
				if hp.Failed() || r.Err != nil {
					t.Fatalf("%s; apply: %v", problems(hp), r.Err)
				}
				if got := changes(hp); got != tc.plan {
					t.Errorf("plan: %s\nwant: %s", got, tc.plan)
				}
				if got := h.did(); got != tc.did {
					t.Errorf("on the host: %s\nwant:        %s", got, tc.did)
				}
				for _, c := range hp.Changes {
					if c.Action == engine.Delete && c.Address == "h/mirror.m.site" && (c.Type != "a_site" || !c.Resource.Orphan || c.Resource.Now != "b_site") {
						t.Errorf("%s has type %s, orphan is %v", c.String(), c.Type, c.Resource.Orphan)
					}
				}
				want := "mirror.m.b package, mirror.m.b_service service, mirror.m.data thing, mirror.m.site b_site"
				if got := h.types(t); got != want {
					t.Errorf("managed: %s\nwant:    %s", got, want)
				}
				for _, e := range h.managed(t).Resources {
					if !e.Made {
						t.Errorf("%s does not count as made", e.Address)
					}
				}
				if hp := webFleet(t, h, served("b", tc.port)).plan(); hp.Failed() || len(hp.Changes) > 0 {
					t.Errorf("the plan after that: %s %s", changes(hp), problems(hp))
				}
			})
		})
	}
}

// TestChangeOfTypeFails starts a server that does not start: the old one is back, and so is the
// manifest.
func TestChangeOfTypeFails(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := webHost()
		if _, r := webFleet(t, h, served("a", "80")).apply(); r.Err != nil {
			t.Fatal(r.Err)
		}
		before := h.types(t)
		h.edit("/broken", "b")
		_, r := webFleet(t, h, served("b", "80")).apply()
		if r.Err == nil || r.State != engine.TakenBack || r.Failed == nil || r.Failed.Type != "b_site" {
			t.Fatalf("%v, %s, %v", r.Err, r.State, r.Failed)
		}
		var notDone []string
		for _, c := range r.NotDone {
			notDone = append(notDone, c.Type)
		}
		if want := []string{"package", "a_site", "service", "service", "package"}; !slices.Equal(notDone, want) {
			t.Errorf("not done: %q, want %q", notDone, want)
		}
		if h.content("/etc/a/m") != "80" || h.content("a.service") != "active" || h.types(t) != before {
			t.Errorf("files %v, managed: %s", h.files, h.types(t))
		}
	})
}

// TestChangeOfTypeOfOneOwner changes one of two blocks that share a site: the other one keeps it.
func TestChangeOfTypeOfOneOwner(t *testing.T) {
	t.Parallel()
	other := func(list []*engine.Resource, name string) []*engine.Resource {
		for _, r := range list {
			r.Address.Name = name
		}
		return list
	}
	bubble(t, func(t *testing.T) {
		h := webHost()
		if _, r := webFleet(t, h, slices.Concat(served("a", "80"), other(served("a", "80"), "n"))).apply(); r.Err != nil {
			t.Fatal(r.Err)
		}
		f := webFleet(t, h, slices.Concat(served("b", "8080"), other(served("a", "80"), "n")))
		hp := f.plan()
		f.Close()
		synctest.Wait()
		if got, want := changes(hp), "create h/mirror.m.b; create h/mirror.m.site; create h/mirror.m.b_service"; got != want || hp.Failed() {
			t.Errorf("plan: %s, want %s (%s)", got, want, problems(hp))
		}
		// Both change: the joined site goes once.
		h.log = nil
		hp, r := webFleet(t, h, slices.Concat(served("b", "80"), other(served("b", "80"), "n"))).apply()
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if got, want := h.did(), "begin; write /etc/b/m; remove /etc/a/m; stop a.service; load b.service; start b.service; remove a; commit"; got != want {
			t.Errorf("on the host: %s\nwant:        %s\nplan: %s", got, want, changes(hp))
		}
		if got := h.types(t); strings.Contains(got, "a_site") || !strings.Contains(got, "mirror.m.site b_site") || !strings.Contains(got, "mirror.n.site b_site") {
			t.Errorf("managed: %s", got)
		}
	})
}

// TestSavedChangeOfType saves the plan of such a change, and compares it with another one.
func TestSavedChangeOfType(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := webHost()
		if _, r := webFleet(t, h, served("a", "80")).apply(); r.Err != nil {
			t.Fatal(r.Err)
		}
		save := func() *engine.SavedPlan {
			f := webFleet(t, h, served("b", "80"))
			defer f.Close()
			s, err := engine.Save(f.Plan(t.Context(), f.list), engine.SaveOptions{Salt: "salt", Time: time.Unix(0, 0)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := save()
		if d := s.Differences(save()); len(d) > 0 {
			t.Errorf("two plans of one change differ: %v", d)
		}
		shown, err := s.Plan()
		if err != nil || !slices.ContainsFunc(shown.Hosts[0].Changes, func(c engine.Change) bool {
			return c.Type == "a_site" && c.Action == engine.Delete && c.Resource.Now == "b_site"
		}) {
			t.Errorf("the saved plan, shown: %v, %v", err, shown)
		}
		h.edit("/etc/a/m", "81")
		d := s.Differences(save())
		if len(d) == 0 || d[0].Address != "h/mirror.m.site" || !strings.Contains(d[0].What, "the host changed") {
			t.Errorf("after an edit: %v", d)
		}
	})
}

// TestTargetChangeOfType selects the part alone: it is removed and created, and its server stays.
func TestTargetChangeOfType(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := webHost()
		if _, r := webFleet(t, h, served("a", "80")).apply(); r.Err != nil {
			t.Fatal(r.Err)
		}
		f := webFleet(t, h, served("b", "8080"))
		f.Select = func(target engine.Target, all []*engine.Resource) []*engine.Resource {
			return engine.Select(target, all, []string{"h/mirror.m.site"})
		}
		hp := f.plan()
		if got := changes(hp); !strings.Contains(got, "create h/mirror.m.site; delete h/mirror.m.site") || hp.Failed() {
			t.Errorf("plan: %s (%s)", got, problems(hp))
		}
	})
}

// TestDestroyAfterChangeOfType removes what was applied although the configuration has another type
// by now.
func TestDestroyAfterChangeOfType(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := webHost()
		if _, r := webFleet(t, h, served("a", "80")).apply(); r.Err != nil {
			t.Fatal(r.Err)
		}
		f := webFleet(t, h, served("b", "80"))
		f.Adjust = func(selected []*engine.Resource) []*engine.Resource {
			for _, r := range selected {
				r.Remove = true
			}
			return selected
		}
		hp, r := f.apply()
		if r.Err != nil || hp.Failed() {
			t.Fatalf("%v; %s", r.Err, problems(hp))
		}
		// What was never applied may be there all the same, so what it needs stays.
		if len(h.files) != 1 || h.content("/srv/m") != "x" || h.types(t) != "" {
			t.Errorf("left: %v, managed: %s", h.files, h.types(t))
		}
	})
}
