package upstream

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// publishing is the longest time between making a repository and its publication in upstream's
	// tree.
	publishing = 24 * time.Hour
	// quiet is the longest time without a new repository in any release. Updates are published
	// every week.
	quiet = 30 * 24 * time.Hour
)

// reference is the tree that mirrors are compared with. Each of its files is requested once for all
// mirrors.
type reference struct {
	once  sync.Once
	fail  string // why it cannot be used
	route *client
	base  *url.URL
	time  time.Time
	files sync.Map // path to func() []byte
}

// open connects to the reference. It returns why that failed, or "".
func (ref *reference) open(ctx context.Context, v *Verifier) string {
	ref.once.Do(func() { ref.fail = ref.connect(ctx, v) })
	return ref.fail
}

func (ref *reference) connect(ctx context.Context, v *Verifier) string {
	base, err := url.Parse(strings.TrimSuffix(v.o.Reference, "/") + "/")
	if err != nil || base.Host == "" {
		return "not a URL"
	}
	ref.base = base
	why := "its name has no addresses"
	for _, f := range []family{ipv4, ipv6} {
		var addrs []netip.Addr
		if addrs, err = v.lookup(ctx, f, base.Hostname()); err != nil {
			why = reason(err)
		}
		if len(addrs) == 0 {
			continue
		}
		ref.route = v.newClient(base.Hostname(), addrs[0], f, &probe{v: v})
		answer, err := ref.route.get(ctx, base.JoinPath("TIME"), 4096, false)
		if why = statusOf(answer, err); why != "" {
			continue
		}
		seconds, err := strconv.ParseInt(strings.TrimSpace(string(answer.body)), 10, 64)
		if err != nil {
			return "its TIME is not a Unix time"
		}
		ref.time = time.Unix(seconds, 0).UTC()
		return ""
	}
	return why
}

// get returns a file of the reference, or nil if the request fails.
func (ref *reference) get(ctx context.Context, path string) []byte {
	once := sync.OnceValue(func() []byte {
		answer, err := ref.route.get(ctx, ref.base.JoinPath(path), maxRepomd, false)
		if err != nil || !answer.ok() || answer.cut {
			return nil
		}
		return answer.body
	})
	actual, _ := ref.files.LoadOrStore(path, once)
	return actual.(func() []byte)()
}

// stale checks that repomd.xml files are as recent as TIME. Otherwise a sync copies TIME, but not
// the whole tree.
func (t *tree) stale(ctx context.Context) {
	const advice = "check that the sync copies the whole tree"
	r, v := t.primary, t.p.v
	if r.time.IsZero() || r.timeFail != "" {
		return // reported already
	}
	made := map[string]time.Time{}
	var newest time.Time
	for _, path := range t.repodata() {
		o, ok := r.file(path)
		if !ok || o.body == nil {
			continue
		}
		if index, err := parseRepomd(o.body); err == nil && !index.made().IsZero() {
			made[path] = index.made()
			if made[path].After(newest) {
				newest = made[path]
			}
		}
	}
	if len(made) == 0 {
		return
	}
	if newest.Add(quiet).Before(r.time) {
		r.add(Warning, CheckStale, "", advice, "TIME is recent, but no repomd.xml is newer than "+
			"%s", newest.Format(time.DateOnly))
		return
	}
	if v.o.Reference == "" {
		return
	}
	if why := v.reference.open(ctx, v); why != "" {
		if ctx.Err() == nil {
			message := fmt.Sprintf("repomd.xml files were not compared with those of %s: %s", clean(v.o.Reference), why)
			t.p.c.add(rawFinding{Note, CheckStale, message, "to use another tree, pass --reference URL", ""}, "", false)
		}
		return
	}
	t.p.expect(len(made))
	var g errgroup.Group
	g.SetLimit(v.o.PerHost)
	for path := range made {
		g.Go(func() error {
			defer t.p.step()
			t.compareReference(ctx, path, made[path])
			return nil
		})
	}
	_ = g.Wait()
}

// compareReference compares one repomd.xml with the reference's.
func (t *tree) compareReference(ctx context.Context, path string, made time.Time) {
	r, ref := t.primary, &t.p.v.reference
	theirs := ref.get(ctx, path)
	ours, _ := r.file(path)
	if theirs == nil || bytes.Equal(theirs, ours.body) {
		return
	}
	index, err := parseRepomd(theirs)
	if err != nil || !index.made().After(made) {
		return
	}
	const advice = "check that the sync copies the whole tree"
	switch {
	case !r.time.Before(ref.time):
		r.add(Error, CheckStale, path, advice, "TIME is as recent as that of %s, but this file is older than "+
			"there", ref.base.Host)
	case index.made().Add(publishing).Before(r.time):
		r.add(Warning, CheckStale, path, advice, "TIME is recent, but this file is older than that of %s a day "+
			"earlier", ref.base.Host)
	}
}
