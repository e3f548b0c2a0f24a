package publish

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// What GitHub's git servers say, and no other does.
func TestExplainGit(t *testing.T) {
	t.Parallel()
	a := &api{o: Options{Token: NewToken("secret", "$GH_TOKEN")}}
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("command error on refs/heads/x: refusing to allow a Personal Access Token to create or update workflow `.github/workflows/ci.yml` without `workflow` scope"), "gh repo sync"},
		{errors.New("command error on refs/heads/x: push declined due to email privacy restrictions"), "noreply address"},
		{errors.New("command error on refs/heads/x: protected branch hook declined"), "the fork's rules reject"},
		{errors.New("command error on refs/heads/x: push declined due to repository rule violations"), "the fork's rules reject"},
		{transport.ErrAuthenticationRequired, "the token from $GH_TOKEN was rejected"},
		{transport.ErrAuthorizationFailed, "single sign-on"},
		{&net.DNSError{Name: "github.com", Err: "no such host"}, "cannot look up the name github.com"},
		{plumbing.NewUnexpectedError(io.ErrUnexpectedEOF), "the connection was lost; run the command again"},
		{context.DeadlineExceeded, "did not answer in time"},
		{context.Canceled, "push: interrupted"},
		{errors.New("something else"), "push: something else"},
	} {
		if got := a.explainGit("push", c.err).Error(); !strings.Contains(got, c.want) || strings.Contains(got, "secret") {
			t.Errorf("%v: got %s", c.err, got)
		}
	}
}

// A body stays within what GitHub takes, and values are nothing but text in it.
func TestBody(t *testing.T) {
	t.Parallel()
	var have mirrorsd.Difference
	have.Key, have.Have, have.Want = "subnets", strings.Repeat("[192.0.2.0/24, ", 1e5), bodyEnd+"`` @everyone"
	body := pullBody("mirrors.d/x.yml", mirrorsd.File{Name: "x"}, false, []mirrorsd.Difference{have})
	if len(body) > 5000 || !strings.Contains(body, "```"+bodyEnd+"`` @everyone```") {
		t.Errorf("%d bytes:\n%s", len(body), body)
	}
	if got := mergeBody("before\n"+body+"after\n", strings.Replace(body, "Updates", "Changes", 1)); got != "before\n"+strings.Replace(body, "Updates", "Changes", 1)+"after\n" {
		t.Errorf("got:\n%s", got)
	}
	if got := mergeBody(body, body); got != body {
		t.Errorf("got:\n%s", got)
	}
}
