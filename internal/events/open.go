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

// Stdout is the destination that means standard output.
const Stdout = "-"

// Open opens what events are written to: a file, which is made anew; a named pipe, which must have a reader; "-", standard output; or "fd:N", a descriptor that
// mirrorform was started with.
func Open(destination string) (io.WriteCloser, error) {
	switch number, isDescriptor := strings.CutPrefix(destination, "fd:"); {
	case destination == "":
		return nil, errors.New("--events: the name of the file is empty")
	case destination == Stdout:
		return keptOpen{os.Stdout}, nil
	case isDescriptor:
		return descriptor(number)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if info, err := os.Stat(destination); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		flags = os.O_WRONLY | syscall.O_NONBLOCK // or to open it would wait for a reader
	}
	f, err := os.OpenFile(destination, flags, 0o600)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return nil, fmt.Errorf("--events: nobody reads the pipe %s: start its reader first", destination)
	case err != nil:
		return nil, fmt.Errorf("--events: %w", err)
	}
	return f, nil
}

// descriptor is a file that mirrorform was started with.
func descriptor(number string) (io.WriteCloser, error) {
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n < 3 {
		return nil, fmt.Errorf("--events fd:%s: the number of a file descriptor must follow, 3 or more", number)
	}
	f := os.NewFile(uintptr(n), "fd:"+number)
	if _, err := f.Stat(); err != nil {
		return nil, fmt.Errorf("--events fd:%s: mirrorform was not started with that descriptor open", number)
	}
	return f, nil
}

// keptOpen is a file that others still write to.
type keptOpen struct{ io.Writer }

func (keptOpen) Close() error { return nil }
