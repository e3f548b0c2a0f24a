package upstream

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// tree is one directory tree of the mirror, with the routes to it.
type tree struct {
	p      *probe
	module string // "" is almalinux
	routes []*route
	// service is the route that AlmaLinux's service uses, or nil.
	service *route
	primary *route // the route of checks that run once; nil if no route works
}

// routes returns the listed trees with all routes to them: each protocol, over each address.
func (p *probe) routes(ctx context.Context) []*tree {
	var trees []*tree
	for _, t := range []struct {
		module  string
		address mirrorsd.Address
	}{{"", p.m.File.Address}, {"kitten", p.m.File.AddressOptional.Kitten}} {
		tree := &tree{p: p, module: t.module}
		if len(tree.repodata()) == 0 {
			continue // the service does not know the module
		}
		for _, u := range []struct{ protocol, url string }{{"http", t.address.HTTP}, {"https", t.address.HTTPS}} {
			if u.url != "" {
				tree.add(ctx, u.protocol, u.url)
			}
		}
		if len(tree.routes) > 0 {
			trees = append(trees, tree)
		}
	}
	return trees
}

// add adds the routes of one URL.
func (t *tree) add(ctx context.Context, protocol, raw string) {
	base, err := url.Parse(strings.TrimSuffix(raw, "/") + "/")
	if err != nil || base.Scheme != protocol || base.Host == "" {
		t.p.c.add(rawFinding{Error, CheckBase, "invalid " + protocol + " URL: " + clean(raw), "", ""}, "", true)
		return
	}
	listed := t.module != "" || !slices.Contains(t.p.m.Guessed, protocol)
	for _, f := range []family{ipv4, ipv6} {
		addrs, err := t.p.v.lookup(ctx, f, base.Hostname())
		if base.Hostname() != t.p.m.File.Name && f == ipv4 && len(addrs) == 0 {
			if v6, _ := t.p.v.lookup(ctx, ipv6, base.Hostname()); len(v6) == 0 || err != nil {
				message := "the name " + clean(base.Hostname()) + " of the " + protocol + " URL has no addresses"
				severity := Error
				if t.p.m.File.Private {
					severity = Warning
				}
				t.p.c.add(rawFinding{severity, CheckDNS, message, "", ""}, "", true)
			}
		}
		for i, a := range t.p.permitted(ctx, base.Hostname(), addrs) {
			name := protocol + "/" + strings.ToLower(f.String())
			if i > 0 {
				name += "/" + a.String()
			}
			r := &route{
				client: t.p.v.newClient(base.Hostname(), a, f, t.p), tree: t, base: base,
				protocol: protocol, name: name, listed: listed, first: i == 0,
			}
			t.routes = append(t.routes, r)
		}
	}
}

// look runs all checks of a tree.
func (t *tree) look(ctx context.Context) {
	t.p.each(ctx, len(t.routes), func(ctx context.Context, i int) { t.routes[i].start(ctx) })
	alive := slices.DeleteFunc(slices.Clone(t.routes), func(r *route) bool { return !r.alive })
	if len(alive) == 0 {
		return
	}
	t.primary = alive[0]
	if i := slices.IndexFunc(alive, func(r *route) bool { return r.listed }); i >= 0 {
		t.primary = alive[i]
	}
	t.p.mu.Lock()
	for _, r := range alive {
		if !slices.Contains(t.p.report.Routes, r.name) {
			t.p.report.Routes = append(t.p.report.Routes, r.name)
		}
	}
	t.p.mu.Unlock()
	t.p.each(ctx, len(alive), func(ctx context.Context, i int) {
		if alive[i].first || alive[i] == t.primary {
			alive[i].files(ctx)
		}
	})
	t.compare(ctx, alive)
	t.listing(ctx)
	t.temporary(ctx)
	t.metadata(ctx)
	if t.module == "" {
		t.stale(ctx)
	}
}

// repodata returns the paths of the repomd.xml files that the tree must have.
func (t *tree) repodata() []string {
	if t.module == "" {
		return t.p.facts.Repodata()
	}
	return t.p.facts.ModuleRepodata(t.module)
}
