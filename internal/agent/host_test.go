package agent

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/helper/builder"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// process is a helper that runs elsewhere.
type process struct {
	io.Reader
	io.WriteCloser
	cmd *exec.Cmd
}

func (p *process) Close() error {
	_ = p.WriteCloser.Close()
	return p.cmd.Wait()
}

// spawn starts a program with pipes to its standard input and from its standard output.
func spawn(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{out, in, cmd}
}

// start runs argv with a session on its standard streams.
func start(t *testing.T, argv []string) *controller {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	return connect(t, spawn(t, cmd))
}

// build builds the helper as it is released.
func build(t *testing.T, arch string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "helper")
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if err := builder.Build(t.Context(), root, arch, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// onHost boots a host and starts the helper on it, as root.
func onHost(t *testing.T, spec lab.HostSpec) (*lab.Host, *controller) {
	t.Helper()
	h := labtest.Host(t, spec)
	helper, err := os.ReadFile(build(t, "amd64"))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Write("/usr/local/bin/helper", helper, 0o755); err != nil {
		t.Fatal(err)
	}
	return h, start(t, labtest.Lab(t).SSHCommand(h, "root", "/usr/local/bin/helper"))
}

// one asks one question that must have an answer.
func (c *controller) one(q wire.Query) wire.Answer {
	c.t.Helper()
	a := c.ask(q)[0]
	if a.Error != "" {
		c.t.Fatalf("%s: %s", q.Key(), a.Error)
	}
	return a
}

// refuses performs an operation that has to fail with an error that holds text.
func (c *controller) refuses(op wire.Op, text string) {
	c.t.Helper()
	if err := c.try(op); !strings.Contains(err, text) {
		c.t.Errorf("%+v: error %q, want one with %q", op, err, text)
	}
}

func TestStorageOnHost(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	h, c := onHost(t, lab.HostSpec{Name: "storage", Disks: []int64{512 << 20, 64 << 20, 64 << 20}})
	run := func(argv ...string) {
		t.Helper()
		if out, err := h.Run(t.Context(), argv...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	run("apt-get", "install", "-y", "-q", "xfsprogs", "e2fsprogs", "fdisk")
	xfs, ext4, other := h.Disks[0].Path, h.Disks[1].Path, h.Disks[2].Path
	block := func(device string) *wire.Block {
		t.Helper()
		return c.one(wire.Query{Verb: wire.AskBlock, Arg: device}).Block
	}
	if b := block(xfs); b.Path != xfs || b.Size != 512<<20 || b.Signature != "" || len(b.Mounts) != 0 {
		t.Fatalf("empty disk: %+v", b)
	}
	if b := block("/dev/nosuch"); b.Path != "" {
		t.Errorf("missing device: %+v", b)
	}

	mkfs := func(device, kind string) wire.Op {
		return wire.Op{Mkfs: &wire.MkfsOp{Device: device, Type: kind, Label: "mirror"}}
	}
	c.must(mkfs(xfs, "xfs"), mkfs(ext4, "ext4"))
	c.refuses(mkfs(xfs, "xfs"), "it contains data (xfs")
	c.refuses(mkfs(ext4, "ext4"), "it contains data (ext4")
	c.refuses(mkfs(ext4, "reiserfs"), "unsupported file system type")
	c.refuses(mkfs("/dev/nosuch", "ext4"), "block device not found")
	for device, kind := range map[string]string{xfs: "xfs", ext4: "ext4"} {
		if b := block(device); b.Signature != kind || b.Label != "mirror" || b.UUID == "" {
			t.Errorf("%s: %+v", kind, b)
		}
	}

	before, err := h.Read("/etc/fstab")
	if err != nil {
		before = nil
	}
	point := "/srv/a mirror"
	run("mkdir", "-p", point, "/srv/full/x")
	mount := wire.Op{Mount: &wire.MountOp{Path: point, Device: xfs, Type: "xfs", Options: []string{"noatime"}}}
	c.refuses(wire.Op{Mount: &wire.MountOp{Path: "/srv/full", Device: ext4, Type: "ext4"}}, "not empty")
	c.refuses(wire.Op{Mount: &wire.MountOp{Path: "/srv/none", Device: ext4, Type: "ext4"}}, "not an existing directory")
	c.refuses(wire.Op{Mount: &wire.MountOp{Path: "/srv/full", Device: ext4, Type: "xfs"}}, "has no xfs")
	c.must(mount, mount)
	m := c.one(wire.Query{Verb: wire.AskMount, Arg: point}).Mount
	uuid := block(xfs).UUID
	if !m.Mounted || m.Source != xfs || m.Type != "xfs" || m.UUID != uuid || m.Fstab != `UUID=`+uuid+` /srv/a\040mirror xfs noatime,nofail 0 0` {
		t.Errorf("mounted: %+v", m)
	}
	if b := block(xfs); len(b.Mounts) != 1 || b.Mounts[0] != point {
		t.Errorf("mounted device: %+v", b)
	}
	c.refuses(mkfs(xfs, "xfs"), "it is mounted on "+point)
	f := c.one(wire.Query{Verb: wire.AskFilesystem, Arg: point + "/not/yet/there"}).Filesystem
	if f.MountPoint != point || f.Type != "xfs" || f.Size < 300<<20 || f.Size > 512<<20 || f.Available == 0 || f.ReadOnly {
		t.Errorf("file system: %+v", f)
	}
	if d := c.file(point); !d.MountAt || !d.Empty {
		t.Errorf("mount point: %+v", d)
	}
	// Other options are put into force by a remount.
	mount.Mount.Options = []string{"ro"}
	c.must(mount)
	if f := c.one(wire.Query{Verb: wire.AskFilesystem, Arg: point}).Filesystem; !f.ReadOnly {
		t.Errorf("after the remount: %+v", f)
	}
	mount.Mount.Options = nil
	c.must(mount)
	if m := c.one(wire.Query{Verb: wire.AskMount, Arg: point}).Mount; !slices.Contains(m.Options, "relatime") || !slices.Contains(m.Options, "rw") || slices.Contains(m.Options, "noatime") {
		t.Errorf("with the defaults again: %+v", m)
	}
	// It comes back with the host.
	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	c = start(t, labtest.Lab(t).SSHCommand(h, "root", "/usr/local/bin/helper"))
	if m := c.one(wire.Query{Verb: wire.AskMount, Arg: point}).Mount; !m.Mounted || m.UUID != uuid {
		t.Errorf("after the reboot: %+v", m)
	}
	line := ""
	c.must(wire.Op{Mount: &wire.MountOp{Path: point, Line: &line}})
	if m := c.one(wire.Query{Verb: wire.AskMount, Arg: point}).Mount; m.Mounted || m.Fstab != "" {
		t.Errorf("taken out: %+v", m)
	}
	if after, err := h.Read("/etc/fstab"); err != nil || string(after) != string(before) {
		t.Errorf("fstab was %q, is %q (%v)", before, after, err)
	}

	run("mkswap", "-q", other)
	c.refuses(mkfs(other, "ext4"), "it contains data (swap")
	run("wipefs", "-aq", other)
	c.refuses(mkfs(other, "ext4"), "it contains data without a signature")
	if _, err := h.RunInput(t.Context(), []byte("label: gpt\n"), "sfdisk", "-q", "--no-reread", "--no-tell-kernel", other); err != nil {
		t.Fatal(err)
	}
	c.refuses(mkfs(other, "ext4"), "it contains data (gpt")
	run("wipefs", "-aq", other)
	c.refuses(mkfs(other, "ext4"), "it contains data without a signature")
	zero := func() { run("blkdiscard", "--zeroout", other) }
	zero()
	c.must(mkfs(other, "ext4"))
	if b := block(other); b.Capacity < 32<<20 || b.Used == 0 || b.Used > b.Capacity/2 {
		t.Errorf("a new file system has %d of %d bytes used", b.Used, b.Capacity)
	}
	// Its first superblock is lost, and its files are not; then all of what blkid knows.
	run("dd", "if=/dev/zero", "of="+other, "bs=4096", "count=1", "conv=notrunc,fsync", "status=none")
	c.refuses(mkfs(other, "ext4"), "it contains data without a signature (at byte ")
	// One that was written elsewhere than at the ends.
	zero()
	run("sh", "-c", "echo x | dd of="+other+" bs=1 seek=8389632 conv=notrunc,fsync status=none")
	if b := block(other); b.Data != "at byte 8389632" {
		t.Errorf("data %q", b.Data)
	}
	c.refuses(mkfs(other, "xfs"), "at byte 8389632")
}

// The helper of an ordinary user does what that user may do, and keeps its state at home.
func TestOrdinaryUserOnHost(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	h, root := onHost(t, lab.HostSpec{Name: "ordinary"})
	_ = root.rw.Close()
	c := start(t, labtest.Lab(t).SSHCommand(h, "plain", "/usr/local/bin/helper"))
	const file = "/home/plain/file"
	op := wire.Order{ID: 1, Op: wire.Op{Write: &wire.WriteOp{Path: file, Content: []byte("x")}}, Undo: &wire.Op{Restore: &wire.RestoreOp{Path: file}}}
	if events, done := c.do(op); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	if f := c.file(file); f.Owner != "plain" || string(f.Content) != "x" {
		t.Errorf("%+v", f)
	}
	if out, err := h.Run(t.Context(), "find", "/home/plain/.local/state/mirrorform/journal", "-name", "transaction.json"); err != nil || len(out) == 0 {
		t.Errorf("no journal at home: %v", err)
	}
	for _, a := range c.ask(wire.Query{Verb: wire.AskFile, Arg: "/root/x"}, wire.Query{Verb: wire.AskFile, Arg: "/etc/shadow"}) {
		if !strings.Contains(a.Error, "permission denied") {
			t.Errorf("%+v", a)
		}
	}
	c.refuses(wire.Op{Write: &wire.WriteOp{Path: "/etc/x"}}, "permission denied")
	c.refuses(wire.Op{Attr: &wire.AttrOp{Path: "/etc/passwd", Attributes: wire.Attributes{Mode: ptr(uint32(0o666))}}}, "not permitted")
	c.refuses(wire.Op{Write: &wire.WriteOp{Path: file, Attributes: wire.Attributes{Owner: ptr("root")}}}, "not permitted")
	c.refuses(install(demo), "are you root")
	c.refuses(wire.Op{Unit: &wire.UnitOp{Name: "cron.service", Action: wire.UnitStop}}, "cron.service")
}

// The helper ends with its input, and in good order when it is told to.
func TestMainOnItsOwn(t *testing.T) {
	t.Parallel()
	helper := build(t, hostArch)
	out, err := exec.Command(helper, "--version").Output()
	if err != nil || string(out) != "mirrorform-agent dev\n" {
		t.Errorf("%q, %v", out, err)
	}
	var status *exec.ExitError
	if err := exec.Command(helper, "--help").Run(); !errors.As(err, &status) || status.ExitCode() != 2 {
		t.Errorf("%v", err)
	}
	out, err = exec.Command(helper).Output()
	if err != nil || string(out) != wire.Preamble {
		t.Errorf("%q, %v", out, err)
	}
	cmd := exec.Command(helper)
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		// Not root's: its state is that of this machine.
		for _, d := range []string{helper, filepath.Dir(helper), filepath.Dir(filepath.Dir(helper)), dir, filepath.Dir(dir)} {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Env = []string{"HOME=" + dir}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	p := spawn(t, cmd)
	c := connect(t, struct {
		io.Reader
		io.WriteCloser
	}{p.Reader, p.WriteCloser})
	// A lost terminal changes nothing; being told to stop lets what is under way be finished.
	script := "kill -HUP $PPID; kill -TERM $PPID; sleep 0.1; touch " + dir + "/finished"
	c.begin()
	c.send(&wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1, Op: wire.Op{Run: &wire.RunOp{Argv: []string{"sh", "-c", script}}}}, {ID: 2, Op: wire.Op{Run: &wire.RunOp{Argv: []string{"true"}}}}}}})
	events, done := c.finish()
	if got := states(events); strings.Join(got, ",") != "1 started,1 done,2 started,2 failed" || done.Failed == nil || !done.Undone {
		t.Errorf("%+v %+v", events, done)
	}
	if err := cmd.Wait(); !errors.As(err, &status) || status.ExitCode() != 1 || !strings.Contains(stderr.String(), "the helper was stopped") {
		t.Errorf("%v: %s", err, stderr.String())
	}
	if f := exists(dir + "/finished"); !f {
		t.Error("the operation was not finished")
	}
}

const hostArch = runtime.GOARCH

// compressed is the size of a file after gzip -9.
func compressed(t *testing.T, file string) int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Len()
}
