// Command mirrorform provisions public AlmaLinux mirrors from a declarative configuration.
package main

import (
	"os"

	"github.com/mirrorform/mirrorform/internal/cli"
)

func main() {
	os.Exit(cli.Main())
}
