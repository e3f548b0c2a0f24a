package ui

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// planDelay is how long a plan may take before it is said that something is under way.
const planDelay = 500 * time.Millisecond

// manyHosts is how many hosts have a line for each step where there is no live display. Where there are more, a line for each host that is done says enough.
const manyHosts = 20

// heartbeat is how often it is said how far everything is, where there is no live display.
const heartbeat = 30 * time.Second

// Progress shows what happens on hosts. On a terminal it is live: lines for hosts that are being applied, and a line that sums up. While
// plans are made there is mostly the latter, after half a second, and at once a line for each host whose lock is waited for. Otherwise each finished
// step is a line of its own on the first stream, or with many hosts each finished host, unless it is verbose; and now and then a line on the second one says how
// far everything is. What happens that nobody planned is a line of its own in any case: on the second stream while plans
// are made, since the first is the plan's. Failures of steps are always printed in full, also when quiet. Its methods may be called from several
// goroutines at once.
type Progress struct {
	ui    *UI
	now   func() time.Time
	start time.Time
	// plain says that finished steps are printed as lines. With one stream elsewhere that is so on a terminal too: what goes there
	// may well end up on the same terminal, by tee for instance.
	plain bool

	display  sync.Mutex // held while the live display comes or goes; taken before ui.mu, which is taken before mu
	mu       sync.Mutex
	hosts    []*hostProgress // in the order given, then as they appear
	byName   map[string]*hostProgress
	applying bool
	closed   bool
	ended    int // hosts that were applied, or not
	live     *liveDisplay
	delay    *time.Timer
	beat     *time.Timer
}

// hostProgress is how far a host is.
type hostProgress struct {
	name        string // escaped
	stage       engine.Stage
	step        string // escaped summary of the step under way, or why it failed
	broken      string // escaped summary of the step that failed
	done, total int
	begun       time.Time // when anything was heard of it first
	start, end  time.Time // when its first step began, and when it was done
	waiting     time.Time // since when its lock is waited for; zero when it is not
	failed      bool      // a failure was printed
}

// Progress begins to show what happens on hosts. Its Report is what engine.Fleet reports to. Close must be called before anything else that is
// to stay in place is printed, a plan or a question above all.
func (u *UI) Progress(hosts []string) *Progress {
	p := newProgress(u, hosts, time.Now)
	switch {
	case u.quiet:
	case u.err.animated:
		p.delay = time.AfterFunc(planDelay, p.show)
	default:
		p.mu.Lock()
		p.beat = time.AfterFunc(heartbeat, p.tellOfTime)
		p.mu.Unlock()
	}
	return p
}

func newProgress(u *UI, hosts []string, now func() time.Time) *Progress {
	p := &Progress{ui: u, now: now, start: now(), byName: map[string]*hostProgress{}, plain: !u.err.animated || u.out.file == nil}
	for _, h := range hosts {
		p.host(h)
	}
	return p
}

// host finds a host's progress; p.mu is held, or p not shared yet.
func (p *Progress) host(name string) *hostProgress {
	h := p.byName[name]
	if h == nil {
		h = &hostProgress{name: plain.Escape(name)}
		p.byName[name] = h
		p.hosts = append(p.hosts, h)
	}
	return h
}

// tellOfTime says how far everything is, and on which host most time has gone by; then again after a while.
func (p *Progress) tellOfTime() {
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

// sofar is how far everything is.
func (p *Progress) sofar() string {
	now := p.now()
	head, tail := p.sumText(p.tally(), now)
	text := head + " " + tail
	var longest *hostProgress
	for _, h := range p.hosts {
		switch h.phase() {
		case toCome, planned, ended, failing:
			continue
		}
		if longest == nil || h.since().Before(longest.since()) {
			longest = h
		}
	}
	if longest == nil {
		return text
	}
	text += "; longest: " + longest.name + ", " + clock(now.Sub(longest.since()))
	if longest.step != "" {
		text += ", " + longest.step
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

// Close takes the live display away and leaves the cursor where it began. Reports that come later are ignored.
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

// hide ends the live display.
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

// Report takes in one event.
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

// destination says where the line of an event goes, if anywhere.
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
		live := p.ui.err.animated && (!p.applying || !p.plain) // its host has a row there
		return to, !p.ui.quiet && !live
	case engine.StepDone, engine.StepUndone:
		return p.ui.out, p.plain && !p.ui.quiet && (p.ui.verbose || len(p.hosts) <= manyHosts)
	}
	return p.ui.out, p.plain && !p.ui.quiet
}

// update notes an event. It tells whether this was the first one of applying.
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
		return false // otherwise the host is where it was
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
	case engine.StepStarted, engine.StepDone, engine.StepFailed, engine.StepUndone, engine.UndoneFailed:
		begun = !p.applying
		p.applying = true
		if h.start.IsZero() {
			h.start = now
		}
		h.done, h.total = e.Done, e.Total
		h.step = plain.Escape(e.Summary)
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

// line is what an event is without a terminal: whole lines that begin with the host's name; "" where it needs none.
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
		return h.lines(st.yellow("taken back:") + " " + summary)
	case engine.Waiting:
		return h.lines(summary)
	case engine.Noted:
		noted := escapeLines(e.Summary)
		return h.lines(st.yellow(noted[0]), noted[1:]...)
	case engine.UndoneFailed:
		h.failed = true
		return h.lines(st.fail("could not be taken back:")+" "+summary, errorLines(e.Err)...)
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

// of says how many hosts have ended, where there are many and nothing else shows it.
func (p *Progress) of(st style) string {
	if !p.plain || len(p.hosts) <= manyHosts {
		return ""
	}
	return st.dim(fmt.Sprintf(" [%d/%d]", p.ended, len(p.hosts)))
}

// lines puts the host's name before each line.
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

// finished tells whether no more events are to come.
func (h *hostProgress) finished(applying bool) bool {
	switch h.stage {
	case engine.Applied, engine.NotApplied:
		return true
	case engine.Planned, engine.Unplanned:
		return !applying
	}
	return false
}

// startLive starts a live display. Text for the terminal goes above it from now on.
func (u *UI) startLive(p *Progress) *liveDisplay {
	u.mu.Lock()
	defer u.mu.Unlock()
	d := newLiveDisplay(p)
	u.live = d
	return d
}

// endLive takes a live display away. What is written meanwhile waits.
func (u *UI) endLive(d *liveDisplay) {
	u.mu.Lock()
	defer u.mu.Unlock()
	d.stop()
	if u.live == d {
		u.live = nil
	}
}

// joinRows ends each line.
func joinRows(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}
