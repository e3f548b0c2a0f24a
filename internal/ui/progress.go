package ui

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine"
)

// planDelay is how long a plan may take before it is said that something is under way.
const planDelay = 500 * time.Millisecond

// Progress shows what happens on hosts. On a terminal it is live: a line for each host that is being applied, and a line that sums up. While
// plans are made there is only the latter, after half a second, and at once a line for each host whose lock is waited for. Otherwise each finished
// step is a line of its own on the first stream. What happens that nobody planned is a line of its own in any case: on the second stream while plans
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
	live     *liveDisplay
	delay    *time.Timer
}

// hostProgress is how far a host is.
type hostProgress struct {
	name        string // escaped
	stage       engine.Stage
	step        string // escaped summary of the step under way
	done, total int
	start, end  time.Time
	waiting     time.Time // since when its lock is waited for; zero when it is not
	failed      bool      // a failure was printed
}

// Progress begins to show what happens on hosts. Its Report is what engine.Fleet reports to. Close must be called before anything else that is
// to stay in place is printed, a plan or a question above all.
func (u *UI) Progress(hosts []string) *Progress {
	p := newProgress(u, hosts, time.Now)
	if u.err.animated && !u.quiet {
		p.delay = time.AfterFunc(planDelay, p.show)
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
		h = &hostProgress{name: Escape(name)}
		p.byName[name] = h
		p.hosts = append(p.hosts, h)
	}
	return h
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
	if p.delay != nil {
		p.delay.Stop()
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
	line := p.line(e, to.style)
	p.mu.Unlock()

	switch {
	case begun && p.plain:
		p.hide()
	case begun, e.Stage == engine.Waiting:
		p.show()
	}
	if wanted {
		p.ui.write(to, line)
	}
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
	}
	return p.ui.out, p.plain && !p.ui.quiet
}

// update notes an event. It tells whether this was the first one of applying.
func (p *Progress) update(e engine.Progress) (begun bool) {
	h := p.host(e.Host)
	now := p.now()
	if e.Stage == engine.Noted {
		if p.applying && !h.finished(true) {
			first, _, _ := strings.Cut(e.Summary, "\n")
			h.stage, h.step, h.waiting = e.Stage, Escape(first), time.Time{}
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
		h.step = Escape(e.Summary)
	case engine.StepStarted, engine.StepDone, engine.StepFailed, engine.StepUndone, engine.UndoneFailed:
		begun = !p.applying
		p.applying = true
		if h.start.IsZero() {
			h.start = now
		}
		h.done, h.total = e.Done, e.Total
		h.step = Escape(e.Summary)
	case engine.Planned, engine.Unplanned, engine.Applied, engine.NotApplied:
		h.end = now
		h.step = ""
	}
	return begun
}

// line is what an event is without a terminal: whole lines that begin with the host's name; "" where it needs none.
func (p *Progress) line(e engine.Progress, st style) string {
	h := p.byName[e.Host]
	counter := st.dim(fmt.Sprintf("[%d/%d]", e.Done, e.Total))
	summary := Escape(e.Summary)
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
		return h.lines(st.green("done") + " " + st.dim("("+count(h.total, "step")+")"))
	case engine.NotApplied:
		if h.failed {
			return h.lines(st.fail("failed"))
		}
		return h.lines(st.fail("failed"), errorLines(e.Err)...)
	}
	return ""
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

// spinner are the frames of the mark before the line that sums up, of one tenth of a second each.
var spinner = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

// draw returns the lines of the live display: hosts that are being applied, or while plans are made those that are waited for, as many as there is room
// for, then the sum.
// No line is wider than width, and there are at most height of them.
func (p *Progress) draw(width, height int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, st := p.now(), p.ui.err.style
	elapsed := now.Sub(p.start)
	mark := spinner[int(elapsed/(100*time.Millisecond))%len(spinner)]
	var begun, running []*hostProgress
	done, failed, waiting := 0, 0, 0
	for _, h := range p.hosts {
		switch {
		case h.finished(p.applying):
			done++
			if h.stage == engine.NotApplied || h.stage == engine.Unplanned {
				failed++
			}
		case h.hasRow():
			running = append(running, h)
		}
		if h.hasRow() {
			begun = append(begun, h)
		}
		if !h.waiting.IsZero() {
			waiting++
		}
	}
	rows, room := begun, max(height-1, 0)
	if len(rows) > room {
		rows = running
	}
	hidden := 0
	if len(rows) > room {
		hidden = len(rows) - room
		rows = rows[:room]
	}
	name := 0
	for _, h := range rows {
		name = max(name, columns(h.name))
	}
	name = min(name, max(width/3, 8))
	counter := 0
	for _, h := range rows {
		counter = max(counter, len(h.counter()))
	}
	var lines []string
	for _, h := range rows {
		lines = append(lines, h.row(st, now, name, counter, width))
	}
	sum := fmt.Sprintf("Reading %s: %d done", count(len(p.hosts), "host"), done)
	if p.applying {
		sum = fmt.Sprintf("%s running, %d done", count(len(running), "host"), done-failed)
	}
	if waiting > 0 {
		sum += fmt.Sprintf(", %d waiting", waiting)
	}
	if failed > 0 && p.applying {
		sum += fmt.Sprintf(", %d failed", failed)
	}
	if hidden > 0 {
		sum += fmt.Sprintf(", %d not shown", hidden)
	}
	return append(lines, st.cyan(mark)+" "+truncate(sum+", "+clock(elapsed), max(width-2, 0)))
}

// hasRow tells whether the live display has a line for it.
func (h *hostProgress) hasRow() bool { return !h.start.IsZero() || !h.waiting.IsZero() }

// counter is how many steps are done, of how many; "" before there are any.
func (h *hostProgress) counter() string {
	if h.start.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d/%d", h.done, h.total)
}

// row is one host's line: name and counter in columns of the given widths, the step under way, time taken.
func (h *hostProgress) row(st style, now time.Time, name, counter, width int) string {
	begin, end, what, paint := h.start, now, h.step, fmt.Sprint
	if begin.IsZero() {
		begin = h.waiting
	}
	switch h.stage {
	case engine.Applied:
		end, what, paint = h.end, "done", st.green
	case engine.NotApplied:
		end, what, paint = h.end, "failed", st.red
	case engine.StepFailed, engine.UndoneFailed:
		what, paint = "failed: "+h.step, st.red
	case engine.StepUndone:
		what = "taken back: " + h.step
	case engine.Confirming, engine.Committing:
		what = "checking that everything is as wanted"
	}
	left := "  " + pad(truncate(h.name, name), name) + " "
	if counter > 0 {
		left += fmt.Sprintf("%*s ", counter, h.counter())
	}
	right := " " + clock(end.Sub(begin))
	room := width - columns(left) - columns(right)
	if room < 4 {
		return truncate(left+what, width)
	}
	return left + paint(pad(truncate(what, room), room)) + st.dim(right)
}

// clock writes a duration as people read it: "7s", "2m05s".
func clock(d time.Duration) string {
	s := int(d / time.Second)
	if s < 60 {
		return fmt.Sprintf("%ds", s)
	}
	return fmt.Sprintf("%dm%02ds", s/60, s%60)
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
