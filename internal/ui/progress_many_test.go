package ui

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// fleetOf plays a part of a run of n hosts, 64 at once, up to the given number of events each: every 25th host fails, every 40th is slow to answer.
func fleetOf(n int, planning bool, report func(engine.Progress), pass func(time.Duration)) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("host%03d", i)
	}
	busy := min(n, 64)
	var story []engine.Stage
	if planning {
		story = []engine.Stage{engine.Connecting, engine.Connected, engine.Observing, engine.Planned}
	} else {
		story = []engine.Stage{engine.StepStarted, engine.StepDone, engine.StepStarted, engine.StepDone, engine.Confirming, engine.Committing, engine.Applied}
	}
	for i, h := range names[:min(n, n*3/5+busy)] {
		upTo := len(story)
		if i >= n*3/5 {
			upTo = 1 + i%(len(story)-1) // still at work
		}
		for k, stage := range story[:upTo] {
			p := engine.Progress{Host: h, Stage: stage}
			switch stage {
			case engine.StepStarted, engine.StepDone:
				p.Address, p.Summary, p.Total, p.Done = h+"/file.x", "write /etc/nginx/conf.d/mirror.conf", 2, (k+1)/2
			case engine.Connecting:
				if i%40 == 7 {
					report(p)
					pass(time.Second)
					upTo = 1
				}
			}
			if i%25 == 4 && i < n*3/5 && stage == engine.StepDone {
				p.Stage, p.Err = engine.StepFailed, errors.New("exit status 1\nnginx: [emerg] bind() to 0.0.0.0:80 failed")
				report(p)
				report(engine.Progress{Host: h, Stage: engine.NotApplied, Err: p.Err})
				break
			}
			if i%25 == 4 && i < n*3/5 && stage == engine.Connected {
				report(engine.Progress{Host: h, Stage: engine.Unplanned, Err: errors.New("host " + h + " (192.0.2.1:22): cannot connect: no route to host")})
				break
			}
			report(p)
			if upTo == 1 {
				break
			}
		}
		pass(100 * time.Millisecond)
	}
	return names
}

// TestProgressMany draws 5, 50 and 500 hosts on two sizes of terminals.
func TestProgressMany(t *testing.T) {
	t.Parallel()
	for _, hosts := range []int{5, 50, 500} {
		for _, size := range [][2]int{{80, 24}, {200, 50}} {
			var b strings.Builder
			for _, planning := range []bool{true, false} {
				at := time.Unix(1000, 0)
				u, _, _ := newTest(Options{})
				names := fleetOf(hosts, planning, func(engine.Progress) {}, func(time.Duration) {})
				p := newProgress(u, names, func() time.Time { return at })
				fleetOf(hosts, planning, func(e engine.Progress) { p.update(e) }, func(d time.Duration) { at = at.Add(d) })
				at = at.Add(4 * time.Second)
				width, height := size[0]-1, size[1]-1 // as the live display has them
				lines := p.draw(width, height)
				fmt.Fprintf(&b, "-- planning %v\n%s", planning, joinRows(lines))
				if len(lines) > height {
					t.Errorf("%d hosts: %d lines", hosts, len(lines))
				}
				for _, l := range lines {
					if columns(l) > width {
						t.Errorf("%d columns: %q", columns(l), l)
					}
				}
				checkSafe(t, joinRows(lines))
			}
			golden(t, fmt.Sprintf("progress-%d-%dx%d", hosts, size[0], size[1]), b.String())
		}
	}
}

// TestProgressManyPlain prints what 50 hosts do without a terminal: a line for each host, and failures in full; verbose, a line for each step.
func TestProgressManyPlain(t *testing.T) {
	t.Parallel()
	for _, verbose := range []bool{false, true} {
		u, out, stderr := newTest(Options{Verbose: verbose})
		names := fleetOf(50, false, func(engine.Progress) {}, func(time.Duration) {})
		p := u.Progress(names)
		fleetOf(50, false, p.Report, func(time.Duration) {})
		p.Close()
		if stderr.Len() > 0 {
			t.Errorf("on standard error: %s", stderr)
		}
		if verbose {
			if n := strings.Count(out.String(), "] write "); n < 50 {
				t.Errorf("%d steps in\n%s", n, out)
			}
			continue
		}
		golden(t, "progress-plain-50", out.String())
	}
}

// TestProgressSofar says now and then how far everything is, where there is no terminal.
func TestProgressSofar(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	u, out, stderr := newTest(Options{})
	p := newProgress(u, []string{"a", "b", "c"}, func() time.Time { return at })
	p.beat = time.NewTimer(time.Hour)
	p.Report(engine.Progress{Host: "a", Stage: engine.Connecting})
	at = at.Add(10 * time.Second)
	p.Report(engine.Progress{Host: "b", Stage: engine.Connecting})
	p.Report(engine.Progress{Host: "b", Stage: engine.Unplanned, Err: errors.New("why")})
	at = at.Add(20 * time.Second)
	p.printElapsed()
	p.Report(engine.Progress{Host: "a", Stage: engine.StepStarted, Summary: "install " + hostile, Total: 2})
	at = at.Add(70 * time.Second)
	p.printElapsed()
	p.Close()
	p.printElapsed()
	want := "Reading 1 of 3 hosts, 1 failed, 30s; slowest: a, 30s\nApplying 1 of 3 hosts, 1 failed, 1m40s; slowest: a, 1m10s, install " + plain.Escape(hostile) + "\n"
	if stderr.String() != want || out.Len() > 0 {
		t.Errorf("got\n%swant\n%s", stderr, want)
	}
}

// BenchmarkProgress measures what an event costs, and what a frame of the live display does, of which there are ten a second whatever happens.
func BenchmarkProgress(b *testing.B) {
	for _, hosts := range []int{500, 5000} {
		u, _, _ := newTest(Options{})
		names := fleetOf(hosts, false, func(engine.Progress) {}, func(time.Duration) {})
		p := newProgress(u, names, time.Now)
		p.plain = false
		fleetOf(hosts, false, func(e engine.Progress) { p.update(e) }, func(time.Duration) {})
		b.Run(fmt.Sprintf("event/hosts=%d", hosts), func(b *testing.B) {
			for i := range b.N {
				p.Report(engine.Progress{Host: names[i%hosts], Stage: engine.StepDone, Summary: "write /etc/motd", Done: 1, Total: 2})
			}
		})
		b.Run(fmt.Sprintf("frame/hosts=%d", hosts), func(b *testing.B) {
			for range b.N {
				p.draw(199, 49)
			}
		})
	}
}
