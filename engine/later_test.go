package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// laterThings are a file, a thing of a Later type, two that need it (one of them through the
// other), one that follows it, and one more file.
func laterThings(last string) []*engine.Resource {
	list := resources(&thing{Name: "/a", Value: "x"}, &thing{Name: "/cert", Value: "x"}, &thing{Name: "/site", Value: "x", Needs: []string{"/cert"}},
		&thing{Name: last, Value: "x", Needs: []string{"/site"}}, &thing{Name: "/unit", Value: "x", Follows: []string{"/cert"}}, &thing{Name: "/z", Value: "x"})
	list[1].Kind, list[1].Address = registry().Kind("later"), at("h/later./cert")
	return list
}

// TestLater applies a plan that has changes for a second transaction.
func TestLater(t *testing.T) {
	t.Parallel()
	const begun = "begin; write /a; write /z; commit; write /cert; write /site; "
	first := []string{"thing./a", "thing./z"}
	second := []string{"later./cert", "thing./site", "thing./last", "thing./unit"}
	for name, tc := range map[string]struct {
		host    *host
		last    string // what comes last: /last if empty
		wantErr string
		wantDid string
		state   engine.Left
		done    []string // addresses in the manifest; nil: all
	}{
		"nothing wrong": {wantDid: begun + "write /last; write /unit; commit"},
		"a step fails": {
			last: "/broken", wantErr: "read-only file system", wantDid: begun + "undo /site; undo /cert", state: engine.PartlyDone, done: first,
		},
		"the connection is lost": {
			host: &host{drop: onAgain(cutAfter, isDo, func(*host) {})}, wantErr: "the host has rolled back all changes",
			wantDid: begun + "write /last; write /unit; gone; undo /unit; undo /last; undo /site; undo /cert; begin; gone", state: engine.PartlyDone, done: first,
		},
		"the connection is lost for good": {
			host: &host{drop: onAgain(cutAfter, isDo, down)}, wantErr: "the state of the host could not be checked",
			wantDid: begun + "write /last; write /unit; gone; undo /unit; undo /last; undo /site; undo /cert", state: engine.UnknownLeft, done: first,
		},
		"the connection is lost by the first commit": {
			host: &host{drop: on(cutAfter, isCommit)}, wantErr: "those that come later were not started",
			wantDid: "begin; write /a; write /z; commit; gone; begin; gone", state: engine.PartlyDone, done: first,
		},
		"the second commit is refused": {
			host:    &host{drop: onAgain(goOn, isCommit, func(h *host) { h.mu.Lock(); h.refuse = "disk full"; h.mu.Unlock() })},
			wantErr: "disk full",
			wantDid: begun + "write /last; write /unit; commit; undo /unit; undo /last; undo /site; undo /cert", state: engine.PartlyDone, done: first,
		},
		"the first commit is refused": {
			host: &host{refuse: "disk full"}, wantErr: "disk full", wantDid: "begin; write /a; write /z; commit; undo /z; undo /a",
			state: engine.TakenBack, done: []string{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				h := tc.host
				if h == nil {
					h = &host{}
				}
				last := "/last"
				if tc.last != "" {
					last = tc.last
				}
				f := single(t, h, laterThings(last)...)
				plan, r := f.apply()
				if got := changes(plan); strings.Count(got, "create") != 6 {
					t.Fatalf("the plan: %s", got)
				}
				contains(t, "the error", errorText(r.Err), tc.wantErr)
				if (r.Err == nil) != (tc.wantErr == "") || r.Err != nil && r.State != tc.state {
					t.Errorf("error %v, state %q, want %q", r.Err, r.State, tc.state)
				}
				if h.did() != tc.wantDid {
					t.Errorf("did  %s\nwant %s", h.did(), tc.wantDid)
				}
				if tc.done == nil {
					tc.done = slices.Concat(first[:1], second[:1], second[1:], first[1:])
				}
				done := ""
				if h.manifest != nil {
					done = h.managedList(t)
				}
				wanted := strings.Fields(done)
				slices.Sort(wanted)
				slices.Sort(tc.done)
				if !slices.Equal(wanted, tc.done) {
					t.Errorf("the manifest has %v, want %v", wanted, tc.done)
				}
				if n := len(r.Done) + len(r.NotDone); r.Failed == nil && n != 6 || r.Failed != nil && n != 5 || len(r.Done) != len(tc.done) {
					t.Errorf("%d done, %d not done, failed: %v", len(r.Done), len(r.NotDone), r.Failed)
				}
				if h.sudden != nil {
					return
				}
				again := changes(single(t, h, laterThings(last)...).plan())
				if left := strings.Count(again, "create"); left != 6-len(tc.done) || tc.state == engine.PartlyDone && !strings.HasPrefix(again, "create h/later./cert; create h/thing./site") {
					t.Errorf("the next plan: %s", again)
				}
			})
		})
	}
}

// One transaction is enough if nothing changes later, or nothing before.
func TestLaterOneTransaction(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{}
		list := laterThings("/last")
		list[1].State.(*thing).Value = "at once"
		converge(t, h, list...)
		if want := "begin; write /a; write /cert; write /site; write /last; write /unit; write /z; commit"; h.did() != want {
			t.Errorf("did %s", h.did())
		}
		h.log = nil
		h.edit("/cert", "x")
		h.edit("/site", "theirs")
		h.edit("/z", "theirs")
		converge(t, h, laterThings("/last")...)
		if want := "begin; write /site; write /z; commit"; h.did() != want {
			t.Errorf("did %s", h.did())
		}
		h.log = nil
		h.edit("/cert", "theirs")
		h.edit("/last", "theirs")
		converge(t, h, laterThings("/last")...)
		if want := "begin; write /cert; write /last; load /unit; commit"; h.did() != want {
			t.Errorf("did %s", h.did())
		}
		// A removal is not later.
		h.log = nil
		h.edit("/z", "theirs")
		list = laterThings("/last")
		list = append(list[:1:1], list[5])
		converge(t, h, list...)
		if want := "begin; remove /unit; remove /last; remove /site; remove /cert; write /z; commit"; h.did() != want {
			t.Errorf("did %s", h.did())
		}
	})
}

// A wave that is held commits what is done before the later changes, and one that is rolled back
// never starts them.
func TestLaterHeld(t *testing.T) {
	t.Parallel()
	for _, why := range []error{nil, errors.New("the gate failed")} {
		bubble(t, func(t *testing.T) {
			h := &host{}
			f := single(t, h, laterThings("/last")...)
			plan := f.Plan(t.Context(), f.list)
			did := ""
			r := f.ApplyWith(t.Context(), plan, engine.ApplyOptions{Decide: func(context.Context, []*engine.HostResult) error {
				did = h.did()
				return why
			}}).Hosts[0]
			if did != "begin; write /a; write /z" {
				t.Errorf("did %s before the verdict", did)
			}
			want := "begin; write /a; write /z; commit; write /cert; write /site; write /last; write /unit; commit"
			if why != nil {
				want = "begin; write /a; write /z; rollback; undo /z; undo /a"
			}
			if h.did() != want || (r.Err == nil) != (why == nil) {
				t.Errorf("did %s, error %v", h.did(), r.Err)
			}
		})
	}
}

// A helper that begins no second transaction.
func TestLaterForged(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{forge: func(m *wire.Message) []*wire.Message {
			if m.Commit != nil {
				return []*wire.Message{{Done: &wire.Done{}}}
			}
			return nil
		}}
		_, r := single(t, h, laterThings("/last")...).apply()
		contains(t, "the error", errorText(r.Err), "the helper began a transaction without an ID")
	})
}

// What a program printed decides which hint an error has, and which line comes first.
func TestHints(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		for output, want := range map[string]string{
			"Saving log\nthe CA said: too many\nask for help\n": "certbot: exit status 1: the CA said: too many\nLikely cause: wait an hour\nSaving log\nthe CA said: too many\nask for help\n",
			"no such option\n": "certbot: exit status 1: last line\nno such option\n",
		} {
			h := &host{forge: func(m *wire.Message) []*wire.Message {
				if m.Do == nil {
					return nil
				}
				id := m.Do.Ops[0].ID
				return []*wire.Message{
					{Event: &wire.Event{ID: id, State: wire.Failed, Error: "certbot: exit status 1", Said: "last line", Output: output}},
					{Done: &wire.Done{Failed: &id, Undone: true}},
				}
			}}
			r := resource(&thing{Name: "/a", Value: "x"})
			r.Kind = registry().Kind("later")
			_, result := single(t, h, r).apply()
			if got := errorText(result.Err); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		}
	})
}
