package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/google/go-github/v92/github"

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

	isNew  bool // upstream has no such file
	mode   filemode.FileMode
	parent *object.Commit // the parent of the new commit
	old    plumbing.Hash  // tip of the fork's branch; zero if the branch does not exist
	reset  bool           // replace the branch, whose content is merged
	pull   *github.PullRequest
	body   string // new body of the open pull request, or "" to keep it
}

// commits reports whether the change needs a commit.
func (c *Change) commits() bool {
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
		if err = s.store.fetchUpstream(ctx, s.upstream); err == nil {
			c, err = s.compare(ctx, e, true)
		}
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

// errStale means that upstream was fetched before the newest pull request was merged.
var errStale = errors.New("upstream has changed since it was fetched")

// compare compares an entry with upstream's file, then with the fork. It does not return errStale
// if fresh is true.
func (s *Session) compare(ctx context.Context, e Entry, fresh bool) (*Change, error) {
	c := &Change{Entry: e, Branch: branchName(e.File.Name, e.Remove), mode: filemode.Regular}
	if err := s.planUpstream(c); err != nil {
		return nil, err
	}
	switch {
	case s.fork != nil:
		return c, s.planFork(ctx, c, fresh)
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
func (s *Session) planUpstream(c *Change) error {
	want := c.Entry.File
	var err error
	if c.Path, err = s.store.find(want.Name); err != nil {
		return err
	}
	have, err := s.store.read(s.store.tip, c.Path)
	if err != nil {
		return err
	}
	c.parent = s.store.tip
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
	if !fresh && isMerged(last) && !s.store.has(last.GetMergeCommitSHA()) {
		return errStale
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
	branch, err := s.store.branch(ctx, *s.fork, c.Branch)
	if err != nil {
		return err
	}
	switch {
	case c.pull != nil:
	case last != nil && isMerged(last):
		if branch != nil && branch.Hash.String() != last.GetHead().GetSHA() {
			return fmt.Errorf("branch %s of %s has new commits since pull request %s was merged; "+
				"review them, delete the branch, then run the command again",
				c.Branch, s.fork, last.GetHTMLURL())
		}
		c.reset = branch != nil
		if c.isNew {
			c.Notes = append(c.Notes, fmt.Sprintf("upstream listed the mirror before (%s) "+
				"and has removed it since; read the reason there", last.GetHTMLURL()))
		}
	case last != nil && !s.o.IgnoreClosed:
		return fmt.Errorf("pull request %s was closed without being merged; read the reason there. "+
			"Then reopen it and run the command again, or open a new one with --ignore-closed", last.GetHTMLURL())
	}
	if branch != nil {
		c.old = branch.Hash
		if !c.reset {
			if err := s.planBranch(c, branch); err != nil {
				return err
			}
		}
	}
	c.settle()
	return nil
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
	if c.commits() || c.body != "" {
		c.Action = Update
	}
}

// maxCommits bounds the walk over a branch's commits.
const maxCommits = 1000

// planBranch starts from the file in the fork's branch, which may have changes of reviewers.
func (s *Session) planBranch(c *Change, tip *object.Commit) error {
	where := fmt.Sprintf("branch %s of %s", c.Branch, s.fork)
	bases, err := tip.MergeBase(s.store.tip)
	if err != nil {
		return fmt.Errorf("compare %s with upstream: %w", where, err)
	}
	if len(bases) == 0 {
		return fmt.Errorf("%s has no commit in common with upstream; delete the branch and run the command again", where)
	}
	base := bases[0]
	if err := s.onlyFile(c, where, base, tip); err != nil {
		return err
	}
	was, err := s.store.read(base, c.Path)
	if err != nil {
		return err
	}
	now, err := s.store.read(s.store.tip, c.Path)
	if err != nil {
		return err
	}
	if blobOf(was) != blobOf(now) {
		return fmt.Errorf("upstream has changed %s since %s was created, and the two conflict; "+
			"delete the branch (this closes its pull request) and run the command again to start from "+
			"upstream's file", c.Path, where)
	}
	have, err := s.store.read(tip, c.Path)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	c.parent = tip
	if c.Entry.Remove {
		return c.planRemovalBranch(where, base, tip, have)
	}
	if have == nil {
		if tip.Hash == base.Hash {
			return nil
		}
		return fmt.Errorf("%s was removed from %s (commit %s by %s); "+
			"to list the mirror anyway, delete the branch and run the command again",
			c.Path, where, tip.Hash, tip.Author.Name)
	}
	d, err := mirrorsd.ParseDocument(have.text)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", where, c.Path, err)
	}
	if err := s.othersValues(c, where, base, tip, d); err != nil {
		return err
	}
	if c.After, err = d.Edit(c.Entry.File); err != nil {
		return fmt.Errorf("%s: %s: %w", where, c.Path, err)
	}
	c.Before, c.mode, c.Foreign = have.text, have.mode, d.Foreign()
	return nil
}

func blobOf(e *entry) plumbing.Hash {
	if e == nil {
		return plumbing.ZeroHash
	}
	return e.blob
}

// onlyFile rejects a branch that changes other files than the mirror's file.
func (s *Session) onlyFile(c *Change, where string, base, tip *object.Commit) error {
	from, err := base.Tree()
	if err != nil {
		return fmt.Errorf("read commit %s: %w", base.Hash, err)
	}
	to, err := tip.Tree()
	if err != nil {
		return fmt.Errorf("read commit %s: %w", tip.Hash, err)
	}
	changes, err := object.DiffTree(from, to)
	if err != nil {
		return fmt.Errorf("compare %s with upstream: %w", where, err)
	}
	var others []string
	for _, change := range changes {
		for _, name := range []string{change.From.Name, change.To.Name} {
			if name != "" && name != c.Path && !slices.Contains(others, name) {
				others = append(others, name)
			}
		}
	}
	if len(others) == 0 {
		return nil
	}
	return fmt.Errorf("%s changes other files than %s: %s (last commit by %s). "+
		"Remove these changes or delete the branch, then run the command again",
		where, c.Path, someOf(others), tip.Author.Name)
}

// othersValues rejects a branch in which another author set values that publish would overwrite.
// Comments, order and foreign keys do not count, since publish keeps them.
func (s *Session) othersValues(c *Change, where string, base, tip *object.Commit, d *mirrorsd.Document) error {
	if s.o.Overwrite || published(tip) {
		return nil
	}
	ours, err := s.lastPublished(base, tip)
	if err != nil {
		return err
	}
	known := map[string]string{}
	file, err := s.store.read(ours, c.Path)
	if err != nil {
		return err
	}
	if file != nil {
		before, err := mirrorsd.ParseDocument(file.text)
		if err != nil {
			return fmt.Errorf("%s: %s in commit %s: %w", where, c.Path, ours.Hash, err)
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
		tip.Author.Name, where, strings.Join(theirs, "; "))
}

func orUnset(value string) string {
	if value == "" {
		return "not set"
	}
	return value
}

// published reports whether publish made a commit.
func published(c *object.Commit) bool { return strings.Contains(c.Message, "\n"+trailer) }

// lastPublished returns the newest commit of publish in a branch, or the branch's base.
func (s *Session) lastPublished(base, tip *object.Commit) (*object.Commit, error) {
	at := tip
	for range maxCommits {
		if at.Hash == base.Hash || published(at) {
			return at, nil
		}
		if at.NumParents() == 0 {
			return base, nil
		}
		var err error
		if at, err = at.Parent(0); err != nil {
			return nil, fmt.Errorf("read the history of commit %s: %w", tip.Hash, err)
		}
	}
	return nil, fmt.Errorf("the branch has more than %d commits; delete it and run the command again", maxCommits)
}
