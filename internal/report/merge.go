package report

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Named is a result with the name of its file, for errors.
type Named struct {
	Name string
	*Result
}

// Merge combines the results of one command on the shards of a fleet. It refuses results of
// different commands, configurations or versions, and results with a common host, except host
// local, which may be in all. The result's Error names missing shards.
func Merge(list []Named) (*Result, error) {
	if len(list) == 0 {
		return nil, errors.New("no results to merge")
	}
	first := list[0]
	all := &Result{
		FormatVersion: Format, Version: first.Version, Command: first.Command, Start: first.Start, End: first.End,
		Configuration: first.Configuration, Sources: first.Sources, Hosts: []HostResult{},
	}
	from, index := map[string]string{}, map[string]int{}
	for _, r := range list {
		if err := all.alike(r, first.Name); err != nil {
			return nil, err
		}
		if all.Configuration == "" {
			all.Configuration = r.Configuration
		}
		if r.Start.Before(all.Start) {
			all.Start = r.Start
		}
		if r.End.After(all.End) {
			all.End = r.End
		}
		for _, p := range r.Problems {
			if !slices.Contains(all.Problems, p) {
				all.Problems = append(all.Problems, p)
			}
		}
		if r.Error != "" {
			all.Error = strings.TrimPrefix(all.Error+"\n"+r.Name+": "+r.Error, "\n")
		}
		for i := range r.Hosts {
			h := r.Hosts[i]
			n, known := index[h.Name]
			switch {
			case !known:
				from[h.Name], index[h.Name] = r.Name, len(all.Hosts)
				all.Hosts = append(all.Hosts, h)
			case !h.Local || !all.Hosts[n].Local:
				return nil, fmt.Errorf("host %s is in %s and in %s, so they are not shards of one run",
					h.Name, from[h.Name], r.Name)
			default:
				if err := all.Hosts[n].join(&h); err != nil {
					return nil, fmt.Errorf("host %s of %s and %s: %w", h.Name, from[h.Name], r.Name, err)
				}
			}
		}
	}
	missing, err := missingShards(list)
	if err != nil {
		return nil, err
	}
	if missing != "" {
		all.Error = strings.TrimPrefix(all.Error+"\n"+missing, "\n")
	}
	all.Count()
	return all, nil
}

// alike returns an error if another result cannot be of the same run on other hosts.
func (r *Result) alike(other Named, first string) error {
	differs := ""
	switch {
	case other.Verify != nil || other.Status != nil:
		return fmt.Errorf("%s is a result of %s, which has no shards", other.Name, other.Command)
	case other.Command != r.Command:
		differs = "commands"
	case other.Version != r.Version:
		differs = "versions of mirrorform"
	case other.Configuration != "" && r.Configuration != "" && other.Configuration != r.Configuration:
		differs = "configurations (their IDs in mirrorform.hosts.json differ)"
	case other.Sources != "" && r.Sources != "" && other.Sources != r.Sources:
		differs = "configurations (their files differ)"
	default:
		return nil
	}
	return fmt.Errorf("%s and %s are from different %s", first, other.Name, differs)
}

// join adds another shard's data about the same host.
func (h *HostResult) join(other *HostResult) error {
	if other.Outcome.rank() > h.Outcome.rank() {
		h.Outcome, h.Left = other.Outcome, other.Left
	}
	h.Duration = max(h.Duration, other.Duration)
	for _, c := range other.Changes {
		i := slices.IndexFunc(h.Changes, func(d Change) bool { return d.resource() == c.resource() })
		switch {
		case i < 0:
			h.Changes = append(h.Changes, c)
		case !reflect.DeepEqual(h.Changes[i], c):
			return fmt.Errorf("different changes of %s", c.Address)
		}
	}
	h.Unchanged += other.Unchanged
	for _, res := range other.Resources {
		switch {
		case !slices.ContainsFunc(h.Resources, func(r Resource) bool { return r.key() == res.key() }):
			h.Resources = append(h.Resources, res)
		case !slices.ContainsFunc(h.Changes, func(c Change) bool { return c.resource() == res.key() }):
			h.Unchanged-- // both results count it
		}
	}
	h.Unchanged = max(h.Unchanged, 0)
	h.addTexts(other)
	return nil
}

// Then adds the result of a second plan or apply of the same command, which may have fewer hosts.
// Of each host it keeps the changes of both and the worse outcome.
func (r *Result) Then(next *Result) {
	for i := range next.Hosts {
		h := next.Hosts[i]
		there := r.Host(h.Name)
		if there == nil {
			r.Hosts = append(r.Hosts, h)
			continue
		}
		if h.Outcome.rank() >= there.Outcome.rank() {
			there.Outcome, there.Left = h.Outcome, h.Left
		}
		there.Changes = append(there.Changes, h.Changes...)
		there.Unchanged += h.Unchanged
		there.Resources = append(there.Resources, h.Resources...)
		there.addTexts(&h)
	}
	r.Count()
}

// addTexts adds the error, warnings and notes of another result for the host.
func (h *HostResult) addTexts(other *HostResult) {
	if other.Error != nil && h.Error != nil && *other.Error != *h.Error {
		text := *h.Error + "\n" + *other.Error
		h.Error = &text
	} else if h.Error == nil {
		h.Error = other.Error
	}
	h.Warnings, h.Notes = union(h.Warnings, other.Warnings), union(h.Notes, other.Notes)
}

// rank orders outcomes from good to bad.
func (o Outcome) rank() int { return slices.Index(Outcomes, o) }

func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(slices.Clip(a), s)
		}
	}
	return a
}

// Missing returns a message that names the missing shards, or "".
func Missing(list []Named) string {
	missing, err := missingShards(list)
	if err != nil {
		return ""
	}
	return missing
}

// missingShards returns a message that names the missing shards, or "". It fails if the shards do
// not belong together.
func missingShards(list []Named) (string, error) {
	var of Named
	got := map[int]string{}
	for _, r := range list {
		if r.Shard == "" {
			continue
		}
		s, err := ParseShard(r.Shard)
		if err != nil {
			return "", fmt.Errorf("%s: %w", r.Name, err)
		}
		if of.Result == nil {
			of = r
		}
		if first, err := ParseShard(of.Shard); err != nil || first.Count != s.Count {
			return "", fmt.Errorf("%s is shard %s and %s is shard %s: different numbers of shards",
				of.Name, of.Shard, r.Name, r.Shard)
		}
		if got[s.Index] != "" {
			return "", fmt.Errorf("%s and %s are both shard %s", got[s.Index], r.Name, r.Shard)
		}
		got[s.Index] = r.Name
	}
	if of.Result == nil {
		return "", nil
	}
	if len(got) < len(list) {
		return "", fmt.Errorf("%s is a shard, but other results are not", of.Name)
	}
	first, err := ParseShard(of.Shard)
	if err != nil {
		return "", err
	}
	var missing []string
	left := first.Count - len(got)
	for i := 1; i <= first.Count && len(missing) < 20; i++ {
		if got[i] == "" {
			missing = append(missing, Shard{i, first.Count}.String())
		}
	}
	switch {
	case left == 0:
		return "", nil
	case left == 1:
		return "the result of shard " + missing[0] + " is missing", nil
	case left > len(missing):
		return fmt.Sprintf("the results of %d shards are missing, %s and others", left, strings.Join(missing, ", ")), nil
	}
	return "the results of shards " + strings.Join(missing, ", ") + " are missing", nil
}

// Combine combines results about one fleet: at most one of plan, drift or apply, one verify and one
// status.
func Combine(list []Named) (*Result, error) {
	if len(list) == 0 {
		return nil, errors.New("no results to combine")
	}
	slot := func(r *Result) int {
		switch {
		case r.Verify != nil && len(r.Hosts) == 0:
			return 1
		case r.Status != nil && (len(r.Hosts) == 0 || r.Command == "status"):
			return 2
		}
		return 0
	}
	var by [3]*Named
	for i := range list {
		r := &list[i]
		s := slot(r.Result)
		if by[s] != nil {
			return nil, fmt.Errorf("%s and %s are of the same kind: pass one of each kind, or merge shards first with: "+
				"mirrorform report merge",
				by[s].Name, r.Name)
		}
		by[s] = r
	}
	all := *list[0].Result
	if base := cmp.Or(by[0], by[2]); base != nil {
		all = *base.Result
	}
	if by[1] != nil {
		all.Verify = by[1].Verify
	}
	if by[2] != nil {
		all.Status = by[2].Status
	}
	return &all, nil
}
