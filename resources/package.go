package resources

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Package is a package of the host's package manager.
type Package struct {
	Name string `hcl:"name" id:"true"` // its name, alone: no version, no architecture
	// State is "present" (the default), "latest" or "absent".
	State string `hcl:"state,optional"`
	// Names has other names for it by os-release(5) ID (almalinux) or family (el, debian); the ID goes first.
	Names map[string]string `hcl:"names,optional" argv:"true"`

	// Version is the installed one, or empty.
	Version string `plan:"version"`

	broken    string // found: the manager's word for a half-installed state
	essential bool   // found
	held      bool   // found
	unoffered bool   // found: installed, and no repository offers it
}

// The values of Package.State.
const (
	packagePresent = "present"
	packageLatest  = "latest"
	packageAbsent  = "absent"
)

type packageType struct{}

func init() { register("package", packageType{}) }

// Complete returns want with its defaults.
func (packageType) Complete(_ engine.Target, want *Package) *Package {
	full := *want
	if full.State == "" {
		full.State = packagePresent
	}
	return &full
}

// nameOn is the package's name on the target.
func (packageType) nameOn(t engine.Target, s *Package) string {
	for _, os := range []string{t.Facts.OS.ID, t.Facts.OS.Family} {
		if n := s.Names[os]; n != "" {
			return n
		}
	}
	return s.Name
}

func (pt packageType) Keys(t engine.Target, want *Package) (provides, needs []engine.Key) {
	return []engine.Key{engine.PackageKey(pt.nameOn(t, want))}, nil
}

var (
	// packageName covers Debian policy 5.6.1 and RPM's names, but for a final "-", by which apt-get(8) removes.
	packageName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9+._-]*[A-Za-z0-9+._])?$`)
	osName      = regexp.MustCompile(`^[a-z0-9._-]+$`) // os-release(5), ID
)

// checkPackage tells why a name is not that of one package.
func checkPackage(name string) error {
	switch {
	case packageName.MatchString(name):
		return nil
	case strings.ContainsAny(name, "=:/"):
		return fmt.Errorf("%q holds more than the name of a package: versions, architectures and releases are not chosen here", name)
	}
	return fmt.Errorf("%q cannot name a package: it takes letters, digits and + . _ -, beginning with a letter or digit", name)
}

func (pt packageType) Validate(want *Package) []engine.Problem {
	out := report("name", checkPackage(want.Name))
	for _, os := range slices.Sorted(maps.Keys(want.Names)) {
		if !osName.MatchString(os) {
			out = append(out, refusal("names", fmt.Sprintf("%q is no operating system", os), "use a family (debian, el) or the ID of os-release, like almalinux"))
		}
		out = append(out, report("names", checkPackage(want.Names[os]))...)
	}
	if state := pt.Complete(engine.Target{}, want).State; !slices.Contains([]string{packagePresent, packageLatest, packageAbsent}, state) {
		out = append(out, refusal("state", fmt.Sprintf("%q is no state of a package", state), `use "present", "latest" or "absent"`))
	}
	return out
}

func (pt packageType) query(t engine.Target, s *Package) wire.Query {
	q := wire.Query{Verb: wire.AskPackage, Arg: pt.nameOn(t, s)}
	if s.State == packageLatest {
		q.Option = "candidate"
	}
	return q
}

func (pt packageType) Ask(t engine.Target, want *Package) []wire.Query {
	return []wire.Query{pt.query(t, want)}
}

// Read returns a state also for a package that is absent and wanted so.
func (pt packageType) Read(t engine.Target, want *Package, got engine.Answers) (*Package, error) {
	p, err := got.Package(pt.query(t, want))
	if err != nil {
		return nil, err
	}
	want = pt.Complete(t, want)
	have := &Package{Name: want.Name, Names: want.Names, Version: p.Installed, broken: p.Broken, essential: p.Essential, held: p.Held}
	switch {
	case p.Broken != "":
		have.State = "broken: " + p.Broken
	case p.Installed == "" && want.State == packageAbsent:
		have.State = packageAbsent
	case p.Installed == "":
		return nil, nil
	case want.State == packageLatest && (p.Candidate == "" || p.Candidate == p.Installed):
		have.State, have.unoffered = packageLatest, p.Candidate == ""
	default:
		have.State = packagePresent
	}
	return have, nil
}

func (pt packageType) Diff(t engine.Target, want, have *Package) []engine.Step {
	if want == nil {
		if have.State == packageAbsent {
			return nil
		}
		return pt.remove(pt.nameOn(t, have), have)
	}
	want = pt.Complete(t, want)
	name := pt.nameOn(t, want)
	if have == nil {
		if want.State == packageAbsent {
			return nil
		}
		return []engine.Step{{
			Summary: "install package " + want.Name,
			Do:      wire.Op{Package: &wire.PackageOp{Install: []string{name}}},
			Undo:    &wire.Op{Package: &wire.PackageOp{Remove: []string{name}}},
		}}
	}
	have = pt.Complete(t, have)
	switch {
	case want.State == have.State, want.State == packagePresent && have.State == packageLatest:
		return nil
	case want.State == packageAbsent:
		return pt.remove(name, have)
	case have.State == packageAbsent:
		return pt.Diff(t, want, nil)
	case have.broken != "":
		return []engine.Step{{
			Summary: "repair package " + want.Name,
			Do:      wire.Op{Package: &wire.PackageOp{Install: []string{name}}},
			Final:   "a half-installed package is not put back",
		}}
	}
	s := engine.Step{Summary: "upgrade package " + want.Name, Do: wire.Op{Package: &wire.PackageOp{Install: []string{name}}}}
	if have.Version == "" {
		s.Final = "the version that was installed is not known"
	} else {
		s.Undo = &wire.Op{Package: &wire.PackageOp{Install: []string{name + "=" + have.Version}}}
	}
	return []engine.Step{s}
}

// remove takes an installed package away, unless the system needs it.
func (packageType) remove(name string, have *Package) []engine.Step {
	if have.essential {
		return nil
	}
	s := engine.Step{
		Summary: "remove package " + have.Name,
		Do:      wire.Op{Package: &wire.PackageOp{Remove: []string{name}}},
	}
	switch {
	case have.broken != "":
		s.Final = "a half-installed package is not put back"
	case have.Version == "":
		s.Undo = &wire.Op{Package: &wire.PackageOp{Install: []string{name}}}
	default:
		s.Undo = &wire.Op{Package: &wire.PackageOp{Install: []string{name + "=" + have.Version}}}
	}
	return []engine.Step{s}
}

func (pt packageType) Check(t engine.Target, want, have *Package) []engine.Problem {
	if want == nil {
		return nil
	}
	var out []engine.Problem
	if t.Facts.Packages == "" {
		out = append(out, refusal("", t.Name+" has no package manager that is known here", "apt and dnf are"))
	}
	if have == nil {
		return out
	}
	if have.essential && want.State == packageAbsent {
		out = append(out, refusal("state", fmt.Sprintf("%s is essential to %s and is never removed", want.Name, t.Name), ""))
	}
	if steps := pt.Diff(t, want, have); have.held && have.broken == "" && len(steps) > 0 {
		out = append(out, refusal("state", fmt.Sprintf("%s is held on %s, so it is neither upgraded nor removed (%s)", want.Name, t.Name, steps[0].Summary),
			"to release it: apt-mark unhold "+pt.nameOn(t, want)))
	}
	if have.unoffered {
		out = append(out, caution("state", fmt.Sprintf("no repository of %s offers %s", t.Name, want.Name), "the installed version stays"))
	}
	return out
}
