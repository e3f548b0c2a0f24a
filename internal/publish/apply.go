package publish

import (
	"context"
	"fmt"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// Apply performs a change: it commits, pushes the branch, opens or updates the pull request, and
// sets the change's URL. It does nothing for an entry without changes. Its errors mention what was
// already done. Running Plan and Apply again continues from there.
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
		return fmt.Errorf("%s: no fork selected; pass it with --fork OWNER/NAME", name)
	}
	pushed := ""
	if c.commits() {
		if err := s.pushCommit(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		pushed = fmt.Sprintf(" (branch %s of %s is already pushed)", c.Branch, s.fork)
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
