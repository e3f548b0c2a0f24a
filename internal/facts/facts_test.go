package facts

import (
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/upstream"
)

const config = "allowed_outdate: 1h\nversions: ['9']\narches: {'9': [x86_64]}\nrequired_protocols: [http]\n" +
	"repos: [{name: baseos, path: BaseOS/$basearch/os/}]\n"

// clock is a day after the built-in facts.
var clock = upstream.BuiltInDate.Add(24 * time.Hour)

// serve is a server of config.yml. It counts requests, and answers what body says; "" is an error.
func serve(t *testing.T, body *atomic.Pointer[string]) (*Loader, *atomic.Int32) {
	t.Helper()
	var requests atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		if text := body.Load(); *text != "" {
			_, _ = w.Write([]byte(*text))
			return
		}
		http.Error(w, "no", http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return &Loader{
		URL: server.URL + "/config.yml", Dir: filepath.Join(t.TempDir(), "cache"), Roots: roots, Timeout: time.Minute,
		Now: func() time.Time { return clock },
	}, &requests
}

func TestLoad(t *testing.T) {
	t.Parallel()
	var body atomic.Pointer[string]
	say := func(s string) { body.Store(&s) }
	say(config)
	l, requests := serve(t, &body)

	offline := *l
	offline.Offline = true
	if f := offline.Load(t.Context()); f.Source != BuiltIn || f.Problem != "" || requests.Load() != 0 || !f.Stale(clock) {
		t.Errorf("offline: %+v, %d requests", f, requests.Load())
	}
	if f := l.Load(t.Context()); f.Source != Fetched || f.Service.AllowedOutdate != time.Hour || !f.Date.Equal(clock) || f.Problem != "" || f.Stale(clock) {
		t.Errorf("first: %+v", f)
	}
	if f := l.Load(t.Context()); f.Source != Cached || f.Service.AllowedOutdate != time.Hour || requests.Load() != 1 || f.Stale(clock) {
		t.Errorf("second: %+v, %d requests", f, requests.Load())
	}
	later := *l
	later.Now = func() time.Time { return clock.Add(7 * time.Hour) }
	for name, text := range map[string]string{"error": "", "a page": "<html>", "too long": config + strings.Repeat("#", upstream.MaxServiceSize)} {
		say(text)
		if f := later.Load(t.Context()); f.Source != Cached || f.Problem == "" || !f.Date.Equal(clock) || !f.Stale(later.Now()) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	say(strings.Replace(config, "1h", "2h", 1))
	if f := later.Load(t.Context()); f.Source != Fetched || f.Service.AllowedOutdate != 2*time.Hour {
		t.Errorf("again: %+v", f)
	}
	if f := offline.Load(t.Context()); f.Source != BuiltIn { // the kept copy is from the future
		t.Errorf("from the future: %+v", f)
	}
	if list, err := os.ReadDir(l.Dir); err != nil || len(list) != 1 {
		t.Errorf("kept are %v, %v", list, err)
	}
}

// TestKept does not trust what is kept.
func TestKept(t *testing.T) {
	t.Parallel()
	before := upstream.BuiltInDate.Add(-time.Hour)
	for name, test := range map[string]struct {
		kept    any
		problem bool
	}{
		"no JSON":                     {"{", true},
		"no config.yml":               {copied{clock, URL, "x: ["}, true},
		"of another URL":              {copied{clock, "https://example.org/", config}, false},
		"older than what is built in": {copied{before, URL, config}, false},
	} {
		dir := t.TempDir()
		data, ok := test.kept.(string)
		if !ok {
			text, err := json.Marshal(test.kept)
			if err != nil {
				t.Fatal(err)
			}
			data = string(text)
		}
		l := Loader{Dir: dir, Offline: true, Now: func() time.Time { return clock }}
		if err := os.WriteFile(l.name(), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if f := l.Load(t.Context()); f.Source != BuiltIn || (f.Problem != "") != test.problem {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestOld(t *testing.T) {
	t.Parallel()
	for days, want := range map[int]bool{0: false, 180: false, 190: true} {
		if got := Old(upstream.BuiltInDate.AddDate(0, 0, days)); got != want {
			t.Errorf("after %d days: %v", days, got)
		}
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]Facts{
		"of 2026-07-15, built in": {Source: BuiltIn, Date: upstream.BuiltInDate},
		"of 2026-07-16 00:00 UTC": {Source: Cached, Date: clock},
		"of --service-config":     {Source: Given},
	} {
		if got := f.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
