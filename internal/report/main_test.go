package report

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// golden compares got with testdata/NAME.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test -update makes it)", err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (go test -update rewrites it):\n%s", file, got)
	}
}

// hostile breaks out of terminals, code fences, XML, HTML, labels of metrics and lines.
const hostile = "a\x1b]52;c;Zm9v\x07b\x9bc\u009b31md\u202ee\u200bf\rg\x00h\ufeffi\U000e0041j\n```\n~~~~\n</details>]]><script>&\"'\\|`<!--{0}\n"

// checkSafe fails if a terminal would not show text as it is.
func checkSafe(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) || unicode.In(r, unicode.Bidi_Control) {
			t.Fatalf("output holds %q: %q", r, text)
		}
	}
}

// unreachableError is as the engine has it for hosts that no session was opened with.
type unreachableError struct{ error }

func (unreachableError) Unreachable() bool { return true }

// at is the address with this text.
func at(text string) engine.Address {
	a, _ := engine.ParseAddress(text)
	return a
}

// kind is a resource type by its name.
func kind(name string) *engine.Kind { return &engine.Kind{Name: name} }

// fleetPlan has hosts of every outcome that a plan and an apply can have.
func fleetPlan() *engine.Plan {
	motd := func(host string) (engine.Change, []engine.Compared) {
		r := &engine.Resource{Address: at(host + "/file.motd"), Kind: kind("file"), Source: "fleet.hcl:12"}
		same := &engine.Resource{Address: at(host + "/package.rsync"), Kind: kind("package"), Source: "fleet.hcl:20"}
		return engine.Change{
			Resource: r, Address: r.Address.String(), Type: "file", Action: engine.Update,
			Before: []engine.Attribute{{Name: "content", Value: "one\ntwo\nthree\n"}, {Name: "mode", Value: "0600"}, {Name: "size", Value: uint64(1<<63 + 1)}},
			After:  []engine.Attribute{{Name: "content", Value: "one\n2\nthree\n"}, {Name: "mode", Value: "0644"}, {Name: "size", Value: uint64(1<<63 + 2)}},
			Steps:  []engine.Step{{Summary: "write /etc/motd"}},
		}, []engine.Compared{{Resource: r}, {Resource: same}}
	}
	p := &engine.Plan{}
	for _, name := range []string{"fra1", `edge["ams"]`, `edge["sin"]`} {
		c, compared := motd(name)
		p.Hosts = append(p.Hosts, &engine.HostPlan{Host: name, Unchanged: 1, Compared: compared, Changes: []engine.Change{c}})
	}
	key := &engine.Resource{Address: at("fra1/file.key"), Kind: kind("file"), Source: "fleet.hcl:30", Sensitive: map[string]bool{"content": true}}
	old := &engine.Resource{Address: at("fra1/file.old"), Kind: kind("file"), Source: "gone.hcl:3", Remove: true, Orphan: true}
	p.Hosts[0].Changes = append(p.Hosts[0].Changes,
		engine.Change{
			Resource: key, Address: key.Address.String(), Type: "file", Action: engine.Create,
			After: []engine.Attribute{{Name: "path", Value: "/etc/key"}, {Name: "content", Value: "canary-6b1d\nline\n", Sensitive: true}}, Steps: []engine.Step{{Summary: "write /etc/key"}},
		},
		engine.Change{
			Resource: old, Address: old.Address.String(), Type: "file", Action: engine.Delete,
			Before: []engine.Attribute{{Name: "path", Value: "/etc/old"}}, Steps: []engine.Step{{Summary: "remove /etc/old"}},
		})
	p.Hosts[0].Compared = append(p.Hosts[0].Compared, engine.Compared{Resource: key}, engine.Compared{Resource: old})
	p.Hosts[0].Notes = []string{"an earlier apply did not end: it was taken back"}
	idle := &engine.Resource{Address: at("idle/package.rsync"), Kind: kind("package"), Source: "fleet.hcl:20"}
	small := &engine.Resource{Address: at("small/mirror.almalinux.directory"), Kind: kind("directory"), Source: "fleet.hcl:40"}
	p.Hosts = append(p.Hosts,
		&engine.HostPlan{Host: "idle", Unchanged: 1, Compared: []engine.Compared{{Resource: idle}}, Problems: []*engine.ResourceProblem{
			{Resource: idle, Problem: engine.Problem{Severity: engine.Warning, Summary: "a warning"}}}},
		&engine.HostPlan{Host: "small", Compared: []engine.Compared{{Resource: small}}, Problems: []*engine.ResourceProblem{
			{Resource: small, Problem: engine.Problem{Severity: engine.Error, Summary: "/srv has 280 GB", Detail: "300 GB are needed"}}}},
		&engine.HostPlan{Host: "far", Err: unreachableError{errors.New("dial tcp 203.0.113.9:22: connection refused")}},
	)
	return p
}

var testStart = time.Date(2026, 3, 1, 2, 3, 4, 0, time.UTC)

// planResult is the result of a drift run with that plan.
func planResult() *Result {
	p := fleetPlan()
	r := FromPlan(p)
	r.Version, r.Command, r.Start, r.End = "v1.2.3", "drift", testStart, testStart.Add(2500*time.Millisecond)
	r.Configuration, r.Sources = "0123456789abcdef", "fedcba9876543210"
	r.Locate(p, "infra")
	for i := range r.Hosts {
		h := &r.Hosts[i]
		h.Address, h.Labels, h.Duration = "203.0.113.1", map[string]string{"country": "DE"}, 1.25
		h.Source = &Source{"infra/fleet.hcl", i + 1}
	}
	r.Problems = []Problem{{Severity: "error", Summary: "/srv has 280 GB", Detail: "300 GB are needed.", File: "infra/fleet.hcl", Line: 41, Column: 5, EndLine: 41, EndColumn: 9},
		{Severity: "warning", Summary: "A warning", File: "infra/fleet.hcl", Line: 20, Column: 1, EndLine: 22, EndColumn: 2}}
	return r
}

// applyResult is the result of an apply of that plan: changed, failed, rolled back.
func applyResult() *Result {
	r := planResult()
	r.Command = "apply"
	p := fleetPlan()
	done := &engine.Result{}
	for _, h := range p.Hosts {
		a := &engine.HostResult{Host: h.Host, Err: h.Err, State: engine.Untouched}
		if h.Failed() && h.Err == nil {
			a.Err = engine.ErrNotPlanned
		}
		done.Hosts = append(done.Hosts, a)
	}
	done.Hosts[0].Done = []*engine.Change{&p.Hosts[0].Changes[0]}
	done.Hosts[1].Failed, done.Hosts[1].Step, done.Hosts[1].Err, done.Hosts[1].State = &p.Hosts[1].Changes[0], "write /etc/motd", errors.New("no space left on device"), engine.TakenBack
	done.Hosts[2].Err, done.Hosts[2].State = errors.New("taken back with its wave"), engine.TakenBack
	r.Apply(done)
	r.Hosts[2].Outcome = RolledBack
	r.Count()
	return r
}

// verifyResult is what verify --json says of a mirror that is accepted and of one that is not.
func verifyResult() *Result {
	at := testStart
	r := &Result{FormatVersion: Format, Version: "v1.2.3", Command: "verify", Start: testStart, End: testStart.Add(time.Minute), Hosts: []HostResult{}, Verify: &Verify{FormatVersion: "1.0", Mirrors: []*upstream.Report{
		{Name: "mirror.example.org", Host: "fra1", Status: "ok", Accepted: true, Time: &at, Modules: []string{}, Addresses: []upstream.Address{}, Routes: []string{"http/ipv4"},
			Certificates: []upstream.Certificate{{Host: "mirror.example.org", DaysLeft: 12, Valid: true, NotAfter: testStart}},
			Findings:     []upstream.Finding{{Severity: upstream.Warning, Check: upstream.CheckCertificate, Message: "the certificate ends in 12 days"}}},
		{Name: "bad.example.org", Status: "expired", Modules: []string{}, Addresses: []upstream.Address{}, Routes: []string{}, Certificates: []upstream.Certificate{},
			Findings: []upstream.Finding{
				{Severity: upstream.Error, Check: upstream.CheckTime, Upstream: true, Message: "TIME is 13 h old", Advice: "Look at the sync job.", Routes: []string{"http/ipv4"}, Paths: []string{"TIME"}},
				{Severity: upstream.Note, Check: upstream.CheckListing, Message: "directories are not listed"}}},
	}}}
	r.Count()
	return r
}

// hostileResult has hostile text in every field that can have it.
func hostileResult() *Result {
	r := applyResult()
	text := hostile
	r.Version, r.Configuration, r.Error, r.Sources = text, text, text, text
	for i := range r.Hosts {
		h := &r.Hosts[i]
		h.Name += text
		h.Address, h.Error, h.Labels, h.Left = text, &text, map[string]string{text: text}, engine.Left(text)
		h.Warnings, h.Notes, h.Source = []string{text}, []string{text}, &Source{text, 7}
		for j := range h.Changes {
			c := &h.Changes[j]
			c.Address, c.Type, c.Steps, c.Source = c.Address+text, text, []string{text}, &Source{text, 3}
			c.Before, c.After, c.Diff = map[string]any{text: text}, map[string]any{text: []any{text}}, "-x = \"`````\n```\n+"+strings.ReplaceAll(text, "\n", "\n ")
		}
		for j := range h.Resources {
			h.Resources[j] = Resource{h.Resources[j].Address + text, text, &Source{text, 1}}
		}
	}
	r.Problems = []Problem{{Severity: "error", Summary: text, Detail: text, File: text, Line: 1}}
	v := verifyResult().Verify
	for _, m := range v.Mirrors {
		m.Name, m.Host, m.Status = m.Name+text, text, text
		for i := range m.Findings {
			f := &m.Findings[i]
			f.Check, f.Message, f.Advice, f.Routes, f.Paths = text, text, text, []string{text}, []string{text}
		}
	}
	r.Verify = v
	return r
}
