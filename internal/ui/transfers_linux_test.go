package ui

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/syncs"
)

func TestTransfers(t *testing.T) {
	t.Parallel()
	p := openPTY(t, 100, 12)
	u := New(p.tty, p.tty, Options{Environ: []string{"TERM=xterm"}})
	u.Print("before")
	tr := NewTransfers(u)
	tr.Set("one", syncs.Transfer{Phase: "measuring"})
	tr.Set("two"+hostile, syncs.Transfer{Phase: "syncing", Bytes: 3 << 20, Total: 5 << 20, Speed: 3 << 19})
	tr.Set("one", syncs.Transfer{Phase: "syncing", Bytes: 1 << 20, Total: 1 << 20})
	p.await(t, "both bars", func(text string) bool {
		return strings.Contains(text, "syncing 60% of 5.0 MiB, 1.5 MiB/s, 1s left") && strings.Contains(text, "syncing 100% of 1.0 MiB")
	})
	tr.Close()
	tr.Close()
	tr.Set("late", syncs.Transfer{Phase: "syncing"})
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
	tr := NewTransfers(New(&out, &err, Options{}))
	tr.Set("a", syncs.Transfer{Phase: "measuring"})
	tr.Set("a", syncs.Transfer{Phase: "measuring"})
	for percent := range 23 {
		tr.Set("a", syncs.Transfer{Phase: "syncing", Bytes: int64(percent) << 20, Total: 100 << 20})
	}
	tr.Close()
	tr.Set("a", syncs.Transfer{Phase: "late"})
	want := "a: measuring\na: syncing 0% of 100 MiB\na: syncing 10% of 100 MiB\na: syncing 20% of 100 MiB\n"
	if out.Len() > 0 || err.String() != want {
		t.Errorf("%q, %q, want %q", out.String(), err.String(), want)
	}
}

func TestTransferString(t *testing.T) {
	t.Parallel()
	for want, transfer := range map[string]syncs.Transfer{
		"measuring":                                     {Phase: "measuring"},
		"syncing 0% of 1.0 KiB":                         {Phase: "syncing", Total: 1024},
		"syncing 5 B, 1 B/s":                            {Phase: "syncing", Bytes: 5, Speed: 1},
		"syncing 100% of 1.0 KiB, 2 B/s":                {Phase: "syncing", Bytes: 2000, Total: 1024, Speed: 2},
		"syncing 50% of 1.0 TiB, 10 MiB/s, 14h33m left": {Phase: "syncing", Bytes: 1 << 39, Total: 1 << 40, Speed: 10 << 20},
		"syncing 0% of 1.0 TiB, 1.0 MiB/s, 12d03h left": {Phase: "syncing", Total: 1 << 40, Speed: 1 << 20},
		"syncing 50% of 120 B, 1 B/s, 1m00s left":       {Phase: "syncing", Bytes: 60, Total: 120, Speed: 1},
	} {
		if got := TransferText(transfer); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestClear empties a terminal, and prints nothing elsewhere.
func TestClear(t *testing.T) {
	t.Parallel()
	p := openPTY(t, 40, 5)
	u := New(p.tty, p.tty, Options{Environ: []string{"TERM=xterm"}})
	u.Print("before")
	u.Clear()
	u.Print("after")
	p.await(t, "what comes after", func(text string) bool { return strings.Contains(text, "\x1b[H\x1b[2Jafter") })
	var out bytes.Buffer
	New(&out, &out, Options{Environ: []string{"TERM=xterm"}}).Clear()
	if out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int64]string{-1: "in the future", 0: "0 s", 59: "59 s", 60: "1 min", 3599: "59 min", 3600: "1 h", 172799: "47 h", 172800: "2 d", 1 << 40: "12725829 d"} {
		if got := Span(seconds); got != want {
			t.Errorf("%d is %q, want %q", seconds, got, want)
		}
	}
}
