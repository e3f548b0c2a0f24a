package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

var bob = wire.Holder{Operator: "bob\x1b[31m", Command: "apply", From: "192.0.2.1", Since: "2026-01-02T03:04:05Z", Seconds: 90, Process: "dpkg (process 812)"}

func TestLock(t *testing.T) {
	t.Parallel()
	holder := []string{`"bob\x1b[31m" from "192.0.2.1" runs "apply" since "2026-01-02T03:04:05Z" by the host's clock (1m30s)`, `the lock is held by "dpkg (process 812)"`}
	t.Run("held", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			h := &host{holder: &bob}
			f := single(t, h, resource(&thing{Name: "/a", Value: "x"}))
			begin := time.Now()
			hp, r := f.apply()
			var locked *engine.LockedError
			if !errors.As(hp.Err, &locked) || locked.Holder != bob || !errors.As(r.Err, &locked) || r.State != engine.Untouched {
				t.Fatalf("plan: %v, apply: %v, %s", hp.Err, r.Err, r.State)
			}
			contains(t, "error", hp.Err.Error(), append(holder, "Nothing was changed", "--lock-timeout")...)
			if took := time.Since(begin); took != 10*time.Second {
				t.Errorf("the lock was waited for %v", took)
			}
			waiting := f.reported(engine.Waiting)
			if len(waiting) != 1 || len(h.files) > 0 || h.did() != "" {
				t.Fatalf("waiting: %q, files %v, on the host: %s", waiting, h.files, h.did())
			}
			contains(t, "waiting", waiting[0], holder...)
		})
	})
	t.Run("given back in time", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			h := &host{holder: &bob, leaves: 3 * time.Second}
			f := single(t, h, resource(&thing{Name: "/a", Value: "x"}))
			if _, r := f.apply(); r.Err != nil || h.content("/a") != "x" || len(f.reported(engine.Waiting)) != 1 {
				t.Errorf("%v, files %v", r.Err, h.files)
			}
		})
	})
	t.Run("plan needs none", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			h := &host{holder: &bob}
			f := single(t, h, resource(&thing{Name: "/a", Value: "x"}))
			f.Entry = engine.Look{}
			hp := f.plan()
			if hp.Failed() || len(hp.Changes) != 1 || len(hp.Notes) != 1 || h.did() != "" {
				t.Fatalf("plan: %v, notes %q, on the host: %s", hp.Err, hp.Notes, h.did())
			}
			contains(t, "note", hp.Notes[0], append(holder, "this host is locked by another run")...)
		})
	})
	t.Run("no apply without it", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			h := new(host)
			f := single(t, h, resource(&thing{Name: "/a", Value: "x"}))
			f.Entry = engine.Look{}
			hp, r := f.apply()
			if hp.Failed() || len(hp.Compared) != 1 || !errors.Is(r.Err, engine.ErrNotPlanned) || r.State != engine.Untouched || h.did() != "" {
				t.Errorf("plan: %v, apply: %v, %s, on the host: %s", hp.Err, r.Err, r.State, h.did())
			}
			f.Entry = engine.Look{Brief: true}
			if hp := f.plan(); len(hp.Changes) != 1 || hp.Compared != nil {
				t.Errorf("a brief plan: %+v", hp)
			}
		})
	})
	t.Run("a plan that failed gives it back", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			h := new(host)
			f := single(t, h, resource(&thing{Name: "/a", Value: "refused"}))
			plan := f.Plan(t.Context(), f.list)
			if !plan.Failed() || !strings.HasPrefix(h.did(), "begin") {
				t.Fatalf("plan: %v, on the host: %s", plan.Hosts[0].Problems, h.did())
			}
			// While the first run asks what to do about other hosts.
			if _, r := single(t, h, resource(&thing{Name: "/a", Value: "x"})).apply(); r.Err != nil {
				t.Errorf("another run: %v", r.Err)
			}
			r := f.Apply(t.Context(), plan).Hosts[0]
			if !errors.Is(r.Err, engine.ErrNotPlanned) || r.State != engine.Untouched {
				t.Errorf("apply: %v, %s", r.Err, r.State)
			}
		})
	})
	t.Run("planning again", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			f := single(t, new(host), resource(&thing{Name: "/a", Value: "x"}))
			for range 2 {
				if hp := f.plan(); hp.Failed() {
					t.Errorf("plan: %v", hp.Err)
				}
				f.Close() // this frees the lock
			}
		})
	})
}

func TestUnfinishedIsNoted(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		f := single(t, new(host), resource(&thing{Name: "/a", Value: "x"}))
		f.Entry = engine.Look{}
		connect := f.Connect
		f.Connect = func(ctx context.Context, name string) (*engine.Session, error) {
			s, err := connect(ctx, name)
			s.Hello.Unfinished = &bob
			return s, err
		}
		hp := f.plan()
		if hp.Failed() || len(hp.Notes) != 1 {
			t.Fatalf("%v, notes %q", hp.Err, hp.Notes)
		}
		contains(t, "note", hp.Notes[0], `an earlier "apply" by "bob\x1b[31m" did not finish`, "the next apply rolls them back first")
	})
}

func TestRecovered(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		recovered wire.Recovered
		want      []string
		stops     bool
	}{
		"taken back": {recovered: wire.Recovered{Undone: 3}, want: []string{"it was rolled back (3 steps)"}},
		"committed":  {recovered: wire.Recovered{Committed: true}, want: []string{"all its steps had succeeded, and it was committed"}},
		"some stays": {recovered: wire.Recovered{Undone: 1, Stays: []string{"package rsync\x1b[2J"}},
			want: []string{"it was rolled back (1 steps), except for what cannot be undone:", `- "package rsync\x1b[2J"`}},
		"errors": {recovered: wire.Recovered{Errors: []string{"/etc/x: disk full"}, Journal: "/var/lib/mirrorform/journal/7"}, stops: true,
			want: []string{"some changes could not be rolled back:", `- "/etc/x: disk full"`, `"/var/lib/mirrorform/journal/7"`, "run the command again"}},
		"endless errors": {recovered: wire.Recovered{Errors: slices.Repeat([]string{strings.Repeat("x", 10<<10)}, 1000)}, stops: true,
			want: []string{"- and 950 more"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				tc.recovered.Operator, tc.recovered.Command = "bob", "apply"
				h := &host{recovered: &tc.recovered}
				f := single(t, h, resource(&thing{Name: "/a", Value: "x"}))
				hp, r := f.apply()
				noted := f.reported(engine.Noted)
				if len(noted) != 1 {
					t.Fatalf("noted: %q", noted)
				}
				contains(t, "noted", noted[0], append(tc.want, `an earlier "apply" by "bob" did not finish: `)...)
				if len(noted[0]) > 300<<10 {
					t.Errorf("%d bytes are noted", len(noted[0]))
				}
				if tc.stops {
					contains(t, "plan", errorText(hp.Err), tc.want...)
					if r.Err == nil || r.State != engine.Untouched || len(h.files) > 0 || h.did() != "begin" {
						t.Errorf("apply: %v, %s, files %v, on the host: %s", r.Err, r.State, h.files, h.did())
					}
					return
				}
				if r.Err != nil || h.content("/a") != "x" || !slices.Equal(hp.Notes, noted) {
					t.Errorf("apply: %v, notes %q", r.Err, hp.Notes)
				}
			})
		})
	}
}

// TestConfirmation applies a change that may cut the connection.
func TestConfirmation(t *testing.T) {
	t.Parallel()
	const sshd = "/etc/ssh/sshd_config"
	for name, tc := range map[string]struct {
		host    *host
		path    string
		with    func(f *fleet)
		wantDid string
		wantErr []string
	}{
		"confirmed":    {wantDid: "begin; write " + sshd + "; confirm; commit"},
		"not needed":   {path: "/etc/motd", wantDid: "begin; write /etc/motd; commit"},
		"own account":  {path: "/home/admin/.ssh/authorized_keys", wantDid: "begin; write /home/admin/.ssh/authorized_keys; confirm; commit"},
		"this machine": {with: func(f *fleet) { f.Login = func(string) string { return "" } }, wantDid: "begin; write " + sshd + "; commit"},
		"no time-out":  {with: func(f *fleet) { f.ConfirmTimeout = func(string) time.Duration { return 0 } }, wantDid: "begin; write " + sshd + "; commit"},
		"not reachable": {
			host:    &host{sudden: errors.New("connection refused")},
			wantDid: "begin; write " + sshd + "; rollback; undo " + sshd,
			wantErr: []string{"mirrorform cannot reconnect to the host, so they are rolled back", "connection refused"},
		},
		"reachable at last": {
			with: func(f *fleet) {
				connect, calls := f.Connect, 0
				f.Connect = func(ctx context.Context, name string) (*engine.Session, error) {
					if calls++; calls > 1 && calls < 20 {
						return nil, errors.New("connection refused")
					}
					return connect(ctx, name)
				}
			},
			wantDid: "begin; write " + sshd + "; confirm; commit",
		},
		"refused": {
			host:    &host{forge: inPlaceOf(func(m *wire.Message) bool { return m.Confirm != nil }, &wire.Message{Done: &wire.Done{Error: "another nonce"}})},
			wantDid: "begin; write " + sshd + "; rollback; undo " + sshd,
			wantErr: []string{"mirrorform cannot reconnect", `rejects the confirmation: "another nonce"`},
		},
		"said to be taken, and not": {
			host:    &host{forge: inPlaceOf(func(m *wire.Message) bool { return m.Confirm != nil }, &wire.Message{Done: &wire.Done{}})},
			wantDid: "begin; write " + sshd + "; commit; undo " + sshd,
			wantErr: []string{"rolled back all changes instead of committing", "it was not confirmed"},
		},
		"not as wanted": {
			with: func(f *fleet) {
				wanted, _ := f.Wanted("h", nil)
				wanted[0].Postcondition = func(any) []engine.Problem { return []engine.Problem{engine.Errorf("", "sshd does not answer")} }
			},
			wantDid: "begin; write " + sshd + "; rollback; undo " + sshd, wantErr: []string{"sshd does not answer"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				h, path := tc.host, tc.path
				if h == nil {
					h = new(host)
				}
				if path == "" {
					path = sshd
				}
				f := single(t, h, resource(&thing{Name: path, Value: "x"}))
				f.Login = func(string) string { return "admin" }
				f.ConfirmTimeout = func(string) time.Duration { return time.Minute }
				if tc.with != nil {
					tc.with(f)
				}
				_, r := f.apply()
				if (r.Err != nil) != (tc.wantErr != nil) {
					t.Fatalf("got %v", r.Err)
				}
				if did := h.did(); did != tc.wantDid {
					t.Errorf("on the host: %s\nwant         %s", did, tc.wantDid)
				}
				if r.Err != nil {
					contains(t, "error", r.Err.Error(), tc.wantErr...)
					if r.State != engine.TakenBack || h.content(path) != "-" || h.manifest != nil {
						t.Errorf("left %s, files %v", r.State, h.files)
					}
				}
				noted := strings.Join(f.reported(engine.Noted), "\n")
				if want := strings.Contains(tc.wantDid, "confirm;") || tc.wantErr != nil; want != strings.Contains(noted, "h/thing."+path+" may cut the connection") {
					t.Errorf("noted: %q", noted)
				}
			})
		})
	}
}

// TestForeignConfirmation has somebody confirm a transaction who does not know its nonce.
func TestForeignConfirmation(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{}
		f := single(t, h, resource(&thing{Name: "/etc/ssh/x", Value: "x"}))
		f.Login = func(string) string { return "admin" }
		f.ConfirmTimeout = func(string) time.Duration { return time.Minute }
		connect, sessions := f.Connect, 0
		f.Connect = func(ctx context.Context, name string) (*engine.Session, error) {
			if sessions++; sessions == 1 {
				return connect(ctx, name)
			}
			other, err := connect(ctx, name)
			if err != nil {
				return nil, err
			}
			defer func() { _ = other.Close() }()
			return nil, errors.Join(errors.New("somebody else came first"), other.Confirm(ctx, h.open.id, engine.NewNonce()))
		}
		_, r := f.apply()
		if r.Err == nil || strings.Contains(h.did(), "confirm") || r.State != engine.TakenBack {
			t.Errorf("%v, %s, on the host: %s", r.Err, r.State, h.did())
		}
		contains(t, "error", errorText(r.Err), "rejects the confirmation")
	})
}
