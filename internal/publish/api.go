package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-github/v92/github"
)

// apiTimeout bounds one request to the API.
const apiTimeout = time.Minute

// api is GitHub's REST API, with its limits respected and its errors in words.
type api struct {
	client *github.Client
	base   *url.URL
	o      Options
	user   *github.User // the token's account, once it is known
}

func newAPI(o Options) (*api, error) {
	base, err := parseAPIURL(o.APIURL)
	if err != nil {
		return nil, err
	}
	a := &api{base: base, o: o}
	address := base.String()
	client := &http.Client{Transport: &authorized{base: base, o: o}, Timeout: apiTimeout}
	// Its check of the rate limit would refuse the request that comes after waiting for the limit's end.
	a.client, err = github.NewClient(github.WithHTTPClient(client), github.WithURLs(&address, &address),
		github.WithUserAgent("mirrorform"), github.WithDisableRateLimitCheck())
	if err != nil {
		return nil, fmt.Errorf("set up the client of %s: %w", base, err)
	}
	return a, nil
}

// authorized adds the token to requests to the API's own host, and to no other that a redirect may lead to.
type authorized struct {
	base *url.URL
	o    Options
}

// RoundTrip performs one request.
func (t *authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Del("Authorization")
	if t.o.Token.secret != "" && req.URL.Scheme == t.base.Scheme && req.URL.Host == t.base.Host {
		req.Header.Set("Authorization", "Bearer "+t.o.Token.secret)
	}
	return t.o.Transport.RoundTrip(req)
}

// webHost is the host of the web pages: github.com for api.github.com.
func (a *api) webHost() string { return strings.TrimPrefix(a.base.Hostname(), "api.") }

// The bounds of patience: how long publish waits by itself for a rate limit to end, how often it tries, and how long it waits where
// GitHub does not say (its rules ask for a minute at least).
const (
	maxWait       = 3 * time.Minute
	maxTries      = 4
	secondaryWait = time.Minute
)

// do makes a call, again where a rate limit says when, and after a broken answer if the call changes nothing. doing says what
// the call is for, as in "read repository x".
func (a *api) do(ctx context.Context, doing string, reads bool, call func(context.Context) error) error {
	backoff := time.Second
	for try := 1; ; try++ {
		err := call(ctx)
		if err == nil {
			return nil
		}
		wait, why := a.wait(err, try)
		if why == "" && reads && passing(err) {
			wait, why = backoff, "GitHub did not answer properly"
			backoff *= 4
		}
		if why == "" || try == maxTries || wait > maxWait || ctx.Err() != nil {
			return a.explain(doing, err)
		}
		a.o.Notify(fmt.Sprintf("%s; trying again in %s.", why, wait.Round(time.Second)))
		if err := a.o.Sleep(ctx, wait); err != nil {
			return a.explain(doing, err)
		}
	}
}

// wait is how long GitHub asks to wait after an error, and why; "" if it was no rate limit.
func (a *api) wait(err error, try int) (time.Duration, string) {
	var primary *github.RateLimitError
	if errors.As(err, &primary) {
		return max(primary.Rate.Reset.Sub(a.o.Now()), 0) + time.Second, "GitHub's rate limit is used up"
	}
	if after, ok := secondary(err); ok {
		if after == 0 {
			after = secondaryWait << (try - 1)
		}
		return after, "GitHub's secondary rate limit was met"
	}
	return 0, ""
}

// secondary tells whether an error is of the secondary rate limit, with its Retry-After; 0 if there is none.
func secondary(err error) (time.Duration, bool) {
	var abuse *github.AbuseRateLimitError
	if errors.As(err, &abuse) {
		if abuse.RetryAfter != nil {
			return *abuse.RetryAfter, true
		}
		return 0, true
	}
	var answer *github.ErrorResponse
	if !errors.As(err, &answer) || answer.Response == nil {
		return 0, false
	}
	code := answer.Response.StatusCode
	if code != http.StatusForbidden && code != http.StatusTooManyRequests {
		return 0, false
	}
	after, parseErr := time.ParseDuration(answer.Response.Header.Get("Retry-After") + "s")
	return max(after, 0), parseErr == nil || strings.Contains(answer.Message, "secondary rate limit") || code == http.StatusTooManyRequests
}

// passing tells whether an error may be gone at the next try: a broken connection or a server's error.
func passing(err error) bool {
	var answer *github.ErrorResponse
	if errors.As(err, &answer) && answer.Response != nil {
		return answer.Response.StatusCode >= 500
	}
	var network *url.Error
	broken := errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF)
	return broken && !errors.Is(err, context.Canceled)
}

// account is the token's account.
func (a *api) account(ctx context.Context) (*github.User, error) {
	if a.user != nil {
		return a.user, nil
	}
	err := a.do(ctx, "ask whose token it is", true, func(ctx context.Context) (err error) {
		a.user, _, err = a.client.Users.Get(ctx, "")
		return err
	})
	return a.user, err
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

// usable checks what the API says of a repository before any of it is used.
func (a *api) usable(r *github.Repository) (repository, error) {
	owner, name, err := splitName("the repository's name in GitHub's answer", r.GetFullName())
	if err != nil {
		return repository{}, err
	}
	address, err := gitAddress(a.base, r.GetCloneURL())
	if err != nil {
		return repository{}, fmt.Errorf("the address for git that GitHub gives for %s/%s %w", owner, name, err)
	}
	return repository{owner: owner, name: name, branch: r.GetDefaultBranch(), git: address}, nil
}

// fork finds the fork of upstream: the one of that full name, or if it is "" the one that the token's account has.
func (a *api) fork(ctx context.Context, upstream repository, full string) (repository, error) {
	var r *github.Repository
	var err error
	if full == "" {
		r, err = a.ownFork(ctx, upstream)
	} else {
		var owner, name string
		if owner, name, err = splitName("--fork", full); err == nil {
			r, err = a.repository(ctx, owner, name)
			if notFound(err) {
				err = a.noFork(upstream, full)
			}
		}
	}
	if err != nil {
		return repository{}, err
	}
	switch {
	case strings.EqualFold(r.GetFullName(), upstream.String()):
		return repository{}, fmt.Errorf("%s is upstream itself; name your fork of it with --fork OWNER/NAME", upstream)
	case !forkOf(r, upstream):
		return repository{}, fmt.Errorf("%s is no fork of %s, so no pull request can come from it; %s", r.GetFullName(), upstream, a.makeFork(upstream))
	case r.GetArchived():
		return repository{}, fmt.Errorf("%s is archived, so nothing can be pushed to it; unarchive it in its settings on GitHub", r.GetFullName())
	case r.Permissions != nil && a.o.Token.Present() && !r.Permissions.GetPush():
		return repository{}, fmt.Errorf("%s may not push to %s; use a token of an account that may, or another --fork", a.o.Token, r.GetFullName())
	}
	return a.usable(r)
}

func forkOf(r *github.Repository, upstream repository) bool {
	return r.GetFork() && (strings.EqualFold(r.GetParent().GetFullName(), upstream.String()) || strings.EqualFold(r.GetSource().GetFullName(), upstream.String()))
}

// ownFork finds the fork of the token's account: usually of the same name, else in the list of upstream's forks.
func (a *api) ownFork(ctx context.Context, upstream repository) (*github.Repository, error) {
	user, err := a.account(ctx)
	if err != nil {
		return nil, err
	}
	r, err := a.repository(ctx, user.GetLogin(), upstream.name)
	if err == nil && forkOf(r, upstream) {
		return r, nil
	}
	if err != nil && !notFound(err) {
		return nil, err
	}
	forks := pages(ctx, a, "list the forks of "+upstream.String(), func(ctx context.Context, at github.ListOptions) ([]*github.Repository, *github.Response, error) {
		return a.client.Repositories.ListForks(ctx, upstream.owner, upstream.name, &github.RepositoryListForksOptions{ListOptions: at})
	})
	for f, err := range forks {
		if err != nil {
			return nil, err
		}
		if strings.EqualFold(f.GetOwner().GetLogin(), user.GetLogin()) {
			return a.repository(ctx, f.GetOwner().GetLogin(), f.GetName()) // the list has no parents
		}
	}
	return nil, a.noFork(upstream, user.GetLogin()+"/"+upstream.name)
}

// pages are the members of a list that comes in pages, which are asked for as they are needed. An error is the last.
func pages[T any](ctx context.Context, a *api, doing string, list func(context.Context, github.ListOptions) ([]*T, *github.Response, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		at := github.ListOptions{PerPage: 100}
		for {
			var page []*T
			var answer *github.Response
			err := a.do(ctx, doing, true, func(ctx context.Context) (err error) {
				page, answer, err = list(ctx, at)
				return err
			})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, member := range page {
				if !yield(member, nil) {
					return
				}
			}
			if answer.NextPage == 0 {
				return
			}
			at.Page = answer.NextPage
		}
	}
}

func (a *api) noFork(upstream repository, full string) error {
	return fmt.Errorf("there is no fork %s that the token may see; %s", full, a.makeFork(upstream))
}

func (a *api) makeFork(upstream repository) string {
	return fmt.Sprintf("make one with gh repo fork %s --clone=false, or at %s://%s/%s/fork", upstream, a.base.Scheme, strings.TrimPrefix(a.base.Host, "api."), upstream)
}

func notFound(err error) bool {
	var answer *github.ErrorResponse
	return errors.As(err, &answer) && answer.Response != nil && answer.Response.StatusCode == http.StatusNotFound
}
