//go:build unix

package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// row is a fault with what the service stores, by its own code, and what verify finds.
type row struct {
	inject   func(w *world)
	https    bool   // the file lists https first
	private  bool   // the entry is of a private mirror
	status   string // "" is ok
	kind     string
	check    string // of a finding, "" if none is expected
	severity Severity
	message  string
	attempts int
	blocked  string
	noKitten bool
	absent   bool // nothing is found
}

// some attempts are more than one: the machine decides whether the header or the body is late.
const some = -1

// times is a fault of the first n requests for repoFile over IPv6, which the service uses.
func times(n int, a answer) func(w *world) {
	return func(w *world) { w.add(fault{path: repoFile, family: "ipv6", times: n, answer: a}) }
}

const ofRepo = " (9.8/CRB/x86_64/os/repodata/repomd.xml)"

// rows are faults on which the service and verify once differed.
var rows = map[string]row{
	"a file answers 503 once": {
		inject: times(1, answer{status: 503}), status: "503 Service Unavailable" + ofRepo, kind: KindStatus,
		check: CheckRepodata, severity: Error, message: "does not try again: it needed 2 attempts", attempts: 2,
	},
	"a file answers 429 once": {
		inject: times(1, answer{status: 429}), status: "429 Too Many Requests" + ofRepo, kind: KindStatus,
		check: CheckRepodata, severity: Error, message: "it needed 2 attempts", attempts: 2,
	},
	"a file answers 502 twice": {
		inject: times(2, answer{status: 502}), status: "502 Bad Gateway" + ofRepo, kind: KindStatus,
		check: CheckRepodata, severity: Error, message: "it needed 3 attempts", attempts: 3,
	},
	"the body of a repomd.xml takes 20 s": {
		inject: func(w *world) {
			w.add(fault{path: repoFile, agent: "curl", answer: answer{status: 200, body: "<repomd>", how: "drip"}})
		},
		status: "no complete answer within 15s" + ofRepo, kind: KindTimeout,
		check: CheckSlow, severity: Error, message: "AlmaLinux's service gets no complete answer within 15s", attempts: some,
	},
	"the body of the base page takes 20 s": {
		inject: func(w *world) {
			w.add(fault{path: treeURL, agent: "curl", answer: answer{status: 200, body: "<html>", how: "drip"}})
		},
		status: "no complete answer within 15s", kind: KindTimeout,
		check: CheckSlow, severity: Error, message: "AlmaLinux's service gets no complete answer within 15s", attempts: some,
	},
	"a repomd.xml is cut off once": {
		inject: times(1, answer{status: 200, body: "<repomd>", how: "cut"}),
		status: "its body is cut off: the server closes the connection before its answer is complete" + ofRepo, kind: KindIncomplete,
		check: CheckRepodata, severity: Error, message: "it needed 2 attempts", attempts: 2,
	},
	"a byte that is no UTF-8 in the index page": {
		inject: func(w *world) {
			w.add(fault{path: treeURL, answer: answer{status: 200, body: "<a href=9.8/>caf\xe9</a>"}})
		},
		status: "byte 0xe9 at 16 is not UTF-8, and its Content-Type names no other charset", kind: KindCharset,
		check: CheckBase, severity: Error, message: "AlmaLinux's service cannot decode it", attempts: 2,
	},
	"403 for the user agent curl/7.61.1": {
		inject: func(w *world) { w.add(fault{path: "/", prefix: true, agent: "curl/7", answer: answer{status: 403}}) },
		status: "403 Forbidden", kind: KindStatus, blocked: ServiceAgent,
		check: CheckBase, severity: Error, message: "the user agent curl/7.61.1, which AlmaLinux's service sends, is refused", attempts: 2,
	},
	"403 for the user agent mirrorform": {
		inject: func(w *world) {
			w.add(fault{path: "/", prefix: true, agent: "mirrorform", answer: answer{status: 403}})
		},
		blocked: "mirrorform", check: CheckAgent, severity: Warning, message: "it answers 403 Forbidden to the user agent mirrorform",
	},
	"a header of 9 kB": {
		inject: func(w *world) {
			w.add(fault{path: timeFile, from: 0, answer: answer{status: 200, body: w.f.files[timeFile]}})
			w.add(fault{path: treeURL, answer: answer{status: 200, body: "x", header: map[string]string{"X-Long": strings.Repeat("x", 9000)}}})
		},
		status: "the header X-Long is longer than 8190 bytes, the limit of the service's HTTP client", kind: KindHeader,
		check: CheckBase, severity: Error, message: "longer than 8190 bytes", attempts: 2,
	},
	"an AAAA record whose server answers 404": {
		inject: func(w *world) {
			w.add(fault{path: "/", prefix: true, family: "ipv6", answer: answer{status: 404}})
		},
		status: "404 Not Found", kind: KindStatus, check: CheckBase, severity: Error, message: "404 Not Found",
	},
	"an AAAA record whose server has a stale TIME": {
		inject: func(w *world) {
			stale := fmt.Sprint(now.Add(-20 * time.Hour).Unix())
			w.add(fault{path: timeFile, family: "ipv6", answer: answer{status: 200, body: stale}})
		},
		status: "expired", kind: KindExpired, check: CheckTime, severity: Error, message: "20.0 hours ago",
	},
	"a private mirror without an A record": {
		inject: func(w *world) {
			w.f.options.Resolve = map[string][]netip.Addr{mirrorName: {}}
		},
		private: true, noKitten: true, check: CheckDNS, severity: Note, message: "the name has no A record",
	},
	"Kitten's TIME is missing": {
		inject:   func(w *world) { w.f.remove(kittenDir + "TIME") },
		noKitten: true, check: CheckKitten, severity: Error, message: "404 Not Found",
	},
	"Kitten's TIME is 20 h old": {
		inject:   func(w *world) { w.f.put(kittenDir+"TIME", fmt.Sprint(now.Add(-20*time.Hour).Unix())) },
		noKitten: true, check: CheckKitten, severity: Error, message: "20.0 hours ago",
	},
	"Kitten's TIME is 200 days old": {
		inject:   func(w *world) { w.f.put(kittenDir+"TIME", fmt.Sprint(now.AddDate(0, 0, -200).Unix())) },
		noKitten: true, check: CheckKitten, severity: Error, message: "200 days ago",
	},
	"TIME in milliseconds": {
		inject: func(w *world) { w.f.put(timeFile, fmt.Sprint(now.UnixMilli())) },
		check:  CheckTime, severity: Warning, message: "which is not a Unix time in seconds",
	},
	// float() does not accept U+FEFF, so a byte order mark has to be removed by the charset.
	"TIME with a byte order mark": {
		inject: func(w *world) { w.f.put(timeFile, "\ufeff"+fmt.Sprint(now.Unix())) },
		status: "expired", kind: KindExpired, check: CheckTime, severity: Error, message: "which is not a Unix time",
	},
	"TIME with a byte order mark, in utf-8-sig": {
		inject: func(w *world) {
			w.add(fault{path: timeFile, answer: answer{
				status: 200, body: "\ufeff" + fmt.Sprint(now.Unix()), header: map[string]string{"Content-Type": "text/plain; charset=utf-8-sig"},
			}})
		},
		absent: true,
	},
	"300 without Location": {
		inject: func(w *world) { w.add(fault{path: repoFile, answer: answer{status: 300}}) },
		check:  CheckRepodata, severity: Error, message: "300 Multiple Choices",
	},
	"https is listed first, and fails": {
		inject: func(w *world) { w.f.remove("BaseOS/x86_64/os/repodata/repomd.xml") },
		https:  true, status: "404 Not Found (9.8/BaseOS/x86_64/os/repodata/repomd.xml)", kind: KindStatus, noKitten: true,
		check: CheckRepodata, severity: Error, message: "404 Not Found",
	},
}

// TestTable has a test of each row.
func TestTable(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, f := fakeWorld(t)
			row.inject(w)
			f.start()
			f.file.Private, f.file.Address.Rsync = row.private, ""
			if !row.https {
				f.file.Address.HTTPS = ""
			}
			r := f.look(Mirror{File: f.file, HTTPSFirst: row.https})
			row.compare(t, r)
		})
	}
}

func (row row) compare(t *testing.T, r *Report) {
	t.Helper()
	want := row.status
	if want == "" {
		want = "ok"
	}
	v := r.Service
	counted := v.Attempts == row.attempts || row.attempts == some && v.Attempts > 1
	if r.Status != want || v.Kind != row.kind || !counted || v.Blocked != row.blocked {
		t.Errorf("status %q, verdict %+v", r.Status, v)
	}
	if route := map[bool]string{true: "https/ipv6", false: "http/ipv6"}[row.https]; !row.private && v.Route != route {
		t.Errorf("the service comes over %s", v.Route)
	}
	if kitten := want == "ok" && !row.noKitten; slices.Contains(r.Modules, "kitten") != kitten {
		t.Errorf("modules %q", r.Modules)
	}
	if row.absent && len(r.Findings) > 0 {
		t.Errorf("findings %+v", r.Findings)
	}
	if row.check != "" && !slices.ContainsFunc(r.Findings, func(f Finding) bool {
		seen := row.status != "" || row.check == CheckKitten
		return f.Check == row.check && f.Severity == row.severity && strings.Contains(f.Message, row.message) && f.Upstream == seen
	}) {
		t.Errorf("findings %+v", r.Findings)
	}
}

// TestOtherProtocol has a fault of the protocol that the file lists second, which the service does
// not use.
func TestOtherProtocol(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	for _, first := range []string{"http", "https"} {
		for _, broken := range []string{"http", "https"} {
			f := newFake(t, tiny())
			f.wrap = only(broken+"/", serving("/10.2/BaseOS", http.NotFound))
			f.start()
			r := f.look(Mirror{File: f.file, HTTPSFirst: first == "https"})
			if ok := first != broken; (r.Status == "ok") != ok || r.Service.Route != first+"/ipv6" {
				t.Errorf("%s first, %s broken: %q over %s", first, broken, r.Status, r.Service.Route)
			}
		}
	}
}

// TestLimitConn is nginx's limit_conn 4: the service makes five requests at once.
func TestLimitConn(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	s := micro()
	for _, name := range []string{"A", "B", "C", "D", "E"} {
		s.Repos = append(s.Repos, Repo{Name: name, Path: name + "/$basearch/os/"})
	}
	f := newFake(t, s)
	f.options.Attempts = 6
	full := make(chan struct{}) // closed when five are there at once
	var once sync.Once
	var mu sync.Mutex
	under := 0
	f.wrap = only("http/ipv6", serving("repomd.xml", func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() != ServiceAgent || strings.Contains(r.URL.Path, "kitten") {
			f.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		under++
		over := under > 4
		mu.Unlock()
		defer func() { mu.Lock(); under--; mu.Unlock() }()
		if over {
			once.Do(func() { close(full) })
			http.Error(w, "too many", http.StatusServiceUnavailable)
			return
		}
		select {
		case <-full:
		case <-r.Context().Done():
		}
		f.ServeHTTP(w, r)
	}))
	f.start()
	r := f.look(Mirror{File: f.file})
	found := find(r, CheckRepodata)
	if !strings.HasPrefix(r.Status, "503 Service Unavailable (") || len(found) != 1 || !found[0].Upstream ||
		!strings.Contains(found[0].Message, "makes 5 requests at once") || !strings.Contains(found[0].Advice, "limit_conn") {
		t.Errorf("status %q, findings %+v", r.Status, r.Findings)
	}
}

// TestMovedReleases has 9.9 and 10.3 where the facts are of 9.8 and 10.2.
func TestMovedReleases(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	for name, test := range map[string]struct {
		stale, current bool
		status         string
		message        string
	}{
		"newer facts":       {current: true, status: "ok"},
		"facts of that day": {status: "404 Not Found (9.8/BaseOS/x86_64/os/repodata/repomd.xml)", message: "9.8 is gone and 9.9 is there, but AlmaLinux's service still requires 9.8"},
		"older facts":       {stale: true, status: "ok", message: "9.8 is gone and 9.9 is there: checked for 9.9, since what is known of AlmaLinux's service is of 2026-01-02"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, tiny().moved(map[string]string{"9.8": "9.9", "10.2": "10.3"}))
			if !test.current {
				f.service = tiny()
			}
			f.options.FactsStale, f.options.FactsDate = test.stale, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
			r := f.verify()
			found := find(r, CheckReleases)
			if r.Status != test.status || len(found) > 0 != (test.message != "") {
				t.Fatalf("status %q, findings %+v", r.Status, r.Findings)
			}
			if test.message != "" && !slices.ContainsFunc(found, func(f Finding) bool { return f.Message == test.message && f.Severity == Warning }) {
				t.Errorf("findings %+v", found)
			}
		})
	}
}

// TestShared counts the requests of a mirror in order: the service's look costs none.
func TestShared(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	f := newFake(t, tiny())
	var mu sync.Mutex
	seen := map[string]int{}
	f.wrap = func(protocol, family string, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen[r.Method+" "+protocol+"/"+family+" "+r.URL.Path]++
			mu.Unlock()
			next.ServeHTTP(w, r)
		})
	}
	r := f.verify()
	if len(r.Findings) > 0 {
		t.Errorf("findings %+v", r.Findings)
	}
	for key, n := range seen {
		if n != 1 {
			t.Errorf("%s: %d times", key, n)
		}
	}
}

// TestServiceRedirect does not follow a redirect of a public mirror into a special network.
func TestServiceRedirect(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	f := newFake(t, tiny())
	f.wrap = serving("10.2/BaseOS", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.9:9/", http.StatusFound)
	})
	f.tune = func(v *Verifier) {
		v.special = func(a netip.Addr) string {
			if a.String() == "127.0.0.9" {
				return "a private address"
			}
			return ""
		}
	}
	r := f.verify()
	if r.Service.Kind != KindRedirect || !strings.Contains(r.Status, "redirected to 127.0.0.9, a private address") {
		t.Errorf("status %q, %+v", r.Status, r.Service)
	}
}

// TestInflate reads what servers compress.
func TestInflate(t *testing.T) {
	t.Parallel()
	zipped := gzipped(t, strings.Repeat("x", 5000))
	got, err := inflate("GZIP", []byte(zipped), 1000)
	if err != nil || len(got) != 1000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for encoding, body := range map[string]string{"gzip": "plain", "deflate": "plain", "br": "plain"} {
		if _, err := inflate(encoding, []byte(body), 1000); err == nil {
			t.Errorf("%s: no error", encoding)
		}
	}
	if got, err := inflate("x-other", []byte("plain"), 1000); err != nil || string(got) != "plain" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestRace takes the next address if one refuses.
func TestRace(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	f := newFake(t, tiny())
	f.hidden = map[string]bool{"http/ipv6": true}
	r := f.verify()
	if r.Status != "ok" || r.Service.Route != "http/ipv4" {
		t.Errorf("status %q over %s", r.Status, r.Service.Route)
	}
	c := (&probe{v: New(Options{})}).newServiceClient("example.org")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if conn, err := c.race(ctx, "example.org", "9", []netip.Addr{netip.MustParseAddr("127.0.0.1")}); err == nil {
		_ = conn.Close()
		t.Error("a connection after the end")
	}
	if _, err := io.ReadAll(once{}); err != nil {
		t.Error(err)
	}
}

// TestVerdictPlain has no URL that the service would use.
func TestVerdictPlain(t *testing.T) {
	t.Parallel()
	r, err := New(Options{Resolve: map[string][]netip.Addr{mirrorName: {netip.MustParseAddr("127.0.0.1")}}}).Verify(t.Context(),
		Mirror{File: mirrorsd.File{Name: mirrorName}})
	if err != nil || r.Service.Kind != KindConnection || r.Service.Route != "" {
		t.Errorf("%+v, %v", r, err)
	}
}
