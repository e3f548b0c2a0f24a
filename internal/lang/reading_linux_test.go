package lang

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// confinedDir is a directory with files and links, beside a file that is not in it.
func confinedDir(t *testing.T) string {
	t.Helper()
	parent, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(parent, "config")
	for _, name := range []string{"outside", "config/inside", "config/.git/config", "config/sub/deep"} {
		file := filepath.Join(parent, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"environ": "/proc/self/environ", "process": "/proc/self", "chain": "environ", "root": "/", "up": "../outside", "here": "sub/../inside",
		"descriptors": "/dev/fd", "sub/up": "../../outside",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// evaluated evaluates an expression in a directory, and returns the error that it gives, or "".
func evaluated(t *testing.T, dir, text string, confine bool) string {
	t.Helper()
	e := testEvaluator(dir, confine)
	expr, diags := parseExpression([]byte(text), "test")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if _, diags = e.Eval(expr, &hcl.EvalContext{Functions: e.Functions}); diags.HasErrors() {
		return diags[0].Detail
	}
	return ""
}

// A configuration reads neither what the kernel and processes tell, whatever way leads there, nor,
// where it is confined, anything outside its directory.
func TestReadingIsConfined(t *testing.T) {
	t.Parallel()
	dir := confinedDir(t)
	const system, outside, git = "/proc, /sys and /dev", "--confine", "git's"
	for _, c := range []struct{ path, free, confined string }{
		{"inside", "", ""},
		{"./sub/../inside", "", ""},
		{"here", "", ""},
		{"sub/deep", "", ""},
		{dir + "/inside", "", ""},
		{"up", "", outside},
		{"../outside", "", outside},
		{"sub/up", "", outside},
		{"root" + dir + "/inside", "", ""},
		{"root" + filepath.Dir(dir) + "/outside", "", outside},
		{".git/config", "", git},
		{"/proc/self/environ", system, system},
		{"//proc//self/./environ", system, system},
		{"/../proc/self/environ", system, system},
		{"/etc/../proc/self/environ", system, system},
		{strings.Repeat("../", 30) + "proc/self/environ", system, system},
		{"environ", system, system},
		{"chain", system, system},
		{"process/environ", system, system},
		{"process/root/etc/passwd", system, system},
		{"root/proc/self/environ", system, system},
		{"/proc/self/root/etc/passwd", system, system},
		{"/proc/thread-self/cwd/reading_test.go", system, system},
		{"/sys/kernel/uevent_seqnum", system, system},
		{"/dev/shm", system, system},
		{"descriptors/0", system, system},
	} {
		for confine, want := range map[bool]string{false: c.free, true: c.confined} {
			for _, function := range []string{"file(%s)", "filebase64(%s)", "filesha256(%s)", "templatefile(%s, {})", "fileexists(%s)"} {
				call := strings.ReplaceAll(function, "%s", `"`+c.path+`"`)
				got := evaluated(t, dir, call, confine)
				irregular := strings.Contains(got, "not a regular file") || strings.Contains(got, "is a directory")
				if (want == "") != (got == "") || want != "" && !strings.Contains(got, want) && (want != system || !irregular) {
					t.Errorf("%s, confined %v: the error is %q, want %q", call, confine, got, want)
				}
			}
		}
	}
}

// fileset lists no more than file reads.
func TestFilesetIsConfined(t *testing.T) {
	t.Parallel()
	dir := confinedDir(t)
	for _, c := range []struct{ call, free, confined string }{
		{`fileset("sub", "d*")`, "", ""},
		{`fileset("/proc/self", "*")`, "/proc, /sys and /dev", "/proc, /sys and /dev"},
		{`fileset(".", "environ")`, "/proc, /sys and /dev", "/proc, /sys and /dev"},
		{`fileset(".", "process/*")`, "/proc, /sys and /dev", "/proc, /sys and /dev"},
		{`fileset("..", "out*")`, "", "--confine"},
		{`fileset(".", "../out*")`, "", "--confine"},
		{`fileset(".", "up")`, "", "--confine"},
	} {
		for confine, want := range map[bool]string{false: c.free, true: c.confined} {
			if got := evaluated(t, dir, c.call, confine); (want == "") != (got == "") || !strings.Contains(got, want) {
				t.Errorf("%s, confined %v: the error is %q, want %q", c.call, confine, got, want)
			}
		}
	}
}

// A file system of the kernel is known wherever it is mounted.
func TestSystemFile(t *testing.T) {
	t.Parallel()
	if !systemFile("/proc/self/environ") || !systemFile("/sys/kernel") || systemFile(t.TempDir()) {
		t.Errorf("proc %v, sys %v, a temporary directory %v", systemFile("/proc/self/environ"), systemFile("/sys/kernel"), systemFile(t.TempDir()))
	}
}
