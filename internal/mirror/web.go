package mirror

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// webAddress returns the address of a host as browsers send it (RFC 3986, section 3.2.2), or "" if
// it is neither a host name nor an IP address.
func webAddress(address string) string {
	ip, err := netip.ParseAddr(strings.Trim(address, "[]"))
	switch {
	case err == nil && ip.Zone() != "":
		return ""
	case err == nil && ip.Is6() && !ip.Is4In6():
		return "[" + ip.String() + "]"
	case err == nil:
		return ip.Unmap().String()
	case isHostName(address):
		return strings.ToLower(address)
	}
	return ""
}

// site adds the web server, and the site that serves all trees.
func (x *expansion) site() {
	for i, alias := range x.web.ServerAliases {
		if alias == "" {
			x.errorf("web.server_aliases", "remove it", "alias %d is empty", i+1)
		}
	}
	if x.web.Server != "nginx" {
		return
	}
	names, address := x.serverNames(), webAddress(x.host.Address)
	if slices.ContainsFunc(names, func(name string) bool { return cmp.Or(webAddress(name), name) == address }) {
		address = ""
	}
	if len(names) == 0 && address == "" {
		x.errorf("web.server_name", "set web.server_name",
			"the site has no name: the address of the host, %q, is neither a host name nor an IP address", x.host.Address)
		return
	}
	yes := true
	x.add(engine.Part{Name: "nginx", Type: "package", State: &resources.Package{Name: "nginx"}}, nil)
	x.add(engine.Part{
		Name: "nginx_service", Type: "service", DependsOn: []string{"nginx"},
		State: &resources.Service{Name: "nginx", Enabled: &yes, Running: &yes},
	}, nil)
	listen := []string{strconv.Itoa(*x.web.Port)}
	if *x.web.IPv6 {
		listen = append(listen, "[::]:"+listen[0])
	}
	aliases := map[string]string{}
	depends := []string{"nginx"}
	served := "storage.path"
	for _, j := range x.jobs {
		if strings.Contains(j.dir, "$") { // nginx would read a variable: the error belongs to this path
			served = j.dirAttribute
		}
		aliases[j.location] = j.dir
		depends = append(depends, x.existing(j.part("directory"))...)
	}
	named := "web.server_name"
	if w := strings.TrimPrefix(x.web.ServerName, "*."); w == "" || isHostName(w) {
		named = "web.server_aliases" // server_name is valid, so an error is about an alias
	}
	advice := map[string]string{}
	if strings.Contains(x.web.ServerName, `["`) {
		advice["server_name"] = "names of hosts in a group have brackets and quotes: use target.key, which is only the key"
	}
	x.add(engine.Part{
		Name: "site", Type: "nginx_site", DependsOn: append(depends, x.existing("mount")...),
		State: &resources.NginxSite{Name: x.jobs[0].file, ServerName: names, Listen: listen, Aliases: aliases, Address: address, Default: x.web.Default},
	}, map[string]string{"server_name": named, "listen": "web.port", "aliases": served, "default": "web.default"})
	x.parts[len(x.parts)-1].advice = advice
}
