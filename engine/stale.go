package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
)

// Difference is one way in which a saved plan no longer applies.
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

// The values of Difference.What.
const (
	hostGone      = "the configuration changed: it no longer has this host"
	hostNew       = "the configuration changed: this host is new"
	otherMachine  = "the host changed: this is another machine (different machine-id)"
	resourceGone  = "the configuration changed: it no longer has this resource"
	resourceNew   = "the configuration changed: this resource is new"
	wantedDiffers = "the configuration changed: the wanted state differs"
	foundDiffers  = "the host changed: the found state differs from the one that the plan was made from"
	stepsDiffer   = "the steps differ"
)

// HostDifferences returns the hosts that only the run or only the plan has. It does not need a
// connection.
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

// Differences returns how a plan made now, and saved with the same salt, differs from s. An empty
// result means that the plans are equal.
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
		list = append(list, then.differences(host, base(s.Directory), base(now.Directory))...)
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

// differences compares a host's plans, whose configurations are in the directories there and here.
func (s *SavedHost) differences(now *SavedHost, there, here base) []Difference {
	var list []Difference
	differs := func(address, what string) { list = append(list, Difference{s.Name, address, what}) }
	if s.Machine != now.Machine {
		differs("", otherMachine)
	}
	current := map[string][]SavedResource{} // one to remove and a wanted one may have the same address
	for _, r := range now.Resources {
		current[r.Address] = append(current[r.Address], r)
	}
	for _, then := range s.Resources {
		var r SavedResource
		list := current[then.Address]
		if len(list) > 0 {
			r, current[then.Address] = list[0], list[1:]
		}
		switch {
		case len(list) == 0:
			differs(then.Address, resourceGone)
		case r.Wanted != then.Wanted: // Found is in the spelling of Wanted, and may differ for that reason alone
			differs(then.Address, wantedDiffers)
		case r.Found != then.Found:
			differs(then.Address, foundDiffers)
		}
	}
	for _, r := range now.Resources {
		if len(current[r.Address]) > 0 {
			differs(r.Address, resourceNew)
			current[r.Address] = nil
		}
	}
	if len(list) == 0 {
		if !s.Local {
			there, here = "", ""
		}
		if address, same := sameChanges(s.Changes, now.Changes, there, here); !same {
			differs(address, stepsDiffer)
		}
	}
	return list
}

// sameChanges compares the changes of two plans. address is the first resource that differs.
func sameChanges(then, now []SavedChange, there, here base) (address string, same bool) {
	for i := range max(len(then), len(now)) {
		switch {
		case i >= len(now):
			return then[i].Address, false
		case i >= len(then) || !then[i].equal(now[i], there, here):
			return now[i].Address, false
		}
	}
	return "", true
}

// equal compares two changes, with paths relative to the directories in which they were planned.
func (c SavedChange) equal(d SavedChange, there, here base) bool {
	attributes := func(x, y []SavedAttribute) bool {
		if (x == nil) != (y == nil) || len(x) != len(y) {
			return false
		}
		for i := range x {
			if x[i].Name != y[i].Name || x[i].Sensitive != y[i].Sensitive || x[i].Differs != y[i].Differs ||
				!sameJSON(x[i].Value, y[i].Value) && (there == here || !sameAt(x[i].Value, there, y[i].Value, here)) {
				return false
			}
		}
		return true
	}
	steps := func(x, y []SavedStep) bool {
		return slices.EqualFunc(x, y, func(a, b SavedStep) bool {
			a.Summary, a.Final = there.relative(a.Summary), there.relative(a.Final)
			b.Summary, b.Final = here.relative(b.Summary), here.relative(b.Final)
			return a == b
		})
	}
	return c.Address == d.Address && c.Type == d.Type && c.Action == d.Action && steps(c.Steps, d.Steps) &&
		attributes(c.Before, d.Before) && attributes(c.After, d.After)
}

// sameAt compares values of an attribute, with paths relative to the directories of their plans.
func sameAt(x json.RawMessage, there base, y json.RawMessage, here base) bool {
	decode := func(text json.RawMessage, p base) (any, bool) {
		var v any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if d.Decode(&v) != nil {
			return nil, false
		}
		return p.value(v), true
	}
	a, ok := decode(x, there)
	b, too := decode(y, here)
	return ok && too && reflect.DeepEqual(a, b)
}

// sameJSON compares JSON, ignoring white space outside of strings.
func sameJSON(x, y json.RawMessage) bool {
	var a, b bytes.Buffer
	if len(x) == 0 || len(y) == 0 {
		return len(x) == len(y)
	}
	return json.Compact(&a, x) == nil && json.Compact(&b, y) == nil && bytes.Equal(a.Bytes(), b.Bytes())
}

// Plan returns the saved plan for display: it cannot be applied.
func (s *SavedPlan) Plan() (*Plan, error) {
	p := &Plan{}
	for _, host := range s.Hosts {
		h := &HostPlan{Host: host.Name, Unchanged: host.Unchanged, Notes: host.Notes}
		for _, w := range host.Warnings {
			problem := &ResourceProblem{Problem: Problem{Severity: Warning, Summary: w.Summary, Detail: w.Detail}}
			if w.Address != "" {
				address, ok := ParseAddress(w.Address)
				if !ok {
					return nil, noAddress(w.Address)
				}
				problem.Resource = &Resource{Address: address, Source: w.Source}
			}
			h.Problems = append(h.Problems, problem)
		}
		for _, saved := range host.Changes {
			c := Change{Address: saved.Address, Type: saved.Type, Action: saved.Action}
			if saved.Orphan != "" {
				address, ok := ParseAddress(saved.Address)
				if !ok {
					return nil, noAddress(saved.Address)
				}
				c.Resource = &Resource{Address: address, Source: saved.Orphan, Remove: true, Orphan: true, Now: saved.Now}
			}
			for _, step := range saved.Steps {
				c.Steps = append(c.Steps, Step{Summary: step.Summary, Final: step.Final, Later: step.Later})
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

// noAddress is the error of a saved plan with text where an address belongs.
func noAddress(text string) error {
	return fmt.Errorf("the saved plan is corrupt: %q is not an address", clip(text))
}

// showAttributes converts saved attributes for display. Sensitive values are not saved:
// placeholders replace them, which differ between before and after if the values did.
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

// numbers converts the numbers in a decoded value to the types of Plain.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return u
		}
		f, _ := v.Float64() // a JSON number always parses, apart from its range
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
