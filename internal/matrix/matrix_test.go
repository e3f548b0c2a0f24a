package matrix

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCells(t *testing.T) {
	t.Parallel()
	results := []Result{
		{Test: "storage", System: "el9", Proves: []string{"storage", "destroy"}, Outcome: Passed},
		{Test: "retire", System: "el9", Proves: []string{"destroy"}, Outcome: Failed},
		{Test: "web", System: "el9", Proves: []string{"Apache"}, Versions: map[string]string{"Apache": "2.4.67"}, Outcome: Passed},
		{Test: "trees", System: "el9", Proves: []string{"Apache"}, Outcome: Passed},
		{Test: "acme", System: "el9", Proves: []string{"TLS"}, Outcome: Skipped},
	}
	for _, c := range []struct{ system, feature, want string }{
		{"el9", "storage", "passed"},
		{"el9", "destroy", "**failed**: retire"},
		{"el9", "Apache", "passed (httpd 2.4.67)"},
		{"el9", "TLS", "not tested: not run"},
		{"el9", "SELinux", "not tested: needs the virtual machine, where SELinux enforces"},
		{"debian11", "Caddy", "not tested: Debian 11 has no package of Caddy"},
		{VM, "SELinux", "not tested: not run"},
	} {
		if got := Cell(results, c.system, c.feature); got != c.want {
			t.Errorf("%s on %s: %q, want %q", c.feature, c.system, got, c.want)
		}
	}
	if row := Row(results, "el9"); !strings.HasPrefix(row, "el9 ") || !strings.Contains(row, "; Apache passed (httpd 2.4.67); ") {
		t.Error(row)
	}
}

// Each cell of the page says something, also without any result.
func TestPage(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	results := []Result{
		{Test: "a", System: "el10", Proves: []string{"adopt"}, Outcome: Passed, Time: day, Machine: "Debian, kernel 6.1"},
		{Test: "b", System: VM, Proves: []string{"SELinux"}, Outcome: Passed, Time: day.AddDate(0, 0, 1), Machine: "Debian, kernel 6.1"},
	}
	for _, list := range [][]Result{nil, results} {
		page := Page(list)
		rows := 0
		for line := range strings.Lines(page) {
			if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| |") {
				continue
			}
			rows++
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			if len(cells) != len(Features())+1 {
				t.Errorf("%d cells: %s", len(cells), line)
			}
			for _, cell := range cells[1:] {
				if cell = strings.TrimSpace(cell); cell != "passed" && !strings.HasPrefix(cell, "not tested: ") {
					t.Errorf("a cell says %q", cell)
				}
			}
		}
		if rows != len(Systems()) {
			t.Errorf("%d rows:\n%s", rows, page)
		}
	}
	if page := Page(results); !strings.Contains(page, "\n2 runs of scripts, on 2026-01-02 to 2026-01-03, on Debian, kernel 6.1.\n") || !strings.Contains(page, "| EL 10 |") {
		t.Error(page)
	}
}

// Of several runs of a test, the last one counts.
func TestRead(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "results")
	for _, r := range []Result{{Test: "a", Outcome: Failed}, {Test: "b", Outcome: Passed}, {Test: "a", Outcome: Passed}} {
		if err := r.Append(file); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	results, err := Read(f)
	if err != nil || len(results) != 2 || results[1].Test != "a" || results[1].Outcome != Passed {
		t.Errorf("%+v, %v", results, err)
	}
	if got, err := Read(strings.NewReader("{\n")); err == nil {
		t.Errorf("%+v", got)
	}
}
