package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/mirror"
)

// mirrorsOn returns the mirrors of a host: those of AlmaLinux, and those of other distributions,
// which AlmaLinux's list and service do not have.
func (s *Scope) mirrorsOn(host string) (almalinux, others []config.MirrorPlace) {
	for _, p := range s.Config.MirrorsOn(host) {
		if spec, ok := p.Spec.(*mirror.Spec); ok && !spec.AlmaLinux() {
			others = append(others, p)
		} else {
			almalinux = append(almalinux, p)
		}
	}
	return almalinux, others
}

// AlmaLinux reports whether one of the hosts has a mirror of AlmaLinux.
func (s *Scope) AlmaLinux() bool {
	return slices.ContainsFunc(s.Hosts, func(h engine.Host) bool {
		almalinux, _ := s.mirrorsOn(h.Name)
		return len(almalinux) > 0
	})
}

// OnlyOthers returns what to print about hosts whose mirrors are all of other distributions, if
// there is such a mirror and none of AlmaLinux; else "".
func (s *Scope) OnlyOthers(hosts ...engine.Host) string {
	var names []string
	for _, h := range hosts {
		almalinux, others := s.mirrorsOn(h.Name)
		if len(almalinux) > 0 {
			return ""
		}
		for _, p := range others {
			names = append(names, fmt.Sprintf("%s on host %s", p.Name, h.Name))
		}
	}
	if len(names) == 0 {
		return ""
	}
	const shown = 3
	if more := len(names) - shown; more > 1 {
		names = append(names[:shown], fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("skipped, since AlmaLinux's service and list have only AlmaLinux: mirror %s", strings.Join(names, ", "))
}
