package engine

import (
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// An error of a request has its text in the error itself, and that of a program in the output.
func TestHintOfRequest(t *testing.T) {
	t.Parallel()
	hints := []Hint{{Text: "instead of", Advice: "restart it"}}
	for _, c := range []struct {
		op   wire.Op
		want string
	}{
		{wire.Op{Probe: &wire.ProbeOp{}}, "a instead of b\nLikely cause: restart it"},
		{wire.Op{Run: &wire.RunOp{}}, "a instead of b"},
	} {
		task := &task{order: wire.Order{Op: c.op}, hints: hints}
		if got := task.failure(wire.Event{State: wire.Failed, Error: "a instead of b"}).Error(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.op, got, c.want)
		}
	}
}
