package mirror

import (
	"fmt"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// openings adds what the host's firewall has to let in for the site, and returns the names of the
// parts. A site that the operator keeps has ports of its own, which its operator has opened.
func (x *expansion) openings() (names []string) {
	if x.spec.Firewall != nil && !*x.spec.Firewall {
		return nil
	}
	w := x.web
	if w.HTTP != "off" || w.TLS == nil || w.TLS.ACME != nil {
		names = append(names, x.opening(*w.Port, "tcp", "web.port"))
	}
	if t := w.TLS; t != nil {
		port := 443
		if t.Port != nil {
			port = *t.Port
		}
		names = append(names, x.opening(port, "tcp", "web.tls.port"))
		if t.HTTP3 != nil && *t.HTTP3 {
			names = append(names, x.opening(port, "udp", "web.tls.port"))
		}
	}
	return names
}

// opening adds a part that opens a port, and returns its name. The usual ports have the names that
// people and firewalld have for them.
func (x *expansion) opening(port int, protocol, attribute string) string {
	number := fmt.Sprintf("%d/%s", port, protocol)
	name, state := fmt.Sprintf("firewall_%d_%s", port, protocol), &resources.Firewall{Port: number}
	switch number {
	case "80/tcp":
		name, state = "firewall_http", &resources.Firewall{Service: "http"}
	case "443/tcp":
		name, state = "firewall_https", &resources.Firewall{Service: "https"}
	case "443/udp":
		name = "firewall_http3"
	}
	if !x.has(name) {
		x.add(engine.Part{Name: name, Type: "firewall", State: state}, map[string]string{"port": attribute})
	}
	return name
}
