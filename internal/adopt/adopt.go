// Package adopt reads a mirror that was set up by hand and writes a configuration for it.
//
// It is pure: a Survey returns the questions for a host and takes the answers. A Draft is the
// configuration for these answers; it has questions of its own, to compare it with the host. Render
// writes the drafts of all hosts as HCL. All questions only read.
//
// The configuration is the mirror block that takes the tree over. It leaves the web server, the
// rsync daemon and other trees to the operator. Each draft says what its block changes, and what to
// do by hand before. If the block is not valid on the host, what exists is written as plain
// resources. Each of them is compared with the host first: one that would change anything is left
// out with a remark.
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
	Content  bool               // whether the content of files is copied, except secrets
}

// Draft is the configuration of one host.
type Draft struct {
	Host    Input
	Remarks []Remark // notes for the operator
	Changes []string // what the proposed mirror block changes on the host, or why it is not valid

	target     engine.Target
	candidates []*candidate
	resources  []*engine.Resource // of the candidates, in their order
	name       string             // of the proposed mirror block
	spec       *mirror.Spec       // the proposed mirror block; nil without a proposal
	parts      []*engine.Resource
	whole      bool // the proposal changes nothing
	active     bool // the proposal is valid, so it is written instead of the resources
	found      bool
	trees      []string
	lock       string

	edited  []string            // files that start the syncs, of which a line has to be taken out
	before  []string            // what to do by hand before the proposal is applied
	others  []otherTree         // directories of the host that stay unchanged
	files   []string            // files that were read, with their digests
	deletes bool                // the sync that was found deletes what the upstream does not have
	daemon  *mirror.RsyncDaemon // what a module of the host would be in the block
	values  []string            // secrets of the host, which nothing shows
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
	for _, c := range f.candidates(h.Content) {
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
	d.describe(f)
	if s.full {
		f.remark(Place{}, "there are more than %d files to read, or links and includes are nested too deeply: some files were not read", maxFiles)
	}
	d.Remarks = f.remarks
	d.values = f.secretValues()
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
}

// Questions returns the questions that compare the draft with the host.
func (d *Draft) Questions() []wire.Query {
	return engine.Questions(d.target, slices.Concat(d.resources, d.parts))
}

// Settle compares the draft with the host. It removes resources that would change anything.
func (d *Draft) Settle(got engine.Answers) {
	defer d.hide()
	if d.spec != nil && len(d.parts) > 0 {
		d.settleProposal(got)
	}
	if d.active && d.spec.Publish != nil {
		d.Remarks = append(d.Remarks, Remark{Text: "the plan writes the mirror's entry, mirrors.d/" +
			printable(d.Host.MirrorsD.Name) + ".yml, on this machine, unless it already has that content"})
	}
	if d.whole {
		d.candidates = nil
		return
	}
	var kept []*candidate
	for i, c := range d.candidates {
		if d.active && !d.beside(c, d.resources[i]) {
			continue
		}
		if file, ok := c.state.(*resources.File); ok && d.active && slices.Contains(d.edited, file.Path) && file.Content != nil {
			c.notes = append(c.notes, "The content is not managed, since a line has to be taken out by hand:")
			c.notes = append(c.notes, commented(*file.Content)...)
			file.Content = nil
		}
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

// beside reports whether a resource is written beside the mirror block: a file that the block has
// not, if the content of files was asked for.
func (d *Draft) beside(c *candidate, r *engine.Resource) bool {
	if _, ok := c.state.(*resources.File); !ok || !d.Host.Content {
		return false
	}
	_, problems := engine.Order(d.target, append(slices.Concat(d.Host.Declared, d.parts), r))
	return len(problems) == 0
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

// settleProposal compares the mirror block with the host.
func (d *Draft) settleProposal(got engine.Answers) {
	changes, valid := d.compare(got)
	if !valid && d.claims() {
		claimed := *d.spec
		claimed.Storage.Claim = claimed.Storage.Path
		parts, problems := parts(d.Host, d.target, d.name, &claimed)
		if !slices.ContainsFunc(problems, func(p engine.Problem) bool { return p.Severity == engine.Error }) {
			was, spec := d.parts, d.spec
			d.parts, d.spec = parts, &claimed
			again, now := d.compare(got)
			if now {
				changes, valid = again, now
				d.Remarks = append(d.Remarks, Remark{At: Place{claimed.Storage.Path, 0}, Text: "the directory does not look like a whole tree of AlmaLinux. " +
					"The sync that is there deletes what the upstream does not have, as a mirror block does, so the block claims the directory"})
			} else {
				d.parts, d.spec = was, spec
			}
		}
	}
	refused := len(d.Changes) > 0
	d.Changes = append(d.Changes, changes...)
	together, problems := engine.Order(d.target, append(slices.Clone(d.Host.Declared), d.parts...))
	if len(problems) > 0 && valid {
		d.Changes = append(d.Changes, "it is not valid: "+printable(problems[0].String()))
	}
	d.active = !refused && valid && together != nil && len(problems) == 0
	d.whole = d.active && len(changes) == 0
}

// claims reports whether the sync that was found deletes what the upstream does not have.
func (d *Draft) claims() bool { return d.deletes && d.spec.Storage.Claim == "" }

// compare returns what the mirror block changes, and whether it is valid.
func (d *Draft) compare(got engine.Answers) (changes []string, valid bool) {
	ordered, problems := engine.Order(d.target, d.parts)
	if len(problems) > 0 {
		return []string{"it is not valid: " + printable(problems[0].String())}, false
	}
	changes = planned(engine.Compare(d.target, ordered, got))
	return changes, !slices.ContainsFunc(changes, func(c string) bool { return strings.HasPrefix(c, "it is not valid: ") })
}
