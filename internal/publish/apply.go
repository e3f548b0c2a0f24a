package publish

import (
	"context"
	"fmt"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// Apply does what Plan found: it commits, pushes the branch, and opens or updates the pull request, whose address it puts into the
// change. Nothing is done where nothing is to do. After an error a run from the start goes on from what is there; what was done already is
// in its text.
func (s *Session) Apply(ctx context.Context, c *Change) (err error) {
	defer func() { err = s.o.Token.redact(err) }()
	if c.Action == Listed || c.Action == Unlisted || c.Action == Pending {
		return nil
	}
	name := c.Entry.File.Name
	if !s.o.Token.Present() {
		return fmt.Errorf("%s: %w", name, ErrNoToken)
	}
	if s.fork == nil {
		return fmt.Errorf("%s: no fork is known", name)
	}
	pushed := ""
	if c.commits() {
		if err := s.pushCommit(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		pushed = fmt.Sprintf(" (branch %s of %s is pushed already)", c.Branch, s.fork)
	}
	switch {
	case c.pull == nil:
		c.pull, err = s.api.open(ctx, s.upstream, *s.fork, c)
	case c.body != "":
		c.pull, err = s.api.edit(ctx, s.upstream, c.pull.GetNumber(), c.body)
	}
	if err != nil {
		return fmt.Errorf("%s%s: %w", name, pushed, err)
	}
	c.URL = c.pull.GetHTMLURL()
	return nil
}

func (s *Session) pushCommit(ctx context.Context, c *Change) error {
	a, err := s.findAuthor(ctx)
	if err != nil {
		return err
	}
	diffs := c.Differences
	if c.Before != nil && !c.Entry.Remove {
		if d, err := mirrorsd.ParseDocument(c.Before); err == nil {
			diffs = d.Compare(c.Entry.File)
		}
	}
	file := entry{path: c.Path, mode: c.mode, text: c.After}
	message := commitMessage(c.Entry.File.Name, c.Before == nil, diffs)
	if c.Entry.Remove {
		message = removalMessage(c.Entry.File.Name)
	}
	commit, err := s.store.write(c.parent, file, message, a, s.o.Now())
	if err != nil {
		return err
	}
	return s.store.push(ctx, *s.fork, c.Branch, commit, c.old, c.reset)
}
