package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// snapshot describes all in a directory that an undo has to bring back. Times are those of files that were given one long past.
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
		if f.Kind == wire.Regular && info.ModTime().Before(time.Unix(1.1e9, 0)) {
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

// fixed is a time that files of tests are given: those made anew are then alike.
var fixed = time.Unix(1e9, 0)

// visible leaves temporary names out of a snapshot.
func visible(snapshot string) string {
	var b strings.Builder
	for line := range strings.Lines(snapshot) {
		if !strings.Contains(line, "/"+tempPrefix) {
			b.WriteString(line)
		}
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
					"owner":   {Attr: &wire.AttrOp{Path: path, Attributes: wire.Attributes{Owner: ptr(strconv.Itoa(os.Geteuid()))}}},
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
				events, done = tr.rollback()
				if !done.Undone || done.Journal != "" || len(events) != 1 || events[0].State != wire.Undone {
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
		s = append(s, strconv.Itoa(e.ID)+" "+string(e.State))
	}
	return s
}

func restore(path string) *wire.Op { return &wire.Op{Restore: &wire.RestoreOp{Path: path}} }

func runs(argv ...string) wire.Op { return wire.Op{Run: &wire.RunOp{Argv: argv}} }

// All that was done since Begin is undone when an operation fails, whichever message ordered it.
func TestRollback(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	d := tr.dir
	file := tr.put("file", "old", 0o600)
	before := snapshot(t, d)
	first, done := tr.do(wire.Order{ID: 1, Op: write(d+"/one", "x", wire.Attributes{}), Undo: restore(d + "/one")})
	if done.Failed != nil || done.Undone {
		t.Fatalf("%+v %+v", first, done)
	}
	events, done := tr.do(
		wire.Order{ID: 2, Op: write(file, "1", wire.Attributes{}), Undo: restore(file)},
		wire.Order{ID: 3, Op: write(file, "2", wire.Attributes{Mode: ptr(uint32(0o644))}), Undo: restore(file)},
		wire.Order{ID: 4, Op: runs("true")},
		wire.Order{ID: 5, Op: wire.Op{Mkdir: &wire.MkdirOp{Path: d + "/dir"}}, Undo: restore(d + "/dir")},
		wire.Order{ID: 6, Op: wire.Op{Remove: &wire.RemoveOp{Path: file}}, Undo: restore(file)},
		wire.Order{ID: 7, Op: write(file, "3", wire.Attributes{}), Undo: restore(file)},
		wire.Order{ID: 8, Op: wire.Op{Attr: &wire.AttrOp{Path: file, Attributes: wire.Attributes{Mode: ptr(uint32(0o4755))}}}, Undo: restore(file)},
		wire.Order{ID: 9, Op: runs("false")},
		wire.Order{ID: 10, Op: runs("true")},
	)
	want := "2 started,2 done,3 started,3 done,4 started,4 done,5 started,5 done,6 started,6 done,7 started,7 done,8 started,8 done,9 started,9 failed," +
		"8 undone,7 undone,6 undone,5 undone,3 undone,2 undone,1 undone"
	if got := strings.Join(states(events), ","); got != want || done.Failed == nil || *done.Failed != 9 || !done.Undone || done.Journal != "" {
		t.Errorf("%v %+v", got, done)
	}
	if after := snapshot(t, d); after != before {
		t.Errorf("changed\n%sto\n%s", before, after)
	}
	// There is no transaction any more, and another one can begin.
	tr.send(&wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 11, Op: runs("true")}}}})
	if events, done := tr.finish(); len(events) != 0 || done.Error == "" || !done.Undone {
		t.Errorf("%v %+v", events, done)
	}
	for name, order := range map[string]wire.Order{
		"cannot restore":    {ID: 6, Op: runs("false"), Undo: restore(file)},
		"must be a restore": {ID: 6, Op: runs("false"), Undo: ptr(write(file, "", wire.Attributes{}))},
		"already done":      {ID: 5, Op: runs("false")},
	} {
		events, done := tr.do(wire.Order{ID: 5, Op: runs("true")}, order)
		if done.Failed == nil || *done.Failed != order.ID || !strings.Contains(events[3].Error, name) {
			t.Errorf("%s: %+v %+v", name, events, done)
		}
	}
}

// A directory is removed once all in it was, although the originals still lie there; with it they go, or come back.
func TestRemoveTree(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	d := tr.dir + "/a"
	if err := os.MkdirAll(d+"/b", 0o750); err != nil {
		t.Fatal(err)
	}
	tr.put("a/x", "x", 0o600)
	tr.put("a/b/y", "y", 0o600)
	before := snapshot(t, tr.dir)
	remove := func(id int, path string) wire.Order {
		return wire.Order{ID: id, Op: wire.Op{Remove: &wire.RemoveOp{Path: path}}, Undo: restore(path)}
	}
	all := []wire.Order{remove(1, d+"/b/y"), remove(2, d+"/b"), remove(3, d+"/x"), remove(4, d)}
	if events, done := tr.do(all...); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	tr.want(d, wire.Absent, 0, "")
	if events, done := tr.rollback(); done.Journal != "" || len(events) != 4 {
		t.Errorf("%+v %+v", events, done)
	}
	if after := snapshot(t, tr.dir); after != before {
		t.Errorf("changed\n%sto\n%s", before, after)
	}
	if events, done := tr.do(all[0], all[1], all[3]); done.Failed == nil || !strings.Contains(events[len(events)-3].Error, "not empty") {
		t.Errorf("%+v", events)
	}
	if after := snapshot(t, tr.dir); after != before {
		t.Errorf("changed\n%sto\n%s", before, after)
	}
	if events, done := tr.do(all[:3]...); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	// Somebody who is in the directory may still write there.
	fd, err := unix.Open(d, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer closeFD(fd)
	if events, done := tr.do(all[3]); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	if err := os.WriteFile(procFD(fd)+"/theirs", []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if done := tr.commit(wire.Commit{}); done.Error != "" {
		t.Error(done.Error)
	}
	if data, err := os.ReadFile(procFD(fd) + "/theirs"); err != nil || string(data) != "theirs" {
		t.Errorf("%q, %v", data, err)
	}
	if left, err := os.ReadDir(tr.dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// What somebody else has made of a path since is left as it is, and the original is kept. It stands in nobody's way.
func TestForeignEdit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		op   wire.Op
		edit func(path string) error
		was  string // before the operation; "-": nothing
		kept bool
	}{
		"rewritten in place": {edit: func(p string) error { return os.WriteFile(p, []byte("theirs"), 0o600) }, was: "old", kept: true},
		"replaced":           {edit: func(p string) error { _ = os.Remove(p); return os.WriteFile(p, []byte("theirs"), 0o600) }, was: "old", kept: true},
		"made a directory":   {edit: func(p string) error { _ = os.Remove(p); return os.MkdirAll(p+"/in/the/way", 0o700) }, was: "old", kept: true},
		"removed":            {edit: os.Remove, was: "old", kept: true},
		"other mode":         {edit: func(p string) error { return os.Chmod(p, 0o444) }, was: "old", kept: true},
		"new and rewritten":  {edit: func(p string) error { return os.WriteFile(p, []byte("theirs"), 0o600) }, was: "-"},
		"made again": {op: wire.Op{Remove: &wire.RemoveOp{}}, edit: func(p string) error { return os.WriteFile(p, []byte("theirs"), 0o600) },
			was: "old", kept: true},
		"used": {op: wire.Op{Mkdir: &wire.MkdirOp{}}, edit: func(p string) error { return os.WriteFile(p+"/x", nil, 0o600) }, was: "-"},
		"mode changed again": {op: wire.Op{Attr: &wire.AttrOp{Attributes: wire.Attributes{Mode: ptr(uint32(0o640))}}},
			edit: func(p string) error { return os.Chmod(p, 0o444) }, was: "old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, state := t.TempDir(), t.TempDir()+"/state"
			tr := dial(t, state)
			path := dir + "/x"
			if c.was != "-" {
				if err := os.WriteFile(path, []byte(c.was), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			op := c.op
			switch {
			case op.Remove != nil:
				op.Remove.Path = path
			case op.Mkdir != nil:
				op.Mkdir.Path = path
			case op.Attr != nil:
				op.Attr.Path = path
			default:
				op = write(path, "ours", wire.Attributes{})
			}
			if events, done := tr.do(wire.Order{ID: 1, Op: op, Undo: restore(path)}); done.Failed != nil {
				t.Fatalf("%+v", events)
			}
			if err := c.edit(path); err != nil {
				t.Fatal(err)
			}
			theirs := visible(snapshot(t, dir))
			events, done := tr.rollback()
			if len(events) != 1 || events[0].State != wire.UndoFailed || !done.Undone || (done.Journal != "") != c.kept {
				t.Fatalf("%+v %+v", events, done)
			}
			if after := snapshot(t, dir); after != theirs {
				t.Errorf("changed\n%sto\n%s", theirs, after)
			}
			kept, err := filepath.Glob(state + "/kept/*/1")
			if err != nil || (len(kept) == 1) != c.kept {
				t.Fatalf("%v, %v", kept, err)
			}
			if c.kept {
				if data, err := os.ReadFile(kept[0]); err != nil || string(data) != c.was || !strings.Contains(events[0].Error, kept[0]) {
					t.Errorf("%q, %v: %s", data, err, events[0].Error)
				}
			}
			if left, _ := os.ReadDir(state + "/journal"); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
			if b := tr.lock(60); b.ID == "" || b.Recovered != nil {
				t.Errorf("%+v", b)
			}
		})
	}
}

// What cannot be taken back leaves its journal, and the next transaction tries again before it begins.
func TestFailedRollback(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), t.TempDir()+"/state"
	c := dial(t, state)
	file, other := dir+"/file", dir+"/other"
	for _, f := range []string{file, other} {
		if err := os.WriteFile(f, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := snapshot(t, dir)
	undo := runs("test", "-e", dir+"/repaired")
	if events, done := c.do(wire.Order{ID: 1, Op: write(file, "new", wire.Attributes{}), Undo: restore(file)}, wire.Order{ID: 2, Op: runs("true"), Undo: &undo},
		wire.Order{ID: 3, Op: wire.Op{Remove: &wire.RemoveOp{Path: other}}, Undo: restore(other)}, wire.Order{ID: 4, Op: runs("true"), Final: "it cannot be known"}); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	events, done := c.rollback()
	if got := strings.Join(states(events), ","); got != "3 undone,2 undo-failed,1 undone" || !done.Undone || !strings.HasPrefix(done.Journal, state+"/journal/") {
		t.Fatalf("%s %+v", got, done)
	}
	if after := snapshot(t, dir); after != before {
		t.Errorf("changed\n%sto\n%s", before, after)
	}
	_ = c.rw.Close()
	c = dial(t, state)
	b := c.lock(60)
	if b.ID != "" || b.Recovered == nil || len(b.Recovered.Errors) != 1 || b.Recovered.Journal != done.Journal || !strings.Contains(b.Recovered.Errors[0], "test") ||
		b.Recovered.Operator != "alice@laptop" || b.Recovered.Command != "apply" {
		t.Fatalf("%+v %+v", b, b.Recovered)
	}
	if err := os.WriteFile(dir+"/repaired", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b = c.lock(60)
	if b.ID == "" || b.Recovered == nil || b.Recovered.Undone != 1 || len(b.Recovered.Errors) != 0 || !slices.Equal(b.Recovered.Stays, []string{"run true: it cannot be known"}) {
		t.Fatalf("%+v %+v", b, b.Recovered)
	}
	if left, _ := os.ReadDir(state + "/journal"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Large files and devices are brought back as well: they are never copied.
func TestOriginalsOfAnySort(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	big := tr.put("big", "", 0o600)
	if err := os.Truncate(big, maxDigest+1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(tr.dir+"/pipe", 0o640); err != nil {
		t.Fatal(err)
	}
	var was unix.Stat_t
	if err := unix.Stat(big, &was); err != nil {
		t.Fatal(err)
	}
	remove := func(path string) wire.Op { return wire.Op{Remove: &wire.RemoveOp{Path: path}} }
	events, done := tr.do(wire.Order{ID: 1, Op: write(big, "x", wire.Attributes{}), Undo: restore(big)}, wire.Order{ID: 2, Op: remove(big), Undo: restore(big)},
		wire.Order{ID: 3, Op: remove(tr.dir + "/pipe"), Undo: restore(tr.dir + "/pipe")})
	if done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	tr.want(big, wire.Absent, 0, "")
	if events, done := tr.rollback(); done.Journal != "" || len(events) != 3 {
		t.Errorf("%+v %+v", events, done)
	}
	var is unix.Stat_t
	if err := unix.Stat(big, &is); err != nil || is.Ino != was.Ino || is.Size != was.Size || is.Mtim != was.Mtim {
		t.Errorf("%+v, %v; was %+v", is, err, was)
	}
	tr.want(tr.dir+"/pipe", wire.Other, 0o640, "")
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
			c.send(begin)
			if m := c.receive(); m.Failure == nil || !strings.Contains(m.Failure.Message, "state directory") {
				t.Errorf("%+v", m)
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
	for i, op := range ops {
		orders = append(orders, wire.Order{ID: i, Op: op, Undo: restore(op.Path())})
	}
	if events, done := tr.do(orders...); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	tr.want(d+"/a", wire.Directory, 0o755, "")
	tr.want(d+"/a/b/file", wire.Regular, 0o644, "x")
	tr.want(d+"/a/c/dir", wire.Directory, 0o755, "")
	tr.want(d+"/a/b/d/link", wire.Symlink, 0, "x")
	if events, done := tr.rollback(); done.Journal != "" || len(events) != 3 {
		t.Fatalf("%+v %+v", events, done)
	}
	if after := snapshot(t, d); after != before {
		t.Errorf("changed\n%sto\n%s", before, after)
	}

	// What fails takes its directories away as well.
	failing := write(d+"/a/b/file", "x", wire.Attributes{Owner: ptr("no-such-user")})
	failing.Write.Parents = true
	tr.refuses(failing, "not found")
	failing = write(d+"/a/b/file", "x", wire.Attributes{})
	failing.Write.Parents, failing.Expect = true, "something"
	tr.refuses(failing, "has changed since it was observed")
	if after := snapshot(t, d); after != before {
		t.Errorf("changed\n%sto\n%s", before, after)
	}
	// What somebody put there since stays.
	orders[0].ID = 10
	if events, done := tr.do(orders[0]); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	tr.put("a/mine", "", 0o600)
	if events, done := tr.rollback(); done.Journal != "" || len(events) != 1 {
		t.Fatalf("%+v %+v", events, done)
	}
	tr.want(d+"/a/b", wire.Absent, 0, "")
	tr.want(d+"/a/mine", wire.Regular, 0o600, "")
}
