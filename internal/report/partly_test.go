package report

import (
	"errors"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// A host whose second transaction failed: what is done, what failed, and what was not reached.
func TestPartlyDone(t *testing.T) {
	t.Parallel()
	address := []string{"h/file.a", "h/certificate.b", "h/file.c"}
	r := &Result{Hosts: []HostResult{{Name: "h"}}}
	var changes []*engine.Change
	for _, a := range address {
		r.Hosts[0].Changes = append(r.Hosts[0].Changes, Change{Address: a})
		changes = append(changes, &engine.Change{Address: a})
	}
	r.Apply(&engine.Result{Hosts: []*engine.HostResult{{
		Host: "h", Done: changes[:1], Failed: changes[1], Step: "request", NotDone: changes[2:], Err: errors.New("down"), State: engine.PartlyDone,
	}}})
	h := r.Hosts[0]
	if h.Outcome != Failed || h.Left != engine.PartlyDone || h.Error == nil || *h.Error != "h/certificate.b: request: down" {
		t.Errorf("%+v", h)
	}
	for i, want := range []Done{Applied, StepFailed, NotApplied} {
		if h.Changes[i].Done != want {
			t.Errorf("%s: %s, want %s", address[i], h.Changes[i].Done, want)
		}
	}
}
