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

// Reader reads the files that a configuration names. Paths are relative to the configuration's
// directory.
type Reader struct {
	Dir     string // the configuration's directory
	Confine bool   // rejects files outside Dir

	once sync.Once
	real string // Dir with symbolic links resolved
	err  error
}

// maxReadLinks is the largest number of symbolic links in a path. Linux has the same limit, see
// path_resolution(7).
const maxReadLinks = 40

// systemRoots hold the state of the kernel and of processes, including their environment variables.
var systemRoots = []string{"/proc", "/sys", "/dev"}

// Read reads a file that the configuration names, if MayRead allows it.
func (r *Reader) Read(path string, limit int64) ([]byte, error) {
	if err := r.MayRead(path); err != nil {
		if info, e := os.Stat(path); e == nil && !info.Mode().IsRegular() {
			return readFile(path, limit) // its error is clearer
		}
		return nil, err
	}
	return readFile(path, limit)
}

// readGiven reads a file that the command line names. A file in the configuration's directory gets
// the checks of Read, since the author of the configuration may have made it a link.
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

// MayRead returns an error if a configuration must not read a path. Without this check, a person
// who can change the configuration could read everything that this process can.
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
		absolute = dir + rest // the path of the directory itself may contain links
	}
	resolved, err := resolve(absolute, dir)
	switch {
	case err != nil:
		return fmt.Errorf("%s %w", path, err)
	case !within(dir, resolved) && systemFile(resolved):
		return fmt.Errorf("%s is on a kernel file system: %w", path, errSystemFile)
	case r.Confine && !within(dir, resolved):
		return fmt.Errorf("%s is outside the configuration's directory %s, and --confine does not allow that", path, dir)
	case r.Confine && slices.Contains(strings.Split(resolved[len(dir):], "/"), ".git"):
		return fmt.Errorf("%s %w", path, errGit)
	}
	return nil
}

// mayList is MayRead for listing a directory. It allows git's files, whose names are not secret,
// and circular links, which lead to no file.
func (r *Reader) mayList(path string) error {
	if err := r.MayRead(path); err != nil && !errors.Is(err, errGit) && !errors.Is(err, errLinks) {
		return err
	}
	return nil
}

var errLinks = errors.New("leads through too many symbolic links")

// errGit: git's configuration may contain URLs with passwords or tokens.
var errGit = errors.New("is one of git's files, which may contain credentials, and --confine does not allow that")

// realDir returns the configuration's directory with symbolic links resolved, and without.
func (r *Reader) realDir() (dir, lexical string, err error) {
	if lexical, err = filepath.Abs(r.Dir); err != nil {
		return "", "", err
	}
	r.once.Do(func() { r.real, r.err = filepath.EvalSymlinks(lexical) })
	return r.real, lexical, r.err
}

var errSystemFile = errors.New("files in /proc, /sys and /dev are not read, " +
	"because they can contain secrets of other programs. To pass a value, set a variable: export MIRRORFORM_VAR_name=…")

// resolve follows the symbolic links in a path. A path through one of systemRoots is an error,
// unless it is in dir. Parts that do not exist stay unchanged.
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
		system := slices.ContainsFunc(systemRoots, func(root string) bool { return within(root, next) })
		if system && !within(dir, next) && !within(next, dir) {
			return "", fmt.Errorf("leads to %s: %w", next, errSystemFile)
		}
		target, err := os.Readlink(next)
		if err != nil { // not a link, or missing, which reading reports
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

// within reports whether a clean absolute path is dir or below it. It is engine.PathWithin, but the
// language does not know the engine.
func within(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// expandPath makes a path absolute. ~ is the home directory; other paths are relative to dir.
func expandPath(path, dir string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("the path is empty")
	}
	if path == "~" || strings.HasPrefix(path, "~/") {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("cannot expand %s: the home directory is not known: %w", path, err)
		}
		return filepath.Join(home, path[1:]), nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.Abs(path)
}

// Path returns the absolute path for a path in the configuration (see expandPath).
func (r *Reader) Path(path string) (string, error) { return expandPath(path, r.Dir) }
