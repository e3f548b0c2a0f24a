package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/google/go-github/v93/github"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// Action is what Apply would do, or has done, for an entry.
type Action string

// The actions.
const (
	Listed   Action = "listed"   // nothing: upstream has the wanted entry
	Unlisted Action = "unlisted" // nothing: upstream has no entry, and none is wanted
	Pending  Action = "pending"  // nothing: the open pull request has the wanted entry
	Create   Action = "create"   // push the branch if needed and open a pull request
	Update   Action = "update"   // update the open pull request
)

// Change is a planned change of an entry.
type Change struct {
	Entry       Entry
	Action      Action
	Path        string                // in upstream's repository
	Branch      string                // of the fork
	Before      []byte                // the file in the commit's parent; nil if missing
	After       []byte                // the wanted file; nil to remove it
	Differences []mirrorsd.Difference // between upstream's file and the wanted file
	Foreign     []mirrorsd.ForeignKey // keys that upstream's schema does not define; they are kept
	Notes       []string              // notes for the user, one line each
	Title, Body string                // of the pull request
	URL         string                // of the open pull request, or ""
	Removed     string                // with Unlisted: URL of the merged pull request that removed the entry, or ""

	isNew  bool    // upstream has no such file
	mode   string  // of the file, as git has it
	parent *commit // the parent of the new commit
	old    *commit // tip of the fork's branch; nil if the branch does not exist
	reset  bool    // replace the branch, whose content is merged
	pull   *github.PullRequest
	body   string // new body of the open pull request, or "" to keep it
}

// IsNew reports whether the change adds an entry that upstream does not have.
func (c *Change) IsNew() bool { return c.isNew }

// Base describes the commit on top of which the change is made.
func (c *Change) Base() string {
	if c.old != nil && !c.reset {
		return fmt.Sprintf("commit %s of the branch", c.parent.short())
	}
	return fmt.Sprintf("upstream's commit %s", c.parent.short())
}

// Commits reports whether the change needs a commit.
func (c *Change) Commits() bool {
	return (c.Before == nil) != (c.After == nil) || !bytes.Equal(c.Before, c.After)
}

// safeName matches names that are safe in a path and a branch name. It does not rely on the
// checkers.
var safeName = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// Plan plans the publication of an entry. It reads from upstream, the fork and the API, and changes
// nothing.
func (s *Session) Plan(ctx context.Context, e Entry) (_ *Change, err error) {
	defer func() { err = s.o.Token.redact(err) }()
	name := e.File.Name
	if !safeName.MatchString(name) || strings.Contains(name, "..") || len(name) > 253 {
		return nil, fmt.Errorf("invalid mirror name %q: it becomes a file name, so it must be a DNS host name", name)
	}
	c, err := s.compare(ctx, e, false)
	if errors.Is(err, errStale) {
		c, err = s.compare(ctx, e, true)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if !e.Remove && (c.Action == Create || c.Action == Update) {
		notes, err := s.check(ctx, name, Subject{Path: c.Path, Text: c.After, File: e.File})
		if err != nil {
			return nil, err
		}
		c.Notes = append(c.Notes, notes...)
	}
	return c, nil
}

// errStale means that upstream was read before the newest pull request was merged, and was read
// again.
var errStale = errors.New("upstream has changed since it was read")

// compare compares an entry with upstream's file, then with the fork. It does not return errStale
// if fresh is true.
func (s *Session) compare(ctx context.Context, e Entry, fresh bool) (*Change, error) {
	c := &Change{Entry: e, Branch: branchName(e.File.Name, e.Remove), mode: modeRegular}
	if err := s.planUpstream(ctx, c); err != nil {
		return nil, err
	}
	switch {
	case s.fork != nil:
		return c, s.planFork(ctx, c, fresh)
	case c.Action == "" && s.o.UpstreamOnly:
		c.Action = Create
	case c.Action == "":
		c.Action = Create
		c.Notes = append(c.Notes, "the fork and its pull requests were not checked; "+
			"set GITHUB_TOKEN, or pass --fork OWNER/NAME")
	}
	return c, nil
}

// branchName returns the branch for a mirror's pull request. It must not change between versions.
// Removals have a separate branch, so that the pull requests of the entry and of its removal are
// not confused.
func branchName(name string, remove bool) string {
	branch := "mirrorform/" + strings.ToLower(name)
	if remove {
		branch = "mirrorform-remove/" + strings.ToLower(name)
	}
	if strings.HasSuffix(branch, ".lock") {
		branch += "-mirror" // git-check-ref-format(1) does not allow names that end in .lock
	}
	return branch
}

// planUpstream compares the entry with upstream's file.
func (s *Session) planUpstream(ctx context.Context, c *Change) error {
	want := c.Entry.File
	var err error
	if c.Path, err = s.list.find(ctx, want.Name); err != nil {
		return err
	}
	have, err := s.list.read(ctx, c.Path)
	if err != nil {
		return err
	}
	c.parent = s.list.tip
	if c.Entry.Remove {
		return c.planRemoval(have)
	}
	if have == nil {
		c.isNew = true
		if c.After, err = want.Bytes(); err != nil {
			return err
		}
	} else {
		if err := s.edit(c, have); err != nil {
			return err
		}
		if path.Base(c.Path) != want.Name+".yml" {
			c.Notes = append(c.Notes, fmt.Sprintf("upstream lists the mirror in %s; this file is updated", c.Path))
		}
	}
	for _, k := range c.Foreign {
		c.Notes = append(c.Notes, fmt.Sprintf("%s line %d: upstream's schema does not define the key %s; it is kept",
			c.Path, k.Line, k.Key))
	}
	if !c.isNew && len(c.Differences) == 0 {
		c.Action = Listed
	}
	c.Title, c.Body = title(verb(c.isNew), want.Name), pullBody(c.Path, want, c.isNew, c.Differences)
	return nil
}

// edit makes the wanted file from upstream's file.
func (s *Session) edit(c *Change, have *entry) error {
	d, err := mirrorsd.ParseDocument(have.text)
	if err != nil {
		return fmt.Errorf("cannot update upstream's %s: %w", c.Path, err)
	}
	c.Before, c.mode, c.Foreign = have.text, have.mode, d.Foreign()
	c.Differences = d.Compare(c.Entry.File)
	for _, diff := range c.Differences {
		if diff.Key == "private" && !c.Entry.File.Private && !s.o.Relist {
			return fmt.Errorf("upstream has set private: %s in %s, as it does for mirrors that fail: "+
				"clients outside the mirror's own networks are not sent to it. "+
				"Read the reason in the history of the file, repair the mirror, then request its listing with --relist. "+
				"To keep it private, set publish.private = true",
				diff.Have, c.Path)
		}
	}
	if c.After, err = d.Edit(c.Entry.File); err != nil {
		return fmt.Errorf("upstream's %s: %w", c.Path, err)
	}
	return nil
}

// planFork compares the entry with the fork's branch and the pull requests from it.
func (s *Session) planFork(ctx context.Context, c *Change, fresh bool) error {
	pulls, err := s.api.pulls(ctx, s.upstream, *s.fork, c.Branch)
	if err != nil {
		return err
	}
	c.pull = newest(pulls, isOpen)
	c.URL = c.pull.GetHTMLURL()
	switch {
	case c.Entry.Remove:
		err = s.otherPulls(ctx, c)
	case c.isNew && c.pull == nil && !s.o.Relist:
		err = s.refuseRetired(ctx, c, pulls)
	}
	if err != nil {
		return err
	}
	last := newest(pulls, func(*github.PullRequest) bool { return true })
	if !fresh && c.Action == "" && isMerged(last) {
		// The merge may be newer than what was read of upstream.
		switch changed, err := s.refresh(ctx); {
		case err != nil:
			return err
		case changed:
			return errStale
		}
	}
	if c.Action == Unlisted {
		c.Removed = newest(pulls, isMerged).GetHTMLURL()
	}
	if c.Action == Unlisted || c.Action == Listed {
		if c.pull != nil {
			c.Notes = append(c.Notes, fmt.Sprintf("%s, so the open pull request %s is obsolete; close it",
				upToDate(c.Entry), c.URL))
		}
		return nil
	}
	return s.planWork(ctx, c, last)
}

// planWork compares the entry with the fork's branch. last is the newest pull request from it, or
// nil.
func (s *Session) planWork(ctx context.Context, c *Change, last *github.PullRequest) error {
	branch, err := s.forkBranch(ctx, c)
	if err != nil {
		return err
	}
	switch {
	case c.pull != nil:
	case last != nil && isMerged(last):
		unfinished, err := s.unfinished(ctx, c.Branch, branch, last)
		if err != nil {
			return err
		}
		if branch != nil && branch.sha != last.GetHead().GetSHA() && !unfinished {
			return fmt.Errorf("branch %s of %s has new commits since pull request %s was merged; "+
				"review them, delete the branch, then run the command again",
				c.Branch, s.fork, last.GetHTMLURL())
		}
		c.reset = branch != nil && !unfinished
		if c.isNew {
			c.Notes = append(c.Notes, fmt.Sprintf("upstream listed the mirror before (%s) "+
				"and has removed it since; read the reason there", last.GetHTMLURL()))
		}
	case last != nil && !s.o.IgnoreClosed:
		return fmt.Errorf("pull request %s was closed without being merged; read the reason there. "+
			"Then reopen it and run the command again, or open a new one with --ignore-closed", last.GetHTMLURL())
	}
	if branch != nil {
		c.old = branch
		if !c.reset {
			if err := s.planBranch(ctx, c, branch); err != nil {
				return err
			}
		}
	}
	c.settle()
	return nil
}

// unfinished reports whether the branch is the work of an earlier run, which has replaced the
// merged branch and was interrupted before it opened the pull request.
func (s *Session) unfinished(ctx context.Context, name string, branch *commit, merged *github.PullRequest) (
	bool, error,
) {
	if branch == nil || branch.sha == merged.GetHead().GetSHA() || !branch.published() {
		return false, nil
	}
	work, err := s.api.compare(ctx, s.upstream, *s.fork, name, branch)
	if err != nil || work == nil {
		return false, err
	}
	for sha, c := range work.commits {
		if sha == merged.GetHead().GetSHA() || !c.published() {
			return false, nil
		}
	}
	return true, nil
}

// settle sets the action.
func (c *Change) settle() {
	if c.pull == nil {
		c.Action = Create
		return
	}
	if body := mergeBody(c.pull.GetBody(), c.Body); body != c.pull.GetBody() {
		c.body = body
	}
	c.Action = Pending
	if c.Commits() || c.body != "" {
		c.Action = Update
	}
}

// forkBranch reads the change's branch of the fork, or nil if it does not exist.
func (s *Session) forkBranch(ctx context.Context, c *Change) (*commit, error) {
	if c.pull != nil && c.pull.GetHead().Repo == nil {
		return nil, fmt.Errorf("the fork of pull request %s was deleted, so it cannot be updated; "+
			"close it and run the command again with --ignore-closed", c.URL)
	}
	if s.fork.missing {
		return nil, nil
	}
	return s.api.branch(ctx, *s.fork, c.Branch)
}

// planBranch starts from the file in the fork's branch, which may have changes of reviewers.
func (s *Session) planBranch(ctx context.Context, c *Change, tip *commit) error {
	where := fmt.Sprintf("branch %s of %s", c.Branch, s.fork)
	work, err := s.api.compare(ctx, s.upstream, *s.fork, c.Branch, tip)
	if err != nil {
		return err
	}
	if work == nil {
		return fmt.Errorf("%s has no commit in common with upstream; delete the branch and run the command again", where)
	}
	was, err := s.objects.tree(ctx, s.upstream, work.base)
	if err != nil {
		return err
	}
	files, err := s.objects.tree(ctx, *s.fork, tip)
	if err != nil {
		return err
	}
	if err := onlyFile(c, where, was, files, tip); err != nil {
		return err
	}
	if was[c.Path].sha != s.list.files[c.Path].sha {
		return fmt.Errorf("upstream has changed %s since %s was created, and the two conflict; "+
			"delete the branch (this closes its pull request) and run the command again to start from "+
			"upstream's file", c.Path, where)
	}
	have, err := s.objects.read(ctx, *s.fork, files, c.Path)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	c.parent = tip
	if c.Entry.Remove {
		return c.planRemovalBranch(where, work.base, tip, have)
	}
	if have == nil {
		if tip.sha == work.base.sha {
			return nil
		}
		return fmt.Errorf("%s was removed from %s (commit %s by %s); "+
			"to list the mirror anyway, delete the branch and run the command again",
			c.Path, where, tip.short(), tip.author)
	}
	d, err := mirrorsd.ParseDocument(have.text)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", where, c.Path, err)
	}
	if err := s.othersValues(ctx, c, where, work, tip, d); err != nil {
		return err
	}
	if c.After, err = d.Edit(c.Entry.File); err != nil {
		return fmt.Errorf("%s: %s: %w", where, c.Path, err)
	}
	c.Before, c.mode, c.Foreign = have.text, have.mode, d.Foreign()
	return nil
}
