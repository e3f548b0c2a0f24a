// Package config is mirrorform's language: it reads a directory of HCL files and says which hosts there are and which resources are
// wanted on each.
//
// The language has Terraform's rules and names wherever Terraform has one. Its blocks are
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
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Options says what Load reads.
type Options struct {
	// Dir is the directory with the configuration's *.hcl files.
	Dir string
	// Sources give variable values, after the files that are read by themselves and in this order: the last one counts.
	Sources []VarSource
	// Environ is the environment as "KEY=value"; MIRRORFORM_VAR_name is the value of the variable of that name.
	Environ []string
	// Confine keeps the configuration from reading files outside Dir.
	Confine bool
	// AllowMissing takes a variable that has no value as unknown, which is an error otherwise.
	AllowMissing bool
	// Registry holds the resource types.
	Registry *engine.Registry
}

// VarSource is one source of variable values; one of its fields is set.
type VarSource struct {
	File   string // path of a file with values
	Assign string // "name=value"
}

// Config is a configuration that was read. Its methods may be called by many goroutines at once.
type Config struct {
	dir       string
	registry  *engine.Registry
	path      cty.Value // the object path
	functions map[string]function.Function

	filesMu   sync.Mutex
	files     map[string]*hcl.File
	templates map[string]*template

	variables  map[string]*variable
	locals     map[string]*local
	hostBlocks map[string]*hostBlock
	blocks     []*block // resources and mirrors in the order of the source
	byName     map[string]*block
	outputs    map[string]*output
	checks     map[string]*checkBlock
	moves      []*move     // in the order of the source
	geoIP      *geoIPBlock // nil: there is none

	crlfFiles map[string]bool // whose heredocs have lines that end with CRLF

	rolloutBlock *rolloutBlock // nil: there is none
	rollout      *Rollout

	secrets secrets

	confine bool // see Options.Confine
	dirOnce sync.Once
	dirReal string // dir with its links resolved
	dirErr  error

	bad       map[hclsyntax.Expression]bool
	varVals   map[string]cty.Value
	localVals map[string]cty.Value
	hostVals  map[string]cty.Value
	global    *hcl.EvalContext // var, local, host and path

	hosts  []*Host
	byHost map[string]*Host
	failed bool // Load has reported errors
	misses int  // references to what is not declared
	// withoutValue are the variables that have no value, and are unknown, sorted.
	withoutValue []string
	// varFileFailed says that an error keeps a file from setting variables.
	varFileFailed bool
	// unsettledExprs say which hosts or elements there are, and have no known value.
	unsettledExprs []hclsyntax.Expression
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
	return c, tidy(diags)
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
	c := &Config{
		dir: o.Dir, confine: o.Confine, registry: o.Registry, path: pathValue(),
		files: map[string]*hcl.File{}, templates: map[string]*template{},
		variables: map[string]*variable{}, locals: map[string]*local{}, hostBlocks: map[string]*hostBlock{},
		byName: map[string]*block{}, outputs: map[string]*output{}, checks: map[string]*checkBlock{},
		crlfFiles: map[string]bool{},
		bad:       map[hclsyntax.Expression]bool{},
		varVals:   map[string]cty.Value{}, localVals: map[string]cty.Value{}, hostVals: map[string]cty.Value{},
		byHost: map[string]*Host{}, warned: map[warning]bool{},
	}
	if c.dir == "" {
		c.dir = "."
	}
	if c.registry == nil {
		c.registry = &engine.Registry{}
	}
	c.functions = c.functionTable()
	return c
}

func (c *Config) load(o Options) hcl.Diagnostics {
	bodies, diags := c.readFiles()
	syntaxErrors := diags.HasErrors()
	for _, b := range bodies {
		diags = append(diags, c.declare(b)...)
	}
	if syntaxErrors {
		// What is missing may stand where the parser lost its way: to look further would blame the wrong lines.
		return diags
	}
	diags = append(diags, c.checkAll()...)
	diags = append(diags, c.setVariables(o)...)
	diags = append(diags, c.evaluateGlobals()...)
	diags = append(diags, c.validateVariables()...)
	diags = append(diags, c.evaluateGeoIP()...)
	diags = append(diags, c.placeBlocks()...)
	diags = append(diags, c.decodeAll()...)
	diags = append(diags, c.checkSameHosts()...)
	diags = append(diags, c.checkDependsOn()...)
	diags = append(diags, c.checkMoves()...)
	diags = append(diags, c.placeChecks()...)
	diags = append(diags, c.placeRollout()...)
	_, outputDiags := c.evalOutputs(nil)
	diags = append(diags, outputDiags...)
	diags = append(diags, c.checkTogether()...)
	return append(diags, c.reportUnsettled(diags)...)
}

// readFiles parses all files of the directory. Bodies of files with syntax errors are left out.
func (c *Config) readFiles() ([]*hclsyntax.Body, hcl.Diagnostics) {
	names, err := configFiles(c.dir, ".hcl")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, hcl.Diagnostics{errorNowhere("No such directory", "There is no directory %s.", c.dir)}
	case err != nil:
		return nil, hcl.Diagnostics{errorNowhere("Directory cannot be read", "%s", err)}
	case len(names) == 0:
		return nil, hcl.Diagnostics{errorNowhere("No configuration files", "The directory %s has no *.hcl files. `mirrorform init` writes one to start from.", c.dir)}
	}
	var bodies []*hclsyntax.Body
	diags := unreadFiles(c.dir)
	for _, name := range names {
		src, err := c.read(name, maxSource)
		if err != nil {
			diags = append(diags, errorNowhere("File cannot be read", "%s", err))
			continue
		}
		c.setFile(name, src)
		body, fileDiags := parseConfig(src, name)
		fileDiags = append(fileDiags, c.carriageReturns(src, name)...)
		diags = append(diags, fileDiags...)
		if !fileDiags.HasErrors() {
			bodies = append(bodies, body)
		}
	}
	return bodies, diags
}

// WithoutValue returns the names of the variables that have no value, sorted: they are unknown.
func (c *Config) WithoutValue() []string { return slices.Clone(c.withoutValue) }

// Files returns the sources that diagnostics refer to, by the names in their ranges: configuration, variable and template files, and values
// given by other ways. The values of sensitive variables are blanked out.
func (c *Config) Files() map[string]*hcl.File {
	c.filesMu.Lock()
	defer c.filesMu.Unlock()
	return maps.Clone(c.files)
}

func (c *Config) file(name string) *hcl.File {
	c.filesMu.Lock()
	defer c.filesMu.Unlock()
	return c.files[name]
}

func (c *Config) setFile(name string, src []byte) {
	c.filesMu.Lock()
	defer c.filesMu.Unlock()
	c.files[name] = &hcl.File{Bytes: src, Body: hcl.EmptyBody()}
}

// blank covers a range of a file's bytes, so that no snippet shows them. Line ends stay.
func (c *Config) blank(r hcl.Range) {
	c.filesMu.Lock()
	defer c.filesMu.Unlock()
	f := c.files[r.Filename]
	if f == nil || !r.CanSliceBytes(f.Bytes) {
		return
	}
	src := slices.Clone(f.Bytes)
	for i := r.Start.Byte; i < r.End.Byte; i++ {
		if src[i] != '\n' && src[i] != '\r' {
			src[i] = '*'
		}
	}
	c.files[r.Filename] = &hcl.File{Bytes: src, Body: f.Body}
}

// sourceOf is a place as resources name theirs: fleet.hcl:12, without the directory.
func sourceOf(r hcl.Range) string {
	r.Filename = filepath.Base(r.Filename)
	return place(r)
}
