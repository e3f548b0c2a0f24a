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
		return strings.Contains(text, "30 hosts running, 0 done, 20 not shown") && strings.Contains(text, "host09")
	})
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
	p.await(t, "the end", func(text string) bool { return strings.Contains(text, "0 hosts running, 27 done, 3 failed") })
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
		for _, want := range []string{h + ": [1/3] failed: step", h + ":   it broke", h + ":   " + Escape(hostile), h + ": failed"} {
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
	p.await(t, "the spinner", func(text string) bool { return strings.Contains(text, "Reading 2 hosts: 1 done") })
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
		return strings.Contains(text, "  a waiting for the lock: bob") && strings.Contains(text, "Reading 2 hosts: 0 done, 1 waiting")
	})
	progress.Report(engine.Progress{Host: "a", Stage: engine.Noted, Summary: "it was taken back\n" + hostile})
	progress.Close()
	u.Print("plan")
	p.await(t, "the plan", func(text string) bool { return strings.Contains(text, "plan\r\n") })
	if got, want := strings.Join(screen(t, p.text()), "\n"), "a: it was taken back\na:   "+Escape(hostile)+"\nplan\n"; got != want {
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
