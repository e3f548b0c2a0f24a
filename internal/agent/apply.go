package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// begin obeys Begin. An error ends the connection.
func (s *session) begin(b *wire.Begin) error {
	h := s.host
	if s.tx != nil {
		return errors.New("this connection already has an open transaction")
	}
	armFaults()
	begun := &wire.Begun{}
	held, err := h.lock.wait(s.alive, b, func(who wire.Holder) {
		_ = s.send(&wire.Message{Waiting: &wire.Waiting{Holder: who}}) // never too large
	})
	if err != nil {
		return err
	}
	if held != nil {
		begun.Held = held
		return s.send(&wire.Message{Begun: begun})
	}
	err = guard(func() (err error) { begun.Recovered, err = h.recover(); return err })
	if err == nil {
		// Hello has reported a manifest that cannot be read. It does not stop the transaction, which may
		// be the one that repairs it.
		begun.Manifest, _ = h.state.readManifest()
	}
	if err != nil || begun.Recovered != nil && len(begun.Recovered.Errors) > 0 {
		h.lock.release()
		if err != nil {
			return err
		}
		begun.Manifest = nil
		return s.send(&wire.Message{Begun: begun})
	}
	begun.ID = s.open(header{Operator: shorten(b.Operator), Command: shorten(b.Command), From: from()})
	return s.send(&wire.Message{Begun: begun})
}

// open opens a transaction under the lock, and returns its ID.
func (s *session) open(by header) string {
	by.Format, by.ID, by.Since = journalFormat, random(), time.Now().UTC().Format(time.RFC3339)
	s.past = nil
	s.tx = newTransaction(s.host, by)
	s.host.files.transaction = s.tx.ID
	s.tx.answer, s.tx.event = s.answer, s.event
	if s.perform != nil {
		s.tx.perform = s.perform
	}
	return s.tx.ID
}

// none answers a message that needs an open transaction when none is open.
func (s *session) none() *wire.Done {
	if s.past != nil {
		done := *s.past
		if done.Error == "" {
			done.Error = "the transaction was rolled back"
		}
		return &done
	}
	return &wire.Done{Error: "no open transaction: begin one first"}
}

// do obeys Do: it performs orders until one fails or the controller is gone. It then rolls back the
// whole transaction.
func (s *session) do(m *wire.Do) *wire.Done {
	t := s.tx
	if t == nil {
		return s.none()
	}
	s.late = nil
	if m.Confirm != nil {
		if err := checkNonce(m.Confirm.Nonce); err != nil {
			return s.abandon(err)
		}
		s.confirmation = m.Confirm
	}
	var obstacle error
	var id int
	if err := guard(func() error { id, obstacle = s.host.obstacles.first(m.Ops); return nil }); err != nil {
		return s.abandon(err)
	}
	if obstacle != nil {
		s.event(id, wire.Started, nil)
		s.event(id, wire.Failed, obstacle)
		done := s.rollBackOpen()
		done.Failed = &id
		return done
	}
	if err := guard(t.open); err != nil {
		return s.abandon(err)
	}
	before := len(t.ops)
	for _, o := range m.Ops {
		s.event(o.ID, wire.Started, nil)
		err := context.Cause(s.alive)
		if err != nil {
			err = fmt.Errorf("not started: %w", err)
		} else {
			err = t.do(&o)
		}
		if err == nil {
			s.event(o.ID, wire.Finished, nil)
			continue
		}
		if o.Private {
			err = quiet(err)
		}
		s.event(o.ID, wire.Failed, err)
		done := s.rollBackOpen()
		done.Failed = &o.ID
		return done
	}
	s.host.labelNew(t.ops[before:])
	s.awaitConfirmation()
	return &wire.Done{}
}

// awaitConfirmation begins the time that the controller has to reconnect. It does so again after
// each answer: a slow host may take longer to be observed.
func (s *session) awaitConfirmation() {
	if c := s.confirmation; c != nil {
		s.late = s.after(seconds(c.Timeout, confirmTimeout))
	}
}

// rollback obeys Rollback.
func (s *session) rollback() *wire.Done {
	if s.tx != nil {
		return s.rollBackOpen()
	}
	if s.past != nil {
		return s.past
	}
	return s.none()
}

// commit obeys Commit.
func (s *session) commit(m *wire.Commit) *wire.Done {
	t := s.tx
	if t == nil {
		return s.none()
	}
	if c := s.confirmation; c != nil && !t.confirmed(c.Nonce) {
		return s.abandon(errors.New("not confirmed: no other connection has sent the nonce of this transaction"))
	}
	var committed bool
	err := guard(func() (err error) { committed, err = t.commit(m); return err })
	if err != nil && !committed {
		return s.abandon(fmt.Errorf("not committed: %w", err))
	}
	done := &wire.Done{}
	if m.Next && err == nil {
		s.close()
		done.Next = s.open(header{Operator: t.Operator, Command: t.Command, From: t.From})
		return done
	}
	s.end()
	if err != nil {
		done.Error = printable("committed, but some of the transaction's files could not be removed; " +
			"the next apply removes them: " + withReason(err))
	}
	return done
}

// overdue rolls back the transaction if its confirmation did not arrive in time. A transaction that
// was confirmed may stay open for longer: it ends with the controller's next message, or when the
// controller is silent.
func (s *session) overdue() {
	if c := s.confirmation; c != nil && s.tx.confirmed(c.Nonce) {
		s.late = nil
		return
	}
	stop := s.sendBeats()
	defer stop()
	s.abandon(errors.New("the confirmation did not arrive in time: all changes were rolled back"))
}

// abandon rolls back the transaction, and reports why.
func (s *session) abandon(why error) *wire.Done {
	done := s.rollBackOpen()
	done.Error = printable(withReason(why))
	return done
}

// rollBackOpen rolls back the transaction and releases the lock.
func (s *session) rollBackOpen() *wire.Done {
	t := s.tx
	done := &wire.Done{Undone: true}
	var failures []string
	if err := guard(func() error { _, failures = t.rollback(); return nil }); err != nil {
		failures = append(failures, err.Error())
	}
	done.Journal = t.kept
	if len(failures) > 0 {
		done.Journal = t.dir
	}
	s.end()
	s.past = done
	return done
}

// end closes the transaction, and releases the lock.
func (s *session) end() {
	s.close()
	s.host.lock.release()
}

// close closes the transaction, and keeps the lock.
func (s *session) close() {
	s.late, s.confirmation = nil, nil
	s.tx.close()
	s.tx, s.past = nil, nil
	s.host.files.transaction = ""
}

func (s *session) event(id int, state wire.State, err error) {
	e := &wire.Event{ID: id, State: state}
	if err != nil {
		f := failureOf(err)
		e.Error, e.Said, e.Output, e.Withheld = printable(err.Error()), f.said, f.output, f.withheld
	}
	_ = s.send(&wire.Message{Event: e}) // never too large
}
