package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/helper/builder"
)

// systems are the operating systems of releases; each may need modules that others do not.
var systems = []string{"linux", "darwin", "freebsd"}

// module is a module that the program is built from.
type module struct {
	Path, Version, Dir string
	Main               bool
}

// licenses returns the licence files of Go and of all modules that the program is built from, on
// any of the systems. A module without one is an error: nobody may pass it on. The host helper,
// which is in each of them, is for Linux.
func licenses() ([]byte, error) {
	found := map[string]module{}
	for _, system := range systems {
		packages := []string{builder.Module + "/cmd/mirrorform"}
		if system == "linux" {
			packages = append(packages, builder.Module+"/cmd/mirrorform-agent")
		}
		modules, err := modulesOf(system, packages)
		if err != nil {
			return nil, err
		}
		for _, m := range modules {
			found[m.Path] = m
		}
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	list := []module{{Path: "Go", Version: runtime.Version(), Dir: strings.TrimSpace(string(goroot))}}
	for _, path := range slices.Sorted(maps.Keys(found)) {
		list = append(list, found[path])
	}
	var out bytes.Buffer
	out.WriteString("mirrorform contains the following software, under the licences below.\n")
	for _, m := range list {
		if err := writeLicenses(&out, m); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// modulesOf lists the modules, except this one, that packages are built from on a system.
func modulesOf(system string, packages []string) (modules []module, err error) {
	args := append([]string{"list", "-deps", "-json=Module"}, packages...)
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list for %s: %w\n%s", system, err, bytes.TrimSpace(stderr.Bytes()))
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ Module *module }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return modules, nil
		} else if err != nil {
			return nil, err
		}
		if p.Module != nil && !p.Module.Main {
			modules = append(modules, *p.Module)
		}
	}
}

// licenseName matches the files at a module's top that have its terms.
var licenseName = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// writeLicenses appends a module's files of licences.
func writeLicenses(out *bytes.Buffer, m module) error {
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return fmt.Errorf("%s %s: %w", m.Path, m.Version, err)
	}
	found := false
	for _, e := range entries {
		if e.IsDir() || !licenseName.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.Dir, e.Name()))
		if err != nil {
			return err
		}
		found = true
		fmt.Fprintf(out, "\n%s\n%s %s: %s\n\n%s\n", strings.Repeat("=", 78), m.Path, m.Version, e.Name(), bytes.TrimSpace(text))
	}
	if !found {
		return fmt.Errorf("%s %s has no file with its licence in %s", m.Path, m.Version, m.Dir)
	}
	return nil
}
