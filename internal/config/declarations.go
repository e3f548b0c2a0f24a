package config

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// declarations holds the blocks of a configuration before they are evaluated.
type declarations struct {
	eval     *lang.Evaluator
	registry *engine.Registry

	variables  *lang.Variables
	locals     *lang.Locals
	outputs    *lang.Outputs
	hostBlocks map[string]*hostBlock
	blocks     []*block // resources and composites in source order
	byName     map[string]*block
	checks     map[string]*checkBlock
	moves      []*move       // in source order
	geoIP      *geoIPBlock   // nil without a geoip block
	rollout    *rolloutBlock // nil without a rollout block

	misses lang.Misses
}

func newDeclarations(e *lang.Evaluator, registry *engine.Registry) *declarations {
	return &declarations{
		eval: e, registry: registry, variables: lang.NewVariables(e), locals: lang.NewLocals(e), outputs: lang.NewOutputs(e),
		hostBlocks: map[string]*hostBlock{}, byName: map[string]*block{}, checks: map[string]*checkBlock{},
	}
}

// blockLabels has the labels of each block type, except composite types.
var blockLabels = map[string][]string{
	"host": {"NAME"}, "resource": {"TYPE", "NAME"}, "variable": {"NAME"}, "locals": nil, "output": {"NAME"},
	"check": {"NAME"}, "moved": nil, "removed": nil, "geoip": nil, "rollout": nil,
}

// labels returns the names of the labels of a block type.
func (d *declarations) labels(blockType string) (labels []string, known bool) {
	if d.registry.Composite(blockType) != nil {
		return []string{"NAME"}, true
	}
	labels, known = blockLabels[blockType]
	return labels, known
}

// identifier matches valid names of hosts, resources and so on. Names become parts of addresses and
// file names, so they must not need quoting.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func isIdentifier(s string) bool { return len(s) <= 63 && identifier.MatchString(s) }

// declare adds the declarations of a file, and checks what needs no evaluation.
func (d *declarations) declare(body *hclsyntax.Body) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, a := range lang.SortedAttributes(body) {
		detail := "Arguments are not allowed outside of blocks."
		if _, ok := d.labels(a.Name); ok {
			detail = fmt.Sprintf("%q is a block: write it without the equals sign.", a.Name)
		} else if d.variables.Has(a.Name) {
			detail += fmt.Sprintf(" To set the variable %s, write this line in a *.hclvars file.", a.Name)
		}
		diags = append(diags, lang.ErrorAt(a.NameRange, "Unsupported argument", "%s", detail))
	}
	for _, b := range body.Blocks {
		if b.Body == nil {
			continue
		}
		labels, known := d.labels(b.Type)
		if !known {
			diags = append(diags, lang.ErrorAt(b.TypeRange, "Unsupported block",
				"There is no block named %q.%s", b.Type, d.hintForBlock(b.Type)))
			continue
		}
		if labelDiags := checkLabels(b, labels); labelDiags.HasErrors() {
			diags = append(diags, labelDiags...)
			continue
		}
		diags = append(diags, d.declareOne(b)...)
	}
	return diags
}

func (d *declarations) declareOne(b *hclsyntax.Block) hcl.Diagnostics {
	switch b.Type {
	case "host":
		return d.declareHost(b)
	case "variable":
		return d.variables.Declare(b)
	case "locals":
		return d.locals.Declare(b)
	case "output":
		return d.outputs.Declare(b)
	case "check":
		return d.declareCheck(b)
	case "moved", "removed":
		m, diags := readMove(d.eval, d.registry, b)
		if m != nil {
			d.moves = append(d.moves, m)
		}
		return diags
	case "geoip":
		return d.declareGeoIP(b)
	case "rollout":
		return d.declareRollout(b)
	}
	return d.declareBlock(b)
}

// hintForBlock suggests a block for an unknown one. A resource type written as a block is a common
// mistake.
func (d *declarations) hintForBlock(name string) string {
	if d.registry.Kind(name) != nil {
		return fmt.Sprintf(" It is a resource type: write resource %q \"NAME\" { … }.", name)
	}
	if hint := foreignHint(name); hint != "" {
		return hint
	}
	return lang.DidYouMean(name, slices.Concat(lang.SortedKeys(blockLabels), d.registry.CompositeNames()))
}

func checkLabels(b *hclsyntax.Block, want []string) hcl.Diagnostics {
	if len(b.Labels) > len(want) {
		return hcl.Diagnostics{lang.ErrorAt(b.LabelRanges[len(want)], "Unexpected label", "%s", labelsWanted(b.Type, want))}
	}
	if len(b.Labels) < len(want) {
		return hcl.Diagnostics{lang.ErrorAt(b.DefRange(), "Missing label", "%s", labelsWanted(b.Type, want))}
	}
	for i, l := range b.Labels {
		if want[i] == "NAME" && !isIdentifier(l) {
			return hcl.Diagnostics{lang.ErrorAt(b.LabelRanges[i], "Invalid name",
				"A name starts with a letter or an underscore, contains only letters, digits, underscores and dashes, "+
					"and has at most 63 characters.")}
		}
	}
	return nil
}

func labelsWanted(blockType string, labels []string) string {
	switch len(labels) {
	case 0:
		return fmt.Sprintf("A block named %q has no labels: %s { … }.", blockType, blockType)
	case 1:
		return fmt.Sprintf("A block named %q has one label, its name: %s \"NAME\" { … }.", blockType, blockType)
	default:
		return fmt.Sprintf("A block named %q has two labels, its type and its name: %s \"TYPE\" \"NAME\" { … }.", blockType, blockType)
	}
}

// checkAll checks every expression once, in its scope.
func (d *declarations) checkAll() hcl.Diagnostics {
	diags := d.variables.Check(d.names(scope{eachWhy: noForEach}))
	noEach := "The object each is available only in blocks with a for_each argument, not in locals."
	diags = append(diags, d.locals.Check(d.names(scope{eachWhy: noEach}))...)
	for _, name := range lang.SortedKeys(d.hostBlocks) {
		diags = append(diags, d.checkHost(d.hostBlocks[name])...)
	}
	for _, b := range d.blocks {
		diags = append(diags, d.checkBlock(b)...)
	}
	for _, name := range lang.SortedKeys(d.checks) {
		diags = append(diags, d.checkCheck(d.checks[name])...)
	}
	if d.geoIP != nil {
		diags = append(diags, d.check(scope{eachWhy: noForEach}, lang.Expressions(d.geoIP.body)...)...)
	}
	if d.rollout != nil {
		diags = append(diags, d.check(scope{eachWhy: noForEach}, lang.Expressions(d.rollout.body)...)...)
	}
	return append(diags, d.outputs.Check(d.names(scopeOutput))...)
}
