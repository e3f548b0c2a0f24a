package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/wire"
	"golang.org/x/sys/unix"
)

// snapshot describes all in a directory that an undo has to bring back.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		f, err := look(unix.AT_FDCWD, path, path, nil)
		if err != nil {
			return err
		}
		b.WriteString(path + " " + f.Fingerprint)
		if f.Kind == wire.Regular {
			b.WriteString(" " + info.ModTime().String())
			value := make([]byte, 100)
			if n, err := unix.Getxattr(path, "user.test", value); err == nil {
				b.Write(value[:n])
			}
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Whatever an operation does to whatever was there: its undo brings that back.
func TestUndo(t *testing.T) {
	t.Parallel()
	for _, was := range []string{"nothing", "file", "link", "directory"} {
		for _, what := range []string{"write", "mkdir", "symlink", "attr", "owner", "remove"} {
			t.Run(was+" "+what, func(t *testing.T) {
				t.Parallel()
				tr := plant(t)
				path := tr.dir + "/x"
				switch was {
				case "file":
					tr.put("x", "original", 0o640)
					_ = unix.Setxattr(path, "user.test", []byte("x"), 0) // not every file system has them
					if err := os.Chtimes(path, time.Unix(7, 7), time.Unix(8, 8)); err != nil {
						t.Fatal(err)
					}
				case "link":
					tr.link("x", "somewhere")
				case "directory":
					if err := os.Mkdir(path, 0o710); err != nil {
						t.Fatal(err)
					}
				}
				if os.Geteuid() == 0 && was != "nothing" {
					if err := os.Lchown(path, 3, 4); err != nil {
						t.Fatal(err)
					}
				}
				op := map[string]wire.Op{
					"write":   write(path, "new", wire.Attributes{Mode: ptr(uint32(0o600))}),
					"mkdir":   {Mkdir: &wire.MkdirOp{Path: path}},
					"symlink": {Symlink: &wire.SymlinkOp{Path: path, Target: "elsewhere"}},
					"attr":    {Attr: &wire.AttrOp{Path: path, Attributes: wire.Attributes{Mode: ptr(uint32(0o4711))}}},
					"owner":   {Attr: &wire.AttrOp{Path: path, Attributes: wire.Attributes{Owner: ptr(itoa(os.Geteuid()))}}},
					"remove":  {Remove: &wire.RemoveOp{Path: path}},
				}[what]
				before := snapshot(t, tr.dir)
				events, done := tr.do(wire.Order{ID: 5, Op: op, Undo: &wire.Op{Restore: &wire.RestoreOp{Path: path}}})
				if done.Failed != nil {
					// What cannot be done is not done at all.
					if after := snapshot(t, tr.dir); after != before {
						t.Errorf("failed (%s) and changed\n%sto\n%s", events[1].Error, before, after)
					}
					return
				}
				tr.send(&wire.Message{Undo: &wire.Undo{IDs: []int{5, 77}}})
				events, done = tr.finish()
				if done.Failed != nil || len(events) != 1 || events[0].State != wire.Undone {
					t.Fatalf("%+v %+v", events, done)
				}
				if after := snapshot(t, tr.dir); after != before {
					t.Errorf("changed\n%sto\n%s", before, after)
				}
			})
		}
	}
}

func states(events []wire.Event) (s []string) {
	for _, e := range events {
		s = append(s, itoa(e.ID)+" "+string(e.State))
	}
	return s
}

func TestGroups(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	d := tr.dir
	restore := func(path string) *wire.Op { return &wire.Op{Restore: &wire.RestoreOp{Path: path}} }
	order := func(id, group int, op wire.Op, undo *wire.Op) wire.Order {
		return wire.Order{ID: id, Group: group, Op: op, Undo: undo}
	}
	run := func(argv ...string) wire.Op { return wire.Op{Run: &wire.RunOp{Argv: argv}} }
	file := tr.put("file", "old", 0o600)
	before := snapshot(t, d+"/file")
	events, done := tr.do(
		order(1, 1, write(d+"/one", "x", wire.Attributes{}), restore(d+"/one")),
		order(2, 2, write(file, "1", wire.Attributes{}), restore(file)),
		order(3, 2, write(file, "2", wire.Attributes{Mode: ptr(uint32(0o644))}), restore(file)),
		order(4, 2, run("true"), nil),
		order(5, 2, wire.Op{Mkdir: &wire.MkdirOp{Path: d + "/dir"}}, restore(d+"/dir")),
		order(6, 2, run("false"), restore(file)),
		order(7, 3, run("true"), nil),
	)
	// A restore of something that the operation does not change is refused before anything is done.
	want := []string{"1 started", "1 done", "2 started", "2 done", "3 started", "3 done", "4 started", "4 done", "5 started", "5 done",
		"6 started", "6 failed", "5 undone", "3 undone", "2 undone"}
	if got := states(events); !slices.Equal(got, want) || done.Failed == nil || *done.Failed != 6 || !strings.Contains(events[11].Error, "cannot be restored") {
		t.Errorf("%v %+v", got, done)
	}
	if after := snapshot(t, d+"/file"); after != before {
		t.Errorf("changed\n%sto\n%s", before, after)
	}
	tr.want(d+"/dir", wire.Absent, 0, "")
	tr.want(d+"/one", wire.Regular, 0o644, "x")

	// A number stands for one operation on a connection; what cannot be undone is said.
	events, done = tr.do(order(1, 1, run("true"), nil))
	if done.Failed == nil || !strings.Contains(events[1].Error, "done already") {
		t.Errorf("%+v", events)
	}
	tr.send(&wire.Message{Undo: &wire.Undo{IDs: []int{1, 4, 2}}})
	events, done = tr.finish()
	if got := states(events); !slices.Equal(got, []string{"4 undo-failed", "1 undone"}) || done.Failed == nil || *done.Failed != 4 {
		t.Errorf("%v %+v", got, done)
	}
	tr.want(d+"/one", wire.Absent, 0, "")
}

// An original that could not be put back is kept, and the event says where.
func TestFailedUndo(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), t.TempDir()+"/state"
	c := dial(t, state)
	if err := os.WriteFile(dir+"/x", []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, done := c.do(wire.Order{ID: 1, Op: wire.Op{Remove: &wire.RemoveOp{Path: dir + "/x"}}, Undo: &wire.Op{Restore: &wire.RestoreOp{Path: dir + "/x"}}})
	if done.Failed != nil {
		t.Fatal("failed")
	}
	if err := os.MkdirAll(dir+"/x/in/the/way", 0o700); err != nil {
		t.Fatal(err)
	}
	c.send(&wire.Message{Undo: &wire.Undo{IDs: []int{1}}})
	events, done := c.finish()
	if len(events) != 1 || events[0].State != wire.UndoFailed || done.Failed == nil {
		t.Fatalf("%+v %+v", events, done)
	}
	_ = c.rw.Close()
	kept, err := filepath.Glob(state + "/journal/*/1.data")
	if err != nil || len(kept) != 1 || !strings.Contains(events[0].Error, kept[0]) {
		t.Fatalf("%v: %s", kept, events[0].Error)
	}
	if data, err := os.ReadFile(kept[0]); err != nil || string(data) != "precious" {
		t.Errorf("%q, %v", data, err)
	}
}

// What could not be brought back is not changed.
func TestTooLargeToKeep(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	big := tr.put("big", "", 0o600)
	if err := os.Truncate(big, maxDigest+1); err != nil {
		t.Fatal(err)
	}
	undo := &wire.Op{Restore: &wire.RestoreOp{Path: big}}
	events, done := tr.do(wire.Order{ID: 1, Op: write(big, "x", wire.Attributes{}), Undo: undo})
	if done.Failed == nil || !strings.Contains(events[1].Error, "more than 64 MiB") {
		t.Errorf("%+v", events)
	}
	if f := tr.file(big); f.Size != maxDigest+1 {
		t.Errorf("%+v", f)
	}
	attr := wire.Op{Attr: &wire.AttrOp{Path: big, Attributes: wire.Attributes{Mode: ptr(uint32(0o640))}}}
	if events, done := tr.do(wire.Order{ID: 2, Op: attr, Undo: undo}); done.Failed != nil {
		t.Errorf("%+v", events)
	}
	tr.send(&wire.Message{Undo: &wire.Undo{IDs: []int{2}}})
	if events, done := tr.finish(); done.Failed != nil || tr.file(big).Mode != 0o600 {
		t.Errorf("%+v", events)
	}
}

// The state directory holds originals: nobody else may put anything there.
func TestStateDirectory(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(dir string) error{
		"writable by others": func(dir string) error {
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return os.Chmod(dir, 0o777)
		},
		"a link": func(dir string) error { return os.Symlink(t.TempDir(), dir) },
		"a file": func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			if err := prepare(parent + "/state"); err != nil {
				t.Fatal(err)
			}
			c := dial(t, parent+"/state")
			file := parent + "/x"
			events, done := c.do(wire.Order{ID: 1, Op: write(file, "x", wire.Attributes{}), Undo: &wire.Op{Restore: &wire.RestoreOp{Path: file}}})
			if done.Failed == nil || !strings.Contains(events[1].Error, "state directory") {
				t.Errorf("%+v", events)
			}
			if f := c.file(file); f.Kind != wire.Absent {
				t.Errorf("%+v", f)
			}
		})
	}
}

// Directories that an operation makes above its path go with it, as far as nobody uses them.
func TestParents(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	d := tr.dir
	ops := []wire.Op{
		{Write: &wire.WriteOp{Path: d + "/a/b/file", Content: []byte("x"), Parents: true}},
		{Mkdir: &wire.MkdirOp{Path: d + "/a/c/dir", Parents: true}},
		{Symlink: &wire.SymlinkOp{Path: d + "/a/b/d/link", Target: "x", Parents: true}},
	}
	before := snapshot(t, d)
	var orders []wire.Order
	var ids []int
	for i, op := range ops {
		orders = append(orders, wire.Order{ID: i, Group: i, Op: op, Undo: &wire.Op{Restore: &wire.RestoreOp{Path: op.Path()}}})
		ids = append(ids, i)
	}
	if events, done := tr.do(orders...); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	tr.want(d+"/a", wire.Directory, 0o755, "")
	tr.want(d+"/a/b/file", wire.Regular, 0o644, "x")
	tr.want(d+"/a/c/dir", wire.Directory, 0o755, "")
	tr.want(d+"/a/b/d/link", wire.Symlink, 0, "x")
	tr.send(&wire.Message{Undo: &wire.Undo{IDs: ids}})
	if events, done := tr.finish(); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	if after := snapshot(t, d); after != before {
		t.Errorf("changed\n%sto\n%s", before, after)
	}

	// What fails takes its directories away as well.
	failing := write(d+"/a/b/file", "x", wire.Attributes{Owner: ptr("no-such-user")})
	failing.Write.Parents = true
	tr.refuses(failing, "no user")
	failing = write(d+"/a/b/file", "x", wire.Attributes{})
	failing.Write.Parents, failing.Expect = true, "something"
	tr.refuses(failing, "has changed since it was observed")
	if after := snapshot(t, d); after != before {
		t.Errorf("changed\n%sto\n%s", before, after)
	}
	// What somebody put there since stays.
	orders[0].ID, orders[0].Group = 10, 10
	if events, done := tr.do(orders[0]); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	tr.put("a/mine", "", 0o600)
	tr.send(&wire.Message{Undo: &wire.Undo{IDs: []int{10}}})
	if events, done := tr.finish(); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	tr.want(d+"/a/b", wire.Absent, 0, "")
	tr.want(d+"/a/mine", wire.Regular, 0o600, "")
}
