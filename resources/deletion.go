package resources

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// deletion makes the removal of a directory delete all its files. No configuration can set it: only
// a command of the operator does.
type deletion struct {
	locks []string
	// size is the size of the files, for the plan. It is not part of the fingerprint: if other
	// programs use the file system, too, it is an estimate and changes all the time.
	size string `fingerprint:"-"`
}

// Deleting returns a copy of the directory. Its removal deletes all files in it, which cannot be
// undone. Nothing is deleted while a file system is mounted below the directory, or while another
// program holds one of the locks, which are files of flock(1). If a file system is mounted on the
// directory itself, its files are deleted and the directory stays.
func (d *Directory) Deleting(locks ...string) *Directory {
	c := *d
	c.deletion = &deletion{locks: slices.Clone(locks)}
	return &c
}

// deletionTimeout is in seconds. Half a million files on slow disks take nearly an hour.
const deletionTimeout = 6 * 60 * 60

// queries ask for the size of the files. du(1) may take longer than the deadline of a question; the
// used space of the file system is the fallback.
func (*deletion) queries(path string) (du, filesystem, tree wire.Query) {
	tree = wire.Query{Verb: wire.AskTree, Arg: path}
	return wire.Query{Verb: wire.AskRun, Args: []string{"/usr/bin/du", "-sxB1", "--", path}}, wire.Query{Verb: wire.AskFilesystem, Arg: path}, tree
}

// read returns the deletion with the size that was found.
func (d *deletion) read(path string, got engine.Answers) (*deletion, error) {
	du, filesystem, tree := d.queries(path)
	t, err := got.Tree(tree)
	if err != nil {
		return nil, err
	}
	// find -xdev stays on one file system, but follows a bind mount of the same file system.
	switch {
	case len(t.Mounts) > 0:
		return nil, fmt.Errorf("%s is not deleted: %s mounted below it: unmount it first", path, oneOrMore(t.Mounts))
	case t.Bound != "":
		return nil, fmt.Errorf("%s is not deleted: it is a bind mount of %s: unmount it first", path, t.Bound)
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
	used := FormatSize(f.Size - min(f.Available, f.Size))
	return &deletion{d.locks, fmt.Sprintf("at most %s, the used space of %s", used, f.MountPoint)}, nil
}

// oneOrMore returns "A is", or "A, B and C are".
func oneOrMore(words []string) string {
	if len(words) == 1 {
		return words[0] + " is"
	}
	return enumerate(words) + " are"
}

// step deletes the directory, or only its files if a file system is mounted on it.
func (d *deletion) step(path string, mounted bool) engine.Step {
	summary := fmt.Sprintf("delete %s and all its files (%s)", path, d.size)
	find := []string{"/usr/bin/find", path, "-xdev"}
	if mounted {
		summary = fmt.Sprintf("delete all files in %s (%s)", path, d.size)
		find = append(find, "-mindepth", "1")
	}
	var argv []string
	for _, lock := range d.locks {
		argv = append(argv, "/usr/bin/flock", "--nonblock", "--verbose", lock)
	}
	return engine.Step{
		Summary: summary,
		Do:      wire.Op{Run: &wire.RunOp{Argv: slices.Concat(argv, find, []string{"-delete"}), Timeout: deletionTimeout}},
		Final:   "deleted files cannot be restored",
	}
}
