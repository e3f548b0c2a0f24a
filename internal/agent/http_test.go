package agent

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// get returns the answer to a request, or why there is none.
func (s *site) get(ctx context.Context, path string) *wire.HTTP {
	w, err := s.request(ctx, path, true)
	if err != nil {
		return &wire.HTTP{Error: err.Error()}
	}
	return w
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			_, _ = w.Write([]byte(strings.Repeat("x", 100<<10)))
		case "/missing":
			http.NotFound(w, r)
		case "/flush": // without a length
			w.(http.Flusher).Flush()
			_, _ = w.Write([]byte("a"))
			w.(http.Flusher).Flush()
			_, _ = w.Write([]byte("b"))
		default:
			_, _ = w.Write([]byte(r.Method + " " + r.Host + " " + r.URL.String()))
		}
	})
	for _, network := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", network)
		if err != nil {
			t.Log(err) // a machine without IPv6
			continue
		}
		server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
		server.Start()
		t.Cleanup(server.Close)
		address := l.Addr().String()
		for path, want := range map[string]wire.HTTP{
			"/a?b=c":   {Status: 200, Body: "GET mirror.example.org /a?b=c"},
			"/large":   {Status: 200, Body: strings.Repeat("x", maxBody)},
			"/missing": {Status: 404, Body: "404 page not found\n"},
			"/flush":   {Status: 200, Body: "ab"},
		} {
			same(t, address+path, *siteAt(address, "mirror.example.org").get(t.Context(), path), want)
		}
		for _, bad := range [][2]string{{"h", "x"}, {"", "/"}, {"h", ""}, {"h", "/ x"}, {"h\r\nX: y", "/"}, {"h", "/\x00"}} {
			if a := siteAt(address, bad[0]).get(t.Context(), bad[1]); a.Error == "" || a.Status != 0 {
				t.Errorf("%q: %+v", bad, a)
			}
		}
	}
}

// A server that does not answer is unknown, which an answer cannot say.
func TestHTTPWithoutAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := siteAt(l.Addr().String(), "h")
	silent.limit = 100 * time.Millisecond
	if a := silent.ask(t.Context(), "/", nil); a.HTTP != nil || a.Error != errNoResponse.Error() {
		t.Errorf("a server that says nothing: %+v", a)
	}
	_ = l.Close()
	if a := silent.ask(t.Context(), "/", nil); a.Error != "" || !strings.Contains(a.HTTP.Error, "refused") {
		t.Errorf("no server: %+v", a)
	}
}

// A server that answers for itself, but not for a tree.
func TestHTTPWithoutTree(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/tree/TIME" {
			<-end
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(end) })
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/TIME", []byte("now"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := siteAt(server.Listener.Addr().String(), "h")
	s.limit = time.Second
	if a := s.ask(t.Context(), "/", []string{"/tree/", dir}); a.HTTP != nil || !strings.Contains(a.Error, errNoResponse.Error()) {
		t.Errorf("%+v", a)
	}
}

func TestParseResponse(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]wire.HTTP{
		"HTTP/1.1 200 OK\r\n\r\nbody":                                 {Status: 200, Body: "body"},
		"HTTP/1.0 204\r\nX: y\r\n\r\n":                                {Status: 204},
		"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nbody":            {Status: 200, Body: "bo"},
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody":            {Error: "ended early"},
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nbody":           {Error: "invalid Content-Length"},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx": {Error: "transfer encoding"},
		"SSH-2.0-OpenSSH\r\n\r\n":                                     {Error: "not HTTP"},
		"HTTP/1.1 2x0 OK\r\n\r\n":                                     {Error: "invalid HTTP status line"},
		"HTTP/1.1 200 OK":                                             {Error: "not HTTP"},
		"":                                                            {Error: "not HTTP"},
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 20000) + "\r\n\r\n": {Error: "not HTTP"},
	} {
		status, body, err := parseResponse([]byte(raw))
		if want.Error != "" {
			if err == nil || !strings.Contains(err.Error(), want.Error) {
				t.Errorf("%.60q: %v, want %s", raw, err, want.Error)
			}
		} else if err != nil || status != want.Status || body != want.Body {
			t.Errorf("%.60q: %d %q %v", raw, status, body, err)
		}
	}
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"127.0.0.1:80", "0.0.0.0:1", "[::1]:80", "[::]:65535", "[2001:db8::1:2]:443", "[1:2:3:4:5:6:7:8]:1", "[::ffff:192.0.2.1]:80", "[1::]:80"} {
		_, to, err := parseAddress(good)
		if err != nil {
			t.Error(err)
			continue
		}
		want, err := net.ResolveTCPAddr("tcp", good)
		if err != nil {
			t.Fatal(err)
		}
		if got := sockaddr(to); !got.IP.Equal(want.IP) || got.Port != want.Port {
			t.Errorf("%s is read as %v", good, got)
		}
	}
	for _, bad := range []string{"", "80", ":80", "localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x", "1.2.3:80", "1.2.3.4.5:80", "1.2.3.256:80", "01.2.3.4:80",
		"::1:80", "[::1:80", "[::1]", "[1:2]:80", "[1::2::3]:80", "[12345::]:80", "[::1%lo]:80", "[1:2:3:4:5:6:7:8:9]:80", "[1:2:3:4:5:6:7::8]:80", "[]:80", "[:1]:80"} {
		if _, to, err := parseAddress(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, to)
		}
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// An old worker answers at first, and once again in between.
		if n := asked.Add(1); n < 4 || n == 6 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("right"))
	}))
	t.Cleanup(server.Close)
	op := &wire.ProbeOp{Address: server.Listener.Addr().String(), Host: "h", Path: "/", Status: 200, Body: "right", Timeout: 60}
	if err := probeHTTP(op); err != nil {
		t.Error(err)
	}
	if n := asked.Load(); n != 6+steady {
		t.Errorf("asked %d times", n)
	}
	op.Body, op.Timeout = "other", 1
	if err := probeHTTP(op); err == nil || !strings.Contains(err.Error(), `the body "right" instead of "other"`) {
		t.Error(err)
	}
}

// A probe of a slow host lasts until it has had enough responses.
func TestProbeSlow(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(100 * time.Millisecond)
		if asked.Add(1) < 20 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	op := &wire.ProbeOp{Address: server.Listener.Addr().String(), Host: "h", Path: "/", Status: 200, Timeout: 1}
	if err := probeHTTP(op); err != nil {
		t.Error(err)
	}
}

func sockaddr(a unix.Sockaddr) *net.TCPAddr {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	}
	return &net.TCPAddr{}
}
