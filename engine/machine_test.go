package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// Hosts with one machine-id are refused, all of them, and nothing is done there; the others go on.
func TestSameMachine(t *testing.T) {
	t.Parallel()
	const id, other = "11111111111111111111111111111111", "22222222222222222222222222222222"
	oneMachine := func(names string, n int) string {
		return fmt.Sprintf("%s are one machine under %d names (same machine-id and boot_id)", names, n)
	}
	cloned := func(names string) string {
		return names + " have the same machine-id, but are different machines: they were cloned"
	}
	for name, tc := range map[string]struct {
		machines [][2]string // machine-id and boot_id of a, b, c, …
		refused  string      // the names of the hosts that are
		because  []string
		not      string // what is not said
	}{
		"one":              {[][2]string{{id, "1"}, {other, "1"}, {id, "1"}}, "ac", []string{oneMachine("a and c", 2)}, "cloned"},
		"clones":           {[][2]string{{id, "1"}, {other, "2"}, {id, "3"}}, "ac", []string{cloned("a and c"), "systemd-machine-id-setup"}, "under"},
		"both":             {[][2]string{{id, "1"}, {id, "2"}, {id, "1"}}, "abc", []string{oneMachine("a and c", 2), cloned("a, b and c")}, "\n\n"},
		"two of two":       {[][2]string{{id, "1"}, {id, "1"}, {other, "2"}, {other, "3"}}, "abcd", []string{oneMachine("a and b", 2), cloned("c and d")}, "b, c"},
		"many":             {slices.Repeat([][2]string{{id, "1"}}, 9), "abcdefghi", []string{oneMachine("a, b, c, d, e and 4 more hosts", 9)}, "f,"},
		"other":            {[][2]string{{id, "1"}, {other, "1"}}, "", nil, ""},
		"none has one":     {[][2]string{{"uninitialized", "1"}, {"uninitialized", "2"}}, "", nil, ""},
		"local":            {[][2]string{{id, "1"}, {other, "2"}, {other, "2"}}, "bc", []string{oneMachine("b and c", 2), "besides host local"}, "cloned"},
		"here and local":   {[][2]string{{id, "1"}, {other, "2"}, {id, "1"}}, "", nil, ""},
		"three with local": {[][2]string{{id, "1"}, {id, "1"}, {id, "1"}}, "abc", []string{oneMachine("a, b and c", 3)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				hosts, wanted := map[string]*host{}, map[string][]*engine.Resource{}
				var list []engine.Host
				for i, m := range tc.machines {
					name := string(rune('a' + i))
					hosts[name] = &host{machine: m[0], boot: m[1]}
					wanted[name] = []*engine.Resource{{Address: at(name + "/thing.x"), Kind: registry().Kind("thing"), State: &thing{Name: "/x", Value: "x"}, Source: "test.hcl:1"}}
					list = append(list, engine.Host{Name: name, Last: strings.Contains(t.Name(), "local") && i == len(tc.machines)-1, Here: strings.Contains(t.Name(), "here") && i == 0})
				}
				f := newFleet(t, hosts, wanted)
				plan := f.Plan(t.Context(), list)
				result := f.Apply(t.Context(), plan)
				var unplanned []string
				for _, p := range f.progress {
					if p.Stage == engine.Unplanned {
						unplanned = append(unplanned, p.Host)
					}
				}
				slices.Sort(unplanned)
				if got := strings.Join(unplanned, ""); got != tc.refused {
					t.Errorf("unplanned: %q, want %q", got, tc.refused)
				}
				f.Close()
				var said error
				for i, hp := range plan.Hosts {
					refused := strings.Contains(tc.refused, hp.Host)
					if hp.Failed() != refused || (result.Hosts[i].Err != nil) != refused {
						t.Errorf("%s: planned with %v, applied with %v", hp.Host, hp.Err, result.Hosts[i].Err)
					}
					if h := hosts[hp.Host]; refused && (strings.Contains(h.did(), "do") || len(h.files) > 0) {
						t.Errorf("%s: %s", hp.Host, h.did())
					}
					said = errors.Join(said, hp.Err)
				}
				for _, because := range tc.because {
					if !strings.Contains(said.Error(), because) {
						t.Errorf("it says %q, which lacks %q", said, because)
					}
				}
				if said != nil && tc.not != "" && strings.Contains(said.Error(), tc.not) {
					t.Errorf("it says %q, with %q", said, tc.not)
				}
			})
		})
	}
}
