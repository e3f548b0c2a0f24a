package githubtest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

func (s handlers) forks(w http.ResponseWriter, r *http.Request) {
	login, ok := s.authenticated(w, r, false)
	if !ok {
		return
	}
	repo := s.repository(w, r)
	if repo == nil {
		return
	}
	s.mu.Lock()
	var list []object
	var names []string
	for full, f := range s.repos {
		if strings.EqualFold(f.Parent, repo.Owner+"/"+repo.Name) {
			names = append(names, full)
		}
	}
	slices.Sort(names)
	for _, full := range names {
		list = append(list, s.describe(s.repos[full], login))
	}
	s.mu.Unlock()
	page(s, w, r, list)
}

// createFork creates a fork, or answers with the existing one, in the background: the answer is
// 202.
func (s handlers) createFork(w http.ResponseWriter, r *http.Request) {
	login, ok := s.authenticated(w, r, true)
	if !ok {
		return
	}
	parent := s.repository(w, r)
	if parent == nil {
		return
	}
	var in struct{ Name string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		s.Fail(w, r, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	full := parent.Owner + "/" + parent.Name
	fork := Repository{Owner: login, Name: in.Name, Parent: full, Branch: parent.Branch, NotReady: s.forkDelay}
	if fork.Name == "" {
		fork.Name = parent.Name
	}
	s.mu.Lock()
	existing := s.repos[login+"/"+fork.Name]
	for _, other := range s.repos {
		if other.Owner == login && other.Parent == full {
			existing = other
		}
	}
	s.mu.Unlock()
	switch {
	case existing != nil && existing.Parent == full:
		s.answer(w, r, http.StatusAccepted, s.describeWhole(existing, login))
		return
	case existing != nil:
		s.Fail(w, r, http.StatusUnprocessableEntity, "Validation Failed",
			object{
				"resource": "Repository", "code": "custom", "field": "name",
				"message": "name already exists on this account",
			})
		return
	}
	if err := s.Add(fork, s.Dir(full)); err != nil {
		s.broken(w, r, err)
		return
	}
	s.answer(w, r, http.StatusAccepted, s.describeWhole(&fork, login))
}

// mergeUpstream syncs a branch of a fork with upstream's branch of the same name.
func (s handlers) mergeUpstream(w http.ResponseWriter, r *http.Request) {
	repo := s.writable(w, r)
	if repo == nil {
		return
	}
	var in struct{ Branch string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		s.Fail(w, r, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	s.mu.Lock()
	parent := s.repos[repo.Parent]
	s.mu.Unlock()
	if parent == nil {
		s.Fail(w, r, http.StatusUnprocessableEntity, "The branch could not be synced")
		return
	}
	dir, spec := s.Dir(repo.Owner+"/"+repo.Name), "refs/heads/"+parent.branch()+":refs/heads/"+in.Branch
	if _, err := s.Git(dir, "fetch", "-q", s.Dir(repo.Parent), spec); err != nil {
		s.Fail(w, r, http.StatusConflict, "There are merge conflicts")
		return
	}
	s.Set(repo.Owner+"/"+repo.Name, func(r *Repository) { r.Behind = false })
	s.answer(w, r, http.StatusOK, object{"merge_type": "fast-forward", "base_branch": "upstream:" + in.Branch})
}
