package publish_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/publish"
	"github.com/mirrorform/mirrorform/internal/publish/githubtest"
)

// on answers requests of one kind in another way, the first times of them.
func (w *world) on(method, suffix string, times int, answer http.HandlerFunc) {
	var n atomic.Int32
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || !strings.HasSuffix(r.URL.Path, suffix) || int(n.Add(1)) > times {
			return false
		}
		answer(rw, r)
		return true
	})
}

// fail answers with a status, headers and a message.
func (w *world) fail(status int, message string, headers ...string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			rw.Header().Set(headers[i], headers[i+1])
		}
		w.Fail(rw, r, status, message)
	}
}

// says is fail for a table.
func says(status int, message string, headers ...string) func(w *world) http.HandlerFunc {
	return func(w *world) http.HandlerFunc { return w.fail(status, message, headers...) }
}

// just is an answer for a table.
func just(answer http.HandlerFunc) func(w *world) http.HandlerFunc {
	return func(*world) http.HandlerFunc { return answer }
}

// until is limited for a table, from the time of the request.
func until(d time.Duration) func(w *world) http.HandlerFunc {
	return func(*world) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) { limited(time.Now().Add(d))(rw, r) }
	}
}

// limited answers as GitHub does when the primary rate limit is used up.
func limited(reset time.Time) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		h := rw.Header()
		h.Set("X-RateLimit-Limit", "5000")
		h.Set("X-RateLimit-Remaining", "0")
		h.Set("X-RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
		rw.WriteHeader(http.StatusForbidden)
		_, _ = rw.Write([]byte(`{"message": "API rate limit exceeded for user ID 4711.", ` +
			`"documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"}`))
	}
}

// cut breaks the connection.
func cut(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// half answers in part, and breaks the connection.
func half(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte(`[{"number": 1`))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// always is more often than anything is tried.
const always = 100

func TestAPIErrors(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		method, suffix string
		answer         func(w *world) http.HandlerFunc
		want           []string
		slept          int
	}{
		"token wrong": {"GET", "/mirrors", says(401, "Bad credentials"),
			[]string{"401: Bad credentials", "the token from $GITHUB_TOKEN is invalid, expired or revoked", "public_repo"}, 0},
		"second factor": {
			"GET", "/user",
			says(401, "Must specify two-factor authentication OTP code.", "X-GitHub-OTP", "required; app"),
			[]string{"second factor", "personal access token"}, 0,
		},
		"single sign-on": {
			"POST", "/pulls",
			says(403, "Resource protected by SAML enforcement.", "X-GitHub-SSO",
				"required; url=https://github.com/orgs/AlmaLinux/sso?authorization_request=AB"),
			[]string{"is already pushed",
				"authorize the token from $GITHUB_TOKEN", "at https://github.com/orgs/AlmaLinux/sso?authorization_request=AB"}, 0,
		},
		"single sign-on without https": {
			"POST", "/pulls", says(403, "Resource protected", "X-GitHub-SSO", "required; url=javascript:alert(1)"),
			[]string{"in the settings of the token"}, 0,
		},
		"scope": {
			"POST", "/pulls",
			says(403, "Resource not accessible", "X-OAuth-Scopes", "gist", "X-Accepted-OAuth-Scopes", "public_repo, repo"),
			[]string{"open the pull request: GitHub answered 403", `one of the scopes public_repo, repo; it has "gist"`}, 0,
		},
		"fine-grained": {
			"POST", "/pulls",
			says(403, "Resource not accessible by personal access token",
				"X-Accepted-GitHub-Permissions", "pull_requests=write"),
			[]string{"lacks a permission (pull_requests=write)"}, 0,
		},
		"pull not found": {"POST", "/pulls", says(404, "Not Found"),
			[]string{"404: Not Found", "cannot read the repository"}, 0},
		"rate limit, far": {"GET", "/mirrors", just(limited(time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC))),
			[]string{"rate limit of 5000 requests an hour is used up", "after 2100-01-02T"}, 0},
		"secondary, long": {"GET", "/pulls", says(429, "Slow down", "Retry-After", "3600"),
			[]string{"secondary rate limit was exceeded", "run the command again after 2"}, 0},
		"secondary without end": {
			"GET", "/pulls",
			says(403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."),
			[]string{"secondary rate limit was exceeded", "in a few minutes"}, 2,
		},
		"server error": {"GET", "/pulls", says(502, "Bad Gateway"),
			[]string{"502: Bad Gateway", "githubstatus.com"}, 3},
		"validation": {"POST", "/pulls", func(w *world) http.HandlerFunc {
			return func(rw http.ResponseWriter, r *http.Request) {
				w.Fail(rw, r, 422, "Validation Failed",
					map[string]any{"resource": "PullRequest", "code": "custom", "message": "No commits between master and me:x"})
			}
		}, []string{"422: Validation Failed: No commits between master and me:x", "is already pushed"}, 0},
		"branch never seen": {"POST", "/pulls", func(w *world) http.HandlerFunc {
			return func(rw http.ResponseWriter, r *http.Request) {
				w.Fail(rw, r, 422, "Validation Failed",
					map[string]any{"resource": "PullRequest", "field": "head", "code": "invalid"})
			}
		}, []string{"422: Validation Failed: head is invalid"}, 3},
		"cut":            {"GET", "/pulls", just(cut), []string{"the connection was lost", "run the command again"}, 3},
		"cut at opening": {"POST", "/pulls", just(cut), []string{"is already pushed", "the connection was lost"}, 0},
		"tree forbidden": {
			"POST", "/git/trees",
			says(403, "Resource not accessible by personal access token", "X-Accepted-GitHub-Permissions", "contents=write"),
			[]string{"write " + file + " to me/mirrors", "(contents=write)"}, 0,
		},
		"tree not found": {"POST", "/git/trees", says(404, "Not Found"),
			[]string{"404: Not Found", "cannot read the repository"}, 2},
		"tree cut": {"POST", "/git/trees", just(cut), []string{"the connection was lost"}, 3},
		"commit cut": {
			"POST", "/git/commits", just(cut),
			[]string{"write a commit to me/mirrors", "the connection was lost"}, 3,
		},
		"branch cut": {
			"POST", "/git/refs", just(cut),
			[]string{"push branch " + branch + " to me/mirrors", "the connection was lost"}, 0,
		},
		"branch conflict": {"POST", "/git/refs", says(409, "Conflict"),
			[]string{"push branch", "409: Conflict", "run the command again"}, 0},
		"branch refused": {"POST", "/git/refs", says(422, "Reference update failed"),
			[]string{"push branch", "422: Reference update failed"}, 0},
		"secondary at a commit": {
			"POST", "/git/commits",
			says(403, "You have exceeded a secondary rate limit and have been temporarily blocked "+
				"from content creation.", "Retry-After", "600"),
			[]string{"secondary rate limit was exceeded", "run the command again after 2"}, 0,
		},
		"echo": {"GET", "/mirrors", says(403, "Token "+githubtest.Token+" is bad"),
			[]string{"Token (token) is bad"}, 0},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.suffix == "/user" {
				w.options.Environ = []string{}
			}
			w.on(c.method, c.suffix, always, c.answer(w))
			w.refuse(entry(), c.want...)
			if len(w.slept) != c.slept {
				t.Errorf("waited %v, want %d times", w.slept, c.slept)
			}
			// Whatever it was, the next run goes on from what is there.
			w.Intercept(nil)
			w.publish(entry(), publish.Create)
			w.publish(entry(), publish.Pending)
			if w.count(branch) != "1" || len(w.Pulls()) != 1 {
				t.Errorf("%s commits, %d pull requests", w.count(branch), len(w.Pulls()))
			}
		})
	}
}

func TestWaits(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		method, suffix string
		times          int
		answer         func(w *world) http.HandlerFunc
		least, most    time.Duration
	}{
		"primary": {"GET", "/pulls", 1, until(100 * time.Second), 90 * time.Second, 102 * time.Second},
		"secondary": {
			"POST", "/pulls", 2, says(403, "secondary rate limit", "Retry-After", "7"),
			7 * time.Second, 7 * time.Second,
		},
		"secondary, unsaid":   {"POST", "/pulls", 1, says(429, "Too many"), time.Minute, time.Minute},
		"primary at a commit": {"POST", "/git/commits", 1, until(50 * time.Second), 40 * time.Second, 52 * time.Second},
		"secondary at a tree": {
			"POST", "/git/trees", 3, says(403, "secondary rate limit", "Retry-After", "5"),
			5 * time.Second, 5 * time.Second,
		},
		"secondary at a branch":  {"POST", "/git/refs", 1, says(429, "Too many requests"), time.Minute, time.Minute},
		"server error at a tree": {"POST", "/git/trees", 2, says(502, "Bad Gateway"), time.Second, 4 * time.Second},
		"server error":           {"GET", "/mirrors", 2, says(503, "Unavailable"), time.Second, 4 * time.Second},
		"cut while reading":      {"GET", "/pulls", 1, just(half), time.Second, time.Second},
		"branch not yet seen": {"POST", "/pulls", 1, func(w *world) http.HandlerFunc {
			return func(rw http.ResponseWriter, r *http.Request) {
				w.Fail(rw, r, 422, "Validation Failed",
					map[string]any{"resource": "PullRequest", "field": "head", "code": "invalid"})
			}
		}, 2 * time.Second, 2 * time.Second},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.on(c.method, c.suffix, c.times, c.answer(w))
			w.publish(entry(), publish.Create)
			if len(w.slept) != c.times || len(w.Pulls()) != 1 {
				t.Errorf("waited %v, %d pull requests", w.slept, len(w.Pulls()))
			}
			for _, d := range w.slept {
				if d < c.least || d > c.most {
					t.Errorf("waited %v", w.slept)
				}
			}
		})
	}
}

// loseAnswer lets the first request of one kind through, and breaks the connection instead of
// answering.
func (w *world) loseAnswer(method, suffix string, status int) {
	var done atomic.Bool
	w.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || !strings.HasSuffix(r.URL.Path, suffix) || done.Swap(true) {
			return false
		}
		req, err := http.NewRequest(method, w.URL+r.URL.Path, r.Body)
		if err != nil {
			w.Error(err)
			return false
		}
		req.Header, req.ContentLength = r.Header, r.ContentLength
		answer, err := http.DefaultClient.Do(req)
		if err != nil || answer.StatusCode != status {
			w.Errorf("%v %v", answer, err)
		}
		if answer != nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
		panic(http.ErrAbortHandler)
	})
}

// TestAnswerLost opens a pull request whose answer does not come.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.loseAnswer("POST", "/pulls", http.StatusCreated)
	c := w.publish(entry(), publish.Create)
	if len(w.Pulls()) != 1 || !strings.HasSuffix(c.URL, "/pull/1") {
		t.Errorf("%d pull requests, %s", len(w.Pulls()), c.URL)
	}
}

// TestOpenedMeanwhile meets a pull request that was opened after the list was read.
func TestOpenedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.on("POST", "/pulls", 1, func(rw http.ResponseWriter, r *http.Request) {
		w.AddPull(githubtest.Pull{Repo: up, HeadRepo: fork, HeadRef: branch, Base: "master", State: "open"})
		w.Fail(rw, r, 422, "Validation Failed", map[string]any{
			"resource": "PullRequest", "code": "custom",
			"message": "A pull request already exists for me:" + branch + ".",
		})
	})
	if c := w.publish(entry(), publish.Create); !strings.HasSuffix(c.URL, "/pull/1") || len(w.Pulls()) != 1 {
		t.Errorf("%s", c.URL)
	}
}

// TestPagination finds a pull request and a fork far down their lists, from a server that ignores
// the filter.
func TestPagination(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Remove(fork)
	for i := range 120 {
		r := githubtest.Repository{Owner: fmt.Sprintf("a%d", i), Name: "mirrors", Parent: up}
		if err := w.Add(r, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Add(githubtest.Repository{Owner: "me", Name: "alma-mirrors", Parent: up}, w.Dir(up)); err != nil {
		t.Fatal(err)
	}
	w.publish(entry(), publish.Create)
	for i := range 250 {
		from := fmt.Sprintf("a%d/mirrors", i)
		w.AddPull(githubtest.Pull{Repo: up, HeadRepo: from, HeadRef: branch, Base: "master", State: "open"})
	}
	w.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		q := r.URL.Query()
		q.Del("head")
		r.URL.RawQuery = q.Encode()
		return false
	})
	w.Requests()
	w.publish(entry(), publish.Pending)
	pages := 0
	for _, r := range w.Requests() {
		if strings.Contains(r, "/pulls?") {
			pages++
		}
	}
	if pages != 3 {
		t.Errorf("%d pages of pull requests were read", pages)
	}
	if p := w.Pulls()[0]; p.HeadRepo != "me/alma-mirrors" {
		t.Errorf("%+v", p)
	}
}

func TestForkErrors(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		set  func(w *world)
		want []string
	}{
		"named, missing": {
			func(w *world) { w.options.Fork = "me/nothing" },
			[]string{"fork me/nothing not found", "gh repo fork AlmaLinux/mirrors --clone=false"},
		},
		"no fork": {
			func(w *world) { w.options.Fork = fork; w.Set(fork, func(r *githubtest.Repository) { r.Parent = "" }) },
			[]string{"is not a fork of AlmaLinux/mirrors"},
		},
		"another's fork": {func(w *world) {
			w.options.Fork = fork
			w.Set(fork, func(r *githubtest.Repository) { r.Parent = "x/y" })
		}, []string{"is not a fork of AlmaLinux/mirrors"}},
		"upstream": {func(w *world) { w.options.Fork = up }, []string{"is the upstream repository, not a fork"}},
		"archived": {
			func(w *world) { w.Set(fork, func(r *githubtest.Repository) { r.Archived = true }) },
			[]string{"is archived"},
		},
		"no permission": {
			func(w *world) { w.Set(fork, func(r *githubtest.Repository) { r.ReadOnly = true }) },
			[]string{"the token from $GITHUB_TOKEN has no permission to push"},
		},
		"upstream absent": {
			func(w *world) { w.options.Upstream = "AlmaLinux/nothing" },
			[]string{"read repository AlmaLinux/nothing", "404"},
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.set(w)
			w.refuse(entry(), c.want...)
			if posted := w.posted(); len(posted) != 0 {
				t.Errorf("requests: %q", posted)
			}
		})
	}
}

// TestTokenStaysHome redirects the API to another host, which must not see the token.
func TestTokenStaysHome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var seen atomic.Value
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		seen.Store(fmt.Sprint(r.Header))
		http.NotFound(rw, r)
	}))
	defer other.Close()
	w.on("GET", "/repos/AlmaLinux/mirrors", always, func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, other.URL+"/x", http.StatusMovedPermanently)
	})
	w.refuse(entry(), "404")
	if headers, _ := seen.Load().(string); headers == "" || strings.Contains(headers, githubtest.Token) {
		t.Errorf("the other host sees %s", headers)
	}
}
