package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// releaseVersion is the release that the servers of these tests have.
const releaseVersion = "1.2.3"

// releaseName is the archive of this machine, as GoReleaser names it.
var releaseName = fmt.Sprintf("mirrorform_%s_%s_%s.tar.gz", releaseVersion, runtime.GOOS, runtime.GOARCH)

// newRelease serves a release whose program runs the mirrorform that is in path.
func newRelease(ts interface{ Fatalf(string, ...any) }, path string) *httptest.Server {
	for _, dir := range filepath.SplitList(path) {
		program := filepath.Join(dir, "mirrorform")
		if info, err := os.Stat(program); err != nil || info.IsDir() || !filepath.IsAbs(dir) {
			continue
		}
		archive := releaseArchive("#!/bin/sh\nexec '" + program + "' \"$@\"\n")
		return httptest.NewServer(releaseFiles(map[string]string{"SHA256SUMS": sums(archive), releaseName: archive}))
	}
	ts.Fatalf("mirrorform is not in PATH: %s", path)
	return nil
}

func releaseFiles(files map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := files[strings.TrimPrefix(r.URL.Path, "/v"+releaseVersion+"/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(text))
	})
}

// releaseArchive is an archive with a program, and a file beside it.
func releaseArchive(program string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for _, f := range []struct{ name, text string }{{"LICENSE", "free"}, {"mirrorform", program}} {
		_ = t.WriteHeader(&tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.text))})
		_, _ = t.Write([]byte(f.text))
	}
	_, _ = t.Close(), z.Close()
	return b.String()
}

func sums(archive string) string {
	return fmt.Sprintf("%s  other.tar.gz\n%s  %s\n", hexSum("other"), hexSum(archive), releaseName)
}

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// TestSetupAction runs the script of the action against releases that are whole, and others: those install nothing, and run nothing of the archive.
func TestSetupAction(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs(filepath.Join(setupAction, "install.sh"))
	if err != nil {
		t.Fatal(err)
	}
	good := releaseArchive("#!/bin/sh\necho ran >>\"$RAN\"\n")
	evil := releaseArchive("#!/bin/sh\necho evil >>\"$RAN\"\n")
	line := sums(good)
	for name, c := range map[string]struct {
		sums, archive string
		env           []string
		want          string // in the error, or "": it is installed
	}{
		"whole":          {line, good, nil, ""},
		"with a v":       {line, good, []string{"MIRRORFORM_VERSION=v" + releaseVersion}, ""},
		"binary mode":    {strings.ReplaceAll(line, "  ", " *"), good, nil, ""},
		"pinned":         {line, good, []string{"MIRRORFORM_SHA256SUMS=" + hexSum(line)}, ""},
		"tampered":       {line, evil, nil, "SHA256SUMS lists"},
		"cut short":      {line, good[:len(good)-9], nil, "SHA256SUMS lists"},
		"both tampered":  {sums(evil), evil, []string{"MIRRORFORM_SHA256SUMS=" + hexSum(line)}, "not the expected"},
		"not listed":     {hexSum(good) + "  other.tar.gz\n", good, nil, "must list"},
		"listed twice":   {line + hexSum(evil) + "  " + releaseName + "\n", good, nil, "must list"},
		"no sum":         {"  " + releaseName + "\n", good, nil, "must list"},
		"no archive":     {line, "", nil, "cannot download"},
		"no sums":        {"", good, nil, "cannot download"},
		"other version":  {line, good, []string{"MIRRORFORM_VERSION=9.9.9"}, "cannot download"},
		"version a path": {line, good, []string{"MIRRORFORM_VERSION=../../x"}, "invalid version"},
		"no URL":         {line, good, []string{"MIRRORFORM_RELEASES=file:///etc"}, "not a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"SHA256SUMS": c.sums, releaseName: c.archive}
			for name, text := range files {
				if text == "" {
					delete(files, name)
				}
			}
			server := httptest.NewServer(releaseFiles(files))
			defer server.Close()
			dir := t.TempDir()
			ran, path := filepath.Join(dir, "ran"), filepath.Join(dir, "path")
			cmd := exec.CommandContext(t.Context(), "sh", script)
			cmd.Env = append(os.Environ(), "MIRRORFORM_VERSION="+releaseVersion, "MIRRORFORM_RELEASES="+server.URL, "RUNNER_TEMP="+dir, "TMPDIR="+dir,
				"GITHUB_PATH="+path, "RAN="+ran)
			cmd.Env = append(cmd.Env, c.env...)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			stdout, err := cmd.Output()
			program := filepath.Join(dir, "mirrorform", "mirrorform")
			_, missing := os.Stat(program)
			text, _ := os.ReadFile(ran)
			paths, _ := os.ReadFile(path)
			left, _ := filepath.Glob(filepath.Join(dir, "tmp.*"))
			switch {
			case len(left) > 0:
				t.Errorf("left behind: %v", left)
			case c.want == "" && (err != nil || missing != nil || string(text) != "ran\n" || string(stdout) != filepath.Dir(program)+"\n" || string(paths) != string(stdout)):
				t.Errorf("%v, program %v, ran %q, stdout %q, path %q, stderr:\n%s", err, missing, text, stdout, paths, stderr.String())
			case c.want != "" && (err == nil || missing == nil || len(text) > 0 || len(paths) > 0 || !strings.Contains(stderr.String(), c.want)):
				t.Errorf("%v, program %v, ran %q, path %q, stderr, which should have %q:\n%s", err, missing, text, paths, c.want, stderr.String())
			}
		})
	}
}
