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
	Name  string `hcl:"name" id:"true"` // package name, without version and architecture
	State string `hcl:"state,optional"` // present, latest or absent; default: present
	// Names maps operating systems to other names of the package. A key is an ID of os-release(5),
	// such as almalinux, or a family, el or debian; an ID takes precedence.
	Names map[string]string `hcl:"names,optional" argv:"true"`

	// Version is the installed version, or empty.
	Version string `plan:"version"`

	broken    string // found: the package manager's word for a half-installed state
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

// Complete returns want with defaults.
func (packageType) Complete(_ engine.Target, want *Package) *Package {
	full := *want
	if full.State == "" {
		full.State = packagePresent
	}
	return &full
}

// nameOn returns the name of the package on the target.
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
	// packageName allows the names of Debian policy 5.6.1 and of RPM, except a final "-": apt-get(8)
	// would remove the package.
	packageName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9+._-]*[A-Za-z0-9+._])?$`)
	osName      = regexp.MustCompile(`^[a-z0-9._-]+$`) // os-release(5), ID
)

// checkPackage checks the name of a package.
func checkPackage(name string) error {
	switch {
	case packageName.MatchString(name):
		return nil
	case strings.ContainsAny(name, "=:/"):
		return fmt.Errorf("%q is more than a package name: remove the version (=), architecture (:) or release (/)", name)
	}
	return fmt.Errorf("invalid package name %q: use letters, digits and + . _ -, beginning with a letter or digit", name)
}

func (pt packageType) Validate(want *Package) []engine.Problem {
	out := report("name", checkPackage(want.Name))
	for _, os := range slices.Sorted(maps.Keys(want.Names)) {
		if !osName.MatchString(os) {
			out = append(out, refusal("names", fmt.Sprintf("invalid operating system %q", os),
				"use a family (debian, el) or an ID of os-release(5), such as almalinux"))
		}
		out = append(out, report("names", checkPackage(want.Names[os]))...)
	}
	if state := pt.Complete(engine.Target{}, want).State; !slices.Contains([]string{packagePresent, packageLatest, packageAbsent}, state) {
		out = append(out, refusal("state", fmt.Sprintf("invalid state %q", state), `use "present", "latest" or "absent"`))
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

// Read returns a state with "absent" for a missing package only if that is wanted.
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
			Final:   "a half-installed package is not restored",
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

// remove removes an installed package, unless it is essential.
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
		s.Final = "a half-installed package is not restored"
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
		out = append(out, refusal("", t.Name+" has no supported package manager", "supported are apt and dnf"))
	}
	if have == nil {
		return out
	}
	if have.essential && want.State == packageAbsent {
		out = append(out, refusal("state",
			fmt.Sprintf("package %s is essential on %s, and is never removed", want.Name, t.Name), ""))
	}
	if steps := pt.Diff(t, want, have); have.held && have.broken == "" && len(steps) > 0 {
		out = append(out, refusal("state",
			fmt.Sprintf("package %s is held on %s, so mirrorform cannot %s", want.Name, t.Name, steps[0].Summary),
			"to end the hold, run on the host: apt-mark unhold "+pt.nameOn(t, want)))
	}
	if have.unoffered {
		out = append(out, caution("state", fmt.Sprintf("no repository of %s offers package %s", t.Name, want.Name),
			"the installed version stays"))
	}
	return out
}
