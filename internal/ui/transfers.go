package ui

import (
	"fmt"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Transfer is how far the transfer of data is.
type Transfer struct {
	Phase   string // a word: "measuring", "syncing"
	Bytes   int64
	Percent int    // 0 to 100
	Speed   string // as the program that transfers prints it: "1.23MB/s"
}

// String is the transfer in a few words.
func (t Transfer) String() string {
	text := t.Phase
	if t.Bytes > 0 || t.Percent > 0 {
		text += fmt.Sprintf(" %d%%, %s", t.Percent, humanize.IBytes(uint64(max(t.Bytes, 0))))
	}
	if t.Speed != "" {
		text += ", " + t.Speed
	}
	return text
}

// Transfers shows how far several transfers are: on a terminal a bar for each, and elsewhere a line for each tenth, both on the second stream. Its methods
// may be called from several goroutines at once.
type Transfers struct {
	ui        *UI
	mu        sync.Mutex
	closed    bool
	container *mpb.Progress // nil: lines
	bars      map[string]*transferBar
}

type transferBar struct {
	bar  *mpb.Bar
	mu   sync.Mutex
	last Transfer
	told bool
}

func (b *transferBar) text(decor.Statistics) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return truncate(Escape(b.last.String()), 40)
}

// Transfers begins to show transfers. Close must be called before anything else is printed.
func (u *UI) Transfers() *Transfers {
	t := &Transfers{ui: u, bars: map[string]*transferBar{}}
	if u.err.animated && !u.quiet {
		t.container = mpb.New(mpb.WithOutput(u.err.file), mpb.WithWidth(u.err.width()-1), mpb.WithRefreshRate(100*time.Millisecond))
	}
	return t
}

// Set says how far a transfer is.
func (t *Transfers) Set(name string, now Transfer) {
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
				mpb.PrependDecorators(decor.Name(truncate(Escape(name), 40), decor.WCSyncSpaceR)),
				mpb.AppendDecorators(decor.Any(b.text, decor.WCSyncSpaceR)))
			b.bar.SetTotal(100, false)
		}
	}
	b.mu.Lock()
	before := b.last
	b.last = now
	b.mu.Unlock()
	if b.bar != nil {
		b.bar.SetCurrent(int64(min(max(now.Percent, 0), 99))) // a bar that is full ends
		return
	}
	if !b.told || before.Phase != now.Phase || before.Percent/10 < now.Percent/10 {
		b.told = true
		t.ui.Note(name + ": " + now.String())
	}
}

// Close takes the bars away. What is set later is ignored.
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
