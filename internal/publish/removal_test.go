package publish_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/publish"
	"github.com/mirrorform/mirrorform/internal/publish/githubtest"
)

const removalBranch = "mirrorform-remove/fra1.example.org"

// gone is the entry that is to be removed.
func gone() publish.Entry {
	e := entry()
	e.Remove = true
	return e
}

// TestRemoval goes through a removal: nothing is done twice, nothing else is changed, and the
// outcome is reported.
func TestRemoval(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if c := w.publish(gone(), publish.Unlisted); c.Removed != "" {
		t.Errorf("removed by %s, and was never listed", c.Removed)
	}
	w.publish(entry(), publish.Create)
	w.refuse(gone(), "/pull/1 would list the mirror; close it first")
	if err := w.Merge(1); err != nil {
		t.Fatal(err)
	}

	w.Requests()
	c := w.publish(gone(), publish.Create)
	if c.After != nil || !strings.Contains(string(c.Before), "name: "+name) || c.Title != "Remove mirror "+name || !strings.HasSuffix(c.URL, "/pull/2") {
		t.Errorf("got %+v", c)
	}
	if got := w.git(fork, "diff", "--name-status", removalBranch+"~", removalBranch); got != "D\t"+file {
		t.Errorf("the commit changes %q", got)
	}
	w.Requests()
	w.publish(gone(), publish.Pending)
	if got := w.posted(); got != nil {
		t.Errorf("the second time: %q", got)
	}
	if got := w.count(removalBranch); got != "1" {
		t.Errorf("%s commits", got)
	}
	if err := w.Merge(2); err != nil {
		t.Fatal(err)
	}
	if c := w.publish(gone(), publish.Unlisted); !strings.HasSuffix(c.Removed, "/pull/2") {
		t.Errorf("removed by %q", c.Removed)
	}

	// Listed and retired once more: the merged branches are replaced. It has to be asked for.
	w.refuse(entry(), "/pull/2 retired the mirror", "--relist")
	w.options.Relist = true
	w.publish(entry(), publish.Create)
	if err := w.Merge(3); err != nil {
		t.Fatal(err)
	}
	if c := w.publish(gone(), publish.Create); !strings.HasSuffix(c.URL, "/pull/4") {
		t.Errorf("got %s", c.URL)
	}

	// What somebody else takes out afterwards was not retired.
	if err := w.Merge(4); err != nil {
		t.Fatal(err)
	}
	w.publish(entry(), publish.Create)
	if err := w.Merge(5); err != nil {
		t.Fatal(err)
	}
	w.remove(up, "master", file)
	w.options.Relist = false
	w.publish(entry(), publish.Create)
}

// TestRemovalMeets has what others do at the same time.
func TestRemovalMeets(t *testing.T) {
	t.Parallel()
	text := "---\nname: fra1.example.org\naddress:\n  http: http://fra1.example.org/almalinux/\nupdate_frequency: 3h\nsponsor: x\nsponsor_url: https://example.org\n"
	for _, test := range []struct {
		name  string
		do    func(w *world)
		wants []string // in the error; nil: there is none
	}{
		{"it was closed", func(w *world) { w.Edit(1, func(p *githubtest.Pull) { p.State = "closed" }) }, []string{"closed without being merged", "--ignore-closed"}},
		{"it was closed, and is asked for again", func(w *world) {
			w.Edit(1, func(p *githubtest.Pull) { p.State = "closed" })
			w.options.IgnoreClosed = true
		}, nil},
		{"the file is back on the branch", func(w *world) {
			w.commit(fork, removalBranch, "No", map[string]string{file: text})
		}, []string{file + " was restored on ", "Reviewer"}},
		{"another file is on the branch", func(w *world) {
			w.commit(fork, removalBranch, "More", map[string]string{"README.md": "x"})
		}, []string{"changes other files than " + file}},
		{"upstream changed the file", func(w *world) {
			w.commit(up, "master", "Private", map[string]string{file: text + "private: true\n"})
		}, []string{"upstream has changed " + file}},
		{"another pull request would bring it back", func(w *world) {
			if _, err := w.try(with(func(f *mirrorsd.File) { f.Sponsor = "y" })); err != nil {
				w.Fatal(err)
			}
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.upstreamHas(text)
			w.publish(gone(), publish.Create)
			test.do(w)
			if test.wants != nil {
				w.refuse(gone(), test.wants...)
				return
			}
			c, err := w.try(gone())
			if err != nil {
				t.Fatal(err)
			}
			if len(w.Pulls()) > 1 && c.Action == publish.Pending && (len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "close it")) {
				t.Errorf("notes %q", c.Notes)
			}
		})
	}
}

// TestRemovalOfTheLast: git has no empty directories.
func TestRemovalOfTheLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := entry()
	other.File.Name, other.Remove = "other.example.net", true
	w.publish(other, publish.Create)
	if got := w.git(fork, "ls-tree", "-r", "--name-only", "mirrorform-remove/other.example.net"); strings.Contains(got, "mirrors.d") {
		t.Errorf("there is %q", got)
	}
	if got := w.git(fork, "fsck", "--strict"); strings.Contains(got, "error") {
		t.Error(got)
	}
}

// TestMergedMeanwhile: a pull request that is merged after upstream was fetched does not lead to
// another one.
func TestMergedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, e := range []publish.Entry{entry(), gone()} {
		w := newWorld(t)
		if e.Remove {
			w.publish(entry(), publish.Create)
			if err := w.Merge(1); err != nil {
				t.Fatal(err)
			}
		}
		number := len(w.Pulls()) + 1
		w.publish(e, publish.Create)
		s, err := publish.Open(t.Context(), w.options)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Merge(number); err != nil {
			t.Fatal(err)
		}
		c, err := s.Plan(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]publish.Action{false: publish.Listed, true: publish.Unlisted}[e.Remove]; c.Action != want {
			t.Errorf("action %s, want %s", c.Action, want)
		}
	}
}

// remove takes a file out of a branch, as somebody else.
func (w *world) remove(repo, branch, name string) {
	w.Helper()
	index := "GIT_INDEX_FILE=" + w.TempDir() + "/index"
	run := func(args ...string) string {
		w.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = w.Dir(repo)
		cmd.Env = append(os.Environ(), index, "GIT_AUTHOR_NAME=R", "GIT_AUTHOR_EMAIL=r@example.net", "GIT_COMMITTER_NAME=R", "GIT_COMMITTER_EMAIL=r@example.net")
		out, err := cmd.CombinedOutput()
		if err != nil {
			w.Fatalf("git %q: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("read-tree", branch)
	run("rm", "--cached", "-q", name)
	run("update-ref", "refs/heads/"+branch, run("commit-tree", "-p", branch, "-m", "Remove "+name, run("write-tree")))
}
