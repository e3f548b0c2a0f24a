package upstream

import (
	"context"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// href finds the links of a page. Directory listings are simple pages with all servers.
var href = regexp.MustCompile(`(?i)\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))`)

// links returns the names in a directory listing: those of links to direct children of the
// directory.
func links(page []byte, dir *url.URL) []string {
	var names []string
	for _, m := range href.FindAllSubmatch(page, 10_000) {
		ref, err := url.Parse(html.UnescapeString(string(slices.Concat(m[1:]...))))
		if err != nil {
			continue
		}
		to := dir.ResolveReference(ref)
		if parent, name := path.Split(strings.TrimSuffix(to.Path, "/")); to.Host == dir.Host && parent == dir.Path && name != "" {
			names = append(names, name)
		}
	}
	return names
}

// listing checks whether the tree's directory listing shows a release.
func (t *tree) listing(ctx context.Context) {
	r := t.primary
	if r.index == nil || ctx.Err() != nil {
		return
	}
	releases := t.p.facts.releases()
	if t.module != "" {
		releases = nil
		for _, version := range t.p.facts.Modules[t.module] {
			releases = append(releases, version+"-"+t.module)
		}
	}
	names := links(r.index.body, r.index.final)
	if !slices.ContainsFunc(releases, func(v string) bool { return slices.Contains(names, v) }) {
		r.add(Warning, CheckListing, "", "turn listings on: autoindex on; in nginx, Options +Indexes in Apache",
			"the directory is not listed: the page has no link to a release")
	}
}

// temporary looks for the directories in which rsync --delay-updates keeps unfinished files. A tree
// has them if a sync did not exclude them, or was interrupted.
func (t *tree) temporary(ctx context.Context) {
	const name, other = ".~tmp~/", ".~mirrorform~/"
	r := t.primary
	dirs := []string{""}
	for _, p := range t.repodata() {
		if o, ok := r.file(p); ok && o.fail == "" {
			dirs = append(dirs, path.Dir(p)+"/")
		}
	}
	t.p.expect(1)
	// The status of a name that does not exist, for comparison: some servers refuse all names that
	// start with a dot.
	none, err := r.fetch(ctx, other, 0, true)
	if err != nil || none.ok() {
		return
	}
	t.p.expect(len(dirs))
	var g errgroup.Group
	g.SetLimit(t.p.v.o.PerHost)
	for _, dir := range dirs {
		g.Go(func() error {
			answer, err := r.fetch(ctx, dir+name, 0, true)
			if err != nil || answer.status == none.status {
				return nil
			}
			if answer.ok() || answer.status == http.StatusForbidden || answer.status == http.StatusUnauthorized {
				r.add(Warning, CheckTemporary, dir+name, "remove it when no sync runs, and sync with --exclude=.~tmp~",
					"a directory of unfinished files is there")
			}
			return nil
		})
	}
	_ = g.Wait()
}

// cdnHeaders are headers that only content delivery networks send, with the start of their value in
// lower case.
var cdnHeaders = []struct{ header, value, network string }{
	{"Cf-Ray", "", "Cloudflare"},
	{"Server", "cloudflare", "Cloudflare"},
	{"X-Amz-Cf-Id", "", "Amazon CloudFront"},
	{"Server", "akamaighost", "Akamai"},
	{"X-Akamai-Request-Id", "", "Akamai"},
	{"X-Served-By", "cache-", "Fastly"},
	{"Fastly-Debug-Digest", "", "Fastly"},
	{"X-Azure-Ref", "", "Azure Front Door"},
	{"Server", "bunnycdn", "bunny.net"},
	{"Cdn-Pullzone", "", "bunny.net"},
	{"X-77-Pop", "", "CDN77"},
	{"Server", "cdn77", "CDN77"},
	{"X-Sucuri-Id", "", "Sucuri"},
	{"X-Cdn", "imperva", "Imperva"},
	{"X-Iinfo", "", "Imperva"},
	{"X-Id-Fe", "", "Gcore"},
	{"Server", "keycdn", "KeyCDN"},
	{"Server", "qrator", "Qrator"},
	{"Server", "ddos-guard", "DDoS-Guard"},
}

// cdnNames are the domains of CDNs to which mirror names are aliases (CNAME).
var cdnNames = map[string]string{
	"cloudflare.net": "Cloudflare", "cloudfront.net": "Amazon CloudFront", "akamaiedge.net": "Akamai", "edgekey.net": "Akamai", "edgesuite.net": "Akamai",
	"akamai.net": "Akamai", "fastly.net": "Fastly", "fastlylb.net": "Fastly", "azureedge.net": "Azure", "azurefd.net": "Azure Front Door",
	"b-cdn.net": "bunny.net", "cdn77.org": "CDN77", "gcdn.co": "Gcore", "kxcdn.com": "KeyCDN",
}

// cdn looks for signs of a content delivery network.
func (r *route) cdn(ctx context.Context, answer *response) {
	const advice = "AlmaLinux does not accept mirrors behind a CDN: point the name to the server itself"
	for _, h := range cdnHeaders {
		if value := answer.header.Get(h.header); value != "" && strings.HasPrefix(strings.ToLower(value), h.value) {
			r.add(Error, CheckCDN, "", advice, "the mirror is behind %s: the answer has its header %s", h.network, h.header)
			return
		}
	}
	_, given := r.v.o.Resolve[strings.ToLower(r.host)]
	if _, err := netip.ParseAddr(r.host); err != nil && !given {
		ctx, cancel := context.WithTimeout(ctx, r.v.o.Timeout)
		defer cancel()
		if alias, err := net.DefaultResolver.LookupCNAME(ctx, r.host); err == nil {
			for domain, network := range cdnNames {
				if strings.HasSuffix(strings.TrimSuffix(strings.ToLower(alias), "."), "."+domain) {
					r.add(Error, CheckCDN, "", advice, "the mirror is behind %s: the name is an alias of %s", network, clean(alias))
					return
				}
			}
		}
	}
	for _, h := range []string{"Via", "X-Cache"} {
		if value := answer.header.Get(h); value != "" {
			r.add(Note, CheckCDN, "", "", "the mirror is behind a cache, which may serve outdated files: %s",
				clean(fmt.Sprintf("%s: %s", h, value)))
			return
		}
	}
}
