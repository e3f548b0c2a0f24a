package engine_test

import (
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// TestAddress reads every form of an address and writes it again.
func TestAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]engine.Address{
		"fra1":                                     {Host: "fra1"},
		`edge["a/b"]`:                              {Host: `edge["a/b"]`},
		"fra1/file.motd":                           {Host: "fra1", Type: "file", Name: "motd"},
		`fra1/file.motd["a.b/[c]\"\\"]`:            {Host: "fra1", Type: "file", Name: "motd", Key: `a.b/[c]"\`},
		`edge["a\"/b"]/mirror.m.cron`:              {Host: `edge["a\"/b"]`, Type: "mirror", Name: "m", Part: "cron"},
		`local/mirror.m.publish["e[\"x\"]"]`:       {Host: "local", Type: "mirror", Name: "m", Part: "publish", Key: `e["x"]`},
		`local/mirror.m.publish["edge[\"a[\\\"]"]`: {Host: "local", Type: "mirror", Name: "m", Part: "publish", Key: `edge["a[\"]`},
		"fra1/file./a":                             {Host: "fra1", Type: "file", Name: "/a"},
	} {
		a, ok := engine.ParseAddress(text)
		if !ok || a != want || a.String() != text {
			t.Errorf("%s: %+v (%t), printed %s", text, a, ok, a)
		}
		if engine.HostOf(text) != want.Host {
			t.Errorf("%s: host %q", text, engine.HostOf(text))
		}
		local := want
		local.Host = ""
		if engine.Local(text) != local.String() {
			t.Errorf("%s: local %q, want %q", text, engine.Local(text), local)
		}
		if a, ok := engine.ParseLocal(local.String()); want.Type != "" && (!ok || a != local) {
			t.Errorf("%s: read without its host: %+v (%t)", local, a, ok)
		}
		if want.Type != "" && engine.OnHost(want.Host, local.String()) != text {
			t.Errorf("%s: put together: %s", text, engine.OnHost(want.Host, local.String()))
		}
	}
	for _, text := range []string{"fra1/", "fra1/file", "fra1/a/b.c", "fra1/file.", "fra1/.x", "fra1/a.b.c.d", "fra1/file.x[", "fra1/file.x[]", `fra1/file.x[""]`, `fra1/file.x["a"b"]`, `fra1/file.x["a\b"]`, `fra1/file.x["a"].y`} {
		if a, ok := engine.ParseAddress(text); ok || a != (engine.Address{Host: "fra1"}) {
			t.Errorf("%s is read as %+v (%t)", text, a, ok)
		}
	}
}
