package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// fleetText is a configuration of that many hosts, with a mirror on all and that many files on each, a half of which needs facts.
func fleetText(hosts, files int) string {
	var b strings.Builder
	b.WriteString("host \"h\" {\n  for_each = { ")
	for i := range hosts {
		fmt.Fprintf(&b, "h%d = \"10.0.%d.%d\", ", i, i/250, i%250)
	}
	b.WriteString("}\n  address  = each.value\n}\n")
	b.WriteString("mirror \"m\" {\n  hosts = [host.h]\n  storage { path = \"/srv/m\" }\n  web { server_name = \"m.example.org\" }\n}\n")
	for i := range files {
		use := "name"
		if i%2 == 0 {
			use = "facts.hostname"
		}
		fmt.Fprintf(&b, "resource \"file\" \"f%d\" {\n  hosts   = [host.h]\n  path    = \"/etc/f%d\"\n  content = \"on ${target.%s}\\n\"\n  mode    = \"0644\"\n}\n", i, i, use)
	}
	return b.String()
}

func BenchmarkLoad(b *testing.B) {
	for _, size := range []struct{ hosts, files int }{{10, 20}, {10, 200}, {1000, 20}} {
		b.Run(fmt.Sprintf("%d hosts, %d files", size.hosts, size.files), func(b *testing.B) {
			text := fleetText(size.hosts, size.files)
			for b.Loop() {
				if _, diags := loadText(b, text); diags.HasErrors() {
					b.Fatal(diags)
				}
			}
		})
	}
}

func BenchmarkResources(b *testing.B) {
	c, diags := loadText(b, fleetText(10, 200))
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	facts := map[string]*wire.Facts{}
	for _, h := range c.Hosts() {
		facts[h.Name] = &wire.Facts{Hostname: h.Name}
	}
	for b.Loop() {
		if list, diags := c.Resources(`h["h1"]`, facts); len(list) < 200 || diags.HasErrors() {
			b.Fatal(diags)
		}
	}
}
