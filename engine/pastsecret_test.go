package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// shown is what a plan shows of a host's changes.
func shown(p *engine.HostPlan) string {
	var b strings.Builder
	for _, c := range p.Changes {
		for _, list := range [][]engine.Attribute{c.Before, c.After} {
			for _, a := range list {
				if a.Sensitive {
					a.Value = engine.SensitiveValue
				}
				fmt.Fprintf(&b, "%s=%v ", a.Name, engine.Plain(a.Value))
			}
		}
	}
	return b.String()
}

// What the manifest has as a secret is not shown when the configuration does not call it sensitive
// any more, whatever became of its address; it stays a secret until an apply gives it another
// value.
func TestSecretsOfThePastStay(t *testing.T) {
	t.Parallel()
	elsewhere := func(r *engine.Resource) *engine.Resource {
		r.Address = at("h/thing.renamed")
		return r
	}
	for name, tc := range map[string]struct {
		wanted *engine.Resource
		move   bool
		drift  string // what somebody writes meanwhile
		secret bool   // it is still one afterwards
		same   bool   // nothing changes
	}{
		"another value":                    {wanted: secretive("new", "b")},
		"another value, renamed":           {wanted: elsewhere(secretive("new", "b"))},
		"another value, moved":             {wanted: elsewhere(secretive("new", "b")), move: true},
		"the same value":                   {wanted: secretive("canary-one", "b"), secret: true, same: true},
		"the same value, renamed":          {wanted: elsewhere(secretive("canary-one", "b")), secret: true, same: true},
		"the same value, drifted":          {wanted: secretive("canary-one", "b"), drift: "canary-two", secret: true},
		"the same value, drifted, renamed": {wanted: elsewhere(secretive("canary-one", "b")), drift: "canary-two", secret: true},
		"the same value, drifted, moved":   {wanted: elsewhere(secretive("canary-one", "b")), drift: "canary-two", move: true, secret: true},
		"still sensitive":                  {wanted: secretive("canary-new", "b", "value"), secret: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				h := new(host)
				converge(t, h, secretive("canary-one", "b", "value"))
				if tc.drift != "" {
					h.edit("/a", tc.drift)
				}
				f := single(t, h, tc.wanted)
				if tc.move {
					f.Moves = []engine.Move{{From: "thing./a", To: "thing.renamed"}}
				}
				plan, r := f.apply()
				if r.Err != nil {
					t.Fatal(r.Err)
				}
				if text := shown(plan); strings.Contains(text, "canary") || strings.Contains(text, "new") || (text == "") != tc.same {
					t.Errorf("the plan shows %q", text)
				}
				m := h.managed(t)
				if secret := m.Resources[0].Secrets["value"] != ""; len(m.Resources) != 1 || secret != tc.secret || strings.Contains(string(h.manifest), "canary") {
					t.Errorf("it is a secret: %v, want %v:\n%s", secret, tc.secret, h.manifest)
				}
			})
		})
	}
}

// The programs of a resource into which a secret goes, and of what depends on it or follows it, are
// private: what they print is not asked for, and the error says where it is to be seen.
func TestPrivateOrders(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		after := resource(&thing{Name: "/after", Value: "new"})
		after.DependsOn = []engine.Address{at("h/thing./a")}
		wanted := []*engine.Resource{
			secretive("canary-one", "b", "value"), after, resource(&thing{Name: "/follows", Value: "new", Follows: []string{"/a"}}),
			resource(&thing{Name: "/other", Value: "new"}),
		}
		private := map[string]bool{}
		h := &host{forge: func(m *wire.Message) []*wire.Message {
			if m.Do == nil {
				return nil
			}
			for _, o := range m.Do.Ops {
				private[o.Op.Path()] = o.Private
			}
			id := m.Do.Ops[0].ID
			return []*wire.Message{
				{Event: &wire.Event{ID: id, State: wire.Failed, Error: "check: exit status 1", Withheld: true}},
				{Done: &wire.Done{Failed: &id, Undone: true}},
			}
		}}
		_, r := single(t, h, wanted...).apply()
		if len(private) != 4 || !private["/a"] || !private["/after"] || !private["/follows"] || private["/other"] {
			t.Errorf("private: %v", private)
		}
		if r.Err == nil || !strings.Contains(r.Err.Error(), "the output is not shown, since it may contain sensitive values of h/thing./a") {
			t.Errorf("error: %v", r.Err)
		}
	})
}
