package run

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
)

// TestDirectAddress: doctor looks from here at the address that others would use, and not at one
// that means something else here.
func TestDirectAddress(t *testing.T) {
	t.Parallel()
	const text = "Host alias\n  HostName web.example.org\nHost tunnel\n  ProxyCommand nc %h %p\nHost inner\n  ProxyJump outer\n"
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bastion := &config.DeclaredHost{Name: "bastion", Address: "192.0.2.9"}
	hosts := hostsByName([]*config.DeclaredHost{
		{Name: "plain", Address: "192.0.2.1"}, {Name: "named", Address: "alias"}, {Name: "program", Address: "tunnel"},
		{Name: "hop", Address: "inner"}, {Name: "jump", Address: "10.0.0.1", Jump: bastion},
	})
	r := &Run{connector: &connector{reach: newReach(hosts, file, false)}}
	for name, want := range map[string]string{"plain": "192.0.2.1", "named": "web.example.org", "program": "", "hop": "", "jump": ""} {
		if got := r.directAddress(engine.Host{Name: name}); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := r.directAddress(engine.Host{Name: "plain", Here: true}); got != "" {
		t.Errorf("this machine: %q", got)
	}
}
