package publish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-github/v93/github"
)

// repository is a repository on GitHub.
type repository struct {
	owner, name string
	branch      string // the default branch
	missing     bool   // a fork that Apply creates
}

func (r repository) String() string { return r.owner + "/" + r.name }

// account returns the token's account.
func (a *api) account(ctx context.Context) (*github.User, error) {
	if a.user != nil {
		return a.user, nil
	}
	var user *github.User
	err := a.do(ctx, "read the token's account", true, func(ctx context.Context) (err error) {
		user, _, err = a.client.Users.Get(ctx, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	if !validOwner(user.GetLogin()) {
		return nil, errors.New("read the token's account: GitHub's answer has no valid account name")
	}
	a.user = user
	return user, nil
}

// repository reads a repository.
func (a *api) repository(ctx context.Context, owner, name string) (*github.Repository, error) {
	var r *github.Repository
	err := a.do(ctx, "read repository "+owner+"/"+name, true, func(ctx context.Context) (err error) {
		r, _, err = a.client.Repositories.Get(ctx, owner, name)
		return err
	})
	return r, err
}

// usable checks the API's description of a repository before anything of it is used.
func usable(r *github.Repository) (repository, error) {
	owner, name, err := splitName("the repository name in GitHub's answer", r.GetFullName())
	if err != nil {
		return repository{}, err
	}
	if r.GetDefaultBranch() == "" {
		return repository{}, fmt.Errorf("GitHub's answer names no default branch of %s/%s", owner, name)
	}
	return repository{owner: owner, name: name, branch: r.GetDefaultBranch()}, nil
}

// fork finds the fork of upstream with this full name. If full is "", it finds the fork of the
// token's account, which may be missing.
func (a *api) fork(ctx context.Context, upstream repository, full string) (repository, error) {
	if full == "" {
		return a.ownFork(ctx, upstream)
	}
	owner, name, err := splitName("--fork", full)
	if err != nil {
		return repository{}, err
	}
	r, err := a.repository(ctx, owner, name)
	switch {
	case notFound(err):
		return repository{}, fmt.Errorf("fork %s not found, or the token cannot read it; %s", full, a.makeFork(upstream))
	case err != nil:
		return repository{}, err
	case strings.EqualFold(r.GetFullName(), upstream.String()):
		return repository{}, fmt.Errorf("%s is the upstream repository, not a fork; "+
			"pass your fork with --fork OWNER/NAME", upstream)
	case !forkOf(r, upstream):
		return repository{}, fmt.Errorf("%s is not a fork of %s, so it cannot open a pull request there; %s",
			r.GetFullName(), upstream, a.makeFork(upstream))
	}
	return a.writable(r)
}

// writable checks that publish can write to a fork.
func (a *api) writable(r *github.Repository) (repository, error) {
	switch {
	case r.GetArchived():
		return repository{}, fmt.Errorf("%s is archived and read-only; unarchive it in its settings on GitHub",
			r.GetFullName())
	case r.Permissions != nil && a.o.Token.Present() && !r.Permissions.GetPush():
		return repository{}, fmt.Errorf("%s has no permission to push to %s; "+
			"use the token of another account, or another --fork",
			a.o.Token, r.GetFullName())
	}
	return usable(r)
}

func forkOf(r *github.Repository, upstream repository) bool {
	return r.GetFork() && (strings.EqualFold(r.GetParent().GetFullName(), upstream.String()) ||
		strings.EqualFold(r.GetSource().GetFullName(), upstream.String()))
}

// ownFork finds the fork of the token's account: first by upstream's name, then in the list of
// upstream's forks. If it is missing, it returns the one that createFork creates.
func (a *api) ownFork(ctx context.Context, upstream repository) (repository, error) {
	user, err := a.account(ctx)
	if err != nil {
		return repository{}, err
	}
	if strings.EqualFold(user.GetLogin(), upstream.owner) {
		return repository{}, fmt.Errorf("%s belongs to %s, the owner of %s, who cannot have a fork in the same account; "+
			"use the token of another account, or pass the fork of an organisation with --fork OWNER/NAME",
			a.o.Token, upstream.owner, upstream)
	}
	r, err := a.repository(ctx, user.GetLogin(), upstream.name)
	switch {
	case err == nil && forkOf(r, upstream):
		return a.writable(r)
	case err != nil && !notFound(err):
		return repository{}, err
	}
	taken := err == nil // by a repository that is not a fork of upstream
	forks := pages(ctx, a, "list the forks of "+upstream.String(),
		func(ctx context.Context, at github.ListOptions) ([]*github.Repository, *github.Response, error) {
			return a.client.Repositories.ListForks(ctx, upstream.owner, upstream.name,
				&github.RepositoryListForksOptions{ListOptions: at})
		})
	for f, err := range forks {
		if err != nil {
			return repository{}, err
		}
		if !strings.EqualFold(f.GetOwner().GetLogin(), user.GetLogin()) || !validRepository(f.GetName()) {
			continue
		}
		r, err := a.repository(ctx, user.GetLogin(), f.GetName()) // the list does not include permissions
		if err != nil {
			return repository{}, err
		}
		return a.writable(r)
	}
	fork := repository{owner: user.GetLogin(), name: upstream.name, missing: true}
	if taken {
		fork.name = upstream.owner + "-" + upstream.name
	}
	return fork, nil
}

// createFork creates the fork of the token's account, and waits until it is ready. GitHub returns
// an existing fork unchanged. It may give the fork another name ("Create a fork").
func (a *api) createFork(ctx context.Context, upstream, fork repository) (repository, error) {
	doing := fmt.Sprintf("create the fork %s of %s", fork, upstream)
	var r *github.Repository
	err := a.do(ctx, doing, true, func(ctx context.Context) (err error) {
		o := github.CreateForkRequest{DefaultBranchOnly: new(true)}
		if fork.name != upstream.name {
			o.Name = &fork.name
		}
		r, _, err = a.client.Repositories.CreateFork(ctx, upstream.owner, upstream.name, o)
		if accepted := (*github.AcceptedError)(nil); errors.As(err, &accepted) && r != nil {
			return nil // the fork is created in the background
		}
		return err
	})
	if err != nil {
		return repository{}, fmt.Errorf("%w; or %s", err, a.makeFork(upstream))
	}
	made, err := usable(r)
	if err != nil {
		return repository{}, fmt.Errorf("%s: %w", doing, err)
	}
	a.o.Notify(fmt.Sprintf("Created the fork %s of %s.", made, upstream))
	return made, a.awaitFork(ctx, made)
}

// forkTimeout is how long GitHub may take to copy the objects of a new fork ("Create a fork").
const forkTimeout = 5 * time.Minute

// awaitFork waits until a new fork has its default branch.
func (a *api) awaitFork(ctx context.Context, fork repository) error {
	pause := time.Second
	for waited := time.Duration(0); ; waited += pause {
		ready, err := a.ready(ctx, fork)
		if err != nil || ready {
			return err
		}
		if waited >= forkTimeout {
			return fmt.Errorf("GitHub has not finished the fork %s after %s; "+
				"run the command again later, it continues from there", fork, forkTimeout)
		}
		if waited == 0 {
			a.o.Notify(fmt.Sprintf("Waiting for GitHub to finish the fork %s.", fork))
		}
		if err := a.o.Sleep(ctx, pause); err != nil {
			return a.explain("wait for the fork "+fork.String(), err)
		}
		pause = min(2*pause, 15*time.Second)
	}
}

// ready reports whether a fork has its default branch. Until then GitHub answers 404, or 409 as for
// an empty repository.
func (a *api) ready(ctx context.Context, fork repository) (bool, error) {
	tip, err := a.branch(ctx, fork, fork.branch)
	if status(err) == http.StatusConflict {
		return false, nil
	}
	return tip != nil, err
}

// sync updates a fork's default branch to upstream's, as the button "Sync fork" does. Afterwards
// the fork has upstream's newest commit.
func (a *api) sync(ctx context.Context, fork repository) error {
	return a.do(ctx, fmt.Sprintf("sync branch %s of %s with upstream", fork.branch, fork), true,
		func(ctx context.Context) error {
			_, _, err := a.client.Repositories.MergeUpstream(ctx, fork.owner, fork.name,
				github.RepoMergeUpstreamRequest{Branch: fork.branch})
			return err
		})
}

func (a *api) makeFork(upstream repository) string {
	return fmt.Sprintf("create a fork with gh repo fork %s --clone=false, or at %s/fork", upstream, a.page(upstream))
}

// page returns the address of a repository's page.
func (a *api) page(r repository) string {
	return fmt.Sprintf("%s://%s/%s", a.base.Scheme, strings.TrimPrefix(a.base.Host, "api."), r)
}
