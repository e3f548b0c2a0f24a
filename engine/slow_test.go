package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// slowly returns a forge for a host that needs a while for each answer. show has what it shows when
// it is asked for the n-th time, from 1; after: its steps were done. Nil is what there is.
func slowly(each time.Duration, show func(n int, after bool, qs []wire.Query) []wire.Answer) func(*wire.Message) []*wire.Message {
	asked, after := 0, false
	return func(m *wire.Message) []*wire.Message {
		after = after || m.Do != nil
		if m.Ask == nil {
			return nil
		}
		asked++
		time.Sleep(each)
		if list := show(asked, after, m.Ask.Queries); list != nil {
			return []*wire.Message{{Answers: &wire.Answers{Answers: list}}}
		}
		return nil
	}
}

// What a host labels is shown with the step that it performs, once for each number.
func TestStepProgress(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		beat := func(files int64) *wire.Message { return &wire.Message{Beat: &wire.Beat{Files: files}} }
		event := func(id int, state wire.State) *wire.Message {
			return &wire.Message{Event: &wire.Event{ID: id, State: state}}
		}
		h := &host{forge: func(m *wire.Message) []*wire.Message {
			if m.Do == nil {
				return nil
			}
			return []*wire.Message{beat(9000), event(0, wire.Started), beat(0), beat(1000), beat(1000), beat(25000), event(0, wire.Finished), beat(26000),
				event(1, wire.Started), beat(3000), event(1, wire.Finished), {Done: &wire.Done{}}}
		}}
		f := single(t, h, resources(&thing{Name: "/a", Value: "x"}, &thing{Name: "/b", Value: "x"})...)
		f.apply()
		var got []string
		for _, p := range f.progress {
			if p.Stage == engine.StepProgress {
				got = append(got, fmt.Sprint(p.Address, " ", p.Files, " ", p.Done))
			}
		}
		if want := []string{"h/thing./a 1000 0", "h/thing./a 25000 0", "h/thing./b 3000 1"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

// late are the answers to questions that took too long.
func late(qs []wire.Query) []wire.Answer {
	list := make([]wire.Answer, len(qs))
	for i := range list {
		list[i].Error = "no answer within 40s"
	}
	return list
}

// A host is not rolled back because it is slow: it is observed as often as another one, and asked
// again what it did not answer. All of that ends.
func TestSlowHost(t *testing.T) {
	t.Parallel()
	before := map[string]string{"/a": "old"}
	for name, c := range map[string]struct {
		each time.Duration
		show func(n int, after bool, qs []wire.Query) []wire.Answer
		err  string
		most time.Duration
	}{
		"old workers answer for a while": {each: 10 * time.Second, show: func(n int, after bool, qs []wire.Query) []wire.Answer {
			if after && n < 6 {
				return answersOf(qs, before)
			}
			return nil
		}},
		"no answer in time before the steps": {each: 20 * time.Second, show: func(n int, _ bool, qs []wire.Query) []wire.Answer {
			if n < 3 {
				return late(qs)
			}
			return nil
		}},
		"no answer in time after the steps": {each: 20 * time.Second, show: func(n int, after bool, qs []wire.Query) []wire.Answer {
			if after && n < 6 {
				return late(qs)
			}
			return nil
		}},
		"never an answer before the steps": {each: 20 * time.Second, show: func(_ int, _ bool, qs []wire.Query) []wire.Answer {
			return late(qs)
		}, err: "can no longer be read", most: time.Minute},
		"never an answer after the steps": {each: 20 * time.Second, show: func(_ int, after bool, qs []wire.Query) []wire.Answer {
			if after {
				return late(qs)
			}
			return nil
		}, err: "no answer within 40s", most: 4 * time.Minute},
		"slow, and not as wanted": {each: 20 * time.Second, show: func(_ int, after bool, qs []wire.Query) []wire.Answer {
			if after {
				return answersOf(qs, before)
			}
			return nil
		}, err: "is not as wanted", most: 4 * time.Minute},
		"fast, and not as wanted": {show: func(_ int, after bool, qs []wire.Query) []wire.Answer {
			if after {
				return answersOf(qs, before)
			}
			return nil
		}, err: "is not as wanted", most: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				h := &host{files: map[string]string{"/a": "old"}}
				f := single(t, h, resources(&thing{Name: "/a", Value: "new"})...)
				plan := f.Plan(t.Context(), f.list)
				h.forge = slowly(c.each, c.show)
				begin := time.Now()
				r := f.Apply(t.Context(), plan).Hosts[0]
				if (r.Err == nil) != (c.err == "") || r.Err != nil && !strings.Contains(r.Err.Error(), c.err) {
					t.Errorf("%v", r.Err)
				}
				want := "new"
				if c.err != "" {
					want = "old"
				}
				if text, _ := h.file("/a"); text != want || r.Err != nil && r.State == engine.HalfBack {
					t.Errorf("%s, %s", text, r.State)
				}
				if took := time.Since(begin); c.most > 0 && took > c.most {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}
