package ui

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestTransfers(t *testing.T) {
	t.Parallel()
	p := openPTY(t, 100, 12)
	u := New(p.tty, p.tty, Options{Environ: []string{"TERM=xterm"}})
	u.Print("before")
	tr := u.Transfers()
	tr.Set("one", Transfer{Phase: "measuring"})
	tr.Set("two"+hostile, Transfer{Phase: "syncing", Bytes: 3 << 20, Percent: 60, Speed: "1.50MB/s"})
	tr.Set("one", Transfer{Phase: "syncing", Bytes: 1 << 20, Percent: 100, Speed: hostile})
	p.await(t, "both bars", func(text string) bool {
		return strings.Contains(text, "syncing 60%, 3.0 MiB, 1.50MB/s") && strings.Contains(text, "syncing 100%, 1.0 MiB")
	})
	tr.Close()
	tr.Close()
	tr.Set("late", Transfer{Phase: "syncing"})
	u.Print("after")
	p.await(t, "what comes after", func(text string) bool { return strings.Contains(text, "after\r\n") })
	if lines := screen(t, p.text()); !slices.Equal(lines, []string{"before", "after", ""}) {
		t.Errorf("the display did not clean up:\n%s", strings.Join(lines, "\n"))
	}
}

// TestTransfersElsewhere prints a line for each tenth where there is no terminal.
func TestTransfersElsewhere(t *testing.T) {
	t.Parallel()
	var out, err bytes.Buffer
	tr := New(&out, &err, Options{}).Transfers()
	tr.Set("a", Transfer{Phase: "measuring"})
	tr.Set("a", Transfer{Phase: "measuring"})
	for percent := range 23 {
		tr.Set("a", Transfer{Phase: "syncing", Bytes: int64(percent) << 20, Percent: percent})
	}
	tr.Close()
	tr.Set("a", Transfer{Phase: "late"})
	want := "a: measuring\na: syncing\na: syncing 10%, 10 MiB\na: syncing 20%, 20 MiB\n"
	if out.Len() > 0 || err.String() != want {
		t.Errorf("%q, %q, want %q", out.String(), err.String(), want)
	}
}
