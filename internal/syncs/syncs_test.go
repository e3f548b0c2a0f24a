package syncs

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseProgress(t *testing.T) {
	t.Parallel()
	const measured = "mirrorform: measuring\nmirrorform: syncing 5000000 bytes\nreceiving incremental file list\n"
	for _, c := range []struct {
		head, end string
		want      Transfer
	}{
		{"", "", Transfer{Phase: "starting"}},
		{"mirrorform: meas", "", Transfer{Phase: "starting"}},
		{"mirrorform: measuring\n", "mirrorform: measuring\n", Transfer{Phase: "measuring"}},
		{"mirrorform: measuring\nmirrorform: syncing 50", "", Transfer{Phase: "measuring"}},
		{measured, measured, Transfer{Phase: "syncing", Total: 5000000}},
		// rsync's percentage is of the whole tree: 3 of 300 MB, when 5 MB are to be transferred.
		{measured, "\r          32768   0%    0.00kB/s    0:00:00  \r        3000000  1%  2.00MB/s    0:00:00 (xfr#1, to-chk=1/3)",
			Transfer{Phase: "syncing", Bytes: 3000000, Total: 5000000, Speed: 2 << 20}},
		{measured, "\r      3,000,000  60%    1.50kB/s    0:01:02 (xfr#1, ir-chk=1/3)\r   3,0", Transfer{Phase: "syncing", Bytes: 3000000, Total: 5000000, Speed: 1536}},
		{"", "00 100%  5.00GB/s 0:00:00\n", Transfer{Phase: "syncing", Speed: 5 << 30}},
		{"", "\r 99999999999999999999999 1% 1.00kB/s 0:00:00\r", Transfer{Phase: "starting"}},
		{"", "\r 5 1% 999999999999999999999.00TB/s 0:00:00\r", Transfer{Phase: "syncing", Bytes: 5, Speed: 1 << 60}},
		{"", "\r 5 1% 1.2.3kB/s 0:00:00\r", Transfer{Phase: "starting"}},
		{"", "a 5 50% 1.00kB/s 0:00:00", Transfer{Phase: "starting"}},
		{"mirrorform: syncing -5 bytes\n", "", Transfer{Phase: "starting"}},
	} {
		if got := ParseProgress(c.head, c.end); got != c.want {
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
		p := ParseProgress(head, output)
		if p.Bytes < 0 || p.Total < 0 || p.Speed < 0 || p.Percent() < 0 || p.Percent() > 100 || !slices.Contains([]string{"starting", "measuring", "syncing"}, p.Phase) {
			t.Errorf("%q, %q are read as %+v", head, output, p)
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
		list := ParseRecords(content)
		for _, r := range list {
			if r.Start <= 0 || r.End <= 0 || r.Seconds() < 0 || r.Bytes != nil && *r.Bytes < 0 {
				t.Errorf("%q has a record %+v", content, r)
			}
		}
		if days := DaysUntilFull(list, available); days != nil && *days < 0 {
			t.Errorf("full in %v days", *days)
		}
	})
}

func TestRecords(t *testing.T) {
	t.Parallel()
	list := ParseRecords([]byte(`{"start":100,"end":200,"exit":0,"by":"cron","bytes":5,"files":1,"size":1000,"available":900}
not a record
{"start":86500,"end":86600,"exit":0,"by":"sync","size":1000,"available":800}
{"start":-1,"end":5,"exit":0}
{"start":1,"end":5,"exit":0,"bytes":-1}
`))
	if len(list) != 2 || list[1].By != "sync" || list[1].Bytes != nil || *list[0].Bytes != 5 {
		t.Fatalf("%+v", list)
	}
	if days := DaysUntilFull(list, 800); days == nil || *days != 8 {
		t.Errorf("full in %v days, want 8", days)
	}
	for name, change := range map[string]func(r *Record){
		"it does not fill":        func(r *Record) { r.Available = list[0].Available },
		"no time passed":          func(r *Record) { r.End = list[0].End },
		"the file system grew":    func(r *Record) { n := int64(2000); r.Size = &n },
		"it failed":               func(r *Record) { r.Exit = 30 },
		"the space was not known": func(r *Record) { r.Available = nil },
	} {
		other := slices.Clone(list)
		change(&other[1])
		if days := DaysUntilFull(other, 800); days != nil {
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
		if next, ok := NextRun(schedule, now); ok {
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
