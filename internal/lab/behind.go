package lab

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MoveBehind disconnects a host from the lab's network and connects it only to another host of the
// lab. The host can then be reached through that host, at the returned address. The host's Address
// and its entry in known_hosts do not change. A reboot connects the host to the lab's network
// again.
func (h *Host) MoveBehind(ctx context.Context, outer *Host) (address string, err error) {
	inside, err := h.Init()
	if err != nil {
		return "", err
	}
	outside, err := outer.Init()
	if err != nil {
		return "", err
	}
	index := h.Address[strings.LastIndexByte(h.Address, '.')+1:] // unique in the lab
	network := "10.255." + index
	// On the machine the interfaces have names of the lab. They are renamed on the hosts.
	near, far := h.lab.Bridge+"n"+index, h.lab.Bridge+"f"+index
	if _, err := run(ctx, "ip", "link", "add", near, "type", "veth", "peer", "name", far); err != nil {
		return "", fmt.Errorf("linking %s to %s: %w", h.Name, outer.Name, err)
	}
	for _, end := range []struct {
		host           *Host
		pid            int
		link, now, net string
	}{{outer, outside, near, "to" + index, network + ".1/30"}, {h, inside, far, "outer", network + ".2/30"}} {
		_, moved := run(ctx, "ip", "link", "set", end.link, "netns", strconv.Itoa(end.pid), "name", end.now)
		if moved != nil {
			_, _ = run(ctx, "ip", "link", "delete", near)
			return "", fmt.Errorf("linking %s to %s: %w", h.Name, outer.Name, moved)
		}
		for _, argv := range [][]string{{"ip", "address", "add", end.net, "dev", end.now},
			{"ip", "link", "set", end.now, "up"}} {
			_, stepErr := end.host.Run(ctx, argv...)
			err = errors.Join(err, stepErr)
		}
	}
	_, down := h.Run(ctx, "ip", "link", "set", "host0", "down")
	if err := errors.Join(err, down); err != nil {
		return "", fmt.Errorf("linking %s to %s: %w", h.Name, outer.Name, err)
	}
	return network + ".2", nil
}
