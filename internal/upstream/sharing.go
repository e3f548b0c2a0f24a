package upstream

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// give keeps an answer of the service's look for the route.
func (r *route) give(path string, answer *response) {
	if r.given == nil {
		r.given = map[string]*response{}
	}
	r.given[path] = answer
}

// take returns the answer of the service's look to a request, once: what is requested again is
// meant to be.
func (r *route) take(path string, limit int64) *response {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer := r.given[path]
	delete(r.given, path)
	if answer != nil && int64(len(answer.body)) > limit {
		answer.body, answer.cut = answer.body[:limit], true
	}
	return answer
}

// urlOf is the URL of a file of the tree.
func (r *route) urlOf(path string) *url.URL {
	if path == "" {
		return r.base // JoinPath would remove the slash
	}
	return r.base.JoinPath(path)
}

// needed reports whether the route got a file, and in how many attempts.
func (r *route) needed(path string) (attempts int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	attempts, ok = r.tries[path]
	return attempts, ok
}

// request gets a file, of the answers to the service's look or from the mirror. If the mirror
// refuses the user agent of this program and not the service's, it is requested with that from then
// on.
func (r *route) request(ctx context.Context, path string, limit int64, head bool) (*response, error) {
	if answer := r.take(path, limit); answer != nil {
		return answer, nil
	}
	answer, err := r.get(ctx, r.urlOf(path), limit, head)
	if err != nil || !refusesAgent(answer.status) || r.asService.Load() || !r.tried.CompareAndSwap(false, true) {
		return answer, err
	}
	other, otherErr := r.getAs(ctx, ServiceAgent, 1, r.urlOf(path), limit, head)
	if statusOf(other, otherErr) != "" {
		return answer, err
	}
	if r.asService.CompareAndSwap(false, true) {
		r.tree.p.refusesOurs(r, answer.status)
	}
	return other, nil
}

// refusesAgent reports whether a status can be that of a filter for user agents.
func refusesAgent(status int) bool {
	switch status {
	case http.StatusNotFound, http.StatusGone, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// refusesOurs records that the mirror refuses the user agent of this program.
func (p *probe) refusesOurs(r *route, status int) {
	const advice = "some clients may be refused: check the server's filter for user agents"
	message := fmt.Sprintf("it answers %s to the user agent %s, and not to that of AlmaLinux's service, %s, with "+
		"which it was checked", statusText(status), clean(p.v.o.UserAgent), ServiceAgent)
	p.c.add(rawFinding{Warning, CheckAgent, message, advice, ""}, r.name, false)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report.Service.Blocked = p.v.o.UserAgent
}

// countAttempts keeps how many attempts a file needed, and records if it was more than one.
func (r *route) countAttempts(path string, answer *response) {
	if answer == nil || !answer.ok() {
		return
	}
	r.mu.Lock()
	if r.tries == nil {
		r.tries = map[string]int{}
	}
	r.tries[path] = answer.attempts
	r.mu.Unlock()
	if answer.attempts < 2 {
		return
	}
	fail := r.tree.p.service.first(func(f refused) bool { return f.tree == r.tree && f.path == path })
	if fail != nil && r == r.tree.service {
		return // explain reports it
	}
	r.tree.p.c.add(rawFinding{Warning, CheckAttempts, attemptsText(answer),
		"AlmaLinux's service tries again only after lost connections and time-outs", path}, r.name, false)
}

func attemptsText(answer *response) string {
	text := fmt.Sprintf("it needed %d attempts", answer.attempts)
	if answer.first != "" {
		text += "; the first failed: " + answer.first
	}
	return text
}
