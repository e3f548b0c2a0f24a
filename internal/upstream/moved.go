package upstream

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// follow compares the releases that the service requires with those that the tree lists. Where a
// release gave way to a newer one of the same major release, the facts may be older than the tree:
// if they are not current, the mirror is checked for the newer one.
func (p *probe) follow(index *response) {
	names := links(index.body, index.final)
	moves := map[string]string{}
	for _, v := range p.facts.releases() {
		if slices.Contains(names, v) {
			continue
		}
		major, minor := release(v)
		for _, name := range names {
			if to, n := release(name); to == major && n > minor {
				moves[v], minor = name, n
			}
		}
	}
	for _, v := range slices.Sorted(maps.Keys(moves)) {
		gone := fmt.Sprintf("%s is gone and %s is there", v, clean(moves[v]))
		if p.v.o.FactsStale {
			p.c.add(rawFinding{Warning, CheckReleases, gone + ": checked for " + clean(moves[v]) + ", since what is known of " +
				"AlmaLinux's service is of " + p.v.o.FactsDate.Format(time.DateOnly),
				"run verify where it can read AlmaLinux's config.yml, or pass it with --service-config", ""}, "", false)
			continue
		}
		p.c.add(rawFinding{Warning, CheckReleases, gone + ", but AlmaLinux's service still requires " + v,
			"check that the sync copies the whole tree, and its source", ""}, "", false)
	}
	if p.v.o.FactsStale && len(moves) > 0 {
		p.facts = p.facts.moved(moves)
	}
}

// release reads the name of a minor release, such as 9.8. minor is -1 if it is none.
func release(name string) (major string, minor int) {
	major, rest, _ := strings.Cut(name, ".")
	minor, err := strconv.Atoi(rest)
	if _, bad := strconv.Atoi(major); err != nil || bad != nil || minor < 0 {
		return "", -1
	}
	return major, minor
}

// moved returns the service with other minor releases.
func (s *Service) moved(moves map[string]string) *Service {
	move := func(list []string) []string {
		out := slices.Clone(list)
		for i, v := range out {
			if to, ok := moves[v]; ok {
				out[i] = to
			}
		}
		return out
	}
	to := *s
	to.Versions = move(s.Versions)
	to.DuplicatedVersions = maps.Clone(s.DuplicatedVersions)
	for k, v := range to.DuplicatedVersions {
		if v, ok := moves[v]; ok {
			to.DuplicatedVersions[k] = v
		}
	}
	to.Repos = slices.Clone(s.Repos)
	for i, r := range to.Repos {
		to.Repos[i].Versions = move(r.Versions)
	}
	return &to
}
