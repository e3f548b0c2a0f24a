package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/publish/githubtest"
)

// TestPublishChecks: an error that verify finds stops an entry unless --skip-verify is given, one
// that lint finds always.
func TestPublishChecks(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GH_TOKEN", githubtest.Token)
	t.Setenv("GIT_AUTHOR_NAME", "Operator")
	t.Setenv("GIT_AUTHOR_EMAIL", "operator@example.org")
	tree, flags, ca := startMirror(t)
	const foreign = "rsync = \"rsync://rsync.repo.almalinux.org/almalinux/\"" // lint's rule foreign-address
	for _, test := range []struct {
		name, attribute string
		flags           []string
		stderr          []string // nil: it is published
	}{
		{"accepted", "", []string{"--ca-file", ca}, nil},
		{"not accepted", "", nil, []string{"verify found errors", "the certificate of example.com is not valid", "--skip-verify"}},
		{"not accepted, in a dry run", "", []string{"--dry-run"}, []string{"verify found errors"}},
		{"not accepted and skipped", "", []string{"--skip-verify"}, nil},
		{"a target", "", []string{"--skip-verify", "--target", "local/mirror.almalinux"}, nil},
		{"another target", "", []string{"--skip-verify", "--target", "local/mirror.other"}, []string{"nothing to publish"}},
		{"lint", foreign, []string{"--ca-file", ca}, []string{"lint found errors", "(foreign-address)"}},
		{"lint, and verify skipped", foreign, []string{"--skip-verify"}, []string{"lint found errors", "(foreign-address)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server, err := githubtest.Start(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Close)
			dir := t.TempDir()
			writeFile(t, dir, "fleet.hcl", publishedFleet(tree, test.attribute))
			args := append([]string{"publish", "--chdir", dir, "--api-url", server.URL + "/"}, flags...)
			status, stdout, stderr := runApp(t, append(args, test.flags...)...)
			wantStatus, wantPulls := exitDone, 1
			if test.stderr != nil {
				wantStatus, wantPulls = exitError, 0
			}
			if pulls := server.Pulls(); status != wantStatus || len(pulls) != wantPulls {
				t.Errorf("exit status %d, pull requests %+v\n%s%s", status, pulls, stdout, stderr)
			}
			for _, want := range test.stderr {
				if !strings.Contains(stderr, want) {
					t.Errorf("no %q in:\n%s", want, stderr)
				}
			}
		})
	}
}

// publishedFleet is a configuration that publishes the tree at a URL, with one more attribute if
// that is not empty.
func publishedFleet(tree, attribute string) []byte {
	return fmt.Appendf(nil, `
host "fra1" {
  address = "192.0.2.1"
}
mirror "almalinux" {
  hosts = [host.fra1]
  storage { path = "/srv/mirror/almalinux" }
  publish {
    name        = "example.com"
    http        = ""
    https       = %q
    sponsor     = "Example Org"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    %s
  }
}
`, tree, attribute)
}
