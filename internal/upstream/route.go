package upstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxFailures is the number of consecutive requests without an answer after which a route is given
// up.
const maxFailures = 8

// route is one way to a tree: a protocol, over one address.
type route struct {
	*client
	tree     *tree
	base     *url.URL // ends in a slash
	protocol string
	name     string // "http/ipv4"; with the address if it is not the first of its family
	listed   bool
	// first is set for the first address of its family. That one gets all requests, the others only
	// those for compare.
	first bool

	alive    bool
	baseFail string    // why the base URL does not answer; "" if it does
	timeFail string    // why the service considers the mirror expired; "" if it does not
	time     time.Time // the content of TIME
	index    *response // of the base URL

	given map[string]*response // answers to the service's look, each used once
	tried atomic.Bool          // whether the service's user agent was tried

	mu       sync.Mutex
	outcomes map[string]outcome
	tries    map[string]int // attempts that files needed
	failures int            // in a row
	gaveUp   bool
}

// outcome is the result of requesting one file.
type outcome struct {
	fail string // "" if it is there
	sum  [sha256.Size]byte
	body []byte // of repomd.xml, on the primary route
}

// add records a finding of this route.
func (r *route) add(severity Severity, check, path, advice, format string, args ...any) {
	service := r == r.tree.service && (severity == Error || check == CheckISO)
	if r.tree.p.m.File.Private && severity == Error && check == CheckConnect {
		severity = Warning // a private mirror may be reachable from its own network only
	}
	if r.tree.module != "" && (check == CheckBase || check == CheckRepodata || check == CheckTime) {
		check = CheckKitten
	}
	seen := service && !r.tree.p.service.passed(r.tree, path) && slices.Contains([]string{
		CheckConnect, CheckSlow, CheckCertificate, CheckRedirect, CheckBase, CheckTime, CheckRepodata, CheckISO, CheckKitten,
	}, check)
	r.tree.p.c.add(rawFinding{severity, check, fmt.Sprintf(format, args...), advice, path}, r.name, seen)
}

// fetch requests a file below the base URL, or only its header.
func (r *route) fetch(ctx context.Context, path string, limit int64, head bool) (*response, error) {
	defer r.tree.p.step()
	r.mu.Lock()
	gaveUp := r.gaveUp
	r.mu.Unlock()
	if gaveUp {
		return nil, errGaveUp
	}
	answer, err := r.request(ctx, path, limit, head)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r.countAttempts(path, answer)
	var p *probeError
	lost := errors.As(err, &p) && (p.check == CheckConnect || p.check == CheckSlow)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures++; !lost {
		r.failures = 0
	}
	if r.failures >= maxFailures && !r.gaveUp {
		r.gaveUp = true
		r.add(Error, p.check, "", "", "the last %d requests got no answer, so the remaining checks were "+
			"skipped", maxFailures)
	}
	return answer, err
}

// errGaveUp is the error of requests that are skipped.
var errGaveUp = errors.New("not requested, since the server no longer answers")

// fault records an error or a bad status as a finding: of the check that the error belongs to, or
// else of the given one.
func (r *route) fault(severity Severity, check, path, advice string, answer *response, err error) {
	var p *probeError
	switch {
	case errors.Is(err, errGaveUp), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	case errors.As(err, &p) && p.local:
		r.tree.p.lacks(r.family)
	case errors.As(err, &p):
		r.add(Error, p.check, path, "", "%s", p.Error())
	case err != nil:
		r.add(severity, check, path, advice, "%s", clean(err.Error()))
	default:
		r.add(severity, check, path, advice, "it answers %s", statusOf(answer, nil))
	}
}

// lacks records, once, that this machine cannot reach a family.
func (p *probe) lacks(f family) {
	if p.absent[f].CompareAndSwap(false, true) {
		message := fmt.Sprintf("this machine has no %s, so the mirror was not checked over %[1]s", f)
		p.c.add(rawFinding{Note, CheckConnect, message, "run verify on a machine with " + f.String(), ""}, "", false)
	}
}

// start requests the base URL and TIME. If a route has neither, there is no tree, and no further
// request; a module may still have its files.
func (r *route) start(ctx context.Context) {
	r.tree.p.expect(2)
	base, baseErr := r.fetch(ctx, "", maxPage, false)
	if r.dead(baseErr) {
		r.baseFail = baseErr.Error()
		r.tree.p.step()
		r.startFault(base, baseErr)
		return
	}
	stamp, timeErr := r.fetch(ctx, "TIME", 4096, false)
	r.baseFail = statusOf(base, baseErr)
	r.timeFail = statusOf(stamp, timeErr)
	if r.baseFail != "" && r.timeFail != "" && (r.tree.module == "" || !r.has(ctx, r.tree.repodata()[0])) {
		r.startFault(base, baseErr)
		return
	}
	r.alive = true
	if r.baseFail != "" {
		r.startFault(base, baseErr)
	} else {
		r.index = base
		r.redirects(base)
		r.cdn(ctx, base)
	}
	r.checkTime(stamp, timeErr)
}

// has reports whether a file is there.
func (r *route) has(ctx context.Context, path string) bool {
	r.tree.p.expect(1)
	answer, err := r.fetch(ctx, path, maxRepomd, false)
	return statusOf(answer, err) == ""
}

// startFault records why the base URL does not answer.
func (r *route) startFault(base *response, err error) {
	if !r.listed {
		if r.first && r.family == ipv4 {
			r.add(Note, CheckConnect, "", "", "%s is not available at the same address: %s", r.protocol, statusOf(base, err))
		}
		return
	}
	advice := ""
	if err == nil && base.status == 403 {
		advice = "the service needs an answer here: permit directory listings (autoindex on; in nginx)"
	}
	severity := Error
	if r.tree.module != "" && r.alive {
		severity, advice = Warning, "" // for a module the service requests only repomd.xml
	}
	if err == nil {
		r.add(severity, CheckBase, "", advice, "the URL of the tree answers %s", statusOf(base, nil))
		return
	}
	r.fault(severity, CheckBase, "", advice, base, err)
}

// dead reports whether the server cannot be reached at all.
func (r *route) dead(err error) bool {
	var p *probeError
	return errors.As(err, &p) && p.check != CheckRedirect
}

// checkTime checks TIME: a Unix time in seconds. The service reads it as any number, and so accepts
// what is later than a Unix time can be.
func (r *route) checkTime(answer *response, err error) {
	allowed, now := r.tree.p.facts.AllowedOutdate, r.tree.p.v.now()
	if r.timeFail = statusOf(answer, err); r.timeFail != "" {
		r.fault(Error, CheckTime, "TIME", "it is part of the tree: check that the sync copies the whole tree", answer, err)
		return
	}
	if r.timeFail = r.tree.p.expired(answer); r.timeFail == "TIME is too old" {
		r.timeFail = ""
	}
	text, _ := decode(answer.header.Get("Content-Type"), answer.body)
	seconds, _ := parseFloat(text)
	const advice = "it is part of the tree: check that only the sync writes it"
	content := clean(strings.TrimSpace(string(answer.body)))
	switch {
	case r.timeFail != "" || seconds < 0:
		r.timeFail = "TIME is not a Unix time"
		r.add(Error, CheckTime, "TIME", advice, "it contains %q, which is not a Unix time", content)
		return
	case !(seconds < 1e11):
		r.add(Warning, CheckTime, "TIME", advice, "it contains %q, which is not a Unix time in seconds; the service "+
			"considers that recent", content)
		return
	}
	r.time = time.Unix(int64(seconds), 0).UTC()
	age := now.Sub(r.time)
	switch {
	case age > allowed:
		r.timeFail = "TIME is too old"
		r.add(Error, CheckTime, "TIME", r.tree.p.m.syncAdvice(), "the tree is from %s, %s ago; at "+
			"most %s are allowed",
			r.time.Format("2006-01-02 15:04 MST"), hours(age), hours(allowed))
	case age < -10*time.Minute:
		r.add(Warning, CheckTime, "TIME", "", "%s is in the future, so the age of the tree is unknown",
			r.time.Format("2006-01-02 15:04 MST"))
	}
}

// syncAdvice is what to check if the tree is old. That of a leaf is as old as its hub's, at least.
func (m *Mirror) syncAdvice() string {
	if m.Hub == "" {
		return "check that the sync runs, and its source"
	}
	return "to see whether the sync runs, or its hub " + m.Hub + " is as old: mirrorform status"
}

// hours formats a duration in hours, or in days from 72 hours.
func hours(d time.Duration) string {
	if d >= 72*time.Hour {
		return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
	}
	return fmt.Sprintf("%.1f hours", d.Hours())
}

// redirects reports the redirect of the base URL.
func (r *route) redirects(answer *response) {
	if len(answer.chain) == 0 {
		return
	}
	to := answer.final
	switch {
	case to.Hostname() != r.base.Hostname():
		r.add(Warning, CheckRedirect, "", "list the URL of the server that serves the tree",
			"clients are sent to another host, %s", clean(to.Host))
	case r.protocol == "https" && to.Scheme == "http":
		r.add(Warning, CheckRedirect, "", "serve the tree over https, or do not list https",
			"https redirects to http, so it protects nothing")
	case r.protocol == "http" && to.Scheme == "https":
		r.add(Note, CheckRedirect, "", "", "http redirects to https, so the service checks both")
	default:
		r.add(Note, CheckRedirect, "", "", "the URL of the tree redirects to %s", clean(to.Path))
	}
}

// files requests every repomd.xml, and the ISOs of the almalinux tree.
func (r *route) files(ctx context.Context) {
	repodata := r.tree.repodata()
	var isos []string
	if r.tree.module == "" {
		isos = r.tree.p.facts.ISOs()
	}
	r.tree.p.expect(len(repodata) + len(isos))
	var g errgroup.Group
	g.SetLimit(r.tree.p.v.o.PerHost)
	for _, path := range repodata {
		g.Go(func() error { r.repomd(ctx, path); return nil })
	}
	for _, path := range isos {
		g.Go(func() error { r.iso(ctx, path); return nil })
	}
	_ = g.Wait()
}

func (r *route) repomd(ctx context.Context, path string) {
	answer, err := r.fetch(ctx, path, maxRepomd, false)
	o := outcome{fail: statusOf(answer, err)}
	switch {
	case o.fail != "":
		r.fault(Error, CheckRepodata, path, "", answer, err)
	case answer.cut:
		r.add(Error, CheckMetadata, path, "", "it is larger than %d KiB, too large for a repomd.xml", maxRepomd>>10)
	case undecodable(answer) != nil:
		o.fail = undecodable(answer).Error()
		r.add(Error, CheckRepodata, path, "", "%s", o.fail)
	default:
		if to := answer.final.Hostname(); to != r.base.Hostname() && r.index != nil &&
			r.index.final.Hostname() == r.base.Hostname() {
			r.add(Warning, CheckRedirect, path, "", "clients are sent to another host, %s", clean(answer.final.Host))
		}
		o.sum = sha256.Sum256(answer.body)
		if r == r.tree.primary {
			o.body = bytes.Clone(answer.body)
		}
	}
	r.keep(path, o)
}

// undecodable is the error of the service's decoding.
func undecodable(answer *response) error {
	_, err := decode(answer.header.Get("Content-Type"), answer.body)
	return err
}

func (r *route) iso(ctx context.Context, path string) {
	answer, err := r.fetch(ctx, path, 0, true)
	if fail := statusOf(answer, err); fail != "" {
		r.fault(Warning, CheckISO, path, "without it, the service records that the mirror lacks the full set of "+
			"ISOs", answer, err)
		r.keep(path, outcome{fail: fail})
		return
	}
	r.keep(path, outcome{})
}

func (r *route) keep(path string, o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outcomes == nil {
		r.outcomes = map[string]outcome{}
	}
	r.outcomes[path] = o
}

// file returns the outcome of a file; ok is false if it was not requested.
func (r *route) file(path string) (outcome, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, ok := r.outcomes[path]
	return o, ok
}

// compare checks that all routes serve the same files. It requests differing files again, since a
// sync may have run in between.
func (t *tree) compare(ctx context.Context, alive []*route) {
	const advice = "the addresses or protocols may lead to different servers or directories"
	for _, r := range alive {
		if r == t.primary || ctx.Err() != nil {
			continue
		}
		if t.module == "" && !r.time.IsZero() && !t.primary.time.IsZero() && !r.time.Equal(t.primary.time) &&
			t.differs(ctx, r, "TIME") {
			r.add(Warning, CheckConsistency, "TIME", advice, "it differs from that of %s", t.primary.name)
		}
		for _, path := range t.repodata() {
			a, _ := t.primary.file(path)
			b, ok := r.file(path)
			if ok && a.fail == "" && b.fail == "" && a.sum != b.sum && t.differs(ctx, r, path) {
				r.add(Warning, CheckConsistency, path, advice, "it differs from that of %s", t.primary.name)
			}
		}
	}
}

// differs requests a file from two routes again, and reports whether it still differs.
func (t *tree) differs(ctx context.Context, r *route, path string) bool {
	t.p.expect(2)
	a, aErr := t.primary.fetch(ctx, path, maxRepomd, false)
	b, bErr := r.fetch(ctx, path, maxRepomd, false)
	return aErr == nil && bErr == nil && a.ok() && b.ok() && !bytes.Equal(a.body, b.body)
}
