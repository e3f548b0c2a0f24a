package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// checkSameHosts finds hosts that are reached in the same way: they are one machine, and under each
// of its names what belongs to the other one would be removed. Each machine is reported once. A
// host with connection type local and host local are meant to be this machine, and have states of
// their own.
func (v *inventory) checkSameHosts() hcl.Diagnostics {
	byWay := map[string][]*Host{}
	var ways []string
	for _, h := range v.list {
		if h.incomplete || h.Address == "" {
			return nil // what is wrong with it is reported, and may concern those behind it
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
func (v *inventory) sameHosts(hosts []*Host) *hcl.Diagnostic {
	first, second := hosts[0], hosts[1]
	if second.Local {
		first, second = second, first // which has no block
	}
	more, where := "", "this machine"
	if !first.Local {
		where = "declared at " + lang.Place(v.addressOf(first))
	}
	if len(hosts) > 2 {
		more = fmt.Sprintf("; %d hosts have them", len(hosts))
	}
	way := "keep one of them, and place all of the machine's resources on it."
	if first.Local {
		way = "leave out the address, and write connection { type = \"local\" }."
	}
	return lang.ErrorAt(v.addressOf(second), "Two hosts are one machine", "Host %s has the address, port and jump of host %s (%s%s). Each name's plan would remove what the other has: %s",
		second.Name, first.Name, where, more, way)
}

// addressOf is where a host's address stands, or its block.
func (v *inventory) addressOf(h *Host) hcl.Range {
	if hb := v.blocks[h.Block]; hb != nil {
		if attr := hb.body.Attributes["address"]; attr != nil {
			return attr.Expr.Range()
		}
	}
	return h.Range
}

// way says how a host is reached: it is the same for two hosts that are reached alike, however
// their addresses are written.
func (h *Host) way() string {
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
