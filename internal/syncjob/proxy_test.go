package syncjob

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// The guard's listing, the dry run and the sync all connect through the proxy.
func TestProxy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var connections atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections.Add(1)
		up, err := net.Dial("tcp4", r.Host)
		if err != nil || r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = up.Close() }()
		down, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = down.Close() }()
		_, _ = io.WriteString(down, "HTTP/1.0 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(up, buffered) }()
		_, _ = io.Copy(down, up)
	}))
	defer proxy.Close()
	s.settings.Around = []string{"/usr/bin/env", "RSYNC_PROXY=" + strings.TrimPrefix(proxy.URL, "http://")}
	s.cron(0)
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections through the proxy", n)
	}
}
