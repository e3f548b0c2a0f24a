//go:build unix

package upstream

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// answer is what a mirror does with a request, as data: a server does it, and the model of the
// service foresees what the service makes of it.
type answer struct {
	status  int
	header  map[string]string
	body    string // as sent
	charset string // why the body cannot be decoded; "" if it can
	how     string // "": answers. close, reset, stall: no answer. cut, drip: half of the body. garbage: no HTTP
}

// world is a mirror's behaviour: the answer to the nth request for a path.
type world struct {
	f        *fake
	faults   []fault
	mu       sync.Mutex
	requests map[string]int
}

// fault changes the answers to requests.
type fault struct {
	path   string // of the URL
	prefix bool   // all paths that begin with it
	family string // "" is both
	agent  string // a part of the user agent
	from   int    // the first request that it concerns
	times  int    // how many; 0 is all
	answer answer
}

// reset forgets the requests.
func (w *world) reset() { w.requests = map[string]int{} }

// next returns the answer to the next request of a path.
func (w *world) next(family, agent, path string) answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.requests[family+path]
	w.requests[family+path]++
	for _, f := range w.faults {
		meant := f.path == path || f.prefix && strings.HasPrefix(path, f.path)
		if !meant || f.family != "" && f.family != family {
			continue
		}
		if strings.Contains(agent, f.agent) && n >= f.from && (f.times == 0 || n < f.from+f.times) {
			return f.answer
		}
	}
	if body, ok := w.f.files[path]; ok {
		return answer{status: 200, body: body}
	}
	if strings.HasSuffix(path, "/") && slices.ContainsFunc(paths(w.f.files), func(p string) bool { return strings.HasPrefix(p, path) }) {
		return answer{status: 200, body: "a listing"}
	}
	return answer{status: 404}
}

func paths(files map[string]string) []string {
	var list []string
	for p := range files {
		list = append(list, p)
	}
	return list
}

// stored is what the service stores of a mirror.
type stored struct {
	kind, path string
	status     int
	isos       bool
	kitten     bool
}

func (s stored) String() string {
	return fmt.Sprintf("%s %d %q, all ISOs %v, Kitten %v", s.kind, s.status, s.path, s.isos, s.kitten)
}

// model is AlmaLinux's service in small: what it requests, in which order, and what it makes of the
// answers, by the facts of its code (AlmaLinux/mirrors, branch mirrors_service, 0850f9a4) and of
// the libraries that it uses (aiohttp 3.13, aiohttp-retry 2.9.1). It has no network.
type model struct {
	w      *world
	family string
}

// run checks a mirror.
func (m *model) run() stored {
	s := m.w.f.service
	if a, kind := m.get("/almalinux/", false); kind != "" {
		return stored{kind: kind, status: a.status}
	}
	out := stored{}
	if !m.fresh("/almalinux/TIME") {
		out.kind, out.path = KindExpired, "TIME"
	} else {
		for _, p := range s.Repodata() {
			if a, kind := m.get("/almalinux/"+p, false); kind != "" {
				return stored{kind: kind, path: p, status: a.status}
			}
		}
		out.kitten = m.fresh("/almalinux-kitten/TIME")
		for _, p := range s.ModuleRepodata("kitten") {
			if out.kitten {
				_, kind := m.get("/almalinux-kitten/"+p, false)
				out.kitten = kind == ""
			}
		}
	}
	out.isos = true
	for _, p := range s.ISOs() {
		if out.isos {
			_, kind := m.get("/almalinux/"+p, true)
			out.isos = kind == ""
		}
	}
	return out
}

// fresh reports whether TIME is a number, and not too old.
func (m *model) fresh(path string) bool {
	a, kind := m.get(path, false)
	if kind != "" {
		return false
	}
	text := strings.ReplaceAll(strings.TrimSpace(a.body), "_", "")
	if slices.Contains([]string{"nan", "inf"}, text) {
		return true
	}
	seconds, err := strconv.ParseFloat(text, 64)
	return err == nil && seconds >= float64(now.Add(-m.w.f.service.AllowedOutdate).Unix())
}

// get makes a request: two attempts after a clean close and a time-out, each of which its HTTP
// client repeats once after a lost connection.
func (m *model) get(path string, head bool) (answer, string) {
	for attempt := 1; ; attempt++ {
		a, kind := m.attempt(path, head)
		if again := kind == "close" || kind == "stall"; again && attempt < 2 {
			continue
		}
		switch kind {
		case "close", "reset":
			kind = KindDisconnected
		case "stall":
			kind = KindTimeout
		}
		return a, kind
	}
}

// attempt follows up to nine redirects.
func (m *model) attempt(path string, head bool) (answer, string) {
	repeat := true
	for redirects := 0; ; {
		a := m.w.next(m.family, ServiceAgent, path)
		switch a.how {
		case "close", "reset":
			if repeat {
				repeat = false
				continue
			}
			return a, a.how
		case "stall":
			return a, a.how
		case "garbage":
			return a, KindHeader
		}
		for _, value := range a.header {
			if len(value) > 8190 {
				return a, KindHeader
			}
		}
		if location := a.header["Location"]; slices.Contains([]int{301, 302, 303, 307, 308}, a.status) {
			if redirects++; redirects >= 10 {
				return a, KindRedirect
			}
			if location != "" {
				if !strings.HasPrefix(location, "/") {
					return a, KindRedirect
				}
				path = location
				continue
			}
		}
		if a.status >= 400 {
			return a, KindStatus
		}
		if head {
			return a, ""
		}
		return a, m.body(a)
	}
}

// body is what becomes of a body.
func (m *model) body(a answer) string {
	switch {
	case a.how == "drip":
		return KindTimeout
	case a.how == "cut", a.header["Content-Encoding"] != "":
		return KindIncomplete
	case a.charset != "":
		return KindCharset
	}
	return ""
}

// ServeHTTP does what the world says.
func (w *world) serve(e *expirer, family string) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		a := w.next(family, r.UserAgent(), r.URL.Path)
		if a.status == 200 && a.body == "a listing" {
			w.f.ServeHTTP(out, r)
			return
		}
		for k, v := range a.header {
			out.Header().Set(k, v)
		}
		if _, ok := a.header["Content-Type"]; !ok {
			out.Header().Set("Content-Type", "application/octet-stream")
		}
		switch a.how {
		case "close", "reset", "garbage":
			hangUp(out, a.how)
		case "stall":
			e.stall(r)
		case "cut", "drip":
			out.Header().Set("Content-Length", strconv.Itoa(2*len(a.body)))
			out.WriteHeader(a.status)
			_, _ = out.Write([]byte(a.body))
			if a.how == "drip" && r.Method != http.MethodHead {
				_ = http.NewResponseController(out).Flush()
				e.stall(r)
			}
		default:
			out.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
			out.WriteHeader(a.status)
			_, _ = out.Write([]byte(a.body))
		}
	})
}

// hangUp ends a connection without an answer, or after one that is not HTTP.
func hangUp(w http.ResponseWriter, how string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok && how == "reset" {
		_ = tcp.SetLinger(0)
	}
	if how == "garbage" {
		_, _ = conn.Write([]byte("220 mail.example.org ESMTP\r\n\r\n"))
	}
	_ = conn.Close()
}
