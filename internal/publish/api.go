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

	"github.com/google/go-github/v93/github"
)

// The limits of a request to the API.
const (
	apiTimeout = time.Minute
	maxAnswer  = 32 << 20 // bytes
)

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
	client := &http.Client{Transport: &authorized{base: base, o: o}, Timeout: apiTimeout, CheckRedirect: checkRedirect}
	// The client's own rate limit check would reject the retry after waiting for the limit.
	a.client, err = github.NewClient(github.WithHTTPClient(client), github.WithURLs(&address, &address),
		github.WithUserAgent("mirrorform"), github.WithDisableRateLimitCheck())
	if err != nil {
		return nil, fmt.Errorf("set up the client of %s: %w", base, err)
	}
	return a, nil
}

// checkRedirect refuses a redirect to an address that is not encrypted.
func checkRedirect(req *http.Request, via []*http.Request) error {
	switch first := via[0].URL; {
	case len(via) >= 10:
		return errors.New("GitHub redirects in a circle")
	case req.URL.Scheme != "https" && (first.Scheme == "https" || req.URL.Scheme != "http"):
		return fmt.Errorf("GitHub redirects to an address that does not begin with https:// (host %s)", req.URL.Hostname())
	}
	return nil
}

// authorized adds the token to requests to the API's host, but not to other hosts after a redirect.
// It bounds answers.
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
	answer, err := t.o.Transport.RoundTrip(req)
	if err == nil {
		answer.Body = &bounded{answer.Body, maxAnswer}
	}
	return answer, err
}

// bounded is a body that fails after a number of bytes.
type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("GitHub's answer is larger than %d MiB", maxAnswer>>20)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
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

// do makes a call. It retries after a rate limit. If again is true, the call changes nothing when
// it is made twice, and do retries also after connection and server errors. doing names the
// operation in errors, as in "read repository x".
func (a *api) do(ctx context.Context, doing string, again bool, call func(context.Context) error) error {
	backoff := time.Second
	for try := 1; ; try++ {
		err := call(ctx)
		if err == nil {
			return nil
		}
		wait, why := a.wait(err, try)
		if why == "" && again && temporary(err) {
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
	if code := status(err); code != 0 {
		return code >= 500
	}
	var network *url.Error
	broken := errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF)
	return broken && !errors.Is(err, context.Canceled)
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

// status returns the HTTP status of an error of GitHub, or 0.
func status(err error) int {
	var answer *github.ErrorResponse
	if errors.As(err, &answer) && answer.Response != nil {
		return answer.Response.StatusCode
	}
	return 0
}

func notFound(err error) bool { return status(err) == http.StatusNotFound }
