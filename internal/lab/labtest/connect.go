package labtest

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
)

// ConnectProxy is an HTTP proxy that has only the method CONNECT (RFC 9110, 9.3.6), with one
// account or none.
type ConnectProxy struct {
	Address string // host:port

	server  *httptest.Server
	account string // ACCOUNT:PASSWORD, or ""
	mu      sync.Mutex
	answers []string
}

// StartConnectProxy starts a proxy on an address such as 127.0.0.1:0. Close ends it.
func StartConnectProxy(address, account string) (*ConnectProxy, error) {
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	p := &ConnectProxy{Address: listener.Addr().String(), account: account}
	p.server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(p.serve)}} //nolint:gosec // only tests connect
	p.server.Start()
	return p, nil
}

// Close ends the proxy. Connections through it end with their peers.
func (p *ConnectProxy) Close() { p.server.Close() }

// Answers returns a line for each request so far: the status, and the address that was asked for.
func (p *ConnectProxy) Answers() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.answers)
}

func (p *ConnectProxy) serve(w http.ResponseWriter, r *http.Request) {
	answer := func(status int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.answers = append(p.answers, fmt.Sprintf("%d %s", status, r.Host))
	}
	refuse := func(status int) {
		answer(status)
		w.WriteHeader(status)
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.account))
	switch {
	case r.Method != http.MethodConnect:
		refuse(http.StatusMethodNotAllowed)
		return
	case p.account != "" && r.Header.Get("Proxy-Authorization") != basic:
		refuse(http.StatusProxyAuthRequired)
		return
	}
	up, err := net.Dial("tcp4", r.Host)
	if err != nil {
		refuse(http.StatusBadGateway)
		return
	}
	defer func() { _ = up.Close() }()
	down, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(http.StatusInternalServerError)
		return
	}
	defer func() { _ = down.Close() }()
	answer(http.StatusOK)
	_, _ = io.WriteString(down, "HTTP/1.0 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(up, buffered) }()
	_, _ = io.Copy(down, up)
}
