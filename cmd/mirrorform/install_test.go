package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/helper/builder"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// installed is the version that TestInstall makes of the module.
const installed = "v0.99.0"

// TestModuleZip makes the zip that `go install` downloads. It holds no file that is named like a
// device of Windows, above all: then no system could install the module (golang.org/x/mod/zip).
func TestModuleZip(t *testing.T) {
	t.Parallel()
	moduleProxy(t)
}

// moduleProxy makes a directory that serves a version of the module as a GOPROXY does.
func moduleProxy(t *testing.T) string {
	t.Helper()
	root, err := builder.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	at := filepath.Join(dir, builder.Module, "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(at, installed+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	if err := zip.CreateFromDir(f, module.Version{Path: builder.Module, Version: installed}, root); err != nil {
		t.Fatalf("no zip of the module can be made: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"list": installed + "\n", installed + ".mod": string(mod), installed + ".info": `{"Version":"` + installed + `"}`} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestInstall installs the module with Go, as its users do, into a GOPATH without anything, and
// applies with it to a host, outside any checkout: it builds the helper from the module cache.
func TestInstall(t *testing.T) {
	t.Parallel()
	h := labtest.Host(t)
	dir := t.TempDir()
	gopath := filepath.Join(dir, "go")
	t.Cleanup(func() { // the module cache is read-only
		_ = exec.Command("chmod", "-R", "u+w", gopath).Run()
	})
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	// With -trimpath, the compiled dependencies of make build are used again, and the program does not
	// know where its source is.
	env := append(os.Environ(), "GOPATH="+gopath, "GOMODCACHE=", "GOBIN=", "GOFLAGS=-trimpath", "GONOSUMDB=*",
		"GOPROXY=file://"+moduleProxy(t)+",file://"+strings.TrimSpace(string(cache))+"/cache/download", "GOSUMDB=off", "GOTOOLCHAIN=local")
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(env []string, name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Env = work, env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(env, "go", "install", builder.Module+"/cmd/mirrorform@"+installed); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	program := filepath.Join(gopath, "bin", "mirrorform")
	want := fmt.Sprintf("mirrorform %s (%s, %s/%s)\n", installed, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if out, err := run(env, program, "version"); err != nil || out != want {
		t.Errorf("version: %s%v", out, err)
	}
	key, err := h.HostKey()
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`host "h" {
  address    = %q
  user       = "admin"
  become     = "sudo"
  host_key   = %q
  identities = [%q]
}

resource "file" "hello" {
  hosts   = [host.h]
  path    = "/etc/hello"
  content = "installed\n"
}
`, h.Address, key, h.SSHKeyPath)
	if err := os.WriteFile(filepath.Join(work, "fleet.hcl"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	// Without Go, it names a release. With it, the helper is built.
	mine := append(env, "XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "HOME="+dir)
	if out, err := run(append(mine, "PATH=/nonexistent-"+installed), program, "plan"); err == nil || !strings.Contains(out, "install a release of mirrorform, or Go") {
		t.Errorf("without Go: %v\n%s", err, out)
	}
	if out, err := run(mine, program, "apply", "--auto-approve"); err != nil || !strings.Contains(out, "Apply complete") {
		t.Fatalf("apply: %v\n%s", err, out)
	}
	if got, err := h.Read("/etc/hello"); err != nil || string(got) != "installed\n" {
		t.Errorf("%q, %v", got, err)
	}
}
