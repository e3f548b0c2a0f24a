package main

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list []time.Duration
		want time.Duration
	}{
		{nil, 0},
		{[]time.Duration{5}, 5},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{8, 2, 4, 6}, 5},
	} {
		before := slices.Clone(c.list)
		if got := median(c.list); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.list, got, c.want)
		}
		if !slices.Equal(before, c.list) {
			t.Errorf("median changed its argument to %v", c.list)
		}
	}
}

func TestInterleave(t *testing.T) {
	t.Parallel()
	var order strings.Builder
	note := func(name string) func(context.Context) (sample, error) {
		return func(context.Context) (sample, error) {
			order.WriteString(name)
			return sample{wall: time.Second}, nil
		}
	}
	after := func(context.Context) error { order.WriteString("."); return nil }
	all, err := interleave(t.Context(), 3, contender{name: "a", run: note("a")}, contender{name: "b", run: note("b"), every: 2, after: after})
	if err != nil {
		t.Fatal(err)
	}
	// One a that does not count, then three rounds, with b in the first and third.
	if got, want := order.String(), "a"+"ab."+"a"+"ab."; got != want {
		t.Errorf("order is %s, want %s", got, want)
	}
	if all[0].Runs() != 3 || all[1].Runs() != 2 {
		t.Errorf("%d and %d runs, want 3 and 2", all[0].Runs(), all[1].Runs())
	}
	broken := errors.New("broken")
	_, err = interleave(t.Context(), 1, contender{name: "c", run: func(context.Context) (sample, error) { return sample{}, broken }})
	if !errors.Is(err, broken) {
		t.Errorf("the error of a run is lost: %v", err)
	}
}

func TestExecute(t *testing.T) {
	t.Parallel()
	results, err := execute(t.Context(), t.TempDir(), []string{"WORD=hello"}, []string{"/bin/sh", "-c", "echo $WORD $HOME"}, []string{"/bin/sh", "-c", "echo other >&2"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(results[0].output, "hello /") || results[1].output != "other\n" {
		t.Errorf("outputs are %q and %q", results[0].output, results[1].output)
	}
	if results[0].wall <= 0 || together(results).wall < results[1].wall {
		t.Errorf("times are %v and %v", results[0].wall, results[1].wall)
	}
	_, err = execute(t.Context(), t.TempDir(), nil, []string{"/bin/sh", "-c", "echo reason >&2; exit 3"})
	var failed *exec.ExitError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "reason") {
		t.Errorf("the error does not tell why: %v", err)
	}
}

func TestCheckRecap(t *testing.T) {
	t.Parallel()
	const good = "PLAY RECAP ****\nh-1   : ok=16   changed=0    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0   \n"
	for _, c := range []struct {
		name, output string
		converged    bool
		ok           bool
	}{
		{"nothing changed", good, true, true},
		{"changed", strings.Replace(good, "changed=0", "changed=12", 1), false, true},
		{"changed though converged", strings.Replace(good, "changed=0", "changed=12", 1), true, false},
		{"failed", strings.Replace(good, "failed=0", "failed=1", 1), false, false},
		{"unreachable", strings.Replace(good, "unreachable=0", "unreachable=1", 1), false, false},
		{"a host is missing", "PLAY RECAP ****\n", false, false},
	} {
		if err := checkRecap(c.output, 1, c.converged); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestGoals(t *testing.T) {
	t.Parallel()
	r := &report{Hosts: 2}
	r.goal("what", "≤ 1 ×", times(1.234), false)
	s := r.begin("Title", "title", "the reference")
	s.Trips = true
	s.add(&series{Name: "one", samples: []sample{{wall: 250 * time.Millisecond}}}, 1).Trips = "9.0"
	text, err := r.render()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| what | ≤ 1 × | 1.23 × | **not reached** |", "## Title", "| one | 0.25 s | 0.25 s | 0.25 s | 1 | 0.0 ms | 1.00 × |  | 9.0 |"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
}

func TestReplaceScale(t *testing.T) {
	t.Parallel()
	part, err := (&report{Scale: &scaleSection{Date: "today", Rounds: 3, Rows: []*scaleRow{
		{Hosts: 1, Resources: 20, Command: "`mirrorform plan`", Series: &series{samples: []sample{{wall: time.Second, peak: 30e6}}}},
		{Hosts: 1000, Resources: 20, Delay: 100 * time.Millisecond, Command: "`mirrorform plan`", Series: &series{samples: []sample{{wall: 10 * time.Second, cpu: time.Second, peak: 80e6}}}, alone: 30e6},
	}}}).renderScale()
	if err != nil {
		t.Fatal(err)
	}
	if want := "| `mirrorform plan` | 1000 | 20 | 100 ms | 10.0 s | 10.0 ms | 1.00 s | 1.0 ms | 80 MB | 50 KB |"; !strings.Contains(string(part), want) {
		t.Errorf("there is no row\n%s\nin\n%s", want, part)
	}
	page := []byte("before\n<!-- scale: old -->\nold\n<!-- /scale -->\nafter\n")
	got, err := replaceScale(page, part)
	if want := "before\n" + string(part) + "\nafter\n"; err != nil || string(got) != want {
		t.Errorf("got %q (%v)", got, err)
	}
	if again, err := replaceScale(got, part); err != nil || string(again) != string(got) {
		t.Errorf("a second time it is %q (%v)", again, err)
	}
	if _, err := replaceScale([]byte("nothing"), part); err == nil {
		t.Error("a page without the part is no error")
	}
}

func TestScaleGoals(t *testing.T) {
	t.Parallel()
	row := func(hosts int, wall time.Duration, peak int64) *scaleRow {
		return &scaleRow{Hosts: hosts, Resources: 20, Command: "`mirrorform plan`", Series: &series{samples: []sample{{wall: wall, peak: peak}}}, alone: 30e6}
	}
	for _, test := range []struct {
		wall         time.Duration
		peak         int64
		time, memory bool
	}{
		{9 * time.Second, 80e6, true, true},
		{11 * time.Second, 130e6, false, false},
	} {
		s := &scaleSection{Rows: []*scaleRow{row(100, time.Second, 40e6), row(1000, test.wall, test.peak)}}
		s.judge()
		if len(s.Goals) != 2 || s.Goals[0].Reached != test.time || s.Goals[1].Reached != test.memory {
			t.Errorf("%v and %d bytes: %+v", test.wall, test.peak, s.Goals)
		}
	}
}
