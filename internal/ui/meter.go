package ui

import (
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Meter shows the progress of countable work, one bar for each item, on the second stream if that
// is a terminal. It is safe for concurrent use.
type Meter struct {
	mu        sync.Mutex
	container *mpb.Progress // nil: shows nothing
	bars      map[string]*mpb.Bar
}

// NewMeter returns a Meter that shows progress until Close, which must come before any other
// output.
func NewMeter(u *UI) *Meter {
	m := &Meter{bars: map[string]*mpb.Bar{}}
	if u.err.animated && !u.quiet {
		m.container = mpb.New(mpb.WithOutput(u.err.file), mpb.WithWidth(u.err.width()-1),
			mpb.WithRefreshRate(100*time.Millisecond))
	}
	return m
}

// Set records how much work of an item is done. The total may grow.
func (m *Meter) Set(name string, done, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.container == nil {
		return
	}
	bar := m.bars[name]
	if bar == nil {
		// mpb completes a bar by itself at its total, unless that starts at 0.
		bar = m.container.New(0, mpb.BarStyle(),
			mpb.PrependDecorators(decor.Name(truncate(plain.Escape(name), 40), decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.CountersNoUnit("%d of %d", decor.WCSyncSpace)))
		m.bars[name] = bar
	}
	bar.SetTotal(total, false)
	bar.SetCurrent(done)
}

// Close removes the bars. Later calls of Set are ignored.
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
