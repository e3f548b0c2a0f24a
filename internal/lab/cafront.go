package lab

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Problem is an answer of an ACME server that is an error (RFC 8555, section 6.7).
type Problem struct {
	Type       string // such as ProblemRateLimited
	Detail     string
	Status     int           // of HTTP
	RetryAfter time.Duration // in whole seconds; 0 sends no Retry-After
}

// ProblemRateLimited is the type of a Problem whose status is 429.
const ProblemRateLimited = "urn:ietf:params:acme:error:rateLimited"

// caFront is the server of a CA's DirectoryURL. It passes requests to pebble, except those that
// fail as a test wants. The request's host is passed on, since pebble makes its URLs from it.
type caFront struct {
	ca    *CA
	proxy *httputil.ReverseProxy
	tls   *tls.Config
	paths map[string]string // of the directory's resources, such as "newOrder"

	mu       sync.Mutex
	servers  []*http.Server
	problems map[string]Problem // by path
}

func newCAFront(ctx context.Context, ca *CA) (*caFront, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(ca.dir, "cert.pem"), filepath.Join(ca.dir, "key.pem"))
	if err != nil {
		return nil, err
	}
	behind := &url.URL{Scheme: "https", Host: ca.on(ca.ports.acme)}
	data, err := ca.get(ctx, behind.String()+"/dir")
	if err != nil {
		return nil, err
	}
	var directory map[string]any
	if err := json.Unmarshal(data, &directory); err != nil {
		return nil, fmt.Errorf("reading the ACME directory: %w", err)
	}
	f := &caFront{ca: ca, tls: &tls.Config{Certificates: []tls.Certificate{pair}}, paths: map[string]string{},
		problems: map[string]Problem{}}
	for name, value := range directory {
		if text, ok := value.(string); ok {
			resource, err := url.Parse(text)
			if err != nil {
				return nil, fmt.Errorf("reading the ACME directory: %w", err)
			}
			f.paths[name] = resource.Path
		}
	}
	f.proxy = &httputil.ReverseProxy{
		Transport: ca.client.Transport,
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(behind)
			r.Out.Host = r.In.Host
		},
	}
	return f, nil
}

// ServeHTTP answers with the problem of a resource, or as pebble does.
func (f *caFront) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	problem, ok := f.problems[r.URL.Path]
	f.mu.Unlock()
	if !ok {
		f.proxy.ServeHTTP(w, r)
		return
	}
	if problem.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(problem.RetryAfter/time.Second), 10))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Replay-Nonce", f.nonce(r.Context()))
	w.WriteHeader(problem.Status)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": problem.Type, "detail": problem.Detail, "status": problem.Status})
}

// nonce gets a nonce from pebble. Errors have one too (RFC 8555, section 6.5).
func (f *caFront) nonce(ctx context.Context) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://"+f.ca.on(f.ca.ports.acme)+f.paths["newNonce"], nil)
	if err != nil {
		return ""
	}
	resp, err := f.ca.client.Do(req)
	if err != nil {
		return ""
	}
	_ = resp.Body.Close()
	return resp.Header.Get("Replay-Nonce")
}

func (f *caFront) start() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.servers) > 0 {
		return errors.New("the CA is already started")
	}
	for _, address := range []string{f.ca.lab.Gateway, f.ca.lab.Gateway6} {
		if address == "" {
			continue
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(f.ca.ports.front)))
		if err != nil {
			return fmt.Errorf("starting the CA: %w", err)
		}
		server := &http.Server{Handler: f, TLSConfig: f.tls.Clone(), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
		f.servers = append(f.servers, server)
		go func() { _ = server.ServeTLS(listener, "", "") }()
	}
	return nil
}

func (f *caFront) stop() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	for _, server := range f.servers {
		err = errors.Join(err, server.Close())
	}
	f.servers = nil
	return err
}

// Refuse makes the CA answer each request to a resource of the ACME directory with a problem,
// until Accept. Resources are named as in RFC 8555, section 7.1.1, such as "newOrder".
func (ca *CA) Refuse(resource string, problem Problem) error {
	path, ok := ca.front.paths[resource]
	if !ok {
		return fmt.Errorf("the ACME directory of the CA has no %q", resource)
	}
	ca.front.mu.Lock()
	defer ca.front.mu.Unlock()
	ca.front.problems[path] = problem
	return nil
}

// Accept ends what Refuse began, for all resources.
func (ca *CA) Accept() {
	ca.front.mu.Lock()
	defer ca.front.mu.Unlock()
	clear(ca.front.problems)
}
