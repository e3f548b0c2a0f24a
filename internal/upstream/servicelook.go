package upstream

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// keeps is how long the service keeps why it did not accept a mirror, before it checks the mirror
// again. It does not keep that a mirror is expired.
const keeps = time.Hour

// Verdict is what AlmaLinux's service finds, with its own HTTP client.
type Verdict struct {
	// UserAgent is what the service calls itself, and so does this look.
	UserAgent string `json:"user_agent"`
	// Route is the protocol, the first that the file lists, and the family: "https/ipv6". It is ""
	// if nothing was requested.
	Route string `json:"route"`
	// Kind is why the mirror is not accepted, one of the Kind constants; "" if it is.
	Kind string `json:"kind"`
	// Reason is why, in words; Path is the file, relative to the tree, "" for the tree's URL.
	Reason string `json:"reason,omitempty"`
	Path   string `json:"path,omitempty"`
	// Kept is for how many seconds the service stores the status without another check.
	Kept int `json:"kept_seconds"`
	// Attempts is how many attempts the file needed, with those of the service. It is 0 if no
	// attempt succeeded, or none was needed.
	Attempts int `json:"attempts"`
	// Blocked is the user agent that the mirror refuses, while it accepts another; or "".
	Blocked string `json:"blocked_user_agent"`
}

// serviceLook is the look at a mirror as AlmaLinux's service has it: the same requests with the
// same client. Answers that it accepts serve the other look too.
type serviceLook struct {
	p      *probe
	client *serviceClient

	mu      sync.Mutex
	fails   []refused
	answers map[*tree]map[string]*response // by path
}

// refused is a refusal with its file.
type refused struct {
	*refusal
	tree *tree
	path string // "" is the base URL
	head bool
}

// listed returns the URL that the service takes of a tree: that of the first protocol of the file
// that it requires.
func (p *probe) listed(t *tree) (protocol, raw string) {
	address, order := p.m.File.Address, []string{"http", "https"}
	https := p.m.HTTPSFirst
	if t.module != "" {
		address, https = p.m.File.AddressOptional.Kitten, p.m.KittenHTTPSFirst
	}
	if https {
		slices.Reverse(order)
	}
	for _, protocol := range order {
		raw := address.HTTP
		if protocol == "https" {
			raw = address.HTTPS
		}
		guessed := t.module == "" && slices.Contains(p.m.Guessed, protocol)
		if raw != "" && !guessed && slices.Contains(p.facts.RequiredProtocols, protocol) {
			return protocol, raw
		}
	}
	return "", ""
}

// look makes the service's requests of a mirror. It ends at the first that fails, as the service
// does; ISOs it requests in any case, except of a mirror that does not answer.
func (p *probe) look(ctx context.Context, trees []*tree) {
	s := &serviceLook{p: p, answers: map[*tree]map[string]*response{}}
	p.service = s
	if len(trees) == 0 || trees[0].module != "" {
		return
	}
	main := trees[0]
	protocol, raw := p.listed(main)
	if raw == "" {
		return
	}
	s.client = p.newServiceClient(main.hostOf(raw))
	defer s.client.http.CloseIdleConnections()
	ok := s.get(ctx, main, "", raw, maxPage, false)
	main.service = main.routeOf(protocol, s.answers[main][""])
	if !ok {
		return
	}
	p.follow(s.answers[main][""])
	base := strings.TrimSuffix(raw, "/") + "/"
	ok = s.fresh(ctx, main, base)
	atOnce := serviceISOs
	if ok {
		atOnce = serviceAtOnce // as many for repomd.xml files did no harm
		ok = s.files(ctx, main, base, main.repodata(), serviceAtOnce, false)
		for _, t := range trees[1:] {
			if ok {
				s.module(ctx, t)
			}
		}
		if !ok {
			return
		}
	}
	s.files(ctx, main, base, p.facts.ISOs(), atOnce, true)
}

// module makes the requests of an optional tree: TIME by the first protocol, the files by http if
// it is listed.
func (s *serviceLook) module(ctx context.Context, t *tree) {
	protocol, raw := s.p.listed(t)
	if raw == "" {
		return
	}
	kitten := s.p.m.File.AddressOptional.Kitten
	ok := s.fresh(ctx, t, strings.TrimSuffix(raw, "/")+"/")
	t.service = t.routeOf(protocol, s.answers[t]["TIME"])
	if !ok {
		return
	}
	if kitten.HTTP != "" && protocol == "https" {
		protocol, raw = "http", kitten.HTTP
	}
	s.files(ctx, t, strings.TrimSuffix(raw, "/")+"/", t.repodata(), serviceAtOnce, false)
	t.service = t.routeOf(protocol, s.answers[t][t.repodata()[0]])
}

// get requests one URL, and keeps the answer or why it is none.
func (s *serviceLook) get(ctx context.Context, t *tree, path, raw string, limit int64, head bool) bool {
	s.p.expect(1)
	defer s.p.step()
	answer, why := s.client.get(ctx, raw, limit, head)
	if ctx.Err() != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if why != nil {
		s.fails = append(s.fails, refused{why, t, path, head})
		return false
	}
	if s.answers[t] == nil {
		s.answers[t] = map[string]*response{}
	}
	s.answers[t][path] = answer
	return true
}

// fresh requests TIME, and reports whether the tree is recent enough.
func (s *serviceLook) fresh(ctx context.Context, t *tree, base string) bool {
	if !s.get(ctx, t, "TIME", base+"TIME", maxPage, false) {
		return false
	}
	answer := s.answers[t]["TIME"]
	why := s.p.expired(answer)
	if why == "" {
		return true
	}
	s.fails = append(s.fails, refused{&refusal{kind: KindExpired, reason: why}, t, "TIME", false})
	return false
}

// expired returns why the service considers a tree with this TIME expired, or "".
func (p *probe) expired(answer *response) string {
	text, err := decode(answer.header.Get("Content-Type"), answer.body)
	if err != nil {
		return err.Error()
	}
	seconds, ok := parseFloat(text)
	switch {
	case !ok:
		return "TIME is not a number"
	case seconds < float64(p.v.now().Add(-p.facts.AllowedOutdate).UnixNano())/1e9: // not so for nan
		return "TIME is too old"
	}
	return ""
}

// files requests files until one fails, so many at once. It waits for those before it, so that the
// first in the order of the files is known, where the service takes the first in time.
func (s *serviceLook) files(ctx context.Context, t *tree, base string, paths []string, atOnce int, head bool) bool {
	var failed atomic.Bool
	var g errgroup.Group
	g.SetLimit(min(atOnce, s.p.v.o.PerHost))
	for _, path := range paths {
		if failed.Load() {
			break
		}
		g.Go(func() error {
			if !s.get(ctx, t, path, base+path, maxRepomd, head) {
				failed.Store(true)
			}
			return nil
		})
	}
	_ = g.Wait()
	return !failed.Load()
}

// share lets the routes that the service uses have its answers.
func (s *serviceLook) share() {
	for t, answers := range s.answers {
		for path, answer := range answers {
			for _, r := range t.routes {
				if r.protocol == s.protocolOf(t, path) && r.addr == answer.addr && answer.status < http.StatusMultipleChoices &&
					(path != "" || len(answer.chain) == 0 && strings.HasSuffix(answer.final.Path, "/")) {
					r.give(path, answer)
				}
			}
		}
	}
}

// protocolOf is the protocol by which a file was requested.
func (s *serviceLook) protocolOf(t *tree, path string) string {
	protocol, _ := s.p.listed(t)
	if t.module != "" && path != "TIME" && s.p.m.File.AddressOptional.Kitten.HTTP != "" {
		return "http"
	}
	return protocol
}

// passed reports whether the service accepts a file.
func (s *serviceLook) passed(t *tree, path string) bool {
	_, ok := s.answers[t][path]
	return ok && s.first(func(f refused) bool { return f.tree == t && f.path == path }) == nil
}

// first returns the first refusal that is so, in the order of the files, or nil.
func (s *serviceLook) first(is func(refused) bool) *refused {
	var best *refused
	at := func(f *refused) int { return slices.Index(f.tree.repodata(), f.path) }
	for i, f := range s.fails {
		if is(f) && (best == nil || at(&s.fails[i]) < at(best)) {
			best = &s.fails[i]
		}
	}
	return best
}

// verdict returns why the service does not accept the mirror, or nil.
func (s *serviceLook) verdict() *refused {
	return s.first(func(f refused) bool { return f.tree.module == "" && !f.head })
}

// complete reports whether the service got all files of a tree.
func (s *serviceLook) complete(t *tree, paths []string) bool {
	for _, path := range paths {
		if _, ok := s.answers[t][path]; !ok {
			return false
		}
	}
	return len(paths) > 0
}
