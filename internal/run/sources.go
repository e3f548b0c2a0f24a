package run

import (
	"os"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// Sources are the configuration's location and options, and the program that reads it.
type Sources struct {
	Dir  string
	Vars []lang.VarSource
	// Confine is for a configuration that is not trusted: it cannot read files outside its directory,
	// and its host_key does not count.
	Confine bool
	// AllowMissing makes values unknown that depend on variables without a value.
	AllowMissing bool
	// Version is the version of mirrorform.
	Version string
	// Types are the available resource types.
	Types *engine.Registry
}

// Read reads the configuration.
func (s Sources) Read() (*config.Config, hcl.Diagnostics) {
	return config.Load(config.Options{
		Dir: s.Dir, Confine: s.Confine, Sources: s.Vars, Environ: os.Environ(), Registry: s.Types, AllowMissing: s.AllowMissing,
	})
}

// Load reads the configuration and reports its problems to w.
func Load(s Sources, w Observer) (*config.Config, error) {
	c, diags := s.Read()
	w.Diagnostics(diags, c.Files())
	if diags.HasErrors() {
		return nil, ErrReported
	}
	return c, nil
}
