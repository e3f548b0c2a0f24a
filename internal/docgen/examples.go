package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/ui"
)

// load reads a configuration, with values of variables from its own files only.
func load(dir string) (*config.Config, hcl.Diagnostics) {
	return config.Load(config.Options{Dir: dir, Registry: mirror.Types()})
}

// loadExample reads a configuration that must have neither errors nor warnings.
func loadExample(dir string) (*config.Config, error) {
	c, diags := load(dir)
	if len(diags) > 0 {
		return nil, diags
	}
	return c, nil
}

// diagnostics shows what mirrorform reports about a faulty configuration.
func (g *generator) diagnostics(example string) (string, error) {
	dir := filepath.Join(g.root, example)
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	c, diags := load(dir)
	var out strings.Builder
	ui.New(&out, &out, ui.Options{Color: "never", Width: 100, Environ: []string{}}).Diagnostics(diags, c.Files())
	return fenced("", strings.ReplaceAll(out.String(), dir+string(filepath.Separator), "")), nil
}
