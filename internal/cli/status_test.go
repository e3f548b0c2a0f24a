package cli

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/internal/ui"
)

func TestStatusOfCertificates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const own, live = "/etc/ssl/c.pem", "/etc/letsencrypt/live/m.example.org/fullchain.pem"
	until := func(left time.Duration) *syncs.Certificate {
		return &syncs.Certificate{NotBefore: now.Add(left).AddDate(0, 0, -90), NotAfter: now.Add(left)}
	}
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		file          string
		found         *syncs.Certificate
		cell, warning string
	}{
		"no HTTPS":    {"", nil, "-", ""},
		"61 days":     {own, until(61*day + time.Hour), "61 days, issued 2026-01-31", ""},
		"14 days":     {live, until(14 * day), "14 days, issued 2025-12-15", ""},
		"almost 14":   {own, until(14*day - time.Second), "13 days, issued 2025-12-15", "a: the certificate /etc/ssl/c.pem expires on 2026-03-15, in 13 days. Renew it on the host; the web server loads the file when it changes"},
		"one by ACME": {live, until(day), "1 day, issued 2025-12-02", "a: the certificate " + live + " expires on 2026-03-02, in 1 day. On the host, to see whether its timer runs: systemctl list-timers '*certbot*'. To renew it: certbot renew"},
		"today":       {own, until(time.Minute), "0 days, issued 2025-12-01", "a: the certificate /etc/ssl/c.pem expires on 2026-03-01, in 0 days. Renew it on the host; the web server loads the file when it changes"},
		"expired":     {own, until(-time.Second), "expired, issued 2025-12-01", "a: the certificate /etc/ssl/c.pem expired on 2026-03-01. Renew it on the host; the web server loads the file when it changes"},
		"not known":   {own, &syncs.Certificate{Err: errors.New("file not found")}, "?", "a: the certificate /etc/ssl/c.pem is not known: file not found. To see what the host lacks: mirrorform plan --limit 'a'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certificate := newCertificate(c.file, c.found, now)
			if cell := certificateCell(certificate).Text; cell != c.cell {
				t.Errorf("the cell is %q, want %q", cell, c.cell)
			}
			mirror := report.MirrorStatus{Name: "almalinux", Certificate: certificate}
			kitten := report.MirrorStatus{Name: "almalinux-kitten", Certificate: certificate}
			got := strings.Join(certificateWarnings(&report.HostStatus{Name: "a", Mirrors: []report.MirrorStatus{mirror, kitten}}), "\n")
			if got != c.warning {
				t.Errorf("warned %q, want %q", got, c.warning)
			}
		})
	}
}

// texts are the texts of cells.
func texts(rows [][]ui.Cell) [][]string {
	list := make([][]string, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			list[i] = append(list[i], cell.Text)
		}
	}
	return list
}

// TestStatusTable: certificates and rsync daemons have columns only in fleets that have them.
func TestStatusTable(t *testing.T) {
	t.Parallel()
	hosts := []report.HostStatus{
		{Name: "a", Reachable: true, Mirrors: []report.MirrorStatus{{Name: "almalinux"}, {Name: "other"}}},
		{Name: "far", Mirrors: []report.MirrorStatus{}},
	}
	if rows := texts(statusTable(hosts)); slices.Contains(rows[0], "CERTIFICATE") || len(rows[1]) != len(rows[0]) {
		t.Errorf("%q", rows)
	}
	hosts[0].Mirrors[0].Certificate = &report.Certificate{File: "/c.pem", Error: "file not found"}
	rows := texts(statusTable(hosts))
	n := slices.Index(rows[0], "CERTIFICATE")
	if n < 0 || rows[1][n] != "?" || rows[2][n] != "-" || len(rows[2]) != len(rows[0]) || rows[0][n+1] != "LOCK" {
		t.Errorf("%q", rows)
	}
	hosts[0].Mirrors[1].Rsync = "served"
	rows = texts(statusTable(hosts))
	if rows[0][n+1] != "RSYNC" || rows[1][n+1] != "-" || rows[2][n+1] != "served" || rows[0][n+2] != "LOCK" {
		t.Errorf("%q", rows)
	}
}

func TestStatusResults(t *testing.T) {
	t.Parallel()
	age, held := int64(60), true
	for want, m := range map[string]report.MirrorStatus{
		"?": {}, "done": {LastSync: &syncs.Record{}}, "unchanged": {LastSync: &syncs.Record{Unchanged: true}},
		"done (24)": {LastSync: &syncs.Record{Exit: 24}}, "failed (23)": {LastSync: &syncs.Record{Exit: 23}},
		"time limit (124)": {LastSync: &syncs.Record{Exit: 124}}, "held (65)": {LastSync: &syncs.Record{Exit: 65}, Held: &held},
		"failed (20), held": {LastSync: &syncs.Record{Exit: 20}, Held: &held}, "held": {Held: &held},
		"disk full (11)": {LastSync: &syncs.Record{Exit: 11, RanOutOf: "space"}},
	} {
		if m.LastSyncAge = &age; statusCells(&m)[2].Text != want {
			t.Errorf("%+v: %q, want %q", m, statusCells(&m)[2].Text, want)
		}
	}
}

func TestTooOld(t *testing.T) {
	t.Parallel()
	ages := func(n int64) *int64 { return &n }
	hosts := []report.HostStatus{{Name: "a", Mirrors: []report.MirrorStatus{
		{Name: "young", TimeAge: ages(6 * 3600)}, {Name: "old", TimeAge: ages(6*3600 + 1)}, {Name: "unknown"},
		{Name: "synced", Distribution: "other", SuccessAge: ages(60)}, {Name: "never", Distribution: "other", TimeAge: ages(60)},
	}}}
	want := []string{
		"a: old: TIME is 6 h old, and --max-age is 6h0m0s", "a: unknown: the age of TIME is not known",
		"a: never: the age of the last successful sync is not known",
	}
	if got := tooOld(hosts, 6*time.Hour); !slices.Equal(got, want) {
		t.Errorf("warned %q, want %q", got, want)
	}
}

// TestStatusOfLeaves: a leaf is compared with the hub that its last sync used, by what both have in
// TIME.
func TestStatusOfLeaves(t *testing.T) {
	t.Parallel()
	hubs := []syncs.Hub{
		{Host: "hub1", Mirror: "almalinux", URL: "rsync://hub1/almalinux/"},
		{Host: "hub2", Mirror: "m", URL: "rsync://hub2/m/"},
	}
	tree := func(host, mirror string, at int64, upstream string, hubs ...syncs.Hub) *engine.HostPlan {
		state := &syncs.State{Now: time.Unix(100_000, 0), Records: []syncs.Record{{Start: 1, End: 2, Upstream: upstream}}}
		if at != 0 {
			state.Time = &at
		}
		job := &syncs.Job{Host: host, Mirror: mirror, Hubs: hubs, Time: "/srv/TIME"}
		found := engine.Compared{Resource: &engine.Resource{}, Have: &run.Survey{Job: job, State: state}}
		return &engine.HostPlan{Host: host, Compared: []engine.Compared{found}}
	}
	plan := &engine.Plan{Hosts: []*engine.HostPlan{
		tree("hub1", "almalinux", 10_000, ""), tree("hub2", "m", 2_800, ""),
		tree("same", "leaf", 10_000, "", hubs...), tree("behind", "leaf", 2_800, "", hubs...),
		tree("second", "leaf", 2_800, "rsync://hub2/m/", hubs...),
		tree("ahead", "leaf", 10_000, "rsync://hub2/m/", hubs...),
		tree("empty", "leaf", 0, "", hubs...), tree("gone", "leaf", 5, "", syncs.Hub{Host: "hub3", Mirror: "m"}),
	}}
	hosts := newHostStatuses(plan)
	rows := texts(statusTable(hosts))
	n := slices.Index(rows[0], "HUB")
	if n < 0 || rows[0][n+1] != "LOCK" {
		t.Fatalf("%q", rows[0])
	}
	for i, want := range []string{
		"-", "-", "hub1: current", "hub1: 2 h behind", "hub2: current", "hub2: 2 h ahead", "hub1: ?", "hub3: ?",
	} {
		if got := rows[i+1][n]; got != want {
			t.Errorf("%s: %q, want %q", rows[i+1][0], got, want)
		}
	}
	for i, want := range []string{
		"TIME is", "TIME is", "and --max-age is 1h0m0s; it is that of its hub hub1", "; that of its hub hub1 is 2 h newer",
		"; it is that of its hub hub2", "; it is that of its hub hub2", "empty: leaf: the age of TIME is not known",
		"; that of its hub hub3 is not known",
	} {
		if got := tooOld(hosts[i:i+1], time.Hour); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("warned %q, want %q", got, want)
		}
	}
	lost := report.MirrorStatus{Hub: &report.Hub{Host: "hub1"}, LastSync: &syncs.Record{Exit: syncs.ExitUnavailable}}
	if note := hubNote(&lost); !strings.Contains(note, "did not reach its hub hub1") {
		t.Errorf("noted %q", note)
	}
	if note := hubNote(&report.MirrorStatus{LastSync: lost.LastSync}); note != "" {
		t.Errorf("without a hub: noted %q", note)
	}
	if text := (&report.MirrorStatus{Distribution: "other", Hub: &report.Hub{Host: "hub1"}}).HubText(); text != "hub1" {
		t.Errorf("another distribution: %q", text)
	}
}

// TestWorstFirst keeps the order of equals.
func TestWorstFirst(t *testing.T) {
	t.Parallel()
	none, some, old, left := 0, 2, int64(1_000_000), -1
	host := func(name string, changes *int, mirrors ...report.MirrorStatus) report.HostStatus {
		return report.HostStatus{Name: name, Reachable: true, Changes: changes, Mirrors: mirrors}
	}
	hosts := []report.HostStatus{
		host("b", &none), host("a", &none), host("drifted", &some), host("unknown", nil),
		host("failed", &none, report.MirrorStatus{LastSync: &syncs.Record{Exit: 12}}), host("unread", &none, report.MirrorStatus{Error: "no"}),
		{Name: "far"}, host("late", &none, report.MirrorStatus{TimeAge: &old}),
		host("expired", &none, report.MirrorStatus{Certificate: &report.Certificate{DaysLeft: &left}}),
		host("closed", &none, report.MirrorStatus{Rsync: report.NotServed}),
	}
	var got []string
	for _, h := range worstFirst(hosts) {
		got = append(got, h.Name)
	}
	if want := "far failed unread late expired closed drifted unknown b a"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %s", got, want)
	}
	if hosts[0].Name != "b" {
		t.Error("the hosts of JSON have another order")
	}
}
