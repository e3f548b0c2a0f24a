//go:build unix

package upstream

import (
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func nullLog() *log.Logger { return log.New(io.Discard, "", 0) }

// requireIPv6 skips a test where the loopback interface has no IPv6, as in some containers.
func requireIPv6(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("the loopback interface has no IPv6: %v", err)
	}
	_ = l.Close()
}

// bad are the findings that are no notes.
func bad(r *Report) []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Severity == Note })
}

func TestHealthy(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	f := newFake(t, tiny())
	r := f.verify()
	if len(r.Findings) > 0 || r.Status != "ok" || !r.Accepted {
		t.Errorf("status %q, findings %+v", r.Status, r.Findings)
	}
	routes := []string{"http/ipv4", "http/ipv6", "https/ipv4", "https/ipv6"}
	if !slices.Equal(r.Routes, routes) || !r.IPv6 || !r.FullISOSet || !slices.Equal(r.Modules, []string{"kitten"}) || !r.Time.Equal(now.Add(-time.Hour)) {
		t.Errorf("got %+v", r)
	}
	// Four repositories and Kitten's one, with two files each.
	if r.Verified != 10 || r.Sized != 0 {
		t.Errorf("%d files compared by content, %d by size", r.Verified, r.Sized)
	}
	if len(r.Certificates) != 1 || !r.Certificates[0].Valid || r.Certificates[0].DaysLeft != 60 {
		t.Errorf("certificates: %+v", r.Certificates)
	}
}

// serving answers for some paths in place of the files.
func serving(part string, h http.HandlerFunc) func(string, string, http.Handler) http.Handler {
	return func(_, _ string, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, part) {
				h(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// only limits a wrap to a protocol, or a route.
func only(route string, wrap func(string, string, http.Handler) http.Handler) func(string, string, http.Handler) http.Handler {
	return func(protocol, family string, next http.Handler) http.Handler {
		if strings.HasPrefix(protocol+"/"+family, route) {
			return wrap(protocol, family, next)
		}
		return next
	}
}

func header(name, value string) func(string, string, http.Handler) http.Handler {
	return func(_, _ string, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(name, value)
			next.ServeHTTP(w, r)
		})
	}
}

// TestFaults breaks one thing of a healthy mirror at a time: the check that is meant finds it, and no other.
func TestFaults(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	const repo = "9.8/RT/x86_64/os/repodata/repomd.xml"
	all := []string{"http/ipv4", "http/ipv6", "https/ipv4", "https/ipv6"}
	tests := map[string]struct {
		inject   func(f *fake)
		severity Severity
		check    string
		message  string
		routes   []string
		path     string // the first
		paths    int    // how many
		upstream bool
		status   string // "" is ok
	}{
		"TIME 13 h old": {
			inject:   func(f *fake) { f.put("/almalinux/TIME", fmt.Sprint(now.Add(-13*time.Hour).Unix())) },
			severity: Error, check: CheckTime, message: "13.0 hours ago; at most 12.0 hours are allowed", routes: all, path: "TIME", paths: 1, upstream: true, status: "expired",
		},
		"TIME missing": {
			inject:   func(f *fake) { f.remove("/almalinux/TIME") },
			severity: Error, check: CheckTime, message: "404 Not Found", routes: all, path: "TIME", paths: 1, upstream: true, status: "expired",
		},
		"TIME broken": {
			inject:   func(f *fake) { f.put("/almalinux/TIME", "yesterday\x1b[2J\n") },
			severity: Error, check: CheckTime, message: `it contains "yesterday\\x1b[2J", which is not a Unix time`, routes: all, path: "TIME", paths: 1, upstream: true, status: "expired",
		},
		"TIME in the future": {
			inject:   func(f *fake) { f.put("/almalinux/TIME", fmt.Sprint(now.Add(48*time.Hour).Unix())) },
			severity: Warning, check: CheckTime, message: "in the future", routes: all, path: "TIME", paths: 1,
		},
		"missing architecture": {
			inject:   func(f *fake) { f.remove("9.8/BaseOS/aarch64") },
			severity: Error, check: CheckRepodata, message: "404 Not Found", routes: all, path: "9.8/BaseOS/aarch64/os/repodata/repomd.xml", paths: 1, upstream: true,
			status: "404 Not Found (9.8/BaseOS/aarch64/os/repodata/repomd.xml)",
		},
		"missing release": {
			inject: func(f *fake) {
				f.remove("9.8/BaseOS")
				f.remove("9.8/RT")
			},
			severity: Error, check: CheckRepodata, message: "404 Not Found", routes: all, path: "9.8/BaseOS/aarch64/os/repodata/repomd.xml", paths: 3, upstream: true,
			status: "404 Not Found (9.8/BaseOS/x86_64/os/repodata/repomd.xml)",
		},
		"wrong checksum": {
			inject: func(f *fake) {
				for p := range f.files {
					if strings.Contains(p, "9.8/RT") && strings.HasSuffix(p, "-primary.xml.gz") {
						f.files[p] = strings.ToUpper(f.files[p])
					}
				}
			},
			severity: Error, check: CheckMetadata, message: "its primary does not match its checksum in repomd.xml", routes: []string{"http/ipv4"}, path: repo, paths: 1,
		},
		"wrong size, beyond what is fetched": {
			inject: func(f *fake) {
				f.options.Metadata = 1
				for p := range f.files {
					if strings.Contains(p, "9.8/RT") && strings.HasSuffix(p, "-primary.xml.gz") {
						f.files[p] = "short"
					}
				}
			},
			severity: Error, check: CheckMetadata, message: "its primary does not match its size in repomd.xml", routes: []string{"http/ipv4"}, path: repo, paths: 1,
		},
		"half-synced repository": {
			inject: func(f *fake) {
				for p := range f.files {
					if strings.Contains(p, "9.8/RT") && strings.HasSuffix(p, "-filelists.xml.gz") {
						delete(f.files, p)
					}
				}
			},
			severity: Error, check: CheckMetadata, message: "its filelists is missing: 404 Not Found", routes: []string{"http/ipv4"}, path: repo, paths: 1,
		},
		"repomd.xml that is a page": {
			inject:   func(f *fake) { f.put("/almalinux/"+repo, "<html>Sorry</html>") },
			severity: Error, check: CheckMetadata, message: "not a valid repomd.xml", routes: []string{"http/ipv4"}, path: repo, paths: 1,
		},
		"repomd.xml that leads out": {
			inject: func(f *fake) {
				f.put("/almalinux/"+repo, `<repomd><data type="primary"><location href="../../../../../etc/passwd"/></data></repomd>`)
			},
			severity: Error, check: CheckMetadata, message: "which is not a path in the repository", routes: []string{"http/ipv4"}, path: repo, paths: 1,
		},
		"https serves half": {
			inject:   func(f *fake) { f.wrap = only("https", serving("/10.2/BaseOS", http.NotFound)) },
			severity: Error, check: CheckRepodata, message: "404 Not Found", routes: []string{"https/ipv4", "https/ipv6"}, path: "10.2/BaseOS/x86_64/os/repodata/repomd.xml", paths: 1,
		},
		"https serves nothing": {
			inject:   func(f *fake) { f.wrap = only("https", serving("/", http.NotFound)) },
			severity: Error, check: CheckBase, message: "the URL of the tree answers 404 Not Found", routes: []string{"https/ipv4", "https/ipv6"},
		},
		"expired certificate": {
			inject:   func(f *fake) { f.expires = now.AddDate(0, 0, -3) },
			severity: Error, check: CheckCertificate, message: "the certificate of mirror.example.org expired on 2026-03-11", routes: []string{"https/ipv4", "https/ipv6"},
		},
		"certificate about to expire": {
			inject:   func(f *fake) { f.expires = now.AddDate(0, 0, 9) },
			severity: Warning, check: CheckCertificate, message: "in 9 days", routes: []string{"https/ipv4", "https/ipv6"},
		},
		"certificate for another name": {
			inject:   func(f *fake) { f.names = []string{"www.example.com"} },
			severity: Error, check: CheckCertificate, message: "the certificate is not for mirror.example.org, but for www.example.com", routes: []string{"https/ipv4", "https/ipv6"},
		},
		"certificate of an unknown authority": {
			inject:   func(f *fake) { f.roots = x509.NewCertPool() },
			severity: Error, check: CheckCertificate, message: "is from an unknown authority", routes: []string{"https/ipv4", "https/ipv6"},
		},
		"redirect loop": {
			inject: func(f *fake) {
				f.wrap = only("https", serving("/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }))
			},
			severity: Error, check: CheckRedirect, message: "redirected more than 10 times", routes: []string{"https/ipv4", "https/ipv6"},
		},
		"redirect loop of a repository": {
			inject: func(f *fake) {
				f.wrap = serving(repo, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })
			},
			severity: Error, check: CheckRedirect, message: "redirected more than 10 times", routes: all, path: repo, paths: 1, upstream: true,
			status: "it is redirected more than 10 times (" + repo + ")",
		},
		"listing off": {
			inject:   func(f *fake) { f.listed = false },
			severity: Warning, check: CheckListing, message: "the directory is not listed", routes: []string{"http/ipv4"},
		},
		"listing forbidden": {
			inject: func(f *fake) {
				f.wrap = func(_, _ string, next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == "/almalinux/" {
							http.Error(w, "Forbidden", http.StatusForbidden)
							return
						}
						next.ServeHTTP(w, r)
					})
				}
			},
			severity: Error, check: CheckBase, message: "403 Forbidden", routes: all, upstream: true, status: "403 Forbidden",
		},
		"rsync down": {
			inject:   func(f *fake) { f.modules = nil },
			severity: Error, check: CheckRsync, message: "the rsync daemon does not answer: connection refused", routes: []string{"rsync/ipv4", "rsync/ipv6"},
		},
		"rsync without the module": {
			inject:   func(f *fake) { f.modules = map[string]bool{"centos": true} },
			severity: Error, check: CheckRsync, message: "@ERROR: Unknown module 'almalinux'", routes: []string{"rsync/ipv4", "rsync/ipv6"},
		},
		"IPv6 dead": {
			inject:   func(f *fake) { f.hidden = map[string]bool{"http/ipv6": true, "https/ipv6": true} },
			severity: Error, check: CheckConnect, message: "connection refused", routes: []string{"http/ipv6", "https/ipv6"},
		},
		"IPv4 dead": {
			inject:   func(f *fake) { f.hidden = map[string]bool{"http/ipv4": true, "https/ipv4": true} },
			severity: Error, check: CheckConnect, message: "connection refused", routes: []string{"http/ipv4", "https/ipv4"},
		},
		"IPv6 leads elsewhere": {
			inject: func(f *fake) {
				f.wrap = only("http/ipv6", serving("/TIME", func(w http.ResponseWriter, _ *http.Request) {
					_, _ = fmt.Fprint(w, now.Add(-5*time.Hour).Unix())
				}))
			},
			severity: Warning, check: CheckConsistency, message: "it differs from that of http/ipv4", routes: []string{"http/ipv6"}, path: "TIME", paths: 1,
		},
		"CDN": {
			inject:   func(f *fake) { f.wrap = header("CF-RAY", "8f2c-FRA") },
			severity: Error, check: CheckCDN, message: "the mirror is behind Cloudflare: the answer has its header Cf-Ray", routes: all,
		},
		"slow server": {
			inject: func(f *fake) {
				f.options.Timeout = 15 * time.Second
				e := expiring(f)
				f.wrap = only("http/", serving(repo, func(_ http.ResponseWriter, r *http.Request) { e.stall(r) }))
			},
			severity: Error, check: CheckSlow, message: "no complete answer within the timeout of 15s", routes: []string{"http/ipv4", "http/ipv6"}, path: repo, paths: 1, upstream: true,
			status: "no complete answer within 15s (" + repo + ")",
		},
		"ISO missing": {
			inject:   func(f *fake) { f.remove("10.2-x86_64-dvd.iso.manifest") },
			severity: Warning, check: CheckISO, message: "404 Not Found", routes: all, path: "10.2/isos/x86_64/AlmaLinux-10.2-x86_64-dvd.iso.manifest", paths: 1, upstream: true,
		},
		"Kitten missing": {
			inject: func(f *fake) {
				f.remove("10-kitten/BaseOS")
				f.put("/almalinux-kitten/10-kitten/README", "moved")
			},
			severity: Error, check: CheckKitten, message: "404 Not Found", routes: []string{"http/ipv4", "http/ipv6"}, upstream: true,
		},
		"Kitten not listed": {
			inject: func(f *fake) {
				f.wrap = func(_, _ string, next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == "/almalinux-kitten/" {
							http.Error(w, "Forbidden", http.StatusForbidden)
							return
						}
						next.ServeHTTP(w, r)
					})
				}
			},
			severity: Warning, check: CheckKitten, message: "403 Forbidden", routes: []string{"http/ipv4", "http/ipv6"},
		},
		"leftover at the top": {
			inject:   func(f *fake) { f.put("/almalinux/.~tmp~/TIME", "x") },
			severity: Warning, check: CheckTemporary, message: "a directory of unfinished files", routes: []string{"http/ipv4"}, path: ".~tmp~/", paths: 1,
		},
		"leftover in a repository": {
			inject:   func(f *fake) { f.put("/almalinux/9.8/RT/x86_64/os/repodata/.~tmp~/repomd.xml", "x") },
			severity: Warning, check: CheckTemporary, message: "a directory of unfinished files", routes: []string{"http/ipv4"}, path: "9.8/RT/x86_64/os/repodata/.~tmp~/", paths: 1,
		},
		"fresh TIME over an old tree": {
			inject: func(f *fake) {
				for _, p := range f.service.Repodata() {
					f.repo("/almalinux/"+p, now.AddDate(0, 0, -40))
				}
			},
			severity: Warning, check: CheckStale, message: "TIME is recent, but no repomd.xml is newer than 2026-02-02", routes: []string{"http/ipv4"},
		},
		"no A record": {
			inject:   func(f *fake) { f.options.Resolve = map[string][]netip.Addr{mirrorName: {netip.MustParseAddr("::1")}} },
			severity: Error, check: CheckDNS, message: "the name has no A record", upstream: true, status: "Unknown IP (reason: it has no A record)",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, tiny())
			test.inject(f)
			r := f.verify()
			want := test.status
			if want == "" {
				want = "ok"
			}
			if r.Status != want || r.Accepted != (want == "ok" && test.severity != Error) {
				t.Errorf("status %q, accepted %v; want %q", r.Status, r.Accepted, want)
			}
			found := bad(r)
			if len(found) != 1 {
				t.Fatalf("findings: %+v", r.Findings)
			}
			got := found[0]
			if got.Severity != test.severity || got.Check != test.check || !strings.Contains(got.Message, test.message) || got.Upstream != test.upstream {
				t.Errorf("got %+v", got)
			}
			if !slices.Equal(got.Routes, test.routes) {
				t.Errorf("routes %q, want %q", got.Routes, test.routes)
			}
			if test.path != "" && (len(got.Paths) != test.paths || got.Paths[0] != test.path) {
				t.Errorf("paths %q", got.Paths)
			}
		})
	}
}
