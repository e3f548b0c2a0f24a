package resources

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// deletion says that a directory that is removed goes with all that is in it, which no configuration can ask for.
type deletion struct {
	locks []string
	// size is what was found there, for the plan. It is not compared: on a file system that others use, too, it is an estimate.
	size string `fingerprint:"-"`
}

// Deleting returns a copy of the directory whose removal deletes what is in it, for good; file systems that are mounted in it stay. The
// locks are files that flock(1) locks while something writes there: while one is held, nothing is deleted. Where a file system is
// mounted on the directory, it stays, empty.
func (d *Directory) Deleting(locks ...string) *Directory {
	c := *d
	c.deletion = &deletion{locks: slices.Clone(locks)}
	return &c
}

// deletionTimeout bounds a deletion, in seconds: half a million files on slow disks take the better part of an hour.
const deletionTimeout = 6 * 60 * 60

// queries ask how much there is. du(1) may take longer than a question may; then it is what the file system holds.
func (*deletion) queries(path string) (du, filesystem, tree wire.Query) {
	tree = wire.Query{Verb: wire.AskTree, Arg: path}
	return wire.Query{Verb: wire.AskRun, Args: []string{"/usr/bin/du", "-sxB1", "--", path}}, wire.Query{Verb: wire.AskFilesystem, Arg: path}, tree
}

// read returns the deletion with the size of what was found.
func (d *deletion) read(path string, got engine.Answers) (*deletion, error) {
	du, filesystem, tree := d.queries(path)
	t, err := got.Tree(tree)
	if err != nil {
		return nil, err
	}
	// find -xdev stays on one file system, and a bind mount of the same one is part of it.
	switch {
	case len(t.Mounts) > 0:
		return nil, fmt.Errorf("%s is not deleted: %s mounted below it: unmount it first", path, oneOrMore(t.Mounts))
	case t.Bound != "":
		return nil, fmt.Errorf("%s is not deleted: it is %s of the same host, by a bind mount: unmount it first", path, t.Bound)
	}
	if run, err := got.Run(du); err == nil && run.Exit == 0 {
		field, _, _ := strings.Cut(run.Stdout, "\t")
		if bytes, err := strconv.ParseUint(field, 10, 64); err == nil {
			return &deletion{d.locks, FormatSize(bytes)}, nil
		}
	}
	f, err := got.Filesystem(filesystem)
	if err != nil {
		return nil, err
	}
	return &deletion{d.locks, fmt.Sprintf("at most %s: so much is used of %s", FormatSize(f.Size-min(f.Available, f.Size)), f.MountPoint)}, nil
}

// oneOrMore is "A is", or "A, B and C are".
func oneOrMore(words []string) string {
	if len(words) == 1 {
		return words[0] + " is"
	}
	return enumerate(words) + " are"
}

// step deletes the directory, or all that is in it where a file system is mounted on it.
func (d *deletion) step(path string, mounted bool) engine.Step {
	summary := fmt.Sprintf("delete %s and all that is in it (%s)", path, d.size)
	find := []string{"/usr/bin/find", path, "-xdev"}
	if mounted {
		summary = fmt.Sprintf("delete all that is in %s (%s)", path, d.size)
		find = append(find, "-mindepth", "1")
	}
	var argv []string
	for _, lock := range d.locks {
		argv = append(argv, "/usr/bin/flock", "--nonblock", "--verbose", lock)
	}
	return engine.Step{
		Summary: summary,
		Do:      wire.Op{Run: &wire.RunOp{Argv: slices.Concat(argv, find, []string{"-delete"}), Timeout: deletionTimeout}},
		Final:   "deleted files do not come back",
	}
}
