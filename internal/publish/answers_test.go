package publish_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/publish"
)

// answer answers with a text.
func answer(text string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(text)) }
}

// TestHostileAnswers has what GitHub never sends: publish does not use it, and writes nothing.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	text, err := entry().File.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	const sha = "0123456789012345678901234567890123456789"
	endless := func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write([]byte(`{"name": "`))
		for range 33 {
			_, _ = rw.Write(make([]byte, 1<<20))
		}
	}
	for what, c := range map[string]struct {
		method, path string // a part of the path
		answer       http.HandlerFunc
		want         string
	}{
		"account": {"GET", "/user", answer(`{"login": "../../orgs/x"}`), "no valid account name"},
		"repository": {
			"GET", "/repos/AlmaLinux/mirrors",
			answer(`{"full_name": "a/../b", "default_branch": "master"}`), "OWNER/NAME",
		},
		"default branch": {
			"GET", "/repos/AlmaLinux/mirrors",
			answer(`{"full_name": "AlmaLinux/mirrors"}`), "names no default branch",
		},
		"commit": {
			"GET", "/branches/master",
			answer(`{"name": "master", "commit": {"sha": "../x", "commit": {"tree": {"sha": "` + sha + `"}}}}`),
			"no valid commit",
		},
		"nothing":  {"GET", "/branches/master", answer(`null`), "has no branch master"},
		"not JSON": {"GET", "/branches/master", answer("<html>"), "read branch master of AlmaLinux/mirrors"},
		"endless":  {"GET", "/branches/master", endless, "larger than 32 MiB"},
		"object name": {
			"GET", "/git/trees/",
			answer(`{"tree": [{"path": "mirrors.d/a.yml", "mode": "100644", "type": "blob", "sha": "?x"}]}`),
			"invalid object name",
		},
		"truncated": {"GET", "/git/trees/", answer(`{"tree": [], "truncated": true}`), "more files than GitHub lists"},
		"submodule": {
			"GET", "/git/trees/",
			answer(`{"tree": [{"path": "` + file + `", "mode": "160000", "type": "commit", "sha": "` + sha + `"}]}`),
			"is not a regular file in the repository (mode 160000)",
		},
		"content":     {"GET", "/git/blobs/", answer("name: fra1.example.org\n"), "other content than git's object"},
		"made commit": {"POST", "/git/commits", answer(`{"sha": "x y"}`), "no valid commit"},
		"escape sequence": {"GET", "/branches/master", func(rw http.ResponseWriter, _ *http.Request) {
			http.Error(rw, `{"message": "\u001b[2J\n\u202egone"}`, http.StatusForbidden)
		}, `answered 403: \x1b[2J \u202egone`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.upstreamHas(strings.Replace(string(text), "Example Org", "Old Org", 1))
			w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
				exact := strings.HasPrefix(c.path, "/repos/") || c.path == "/user"
				if r.Method != c.method || exact && r.URL.Path != c.path || !strings.Contains(r.URL.Path, c.path) {
					return false
				}
				c.answer(rw, r)
				return true
			})
			w.refuse(entry(), c.want)
			if len(w.Pulls()) != 0 || w.git(fork, "for-each-ref", "refs/heads/mirrorform") != "" {
				t.Errorf("something was written: %q", w.posted())
			}
		})
	}
}

// TestArchive finds a mirror's entry in a file of another name, however incomplete the archive is.
func TestArchive(t *testing.T) {
	t.Parallel()
	text, err := with(func(f *mirrorsd.File) { f.Sponsor = "Old" }).File.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for what, attributes := range map[string]string{
		"excluded": "mirrors.d/example.yml export-ignore\n", "changed": "mirrors.d/*.yml text eol=crlf\n", "none": "",
	} {
		w := newWorld(t)
		w.commit(up, "master", "Add", map[string]string{
			"mirrors.d/example.yml": string(text), ".gitattributes": attributes + "# x\n",
		})
		if c := w.publish(entry(), publish.Create); c.Path != "mirrors.d/example.yml" {
			t.Errorf("%s: %s", what, c.Path)
		}
	}
	w := newWorld(t)
	w.commit(up, "master", "Add", map[string]string{"mirrors.d/example.yml": string(text)})
	for _, broken := range []string{"", "no archive", "\x1f\x8b\x08\x00"} {
		w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/legacy.tar.gz/") {
				_, _ = rw.Write([]byte(broken))
				return true
			}
			return false
		})
		w.refuse(entry(), "download the files of AlmaLinux/mirrors")
	}
	w.Intercept(nil)
	w.publish(entry(), publish.Create)
}

// TestRedirects: the token goes to no other host, and nothing goes to an address without
// encryption.
func TestRedirects(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	other := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		http.Redirect(rw, r, "http://127.0.0.1:1/x", http.StatusMovedPermanently)
	}))
	defer other.Close()
	w := newWorld(t)
	w.options.Transport = other.Client().Transport
	w.on("GET", "/repos/AlmaLinux/mirrors", always, func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, other.URL+"/x", http.StatusMovedPermanently)
	})
	w.options.APIURL = other.URL + "/"
	w.refuse(entry(), "does not begin with https:// (host 127.0.0.1)")
	w.options.APIURL = w.URL + "/"
	w.on("GET", "/repos/AlmaLinux/mirrors", always, func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, w.URL+r.URL.Path, http.StatusMovedPermanently)
	})
	w.refuse(entry(), "redirects in a circle")
	if seen.Load() == 0 {
		t.Error("no redirect was followed")
	}
	// A repository that was renamed answers to its old name.
	w.on("GET", "/repos/AlmaLinux/old", always, func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, w.URL+"/repos/AlmaLinux/mirrors", http.StatusMovedPermanently)
	})
	w.options.Upstream = "AlmaLinux/old"
	w.publish(entry(), publish.Create)
	w.done(entry(), fork, branch)
}
