package main

import (
	"io"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/mirrorform/mirrorform/internal/helper/builder"
)

// TestModuleZip makes the zip that `go install` downloads. It holds no file that is named like a
// device of Windows, above all: then no system could install the module (golang.org/x/mod/zip).
func TestModuleZip(t *testing.T) {
	t.Parallel()
	root, err := builder.Root()
	if err != nil {
		t.Fatal(err)
	}
	version := module.Version{Path: builder.Module, Version: "v0.0.0"}
	if err := zip.CreateFromDir(io.Discard, version, root); err != nil {
		t.Errorf("no zip of the module can be made: %v", err)
	}
}
