package publish_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/publish"
	"github.com/mirrorform/mirrorform/internal/publish/githubtest"
)

const (
	up     = "AlmaLinux/mirrors"
	fork   = "me/mirrors"
	name   = "fra1.example.org"
	file   = "mirrors.d/fra1.example.org.yml"
	branch = "mirrorform/fra1.example.org"
)

// world is a GitHub, and what publish is told.
type world struct {
	*testing.T
	*githubtest.Server
	options publish.Options
	slept   []time.Duration
	notes   []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := githubtest.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	w := &world{T: t, Server: s}
	w.options = publish.Options{
		APIURL:  s.URL + "/",
		Token:   publish.NewToken(githubtest.Token, "$GITHUB_TOKEN"),
		Environ: []string{"GIT_AUTHOR_NAME=Operator", "GIT_AUTHOR_EMAIL=operator@example.org"},
		Notify:  func(text string) { w.notes = append(w.notes, text) },
		Sleep: func(ctx context.Context, d time.Duration) error {
			w.slept = append(w.slept, d)
			return ctx.Err()
		},
	}
	return w
}

// entry is the mirror that most tests publish.
func entry() publish.Entry {
	return publish.Entry{Address: `local/mirror.almalinux.publish["fra1"]`, File: mirrorsd.File{
		Name:            name,
		Address:         mirrorsd.Address{HTTP: "http://fra1.example.org/almalinux/"},
		Geolocation:     mirrorsd.Geolocation{Country: "DE", StateProvince: "Hesse", City: "Frankfurt"},
		UpdateFrequency: "3h",
		Sponsor:         "Example Org",
		SponsorURL:      "https://example.org",
		Email:           "mirror@example.org",
	}}
}

// with is the entry with other values.
func with(change func(*mirrorsd.File)) publish.Entry {
	e := entry()
	change(&e.File)
	return e
}

// try plans and applies an entry, as the command does.
func (w *world) try(e publish.Entry) (*publish.Change, error) {
	w.Helper()
	s, err := publish.Open(w.Context(), w.options)
	if err != nil {
		return nil, err
	}
	c, err := s.Plan(w.Context(), e)
	if err != nil {
		return nil, err
	}
	return c, s.Apply(w.Context(), c)
}

func (w *world) publish(e publish.Entry, want publish.Action) *publish.Change {
	w.Helper()
	c, err := w.try(e)
	if err != nil {
		w.Fatal(err)
	}
	if c.Action != want {
		w.Fatalf("action %s, want %s", c.Action, want)
	}
	return c
}

// refuse expects an error that has all these texts, and the token in none.
func (w *world) refuse(e publish.Entry, want ...string) {
	w.Helper()
	_, err := w.try(e)
	if err == nil {
		w.Fatalf("no error; want %q", want)
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			w.Errorf("the error lacks %q: %v", text, err)
		}
	}
	if strings.Contains(err.Error(), githubtest.Token) {
		w.Errorf("the error has the token: %v", err)
	}
}

func (w *world) git(repo string, args ...string) string {
	w.Helper()
	out, err := w.Git(w.Dir(repo), args...)
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// show is a file in a branch of a repository.
func (w *world) show(repo, branch, file string) string {
	w.Helper()
	return w.git(repo, "show", branch+":"+file) + "\n"
}

// count is how many commits a branch of the fork has on top of upstream.
func (w *world) count(branch string) string {
	w.Helper()
	w.git(fork, "fetch", "-q", w.Dir(up), "+master:refs/test/upstream")
	return w.git(fork, "rev-list", "--count", "refs/test/upstream.."+branch)
}

func (w *world) commit(repo, branch, message string, files map[string]string) {
	w.Helper()
	if err := w.Commit(repo, branch, message, files); err != nil {
		w.Fatal(err)
	}
}

// upstreamHas puts an entry into upstream's list.
func (w *world) upstreamHas(text string) {
	w.Helper()
	w.commit(up, "master", "Add fra1", map[string]string{file: text})
}

// posted are the requests that change something.
func (w *world) posted() []string {
	var list []string
	for _, r := range w.Requests() {
		if !strings.HasPrefix(r, "GET ") {
			list = append(list, r)
		}
	}
	return list
}
