package labtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Environ returns environment variables for running mirrorform in a test. With them mirrorform
// builds the host helper in the user's caches, so that all tests share it, and keeps everything
// else in dir.
func Environ(dir string) ([]string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	shared, own := filepath.Join(cache, "mirrorform", "helper"), filepath.Join(dir, "mirrorform")
	for _, d := range []string{shared, own} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	if err := os.Symlink(shared, filepath.Join(own, "helper")); err != nil {
		return nil, err
	}
	names := []string{"GOCACHE", "GOMODCACHE", "GOPATH"}
	out, err := exec.Command("go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	environ := []string{"XDG_CACHE_HOME=" + dir}
	for i, value := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		environ = append(environ, names[i]+"="+value)
	}
	return environ, nil
}
