package ui

import (
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Meter shows how far countable work on several things is, a line for each, on the second stream where that is a terminal. Its methods may be
// called from several goroutines at once.
type Meter struct {
	mu        sync.Mutex
	container *mpb.Progress // nil: nothing is shown
	bars      map[string]*mpb.Bar
}

// NewMeter begins to show progress. Close must be called before anything else is printed.
func NewMeter(u *UI) *Meter {
	m := &Meter{bars: map[string]*mpb.Bar{}}
	if u.err.animated && !u.quiet {
		m.container = mpb.New(mpb.WithOutput(u.err.file), mpb.WithWidth(u.err.width()-1), mpb.WithRefreshRate(100*time.Millisecond))
	}
	return m
}

// Set says how much of the work on a thing is done. The total may grow.
func (m *Meter) Set(name string, done, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.container == nil {
		return
	}
	bar := m.bars[name]
	if bar == nil {
		// A bar that begins with a total of 0 does not end by itself.
		bar = m.container.New(0, mpb.BarStyle(),
			mpb.PrependDecorators(decor.Name(truncate(plain.Escape(name), 40), decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.CountersNoUnit("%d of %d", decor.WCSyncSpace)))
		m.bars[name] = bar
	}
	bar.SetTotal(total, false)
	bar.SetCurrent(done)
}

// Close takes the lines away. What is set later is ignored.
func (m *Meter) Close() {
	m.mu.Lock()
	container := m.container
	m.container = nil
	m.mu.Unlock()
	if container == nil {
		return
	}
	for _, bar := range m.bars {
		bar.Abort(true)
	}
	container.Wait()
}
