package ui

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// events are those of two hosts; one fails, and one of its steps cannot be taken back.
func events() []engine.Progress {
	broken := errors.New("exit status 1\nnginx: \x1b[31m[emerg] bind() failed")
	return []engine.Progress{
		{Host: "fra1", Stage: engine.Connecting},
		{Host: "fra1", Stage: engine.Waiting, Summary: "waiting for the lock: " + hostile},
		{Host: "fra1", Stage: engine.Noted, Summary: "an earlier apply did not end:\n- it was taken back " + hostile},
		{Host: "fra1", Stage: engine.Observing},
		{Host: "fra1", Stage: engine.Planned},
		{Host: "fra1", Stage: engine.StepStarted, Summary: "write /etc/motd", Total: 2},
		{Host: "fra1", Stage: engine.StepDone, Summary: "write /etc/motd", Done: 1, Total: 2},
		{Host: `edge["ams"]`, Stage: engine.StepDone, Summary: "write /etc/nginx/x", Done: 1, Total: 12},
		{Host: `edge["ams"]`, Stage: engine.StepFailed, Summary: "reload nginx.service", Done: 1, Total: 12, Err: broken},
		{Host: `edge["ams"]`, Stage: engine.StepUndone, Summary: "write /etc/nginx/x", Done: 1, Total: 12},
		{Host: `edge["ams"]`, Stage: engine.UndoneFailed, Summary: "write /etc/nginx/y", Done: 1, Total: 12, Err: errors.New("disk full")},
		{Host: `edge["ams"]`, Stage: engine.NotApplied, Err: broken},
		{Host: "fra1", Stage: engine.StepDone, Summary: "reload\r" + hostile, Done: 2, Total: 2},
		{Host: "fra1", Stage: engine.Confirming, Done: 2, Total: 2},
		{Host: "fra1", Stage: engine.Applied},
		{Host: "lost", Stage: engine.StepStarted, Summary: "x", Total: 2},
		{Host: "lost", Stage: engine.StepProgress, Summary: "label /srv/mirror", Total: 2, Files: 1234000},
		{Host: "lost", Stage: engine.Noted, Summary: "the connection was lost; asking the host\nwhat became of it" + hostile},
		{Host: "lost", Stage: engine.Waiting, Summary: "waiting until the host has ended it: " + hostile},
		{Host: "lost", Stage: engine.NotApplied, Err: fmt.Errorf("%w: EOF", engine.ErrLost)},
	}
}

func TestProgressPlain(t *testing.T) {
	t.Parallel()
	for name, quiet := range map[string]bool{"lines": false, "quiet": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, out, stderr := newTest(Options{Quiet: quiet})
			p := u.Progress([]string{"fra1"})
			for _, e := range events() {
				p.Report(e)
			}
			p.Close()
			p.Report(engine.Progress{Host: "late", Stage: engine.StepFailed, Err: errors.New("late")})
			checkSafe(t, out.String()+stderr.String())
			golden(t, "progress-"+name, out.String())
			// What is said before anything is applied does not go where the plan goes.
			golden(t, "progress-"+name+"-planning", stderr.String())
		})
	}
}

// TestProgressDraw checks what the live display draws, at several sizes.
func TestProgressDraw(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	u, _, _ := newTest(Options{})
	p := newProgress(u, []string{"fra1", `edge["ams"]`, "a-host-with-a-very-long-name.mirror.example.org"}, func() time.Time { return at })
	var b strings.Builder
	draw := func(what string, width, height int) {
		lines := p.draw(width, height)
		fmt.Fprintf(&b, "-- %s, %d × %d\n%s", what, width, height, joinRows(lines))
		checkSafe(t, joinRows(lines))
		if len(lines) > max(height, 1) {
			t.Errorf("%s: %d lines", what, len(lines))
		}
		for _, l := range lines {
			if columns(l) > width {
				t.Errorf("%s: %d columns: %q", what, columns(l), l)
			}
		}
	}
	draw("planning", 60, 10)
	p.update(engine.Progress{Host: "fra1", Stage: engine.Waiting, Summary: "waiting for the lock: " + hostile})
	at = at.Add(3 * time.Second)
	p.update(engine.Progress{Host: `edge["ams"]`, Stage: engine.Waiting, Summary: "waiting for the lock: bob"})
	p.update(engine.Progress{Host: "fra1", Stage: engine.Waiting, Summary: "waiting for the lock: carol"})
	p.update(engine.Progress{Host: `edge["ams"]`, Stage: engine.Noted, Summary: "noted"})
	at = at.Add(4 * time.Second)
	draw("two locks are waited for", 60, 10)
	draw("two locks are waited for", 60, 2)
	p.update(engine.Progress{Host: "fra1", Stage: engine.Observing})
	p.update(engine.Progress{Host: `edge["ams"]`, Stage: engine.Unplanned})
	draw("none is", 60, 10)
	for _, e := range events() {
		p.update(e)
		at = at.Add(7 * time.Second)
		if e.Host == "lost" && e.Stage != engine.NotApplied {
			draw("lost: "+string(e.Stage), 80, 20)
		}
	}
	p.update(engine.Progress{Host: "unchanged", Stage: engine.Waiting, Summary: "waiting until the host has ended it"})
	draw("waiting while others are applied", 80, 20)
	p.update(engine.Progress{Host: "unchanged", Stage: engine.Planned})
	p.update(engine.Progress{Host: "a-host-with-a-very-long-name.mirror.example.org", Stage: engine.StepStarted, Summary: "install rsync, nginx and " + hostile, Done: 3, Total: 120})
	for i := range 3 {
		p.update(engine.Progress{Host: fmt.Sprint("more", i), Stage: engine.StepStarted, Summary: "run", Total: 1})
	}
	at = at.Add(63 * time.Second)
	for _, size := range [][2]int{{80, 20}, {40, 20}, {80, 5}, {80, 3}, {20, 2}, {80, 1}, {5, 3}} {
		draw("applying", size[0], size[1])
	}
	golden(t, "progress-draw", b.String())
}

func testResult() *engine.Result {
	change := func(address string) *engine.Change { return &engine.Change{Address: address} }
	final := &engine.Change{Address: "c", Steps: []engine.Step{
		{Summary: "write /etc/x", Undo: &wire.Op{}}, {Summary: "check", Final: engine.ChangesNothing}, {Summary: "reload nginx.service", Final: "what was served was served"},
	}}
	holder := wire.Holder{Operator: "bob" + hostile, Command: "apply", From: "192.0.2.1", Since: "2026-01-02T03:04:05Z", Seconds: 90}
	return &engine.Result{Hosts: []*engine.HostResult{
		{Host: "fra1", Done: []*engine.Change{change("fra1/file.a"), change("fra1/file.b")}, Unchanged: 7},
		{Host: "fra2", Unchanged: 9},
		{Host: `edge["ams"]`, Failed: change(`edge["ams"]/nginx_site.mirror`), Step: "reload nginx.service", State: engine.TakenBack,
			NotDone: []*engine.Change{change("a"), change("b"), change("c")}, Err: errors.New("exit status 1\nnginx: \x1b[31mbind() failed")},
		{Host: "final", NotDone: []*engine.Change{change("b"), final}, State: engine.TakenBack, Err: errors.New("postcondition failed")},
		{Host: "far", State: engine.Untouched, Err: fmt.Errorf("connect: %w", unreachableError{})},
		{Host: "odd", State: engine.Untouched, Err: fmt.Errorf("%w: /srv has 280 GB", engine.ErrNotPlanned)},
		{Host: "drifted", State: engine.Untouched, NotDone: []*engine.Change{change("d")}, Err: errors.New("drifted/file.d has changed on the host since the plan was made: plan again")},
		{Host: "locked", State: engine.Untouched, Err: &engine.LockedError{Holder: holder}},
		{Host: "cloned", State: engine.Untouched, Err: fmt.Errorf("%w: it is of another machine", engine.ErrManifest)},
		{Host: "partly", State: engine.PartlyDone, Done: []*engine.Change{change("d"), change("e")}, Failed: final, Step: "issue a certificate", NotDone: []*engine.Change{change("f")}, Err: errors.New("the CA is down")},
		{Host: "half", State: engine.HalfBack, NotDone: []*engine.Change{change("d")}, Err: errors.New("disk full; the originals are kept")},
		{Host: "lost", State: engine.UnknownLeft, NotDone: []*engine.Change{change("d")}, Err: fmt.Errorf("%w: EOF; %w", engine.ErrLost, unreachableError{})},
	}}
}

type unreachableError struct{}

func (unreachableError) Error() string     { return "dial tcp: no route to host" }
func (unreachableError) Unreachable() bool { return true }

func TestSummary(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			u, out, _ := newTest(v.options)
			u.Summary(testResult())
			if v.options.Color == "never" {
				checkSafe(t, out.String())
			}
			golden(t, "summary-"+v.name, out.String())
		})
	}
	u, out, _ := newTest(Options{})
	u.Summary(&engine.Result{Hosts: testResult().Hosts[:2]})
	if want := "fra1: 2 resources changed, 7 unchanged\n\nApply complete: 1 host changed, 1 unchanged.\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
	out.Reset()
	for _, state := range []engine.Left{"", engine.Untouched, engine.TakenBack, engine.PartlyDone, engine.HalfBack, engine.UnknownLeft} {
		final := &engine.Change{Address: hostile, Steps: []engine.Step{{Summary: hostile, Final: hostile}}}
		u.Summary(&engine.Result{Hosts: []*engine.HostResult{{Host: hostile, Err: errors.New(hostile), Failed: final, Step: hostile, State: state}}})
	}
	checkSafe(t, out.String())
}

func TestShellWord(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"fra1": "fra1", `edge["ams"]`: `'edge["ams"]'`, "a'b": `'a'\''b'`, "": "''", "$(x)": "'$(x)'",
	} {
		if got := shellWord(in); got != want {
			t.Errorf("shellWord(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestConfirmWithoutTerminal(t *testing.T) {
	t.Parallel()
	u, _, stderr := newTest(Options{In: strings.NewReader("yes\n")})
	ok, err := u.Confirm("Apply?")
	if ok || !errors.Is(err, ErrNoTerminal) || !strings.Contains(err.Error(), "--auto-approve") {
		t.Errorf("got %v, %v", ok, err)
	}
	if stderr.Len() > 0 {
		t.Errorf("asked all the same: %q", stderr)
	}
}

func TestWantColor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		option   string
		terminal bool
		environ  []string
		want     bool
	}{
		{"auto", true, []string{"TERM=xterm"}, true},
		{"", true, []string{"TERM=xterm"}, true},
		{"auto", false, []string{"TERM=xterm"}, false},
		{"auto", true, []string{"TERM=dumb"}, false},
		{"auto", true, []string{"TERM=xterm", "NO_COLOR=1"}, false},
		{"auto", true, []string{"TERM=xterm", "NO_COLOR="}, true},
		{"auto", false, []string{"CLICOLOR_FORCE=1"}, true},
		{"auto", false, []string{"CLICOLOR_FORCE=0"}, false},
		{"auto", false, []string{"CLICOLOR_FORCE=1", "NO_COLOR=1"}, false},
		{"always", false, []string{"NO_COLOR=1"}, true},
		{"never", true, []string{"CLICOLOR_FORCE=1"}, false},
	} {
		if got := wantColor(c.option, c.terminal, lookup(c.environ)); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	u, out, stderr := newTest(Options{Width: 40})
	u.Print("a result\n" + hostile)
	u.Error(errors.New("something that takes more than one line to say\n" + hostile))
	u.Warning(hostile)
	u.Note(hostile)
	checkSafe(t, out.String()+stderr.String())
	if !strings.HasPrefix(stderr.String(), "Error: something that takes more than\n  one line to say\n") {
		t.Errorf("got %q", stderr)
	}
	quiet, _, stderr := newTest(Options{Quiet: true})
	quiet.Note("x")
	if stderr.Len() > 0 {
		t.Errorf("quiet, but %q", stderr)
	}
}
