//go:build !release

package helper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/mirrorform/mirrorform/internal/helper/builder"
)

// fromSource builds binaries from the module's source into a cache directory:
//
//	DIR/ARCH       the binary
//	DIR/ARCH.json  what it was built from (record)
//	DIR/lock       held during a build
type fromSource struct {
	root string // of the module
	dir  string

	mu      sync.Mutex
	records map[string]record // already checked by this process, by architecture
}

// record is what a binary was built from.
type record struct {
	Dirs   []string `json:"dirs"`  // the directories of the source files
	State  string   `json:"state"` // of those files: see state
	SHA256 string   `json:"sha256"`
}

func open(ctx context.Context) (source, string, error) {
	root, err := builder.Root(ctx)
	if err != nil {
		return nil, "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, "", fmt.Errorf("no cache directory to build it in: %w", err)
	}
	return openSource(ctx, root, filepath.Join(cache, "mirrorform", "helper"))
}

// openSource returns the source that builds the module at root. Each module and each set of build
// tags has its own directory below cache.
func openSource(ctx context.Context, root, cache string) (source, string, error) {
	sum := sha256.Sum256([]byte(root + "\x00" + builder.Tags))
	s := &fromSource{root: root, dir: filepath.Join(cache, hex.EncodeToString(sum[:8])), records: map[string]record{}}
	// The ID must change with the source. The digest of one architecture does, and most fleets need
	// only one.
	arch := runtime.GOARCH
	if supported(arch) != nil {
		arch = Arches()[0]
	}
	digest, err := s.digest(ctx, arch)
	if err != nil {
		return nil, "", err
	}
	return s, digest[:IDLength], nil
}

func (s *fromSource) digest(ctx context.Context, arch string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.records[arch]; ok {
		return r.SHA256, nil
	}
	r, ok := s.current(arch)
	if !ok {
		var err error
		if r, err = s.build(ctx, arch); err != nil {
			return "", err
		}
	}
	s.records[arch] = r
	return r.SHA256, nil
}

func (s *fromSource) binary(_ context.Context, arch string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.dir, arch))
}

// current returns the record of the cached binary, if its source has not changed since.
func (s *fromSource) current(arch string) (record, bool) {
	var r record
	data, err := os.ReadFile(filepath.Join(s.dir, arch+".json"))
	if err != nil || json.Unmarshal(data, &r) != nil || len(r.SHA256) != 2*sha256.Size {
		return record{}, false
	}
	if _, err := os.Stat(filepath.Join(s.dir, arch)); err != nil {
		return record{}, false
	}
	state, err := s.state(r.Dirs)
	return r, err == nil && state == r.State
}

// build compiles the helper for arch, unless another process has just done so.
func (s *fromSource) build(ctx context.Context, arch string) (record, error) {
	unlock, err := s.lock()
	if err != nil {
		return record{}, err
	}
	defer unlock()
	if r, ok := s.current(arch); ok {
		return r, nil
	}
	dirs, err := builder.Dirs(ctx, s.root, arch)
	if err != nil {
		return record{}, err
	}
	if len(dirs) == 0 {
		return record{}, fmt.Errorf("%s: no source found", s.root)
	}
	// Recorded before compiling, so that a change during the build makes the record stale.
	state, err := s.state(dirs)
	if err != nil {
		return record{}, err
	}
	temp := filepath.Join(s.dir, arch+".new")
	if err := builder.Build(ctx, s.root, arch, temp); err != nil {
		return record{}, err
	}
	data, err := os.ReadFile(temp)
	if err != nil {
		return record{}, err
	}
	sum := sha256.Sum256(data)
	r := record{Dirs: dirs, State: state, SHA256: hex.EncodeToString(sum[:])}
	if err := os.Rename(temp, filepath.Join(s.dir, arch)); err != nil {
		return record{}, err
	}
	return r, s.write(arch+".json", r)
}

// lock takes the cache directory's lock. Other processes that build wait for it.
func (s *fromSource) lock() (unlock func(), err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// write replaces a file of the cache directory with v as JSON.
func (s *fromSource) write(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	temp := filepath.Join(s.dir, name+".new")
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(s.dir, name))
}

// state returns a digest of the Go version and of the names, sizes and modification times of the
// source files.
func (s *fromSource) state(dirs []string) (string, error) {
	h := sha256.New()
	_, _ = fmt.Fprintln(h, runtime.Version())
	add := func(path string, info fs.FileInfo) {
		_, _ = fmt.Fprintf(h, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		path := filepath.Join(s.root, name)
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		add(path, info)
	}
	dirs = slices.Sorted(slices.Values(dirs))
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return "", err
		}
		for _, e := range entries {
			if e.IsDir() || strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			info, err := e.Info()
			if err != nil {
				return "", err
			}
			add(filepath.Join(dir, e.Name()), info)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
