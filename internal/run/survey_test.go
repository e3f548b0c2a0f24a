package run

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/syncs"
)

// TestSurveysShareThePlansMessage: what status asks is among the questions of the plan, which go in
// one message.
func TestSurveysShareThePlansMessage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const text = `
host "a" { address = "192.0.2.1" }
mirror "m" {
  hosts = [host.a]
  storage { path = "/srv/m" }
  kitten { path = "/srv/kitten" }
  web {
    server_name = "a.example.org"
    tls {
      acme { email = "a@example.org" }
    }
  }
}
`
	if err := os.WriteFile(filepath.Join(dir, "fleet.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	facts := wire.Facts{}
	facts.OS.Family = "debian"
	c, diags := config.Load(config.Options{Dir: dir, Registry: mirror.Types()})
	list, more := c.Resources("a", map[string]*wire.Facts{"a": &facts})
	if diags.HasErrors() || more.HasErrors() {
		t.Fatal(diags, more)
	}
	target := engine.Target{Name: "a", Facts: facts}
	ordered, problems := engine.Order(target, WithSurveys(list))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	asked := map[string]bool{}
	for _, q := range engine.Questions(target, ordered) {
		asked[q.Key()] = true
	}
	jobs := syncs.Jobs(list)
	if len(jobs) != 2 || jobs[0].Mirror != "m" || jobs[1].Mirror != "m-kitten" {
		t.Fatalf("the jobs are %+v", jobs)
	}
	for _, j := range jobs {
		if j.Certificate != "/etc/letsencrypt/live/a.example.org/fullchain.pem" {
			t.Errorf("%s has the certificate %q", j.Mirror, j.Certificate)
		}
		for _, q := range append(j.Questions(), j.CertificateQuestions()...) {
			if !asked[q.Key()] {
				t.Errorf("%s is not asked with the plan's questions", q.Key())
			}
		}
	}
}
