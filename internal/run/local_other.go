//go:build !linux

package run

import (
	"context"
	"errors"
	"io"
	"runtime"
)

// localHelper fails: the helper needs system calls of Linux.
func localHelper(context.Context, string, string) (io.ReadWriteCloser, error) {
	return nil, errors.New("host local is not available on " + runtime.GOOS +
		": run mirrorform on Linux, or select the other hosts with --limit")
}
