// Package githubtest is a GitHub server for tests: the parts of the REST API that publish uses, as
// documented at docs.github.com/rest, and real git repositories behind git-http-backend(1).
package githubtest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Token is the valid token for the account Login.
const Token = "ghp_canary0123456789"

// Login is the account of Token.
const Login = "me"

// Server is the API at URL + "/", and git at URL + "/git/OWNER/NAME.git".
type Server struct {
	*httptest.Server
	Root string // the directory of the bare repositories, OWNER/NAME.git

	mu        sync.Mutex
	intercept func(w http.ResponseWriter, r *http.Request) bool
	repos     map[string]*Repository
	pulls     []*Pull
	log       []string
}

// Intercept sets a function that receives each request first. It returns true if it has answered
// the request, and may change the state of the server before it returns false. nil removes the
// function.
func (s *Server) Intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// Repository is a repository as the API describes it.
type Repository struct {
	Owner, Name string
	Parent      string // OWNER/NAME of the repository that it is a fork of, or ""
	Archived    bool
	ReadOnly    bool   // Token has no permission to push
	CloneURL    string // replaces the real URL if not ""
}

// Pull is a pull request.
type Pull struct {
	Number              int
	Repo                string // OWNER/NAME of the base
	HeadRepo, HeadRef   string
	HeadSHA             string
	Base                string
	State               string // open or closed
	Title, Body         string
	Merged              bool
	MergeSHA            string // the merge commit in the base
	MaintainerCanModify bool
}

// Start creates the repository AlmaLinux/mirrors and its fork me/mirrors in dir, and serves them.
// The caller closes the server.
func Start(dir string) (*Server, error) {
	execPath, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return nil, fmt.Errorf("git is required: %w", err)
	}
	backend := filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		return nil, fmt.Errorf("git-http-backend, a part of git, is required: %w", err)
	}
	s := &Server{Root: dir, repos: map[string]*Repository{}}
	if err := s.seed(); err != nil {
		return nil, err
	}
	handler := &cgi.Handler{
		Path: backend, Root: "/git", Dir: dir,
		Env:    append(gitEnv(), "GIT_PROJECT_ROOT="+dir, "GIT_HTTP_EXPORT_ALL=1"),
		Stderr: io.Discard, // the answer has the output of hooks
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/git/", func(w http.ResponseWriter, r *http.Request) {
		_, password, ok := r.BasicAuth()
		if ok && password != Token || strings.Contains(r.URL.RawQuery+r.URL.Path, "receive-pack") && !ok {
			w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
			http.Error(w, "Invalid username or token.", http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /user", s.user)
	mux.HandleFunc("GET /repos/{owner}/{name}", s.getRepository)
	mux.HandleFunc("GET /repos/{owner}/{name}/forks", s.forks)
	mux.HandleFunc("GET /repos/{owner}/{name}/pulls", s.listPulls)
	mux.HandleFunc("POST /repos/{owner}/{name}/pulls", s.createPull)
	mux.HandleFunc("PATCH /repos/{owner}/{name}/pulls/{number}", s.editPull)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.log = append(s.log, r.Method+" "+r.URL.RequestURI())
		intercept := s.intercept
		s.mu.Unlock()
		if intercept == nil || !intercept(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	s.Start()
	return s, nil
}

func (s *Server) seed() error {
	work := filepath.Join(s.Root, "work")
	files := map[string]string{
		"README.md":                "mirrors\n",
		".github/workflows/ci.yml": "on: push\n",
		"mirrors.d/other.example.net.yml": "---\nname: other.example.net\n" +
			"address:\n  http: http://other.example.net/almalinux/\nupdate_frequency: 3h\n" +
			"sponsor: Other\nsponsor_url: https://other.example.net\n...\n",
	}
	if _, err := s.Git(s.Root, "init", "-q", "-b", "master", work); err != nil {
		return err
	}
	for name, text := range files {
		if err := write(filepath.Join(work, name), text); err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"add", "."}, {"commit", "-qm", "Mirrors"}} {
		if _, err := s.Git(work, args...); err != nil {
			return err
		}
	}
	if err := s.Add(Repository{Owner: "AlmaLinux", Name: "mirrors"}, work); err != nil {
		return err
	}
	if err := s.Add(Repository{Owner: Login, Name: "mirrors", Parent: "AlmaLinux/mirrors"},
		s.Dir("AlmaLinux/mirrors")); err != nil {
		return err
	}
	return os.RemoveAll(work)
}

// Add creates a repository as a bare clone of another one. If from is "", it exists only in the
// API.
func (s *Server) Add(r Repository, from string) error {
	s.mu.Lock()
	s.repos[r.Owner+"/"+r.Name] = &r
	s.mu.Unlock()
	if from == "" {
		return nil
	}
	dir := s.Dir(r.Owner + "/" + r.Name)
	if _, err := s.Git(s.Root, "clone", "-q", "--bare", from, dir); err != nil {
		return err
	}
	_, err := s.Git(dir, "config", "http.receivepack", "true")
	return err
}

// Set changes the API's description of a repository.
func (s *Server) Set(full string, change func(*Repository)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.repos[full])
}

// Remove removes a repository from the API.
func (s *Server) Remove(full string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.repos, full)
}

// Dir returns the directory of a repository.
func (s *Server) Dir(full string) string { return filepath.Join(s.Root, full+".git") }

// Git runs git in a directory, with a fixed author and without the user's configuration.
func (s *Server) Git(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), gitEnv()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

func gitEnv() []string {
	return []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Reviewer", "GIT_AUTHOR_EMAIL=reviewer@example.net", "GIT_COMMITTER_NAME=Reviewer", "GIT_COMMITTER_EMAIL=reviewer@example.net",
	}
}

// Commit commits files to a branch of a repository. A text that begins with "-> " creates a
// symbolic link.
func (s *Server) Commit(full, branch, message string, files map[string]string) error {
	work, err := os.MkdirTemp(s.Root, "work-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if _, err := s.Git(s.Root, "clone", "-q", "-b", branch, s.Dir(full), work); err != nil {
		return err
	}
	for name, text := range files {
		if err := write(filepath.Join(work, name), text); err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-qm", message}, {"push", "-q", "origin", branch}} {
		if _, err := s.Git(work, args...); err != nil {
			return err
		}
	}
	return nil
}

func write(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if target, ok := strings.CutPrefix(text, "-> "); ok {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
		return os.Symlink(target, name)
	}
	return os.WriteFile(name, []byte(text), 0o644)
}

// Pulls returns all pull requests.
func (s *Server) Pulls() []Pull {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Pull
	for _, p := range s.pulls {
		list = append(list, *p)
	}
	return list
}

// AddPull adds a pull request as if another program had opened it.
func (s *Server) AddPull(p Pull) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Number = len(s.pulls) + 1
	s.pulls = append(s.pulls, &p)
}

// Edit changes a pull request.
func (s *Server) Edit(number int, change func(*Pull)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.pulls[number-1])
}

// Merge merges a pull request into its base as one squashed commit, as most maintainers do.
func (s *Server) Merge(number int) error {
	s.mu.Lock()
	p := s.pulls[number-1]
	s.mu.Unlock()
	base := s.Dir(p.Repo)
	if _, err := s.Git(base, "fetch", "-q", s.Dir(p.HeadRepo), p.HeadRef); err != nil {
		return err
	}
	sha, err := s.Git(base, "rev-parse", "FETCH_HEAD")
	if err != nil {
		return err
	}
	tree, err := s.Git(base, "merge-tree", "--write-tree", p.Base, sha)
	if err != nil {
		return err
	}
	commit, err := s.Git(base, "commit-tree", "-p", p.Base, "-m", p.Title, tree)
	if err != nil {
		return err
	}
	if _, err := s.Git(base, "update-ref", "refs/heads/"+p.Base, commit); err != nil {
		return err
	}
	s.Edit(number, func(p *Pull) { p.State, p.Merged, p.HeadSHA, p.MergeSHA = "closed", true, sha, commit })
	return nil
}

// Requests returns the requests since the last call, as "METHOD /path?query".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.log
	s.log = nil
	return log
}
