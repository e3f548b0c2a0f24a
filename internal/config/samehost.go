package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// checkSameHosts reports hosts with the same address, port and jump host. They are one machine, and
// the plan for each name would remove the resources of the other. Each machine is reported once. A
// host with connection type local and host local are both this machine on purpose; each has its own
// state.
func (v *inventory) checkSameHosts() hcl.Diagnostics {
	byWay := map[string][]*DeclaredHost{}
	var ways []string
	for _, h := range v.list {
		if h.incomplete || h.Address == "" {
			return nil // its error was reported, and hosts behind it as a jump host depend on it
		}
		way := h.way()
		if len(byWay[way]) == 1 {
			ways = append(ways, way)
		}
		byWay[way] = append(byWay[way], h)
	}
	var diags hcl.Diagnostics
	for _, way := range ways {
		if hosts := byWay[way]; len(hosts) > 2 || !hosts[0].OnThisMachine || !hosts[1].Local {
			diags = append(diags, v.sameHosts(hosts))
		}
	}
	return diags
}

// sameHosts is the error of hosts that are one machine.
func (v *inventory) sameHosts(hosts []*DeclaredHost) *hcl.Diagnostic {
	first, second := hosts[0], hosts[1]
	if second.Local {
		first, second = second, first // host local has no block to report
	}
	more, where := "", "this machine"
	if !first.Local {
		where = "declared at " + lang.Place(v.addressOf(first))
	}
	if len(hosts) > 2 {
		more = fmt.Sprintf("; %d hosts share them", len(hosts))
	}
	way := "Keep one of them, and place all resources of the machine on it."
	if first.Local {
		way = "Remove the address, and add connection { type = \"local\" }."
	}
	return lang.ErrorAt(v.addressOf(second), "Two hosts are one machine",
		"Host %s has the same address, port and jump as host %s (%s%s). "+
			"The plan for each would remove the resources of the other. %s",
		second.Name, first.Name, where, more, way)
}

// addressOf returns the range of a host's address, or of its block.
func (v *inventory) addressOf(h *DeclaredHost) hcl.Range {
	if hb := v.blocks[h.Block]; hb != nil {
		if attr := hb.body.Attributes["address"]; attr != nil {
			return attr.Expr.Range()
		}
	}
	return h.Range
}

// way returns a key for the address, port and jump host of a host. Different spellings of an
// address have the same key.
func (h *DeclaredHost) way() string {
	address := strings.ToLower(strings.TrimSuffix(h.Address, "."))
	if ip, err := netip.ParseAddr(address); err == nil {
		address = ip.Unmap().String()
	}
	if address == "127.0.0.1" || address == "::1" {
		address = "localhost"
	}
	way := fmt.Sprintf("%s %d", address, cmp.Or(h.Port, 22))
	if h.Jump != nil {
		way += " " + h.Jump.way()
	}
	return way
}
