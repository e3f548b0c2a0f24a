package adopt

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/internal/mirror"
)

// blockLocation and blockName are what a mirror block takes for a location and a name.
var (
	blockLocation = regexp.MustCompile(`^/([A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*$`)
	blockName     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+$`)
)

// webBlock returns the arguments that differ from the block's default site. A site that the
// operator made keeps serving the tree, so the block has no server of its own.
func (f *found) webBlock(h Input, tree string) *mirror.Web {
	serving := f.serving([]string{tree})
	if len(serving) == 0 {
		return &mirror.Web{Server: "none"}
	}
	w := &mirror.Web{}
	s := serving[0]
	if slices.ContainsFunc(serving, func(s *site) bool { return s.tls || s.server != "nginx" || !s.own() }) {
		w.Server = "none"
	}
	var names []string
	for _, s := range serving {
		for _, n := range s.names {
			if strings.Trim(n, "[]") != strings.Trim(h.Address, "[]") && !slices.Contains(names, n) &&
				engineName(n) && blockName.MatchString(n) {
				names = append(names, n)
			}
		}
	}
	if len(names) > 0 {
		w.ServerName = names[0]
		w.ServerAliases = append(w.ServerAliases, names[1:]...)
	}
	if location := s.serves(tree); location != "/almalinux/" && blockLocation.MatchString(location) {
		w.Location = location
	}
	if w.Server != "none" {
		listening(w, s.listens)
	}
	return w
}

// listening sets the port and the address family of a site.
func listening(w *mirror.Web, listens []string) {
	six := false
	for _, l := range listens {
		six = six || strings.HasPrefix(l, "[")
		port := l
		if _, p, err := net.SplitHostPort(l); err == nil {
			port = p
		}
		if n, err := strconv.Atoi(port); err == nil && n != 80 && w.Port == nil {
			w.Port = &n
		}
	}
	if !six {
		w.IPv6 = &six
	}
}

// engineName reports whether the block accepts a server name: patterns, variables and "_" are not
// allowed.
func engineName(s string) bool {
	return s != "" && s != "_" && !strings.ContainsAny(s, "*~$^/\\\"' {};")
}
