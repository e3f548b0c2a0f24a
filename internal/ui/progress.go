package ui

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// planDelay is how long planning may take before the live display appears.
const planDelay = 500 * time.Millisecond

// manyHosts is the largest number of hosts for which every step is printed as a line. With more
// hosts, and without Options.Verbose, only finished hosts are printed.
const manyHosts = 20

// heartbeat is the interval of the overall progress line, without a live display.
const heartbeat = 30 * time.Second

// Progress shows what happens on hosts.
//
// On a terminal the display is live: a line for each host that is being applied, and a summary
// line. While hosts are planned it mostly shows the summary line, after planDelay; a host that
// waits for a lock gets a line at once.
//
// Without a terminal every finished step is printed as a line on the first stream (with many hosts:
// every finished host), and the overall progress every 30 seconds on the second.
//
// Unplanned events are printed as lines in either case: while hosts are planned on the second
// stream, since the first belongs to the plan. Failed steps are printed in full, also when quiet.
//
// Progress is safe for concurrent use.
type Progress struct {
	ui    *UI
	now   func() time.Time
	start time.Time
	// plain means that finished steps are printed as lines. It is set on a terminal too if only one
	// of the streams is redirected, since the other may end up on the same terminal, by tee for
	// example.
	plain bool

	display  sync.Mutex // held while the live display starts or stops; lock order: display, ui.mu, mu
	mu       sync.Mutex
	hosts    []*hostProgress // in the order given, then in order of appearance
	byName   map[string]*hostProgress
	applying bool
	closed   bool
	ended    int // hosts whose apply has ended, successfully or not
	live     *liveDisplay
	delay    *time.Timer
	beat     *time.Timer
}

// hostProgress is the progress of one host.
type hostProgress struct {
	name        string // escaped
	stage       engine.Stage
	step        string // escaped summary of the current step, or why it failed
	broken      string // escaped summary of the failed step
	done, total int
	begun       time.Time // time of the first event
	start, end  time.Time // start of the first step, and end of the host's work
	waiting     time.Time // start of waiting for the host's lock; zero when not waiting
	failed      bool      // a failure was printed
}

// Progress starts to show what happens on hosts. Pass its Report method to a run. Call Close
// before printing anything that must stay in place, a plan or a prompt above all.
func (u *UI) Progress(hosts []string) *Progress {
	p := newProgress(u, hosts, time.Now)
	switch {
	case u.quiet:
	case u.err.animated:
		p.delay = time.AfterFunc(planDelay, p.show)
	default:
		p.mu.Lock()
		p.beat = time.AfterFunc(heartbeat, p.printElapsed)
		p.mu.Unlock()
	}
	return p
}

func newProgress(u *UI, hosts []string, now func() time.Time) *Progress {
	p := &Progress{
		ui: u, now: now, start: now(), byName: map[string]*hostProgress{},
		plain: !u.err.animated || u.out.file == nil,
	}
	for _, h := range hosts {
		p.host(h)
	}
	return p
}

// host returns the progress of a host, and adds the host if it is new. The caller holds p.mu,
// unless p is not shared yet.
func (p *Progress) host(name string) *hostProgress {
	h := p.byName[name]
	if h == nil {
		h = &hostProgress{name: plain.Escape(name)}
		p.byName[name] = h
		p.hosts = append(p.hosts, h)
	}
	return h
}

// printElapsed prints the overall progress and the slowest host, and schedules itself again.
func (p *Progress) printElapsed() {
	p.mu.Lock()
	text := p.sofar()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.beat.Reset(heartbeat)
	p.mu.Unlock()
	p.ui.Note(text)
}

// sofar describes the overall progress. The caller holds p.mu.
func (p *Progress) sofar() string {
	now := p.now()
	head, tail := p.sumText(p.tally(), now)
	text := head + " " + tail
	var slowest *hostProgress
	for _, h := range p.hosts {
		switch h.phase() {
		case pending, planned, ended, failing:
			continue
		}
		if slowest == nil || h.since().Before(slowest.since()) {
			slowest = h
		}
	}
	if slowest == nil {
		return text
	}
	text += "; slowest: " + slowest.name + ", " + clock(now.Sub(slowest.since()))
	if slowest.step != "" {
		text += ", " + slowest.step
	}
	return text
}

// show starts the live display.
func (p *Progress) show() {
	p.display.Lock()
	defer p.display.Unlock()
	p.mu.Lock()
	wanted := !p.closed && p.live == nil && p.ui.err.animated && !p.ui.quiet && (!p.applying || !p.plain)
	p.mu.Unlock()
	if !wanted {
		return
	}
	live := p.ui.startLive(p)
	p.mu.Lock()
	p.live = live
	p.mu.Unlock()
}

// Close removes the live display and leaves the cursor where the display began. Later reports are
// ignored.
func (p *Progress) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	for _, timer := range []*time.Timer{p.delay, p.beat} {
		if timer != nil {
			timer.Stop()
		}
	}
	p.mu.Unlock()
	p.hide()
}

// hide removes the live display.
func (p *Progress) hide() {
	p.display.Lock()
	defer p.display.Unlock()
	p.mu.Lock()
	live := p.live
	p.live = nil
	p.mu.Unlock()
	if live != nil {
		p.ui.endLive(live)
	}
}

// Report shows one event.
func (p *Progress) Report(e engine.Progress) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	begun := p.update(e)
	to, wanted := p.destination(e.Stage)
	line := ""
	if wanted {
		line = p.line(e, to.style)
	}
	p.mu.Unlock()

	switch {
	case begun && p.plain:
		p.hide()
	case begun, e.Stage == engine.Waiting:
		p.show()
	}
	p.ui.write(to, line)
}

// destination returns the stream for the line of an event, and whether to print one.
func (p *Progress) destination(stage engine.Stage) (to *stream, wanted bool) {
	to = p.ui.out
	if !p.applying {
		to = p.ui.err
	}
	switch stage {
	case engine.StepFailed, engine.UndoneFailed, engine.NotApplied:
		return p.ui.out, true
	case engine.Noted:
		return to, !p.ui.quiet
	case engine.Waiting:
		live := p.ui.err.animated && (!p.applying || !p.plain) // the live display has a row for the host
		return to, !p.ui.quiet && !live
	case engine.StepDone, engine.StepUndone:
		return p.ui.out, p.plain && !p.ui.quiet && (p.ui.verbose || len(p.hosts) <= manyHosts)
	}
	return p.ui.out, p.plain && !p.ui.quiet
}

// update records an event. It reports whether this is the first event of the apply.
func (p *Progress) update(e engine.Progress) (begun bool) {
	h := p.host(e.Host)
	now := p.now()
	if h.begun.IsZero() {
		h.begun = now
	}
	if e.Stage == engine.Noted {
		if p.applying && !h.finished(true) {
			first, _, _ := strings.Cut(e.Summary, "\n")
			h.stage, h.step, h.waiting = e.Stage, plain.Escape(first), time.Time{}
		}
		return false // a note does not change the stage of a host that is not being applied
	}
	h.stage = e.Stage
	if e.Stage != engine.Waiting {
		h.waiting = time.Time{}
	}
	switch e.Stage {
	case engine.Waiting:
		if h.waiting.IsZero() {
			h.waiting = now
		}
		h.step = plain.Escape(e.Summary)
	case engine.StepStarted, engine.StepProgress, engine.StepDone, engine.StepFailed, engine.StepUndone, engine.UndoneFailed:
		begun = !p.applying
		p.applying = true
		if h.start.IsZero() {
			h.start = now
		}
		h.done, h.total = e.Done, e.Total
		h.step = plain.Escape(e.Summary)
		if e.Files > 0 {
			h.step = humanize.Comma(e.Files) + " files: " + h.step
		}
		if e.Stage == engine.StepFailed {
			h.broken = h.step
		}
	case engine.Planned, engine.Unplanned, engine.Applied, engine.NotApplied:
		h.end = now
		h.step = ""
		if e.Err != nil {
			first, _, _ := strings.Cut(e.Err.Error(), "\n")
			h.step = cmp.Or(h.broken, plain.Escape(first))
		}
		if e.Stage == engine.Applied || e.Stage == engine.NotApplied {
			p.ended++
		}
	default:
		h.step = ""
	}
	return begun
}

// line returns an event as whole lines, each after the host's name; "" for events that need none.
func (p *Progress) line(e engine.Progress, st style) string {
	h := p.byName[e.Host]
	counter := st.dim(fmt.Sprintf("[%d/%d]", e.Done, e.Total))
	summary := plain.Escape(e.Summary)
	switch e.Stage {
	case engine.StepDone:
		return h.lines(counter + " " + summary)
	case engine.StepFailed:
		h.failed = true
		return h.lines(counter+" "+st.fail("failed:")+" "+summary, errorLines(e.Err)...)
	case engine.StepUndone:
		return h.lines(st.yellow("rolled back:") + " " + summary)
	case engine.Waiting:
		return h.lines(summary)
	case engine.Noted:
		noted := escapeLines(e.Summary)
		return h.lines(st.yellow(noted[0]), noted[1:]...)
	case engine.UndoneFailed:
		h.failed = true
		return h.lines(st.fail("could not be rolled back:")+" "+summary, errorLines(e.Err)...)
	case engine.Applied:
		return h.lines(st.green("done") + " " + st.dim("("+count(h.total, "step")+")") + p.of(st))
	case engine.NotApplied:
		if errors.Is(e.Err, engine.ErrWaveRolledBack) {
			return h.lines(st.yellow("rolled back with its wave") + p.of(st))
		}
		if h.failed {
			return h.lines(st.fail("failed") + p.of(st))
		}
		return h.lines(st.fail("failed")+p.of(st), errorLines(e.Err)...)
	}
	return ""
}

// of returns how many hosts have ended, " [5/50]", where no live display shows it.
func (p *Progress) of(st style) string {
	if !p.plain || len(p.hosts) <= manyHosts {
		return ""
	}
	return st.dim(fmt.Sprintf(" [%d/%d]", p.ended, len(p.hosts)))
}

// lines puts the host's name before each line, and indents the lines after the first.
func (h *hostProgress) lines(first string, more ...string) string {
	text := h.name + ": " + first + "\n"
	for _, l := range more {
		text += h.name + ":   " + l + "\n"
	}
	return text
}

func errorLines(err error) []string {
	if err == nil {
		return nil
	}
	return escapeLines(err.Error())
}

// finished reports whether no more events of the host are expected.
func (h *hostProgress) finished(applying bool) bool {
	switch h.stage {
	case engine.Applied, engine.NotApplied:
		return true
	case engine.Planned, engine.Unplanned:
		return !applying
	}
	return false
}

// startLive starts a live display. From then on, text for the terminal appears above it.
func (u *UI) startLive(p *Progress) *liveDisplay {
	u.mu.Lock()
	defer u.mu.Unlock()
	d := newLiveDisplay(p)
	u.live = d
	return d
}

// endLive removes a live display. Writes wait until it is gone.
func (u *UI) endLive(d *liveDisplay) {
	u.mu.Lock()
	defer u.mu.Unlock()
	d.stop()
	if u.live == d {
		u.live = nil
	}
}

// joinRows joins lines and ends each with a newline.
func joinRows(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}
