package publish

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-github/v92/github"
)

// pulls returns all pull requests from a branch of the fork to upstream, the newest first, whatever became of them.
func (a *api) pulls(ctx context.Context, upstream, fork repository, branch string) ([]*github.PullRequest, error) {
	all := pages(ctx, a, "list the pull requests of "+upstream.String(), func(ctx context.Context, at github.ListOptions) ([]*github.PullRequest, *github.Response, error) {
		return a.client.PullRequests.List(ctx, upstream.owner, upstream.name, &github.PullRequestListOptions{State: "all", Head: fork.owner + ":" + branch, ListOptions: at})
	})
	var found []*github.PullRequest
	for p, err := range all {
		if err != nil {
			return nil, err
		}
		// A server that does not understand the filter returns everything.
		from := p.GetHead()
		if from != nil && from.GetRef() == branch && (from.Repo == nil && strings.EqualFold(from.GetUser().GetLogin(), fork.owner) || strings.EqualFold(from.Repo.GetFullName(), fork.String())) {
			found = append(found, p)
		}
	}
	return found, nil
}

// open opens a pull request. When the answer does not come, or says that there is one already, it looks for it before it fails.
func (a *api) open(ctx context.Context, upstream, fork repository, c *Change) (*github.PullRequest, error) {
	const doing = "open the pull request"
	body := github.CreatePullRequest{
		Title: &c.Title, Body: &c.Body, Head: fork.owner + ":" + c.Branch, Base: upstream.branch, MaintainerCanModify: new(true),
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
		refused := errors.As(err, &answer) && answer.Response != nil && answer.Response.StatusCode == http.StatusUnprocessableEntity
		if refused && unseen(answer) && wait <= 8*time.Second {
			// What was just pushed is not everywhere on GitHub at once.
			if err := a.o.Sleep(ctx, wait); err != nil {
				return nil, a.explain(doing, err)
			}
			continue
		}
		if refused && strings.Contains(message(answer), "already exists") || passing(err) {
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

// unseen tells whether GitHub does not know the pull request's branch: {"resource": "PullRequest", "field": "head", "code": "invalid"}.
func unseen(answer *github.ErrorResponse) bool {
	for _, e := range answer.Errors {
		if e.Field == "head" && e.Code == "invalid" {
			return true
		}
	}
	return false
}

// edit changes the text of a pull request.
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

// newest is the pull request with the highest number of those that match, or nil.
func newest(list []*github.PullRequest, match func(*github.PullRequest) bool) *github.PullRequest {
	var found *github.PullRequest
	for _, p := range list {
		if match(p) && p.GetNumber() > found.GetNumber() {
			found = p
		}
	}
	return found
}
