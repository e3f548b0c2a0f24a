package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestGuaranteesAreTested checks that every test that the README names as a proof is there, and that it names every test of the fault suite.
func TestGuaranteesAreTested(t *testing.T) {
	t.Parallel()
	root := root(t)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, name := range regexp.MustCompile(`TestFault\w+`).FindAllString(string(readme), -1) {
		named[name] = true
	}
	files, err := filepath.Glob(filepath.Join(root, "internal", "faults", "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests of faults: %v", err)
	}
	there := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (TestFault\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			there[m[1]] = true
		}
	}
	for name := range named {
		if !there[name] {
			t.Errorf("README.md names %s, which does not exist", name)
		}
	}
	for name := range there {
		if !named[name] {
			t.Errorf("README.md does not say what %s proves", name)
		}
	}
}
