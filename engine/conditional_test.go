package engine_test

import (
	"slices"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// conditionalType is one whose things are only for hosts that have a file.
type conditionalType struct{ thingType }

var condition = query(&thing{Name: "/firewall"})

func (c conditionalType) Ask(t engine.Target, want *thing) []wire.Query {
	return append(c.thingType.Ask(t, want), condition)
}

func (conditionalType) Applies(_ engine.Target, _ *thing, got engine.Answers) bool {
	f, err := got.File(condition)
	return err != nil || f.Kind != wire.Absent
}

// openingThings are a file, a thing of that type, and a file that depends on it.
func openingThings(more ...*thing) []*engine.Resource {
	list := append(resources(&thing{Name: "/a", Value: "x"}, &thing{Name: "/opening", Value: "x"}, &thing{Name: "/b", Value: "x"}), resources(more...)...)
	r := registry()
	engine.Register(r, "conditional", conditionalType{})
	list[1].Kind, list[1].Address = r.Kind("conditional"), at("h/conditional./opening")
	list[2].DependsOn = []engine.Address{list[1].Address}
	return list
}

// TestConditional plans and applies on a host to which a resource does not apply, and then does.
func TestConditional(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{}
		m := converge(t, h, openingThings()...)
		if want := "begin; write /a; write /b; commit"; h.did() != want {
			t.Errorf("did %s", h.did())
		}
		for _, e := range m.Resources {
			if e.Type == "conditional" || len(e.DependsOn) > 0 {
				t.Errorf("the manifest has %+v", e)
			}
		}
		// An apply that makes it one that applies does not fail: the next one has it.
		h.log = nil
		f := single(t, h, openingThings(&thing{Name: "/firewall", Value: "on"})...)
		if p, r := f.apply(); r.Err != nil || changes(p) == "" {
			t.Errorf("plan %s, error %v", changes(p), r.Err)
		}
		f = single(t, h, openingThings(&thing{Name: "/firewall", Value: "on"})...)
		if p := f.plan(); len(p.Changes) != 1 || p.Changes[0].Address != "h/conditional./opening" {
			t.Errorf("the next plan is %s", changes(p))
		}
	})
}

// TestConditionalUnknown holds that what is not known is reported.
func TestConditionalUnknown(t *testing.T) {
	t.Parallel()
	list := openingThings()
	target := engine.Target{Name: "h"}
	queries := engine.Questions(target, list)
	all := answersOf(queries, nil)
	all[slices.IndexFunc(queries, func(q wire.Query) bool { return q.Key() == condition.Key() })] = wire.Answer{Error: "no answer"}
	got, err := engine.NewAnswers(queries, all)
	if err != nil {
		t.Fatal(err)
	}
	if p := engine.Compare(target, list, got); len(p.Compared) != len(list) {
		t.Errorf("%d resources are compared", len(p.Compared))
	}
}
