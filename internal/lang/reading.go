package lang

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Reader reads the files that a configuration names. A path is relative to the configuration's
// directory.
type Reader struct {
	Dir     string // the configuration's directory
	Confine bool   // files outside Dir are not read

	once sync.Once
	real string // Dir with its links resolved
	err  error
}

// maxReadLinks is how many links a path may lead through, as for the kernel.
const maxReadLinks = 40

// systemRoots hold what the kernel and processes know, environments with secrets among it.
var systemRoots = []string{"/proc", "/sys", "/dev"}

// Read reads a file that the configuration names, if it may.
func (r *Reader) Read(path string, limit int64) ([]byte, error) {
	if err := r.MayRead(path); err != nil {
		if info, e := os.Stat(path); e == nil && !info.Mode().IsRegular() {
			return readFile(path, limit) // which says so
		}
		return nil, err
	}
	return readFile(path, limit)
}

// readGiven reads a file that the command line names. One in the configuration's directory is the
// configuration's all the same.
func (r *Reader) readGiven(path string, limit int64) ([]byte, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(r.Dir)
	if err != nil {
		return nil, err
	}
	if within(dir, absolute) {
		return r.Read(path, limit)
	}
	return readFile(path, limit)
}

// MayRead tells why a configuration must not read what lies at a path: whoever changes it could
// read with it whatever this process can.
func (r *Reader) MayRead(path string) error {
	dir, lexical, err := r.realDir()
	if err != nil {
		return err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if rest, ok := strings.CutPrefix(absolute, lexical); ok && within(lexical, absolute) {
		absolute = dir + rest // however the directory itself was reached
	}
	resolved, err := resolve(absolute, dir)
	switch {
	case err != nil:
		return fmt.Errorf("%s %w", path, err)
	case !within(dir, resolved) && systemFile(resolved):
		return fmt.Errorf("%s is on a file system of the kernel: %w", path, errSystemFile)
	case r.Confine && !within(dir, resolved):
		return fmt.Errorf("%s is outside the directory of the configuration, %s, and --confine keeps it from being read", path, dir)
	case r.Confine && slices.Contains(strings.Split(resolved[len(dir):], "/"), ".git"):
		return fmt.Errorf("%s %w", path, errGit)
	}
	return nil
}

// mayList is MayRead for the names of files: those of git are no secret, and links in a circle lead
// nowhere.
func (r *Reader) mayList(path string) error {
	if err := r.MayRead(path); err != nil && !errors.Is(err, errGit) && !errors.Is(err, errLinks) {
		return err
	}
	return nil
}

var errLinks = errors.New("leads through too many links")

// errGit says why git's files are not read.
var errGit = errors.New("is git's, which may hold credentials, and --confine keeps it from being read")

// realDir is the configuration's directory with its links resolved, and as it was given.
func (r *Reader) realDir() (dir, lexical string, err error) {
	if lexical, err = filepath.Abs(r.Dir); err != nil {
		return "", "", err
	}
	r.once.Do(func() { r.real, r.err = filepath.EvalSymlinks(lexical) })
	return r.real, lexical, r.err
}

// errSystemFile says why such files are not read, and what to do.
var errSystemFile = errors.New("files of /proc, /sys and /dev are not read, since they tell what other programs keep secret. Pass a value in a variable: MIRRORFORM_VAR_name")

// resolve follows the links in a path. It is an error when the way leads through one of
// systemRoots, but for what is in dir. What does not exist is as it is written.
func resolve(path, dir string) (string, error) {
	at, rest, links := "/", strings.Split(path, "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		if slices.ContainsFunc(systemRoots, func(root string) bool { return within(root, next) }) && !within(dir, next) && !within(next, dir) {
			return "", fmt.Errorf("leads to %s: %w", next, errSystemFile)
		}
		target, err := os.Readlink(next)
		if err != nil { // not a link, or not there: whoever reads it sees that
			at = next
			continue
		}
		if links++; links > maxReadLinks {
			return "", errLinks
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

// within reports whether a clean absolute path is a directory or lies in it.
func within(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// expandPath makes a path absolute: ~ is the home directory, and what is relative is relative to
// dir.
func expandPath(path, dir string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("the path is empty")
	}
	if path == "~" || strings.HasPrefix(path, "~/") {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("the home directory for %s is not known: %w", path, err)
		}
		return filepath.Join(home, path[1:]), nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.Abs(path)
}

// Path is the absolute path of one that the configuration names, as expandPath makes it.
func (r *Reader) Path(path string) (string, error) { return expandPath(path, r.Dir) }
