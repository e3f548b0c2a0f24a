package agent

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// tlsServer serves with a certificate for example.com, 127.0.0.1 and ::1 that no CA has signed.
type tlsServer struct {
	*httptest.Server
	mu    sync.Mutex
	names []string // that clients asked for
}

func serveTLS(t *testing.T, listen string, handler http.Handler) *tlsServer {
	t.Helper()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Skip(err) // a machine without IPv6
	}
	s := &tlsServer{}
	s.Server = &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	s.TLS = &tls.Config{GetConfigForClient: func(c *tls.ClientHelloInfo) (*tls.Config, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.names = append(s.names, c.ServerName)
		return nil, nil
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// at returns the site of the server. MIRRORFORM_OPENSSL names another openssl, such as that of EL 8.
func (s *tlsServer) at(t *testing.T, host string) *site {
	t.Helper()
	at := siteAt(wire.OverTLS+s.Listener.Addr().String(), host)
	if other := os.Getenv("MIRRORFORM_OPENSSL"); other != "" {
		at.openssl = other
	}
	if _, err := os.Stat(at.openssl); err != nil {
		t.Skip(err)
	}
	return at
}

// trusting makes requests of a site trust the certificate of the server.
func (s *tlsServer) trusting(t *testing.T, at *site) *site {
	t.Helper()
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	script := "#!/bin/sh\nexec " + at.openssl + ` "$@" -CAfile ` + dir + "/ca.pem\n"
	if err := os.WriteFile(dir+"/ca.pem", ca, 0o600); err != nil {
		t.Fatal(err)
	}
	at.openssl = writeProgram(t, dir+"/openssl", script)
	return at
}

// writeProgram writes a program and returns its path. No test that runs beside it starts a process
// meanwhile: that one would have the file open for writing, and nothing could run it (ETXTBSY).
func writeProgram(t *testing.T, path, script string) string {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			_, _ = w.Write([]byte(strings.Repeat("x", 100<<10)))
		case "/missing":
			http.NotFound(w, r)
		case "/flush": // without a length
			w.(http.Flusher).Flush()
			_, _ = w.Write([]byte("Q\nR\nb"))
		default:
			_, _ = w.Write([]byte(r.Method + " " + r.Host + " " + r.URL.String()))
		}
	})
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(listen, func(t *testing.T) {
			t.Parallel()
			s := serveTLS(t, listen, handler)
			for path, want := range map[string]wire.HTTP{
				"/a?b=c":   {Status: 200, Body: "GET example.com /a?b=c"},
				"/large":   {Status: 200, Body: strings.Repeat("x", maxBody)},
				"/missing": {Status: 404, Body: "404 page not found\n"},
				"/flush":   {Status: 200, Body: "Q\nR\nb"},
			} {
				got := s.at(t, "example.com").get(t.Context(), path)
				if !strings.Contains(got.Unverified, "signed certificate") {
					t.Errorf("%s: unverified %q", path, got.Unverified)
				}
				got.Unverified = ""
				same(t, path, *got, want)
				same(t, path, *s.trusting(t, s.at(t, "example.com")).get(t.Context(), path), want)
			}
			got := s.trusting(t, s.at(t, "other.example.org")).get(t.Context(), "/")
			if got.Status != 200 || !strings.Contains(strings.ToLower(got.Unverified), "hostname mismatch") {
				t.Errorf("another name: %+v", got)
			}
			s.mu.Lock()
			s.names = nil
			s.mu.Unlock()
			for host, verified := range map[string]bool{"127.0.0.1": true, "127.0.0.1:443": true, "[::1]": true, "[::1]:443": true, "192.0.2.1": false, "[2001:db8::1]": false} {
				got := s.trusting(t, s.at(t, host)).get(t.Context(), "/")
				if got.Status != 200 || got.Body != "GET "+host+" /" || (got.Unverified == "") != verified {
					t.Errorf("%s: %+v", host, got)
				}
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if strings.Join(s.names, "") != "" {
				t.Errorf("an address as a name: %q", s.names)
			}
		})
	}
}

// TestHeadIsEnough: the program is ended as soon as the response is complete, not before.
func TestHeadIsEnough(t *testing.T) {
	t.Parallel()
	ended := false
	h := &head{enough: func() { ended = true }}
	for _, part := range []string{"HTTP/1.1 200 OK\r\nContent-Le", "ngth: 4\r\n\r\nope", "n"} {
		if ended {
			t.Errorf("it is ended before %q", part)
		}
		if n, err := h.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if !ended {
		t.Error("it is not ended")
	}
}

func TestHTTPSWithoutAnswer(t *testing.T) {
	t.Parallel()
	// A server that does not end what it has answered, and one that does not answer.
	s := serveTLS(t, "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil && r.URL.Path == "/open" {
			_, err = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nopen"))
		}
		if err != nil {
			t.Error(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}))
	if got := s.at(t, "h").get(t.Context(), "/open"); got.Body != "open" {
		t.Errorf("%+v", got)
	}
	silent := s.at(t, "h")
	silent.limit = time.Second
	if got := silent.get(t.Context(), "/silent"); got.Error != errNoResponse.Error() {
		t.Errorf("%+v", got)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	address := plain.Listener.Addr().String()
	at := s.at(t, "h")
	at.address = address
	if got := at.get(t.Context(), "/"); got.Error != "connect to "+address+" over TLS: \"wrong version number\"" {
		t.Errorf("without TLS: %+v", got)
	}
	plain.Close()
	if got := at.get(t.Context(), "/"); got.Error != "connect to "+address+" over TLS: connection refused" {
		t.Errorf("no server: %+v", got)
	}
	for _, bad := range []string{"/ x", "", "/\r\nQ"} {
		if got := at.get(t.Context(), bad); !strings.Contains(got.Error, "invalid path") {
			t.Errorf("%q: %+v", bad, got)
		}
	}
	at.openssl = t.TempDir() + "/openssl"
	op := &wire.ProbeOp{Address: address, TLS: true, Host: "h", Path: "/", Status: 200}
	if got := at.get(t.Context(), "/"); !got.Missing || got.Error != errNoTLS.Error() || got.Status != 0 {
		t.Errorf("no openssl: %+v", got)
	}
	if err := at.probe(op); err == nil || !strings.Contains(err.Error(), "install the package openssl") {
		t.Error(err)
	}
}

// TestHTTPSFewCAs counts how often openssl runs, and which CAs it reads.
func TestHTTPSFewCAs(t *testing.T) {
	t.Parallel()
	s := serveTLS(t, "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("right"))
	}))
	for _, c := range []struct {
		name            string
		hashed, trusted bool
		verify          bool
		runs            []string
	}{
		{"in the directory", true, true, true, []string{"-no-CAfile"}},
		{"not in the directory", true, false, true, []string{"-no-CAfile", ""}},
		{"no directory", false, false, true, []string{""}},
		{"not verified", true, false, false, []string{"-no-CAfile -no-CApath"}},
	} {
		at := s.at(t, "example.com")
		if at.hashed = c.hashed; c.trusted {
			s.trusting(t, at)
		}
		dir := t.TempDir()
		script := "#!/bin/sh\necho \"$@\" >>" + dir + "/runs\nexec " + at.openssl + ` "$@"` + "\n"
		at.openssl = writeProgram(t, dir+"/openssl", script)
		got, err := at.request(t.Context(), "/", c.verify)
		if err != nil || got.Body != "right" || (got.Unverified == "") != c.trusted && c.verify {
			t.Fatalf("%s: %v, %+v", c.name, err, got)
		}
		text, err := os.ReadFile(dir + "/runs")
		if err != nil {
			t.Fatal(err)
		}
		var runs []string
		for line := range strings.Lines(string(text)) {
			_, cas, _ := strings.Cut(line, s.Listener.Addr().String())
			cas, _, _ = strings.Cut(cas, "-servername")
			runs = append(runs, strings.TrimSpace(cas))
		}
		same(t, c.name, runs, c.runs)
	}
}

// What is served is judged by a file of each tree, over TLS as well.
func TestProbeHTTPS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/TIME", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/tree/", http.StripPrefix("/tree/", http.FileServer(http.Dir(dir))))
	mux.HandleFunc("/marker", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("right")) })
	s := serveTLS(t, "[::1]:0", mux)
	op := &wire.ProbeOp{
		Address: s.Listener.Addr().String(), TLS: true, Host: "example.com", Path: "/marker", Status: 200, Body: "right",
		Timeout: 60, Trees: []string{"/tree/", dir},
	}
	at := s.at(t, op.Host)
	if err := at.probe(op); err != nil {
		t.Error(err)
	}
	op.Trees[0] = "/other/"
	if err := at.probe(op); err == nil || !strings.HasPrefix(err.Error(), "https://example.com/other/TIME returns status 404") {
		t.Error(err)
	}
	q := op.Query()
	if q.Key() != "http \"https://"+op.Address+"\" [example.com /marker /other/ "+dir+"]" {
		t.Errorf("the key is %s", q.Key())
	}
	if a := newHost(t.TempDir()).answer(t.Context(), []wire.Query{q})[0]; a.HTTP == nil || a.HTTP.Body != "right" || a.HTTP.Trees == "" || a.HTTP.Unverified == "" {
		t.Errorf("%+v", a.HTTP)
	}
	op.Body, op.Timeout = "other", 1
	if err := at.probe(op); err == nil || !strings.Contains(err.Error(), "https://"+op.Address+"/marker (host example.com) did not give") {
		t.Error(err)
	}
}

func TestComplaint(t *testing.T) {
	t.Parallel()
	for printed, want := range map[string]string{
		"140336806070080:error:0200206F:system library:connect:Connection refused:../crypto/bio/b_sock2.c:110:\nconnect:errno=111\n": "connection refused",
		"40E7:error:0A000410:SSL routines:ssl3_read_bytes:tlsv1 alert internal error:../ssl/x.c:1586:SSL alert number 80\n":          `"tlsv1 alert internal error"`,
		"s_client: Unknown option: \x1b[2J\n": `"s_client: Unknown option: \x1b[2J"`,
		"connect:errno=x\n":                   `"connect:errno=x"`,
		"":                                    "the server closed the connection",
	} {
		if got := complaint(printed); got != want {
			t.Errorf("%q: %s", printed, got)
		}
	}
	for printed, want := range map[string]string{
		"Peer certificate: CN = Verification: OK\nVerification error: certificate has expired\n": "certificate has expired",
		"Verification: OK\n": "",
		"CONNECTED\n":        "openssl did not report whether it verifies",
		"Verification error: " + strings.Repeat("é", 200): strings.Repeat("é", 100),
	} {
		if got := unverifiedBy(printed); got != want {
			t.Errorf("%q: %q", printed, got)
		}
	}
}
