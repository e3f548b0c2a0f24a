// Package config is mirrorform's vocabulary in the language of package lang: it reads a directory
// of HCL files and says which hosts there are and which resources are wanted on each.
//
// It has Terraform's names wherever Terraform has one. Its blocks are
//
//	host NAME          a machine; with for_each, a group of machines
//	mirror NAME        a mirror of AlmaLinux, see package mirror, with hosts, depends_on and lifecycle (prevent_destroy, precondition)
//	resource TYPE NAME a resource, with hosts, for_each, depends_on and lifecycle (prevent_destroy, precondition, postcondition)
//	                   besides the arguments of its type
//	variable NAME      an input (type, default, description, validation, sensitive, nullable)
//	locals             named expressions
//	output NAME        a result (value, description, sensitive)
//	check NAME         asserts whose failure is a warning (hosts, assert)
//	moved              a resource or mirror has another name now (from, to)
//	removed            a resource or mirror is let go, and stays on hosts as it is (from)
//	geoip              the GeoIP databases that verify and publish look addresses up in (databases)
//	rollout            how an apply goes through the hosts (waves, max_failures, on_failure, pause, spread_by, gate)
//
// Expressions refer to var.NAME, local.NAME, host.NAME (with name, key, address, labels, user and
// port; a map of these for a group), path.root and path.module (the configuration's directory) and
// path.cwd, each.key and each.value in blocks with for_each, and target (name, key, address,
// labels, user, port and facts) in the bodies of mirrors and resources, and in checks with hosts:
// the host that the expression is evaluated for. In a postcondition, self is the state that was
// found after an apply, or null. Resources and mirrors have no other values to refer to;
// depends_on, moved and removed name them as TYPE.NAME, resource.TYPE.NAME or mirror.NAME.
//
// Load checks everything that can be checked without a host and reports all that is wrong, not the first thing only. Expressions that
// need facts of a host are unknown then; Resources evaluates them when the facts are there.
package config

import (
	"cmp"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// Options says what Load reads.
type Options struct {
	// Dir is the directory with the configuration's *.hcl files.
	Dir string
	// Sources give variable values, after the files that are read by themselves and in this order: the last one counts.
	Sources []lang.VarSource
	// Environ is the environment as "KEY=value"; MIRRORFORM_VAR_name is the value of the variable of that name.
	Environ []string
	// Confine keeps the configuration from reading files outside Dir.
	Confine bool
	// AllowMissing takes a variable that has no value as unknown, which is an error otherwise.
	AllowMissing bool
	// Registry holds the resource types.
	Registry *engine.Registry
}

// Config is a configuration that was read. Its methods may be called by many goroutines at once.
type Config struct {
	eval      *lang.Evaluator
	declared  *declarations
	inventory *inventory
	global    *hcl.EvalContext // var, local, host and path
	bodies    *bodies
	rollout   *Rollout

	failed bool // Load has reported errors
	// warned holds what Load has warned of, so that Resources does not repeat it.
	warned map[warning]bool
}

// Load reads a configuration and checks all that needs no host. The Config is never nil, so that Files can serve to print the diagnostics;
// when there are errors it is good for nothing else. Diagnostics are sorted by file and position, and none is repeated.
func Load(o Options) (*Config, hcl.Diagnostics) {
	c := newConfig(o)
	diags := c.load(o)
	c.failed = diags.HasErrors()
	for _, d := range diags {
		c.warned[warningOf(d)] = true
	}
	return c, lang.Tidy(diags)
}

// warning tells one warning from others, whatever hosts it names.
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
		eval: eval, declared: declared, inventory: inv, bodies: &bodies{eval, registry, inv}, warned: map[warning]bool{},
	}
}

func (c *Config) load(o Options) hcl.Diagnostics {
	bodies, diags := c.eval.ReadFiles()
	syntaxErrors := diags.HasErrors()
	for _, b := range bodies {
		diags = append(diags, c.declared.declare(b)...)
	}
	if syntaxErrors {
		// What is missing may stand where the parser lost its way: to look further would blame the wrong lines.
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

// evaluate finds the values of all that is declared, in the order in which one needs the other.
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
		diags = append(diags, rolloutDiags...)
	}
	_, outputDiags := c.evalOutputs(nil)
	return append(diags, outputDiags...)
}

// WithoutValue returns the names of the variables that have no value, sorted: they are unknown.
func (c *Config) WithoutValue() []string { return slices.Clone(c.declared.variables.Missing) }

// Files returns the sources that diagnostics refer to, by the names in their ranges: configuration, variable and template files, and values
// given by other ways. The values of sensitive variables are blanked out.
func (c *Config) Files() map[string]*hcl.File { return c.eval.Sources.All() }

// Secrets returns the secret values that are known so far; there are never fewer later. Of
// arguments that are made with a secret, it has the words that are written in none of the sources.
func (c *Config) Secrets() []string { return c.eval.Secrets.Known(c.eval.Sources) }

// Hosts returns the hosts in the order of their declaration, those of a group by key. Host local
// comes last, if anything is placed on it.
func (c *Config) Hosts() []*Host { return slices.Clone(c.inventory.list) }

// Rollout is how an apply goes through the hosts, or nil where there is no rollout block.
func (c *Config) Rollout() *Rollout { return c.rollout }

// GeoIP returns the databases of the geoip block, in its order.
func (c *Config) GeoIP() []GeoIPDatabase {
	if c.declared.geoIP == nil {
		return nil
	}
	return c.declared.geoIP.databases
}

// Moves returns what moved and removed blocks say, in the order of the source: files by name, then
// blocks as they stand. A chain of moves is followed to its end, so that To is what is declared
// now, or empty where it ends in a removed block.
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
