package sshconfig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkFleet reads the settings of a thousand hosts, each with its own block.
func BenchmarkFleet(b *testing.B) {
	var text strings.Builder
	name := func(i int) string { return fmt.Sprintf("web%d.example.org", i) }
	for i := range 1000 {
		fmt.Fprintf(&text, "Host %s\n\tHostName 192.0.2.1\n\tUser admin\n\tPort 2222\n\tForwardAgent no\n", name(i))
	}
	file := filepath.Join(b.TempDir(), "config")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c, err := Open(file, false)
		if err != nil {
			b.Fatal(err)
		}
		for i := range 1000 {
			if _, err := c.For(name(i), Given{}); err != nil {
				b.Fatal(err)
			}
		}
	}
}
