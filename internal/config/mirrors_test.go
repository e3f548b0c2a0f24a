package config

import (
	"slices"
	"strings"
	"testing"
)

func TestMirrorsOn(t *testing.T) {
	t.Parallel()
	const fleet = `
host "fra1" { address = "203.0.113.10" }
host "edge" {
  for_each = { ams = "203.0.113.20", sin = "203.0.113.30" }
  address  = each.value
}
locals { some = [host.fra1] }
mirror "almalinux" {
  hosts = HOSTS
  storage { path = "/srv/mirror/almalinux" }
}
resource "file" "motd" {
  hosts   = host
  path    = "/etc/motd"
  content = "x"
}
`
	for _, test := range []struct {
		hosts, host string
		want        string // the text of the reference; "" where the mirror is not on the host
		exact       bool
	}{
		{`[host.fra1, host.edge]`, "fra1", "host.fra1", true},
		{`[host.fra1, host.edge]`, `edge["ams"]`, "host.edge", false},
		{`[host.edge["ams"], host.edge["sin"]]`, `edge["sin"]`, `host.edge["sin"]`, true},
		{`[host.edge["ams"]]`, `edge["sin"]`, "", false},
		{`[host.edge, host.edge["sin"]]`, `edge["sin"]`, `host.edge["sin"]`, true},
		{`local.some`, "fra1", "local.some", false},
		{`host`, "fra1", "host", false},
		{`[host.edge]`, "fra1", "", false},
		{`[host.edge]`, "nowhere", "", false},
	} {
		text := strings.ReplaceAll(fleet, "HOSTS", test.hosts)
		c, diags := loadText(t, text)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		list := c.MirrorsOn(test.host)
		if test.want == "" {
			if len(list) > 0 {
				t.Errorf("%s, %s: %+v", test.hosts, test.host, list)
			}
			continue
		}
		if len(list) != 1 {
			t.Fatalf("%s, %s: %+v", test.hosts, test.host, list)
		}
		p := list[0]
		if got := string(p.Reference.SliceBytes([]byte(text))); got != test.want || p.Exact != test.exact {
			t.Errorf("%s, %s: %q, %v", test.hosts, test.host, got, p.Exact)
		}
		if p.Name != "almalinux" || p.Block.Start.Line != 8 || p.Block.End.Line != 11 || !slices.Contains(p.Hosts, test.host) || !slices.Contains(p.Parts, "cron") {
			t.Errorf("%s, %s: %+v", test.hosts, test.host, p)
		}
	}
}
