package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
)

// slowAfter is how long a host may take to connect and be read before the live display shows a line
// for it.
const slowAfter = 3 * time.Second

// maxReading is the largest number of host lines while many hosts are planned: most of them are
// done in a moment.
const maxReading = 12

// spinner is the animation before the summary line, a tenth of a second for each frame.
var spinner = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

// phase is what a host is doing, as the display counts it.
type phase int

const (
	pending phase = iota
	connecting
	waiting
	observing
	planned
	running
	rollingBack
	checking
	held
	ended
	failing
	phases // the number of phases
)

// phaseNames are the words of the line that counts hosts by phase.
var phaseNames = [phases]string{
	pending: "pending", connecting: "connecting", waiting: "waiting", observing: "reading", planned: "planned",
	running: "running", rollingBack: "rolling back", checking: "checking", held: "held", ended: "done", failing: "failed",
}

// phase returns what the host is doing now.
func (h *hostProgress) phase() phase {
	if !h.waiting.IsZero() {
		return waiting
	}
	switch h.stage {
	case "":
		return pending
	case engine.Connecting:
		return connecting
	case engine.Connected, engine.Begun, engine.Observing:
		return observing
	case engine.Planned:
		return planned
	case engine.StepFailed, engine.StepUndone, engine.UndoneFailed:
		return rollingBack
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
		n[ended], n[planned] = n[planned], 0 // a planned host is done
	}
	return n
}

// draw returns the lines of the live display: at least one, at most height, none wider than width.
//
// If there is room for all hosts, every host that is being applied has a line, in the order given.
// Otherwise failed hosts come first, then the longest running, and a line counts hosts by phase.
// While hosts are planned, only those that wait, are slow or failed have lines. The last line is
// the summary.
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

// hasRow reports whether the live display shows a line for a host, if there is room.
func (p *Progress) hasRow(h *hostProgress, now time.Time) bool {
	switch h.phase() {
	case pending:
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

// foremost chooses the hosts to show where there is no room for all: first failed ones, the latest
// first, in up to a third of the room; then running ones, the longest first; then finished ones,
// the latest first.
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

// since returns the start of the time that the display shows for the host.
func (h *hostProgress) since() time.Time {
	switch {
	case !h.start.IsZero():
		return h.start
	case !h.waiting.IsZero():
		return h.waiting
	}
	return h.begun
}

// rows returns the lines of hosts, with names and counters in columns.
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

// counter returns the finished and all steps as "3/12"; "" before the first step.
func (h *hostProgress) counter() string {
	if h.start.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d/%d", h.done, h.total)
}

// row returns one host's line: name and counter in columns of the given widths, the current step,
// the elapsed time.
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
	case rollingBack:
		what = "rolled back: " + h.step
		if h.stage != engine.StepUndone {
			what, paint = "failed: "+h.step, st.red
		}
	case checking:
		what = "checking the result"
	case held:
		what = "done, waiting for the rest of the wave"
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

// byPhase counts hosts by phase: "2 failed, 4 running, 1 done".
func (p *Progress) byPhase(n [phases]int, width int) string {
	st := p.ui.err.style
	text, used := "", 0
	for _, ph := range []phase{
		failing, rollingBack, running, checking, held, waiting, connecting, observing, planned, ended, pending,
	} {
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
		case ended, pending, planned:
			part = st.dim(part)
		}
		text += part
	}
	return text
}

// sum returns the summary line, with a bar if there is room for one.
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

// sumText returns the two parts of the summary line, between which the bar stands: the activity,
// and how many hosts are done.
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

// clock formats a duration: "7s", "2m05s".
func clock(d time.Duration) string {
	s := int(d / time.Second)
	if s < 60 {
		return fmt.Sprintf("%ds", s)
	}
	return fmt.Sprintf("%dm%02ds", s/60, s%60)
}
