package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// LockedError is the error of a host that is locked by another run.
type LockedError struct {
	Holder wire.Holder
}

func (e *LockedError) Error() string {
	return "locked by another run: " + describeHolder(e.Holder) +
		". Nothing was changed. To wait longer, run the command again with --lock-timeout 10m"
}

// describeHolder describes the holder of a lock. Everything in it, including the time, comes from
// the host.
func describeHolder(h wire.Holder) string {
	text := fmt.Sprintf("%q", clip(h.Operator))
	if h.From != "" {
		text += fmt.Sprintf(" from %q", clip(h.From))
	}
	text += fmt.Sprintf(" runs %q since %q by the host's clock (%v)",
		clip(h.Command), clip(h.Since), time.Duration(h.Seconds)*time.Second)
	if h.Process != "" {
		text += fmt.Sprintf("; the lock is held by %q", clip(h.Process))
	}
	return text
}

// describeRecovered describes how an unfinished transaction of an earlier run ended.
func describeRecovered(r *wire.Recovered) string {
	text := fmt.Sprintf("an earlier %q by %q did not finish: ", clip(r.Command), clip(r.Operator))
	switch {
	case len(r.Errors) > 0:
		return text + fmt.Sprintf("some changes could not be rolled back:\n%s\n"+
			"The originals are kept in %q on the host. Fix the cause, "+
			"then run the command again", quoted(r.Errors), clip(r.Journal))
	case r.Committed:
		return text + "all its steps had succeeded, and it was committed"
	}
	text += fmt.Sprintf("it was rolled back (%d steps)", r.Undone)
	if len(r.Stays) > 0 {
		text += ", except for what cannot be undone:\n" + quoted(r.Stays)
	}
	return text
}

// quoted lists lines from a host.
func quoted(lines []string) string {
	const most = 50
	var b strings.Builder
	for i, l := range lines {
		if i == most {
			fmt.Fprintf(&b, "- and %d more", len(lines)-most)
			break
		}
		fmt.Fprintf(&b, "- %q\n", clip(l))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// commit ends the host's transaction. The new manifest contains the resources that are as wanted.
// If the plan changed nothing and the manifest is the same, it is not written.
func (a *hostApplier) commit(ctx context.Context) error {
	next, err := a.books.next(a.visit, a.did)
	if err != nil {
		return err
	}
	var text []byte
	if len(a.did.changed) > 0 || !a.visit.read.same(next) {
		if text, err = next.Encode(); err != nil {
			return err
		}
	}
	err = a.visit.commitManifest(ctx, wire.Commit{Manifest: text, Next: len(a.waiting) > 0})
	if err == nil {
		a.visit.read, a.visit.manifest = next, next
	}
	return err
}

// errNotCommitted is the error of a transaction that the host rolled back instead of committing.
var errNotCommitted = errors.New("the host rolled back all changes instead of committing")

func (v *visit) commitManifest(ctx context.Context, c wire.Commit) error {
	done, err := v.session.Commit(ctx, c, func(wire.Event) {})
	if err != nil {
		return &lostCommit{err, c.Manifest}
	}
	v.id = done.Next
	switch {
	case done.Error != "" && !done.Undone: // it may be committed, with another problem
		return &lostCommit{fmt.Errorf("the host did not report whether "+
			"the changes are committed: %q%s", clip(done.Error), keptIn(done.Journal)), c.Manifest}
	case done.Undone:
		err = fmt.Errorf("%w: %q%s", errNotCommitted, clip(done.Error), keptIn(done.Journal))
		if done.Journal != "" {
			err = halfBackError{err}
		}
		return err
	case len(c.Manifest) > 0:
		v.written = c.Manifest
	}
	return nil
}

// keptIn reports where the originals of failed undos are.
func keptIn(journal string) string {
	if journal == "" {
		return ""
	}
	return fmt.Sprintf("; some changes could not be rolled back: the originals are kept in %q on the host", clip(journal))
}

// lostCommit is the error of a commit whose outcome is unknown: the connection was lost, or the
// answer is not clear.
type lostCommit struct {
	error
	manifest []byte
}

func (e *lostCommit) Unwrap() error { return e.error }

// aftermath reconnects to a host whose connection was lost in a transaction and determines how it
// ended: the helper rolls back by itself what was not committed. committing has the manifest of the
// commit, or is nil if the transaction had not come to that.
func (a *hostApplier) aftermath(ctx context.Context, lost error, committing *lostCommit) (committed bool, err error) {
	v, host := a.visit, a.hp.Host
	noted := "the connection was lost; reconnecting to check the state of the host"
	if !errors.Is(lost, ErrLost) {
		noted = "the state of the host is not clear; reconnecting to check it"
	}
	a.report(Progress{Host: host, Stage: Noted, Summary: noted})
	v.close() // it is broken, or of no further use
	v.id = ""
	unknown := func(why error) error {
		return unknownError{fmt.Errorf("%w; the state of the host could not be checked (%w). "+
			"The host rolls back by itself what was not committed. Run mirrorform plan to see its state", lost, why)}
	}
	var session *Session
	for _, pause := range []time.Duration{0, time.Second, 3 * time.Second, 10 * time.Second, 20 * time.Second} {
		time.Sleep(pause)
		if session, err = a.fleet.access.Connect(ctx, host); err == nil {
			break
		}
	}
	if err != nil {
		return false, unknown(err)
	}
	defer func() { _ = session.Close() }() // this frees the lock
	b := v.lock.message()
	b.Wait = max(b.Wait, int(2*silenceLimit/time.Second)) // it may still be rolling back
	begun, err := session.Begin(ctx, b, func(w wire.Holder) {
		a.report(Progress{Host: host, Stage: Waiting, Summary: "waiting until the host has " +
			"ended the transaction: " + describeHolder(w)})
	})
	switch {
	case err != nil:
		return false, unknown(err)
	case begun.Held != nil:
		return false, unknown(&LockedError{*begun.Held})
	case committing != nil && len(committing.manifest) > 0 && bytes.Equal(begun.Manifest, committing.manifest):
		v.written = begun.Manifest
		return true, nil
	case begun.Recovered != nil && len(begun.Recovered.Errors) > 0:
		return false, halfBackError{fmt.Errorf("%w; %s", lost, describeRecovered(begun.Recovered))}
	}
	return false, fmt.Errorf("%w; the host has rolled back all changes", lost)
}

// halfBackError and unknownError mark the result of aftermath.
type (
	halfBackError struct{ error }
	unknownError  struct{ error }
)

func (e halfBackError) Unwrap() error { return e.error }
func (e unknownError) Unwrap() error  { return e.error }

// stateAfter returns how a host was left, from an error of aftermath or commit.
func stateAfter(err error) Left {
	var half halfBackError
	var unknown unknownError
	switch {
	case errors.As(err, &half):
		return HalfBack
	case errors.As(err, &unknown):
		return UnknownLeft
	}
	return TakenBack
}

// guard converts a panic to an error, so that a bug on one host does not stop the others.
func guard(work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bug in mirrorform: %v\n%s", p, debug.Stack())
		}
	}()
	return work()
}
