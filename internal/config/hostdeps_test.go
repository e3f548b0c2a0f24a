package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/resources"
)

const hubHosts = `
host "hub" { address = "192.0.2.1" }
host "edge" {
  for_each = { ams = "203.0.113.20", sin = "2001:db8::30" }
  address  = each.value
}
`

// settingsOf returns the content of a mirror's settings on a host.
func settingsOf(t *testing.T, c *Config, host, mirror string) string {
	t.Helper()
	facts := &wire.Facts{OS: wire.OSFacts{Family: "debian"}, Hostname: host}
	list, diags := c.Resources(host, map[string]*wire.Facts{host: facts})
	if diags.HasErrors() {
		t.Fatal(diagnosticsText(diags, c.eval.Reader.Dir))
	}
	for _, r := range list {
		if r.Address.Name == mirror && r.Address.Part == "sync_settings" {
			return *r.State.(*resources.File).Content
		}
	}
	t.Fatalf("host %s has no mirror %s", host, mirror)
	return ""
}

// TestHub has a hub and its leaves in one block, in a block before the hub's, and behind a leaf.
func TestHub(t *testing.T) {
	t.Parallel()
	const storage = `
  storage { path = "/srv/mirror/almalinux" }
  web { server = "none" }
`
	for name, c := range map[string]struct {
		text      string
		upstream  map[string]string // by mirror and host: the lines of its settings
		dependsOn map[string]string
	}{
		"one block": {
			text: `mirror "m" {
  hosts = [host.hub, host.edge]
  sync { from = target.name == host.hub.name ? null : host.hub }
  rsync_daemon {}` + storage + `}`,
			upstream: map[string]string{
				"m hub":         "upstream rsync://rsync.repo.almalinux.org/almalinux/\n",
				`m edge["ams"]`: "upstream rsync://192.0.2.1/almalinux/\n",
				`m edge["sin"]`: "upstream rsync://192.0.2.1/almalinux/\n",
			},
			dependsOn: map[string]string{"hub": "", `edge["ams"]`: "hub", `edge["sin"]`: "hub"},
		},
		"a group of hubs": {
			text: `mirror "m" {
  hosts = [host.hub]
  sync { from = host.edge }` + storage + `}
mirror "hubs" {
  hosts = host.edge
  rsync_daemon {}` + storage + `}`,
			upstream: map[string]string{
				"m hub": "upstream rsync://203.0.113.20/almalinux/\n" + "fallback rsync://[2001:db8::30]/almalinux/\n",
			},
			dependsOn: map[string]string{"hub": `edge["ams"] edge["sin"]`, `edge["ams"]`: ""},
		},
		"a chain": {
			text: `mirror "m" {
  hosts = [host.edge["sin"]]
  sync { from = [host.edge["ams"]] }` + storage + `}
mirror "between" {
  hosts = [host.edge["ams"]]
  sync { from = host.hub }
  rsync_daemon { module = target.key }` + storage + `}
mirror "hub" {
  hosts = [host.hub]
  rsync_daemon { motd = target.facts.hostname }` + storage + `}`,
			upstream: map[string]string{
				`m edge["sin"]`:       "upstream rsync://203.0.113.20/ams/\n",
				`between edge["ams"]`: "upstream rsync://192.0.2.1/almalinux/\n",
			},
			dependsOn: map[string]string{`edge["sin"]`: `edge["ams"]`, `edge["ams"]`: "hub"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, diags := loadText(t, hubHosts+c.text)
			if len(diags) > 0 {
				t.Fatal(diagnosticsText(diags, cfg.eval.Reader.Dir))
			}
			for of, want := range c.upstream {
				mirror, host, _ := strings.Cut(of, " ")
				var got strings.Builder
				for line := range strings.Lines(settingsOf(t, cfg, host, mirror)) {
					if strings.HasPrefix(line, "upstream ") || strings.HasPrefix(line, "fallback ") {
						got.WriteString(line)
					}
				}
				if got.String() != want {
					t.Errorf("%s: got %q, want %q", host, got.String(), want)
				}
			}
			for host, want := range c.dependsOn {
				if got := cfg.DependsOn(host); !slices.Equal(got, strings.Fields(want)) {
					t.Errorf("%s depends on %q, want %q", host, got, want)
				}
			}
		})
	}
}
