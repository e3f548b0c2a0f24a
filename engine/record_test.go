package engine_test

import (
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// choice is a thing whose value is decided once: "alone" where /other is absent before the first
// apply.
type choice struct {
	Name    string `hcl:"name" id:"true"`
	Choice  string `hcl:"choice,optional" remember:"choice"`
	Seen    string `remember:"seen"` // what was found
	records []engine.Record
}

type choiceType struct{}

func other() wire.Query { return wire.Query{Verb: wire.AskFile, Arg: "/other"} }

func (choiceType) Keys(_ engine.Target, want *choice) (provides, needs []engine.Key) {
	return []engine.Key{engine.PathKey(want.Name)}, nil
}
func (choiceType) Validate(*choice) []engine.Problem { return nil }
func (choiceType) Ask(_ engine.Target, want *choice) []wire.Query {
	return []wire.Query{{Verb: wire.AskFile, Arg: want.Name}, other()}
}

func (choiceType) Settle(t engine.Target, want *choice, prior *engine.Record, got engine.Answers) *choice {
	s := *want
	if f, err := got.File(other()); prior == nil && s.Choice == "" && err == nil {
		s.Choice = map[bool]string{true: "alone", false: "beside"}[f.Kind == wire.Absent]
	}
	s.records = t.Records
	return &s
}

func (choiceType) Read(_ engine.Target, want *choice, got engine.Answers) (*choice, error) {
	f, err := got.File(wire.Query{Verb: wire.AskFile, Arg: want.Name})
	if err != nil || f.Kind == wire.Absent {
		return nil, err
	}
	return &choice{Name: want.Name, Choice: string(f.Content), Seen: string(f.Content)}, nil
}

func (choiceType) Diff(_ engine.Target, want, have *choice) []engine.Step {
	switch {
	case want == nil:
		return []engine.Step{{Summary: "remove", Do: wire.Op{Remove: &wire.RemoveOp{Path: have.Name}}, Final: "test"}}
	case have == nil || have.Choice != want.Choice:
		return []engine.Step{{Summary: "write", Do: wire.Op{Write: &wire.WriteOp{Path: want.Name, Content: []byte(want.Choice)}}, Final: "test"}}
	}
	return nil
}

// What a type decides at the first apply stays so whatever the host answers later, unless the
// configuration sets it; types see the manifest's records.
func TestDecidedOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var types engine.Registry
		engine.Register(&types, "choice", choiceType{})
		h := &host{}
		run := func(set string) *engine.HostPlan {
			t.Helper()
			f := single(t, h, &engine.Resource{Address: at("h/choice.c"), Kind: types.Kind("choice"), State: &choice{Name: "/c", Choice: set}, Source: "test.hcl:1"})
			f.Types = &types
			p, r := f.apply()
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			return p
		}
		want := func(value string) {
			t.Helper()
			if got := h.content("/c"); got != value {
				t.Errorf("chosen: %q, want %q", got, value)
			}
		}
		run("")
		want("alone")
		h.files["/other"] = "came later"
		p := run("")
		want("alone")
		if len(p.Changes) > 0 {
			t.Errorf("the second plan changes something: %v", changes(p))
		}
		records := p.Compared[0].Want.(*choice).records
		if len(records) != 1 || !records[0].Own || records[0].State.(*choice).Choice != "alone" || records[0].State.(*choice).Seen != "alone" {
			t.Errorf("the type sees these records: %+v", records)
		}
		run("beside")
		want("beside")
		h.files["/c"] = "edited"
		run("beside")
		want("beside")
	})
}
