package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// maxReadLinks is how many links a path may lead through, as for the kernel.
const maxReadLinks = 40

// systemRoots hold what the kernel and processes know, environments with secrets among it.
var systemRoots = []string{"/proc", "/sys", "/dev"}

// read reads a file that the configuration names, if it may.
func (c *Config) read(path string, limit int64) ([]byte, error) {
	if err := c.mayRead(path); err != nil {
		if info, e := os.Stat(path); e == nil && !info.Mode().IsRegular() {
			return readFile(path, limit) // which says so
		}
		return nil, err
	}
	return readFile(path, limit)
}

// readGiven reads a file that the command line names. One in the configuration's directory is the
// configuration's all the same.
func (c *Config) readGiven(path string, limit int64) ([]byte, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return nil, err
	}
	if within(dir, absolute) {
		return c.read(path, limit)
	}
	return readFile(path, limit)
}

// mayRead tells why a configuration must not read what lies at a path: whoever changes it could
// read with it whatever this process can.
func (c *Config) mayRead(path string) error {
	dir, lexical, err := c.realDir()
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
	case c.confine && !within(dir, resolved):
		return fmt.Errorf("%s is outside the directory of the configuration, %s, and --confine keeps it from being read", path, dir)
	case c.confine && slices.Contains(strings.Split(resolved[len(dir):], "/"), ".git"):
		return fmt.Errorf("%s %w", path, errGit)
	}
	return nil
}

// mayList is mayRead for the names of files: those of git are no secret, and links in a circle lead
// nowhere.
func (c *Config) mayList(path string) error {
	if err := c.mayRead(path); err != nil && !errors.Is(err, errGit) && !errors.Is(err, errLinks) {
		return err
	}
	return nil
}

// mayShow tells why a resource must not be on this machine: a plan shows what it finds at its path.
func (c *Config) mayShow(h *Host, state any) error {
	if !h.Local && !h.OnThisMachine {
		return nil
	}
	v := reflect.Indirect(reflect.ValueOf(state))
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("hcl"), ","); name == "path" && v.Field(i).Kind() == reflect.String {
			return c.mayRead(v.Field(i).String())
		}
	}
	return nil
}

var errLinks = errors.New("leads through too many links")

// errGit says why git's files are not read.
var errGit = errors.New("is git's, which may hold credentials, and --confine keeps it from being read")

// realDir is the configuration's directory with its links resolved, and as it was given.
func (c *Config) realDir() (dir, lexical string, err error) {
	if lexical, err = filepath.Abs(c.dir); err != nil {
		return "", "", err
	}
	c.dirOnce.Do(func() { c.dirReal, c.dirErr = filepath.EvalSymlinks(lexical) })
	return c.dirReal, lexical, c.dirErr
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
