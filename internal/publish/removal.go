package publish

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/google/go-github/v92/github"
)

// planRemoval compares with upstream's file, where none is wanted.
func (c *Change) planRemoval(have *entry) error {
	name := c.Entry.File.Name
	if have == nil {
		c.Action = Unlisted
		return nil
	}
	c.Before, c.mode = have.text, have.mode
	if path.Base(c.Path) != name+".yml" {
		c.Notes = append(c.Notes, fmt.Sprintf("upstream has the mirror in %s, which is removed", c.Path))
	}
	c.Title, c.Body = title("Remove", name), removalBody(c.Path, name)
	return nil
}

// otherPulls looks for an open pull request that adds or updates the entry which is to be removed: merged later, it would bring the entry back.
func (s *Session) otherPulls(ctx context.Context, c *Change) error {
	pulls, err := s.api.pulls(ctx, s.upstream, *s.fork, branchName(c.Entry.File.Name, false))
	if err != nil {
		return err
	}
	open := newest(pulls, isOpen)
	switch {
	case open == nil:
	case c.Action == Unlisted:
		return fmt.Errorf("pull request %s asks for the mirror to be listed; close it first, or it is listed once that is merged", open.GetHTMLURL())
	default:
		c.Notes = append(c.Notes, fmt.Sprintf("pull request %s still wants to change the entry: close it", open.GetHTMLURL()))
	}
	return nil
}

// refuseRetired refuses to bring back an entry that a pull request of ours took out since the newest of pulls brought it in.
func (s *Session) refuseRetired(ctx context.Context, c *Change, pulls []*github.PullRequest) error {
	removals, err := s.api.pulls(ctx, s.upstream, *s.fork, branchName(c.Entry.File.Name, true))
	if err != nil {
		return err
	}
	removal := newest(removals, isMerged)
	if removal == nil || removal.GetNumber() < newest(pulls, isMerged).GetNumber() {
		return nil
	}
	return fmt.Errorf("the mirror was retired by pull request %s; take its block out of the configuration, or list it again with --relist", removal.GetHTMLURL())
}

// goOnRemoving starts from the branch of the removal: have is the file there.
func (c *Change) goOnRemoving(where string, base, tip *object.Commit, have *entry) error {
	if have == nil {
		c.Before = nil // it is removed there already
		return nil
	}
	if tip.Hash != base.Hash {
		return fmt.Errorf("somebody put %s back on %s (commit %s by %s); delete the branch and run the command again if the mirror is not to be listed any more",
			c.Path, where, tip.Hash, tip.Author.Name)
	}
	c.Before, c.mode = have.text, have.mode
	return nil
}

// wanted says in messages how upstream is to have an entry.
func wanted(e Entry) string {
	if e.Remove {
		return "wanted"
	}
	return "configured"
}

// removalMessage is the message of the commit that removes an entry.
func removalMessage(name string) string {
	return title("Remove", name) + "\n\n" + trailer + "\n"
}

// removalBody is the text of the pull request that removes an entry.
func removalBody(file, name string) string {
	var b strings.Builder
	b.WriteString(bodyStart + "\n")
	fmt.Fprintf(&b, "Removes %s: deletes %s.\n\n", code(name), code(file))
	b.WriteString("Its operator retires the mirror. It keeps syncing and serving until it is not listed any more.\n")
	b.WriteString("\nWritten by `mirrorform retire` from the mirror's configuration.\n" + bodyEnd + "\n")
	return b.String()
}
