package resources

import (
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// soon is a firewall that the plan starts, or has load its files again. What it lets in then is not
// known before, so the opening is foreseen (engine.Step.Foreseen).
type soon struct {
	program string       // firewalld or ufw
	where   string       // the place of the opening: firewalld, if the zone is not known
	found   hostFirewall // that place; nil: not known
}

// startsSoon reports whether the plan starts a unit, or has it load its files again.
func startsSoon(t engine.Target, unit string) bool { return slices.Contains(t.Starts, unit) }

// debianStarts reports whether the plan installs a package, since Debian starts its unit then.
func debianStarts(t engine.Target, name string, unit wire.Unit) bool {
	return t.Facts.OS.Family == "debian" && unit.LoadState == "not-found" && t.Provided[engine.PackageKey(name)]
}

// firewalldSoon returns firewalld as the plan starts it. The zone is known if it runs already, or
// if the opening or the manifest names it. Otherwise it is the default one of that time.
func firewalldSoon(d *firewalld, want *Firewall) *soon {
	stored, remembered := zoneOf(want.Where)
	var z *zone
	switch {
	case d.runs:
		z = d.zoneFor(want)
	case want.Zone != "":
		z = d.zone(want.Zone)
	case remembered:
		z = d.zone(stored)
	default:
		return &soon{program: "firewalld", where: "firewalld"}
	}
	return &soon{"firewalld", z.place(), z}
}

// ufwSoon returns ufw as the plan enables it.
func ufwSoon(u *ufw) *soon { return &soon{ufwPlace, ufwPlace, u} }

func (s *soon) place() string { return s.where }

// open returns what is open before the start. The rules of ufw are then those of its files; what
// firewalld lets in is to be asked in any case, since its zone may be another one.
func (s *soon) open(want *Firewall) (permanent, now bool) {
	if s.found != nil {
		permanent, _ = s.found.open(want)
	}
	return permanent, permanent && s.program == ufwPlace
}

func (s *soon) items(want *Firewall) []ownedItem {
	if s.found == nil {
		return nil
	}
	return s.found.items(want)
}

func (s *soon) settle(full *Firewall, prior *engine.Record) {
	full.soon = s.program
	if s.program == ufwPlace {
		s.found.settle(full, prior)
	}
}

// soonStep returns the step that stands for those that are planned once the firewall has started.
func soonStep(want *Firewall) engine.Step {
	zone, _ := zoneOf(want.Where)
	step := firewalldStep(zone, want.items()[0], listNow, true)
	if want.soon == ufwPlace {
		step = ufwStep(want, want.closed, true)
	}
	step.Summary, step.Foreseen = "open "+want.what()+" in "+want.soon+" as soon as it runs", true
	return step
}
