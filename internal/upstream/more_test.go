//go:build unix

package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab/labtest"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// find returns the findings of a check.
func find(r *Report, check string) []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Check != check })
}

// TestRequests counts requests: each file is asked for once by each route, no more of them at once than was asked for, and answers that ask for
// patience are asked for again.
func TestRequests(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	f := newFake(t, BuiltIn())
	f.options.PerHost = 3
	var under, most atomic.Int32
	var mu sync.Mutex
	seen := map[string]int{}
	f.wrap = func(protocol, family string, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := under.Add(1)
			defer under.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			key := r.Method + " " + protocol + "/" + family + r.URL.Path
			mu.Lock()
			seen[key]++
			count := seen[key]
			mu.Unlock()
			if strings.HasSuffix(key, "http/ipv4/almalinux/9.8/NFV/x86_64/os/repodata/repomd.xml") && count < 3 {
				http.Error(w, "later", http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	var last atomic.Int64
	f.options.Progress = func(_ string, done, total int64) {
		if done > total {
			t.Errorf("%d of %d done", done, total)
		}
		last.Store(total - done)
	}
	r := f.verify()
	if len(r.Findings) != 1 || !r.Accepted || r.Findings[0].Check != CheckAttempts ||
		r.Findings[0].Message != "it needed 3 attempts; the first failed: 503 Service Unavailable" {
		t.Errorf("findings: %+v", r.Findings)
	}
	if most.Load() > 3 {
		t.Errorf("%d requests at once", most.Load())
	}
	repodata := 0
	for key, n := range seen {
		if !strings.HasSuffix(key, "repomd.xml") || strings.Contains(key, "kitten") {
			continue
		}
		repodata++
		want := 1
		if strings.Contains(key, "http/ipv4") && strings.Contains(key, "9.8/NFV") {
			want = 3
		}
		if n != want {
			t.Errorf("%s: %d times", key, n)
		}
	}
	if repodata != 4*136 {
		t.Errorf("%d repomd.xml files", repodata)
	}
	if r.Verified != 2*(136+15) {
		t.Errorf("%d metadata files", r.Verified)
	}
	if last.Load() != 0 {
		t.Errorf("%d requests are not told as done", last.Load())
	}
}

func TestPrivate(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	f := newFake(t, tiny())
	f.hidden = map[string]bool{"http/ipv4": true, "https/ipv4": true, "http/ipv6": true, "https/ipv6": true}
	f.start()
	f.file.Private = true
	r, err := New(f.options).Verify(t.Context(), Mirror{File: f.file})
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != "ok" || !r.Accepted || len(find(r, CheckConnect)) == 0 || len(r.Routes) != 0 {
		t.Errorf("got %+v", r)
	}
	for _, finding := range r.Findings {
		if finding.Upstream {
			t.Errorf("the service does not look at private mirrors: %+v", finding)
		}
	}
}

// TestProtocols lets the service ask for https alone.
func TestProtocols(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	f := newFake(t, tiny())
	f.service.RequiredProtocols = []string{"https"}
	f.wrap = only("http/", serving("/10.2/BaseOS", http.NotFound))
	r := f.verify()
	if found := bad(r); r.Status != "ok" || r.Accepted || len(found) != 1 || found[0].Upstream {
		t.Errorf("status %q, findings %+v", r.Status, r.Findings)
	}
}

// TestNoModules has a tree of Kitten that the service does not know.
func TestNoModules(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	f := newFake(t, tiny())
	f.service.Modules = nil
	if r := f.verify(); len(r.Findings) > 0 || !r.Accepted || len(r.Modules) > 0 {
		t.Errorf("modules %q, findings %+v", r.Modules, r.Findings)
	}
}

// TestNoSize reads a repomd.xml that says no sizes, which it need not.
func TestNoSize(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	f := newFake(t, tiny())
	size := regexp.MustCompile("<size>[0-9]+</size>")
	f.options.Metadata = 100 << 20
	for p, content := range f.files {
		f.files[p] = size.ReplaceAllString(content, "")
	}
	if r := f.verify(); len(r.Findings) > 0 || r.Verified != 10 {
		t.Errorf("%d compared by content, findings %+v", r.Verified, r.Findings)
	}
}

// TestGuessed looks at a mirror that was named by one URL: another protocol that is not there is noted only.
func TestGuessed(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	for name, hidden := range map[string]map[string]bool{"not there": {"https/ipv4": true, "https/ipv6": true}, "there": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, tiny())
			f.hidden = hidden
			if hidden == nil {
				f.wrap = only("https", serving("/10.2/BaseOS", http.NotFound))
			}
			f.start()
			r, err := New(f.options).Verify(t.Context(), Mirror{File: f.file, Guessed: []string{"https"}})
			if err != nil {
				t.Fatal(err)
			}
			if r.Status != "ok" || r.Accepted != (hidden != nil) {
				t.Errorf("got %+v", r)
			}
			if notes := find(r, CheckConnect); hidden != nil && (len(notes) != 1 || notes[0].Severity != Note || !strings.Contains(notes[0].Message, "https is not available")) {
				t.Errorf("findings %+v", r.Findings)
			}
		})
	}
}

// TestReference compares with another tree.
func TestReference(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	const repo = "/almalinux/9.8/RT/x86_64/os/repodata/repomd.xml"
	for name, test := range map[string]struct {
		inject   func(f, ref *fake)
		severity Severity // "" is none
		message  string
	}{
		"the same": {func(f, ref *fake) {}, "", ""},
		"stale":    {func(_, ref *fake) { ref.repo(repo, now.Add(-30*time.Hour)) }, Error, "TIME is as recent as that of"},
		"just changed": {func(_, ref *fake) {
			ref.repo(repo, now.Add(-30*time.Minute))
			ref.put("/almalinux/TIME", fmt.Sprint(now.Unix()))
		}, "", ""},
		"a day behind": {func(_, ref *fake) {
			ref.repo(repo, now.Add(-30*time.Hour))
			ref.put("/almalinux/TIME", fmt.Sprint(now.Unix()))
		}, Warning, "a day earlier"},
		"ahead": {func(f, _ *fake) { f.repo(repo, now.Add(-time.Hour)) }, "", ""},
		"gone":  {func(_, ref *fake) { ref.remove("TIME") }, Note, "were not compared with those of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, ref := newFake(t, tiny()), newFake(t, tiny())
			test.inject(f, ref)
			ref.start()
			f.options.Reference = ref.file.Address.HTTP
			r := f.verify()
			found := find(r, CheckStale)
			if test.severity == "" {
				if len(r.Findings) > 0 {
					t.Errorf("findings %+v", r.Findings)
				}
				return
			}
			if len(r.Findings) != 1 || len(found) != 1 || found[0].Severity != test.severity || !strings.Contains(found[0].Message, test.message) {
				t.Errorf("findings %+v", r.Findings)
			}
		})
	}
}

// TestHostile lets the server send what it should not: nothing is read without end, and nothing of it reaches a terminal as it is.
func TestHostile(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("\x1b]52;c;x\a", 1000)); err != nil {
				return
			}
		}
	}
	for name, inject := range map[string]func(f *fake){
		"endless TIME":     func(f *fake) { f.wrap = serving("TIME", endless) },
		"endless repomd":   func(f *fake) { f.wrap = serving("9.8/RT/x86_64/os/repodata/repomd.xml", endless) },
		"endless metadata": func(f *fake) { f.wrap = serving("-primary.xml.gz", endless) },
		"endless header": func(f *fake) {
			f.wrap = serving("/9.8/", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", 1<<20)) })
		},
		"escapes in headers": func(f *fake) {
			f.wrap = func(_, _ string, next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Via", "1.1 \u202e\u009b2J cache")
					next.ServeHTTP(w, r)
				})
			}
		},
		"escapes in a redirect": func(f *fake) {
			f.wrap = serving("TIME", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "ftp://x/\x1b[2J")
				w.WriteHeader(http.StatusFound)
			})
		},
		"not HTTP": func(f *fake) {
			f.wrap = serving("TIME", func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					panic(err)
				}
				_, _ = io.WriteString(conn, "\x1b]0;gotcha\a\r\n\r\n")
				_ = conn.Close()
			})
		},
		"rsync error": func(f *fake) { f.modules = map[string]bool{"\x1b[2J": true} },
		"deep XML": func(f *fake) {
			f.put("/almalinux/9.8/RT/x86_64/os/repodata/repomd.xml", strings.Repeat("<a>", 100_000))
		},
		"many links": func(f *fake) {
			f.wrap = serving("/9.8", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, strings.Repeat("<a href=x>", 100_000))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, tiny())
			f.options.Attempts = 1
			inject(f)
			r := f.verify()
			if len(r.Findings) == 0 {
				t.Error("nothing was found")
			}
			for _, finding := range r.Findings {
				text := fmt.Sprint(finding)
				if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u202e' }) || len(finding.Message) > 1000 {
					t.Errorf("%q", text)
				}
			}
			if r.Bytes > 100<<20 {
				t.Errorf("%d bytes were read", r.Bytes)
			}
		})
	}
}

// TestAddresses looks at a name with two addresses of a family, of which one serves nothing.
func TestAddresses(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	f := newFake(t, tiny())
	f.options.Resolve = map[string][]netip.Addr{mirrorName: {netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("::1")}}
	r := f.verify()
	found := bad(r)
	if len(found) != 1 || found[0].Check != CheckConnect || !slices.Equal(found[0].Routes, []string{"http/ipv4/127.0.0.2", "https/ipv4/127.0.0.2"}) || found[0].Upstream {
		t.Errorf("findings %+v", r.Findings)
	}
}

// TestGaveUp ends a route on which the server has stopped to answer.
func TestGaveUp(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	f := newFake(t, BuiltIn())
	f.options.Attempts, f.options.PerHost = 1, 1
	var asked atomic.Int32
	f.wrap = only("http/ipv6", serving("/repodata/", func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}))
	f.start()
	f.file.AddressOptional = mirrorsd.AddressOptional{}
	f.service.Versions = []string{"9.8"}
	r, err := New(f.options).Verify(t.Context(), Mirror{File: f.file})
	if err != nil {
		t.Fatal(err)
	}
	// The transport itself asks once more on a connection that was used before.
	if asked.Load() > 2*maxFailures || !slices.ContainsFunc(find(r, CheckConnect), func(f Finding) bool { return strings.Contains(f.Message, "the last 8 requests got no answer") }) {
		t.Errorf("%d requests, findings %+v", asked.Load(), r.Findings)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	f := newFake(t, tiny())
	ctx, cancel := context.WithCancel(t.Context())
	f.wrap = serving("/9.8/", func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	requireIPv6(t)
	f.start()
	if r, err := New(f.options).Verify(ctx, Mirror{File: f.file}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestNoFamily(t *testing.T) {
	t.Parallel()
	err := &net.OpError{Op: "dial", Net: "tcp6", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
	c := &client{family: ipv6}
	got := c.explain(t.Context(), t.Context(), err)
	var p *probeError
	if !errors.As(got, &p) || !p.local || p.Error() != "this machine has no IPv6" {
		t.Errorf("got %#v", got)
	}
}

// TestRsyncDaemon asks rsync's own daemon.
func TestRsyncDaemon(t *testing.T) {
	t.Parallel()
	program := labtest.Program(t, "rsync")
	dir := t.TempDir()
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("use chroot = no\n[almalinux]\npath = %s\ncomment = the tree\n[hidden]\npath = %s\nlist = no\n[secret]\npath = %s\nauth users = x\nsecrets file = /dev/null\nstrict modes = no\n", dir, dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "rsyncd.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "--daemon", "--no-detach", "--address=127.0.0.1", fmt.Sprintf("--port=%d", port), "--config="+filepath.Join(dir, "rsyncd.conf"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 200 {
		if conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = conn.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for module, want := range map[string]string{"almalinux": "", "hidden": "is not in the daemon's list", "secret": "requires a password", "none": "Unknown module 'none'"} {
		p := &probe{v: New(Options{Timeout: time.Minute}), m: Mirror{File: mirrorsd.File{Name: "127.0.0.1"}}}
		p.m.File.Address.Rsync = fmt.Sprintf("rsync://127.0.0.1:%d/%s/", port, module)
		p.rsync(t.Context())
		findings := p.c.findings()
		if want == "" && len(findings) != 0 || want != "" && (len(findings) != 1 || !strings.Contains(findings[0].Message, want)) {
			t.Errorf("%s: %+v", module, findings)
		}
	}
}

// TestJSON looks at the names that programs read.
func TestJSON(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	f := newFake(t, tiny())
	f.remove("10.2-x86_64-dvd.iso")
	text, err := json.Marshal(f.verify())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"name": mirrorName, "host": "fra1", "status": "ok", "accepted": true, "full_iso_set": false, "ipv6": true} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	finding := got["findings"].([]any)[0].(map[string]any)
	if finding["check"] != "iso" || finding["severity"] != "warning" || finding["seen_by_upstream"] != true {
		t.Errorf("finding %v", finding)
	}
}

// TestReason says the same of the same fault, whatever addresses and ports were in it.
func TestReason(t *testing.T) {
	t.Parallel()
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 1}, Err: err}
	}
	for _, test := range []struct {
		err         error
		check, want string
	}{
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), CheckConnect, "connection refused"},
		{dial(os.ErrDeadlineExceeded), CheckConnect, "no answer within the timeout"},
		{&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}, CheckSlow, "no complete answer within the timeout of 15s"},
		{&net.DNSError{Err: "server misbehaving", Name: "x"}, CheckConnect, `the name "x" cannot be looked up: server misbehaving`},
		{io.ErrUnexpectedEOF, CheckConnect, "the server closes the connection before its answer is complete"},
	} {
		c := &client{family: ipv4, v: New(Options{})}
		var p *probeError
		if got := c.explain(t.Context(), t.Context(), test.err); !errors.As(got, &p) || p.check != test.check || p.Error() != test.want {
			t.Errorf("%v: got %+v", test.err, got)
		}
	}
}
