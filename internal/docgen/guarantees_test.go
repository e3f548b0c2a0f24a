package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGuaranteesAreTested checks that every test that the list of guarantees names as a proof is
// there, and that it names every test of the fault suite.
func TestGuaranteesAreTested(t *testing.T) {
	t.Parallel()
	root := root(t)
	page, err := os.ReadFile(filepath.Join(root, "docs", "guarantees.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(page), "\n## What each test proves\n")
	list, _, ends := strings.Cut(list, "\n## ") // the generated table after it names all tests anyway
	if !found || !ends {
		t.Fatal("docs/guarantees.md has no list of what each test proves")
	}
	named := map[string]bool{}
	for _, name := range regexp.MustCompile(`TestFault\w+`).FindAllString(list, -1) {
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
			t.Errorf("docs/guarantees.md names %s, which does not exist", name)
		}
	}
	for name := range there {
		if !named[name] {
			t.Errorf("docs/guarantees.md does not say what %s proves", name)
		}
	}
}
