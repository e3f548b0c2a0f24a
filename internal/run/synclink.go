package run

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/syncs"
)

// syncLink is a session with a host that reconnects when the connection is lost. The sync continues
// meanwhile.
type syncLink struct {
	connect func() (*engine.Session, error)
	mu      sync.Mutex
	session *engine.Session
}

func (l *syncLink) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.session.Close()
}

// ask asks questions. If the connection is lost, it reconnects.
func (l *syncLink) ask(ctx context.Context, queries []wire.Query) (engine.Answers, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	got, err := l.session.Ask(ctx, queries)
	for _, pause := range []time.Duration{0, time.Second, 5 * time.Second, 15 * time.Second} {
		if !errors.Is(err, engine.ErrLost) || !Sleep(ctx, pause) {
			break
		}
		if session, failed := l.connect(); failed == nil {
			_ = l.session.Close()
			l.session = session
			got, err = session.Ask(ctx, queries)
		}
	}
	return got, err
}

func (l *syncLink) state(ctx context.Context, j *syncs.Job) (*syncs.State, error) {
	got, err := l.ask(ctx, append(j.Questions(), j.OutputQuestions()...))
	if err != nil {
		return nil, err
	}
	return j.Read(got)
}

// Sleep waits, and reports whether it completed. It returns early when ctx ends.
func Sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
