package githubtest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object.
type object = map[string]any

// answer sends JSON with the same headers as GitHub.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-RateLimit-Limit", "5000")
	h.Set("X-RateLimit-Remaining", "4999")
	h.Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
	h.Set("X-RateLimit-Resource", "core")
	if r.Method == http.MethodGet && status == http.StatusOK {
		tag := fmt.Sprintf(`W/"%x"`, sha256.Sum256(body))
		h.Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// Fail answers with an error in GitHub's format.
func (s *Server) Fail(w http.ResponseWriter, r *http.Request, status int, message string, details ...map[string]any) {
	body := object{"message": message, "documentation_url": "https://docs.github.com/rest",
		"status": strconv.Itoa(status)}
	if len(details) > 0 {
		body["errors"] = details
	}
	s.answer(w, r, status, body)
}

// authenticated returns the account of a request. If it returns false, it has answered the request.
func (s *Server) authenticated(w http.ResponseWriter, r *http.Request, required bool) (string, bool) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case ok && token == Token:
		return Login, true
	case ok:
		s.Fail(w, r, http.StatusUnauthorized, "Bad credentials")
		return "", false
	case required:
		s.Fail(w, r, http.StatusUnauthorized, "Requires authentication")
		return "", false
	}
	return "", true
}

func (s handlers) user(w http.ResponseWriter, r *http.Request) {
	if login, ok := s.authenticated(w, r, true); ok {
		s.answer(w, r, http.StatusOK, object{"login": login, "id": 4711, "name": accountName})
	}
}

func (s handlers) repository(w http.ResponseWriter, r *http.Request) *Repository {
	s.mu.Lock()
	defer s.mu.Unlock()
	for full, repo := range s.repos {
		if strings.EqualFold(full, r.PathValue("owner")+"/"+r.PathValue("name")) {
			return repo
		}
	}
	s.Fail(w, r, http.StatusNotFound, "Not Found")
	return nil
}

func (s *Server) describe(r *Repository, login string) object {
	o := object{
		"name": r.Name, "full_name": r.Owner + "/" + r.Name, "owner": object{"login": r.Owner}, "default_branch": r.branch(),
		"fork": r.Parent != "", "archived": r.Archived, "html_url": s.URL + "/" + r.Owner + "/" + r.Name,
	}
	if login != "" {
		o["permissions"] = object{"admin": false, "push": r.Owner == login && !r.ReadOnly, "pull": true}
	}
	return o
}

func (s handlers) getRepository(w http.ResponseWriter, r *http.Request) {
	login, ok := s.authenticated(w, r, false)
	if !ok {
		return
	}
	if repo := s.repository(w, r); repo != nil {
		s.answer(w, r, http.StatusOK, s.describeWhole(repo, login))
	}
}

// describeWhole describes a repository with what lists do not include.
func (s *Server) describeWhole(r *Repository, login string) object {
	o := s.describe(r, login)
	if r.Parent != "" {
		o["parent"] = object{"full_name": r.Parent}
		o["source"] = object{"full_name": r.Parent}
	}
	return o
}

// page answers with one page of a list, and links to the other pages in the Link header (RFC 8288).
func page[T any](s handlers, w http.ResponseWriter, r *http.Request, list []T) {
	q := r.URL.Query()
	number := func(name string, fallback int) int {
		if n, err := strconv.Atoi(q.Get(name)); err == nil && n > 0 {
			return n
		}
		return fallback
	}
	size, at := min(number("per_page", 30), 100), number("page", 1)
	pages := max((len(list)+size-1)/size, 1)
	var links []string
	link := func(n int, rel string) {
		q.Set("page", strconv.Itoa(n))
		u := url.URL{Path: r.URL.Path, RawQuery: q.Encode()}
		links = append(links, fmt.Sprintf(`<%s%s>; rel="%s"`, s.URL, u.String(), rel))
	}
	if at < pages {
		link(at+1, "next")
		link(pages, "last")
	}
	if at > 1 {
		link(1, "first")
		link(at-1, "prev")
	}
	if len(links) > 0 {
		w.Header().Set("Link", strings.Join(links, ", "))
	}
	from := min((at-1)*size, len(list))
	s.answer(w, r, http.StatusOK, append([]T{}, list[from:min(from+size, len(list))]...))
}
