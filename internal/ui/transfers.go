package ui

import (
	"fmt"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// TransferText describes a transfer: "files 43% of 1.2 TiB, 80 MiB/s, 2h05m left".
func TransferText(t syncs.Transfer) string {
	text := t.Phase
	switch {
	case t.Total > 0:
		text += fmt.Sprintf(" %d%% of %s", t.Percent(), size(t.Total))
	case t.Bytes > 0:
		text += " " + size(t.Bytes)
	}
	if t.Speed > 0 {
		text += ", " + size(t.Speed) + "/s"
		if left := t.Total - t.Bytes; left > 0 {
			text += ", " + remaining(left/t.Speed) + " left"
		}
	}
	return text
}

// size formats a number of bytes: "1.5 GiB".
func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// Span formats a number of seconds in its largest whole unit: "40 s", "3 min", "47 h", "2 d". A
// negative age, which clocks that differ cause, is "in the future".
func Span(seconds int64) string {
	switch {
	case seconds < 0:
		return "in the future"
	case seconds < 60:
		return fmt.Sprintf("%d s", seconds)
	case seconds < 60*60:
		return fmt.Sprintf("%d min", seconds/60)
	case seconds < 48*60*60:
		return fmt.Sprintf("%d h", seconds/3600)
	}
	return fmt.Sprintf("%d d", seconds/86400)
}

// remaining formats a number of seconds in its two largest units: "40s", "3m20s", "7h05m", "2d03h".
func remaining(seconds int64) string {
	const hour, day = 60 * 60, 24 * 60 * 60
	switch {
	case seconds < 60:
		return fmt.Sprintf("%ds", seconds)
	case seconds < hour:
		return fmt.Sprintf("%dm%02ds", seconds/60, seconds%60)
	case seconds < day:
		return fmt.Sprintf("%dh%02dm", seconds/hour, seconds%hour/60)
	}
	return fmt.Sprintf("%dd%02dh", seconds/day, seconds%day/hour)
}

// Transfers shows the progress of transfers on the second stream: a bar for each on a terminal,
// otherwise a line for every 10%. It is safe for concurrent use.
type Transfers struct {
	ui        *UI
	mu        sync.Mutex
	closed    bool
	container *mpb.Progress // nil: prints lines
	bars      map[string]*transferBar
}

type transferBar struct {
	bar     *mpb.Bar
	mu      sync.Mutex
	last    syncs.Transfer
	printed bool
}

func (b *transferBar) text(decor.Statistics) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return truncate(plain.Escape(TransferText(b.last)), 52)
}

// NewTransfers returns a Transfers that shows progress until Close, which must come before any
// other output.
func NewTransfers(u *UI) *Transfers {
	t := &Transfers{ui: u, bars: map[string]*transferBar{}}
	if u.err.animated && !u.quiet {
		t.container = mpb.New(mpb.WithOutput(u.err.file), mpb.WithWidth(u.err.width()-1),
			mpb.WithRefreshRate(100*time.Millisecond))
	}
	return t
}

// Set records the progress of a transfer.
func (t *Transfers) Set(name string, now syncs.Transfer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	b := t.bars[name]
	if b == nil {
		b = &transferBar{}
		t.bars[name] = b
		if t.container != nil {
			b.bar = t.container.New(0, mpb.BarStyle(),
				mpb.PrependDecorators(decor.Name(truncate(plain.Escape(name), 40), decor.WCSyncSpaceR)),
				mpb.AppendDecorators(decor.Any(b.text, decor.WCSyncSpaceR)))
			b.bar.SetTotal(100, false)
		}
	}
	b.mu.Lock()
	before := b.last
	b.last = now
	b.mu.Unlock()
	if b.bar != nil {
		b.bar.SetCurrent(int64(min(now.Percent(), 99))) // mpb ends a full bar
		return
	}
	if !b.printed || before.Phase != now.Phase || before.Percent()/10 < now.Percent()/10 {
		b.printed = true
		t.ui.Note(name + ": " + TransferText(now))
	}
}

// Close removes the bars. Later calls of Set are ignored.
func (t *Transfers) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.closed = true
	if t.container == nil {
		return
	}
	for _, b := range t.bars {
		b.bar.Abort(true)
	}
	t.container.Wait()
}
