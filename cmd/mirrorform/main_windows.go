// Command mirrorform provisions public AlmaLinux mirrors from a declarative configuration.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "mirrorform does not run on Windows. Use it in the Windows Subsystem for Linux (WSL): "+
		"wsl --install, and install mirrorform there.")
	os.Exit(1)
}
