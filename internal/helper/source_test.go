//go:build !release

package helper

import (
	"bytes"
	"context"
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// module writes a small module in the place of the real one.
func module(t *testing.T, program string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                        "module github.com/mirrorform/mirrorform\n\ngo 1.24\n",
		"go.sum":                        "",
		"cmd/mirrorform-agent/main.go":  program,
		"internal/part/part.go":         "package part\n\nconst Text = \"one\"\n",
		"internal/part/part_test.go":    "package part\n",
		"internal/stranger/stranger.go": "package stranger\n",
	} {
		write(t, filepath.Join(root, name), text)
	}
	return root
}

const program = `package main

import "github.com/mirrorform/mirrorform/internal/part"

func main() { println(part.Text) }
`

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// bundle opens a module's bundle as another process would.
func bundle(ctx context.Context, root, cache string) (*Bundle, error) {
	src, id, err := openSource(ctx, root, cache)
	if err != nil {
		return nil, err
	}
	return &Bundle{id: id, src: src, binaries: map[string][]byte{}}, nil
}

func TestBuildFromSource(t *testing.T) {
	root, cache := module(t, program), t.TempDir()
	b, err := bundle(t.Context(), root, cache)
	if err != nil {
		t.Fatal(err)
	}
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		data, digest, err := b.Binary(t.Context(), arch)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != machine {
			t.Errorf("the binary for %s is for %v", arch, f.Machine)
		}
		if quick, err := b.Digest(t.Context(), arch); err != nil || quick != digest {
			t.Errorf("digest %s and %s, %v", quick, digest, err)
		}
		if bytes.Contains(data, []byte(root)) {
			t.Errorf("the binary for %s contains the path of its source", arch)
		}
	}

	// Unchanged sources need no compiler.
	path := os.Getenv("PATH")
	t.Setenv("PATH", t.TempDir())
	again, err := bundle(t.Context(), root, cache)
	if err != nil || again.ID() != b.ID() {
		t.Fatalf("ID %s, then %v, %v", b.ID(), again, err)
	}
	// Nor do changes of files that it is not made of.
	write(t, filepath.Join(root, "internal/part/part_test.go"), "package part // changed\n")
	write(t, filepath.Join(root, "internal/stranger/stranger.go"), "package stranger // changed\n")
	if again, err = bundle(t.Context(), root, cache); err != nil || again.ID() != b.ID() {
		t.Fatalf("ID %s, then %v, %v", b.ID(), again, err)
	}
	// Those that it is made of do.
	write(t, filepath.Join(root, "internal/part/part.go"), "package part\n\nconst Text = \"another\"\n")
	if _, err = bundle(t.Context(), root, cache); err == nil || !strings.Contains(err.Error(), "install a release") {
		t.Errorf("without a compiler: %v", err)
	}
	t.Setenv("PATH", path)
	if again, err = bundle(t.Context(), root, cache); err != nil || again.ID() == b.ID() {
		t.Errorf("the ID is still %s, %v", b.ID(), err)
	}
}

func TestBuildTogether(t *testing.T) {
	t.Parallel()
	root, cache := module(t, program), t.TempDir()
	var g errgroup.Group
	ids := make([]string, 4)
	for i := range ids {
		g.Go(func() error {
			b, err := bundle(t.Context(), root, cache)
			if err == nil {
				ids[i] = b.ID()
				_, _, err = b.Binary(t.Context(), "amd64")
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Errorf("IDs are %q", ids)
		}
	}
}

func TestBuildFails(t *testing.T) {
	t.Parallel()
	_, err := bundle(t.Context(), module(t, "package main\n\nfunc main() { oops }\n"), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "undefined: oops") {
		t.Errorf("the compiler's message is missing: %v", err)
	}
	b, err := bundle(t.Context(), module(t, program), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Binary(t.Context(), "vax"); err == nil || !strings.Contains(err.Error(), `"vax"`) || !strings.Contains(err.Error(), "s390x") {
		t.Errorf("for an architecture that there is none for: %v", err)
	}
}

// TestCacheDamaged: what lies in the cache is never used when it is not what was built.
func TestCacheDamaged(t *testing.T) {
	t.Parallel()
	root, cache := module(t, program), t.TempDir()
	b, err := bundle(t.Context(), root, cache)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(cache, "*", "*"))
	if err != nil || len(files) < 3 {
		t.Fatalf("the cache has %q, %v", files, err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again, err := bundle(t.Context(), root, cache)
	if err != nil || again.ID() != b.ID() {
		t.Fatalf("%v, %v", again, err)
	}
}
