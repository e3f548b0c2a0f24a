package engine_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// run applies as a configuration, and removes what is wanted where destroy is set.
func (h *host) run(t *testing.T, configuration string, destroy bool, wanted ...*engine.Resource) *engine.HostPlan {
	t.Helper()
	f := single(t, h, wanted...)
	f.Configuration = configuration
	if destroy {
		f.Adjust = func(selected []*engine.Resource) []*engine.Resource {
			for _, r := range selected {
				r.Remove = true
			}
			return selected
		}
	}
	p, r := f.apply()
	if p.Failed() || r.Err != nil {
		t.Fatalf("plan: %s; apply: %v", problems(p), r.Err)
	}
	return p
}

// What destroy keeps keeps what it needs, directly or not.
func TestKeptKeeps(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{files: map[string]string{}}
		wanted := func() []*engine.Resource {
			return append(resources(&thing{Name: "/group", Value: "x"}, &thing{Name: "/dir", Value: "x", Needs: []string{"/group"}}, &thing{Name: "/conf", Value: "x"}),
				kept(&thing{Name: "/account", Needs: []string{"/dir"}}))
		}
		h.run(t, "ours", false, wanted()...)
		f := single(t, h, wanted()...)
		f.Configuration = "ours"
		f.Adjust = func(selected []*engine.Resource) (removed []*engine.Resource) {
			for _, r := range selected {
				if r.Kept() == "" {
					r.Remove, removed = true, append(removed, r)
				}
			}
			return removed
		}
		p, r := f.apply()
		if got, want := changes(p), "delete h/thing./conf"; got != want || r.Err != nil {
			t.Errorf("plan: %s, %v; want %s", got, r.Err, want)
		}
		contains(t, "notes", strings.Join(p.Notes, "\n"), "thing./group is kept: what is kept needs it", "thing./dir is kept")
		h.has(t, "/group", "/dir", "/account")
		if left, want := h.managedList(t), "thing./group thing./dir kept./account"; left != want {
			t.Errorf("managed: %q, want %q", left, want)
		}
	})
}

// has fails unless those paths exist on the host, and no others.
func (h *host) has(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if _, is := h.files[p]; !is {
			t.Errorf("%s is gone", p)
		}
	}
	if len(h.files) != len(paths) {
		t.Errorf("on the host: %v, want %v", h.files, paths)
	}
}

// What was there before stays, whichever way it leaves the configuration; what was made goes, in
// the opposite order.
func TestFoundStays(t *testing.T) {
	t.Parallel()
	wanted := func() []*engine.Resource {
		return resources(&thing{Name: "/pkg", Package: true}, &thing{Name: "/found", Value: "x"}, &thing{Name: "/edited", Value: "x"},
			&thing{Name: "/made", Value: "x"}, &thing{Name: "/made2", Value: "x", Needs: []string{"/made"}})
	}
	for name, tc := range map[string]struct {
		destroy bool
		then    []*engine.Resource
	}{"destroy": {true, wanted()}, "removed blocks": {false, nil}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				h := &host{files: map[string]string{"/found": "x", "/edited": "before"}}
				h.run(t, "ours", false, wanted()...)
				h.run(t, "ours", false, wanted()...) // finding it there does not make it found
				p := h.run(t, "ours", tc.destroy, tc.then...)
				h.has(t, "/found", "/edited")
				if got, want := changes(p), "delete h/thing./made2; delete h/thing./made; delete h/package./pkg"; got != want {
					t.Errorf("plan: %s\nwant: %s", got, want)
				}
				contains(t, "notes", strings.Join(p.Notes, "\n"), "released, since it was on the host before mirrorform managed it", "thing./found", "thing./edited")
				if left := h.managedList(t); left != "" {
					t.Errorf("managed: %s", left)
				}
			})
		})
	}
}

// destroy of what was never applied removes nothing; what is missing and made again was made.
func TestNeverAppliedAndMadeAgain(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{files: map[string]string{"/a": "x"}}
		a := func() *engine.Resource { return resource(&thing{Name: "/a", Value: "x"}) }
		h.run(t, "ours", true, a())
		h.has(t, "/a")
		h.run(t, "ours", false, a())
		delete(h.files, "/a")
		h.run(t, "ours", false, a())
		h.run(t, "ours", true, a())
		h.has(t)
	})
}

// What the made and released things need stays: a made directory of a found file's.
func TestNeededByReleased(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{files: map[string]string{"/found": "x"}}
		wanted := func() []*engine.Resource {
			return resources(&thing{Name: "/account", Value: "x"}, &thing{Name: "/found", Value: "x", Needs: []string{"/account"}})
		}
		h.run(t, "ours", false, wanted()...)
		p := h.run(t, "ours", true, wanted()...)
		h.has(t, "/account", "/found")
		contains(t, "notes", strings.Join(p.Notes, "\n"), "thing./account stays and is released: a resource that stays needs it")
	})
}

// A thing of two configurations stays until neither wants it, whichever made it and whichever goes
// first, under one address or two.
func TestTwoOwners(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]string{"one address": "h/thing./a", "two addresses": "h/thing.other"} {
		for _, first := range []string{"ours", "theirs"} {
			t.Run(name+", first "+first, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					h := new(host)
					of := map[string]func() *engine.Resource{
						"ours": func() *engine.Resource { return resource(&thing{Name: "/a", Value: "x"}) },
						"theirs": func() *engine.Resource {
							r := resource(&thing{Name: "/a", Value: "x"})
							r.Address = at(other)
							return r
						},
					}
					second := map[string]string{"ours": "theirs", "theirs": "ours"}[first]
					h.run(t, "ours", false, of["ours"]())
					h.run(t, "theirs", false, of["theirs"]())
					p := h.run(t, first, true, of[first]())
					h.has(t, "/a")
					if len(p.Changes) > 0 {
						t.Errorf("plan: %s", changes(p))
					}
					if again := h.run(t, second, false, of[second]()); len(again.Changes) > 0 {
						t.Errorf("the other's plan: %s", changes(again))
					}
					h.run(t, second, true, of[second]())
					h.has(t)
				})
			})
		}
	}
}

// What another configuration needs stays as well, and what it found there before stays for good.
func TestNeededByAnother(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := new(host)
		dir := func() *engine.Resource { return resource(&thing{Name: "/srv", Value: "x"}) }
		h.run(t, "ours", false, dir())
		h.run(t, "theirs", false, resource(&thing{Name: "/srv/theirs", Value: "x", Needs: []string{"/srv"}}))
		p := h.run(t, "ours", false)
		h.has(t, "/srv", "/srv/theirs")
		contains(t, "notes", strings.Join(p.Notes, "\n"), "thing./srv stays and is released: a resource that stays needs it")
	})
}

// Of a thing that got another address without a moved block it is still known that mirrorform made
// it.
func TestMadeUnderAnotherAddress(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := new(host)
		h.run(t, "ours", false, resource(&thing{Name: "/a", Value: "x"}))
		renamed := with(resource(&thing{Name: "/a", Value: "x"}), func(r *engine.Resource) { r.Address = at("h/thing.other") })
		h.run(t, "ours", false, renamed)
		h.run(t, "ours", false)
		h.has(t)
	})
}

// A manifest of format 1 is read; plans do not write it, an apply without changes does. What it has
// counts as found.
func TestManifestOfFormat1(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := new(host)
		a := func() *engine.Resource { return resource(&thing{Name: "/a", Value: "x"}) }
		h.run(t, "ours", false, a())
		m := h.managed(t)
		m.Resources[0].Made = false
		h.manifest = formatOne(t, m)
		before := string(h.manifest)
		f := single(t, h, a())
		if p := f.plan(); p.Failed() || len(p.Changes) > 0 || string(h.manifest) != before {
			t.Errorf("plan: %s %s", changes(p), problems(p))
		}
		f.Close()
		h.run(t, "ours", false, a())
		if m := h.managed(t); m.Format != engine.ManifestFormat || m.Resources[0].Made {
			t.Errorf("format %d, made %v", m.Format, m.Resources[0].Made)
		}
		h.run(t, "ours", true, a())
		h.has(t, "/a")
	})
}

// formatOne writes a manifest as a program that knows format 1.
func formatOne(t *testing.T, m *engine.Manifest) []byte {
	t.Helper()
	m.Format, m.Checksum = 1, ""
	sum, err := engine.ChecksumForTest(m)
	if err != nil {
		t.Fatal(err)
	}
	m.Checksum = sum
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
