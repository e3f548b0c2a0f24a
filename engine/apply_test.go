package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

func TestFleet(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		hosts := map[string]*host{"good": {}, "bad": {}, "cut": {drop: on(cutBefore, isDo)}}
		f := newFleet(t, hosts, map[string][]*engine.Resource{
			"good": resources(&thing{Name: "/a", Value: "x"}, &thing{Name: "/p", Package: true}, &thing{Name: "/q", Package: true}),
			"bad":  resources(&thing{Name: "/a", Value: "x"}, &thing{Name: "/broken", Value: "x"}, &thing{Name: "/c", Value: "x"}),
			"cut":  resources(&thing{Name: "/a", Value: "x"}),
		})
		list := []engine.Host{{Name: "good"}, {Name: "bad"}, {Name: "cut"}, {Name: "down"}}
		plan := f.Plan(t.Context(), list)
		if c := plan.Counts(); c.Create != 7 || !plan.Failed() || plan.Hosts[3].Err == nil {
			t.Fatalf("plan: %+v, unreachable: %v", c, plan.Hosts[3].Err)
		}
		result := f.Apply(t.Context(), plan)
		good, bad, cut, down := result.Hosts[0], result.Hosts[1], result.Hosts[2], result.Hosts[3]
		if good.Err != nil || len(good.Done) != 3 || !slices.Equal(hosts["good"].runs, []string{"/p /q"}) {
			t.Errorf("good: %v, %d done, package runs %q (one is wanted)", good.Err, len(good.Done), hosts["good"].runs)
		}
		if bad.Err == nil || bad.Failed.Address != "h/thing./broken" || bad.Done != nil || len(bad.NotDone) != 2 || bad.State != engine.TakenBack {
			t.Errorf("bad: %+v", bad)
		}
		if len(hosts["bad"].files) > 0 || hosts["bad"].manifest != nil {
			t.Errorf("bad: left over: %v, manifest %s", hosts["bad"].files, hosts["bad"].manifest)
		}
		if !errors.Is(cut.Err, engine.ErrLost) || cut.State != engine.TakenBack || len(hosts["cut"].files) > 0 {
			t.Errorf("cut: %v, %s", cut.Err, cut.State)
		}
		if down.Err == nil || down.State != engine.Untouched || !result.Failed() {
			t.Errorf("down: %v", down.Err)
		}
		stages := map[string]int{}
		for _, p := range f.progress {
			stages[p.Host+" "+string(p.Stage)]++
		}
		for stage, want := range map[string]int{
			"good step-done": 2, "good applied": 1, "bad step-failed": 1, "bad step-undone": 1, "bad not-applied": 1, "cut not-applied": 1, "down unplanned": 1,
		} {
			if stages[stage] != want {
				t.Errorf("%q was reported %d times, want %d", stage, stages[stage], want)
			}
		}
		if again := f.Plan(t.Context(), list[:1]); again.Counts().Changes() != 0 {
			t.Errorf("the second plan has changes: %v", again.Hosts[0].Changes)
		}
	})
}

// isDo and the like choose messages.
func isDo(m *wire.Message) bool       { return m.Do != nil }
func isCommit(m *wire.Message) bool   { return m.Commit != nil }
func isRollback(m *wire.Message) bool { return m.Rollback != nil }
func isAsk(m *wire.Message) bool      { return m.Ask != nil }
func isBegin(m *wire.Message) bool    { return m.Begin != nil }

// on ends the connection at a message.
func on(at drop, which func(*wire.Message) bool) func(*host, *wire.Message) drop {
	return func(_ *host, m *wire.Message) drop {
		if which(m) {
			return at
		}
		return goOn
	}
}

// onAgain ends it at the second such message, and does something then.
func onAgain(at drop, which func(*wire.Message) bool, then func(*host)) func(*host, *wire.Message) drop {
	seen := 0
	return func(h *host, m *wire.Message) drop {
		if !which(m) {
			return goOn
		}
		if seen++; seen != 2 {
			return goOn
		}
		then(h)
		return at
	}
}

// down makes a host unreachable from now on.
func down(h *host) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sudden = errors.New("no route to host")
}

// TestTransaction applies a plan that replaces /a and makes /b to a host on which something goes wrong. Whatever it is, the files are in the end as they
// were or as they were meant to be, and the result says which.
func TestTransaction(t *testing.T) {
	t.Parallel()
	never := func(any) []engine.Problem { return []engine.Problem{engine.Errorf("value", "it does not answer")} }
	for name, tc := range map[string]struct {
		host      *host
		with      func(f *fleet, wanted []*engine.Resource)
		meanwhile func(h *host) // between plan and apply
		state     engine.Left   // "" : all was done
		wantErr   []string
		wantDid   string
		files     string // content of /a and /b; "" : as they were
	}{
		"nothing wrong": {wantDid: "begin; write /a; write /b; commit", files: "new new"},
		"drift of a changed resource": {
			meanwhile: func(h *host) { h.edit("/a", "theirs") }, state: engine.Untouched, files: "theirs -",
			wantErr: []string{"h/thing./a has changed on the host since the plan was made"}, wantDid: "begin; rollback",
		},
		"drift of an unchanged resource": {
			meanwhile: func(h *host) { h.edit("/same", "theirs") }, state: engine.Untouched,
			wantErr: []string{"h/thing./same has changed on the host since the plan was made"}, wantDid: "begin; rollback",
		},
		"drift by a new file": {
			meanwhile: func(h *host) { h.edit("/b", "theirs") }, state: engine.Untouched, files: "old theirs",
			wantErr: []string{"h/thing./b has changed on the host since the plan was made"}, wantDid: "begin; rollback",
		},
		"a value that is refused by now": {
			with:      func(_ *fleet, wanted []*engine.Resource) { wanted[1].State.(*thing).Value = "refused now" },
			meanwhile: func(*host) { refusing.Store(true) }, state: engine.Untouched,
			wantErr: []string{"h/thing./b: this value is refused"}, wantDid: "begin; rollback",
		},
		"drift during the apply": {
			host:  &host{drop: func(h *host, m *wire.Message) drop { editBefore(h, m, "/b", "theirs"); return goOn }},
			state: engine.TakenBack, files: "old theirs",
			wantErr: []string{`/b is "print of theirs", expected "absent"`}, wantDid: "begin; write /a; undo /a",
		},
		"commit refused": {
			host: &host{refuse: "read-only file system"}, state: engine.TakenBack,
			wantErr: []string{"rolled back all changes instead of committing", "read-only file system"}, wantDid: "begin; write /a; write /b; commit; undo /b; undo /a",
		},
		"commit refused, and not taken back": {
			host: &host{refuse: "read-only file system", stuck: "/b"}, state: engine.HalfBack, files: "old new",
			wantErr: []string{"some changes could not be rolled back", "/var/lib/mirrorform/journal"}, wantDid: "begin; write /a; write /b; commit; undo /a",
		},
		"committed, and not cleaned up": {
			host: &host{unclean: "committed, but the journal could not be removed"}, wantDid: "begin; write /a; write /b; commit; begin; gone", files: "new new",
		},
		"committed, not cleaned up, and not reachable": {
			host:  &host{unclean: "the journal could not be removed", drop: func(h *host, m *wire.Message) drop { return downAt(h, m, isCommit, goOn) }},
			state: engine.UnknownLeft, files: "new new", wantErr: []string{"did not report whether the changes are committed", "the journal could not be removed", "no route to host"},
			wantDid: "begin; write /a; write /b; commit",
		},
		"commit of nothing": {
			host:  &host{forge: inPlaceOf(isCommit, &wire.Message{Done: &wire.Done{Error: "no transaction is open"}})},
			state: engine.TakenBack, wantErr: []string{"no transaction is open", "the host has rolled back all changes"},
			wantDid: "begin; write /a; write /b; gone; undo /b; undo /a; begin; gone",
		},
		"taken back by the host already": {
			host:  &host{forge: inPlaceOf(isRollback, &wire.Message{Done: &wire.Done{Undone: true, Error: "the confirmation did not come in time"}})},
			with:  func(_ *fleet, wanted []*engine.Resource) { wanted[0].Postcondition = never },
			state: engine.TakenBack, wantErr: []string{"postcondition failed"}, wantDid: "begin; write /a; write /b; gone; undo /b; undo /a",
		},
		"postcondition": {
			with:  func(_ *fleet, wanted []*engine.Resource) { wanted[0].Postcondition = never },
			state: engine.TakenBack, wantErr: []string{"h/thing./a: postcondition failed: it does not answer"},
			wantDid: "begin; write /a; write /b; rollback; undo /b; undo /a",
		},
		"postcondition, and not taken back": {
			host: &host{stuck: "/a"}, with: func(_ *fleet, wanted []*engine.Resource) { wanted[0].Postcondition = never },
			state: engine.HalfBack, files: "new -", wantErr: []string{"postcondition failed", `"disk full"`, "/var/lib/mirrorform/journal"},
			wantDid: "begin; write /a; write /b; rollback; undo /b",
		},
		"rollback refused": {
			host:  &host{forge: inPlaceOf(isRollback, &wire.Message{Done: &wire.Done{Error: "busy"}})},
			with:  func(_ *fleet, wanted []*engine.Resource) { wanted[0].Postcondition = never },
			state: engine.TakenBack, wantErr: []string{"postcondition failed", `refuses to roll back: "busy"`, "the host has rolled back all changes"},
			wantDid: "begin; write /a; write /b; gone; undo /b; undo /a; begin; gone",
		},
		"lost before the steps": {
			host: &host{drop: on(cutBefore, isDo)}, state: engine.TakenBack,
			wantErr: []string{"connection lost", "the host has rolled back all changes"}, wantDid: "begin; gone; begin; gone",
		},
		"lost after the steps": {
			host: &host{drop: on(cutAfter, isDo)}, state: engine.TakenBack,
			wantErr: []string{"connection lost", "the host has rolled back all changes"},
			wantDid: "begin; write /a; write /b; gone; undo /b; undo /a; begin; gone",
		},
		"lost before the plan is checked": {
			host: &host{drop: onAgain(cutBefore, isAsk, func(*host) {})}, state: engine.Untouched,
			wantErr: []string{"observe the host again", "connection lost"}, wantDid: "begin; gone; begin; gone",
		},
		"lost in the commit, which the host has not made": {
			host: &host{drop: on(cutBefore, isCommit)}, state: engine.TakenBack,
			wantErr: []string{"connection lost", "the host has rolled back all changes"},
			wantDid: "begin; write /a; write /b; gone; undo /b; undo /a; begin; gone",
		},
		"lost in the commit, which the host has made": {
			host: &host{drop: on(cutAfter, isCommit)}, wantDid: "begin; write /a; write /b; commit; begin; gone", files: "new new",
		},
		"lost in the commit, and not reachable": {
			host:  &host{drop: func(h *host, m *wire.Message) drop { return downAt(h, m, isCommit, cutAfter) }},
			state: engine.UnknownLeft, wantErr: []string{"connection lost", "no route to host", "could not be checked", "Run mirrorform plan"},
			wantDid: "begin; write /a; write /b; commit", files: "new new",
		},
		"lost in the steps, and not reachable": {
			host:  &host{drop: func(h *host, m *wire.Message) drop { return downAt(h, m, isDo, cutAfter) }},
			state: engine.UnknownLeft, wantErr: []string{"connection lost", "no route to host", "could not be checked", "rolls back by itself"},
			wantDid: "begin; write /a; write /b; gone; undo /b; undo /a",
		},
		"lost in the steps, and not taken back": {
			host: &host{stuck: "/b", drop: func(h *host, m *wire.Message) drop {
				if m.Do == nil {
					return goOn
				}
				h.recovered = &wire.Recovered{Operator: "alice@laptop", Command: "apply", Errors: []string{"/b: disk full"}, Journal: "/var/lib/mirrorform/journal/1"}
				return cutAfter
			}},
			state: engine.HalfBack, wantErr: []string{"connection lost", `"/b: disk full"`, "/var/lib/mirrorform/journal/1"}, files: "old new",
			wantDid: "begin; write /a; write /b; gone; undo /a; begin",
		},
		"a bug when the plan is checked": {
			meanwhile: func(h *host) { h.edit("/b", "new") }, with: func(_ *fleet, wanted []*engine.Resource) { wanted[1].State.(*thing).Panic = "applied" },
			state: engine.Untouched, files: "old new", wantErr: []string{"bug in mirrorform: in applied"}, wantDid: "begin; rollback",
		},
		"a bug after the steps": {
			with:  func(_ *fleet, wanted []*engine.Resource) { wanted[0].State.(*thing).Panic = "applied" },
			state: engine.TakenBack, wantErr: []string{"bug in mirrorform: in applied"}, wantDid: "begin; write /a; write /b; rollback; undo /b; undo /a",
		},
		"a bug in a postcondition": {
			with: func(_ *fleet, wanted []*engine.Resource) {
				wanted[1].Postcondition = func(any) []engine.Problem { panic("in a postcondition") }
			},
			state: engine.TakenBack, wantErr: []string{"bug in mirrorform: in a postcondition"}, wantDid: "begin; write /a; write /b; rollback; undo /b; undo /a",
		},
		"a bug while the steps are reported": {
			with: func(f *fleet, _ []*engine.Resource) {
				f.Report = func(p engine.Progress) {
					if p.Stage == engine.StepDone {
						panic("in a report")
					}
				}
			},
			state: engine.TakenBack, wantErr: []string{"bug in mirrorform: in a report", "the host has rolled back all changes"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				h := tc.host
				if h == nil {
					h = new(host)
				}
				h.files = map[string]string{"/a": "old", "/same": "x"}
				wanted := resources(&thing{Name: "/a", Value: "new"}, &thing{Name: "/b", Value: "new"}, &thing{Name: "/same", Value: "x"})
				f := single(t, h, wanted...)
				if tc.with != nil {
					tc.with(f, wanted)
				}
				plan := f.Plan(t.Context(), f.list)
				if plan.Failed() || plan.Counts().Changes() != 2 {
					t.Fatalf("plan: %v, %v", plan.Hosts[0].Err, plan.Hosts[0].Changes)
				}
				if tc.meanwhile != nil {
					tc.meanwhile(h)
				}
				r := f.Apply(t.Context(), plan).Hosts[0]
				f.Close()
				synctest.Wait()
				if (r.Err != nil) != (tc.state != "") {
					t.Fatalf("error: %v", r.Err)
				}
				if tc.state != "" {
					contains(t, "error", r.Err.Error(), tc.wantErr...)
					if r.State != tc.state || len(r.Done) > 0 {
						t.Errorf("left %s, want %s; %d done", r.State, tc.state, len(r.Done))
					}
					todo := len(r.NotDone)
					if r.Failed != nil {
						todo++
					}
					if todo != 2 {
						t.Errorf("of 2 changes, %d are said not to be done", todo)
					}
				} else if len(r.Done) != 2 || len(r.NotDone) > 0 {
					t.Errorf("%d done, %d not", len(r.Done), len(r.NotDone))
				}
				if did := h.did(); tc.wantDid != "" && did != tc.wantDid {
					t.Errorf("on the host: %s\nwant         %s", did, tc.wantDid)
				}
				files := tc.files
				if files == "" {
					files = "old -"
				}
				if got := h.content("/a") + " " + h.content("/b"); got != files {
					t.Errorf("files: %s, want %s", got, files)
				}
				if committed := h.manifest != nil; committed != (files == "new new") {
					t.Errorf("manifest %q with files %s", h.manifest, files)
				}
				if open := h.open; open != nil || len(h.lock) > 0 {
					t.Errorf("the transaction is open, or the lock is held: %v, %d", open, len(h.lock))
				}
			})
		})
	}
}

// content is a file's content, or "-".
func (h *host) content(path string) string {
	if text, ok := h.file(path); ok {
		return text
	}
	return "-"
}

func editBefore(h *host, m *wire.Message, path, content string) {
	if m.Do != nil {
		h.edit(path, content)
	}
}

// downAt ends the connection at a message, and the host cannot be reached afterwards.
func downAt(h *host, m *wire.Message, which func(*wire.Message) bool, at drop) drop {
	if !which(m) {
		return goOn
	}
	down(h)
	return at
}

// inPlaceOf sends messages in place of an answer.
func inPlaceOf(which func(*wire.Message) bool, forged ...*wire.Message) func(*wire.Message) []*wire.Message {
	return func(m *wire.Message) []*wire.Message {
		if which(m) {
			return forged
		}
		return nil
	}
}

// TestBugsOfTypes plans and applies to two hosts. One has a resource type with a bug: that host has an error, and the other is as wanted.
func TestBugsOfTypes(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"keys", "ask", "read", "diff", "applied"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				hosts := map[string]*host{"bug": {}, "good": {}}
				f := newFleet(t, hosts, map[string][]*engine.Resource{
					"bug": resources(&thing{Name: "/a", Value: "x", Panic: where}), "good": resources(&thing{Name: "/a", Value: "x"}),
				})
				list := []engine.Host{{Name: "bug"}, {Name: "good"}}
				plan := f.Plan(t.Context(), list)
				if failed := plan.Hosts[0].Failed(); failed != (where != "applied") || plan.Hosts[1].Failed() {
					t.Fatalf("plan: %v and %v", plan.Hosts[0].Err, plan.Hosts[1].Err)
				}
				result := f.Apply(t.Context(), plan)
				contains(t, "error", errorText(result.Hosts[0].Err), "bug in mirrorform: in "+where)
				if err := result.Hosts[1].Err; err != nil || hosts["good"].content("/a") != "x" || hosts["good"].manifests != 1 {
					t.Errorf("the other host: %v, %v", err, hosts["good"].files)
				}
				f.Close()
				synctest.Wait()
				if b := hosts["bug"]; b.content("/a") != "-" || b.manifest != nil || len(b.lock) > 0 {
					t.Errorf("the host with the bug: files %v, manifest %q, locks %d", b.files, b.manifest, len(b.lock))
				}
			})
		})
	}
}

func TestAppliedMeansObserved(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		// A package whose installation leaves a value other than the wanted one.
		_, r := single(t, new(host), resource(&thing{Name: "/p", Package: true, Value: "x"})).apply()
		contains(t, "error", errorText(r.Err), "h/package./p is not as wanted after its steps succeeded")
	})
}

// TestSettle gives a host time until what was done shows.
func TestSettle(t *testing.T) {
	t.Parallel()
	for takes, want := range map[time.Duration]bool{2 * time.Second: true, time.Minute: false} {
		t.Run(takes.String(), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				r := resource(&thing{Name: "/a", Value: "x"})
				begin := time.Now()
				r.Postcondition = func(any) []engine.Problem {
					if time.Since(begin) < takes {
						return []engine.Problem{engine.Errorf("", "not yet")}
					}
					return nil
				}
				if _, result := single(t, new(host), r).apply(); (result.Err == nil) != want {
					t.Errorf("got %v", result.Err)
				}
			})
		})
	}
}

func TestPackageBringsFiles(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{brings: map[string]string{"/p.conf": "the package's", "/same.conf": "x"}}
		_, result := single(t, h, resources(&thing{Name: "/p", Package: true}, &thing{Name: "/p.conf", Value: "ours"}, &thing{Name: "/same.conf", Value: "x"})...).apply()
		if result.Err != nil || len(result.Done) != 3 || h.content("/p.conf") != "ours" {
			t.Errorf("%v, %d done, files %v", result.Err, len(result.Done), h.files)
		}
	})
}

// TestEarlierStageIsTakenBack fails behind a package, whose stage was done by then.
func TestEarlierStageIsTakenBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{files: map[string]string{"/old": "x"}, stuck: "/old"}
		gone := resource(&thing{Name: "/old"})
		gone.Remove, gone.Purge = true, true
		pkg := resource(&thing{Name: "/p", Package: true})
		pkg.DependsOn = []engine.Address{at("h/thing./old")}
		broken := resource(&thing{Name: "/broken", Value: "x"})
		f := single(t, h, gone, pkg, broken)
		_, r := f.apply()
		if r.Err == nil || r.State != engine.HalfBack || r.Failed == nil || r.Failed.Address != "h/thing./broken" {
			t.Fatalf("%+v", r)
		}
		contains(t, "error", r.Err.Error(), "read-only file system", "rolling back an earlier step failed too", "/var/lib/mirrorform/journal")
		if !strings.Contains(h.did(), "remove /old") {
			t.Errorf("on the host: %s", h.did())
		}
	})
}
