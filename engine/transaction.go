package engine

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// Lock says how the locks of hosts are taken.
type Lock struct {
	Operator string        // who this is, for those who have to wait: "alice@laptop"
	Command  string        // what for: "apply"
	Timeout  time.Duration // how long a lock is waited for
}

// LockedError is the error of a host on which somebody else is at work.
type LockedError struct {
	Holder wire.Holder
}

func (e *LockedError) Error() string {
	return "somebody else is at work on this host: " + describeHolder(e.Holder) + ". Nothing was done; --lock-timeout says how long to wait"
}

// describeHolder says who has a lock. All of it was said by the host, whose clock it is.
func describeHolder(h wire.Holder) string {
	text := fmt.Sprintf("%q", clip(h.Operator))
	if h.From != "" {
		text += fmt.Sprintf(" from %q", clip(h.From))
	}
	text += fmt.Sprintf(" runs %q since %q by the host's clock (%v)", clip(h.Command), clip(h.Since), time.Duration(h.Seconds)*time.Second)
	if h.Process != "" {
		text += fmt.Sprintf("; the lock is held by %q", clip(h.Process))
	}
	return text
}

// begin opens the host's transaction, where this run takes locks, and says what was found on the way.
func (f *Fleet) begin(ctx context.Context, h *hostState, host string) (notes []string, err error) {
	hello := h.session.Hello
	h.written = hello.Manifest
	if f.Lock == nil {
		if hello.Holder != nil {
			notes = append(notes, "somebody is at work on this host, so that it may differ in a moment: "+describeHolder(*hello.Holder))
		}
		if u := hello.Unfinished; u != nil {
			notes = append(notes, fmt.Sprintf("an earlier %q by %q did not end. What is found is what it left; the next apply takes that back first", clip(u.Command), clip(u.Operator)))
		}
		return notes, nil
	}
	begun, err := h.session.Begin(ctx, f.Lock.message(), func(w wire.Holder) {
		f.report(Progress{Host: host, Stage: Waiting, Summary: "waiting for the lock: " + describeHolder(w)})
	})
	if err != nil {
		return nil, err
	}
	if begun.Held != nil {
		return nil, &LockedError{*begun.Held}
	}
	f.report(Progress{Host: host, Stage: Begun})
	if r := begun.Recovered; r != nil {
		text := describeRecovered(r)
		f.report(Progress{Host: host, Stage: Noted, Summary: text})
		if len(r.Errors) > 0 {
			return nil, errors.New(text)
		}
		notes = append(notes, text)
	}
	h.id, h.written, h.touched = begun.ID, begun.Manifest, false
	return notes, nil
}

func (l *Lock) message() wire.Begin {
	return wire.Begin{Operator: l.Operator, Command: l.Command, Wait: int(l.Timeout / time.Second)}
}

// describeRecovered says what became of a transaction that was left open.
func describeRecovered(r *wire.Recovered) string {
	text := fmt.Sprintf("an earlier %q by %q did not end: ", clip(r.Command), clip(r.Operator))
	switch {
	case len(r.Errors) > 0:
		return text + fmt.Sprintf("not all of it could be taken back:\n%s\nThe originals are kept in %q on the host. Correct what is in the way and apply again",
			quoted(r.Errors), clip(r.Journal))
	case r.Committed:
		return text + "it had done all its steps, and was brought to its end"
	}
	text += fmt.Sprintf("it was taken back (%d steps)", r.Undone)
	if len(r.Stays) > 0 {
		text += ", but for what cannot be taken back:\n" + quoted(r.Stays)
	}
	return text
}

// quoted lists lines that a host sent.
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

// commit ends the host's transaction. In the manifest are then the resources that are as wanted.
// When the plan changed none, a manifest that says what the one there says is not written.
func (a *applier) commit(ctx context.Context) error {
	next, err := a.nextManifest(a.h, a.changed)
	if err != nil {
		return err
	}
	var text []byte
	if len(a.changed) > 0 || !a.h.read.same(next) {
		if text, err = next.Encode(); err != nil {
			return err
		}
	}
	return a.h.commitManifest(ctx, wire.Commit{Manifest: text})
}

// errNotCommitted is the error of a transaction that the host did not make final.
var errNotCommitted = errors.New("the host took everything back in place of making it final")

func (h *hostState) commitManifest(ctx context.Context, c wire.Commit) error {
	done, err := h.session.Commit(ctx, c, func(wire.Event) {})
	if err != nil {
		return &lostCommit{err, c.Manifest}
	}
	h.id = ""
	switch {
	case done.Error != "" && !done.Undone: // it may be final, and something else be wrong
		return &lostCommit{fmt.Errorf("the host did not say whether it is final: %q%s", clip(done.Error), keptIn(done.Journal)), c.Manifest}
	case done.Undone:
		err = fmt.Errorf("%w: %q%s", errNotCommitted, clip(done.Error), keptIn(done.Journal))
		if done.Journal != "" {
			err = halfBackError{err}
		}
		return err
	case len(c.Manifest) > 0:
		h.written = c.Manifest
	}
	return nil
}

// keptIn says where originals are that could not be put back.
func keptIn(journal string) string {
	if journal == "" {
		return ""
	}
	return fmt.Sprintf("; not all could be taken back, and the originals are kept in %q on the host", clip(journal))
}

// lostCommit is the error of a connection that was lost while the host was told to commit, or of an answer that leaves open what it did.
type lostCommit struct {
	error
	manifest []byte
}

func (e *lostCommit) Unwrap() error { return e.error }

// nextManifest is the manifest of a host whose selected resources are as wanted.
func (f *Fleet) nextManifest(h *hostState, changed map[*Resource]bool) (*Manifest, error) {
	gone := slices.Clone(h.gone)
	found := map[*Resource]Compared{}
	for _, c := range h.found.Compared {
		found[c.Resource] = c
	}
	var entries []Managed
	for _, r := range h.ordered {
		if r.Remove {
			gone = append(gone, Local(r.Address))
			continue
		}
		old := h.manifest.find(f.Configuration, Local(r.Address))
		kept := *r
		kept.Sensitive = r.stillSensitive(changed[r])
		e, err := newManaged(&kept, f.Configuration, func(name string, value any) string {
			if old != nil && old.Secrets[name] != "" && old.was == "" && !changed[r] {
				return ""
			}
			return f.sealSecret(r.Address, name, value)
		})
		if err != nil {
			return nil, err
		}
		if c, ok := found[r]; !ok && old != nil {
			e.Remembered = old.Remembered
		} else if err := e.remember(h.first[r], c.Want, c.Have); err != nil {
			return nil, err
		}
		e.Made = h.absent[r] && changed[r] && found[r].Have != nil || old != nil && old.Made
		entries = append(entries, e)
	}
	next := h.manifest.merge(f.Version, f.Configuration, gone, entries)
	next.inherit(h.manifest, h.target, f.Types)
	return next, nil
}

// sealSecret is the digest of a secret for a manifest.
func (f *Fleet) sealSecret(address, attribute string, value any) string {
	f.sealing.Do(func() { f.seals = newSealer(NewNonce()) })
	return "argon2id:" + hex.EncodeToString(f.seals.salt) + ":" + f.seals.seal(Local(address)+" "+attribute, true, value)
}

// aftermath finds out what became of a host whose connection was lost in a transaction: the helper takes back by itself what was not made final.
// committing is the manifest that was to be made final, nil when it had not come to that.
func (a *applier) aftermath(ctx context.Context, lost error, committing *lostCommit) (committed bool, err error) {
	h, host := a.h, a.hp.Host
	noted := "the connection was lost; asking the host what became of it"
	if !errors.Is(lost, ErrLost) {
		noted = "it is not clear what became of the host; asking it over a new connection"
	}
	a.report(Progress{Host: host, Stage: Noted, Summary: noted})
	_ = h.session.Close() // it is broken, or nothing more is to be had from it
	h.id = ""
	unknown := func(why error) error {
		return unknownError{fmt.Errorf("%w; the host could not be asked what became of it (%w). It takes back by itself what was not finished. Plan again", lost, why)}
	}
	var session *Session
	for _, pause := range []time.Duration{0, time.Second, 3 * time.Second, 10 * time.Second, 20 * time.Second} {
		time.Sleep(pause)
		if session, err = a.Connect(ctx, host); err == nil {
			break
		}
	}
	if err != nil {
		return false, unknown(err)
	}
	defer func() { _ = session.Close() }() // and with it the lock is free
	b := a.Lock.message()
	b.Wait = max(b.Wait, int(2*silenceLimit/time.Second)) // it may be taking things back still
	begun, err := session.Begin(ctx, b, func(w wire.Holder) {
		a.report(Progress{Host: host, Stage: Waiting, Summary: "waiting until the host has ended it: " + describeHolder(w)})
	})
	switch {
	case err != nil:
		return false, unknown(err)
	case begun.Held != nil:
		return false, unknown(&LockedError{*begun.Held})
	case committing != nil && len(committing.manifest) > 0 && bytes.Equal(begun.Manifest, committing.manifest):
		h.written = begun.Manifest
		return true, nil
	case begun.Recovered != nil && len(begun.Recovered.Errors) > 0:
		return false, halfBackError{fmt.Errorf("%w; %s", lost, describeRecovered(begun.Recovered))}
	}
	return false, fmt.Errorf("%w; the host has taken back what was done", lost)
}

// halfBackError and unknownError tell how aftermath found a host.
type (
	halfBackError struct{ error }
	unknownError  struct{ error }
)

func (e halfBackError) Unwrap() error { return e.error }
func (e unknownError) Unwrap() error  { return e.error }

// stateAfter is how a host was left, by an error of aftermath or commit.
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

// guard turns a panic into an error, so that a bug that shows on one host does not stop the others.
func guard(work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bug in mirrorform: %v\n%s", p, debug.Stack())
		}
	}()
	return work()
}
