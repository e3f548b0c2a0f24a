package events

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Stdout is the destination for standard output.
const Stdout = "-"

// Open opens the destination of events: a file, which is truncated; a named pipe, which must have a
// reader; "-", standard output; or "fd:N", a file descriptor that mirrorform inherited.
func Open(destination string) (io.WriteCloser, error) {
	switch number, isDescriptor := strings.CutPrefix(destination, "fd:"); {
	case destination == "":
		return nil, errors.New("--events: the file name is empty")
	case destination == Stdout:
		return keptOpen{os.Stdout}, nil
	case isDescriptor:
		return descriptor(number)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if info, err := os.Stat(destination); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		flags = os.O_WRONLY | syscall.O_NONBLOCK // without it, opening would wait for a reader
	}
	f, err := os.OpenFile(destination, flags, 0o600)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return nil, fmt.Errorf("--events: the pipe %s has no reader: start the reader first", destination)
	case err != nil:
		return nil, fmt.Errorf("--events: %w", err)
	}
	return f, nil
}

// descriptor returns the file of an inherited descriptor.
func descriptor(number string) (io.WriteCloser, error) {
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n < 3 {
		return nil, fmt.Errorf("--events fd:%s: not the number of a file descriptor: use 3 or greater, as in fd:3", number)
	}
	f := os.NewFile(uintptr(n), "fd:"+number)
	if _, err := f.Stat(); err != nil {
		return nil, fmt.Errorf("--events fd:%s: this descriptor was not open when mirrorform started", number)
	}
	return f, nil
}

// keptOpen is a file that others still write to, so Close does not close it.
type keptOpen struct{ io.Writer }

func (keptOpen) Close() error { return nil }
