package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/go-github/v93/github"
)

// author is the author of a commit. If it is zero, GitHub takes the token's account.
type author struct{ name, email string }

// findAuthor returns the author that the environment sets (git-commit(1), COMMIT INFORMATION). What
// only one of its two variables leaves open is that of the token's account, with its public or
// noreply address on GitHub.
func (s *Session) findAuthor(ctx context.Context) (author, error) {
	a := author{lookupEnv(s.o.Environ, "GIT_AUTHOR_NAME"), lookupEnv(s.o.Environ, "GIT_AUTHOR_EMAIL")}
	if strings.ContainsAny(a.name+a.email, "<>\n\x00") || !utf8.ValidString(a.name+a.email) {
		return author{}, errors.New("the author's name or email address contains <, >, a line break or invalid UTF-8; " +
			"correct GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL")
	}
	if (a.name == "") == (a.email == "") {
		return a, nil
	}
	user, err := s.api.account(ctx)
	if err != nil {
		return author{}, err
	}
	a.name = cmp.Or(a.name, user.GetName(), user.GetLogin())
	a.email = cmp.Or(a.email, user.GetEmail(),
		fmt.Sprintf("%d+%s@users.noreply.%s", user.GetID(), user.GetLogin(), s.api.webHost()))
	return a, nil
}

// maxAttempts is how often a commit is tried in a fork that lacks upstream's objects.
const maxAttempts = 4

// writeCommit makes a commit of the change in the fork. It is on no branch yet. It returns the
// commit's name.
//
// A fork shares the objects of its network, so the commit can have upstream's newest one as its
// parent, although the fork is behind. But GitHub may make new objects of upstream available to
// forks only after some time, and a new fork is filled in the background. Then it waits for the
// fork, and syncs it as the button "Sync fork" does.
func (s *Session) writeCommit(ctx context.Context, c *Change, message string, by author) (string, error) {
	synced := false
	for attempt := 1; ; attempt++ {
		sha, err := s.api.commit(ctx, *s.fork, c, message, by)
		if err == nil || !missingObject(err) || attempt == maxAttempts {
			return sha, err
		}
		ready, readyErr := s.api.ready(ctx, *s.fork)
		switch {
		case readyErr != nil:
			return "", errors.Join(err, readyErr)
		case !ready:
			if err := s.api.awaitFork(ctx, *s.fork); err != nil {
				return "", err
			}
		case !synced:
			s.o.Notify(fmt.Sprintf("The fork %s does not have upstream's newest commit yet; syncing its branch %s.",
				s.fork, s.fork.branch))
			if syncErr := s.api.sync(ctx, *s.fork); syncErr != nil {
				return "", fmt.Errorf("%w; the fork may be behind upstream, and cannot be synced: %w. "+
					"Update it with gh repo sync %s, or with Sync fork on GitHub, then run the command again", err, syncErr, s.fork)
			}
			synced = true
		default:
			if err := s.o.Sleep(ctx, time.Second<<attempt); err != nil {
				return "", s.api.explain("wait for the fork "+s.fork.String(), err)
			}
		}
	}
}

// missingObject reports whether GitHub refused a commit since the repository lacks its parent: 404,
// 409 for an empty repository, or 422 with one of several texts.
func missingObject(err error) bool {
	switch status(err) {
	case http.StatusNotFound, http.StatusConflict:
		return true
	case http.StatusUnprocessableEntity:
		var answer *github.ErrorResponse
		return errors.As(err, &answer) && slices.ContainsFunc(
			[]string{"does not exist", "is not a valid", "BadObjectState"},
			func(text string) bool { return strings.Contains(message(answer), text) })
	}
	return false
}

// commit writes the tree and the commit of a change. Both are only objects, so the requests can be
// repeated.
func (a *api) commit(ctx context.Context, fork repository, c *Change, message string, by author) (string, error) {
	e := &github.TreeEntry{Path: &c.Path, Mode: &c.mode, Type: new("blob")}
	if c.After != nil {
		if !utf8.Valid(c.After) {
			return "", fmt.Errorf("%s is not valid UTF-8, which GitHub's API does not take", c.Path)
		}
		e.Content = new(string(c.After))
	}
	var t *github.Tree
	err := a.do(ctx, fmt.Sprintf("write %s to %s", c.Path, fork), true, func(ctx context.Context) (err error) {
		t, _, err = a.client.Git.CreateTree(ctx, fork.owner, fork.name, c.parent.tree, []*github.TreeEntry{e})
		return err
	})
	if err != nil {
		return "", err
	}
	wanted := github.Commit{
		Message: &message, Tree: &github.Tree{SHA: t.SHA},
		Parents: []*github.Commit{{SHA: &c.parent.sha}},
	}
	if by != (author{}) {
		wanted.Author = &github.CommitAuthor{Name: &by.name, Email: &by.email}
	}
	var made *github.Commit
	doing := "write a commit to " + fork.String()
	err = a.do(ctx, doing, true, func(ctx context.Context) (err error) {
		made, _, err = a.client.Git.CreateCommit(ctx, fork.owner, fork.name, wanted, nil)
		return err
	})
	if err == nil && !gitSHA(made.GetSHA()) {
		err = fmt.Errorf("%s: GitHub's answer has no valid commit", doing)
	}
	return made.GetSHA(), err
}

// setBranch sets a branch of the fork to a commit. old is the branch's tip when it was read, or nil
// if the branch did not exist. GitHub refuses a commit that is not on top of the branch's tip, so
// that nothing that was pushed since is lost. With reset, a branch whose content is merged is
// replaced.
func (s *Session) setBranch(ctx context.Context, name, sha string, old *commit, reset bool) error {
	fork := *s.fork
	doing := fmt.Sprintf("push branch %s to %s", name, fork)
	if reset {
		// GitHub has no condition for a forced update, so this is compared here, just before it.
		now, err := s.api.branch(ctx, fork, name)
		if err != nil {
			return err
		}
		if now == nil || now.sha != old.sha {
			return branchChanged(fork, name)
		}
	}
	err := s.api.do(ctx, doing, false, func(ctx context.Context) (err error) {
		if old == nil {
			_, _, err = s.api.client.Git.CreateRef(ctx, fork.owner, fork.name,
				github.CreateRef{Ref: "refs/heads/" + name, SHA: sha})
			return err
		}
		_, _, err = s.api.client.Git.UpdateRef(ctx, fork.owner, fork.name, "heads/"+name,
			github.UpdateRef{SHA: sha, Force: &reset})
		return err
	})
	if err == nil {
		return nil
	}
	if code := status(err); code != http.StatusUnprocessableEntity && code != http.StatusConflict && !temporary(err) {
		return err
	}
	// The answer may be lost, or the branch may have changed: see what is there.
	now, readErr := s.api.branch(ctx, fork, name)
	switch {
	case readErr != nil:
		return errors.Join(err, readErr)
	case now != nil && now.sha == sha:
		return nil
	case (now == nil) != (old == nil), now != nil && now.sha != old.sha:
		return branchChanged(fork, name)
	}
	return err
}

func branchChanged(fork repository, name string) error {
	return fmt.Errorf("branch %s of %s has changed since it was read, so nothing was pushed; "+
		"run the command again to plan with the new commits", name, fork)
}
