// Command docgen writes the generated parts of the reference documentation.
//
//	go run ./internal/docgen
//
// The pages in docs/ are written by hand, except for their regions:
//
//	<!-- generated: NAME ARGUMENT... -->
//	<!-- end generated -->
//
// The text between these two lines is generated from the code: attributes and their meaning from
// the struct tags and comments of the resource types and the mirror block, commands from the
// command tree, functions and examples by evaluating them. A test fails if a page is out of date.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

//go:generate go run .

// pages are the generated pages, relative to the module's root.
var pages = []string{"docs/language.md", "docs/resources.md", "docs/mirror.md", "docs/web.md", "docs/commands.md", "docs/lint.md"}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

// run updates every page, and prints the names of those that changed.
func run() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	for _, page := range pages {
		name := filepath.Join(root, page)
		found, wanted, err := render(root, name)
		if err != nil {
			return err
		}
		if found == wanted {
			continue
		}
		if err := os.WriteFile(name, []byte(wanted), 0o644); err != nil {
			return err
		}
		fmt.Println(page)
	}
	return nil
}

// render returns a page as found, and as generated.
func render(root, name string) (found, wanted string, err error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return "", "", err
	}
	g := &generator{root: root}
	wanted, err = replaceRegions(string(src), g.region)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", name, err)
	}
	return string(src), wanted, nil
}

// moduleRoot is the nearest directory with a go.mod, from the working directory up.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod in the working directory or above it")
		}
		dir = parent
	}
}
