package ui

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// screen plays what was written to a terminal, as far as a live display goes: line ends, cursor up, erase below, colours.
func screen(t *testing.T, text string) []string {
	t.Helper()
	lines := []string{""}
	row := 0
	sequence := regexp.MustCompile("^\x1b\\[([0-9;]*)([A-Za-z])")
	for text != "" {
		if m := sequence.FindStringSubmatch(text); m != nil {
			switch m[2] {
			case "m":
			case "A":
				n, _ := strconv.Atoi(m[1])
				row = max(row-max(n, 1), 0)
			case "J":
				lines = append(lines[:row], "")
			default:
				t.Fatalf("unexpected sequence %q", m[0])
			}
			text = text[len(m[0]):]
			continue
		}
		switch text[0] {
		case '\r':
		case '\n':
			row++
			for len(lines) <= row {
				lines = append(lines, "")
			}
		case '\x1b':
			t.Fatalf("unexpected escape in %q", text[:min(len(text), 20)])
		default:
			lines[row] += text[:1]
		}
		text = text[1:]
	}
	return lines
}

func TestProgressLive(t *testing.T) {
	t.Parallel()
	const hosts = 30
	p := openPTY(t, 70, 12)
	u := New(p.tty, p.tty, Options{Environ: []string{"TERM=xterm"}})
	var names []string
	for i := range hosts {
		names = append(names, fmt.Sprintf("host%02d", i))
	}
	u.Print("before")
	progress := u.Progress(names)
	for _, h := range names {
		progress.Report(engine.Progress{Host: h, Stage: engine.StepStarted, Address: h + "/file.x", Summary: "write " + hostile, Total: 3})
	}
	p.await(t, "the sum", func(text string) bool {
		return strings.Contains(text, "30 running\r\n") && strings.Contains(text, " 0 of 30 hosts, 0s") && strings.Contains(text, "host08")
	})
	// The first of the hosts is the first line.
	if lines := screen(t, p.text()); len(lines) < 12 || !strings.HasPrefix(lines[1], "  host00 ") || !strings.HasPrefix(lines[9], "  host08 ") || lines[10] != "  30 running" {
		t.Errorf("the display is\n%s", strings.Join(lines, "\n"))
	}
	var all sync.WaitGroup
	for i, h := range names {
		all.Go(func() {
			for n := 1; n <= 3; n++ {
				progress.Report(engine.Progress{Host: h, Stage: engine.StepStarted, Summary: "step", Done: n - 1, Total: 3})
				if i%10 == 3 && n == 2 {
					err := errors.New("it broke\n" + hostile)
					progress.Report(engine.Progress{Host: h, Stage: engine.StepFailed, Summary: "step", Done: 1, Total: 3, Err: err})
					progress.Report(engine.Progress{Host: h, Stage: engine.NotApplied, Err: err})
					return
				}
				progress.Report(engine.Progress{Host: h, Stage: engine.StepDone, Summary: "step", Done: n, Total: 3})
			}
			progress.Report(engine.Progress{Host: h, Stage: engine.Applied})
		})
	}
	all.Wait()
	p.await(t, "the end", func(text string) bool { return strings.Contains(text, " 30 of 30 hosts, 3 failed, ") })
	progress.Close()
	progress.Close()
	u.Print("after")
	p.await(t, "what comes after", func(text string) bool { return strings.Contains(text, "after\r\n") })

	lines := screen(t, p.text())
	if lines[0] != "before" || lines[len(lines)-2] != "after" || lines[len(lines)-1] != "" {
		t.Errorf("the display did not clean up:\n%s", strings.Join(lines, "\n"))
	}
	// What stays between the two are the failures, in full.
	if want := 2 + 3*4 + 1; len(lines) != want {
		t.Errorf("%d lines, want %d:\n%s", len(lines), want, strings.Join(lines, "\n"))
	}
	for _, h := range []string{"host03", "host13", "host23"} {
		for _, want := range []string{h + ": [1/3] failed: step", h + ":   it broke", h + ":   " + plain.Escape(hostile), h + ": failed"} {
			if !slices.Contains(lines, want) {
				t.Errorf("%q is missing in\n%s", want, strings.Join(lines, "\n"))
			}
		}
	}
	if err := u.Err(); err != nil {
		t.Error(err)
	}
}

func TestProgressPlanning(t *testing.T) {
	t.Parallel()
	p := openPTY(t, 70, 12)
	u := New(p.tty, p.tty, Options{Environ: []string{"TERM=xterm"}})
	progress := u.Progress([]string{"a", "b"})
	progress.Report(engine.Progress{Host: "a", Stage: engine.Planned})
	p.await(t, "the spinner", func(text string) bool { return strings.Contains(text, " 1 of 2 hosts, ") })
	u.Note("a note")
	progress.Close()
	u.Print("plan")
	p.await(t, "the plan", func(text string) bool { return strings.Contains(text, "plan\r\n") })
	if got := screen(t, p.text()); strings.Join(got, "\n") != "a note\nplan\n" {
		t.Errorf("left over: %q", got)
	}
}

// TestProgressWaiting sees at once who is waited for, and what is noted above it.
func TestProgressWaiting(t *testing.T) {
	t.Parallel()
	p := openPTY(t, 70, 12)
	u := New(p.tty, p.tty, Options{Environ: []string{"TERM=xterm"}})
	progress := newProgress(u, []string{"a", "b"}, time.Now) // nothing else starts the display
	progress.Report(engine.Progress{Host: "a", Stage: engine.Connecting})
	progress.Report(engine.Progress{Host: "a", Stage: engine.Waiting, Summary: "waiting for the lock: bob" + hostile})
	p.await(t, "who is waited for", func(text string) bool {
		return strings.Contains(text, "  a waiting for the lock: bob") && strings.Contains(text, " 0 of 2 hosts, 1 waiting, 0s")
	})
	progress.Report(engine.Progress{Host: "a", Stage: engine.Noted, Summary: "it was taken back\n" + hostile})
	progress.Close()
	u.Print("plan")
	p.await(t, "the plan", func(text string) bool { return strings.Contains(text, "plan\r\n") })
	if got, want := strings.Join(screen(t, p.text()), "\n"), "a: it was taken back\na:   "+plain.Escape(hostile)+"\nplan\n"; got != want {
		t.Errorf("left over: %q, want %q", got, want)
	}
}

func TestProgressDumbTerminal(t *testing.T) {
	t.Parallel()
	p := openPTY(t, 70, 12)
	u := New(p.tty, p.tty, Options{Environ: []string{"TERM=dumb"}})
	progress := u.Progress([]string{"a"})
	progress.Report(engine.Progress{Host: "a", Stage: engine.StepDone, Summary: "step", Done: 1, Total: 1})
	progress.Close()
	p.await(t, "the step", func(text string) bool { return text == "a: [1/1] step\r\n" })
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{"yes\n": true, "  yes \n": true, "y\n": false, "YES\n": false, "no\n": false, "\n": false, "\x04": false} {
		t.Run(strings.TrimSpace(answer), func(t *testing.T) {
			t.Parallel()
			p := openPTY(t, 80, 24)
			u := New(p.tty, p.tty, Options{In: p.tty, Environ: []string{"TERM=dumb"}})
			p.typeText(t, answer)
			got, err := u.Confirm("Apply?\x1b[2J")
			if err != nil || got != want {
				t.Errorf("%q is %v, %v", answer, got, err)
			}
			p.await(t, "the question", func(text string) bool { return strings.Contains(text, `Apply?\x1b[2J`) })
		})
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	p := openPTY(t, 80, 24)
	type result struct {
		secret string
		err    error
	}
	got := make(chan result)
	go func() {
		secret, err := askPassword(p.tty, "Password of "+hostile)
		got <- result{secret, err}
	}()
	p.await(t, "the prompt", func(text string) bool { return strings.HasSuffix(text, ": ") })
	// The echo goes off after the prompt; typing before would show.
	awaitNoEcho(t, p)
	p.typeText(t, "hunter2 \n")
	r := <-got
	if r.err != nil || r.secret != "hunter2 " {
		t.Errorf("got %q, %v", r.secret, r.err)
	}
	p.await(t, "the line end", func(text string) bool { return strings.HasSuffix(text, "\r\n") })
	if strings.Contains(p.text(), "hunter2") {
		t.Errorf("the password was echoed: %q", p.text())
	}
	checkSafe(t, strings.ReplaceAll(p.text(), "\r", ""))
	if !echo(t, p) {
		t.Error("the echo stays off")
	}
}

// TestProgressLiveMany has 500 hosts at work, each with lines of a log, on one terminal: no line tears another, nothing is left of the display, and it
// was drawn no more often than ten times a second, however much happened.
func TestProgressLiveMany(t *testing.T) {
	t.Parallel()
	const hosts = 500
	p := openPTY(t, 200, 50)
	u := New(p.tty, p.tty, Options{Environ: []string{"TERM=xterm"}})
	names := fleetOf(hosts, false, func(engine.Progress) {}, func(time.Duration) {})
	begin := time.Now()
	progress := u.Progress(names)
	progress.Report(engine.Progress{Host: names[0], Stage: engine.StepStarted, Total: 40})
	p.await(t, "the display", func(text string) bool { return strings.Contains(text, " 0 of 500 hosts") })
	logged := map[string]bool{}
	var all sync.WaitGroup
	for _, h := range names {
		line := "level=INFO msg=committed host=" + h
		logged[line] = true
		all.Go(func() {
			for n := range 40 {
				progress.Report(engine.Progress{Host: h, Stage: engine.StepDone, Summary: "step " + strings.Repeat("x", n), Done: n, Total: 40})
			}
			if _, err := fmt.Fprintln(u.Stderr(), line); err != nil {
				t.Error(err)
			}
			progress.Report(engine.Progress{Host: h, Stage: engine.Applied})
		})
	}
	all.Wait()
	p.await(t, "the end", func(text string) bool { return strings.Contains(text, " 500 of 500 hosts") })
	progress.Close()
	u.Print("after")
	p.await(t, "what comes after", func(text string) bool { return strings.Contains(text, "after\r\n") })
	frames, most := strings.Count(p.text(), " of 500 hosts"), int(time.Since(begin)/(100*time.Millisecond))+2
	if frames > most {
		t.Errorf("%d frames, and %d ticks", frames, most)
	}
	lines := screen(t, p.text())
	for _, l := range lines[:len(lines)-2] {
		if !logged[l] {
			t.Errorf("%q", l)
		}
		delete(logged, l)
	}
	if len(logged) > 0 || lines[len(lines)-2] != "after" {
		t.Errorf("%d lines are missing in\n%s", len(logged), strings.Join(lines, "\n"))
	}
}
