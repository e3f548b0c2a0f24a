package publish

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-github/v93/github"
)

// pulls returns all pull requests from a branch of the fork to upstream: open, closed and merged
// ones, newest first.
func (a *api) pulls(ctx context.Context, upstream, fork repository, branch string) ([]*github.PullRequest, error) {
	all := pages(ctx, a, "list the pull requests of "+upstream.String(),
		func(ctx context.Context, at github.ListOptions) ([]*github.PullRequest, *github.Response, error) {
			return a.client.PullRequests.List(ctx, upstream.owner, upstream.name,
				&github.PullRequestListOptions{State: "all", Head: fork.owner + ":" + branch, ListOptions: at})
		})
	var found []*github.PullRequest
	for p, err := range all {
		if err != nil {
			return nil, err
		}
		// Servers that do not support the filter return all pull requests.
		from := p.GetHead()
		if from != nil && from.GetRef() == branch &&
			(from.Repo == nil && strings.EqualFold(from.GetUser().GetLogin(), fork.owner) || strings.EqualFold(from.Repo.GetFullName(), fork.String())) {
			found = append(found, p)
		}
	}
	return found, nil
}

// open opens a pull request. If GitHub does not answer, or reports that the pull request already
// exists, open looks for it before it fails.
func (a *api) open(ctx context.Context, upstream, fork repository, c *Change) (*github.PullRequest, error) {
	const doing = "open the pull request"
	body := github.CreatePullRequest{
		Title: &c.Title, Body: &c.Body, Head: fork.owner + ":" + c.Branch, Base: upstream.branch,
		MaintainerCanModify: new(true),
	}
	if fork.name != upstream.name {
		body.HeadRepo = &fork.name
	}
	for wait := 2 * time.Second; ; wait *= 2 {
		var p *github.PullRequest
		err := a.do(ctx, doing, false, func(ctx context.Context) (err error) {
			p, _, err = a.client.PullRequests.Create(ctx, upstream.owner, upstream.name, body)
			return err
		})
		if err == nil {
			return p, nil
		}
		var answer *github.ErrorResponse
		refused := errors.As(err, &answer) && answer.Response != nil &&
			answer.Response.StatusCode == http.StatusUnprocessableEntity
		if refused && invalid(answer, "fork_collab") && *body.MaintainerCanModify {
			// The fork of an organisation may not let its members grant this.
			body.MaintainerCanModify = new(false)
			continue
		}
		if refused && invalid(answer, "head") && wait <= 8*time.Second {
			// GitHub's API may see a pushed branch only after a few seconds.
			if err := a.o.Sleep(ctx, wait); err != nil {
				return nil, a.explain(doing, err)
			}
			continue
		}
		if refused && strings.Contains(message(answer), "already exists") || temporary(err) {
			list, listErr := a.pulls(ctx, upstream, fork, c.Branch)
			if listErr != nil {
				return nil, errors.Join(err, listErr)
			}
			if p := newest(list, isOpen); p != nil {
				return p, nil
			}
		}
		return nil, err
	}
}

// invalid reports whether GitHub refuses a field of the pull request: head while it does not know
// the branch, {"resource": "PullRequest", "field": "head", "code": "invalid"}.
func invalid(answer *github.ErrorResponse, field string) bool {
	for _, e := range answer.Errors {
		if e.Field == field && (e.Code == "invalid" || e.Code == "custom") {
			return true
		}
	}
	return false
}

// edit changes the body of a pull request.
func (a *api) edit(ctx context.Context, upstream repository, number int, body string) (*github.PullRequest, error) {
	var p *github.PullRequest
	err := a.do(ctx, "update the pull request", true, func(ctx context.Context) (err error) {
		p, _, err = a.client.PullRequests.Edit(ctx, upstream.owner, upstream.name, number, &github.PullRequest{Body: &body})
		return err
	})
	return p, err
}

func isOpen(p *github.PullRequest) bool   { return p.GetState() == "open" }
func isMerged(p *github.PullRequest) bool { return p != nil && p.MergedAt != nil }

// newest returns the matching pull request with the highest number, or nil.
func newest(list []*github.PullRequest, match func(*github.PullRequest) bool) *github.PullRequest {
	var found *github.PullRequest
	for _, p := range list {
		if match(p) && p.GetNumber() > found.GetNumber() {
			found = p
		}
	}
	return found
}
