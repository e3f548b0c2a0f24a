package agent

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// stall is a batch of n questions, each a task, of which those that hang do not return before the
// test ends.
func stall(t *testing.T, n, workers int, hangs func(i int) bool) (answers []wire.Answer, took time.Duration) {
	t.Helper()
	end, began := make(chan struct{}), time.Now()
	t.Cleanup(func() { close(end) })
	l := workload{workers: workers}
	for i := range n {
		l.tasks = append(l.tasks, &task{which: []int{i}, limit: wire.LookTime, do: func(set func(int, wire.Answer)) {
			if hangs(i) {
				<-end
			}
			set(i, wire.Answer{Group: &wire.Group{GID: i}})
		}})
	}
	answers = make([]wire.Answer, n)
	perform(answers, l)
	return answers, time.Since(began)
}

// Questions that do not return are errors within the deadline, and all others are answered.
func TestStalledQuestions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		n, workers int
		hangs      func(i int) bool
		asked      bool // all are
	}{
		"none":          {1000, 4, func(int) bool { return false }, true},
		"one":           {1000, 4, func(i int) bool { return i == 500 }, true},
		"first":         {1000, 4, func(i int) bool { return i < 60 }, true},
		"one worker":    {100, 1, func(i int) bool { return i%2 == 0 }, true},
		"all":           {3, 4, func(int) bool { return true }, true},
		"more than may": {500, 4, func(int) bool { return true }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				answers, took := stall(t, tc.n, tc.workers, tc.hangs)
				for i, a := range answers {
					switch {
					case tc.hangs(i) && tc.asked && !strings.Contains(a.Error, "no answer within 30s"):
						t.Errorf("question %d hangs, and its answer is %+v", i, a)
					case tc.hangs(i) && a.Error == "":
						t.Errorf("question %d hangs, and its answer is %+v", i, a)
					case !tc.hangs(i) && (a.Group == nil || a.Group.GID != i):
						t.Errorf("question %d has the answer %+v", i, a)
					}
				}
				if most := wire.LookTime + 15*time.Second; took > most {
					t.Errorf("it took %v, more than %v", took, most)
				}
			})
		})
	}
}

// What a question says after its deadline does not count, nor does what it says twice.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var late atomic.Bool
		answers := make([]wire.Answer, 4)
		perform(answers, workload{2, []*task{
			{which: []int{0, 1}, limit: time.Second, do: func(set func(int, wire.Answer)) {
				set(0, wire.Answer{Group: &wire.Group{GID: 1}})
				set(0, wire.Answer{Group: &wire.Group{GID: 2}})
				time.Sleep(time.Minute)
				set(1, wire.Answer{Group: &wire.Group{GID: 3}})
				late.Store(true)
			}},
			{which: []int{2}, limit: time.Second, do: func(func(int, wire.Answer)) { panic("a bug") }},
			{which: []int{3}, limit: time.Second, do: func(func(int, wire.Answer)) {}},
		}})
		time.Sleep(2 * time.Minute)
		if !late.Load() {
			t.Error("the task did not end")
		}
		if a := answers[0]; a.Group == nil || a.Group.GID != 1 {
			t.Errorf("the first answer is %+v", a)
		}
		if a := answers[1]; !strings.Contains(a.Error, "no answer within 1s") {
			t.Errorf("the late answer is %+v", a)
		}
		if a := answers[2]; !strings.Contains(a.Error, "a bug") {
			t.Errorf("the answer of a task that panics is %+v", a)
		}
		if answers[3] != (wire.Answer{}) {
			t.Errorf("what was not answered has the answer %+v", answers[3])
		}
	})
}
