// Package publish brings the mirrors.d files of a configuration to AlmaLinux's mirror list: it commits each to a branch of a fork of
// github.com/AlmaLinux/mirrors and opens or updates the pull request.
//
// Open finds the repositories and fetches upstream into a temporary bare repository; no checkout of the user's is ever written. Plan
// reads and decides, Apply pushes and calls the API, Drift compares with what upstream has merged. All that is decided is
// decided by Plan, so a dry run shows what Apply would do.
//
// The rules of GitHub's REST API that are relied upon: docs.github.com/rest, "Pull requests", "Rate limits for the REST API",
// "Using pagination in the REST API" and "Troubleshooting the REST API".
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

// Options say where an entry is published, and how. Zero values are defaults.
type Options struct {
	// APIURL is the address of GitHub's REST API, DefaultAPIURL by default; on GitHub Enterprise Server https://HOST/api/v3/.
	// Plain http is taken for a loopback address only.
	APIURL string
	// Upstream is the OWNER/NAME of the repository that holds the list, DefaultUpstream by default.
	Upstream string
	// Fork is the OWNER/NAME of the fork that branches are pushed to. By default it is what the clone's remotes say, else
	// the fork that the token's account has.
	Fork string
	// Clone is the directory of the user's clone of the fork, or "". It is only read: its remotes, its author, and whether it has
	// changes that are not committed.
	Clone string
	// UpstreamOnly leaves the fork alone: enough for Drift, and for Plan to compare with upstream.
	UpstreamOnly bool
	// Token authenticates. Without one, entries can be planned and compared, not applied.
	Token Token
	// Checkers judge an entry that is about to be published, after mirrorsd.Linter, which always does.
	Checkers []Checker
	// Relist takes private: true out of an entry where upstream put it in, and brings back one that a pull request of ours removed; without it
	// such entries are refused.
	Relist bool
	// Overwrite replaces values that somebody else committed to the pull request's branch; without it such a branch is refused.
	Overwrite bool
	// IgnoreClosed opens a new pull request although an earlier one was closed without being merged.
	IgnoreClosed bool
	// Notify is told of what takes time, such as waiting for a rate limit. It may be nil.
	Notify func(text string)

	// Transport carries the API's requests; http.DefaultTransport by default.
	Transport http.RoundTripper
	// Sleep waits, or returns the context's error; a timer by default.
	Sleep func(ctx context.Context, d time.Duration) error
	// Now tells the time; time.Now by default.
	Now func() time.Time
	// Environ replaces the process's environment, in the form of os.Environ: it may name the commits' author.
	Environ []string
}

// Entry is one mirror's wanted file.
type Entry struct {
	Address string        // of the resource that makes the file: local/mirror.almalinux.publish["fra1"]
	Host    string        // the mirror's host
	File    mirrorsd.File // what the configuration wants upstream to have
	Remove  bool          // upstream is to have no file for the mirror any more; of File only the name counts
}

// Session is a connection to upstream and the fork, with a temporary copy of what upstream has. It is used by one goroutine at a time.
type Session struct {
	o        Options
	api      *api
	upstream repository
	fork     *repository // nil: not known, since there is no token
	store    *store
	clone    *clone // nil: none
}

// repository is a repository on GitHub.
type repository struct {
	owner, name string
	branch      string // its default branch
	git         string // the URL that git fetches from and pushes to
}

func (r repository) String() string { return r.owner + "/" + r.name }

// gitTimeout bounds one fetch or push: a connection that hangs is an error, and not for ever.
const gitTimeout = 10 * time.Minute

// Open finds the repositories and fetches what upstream has. The caller closes the session.
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

// Refresh fetches what upstream has now, so that another Plan sees what was merged meanwhile.
func (s *Session) Refresh(ctx context.Context) error {
	return s.o.Token.redact(s.store.fetchUpstream(ctx, s.upstream))
}

// Close removes the temporary copy.
func (s *Session) Close() error { return s.store.close() }

// Upstream returns the OWNER/NAME of the repository that holds the list.
func (s *Session) Upstream() string { return s.upstream.String() }

// Fork returns the OWNER/NAME of the fork, or "" if none is known.
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

// findRepositories asks the API for upstream and the fork.
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

// splitName takes OWNER/NAME apart. what says where it comes from.
func splitName(what, full string) (owner, name string, err error) {
	owner, name, ok := strings.Cut(full, "/")
	if !ok || !validOwner(owner) || !validRepository(name) {
		return "", "", fmt.Errorf("%s is %q, which is not a repository's OWNER/NAME such as %s", what, full, DefaultUpstream)
	}
	return owner, name, nil
}
