package config

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

const mirrorFleet = `
host "fra1" {
  address = "203.0.113.10"
  labels  = { country = "DE" }
}
host "edge" {
  for_each = { ams = "203.0.113.20", sin = "203.0.113.30" }
  address  = each.value
  labels   = { country = "NL" }
}
mirror "almalinux" {
  hosts      = [host.fra1, host.edge]
  depends_on = [file.before]
  storage {
    path = "/srv/mirror/almalinux"
  }
  web {
    server_name = "${replace(target.name, "/[^a-z0-9]+/", "")}.mirror.example.org"
  }
  publish {
    sponsor     = "Example"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = {
      country = target.labels.country
      city    = SPLIT
    }
  }
}
resource "file" "before" {
  hosts   = host
  path    = "/etc/before"
  content = "x"
}
resource "file" "after" {
  hosts      = [host.fra1, host.local]
  path       = "/tmp/after"
  content    = "x"
  depends_on = [mirror.almalinux]
}
resource "file" "facts" {
  hosts   = [host.local]
  path    = "/tmp/facts"
  content = target.facts.hostname
}
`

func addresses(list []*engine.Resource) []string {
	var names []string
	for _, r := range list {
		names = append(names, r.Address.String())
	}
	return names
}

func texts(list []engine.Address) []string {
	var all []string
	for _, a := range list {
		all = append(all, a.String())
	}
	return all
}

// at is the address with this text.
func at(text string) engine.Address {
	a, _ := engine.ParseAddress(text)
	return a
}

func TestMirror(t *testing.T) {
	t.Parallel()
	c, diags := loadText(t, strings.ReplaceAll(mirrorFleet, "SPLIT", `"Frankfurt"`))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	names := make([]string, 0, 4)
	for _, h := range c.Hosts() {
		names = append(names, h.Name)
	}
	if want := []string{"fra1", `edge["ams"]`, `edge["sin"]`, "local"}; !slices.Equal(names, want) {
		t.Errorf("hosts %q, want %q", names, want)
	}
	facts := map[string]*wire.Facts{"fra1": {OS: wire.OSFacts{Family: "debian"}}, `edge["ams"]`: {OS: wire.OSFacts{Family: "el"}}}

	list, diags := c.Resources(`edge["ams"]`, facts)
	if diags.HasErrors() || len(list) < 5 {
		t.Fatalf("%v, %v", list, diags)
	}
	for _, r := range list[:len(list)-1] {
		if !strings.HasPrefix(r.Address.String(), `edge["ams"]/mirror.almalinux.`) || r.Kind == nil || r.State == nil || r.Source != "fleet.hcl:11" {
			t.Errorf("got %+v", r)
		}
		if !slices.Contains(r.DependsOn, at(`edge["ams"]/file.before`)) {
			t.Errorf("%s does not wait for what the mirror depends on: %q", r.Address, r.DependsOn)
		}
	}
	if _, problems := engine.Order(engine.Target{Name: `edge["ams"]`}, list); len(problems) > 0 {
		t.Errorf("no order: %v", problems[0].Problem)
	}

	list, diags = c.Resources("fra1", facts)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	after := list[len(list)-1]
	for _, a := range addresses(list) {
		if strings.HasPrefix(a, "fra1/mirror.") && !slices.Contains(after.DependsOn, at(a)) {
			t.Errorf("%s does not wait for %s", after.Address, a)
		}
	}

	if _, diags = c.Resources(`edge["sin"]`, facts); !diags.HasErrors() {
		t.Error("a mirror expands without facts of its host")
	}
	if _, diags = c.Resources("nowhere", facts); !diags.HasErrors() {
		t.Error("there are resources on a host that does not exist")
	}

	// Nothing of the mirror's specification needs facts, so the entries of all hosts are there; the file that needs facts is not.
	list, diags = c.Resources("local", facts)
	want := []string{
		`local/mirror.almalinux.publish["fra1"]`, `local/mirror.almalinux.publish["edge[\"ams\"]"]`,
		`local/mirror.almalinux.publish["edge[\"sin\"]"]`, "local/file.after",
	}
	if got := addresses(list); !slices.Equal(got, want) {
		t.Errorf("on local: %q, want %q", got, want)
	}
	if got := diagnosticsText(diags, c.eval.Reader.Dir); !strings.Contains(got, "warning") || !strings.Contains(got, "local/file.facts") || diags.HasErrors() {
		t.Errorf("got %s", got)
	}
	if got := texts(list[3].DependsOn); !slices.Equal(got, want[:3]) {
		t.Errorf("after: %q, want %q", got, want[:3])
	}
}

func TestMirrorThatNeedsFacts(t *testing.T) {
	t.Parallel()
	c, diags := loadText(t, strings.ReplaceAll(mirrorFleet, "SPLIT", `target.facts.hostname`))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	list, diags := c.Resources("local", map[string]*wire.Facts{"local": {Hostname: "here"}, "fra1": {Hostname: "Frankfurt"}})
	want := []string{`local/mirror.almalinux.publish["fra1"]`, "local/file.after", "local/file.facts"}
	if got := addresses(list); !slices.Equal(got, want) {
		t.Errorf("on local: %q, want %q", got, want)
	}
	if len(diags) != 2 || diags.HasErrors() {
		t.Errorf("got %s", diagnosticsText(diags, c.eval.Reader.Dir))
	}
}

func TestProblemsHavePlaces(t *testing.T) {
	t.Parallel()
	c, diags := loadText(t, strings.ReplaceAll(mirrorFleet, "SPLIT", `"Frankfurt"`))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, tc := range []struct{ address, attribute, want string }{
		{"fra1/mirror.almalinux.storage", "storage.path", "15,12-35"},
		{`edge["ams"]/mirror.almalinux.cron`, "publish.geolocation.country", "25,17-38"},
		{`local/mirror.almalinux.publish["edge[\"ams\"]"]`, "publish.geolocation.state_province", "24,19-27,6"},
		{`edge["a/b"]/mirror.almalinux.cron`, "publish.name", "20,3-10"},
		{`edge["ams"]/mirror.almalinux.cron`, "sync.every", "11,1-19"},
		{"fra1/mirror.almalinux.storage", "", "11,1-19"},
		{"fra1/mirror.almalinux.storage", "][", "11,1-19"},
		{"fra1/file.before", "path", "32,13-26"},
		{"fra1/file.before", "mode", "30,1-25"},
		{`fra1/file.before["x"]`, "path", "32,13-26"},
	} {
		d := c.Problem(&engine.Resource{Address: at(tc.address)}, engine.Errorf(tc.attribute, "x"))
		if d.Subject == nil || !strings.HasSuffix(d.Subject.String(), ":"+tc.want) {
			t.Errorf("%s, %s: %v, want %s", tc.address, tc.attribute, d.Subject, tc.want)
		}
	}
	if d := c.Problem(&engine.Resource{Address: at("fra1/file.gone"), Source: "manifest"}, engine.Errorf("path", "x")); d.Subject != nil || !strings.Contains(d.Detail, "fra1/file.gone") {
		t.Errorf("of a resource that no block declares: %v", d)
	}
}

// TestMirrorProblems has problems that the expansion finds, at their places, beside others.
func TestMirrorProblems(t *testing.T) {
	t.Parallel()
	c, diags := loadText(t, `
host "a" { address = "203.0.113.10" }
mirror "m" {
  hosts = [host.a]
  storage { path = "/etc" }
  sync {
    every    = "5h"
    upstream = "rsync://user:password@example.org/x"
    bandwidh = "1m"
  }
  web { server_name = "x; } server {" }
}
`)
	got := diagnosticsText(diags, c.eval.Reader.Dir)
	for _, want := range []string{":5,20-26:", ":7,16-20:", ":8,16-53:", ":9,5-13:", `Did you mean "bandwidth"?`, ":11,23-38:"} {
		if !strings.Contains(got, strings.TrimPrefix(want, ":")) {
			t.Errorf("nothing at %s:\n%s", want, got)
		}
	}
}

// TestResourcesAtOnce calls what a run calls from many goroutines; the race detector watches.
func TestResourcesAtOnce(t *testing.T) {
	t.Parallel()
	c, diags := loadText(t, strings.ReplaceAll(mirrorFleet, "SPLIT", `templatefile("t", { name = target.facts.hostname })`), "t", "at ${name}")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	facts := map[string]*wire.Facts{"local": {Hostname: "here"}}
	for _, h := range c.Hosts() {
		facts[h.Name] = &wire.Facts{Hostname: h.Name}
	}
	var group sync.WaitGroup
	for range 4 {
		for _, h := range c.Hosts() {
			group.Go(func() {
				list, diags := c.Resources(h.Name, facts)
				if len(list) == 0 || diags.HasErrors() {
					t.Errorf("%s: %v", h.Name, diags)
				}
				if _, diags := c.Outputs(facts); diags.HasErrors() {
					t.Error(diags)
				}
				if c.Files()[filepath.Join(c.eval.Reader.Dir, "fleet.hcl")] == nil {
					t.Error("no file")
				}
				for _, r := range list {
					if d := c.Problem(r, engine.Errorf("path", "x")); d.Subject == nil {
						t.Errorf("%s: a problem has no place", r.Address)
					}
				}
			})
		}
	}
	group.Wait()
}
