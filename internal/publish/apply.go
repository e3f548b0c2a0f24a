package publish

import (
	"context"
	"fmt"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// Apply performs a change: it creates a missing fork, commits, sets the branch, opens or updates
// the pull request, and sets the change's URL. It does nothing for an entry without changes. Its
// errors mention what was already done. Running Plan and Apply again continues from there.
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
	if s.fork.missing {
		made, err := s.api.createFork(ctx, s.upstream, *s.fork)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.fork = &made
	}
	pushed := ""
	if c.Commits() {
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
	sha, err := s.writeCommit(ctx, c, c.message(), a)
	if err != nil {
		return err
	}
	return s.setBranch(ctx, c.Branch, sha, c.old, c.reset)
}

// message returns the message of the change's commit.
func (c *Change) message() string {
	if c.Entry.Remove {
		return removalMessage(c.Entry.File.Name)
	}
	diffs := c.Differences
	if c.Before != nil {
		if d, err := mirrorsd.ParseDocument(c.Before); err == nil {
			diffs = d.Compare(c.Entry.File)
		}
	}
	return commitMessage(c.Entry.File.Name, c.Before == nil, diffs)
}
