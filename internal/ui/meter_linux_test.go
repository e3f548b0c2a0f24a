package ui

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mirrorform/mirrorform/internal/plain"
)

func TestMeter(t *testing.T) {
	t.Parallel()
	p := openPTY(t, 70, 12)
	u := New(p.tty, p.tty, Options{Environ: []string{"TERM=xterm"}})
	u.Print("before")
	m := NewMeter(u)
	var all sync.WaitGroup
	for _, name := range []string{"one", "two" + hostile} {
		all.Go(func() {
			for n := range int64(50) {
				m.Set(name, n, 50+n)
			}
			m.Set(name, 70, 99)
		})
	}
	all.Wait()
	p.await(t, "both lines", func(text string) bool {
		return strings.Contains(text, "one") && strings.Contains(text, plain.Escape("two" + hostile)[:10]) && strings.Count(text, "70 of 99") >= 2
	})
	m.Close()
	m.Close()
	m.Set("late", 1, 2)
	u.Print("after")
	p.await(t, "what comes after", func(text string) bool { return strings.Contains(text, "after\r\n") })
	if lines := screen(t, p.text()); !slices.Equal(lines, []string{"before", "after", ""}) {
		t.Errorf("the display did not clean up:\n%s", strings.Join(lines, "\n"))
	}
}

// TestMeterElsewhere shows nothing where there is no terminal.
func TestMeterElsewhere(t *testing.T) {
	t.Parallel()
	var out, err bytes.Buffer
	m := NewMeter(New(&out, &err, Options{}))
	m.Set("one", 1, 2)
	m.Close()
	if out.Len()+err.Len() > 0 {
		t.Errorf("%q, %q", out.String(), err.String())
	}
}
