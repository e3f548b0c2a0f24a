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

	"github.com/google/go-github/v93/github"

	"github.com/mirrorform/mirrorform/internal/plain"
)

// explained is an error of a library with our own text: what failed, GitHub's answer, what to do.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

// tokenNeeds is the token to use. A fine-grained one does not suffice for the repositories of
// others ("Managing your personal access tokens", limitations of fine-grained tokens).
const tokenNeeds = "use a classic personal access token with the scope public_repo; a fine-grained one cannot open " +
	"pull requests in an organisation that its account is not a member of"

// explain returns an error with the meaning of an API error and the next step.
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
			fmt.Sprintf("run the command again after %s%s", reset.Format(time.RFC3339),
				a.ifAnonymous(" (set GITHUB_TOKEN for a higher limit)"))
	case errors.As(err, &otp):
		return "GitHub asks for a second factor, which a password does not provide", tokenNeeds
	}
	if after, ok := secondary(err); ok {
		when := "in a few minutes"
		if after > 0 {
			when = "after " + a.o.Now().Add(after).Format(time.RFC3339)
		}
		return "GitHub's secondary rate limit was exceeded", "run the command again " + when
	}
	if errors.As(err, &answer) && answer.Response != nil {
		return a.answered(answer)
	}
	return broken(err)
}

// answered explains GitHub's answer by its status and headers.
func (a *api) answered(answer *github.ErrorResponse) (said, next string) {
	text := message(answer)
	said = fmt.Sprintf("GitHub answered %d: %s", answer.Response.StatusCode, text)
	header := answer.Response.Header
	switch {
	case strings.Contains(text, "refusing to allow") && strings.Contains(text, "workflow"):
		// A commit with workflow files that the fork does not have yet, such as upstream's new ones,
		// needs the scope workflow.
		return said, "the fork is behind upstream; " +
			"update it with gh repo sync, or with Sync fork on GitHub, then run the command again"
	case strings.Contains(strings.ToLower(text), "protected branch"), strings.Contains(text, "rule violations"):
		return said, "the repository's rules reject this; change them in its settings on GitHub"
	}
	switch answer.Response.StatusCode {
	case http.StatusUnauthorized:
		return said, fmt.Sprintf("%s is invalid, expired or revoked; %s", a.o.Token, tokenNeeds)
	case http.StatusForbidden:
		if sso := header.Get("X-GitHub-SSO"); sso != "" {
			return said, fmt.Sprintf("authorize %s for the organization's single sign-on%s", a.o.Token, ssoAddress(sso))
		}
		next = fmt.Sprintf("%s lacks a permission", a.requester())
		if needs := header.Get("X-Accepted-GitHub-Permissions"); needs != "" {
			next += " (" + needs + ")"
		} else if needs := header.Get("X-Accepted-OAuth-Scopes"); needs != "" {
			next += fmt.Sprintf(" (one of the scopes %s; it has %q)", needs, header.Get("X-OAuth-Scopes"))
		}
		return said, next + "; " + tokenNeeds
	case http.StatusNotFound:
		return said, "the name is wrong, or " + a.requester() + " cannot read the repository; " + tokenNeeds
	case http.StatusGone, http.StatusUnavailableForLegalReasons:
		return said, "GitHub has removed it, so nothing can be published there"
	case http.StatusConflict:
		return said, "run the command again; it continues from the current state"
	}
	if answer.Response.StatusCode >= 500 {
		return said, "this is an error of GitHub; see https://www.githubstatus.com and run the command again later"
	}
	return said, ""
}

func (a *api) ifAnonymous(text string) string {
	if a.o.Token.Present() {
		return ""
	}
	return text
}

// requester names the token in messages, or states that the request has no token.
func (a *api) requester() string {
	if !a.o.Token.Present() {
		return "a request without a token"
	}
	return a.o.Token.String()
}

// message returns the message of a GitHub error with its details, escaped and in one line.
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
	return plain.Escape(cut(strings.Join(strings.Fields(text), " ")))
}

// ssoAddress returns the address in the header "required; url=https://…".
func ssoAddress(header string) string {
	_, address, ok := strings.Cut(header, "url=")
	if u, err := url.Parse(strings.TrimSpace(address)); ok && err == nil && u.Scheme == "https" {
		return " at " + u.String()
	}
	return " in the settings of the token on GitHub"
}

// broken explains errors without an answer from GitHub.
func broken(err error) (said, next string) {
	var dns *net.DNSError
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted", ""
	case errors.As(err, &dns):
		return "cannot look up the name " + dns.Name, "check the network and run the command again"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "GitHub did not answer in time", "check the network and run the command again"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was lost", "run the command again; it continues from the current state"
	case errors.As(err, &network):
		return err.Error(), "check the network and run the command again"
	}
	return err.Error(), ""
}
