// Package adopt reads a mirror that was set up by hand and writes a configuration for it.
//
// It is pure: a Survey returns the questions for a host and takes the answers. A Draft is the
// configuration for these answers; it has questions of its own, to compare it with the host. Render
// writes the drafts of all hosts as HCL. All questions only read.
//
// A mirror that was set up by hand lacks parts of a mirror block (an account, a log and its
// rotation, a script). So the configuration consists of plain resources, which change nothing. Each
// is compared with the host before it is written. A resource that would change anything is left out
// with a remark, so the plan of the result is always empty. The mirror block that would manage all
// of the host follows as a comment, with the changes that it would make. If it would change
// nothing, it is written instead of the resources.
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
	"github.com/mirrorform/mirrorform/resources"
)

// Input has the inputs of a draft besides the answers of the host.
type Input struct {
	Name     string // as configured: fra1, or edge["ams"]
	Address  string // as configured
	Dir      string // absolute path of the configuration's directory
	Types    *engine.Registry
	Declared []*engine.Resource // resources that the configuration already has on the host
	MirrorsD *mirrorsd.File     // the mirror's entry in AlmaLinux's list, or nil
}

// Draft is the configuration of one host.
type Draft struct {
	Host    Input
	Remarks []Remark // notes for the operator
	Changes []string // what the proposed mirror block would change on the host, or why it is not valid

	target     engine.Target
	candidates []*candidate
	resources  []*engine.Resource // of the candidates, in their order
	name       string             // of the proposed mirror block
	spec       *mirror.Spec       // the proposed mirror block; nil without a proposal
	parts      []*engine.Resource
	whole      bool // the proposal changes nothing
	found      bool
	trees      []string
	lock       string
}

// Found reports whether a mirror of AlmaLinux was found. Remarks has what was seen, also without
// one.
func (d *Draft) Found() bool { return d.found }

// Understood returns the trees that were found, and the lock of the sync: the file of flock(1), or
// what takes another lock in parentheses, such as (mkdir).
func (d *Draft) Understood() (trees []string, lock string) { return d.trees, d.lock }

// Empty reports whether there is no configuration to write for the host.
func (d *Draft) Empty() bool { return len(d.candidates) == 0 && d.spec == nil }

// NewDraft returns a draft for a complete survey.
func NewDraft(s *Survey, h Input) *Draft {
	f := s.read()
	d := &Draft{Host: h, target: s.target, found: len(f.trees()) > 0, trees: f.trees()}
	if j := f.main(); j != nil {
		if d.lock = j.sync.lock(); d.lock == "" && len(j.sync.locks) > 0 {
			d.lock = "(" + j.sync.locks[0].Kind + ")"
		}
	}
	for _, c := range f.candidates() {
		address := engine.Address{Host: h.Name, Type: c.kind, Name: c.name}
		r := &engine.Resource{Address: address, Kind: h.Types.Kind(c.kind), State: c.state, Source: "adopt"}
		if problems := r.Kind.Validate(c.state); len(problems) > 0 {
			f.remark(Place{}, "%s %s is left out: %s", c.kind, c.name, printable(problems[0].String()))
			continue
		}
		if _, problems := engine.Order(s.target, append(slices.Concat(h.Declared, d.resources), r)); len(problems) > 0 {
			f.remark(Place{}, "%s %s is left out: the configuration already has it (%s)", c.kind, c.name, printable(problems[0].String()))
			continue
		}
		d.candidates, d.resources = append(d.candidates, c), append(d.resources, r)
	}
	d.propose(f)
	f.leftOut(h)
	if s.full {
		f.remark(Place{}, "there are more than %d files to read, or links and includes are nested too deeply: some files were not read", maxFiles)
	}
	d.Remarks = f.remarks
	return d
}

// declares reports whether the configuration already has a tree.
func (h *Input) declares(tree string) bool {
	return slices.ContainsFunc(h.Declared, func(r *engine.Resource) bool {
		s, ok := r.State.(*resources.Tree)
		return ok && s.Path == tree
	})
}

// propose sets the proposed mirror block.
func (d *Draft) propose(f *found) {
	d.name, d.spec = f.proposal(d.Host)
	if d.spec == nil {
		return
	}
	if secretIn(reflect.ValueOf(d.spec.Sync)) || secretIn(reflect.ValueOf(d.spec.Kitten)) {
		at := Place{}
		if m := f.main(); m != nil {
			at = m.sync.at
		}
		f.remark(at, "an argument of this rsync looks like a secret, so no mirror block is proposed")
		d.spec = nil
		return
	}
	var problems []engine.Problem
	d.parts, problems = parts(d.Host, d.target, d.name, d.spec)
	for _, p := range problems {
		if p.Severity == engine.Error {
			d.Changes = append(d.Changes, "it is not valid: "+printable(p.String()))
		}
	}
	for _, s := range f.serving([]string{d.spec.Storage.Path}) {
		switch {
		case s.tls:
			d.Changes = append(d.Changes, s.at.String()+" serves HTTPS, which a mirror block does not support: this web server stays unmanaged (server = \"none\")")
		case f.shared(s, f.trees()) && s.server == "nginx":
			d.Changes = append(d.Changes, s.at.String()+" also has other sites: remove the site that serves the tree from it by hand")
		case s.server != "nginx":
			d.Changes = append(d.Changes, s.at.String()+" is a site of Apache, which stays unmanaged (server = \"none\")")
		}
	}
}

// Questions returns the questions that compare the draft with the host.
func (d *Draft) Questions() []wire.Query {
	return engine.Questions(d.target, slices.Concat(d.resources, d.parts))
}

// Settle compares the draft with the host. It removes resources that would change anything.
func (d *Draft) Settle(got engine.Answers) {
	if d.spec != nil && len(d.parts) > 0 {
		d.settleProposal(got)
	}
	if d.whole {
		d.candidates = nil
		if d.spec.Publish != nil {
			d.Remarks = append(d.Remarks, Remark{Text: "the plan writes the mirror's entry, mirrors.d/" +
				printable(d.Host.MirrorsD.Name) + ".yml, on this machine, unless it already has that content"})
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
		d.Remarks = append(d.Remarks, Remark{Text: fmt.Sprintf("%s %s is left out, because its plan would not be empty: %s",
			c.kind, c.name, strings.Join(why, "; "))})
	}
	d.candidates = kept
}

// planned returns the changes and the errors of a plan.
func planned(p *engine.HostPlan) []string {
	var list []string
	for _, problem := range p.Problems {
		if problem.Severity == engine.Error {
			list = append(list, "it is not valid: "+printable(problem.Shown().String()))
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
		d.Changes = append(d.Changes, "it is not valid: "+printable(problems[0].String()))
		return
	}
	changes := planned(engine.Compare(d.target, ordered, got))
	d.Changes = append(d.Changes, changes...)
	together, _ := engine.Order(d.target, append(slices.Clone(d.Host.Declared), d.parts...))
	d.whole = !refused && len(changes) == 0 && together != nil
}
