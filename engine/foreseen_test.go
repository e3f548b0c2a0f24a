package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// foreseenType is one whose things are in a daemon, which has to run.
type foreseenType struct{ thingType }

const keeper = "keeper.service"

var keeperRuns = wire.Query{Verb: wire.AskFile, Arg: keeper}

func (f foreseenType) Keys(t engine.Target, want *thing) (provides, needs []engine.Key) {
	provides, needs = f.thingType.Keys(t, want)
	return provides, append(needs, engine.UnitKey(keeper))
}

func (f foreseenType) Ask(t engine.Target, want *thing) []wire.Query {
	return append(f.thingType.Ask(t, want), keeperRuns)
}

func (foreseenType) Applies(t engine.Target, _ *thing, got engine.Answers) bool {
	runs, err := got.File(keeperRuns)
	return err != nil || runs.Kind != wire.Absent || slices.Contains(t.Starts, keeper)
}

func (f foreseenType) Diff(t engine.Target, want, have *thing) []engine.Step {
	steps := f.thingType.Diff(t, want, have)
	if want != nil && slices.Contains(t.Starts, keeper) {
		steps = []engine.Step{{Summary: "foreseen", Do: wire.Op{Write: &wire.WriteOp{Path: "/foreseen"}}, Final: "test", Foreseen: true}}
	}
	return steps
}

// openingInKeeper are a thing that needs the daemon, and the daemon.
func openingInKeeper() []*engine.Resource {
	r := registry()
	engine.Register(r, "foreseen", foreseenType{})
	engine.Register(r, "daemon", daemonType{})
	return []*engine.Resource{
		{Address: at("h/foreseen.opening"), Kind: r.Kind("foreseen"), State: &thing{Name: "/opening", Value: "x"}},
		{Address: at("h/daemon.keeper"), Kind: r.Kind("daemon"), State: &daemon{Name: keeper}},
	}
}

// TestForeseen holds that an apply which starts a unit compares what depends on that again: one
// apply does it all, and what was there when the unit had started is not its own.
func TestForeseen(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, has, did string
		made           bool
	}{
		{"it is missing", "", "begin; start keeper.service; write /opening; commit", true},
		{"it is there already", "x", "begin; start keeper.service; commit", false},
		{"it is there, and differs", "y", "begin; start keeper.service; write /opening; commit", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				h := &host{starts: func(_ string, files map[string]string) error {
					if tc.has != "" {
						files["/opening"] = tc.has
					}
					return nil
				}}
				m := converge(t, h, openingInKeeper()...)
				if h.did() != tc.did {
					t.Errorf("did %s, want %s", h.did(), tc.did)
				}
				for _, e := range m.Resources {
					if e.Type == "foreseen" && e.Made != tc.made {
						t.Errorf("made is %v", e.Made)
					}
				}
				if p := single(t, h, openingInKeeper()...).plan(); len(p.Changes) > 0 || len(m.Resources) != 2 {
					t.Errorf("%d resources in the manifest; the next plan is %s", len(m.Resources), changes(p))
				}
			})
		})
	}
}

// TestForeseenUnmet holds that a foreseen step is not performed if the unit has ended at once.
func TestForeseenUnmet(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{} // without starts, no unit stays up
		_, r := single(t, h, openingInKeeper()...).apply()
		if r.Err == nil || r.State != engine.TakenBack || strings.Contains(h.did(), "/foreseen") {
			t.Fatalf("state %v after %s: %v", r.State, h.did(), r.Err)
		}
		contains(t, "error", r.Err.Error(), "h/daemon.keeper is not as wanted", `still needs "start keeper.service"`)
	})
}
