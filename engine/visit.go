package engine

import (
	"context"
	"fmt"
)

// visit is a session with a host, and what was learned over it. A planner makes it; the plan has it
// for an apply.
type visit struct {
	session  *Session
	target   Target
	ordered  []*Resource
	found    *HostPlan // the last observation
	read     *Manifest // the manifest on the host
	manifest *Manifest // the same after Ledger.Moves
	written  []byte    // the text of the manifest on the host
	gone     []string  // addresses without the host that the next manifest drops
	lock     Lock      // of the open transaction
	id       string    // of the open transaction; empty: none
}

// close closes the session, which ends an open transaction and frees the host's lock.
func (v *visit) close() {
	if v != nil {
		_ = v.session.Close() // an error while closing does not matter
	}
}

// decode returns the manifest on the host.
func (v *visit) decode() (*Manifest, error) {
	if unread := v.session.Hello.Unread; unread != "" {
		return nil, fmt.Errorf("%w: %q", ErrManifest, clip(unread))
	}
	return DecodeManifest(v.written, v.target.Facts.MachineID)
}

// attempts is how often an apply asks what the host did not answer.
const attempts = 3

// observeAgain is observe, but asks again what the host did not answer: a busy one may need longer
// than a question's limit, and must not be rolled back for it.
func (v *visit) observeAgain(ctx context.Context) (hp *HostPlan, err error) {
	for range attempts {
		if hp, err = v.observe(ctx); err != nil || !hp.unread {
			break
		}
	}
	return hp, err
}

// observe asks the host about its resources and compares the answers.
func (v *visit) observe(ctx context.Context) (*HostPlan, error) {
	got, err := v.session.Ask(ctx, Questions(v.target, v.ordered))
	if err != nil {
		return nil, err
	}
	v.found = Compare(v.target, v.ordered, got)
	return v.found, nil
}
