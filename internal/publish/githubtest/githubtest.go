// Package githubtest is a GitHub server for tests: the parts of the REST API that publish uses, as
// documented at docs.github.com/rest, on real git repositories.
package githubtest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing/fstest"
)

// Token is the valid token for the account Login.
const Token = "ghp_canary0123456789"

// Login is the account of Token.
const Login = "me"

// The author of commits for which Token's account stands.
const (
	accountName  = "Mi Ror"
	accountEmail = "4711+me@users.noreply.github.com"
)

// Server is the API at URL + "/". Archives come from a server of their own, as at GitHub.
type Server struct {
	*httptest.Server
	Root string // the directory of the bare repositories, OWNER/NAME.git

	archives  *httptest.Server
	mu        sync.Mutex
	intercept func(w http.ResponseWriter, r *http.Request) bool
	repos     map[string]*Repository
	pulls     []*Pull
	log       []string
	forkDelay int
}

// Intercept sets a function that receives each request first. It returns true if it has answered
// the request, and may change the state of the server before it returns false. nil removes the
// function.
func (s *Server) Intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// Intercepting returns the function that Intercept has set, or nil.
func (s *Server) Intercepting() func(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.intercept
}

// Repository is a repository as the API describes it.
type Repository struct {
	Owner, Name string
	Parent      string // OWNER/NAME of the repository that it is a fork of, or ""
	Branch      string // the default branch; "" is master
	Archived    bool
	ReadOnly    bool   // Token has no permission to push
	Rule        string // if not "", why the repository's rules reject each change of a branch
	// NotReady is for how many requests a new fork's objects are not there yet: GitHub answers 404 for
	// its branches, and 409 to writes.
	NotReady int
	// Behind means that upstream's newest objects are not available in the fork until it is synced.
	Behind bool

	renamed map[string]string // new names of branches, by the old ones
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

// handlers answer requests.
type handlers struct{ *Server }

// Start creates the repository AlmaLinux/mirrors and its fork me/mirrors in dir, and serves them.
// The caller closes the server.
func Start(dir string) (*Server, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return nil, fmt.Errorf("git is required: %w", err)
	}
	files, err := seeded()
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, files); err != nil {
		return nil, err
	}
	s := &Server{Root: dir, repos: map[string]*Repository{
		"AlmaLinux/mirrors": {Owner: "AlmaLinux", Name: "mirrors"},
		Login + "/mirrors":  {Owner: Login, Name: "mirrors", Parent: "AlmaLinux/mirrors"},
	}}
	mux, h := http.NewServeMux(), handlers{s}
	mux.HandleFunc("GET /user", h.user)
	const repo = "/repos/{owner}/{name}"
	mux.HandleFunc("GET "+repo, h.getRepository)
	mux.HandleFunc("GET "+repo+"/forks", h.forks)
	mux.HandleFunc("POST "+repo+"/forks", h.createFork)
	mux.HandleFunc("POST "+repo+"/merge-upstream", h.mergeUpstream)
	mux.HandleFunc("GET "+repo+"/branches/{branch...}", h.getBranch)
	mux.HandleFunc("GET "+repo+"/compare/{basehead}", h.compare)
	mux.HandleFunc("GET "+repo+"/tarball/{ref}", h.tarball)
	mux.HandleFunc("GET "+repo+"/git/trees/{sha}", h.getTree)
	mux.HandleFunc("GET "+repo+"/git/blobs/{sha}", h.getBlob)
	mux.HandleFunc("POST "+repo+"/git/trees", h.createTree)
	mux.HandleFunc("POST "+repo+"/git/commits", h.createCommit)
	mux.HandleFunc("POST "+repo+"/git/refs", h.createRef)
	mux.HandleFunc("PATCH "+repo+"/git/refs/heads/{branch...}", h.updateRef)
	mux.HandleFunc("GET "+repo+"/pulls", h.listPulls)
	mux.HandleFunc("POST "+repo+"/pulls", h.createPull)
	mux.HandleFunc("PATCH "+repo+"/pulls/{number}", h.editPull)
	archives := http.NewServeMux()
	archives.HandleFunc("GET /{owner}/{name}/legacy.tar.gz/{ref}", h.archive)
	s.archives = httptest.NewServer(s.logged(archives))
	s.Server = httptest.NewServer(s.logged(mux))
	return s, nil
}

// Close stops the server.
func (s *Server) Close() {
	s.Server.Close()
	s.archives.Close()
}

// logged logs each request, and lets the intercepting function answer it first.
func (s *Server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.log = append(s.log, r.Method+" "+r.URL.RequestURI())
		intercept := s.intercept
		s.mu.Unlock()
		if intercept == nil || !intercept(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// seeded returns the files of the two repositories, which are the same for each server.
var seeded = sync.OnceValues(func() (fs.FS, error) {
	dir, err := os.MkdirTemp("", "githubtest-")
	if err != nil {
		return nil, err
	}
	s := &Server{Root: dir, repos: map[string]*Repository{}}
	files := fstest.MapFS{}
	err = s.seed()
	if err == nil {
		err = fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir():
				files[path] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
				return nil
			}
			data, err := os.ReadFile(filepath.Join(dir, path))
			files[path] = &fstest.MapFile{Data: data, Mode: 0o644}
			return err
		})
	}
	return files, errors.Join(err, os.RemoveAll(dir))
})

// seed creates the two repositories.
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
	if err := s.clone("AlmaLinux/mirrors", work, false); err != nil {
		return err
	}
	return errors.Join(s.clone(Login+"/mirrors", s.Dir("AlmaLinux/mirrors"), true), os.RemoveAll(work))
}

// clone creates a repository as a bare clone of another one. A fork shares the other one's objects,
// as those of GitHub do.
func (s *Server) clone(full, from string, fork bool) error {
	args := []string{"clone", "-q", "--bare", "--template=", from, s.Dir(full)}
	if !fork {
		_, err := s.Git(s.Root, args...)
		return err
	}
	if _, err := s.Git(s.Root, slices.Insert(args, 3, "--shared")...); err != nil {
		return err
	}
	objects := filepath.Join(s.Dir(full), "objects")
	shared, err := filepath.Rel(objects, filepath.Join(from, "objects"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(objects, "info", "alternates"), []byte(shared+"\n"), 0o644)
}

// Add creates a repository as a bare clone of another one. If from is "", it exists only in the
// API.
func (s *Server) Add(r Repository, from string) error {
	if from != "" {
		if err := s.clone(r.Owner+"/"+r.Name, from, r.Parent != ""); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repos[r.Owner+"/"+r.Name] = &r
	return nil
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

// Rename renames a branch, also if it is the default branch. GitHub redirects from the old name.
func (s *Server) Rename(full, from, to string) error {
	if _, err := s.Git(s.Dir(full), "branch", "-m", from, to); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.repos[full]
	if r.branch() == from {
		r.Branch = to
	}
	if r.renamed == nil {
		r.renamed = map[string]string{}
	}
	r.renamed[from] = to
	for _, p := range s.pulls {
		if p.Repo == full && p.Base == from && p.State == "open" {
			p.Base = to
		}
	}
	return nil
}

func (r *Repository) branch() string {
	if r.Branch == "" {
		return "master"
	}
	return r.Branch
}

// Git runs git in a directory, with a fixed author and without the user's configuration.
func (s *Server) Git(dir string, args ...string) (string, error) {
	out, err := s.run(dir, nil, "", args...)
	return strings.TrimSpace(string(out)), err
}

// run runs git with variables and an input, and returns its output unchanged.
func (s *Server) run(dir string, environ []string, input string, args ...string) ([]byte, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), gitEnv()...), environ...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w: %s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return out, nil
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
