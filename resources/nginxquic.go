package resources

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
)

// HTTP/3: with reuseport, each worker of nginx has a socket of its own for QUIC. Without it they
// share one, and a packet may reach a worker that does not know its connection, which then ends.
// nginx takes the parameter once for each address and port, so one of several sites has it
// (https://nginx.org/en/docs/http/ngx_http_core_module.html#listen).

// settleQUIC decides for which addresses another site has reuseport: that which has it on the host,
// else the first in the plan.
func (n nginx) settleQUIC(t engine.Target, s *Site, got engine.Answers) {
	s.shared = nil
	if !isTrue(s.HTTP3) {
		return
	}
	holders, known := quicHolders(got)
	if !known && n.asFound(t, s, got) {
		return // nginx cannot read its configuration: what the file has stays
	}
	own := nginxSitePath(s)
	for _, l := range s.TLSListen {
		if slices.ContainsFunc(t.Settled, func(o any) bool { return opensQUIC(o, l) }) {
			s.shared = append(s.shared, l)
			continue
		}
		holder := holders[listenKey(l)]
		if holder == "" || holder == own {
			continue
		}
		switch later := siteOf(t.Unsettled, holder); {
		case later != nil && opensQUIC(later, l):
			s.shared = append(s.shared, l)
		case later != nil:
			s.taken = append(s.taken, refusal("http3", fmt.Sprintf("%s: the site %s opens %s for HTTP/3 of all sites, and no longer offers it",
				t.Name, later.Name, l), "remove http3 from this site, too; apply, and add it again"))
		case siteOf(t.Removed, holder) == nil: // what is removed is so before this site is written
			s.shared = append(s.shared, l)
		}
	}
}

// asFound sets shared as the file of the site has it, and reports whether there is a file.
func (nginx) asFound(t engine.Target, s *Site, got engine.Answers) bool {
	f, err := got.File(siteType{"nginx_site", nginx{}}.fileQuery(t, s))
	if err != nil || len(f.Content) == 0 {
		return false
	}
	open := quicOpened(string(f.Content))
	for _, l := range s.TLSListen {
		if !slices.Contains(open, listenKey(l)) {
			s.shared = append(s.shared, l)
		}
	}
	return true
}

func nginxSitePath(s *Site) string {
	return nginxFacts.Sites + "/" + cmp.Or(s.File, s.Name) + nginxFacts.Suffix
}

// opensQUIC reports whether a wanted site has reuseport for an address.
func opensQUIC(site any, listen string) bool {
	s, ok := site.(*Site)
	has := func(in []string) bool {
		return slices.ContainsFunc(in, func(l string) bool { return listenKey(l) == listenKey(listen) })
	}
	return ok && isTrue(s.HTTP3) && has(s.TLSListen) && !has(s.shared)
}

// siteOf returns the site with a file.
func siteOf(sites []any, file string) *Site {
	for _, o := range sites {
		if s, ok := o.(*Site); ok && nginxSitePath(s) == file {
			return s
		}
	}
	return nil
}

// quicHolders returns the file with reuseport for each address, or false if nginx cannot read its
// configuration.
func quicHolders(got engine.Answers) (files map[string]string, known bool) {
	config, err := got.Run(nginxConfigQuery)
	if err != nil || config.Exit != 0 {
		return nil, false
	}
	files = map[string]string{}
	for name, text := range configFiles(config.Stdout) {
		for _, key := range quicOpened(text) {
			files[key] = name
		}
	}
	return files, true
}

// quicOpened returns the addresses for which a file has reuseport.
func quicOpened(text string) (keys []string) {
	for _, server := range nginxServers(text) {
		for directive, arguments := range server.directives {
			if directive == "listen" && slices.Contains(arguments, "quic") && slices.Contains(arguments, "reuseport") {
				keys = append(keys, listenKey(arguments[0]))
			}
		}
	}
	return keys
}

// listenKey is equal for all ways to write one address.
func listenKey(listen string) string {
	address, port, err := parseListen(listen)
	if err != nil {
		return listen
	}
	if address == "0.0.0.0" {
		address = "*"
	}
	return address + ":" + port
}
