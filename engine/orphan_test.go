package engine_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// kept is a resource of a type that keeps what cannot be brought back.
func kept(s *thing) *engine.Resource { return typed("kept", s) }

// typed is a resource of a type.
func typed(kind string, s *thing) *engine.Resource {
	r := resource(s)
	r.Address, r.Kind = at("h/"+kind+"."+s.Name), registry().Kind(kind)
	return r
}

// with changes a resource.
func with(r *engine.Resource, change func(*engine.Resource)) *engine.Resource {
	change(r)
	return r
}

// TestOrphans applies one configuration, and then another: what became of what the first one made?
func TestOrphans(t *testing.T) {
	t.Parallel()
	file := func(name string, needs ...string) *engine.Resource {
		return resource(&thing{Name: name, Value: "x", Needs: needs})
	}
	for name, tc := range map[string]struct {
		first, then []*engine.Resource
		fleet       func(f *fleet) // of the second apply
		plan        string         // the changes of the second plan
		notes       []string       // parts of its notes, one each
		managed     string         // after the second apply
		wantErr     string         // of the second plan
	}{
		"none":    {first: resources(&thing{Name: "/a"}), then: resources(&thing{Name: "/a"}), managed: "thing./a"},
		"removed": {first: []*engine.Resource{file("/a"), file("/b")}, then: []*engine.Resource{file("/b")}, plan: "delete h/thing./a", managed: "thing./b"},
		"all":     {first: []*engine.Resource{file("/a"), file("/b", "/a")}, plan: "delete h/thing./b; delete h/thing./a"},
		"in the reverse order of what they need": {
			first: []*engine.Resource{file("/a"), file("/a/b", "/a"), file("/a/b/c", "/a/b")}, then: nil,
			plan: "delete h/thing./a/b/c; delete h/thing./a/b; delete h/thing./a",
		},
		"in the reverse order of references": {
			first: []*engine.Resource{file("/a"), with(file("/b"), func(r *engine.Resource) { r.DependsOn = []engine.Address{at("h/thing./a")} })},
			plan:  "delete h/thing./b; delete h/thing./a",
		},
		"one whose reference stays": {
			first: []*engine.Resource{file("/a"), with(file("/b"), func(r *engine.Resource) { r.DependsOn = []engine.Address{at("h/thing./a")} })},
			then:  []*engine.Resource{file("/a")}, plan: "delete h/thing./b", managed: "thing./a",
		},
		"type keeps": {
			first: []*engine.Resource{kept(&thing{Name: "/a"}), file("/b")}, plan: "delete h/thing./b",
			notes: []string{"kept./a is no longer in the configuration. It is released and stays on the host unchanged: its files would be lost"},
		},
		"resource keeps": {
			first: []*engine.Resource{with(file("/a"), func(r *engine.Resource) { r.Keep = "it was said" })},
			notes: []string{"thing./a is no longer in the configuration. It is released and stays on the host unchanged: it was said"},
		},
		"needed by what is wanted": {
			first: []*engine.Resource{file("/srv"), file("/srv/x", "/srv")}, then: []*engine.Resource{file("/srv/x", "/srv")}, managed: "thing./srv/x",
			notes: []string{"thing./srv is no longer in the configuration. It is released and stays on the host unchanged: a resource that stays needs it"},
		},
		"needed by what is needed by what is kept": {
			first: []*engine.Resource{file("/a"), file("/b", "/a"), kept(&thing{Name: "/c", Needs: []string{"/b"}}), file("/d")}, plan: "delete h/thing./d",
			notes: []string{"kept./c is no longer", "thing./b is no longer", "thing./a is no longer"},
		},
		"followed by what is wanted": {
			first: []*engine.Resource{file("/conf.d"), file("/conf.d/x", "/conf.d"), resource(&thing{Name: "/unit", Value: "x", Follows: []string{"/conf.d"}})},
			then:  []*engine.Resource{resource(&thing{Name: "/unit", Value: "x", Follows: []string{"/conf.d"}}), file("/conf.d")},
			plan:  "delete h/thing./conf.d/x; update h/thing./unit", managed: "thing./conf.d thing./unit",
		},
		"followed and gone with its directory": {
			first: []*engine.Resource{file("/conf.d"), file("/conf.d/x", "/conf.d"), resource(&thing{Name: "/unit", Value: "x", Follows: []string{"/conf.d"}})},
			then:  []*engine.Resource{resource(&thing{Name: "/unit", Value: "x", Follows: []string{"/conf.d"}})},
			plan:  "delete h/thing./conf.d/x; delete h/thing./conf.d; update h/thing./unit", managed: "thing./unit",
		},
		"needed and followed": {
			first: []*engine.Resource{file("/conf"), resource(&thing{Name: "/unit", Value: "x", Needs: []string{"/conf"}, Follows: []string{"/conf"}})},
			then:  []*engine.Resource{resource(&thing{Name: "/unit", Value: "x", Needs: []string{"/conf"}, Follows: []string{"/conf"}})},
			plan:  "delete h/thing./conf; update h/thing./unit", managed: "thing./unit",
		},
		"taken over under another address": {
			first: []*engine.Resource{file("/a")}, then: []*engine.Resource{with(file("/a"), func(r *engine.Resource) { r.Address = at("h/thing.other") })},
			managed: "thing.other",
		},
		"of another configuration": {
			first: []*engine.Resource{file("/a"), file("/b")}, then: []*engine.Resource{file("/c")}, fleet: func(f *fleet) { f.Configuration = "theirs" },
			plan: "create h/thing./c", managed: "thing./a thing./b thing./c",
			notes: []string{"another configuration manages 2 more resources on this host"},
		},
		"left out": {
			first: []*engine.Resource{file("/a"), file("/b")}, plan: "delete h/thing./b", managed: "thing./a",
			fleet: func(f *fleet) {
				f.LeftOut = func(string, map[string]*wire.Facts) func(engine.Address) bool {
					return func(a engine.Address) bool { return a == at("h/thing./a") }
				}
			},
		},
		"directory": {
			first: []*engine.Resource{typed("dir", &thing{Name: "/conf.d"}), file("/conf.d/x", "/conf.d")}, plan: "delete h/thing./conf.d/x; delete h/dir./conf.d",
			fleet: func(f *fleet) { f.hosts["h"].files["/conf.d"] = "/conf.d/x" },
		},
		"directory with something else in it": {
			first: []*engine.Resource{typed("dir", &thing{Name: "/conf.d"}), file("/conf.d/x", "/conf.d")}, plan: "delete h/thing./conf.d/x",
			fleet: func(f *fleet) {
				if h := f.hosts["h"]; h.files["/conf.d/x"] != "" {
					h.files["/conf.d"] = "/conf.d/x /conf.d/theirs"
				}
			},
			notes: []string{"dir./conf.d stays: it contains something else"},
		},
		"of an unknown type": {
			first: []*engine.Resource{file("/a")}, fleet: func(f *fleet) { f.Types = new(engine.Registry) },
			wantErr: "thing./a has type thing, which this version of mirrorform does not have", managed: "thing./a",
		},
		"prevent_destroy": {
			first:   []*engine.Resource{with(file("/a"), func(r *engine.Resource) { r.PreventDestroy = true }), file("/b")},
			wantErr: "h/thing./a: it would be removed, but has prevent_destroy", managed: "thing./a thing./b",
		},
		"prevent_destroy of what is kept": {
			first:   []*engine.Resource{with(kept(&thing{Name: "/a"}), func(r *engine.Resource) { r.PreventDestroy = true })},
			wantErr: "h/kept./a: it would be removed, but has prevent_destroy", managed: "kept./a",
		},
		"prevent_destroy of what is needed": {
			first: []*engine.Resource{with(file("/srv"), func(r *engine.Resource) { r.PreventDestroy = true }), file("/srv/x", "/srv")},
			then:  []*engine.Resource{file("/srv/x", "/srv")}, wantErr: "h/thing./srv: it would be removed, but has prevent_destroy", managed: "thing./srv thing./srv/x",
		},
		"removed by hand before": {
			first: []*engine.Resource{file("/a"), file("/b")}, then: []*engine.Resource{file("/b")}, managed: "thing./b",
			fleet: func(f *fleet) { delete(f.hosts["h"].files, "/a") },
		},
		"move": {
			first: []*engine.Resource{file("/a"), file("/b")}, then: []*engine.Resource{with(file("/a"), func(r *engine.Resource) { r.Address = at("h/thing.new") }), file("/b")},
			fleet: func(f *fleet) { f.Moves = []engine.Move{{From: "thing./a", To: "thing.new"}} }, managed: "thing.new thing./b",
		},
		"move of what is below": {
			first: []*engine.Resource{
				with(file("/a"), func(r *engine.Resource) { r.Address = at("h/mirror.old.cron") }),
				with(file("/b"), func(r *engine.Resource) { r.Address = at("h/mirror.old.web") }),
				with(file("/c"), func(r *engine.Resource) { r.Address = at("h/mirror.older.web") })},
			then:  []*engine.Resource{with(file("/a"), func(r *engine.Resource) { r.Address = at("h/mirror.new.cron") })},
			fleet: func(f *fleet) { f.Moves = []engine.Move{{From: "mirror.old", To: "mirror.new"}} },
			plan:  "delete h/mirror.older.web; delete h/mirror.new.web", managed: "mirror.new.cron",
		},
		"move to what is there": {
			first:   []*engine.Resource{file("/a"), file("/b")},
			fleet:   func(f *fleet) { f.Moves = []engine.Move{{From: "thing./a", To: "thing./b"}} },
			wantErr: "a moved block renames thing./", managed: "thing./a thing./b",
		},
		"move into for_each": {
			first: []*engine.Resource{file("/a")}, then: []*engine.Resource{with(file("/a"), func(r *engine.Resource) { r.Address = at(`h/thing./a["x"]`) })},
			fleet: func(f *fleet) { f.Moves = []engine.Move{{From: "thing./a", To: `thing./a["x"]`}} }, managed: `thing./a["x"]`,
		},
		"let go": {
			first: []*engine.Resource{file("/a"), file("/b")}, fleet: func(f *fleet) { f.Moves = []engine.Move{{From: "thing./a"}} },
			plan: "delete h/thing./b", notes: []string{"thing./a is released by a removed block: it stays on the host unchanged"},
		},
		"let go in spite of prevent_destroy": {
			first: []*engine.Resource{with(file("/a"), func(r *engine.Resource) { r.PreventDestroy = true })},
			fleet: func(f *fleet) { f.Moves = []engine.Move{{From: "thing"}} },
			notes: []string{"thing./a is released by a removed block"},
		},
		"moves of another configuration": {
			first: []*engine.Resource{file("/a")}, managed: "thing./a", notes: []string{"another configuration manages 1 more"},
			fleet: func(f *fleet) { f.Configuration, f.Moves = "theirs", []engine.Move{{From: "thing./a"}} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				h := new(host)
				converge(t, h, tc.first...)
				before := h.managedList(t)
				f := single(t, h, tc.then...)
				if tc.fleet != nil {
					tc.fleet(f)
				}
				files := len(h.files)
				hp, r := f.apply()
				if tc.wantErr != "" {
					if text := problems(hp); !hp.Failed() || !strings.Contains(text, tc.wantErr) {
						t.Errorf("plan: %s; want %q", text, tc.wantErr)
					}
					if r.Err == nil || r.State != engine.Untouched || h.managedList(t) != before || len(h.files) != files {
						t.Errorf("apply: %v, %s, managed: %s", r.Err, r.State, h.managedList(t))
					}
					return
				}
				if hp.Failed() || r.Err != nil {
					t.Fatalf("plan: %s; apply: %v", problems(hp), r.Err)
				}
				if got := changes(hp); got != tc.plan {
					t.Errorf("plan: %s\nwant: %s", got, tc.plan)
				}
				for _, c := range hp.Changes {
					if (c.Action == engine.Delete) != c.Resource.Orphan {
						t.Errorf("%s: orphan is %v", c.String(), c.Resource.Orphan)
					}
				}
				for _, want := range tc.notes {
					if !slices.ContainsFunc(hp.Notes, func(n string) bool { return strings.HasPrefix(n, want) }) {
						t.Errorf("notes %q, want %q", hp.Notes, want)
					}
				}
				if len(hp.Notes) != len(tc.notes) {
					t.Errorf("notes: %q", hp.Notes)
				}
				if got := h.managedList(t); got != tc.managed {
					t.Errorf("managed: %s\nwant:    %s", got, tc.managed)
				}
				// What is neither removed nor wanted is where it was, and nothing is left to do.
				if gone := strings.Count(tc.plan, "delete"); len(h.files) != files-gone+strings.Count(tc.plan, "create") {
					t.Errorf("%d files, then %v", files, h.files)
				}
				again := single(t, h, tc.then...)
				if tc.fleet != nil {
					tc.fleet(again)
				}
				if hp := again.plan(); hp.Failed() || len(hp.Changes) > 0 {
					t.Errorf("the plan after that: %s %s", changes(hp), problems(hp))
				}
			})
		})
	}
}

func problems(p *engine.HostPlan) string {
	list := []string{errorText(p.Err)}
	for _, q := range p.Problems {
		list = append(list, q.Error())
	}
	return strings.Join(list, "; ")
}

// TestFollowerIsLoadedAfterRemoval removes a file below a directory that a unit follows: the unit is loaded afterwards, from what is left.
func TestFollowerIsLoadedAfterRemoval(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		unit := func() *engine.Resource {
			return resource(&thing{Name: "/unit", Value: "x", Follows: []string{"/conf.d"}})
		}
		h := new(host)
		converge(t, h, unit(), resource(&thing{Name: "/conf.d/x", Value: "x"}))
		h.log = nil
		converge(t, h, unit())
		if got, want := h.did(), "begin; remove /conf.d/x; load /unit; commit"; got != want {
			t.Errorf("on the host: %s\nwant         %s", got, want)
		}
	})
}

// TestTargetLeavesTheRest applies to some resources only: the others stay in the manifest, wanted or not.
func TestTargetLeavesTheRest(t *testing.T) {
	t.Parallel()
	for address, tc := range map[string]struct{ plan, managed string }{
		"h/thing./new":  {"create h/thing./new", "thing./a thing./b thing./gone thing./new"},
		"h/thing./a":    {"update h/thing./a", "thing./a thing./b thing./gone"},
		"h/thing./gone": {"delete h/thing./gone", "thing./a thing./b"},
		"h/other":       {"", "thing./a thing./b thing./gone"},
	} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				h := new(host)
				converge(t, h, resources(&thing{Name: "/a", Value: "old"}, &thing{Name: "/b", Value: "old"}, &thing{Name: "/gone", Value: "old"})...)
				f := single(t, h, resources(&thing{Name: "/a", Value: "new"}, &thing{Name: "/b", Value: "new"}, &thing{Name: "/new", Value: "new"})...)
				f.Select = func(target engine.Target, all []*engine.Resource) []*engine.Resource {
					return engine.Select(target, all, []string{address})
				}
				hp, r := f.apply()
				if got := changes(hp); r.Err != nil || got != tc.plan {
					t.Errorf("%v, plan: %s, want: %s", r.Err, got, tc.plan)
				}
				if got := h.managedList(t); got != tc.managed {
					t.Errorf("managed: %s, want: %s", got, tc.managed)
				}
				for _, e := range h.managed(t).Resources {
					want := `"old"`
					if strings.Contains(tc.plan, e.Address) {
						want = `"new"`
					}
					if string(e.State["value"]) != want {
						t.Errorf("%s is said to be %s, want %s", e.Address, e.State["value"], want)
					}
				}
			})
		})
	}
}

// TestTargetAndTakeover renames a resource without a moved block, and applies something else only: it is managed under its old address still.
func TestTargetAndTakeover(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := new(host)
		converge(t, h, resource(&thing{Name: "/a", Value: "x"}))
		renamed := with(resource(&thing{Name: "/a", Value: "x"}), func(r *engine.Resource) { r.Address = at("h/thing.other") })
		for _, step := range []struct{ target, managed string }{{"h/thing./b", "thing./a thing./b"}, {"h", "thing./b thing.other"}} {
			f := single(t, h, renamed, resource(&thing{Name: "/b", Value: "x"}))
			f.Select = func(target engine.Target, all []*engine.Resource) []*engine.Resource {
				return engine.Select(target, all, []string{step.target})
			}
			if _, r := f.apply(); r.Err != nil || h.managedList(t) != step.managed {
				t.Errorf("%s: %v, managed: %s, want: %s", step.target, r.Err, h.managedList(t), step.managed)
			}
		}
	})
}

// TestOrphanSharer removes a thing whose name another one takes over. A new thing may be the same
// as the one that had the name.
func TestOrphanSharer(t *testing.T) {
	t.Parallel()
	share := func(path string, names ...string) *engine.Resource {
		r := resource(&thing{Name: path, Value: "x", Needs: names})
		r.Kind, r.Address = registry().Kind("share"), at("h/share."+path)
		return r
	}
	for _, c := range []struct {
		then, now []*engine.Resource
		want      string
	}{
		{[]*engine.Resource{share("/plain", "a on 80"), share("/tls", "a on 443")}, []*engine.Resource{share("/plain", "a on 80", "a on 443")}, "delete h/share./tls"},
		{[]*engine.Resource{share("/tls", "a on 443")}, []*engine.Resource{share("/plain", "a on 443")}, "create h/share./plain"},
	} {
		bubble(t, func(t *testing.T) {
			h := &host{}
			converge(t, h, c.then...)
			f := single(t, h, c.now...)
			if plan, r := f.apply(); changes(plan) != c.want || r.Err != nil {
				t.Errorf("the plan: %s, error %v", changes(plan), r.Err)
			}
		})
	}
}

// TestDestroy has a run remove what is wanted: that is no orphan.
func TestDestroy(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := new(host)
		wanted := func() []*engine.Resource {
			return []*engine.Resource{resource(&thing{Name: "/a", Value: "x"}), resource(&thing{Name: "/b", Value: "x", Needs: []string{"/a"}})}
		}
		converge(t, h, append(wanted(), resource(&thing{Name: "/orphan", Value: "x"}))...)
		f := single(t, h, wanted()...)
		f.Adjust = func(selected []*engine.Resource) []*engine.Resource {
			for _, r := range selected {
				r.Remove = true
			}
			return selected
		}
		hp, r := f.apply()
		if got, want := changes(hp), "delete h/thing./orphan; delete h/thing./b; delete h/thing./a"; got != want || r.Err != nil {
			t.Fatalf("%v, plan: %s, want: %s", r.Err, got, want)
		}
		for _, c := range hp.Changes {
			if c.Resource.Orphan != (c.Address == "h/thing./orphan") {
				t.Errorf("%s: orphan is %v", c.Address, c.Resource.Orphan)
			}
		}
		if len(h.files) > 0 || h.managedList(t) != "" {
			t.Errorf("left: %v, managed: %s", h.files, h.managedList(t))
		}
	})
}

// TestStateCommands forgets resources, and makes a manifest anew.
func TestStateCommands(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := new(host)
		wanted := func() []*engine.Resource {
			return resources(&thing{Name: "/a", Value: "x"}, &thing{Name: "/b", Value: "x"}, &thing{Name: "/c", Value: "x"})
		}
		converge(t, h, wanted()...)
		files := len(h.files)
		forget := func(addresses ...string) []string {
			f := single(t, h)
			defer f.Close()
			got, err := f.engine().Forget(t.Context(), lock, "h", "", addresses)
			if err != nil {
				t.Error(err)
			}
			return got
		}
		if got := forget("thing./a", "thing./none"); !slices.Equal(got, []string{"thing./a"}) || h.managedList(t) != "thing./b thing./c" {
			t.Errorf("forgotten: %v, managed: %s", got, h.managedList(t))
		}
		written := h.manifests
		if got := forget("thing./none"); got != nil || h.manifests != written {
			t.Errorf("forgotten: %v", got)
		}
		if got := forget("thing"); len(got) != 2 || h.managedList(t) != "" || len(h.files) != files {
			t.Errorf("forgotten: %v, managed: %s, files %v", got, h.managedList(t), h.files)
		}

		h.edit("/b", "theirs")
		h.manifest = []byte("garbage")
		f := single(t, h)
		if _, err := f.engine().Forget(t.Context(), lock, "h", "", []string{"thing"}); !errors.Is(err, engine.ErrManifest) || string(h.manifest) != "garbage" {
			t.Errorf("forget with a corrupt manifest: %v", err)
		}
		if list := f.engine().Manifests(t.Context(), f.list, f.Report); len(list) != 1 || !errors.Is(list[0].Err, engine.ErrManifest) || list[0].Manifest != nil {
			t.Errorf("list with a corrupt manifest: %+v", list)
		}
		f.Close()
		f = single(t, h, wanted()...)
		var rebuilt []engine.Rebuilt
		f.engine().Rebuild(t.Context(), lock, f.list, intent{f}, func(r engine.Rebuilt) { rebuilt = append(rebuilt, r) })
		if want := []engine.Rebuilt{{Host: "h", Managed: []string{"h/thing./a", "h/thing./c"}, Left: []string{"h/thing./b"}}}; !reflect.DeepEqual(rebuilt, want) {
			t.Fatalf("rebuild: %+v", rebuilt)
		}
		if h.managedList(t) != "thing./a thing./c" || string(h.aside) != "garbage" || h.content("/b") != "theirs" {
			t.Errorf("rebuild: managed %s, aside %q, files %v", h.managedList(t), h.aside, h.files)
		}
		if list := f.engine().Manifests(t.Context(), append(f.list, engine.Host{Name: "down"}), f.Report); list[0].Err != nil || len(list[0].Manifest.Resources) != 2 || list[1].Err == nil {
			t.Errorf("list: %+v", list)
		}
		f.Close()

		h.refuse = "read-only file system"
		f = single(t, h, wanted()...)
		before := string(h.manifest)
		if got, err := f.engine().Forget(t.Context(), lock, "h", "", []string{"thing"}); got != nil || err == nil || !strings.Contains(err.Error(), "read-only file system") || string(h.manifest) != before {
			t.Errorf("forget on a broken host: %v, %v", got, err)
		}
	})
}
