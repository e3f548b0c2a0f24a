// Package builder compiles the host helper from the module's source. Release builds do not use it.
package builder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/build"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

const (
	// Module is the module that contains the helper's source.
	Module = "github.com/mirrorform/mirrorform"
	// command is the helper's package, relative to the module's root.
	command = "./cmd/mirrorform-agent"
)

// Root returns the module's root directory: the one that this source file was compiled from. If
// that does not exist (the program was built with -trimpath, or on another machine), it is the
// version of the program in Go's module cache, into which it is downloaded again if need be, or,
// for a program without a version, the directory that contains the working directory.
func Root(ctx context.Context) (string, error) {
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		if root := filepath.Join(filepath.Dir(file), "..", "..", ".."); isRoot(root) {
			return root, nil
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Path == Module && strings.HasPrefix(info.Main.Version, "v") && info.Main.Sum != "" {
		return downloaded(ctx, Module+"@"+info.Main.Version)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if isRoot(dir) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("this build has no embedded host helper, and no source to build one from: " +
				"install a release, or run mirrorform inside a clone of the repository")
		}
		dir = parent
	}
}

// downloaded returns the directory of a version of the module in Go's module cache.
func downloaded(ctx context.Context, module string) (string, error) {
	cache := os.Getenv("GOMODCACHE")
	if first := filepath.SplitList(build.Default.GOPATH); cache == "" && len(first) > 0 {
		cache = filepath.Join(first[0], "pkg", "mod")
	}
	if dir := filepath.Join(cache, module); isRoot(dir) {
		return dir, nil // without a run of the go command
	}
	out, err := run(ctx, os.TempDir(), runtime.GOARCH, "mod", "download", "-json", module)
	if err != nil {
		return "", err
	}
	var got struct{ Dir string }
	if err := json.Unmarshal(out, &got); err != nil || !isRoot(got.Dir) {
		return "", fmt.Errorf("go mod download %s reports no directory with the source: %q", module, out)
	}
	return got.Dir, nil
}

// isRoot reports whether dir is the root of the module.
func isRoot(dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return false
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(line) == "module "+Module
}

// Build compiles the helper for Linux on arch into the file out. The result depends only on the
// source and the Go version: it contains no paths, version control data, or settings from the
// environment.
func Build(ctx context.Context, root, arch, out string) error {
	ldflags := "-s -w -funcalign=8" // the linker's default pads the many small functions to 16 or 32 bytes
	if arch == "s390x" {
		ldflags += " -R 4096" // its page size; the linker's default pads each segment to 64 KiB
	}
	args := []string{"build", "-tags=" + Tags, "-trimpath", "-buildvcs=false", "-ldflags=" + ldflags, "-o", out}
	// Inlining would make the helper 110 KB larger without making it faster: it mostly waits for disks
	// and programs. The named packages become smaller without it; others do not, or have to be fast.
	for _, packages := range []string{Module + "/...", "golang.org/x/sys/unix", "fmt", "time", "context",
		"encoding/json", "reflect", "strings", "syscall"} {
		args = append(args, "-gcflags="+packages+"=-l")
	}
	_, err := run(ctx, root, arch, append(args, command)...)
	return err
}

// Dirs lists the directories of the module that the helper for arch is compiled from.
func Dirs(ctx context.Context, root, arch string) ([]string, error) {
	out, err := run(ctx, root, arch, "list", "-tags="+Tags, "-buildvcs=false", "-deps",
		"-f", "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}", command)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			dirs = append(dirs, line)
		}
	}
	return dirs, nil
}

// run runs the go command in the module's root and returns its output.
func run(ctx context.Context, root, arch string, args ...string) ([]byte, error) {
	tool, err := goTool()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off",
		"GOAMD64=v1", "GOARM64=v8.0", "GOPPC64=power8", "PWD="+root)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s %s in %s: %w\n%s", args[0], args[len(args)-1], root, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// goTool finds the go command.
func goTool() (string, error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("this build has no embedded host helper, and Go is not installed to build one: %w; "+
			"install a release of mirrorform, or Go", err)
	}
	return tool, nil
}
