// Package cmd is the whole program as a function, for main packages: mirrorform itself, and
// programs with their own resource types.
package cmd

import (
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/cli"
)

// Main runs the command line of the process and returns its exit status: 0 done or nothing to do, 1
// error, 2 there are differences. Each of types adds resource types to mirrorform's own, with
// engine.Register, which panics if a name is taken.
func Main(types ...func(*engine.Registry)) int { return cli.Main(types...) }
