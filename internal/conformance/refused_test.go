package conformance

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// checkRefusal checks that the plan refuses a state, and that the helper refuses the operation.
func checkRefusal(t *testing.T, h *host, c *refusal) {
	h.write(t, c.files)
	h.run(t, c.prepare...)
	r := &runner{h: h, c: &testCase{}}
	look := func() (string, listing) {
		if len(c.same) == 0 {
			return "", h.listing(t)
		}
		return h.run(t, c.same), h.listing(t)
	}
	before, files := look()
	if c.state != nil {
		p := r.plan(t, resource(h, c.kind, c.state))
		if !p.Failed() || len(p.Changes) > 0 {
			t.Errorf("the plan is not refused: %s", stepText(p))
		}
		if text := stepText(p); !strings.Contains(text, c.problem) {
			t.Errorf("the plan says %q, which does not hold %q", text, c.problem)
		}
	}
	if c.op != nil {
		o := r.perform(t, []wire.Order{{Op: *c.op}})
		if o.failed != 0 || !strings.Contains(strings.Join(o.errors, "\n"), c.refuses) {
			t.Errorf("the operation is reported as %v: %q does not hold %q", o.states[0], o.errors, c.refuses)
		}
	}
	after, filesAfter := look()
	if before != after {
		t.Errorf("%q printed\n%s\nand after the refusal\n%s", c.same, before, after)
	}
	for _, change := range files.changes(filesAfter, nil) {
		t.Errorf("what was refused changes the host: %s", change)
	}
	h.run(t, c.cleanup...)
}

// checkFailure checks that a plan whose apply fails leaves the host unchanged.
func checkFailure(t *testing.T, h *host, c *failure) {
	h.write(t, c.files)
	h.run(t, c.prepare...)
	r := &runner{h: h, c: &testCase{}}
	want := resource(h, c.kind, c.state)
	p := r.changing(t, want)
	h.run(t, c.between...)
	before := r.look(t, p, want)
	o := r.perform(t, orders(p))
	if text := strings.Join(o.errors, "\n"); o.failed < 0 || !regexp.MustCompile(c.says).MatchString(text) {
		t.Errorf("order %d fails with %q, which does not match %q", o.failed, text, c.says)
	}
	for i, states := range o.states {
		if slices.Contains(states, wire.UndoFailed) {
			t.Errorf("taking back %q failed: %q", p.Changes[0].Steps[i].Summary, o.errors)
		}
	}
	r.same(t, before, p, want, "after the failure")
	h.run(t, c.cleanup...)
}
