package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/google/go-github/v92/github"
)

// explained is an error of a library in our words: what failed, what GitHub said, what to do.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

const tokenNeeds = "a classic personal access token with the scope public_repo can do all that publish does; a fine-grained one only where it covers both repositories (contents and pull requests: write)"

// explain says what an error of the API means and what to do next.
func (a *api) explain(doing string, err error) error {
	said, next := a.meaning(err)
	text := doing + ": " + said
	if next != "" {
		text += "; " + next
	}
	return &explained{text, err}
}

func (a *api) meaning(err error) (said, next string) {
	var primary *github.RateLimitError
	var otp *github.TwoFactorAuthError
	var answer *github.ErrorResponse
	switch {
	case errors.As(err, &primary):
		reset := primary.Rate.Reset.Time
		return fmt.Sprintf("GitHub's rate limit of %d requests an hour is used up", primary.Rate.Limit),
			fmt.Sprintf("run the command again after %s%s", reset.Format(time.RFC3339), a.ifAnonymous(" (with a token the limit is higher: set GITHUB_TOKEN)"))
	case errors.As(err, &otp):
		return "GitHub wants a second factor, which a password cannot give", "use a personal access token: " + tokenNeeds
	}
	if after, ok := secondary(err); ok {
		when := "in a few minutes"
		if after > 0 {
			when = "after " + a.o.Now().Add(after).Format(time.RFC3339)
		}
		return "GitHub's secondary rate limit was met", "run the command again " + when
	}
	if errors.As(err, &answer) && answer.Response != nil {
		return a.answered(answer)
	}
	return broken(err)
}

// answered explains GitHub's answer by its status and headers.
func (a *api) answered(answer *github.ErrorResponse) (said, next string) {
	said = fmt.Sprintf("GitHub answers %d: %s", answer.Response.StatusCode, message(answer))
	header := answer.Response.Header
	switch answer.Response.StatusCode {
	case http.StatusUnauthorized:
		return said, fmt.Sprintf("%s is wrong, expired or revoked: make a new one (%s)", a.o.Token, tokenNeeds)
	case http.StatusForbidden:
		if sso := header.Get("X-GitHub-SSO"); sso != "" {
			return said, fmt.Sprintf("authorise %s for the organisation's single sign-on%s", a.o.Token, ssoAddress(sso))
		}
		next = fmt.Sprintf("%s lacks a permission", a.o.Token)
		if needs := header.Get("X-Accepted-GitHub-Permissions"); needs != "" {
			next += " (" + needs + ")"
		} else if needs := header.Get("X-Accepted-OAuth-Scopes"); needs != "" {
			next += fmt.Sprintf(" (one of the scopes %s; it has %q)", needs, header.Get("X-OAuth-Scopes"))
		}
		return said, next + ": " + tokenNeeds
	case http.StatusNotFound:
		return said, "the name is wrong, or " + a.o.Token.String() + " may not see it: " + tokenNeeds
	case http.StatusGone, http.StatusUnavailableForLegalReasons:
		return said, "it was taken away on GitHub; nothing can be published there"
	case http.StatusUnprocessableEntity:
		return said, ""
	}
	if answer.Response.StatusCode >= 500 {
		return said, "that is GitHub's fault: see https://www.githubstatus.com and run the command again later"
	}
	return said, ""
}

func (a *api) ifAnonymous(text string) string {
	if a.o.Token.Present() {
		return ""
	}
	return text
}

// message is what GitHub says in an error, with its details.
func message(answer *github.ErrorResponse) string {
	text := answer.Message
	if text == "" {
		text = http.StatusText(answer.Response.StatusCode)
	}
	for _, e := range answer.Errors {
		switch {
		case e.Message != "":
			text += ": " + e.Message
		case e.Field != "":
			text += fmt.Sprintf(": %s is %s", e.Field, e.Code)
		}
	}
	return text
}

// ssoAddress takes the address out of the header "required; url=https://…".
func ssoAddress(header string) string {
	_, address, ok := strings.Cut(header, "url=")
	if u, err := url.Parse(strings.TrimSpace(address)); ok && err == nil && u.Scheme == "https" {
		return " at " + u.String()
	}
	return " in the settings of the token on GitHub"
}

// broken explains errors without an answer.
func broken(err error) (said, next string) {
	var dns *net.DNSError
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted", ""
	case errors.As(err, &dns):
		return "the name " + dns.Name + " cannot be looked up", "check the network, and run the command again"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "GitHub did not answer in time", "check the network, and run the command again"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was cut", "run the command again, which goes on from what is there"
	case errors.As(err, &network):
		return err.Error(), "check the network, and run the command again"
	}
	return err.Error(), ""
}

// explainGit says what an error of git's transport means.
func (a *api) explainGit(doing string, err error) error {
	var said, next string
	// go-git's wrappers do not unwrap.
	var unexpected *plumbing.UnexpectedError
	if errors.As(err, &unexpected) {
		err = unexpected.Err
	}
	text := err.Error()
	switch {
	case errors.Is(err, transport.ErrAuthenticationRequired):
		said, next = "git wants authentication", a.o.Token.String()+" is not accepted: "+tokenNeeds
	case errors.Is(err, transport.ErrAuthorizationFailed):
		said, next = "git answers 403, forbidden", a.o.Token.String()+" may not do that: "+tokenNeeds+"; for an organisation with single sign-on, authorise it there"
	case errors.Is(err, transport.ErrRepositoryNotFound):
		said, next = "there is no such repository, or "+a.o.Token.String()+" may not see it", ""
	case strings.Contains(text, "refusing to allow") && strings.Contains(text, "workflow"):
		// GitHub wants the scope for any commit that brings workflow files, and upstream's new ones are such.
		said, next = text, "the fork is behind upstream: bring it up to date with gh repo sync or its button Sync fork on GitHub, then run the command again"
	case strings.Contains(text, "email privacy"):
		said, next = text, "set user.email of git, or GIT_AUTHOR_EMAIL, to the noreply address in GitHub's settings under Emails"
	case strings.Contains(text, "protected branch"), strings.Contains(text, "hook declined"), strings.Contains(text, "rule violations"):
		said, next = text, "the fork's rules refuse the branch: change them in its settings on GitHub"
	default:
		said, next = broken(err)
	}
	out := doing + ": " + said
	if next != "" {
		out += "; " + next
	}
	return &explained{out, err}
}
