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
	maxRedirects = 10 // as many as aiohttp, which the service uses, follows
	maxHeader    = 64 << 10
	maxPage      = 4 << 20   // of a directory's listing
	maxRepomd    = 512 << 10 // of a repomd.xml, of which all are kept; they have some thousand bytes
	minSpeed     = 10_000    // bytes a second that a large file must at least come with
	maxPause     = 30 * time.Second
)

// limits hold the number of requests to each host that may be under way.
type limits struct {
	mu    sync.Mutex
	n     int
	hosts map[string]chan struct{}
}

// acquire waits for a turn with a host, and returns what ends it.
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

// probeError is why a server gave no whole answer. Its kind is the check that it counts for.
type probeError struct {
	check string
	err   error
	// local says that the machine itself cannot reach any address of the family.
	local bool
}

func (e *probeError) Error() string { return e.err.Error() }
func (e *probeError) Unwrap() error { return e.err }

// client asks one host over one family of addresses. Names that redirects lead to are looked up for the same family.
type client struct {
	v        *Verifier
	host     string     // the host that addr belongs to
	addr     netip.Addr // where its connections go
	family   family
	http     *http.Transport
	requests *atomic.Int64
	bytes    *atomic.Int64
	// tolerate holds hosts whose certificate was told to be bad: it is told once, and does not keep the rest from being looked at.
	tolerate *sync.Map
}

// response is an answer. The body is bounded.
type response struct {
	status  int
	header  http.Header
	body    []byte
	length  int64 // of the whole body, as announced; -1 if not
	final   *url.URL
	chain   []*url.URL // of redirects: where each led to
	cut     bool       // the body is longer than was read
	elapsed time.Duration
}

func (r *response) ok() bool { return r.status >= 200 && r.status < 300 }

// statusText is how a status is told.
func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d %s", status, text)
	}
	return strconv.Itoa(status)
}

func (v *Verifier) newClient(host string, addr netip.Addr, f family, m *probe) *client {
	c := &client{v: v, host: host, addr: addr, family: f, requests: &m.requests, bytes: &m.bytes, tolerate: &m.tolerate}
	c.http = &http.Transport{
		DialContext:            c.dial,
		TLSClientConfig:        c.tlsConfig(host),
		TLSHandshakeTimeout:    v.o.Timeout,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    v.o.PerHost,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true, // what is compared is what is served
	}
	return c
}

// tlsConfig verifies certificates as usual, but for hosts in tolerate.
func (c *client) tlsConfig(host string) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, // VerifyConnection verifies in its place
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

// verifyChain is the verification that crypto/tls does on its own.
func verifyChain(chain []*x509.Certificate, host string, roots *x509.CertPool, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("the server shows no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: intermediates, CurrentTime: now})
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
	// The address is checked that is connected to, whatever the name is looked up to meanwhile.
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

// get asks for a file with GET and reads up to limit bytes of it; with head for its header alone. It asks again after what may pass: failing
// connections, time-outs, and answers that ask for patience.
func (c *client) get(ctx context.Context, u *url.URL, limit int64, head bool) (*response, error) {
	release, err := c.v.limits.acquire(ctx, u.Hostname())
	if err != nil {
		return nil, err
	}
	defer release()
	pause := c.v.o.Backoff
	for attempt := 1; ; attempt++ {
		r, err := c.once(ctx, u, limit, head)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		again, wait := passing(r, err)
		if !again || attempt >= c.v.o.Attempts {
			return r, err
		}
		select {
		case <-time.After(min(max(pause, wait), maxPause)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		pause *= 2
	}
}

// passing tells whether asking again may give something else, and how long the server wants one to wait.
func passing(r *response, err error) (bool, time.Duration) {
	if err != nil {
		var p *probeError
		return errors.As(err, &p) && (p.check == CheckConnect || p.check == CheckSlow) && !p.local, 0
	}
	switch r.status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(r.header.Get("Retry-After"))
		return true, time.Duration(min(max(seconds, 0), 3600)) * time.Second
	}
	return false, 0
}

// once asks once.
func (c *client) once(ctx context.Context, u *url.URL, limit int64, head bool) (*response, error) {
	patience := c.v.o.Timeout + time.Duration(limit/minSpeed)*time.Second
	if limit <= maxPage {
		patience = 4 * c.v.o.Timeout
	}
	asked, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// Connecting has a limit of its own, in dial. From then on the header has less time than the whole. Each redirect counts anew.
	header := time.AfterFunc(patience, cancel)
	defer header.Stop()
	asked = httptrace.WithClientTrace(asked, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { header.Reset(c.v.o.Timeout) }})
	method := http.MethodGet
	if head {
		method = http.MethodHead
	}
	req, err := http.NewRequestWithContext(asked, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.v.o.UserAgent)
	req.Header.Set("Accept", "*/*")
	r := &response{}
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

// explain finds out what an error counts for, and says it without addresses and ports that would differ from one request to the next.
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
		return &probeError{check: CheckSlow, err: fmt.Errorf("no whole answer within the time-out of %v", c.v.o.Timeout)}
	case isCertificate(err):
		return &probeError{check: CheckCertificate, err: fmt.Errorf("the certificate of a redirect's target is refused: %s", clean(err.Error()))}
	case unreachable(err):
		return &probeError{check: CheckConnect, local: true, err: fmt.Errorf("this machine has no %s", c.family)}
	}
	return &probeError{check: CheckConnect, err: errors.New(reason(err))}
}

// reason says why a connection failed.
func reason(err error) string {
	var dns *net.DNSError
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return "there is no answer within the time-out"
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %q cannot be looked up: %s", dns.Name, clean(dns.Err))
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the server closes the connection before its answer is whole"
	}
	return clean(err.Error())
}

// unreachable tells that the kernel has no route, or no address of its own, for the family: no fault of the server.
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

// maxQuoted bounds what is repeated of what a server says.
const maxQuoted = 200

// clean makes text from a server fit to be printed: one line, no control characters, not long.
func clean(s string) string {
	if len(s) > maxQuoted {
		s = strings.ToValidUTF8(s[:maxQuoted], "") + "…"
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
