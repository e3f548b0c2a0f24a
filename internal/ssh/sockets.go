package ssh

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// socketPrefix starts the names of the directories for ssh's sockets.
	socketPrefix = "mirrorform-ssh-"
	// maxSocket is the longest path of a socket: sun_path has 104 bytes on some systems, and ssh
	// appends 17 characters while it creates the socket.
	maxSocket = 103 - 17
)

// socketDir is a private directory for the sockets of one run, with a lock for as long as the run
// lives.
type socketDir struct {
	mu   sync.Mutex
	path string
	lock *os.File
	used int // sockets so far
}

// plainPath reports whether neither ssh nor a shell expands anything in an absolute path.
func plainPath(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.ContainsAny(path, "%") && shellWord(path) == path
}

// next returns the path of a new socket. It creates the directory on first use.
func (s *socketDir) next() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path == "" {
		if err := s.create(); err != nil {
			return "", fmt.Errorf("no directory for ssh's socket: %w; set XDG_RUNTIME_DIR to a directory of yours "+
				"with a short path and free space", err)
		}
	}
	s.used++
	return filepath.Join(s.path, strconv.Itoa(s.used)), nil
}

// create makes the directory in the first usable place, and removes what killed runs left there.
func (s *socketDir) create() error {
	var errs []error
	for _, base := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp"} {
		if !plainPath(base) || len(base)+len("/"+socketPrefix+"1234567890/1234567") > maxSocket {
			continue
		}
		sweepSockets(base)
		path, err := os.MkdirTemp(base, socketPrefix) // mode 0700
		if err == nil {
			if s.lock, err = lockDir(path); err == nil {
				s.path = path
				return nil
			}
			err = errors.Join(err, os.Remove(path))
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return errors.New("the paths of XDG_RUNTIME_DIR and TMPDIR are too long")
	}
	return errors.Join(errs...)
}

// lockDir locks a directory for this process. The lock ends with it, since programs do not inherit
// the descriptor.
func lockDir(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// newSocketDir is the age, in seconds, up to which a directory may be one that is not locked yet.
const newSocketDir = 60

// sweepSockets removes the directories of runs that were killed: nobody has their lock. It removes
// only directories of this user with nothing but sockets and lists of pinned keys.
func sweepSockets(base string) {
	entries, _ := os.ReadDir(base)
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), socketPrefix)
		if !ok || !isNumber(number) {
			continue
		}
		path := filepath.Join(base, e.Name())
		var stat unix.Stat_t
		if unix.Lstat(path, &stat) != nil || int(stat.Uid) != os.Getuid() ||
			stat.Mode&(unix.S_IFMT|0o777) != unix.S_IFDIR|0o700 || time.Now().Unix()-stat.Mtim.Sec < newSocketDir {
			continue
		}
		lock, err := lockDir(path)
		if err != nil {
			continue
		}
		removeSockets(path)
		_ = lock.Close()
	}
}

// isNumber reports whether a text is a decimal number: os.MkdirTemp appends one, and the name of a
// socket is one.
func isNumber(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// removeSockets removes a directory for sockets. Another directory's content keeps it.
func removeSockets(path string) {
	entries, _ := os.ReadDir(path)
	for _, e := range entries {
		// A socket, under its temporary name too; pinned keys; the socket for questions.
		if number, _, _ := strings.Cut(e.Name(), "."); isNumber(number) && !e.IsDir() {
			_ = os.Remove(filepath.Join(path, e.Name()))
		}
	}
	_ = os.Remove(path)
}

// close removes the directory.
func (s *socketDir) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path != "" {
		removeSockets(s.path)
		_ = s.lock.Close()
		s.path = ""
	}
}
