package engine

import "github.com/mirrorform/mirrorform/engine/wire"

// Intent is what a run wants on hosts: what the configuration says, a part of it, or something else
// for this run. Many goroutines call its methods at once.
type Intent interface {
	// Wanted returns all resources of a host. facts has the facts of that host; for a host with Last
	// set, of every host that was reached.
	Wanted(host string, facts map[string]*wire.Facts) ([]*Resource, error)
	// LeftOut returns a function that reports whether a resource is declared although Wanted did not
	// return it: its values depend on an unreachable host. Such a resource is not an orphan.
	LeftOut(host string, facts map[string]*wire.Facts) func(Address) bool
	// Select returns the resources of a host that this run is about, out of all wanted ones and
	// orphans.
	Select(t Target, all []*Resource) []*Resource
	// Adjust returns the selected resources as this run wants them: destroy marks them for removal.
	Adjust(selected []*Resource) []*Resource
	// Replaced returns the addresses of resources to remove and recreate.
	Replaced() []string
}
