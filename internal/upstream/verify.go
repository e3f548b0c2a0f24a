// Package upstream checks mirrors from outside: it repeats the checks of AlmaLinux's mirror
// service, predicts the status that the service would set, and makes further checks that matter to
// clients.
//
// The service checks a mirror like this: it looks up an A record of the mirror's name, requests the
// base URL, reads a Unix time in TIME, requests repodata/repomd.xml of each repository in its
// config.yml, and requests ISOs. Of http and https it uses only the first one in the mirror's file.
// It accepts private mirrors without checks.
package upstream

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mirrorform/mirrorform/internal/geo"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// DefaultReference is the tree that repomd.xml files are compared with: AlmaLinux's own.
const DefaultReference = "https://repo.almalinux.org/almalinux/"

// Options configure a Verifier. Zero fields have defaults.
type Options struct {
	Service *Service // default: BuiltIn()
	// FactsDate is the date of Service; FactsStale means that AlmaLinux may have a newer one.
	FactsDate  time.Time
	FactsStale bool
	Resolve    map[string][]netip.Addr // addresses of names, instead of DNS
	Roots      *x509.CertPool          // certificate authorities; default: the system's
	PerHost    int                     // concurrent requests to one host; default: 6
	Attempts   int                     // attempts of a request that fails temporarily; default: 3
	Backoff    time.Duration           // pause before the second attempt, doubled for each further one; default: 0.5 s
	Timeout    time.Duration           // of a lookup, a connection, and the wait for an answer; default: 15 s
	Metadata   int64                   // bytes of metadata files to compare by content; of the rest only the size is compared
	Reference  string                  // URL of a tree to compare repomd.xml files with, or ""
	GeoIP      []*geo.DB
	UserAgent  string
	Now        func() time.Time
	// Progress is called concurrently with the numbers of finished and known requests.
	Progress func(mirror string, done, total int64)
}

// Mirror is a mirror to verify.
type Mirror struct {
	Host string        // the configuration's host, or ""
	Hub  string        // the configuration's host that the tree comes from, or ""
	File mirrorsd.File // its entry; only the name and an http or https address are required
	// Guessed are protocols of File.Address that are not listed. If one does not answer, that is
	// only a note.
	Guessed []string
	// HTTPSFirst and KittenHTTPSFirst mean that the file lists https before http. The service uses the
	// first.
	HTTPSFirst, KittenHTTPSFirst bool
}

// Verifier verifies mirrors. It is safe for concurrent use.
type Verifier struct {
	o       Options
	limits  limits
	names   sync.Map                // lookupKey to func() lookupResult
	special func(netip.Addr) string // special, except in tests
	pace    pace                    // of the service's HTTP client
	// within limits the time of a request; it is context.WithTimeout, except in tests.
	within    func(context.Context, time.Duration, pending) (context.Context, context.CancelFunc)
	reference reference
}

// New returns a Verifier.
func New(o Options) *Verifier {
	if o.Service == nil {
		o.Service, o.FactsDate, o.FactsStale = BuiltIn(), BuiltInDate, true
	}
	o.PerHost = cmp.Or(o.PerHost, 6)
	o.Attempts = cmp.Or(o.Attempts, 3)
	o.Backoff = cmp.Or(o.Backoff, 500*time.Millisecond)
	o.Timeout = cmp.Or(o.Timeout, 15*time.Second)
	o.UserAgent = cmp.Or(o.UserAgent, "mirrorform")
	v := &Verifier{o: o, special: special, pace: servicePace}
	v.within = func(ctx context.Context, d time.Duration, _ pending) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, d)
	}
	v.limits.n = o.PerHost
	return v
}

// pending is a request whose time is limited.
type pending struct {
	agent, scheme, path string
	family              family // 0: any
}

func (v *Verifier) now() time.Time {
	if v.o.Now != nil {
		return v.o.Now()
	}
	return time.Now()
}

// family is a version of the Internet Protocol.
type family int

const (
	ipv4 family = 4
	ipv6 family = 6
)

func (f family) String() string {
	if f == ipv4 {
		return "IPv4"
	}
	return "IPv6"
}

func (f family) network() string {
	if f == ipv4 {
		return "tcp4"
	}
	return "tcp6"
}

func (f family) has(a netip.Addr) bool { return a.Unmap().Is4() == (f == ipv4) }

type lookupKey struct {
	family family
	host   string
}

type lookupResult struct {
	addrs []netip.Addr
	err   error
}

// given reports whether the addresses of a name come from Options.Resolve.
func (v *Verifier) given(host string) bool {
	_, ok := v.o.Resolve[strings.TrimSuffix(strings.ToLower(host), ".")]
	return ok
}

// lookup returns a name's addresses of a family. It looks up each name once. A name without
// addresses is not an error.
func (v *Verifier) lookup(ctx context.Context, f family, host string) ([]netip.Addr, error) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if list, ok := v.o.Resolve[host]; ok {
		return ofFamily(list, f), nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return ofFamily([]netip.Addr{a}, f), nil
	}
	once := sync.OnceValue(func() lookupResult {
		ctx, cancel := context.WithTimeout(ctx, v.o.Timeout)
		defer cancel()
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+f.network()[3:], host)
		var dns *net.DNSError
		var none *net.AddrError
		if errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &none) {
			addrs, err = nil, nil
		}
		return lookupResult{ofFamily(addrs, f), err}
	})
	actual, _ := v.names.LoadOrStore(lookupKey{f, host}, once)
	found := actual.(func() lookupResult)()
	return found.addrs, found.err
}

func ofFamily(list []netip.Addr, f family) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		if f.has(a) && !slices.Contains(out, a.Unmap()) {
			out = append(out, a.Unmap())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// probe is the verification of one mirror.
type probe struct {
	v        *Verifier
	m        Mirror
	c        collector
	requests atomic.Int64
	bytes    atomic.Int64
	done     atomic.Int64
	total    atomic.Int64
	tolerate sync.Map
	facts    *Service // what the service requires
	service  *serviceLook
	// asService means that the mirror refuses the user agent of this program; blocked that this is
	// reported.
	asService atomic.Bool

	mu     sync.Mutex // guards report
	report *Report
	// absent is set for a family that this machine cannot reach.
	absent [ipv6 + 1]atomic.Bool
}

// Verify verifies a mirror. The report has all faults of the mirror; the error is that of ctx or of
// a GeoIP database.
func (v *Verifier) Verify(ctx context.Context, m Mirror) (*Report, error) {
	p := &probe{v: v, m: m, facts: v.o.Service, report: &Report{
		Name: m.File.Name, Host: m.Host, Private: m.File.Private,
		Modules: []string{}, Addresses: []Address{}, Certificates: []Certificate{}, Routes: []string{},
	}}
	missing := p.lookupName(ctx)
	trees := p.routes(ctx)
	defer func() {
		for _, t := range trees {
			for _, r := range t.routes {
				r.http.CloseIdleConnections()
			}
		}
	}()
	p.certificates(ctx, trees)
	p.service = &serviceLook{p: p}
	if missing == "" && !m.File.Private {
		p.look(ctx, trees)
		p.service.share()
	}
	p.each(ctx, len(trees)+1, func(ctx context.Context, i int) {
		if i == len(trees) {
			p.rsync(ctx)
			return
		}
		trees[i].look(ctx)
	})
	p.explain(ctx)
	located, err := p.locate(ctx)
	if err := errors.Join(ctx.Err(), err); err != nil {
		return nil, err
	}
	return p.conclude(trees, missing, located), nil
}

// each runs do for 0 to n-1 concurrently.
func (p *probe) each(ctx context.Context, n int, do func(ctx context.Context, i int)) {
	var g errgroup.Group
	for i := range n {
		g.Go(func() error {
			if ctx.Err() == nil {
				do(ctx, i)
			}
			return nil
		})
	}
	_ = g.Wait()
}

// expect adds n to the number of known requests; step counts a finished one.
func (p *probe) expect(n int) { p.total.Add(int64(n)); p.progress() }
func (p *probe) step()        { p.done.Add(1); p.progress() }

func (p *probe) progress() {
	if p.v.o.Progress != nil {
		p.v.o.Progress(p.m.File.Name, p.done.Load(), p.total.Load())
	}
}

// lookupName looks up the mirror's name, as the service does first. It returns why there is no A
// record, or "".
func (p *probe) lookupName(ctx context.Context) (missing string) {
	name, required := p.m.File.Name, Error
	if p.m.File.Private {
		required = Note // the service does not look it up, and only its own network may have it
	}
	_, notName := netip.ParseAddr(name)
	for _, f := range []family{ipv4, ipv6} {
		addrs, err := p.v.lookup(ctx, f, name)
		for _, a := range addrs {
			p.report.Addresses = append(p.report.Addresses, Address{IP: a.String()})
		}
		p.report.IPv6 = p.report.IPv6 || f == ipv6 && len(addrs) > 0
		switch {
		case notName == nil && f == ipv4:
			missing = "it is an address, not a name"
			p.c.add(rawFinding{Warning, CheckDNS,
				"the mirror has no name, which an entry in AlmaLinux's list requires", "", ""}, "", true)
		case f == ipv4 && err != nil:
			missing = reason(err)
			p.c.add(rawFinding{required, CheckDNS, "its A record cannot be looked up: " + missing,
				"check that the name servers of its domain answer", ""}, "", true)
		case f == ipv4 && len(addrs) == 0:
			missing = "it has no A record"
			p.c.add(rawFinding{required, CheckDNS, "the name has no A record",
				"add one; to verify before DNS is set up, pass --resolve NAME:ADDRESS", ""}, "", true)
		case f == ipv6 && err != nil:
			p.c.add(rawFinding{Warning, CheckDNS, "its AAAA record cannot be looked up: " + reason(err), "", ""}, "", false)
		case f == ipv6 && len(addrs) == 0 && notName != nil:
			p.c.add(rawFinding{Note, CheckDNS,
				"the name has no AAAA record, so clients without IPv4 cannot use the mirror", "", ""}, "", false)
		}
	}
	return missing
}

// conclude completes the report: it predicts the service's status and sorts the findings.
func (p *probe) conclude(trees []*tree, missing string, located bool) *Report {
	r := p.report
	r.Status = "ok"
	var main *tree
	for _, t := range trees {
		if t.module == "" {
			main = t
		} else if p.service.complete(t, append(t.repodata(), "TIME")) {
			r.Modules = append(r.Modules, t.module)
		}
	}
	p.judgment(main, missing, located)
	if main != nil && main.primary != nil && !main.primary.time.IsZero() {
		r.Time = &main.primary.time
	}
	slices.Sort(r.Routes)
	slices.SortFunc(r.Certificates, func(a, b Certificate) int { return cmp.Compare(a.Host, b.Host) })
	r.Requests, r.Bytes = p.requests.Load(), p.bytes.Load()
	r.Findings = p.c.findings()
	for i := range r.Findings {
		r.Findings[i].Upstream = r.Findings[i].Upstream && !r.Private
	}
	r.Accepted = r.Status == "ok" &&
		!slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == Error })
	return r
}

// statusOf describes an answer or error for findings and the status. It returns "" for a good
// answer.
func statusOf(r *response, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case r.ok():
		return ""
	case r.status == http.StatusForbidden:
		return "403 Forbidden"
	}
	return statusText(r.status)
}
