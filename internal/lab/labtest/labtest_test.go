//go:build linux

package labtest_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// innerEnv makes TestRequire the test that is run as an ordinary user.
const innerEnv = "LABTEST_INNER"

func TestRequire(t *testing.T) {
	if os.Getenv(innerEnv) != "" {
		labtest.Hosts(t, 1)
		t.Log("it has hosts")
		return
	}
	binary, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	// A directory that an ordinary user may enter, unlike go test's own.
	dir, err := os.MkdirTemp("", "labtest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	program := filepath.Join(dir, "labtest.test")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(program, binary, 0o755), os.Chmod(program, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, value, want string
		fails             bool
	}{
		{"skips", "", "--- SKIP: TestRequire", false},
		{"fails", "require", "--- FAIL: TestRequire", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.run=^TestRequire$")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), innerEnv+"=1", labtest.Env+"="+test.value)
			if os.Geteuid() == 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
			out, err := cmd.CombinedOutput()
			if (err != nil) != test.fails {
				t.Errorf("ended with %v", err)
			}
			for _, want := range []string{test.want, "needs root"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in:\n%s", want, out)
				}
			}
		})
	}
}
