package publish_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/publish"
	"github.com/mirrorform/mirrorform/internal/publish/githubtest"
)

func TestNewEntryTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.publish(entry(), publish.Create)
	want, err := entry().File.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if got := w.show(fork, branch, file); got != string(want) {
		t.Errorf("got:\n%s", got)
	}
	if got := w.git(fork, "log", "-1", "--format=%an <%ae> %cn%n%B", branch); got != "Operator <operator@example.org> Operator\nAdd mirror fra1.example.org\n\nPublished-by: mirrorform publish" {
		t.Errorf("commit: %s", got)
	}
	pulls := w.Pulls()
	if len(pulls) != 1 {
		t.Fatalf("%d pull requests", len(pulls))
	}
	p := pulls[0]
	if p.Title != "Add mirror fra1.example.org" || p.Base != "master" || p.HeadRef != branch || !p.MaintainerCanModify ||
		!strings.Contains(p.Body, "`http://fra1.example.org/almalinux/`") || c.URL != w.URL+"/AlmaLinux/mirrors/pull/1" {
		t.Errorf("pull request %+v, address %s", p, c.URL)
	}
	if w.git(fork, "fsck", "--strict") != "" {
		t.Error("git fsck complains")
	}
	if posted := w.posted(); len(posted) != 4 { // a tree, a commit, a branch and a pull request
		t.Errorf("requests: %q", posted)
	}
	c = w.publish(entry(), publish.Pending)
	if posted := w.posted(); len(posted) != 0 || c.URL != w.URL+"/AlmaLinux/mirrors/pull/1" {
		t.Errorf("the second run asks for %q, address %s", posted, c.URL)
	}
	if w.count(branch) != "1" {
		t.Error("more than one commit")
	}
	if w.git(up, "rev-parse", "master") != w.git(fork, "rev-parse", "master") {
		t.Error("a default branch moved")
	}
}

func TestUpdateKeepsTheRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := "---\n# the Frankfurt one\nsponsor: Old Org # renamed\nname: fra1.example.org\nx_note: ours\naddress:\n  http: http://fra1.example.org/almalinux/\n" +
		"geolocation: {country: DE, state_province: Hesse, city: Frankfurt}\nupdate_frequency: 3h\nsponsor_url: https://example.org\nemail: mirror@example.org\n"
	w.upstreamHas(text)
	c := w.publish(entry(), publish.Create)
	if got, want := w.show(fork, branch, file), strings.Replace(text, "Old Org", "Example Org", 1); got != want {
		t.Errorf("got:\n%s", got)
	}
	if got := w.git(fork, "log", "-1", "--format=%B", branch); got != "Update mirror fra1.example.org\n\n- sponsor: changed from Old Org to Example Org\n\nPublished-by: mirrorform publish" {
		t.Errorf("commit: %s", got)
	}
	if !slices.ContainsFunc(c.Notes, func(n string) bool { return strings.Contains(n, "x_note") }) {
		t.Errorf("notes: %q", c.Notes)
	}
	if got := w.git(fork, "diff", "--name-only", "refs/heads/master", branch); got != file {
		t.Errorf("changed: %s", got)
	}
}

func TestOtherFileName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text, err := with(func(f *mirrorsd.File) { f.Sponsor = "Old" }).File.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	w.commit(up, "master", "Add", map[string]string{"mirrors.d/example.yml": strings.Replace(string(text), name, "FRA1.Example.org", 1)})
	w.publish(entry(), publish.Create)
	if got := w.git(fork, "diff", "--name-only", "refs/heads/master", branch); got != "mirrors.d/example.yml" {
		t.Errorf("changed: %s", got)
	}
}

func TestReviewersComment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(entry(), publish.Create)
	reviewed := "# please keep this\n" + strings.Replace(w.show(fork, branch, file), "sponsor: Example Org", "sponsor: Example Org # a reviewer's comment", 1)
	w.commit(fork, branch, "Review", map[string]string{file: reviewed})
	w.publish(entry(), publish.Pending)
	if posted := w.posted(); len(posted) != 4 { // those of the first run
		t.Errorf("requests: %q", posted)
	}
	changed := with(func(f *mirrorsd.File) { f.Sponsor = "New Org" })
	w.publish(changed, publish.Update)
	if got, want := w.show(fork, branch, file), strings.Replace(reviewed, "Example Org #", "New Org #", 1); got != want {
		t.Errorf("got:\n%s", got)
	}
	w.publish(changed, publish.Pending)
	if pulls := w.Pulls(); w.count(branch) != "3" || len(pulls) != 1 || !strings.Contains(pulls[0].Body, "`New Org`") {
		t.Errorf("%s commits, pull requests %+v", w.count(branch), pulls)
	}
}

// TestUpdateBranch lets upstream go on, and a maintainer press GitHub's button "Update branch".
func TestUpdateBranch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(entry(), publish.Create)
	w.commit(up, "master", "Others", map[string]string{"mirrors.d/third.example.net.yml": "name: third.example.net\n", "README.md": "newer\n"})
	w.publish(entry(), publish.Pending)
	w.git(fork, "fetch", "-q", w.Dir(up), "+master:refs/test/upstream")
	tree := w.git(fork, "merge-tree", "--write-tree", branch, "refs/test/upstream")
	w.git(fork, "update-ref", "refs/heads/"+branch, w.git(fork, "commit-tree", "-p", branch, "-p", "refs/test/upstream", "-m", "Merge branch 'master'", tree))
	w.publish(entry(), publish.Pending)
	w.publish(with(func(f *mirrorsd.File) { f.Sponsor = "New Org" }), publish.Update)
	if got := w.git(fork, "diff", "--name-only", "refs/test/upstream", branch); got != file || w.show(fork, branch, "README.md") != "newer\n" {
		t.Errorf("changed: %s", got)
	}
}

func TestReviewersValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(entry(), publish.Create)
	w.commit(fork, branch, "Better", map[string]string{file: strings.Replace(w.show(fork, branch, file), "city: Frankfurt", "city: Frankfurt am Main", 1)})
	w.refuse(entry(), name, "Reviewer pushed different values to branch "+branch, "geolocation.city is Frankfurt am Main there, but Frankfurt in the configuration", "--overwrite")
	w.publish(with(func(f *mirrorsd.File) { f.Geolocation.City = "Frankfurt am Main" }), publish.Update) // the body changes
	w.options.Overwrite = true
	w.publish(entry(), publish.Update)
	if got := w.show(fork, branch, file); !strings.Contains(got, "city: Frankfurt\n") {
		t.Errorf("got:\n%s", got)
	}
}

func TestBranchOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(entry(), publish.Create)
	w.commit(fork, branch, "More", map[string]string{"README.md": "mine\n"})
	w.refuse(entry(), "changes other files than "+file+": README.md", "last commit by Reviewer", "delete the branch")
	w.git(fork, "branch", "-D", branch)
	w.Edit(1, func(p *githubtest.Pull) { p.State = "closed" })
	w.git(fork, "branch", branch, "master")
	w.commit(fork, branch, "Remove", map[string]string{"mirrors.d/x.yml": "-> /etc/passwd"})
	w.options.IgnoreClosed = true
	w.refuse(entry(), "changes other files than "+file+": mirrors.d/x.yml")
}

func TestBodyOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(entry(), publish.Create)
	w.Edit(1, func(p *githubtest.Pull) {
		p.Title, p.Body = "Our title", "Hello\r\n"+strings.ReplaceAll(p.Body, "\n", "\r\n")+"Goodbye\r\n"
	})
	w.publish(entry(), publish.Pending)
	changed := with(func(f *mirrorsd.File) { f.Sponsor = "New `Org` @everyone" })
	w.publish(changed, publish.Update)
	p := w.Pulls()[0]
	if p.Title != "Our title" || !strings.HasPrefix(p.Body, "Hello\n") || !strings.HasSuffix(p.Body, "Goodbye\n") || !strings.Contains(p.Body, "``New `Org` @everyone``") {
		t.Errorf("%+v", p)
	}
	w.Edit(1, func(p *githubtest.Pull) { p.Body = "All mine." })
	w.publish(entry(), publish.Update)
	if p := w.Pulls()[0]; p.Body != "All mine." {
		t.Errorf("%+v", p)
	}
}

func TestMergedAndClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(entry(), publish.Create)
	w.Edit(1, func(p *githubtest.Pull) { p.State = "closed" })
	w.refuse(entry(), w.URL+"/AlmaLinux/mirrors/pull/1 was closed without being merged", "reopen", "--ignore-closed")
	w.options.IgnoreClosed = true
	w.publish(entry(), publish.Create)
	w.options.IgnoreClosed = false
	if err := w.Merge(2); err != nil {
		t.Fatal(err)
	}
	w.publish(entry(), publish.Listed)

	// The branch of a merged pull request is left over: the next change starts from upstream's file.
	changed := with(func(f *mirrorsd.File) { f.Sponsor = "New Org" })
	w.publish(changed, publish.Create)
	if w.count(branch) != "1" || len(w.Pulls()) != 3 || w.Pulls()[2].Title != "Update mirror "+name {
		t.Errorf("%s commits, %+v", w.count(branch), w.Pulls())
	}
	if err := w.Merge(3); err != nil {
		t.Fatal(err)
	}
	w.commit(fork, branch, "Late", map[string]string{file: w.show(fork, branch, file) + "# late\n"})
	w.refuse(entry(), "has new commits since pull request", "pull/3 was merged")
	w.git(fork, "branch", "-D", branch)
	w.publish(entry(), publish.Create)
	if len(w.Pulls()) != 4 {
		t.Errorf("%d pull requests", len(w.Pulls()))
	}
	if err := w.Merge(4); err != nil {
		t.Fatal(err)
	}
	w.git(up, "update-ref", "refs/heads/master", w.git(up, "commit-tree", "-p", "master", "-m", "Delist", w.git(up, "rev-list", "--max-parents=0", "master")+"^{tree}"))
	if c := w.publish(entry(), publish.Create); len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "pull/4) and has removed it since") {
		t.Errorf("notes %q", c.Notes)
	}
}

func TestListedWithOpenPull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(entry(), publish.Create)
	w.upstreamHas(w.show(fork, branch, file))
	c := w.publish(entry(), publish.Listed)
	if len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "close it") {
		t.Errorf("notes %q", c.Notes)
	}
	w.refuse(with(func(f *mirrorsd.File) { f.Sponsor = "New" }), "upstream has changed "+file+" since branch", "delete the branch")
}

func TestPushedMeanwhile(t *testing.T) {
	t.Parallel()
	for what, existing := range map[string]bool{"new branch": false, "branch": true} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			e := entry()
			if existing {
				w.publish(e, publish.Create)
				e.File.Sponsor = "New Org"
			}
			s, err := publish.Open(t.Context(), w.options)
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.Plan(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			if !existing {
				w.git(fork, "branch", branch, "master")
			}
			w.commit(fork, branch, "Race", map[string]string{file: "name: race\n"})
			before := w.git(fork, "rev-parse", branch)
			if err := s.Apply(t.Context(), c); err == nil || !strings.Contains(err.Error(), "has changed since it was read") {
				t.Errorf("got %v", err)
			}
			if w.git(fork, "rev-parse", branch) != before {
				t.Error("the branch was overwritten")
			}
		})
	}
}

func TestForkBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, text := range []string{"1\n", "2\n"} {
		w.commit(up, "master", "Ahead", map[string]string{"README.md": text, ".github/workflows/ci.yml": text})
	}
	w.publish(entry(), publish.Create)
	if w.count(branch) != "1" || w.show(fork, branch, "README.md") != "2\n" {
		t.Error("the branch does not start from upstream")
	}
}

func TestRelist(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text, err := entry().File.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	w.upstreamHas(strings.Replace(string(text), "...\n", "# slow since May\nprivate: true\n...\n", 1))
	w.refuse(entry(), "upstream has set private: true", "--relist")
	w.options.Relist = true
	c := w.publish(entry(), publish.Create)
	if !strings.Contains(c.Body, "list the mirror publicly again") || !strings.Contains(w.show(fork, branch, file), "# slow since May") {
		t.Errorf("body:\n%s", c.Body)
	}
}

// checker is a Checker with a fixed opinion.
type checker struct {
	findings []publish.Finding
	err      error
}

func (checker) Name() string { return "the test" }
func (c checker) Check(_ context.Context, s publish.Subject) ([]publish.Finding, error) {
	if s.Path != file || len(s.Text) == 0 || s.File.Name != name {
		return nil, errors.New("unusable subject")
	}
	return c.findings, c.err
}

func TestCheckers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse(with(func(f *mirrorsd.File) { f.Geolocation.Country = "UK" }), "lint found errors", "error: "+file+":6:12: geolocation.country", "(country)")
	w.refuse(with(func(f *mirrorsd.File) { f.Address.Rsync = "rsync://rsync.repo.almalinux.org/almalinux/" }), "lint found errors", "(foreign-address)")
	w.options.Checkers = []publish.Checker{checker{findings: []publish.Finding{{Severity: mirrorsd.Error, Message: "TIME is 13 h old"}}}}
	w.refuse(entry(), "the test found errors", "error: TIME is 13 h old")
	w.options.Checkers = []publish.Checker{checker{err: errors.New("no network")}}
	w.refuse(entry(), "the test could not run: no network")
	if posted := w.posted(); len(posted) != 0 {
		t.Errorf("requests: %q", posted)
	}
	w.options.Checkers = []publish.Checker{checker{findings: []publish.Finding{{Severity: mirrorsd.Warning, Key: "email", Message: "is odd"}}}}
	if c := w.publish(entry(), publish.Create); !slices.Contains(c.Notes, "warning: email: is odd") {
		t.Errorf("notes %q", c.Notes)
	}
}

// TestLintOfText lints what would be committed: upstream's text with what a reviewer put into the
// branch, not the configuration's values alone.
func TestLintOfText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text, err := entry().File.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	tab := strings.Replace(string(text), "sponsor: Example Org\n", "sponsor: Example Org\t# a tab\n", 1)
	newer := with(func(f *mirrorsd.File) { f.UpdateFrequency = "6h" })
	w.upstreamHas(tab)
	w.publish(entry(), publish.Listed) // nothing would be committed
	w.refuse(newer, "lint found errors", "(tab)")
	if posted := w.posted(); len(posted) != 0 {
		t.Errorf("requests: %q", posted)
	}
	w.upstreamHas(string(text))
	w.publish(newer, publish.Create)
	w.commit(fork, branch, "A tab", map[string]string{file: strings.Replace(tab, "update_frequency: 3h", "update_frequency: 6h", 1)})
	w.publish(newer, publish.Pending)
	w.refuse(with(func(f *mirrorsd.File) { f.UpdateFrequency = "1h" }), "lint found errors", "(tab)")
}

// TestCheckersOnlyBeforePublishing: a checker may take long, so it is asked only where something is
// about to be published.
func TestCheckersOnlyBeforePublishing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(entry(), publish.Create)
	w.options.Checkers = []publish.Checker{checker{err: errors.New("no network")}}
	w.publish(entry(), publish.Pending)
	if err := w.Merge(1); err != nil {
		t.Fatal(err)
	}
	w.publish(entry(), publish.Listed)
	w.refuse(with(func(f *mirrorsd.File) { f.Sponsor = "Newer" }), "no network")
}

func TestPlanWithoutToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.options.Token = publish.Token{}
	s, err := publish.Open(t.Context(), w.options)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Plan(t.Context(), entry())
	if err != nil {
		t.Fatal(err)
	}
	if c.Action != publish.Create || len(c.After) == 0 || s.Fork() != "" {
		t.Errorf("%+v", c)
	}
	if err := s.Apply(t.Context(), c); !errors.Is(err, publish.ErrNoToken) {
		t.Errorf("got %v", err)
	}
	if posted := w.posted(); len(posted) != 0 {
		t.Errorf("requests: %q", posted)
	}
}

func TestDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.options.UpstreamOnly = true
	w.Remove(fork)
	drift := func() *publish.Drift {
		t.Helper()
		s, err := publish.Open(t.Context(), w.options)
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.Drift(t.Context(), entry())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := drift(); !d.Differs() || !strings.Contains(d.Lines()[0], "not listed upstream") {
		t.Errorf("%+v", d)
	}
	w.upstreamHas("name: fra1.example.org\naddress:\n  http: http://fra1.example.org/almalinux/\ngeolocation:\n  country: DE\n  state_province: Hesse\n  city: Mainz\n" +
		"update_frequency: 3h\nsponsor: Example Org\nsponsor_url: https://example.org\nprivate: True\nasn: 64496\nextra: 1\n")
	d := drift()
	lines := strings.Join(d.Lines(), "\n")
	for _, want := range []string{
		"geolocation.city: Mainz upstream, but Frankfurt in the configuration", "email: not set upstream, but mirror@example.org in the configuration",
		"asn: 64496 upstream, but not set in the configuration", "set private", "mirrors that fail",
	} {
		if !strings.Contains(lines, want) {
			t.Errorf("no %q in:\n%s", want, lines)
		}
	}
	if len(d.Lines()) != 4 || len(d.Foreign) != 1 || d.Foreign[0].Key != "extra" {
		t.Errorf("%+v", d)
	}
	text, err := entry().File.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	w.upstreamHas(string(text))
	if d := drift(); d.Differs() {
		t.Errorf("%+v", d)
	}
}
