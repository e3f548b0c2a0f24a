package report

import (
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// TestLater renders a plan with a change that waits for the second transaction, and one of which a
// step does.
func TestLater(t *testing.T) {
	t.Parallel()
	r := FromPlan(&engine.Plan{Hosts: []*engine.HostPlan{{Host: "h", Changes: []engine.Change{
		{Address: "h/nginx_site.www", Action: engine.Update, Steps: []engine.Step{{Summary: "serve"}, {Summary: "redirect", Later: true}}},
		{Address: "h/certificate.www", Action: engine.Create, Steps: []engine.Step{{Summary: "request", Later: true}}},
	}}}})
	site, certificate := &r.Hosts[0].Changes[0], &r.Hosts[0].Changes[1]
	if site.Later || !certificate.Later || site.describe() != "update: serve, redirect (later)" || certificate.describe() != "create, later: request" {
		t.Errorf("%q, %q", site.describe(), certificate.describe())
	}
	md, err := Markdown(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if text := string(md); !strings.Contains(text, "**create** <code>h/certificate.www</code> (later)") || !strings.Contains(text, "redirect &#40;later&#41;</code>") {
		t.Error(text)
	}
}
