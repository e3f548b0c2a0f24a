package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/matrix"
	"github.com/rogpeppe/go-internal/testscript"
)

// matrixEnv is the environment variable with the file that the matrix writes results to. Without it
// a run is not the matrix.
const matrixEnv = "MIRRORFORM_MATRIX"

// inMatrix reports whether all variants run, and nothing but variants.
func inMatrix() bool { return os.Getenv(matrixEnv) != "" }

// wanted reports whether variants of an operating system run: in the matrix, only those of
// MIRRORFORM_LAB_OS, if it is set.
func wanted(system string) bool {
	only := os.Getenv("MIRRORFORM_LAB_OS")
	switch {
	case !inMatrix():
		return true
	case system == "": // make test runs it
		return false
	}
	return only == "" || only == "all" || slices.Contains(strings.Split(only, ","), system)
}

// runVariant runs a script in one variant. In the matrix it records what that proves.
func runVariant(t *testing.T, v *variant, script string, params testscript.Params) {
	t.Helper()
	if !inMatrix() {
		testscript.Run(t, params)
		return
	}
	features, err := v.proves(script)
	if err != nil {
		t.Fatal(err)
	}
	result := matrix.Result{Test: t.Name() + "/" + v.name, System: v.values["os"], Proves: features, Versions: map[string]string{}, Machine: machine()}
	setup := params.Setup
	params.Setup = func(env *testscript.Env) error {
		env.Values[resultKey{}] = &result
		return setup(env)
	}
	testscript.RunT(recorder{t, &result}, params)
}

// proves returns the features that a script proves in this variant.
func (v *variant) proves(script string) (features []string, err error) {
	for _, line := range header(script, "proves") {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.TrimSpace(name)
			if variable, is := strings.CutPrefix(name, "$"); is {
				name = v.value(variable)
			}
			if _, ok := matrix.FeatureNamed(name); !ok {
				return nil, &unknownFeature{v.name, name}
			}
			features = append(features, name)
		}
	}
	return features, nil
}

type unknownFeature struct{ script, name string }

func (e *unknownFeature) Error() string {
	return e.script + " proves \"" + e.name + "\", which is not a feature of the package matrix"
}

// recorder is a test whose subtest is recorded when it ends.
type recorder struct {
	*testing.T
	result *matrix.Result
}

// Run implements testscript.T.
func (r recorder) Run(name string, script func(testscript.T)) {
	r.T.Run(name, func(t *testing.T) {
		t.Cleanup(func() {
			r.result.Time = time.Now().UTC().Truncate(time.Second)
			switch {
			case t.Failed():
				r.result.Outcome = matrix.Failed
			case t.Skipped():
				r.result.Outcome = matrix.Skipped
			default:
				r.result.Outcome = matrix.Passed
			}
			if err := r.result.Append(os.Getenv(matrixEnv)); err != nil {
				t.Error(err)
			}
		})
		script(recorder{t, r.result})
	})
}

// Verbose implements testscript.T.
func (recorder) Verbose() bool { return testing.Verbose() }

// machine says what the tests run on.
func machine() string {
	name := runtime.GOOS
	if file, err := os.ReadFile("/etc/os-release"); err == nil {
		for line := range strings.Lines(string(file)) {
			if value, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
				name = strings.Trim(value, "\"\n")
			}
		}
	}
	kernel, err := exec.Command("uname", "-r").Output()
	if err != nil {
		return name
	}
	version := strings.SplitN(strings.TrimSpace(string(kernel)), ".", 3)
	return name + ", kernel " + strings.Join(version[:min(2, len(version))], ".") + ", " + runtime.GOARCH
}

// resultKey is the key of a script's *matrix.Result.
type resultKey struct{}

// recordVersions has the versions recorded of the packages of what the script proves, before the
// host is removed.
func recordVersions(ts *testscript.TestScript, h *lab.Host) {
	result, ok := ts.Value(resultKey{}).(*matrix.Result)
	if !ok {
		return
	}
	ts.Defer(func() {
		for _, name := range result.Proves {
			f, _ := matrix.FeatureNamed(name)
			if version := available(h, f.Packages[h.OS.Family()]); version != "" {
				result.Versions[name] = version
			}
		}
	})
}

// available returns the upstream version of a package that a host has, or can install, or "".
func available(h *lab.Host, name string) string {
	const (
		apt = `apt-cache policy "$0" | sed -n 's/^ *Candidate: //p' | sed 's/^[0-9]*://; s/[-+].*//'`
		dnf = `if rpm -q --quiet "$0"; then rpm -q --qf '%{version}\n' "$0"; else
			dnf -q --repofrompath=e,/opt/mirrorform-lab/epel repoquery --latest-limit=1 --qf '%{version}\n' "$0" | grep .; fi`
	)
	script := apt
	if h.OS.Family() == lab.EL {
		script = dnf
	}
	if name == "" {
		return ""
	}
	out, err := h.Run(context.Background(), "sh", "-c", script, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// Each script proves features of the matrix, in all its variants.
func TestProves(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../testdata/lab/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	proved := map[string]bool{}
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		variables, err := readVariables(string(script))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range variantsOf(filepath.Base(file), variables, true) {
			features, err := v.proves(string(script))
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
			for _, f := range features {
				proved[f] = true
			}
		}
	}
	for _, f := range matrix.Features() {
		if !proved[f.Name] {
			t.Errorf("no script proves %s", f.Name)
		}
	}
}
