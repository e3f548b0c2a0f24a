// Package publish adds the mirrors.d files of a configuration to AlmaLinux's mirror list. It
// commits each file to a branch of a fork of github.com/AlmaLinux/mirrors, and opens or updates the
// pull request.
//
// It needs no clone: commits are made with the Git Data API, in the fork, on top of upstream's
// newest commit. Open finds the repositories and lists upstream's files. Plan reads and makes all
// decisions, so that a dry run shows what Apply will do. Apply writes. Drift compares with
// upstream's merged files, and Patch writes a change for those who push it themselves.
//
// The behaviour of GitHub's REST API is documented at docs.github.com/rest, in "Git database",
// "Forks", "Pull requests", "Rate limits for the REST API", "Using pagination in the REST API" and
// "Troubleshooting the REST API".
package publish

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// The defaults of Options.
const (
	DefaultUpstream = "AlmaLinux/mirrors"
	DefaultAPIURL   = "https://api.github.com/"
)

// Options configure a Session. Zero values are defaults.
type Options struct {
	// APIURL is the address of GitHub's REST API. The default is DefaultAPIURL; for GitHub Enterprise
	// Server it is https://HOST/api/v3/. Plain http is allowed only for loopback addresses.
	APIURL string
	// Upstream is the OWNER/NAME of the repository with the list. The default is DefaultUpstream.
	Upstream string
	// Fork is the OWNER/NAME of the fork that gets the branches. The default is the fork of the
	// token's account, which Apply creates if it is missing.
	Fork string
	// UpstreamOnly skips the fork. It suffices for Drift, and for a Plan that compares with upstream,
	// of which only Patch can be used.
	UpstreamOnly bool
	// Token authenticates. Without a token, entries can be planned and compared, but not applied.
	Token Token
	// Checkers check an entry before it is published, after mirrorsd.Linter, which always runs.
	Checkers []Checker
	// Service is what upstream's service requires. The default is mirrorsd.DefaultService().
	Service mirrorsd.Service
	// Relist allows publish to remove a private: true that upstream added, and to add an entry again
	// that an earlier pull request of publish removed. Without Relist both are errors.
	Relist bool
	// Overwrite replaces values that another author committed to the pull request's branch. Without
	// Overwrite they are an error.
	Overwrite bool
	// IgnoreClosed opens a new pull request although an earlier one was closed without being merged.
	IgnoreClosed bool
	// Notify receives messages about delays, such as waiting for a rate limit. It may be nil.
	Notify func(text string)

	// Transport sends the API requests. The default is http.DefaultTransport.
	Transport http.RoundTripper
	// Sleep waits, or returns the context's error. The default uses a timer.
	Sleep func(ctx context.Context, d time.Duration) error
	// Now returns the current time. The default is time.Now.
	Now func() time.Time
	// Environ replaces the process's environment, in the form of os.Environ. It can set the author of
	// commits.
	Environ []string
}

// Entry is one mirror's wanted file.
type Entry struct {
	Address string        // of the resource for the file: local/mirror.almalinux.publish["fra1"]
	Host    string        // the mirror's host
	Hub     string        // the host of the configuration that the tree comes from, or ""
	File    mirrorsd.File // the file that the configuration wants upstream to have
	Remove  bool          // remove the mirror's file upstream; of File, only the name counts
}

// Session is what is known of upstream and the fork. Only one goroutine may use it at a time.
type Session struct {
	o        Options
	api      *api
	objects  *objects
	upstream repository
	fork     *repository // nil without a token, or with UpstreamOnly
	list     *list       // upstream's files
}

// Open finds the repositories and reads upstream's list.
func Open(ctx context.Context, o Options) (_ *Session, err error) {
	o = o.withDefaults()
	s := &Session{o: o}
	defer func() { err = o.Token.redact(err) }()
	if s.api, err = newAPI(o); err != nil {
		return nil, err
	}
	if err := s.findRepositories(ctx); err != nil {
		return nil, err
	}
	s.objects = newObjects(s.api)
	if s.list, err = readList(ctx, s.objects, s.upstream); err != nil {
		return nil, err
	}
	return s, nil
}

// Refresh reads upstream again, so that the next Plan sees new merges.
func (s *Session) Refresh(ctx context.Context) error {
	_, err := s.refresh(ctx)
	return s.o.Token.redact(err)
}

// refresh reads upstream again, and reports whether it has changed.
func (s *Session) refresh(ctx context.Context) (changed bool, err error) {
	now, err := readList(ctx, s.objects, s.upstream)
	if err != nil {
		return false, err
	}
	changed = now.tip.sha != s.list.tip.sha
	s.list = now
	return changed, nil
}

// Upstream returns the OWNER/NAME of the repository with the list.
func (s *Session) Upstream() string { return s.upstream.String() }

// ComparePage returns the address of the page on which pull requests to upstream are opened.
func (s *Session) ComparePage() string { return s.api.page(s.upstream) + "/compare" }

// MakesFork reports whether the fork does not exist yet, so that Apply creates it.
func (s *Session) MakesFork() bool { return s.fork != nil && s.fork.missing }

// Fork returns the OWNER/NAME of the fork, or "" if it is not known.
func (s *Session) Fork() string {
	if s.fork == nil {
		return ""
	}
	return s.fork.String()
}

func (o Options) withDefaults() Options {
	if o.APIURL == "" {
		o.APIURL = DefaultAPIURL
	}
	if o.Upstream == "" {
		o.Upstream = DefaultUpstream
	}
	if o.Notify == nil {
		o.Notify = func(string) {}
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// findRepositories looks up upstream and the fork with the API.
func (s *Session) findRepositories(ctx context.Context) error {
	owner, name, err := splitName("--upstream", s.o.Upstream)
	if err != nil {
		return err
	}
	up, err := s.api.repository(ctx, owner, name)
	if err != nil {
		return err
	}
	if s.upstream, err = usable(up); err != nil {
		return err
	}
	if s.o.UpstreamOnly || s.o.Fork == "" && !s.o.Token.Present() {
		return nil
	}
	f, err := s.api.fork(ctx, s.upstream, s.o.Fork)
	if err != nil {
		return err
	}
	s.fork = &f
	return nil
}

// splitName splits OWNER/NAME. what names the source of the name in errors.
func splitName(what, full string) (owner, name string, err error) {
	owner, name, ok := strings.Cut(full, "/")
	if !ok || !validOwner(owner) || !validRepository(name) {
		return "", "", fmt.Errorf("%s is %q, not a repository in the form OWNER/NAME, such as %s",
			what, full, DefaultUpstream)
	}
	return owner, name, nil
}
