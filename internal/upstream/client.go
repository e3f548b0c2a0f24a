package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxRedirects = 10 // the limit of aiohttp, which the service uses
	maxHeader    = 64 << 10
	maxPage      = 4 << 20   // bytes of a directory listing
	maxRepomd    = 512 << 10 // bytes of a repomd.xml; all are kept, and usually have a few thousand bytes
	minSpeed     = 10_000    // minimum speed of a large file, in bytes per second
	maxPause     = 30 * time.Second
)

// limits limits the number of concurrent requests to each host.
type limits struct {
	mu    sync.Mutex
	n     int
	hosts map[string]chan struct{}
}

// acquire waits until a request to a host may start, and returns the function that ends it.
func (l *limits) acquire(ctx context.Context, host string) (func(), error) {
	l.mu.Lock()
	if l.hosts == nil {
		l.hosts = map[string]chan struct{}{}
	}
	slots := l.hosts[host]
	if slots == nil {
		slots = make(chan struct{}, l.n)
		l.hosts[host] = slots
	}
	l.mu.Unlock()
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// probeError is why a server gave no complete answer. check is the check that fails with it.
type probeError struct {
	check string
	err   error
	// local means that this machine cannot reach any address of the family.
	local bool
}

func (e *probeError) Error() string { return e.err.Error() }
func (e *probeError) Unwrap() error { return e.err }

// client sends requests to one host over one address family. It uses the same family for redirects
// to other names.
type client struct {
	v        *Verifier
	host     string     // the host that addr belongs to
	addr     netip.Addr // where its connections go
	family   family
	http     *http.Transport
	requests *atomic.Int64
	bytes    *atomic.Int64
	// asService means that requests are sent with the service's user agent, since the mirror refuses
	// that of this program.
	asService *atomic.Bool
	// tolerate has the hosts whose certificate was reported as bad. It is reported once, and does
	// not stop the other checks.
	tolerate *sync.Map
}

// response is an answer with a body of limited size.
type response struct {
	status   int
	header   http.Header
	body     []byte
	length   int64 // of the whole body, from the header; -1 if unknown
	final    *url.URL
	chain    []*url.URL // targets of the redirects
	cut      bool       // the body is longer than the limit
	addr     netip.Addr // of the connection to the first host
	attempts int        // with this one
	first    string     // why the first attempt failed; "" if it did not
	elapsed  time.Duration
}

func (r *response) ok() bool { return r.status >= 200 && r.status < 300 }

// statusText formats a status: "404 Not Found".
func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d %s", status, text)
	}
	return strconv.Itoa(status)
}

func (v *Verifier) newClient(host string, addr netip.Addr, f family, m *probe) *client {
	c := &client{v: v, host: host, addr: addr, family: f, requests: &m.requests, bytes: &m.bytes, asService: &m.asService, tolerate: &m.tolerate}
	c.http = &http.Transport{
		DialContext:            c.dial,
		TLSClientConfig:        c.tlsConfig(host),
		TLSHandshakeTimeout:    v.o.Timeout,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    v.o.PerHost,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true, // compare the bytes as served
	}
	return c
}

// tlsConfig verifies certificates as usual, except for hosts in tolerate.
func (c *client) tlsConfig(host string) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, // VerifyConnection verifies instead
		VerifyConnection: func(state tls.ConnectionState) error {
			name := state.ServerName
			if name == "" {
				name = host // IP addresses are not sent as server name
			}
			if _, ok := c.tolerate.Load(name); ok {
				return nil
			}
			return verifyChain(state.PeerCertificates, name, c.v.o.Roots, c.v.now())
		},
	}
}

// verifyChain does the verification that crypto/tls does by default.
func verifyChain(chain []*x509.Certificate, host string, roots *x509.CertPool, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("the server shows no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		DNSName: host, Roots: roots, Intermediates: intermediates, CurrentTime: now,
	})
	return err
}

func (c *client) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs := []netip.Addr{c.addr}
	if host != c.host {
		if addrs, err = c.v.lookup(ctx, c.family, host); err != nil {
			return nil, err
		}
	}
	var errs []error
	// Check the address of the connection itself, since another lookup of the name may give another
	// one.
	control := func(_, address string, _ syscall.RawConn) error {
		a := addressOf(address)
		if kind := c.v.special(a); kind != "" && c.v.special(c.addr) == "" && !c.v.given(host) {
			return &leftError{a, kind}
		}
		return nil
	}
	for _, a := range addrs {
		d := net.Dialer{Timeout: c.v.o.Timeout, Control: control}
		conn, err := d.DialContext(ctx, c.family.network(), net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// get requests a file and reads up to limit bytes of it; with head, only its header. It retries
// after failures that may be temporary: failed connections, timeouts, and statuses such as 503.
func (c *client) get(ctx context.Context, u *url.URL, limit int64, head bool) (*response, error) {
	agent := c.v.o.UserAgent
	if c.asService.Load() {
		agent = ServiceAgent
	}
	return c.getAs(ctx, agent, c.v.o.Attempts, u, limit, head)
}

// getAs is get with a user agent and a number of attempts.
func (c *client) getAs(
	ctx context.Context, agent string, attempts int, u *url.URL, limit int64, head bool,
) (*response, error) {
	release, err := c.v.limits.acquire(ctx, u.Hostname())
	if err != nil {
		return nil, err
	}
	defer release()
	pause, first := c.v.o.Backoff, ""
	for attempt := 1; ; attempt++ {
		r, err := c.once(ctx, agent, u, limit, head)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		again, wait := passing(r, err)
		if !again || attempt >= attempts {
			if r != nil {
				r.attempts, r.first = attempt, first
			}
			return r, err
		}
		if first == "" {
			first = statusOf(r, err)
		}
		select {
		case <-time.After(min(max(pause, wait), maxPause)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		pause *= 2
	}
}

// passing reports whether a retry may help, and how long the server asks to wait (Retry-After).
func passing(r *response, err error) (bool, time.Duration) {
	if err != nil {
		var p *probeError
		return errors.As(err, &p) && (p.check == CheckConnect || p.check == CheckSlow) && !p.local, 0
	}
	switch r.status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(r.header.Get("Retry-After"))
		return true, time.Duration(min(max(seconds, 0), 3600)) * time.Second
	}
	return false, 0
}

// once sends one request.
func (c *client) once(ctx context.Context, agent string, u *url.URL, limit int64, head bool) (*response, error) {
	patience := c.v.o.Timeout + time.Duration(limit/minSpeed)*time.Second
	if limit <= maxPage {
		patience = 4 * c.v.o.Timeout
	}
	asked, cancel := c.v.within(ctx, patience, pending{agent, u.Scheme, u.Path, c.family})
	defer cancel()
	// dial limits the time to connect. After that the header has less time than the whole answer.
	// Each redirect starts again.
	header := time.AfterFunc(patience, cancel)
	defer header.Stop()
	asked = httptrace.WithClientTrace(asked, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { header.Reset(c.v.o.Timeout) },
	})
	method := http.MethodGet
	if head {
		method = http.MethodHead
	}
	req, err := http.NewRequestWithContext(asked, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", agent)
	req.Header.Set("Accept", "*/*")
	r := &response{addr: c.addr}
	follow := &http.Client{Transport: c.http, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		r.chain = append(r.chain, next.URL)
		if len(via) >= maxRedirects {
			return errRedirects
		}
		header.Reset(patience)
		return nil
	}}
	c.requests.Add(1)
	begin := time.Now()
	answer, err := follow.Do(req)
	if err != nil {
		return nil, c.explain(ctx, asked, err)
	}
	defer func() { _ = answer.Body.Close() }()
	header.Stop()
	r.status, r.header, r.final, r.length = answer.StatusCode, answer.Header, answer.Request.URL, answer.ContentLength
	if !head {
		r.body, err = io.ReadAll(io.LimitReader(answer.Body, limit+1))
		c.bytes.Add(int64(len(r.body)))
		if err != nil {
			return nil, c.explain(ctx, asked, err)
		}
		if int64(len(r.body)) > limit {
			r.body, r.cut = r.body[:limit], true
		}
	}
	r.elapsed = time.Since(begin)
	return r, nil
}

var errRedirects = fmt.Errorf("it is redirected more than %d times", maxRedirects)

// explain determines the check that an error belongs to, and rewords it without addresses and
// ports, which differ between requests.
func (c *client) explain(ctx, asked context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var timeout net.Error
	var dial *net.OpError
	var left *leftError
	switch {
	case errors.As(err, &left):
		return &probeError{check: CheckRedirect, err: left}
	case errors.Is(err, errRedirects):
		return &probeError{check: CheckRedirect, err: errRedirects}
	case errors.As(err, &dial) && dial.Op == "dial" && dial.Timeout():
		return &probeError{check: CheckConnect, err: errors.New(reason(err))}
	case asked.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return &probeError{check: CheckSlow, err: fmt.Errorf("no complete answer within the timeout of %v", c.v.o.Timeout)}
	case isCertificate(err):
		return &probeError{check: CheckCertificate, err: fmt.Errorf("the certificate of a redirect's target is not "+
			"valid: %s", clean(err.Error()))}
	case unreachable(err):
		return &probeError{check: CheckConnect, local: true, err: fmt.Errorf("this machine has no %s", c.family)}
	}
	return &probeError{check: CheckConnect, err: errors.New(reason(err))}
}

// reason returns why a connection failed.
func reason(err error) string {
	var dns *net.DNSError
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer within the timeout"
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %q cannot be looked up: %s", dns.Name, clean(dns.Err))
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the server closes the connection before its answer is complete"
	}
	return clean(err.Error())
}

// unreachable reports whether this machine has no route or no address for the family, which is not
// the server's fault.
func unreachable(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ENETUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func isCertificate(err error) bool {
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	return errors.As(err, &authority) || errors.As(err, &invalid) || errors.As(err, &name)
}

// maxQuoted is how many bytes of a server's text are quoted.
const maxQuoted = 200

// clean makes text from a server safe to print: one short line without control characters.
func clean(s string) string {
	if len(s) > maxQuoted {
		s = strings.ToValidUTF8(s[:maxQuoted], "") + "…"
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
