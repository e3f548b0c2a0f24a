package matrix

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// Cell returns what is known of a feature on an operating system: that all scripts passed that are
// to prove it there, which ones failed, or why no script ran.
func Cell(results []Result, system, feature string) string {
	var passed, failed []string
	for _, r := range results {
		switch {
		case r.System != system || !slices.Contains(r.Proves, feature):
		case r.Outcome == Passed:
			passed = append(passed, r.Versions[feature])
		case r.Outcome == Failed:
			failed = append(failed, r.Test)
		}
	}
	slices.Sort(failed)
	switch reason := Untested(system, feature); {
	case len(failed) > 0:
		return "**failed**: " + strings.Join(failed, ", ")
	case len(passed) > 0:
		f, _ := FeatureNamed(feature)
		name, version := f.Packages[lab.OS(system).Family()], slices.Max(passed)
		if name != "" && version != "" {
			return fmt.Sprintf("passed (%s %s)", name, version)
		}
		return "passed"
	case reason != "":
		return "not tested: " + reason
	default:
		return "not tested: not run"
	}
}

// Row returns the row of an operating system as a line of text.
func Row(results []Result, system string) string {
	var cells []string
	for _, f := range Features() {
		cells = append(cells, f.Name+" "+Cell(results, system, f.Name))
	}
	return fmt.Sprintf("%-9s %s", system, strings.Join(cells, "; "))
}

// title returns the name of a row.
func title(system string) string {
	if system == VM {
		return "virtual machine: Debian with SELinux"
	}
	o := lab.OS(system)
	name := "Debian "
	if o.Family() == lab.EL {
		name = "EL "
	}
	return name + strings.TrimLeft(system, "debianl")
}

const introduction = `# Operating systems

For those who want to know what is tested on the operating system of their hosts. ` + "`make test-matrix`" + ` wrote this
page from its results; do not edit it.

A cell says that all scripts passed which are to prove the feature there, or why nothing did. Versions are
those of the packages that the hosts install. ` + "`# proves:`" + ` in the first lines of each script of
` + "`testdata/lab`" + ` says which features it proves.

Hosts are the lab's, not installations: those of EL have EL's packages by name and place, with Debian's
programs in them. [lab.md](lab.md#what-it-is-not) says what a test there does not show.
`

// Page returns docs/hosts.md.
func Page(results []Result) string {
	var b strings.Builder
	b.WriteString(introduction)
	if len(results) > 0 {
		first, last := results[0].Time, results[0].Time
		var machines []string
		for _, r := range results {
			if r.Time.Before(first) {
				first = r.Time
			}
			if r.Time.After(last) {
				last = r.Time
			}
			machines = append(machines, r.Machine)
		}
		slices.Sort(machines)
		date := first.Format("2006-01-02")
		if to := last.Format("2006-01-02"); to != date {
			date += " to " + to
		}
		fmt.Fprintf(&b, "\n%d runs of scripts, on %s, on %s.\n", len(results), date, strings.Join(slices.Compact(machines), "; "))
	}
	features := Features()
	b.WriteString("\n| |")
	for _, f := range features {
		fmt.Fprintf(&b, " %s |", f.Name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(features)) + "\n")
	for _, system := range Systems() {
		fmt.Fprintf(&b, "| %s |", title(system))
		for _, f := range features {
			fmt.Fprintf(&b, " %s |", Cell(results, system, f.Name))
		}
		b.WriteString("\n")
	}
	return b.String()
}
