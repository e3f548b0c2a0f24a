// Package adopt reads a mirror that somebody set up by hand and writes a configuration for it.
//
// It is pure: a Survey says what to ask a host, and takes the answers; a Draft is what they mean, and says what to ask in order to compare it with the host;
// Render writes the drafts of all hosts as HCL. All questions only read.
//
// A hand-made mirror lacks what a mirror block brings (an account, a log and its rotation, a script), so the configuration that changes nothing is one of plain
// resources. Each is compared with the host before it is written, and one that would change anything is left out and told: the plan is empty because it was
// made. The mirror block that would take the host over whole stands below as a comment, with what it would change. Where that is nothing, it is written in place of the
// resources.
package adopt

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// Host is what a draft has to know of a host besides its answers.
type Host struct {
	Name     string // as configured: fra1, or edge["ams"]
	Address  string // as configured
	Dir      string // absolute path of the configuration's directory
	Types    *engine.Registry
	Declared []*engine.Resource // what the configuration has on the host already
	MirrorsD *mirrorsd.File     // the mirror's entry in AlmaLinux's list, or nil
}

// Draft is the configuration of one host.
type Draft struct {
	Host    Host
	Remarks []Remark // what the operator should know
	Changes []string // what the proposed mirror block would change on the host, and why it would be refused

	target     engine.Target
	candidates []*candidate
	resources  []*engine.Resource // of the candidates, in their order
	name       string             // of the proposed mirror block
	spec       *mirror.Spec       // nil: there is no proposal
	parts      []*engine.Resource
	whole      bool // the proposal changes nothing
	found      bool
}

// Found tells whether a mirror of AlmaLinux was found at all.
func (d *Draft) Found() bool { return d.found }

// Empty tells whether there is nothing to write for the host.
func (d *Draft) Empty() bool { return len(d.candidates) == 0 && d.spec == nil }

// NewDraft makes a draft of a complete survey.
func NewDraft(s *Survey, h Host) *Draft {
	f := s.read()
	d := &Draft{Host: h, target: s.target, found: len(f.trees()) > 0}
	for _, c := range f.candidates() {
		r := &engine.Resource{Address: engine.Address{Host: h.Name, Type: c.kind, Name: c.name}.String(), Kind: h.Types.Kind(c.kind), State: c.state, Source: "adopt"}
		if problems := r.Kind.Validate(c.state); len(problems) > 0 {
			f.remark(Place{}, "%s %s is left out: %s", c.kind, c.name, printable(problems[0].String()))
			continue
		}
		if _, problems := engine.Order(s.target, append(slices.Concat(h.Declared, d.resources), r)); len(problems) > 0 {
			f.remark(Place{}, "%s %s is left out: the configuration has it already (%s)", c.kind, c.name, printable(problems[0].String()))
			continue
		}
		d.candidates, d.resources = append(d.candidates, c), append(d.resources, r)
	}
	d.propose(f)
	for _, j := range f.jobs {
		switch {
		case !j.almalinux():
			f.remark(j.at, "an rsync of something else, to %s, is left alone", printable(j.sync.tree))
		case f.again(j): // a script with several ways to run it
		case j != f.main() && j != f.kitten():
			f.remark(j.at, "a further sync of AlmaLinux, to %s", printable(j.sync.tree))
		case len(j.sync.wrappers) > 0:
			f.remark(j.at, "rsync runs under %s, which a mirror block does not do", strings.Join(j.sync.wrappers, " and "))
		}
	}
	if s.full {
		f.remark(Place{}, "there is more to read than %d files, or links and includes go too deep: not all was looked at", maxFiles)
	}
	d.Remarks = f.remarks
	return d
}

// propose makes the mirror block.
func (d *Draft) propose(f *found) {
	d.name, d.spec = f.proposal(d.Host)
	if d.spec == nil {
		return
	}
	if secretIn(reflect.ValueOf(d.spec.Sync)) || secretIn(reflect.ValueOf(d.spec.Kitten)) {
		f.remark(f.main().at, "an argument of this rsync looks like a secret, so no mirror block is proposed")
		d.spec = nil
		return
	}
	var problems []engine.Problem
	d.parts, problems = parts(d.Host, d.target, d.name, d.spec)
	for _, p := range problems {
		if p.Severity == engine.Error {
			d.Changes = append(d.Changes, "it would be refused: "+printable(p.String()))
		}
	}
	for _, s := range f.serving([]string{d.spec.Storage.Path}) {
		switch {
		case s.tls:
			d.Changes = append(d.Changes, s.at.String()+" serves HTTPS, which the block does not know: its web server stays as it is (server = \"none\")")
		case f.shared(s, f.trees()) && s.server == "nginx":
			d.Changes = append(d.Changes, s.at.String()+" has other sites beside this one: take the one that serves the tree out of it by hand")
		case s.server != "nginx":
			d.Changes = append(d.Changes, s.at.String()+" is Apache's, and stays as it is (server = \"none\")")
		}
	}
}

// Questions returns what to ask in order to compare the draft with the host.
func (d *Draft) Questions() []wire.Query {
	return engine.Questions(d.target, slices.Concat(d.resources, d.parts))
}

// Settle compares the draft with the host. What would change anything is left out.
func (d *Draft) Settle(got engine.Answers) {
	if d.spec != nil && len(d.parts) > 0 {
		d.settleProposal(got)
	}
	if d.whole {
		d.candidates = nil
		if d.spec.Publish != nil {
			d.Remarks = append(d.Remarks, Remark{Text: "the plan writes the mirror's entry, mirrors.d/" + printable(d.Host.MirrorsD.Name) + ".yml, on this machine, unless it is there as it would be written"})
		}
		return
	}
	var kept []*candidate
	for i, c := range d.candidates {
		plan := engine.Compare(d.target, []*engine.Resource{d.resources[i]}, got)
		why := planned(plan)
		if len(why) == 0 {
			kept = append(kept, c)
			continue
		}
		d.Remarks = append(d.Remarks, Remark{Text: fmt.Sprintf("%s %s is left out, since its plan would not be empty: %s", c.kind, c.name, strings.Join(why, "; "))})
	}
	d.candidates = kept
}

// planned is what a plan changes, and what it is refused for.
func planned(p *engine.HostPlan) []string {
	var list []string
	for _, problem := range p.Problems {
		if problem.Severity == engine.Error {
			list = append(list, "it would be refused: "+printable(problem.Shown().String()))
		}
	}
	for _, c := range p.Changes {
		for _, s := range c.Steps {
			list = append(list, printable(s.Summary))
		}
	}
	return list
}

func (d *Draft) settleProposal(got engine.Answers) {
	refused := len(d.Changes) > 0
	ordered, problems := engine.Order(d.target, d.parts)
	if len(problems) > 0 {
		d.Changes = append(d.Changes, "it would be refused: "+printable(problems[0].String()))
		return
	}
	changes := planned(engine.Compare(d.target, ordered, got))
	d.Changes = append(d.Changes, changes...)
	together, _ := engine.Order(d.target, append(slices.Clone(d.Host.Declared), d.parts...))
	d.whole = !refused && len(changes) == 0 && together != nil
}
