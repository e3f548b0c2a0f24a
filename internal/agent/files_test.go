package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

func ptr[T any](v T) *T { return &v }

// tree is a directory to change things in, with a session.
type tree struct {
	*controller
	dir string
}

// plant makes a tree whose test also fails when a temporary file or an original is left.
func plant(t *testing.T) *tree {
	t.Helper()
	dir, state := t.TempDir(), t.TempDir()+"/state"
	c := dial(t, state)
	t.Cleanup(func() {
		_ = c.rw.Close()
		left, _ := filepath.Glob(dir + "/.mirrorform-*")
		kept, _ := filepath.Glob(state + "/journal/*")
		if len(left)+len(kept) > 0 {
			t.Errorf("left behind: %v %v", left, kept)
		}
	})
	return &tree{c, dir}
}

func (tr *tree) put(name, content string, mode os.FileMode) string {
	tr.t.Helper()
	path := tr.dir + "/" + name
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		tr.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		tr.t.Fatal(err)
	}
	return path
}

func (tr *tree) link(name, target string) string {
	tr.t.Helper()
	path := tr.dir + "/" + name
	if err := os.Symlink(target, path); err != nil {
		tr.t.Fatal(err)
	}
	return path
}

// want fails unless the file is as given.
func (tr *tree) want(path string, kind wire.Kind, mode uint32, content string) {
	tr.t.Helper()
	f := tr.file(path)
	if f.Kind != kind || kind == wire.Regular && (string(f.Content) != content || !f.HasContent) || kind == wire.Symlink && f.Target != content ||
		kind != wire.Symlink && kind != wire.Absent && f.Mode != mode {
		tr.t.Errorf("%s is %+v (%o), want %s %o %q", path, f, f.Mode, kind, mode, content)
	}
}

func write(path, content string, at wire.Attributes) wire.Op {
	return wire.Op{Write: &wire.WriteOp{Path: path, Content: []byte(content), Attributes: at}}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	d := tr.dir
	tr.must(write(d+"/new", "a", wire.Attributes{}))
	tr.want(d+"/new", wire.Regular, 0o644, "a")
	tr.must(write(d+"/new", "", wire.Attributes{}))
	tr.want(d+"/new", wire.Regular, 0o644, "")

	// What is not set stays, with extended attributes.
	old := tr.put("old", "a", 0o640)
	xattrs := unix.Setxattr(old, "user.test", []byte("kept"), 0) == nil
	tr.must(write(old, "b", wire.Attributes{}))
	tr.want(old, wire.Regular, 0o640, "b")
	if value := make([]byte, 10); xattrs {
		if n, err := unix.Getxattr(old, "user.test", value); err != nil || string(value[:n]) != "kept" {
			t.Errorf("extended attribute: %q, %v", value[:max(n, 0)], err)
		}
	}
	tr.must(write(old, "b", wire.Attributes{Mode: ptr(uint32(0o4755))}))
	tr.want(old, wire.Regular, 0o4755, "b")
	tr.refuses(write(old, "b", wire.Attributes{Mode: ptr(uint32(0o100644))}), "permission bits")
	tr.refuses(write(old, "b", wire.Attributes{Owner: ptr("no-such-user")}), `user "no-such-user" not found`)
	tr.refuses(write(old, "b", wire.Attributes{Group: ptr("4294967295")}), "not found")

	// A link is replaced, and what it leads to stays.
	link := tr.link("link", old)
	tr.must(write(link, "c", wire.Attributes{}))
	tr.want(link, wire.Regular, 0o644, "c")
	tr.want(old, wire.Regular, 0o4755, "b")

	tr.refuses(write(d, "x", wire.Attributes{}), "is a directory")
	if err := unix.Mkfifo(d+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	tr.want(d+"/pipe", wire.Other, 0o600, "")
	tr.refuses(write(d+"/pipe", "x", wire.Attributes{}), "socket or pipe")
	tr.refuses(write(d+"/none/x", "x", wire.Attributes{}), "no such file")
	tr.refuses(write(old+"/x", "x", wire.Attributes{}), "not a directory")
	for _, bad := range []string{"x", "/", "/a/../b", "/a//b", "/a/", "/a/.", "/a\x00b", "/" + strings.Repeat("x", 5000)} {
		tr.refuses(write(bad, "x", wire.Attributes{}), "refused")
	}
	if os.Geteuid() == 0 {
		tr.must(write(d+"/owned", "x", wire.Attributes{Owner: ptr("daemon"), Group: ptr("4242"), Mode: ptr(uint32(0o2750))}))
		tr.want(d+"/owned", wire.Regular, 0o2750, "x")
		if f := tr.file(d + "/owned"); f.Owner != "daemon" || f.UID != 1 || f.Group != "4242" || f.GID != 4242 {
			t.Errorf("%+v", f)
		}
		tr.must(write(d+"/owned", "y", wire.Attributes{}))
		if f := tr.file(d + "/owned"); f.UID != 1 || f.GID != 4242 || f.Mode != 0o2750 {
			t.Errorf("%+v", f)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	file := tr.put("file", "old", 0o644)
	op := func(argv ...string) wire.Op {
		return wire.Op{Write: &wire.WriteOp{Path: file, Content: []byte("new"), Validate: argv}}
	}
	tr.refuses(op("grep", "-q", "missing", "{}"), "not valid")
	tr.refuses(op("no-such-program", "{}"), "not installed")
	tr.refuses(op("./x", "{}"), "absolute")
	tr.want(file, wire.Regular, 0o644, "old")
	tr.must(op("sh", "-c", `case "$1" in "$2"/.mirrorform-*) grep -q new "$1"; esac`, "x", "{}", tr.dir))
	tr.want(file, wire.Regular, 0o644, "new")
	events, _ := tr.do(wire.Order{ID: 1, Op: op("sh", "-c", "echo first; echo because; exit 3")})
	e := events[len(events)-1]
	if e.State != wire.Failed || e.Output != "first\nbecause" || e.Said != "because" || !strings.HasSuffix(e.Error, "sh: exit status 3") {
		t.Errorf("%+v", e)
	}
	// What the program of a private order prints does not leave the host.
	events, done := tr.do(wire.Order{ID: 2, Op: op("sh", "-c", "cat {}; exit 3"), Private: true})
	e = events[len(events)-1]
	if said := fmt.Sprintf("%+v %+v", e, done); e.State != wire.Failed || !e.Withheld || e.Said+e.Output != "" || !strings.HasSuffix(e.Error, "sh: exit status 3") || strings.Contains(said, "cat:") {
		t.Errorf("%s", said)
	}
}

func TestExpect(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	file, link := tr.put("file", "old", 0o644), tr.link("link", "target")
	absent := func(op wire.Op) wire.Op { op.Expect = "absent"; return op }
	expect := func(op wire.Op, of string) wire.Op { op.Expect = tr.file(of).Fingerprint; return op }
	ops := map[string]wire.Op{
		"write":   write(file, "new", wire.Attributes{}),
		"symlink": {Symlink: &wire.SymlinkOp{Path: file, Target: "x"}},
		"attr":    {Attr: &wire.AttrOp{Path: file, Attributes: wire.Attributes{Mode: ptr(uint32(0o600))}}},
		"remove":  {Remove: &wire.RemoveOp{Path: file}},
		"mkdir":   {Mkdir: &wire.MkdirOp{Path: file}},
	}
	for name, op := range ops {
		tr.refuses(absent(op), "has changed since it was observed: it was absent")
		tr.refuses(expect(op, link), "has changed since it was observed (expected fingerprint")
		if f := tr.file(file); string(f.Content) != "old" || f.Mode != 0o644 {
			t.Errorf("%s: %+v", name, f)
		}
	}
	tr.refuses(expect(wire.Op{Remove: &wire.RemoveOp{Path: tr.dir + "/no/file"}}, file), "now absent")
	tr.must(absent(write(tr.dir+"/new", "x", wire.Attributes{})), expect(ops["write"], file))

	// A change while the new content is being validated is noticed as well.
	late := expect(ops["write"], file)
	late.Write.Validate = []string{"chmod", "600", file}
	tr.refuses(late, "has changed")
	tr.want(file, wire.Regular, 0o600, "new")
	late = absent(write(tr.dir+"/late", "mine", wire.Attributes{}))
	late.Write.Validate = []string{"touch", tr.dir + "/late"}
	tr.refuses(late, "has changed")
	tr.want(tr.dir+"/late", wire.Regular, 0o644, "")
}

// Each thing that a fingerprint covers changes it, and nothing else does.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	file, dir := tr.put("file", "old", 0o644), tr.dir+"/dir"
	tr.must(wire.Op{Mkdir: &wire.MkdirOp{Path: dir}})
	seen := map[string]string{}
	note := func(what, path string) {
		t.Helper()
		f := tr.file(path).Fingerprint
		if before, ok := seen[f]; ok {
			t.Errorf("%s has the fingerprint of %s", what, before)
		}
		seen[f] = what
	}
	note("file", file)
	note("directory", dir)
	note("nothing", tr.dir+"/none")
	tr.must(write(file, "new", wire.Attributes{}))
	note("content", file)
	tr.must(write(file, "new", wire.Attributes{Mode: ptr(uint32(0o600))}))
	note("mode", file)
	tr.link("link", "a")
	note("link", tr.dir+"/link")
	tr.must(wire.Op{Symlink: &wire.SymlinkOp{Path: tr.dir + "/link", Target: "b"}})
	note("target", tr.dir+"/link")
	if os.Geteuid() == 0 {
		tr.must(write(file, "new", wire.Attributes{Owner: ptr("1")}))
		note("owner", file)
		tr.must(write(file, "new", wire.Attributes{Group: ptr("1")}))
		note("group", file)
	}
	before := tr.file(dir).Fingerprint
	tr.put("dir/x", "", 0o600)
	if tr.file(dir).Fingerprint != before {
		t.Error("what is in a directory changed its fingerprint")
	}
	if err := os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if seen[tr.file(file).Fingerprint] == "" {
		t.Error("the time of a file changed its fingerprint")
	}
	// A file that is too large to be read has one as well, which a write changes.
	big := tr.put("big", "", 0o600)
	if err := os.Truncate(big, maxDigest+1); err != nil {
		t.Fatal(err)
	}
	f := tr.file(big)
	if f.SHA256 != "" || f.HasContent || f.Size != maxDigest+1 {
		t.Errorf("%+v", f)
	}
	if err := os.Chtimes(big, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if tr.file(big).Fingerprint == f.Fingerprint {
		t.Error("a change of a large file was not noticed")
	}
}

func TestContentOptions(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	file := tr.put("file", "old", 0o644)
	sum := digestOf("old")
	ask := func(path, option string) *wire.File {
		t.Helper()
		return tr.one(wire.Query{Verb: wire.AskFile, Arg: path, Option: option}).File
	}
	for option, has := range map[string]bool{"": false, "content": true, "content-unless:" + sum: false, "content-unless:x": true} {
		if f := ask(file, option); f.HasContent != has || f.SHA256 != sum || (string(f.Content) == "old") != has || f.Size != 3 {
			t.Errorf("%q: %+v", option, f)
		}
	}
	large := tr.put("large", strings.Repeat("x", wire.MaxContent), 0o644)
	if f := ask(large, "content"); len(f.Content) != wire.MaxContent {
		t.Errorf("%d bytes", len(f.Content))
	}
	larger := tr.put("larger", strings.Repeat("x", wire.MaxContent+1), 0o644)
	if f := ask(larger, "content"); f.HasContent || f.Content != nil || f.SHA256 == "" {
		t.Errorf("%+v", f.HasContent)
	}
	// Pieces are bounded, and no digest is made for them.
	lines := tr.put("lines", "first"+strings.Repeat("x", 2*wire.MaxPiece)+"last", 0o644)
	for option, want := range map[string]string{"head": "first" + strings.Repeat("x", wire.MaxPiece-5), "tail": strings.Repeat("x", wire.MaxPiece-4) + "last"} {
		if f := ask(lines, option); string(f.Content) != want || !f.HasContent || f.SHA256 != "" || f.Fingerprint == "" {
			t.Errorf("%q: %+v", option, f)
		}
		if f := ask(file, option); string(f.Content) != "old" || !f.HasContent {
			t.Errorf("%q: %+v", option, f)
		}
		for path, kind := range map[string]wire.Kind{tr.dir: wire.Directory, tr.dir + "/none": wire.Absent, tr.dir + "/" + option: wire.Symlink} {
			if kind == wire.Symlink {
				tr.link(option, file)
			}
			if f := ask(path, option); f.Kind != kind || f.HasContent {
				t.Errorf("%q of %s: %+v", option, path, f)
			}
		}
	}
	if f := ask(lines, "stat"); f.Kind != wire.Regular || f.Size == 0 || f.HasContent || f.SHA256 != "" || f.Fingerprint == "" {
		t.Errorf("stat: %+v", f)
	}
	// All contents together have to fit into a frame.
	var queries []wire.Query
	for range 8 {
		queries = append(queries, wire.Query{Verb: wire.AskFile, Arg: large, Option: "content"})
	}
	with := 0
	for _, a := range tr.ask(queries...) {
		if a.File.HasContent {
			with++
		}
	}
	if with != wire.MaxAnswers/wire.MaxContent {
		t.Errorf("%d of 8 contents", with)
	}
}

func TestMkdirSymlinkAttrRemove(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	d := tr.dir
	mkdir := func(path string, mode *uint32) wire.Op {
		return wire.Op{Mkdir: &wire.MkdirOp{Path: path, Attributes: wire.Attributes{Mode: mode}}}
	}
	symlink := func(path, target string) wire.Op {
		return wire.Op{Symlink: &wire.SymlinkOp{Path: path, Target: target}}
	}
	attr := func(path string, at wire.Attributes) wire.Op {
		return wire.Op{Attr: &wire.AttrOp{Path: path, Attributes: at}}
	}
	rm := func(path string) wire.Op { return wire.Op{Remove: &wire.RemoveOp{Path: path}} }

	tr.must(mkdir(d+"/a", nil), mkdir(d+"/a/b", ptr(uint32(0o2770))))
	tr.want(d+"/a", wire.Directory, 0o755, "")
	tr.want(d+"/a/b", wire.Directory, 0o2770, "")
	tr.refuses(mkdir(d+"/a", nil), "file exists")
	tr.refuses(mkdir(d+"/x/y", nil), "no such file")

	file := tr.put("file", "x", 0o600)
	tr.must(symlink(d+"/l", "nowhere"), symlink(d+"/l", "/etc"), symlink(file, "l"))
	tr.want(d+"/l", wire.Symlink, 0, "/etc")
	tr.want(file, wire.Symlink, 0, "l")
	tr.refuses(symlink(d+"/a", "x"), "is a directory")
	tr.refuses(symlink(d+"/n", ""), "invalid target")
	tr.refuses(symlink(d+"/n", "a\x00b"), "invalid target")

	tr.must(attr(d+"/a", wire.Attributes{Mode: ptr(uint32(0o711))}))
	tr.want(d+"/a", wire.Directory, 0o711, "")
	tr.refuses(attr(d+"/l", wire.Attributes{Mode: ptr(uint32(0o711))}), "links have no mode")
	tr.refuses(attr(d+"/none", wire.Attributes{}), "no such file")
	if os.Geteuid() == 0 {
		set := tr.put("setuid", "x", 0o755|os.ModeSetuid)
		tr.must(attr(set, wire.Attributes{Owner: ptr("daemon")}), attr(d+"/l", wire.Attributes{Owner: ptr("daemon")}))
		tr.want(set, wire.Regular, 0o4755, "x")
		if f := tr.file(d + "/l"); f.Owner != "daemon" {
			t.Errorf("link: %+v", f)
		}
		if info, err := os.Stat("/etc"); err != nil || info.Sys() == nil || tr.file("/etc").UID != 0 {
			t.Error("the owner of a link's target was changed")
		}
	}

	tr.refuses(rm(d+"/a"), "not empty")
	tr.must(rm(d+"/a/b"), rm(d+"/a"), rm(d+"/a"), rm(d+"/a/b/c"), rm(d+"/l"), rm(file))
	for _, name := range []string{"a", "l", "file"} {
		tr.want(d+"/"+name, wire.Absent, 0, "")
	}
}

// Links on the way are followed when root or the helper's user owns them, and refused otherwise.
func TestLinksOnTheWay(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	d := tr.dir
	if err := os.MkdirAll(d+"/real/deep", 0o755); err != nil {
		t.Fatal(err)
	}
	tr.link("absolute", d+"/real/deep")
	tr.link("relative", "real/../real/./deep")
	tr.link("chain", "relative")
	for i, way := range []string{"absolute", "relative", "chain"} {
		tr.must(write(d+"/"+way+"/"+strconv.Itoa(i), way, wire.Attributes{}))
		tr.want(d+"/real/deep/"+strconv.Itoa(i), wire.Regular, 0o644, way)
	}
	tr.link("loop", "loop")
	tr.refuses(write(d+"/loop/x", "x", wire.Attributes{}), "too many levels")
	tr.link("dangling", "nowhere")
	tr.refuses(write(d+"/dangling/x", "x", wire.Attributes{}), "no such file")
	if os.Geteuid() != 0 {
		return
	}
	foreign := tr.link("foreign", d+"/real/deep")
	if err := os.Lchown(foreign, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for _, op := range []wire.Op{
		write(foreign+"/x", "x", wire.Attributes{}),
		{Mkdir: &wire.MkdirOp{Path: foreign + "/x"}},
		{Symlink: &wire.SymlinkOp{Path: foreign + "/x", Target: "y"}},
		{Attr: &wire.AttrOp{Path: foreign + "/0", Attributes: wire.Attributes{Mode: ptr(uint32(0o600))}}},
		{Remove: &wire.RemoveOp{Path: foreign + "/0"}},
	} {
		tr.refuses(op, "refused: "+foreign+" is a link owned by user 65534")
	}
	// The link itself may be replaced: nothing is followed at the end of a path.
	tr.must(write(foreign, "mine now", wire.Attributes{}))
	tr.want(d+"/real/deep/0", wire.Regular, 0o644, "absolute")
}

// Someone who may write to the parent swaps a directory for a link to another one, all the time: nothing gets there.
func TestSwappedParent(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("links of another user can be made by root alone")
	}
	tr := plant(t)
	d := tr.dir
	for _, dir := range []string{"in", "aside", "secret"} {
		if err := os.Mkdir(d+"/"+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := tr.link("link", d+"/secret")
	if err := os.Lchown(link, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			// RENAME_EXCHANGE leaves no moment in which neither is there.
			if err := unix.Renameat2(unix.AT_FDCWD, d+"/in", unix.AT_FDCWD, link, unix.RENAME_EXCHANGE); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	if err := os.WriteFile(d+"/secret/key", []byte("S3CRET"), 0o600); err != nil {
		t.Fatal(err)
	}
	written, refused := 0, 0
	for i := range 300 {
		// Nor is anything read from there.
		answer := tr.ask(wire.Query{Verb: wire.AskFile, Arg: d + "/in/key", Option: "content"})[0]
		if f := answer.File; f != nil && f.Kind != wire.Absent || f == nil && !strings.Contains(answer.Error, "is a link owned by user 65534") {
			t.Errorf("%+v", answer)
		}
		switch err := tr.try(write(d+"/in/"+strconv.Itoa(i), "x", wire.Attributes{})); {
		case err == "":
			written++
		case strings.Contains(err, "is a link owned by user 65534"):
			refused++
		default:
			t.Error(err)
		}
	}
	close(stop)
	<-stopped
	if left, err := os.ReadDir(d + "/secret"); err != nil || len(left) != 1 {
		t.Errorf("led astray: %v, %v", left, err)
	}
	if written == 0 && refused == 0 {
		t.Error("nothing was tried")
	}
	t.Logf("%d written, %d refused", written, refused)
}

func TestLoaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHost(dir + "/state")
	file := dir + "/file"
	if err := os.MkdirAll(dir+"/conf.d/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	files := []string{file, dir + "/conf.d", dir + "/link"}
	ask := func() wire.Loaded {
		t.Helper()
		a := h.units.records.ask(wire.Query{Verb: wire.AskLoaded, Arg: "nginx.service", Args: files})
		if a.Error != "" {
			t.Fatal(a.Error)
		}
		return *a.Loaded
	}
	if l := ask(); l.Recorded {
		t.Errorf("%+v", l)
	}
	change := func(f func() error) {
		t.Helper()
		sum, err := loadedDigest([]string{files[2], files[0], files[1]})
		if err == nil {
			err = h.units.records.put("nginx.service", sum)
		}
		if err != nil {
			t.Fatal(err)
		}
		if l := ask(); !l.Recorded || !l.Current {
			t.Errorf("just recorded: %+v", l)
		}
		if err := f(); err != nil {
			t.Fatal(err)
		}
		if l := ask(); !l.Recorded || l.Current {
			t.Errorf("changed: %+v", l)
		}
	}
	change(func() error { return os.WriteFile(file, nil, 0o600) })
	change(func() error { return os.WriteFile(file, []byte("x"), 0o600) })
	change(func() error { return os.WriteFile(dir+"/conf.d/a", []byte("x"), 0o600) })
	change(func() error { return os.Rename(dir+"/conf.d/a", dir+"/conf.d/b") })
	change(func() error { return os.Symlink(file, dir+"/link") })
	change(func() error { return os.Remove(file) })
	for _, bad := range []string{"", ".", "..", "a/b", ".x", "a\nb", strings.Repeat("x", 300)} {
		if _, err := h.units.records.file(bad); err == nil {
			t.Errorf("%q is taken as a name", bad)
		}
	}
}

func TestMountPoint(t *testing.T) {
	t.Parallel()
	tr := plant(t)
	if f := tr.file("/proc"); !f.MountAt || f.Empty {
		t.Errorf("/proc: %+v", f)
	}
	if f := tr.file(tr.dir); f.MountAt || !f.Empty {
		t.Errorf("%+v", f)
	}
	tr.link("proc", "/proc")
	if m := tr.one(wire.Query{Verb: wire.AskMount, Arg: "/proc"}).Mount; !m.Mounted || m.Type != "proc" {
		t.Errorf("%+v", m)
	}
	if m := tr.one(wire.Query{Verb: wire.AskMount, Arg: tr.dir + "/proc"}).Mount; !m.Mounted || m.Type != "proc" || m.Real != "/proc" {
		t.Errorf("through a link: %+v", m)
	}
	for path, want := range map[string]string{"proc/x/y": "/proc/x/y", "none": ""} {
		if m := tr.one(wire.Query{Verb: wire.AskMount, Arg: tr.dir + "/" + path}).Mount; m.Mounted || m.Real != want {
			t.Errorf("%s: %+v", path, m)
		}
	}
	for path, point := range map[string]string{"/proc/self/x/y": "/proc", tr.dir + "/proc/x": "/proc"} {
		if f := tr.one(wire.Query{Verb: wire.AskFilesystem, Arg: path}).Filesystem; f.MountPoint != point || f.Type != "proc" {
			t.Errorf("%s: %+v", path, f)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(tr.dir, &st); err != nil {
		t.Fatal(err)
	}
	if f := tr.one(wire.Query{Verb: wire.AskFilesystem, Arg: tr.dir + "/a/b"}).Filesystem; f.Size != st.Blocks*uint64(st.Frsize) || f.Source == "" || !strings.HasPrefix(tr.dir, f.MountPoint) {
		t.Errorf("%+v", f)
	}
}
