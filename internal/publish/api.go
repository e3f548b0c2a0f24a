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

// api is a client of GitHub's REST API. It waits for rate limits and explains errors.
type api struct {
	client *github.Client
	base   *url.URL
	o      Options
	user   *github.User // the token's account; nil until it is first needed
}

func newAPI(o Options) (*api, error) {
	base, err := parseAPIURL(o.APIURL)
	if err != nil {
		return nil, err
	}
	a := &api{base: base, o: o}
	address := base.String()
	client := &http.Client{Transport: &authorized{base: base, o: o}, Timeout: apiTimeout}
	// The client's own rate limit check would reject the retry after waiting for the limit.
	a.client, err = github.NewClient(github.WithHTTPClient(client), github.WithURLs(&address, &address),
		github.WithUserAgent("mirrorform"), github.WithDisableRateLimitCheck())
	if err != nil {
		return nil, fmt.Errorf("set up the client of %s: %w", base, err)
	}
	return a, nil
}

// authorized adds the token to requests to the API's host, but not to other hosts after a redirect.
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

// webHost returns the host of the web pages: github.com for api.github.com.
func (a *api) webHost() string { return strings.TrimPrefix(a.base.Hostname(), "api.") }

// The limits of retries.
const (
	maxWait  = 3 * time.Minute // longest wait for a rate limit
	maxTries = 4
	// secondaryWait is the first wait for the secondary rate limit if GitHub does not send a time.
	// GitHub's documentation asks for at least one minute.
	secondaryWait = time.Minute
)

// do makes a call. It retries after a rate limit, and if reads is true also after connection and
// server errors. doing names the operation in errors, as in "read repository x".
func (a *api) do(ctx context.Context, doing string, reads bool, call func(context.Context) error) error {
	backoff := time.Second
	for try := 1; ; try++ {
		err := call(ctx)
		if err == nil {
			return nil
		}
		wait, why := a.wait(err, try)
		if why == "" && reads && temporary(err) {
			wait, why = backoff, "GitHub did not send a valid answer"
			backoff *= 4
		}
		if why == "" || try == maxTries || wait > maxWait || ctx.Err() != nil {
			return a.explain(doing, err)
		}
		a.o.Notify(fmt.Sprintf("%s; retrying in %s.", why, wait.Round(time.Second)))
		if err := a.o.Sleep(ctx, wait); err != nil {
			return a.explain(doing, err)
		}
	}
}

// wait returns how long to wait after an error, and the reason. The reason is "" if the error is
// not a rate limit.
func (a *api) wait(err error, try int) (time.Duration, string) {
	var primary *github.RateLimitError
	if errors.As(err, &primary) {
		return max(primary.Rate.Reset.Sub(a.o.Now()), 0) + time.Second, "GitHub's rate limit is used up"
	}
	if after, ok := secondary(err); ok {
		if after == 0 {
			after = secondaryWait << (try - 1)
		}
		return after, "GitHub's secondary rate limit was exceeded"
	}
	return 0, ""
}

// secondary reports whether an error is the secondary rate limit, and returns its Retry-After, or 0
// without one.
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
	return max(after, 0), parseErr == nil || strings.Contains(answer.Message, "secondary rate limit") ||
		code == http.StatusTooManyRequests
}

// temporary reports whether a retry may succeed: after a broken connection or a server error.
func temporary(err error) bool {
	var answer *github.ErrorResponse
	if errors.As(err, &answer) && answer.Response != nil {
		return answer.Response.StatusCode >= 500
	}
	var network *url.Error
	broken := errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF)
	return broken && !errors.Is(err, context.Canceled)
}

// account returns the token's account.
func (a *api) account(ctx context.Context) (*github.User, error) {
	if a.user != nil {
		return a.user, nil
	}
	err := a.do(ctx, "read the token's account", true, func(ctx context.Context) (err error) {
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

// usable checks the API's description of a repository before anything of it is used.
func (a *api) usable(r *github.Repository) (repository, error) {
	owner, name, err := splitName("the repository name in GitHub's answer", r.GetFullName())
	if err != nil {
		return repository{}, err
	}
	address, err := gitAddress(a.base, r.GetCloneURL())
	if err != nil {
		return repository{}, fmt.Errorf("the git URL that GitHub reports for %s/%s %w", owner, name, err)
	}
	return repository{owner: owner, name: name, branch: r.GetDefaultBranch(), git: address}, nil
}

// fork finds the fork of upstream with this full name. If full is "", it finds the fork of the
// token's account.
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
		return repository{}, fmt.Errorf("%s is the upstream repository, not a fork; "+
			"pass your fork with --fork OWNER/NAME", upstream)
	case !forkOf(r, upstream):
		return repository{}, fmt.Errorf("%s is not a fork of %s, so it cannot open a pull request there; %s",
			r.GetFullName(), upstream, a.makeFork(upstream))
	case r.GetArchived():
		return repository{}, fmt.Errorf("%s is archived and read-only; unarchive it in its settings on GitHub",
			r.GetFullName())
	case r.Permissions != nil && a.o.Token.Present() && !r.Permissions.GetPush():
		return repository{}, fmt.Errorf("%s has no permission to push to %s; "+
			"use the token of another account, or another --fork",
			a.o.Token, r.GetFullName())
	}
	return a.usable(r)
}

func forkOf(r *github.Repository, upstream repository) bool {
	return r.GetFork() && (strings.EqualFold(r.GetParent().GetFullName(), upstream.String()) ||
		strings.EqualFold(r.GetSource().GetFullName(), upstream.String()))
}

// ownFork finds the fork of the token's account: first by upstream's name, then in the list of
// upstream's forks.
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
	forks := pages(ctx, a, "list the forks of "+upstream.String(),
		func(ctx context.Context, at github.ListOptions) ([]*github.Repository, *github.Response, error) {
			return a.client.Repositories.ListForks(ctx, upstream.owner, upstream.name,
				&github.RepositoryListForksOptions{ListOptions: at})
		})
	for f, err := range forks {
		if err != nil {
			return nil, err
		}
		if strings.EqualFold(f.GetOwner().GetLogin(), user.GetLogin()) {
			return a.repository(ctx, f.GetOwner().GetLogin(), f.GetName()) // the list does not include parents
		}
	}
	return nil, a.noFork(upstream, user.GetLogin()+"/"+upstream.name)
}

// pages iterates over a paginated list and fetches each page when it is needed. It ends after an
// error.
func pages[T any](ctx context.Context, a *api, doing string,
	list func(context.Context, github.ListOptions) ([]*T, *github.Response, error)) iter.Seq2[*T, error] {
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
	return fmt.Errorf("fork %s not found, or the token cannot read it; %s", full, a.makeFork(upstream))
}

func (a *api) makeFork(upstream repository) string {
	return fmt.Sprintf("create a fork with gh repo fork %s --clone=false, or at %s://%s/%s/fork",
		upstream, a.base.Scheme, strings.TrimPrefix(a.base.Host, "api."), upstream)
}

func notFound(err error) bool {
	var answer *github.ErrorResponse
	return errors.As(err, &answer) && answer.Response != nil && answer.Response.StatusCode == http.StatusNotFound
}
