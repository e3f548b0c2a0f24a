// page writes docs/hosts.md from the results of make test-matrix, and prints a row for each
// operating system:
//
//	page RESULTS PAGE
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/mirrorform/mirrorform/internal/matrix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: page RESULTS PAGE")
	}
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	results, err := matrix.Read(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, system := range matrix.Systems() {
		fmt.Println(matrix.Row(results, system))
	}
	return os.WriteFile(args[1], []byte(matrix.Page(results)), 0o644)
}
