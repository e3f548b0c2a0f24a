package report

import (
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/upstream"
)

// TestTitle: the title names whose mirrors the page is about.
func TestTitle(t *testing.T) {
	t.Parallel()
	for want, test := range map[string]struct{ verified, hosts string }{
		"Mirrors":                     {"", ""},
		"Mirror m.example.org":        {"m.example.org", "fra1 ams1"},
		"Mirrors of example.co.uk":    {"a.example.co.uk b.example.co.uk example.co.uk c.example.co.uk", "fra1"},
		"Mirrors of example.net":      {"", "fra1=root@fra1.example.net:2222 ams1=ams1.example.net"},
		"Mirrors 10.0.0.1, 10.0.1.1":  {"", "10.0.0.1=10.0.0.1 10.0.1.1=10.0.1.1"},
		"Mirrors ams1, fra1, nrt1":    {"", "fra1=203.0.113.1 ams1=2001:db8::1 nrt1"},
		"Mirrors a1, a2 and 3 more":   {"", "a3 a1 a2 a5 a4"},
		"Mirrors a.co.uk, b.co.uk":    {"b.co.uk a.co.uk", ""},
		"Mirror fra1":                 {"", "fra1=fra1"},
		"Mirrors fra1, x.example.org": {"", "fra1 x=x.example.org"},
	} {
		f := &fleet{hosts: []*hostView{{Name: "local", Local: true}}}
		for name := range strings.FieldsSeq(test.verified) {
			f.reports = append(f.reports, &upstream.Report{Name: name})
		}
		for host := range strings.FieldsSeq(test.hosts) {
			name, address, _ := strings.Cut(host, "=")
			f.hosts = append(f.hosts, &hostView{Name: name, Address: address})
		}
		if got := f.title(); got != want {
			t.Errorf("%+v: %q, want %q", test, got, want)
		}
	}
}

// TestHostsOnThePage: host local is explained, and coordinates are no label chips.
func TestHostsOnThePage(t *testing.T) {
	t.Parallel()
	labels := map[string]string{"country": "DE", "latitude": "50.11", "longitude": "8.68"}
	text := textOf(htmlOf(t, &Result{Hosts: []HostResult{
		{Name: "fra1", Outcome: OK, Labels: labels}, {Name: "local", Local: true, Outcome: OK},
	}}))
	if !strings.Contains(text, "local\nthe machine that ran mirrorform, which has the mirrors.d files") || strings.Contains(text, "latitude=") {
		t.Errorf("%s", text)
	}
}

// TestWrongIsRed: what is wrong has the symbol of failures, before what only will be.
func TestWrongIsRed(t *testing.T) {
	t.Parallel()
	late, left, soon := int64(1_000_000), -1, 3.0
	document := &Result{
		Status: &Status{Hosts: []HostStatus{{Name: "fra1", Reachable: true, Changes: ptr(1), Mirrors: []MirrorStatus{{
			Name: "almalinux", TimeAge: &late, DaysUntilFull: &soon, Certificate: &Certificate{DaysLeft: &left},
		}}}}},
		Verify: &Verify{Mirrors: []*upstream.Report{{Name: "m.example.org", Host: "fra1", Status: "expired"}}},
	}
	p := newPage([]*Result{document})
	var marks []string
	for _, a := range p.Attention {
		marks = append(marks, a.Mark)
	}
	if want := []string{"failed", "failed", "failed", "drifted", "look"}; !slices.Equal(marks, want) {
		t.Errorf("marks %q, want %q: %+v", marks, want, p.Attention)
	}
	marks = nil
	for _, c := range p.Cards {
		marks = append(marks, c.Title+" "+c.Mark)
	}
	if want := []string{"Drift look", "Sync failed", "Storage look", "Verify failed"}; !slices.Equal(marks, want) {
		t.Errorf("cards %q, want %q", marks, want)
	}
}
