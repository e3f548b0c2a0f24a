// Command release writes what packages and archives have besides the program: manual pages,
// completions of shells, and the licences of all modules that the program is built from.
//
//	go run ./internal/release DIR
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/mirrorform/mirrorform/internal/cli"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: release DIR")
		os.Exit(1)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// run replaces dir by one with man/*.1.gz, completions/* and THIRD_PARTY_LICENSES.
func run(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, d := range []string{"man", "completions"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := writePages(cli.Command(), filepath.Join(dir, "man")); err != nil {
		return fmt.Errorf("manual pages: %w", err)
	}
	if err := writeCompletions(cli.Command(), filepath.Join(dir, "completions")); err != nil {
		return fmt.Errorf("completions: %w", err)
	}
	text, err := licenses()
	if err != nil {
		return fmt.Errorf("licences: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "THIRD_PARTY_LICENSES"), text, 0o644)
}

// writeCompletions writes the scripts under the names that the shells look for.
func writeCompletions(root *cobra.Command, dir string) error {
	const descriptions = true
	if err := root.GenBashCompletionFileV2(filepath.Join(dir, "mirrorform"), descriptions); err != nil {
		return err
	}
	if err := root.GenZshCompletionFile(filepath.Join(dir, "_mirrorform")); err != nil {
		return err
	}
	return root.GenFishCompletionFile(filepath.Join(dir, "mirrorform.fish"), descriptions)
}
