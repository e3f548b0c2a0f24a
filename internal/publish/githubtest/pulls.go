package githubtest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// describePull describes a pull request. The caller holds the lock.
func (s *Server) describePull(p *Pull) object {
	sha := p.HeadSHA
	if p.State == "open" {
		sha = s.head(p.HeadRepo, p.HeadRef)
	}
	owner, _, _ := strings.Cut(p.HeadRepo, "/")
	var from any // null after the fork was deleted
	if s.repos[p.HeadRepo] != nil {
		from = object{"full_name": p.HeadRepo}
	}
	o := object{
		"number": p.Number, "state": p.State, "title": p.Title, "body": p.Body, "merged_at": nil,
		"html_url": fmt.Sprintf("%s/%s/pull/%d", s.URL, p.Repo, p.Number), "maintainer_can_modify": p.MaintainerCanModify,
		"head": object{"ref": p.HeadRef, "sha": sha, "label": owner + ":" + p.HeadRef, "user": object{"login": owner},
			"repo": from},
		"base": object{"ref": p.Base, "repo": object{"full_name": p.Repo}},
	}
	if p.Merged {
		o["merged_at"], o["merge_commit_sha"] = "2026-01-02T03:04:05Z", p.MergeSHA
	}
	return o
}

// head returns the commit of a branch, or "".
func (s *Server) head(full, branch string) string {
	if sha, err := os.ReadFile(filepath.Join(s.Dir(full), "refs", "heads", branch)); err == nil {
		return strings.TrimSpace(string(sha)) // much faster than git
	}
	sha, err := s.Git(s.Dir(full), "rev-parse", "--verify", "-q", "refs/heads/"+branch)
	if err != nil {
		return ""
	}
	return sha
}

func (s handlers) listPulls(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.authenticated(w, r, false); !ok {
		return
	}
	repo := s.repository(w, r)
	if repo == nil {
		return
	}
	q := r.URL.Query()
	owner, ref, filtered := strings.Cut(q.Get("head"), ":")
	s.mu.Lock()
	var list []object
	for _, p := range slices.Backward(s.pulls) {
		state := q.Get("state")
		if p.Repo != repo.Owner+"/"+repo.Name || state != "all" && p.State != cmp.Or(state, "open") {
			continue
		}
		if filtered && (p.HeadRef != ref || !strings.HasPrefix(p.HeadRepo, owner+"/")) {
			continue
		}
		list = append(list, s.describePull(p))
	}
	s.mu.Unlock()
	page(s, w, r, list)
}

func (s handlers) createPull(w http.ResponseWriter, r *http.Request) {
	login, ok := s.authenticated(w, r, true)
	if !ok {
		return
	}
	repo := s.repository(w, r)
	if repo == nil {
		return
	}
	var in struct {
		Title, Body, Head, Base string
		MaintainerCanModify     bool   `json:"maintainer_can_modify"`
		HeadRepo                string `json:"head_repo"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		s.Fail(w, r, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	owner, ref, ok := strings.Cut(in.Head, ":")
	name := in.HeadRepo
	if name == "" {
		name = repo.Name
	}
	from := owner + "/" + name
	sha := s.head(from, ref)
	invalid := func(field string) {
		s.Fail(w, r, http.StatusUnprocessableEntity, "Validation Failed",
			object{"resource": "PullRequest", "field": field, "code": "invalid"})
	}
	full := repo.Owner + "/" + repo.Name
	switch base := s.head(full, in.Base); {
	case !ok || sha == "" || owner != login:
		invalid("head")
		return
	case base == "":
		invalid("base")
		return
	case base == sha:
		s.Fail(w, r, http.StatusUnprocessableEntity, "Validation Failed",
			object{"resource": "PullRequest", "code": "custom",
				"message": fmt.Sprintf("No commits between %s and %s", in.Base, in.Head)})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pulls {
		if p.State == "open" && p.HeadRepo == from && p.HeadRef == ref {
			s.Fail(w, r, http.StatusUnprocessableEntity, "Validation Failed",
				object{"resource": "PullRequest", "code": "custom", "message": "A pull request already exists for " +
					in.Head + "."})
			return
		}
	}
	p := &Pull{
		Number: len(s.pulls) + 1, Repo: full, HeadRepo: from, HeadRef: ref, Base: in.Base, State: "open", Title: in.Title, Body: in.Body,
		MaintainerCanModify: in.MaintainerCanModify,
	}
	s.pulls = append(s.pulls, p)
	s.answer(w, r, http.StatusCreated, s.describePull(p))
}

func (s handlers) editPull(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.authenticated(w, r, true); !ok {
		return
	}
	var in struct{ Title, Body *string }
	number, err := strconv.Atoi(r.PathValue("number"))
	if err := errors.Join(err, json.NewDecoder(r.Body).Decode(&in)); err != nil {
		s.Fail(w, r, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if number < 1 || number > len(s.pulls) {
		s.Fail(w, r, http.StatusNotFound, "Not Found")
		return
	}
	p := s.pulls[number-1]
	if in.Body != nil {
		p.Body = *in.Body
	}
	if in.Title != nil {
		p.Title = *in.Title
	}
	s.answer(w, r, http.StatusOK, s.describePull(p))
}
