package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Token is what authenticates to GitHub. It prints as where it comes from, never as itself.
type Token struct {
	secret string
	source string
}

// NewToken returns a token with the name of its source, such as "$GITHUB_TOKEN".
func NewToken(secret, source string) Token { return Token{secret, source} }

// String returns the token's source.
func (t Token) String() string {
	if t.secret == "" {
		return "no token"
	}
	return "the token of " + t.source
}

// GoString returns the token's source, for %#v.
func (t Token) GoString() string { return t.String() }

// Present tells whether there is a token.
func (t Token) Present() bool { return t.secret != "" }

// redact makes sure that an error says nothing of the token, whoever wrote its text.
func (t Token) redact(err error) error {
	if err == nil || t.secret == "" || !strings.Contains(err.Error(), t.secret) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), t.secret, "(token)"))
}

// ErrNoToken is the error of a token that was not found anywhere.
var ErrNoToken = errors.New("no token for GitHub: set GITHUB_TOKEN, or log in with gh auth login. A classic personal access token needs the scope public_repo")

// FindToken looks for a token for the API at apiURL, in the order in which gh does (gh help environment): for github.com and ghe.com
// $GH_TOKEN, then $GITHUB_TOKEN; for another host $GH_ENTERPRISE_TOKEN and $GITHUB_ENTERPRISE_TOKEN before these. Then it asks
// `gh auth token`, if gh is installed. environ has the form of os.Environ. The error is ErrNoToken, or says what is wrong with the token.
func FindToken(ctx context.Context, environ []string, apiURL string) (Token, error) {
	u, err := parseAPIURL(apiURL)
	if err != nil {
		return Token{}, err
	}
	host := strings.TrimPrefix(u.Hostname(), "api.")
	names := []string{"GH_TOKEN", "GITHUB_TOKEN"}
	if host != "github.com" && !strings.HasSuffix(host, ".ghe.com") {
		names = append([]string{"GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"}, names...)
	}
	for _, name := range names {
		if value := strings.TrimSpace(lookupEnv(environ, name)); value != "" {
			return checkedToken(value, "$"+name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "gh", "auth", "token", "--hostname", host)
	cmd.Env = environ
	out, err := cmd.Output()
	if value := string(bytes.TrimSpace(out)); err == nil && value != "" {
		return checkedToken(value, "gh")
	}
	return Token{}, ErrNoToken
}

// checkedToken refuses what cannot be a token, before it spoils a header.
func checkedToken(value, source string) (Token, error) {
	for _, r := range value {
		if r <= ' ' || r > '~' {
			return Token{}, fmt.Errorf("the token of %s has a space, a control character or one beyond ASCII; set it again", source)
		}
	}
	return Token{value, source}, nil
}

// lookupEnv returns a variable's value; the last one counts, as for programs that are started.
func lookupEnv(environ []string, name string) string {
	value := ""
	for _, e := range environ {
		if k, v, ok := strings.Cut(e, "="); ok && k == name {
			value = v
		}
	}
	return value
}
