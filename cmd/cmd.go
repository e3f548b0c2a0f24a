// Package cmd is the whole program, for a main package of one line: mirrorform as it is, or with
// resource types of one's own.
package cmd

import (
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/cli"
)

// Main runs the command line of the process and returns its exit status: 0 done or nothing to do, 1
// error, 2 there are differences. Each of types adds resource types, by engine.Register, to those
// that mirrorform has; a name that is taken is a bug, and panics.
func Main(types ...func(*engine.Registry)) int { return cli.Main(types...) }
