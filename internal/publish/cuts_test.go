package publish_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/publish"
)

// down breaks the network at the request with this number. If that one changes something, its
// answer is lost; all later ones do not arrive. It counts the requests, and those that changed
// something.
func (w *world) down(from int) (requests, changes *atomic.Int32) {
	requests, changes = new(atomic.Int32), new(atomic.Int32)
	w.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		at := int(requests.Add(1))
		if r.Header.Get("X-Forwarded") != "" {
			return false
		}
		if at <= from && r.Method != http.MethodGet {
			changes.Add(1)
		}
		if at < from {
			return false
		}
		if at == from && r.Method != http.MethodGet {
			w.forward(r)
		}
		panic(http.ErrAbortHandler)
	})
	return requests, changes
}

// forward performs a request.
func (w *world) forward(r *http.Request) {
	req, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), r.Body)
	if err != nil {
		w.Error(err)
		return
	}
	req.Header, req.ContentLength = r.Header.Clone(), r.ContentLength
	req.Header.Set("X-Forwarded", "1")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Error(err)
		return
	}
	_ = answer.Body.Close()
}

// TestCutAtEachRequest breaks the network at each request of a run, first of them first. Whatever
// that left behind, the next run ends as if there had been none.
func TestCutAtEachRequest(t *testing.T) {
	t.Parallel()
	newer := with(func(f *mirrorsd.File) { f.Sponsor = "New Org" })
	for what, c := range map[string]struct {
		prepare func(w *world)
		entry   publish.Entry
		check   func(w *world)
	}{
		"new fork": {(*world).noFork, entry(), func(w *world) { w.done(entry(), fork, branch) }},
		"update": {func(w *world) { w.publish(entry(), publish.Create) }, newer, func(w *world) {
			w.publish(newer, publish.Pending)
			if n := w.count(branch); n != "2" || len(w.Pulls()) != 1 || !strings.Contains(w.Pulls()[0].Body, "`New Org`") {
				w.Errorf("%s commits, pull requests %+v", n, w.Pulls())
			}
		}},
		"after a merge": {func(w *world) {
			w.publish(entry(), publish.Create)
			if err := w.Merge(1); err != nil {
				w.Fatal(err)
			}
		}, newer, func(w *world) {
			w.publish(newer, publish.Pending)
			if n := w.count(branch); n != "1" || len(w.Pulls()) != 2 {
				w.Errorf("%s commits, pull requests %+v", n, w.Pulls())
			}
		}},
		"removal": {func(w *world) {
			text, err := entry().File.Bytes()
			if err != nil {
				w.Fatal(err)
			}
			w.upstreamHas(string(text))
		}, gone(), func(w *world) { w.done(gone(), fork, removalBranch) }},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var w *world
			for at := 1; ; at++ {
				if w == nil {
					w = newWorld(t)
					c.prepare(w)
				}
				requests, changes := w.down(at)
				_, err := w.try(c.entry)
				w.Intercept(nil)
				cut := int(requests.Load()) >= at
				if !cut && err != nil {
					t.Fatal(err)
				}
				if cut && changes.Load() == 0 {
					continue // nothing was changed, so the world is as good as new
				}
				if _, err := w.try(c.entry); err != nil {
					t.Fatalf("after a cut at request %d: %v", at, err)
				}
				if c.check(w); t.Failed() {
					t.Fatalf("after a cut at request %d", at)
				}
				if !cut {
					return
				}
				w = nil
			}
		})
	}
}

// TestPushAnswerLost: the branch is set and the answer is lost, which the next request shows.
func TestPushAnswerLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.loseAnswer("POST", "/git/refs", http.StatusCreated)
	w.publish(entry(), publish.Create)
	w.done(entry(), fork, branch)
	newer := with(func(f *mirrorsd.File) { f.Sponsor = "New Org" })
	w.loseAnswer("PATCH", "/git/refs/heads/"+branch, http.StatusOK)
	w.publish(newer, publish.Update)
	if w.count(branch) != "2" {
		t.Errorf("%s commits", w.count(branch))
	}
}

// TestPushedBeforeReset: a commit that arrives just before a merged branch is replaced is not lost.
func TestPushedBeforeReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(entry(), publish.Create)
	if err := w.Merge(1); err != nil {
		t.Fatal(err)
	}
	w.on("POST", "/git/commits", 1, func(_ http.ResponseWriter, r *http.Request) {
		w.commit(fork, branch, "Late", map[string]string{file: w.show(fork, branch, file) + "# late\n"})
		w.forward(r)
		panic(http.ErrAbortHandler)
	})
	newer := with(func(f *mirrorsd.File) { f.Sponsor = "New Org" })
	w.refuse(newer, "has changed since it was read, so nothing was pushed")
	if !strings.HasSuffix(w.show(fork, branch, file), "# late\n") {
		t.Error("the late commit is lost")
	}
}

// TestRequests holds the number of requests, each of which takes a round trip.
func TestRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	count := func(want int, what string, run func()) {
		t.Helper()
		w.Requests()
		run()
		if got := w.Requests(); len(got) != want {
			t.Errorf("%s: %d requests, want %d:\n%s", what, len(got), want, strings.Join(got, "\n"))
		}
	}
	count(13, "new", func() { w.publish(entry(), publish.Create) })
	count(11, "again", func() { w.publish(entry(), publish.Pending) })
	if err := w.Merge(1); err != nil {
		t.Fatal(err)
	}
	count(7, "listed", func() { w.publish(entry(), publish.Listed) })
	many := map[string]string{}
	for i := range 40 {
		many[fmt.Sprintf("mirrors.d/m%d.yml", i)] = fmt.Sprintf("name: m%d.example.org\n", i)
	}
	w.commit(up, "master", "More", many)
	other := with(func(f *mirrorsd.File) { f.Name = "new.example.org" })
	count(14, "new, with many", func() { w.publish(other, publish.Create) })

	// The files of a fleet are read together, without a token, too.
	w.options.Token, w.options.UpstreamOnly = publish.Token{}, true
	count(3+5+2, "check of a fleet", func() {
		s, err := publish.Open(t.Context(), w.options)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			d, err := s.Drift(t.Context(), with(func(f *mirrorsd.File) { f.Name = fmt.Sprintf("m%d", i) }))
			if err != nil || d.Missing || !d.Differs() {
				t.Fatalf("m%d: %+v, %v", i, d, err)
			}
		}
	})
}
