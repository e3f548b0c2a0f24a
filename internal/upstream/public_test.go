//go:build unix

package upstream

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

func TestSpecial(t *testing.T) {
	t.Parallel()
	for _, a := range []string{
		"127.0.0.1", "127.255.0.1", "::1", "0.0.0.0", "::", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.127.255.255",
		"192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "255.255.255.255", "240.0.0.1",
		"fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "fec0::1", "2001:db8::1", "100::1", "2001::1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "2002:a00:1::1", "2002:7f00:1::", "64:ff9b:1::1",
	} {
		if special(netip.MustParseAddr(a)) == "" {
			t.Errorf("%s counts as public", a)
		}
	}
	if special(netip.Addr{}) == "" {
		t.Error("no address counts as public")
	}
	for _, a := range []string{"8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "169.253.0.1", "192.0.1.1", "223.255.255.255", "2606:4700::1", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"} {
		if kind := special(netip.MustParseAddr(a)); kind != "" {
			t.Errorf("%s counts as %s", a, kind)
		}
	}
}

// insideOnly takes 127.0.0.2 for a private address, and all others for public ones.
func insideOnly(a netip.Addr) string {
	if a.Unmap() == netip.MustParseAddr("127.0.0.2") {
		return "a private address"
	}
	return ""
}

// inside is a server on 127.0.0.2 that counts its connections.
func inside(t *testing.T) (port string, connections *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int64)
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "CANARY of the inside\n")
	}), ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}}}
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, connections
}

// TestNoWayInside redirects what is asked for to an address of another network, in every way.
func TestNoWayInside(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.2", "[::ffff:127.0.0.2]", "inside.example.org"} {
		for _, what := range []string{"/almalinux/", "/almalinux/TIME", "repomd.xml", "primary.xml.gz"} {
			for _, begins := range []string{"outside", "inside"} {
				t.Run(host+" "+what+" from "+begins, func(t *testing.T) {
					t.Parallel()
					port, connections := inside(t)
					f := newFake(t, tiny())
					f.wrap = func(_, _ string, next http.Handler) http.Handler {
						return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							if strings.HasSuffix(r.URL.Path, what) {
								http.Redirect(w, r, "http://"+host+":"+port+"/", http.StatusFound)
								return
							}
							next.ServeHTTP(w, r)
						})
					}
					f.start()
					v := New(f.options)
					v.special = insideOnly
					if begins == "inside" {
						v.special = special
					}
					for _, family := range []family{ipv4, ipv6} {
						v.names.Store(lookupKey{family, "inside.example.org"}, func() lookupResult { return lookupResult{addrs: []netip.Addr{netip.MustParseAddr("127.0.0.2")}} })
					}
					r, err := v.Verify(t.Context(), Mirror{File: f.file})
					if err != nil {
						t.Fatal(err)
					}
					said := ""
					for _, finding := range r.Findings {
						said += finding.Check + ": " + finding.Message + "\n"
					}
					if begins == "inside" {
						if connections.Load() == 0 {
							t.Errorf("what began in a private network was not followed there: %s", said)
						}
						return
					}
					if n := connections.Load(); n > 0 || strings.Contains(said, "CANARY") {
						t.Errorf("%d connections; %s", n, said)
					}
					if !strings.Contains(said, "it is redirected to 127.0.0.2, a private address") {
						t.Errorf("it is not said: %s", said)
					}
				})
			}
		}
	}
}

// TestMixedAddresses has a name with a public address and another one, which is not asked.
func TestMixedAddresses(t *testing.T) {
	t.Parallel()
	f := newFake(t, tiny())
	f.start()
	f.options.Resolve = nil
	v := New(f.options)
	v.special = insideOnly
	v.names.Store(lookupKey{ipv4, mirrorName}, func() lookupResult {
		return lookupResult{addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")}}
	})
	v.names.Store(lookupKey{ipv6, mirrorName}, func() lookupResult { return lookupResult{} })
	r, err := v.Verify(t.Context(), Mirror{File: f.file})
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range r.Routes {
		if strings.Contains(route, "127.0.0.2") {
			t.Errorf("it is asked over %s", route)
		}
	}
	found := 0
	for _, finding := range r.Findings {
		if finding.Check == CheckDNS && strings.Contains(finding.Message, "127.0.0.2, a private address, which clients do not reach") {
			found++
		}
	}
	if found != 1 || len(r.Routes) == 0 {
		t.Errorf("routes %v, %+v", r.Routes, r.Findings)
	}
}

// TestClient follows no redirect from the public network to another one, and within each.
func TestClient(t *testing.T) {
	t.Parallel()
	port, connections := inside(t)
	redirect := httptest.NewServer(http.RedirectHandler("http://127.0.0.2:"+port+"/", http.StatusFound))
	t.Cleanup(redirect.Close)
	ask := func(special func(netip.Addr) string) error {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		answer, err := guarded(transport, special).Get(redirect.URL)
		if err == nil {
			_ = answer.Body.Close()
		}
		return err
	}
	if err := ask(insideOnly); err == nil || !strings.Contains(err.Error(), "it is redirected to 127.0.0.2, a private address") || connections.Load() > 0 {
		t.Errorf("%v, %d connections", err, connections.Load())
	}
	if err := ask(special); err != nil || connections.Load() == 0 {
		t.Errorf("%v, %d connections", err, connections.Load())
	}
}
