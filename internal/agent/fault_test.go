package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if state := os.Getenv("MIRRORFORM_TEST_STATE"); state != "" {
		serveForTest(state)
	}
	status := labtest.Main(m)
	if faultBuilt.dir != "" {
		_ = os.RemoveAll(faultBuilt.dir)
	}
	os.Exit(status)
}

// serveForTest is a helper in a process of its own, for tests that kill it.
func serveForTest(state string) {
	s := newSession(os.Stdin, os.Stdout, Options{Version: "test", StateDir: state})
	prepareForTest(s.host)
	close(s.digested)
	if err := s.serve(context.Background()); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}

func prepareForTest(h *host) {
	if root := os.Getenv("MIRRORFORM_TEST_BOOT"); root != "" {
		h.boot = newBootFiles(root)
		h.boot.self = "/proc/self/comm" // a small file, since it is copied at every fault point
	}
	if os.Getenv("MIRRORFORM_TEST_RENAME") == "plain" {
		plainRenames(h)
	}
}

// plainRenames makes a host whose file systems can neither exchange entries nor refuse to replace one.
func plainRenames(h *host) {
	h.files.exchange = func(int, string, string) error { return unix.EINVAL }
	h.files.renameNoReplace = func(int, string, int, string) error { return unix.EINVAL }
}

// faultBuilt is this test with fault points, built once for all tests.
var faultBuilt struct {
	once sync.Once
	dir  string // removed at the end
	err  error
}

// faultBuild returns the path of this test with fault points.
func faultBuild(t *testing.T) string {
	t.Helper()
	b := &faultBuilt
	file := func() string { return filepath.Join(b.dir, "agent.test") }
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "mirrorform-test-"); b.err != nil {
			return
		}
		if out, err := exec.Command("go", "test", "-c", "-tags=faults", "-o", file(), ".").CombinedOutput(); err != nil {
			b.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return file()
}

// scene is a host's part that a transaction changes: the tree, the state directory, the boot unit's root.
type scene struct{ dir, tree, state, root string }

// setScene makes one in a memory file system where there is one, since it is made for every fault point.
func setScene(t *testing.T) *scene {
	t.Helper()
	parent := ""
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		parent = "/dev/shm"
	}
	dir, err := os.MkdirTemp(parent, "mirrorform-test-")
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{dir, dir + "/tree", dir + "/state", dir + "/root"}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.reset(t)
	return s
}

func (s *scene) reset(t *testing.T) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{s.tree, s.state, s.root} {
		must(os.RemoveAll(d))
	}
	must(os.MkdirAll(s.tree+"/empty", 0o750))
	must(os.MkdirAll(s.root+"/etc/systemd/system", 0o755))
	must(os.Mkdir(s.state, 0o700))
	must(os.WriteFile(s.state+"/manifest.json", []byte("old"), 0o600))
	for _, name := range []string{"file", "other", "attr", "gone"} {
		must(os.WriteFile(s.tree+"/"+name, []byte("old "+name), 0o640))
		must(os.Chtimes(s.tree+"/"+name, fixed, fixed))
	}
	must(os.Symlink("somewhere", s.tree+"/link"))
}

// messages are those of one transaction, which fails at its end if wanted.
func (s *scene) messages(fails bool) []*wire.Message {
	d := s.tree
	parents := write(d+"/a/b/file", "new", wire.Attributes{})
	parents.Write.Parents = true
	undo := runs("rm", "-f", d+"/program")
	next := 0
	order := func(op wire.Op) wire.Order {
		next++
		o := wire.Order{ID: next, Op: op, Undo: &undo}
		if op.Path() != "" {
			o.Undo = restore(op.Path())
		}
		return o
	}
	first := []wire.Order{
		order(write(d+"/file", "new", wire.Attributes{Mode: ptr(uint32(0o600))})),
		order(write(d+"/made", "new", wire.Attributes{})),
		order(wire.Op{Symlink: &wire.SymlinkOp{Path: d + "/link", Target: "elsewhere"}}),
		order(parents),
		order(runs("touch", d+"/program")),
	}
	second := []wire.Order{
		order(wire.Op{Remove: &wire.RemoveOp{Path: d + "/gone"}}),
		order(wire.Op{Remove: &wire.RemoveOp{Path: d + "/empty"}}),
		order(wire.Op{Attr: &wire.AttrOp{Path: d + "/attr", Attributes: wire.Attributes{Mode: ptr(uint32(0o4711))}}}),
		order(wire.Op{Mkdir: &wire.MkdirOp{Path: d + "/dir"}}),
		order(write(d+"/dir/x", "new", wire.Attributes{})),
		order(write(d+"/file", "newer", wire.Attributes{})),
	}
	if fails {
		second = append(second, order(runs("false")))
	}
	return []*wire.Message{hello, begin, {Do: &wire.Do{Ops: first}}, {Do: &wire.Do{Ops: second}}, {Commit: &wire.Commit{Manifest: []byte("new"), Aside: true}}}
}

// all describes the tree, and what the state directory has of a person's interest.
func (s *scene) all(t *testing.T) string {
	t.Helper()
	text := snapshot(t, s.tree)
	files, err := filepath.Glob(s.state + "/manifest.json*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text += filepath.Base(f) + " " + string(data) + "\n"
	}
	return text
}

// clean fails when anything temporary is left.
func (s *scene) clean(t *testing.T) {
	t.Helper()
	err := filepath.Walk(s.dir, func(path string, _ os.FileInfo, err error) error {
		name := filepath.Base(path)
		if err == nil && (strings.HasPrefix(name, tempPrefix) || strings.HasPrefix(name, "mirrorform-recover") || filepath.Base(filepath.Dir(path)) == "journal") {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// run has a process serve the messages, and returns whether it was killed.
func (s *scene) run(t *testing.T, program, fault string, plain bool, messages []*wire.Message) (said []*wire.Message, killed bool) {
	t.Helper()
	control := s.dir + "/fault"
	if err := os.WriteFile(control, []byte(fault+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "MIRRORFORM_FAULT="+control, "MIRRORFORM_TEST_STATE="+s.state, "MIRRORFORM_TEST_BOOT="+s.root)
	if plain {
		cmd.Env = append(cmd.Env, "MIRRORFORM_TEST_RENAME=plain")
	}
	// The input stays open until the last message is answered: its end would be a lost controller.
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	p := spawn(t, cmd)
	_, _ = p.Write(frames(t, messages...)) // it may be dead already
	preamble := make([]byte, len(wire.Preamble))
	_, _ = io.ReadFull(p, preamble)
	for ends := 0; ends < len(messages); {
		m, err := wire.Read(p)
		if err != nil {
			break
		}
		said = append(said, m)
		if m.Hello != nil || m.Begun != nil || m.Done != nil {
			ends++
		}
	}
	err := p.Close()
	var status *exec.ExitError
	if errors.As(err, &status) {
		killed = status.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	}
	if err != nil && !killed {
		t.Fatalf("%s: %v: %s", fault, err, stderr.String())
	}
	return said, killed
}

// recover ends what is left, as the next transaction or the boot unit does.
func (s *scene) recover(t *testing.T, plain bool) *wire.Recovered {
	t.Helper()
	h := newHost(s.state)
	h.boot = newBootFiles(s.root)
	if plain {
		plainRenames(h)
	}
	// A process that another test is starting may have the lock for a moment.
	if held, err := h.lock.wait(t.Context(), &wire.Begin{Wait: 60}, func(wire.Holder) {}); err != nil || held != nil {
		t.Fatal(held, err)
	}
	defer h.lock.release()
	r, err := h.recover()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A helper that is killed at any step leaves what the next one puts back, wholly, or completes once it was committed. With MIRRORFORM_FAULTS=all it is
// killed at every one.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	program := faultBuild(t)
	for i, c := range []struct {
		name         string
		fails, plain bool
	}{{name: "committed"}, {name: "failed", fails: true}, {name: "without exchange", plain: true}, {name: "failed without exchange", fails: true, plain: true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := setScene(t)
			before := s.all(t)
			messages := s.messages(c.fails)
			if said, killed := s.run(t, program, "log "+s.dir+"/log", c.plain, messages); killed || len(said) < 5 {
				t.Fatalf("%v %+v", killed, said)
			}
			s.clean(t)
			after := s.all(t)
			if (after == before) != c.fails || !c.fails && !strings.HasSuffix(after, "manifest.json new\nmanifest.json.1 old\n") {
				t.Fatalf("changed\n%sto\n%s", before, after)
			}
			log, err := os.ReadFile(s.dir + "/log")
			if err != nil {
				t.Fatal(err)
			}
			points := strings.Split(strings.TrimSpace(string(log)), "\n")
			for _, kind := range []string{"exchange", "rename", "unlink", "mkdir", "rmdir", "symlink", "chown", "chmod", "fsync", "fallocate", "write", "create", "program", "end of program"} {
				if !slices.Contains(points, kind) && (kind != "exchange" || !c.plain) {
					t.Errorf("no point %q among %d", kind, len(points))
				}
			}
			committed := 0
			every := 4
			if os.Getenv("MIRRORFORM_FAULTS") == "all" {
				every = 1
			}
			for n := 1 + i%every; n <= len(points); n += every {
				s.reset(t)
				// The new tree has new inodes, which a snapshot does not know.
				if _, killed := s.run(t, program, "kill "+strconv.Itoa(n), c.plain, messages); !killed {
					t.Fatalf("point %d of %d (%s): not killed", n, len(points), points[n-1])
				}
				r := s.recover(t, c.plain)
				s.clean(t)
				want := before
				if r != nil && (len(r.Errors) > 0 || len(r.Stays) > 0) {
					t.Errorf("point %d (%s): %+v", n, points[n-1], r)
				}
				got := s.all(t)
				if got == after && (r == nil || r.Committed) {
					committed++
					want = after
				}
				if got != want {
					t.Errorf("point %d (%s): is\n%swas\n%s%+v", n, points[n-1], got, want, r)
				}
				if again := s.recover(t, c.plain); again != nil {
					t.Errorf("point %d (%s): recovered twice: %+v", n, points[n-1], again)
				}
				if t.Failed() {
					t.FailNow()
				}
			}
			if !c.fails && (committed == 0 || committed == len(points)) {
				t.Errorf("%d of %d were committed", committed, len(points))
			}
		})
	}
}

// A recovery that is killed itself is completed by the next one.
func TestRecoveryKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	program := faultBuild(t)
	s := setScene(t)
	before := s.all(t)
	messages := s.messages(false)
	s.run(t, program, "log "+s.dir+"/log", false, messages)
	log, err := os.ReadFile(s.dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	after, all := s.all(t), len(strings.Split(strings.TrimSpace(string(log)), "\n"))
	every := 4
	if os.Getenv("MIRRORFORM_FAULTS") == "all" {
		every = 1
	}
	for _, first := range []int{all / 3, all * 3 / 5, all - 22, all - 5} {
		for n := 1; ; n += every {
			s.reset(t)
			if _, killed := s.run(t, program, "kill "+strconv.Itoa(first), false, messages); !killed {
				t.Fatal("not killed")
			}
			_, killed := s.run(t, program, "kill "+strconv.Itoa(n), false, []*wire.Message{hello, begin})
			r := s.recover(t, false)
			s.clean(t)
			if got := s.all(t); got != before && got != after || r != nil && (len(r.Errors) > 0 || len(r.Stays) > 0) {
				t.Fatalf("killed at %d of %d, and at %d of the recovery: is\n%swas\n%s%+v", first, all, n, got, before, r)
			}
			if !killed {
				if n < 5 {
					t.Errorf("the recovery has %d points", n-1)
				}
				break
			}
		}
	}
}

// mutating are the system calls that change files, and those that start programs.
var mutating = []string{"Rename", "Renameat", "Renameat2", "Unlink", "Unlinkat", "Rmdir", "Mkdir", "Mkdirat", "Mknod", "Mknodat", "Symlink", "Symlinkat", "Link", "Linkat",
	"Write", "Pwrite", "Pwritev", "Writev", "Ftruncate", "Truncate", "Fallocate", "Fsync", "Fdatasync", "Sync", "Syncfs", "Chown", "Lchown", "Fchown", "Fchownat", "Chmod", "Fchmod", "Fchmodat",
	"Setxattr", "Lsetxattr", "Fsetxattr", "Removexattr", "Lremovexattr", "Fremovexattr", "UtimesNanoAt", "UtimesNano", "Utimes", "Futimes", "Mount", "Unmount",
	"CopyFileRange", "Sendfile", "ForkExec", "StartProcess", "Exec", "Syscall", "Syscall6", "RawSyscall"}

// TestPrimitives: whatever changes the host goes through a fault point.
func TestPrimitives(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("%v, %v", files, err)
	}
	seen := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "fault_on.go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, ok := call.X.(*ast.Ident)
			if !ok || of.Name != "unix" && of.Name != "syscall" && of.Name != "os" {
				return true
			}
			what := call.Sel.Name
			if !slices.Contains(mutating, what) && what != "O_CREAT" && what != "O_TRUNC" {
				return true
			}
			seen++
			if name != "primitive.go" && (name != "child.go" || what != "ForkExec") {
				t.Errorf("%s uses %s.%s: it belongs in primitive.go, with a fault point", name, of.Name, what)
			}
			return true
		})
	}
	if seen < 20 {
		t.Errorf("only %d were found", seen)
	}
}
