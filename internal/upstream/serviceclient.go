package upstream

import (
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ServiceAgent is the user agent of AlmaLinux's service.
const ServiceAgent = "curl/7.61.1"

const (
	serviceAttempts  = 2    // of a request that gets no answer
	serviceAtOnce    = 5    // requests for repomd.xml files
	serviceISOs      = 3    // requests for ISOs
	serviceHeader    = 8190 // bytes of a header's value, of its name and of the status line
	serviceRedirects = 10   // of which the last is not followed
)

// pace has the time limits of the service's HTTP client.
type pace struct {
	total   time.Duration // of one attempt, with its redirects and its body
	connect time.Duration // of a connection, with TLS
	pause   time.Duration // before the second attempt
	stagger time.Duration // after which the next address is tried besides
}

var servicePace = pace{15 * time.Second, 10 * time.Second, 200 * time.Millisecond, 250 * time.Millisecond}

// The kinds of refusals.
const (
	KindDNS          = "dns"          // no A record
	KindConnection   = "connection"   // no connection
	KindCertificate  = "certificate"  // a certificate that is not valid
	KindDisconnected = "disconnected" // the server closes the connection without an answer
	KindTimeout      = "timeout"      // no complete answer in time
	KindHeader       = "header"       // a header that the service's HTTP client does not accept
	KindRedirect     = "redirect"     // too many redirects, or one to no http or https URL
	KindStatus       = "status"       // an HTTP status of 400 or more
	KindIncomplete   = "incomplete"   // a body that is cut off, or cannot be decompressed
	KindCharset      = "charset"      // a body that is not in its charset
	KindExpired      = "expired"      // TIME is missing, is not a number, or is too old
	KindGeodata      = "geodata"      // no address is in the service's GeoIP database
)

// refusal is why the service does not accept an answer.
type refusal struct {
	kind   string
	reason string
	status int // of KindStatus
	local  bool
	// again means that the service makes a second attempt, and lost that its HTTP client repeats
	// the request at once by itself, which it does once for each attempt.
	again, lost bool
}

// check is the check of findings that a refusal belongs to, unless it is that of the file.
func (r *refusal) check(file string) string {
	switch r.kind {
	case KindConnection, KindDisconnected:
		return CheckConnect
	case KindTimeout:
		return CheckSlow
	case KindCertificate:
		return CheckCertificate
	case KindRedirect:
		return CheckRedirect
	}
	return file
}

// serviceClient makes requests as the service's HTTP client does: aiohttp 3.13, with aiohttp-retry.
// One attempt has 15 seconds with its body; only lost connections and time-outs are tried again,
// and not once the header is there. It differs where an operator would be harmed: it reads a
// limited part of a body, and does not follow redirects into special networks.
type serviceClient struct {
	v         *Verifier
	permitted func(ctx context.Context, host string, list []netip.Addr) []netip.Addr
	host      string // of the base URL
	http      *http.Transport
	count     func(requests, bytes int64)
}

func (p *probe) newServiceClient(host string) *serviceClient {
	c := &serviceClient{v: p.v, permitted: p.permitted, host: host, count: func(requests, bytes int64) {
		p.requests.Add(requests)
		p.bytes.Add(bytes)
	}}
	c.http = &http.Transport{
		DialContext: c.dial, DialTLSContext: c.dialTLS,
		MaxResponseHeaderBytes: maxHeader, MaxIdleConnsPerHost: serviceAtOnce, IdleConnTimeout: time.Minute,
		DisableCompression: true, // inflate does it, for the service's errors
	}
	return c
}

// get requests a URL, and reads up to limit bytes of its body; with head only the header.
func (c *serviceClient) get(ctx context.Context, raw string, limit int64, head bool) (*response, *refusal) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return nil, &refusal{kind: KindConnection, reason: "invalid URL: " + clean(raw)}
	}
	release, err := c.v.limits.acquire(ctx, u.Hostname())
	if err != nil {
		return nil, &refusal{kind: KindTimeout, reason: err.Error()}
	}
	defer release()
	for attempt := 1; ; attempt++ {
		answer, refused := c.attempt(ctx, u, limit, head)
		if refused == nil {
			answer.attempts = attempt
			return answer, nil
		}
		if !refused.again || attempt >= serviceAttempts || ctx.Err() != nil {
			return nil, refused
		}
		select {
		case <-time.After(c.v.pace.pause):
		case <-ctx.Done():
			return nil, refused
		}
	}
}

// attempt makes one attempt, and follows redirects.
func (c *serviceClient) attempt(ctx context.Context, u *url.URL, limit int64, head bool) (*response, *refusal) {
	ctx, cancel := c.v.within(ctx, c.v.pace.total, pending{ServiceAgent, u.Scheme, u.Path, 0})
	defer cancel()
	method := http.MethodGet
	if head {
		method = http.MethodHead
	}
	begin, repeat := time.Now(), true
	r := &response{}
	for {
		answer, refused := c.send(ctx, method, u, r)
		if refused != nil && refused.lost && repeat {
			repeat = false
			continue
		}
		if refused != nil {
			return nil, refused
		}
		to, refused := follow(answer, u, len(r.chain)+1)
		if refused != nil {
			return nil, refused
		}
		if to != nil {
			r.chain = append(r.chain, to)
			u = to
			continue
		}
		if answer.StatusCode >= http.StatusBadRequest {
			_ = answer.Body.Close()
			return nil, &refusal{kind: KindStatus, status: answer.StatusCode, reason: statusText(answer.StatusCode)}
		}
		r.status, r.header, r.final, r.length = answer.StatusCode, answer.Header, u, answer.ContentLength
		refused = c.body(ctx, answer, r, limit, head)
		r.elapsed = time.Since(begin)
		if refused != nil {
			return nil, refused
		}
		return r, nil
	}
}

// once is an empty body. With it net/http does not repeat a request by itself, as it would for one
// without a body.
type once struct{}

func (once) Read([]byte) (int, error) { return 0, io.EOF }
func (once) Close() error             { return nil }

// send sends one request, and returns the answer with its body still to be read.
func (c *serviceClient) send(ctx context.Context, method string, u *url.URL, r *response) (*http.Response, *refusal) {
	connected := func(info httptrace.GotConnInfo) {
		if u.Hostname() == c.host {
			r.addr = addressOf(info.Conn.RemoteAddr().String()).Unmap()
		}
	}
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: connected})
	req, err := http.NewRequestWithContext(traced, method, u.String(), nil)
	if err != nil {
		return nil, &refusal{kind: KindRedirect, reason: "invalid URL: " + clean(u.String())}
	}
	req.Body = once{}
	req.Header = http.Header{"User-Agent": {ServiceAgent}, "Accept": {"*/*"}, "Accept-Encoding": {"gzip, deflate"}}
	c.count(1, 0)
	answer, err := c.http.RoundTrip(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if long := longHeader(answer); long != "" {
		_ = answer.Body.Close()
		return nil, &refusal{kind: KindHeader, reason: long}
	}
	return answer, nil
}

// longHeader names what is too long in a header, or returns "".
func longHeader(answer *http.Response) string {
	const most = "longer than %d bytes, the limit of the service's HTTP client"
	if len(answer.Status) > serviceHeader {
		return fmt.Sprintf("the status line is "+most, serviceHeader)
	}
	for name, values := range answer.Header {
		for _, v := range values {
			if len(v) > serviceHeader || len(name) > serviceHeader {
				return fmt.Sprintf("the header %s is "+most, clean(name), serviceHeader)
			}
		}
	}
	return ""
}

// follow returns where an answer redirects, nil if nowhere. A redirect without Location is an
// answer.
func follow(answer *http.Response, u *url.URL, n int) (*url.URL, *refusal) {
	if !slices.Contains([]int{301, 302, 303, 307, 308}, answer.StatusCode) {
		return nil, nil
	}
	location := cmp.Or(answer.Header.Get("Location"), answer.Header.Get("URI"))
	if n >= serviceRedirects {
		_ = answer.Body.Close()
		return nil, &refusal{kind: KindRedirect, reason: errRedirects.Error()}
	}
	if location == "" {
		return nil, nil
	}
	_, _ = io.CopyN(io.Discard, answer.Body, 4096) // to use the connection again
	_ = answer.Body.Close()
	to, err := u.Parse(location)
	if err != nil || to.Hostname() == "" || to.Scheme != "http" && to.Scheme != "https" {
		reason := "it is redirected to " + clean(location) + ", which is not an http or https URL"
		return nil, &refusal{kind: KindRedirect, reason: reason}
	}
	return to, nil
}

// body reads and decodes an answer's body into r.
func (c *serviceClient) body(
	ctx context.Context, answer *http.Response, r *response, limit int64, head bool,
) *refusal {
	defer func() { _ = answer.Body.Close() }()
	if head {
		return nil
	}
	raw, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	c.count(0, int64(len(raw)))
	if int64(len(raw)) > limit {
		raw, r.cut, err = raw[:limit], true, nil
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return &refusal{kind: KindTimeout, reason: c.late()}
	case err != nil:
		return &refusal{kind: KindIncomplete, reason: "its body is cut off: " + reason(err)}
	}
	if raw, err = inflate(answer.Header.Get("Content-Encoding"), raw, limit); err != nil {
		return &refusal{kind: KindIncomplete, reason: err.Error()}
	}
	r.body = raw
	if r.cut { // the end may be within a character
		return nil
	}
	if _, err := decode(answer.Header.Get("Content-Type"), raw); err != nil {
		return &refusal{kind: KindCharset, reason: err.Error()}
	}
	return nil
}

func (c *serviceClient) late() string {
	return fmt.Sprintf("no complete answer within %v", c.v.pace.total)
}

// inflate undoes a Content-Encoding, up to limit bytes.
func inflate(encoding string, raw []byte, limit int64) ([]byte, error) {
	var in io.Reader
	var err error
	switch encoding = strings.ToLower(encoding); encoding {
	case "gzip":
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(raw)); err == nil {
			z.Multistream(false)
			in = z
		}
	case "deflate":
		if in, err = zlib.NewReader(bytes.NewReader(raw)); err != nil {
			in, err = flate.NewReader(bytes.NewReader(raw)), nil
		}
	case "br", "zstd":
		return nil, fmt.Errorf("it is compressed with %s, for which it was not asked", encoding)
	default:
		return raw, nil
	}
	if err == nil {
		raw, err = io.ReadAll(io.LimitReader(in, limit))
	}
	if err != nil {
		return nil, fmt.Errorf("it cannot be decompressed with %s, its Content-Encoding: %s", encoding, clean(err.Error()))
	}
	return raw, nil
}

// explain sorts an error of a request without an answer.
func (c *serviceClient) explain(ctx context.Context, err error) *refusal {
	var dial *dialError
	var left *leftError
	var errno syscall.Errno
	switch {
	case errors.As(err, &left):
		return &refusal{kind: KindRedirect, reason: left.Error()}
	case errors.As(err, &dial) && dial.late:
		return &refusal{kind: KindTimeout, reason: fmt.Sprintf("no connection within %v", c.v.pace.connect), again: true}
	case errors.As(err, &dial) && isCertificate(err):
		return &refusal{kind: KindCertificate, reason: "the certificate of " + clean(dial.host) + " is not valid"}
	case errors.As(err, &dial):
		return &refusal{kind: KindConnection, reason: reason(err), local: unreachable(err)}
	case ctx.Err() != nil:
		return &refusal{kind: KindTimeout, reason: c.late(), again: true}
	case errors.As(err, &errno):
		return &refusal{kind: KindDisconnected, reason: errno.Error(), lost: true}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		strings.Contains(err.Error(), "server closed idle connection"): // net/http has no name for it
		return &refusal{kind: KindDisconnected, reason: reason(io.EOF), again: true, lost: true}
	}
	return &refusal{kind: KindHeader, reason: "its answer is not HTTP: " + clean(err.Error())}
}
