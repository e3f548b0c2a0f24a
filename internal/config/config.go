// Package config defines the blocks of a configuration, in the language of package lang. It reads a
// directory of HCL files and returns the hosts and the wanted resources of each host.
//
// Names are Terraform's wherever Terraform has one. The blocks are
//
//	host NAME          a machine; with for_each, a group of machines
//	mirror NAME        a mirror of AlmaLinux, see package mirror, with hosts, depends_on and
//	                   lifecycle (prevent_destroy, precondition)
//	resource TYPE NAME a resource, with hosts, for_each, depends_on and lifecycle (prevent_destroy,
//	                   precondition, postcondition) and the arguments of its type
//	variable NAME      an input (type, default, description, validation, sensitive, nullable)
//	locals             named expressions
//	output NAME        a result (value, description, sensitive)
//	check NAME         asserts that cause warnings (hosts, assert)
//	moved              renames a resource or mirror (from, to)
//	removed            releases a resource or mirror, which stays on its hosts (from)
//	geoip              GeoIP databases for verify and publish (databases)
//	rollout            the order and the limits of an apply on many hosts (waves, max_failures,
//	                   on_failure, pause, spread_by, gate)
//
// Expressions can refer to
//
//	var.NAME, local.NAME
//	host.NAME             an object with name, key, address, labels, user and port; for a group, a
//	                      map of these
//	path.root, path.module, path.cwd
//	each.key, each.value  in blocks with for_each
//	target                in the bodies of mirrors and resources, and in checks with hosts: the host
//	                      that the expression is evaluated for, with the attributes of host.NAME
//	                      and facts
//	self                  in postconditions: the state that was found after an apply, or null
//
// Resources and mirrors have no values to refer to. depends_on, moved and removed name them as
// TYPE.NAME, resource.TYPE.NAME or mirror.NAME.
//
// Load checks everything that can be checked without a host, and reports all errors, not only the
// first. Expressions that need facts of a host are unknown then. Resources evaluates them once the
// facts are known.
package config

import (
	"cmp"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// Options are the inputs of Load.
type Options struct {
	// Dir is the directory with the configuration's *.hcl files.
	Dir string
	// Sources set variables, after the files that are loaded automatically. They are read in this
	// order; a later one overrides an earlier one.
	Sources []lang.VarSource
	// Environ is the environment as "KEY=value". MIRRORFORM_VAR_name sets the variable name.
	Environ []string
	// Confine does not let the configuration read files outside Dir.
	Confine bool
	// AllowMissing makes a variable without a value unknown. Otherwise it is an error.
	AllowMissing bool
	// Registry has the resource types.
	Registry *engine.Registry
}

// Config is a loaded configuration. Its methods are safe for concurrent use.
type Config struct {
	eval      *lang.Evaluator
	declared  *declarations
	inventory *inventory
	global    *hcl.EvalContext // var, local, host and path
	bodies    *bodies
	rollout   *Rollout

	failed bool // Load has reported errors
	// warned holds the warnings of Load, which Resources does not repeat.
	warned map[warning]bool
}

// Load reads a configuration and checks everything that needs no host. The Config is never nil:
// with errors, it can still return the Files to print diagnostics with, but nothing else.
// Diagnostics are sorted by file and position, without duplicates.
func Load(o Options) (*Config, hcl.Diagnostics) {
	c := newConfig(o)
	diags := c.load(o)
	c.failed = diags.HasErrors()
	for _, d := range diags {
		c.warned[warningOf(d)] = true
	}
	return c, lang.Tidy(diags)
}

// warning identifies a warning independently of the hosts that its text names.
type warning struct {
	summary string
	at      hcl.Range
}

func warningOf(d *hcl.Diagnostic) warning {
	w := warning{summary: d.Summary}
	if d.Subject != nil {
		w.at = *d.Subject
	}
	return w
}

func newConfig(o Options) *Config {
	registry := o.Registry
	if registry == nil {
		registry = &engine.Registry{}
	}
	eval := lang.NewEvaluator(cmp.Or(o.Dir, "."), o.Confine, foreignHint)
	declared := newDeclarations(eval, registry)
	inv := newInventory(declared.hostBlocks)
	return &Config{
		eval: eval, declared: declared, inventory: inv, warned: map[warning]bool{},
		bodies: &bodies{eval: eval, registry: registry, inventory: inv},
	}
}

func (c *Config) load(o Options) hcl.Diagnostics {
	bodies, diags := c.eval.ReadFiles()
	syntaxErrors := diags.HasErrors()
	for _, b := range bodies {
		diags = append(diags, c.declared.declare(b)...)
	}
	if syntaxErrors {
		// A declaration may be in the part that the parser skipped. Further checks would report it as
		// missing and blame the wrong lines.
		return diags
	}
	diags = append(diags, c.declared.checkAll()...)
	diags = append(diags, c.evaluate(o)...)
	diags = append(diags, c.checkTogether()...)
	if !diags.HasErrors() && len(c.declared.variables.Missing) == 0 {
		diags = append(diags, c.eval.ReportUnsettled()...)
	}
	return diags
}

// evaluate evaluates all declarations. The order matters: each step uses the values of earlier
// ones.
func (c *Config) evaluate(o Options) hcl.Diagnostics {
	d := c.declared
	g := &globals{eval: c.eval, variables: d.variables, locals: d.locals, inventory: c.inventory, path: pathValue()}
	diags := d.variables.Set(lang.Inputs{Sources: o.Sources, Environ: o.Environ, AllowMissing: o.AllowMissing})
	diags = append(diags, g.evaluate()...)
	c.global = g.all
	diags = append(diags, d.variables.Validate(c.global)...)
	if d.geoIP != nil {
		diags = append(diags, d.geoIP.evaluate(c.eval, c.global)...)
	}
	p := &placement{c.eval, c.inventory, g}
	diags = append(diags, p.blocks(d.blocks)...)
	diags = append(diags, c.bodies.decodeAll(d.blocks)...)
	diags = append(diags, c.inventory.checkSameHosts()...)
	diags = append(diags, d.checkDependsOn()...)
	diags = append(diags, checkMoves(d)...)
	for _, name := range lang.SortedKeys(d.checks) {
		diags = append(diags, d.checks[name].place(p)...)
	}
	if b := d.rollout; b != nil {
		rollout, rolloutDiags := b.place(c.eval, g.contextFor(lang.Expressions(b.body)...), c.inventory)
		c.rollout = rollout
		diags = append(append(diags, rolloutDiags...), c.checkWaves()...)
	}
	_, outputDiags := c.evalOutputs(nil)
	return append(diags, outputDiags...)
}

// WithoutValue returns the names of the variables without a value, sorted. Their values are
// unknown.
func (c *Config) WithoutValue() []string { return slices.Clone(c.declared.variables.Missing) }

// Files returns the sources that diagnostics refer to, by the file name in their ranges:
// configuration, variable and template files, and values from --var and the environment. Values of
// sensitive variables are replaced with asterisks.
func (c *Config) Files() map[string]*hcl.File { return c.eval.Sources.All() }

// Secrets returns the secret values that are known so far (see lang.Secrets.Known).
func (c *Config) Secrets() []string { return c.eval.Secrets.Known(c.eval.Sources) }

// Hosts returns the hosts in the order of their declaration, and the hosts of a group by key. Host
// local comes last, if it has resources.
func (c *Config) Hosts() []*DeclaredHost { return slices.Clone(c.inventory.list) }

// Rollout returns the rollout block, or nil without one.
func (c *Config) Rollout() *Rollout { return c.rollout }

// GeoIP returns the databases of the geoip block, in source order.
func (c *Config) GeoIP() []GeoIPDatabase {
	if c.declared.geoIP == nil {
		return nil
	}
	return c.declared.geoIP.databases
}

// Moves returns the moved and removed blocks in source order, files sorted by name. Chains of moves
// are followed to their end: To is the address that is declared now, or empty if the chain ends
// with a removed block.
func (c *Config) Moves() []engine.Move {
	if c.failed {
		return nil
	}
	moves := make([]engine.Move, len(c.declared.moves))
	for n, m := range c.declared.moves {
		moves[n].From = m.from.String()
		if m.to != nil {
			moves[n].To = m.to.String()
		}
	}
	return moves
}
