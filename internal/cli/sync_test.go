package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/mirrorform/mirrorform/resources"
)

func TestParseProgress(t *testing.T) {
	t.Parallel()
	const measured = "mirrorform: measuring\nmirrorform: syncing 5000000 bytes\nreceiving incremental file list\n"
	for _, c := range []struct {
		head, end string
		want      ui.Transfer
	}{
		{"", "", ui.Transfer{Phase: "starting"}},
		{"mirrorform: meas", "", ui.Transfer{Phase: "starting"}},
		{"mirrorform: measuring\n", "mirrorform: measuring\n", ui.Transfer{Phase: "measuring"}},
		{"mirrorform: measuring\nmirrorform: syncing 50", "", ui.Transfer{Phase: "measuring"}},
		{measured, measured, ui.Transfer{Phase: "syncing", Total: 5000000}},
		// rsync's percentage is of the whole tree: 3 of 300 MB, when 5 MB are to be transferred.
		{measured, "\r          32768   0%    0.00kB/s    0:00:00  \r        3000000  1%  2.00MB/s    0:00:00 (xfr#1, to-chk=1/3)",
			ui.Transfer{Phase: "syncing", Bytes: 3000000, Total: 5000000, Speed: 2 << 20}},
		{measured, "\r      3,000,000  60%    1.50kB/s    0:01:02 (xfr#1, ir-chk=1/3)\r   3,0", ui.Transfer{Phase: "syncing", Bytes: 3000000, Total: 5000000, Speed: 1536}},
		{"", "00 100%  5.00GB/s 0:00:00\n", ui.Transfer{Phase: "syncing", Speed: 5 << 30}},
		{"", "\r 99999999999999999999999 1% 1.00kB/s 0:00:00\r", ui.Transfer{Phase: "starting"}},
		{"", "\r 5 1% 999999999999999999999.00TB/s 0:00:00\r", ui.Transfer{Phase: "syncing", Bytes: 5, Speed: 1 << 60}},
		{"", "\r 5 1% 1.2.3kB/s 0:00:00\r", ui.Transfer{Phase: "starting"}},
		{"", "a 5 50% 1.00kB/s 0:00:00", ui.Transfer{Phase: "starting"}},
		{"mirrorform: syncing -5 bytes\n", "", ui.Transfer{Phase: "starting"}},
	} {
		if got := parseProgress(c.head, c.end); got != c.want {
			t.Errorf("%q, %q: %+v, want %+v", c.head, c.end, got, c.want)
		}
	}
}

// FuzzRsyncOutput has foreign bytes for rsync's output: what is made of them is bounded.
func FuzzRsyncOutput(f *testing.F) {
	f.Add("mirrorform: syncing 9 bytes\n", "\r 3000000  60%  707.44MB/s    0:00:00 (xfr#1, to-chk=1/3)")
	f.Add("mirrorform: syncing ", "rsync error: x\x1b]52;c;\x07")
	f.Add("", "\xff\xfe 1 1% 1B/s 0")
	f.Fuzz(func(t *testing.T, head, output string) {
		p := parseProgress(head, output)
		if p.Bytes < 0 || p.Total < 0 || p.Speed < 0 || p.Percent() < 0 || p.Percent() > 100 || !slices.Contains([]string{"starting", "measuring", "syncing"}, p.Phase) {
			t.Errorf("%q, %q are read as %+v", head, output, p)
		}
		if text := p.String(); strings.Contains(text, "-") || len(text) > 80 {
			t.Errorf("%+v is %q", p, text)
		}
		list := complaints(output)
		if len(list) > 3 || slices.ContainsFunc(list, func(s string) bool { return strings.ContainsAny(s, "\r\n") }) {
			t.Errorf("%q complains %q", output, list)
		}
	})
}

// FuzzRecords has foreign bytes for the status file, which the account that syncs may write.
func FuzzRecords(f *testing.F) {
	f.Add([]byte(`{"start":1,"end":2,"exit":0,"by":"cron","bytes":3,"files":4,"size":5,"available":5}`+"\n"+`{"start":3,"end":9,"exit":0,"size":5,"available":1}`), uint64(9))
	f.Add([]byte(`{"start":1,"end":99999999999999999999}`), uint64(0))
	f.Fuzz(func(t *testing.T, content []byte, available uint64) {
		list := parseRecords(content)
		for _, r := range list {
			if r.Start <= 0 || r.End <= 0 || r.Seconds() < 0 || r.Bytes != nil && *r.Bytes < 0 {
				t.Errorf("%q has a record %+v", content, r)
			}
			_ = describeRecord(&r)
		}
		if days := daysUntilFull(list, available); days != nil && *days < 0 {
			t.Errorf("full in %v days", *days)
		}
	})
}

func TestRecords(t *testing.T) {
	t.Parallel()
	list := parseRecords([]byte(`{"start":100,"end":200,"exit":0,"by":"cron","bytes":5,"files":1,"size":1000,"available":900}
not a record
{"start":86500,"end":86600,"exit":0,"by":"sync","size":1000,"available":800}
{"start":-1,"end":5,"exit":0}
{"start":1,"end":5,"exit":0,"bytes":-1}
`))
	if len(list) != 2 || list[1].By != "sync" || list[1].Bytes != nil || *list[0].Bytes != 5 {
		t.Fatalf("%+v", list)
	}
	if days := daysUntilFull(list, 800); days == nil || *days != 8 {
		t.Errorf("full in %v days, want 8", days)
	}
	for name, change := range map[string]func(r *report.SyncRecord){
		"it does not fill":        func(r *report.SyncRecord) { r.Available = list[0].Available },
		"no time passed":          func(r *report.SyncRecord) { r.End = list[0].End },
		"the file system grew":    func(r *report.SyncRecord) { n := int64(2000); r.Size = &n },
		"it failed":               func(r *report.SyncRecord) { r.Exit = 30 },
		"the space was not known": func(r *report.SyncRecord) { r.Available = nil },
	} {
		other := slices.Clone(list)
		change(&other[1])
		if days := daysUntilFull(other, 800); days != nil {
			t.Errorf("%s: full in %v days", name, *days)
		}
	}
}

func TestLockHeld(t *testing.T) {
	t.Parallel()
	const locks = "1: FLOCK  ADVISORY  WRITE 812 00:19:1234 0 EOF\n2: POSIX  ADVISORY  WRITE 9 00:19:99 0 EOF\n3: -> FLOCK ADVISORY WRITE 813 00:19:77 0 EOF\n4: FLOCK  ADVISORY  READ 1 103:02:5 0 EOF\n"
	for file, want := range map[string]bool{
		"25 1234\n": true, "26 1234": false, "25 123": false, "25 99": false, "25 77": false, "66306 5": true, "": false, "x 1234": false, "25": false,
	} {
		if got := lockHeld(file, locks); got != want {
			t.Errorf("%q: %v", file, got)
		}
	}
}

func TestNextRun(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 2*60*60)
	now := time.Date(2026, 11, 22, 13, 30, 0, 0, zone) // a Sunday
	for schedule, want := range map[string]string{
		"* * * * *":        "2026-11-22 13:31",
		"30 * * * *":       "2026-11-22 14:30",
		"33 */3 * * *":     "2026-11-22 15:33",
		"0 0 1 1 *":        "2027-01-01 00:00",
		"15,45 13 * * *":   "2026-11-22 13:45",
		"0 4 * * 7":        "2026-11-29 04:00",
		"0 4 * * Mon":      "2026-11-23 04:00",
		"0 4 24 * 1":       "2026-11-23 04:00", // either
		"0 4 */2 * 1":      "2026-11-23 04:00", // both: the 23rd is odd, as 1, 3, …
		"0 0 29 2 *":       "2028-02-29 00:00",
		"10-20/5 13 * * *": "2026-11-23 13:10",
		"@hourly":          "2026-11-22 14:00",
		"@weekly":          "2026-11-29 00:00",
		"@monthly":         "2026-12-01 00:00",
		"@reboot":          "",
		"0 0 31 2 *":       "",
		"nonsense":         "",
	} {
		got := ""
		if next, ok := nextRun(schedule, now); ok {
			got = next.Format("2006-01-02 15:04")
		}
		if got != want {
			t.Errorf("%s: %q, want %q", schedule, got, want)
		}
	}
}

func TestParseClock(t *testing.T) {
	t.Parallel()
	at, err := parseClock("1700000000 +0530\n")
	if err != nil || at.Format(time.RFC3339) != "2023-11-15T03:43:20+05:30" {
		t.Errorf("%v, %v", at, err)
	}
	for _, text := range []string{"", "1700000000", "x +0000", "-5 +0000", "1700000000 UTC"} {
		if _, err := parseClock(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// TestSurveysShareThePlansMessage: what status asks is among the questions of the plan, which go in one message.
func TestSurveysShareThePlansMessage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const text = `
host "a" { address = "192.0.2.1" }
mirror "m" {
  hosts = [host.a]
  storage { path = "/srv/m" }
  kitten { path = "/srv/kitten" }
  web { server_name = "a.example.org" }
}
`
	if err := os.WriteFile(filepath.Join(dir, "fleet.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	facts := wire.Facts{}
	facts.OS.Family = "debian"
	c, diags := config.Load(config.Options{Dir: dir, Registry: resources.All()})
	list, more := c.Resources("a", map[string]*wire.Facts{"a": &facts})
	if diags.HasErrors() || more.HasErrors() {
		t.Fatal(diags, more)
	}
	target := engine.Target{Name: "a", Facts: facts}
	ordered, problems := engine.Order(target, withSurveys(list))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	asked := map[string]bool{}
	for _, q := range engine.Questions(target, ordered) {
		asked[q.Key()] = true
	}
	jobs := syncJobs("a", list)
	if len(jobs) != 2 || jobs[0].mirror != "m" || jobs[1].mirror != "m-kitten" {
		t.Fatalf("the jobs are %+v", jobs)
	}
	for _, j := range jobs {
		for _, q := range j.questions() {
			if !asked[q.Key()] {
				t.Errorf("%s is not asked with the plan's questions", q.Key())
			}
		}
	}
}
