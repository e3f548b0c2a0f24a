package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// Difference is one way in which a saved plan no longer holds.
type Difference struct {
	Host    string
	Address string // of the resource; empty: the host as a whole
	What    string // "the host changed: …" or "the configuration changed: …"
}

func (d Difference) String() string {
	switch {
	case d.Address != "":
		return d.Address + ": " + d.What
	case d.Host != "":
		return d.Host + ": " + d.What
	}
	return d.What
}

// What may differ.
const (
	hostGone      = "the configuration changed: it has no such host any more"
	hostNew       = "the configuration changed: this host is new"
	otherMachine  = "the host changed: this is another machine, its machine-id differs"
	resourceGone  = "the configuration changed: it has no such resource any more"
	resourceNew   = "the configuration changed: this resource is new"
	wantedDiffers = "the configuration changed: another state is wanted"
	foundDiffers  = "the host changed: what is found there is not what the plan was made from"
	stepsDiffer   = "the steps are others now"
)

// HostDifferences tells which hosts a run has that the plan was not made for, and the other way round: that needs no host to be reached.
func (s *SavedPlan) HostDifferences(hosts []Host) []Difference {
	var list []Difference
	left := map[string]bool{}
	for _, h := range hosts {
		left[h.Name] = true
	}
	for i := range s.Hosts {
		if name := s.Hosts[i].Name; !left[name] {
			list = append(list, Difference{name, "", hostGone})
		} else {
			delete(left, name)
		}
	}
	for _, h := range hosts {
		if left[h.Name] {
			list = append(list, Difference{h.Name, "", hostNew})
		}
	}
	return list
}

// Differences tells in what a plan made now, and saved with the same salt, differs from s. None means that it is the same plan.
func (s *SavedPlan) Differences(now *SavedPlan) []Difference {
	var list []Difference
	current := map[string]*SavedHost{}
	for i := range now.Hosts {
		current[now.Hosts[i].Name] = &now.Hosts[i]
	}
	for i := range s.Hosts {
		then := &s.Hosts[i]
		host := current[then.Name]
		delete(current, then.Name)
		if host == nil {
			list = append(list, Difference{then.Name, "", hostGone})
			continue
		}
		list = append(list, then.differences(host)...)
	}
	for i := range now.Hosts {
		if name := now.Hosts[i].Name; current[name] != nil {
			list = append(list, Difference{name, "", hostNew})
		}
	}
	if len(list) == 0 && s.Configuration != now.Configuration {
		list = append(list, Difference{"", "", wantedDiffers})
	}
	return list
}

func (s *SavedHost) differences(now *SavedHost) []Difference {
	var list []Difference
	differs := func(address, what string) { list = append(list, Difference{s.Name, address, what}) }
	if s.Machine != now.Machine {
		differs("", otherMachine)
	}
	current := map[string]SavedResource{}
	for _, r := range now.Resources {
		current[r.Address] = r
	}
	for _, then := range s.Resources {
		r, ok := current[then.Address]
		delete(current, then.Address)
		switch {
		case !ok:
			differs(then.Address, resourceGone)
		case r.Wanted != then.Wanted: // what is found is spelt as it is wanted, so that it may differ for that alone
			differs(then.Address, wantedDiffers)
		case r.Found != then.Found:
			differs(then.Address, foundDiffers)
		}
	}
	for _, r := range now.Resources {
		if _, left := current[r.Address]; left {
			differs(r.Address, resourceNew)
		}
	}
	if len(list) == 0 {
		if address, same := sameChanges(s.Changes, now.Changes); !same {
			differs(address, stepsDiffer)
		}
	}
	return list
}

// sameChanges compares what two plans do; where they differ, address is the first resource of which they say something else.
func sameChanges(then, now []SavedChange) (address string, same bool) {
	for i := range max(len(then), len(now)) {
		switch {
		case i >= len(now):
			return then[i].Address, false
		case i >= len(then) || !then[i].equal(now[i]):
			return now[i].Address, false
		}
	}
	return "", true
}

func (c SavedChange) equal(d SavedChange) bool {
	attributes := func(x, y []SavedAttribute) bool {
		if (x == nil) != (y == nil) || len(x) != len(y) {
			return false
		}
		for i := range x {
			if x[i].Name != y[i].Name || x[i].Sensitive != y[i].Sensitive || x[i].Differs != y[i].Differs || !sameJSON(x[i].Value, y[i].Value) {
				return false
			}
		}
		return true
	}
	return c.Address == d.Address && c.Type == d.Type && c.Action == d.Action && reflect.DeepEqual(c.Steps, d.Steps) &&
		attributes(c.Before, d.Before) && attributes(c.After, d.After)
}

// sameJSON compares JSON but for white space outside of strings.
func sameJSON(x, y json.RawMessage) bool {
	var a, b bytes.Buffer
	if len(x) == 0 || len(y) == 0 {
		return len(x) == len(y)
	}
	return json.Compact(&a, x) == nil && json.Compact(&b, y) == nil && bytes.Equal(a.Bytes(), b.Bytes())
}

// Plan is the plan that was saved, for showing it: it cannot be applied.
func (s *SavedPlan) Plan() (*Plan, error) {
	p := &Plan{}
	for _, host := range s.Hosts {
		h := &HostPlan{Host: host.Name, Unchanged: host.Unchanged, Notes: host.Notes}
		for _, w := range host.Warnings {
			problem := &ResourceProblem{Problem: Problem{Severity: Warning, Summary: w.Summary, Detail: w.Detail}}
			if w.Address != "" {
				problem.Resource = &Resource{Address: w.Address, Source: w.Source}
			}
			h.Problems = append(h.Problems, problem)
		}
		for _, saved := range host.Changes {
			c := Change{Address: saved.Address, Type: saved.Type, Action: saved.Action}
			if saved.Orphan != "" {
				c.Resource = &Resource{Address: saved.Address, Source: saved.Orphan, Remove: true, Orphan: true}
			}
			for _, step := range saved.Steps {
				c.Steps = append(c.Steps, Step{Summary: step.Summary, Final: step.Final})
			}
			var err error
			if c.Before, err = showAttributes(saved.Before, "before"); err != nil {
				return nil, fmt.Errorf("%s: %w", saved.Address, err)
			}
			if c.After, err = showAttributes(saved.After, "after"); err != nil {
				return nil, fmt.Errorf("%s: %w", saved.Address, err)
			}
			h.Changes = append(h.Changes, c)
		}
		p.Hosts = append(p.Hosts, h)
	}
	return p, nil
}

// showAttributes makes attributes of saved ones. In place of sensitive values, which are not shown, stand words that differ between before and
// after as the values did.
func showAttributes(saved []SavedAttribute, side string) ([]Attribute, error) {
	if saved == nil {
		return nil, nil
	}
	list := []Attribute{}
	for _, a := range saved {
		shown := Attribute{Name: a.Name, Sensitive: a.Sensitive}
		switch {
		case a.Sensitive && a.Differs:
			shown.Value = side
		case a.Sensitive:
			shown.Value = ""
		default:
			d := json.NewDecoder(bytes.NewReader(a.Value))
			d.UseNumber()
			if err := d.Decode(&shown.Value); err != nil {
				return nil, fmt.Errorf("attribute %s: %w", a.Name, err)
			}
			shown.Value = numbers(shown.Value)
		}
		list = append(list, shown)
	}
	return list, nil
}

// numbers turns the numbers in a decoded value into those that Plain has.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return u
		}
		f, _ := v.Float64() // a number of JSON is one, but for its range
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}
