package mirror

import (
	"fmt"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// openings adds what the host's firewall has to let in for the site. A site that the operator keeps
// has ports of its own, which its operator has opened.
func (x *expansion) openings() {
	if x.spec.Firewall != nil && !*x.spec.Firewall {
		return
	}
	open := func(port int, protocol, attribute string) {
		if p := opening(port, protocol); !x.has(p.Name) {
			x.add(p, map[string]string{"port": attribute})
		}
	}
	w := x.web
	if w.HTTP != "off" || w.TLS == nil || w.TLS.ACME != nil {
		open(*w.Port, "tcp", "web.port")
	}
	if t := w.TLS; t != nil {
		port := 443
		if t.Port != nil {
			port = *t.Port
		}
		open(port, "tcp", "web.tls.port")
		if t.HTTP3 != nil && *t.HTTP3 {
			open(port, "udp", "web.tls.port")
		}
	}
}

// opening returns the part that opens a port. The usual ports have the names that people and
// firewalld have for them.
func opening(port int, protocol string) engine.Part {
	number := fmt.Sprintf("%d/%s", port, protocol)
	name, state := fmt.Sprintf("firewall_%d_%s", port, protocol), &resources.Firewall{Port: number}
	switch number {
	case "80/tcp":
		name, state = "firewall_http", &resources.Firewall{Service: "http"}
	case "443/tcp":
		name, state = "firewall_https", &resources.Firewall{Service: "https"}
	case "873/tcp":
		name, state = "firewall_rsync", &resources.Firewall{Service: "rsyncd"}
	case "443/udp":
		name = "firewall_http3"
	}
	return engine.Part{Name: name, Type: "firewall", State: state}
}
