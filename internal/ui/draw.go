package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
)

// slowAfter is how long a host may take to be read before the live display has a line for it.
const slowAfter = 3 * time.Second

// maxReading is how many of many hosts have a line while plans are made: most of them will be done in a moment.
const maxReading = 12

// spinner are the frames of the mark before the line that sums up, of one tenth of a second each.
var spinner = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

// phase is what a host is doing, as the display counts it.
type phase int

const (
	toCome phase = iota
	connecting
	waiting
	observing
	planned
	running
	takingBack
	checking
	held
	ended
	failing
	phases // how many there are
)

// phaseNames are the words of the line that counts hosts by phase.
var phaseNames = [phases]string{"to come", "connecting", "waiting", "observing", "planned", "running", "taking back", "checking", "held", "done", "failed"}

// phase is what the host is doing now.
func (h *hostProgress) phase() phase {
	if !h.waiting.IsZero() {
		return waiting
	}
	switch h.stage {
	case "":
		return toCome
	case engine.Connecting:
		return connecting
	case engine.Connected, engine.Begun, engine.Observing:
		return observing
	case engine.Planned:
		return planned
	case engine.StepFailed, engine.StepUndone, engine.UndoneFailed:
		return takingBack
	case engine.Confirming, engine.Committing:
		return checking
	case engine.Held:
		return held
	case engine.Applied:
		return ended
	case engine.NotApplied, engine.Unplanned:
		return failing
	}
	return running
}

// tally counts hosts by phase.
func (p *Progress) tally() (n [phases]int) {
	for _, h := range p.hosts {
		n[h.phase()]++
	}
	if !p.applying {
		n[ended], n[planned] = n[planned], 0 // a plan is all that is wanted of it
	}
	return n
}

// draw returns the lines of the live display. No line is wider than width, and there are at most height of them, but one at least.
//
// Where there is room for all hosts, each that is being applied has a line, in the order given; where there is not, those that failed come first, then those
// that have been at work for longest, and a line counts hosts by phase. While plans are made only hosts that are waited for, that take long or that failed have
// lines. The last line sums up.
func (p *Progress) draw(width, height int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, st := p.now(), p.ui.err.style
	n := p.tally()
	var rows []*hostProgress
	for _, h := range p.hosts {
		if p.hasRow(h, now) {
			rows = append(rows, h)
		}
	}
	many := len(p.hosts) > max(height-1, 0)
	if many {
		room := max(height-2, 0)
		if !p.applying {
			room = min(room, maxReading)
		}
		rows = foremost(rows, room)
	}
	lines := p.rows(rows, now, width)
	if phases := p.byPhase(n, width-2); many && height > 1 && phases != "" {
		lines = append(lines, "  "+phases)
	}
	mark := spinner[int(now.Sub(p.start)/(100*time.Millisecond))%len(spinner)]
	return append(lines, st.cyan(mark)+" "+p.sum(n, now, max(width-2, 0)))
}

// hasRow tells whether the live display has a line for a host, if there is room.
func (p *Progress) hasRow(h *hostProgress, now time.Time) bool {
	switch h.phase() {
	case toCome:
		return false
	case planned:
		return p.applying && !h.start.IsZero()
	case waiting, failing:
		return true
	case connecting, observing:
		return now.Sub(h.begun) >= slowAfter
	}
	return !h.start.IsZero()
}

// foremost chooses the hosts that there is room for: up to a third of it for those that failed, the last ones first; then those at work, the longest first; then
// those that are done, the last ones first.
func foremost(hosts []*hostProgress, room int) []*hostProgress {
	var failed, working, done []*hostProgress
	for _, h := range hosts {
		switch h.phase() {
		case failing:
			failed = append(failed, h)
		case ended:
			done = append(done, h)
		default:
			working = append(working, h)
		}
	}
	lastFirst := func(a, b *hostProgress) int { return b.end.Compare(a.end) }
	slices.SortStableFunc(failed, lastFirst)
	slices.SortStableFunc(done, lastFirst)
	slices.SortStableFunc(working, func(a, b *hostProgress) int { return a.since().Compare(b.since()) })
	third := max((room+2)/3, room-len(working)-len(done))
	list := slices.Concat(failed[:min(len(failed), third)], working, done)
	return list[:min(len(list), room)]
}

// since is when the host began with what the display times.
func (h *hostProgress) since() time.Time {
	switch {
	case !h.start.IsZero():
		return h.start
	case !h.waiting.IsZero():
		return h.waiting
	}
	return h.begun
}

// rows are the lines of hosts, with names and counters in columns.
func (p *Progress) rows(hosts []*hostProgress, now time.Time, width int) []string {
	name, counter := 0, 0
	for _, h := range hosts {
		name = max(name, columns(h.name))
		counter = max(counter, len(h.counter()))
	}
	name = min(name, max(width/3, 8))
	lines := make([]string, 0, len(hosts)+2)
	for _, h := range hosts {
		lines = append(lines, h.row(p.ui.err.style, now, name, counter, width))
	}
	return lines
}

// counter is how many steps are done, of how many; "" before there are any.
func (h *hostProgress) counter() string {
	if h.start.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d/%d", h.done, h.total)
}

// row is one host's line: name and counter in columns of the given widths, the step under way, time taken.
func (h *hostProgress) row(st style, now time.Time, name, counter, width int) string {
	end, what, paint := now, h.step, fmt.Sprint
	switch h.phase() {
	case ended:
		end, what, paint = h.end, "done", st.green
	case failing:
		end, what, paint = h.end, "failed", st.red
		if h.step != "" {
			what += ": " + h.step
		}
	case takingBack:
		what = "taken back: " + h.step
		if h.stage != engine.StepUndone {
			what, paint = "failed: "+h.step, st.red
		}
	case checking:
		what = "checking that everything is as wanted"
	case held:
		what = "done; waiting for the rest of the wave"
	case connecting, observing:
		what = cmp.Or(what, phaseNames[h.phase()])
	}
	left := "  " + pad(truncate(h.name, name), name) + " "
	if counter > 0 {
		left += fmt.Sprintf("%*s ", counter, h.counter())
	}
	right := " " + clock(end.Sub(h.since()))
	room := width - columns(left) - columns(right)
	if room < 4 {
		return truncate(left+what, width)
	}
	return left + paint(pad(truncate(what, room), room)) + st.dim(right)
}

// byPhase counts hosts by what they are doing.
func (p *Progress) byPhase(n [phases]int, width int) string {
	st := p.ui.err.style
	text, used := "", 0
	for _, ph := range []phase{failing, takingBack, running, checking, held, waiting, connecting, observing, planned, ended, toCome} {
		if n[ph] == 0 {
			continue
		}
		part := fmt.Sprintf("%d %s", n[ph], phaseNames[ph])
		if text != "" {
			part = ", " + part
		}
		if used += columns(part); used > width {
			break
		}
		switch ph {
		case failing:
			part = st.red(part)
		case ended, toCome, planned:
			part = st.dim(part)
		}
		text += part
	}
	return text
}

// sum is the line that sums up, with a bar where there is room for one.
func (p *Progress) sum(n [phases]int, now time.Time, width int) string {
	st := p.ui.err.style
	head, tail := p.sumText(n, now)
	bar := min(width-len(head)-len(tail)-2, 40)
	if bar < 10 || len(p.hosts) < 2 {
		return truncate(head+" "+tail, width)
	}
	full := bar * (n[ended] + n[failing]) / len(p.hosts)
	return head + " " + st.green(strings.Repeat("█", full)) + st.dim(strings.Repeat("░", bar-full)) + " " + tail
}

// sumText says what is being done, and for how many hosts it is.
func (p *Progress) sumText(n [phases]int, now time.Time) (head, tail string) {
	head = "Reading"
	if p.applying {
		head = "Applying"
	}
	tail = fmt.Sprintf("%d of %s", n[ended]+n[failing], count(len(p.hosts), "host"))
	for _, ph := range []phase{waiting, failing} {
		if n[ph] > 0 {
			tail += fmt.Sprintf(", %d %s", n[ph], phaseNames[ph])
		}
	}
	return head, tail + ", " + clock(now.Sub(p.start))
}

// clock writes a duration as people read it: "7s", "2m05s".
func clock(d time.Duration) string {
	s := int(d / time.Second)
	if s < 60 {
		return fmt.Sprintf("%ds", s)
	}
	return fmt.Sprintf("%dm%02ds", s/60, s%60)
}
