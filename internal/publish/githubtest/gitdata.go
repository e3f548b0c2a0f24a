package githubtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ForkDelay sets for how many requests the objects of forks that are created from now on are not
// there yet.
func (s *Server) ForkDelay(requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forkDelay = requests
}

func (s handlers) broken(w http.ResponseWriter, r *http.Request, err error) {
	s.Fail(w, r, http.StatusInternalServerError, err.Error())
}

// readable returns the repository of a request that reads its objects, or nil if it has answered.
func (s handlers) readable(w http.ResponseWriter, r *http.Request) *Repository {
	if _, ok := s.authenticated(w, r, false); !ok {
		return nil
	}
	repo := s.repository(w, r)
	if repo == nil || !s.filled(repo) {
		if repo != nil {
			s.Fail(w, r, http.StatusNotFound, "Not Found")
		}
		return nil
	}
	return repo
}

// writable returns the repository of a request that writes to it, or nil if it has answered.
func (s handlers) writable(w http.ResponseWriter, r *http.Request) *Repository {
	login, ok := s.authenticated(w, r, true)
	if !ok {
		return nil
	}
	repo := s.repository(w, r)
	switch {
	case repo == nil:
		return nil
	case repo.Owner != login || repo.ReadOnly:
		s.Fail(w, r, http.StatusForbidden, "Resource not accessible by personal access token")
		return nil
	case !s.filled(repo):
		s.Fail(w, r, http.StatusConflict, "Git Repository is empty.")
		return nil
	}
	return repo
}

// filled reports whether the objects of a fork are there.
func (s *Server) filled(r *Repository) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.NotReady > 0 {
		r.NotReady--
		return false
	}
	return true
}

func (s *Server) dir(r *Repository) string { return s.Dir(r.Owner + "/" + r.Name) }

// describeCommit describes a commit as "Get a branch" and "Compare two commits" do.
func (s *Server) describeCommit(r *Repository, sha string) (object, error) {
	text, err := s.Git(s.dir(r), "show", "-s", "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%B", sha)
	if err != nil {
		return nil, err
	}
	part := strings.SplitN(text, "\x00", 6)
	parents := []object{}
	for _, p := range strings.Fields(part[2]) {
		parents = append(parents, object{"sha": p})
	}
	return object{
		"sha": part[0], "parents": parents,
		"commit": object{
			"tree": object{"sha": part[1]}, "message": part[5], "author": object{"name": part[3], "email": part[4]},
		},
	}, nil
}

func (s handlers) getBranch(w http.ResponseWriter, r *http.Request) {
	repo := s.readable(w, r)
	if repo == nil {
		return
	}
	name := r.PathValue("branch")
	s.mu.Lock()
	renamed := repo.renamed[name]
	s.mu.Unlock()
	sha := s.head(repo.Owner+"/"+repo.Name, name)
	switch {
	case sha == "" && renamed != "":
		http.Redirect(w, r, fmt.Sprintf("%s/repos/%s/%s/branches/%s", s.URL, repo.Owner, repo.Name, url.PathEscape(renamed)),
			http.StatusMovedPermanently)
		return
	case sha == "":
		s.Fail(w, r, http.StatusNotFound, "Branch not found")
		return
	}
	c, err := s.describeCommit(repo, sha)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	s.answer(w, r, http.StatusOK, object{"name": name, "commit": c, "protected": false})
}

// ofNetwork returns the repository and the commit that OWNER:BRANCH names in a fork network, or "".
func (s handlers) ofNetwork(r *Repository, name string) (*Repository, string) {
	owner, branch, _ := strings.Cut(name, ":")
	full := r.Owner + "/" + r.Name
	s.mu.Lock()
	for _, other := range s.repos {
		if other.Owner == owner && other.Parent == full {
			r = other
		}
	}
	s.mu.Unlock()
	if r.Owner != owner {
		return nil, ""
	}
	return r, s.head(r.Owner+"/"+r.Name, branch)
}

func (s handlers) compare(w http.ResponseWriter, r *http.Request) {
	repo := s.readable(w, r)
	if repo == nil {
		return
	}
	base, head, _ := strings.Cut(r.PathValue("basehead"), "...")
	_, from := s.ofNetwork(repo, base)
	fork, to := s.ofNetwork(repo, head)
	if from == "" || to == "" {
		s.Fail(w, r, http.StatusNotFound, "Not Found")
		return
	}
	repo = fork // which sees the objects of both
	common, err := s.Git(s.dir(repo), "merge-base", from, to)
	if err != nil {
		s.Fail(w, r, http.StatusNotFound, fmt.Sprintf("No common ancestor between %s and %s.", base, head))
		return
	}
	shas, err := s.Git(s.dir(repo), "rev-list", "--reverse", from+".."+to)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	commits, list := []object{}, strings.Fields(shas)
	for _, sha := range list[max(0, len(list)-250):] {
		c, err := s.describeCommit(repo, sha)
		if err != nil {
			s.broken(w, r, err)
			return
		}
		commits = append(commits, c)
	}
	first, err := s.describeCommit(repo, common)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	s.answer(w, r, http.StatusOK, object{
		"merge_base_commit": first, "total_commits": len(list), "commits": commits, "status": "diverged",
	})
}

func (s handlers) getTree(w http.ResponseWriter, r *http.Request) {
	repo := s.readable(w, r)
	if repo == nil {
		return
	}
	args := []string{"ls-tree", "-l", "-t", "-z"}
	if r.URL.Query().Get("recursive") != "" {
		args = append(args, "-r")
	}
	out, err := s.run(s.dir(repo), nil, "", append(args, r.PathValue("sha"))...)
	if err != nil {
		s.Fail(w, r, http.StatusNotFound, "Not Found")
		return
	}
	entries := []object{}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		meta, path, _ := strings.Cut(line, "\t")
		field := strings.Fields(meta)
		if len(field) != 4 {
			continue
		}
		e := object{"mode": field[0], "type": field[1], "sha": field[2], "path": path}
		if n, err := strconv.Atoi(field[3]); err == nil {
			e["size"] = n
		}
		entries = append(entries, e)
	}
	s.answer(w, r, http.StatusOK, object{"sha": r.PathValue("sha"), "tree": entries, "truncated": false})
}

func (s handlers) getBlob(w http.ResponseWriter, r *http.Request) {
	repo := s.readable(w, r)
	if repo == nil {
		return
	}
	out, err := s.run(s.dir(repo), nil, "", "cat-file", "blob", r.PathValue("sha"))
	if err != nil || !strings.HasSuffix(r.Header.Get("Accept"), "raw") {
		s.Fail(w, r, http.StatusNotFound, "Not Found")
		return
	}
	w.Header().Set("Content-Type", "application/vnd.github.v3.raw")
	_, _ = w.Write(out)
}

// tarball redirects to the server of archives.
func (s handlers) tarball(w http.ResponseWriter, r *http.Request) {
	if repo := s.readable(w, r); repo != nil {
		path := fmt.Sprintf("/%s/%s/legacy.tar.gz/%s", repo.Owner, repo.Name, r.PathValue("ref"))
		http.Redirect(w, r, s.archives.URL+path, http.StatusFound)
	}
}

// archive answers with an archive. It refuses a token, which only the API may see.
func (s handlers) archive(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		http.Error(w, "the token has left the API", http.StatusTeapot)
		return
	}
	repo := s.repository(w, r)
	if repo == nil {
		return
	}
	out, err := s.run(s.dir(repo), nil, "", "archive", "--format=tar.gz",
		"--prefix="+repo.Owner+"-"+repo.Name+"-"+r.PathValue("ref")+"/", r.PathValue("ref"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-gzip")
	_, _ = w.Write(out)
}

// treeEntry is an entry of a tree to create. A SHA of null removes the file.
type treeEntry struct {
	Path, Mode, Type string
	SHA              json.RawMessage
	Content          *string
}

func (s handlers) createTree(w http.ResponseWriter, r *http.Request) {
	repo := s.writable(w, r)
	if repo == nil {
		return
	}
	var in struct {
		BaseTree string `json:"base_tree"`
		Tree     []treeEntry
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		s.Fail(w, r, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	if repo.Behind {
		s.Fail(w, r, http.StatusNotFound, "Not Found")
		return
	}
	index, err := os.MkdirTemp(s.Root, "index-")
	if err != nil {
		s.broken(w, r, err)
		return
	}
	defer func() { _ = os.RemoveAll(index) }()
	environ := []string{"GIT_INDEX_FILE=" + filepath.Join(index, "index")}
	git := func(input string, args ...string) string {
		var out []byte
		if err == nil {
			out, err = s.run(s.dir(repo), environ, input, args...)
		}
		return string(bytes.TrimSpace(out))
	}
	git("", "read-tree", in.BaseTree)
	for _, e := range in.Tree {
		if e.Content == nil {
			git("", "cat-file", "-e", in.BaseTree+":"+e.Path) // a file that is not there cannot be removed
			git("0 "+strings.Repeat("0", 40)+"\t"+e.Path+"\n", "update-index", "--index-info")
			continue
		}
		sha := git(*e.Content, "hash-object", "-w", "--stdin")
		git("", "update-index", "--add", "--cacheinfo", e.Mode+","+sha+","+e.Path)
	}
	sha := git("", "write-tree")
	if err != nil {
		s.Fail(w, r, http.StatusUnprocessableEntity, "GitRPC::BadObjectState")
		return
	}
	s.answer(w, r, http.StatusCreated, object{"sha": sha, "tree": []object{}})
}

func (s handlers) createCommit(w http.ResponseWriter, r *http.Request) {
	repo := s.writable(w, r)
	if repo == nil {
		return
	}
	var in struct {
		Message, Tree string
		Parents       []string
		Author        struct{ Name, Email string }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		s.Fail(w, r, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	if in.Author.Name == "" {
		in.Author.Name, in.Author.Email = accountName, accountEmail
	}
	args := []string{"commit-tree", in.Tree}
	for _, p := range in.Parents {
		args = append(args, "-p", p)
	}
	environ := []string{
		"GIT_AUTHOR_NAME=" + in.Author.Name, "GIT_AUTHOR_EMAIL=" + in.Author.Email,
		"GIT_COMMITTER_NAME=" + in.Author.Name, "GIT_COMMITTER_EMAIL=" + in.Author.Email,
	}
	sha, err := s.run(s.dir(repo), environ, in.Message, args...)
	if err != nil {
		s.Fail(w, r, http.StatusUnprocessableEntity, "Parent SHA does not exist or is not a commit object")
		return
	}
	s.answer(w, r, http.StatusCreated, object{"sha": strings.TrimSpace(string(sha))})
}

func (s handlers) createRef(w http.ResponseWriter, r *http.Request) {
	repo := s.writable(w, r)
	if repo == nil {
		return
	}
	var in struct{ Ref, SHA string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		s.Fail(w, r, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	none := strings.Repeat("0", 40)
	switch _, err := s.Git(s.dir(repo), "cat-file", "-e", in.SHA+"^{commit}"); {
	case err != nil:
		s.Fail(w, r, http.StatusUnprocessableEntity, "Object does not exist")
	case repo.Rule != "":
		s.Fail(w, r, http.StatusUnprocessableEntity, repo.Rule)
	default:
		if _, err := s.Git(s.dir(repo), "update-ref", in.Ref, in.SHA, none); err != nil {
			s.Fail(w, r, http.StatusUnprocessableEntity, "Reference already exists")
			return
		}
		s.answer(w, r, http.StatusCreated, object{"ref": in.Ref, "object": object{"sha": in.SHA, "type": "commit"}})
	}
}

func (s handlers) updateRef(w http.ResponseWriter, r *http.Request) {
	repo := s.writable(w, r)
	if repo == nil {
		return
	}
	var in struct {
		SHA   string
		Force bool
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		s.Fail(w, r, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	name := r.PathValue("branch")
	old := s.head(repo.Owner+"/"+repo.Name, name)
	_, notForward := s.Git(s.dir(repo), "merge-base", "--is-ancestor", old, in.SHA)
	switch {
	case old == "":
		s.Fail(w, r, http.StatusUnprocessableEntity, "Reference does not exist")
	case repo.Rule != "":
		s.Fail(w, r, http.StatusUnprocessableEntity, repo.Rule)
	case notForward != nil && !in.Force:
		s.Fail(w, r, http.StatusUnprocessableEntity, "Update is not a fast forward")
	default:
		if _, err := s.Git(s.dir(repo), "update-ref", "refs/heads/"+name, in.SHA, old); err != nil {
			s.broken(w, r, err)
			return
		}
		s.answer(w, r, http.StatusOK, object{"ref": "refs/heads/" + name, "object": object{"sha": in.SHA, "type": "commit"}})
	}
}
