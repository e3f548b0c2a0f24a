// Package matrix is about what the lab's scripts prove on which operating systems: the features and
// the operating systems, what cannot be tested and why, the results of a run, and the page of them
// (docs/hosts.md).
package matrix

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// VM is the operating system of variants whose hosts are virtual machines, where SELinux enforces.
const VM = "vm"

// Feature is what a script proves on an operating system: a column of the page.
type Feature struct {
	Name string // as in the first lines of scripts, "# proves: NAME, NAME", and on the page
	// Packages are those whose versions the page shows, by the family of the operating system.
	Packages map[lab.Family]string
}

// Features returns all features, in the page's order.
func Features() []Feature {
	same := func(name string) map[lab.Family]string { return map[lab.Family]string{lab.Debian: name, lab.EL: name} }
	return []Feature{
		{"storage", nil},
		{"sync by cron", map[lab.Family]string{lab.Debian: "cron", lab.EL: "cronie"}},
		{"sync by timer", same("systemd")},
		{"notifications", same("curl")},
		{"rsync proxy", same("rsync")},
		{"nginx", same("nginx")},
		{"Apache", map[lab.Family]string{lab.Debian: "apache2", lab.EL: "httpd"}},
		{"Caddy", same("caddy")},
		{"TLS", nil},
		{"certificates", same("certbot")},
		{"rsync daemon", map[lab.Family]string{lab.Debian: "rsync", lab.EL: "rsync-daemon"}},
		{"hub and leaves", nil},
		{"firewall", map[lab.Family]string{lab.EL: "firewalld"}},
		{"SELinux", nil},
		{"adopt", nil},
		{"destroy", nil},
	}
}

// FeatureNamed returns the feature of that name.
func FeatureNamed(name string) (Feature, bool) {
	all := Features()
	i := slices.IndexFunc(all, func(f Feature) bool { return f.Name == name })
	if i < 0 {
		return Feature{}, false
	}
	return all[i], true
}

// Systems returns the operating systems of the page's rows.
func Systems() []string {
	var all []string
	for _, o := range lab.OSes() {
		all = append(all, string(o))
	}
	return append(all, VM)
}

// Untested returns why no test can prove a feature on an operating system, or "".
func Untested(system, feature string) string {
	switch {
	case feature == "Caddy" && system == string(lab.Debian11):
		return "Debian 11 has no package of Caddy"
	case feature == "Caddy" && system == string(lab.EL8):
		return "the lab's EL 8 has no package of Caddy"
	case feature == "SELinux" && system != VM:
		return "needs the virtual machine, where SELinux enforces"
	case feature == "sync by cron" && system == VM:
		return "Debian's SELinux policy confines the rsync of cron"
	case system == VM && !slices.Contains([]string{"storage", "SELinux", "nginx", "TLS", "rsync daemon"}, feature):
		return "it needs no virtual machine"
	}
	return ""
}

// Outcomes of a script.
const (
	Passed  = "passed"
	Failed  = "failed"
	Skipped = "skipped"
)

// Result is that of one run of a script in one variant.
type Result struct {
	Test     string            `json:"test"`
	System   string            `json:"os"`
	Proves   []string          `json:"proves"`             // names of features
	Versions map[string]string `json:"versions,omitempty"` // of their packages, by feature
	Outcome  string            `json:"outcome"`
	Time     time.Time         `json:"time"`
	Machine  string            `json:"machine"` // what it was run on
}

// Append adds the result to a file of results, one line of JSON each.
func (r Result) Append(file string) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// Read reads a file of results. Of several runs of a test, it returns the last one.
func Read(r io.Reader) ([]Result, error) {
	var results []Result
	for lines := bufio.NewScanner(r); ; {
		if !lines.Scan() {
			return results, lines.Err()
		}
		var one Result
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, fmt.Errorf("result %d: %w", len(results)+1, err)
		}
		results = slices.DeleteFunc(results, func(r Result) bool { return r.Test == one.Test })
		results = append(results, one)
	}
}
