//go:build !windows

// Command mirrorform provisions public AlmaLinux mirrors from a declarative configuration.
package main

import (
	"os"

	"github.com/mirrorform/mirrorform/cmd"
)

func main() {
	os.Exit(cmd.Main())
}
