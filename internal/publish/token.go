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

// Token authenticates to GitHub. It prints as its source, never as its secret.
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
	return "the token from " + t.source
}

// GoString returns the token's source, for %#v.
func (t Token) GoString() string { return t.String() }

// Present reports whether there is a token.
func (t Token) Present() bool { return t.secret != "" }

// redact removes the token from the text of an error, including errors of libraries and servers.
func (t Token) redact(err error) error {
	if err == nil || t.secret == "" || !strings.Contains(err.Error(), t.secret) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), t.secret, "(token)"))
}

// ErrNoToken means that no token was found.
var ErrNoToken = errors.New("no GitHub token found; " +
	"set GITHUB_TOKEN, or run gh auth login (a classic personal access token needs the scope public_repo)")

// FindToken looks for a token for the API at apiURL in the same order as gh (gh help environment):
// $GH_TOKEN, then $GITHUB_TOKEN. For hosts other than github.com and ghe.com, $GH_ENTERPRISE_TOKEN
// and $GITHUB_ENTERPRISE_TOKEN come first. If none is set, it runs `gh auth token`, if gh is
// installed. environ has the form of os.Environ. The error is ErrNoToken or describes an invalid
// token.
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

// checkedToken rejects a value that cannot be a token and would corrupt the HTTP header.
func checkedToken(value, source string) (Token, error) {
	for _, r := range value {
		if r <= ' ' || r > '~' {
			return Token{}, fmt.Errorf("the token from %s contains a space, a control character or a non-ASCII character; "+
				"set it again", source)
		}
	}
	return Token{value, source}, nil
}

// lookupEnv returns a variable's value. The last one counts, as in the environment of a program.
func lookupEnv(environ []string, name string) string {
	value := ""
	for _, e := range environ {
		if k, v, ok := strings.Cut(e, "="); ok && k == name {
			value = v
		}
	}
	return value
}
