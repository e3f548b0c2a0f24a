package engine_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// TestForgedMessages has a helper send what it must not. That host has an error, and nothing it says is taken for done.
func TestForgedMessages(t *testing.T) {
	t.Parallel()
	event := func(id int, s wire.State) *wire.Message { return &wire.Message{Event: &wire.Event{ID: id, State: s}} }
	done := func(d wire.Done) *wire.Message { return &wire.Message{Done: &d} }
	failed := func(id int) *wire.Message { return done(wire.Done{Failed: &id, Undone: true}) }
	isConfirmOrCommit := func(m *wire.Message) bool { return m.Confirm != nil || m.Commit != nil }
	for name, tc := range map[string]struct {
		which func(*wire.Message) bool
		forge []*wire.Message
		want  string
	}{
		"begun with no ID":              {isBegin, []*wire.Message{{Begun: &wire.Begun{}}}, "began a transaction without an ID"},
		"begun, recovered, no ID":       {isBegin, []*wire.Message{{Begun: &wire.Begun{Recovered: &wire.Recovered{}}}}, "began a transaction without an ID"},
		"done in place of begun":        {isBegin, []*wire.Message{done(wire.Done{})}, "not an answer to this request"},
		"answers to begin":              {isBegin, []*wire.Message{{Answers: &wire.Answers{}}}, "not an answer to this request"},
		"empty message to begin":        {isBegin, []*wire.Message{{}}, "not an answer to this request"},
		"begun in place of answers":     {isAsk, []*wire.Message{{Begun: &wire.Begun{ID: "x"}}}, "the helper sent no answers"},
		"too few answers":               {isAsk, []*wire.Message{{Answers: &wire.Answers{}}}, "0 answers to 1 questions"},
		"too many answers":              {isAsk, []*wire.Message{{Answers: &wire.Answers{Answers: make([]wire.Answer, 2)}}}, "2 answers to 1 questions"},
		"an answer of another kind":     {isAsk, []*wire.Message{{Answers: &wire.Answers{Answers: make([]wire.Answer, 1)}}}, "the answer has a different type"},
		"a file without a fingerprint":  {isAsk, []*wire.Message{{Answers: &wire.Answers{Answers: []wire.Answer{{File: &wire.File{}}}}}}, "without its fingerprint"},
		"begun in place of done":        {isDo, []*wire.Message{{Begun: &wire.Begun{ID: "x"}}}, "not an answer to this request"},
		"event of an earlier operation": {isDo, []*wire.Message{event(-1, wire.Finished)}, "operation -1, which was not sent to it"},
		"event of a later operation":    {isDo, []*wire.Message{event(1, wire.Finished)}, "operation 1, which was not sent to it"},
		"event of operation 2⁶²":        {isDo, []*wire.Message{event(1<<62, wire.UndoFailed)}, "which was not sent to it"},
		"failure of another operation":  {isDo, []*wire.Message{failed(1)}, "operation 1 failed, which was not sent to it"},
		"failure of operation -1":       {isDo, []*wire.Message{failed(-1)}, "operation -1 failed, which was not sent to it"},
		"failure without a reason":      {isDo, []*wire.Message{failed(0)}, "the helper gave no reason"},
		"done without having done":      {isDo, []*wire.Message{event(0, wire.Finished), done(wire.Done{})}, "is not as wanted after its steps succeeded"},
		"done with an error":            {isDo, []*wire.Message{done(wire.Done{Error: "no \x1b", Undone: true})}, `refuses the steps: "no \x1b"`},
		"unknown state":                 {isDo, []*wire.Message{event(0, "great"), failed(0)}, "the helper gave no reason"},
		"failure":                       {isDo, []*wire.Message{{Failure: &wire.Failure{Message: "no \x1b"}}}, `the helper gave up: "no \x1b"`},
		"event of a commit":             {isConfirmOrCommit, []*wire.Message{event(7, wire.Undone)}, "operation 7, which was not sent to it"},
		"commit that was taken back":    {isConfirmOrCommit, []*wire.Message{done(wire.Done{Undone: true})}, "rolled back all changes instead of committing"},
		"answers to a commit":           {isConfirmOrCommit, []*wire.Message{{Answers: &wire.Answers{}}}, "not an answer to this request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				h := &host{forge: inPlaceOf(tc.which, tc.forge...)}
				f := single(t, h, resource(&thing{Name: "/a", Value: "x"}))
				_, r := f.apply()
				if r.Err == nil || len(r.Done) > 0 || h.manifest != nil {
					t.Fatalf("%+v, manifest %q", r, h.manifest)
				}
				contains(t, "error", r.Err.Error(), tc.want)
				if len(h.lock) > 0 {
					t.Error("the lock is held")
				}
			})
		})
	}
}

// TestLateAnswers ends an exchange early: what the helper still says of it is not taken for the answer to the next one.
func TestLateAnswers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := &host{forge: func(m *wire.Message) []*wire.Message {
			if m.Do == nil {
				return nil
			}
			return []*wire.Message{{Event: &wire.Event{ID: 99}}, {Done: &wire.Done{Undone: true}}}
		}}
		f := single(t, h)
		s, err := f.Connect(t.Context(), "h")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Begin(t.Context(), wire.Begin{}, func(wire.Holder) {}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Do(t.Context(), wire.Do{Ops: make([]wire.Order, 1)}, func(wire.Event) {}); err == nil || errors.Is(err, engine.ErrLost) {
			t.Errorf("do: %v", err)
		}
		if done, err := s.Rollback(t.Context(), func(wire.Event) {}); done != nil || !errors.Is(err, engine.ErrLost) {
			t.Errorf("rollback: %+v, %v", done, err)
		}
		synctest.Wait()
		if h.open != nil || h.did() != "begin; gone" {
			t.Errorf("the transaction was not given up: %s", h.did())
		}
	})
}

// TestSilentHost has a helper that takes an order and never answers, not even with a Beat.
func TestSilentHost(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := new(host)
		h.forge = func(m *wire.Message) []*wire.Message {
			if m.Do != nil {
				return []*wire.Message{}
			}
			return nil
		}
		_, r := single(t, h, resource(&thing{Name: "/a", Value: "x"})).apply()
		if !errors.Is(r.Err, engine.ErrLost) || r.State != engine.TakenBack || len(h.lock) > 0 {
			t.Errorf("%v, %s, locks %d", r.Err, r.State, len(h.lock))
		}
		contains(t, "error", errorText(r.Err), "nothing received for 30s", "the host has rolled back all changes")
	})
}
