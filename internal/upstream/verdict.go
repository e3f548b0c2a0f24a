package upstream

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// hostOf returns the host name of a URL of the tree.
func (t *tree) hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// routeOf returns the route over which the service got an answer by a protocol. Without an answer
// it is the one that the service prefers.
func (t *tree) routeOf(protocol string, answer *response) *route {
	var best *route
	for _, r := range t.routes {
		switch {
		case r.protocol != protocol || !r.listed:
		case answer != nil && r.addr == answer.addr:
			return r
		case best == nil || best.family == ipv4 && r.family == ipv6:
			best = r
		}
	}
	return best
}

// judgment completes the report with what the service stores.
func (p *probe) judgment(main *tree, missing string, located bool) {
	r, s := p.report, p.service
	v := &r.Service
	v.UserAgent = ServiceAgent
	if main != nil && main.service != nil {
		v.Route = main.service.name
	}
	fail := s.verdict()
	switch {
	case r.Private:
		return
	case missing != "":
		r.Status, v.Kind, v.Reason = "Unknown IP (reason: "+missing+")", KindDNS, missing
		return
	case s.client == nil:
		r.Status, v.Kind = "no URL of http or https can be reached", KindConnection
		return
	case fail == nil:
		r.FullISOSet = s.complete(main, p.facts.ISOs())
	default:
		v.Kind, v.Reason, v.Path = fail.kind, fail.reason, fail.path
		if fail.path == "TIME" {
			r.Status, v.Kind = "expired", KindExpired
			r.FullISOSet = s.complete(main, p.facts.ISOs())
			break
		}
		v.Kept = int(keeps.Seconds())
		r.Status = fail.reason
		if fail.path != "" {
			r.Status += " (" + fail.path + ")"
		}
	}
	if (r.Status == "ok" || r.Status == "expired") && !located {
		r.Status, v.Kind, v.Path = "Unknown geodata for any IP of the mirror", KindGeodata, ""
		v.Reason, v.Kept = "its addresses are not in the GeoIP database", 0
	}
}

// explain finds out why the service does not accept what a patient client got: after more attempts,
// with another user agent, or without the service's limits.
func (p *probe) explain(ctx context.Context) {
	told := map[*tree]bool{}
	for _, f := range p.service.fails {
		if ctx.Err() != nil || told[f.tree] || f.head && f.tree.service == nil {
			continue
		}
		first := p.service.first(func(g refused) bool { return g.tree == f.tree && g.head == f.head })
		if first == nil || first.path != f.path || f.tree.service == nil {
			continue
		}
		told[f.tree] = !f.head
		p.explainOne(ctx, f)
	}
}

// explainOne explains one refusal, unless the patient look was refused too.
func (p *probe) explainOne(ctx context.Context, f refused) {
	r := f.tree.service
	attempts, ok := r.needed(f.path)
	if !ok || f.kind == KindExpired {
		return
	}
	main := f.tree.module == "" && !f.head
	blocked := ""
	if f.kind == KindDisconnected || f.kind == KindStatus && f.status < 500 && f.status != http.StatusTooManyRequests {
		answer, err := r.getAs(ctx, ServiceAgent, 1, r.urlOf(f.path), maxRepomd, f.head)
		if statusOf(answer, err) != "" {
			blocked = ServiceAgent
		}
	}
	if main {
		p.report.Service.Attempts, p.report.Service.Blocked = attempts+serviceTries(f.refusal), blocked
	}
	severity, check := Error, CheckBase
	switch {
	case f.head:
		severity, check = Warning, CheckISO
	case f.tree.module != "":
		check = CheckKitten
	case f.path == "TIME":
		check = CheckTime
	case f.path != "":
		check = CheckRepodata
	}
	message, advice := f.why(attempts, blocked)
	p.c.add(rawFinding{severity, f.check(check), message, advice, f.path}, r.name, true)
}

// serviceTries is how many attempts the service made.
func serviceTries(f *refusal) int {
	if f.again {
		return serviceAttempts
	}
	return 1
}

// why describes a refusal of what a patient client got.
func (f refused) why(attempts int, blocked string) (message, advice string) {
	needed := attempts + serviceTries(f.refusal)
	switch {
	case blocked != "":
		return fmt.Sprintf("the user agent %s, which AlmaLinux's service sends, is refused: %s", blocked, f.reason),
			"permit it: filters for curl or old versions of it often refuse it"
	case f.status == http.StatusTooManyRequests || f.status == http.StatusServiceUnavailable:
		return fmt.Sprintf("AlmaLinux's service, which makes %d requests at once, gets %s, and does not try again: "+
				"it needed %d attempts", serviceAtOnce, f.reason, needed),
			"permit each client that many connections and requests at once (limit_conn and limit_req in nginx)"
	case f.kind == KindStatus:
		return fmt.Sprintf("AlmaLinux's service gets %s, and does not try again: it needed %d attempts", f.reason, needed),
			"see the server's log for the requests of " + ServiceAgent
	case f.kind == KindTimeout && f.again:
		return fmt.Sprintf("AlmaLinux's service gets %s in %d attempts", f.reason, serviceAttempts), ""
	case f.kind == KindTimeout:
		return fmt.Sprintf("AlmaLinux's service gets %s, the body included, and does not try again", f.reason), ""
	case f.kind == KindIncomplete, f.kind == KindDisconnected:
		return fmt.Sprintf("AlmaLinux's service finds: %s; it needed %d attempts", f.reason, needed), ""
	case f.kind == KindCharset:
		return "AlmaLinux's service cannot decode it: " + f.reason,
			"remove such names, or send the charset (charset in nginx)"
	}
	return "AlmaLinux's service does not accept it: " + strings.TrimSpace(f.reason), ""
}
