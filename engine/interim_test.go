package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// interimThings are a site that awaits a secure one, a certificate, the secure site, which needs
// the certificate and does not exist without it, and one more file.
func interimThings() []*engine.Resource {
	list := resources(&thing{Name: "/site", Value: "redirect", Awaits: "/secure"}, &thing{Name: "/cert", Value: "x", Needs: []string{"/site"}},
		&thing{Name: "/secure", Value: "absent", Awaits: "/cert", Needs: []string{"/cert"}}, &thing{Name: "/z", Value: "x"})
	for i, kind := range []string{"interim", "later", "interim"} {
		list[i].Kind, list[i].Address = registry().Kind(kind), at("h/"+kind+"."+list[i].State.(*thing).Name)
	}
	return list
}

// steps lists the steps of a plan; those for the second transaction are in brackets.
func steps(p *engine.HostPlan) string {
	var b strings.Builder
	for _, c := range p.Changes {
		for _, s := range c.Steps {
			if text := s.Summary; s.Later {
				b.WriteString("[" + text + "]; ")
			} else {
				b.WriteString(text + "; ")
			}
		}
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// TestInterim applies changes by way of interim states.
func TestInterim(t *testing.T) {
	t.Parallel()
	const (
		note   = "later, after all else is committed: interim./site, later./cert, interim./secure. Until then, "
		not    = "/site is not the last one"
		second = "write /cert; write /secure; write /site"
	)
	all := map[string]string{"/site": "redirect", "/cert": "x", "/secure": "absent", "/z": "x"}
	for name, tc := range map[string]struct {
		edit        map[string]string // after all is there; "" removes
		plan, did   string
		note, after string // after: the content of /site when the first transaction has committed
	}{
		"a new host": {
			edit: map[string]string{"/site": "", "/cert": "", "/secure": "", "/z": ""},
			plan: "write /site; [write /site]; [write /cert]; [write /secure]; write /z", note: note + "/secure is missing, and " + not,
			did: "begin; write /site; write /z; commit; " + second + "; commit",
		},
		"the certificate failed last time": {
			edit: map[string]string{"/site": "meanwhile", "/cert": "", "/secure": ""},
			plan: "[write /cert]; [write /secure]; [write /site]", did: "begin; " + second + "; commit",
		},
		"the certificate is lost": {
			edit: map[string]string{"/cert": "", "/z": "old"}, plan: "[write /cert]; write /z",
			note: "later, after all else is committed: later./cert", did: "begin; write /z; commit; write /cert; commit",
		},
		"the certificate is lost, and something else is loaded": {
			edit: map[string]string{"/cert": "", "/site": "edited"},
			plan: "write /site; [write /site]; [write /cert]; remove /secure; [write /secure]", note: note + "/secure is missing, and " + not,
			did: "begin; write /site; remove /secure; commit; " + second + "; commit",
		},
		"the certificate and the secure site change": {
			edit: map[string]string{"/cert": "old", "/secure": "old"},
			plan: "write /site; [write /site]; [write /cert]; [write /secure]", note: note + not,
			did: "begin; write /site; commit; " + second + "; commit",
		},
		"the certificate changes": {
			edit: map[string]string{"/cert": "old"}, plan: "[write /cert]", did: "begin; write /cert; commit",
		},
		"only the secure site is missing": {
			edit: map[string]string{"/secure": "", "/site": "meanwhile"}, plan: "write /site; write /secure", did: "begin; write /site; write /secure; commit",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				h := &host{}
				h.start()
				for _, path := range []string{"/site", "/cert", "/secure", "/z"} {
					content, edited := tc.edit[path]
					if !edited {
						content = all[path]
					}
					if content != "" {
						h.edit(path, content)
					}
				}
				h.log = nil
				f := single(t, h, interimThings()...)
				plan, r := f.apply()
				if got := steps(plan); got != tc.plan {
					t.Errorf("the plan: %s\nwant      %s", got, tc.plan)
				}
				if got := strings.Join(plan.Notes, "\n"); got != tc.note {
					t.Errorf("the notes: %q", got)
				}
				if r.Err != nil || h.did() != tc.did {
					t.Errorf("error %v, did %s\nwant %s", r.Err, h.did(), tc.did)
				}
				for path, content := range all {
					if got, _ := h.file(path); got != content {
						t.Errorf("%s: %q", path, got)
					}
				}
				var done []string
				for _, c := range r.Done {
					done = append(done, c.Address)
				}
				if slices.Sort(done); len(slices.Compact(done)) != len(r.Done) || len(done) != len(plan.Changes) {
					t.Errorf("done: %v", done)
				}
				if again := changes(single(t, h, interimThings()...).plan()); again != "" {
					t.Errorf("the next plan: %s", again)
				}
			})
		})
	}
}

// A second transaction that fails leaves the interim states, and the next plan has the rest.
func TestInterimFails(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{drop: onAgain(cutAfter, isDo, func(*host) {})}
		_, r := single(t, h, interimThings()...).apply()
		if r.State != engine.PartlyDone || len(r.Done) != 1 || len(r.NotDone) != 3 {
			t.Errorf("error %v, state %q, %d done, %d not done", r.Err, r.State, len(r.Done), len(r.NotDone))
		}
		if site, _ := h.file("/site"); site != "meanwhile" {
			t.Errorf("/site: %q", site)
		}
		if got := h.managedList(t); got != "interim./site thing./z" {
			t.Errorf("the manifest has %s", got)
		}
		h.drop = nil
		if got := steps(single(t, h, interimThings()...).plan()); got != "[write /cert]; [write /secure]; [write /site]" {
			t.Errorf("the next plan: %s", got)
		}
	})
}

// A wave that is rolled back leaves nothing of an interim state.
func TestInterimHeld(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{}
		f := single(t, h, interimThings()...)
		plan := f.Plan(t.Context(), f.list)
		r := f.ApplyWith(t.Context(), plan, engine.ApplyOptions{Decide: func(context.Context, []*engine.HostResult) error {
			return errors.New("the gate failed")
		}}).Hosts[0]
		if want := "begin; write /site; write /z; rollback; undo /z; undo /site"; h.did() != want || r.State != engine.TakenBack {
			t.Errorf("did %s, state %q", h.did(), r.State)
		}
	})
}

// What a resource awaits is selected with it; one with an interim state is not replaced.
func TestInterimSelected(t *testing.T) {
	t.Parallel()
	list := engine.Select(engine.Target{}, interimThings(), []string{"h/interim./site"})
	if got := names(list); got != "/site /cert /secure" {
		t.Errorf("selected %s", got)
	}
	bubble(t, func(t *testing.T) {
		h := &host{}
		h.start()
		h.edit("/site", "redirect")
		f := single(t, h, interimThings()...)
		f.Replace = []string{"h/interim./site"}
		if p := f.plan(); len(p.Problems) != 1 || !strings.Contains(p.Problems[0].Summary, "cannot be replaced before") {
			t.Errorf("problems: %v", p.Problems)
		}
	})
}
