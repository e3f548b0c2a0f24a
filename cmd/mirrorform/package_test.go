package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	"gopkg.in/yaml.v3"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// moduleRoot is where tests of this package see the module's root.
const moduleRoot = "../.."

// packageParts makes once what all packages have in common: the helpers that are embedded in the
// program, and the generated files.
var packageParts = sync.OnceValue(func() error {
	for _, args := range [][]string{
		{"run", "./internal/helper/build"},
		{"run", "./internal/release", "bin/release"},
	} {
		if err := goAtRoot(args...); err != nil {
			return err
		}
	}
	return nil
})

// pack makes the package of this machine's architecture as a release has it, by the same section of
// .goreleaser.yml, and copies it to a host: pack HOST VERSION PATH
func pack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: pack HOST VERSION PATH")
	}
	h, version := hostOf(ts, args[0]), args[1]
	ts.Check(packageParts())
	program, config, file := ts.MkAbs("program"), ts.MkAbs("nfpm.yaml"), ts.MkAbs("package")
	ts.Check(goAtRoot("build", "-trimpath", "-buildvcs=false", "-tags=release",
		"-ldflags=-s -w -X github.com/mirrorform/mirrorform/internal/cli.version="+version, "-o", program, "./cmd/mirrorform"))
	text, err := nfpmConfig(version, program)
	ts.Check(err)
	ts.Check(os.WriteFile(config, text, 0o644))
	packager := map[lab.Family]string{lab.Debian: "deb", lab.EL: "rpm"}[h.OS.Family()]
	ts.Check(goAtRoot("tool", "-modfile=internal/tools/release/go.mod", "nfpm", "package", "--config", config, "--packager", packager, "--target", file))
	data, err := os.ReadFile(file)
	ts.Check(err)
	if out, err := h.Run(context.Background(), "mkdir", "-p", filepath.Dir(args[2])); err != nil {
		ts.Fatalf("pack: %s: %v", out, err)
	}
	ts.Check(h.Write(args[2], data, 0o644))
}

// nfpmConfig returns nfpm's configuration for a package: what .goreleaser.yml has of it, and what
// goreleaser adds.
func nfpmConfig(version, program string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(moduleRoot, ".goreleaser.yml"))
	if err != nil {
		return nil, err
	}
	var config struct {
		NFPMs []map[string]any `yaml:"nfpms"`
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		return nil, err
	}
	if len(config.NFPMs) != 1 {
		return nil, fmt.Errorf(".goreleaser.yml has %d sections of packages, want one", len(config.NFPMs))
	}
	one := config.NFPMs[0]
	one["name"], one["version"], one["arch"] = one["package_name"], version, "amd64"
	contents, _ := one["contents"].([]any)
	one["contents"] = append(contents, map[string]any{
		"src": program, "dst": "/usr/bin/mirrorform", "file_info": map[string]any{"mode": 0o755},
	})
	for _, own := range []string{"package_name", "formats", "mtime"} { // goreleaser's own
		delete(one, own)
	}
	return yaml.Marshal(one)
}

// goAtRoot runs the go command in the module's root.
func goAtRoot(args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Dir = moduleRoot
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as in releases
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", args[0], err, out)
	}
	return nil
}
