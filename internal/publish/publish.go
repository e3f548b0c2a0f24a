// Package publish adds the mirrors.d files of a configuration to AlmaLinux's mirror list. It
// commits each file to a branch of a fork of github.com/AlmaLinux/mirrors, and opens or updates the
// pull request.
//
// Open finds the repositories and fetches upstream into a temporary bare repository. Publish never
// writes to the user's clone. Plan reads and makes all decisions, so that a dry run shows what
// Apply will do. Apply pushes and calls the API. Drift compares with upstream's merged files.
//
// The behaviour of GitHub's REST API is documented at docs.github.com/rest, in "Pull requests",
// "Rate limits for the REST API", "Using pagination in the REST API" and "Troubleshooting the REST
// API".
package publish

import (
	"context"
	"errors"
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
	// Fork is the OWNER/NAME of the fork to which branches are pushed. The default is the fork in the
	// clone's remotes, or without a clone the fork of the token's account.
	Fork string
	// Clone is the directory of the user's clone of the fork, or "". Publish only reads it: its
	// remotes, its author, and whether it has uncommitted changes.
	Clone string
	// UpstreamOnly skips the fork. It suffices for Drift, and for a Plan that compares with upstream.
	UpstreamOnly bool
	// Token authenticates. Without a token, entries can be planned and compared, but not applied.
	Token Token
	// Checkers check an entry before it is published, after mirrorsd.Linter, which always runs.
	Checkers []Checker
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

// Session is a connection to upstream and the fork, with a temporary copy of upstream's repository.
// Only one goroutine may use it at a time.
type Session struct {
	o        Options
	api      *api
	upstream repository
	fork     *repository // nil without a token, or with UpstreamOnly
	store    *store
	clone    *clone // nil without Options.Clone
}

// repository is a repository on GitHub.
type repository struct {
	owner, name string
	branch      string // the default branch
	git         string // the URL for git fetch and push
}

func (r repository) String() string { return r.owner + "/" + r.name }

// gitTimeout bounds one fetch or push, so that a hanging connection becomes an error.
const gitTimeout = 10 * time.Minute

// Open finds the repositories and fetches upstream. The caller closes the session.
func Open(ctx context.Context, o Options) (_ *Session, err error) {
	o = o.withDefaults()
	s := &Session{o: o}
	defer func() { err = o.Token.redact(err) }()
	if s.api, err = newAPI(o); err != nil {
		return nil, err
	}
	var c *clone
	if o.Clone != "" {
		if c, err = openClone(o.Clone); err != nil {
			return nil, err
		}
		if !o.UpstreamOnly {
			if err := c.clean(); err != nil {
				return nil, err
			}
		}
	}
	s.clone = c
	if err := s.findRepositories(ctx, c); err != nil {
		return nil, err
	}
	if s.store, err = newStore(s); err != nil {
		return nil, err
	}
	if err := s.store.fetchUpstream(ctx, s.upstream); err != nil {
		return nil, errors.Join(err, s.store.close())
	}
	return s, nil
}

// Refresh fetches upstream again, so that the next Plan sees new merges.
func (s *Session) Refresh(ctx context.Context) error {
	return s.o.Token.redact(s.store.fetchUpstream(ctx, s.upstream))
}

// Close removes the temporary copy.
func (s *Session) Close() error { return s.store.close() }

// Upstream returns the OWNER/NAME of the repository with the list.
func (s *Session) Upstream() string { return s.upstream.String() }

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
func (s *Session) findRepositories(ctx context.Context, c *clone) error {
	owner, name, err := splitName("--upstream", s.o.Upstream)
	if err != nil {
		return err
	}
	up, err := s.api.repository(ctx, owner, name)
	if err != nil {
		return err
	}
	if s.upstream, err = s.api.usable(up); err != nil {
		return err
	}
	if c != nil {
		s.upstream.git = c.transport(s.upstream)
	}
	if s.o.UpstreamOnly {
		return nil
	}
	fork := s.o.Fork
	if fork == "" && c != nil {
		if fork, err = c.forkName(s.upstream); err != nil {
			return err
		}
	}
	if fork == "" && s.o.Token.secret == "" {
		return nil
	}
	f, err := s.api.fork(ctx, s.upstream, fork)
	if err != nil {
		return err
	}
	s.fork = &f
	if c != nil {
		s.fork.git = c.transport(f)
	}
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
