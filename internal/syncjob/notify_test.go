package syncjob

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// receiver has the requests that a server got.
type receiver struct {
	sync.Mutex
	got    []string
	refuse bool
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	r.Lock()
	defer r.Unlock()
	if r.refuse {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	r.got = append(r.got, q.URL.Path+" "+string(body))
}

// take returns what came since the last call.
func (r *receiver) take() []string {
	r.Lock()
	defer r.Unlock()
	got := r.got
	r.got = nil
	return got
}

// Each way reports once that syncs fail and once that they work again, and the ping each success.
func TestNotify(t *testing.T) {
	t.Parallel()
	labtest.Program(t, "curl")
	s := newSite(t)
	r := &receiver{}
	server := httptest.NewServer(r)
	defer server.Close()
	dir := filepath.Dir(s.tree)
	told := filepath.Join(dir, "told")
	put(t, filepath.Join(dir, "url"), "url = \""+server.URL+"/hook\"\nsilent\nfail\noutput = \"/dev/null\"\ndata-binary = \"@-\"\n")
	put(t, filepath.Join(dir, "ping"), "url = \""+server.URL+"/ping\"\nsilent\nfail\noutput = \"/dev/null\"\n")
	s.settings.URL, s.settings.Ping = filepath.Join(dir, "url"), filepath.Join(dir, "ping")
	s.settings.OnFailure = []string{"/bin/sh", "-c", `{ env | grep ^MIRRORFORM_ | sort; cat; echo "$0"; } >>"$0"`, told}

	s.cron(0)
	if got := r.take(); !slices.Equal(got, []string{"/ping "}) {
		t.Errorf("told %q", got)
	}
	good := s.settings.Upstream
	s.settings.Upstream = "rsync://127.0.0.1:1/m/"
	for range 3 {
		s.cron(statusAbsent)
	}
	got := r.take()
	var n struct{ Text, Event, Host, Mirror, Directory, Status string }
	if len(got) != 1 || json.Unmarshal([]byte(strings.TrimPrefix(got[0], "/hook ")), &n) != nil {
		t.Fatalf("told %q", got)
	}
	host, _ := os.Hostname()
	if n.Event != "failed" || n.Mirror != "m" || n.Status != "69" || n.Host != host || n.Directory != s.tree+"/" ||
		n.Text != "mirror m on "+host+": syncs fail with status 69: the upstream rsync://127.0.0.1:1/m/ cannot be reached: rsync exited with status 10" {
		t.Errorf("told %+v", n)
	}
	text, err := os.ReadFile(told)
	if err != nil || strings.Count(string(text), "MIRRORFORM_EVENT=failed\n") != 1 || !strings.Contains(string(text), "\n"+n.Text+"\n") {
		t.Errorf("told %q, %v", text, err)
	}
	s.settings.Upstream = good
	s.cron(0)
	s.cron(0)
	if got := r.take(); len(got) != 3 || !strings.Contains(got[0], `"event":"recovered"`) || got[1] != "/ping " || got[2] != "/ping " {
		t.Errorf("told %q", got)
	}
	if text, _ := os.ReadFile(told); strings.Count(string(text), "MIRRORFORM_EVENT=") != 2 || !strings.Contains(string(text), "EVENT=recovered") {
		t.Errorf("told %q", text)
	}
}

// A notification that fails is recorded and sent after the next sync, and does not change how that
// sync ended.
// A sync that was stopped is not reported.
func TestUnsent(t *testing.T) {
	t.Parallel()
	labtest.Program(t, "curl")
	s := newSite(t)
	r := &receiver{refuse: true}
	server := httptest.NewServer(r)
	defer server.Close()
	s.settings.URL = filepath.Join(filepath.Dir(s.tree), "url")
	put(t, s.settings.URL, "url = \""+server.URL+"/hook\"\nsilent\nfail\noutput = \"/dev/null\"\ndata-binary = \"@-\"\n")
	s.settings.OnFailure = []string{"/nowhere/program"}
	good := s.settings.Upstream
	s.settings.Upstream = "rsync://127.0.0.1:1/m/"
	s.says(s.cron(statusAbsent), "the notification by url failed: exit status 22", "the notification by on_failure failed: ")
	if text := s.read("m.status"); !strings.HasSuffix(text, `,"unsent":["on_failure","url"]}`+"\n") {
		t.Errorf("the record is %q", text)
	}
	put(t, filepath.Join(s.settings.State, "m.status"), s.read("m.status")+`{"start":1,"end":1,"exit":20,"by":"cron"}`+"\n")
	r.Lock()
	r.refuse = false
	r.Unlock()
	s.cron(statusAbsent)
	s.cron(statusAbsent)
	if got := r.take(); len(got) != 1 || !strings.Contains(got[0], `"event":"failed"`) {
		t.Errorf("told %q", got)
	}
	s.settings.Upstream = good
	s.cron(0)
	if got := r.take(); len(got) != 1 || !strings.Contains(got[0], `"event":"recovered"`) {
		t.Errorf("told %q", got)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.settings.Metrics = filepath.Join(s.settings.State, "m.prom")
	value := func(name string) string {
		t.Helper()
		_, after, found := strings.Cut(s.read("m.prom"), "\nmirrorform_job_"+name+`{mirror="m"} `)
		if !found {
			return ""
		}
		value, _, _ := strings.Cut(after, "\n")
		return value
	}
	s.cron(0)
	info, err := os.Stat(filepath.Join(s.upstream, "TIME"))
	if err != nil {
		t.Fatal(err)
	}
	at, first := strconv.FormatInt(info.ModTime().Unix(), 10), strconv.FormatInt(s.last().End, 10)
	for name, want := range map[string]string{
		"exit_status": "0", "held": "0", "end_timestamp_seconds": first, "success_timestamp_seconds": first,
		"tree_timestamp_seconds": at, "upstream_timestamp_seconds": at,
	} {
		if got := value(name); got != want {
			t.Errorf("%s is %q, want %q:\n%s", name, got, want, s.read("m.prom"))
		}
	}
	later := time.Now().Add(-time.Minute)
	touch(t, filepath.Join(s.upstream, "TIME"), later)
	put(t, filepath.Join(s.settings.State, "m.hold"), "held")
	s.cron(statusHeld)
	for name, want := range map[string]string{
		"exit_status": "65", "held": "1", "success_timestamp_seconds": first, "tree_timestamp_seconds": at, "upstream_timestamp_seconds": at,
	} {
		if got := value(name); got != want {
			t.Errorf("%s is %q, want %q:\n%s", name, got, want, s.read("m.prom"))
		}
	}
	put(t, filepath.Join(s.settings.State, "m.hold"), "")
	s.settings.MaxDelete = 1
	s.lose()
	s.cron(statusHeld)
	if got := value("upstream_timestamp_seconds"); got != strconv.FormatInt(later.Unix(), 10) {
		t.Errorf("the upstream's time is %s", got)
	}
}
