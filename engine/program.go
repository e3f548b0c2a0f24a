package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// RunProgram runs a program on the host in its own transaction, under the host's lock, so that no
// other run changes the host meanwhile. It does not change the manifest. final is why the program's
// effect cannot be undone. waiting receives the holder of the lock; if the lock is not free in
// time, the error is a *LockedError. ctx ends only the wait for the lock: a program that has
// started is not interrupted, so that its result is known. Its own time limit, and the silence
// limit of the connection, apply.
func (s *Session) RunProgram(ctx context.Context, lock Lock, run wire.RunOp, final string, waiting func(holder string)) error {
	begun, err := s.Begin(ctx, lock.message(), func(h wire.Holder) { waiting(describeHolder(h)) })
	switch {
	case err != nil:
		return err
	case begun.Held != nil:
		return &LockedError{*begun.Held}
	case begun.Recovered != nil && len(begun.Recovered.Errors) > 0:
		return errors.New(describeRecovered(begun.Recovered))
	}
	ctx = context.WithoutCancel(ctx)
	why := ""
	done, err := s.Do(ctx, wire.Do{Ops: []wire.Order{{Op: wire.Op{Run: &run}, Final: final}}}, func(e wire.Event) {
		if e.State == wire.Failed {
			why = e.Error
			if e.Output != "" {
				why += ": " + e.Output
			}
		}
	})
	switch {
	case err != nil:
		return err
	case done.Failed != nil:
		return fmt.Errorf("%q", clip(why))
	case done.Error != "":
		return fmt.Errorf("the host did not run the program: %q", clip(done.Error))
	}
	done, err = s.Commit(ctx, wire.Commit{}, func(wire.Event) {})
	if err == nil && done.Error != "" {
		err = fmt.Errorf("the program ran, but the host could not end the transaction: %q", clip(done.Error))
	}
	return err
}
