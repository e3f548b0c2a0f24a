package publish

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// onlyFile rejects a branch that changes other files than the mirror's file.
func onlyFile(c *Change, where string, from, to tree, tip *commit) error {
	var others []string
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if name != c.Path && from[name] != to[name] {
			others = append(others, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(to)) {
		if _, ok := from[name]; !ok && name != c.Path {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return nil
	}
	return fmt.Errorf("%s changes other files than %s: %s (last commit by %s). "+
		"Remove these changes or delete the branch, then run the command again",
		where, c.Path, someOf(others), tip.author)
}

// someOf lists the first few of the paths, sorted.
func someOf(paths []string) string {
	const few = 5
	slices.Sort(paths)
	if len(paths) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(paths[:few], ", "), len(paths)-few)
	}
	return strings.Join(paths, ", ")
}

// othersValues rejects a branch in which another author set values that publish would overwrite.
// Comments, order and foreign keys do not count, since publish keeps them.
func (s *Session) othersValues(ctx context.Context, c *Change, where string, work *comparison, tip *commit,
	d *mirrorsd.Document,
) error {
	if s.o.Overwrite || tip.published() {
		return nil
	}
	ours := work.lastPublished(tip)
	files, err := s.objects.tree(ctx, *s.fork, ours)
	if err != nil {
		return err
	}
	known := map[string]string{}
	file, err := s.objects.read(ctx, *s.fork, files, c.Path)
	if err != nil {
		return err
	}
	if file != nil {
		before, err := mirrorsd.ParseDocument(file.text)
		if err != nil {
			return fmt.Errorf("%s: %s in commit %s: %w", where, c.Path, ours.short(), err)
		}
		for _, diff := range before.Compare(c.Entry.File) {
			known[diff.Key] = diff.Have
		}
	}
	var theirs []string
	for _, diff := range d.Compare(c.Entry.File) {
		if have, ok := known[diff.Key]; !ok || have != diff.Have {
			theirs = append(theirs, fmt.Sprintf("%s is %s there, but %s in the configuration",
				diff.Key, orUnset(diff.Have), orUnset(diff.Want)))
		}
	}
	if len(theirs) == 0 {
		return nil
	}
	return fmt.Errorf("%s pushed different values to %s: %s. "+
		"Add them to the configuration, or replace them with --overwrite",
		tip.author, where, strings.Join(theirs, "; "))
}

func orUnset(value string) string {
	if value == "" {
		return "not set"
	}
	return value
}
