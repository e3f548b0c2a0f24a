package publish_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/publish"
	"github.com/mirrorform/mirrorform/internal/publish/githubtest"
)

// noFork removes the fork.
func (w *world) noFork() {
	w.Helper()
	w.Remove(fork)
	if err := os.RemoveAll(w.Dir(fork)); err != nil {
		w.Fatal(err)
	}
}

// done checks that an entry is published once, and that another run does nothing.
func (w *world) done(e publish.Entry, fork, branch string) {
	w.Helper()
	w.publish(e, publish.Pending)
	base := w.git(fork, "merge-base", branch, w.git(up, "rev-parse", "HEAD"))
	if got := w.git(fork, "rev-list", "--count", base+".."+branch); got != "1" || len(w.Pulls()) != 1 {
		w.Errorf("%s commits, pull requests %+v", got, w.Pulls())
	}
	if got := w.git(fork, "diff", "--name-only", base, branch); got != file {
		w.Errorf("the branch changes %q", got)
	}
}

// TestCreatesFork publishes from an account without a fork, whose objects come after some time.
func TestCreatesFork(t *testing.T) {
	t.Parallel()
	for _, delay := range []int{0, 4} {
		w := newWorld(t)
		w.noFork()
		w.ForkDelay(delay)
		c := w.publish(entry(), publish.Create)
		if !strings.HasSuffix(c.URL, "/pull/1") || len(w.slept) != delay {
			t.Errorf("delay %d: %s, waited %v", delay, c.URL, w.slept)
		}
		if notes := strings.Join(w.notes, "\n"); !strings.Contains(notes, "Created the fork me/mirrors") {
			t.Errorf("notes: %s", notes)
		}
		w.done(entry(), fork, branch)
	}
}

// TestForkNeverReady waits as long as GitHub says that a fork can take. The next run continues.
func TestForkNeverReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.noFork()
	w.ForkDelay(1000)
	w.refuse(entry(), "GitHub has not finished the fork me/mirrors after 5m0s", "run the command again")
	waited := time.Duration(0)
	for _, d := range w.slept {
		waited += d
	}
	if waited < 5*time.Minute || waited > 6*time.Minute {
		t.Errorf("waited %v", waited)
	}
	// GitHub describes the fork, but still has no objects for a while.
	w.Set(fork, func(r *githubtest.Repository) { r.NotReady = 5 })
	w.publish(entry(), publish.Create)
	w.done(entry(), fork, branch)
}

// TestNameTaken: the account has a repository of upstream's name that is not a fork of it.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	const other = "me/AlmaLinux-mirrors"
	w := newWorld(t)
	w.Set(fork, func(r *githubtest.Repository) { r.Parent = "" })
	s, err := publish.Open(t.Context(), w.options)
	if err != nil || s.Fork() != other || !s.MakesFork() {
		t.Fatalf("fork %s, %v", s.Fork(), err)
	}
	if posted := w.posted(); len(posted) != 0 {
		t.Errorf("planning asks for %q", posted)
	}
	w.publish(entry(), publish.Create)
	w.done(entry(), other, branch)
	if got := w.git(fork, "for-each-ref", "refs/heads/mirrorform"); got != "" {
		t.Errorf("the other repository has %q", got)
	}
	if p := w.Pulls()[0]; p.HeadRepo != other {
		t.Errorf("%+v", p)
	}
}

// TestOwnUpstream: an account cannot have a fork of its own repository.
func TestOwnUpstream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.Add(githubtest.Repository{Owner: "me", Name: "list"}, w.Dir(up)); err != nil {
		t.Fatal(err)
	}
	w.options.Upstream = "me/list"
	w.refuse(entry(), "belongs to me, the owner of me/list", "--fork")
}

// TestForkLacksObjects: upstream's newest commit is not available in the fork yet.
func TestForkLacksObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commit(up, "master", "Ahead", map[string]string{"README.md": "ahead\n"})
	w.Set(fork, func(r *githubtest.Repository) { r.Behind = true })
	w.publish(entry(), publish.Create)
	if notes := strings.Join(w.notes, "\n"); !strings.Contains(notes, "syncing its branch master") {
		t.Errorf("notes: %s", notes)
	}
	w.done(entry(), fork, branch)

	// A fork with commits of its own cannot be synced.
	w = newWorld(t)
	w.commit(up, "master", "Ahead", map[string]string{"README.md": "ahead\n"})
	w.commit(fork, "master", "Own", map[string]string{"own": "x\n"})
	w.Set(fork, func(r *githubtest.Repository) { r.Behind = true })
	w.refuse(entry(), "write "+file+" to me/mirrors", "There are merge conflicts", "gh repo sync me/mirrors")
	// Nor with a token without the scope workflow, if upstream has changed workflows.
	w.on("POST", "/git/trees", always, w.fail(404, "Not Found"))
	w.on2("POST", "/merge-upstream", w.fail(422, "refusing to allow a Personal Access Token to create or update "+
		"workflow `.github/workflows/ci.yml` without `workflow` scope"))
	w.refuse(entry(), "refusing to allow", "Sync fork")
	w.Intercept(nil)
	w.Set(fork, func(r *githubtest.Repository) { r.Behind = false })
	w.publish(entry(), publish.Create)
	w.done(entry(), fork, branch)
}

// TestObjectsLate: after the sync, GitHub needs some more seconds.
func TestObjectsLate(t *testing.T) {
	t.Parallel()
	for _, answer := range []struct {
		path, text string
		status     int
	}{
		{"/git/trees", "Not Found", 404},
		{"/git/trees", "GitRPC::BadObjectState", 422},
		{"/git/trees", "base_tree is not a valid tree oid", 422},
		{"/git/commits", "Parent SHA does not exist or is not a commit object", 422},
	} {
		w := newWorld(t)
		w.on("POST", answer.path, 3, w.fail(answer.status, answer.text))
		w.publish(entry(), publish.Create)
		if len(w.slept) != 2 {
			t.Errorf("%s: waited %v", answer.text, w.slept)
		}
		w.done(entry(), fork, branch)
	}
}

// on2 adds a kind of request to those that are answered in another way.
func (w *world) on2(method, suffix string, answer http.HandlerFunc) {
	before := w.Intercepting()
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == method && strings.HasSuffix(r.URL.Path, suffix) {
			answer(rw, r)
			return true
		}
		return before != nil && before(rw, r)
	})
}

// TestRules: the fork's rules refuse the branch, first a new one, then an update.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{
		"Repository rule violations found\n\nCannot update this protected ref.\n\n",
		"Protected branch update failed for refs/heads/" + branch + ".",
	} {
		w := newWorld(t)
		set := func(text string) { w.Set(fork, func(r *githubtest.Repository) { r.Rule = text }) }
		set(rule)
		w.refuse(entry(), "push branch "+branch, "the repository's rules reject this")
		if len(w.Pulls()) != 0 {
			t.Errorf("pull requests %+v", w.Pulls())
		}
		set("")
		w.publish(entry(), publish.Create)
		w.done(entry(), fork, branch)
		newer := with(func(f *mirrorsd.File) { f.Sponsor = "New Org" })
		set(rule)
		w.refuse(newer, "the repository's rules reject this")
		set("")
		w.publish(newer, publish.Update)
		w.publish(newer, publish.Pending)
	}
}

// TestRenamedDefaultBranch: upstream renames its default branch, before and after a pull request.
func TestRenamedDefaultBranch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rename := func(repo, from, to string) {
		t.Helper()
		if err := w.Rename(repo, from, to); err != nil {
			t.Fatal(err)
		}
	}
	rename(up, "master", "main")
	w.publish(entry(), publish.Create)
	if p := w.Pulls()[0]; p.Base != "main" {
		t.Errorf("%+v", p)
	}
	rename(up, "main", "trunk")
	w.done(entry(), fork, branch)
	rename(fork, "master", "mine")
	w.done(entry(), fork, branch)
	w.publish(with(func(f *mirrorsd.File) { f.Sponsor = "New Org" }), publish.Update)

	// GitHub's redirect from the old name is not taken for the branch.
	w = newWorld(t)
	w.git(fork, "branch", branch, "master")
	rename(fork, branch, "kept")
	w.publish(entry(), publish.Create)
	w.done(entry(), fork, branch)
	if got := w.git(fork, "rev-list", "--count", "master..kept"); got != "0" {
		t.Error("the renamed branch was changed")
	}
}

// TestDeletedFork: an open pull request whose fork was deleted cannot be updated.
func TestDeletedFork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(entry(), publish.Create)
	w.Edit(1, func(p *githubtest.Pull) { p.HeadSHA = w.git(fork, "rev-parse", branch) })
	w.noFork()
	w.refuse(entry(), "the fork of pull request "+w.URL+"/AlmaLinux/mirrors/pull/1 was deleted", "--ignore-closed")
	w.Edit(1, func(p *githubtest.Pull) { p.State = "closed" })
	w.refuse(entry(), "closed without being merged")
	w.options.IgnoreClosed = true
	w.publish(entry(), publish.Create)
	w.publish(entry(), publish.Pending)
	if len(w.Pulls()) != 2 {
		t.Errorf("%+v", w.Pulls())
	}
}

// TestMaintainersCannotModify: the fork of an organisation may not let its members grant the access
// that maintainers get to a branch.
func TestMaintainersCannotModify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.on("POST", "/pulls", 1, func(rw http.ResponseWriter, r *http.Request) {
		w.Fail(rw, r, 422, "Validation Failed", map[string]any{
			"resource": "PullRequest", "code": "custom", "field": "fork_collab",
			"message": "fork_collab Fork collab can't be granted by someone without permission",
		})
	})
	w.publish(entry(), publish.Create)
	if p := w.Pulls()[0]; p.MaintainerCanModify || len(w.slept) != 0 {
		t.Errorf("%+v, waited %v", p, w.slept)
	}
	w.done(entry(), fork, branch)
}

// TestUnrelatedBranch has a branch without a commit of upstream, and one with too many commits.
func TestUnrelatedBranch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git(fork, "update-ref", "refs/heads/"+branch, w.git(fork, "commit-tree", "-m", "Root", "master^{tree}"))
	w.refuse(entry(), "has no commit in common with upstream", "delete the branch")
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/compare/") {
			return false
		}
		_, _ = rw.Write([]byte(`{"total_commits": 251, "commits": []}`))
		return true
	})
	w.refuse(entry(), "more than 250 commits")
}

// TestAuthor: without variables the commit is the account's, and one variable is completed from it.
func TestAuthor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		environ []string
		want    string
	}{
		{[]string{}, "Mi Ror <4711+me@users.noreply.github.com>"},
		{[]string{"GIT_AUTHOR_NAME=Öp"}, "Öp <4711+me@users.noreply.127.0.0.1>"},
		{[]string{"GIT_AUTHOR_EMAIL=op@example.org"}, "Mi Ror <op@example.org>"},
	} {
		w := newWorld(t)
		w.options.Environ = c.environ
		w.publish(entry(), publish.Create)
		if got := w.git(fork, "log", "-1", "--format=%an <%ae>", branch); got != c.want {
			t.Errorf("%q: author %s, want %s", c.environ, got, c.want)
		}
	}
	w := newWorld(t)
	w.options.Environ = []string{"GIT_AUTHOR_NAME=a<b", "GIT_AUTHOR_EMAIL=x@example.org"}
	w.refuse(entry(), "correct GIT_AUTHOR_NAME")
}
