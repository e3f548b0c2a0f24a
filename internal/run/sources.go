package run

import (
	"os"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// Sources say where a configuration comes from, and which mirrorform reads it.
type Sources struct {
	Dir  string
	Vars []lang.VarSource
	// Confine is for a configuration that others may change: it reads no file outside its
	// directory, and what it says of a host's key counts for nothing.
	Confine bool
	// AllowMissing leaves what depends on variables without a value unknown.
	AllowMissing bool
	// Version is this mirrorform's.
	Version string
	// Types are the resource types that there are.
	Types *engine.Registry
}

// Read reads the configuration.
func (s Sources) Read() (*config.Config, hcl.Diagnostics) {
	return config.Load(config.Options{
		Dir: s.Dir, Confine: s.Confine, Sources: s.Vars, Environ: os.Environ(), Registry: s.Types, AllowMissing: s.AllowMissing,
	})
}

// Load reads the configuration; w hears what is wrong with it.
func Load(s Sources, w Observer) (*config.Config, error) {
	c, diags := s.Read()
	w.Diagnostics(diags, c.Files())
	if diags.HasErrors() {
		return nil, ErrReported
	}
	return c, nil
}
