package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Files are handled by system calls: most are relative to a directory's descriptor, and package os
// has few functions for that.

// absent reports whether an error means that nothing exists at a path.
func absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)
}

// open opens name in the directory dir.
func open(dir int, name string, flags int, mode uint32) (fd int, err error) {
	for {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func closeFD(fd int) { _ = unix.Close(fd) }

// reader reads from a descriptor.
type reader int

func (r reader) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(r), p)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// maxRead is the size of the largest file that is read as a whole.
const maxRead = 256 << 20

// readAll reads everything from fd, up to a limit in bytes.
func readAll(fd, most int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(reader(fd), int64(most)+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("it is larger than the limit of %d bytes", most)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// readFile reads a whole file. It follows only the links that walk follows.
func readFile(file string) ([]byte, error) {
	fd, err := openRead(file)
	if err != nil {
		return nil, err
	}
	defer closeFD(fd)
	data, err := readAll(fd, maxRead)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return data, nil
}

// openRead opens a file for reading. /proc and /sys are opened directly: some of their links are
// not paths, and no user can replace their entries.
func openRead(file string) (int, error) {
	if strings.HasPrefix(file, "/proc/") || strings.HasPrefix(file, "/sys/") {
		fd, err := open(unix.AT_FDCWD, file, unix.O_RDONLY, 0)
		if err != nil {
			return -1, fmt.Errorf("open %s: %w", file, err)
		}
		return fd, nil
	}
	w, err := walk(file, nil)
	if err != nil {
		return -1, err
	}
	defer w.close()
	if w.st.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, fmt.Errorf("%s is not a file", file)
	}
	return w.reopen(unix.O_RDONLY)
}

// list returns the sorted names in an open directory. It stops reading once it has most of them,
// unless most is 0.
func list(fd, most int) (names []string, err error) {
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n <= 0 || most > 0 && len(names) >= most {
			slices.Sort(names)
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// listDir returns the sorted names in a directory.
func listDir(dir string) ([]string, error) {
	fd, err := open(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	defer closeFD(fd)
	names, err := list(fd, 0)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	return names, nil
}

// kindOf returns the file type of what a path leads to, 0 if nothing exists there.
func kindOf(p string) uint32 {
	var st unix.Stat_t
	if unix.Stat(p, &st) != nil {
		return 0
	}
	return st.Mode & unix.S_IFMT
}

func exists(p string) bool { return unix.Access(p, unix.F_OK) == nil }

// realPath resolves all links of a path. It follows only the links that walk follows.
func realPath(p string) (string, error) {
	w, err := walk(p, nil)
	if err != nil {
		return "", err
	}
	defer w.close()
	return w.real()
}

// readLink reads a link's target; with an empty name, the target of the link that dir is.
func readLink(dir int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err == nil && n == 0 {
		err = unix.ENOENT
	}
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// procFD returns a path to an open file, for system calls that take no descriptor.
func procFD(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// syncDir makes entries of a directory durable.
func syncDir(dir int) error {
	fd, err := open(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	return fsync(fd)
}

// mkdirAll creates one of the helper's own directories and its parents, durably.
func mkdirAll(dir string) error {
	if kindOf(dir) == unix.S_IFDIR {
		return nil
	}
	err := mkdir(unix.AT_FDCWD, dir, 0o700)
	if errors.Is(err, unix.ENOENT) && dir != "/" {
		if err = mkdirAll(path.Dir(dir)); err == nil {
			return mkdirAll(dir)
		}
		return err
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("mkdir %s: %w", dir, err)
	}
	return syncPath(path.Dir(dir))
}

// syncPath makes the entries of a directory durable.
func syncPath(dir string) error {
	fd, err := open(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer closeFD(fd)
	if err := fsync(fd); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// random returns a name that nobody can guess.
func random() string {
	b := make([]byte, 8)
	for {
		if n, err := unix.Getrandom(b, 0); err == nil && n == len(b) {
			return hex.EncodeToString(b)
		}
	}
}

// digest returns the SHA-256 of the rest of fd, in hex, and its size. It passes each piece to each.
func digest(fd int, each func([]byte) error) (sum string, size int64, err error) {
	h := sha256.New()
	most := int64(64 << 10)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Size > 0 {
		most = min(most, st.Size+1) // one byte more, to see the end without another read
	}
	buf := make([]byte, most)
	for {
		n, err := reader(fd).Read(buf)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), size, nil
		}
		if err == nil && each != nil {
			err = each(buf[:n])
		}
		if err != nil {
			return "", size, err
		}
		_, _ = h.Write(buf[:n]) // never fails
		size += int64(n)
	}
}

// digestOf returns the SHA-256 of a text, in hex.
func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
