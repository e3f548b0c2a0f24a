package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/syncs"
)

// checkLeaves refuses to retire the hub of mirrors that are not retired with it: their syncs would
// fail.
func (s *Scope) checkLeaves(retired []string) error {
	var leaves []string
	hub := ""
	for _, h := range s.Config.Hosts() {
		if slices.Contains(retired, h.Name) {
			continue
		}
		if on := s.hubAmong(h.Name, retired); on != "" {
			hub, leaves = on, append(leaves, h.Name)
		}
	}
	if len(leaves) == 0 {
		return nil
	}
	return fmt.Errorf("host %s is the hub of mirrors that would stay: on %s. "+
		"Give them another sync.from, or an upstream, and apply; or retire them, too", hub, strings.Join(leaves, ", "))
}

// hubAmong returns one of the hosts to retire that a host has as a hub of AlmaLinux, or "". A
// mirror that needs facts may have it.
func (s *Scope) hubAmong(leaf string, retired []string) string {
	for _, on := range s.Config.DependsOn(leaf) {
		if !slices.Contains(retired, on) {
			continue
		}
		list, pending, _ := s.Config.Declared(leaf)
		if len(pending) > 0 {
			return on
		}
		for _, j := range syncs.Jobs(list) {
			listed := j.Distribution() != syncs.OtherDistribution
			if listed && slices.ContainsFunc(j.Hubs, func(h syncs.Hub) bool { return h.Host == on }) {
				return on
			}
		}
	}
	return ""
}
