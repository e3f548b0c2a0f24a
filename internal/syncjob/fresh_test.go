package syncjob

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/syncjob/settings"
)

// touch changes a file's time.
func touch(t *testing.T, file string, to time.Time) {
	t.Helper()
	if err := os.Chtimes(file, to, to); err != nil {
		t.Fatal(err)
	}
}

// cron runs the command of the settings as cron does.
func (s *site) cron(want int) string {
	s.t.Helper()
	return s.run(want, append([]string{"--cron"}, s.settings.Command(true)...)...)
}

// Nothing is asked while the upstream's file is that of the last complete sync under the same
// settings; a sync by hand is always a whole one.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.settings.Freshness, s.settings.MaxDeletePercent = "TIME", 0
	config := filepath.Join(filepath.Dir(s.tree), "settings")
	unchanged := func(want bool) {
		t.Helper()
		put(t, filepath.Join(s.tree, "extra"), "")
		s.cron(0)
		if r := s.last(); r.Unchanged != want || r.Exit != 0 || r.By != "cron" {
			t.Errorf("the record is %+v", r)
		}
		if _, err := os.Stat(filepath.Join(s.tree, "extra")); (err == nil) != want {
			t.Errorf("the tree was synced: %v", err)
		}
	}
	unchanged(false)
	unchanged(true)
	unchanged(true)
	s.run(statusUnchanged, "--guard")
	s.run(0)
	if r := s.last(); r.Unchanged {
		t.Errorf("a sync by hand: %+v", r)
	}
	unchanged(true)
	touch(t, filepath.Join(s.upstream, "TIME"), time.Now().Add(-time.Minute))
	unchanged(false)
	unchanged(true)

	for _, c := range []struct {
		status string
		want   bool
	}{
		{"69", true}, {"66", true}, {"23", false}, {"24", false}, {"20", false}, {"124", false},
	} {
		put(t, filepath.Join(s.settings.State, "m.status"),
			`{"start":`+"4000000000"+`,"end":4000000000,"exit":0}`+"\n"+`{"start":4000000001,"end":4000000001,"exit":`+c.status+"}\n")
		unchanged(c.want)
	}
	touch(t, config, time.Now().Add(time.Hour))
	unchanged(false)
	touch(t, config, time.Now().Add(-time.Hour))
	put(t, filepath.Join(s.settings.State, "m.status"), "")
	unchanged(false)
	unchanged(true)
	if err := os.Remove(filepath.Join(s.tree, "TIME")); err != nil {
		t.Fatal(err)
	}
	unchanged(false)
}

// The crontab's record of a guard that found nothing new is a success.
func TestUnchangedRecord(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run(0, "--record", "1", "79")
	if r := s.last(); !r.Unchanged || r.Exit != 0 || r.By != "cron" {
		t.Errorf("the record is %+v", r)
	}
}

// The next upstream is used while one refuses, or is behind the tree.
func TestFallback(t *testing.T) {
	t.Parallel()
	a, b := newSite(t), newSite(t)
	good, second := a.settings.Upstream, b.settings.Upstream
	a.settings.Fallback = []string{second}
	put(t, filepath.Join(b.upstream, "only-b"), "")
	a.says(a.cron(0), "from "+good)
	if r := a.last(); r.Upstream != "" {
		t.Errorf("the record is %+v", r)
	}

	touch(t, filepath.Join(b.upstream, "TIME"), time.Now().Add(-30*time.Minute))
	a.settings.Upstream = "rsync://127.0.0.1:1/m/"
	a.says(a.cron(0), "the upstream rsync://127.0.0.1:1/m/ cannot be reached", "from "+second)
	if r := a.last(); r.Upstream != second || r.Exit != 0 {
		t.Errorf("the record is %+v", r)
	}
	if _, err := os.Stat(filepath.Join(a.tree, "only-b")); err != nil {
		t.Error(err)
	}

	// Now the first is behind: the second is used, and if that is behind too, nothing.
	a.settings.Upstream = good
	a.says(a.cron(0), "the upstream "+good+" is behind the mirror", "from "+second)
	touch(t, filepath.Join(b.upstream, "TIME"), time.Now().Add(-40*time.Minute))
	a.cron(0)
	if r := a.last(); !r.Unchanged {
		t.Errorf("the record is %+v", r)
	}
	a.says(a.run(0), "from "+good) // by hand
	sameTime(t, a)
	a.settings.Upstream, a.settings.Fallback = "rsync://127.0.0.1:1/m/", []string{"rsync://127.0.0.1:2/m/"}
	a.cron(statusAbsent)
	if r := a.last(); r.Exit != statusAbsent {
		t.Errorf("the record is %+v", r)
	}
}

func TestAdjusted(t *testing.T) {
	t.Parallel()
	at := func(clock string) time.Time {
		now, err := time.ParseInLocation("15:04", clock, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	j := &job{
		Settings: &settings.Settings{Upstream: "rsync://me@a/m/", Rates: []string{"08:00-20:00 1m", "22:00-06:00 0"}},
		upstream: "rsync://me@a/m/", start: at("12:00"),
	}
	argv := []string{"/usr/bin/rsync", "-a", "--password-file=/x", "rsync://me@a/m/", "/srv/"}
	if got := j.adjusted(argv); !slices.Equal(got, append(argv[:5:5], "--bwlimit=1m")) {
		t.Error(got)
	}
	j.upstream = "rsync://b/m/"
	for clock, want := range map[string]string{
		"07:59": "", "08:00": " --bwlimit=1m", "19:59": " --bwlimit=1m", "20:00": "", "22:00": " --bwlimit=0", "00:30": " --bwlimit=0", "06:00": "",
	} {
		j.start = at(clock)
		if got := strings.Join(j.adjusted(argv), " "); got != "/usr/bin/rsync -a rsync://b/m/ /srv/"+want {
			t.Errorf("at %s: %s", clock, got)
		}
	}
}

func TestTimeLimit(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.settings.TimeLimit = "1s"
	s.settings.MaxDeletePercent, s.settings.Require = 0, ""
	put(t, filepath.Join(s.upstream, "large"), strings.Repeat("x", 1<<20))
	s.settings.Options = append(s.settings.Options, "--bwlimit=1")
	s.says(s.cron(statusTimeLimit), "was ended at its time limit: the next one continues")
	if r := s.last(); r.Exit != statusTimeLimit {
		t.Errorf("the record is %+v", r)
	}
	s.settings.TimeLimit, s.settings.Options = "", s.settings.Options[:len(s.settings.Options)-1]
	s.cron(0)
}

// sameTime: an upstream is not behind because its file is larger: "11" comes before "9".
func sameTime(t *testing.T, s *site) {
	t.Helper()
	at := time.Now().Add(-10 * time.Minute)
	put(t, filepath.Join(s.tree, "TIME"), "12345678\n")
	touch(t, filepath.Join(s.tree, "TIME"), at)
	touch(t, filepath.Join(s.upstream, "TIME"), at)
	s.cron(0)
	if r := s.last(); r.Unchanged || r.Upstream != "" {
		t.Errorf("the record is %+v", r)
	}
}
