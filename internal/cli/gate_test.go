package cli

import (
	"fmt"
	"io"
	"testing"

	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// TestGateVerifier: a gate looks at mirrors as verify does, and does not let one pass that is not
// accepted.
func TestGateVerifier(t *testing.T) {
	t.Parallel()
	tree, flags, ca := startMirror(t)
	dir := t.TempDir()
	writeFile(t, dir, "fleet.hcl", fmt.Appendf(nil, `
host "fra1" {
  address = "192.0.2.1"
}
host "ams1" {
  address = "192.0.2.2"
}
mirror "almalinux" {
  hosts = [host.fra1, host.ams1]
  storage { path = "/srv/mirror/almalinux" }
  publish {
    name        = target.name == "fra1" ? "example.com" : "example.net"
    http        = ""
    https       = target.name == "fra1" ? %q : "https://example.net:1/almalinux/"
    sponsor     = "Example Org"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
  }
}
`, tree))
	u := ui.New(io.Discard, io.Discard, ui.Options{})
	s, err := run.NewScope(run.Sources{Dir: dir, Types: mirror.Types()}, run.Selection{}, &observer{UI: u})
	if err != nil {
		t.Fatal(err)
	}
	f := defaultVerifyFlags()
	f.reference, f.service.config, f.attempts = "", flags[3], 1
	f.resolve, f.caFiles = []string{"example.com:127.0.0.1", "example.net:127.0.0.1"}, []string{ca}
	entries, err := s.Entries(nil)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%+v, %v", entries, err)
	}
	var mirrors []upstream.Mirror
	for _, host := range []string{"fra1", "ams1"} {
		for _, e := range entries {
			if e.Host == host {
				mirrors = append(mirrors, upstream.Mirror{Host: e.Host, File: e.File})
			}
		}
	}
	verify := gateVerifier(u, f)
	if err := verify(t.Context(), s.Config, mirrors[:1], false); err != nil {
		t.Errorf("a mirror that is accepted: %v", err)
	}
	if err := verify(t.Context(), s.Config, mirrors, true); err == nil || err.Error() != "verify does not accept example.net" {
		t.Errorf("a mirror that does not answer: %v", err)
	}
}
