//go:build linux

package lab

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestCacheBuildsOnce(t *testing.T) {
	t.Parallel()
	c := &cache{dir: filepath.Join(t.TempDir(), "cache")}
	failure := errors.New("no network")
	if _, err := c.ensure(t.Context(), "base-x", func(dir string) error {
		return errors.Join(failure, os.WriteFile(filepath.Join(dir, "half"), nil, 0o600))
	}); !errors.Is(err, failure) {
		t.Fatalf("a failed build gives %v", err)
	}
	var builds atomic.Int64
	var wait sync.WaitGroup
	for range 8 { // each locks for itself, as processes do
		wait.Go(func() {
			dir, err := c.ensure(t.Context(), "base-x", func(dir string) error {
				builds.Add(1)
				return os.WriteFile(filepath.Join(dir, "whole"), nil, 0o600)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(filepath.Join(dir, "whole")); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := builds.Load(); n != 1 {
		t.Errorf("built %d times", n)
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 { // base-x and lock
		t.Errorf("the cache holds %v", entries)
	}
}

func TestCachePrunes(t *testing.T) {
	t.Parallel()
	c := &cache{dir: t.TempDir()}
	stale := time.Now().Add(-2 * keepUnused)
	for name, old := range map[string]bool{"base-old": true, "el-old": true, "pebble-old": true, "base-new": false, "build-1": false, "labs": true} {
		dir := filepath.Join(c.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if old {
			if err := os.Chtimes(dir, stale, stale); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.prune(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"base-old": false, "el-old": false, "pebble-old": false, "base-new": true, "build-1": false, "labs": true} {
		if _, err := os.Stat(filepath.Join(c.dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	me, err := findProcess(os.Getpid())
	if err != nil || !me.alive() {
		t.Fatalf("%+v does not run: %v", me, err)
	}
	for _, p := range []process{{}, {PID: me.PID, Start: me.Start + 1}, {PID: 1 << 30, Start: 1}} {
		if p.alive() {
			t.Errorf("%+v runs", p)
		}
	}
}

func TestQuoteWord(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"":       `''`,
		"a-b/c":  `a-b/c`,
		"a b":    `a' 'b`,
		"it's":   `it\'s`,
		`\`:      `\\`,
		"$(x)":   `'$''('x')'`,
		"ü":      `'ü'`,
		"!":      `\!`,
		"~;&":    `'~'';''&'`,
		"-l":     `-l`,
		"a\nb":   "a'\n'b",
		"%,@+:=": `%,@+:=`,
	} {
		if got := quoteWord(word); got != want {
			t.Errorf("quoteWord(%q) is %s, want %s", word, got, want)
		}
	}
}
