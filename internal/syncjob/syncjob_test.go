package syncjob

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mirrorform/mirrorform/internal/claim"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
	"github.com/mirrorform/mirrorform/internal/syncjob/settings"
)

// site is a mirror in a temporary directory, with an rsync daemon as its upstream.
type site struct {
	t              *testing.T
	upstream, tree string
	settings       settings.Settings
}

func newSite(t *testing.T) *site {
	t.Helper()
	rsync := labtest.Program(t, "rsync")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"upstream", "tree", "state"} {
		if err := os.Mkdir(at(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	conf := "use chroot = no\nmotd file = " + at("motd") + "\npid file = " + at("pid") + "\n[m]\npath = " + at("upstream") + "\n"
	if os.Geteuid() == 0 {
		conf = "uid = root\ngid = root\n" + conf
	}
	put(t, at("rsyncd.conf"), conf)
	put(t, at("motd"), "*deleting   0 all of it\n-rw-r--r--  1 2026/01/01 00:00:00 TIME\n")
	daemon := exec.Command(rsync, "--daemon", "--no-detach", "--config="+at("rsyncd.conf"), "--address=127.0.0.1", "--port="+port)
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp4", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	s := &site{t: t, upstream: at("upstream"), tree: at("tree"), settings: settings.Settings{
		User: "me", Directory: at("tree") + "/", Upstream: "rsync://127.0.0.1:" + port + "/m/", Lock: at("lock"), Log: at("log"), State: at("state"),
		Options: []string{"-avSH", "-f", "R .~tmp~", "--delete-delay", "--delay-updates"}, Safety: []string{"--safe-links", "--chmod=ug-s"},
		MaxDelete: 200000, MaxDeletePercent: 50, Require: "TIME",
	}}
	put(t, at("upstream/TIME"), "1700000000\n")
	for i := range 17 {
		put(t, at(fmt.Sprintf("upstream/8/f%d", i)), strings.Repeat("x", 1000))
	}
	put(t, at("log"), "")
	put(t, at("settings"), "")
	past := time.Now().Add(-time.Hour)
	for _, name := range []string{"settings", "upstream/TIME"} {
		if err := os.Chtimes(at(name), past, past); err != nil {
			t.Fatal(err)
		}
	}
	for _, suffix := range []string{"status", "output", "hold"} {
		put(t, at("state/m."+suffix), "")
	}
	return s
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s *site) read(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.settings.State, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// run calls the program as one command line does, and returns what it printed. It must end with a
// status.
func (s *site) run(want int, args ...string) string {
	s.t.Helper()
	c, ok := parseCall(append([]string{"m"}, args...))
	if !ok {
		s.t.Fatalf("the command line %q is not taken", args)
	}
	f, err := os.CreateTemp(s.t.TempDir(), "printed")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	j := &job{
		Settings: &s.settings, name: "m", stdout: f, stderr: f, claimFile: filepath.Join(s.settings.State, "claim"), allow: c.allow,
		upstream: s.settings.Upstream, settingsFile: filepath.Join(filepath.Dir(s.tree), "settings"), scheduled: c.argv != nil,
	}
	got := j.run(c)
	if j.lock != nil {
		// The program's end does that. Closing it is not enough here: a child that a test beside
		// this one starts has a copy of it between fork(2) and execve(2).
		_ = flock(j.lock, unix.LOCK_UN)
		_ = j.lock.Close()
	}
	printed, err := os.ReadFile(f.Name())
	if err != nil {
		s.t.Fatal(err)
	}
	if c.mode == "progress" {
		printed = []byte(s.read("m.output"))
	}
	if got != want {
		s.t.Errorf("%q ended with %d, want %d, and printed:\n%s", args, got, want, printed)
	}
	return string(printed)
}

func (s *site) says(printed string, texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if !strings.Contains(printed, text) {
			s.t.Errorf("%q is not in what was printed:\n%s", text, printed)
		}
	}
}

// files is how many entries the tree has.
func (s *site) files() (n int) {
	_ = filepath.WalkDir(s.tree, func(string, os.DirEntry, error) error { n++; return nil })
	return n - 1
}

type record struct {
	Start, End, Exit              int64
	By, Upstream                  string
	Unchanged                     bool
	RanOutOf                      string `json:"ran_out_of"`
	Bytes, Files, Size, Available *int64
}

// last is the newest record.
func (s *site) last() (r record) {
	s.t.Helper()
	lines := strings.Split(strings.TrimSpace(s.read("m.status")), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		s.t.Fatalf("%v: %q", err, lines)
	}
	return r
}

// lose removes 11 of the upstream's 18 files.
func (s *site) lose() {
	s.t.Helper()
	for i := range 11 {
		if err := os.Remove(filepath.Join(s.upstream, "8", "f"+strconv.Itoa(i))); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestScript(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.says(s.run(0), "mirrorform: syncing "+s.tree+"/ from rsync://127.0.0.1", " as me\n", "8/f16\n", "mirrorform: synced "+s.tree)
	if r := s.last(); r.By != "script" || r.Exit != 0 || r.Start == 0 || r.End < r.Start || r.Bytes != nil || *r.Size < *r.Available {
		t.Errorf("the record is %+v", r)
	}
	put(t, filepath.Join(s.settings.State, "m.status"), strings.Repeat("{}\n", 60))
	s.run(0)
	if n := strings.Count(s.read("m.status"), "\n"); n != 50 {
		t.Errorf("%d records are kept", n)
	}
	s.settings.Options = append(s.settings.Options, "--no-such-option")
	s.says(s.run(1), "rsync exited with status 1")
	s.settings.Mount = s.tree
	s.says(s.run(69), "nothing is mounted on "+s.tree)
	if r := s.last(); r.Exit != 69 || r.Size != nil {
		t.Errorf("the record is %+v", r)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	printed := s.run(0, "--progress")
	s.says(printed, "mirrorform: measuring\n", "mirrorform: syncing 17011 bytes\n", "mirrorform: needing 17011 bytes on device ", "%", "mirrorform: synced")
	if strings.Contains(printed, "f16") {
		t.Errorf("it lists files: %s", printed)
	}
	if r := s.last(); r.By != "sync" || r.Exit != 0 || *r.Files != 18 || *r.Bytes < 17011 {
		t.Errorf("the record is %+v", r)
	}

	// What a sync that broke off has left needs no room again.
	if err := os.Mkdir(filepath.Join(s.tree, "8", partial), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(s.tree, "8", "f1"), filepath.Join(s.tree, "8", partial, "f1")); err != nil {
		t.Fatal(err)
	}
	s.says(s.run(0, "--progress"), "mirrorform: syncing 1000 bytes\n", "mirrorform: needing 0 bytes on device ")

	lock, err := os.Open(s.settings.Lock)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	before := s.read("m.status")
	s.says(s.run(75, "--progress"), "is running already: it holds "+s.settings.Lock)
	if s.read("m.status") != before {
		t.Error("a sync that was not begun is recorded")
	}
	s.run(0, "--guard") // flock says it
	_ = lock.Close()

	s.settings.Options = append(s.settings.Options, "--quiet")
	s.says(s.run(70, "--progress"), "rsync was run with --quiet")
}

// Nothing is deleted for an upstream that is not what was mirrored, whoever syncs.
func TestGuard(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run(0, "--guard")
	s.run(0)
	all := s.files()
	refused := func(status int, text string) {
		t.Helper()
		s.says(s.run(status, "--guard"), text)
		s.says(s.run(status), text)
		s.says(s.run(status, "--progress"), text)
		if n := s.files(); n != all {
			t.Fatalf("of %d files and directories %d are left", all, n)
		}
		if r := s.last(); r.Exit != int64(status) {
			t.Errorf("the record is %+v", r)
		}
	}
	if out := s.run(0, "--guard"); out != "" {
		t.Errorf("a guard that lets pass says %q", out)
	}

	aside := s.upstream + ".aside"
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(s.upstream, aside)
	refused(69, "cannot be reached: rsync exited with status 5") // a module without its directory
	if err := os.Mkdir(s.upstream, 0o755); err != nil {
		t.Fatal(err)
	}
	refused(66, "is empty, so nothing was synced")
	s.run(66, "--allow-deletions")
	if err := os.Remove(s.upstream); err != nil {
		t.Fatal(err)
	}
	move(aside, s.upstream)

	move(filepath.Join(s.upstream, "TIME"), aside)
	refused(66, "has no TIME")
	s.settings.Require = ""
	s.run(0, "--guard")
	s.settings.Require = "TIME"
	move(aside, filepath.Join(s.upstream, "TIME"))

	right := s.settings.Upstream
	s.settings.Upstream = strings.Replace(right, "/m/", "/unknown/", 1)
	refused(69, "cannot be reached: rsync exited with status 5")
	s.settings.Upstream = "rsync://127.0.0.1:1/m/"
	refused(69, "cannot be reached: rsync exited with status 10")
	s.settings.Upstream = right

	id, err := claim.Of(s.tree)
	if err != nil {
		t.Fatal(err)
	}
	claimFile := filepath.Join(s.settings.State, "claim")
	put(t, claimFile, id.String())
	s.run(0, "--guard")
	id.Inode++
	put(t, claimFile, id.String())
	refused(78, "not the claimed directory: "+s.tree)
	put(t, claimFile, "damaged\n")
	refused(78, claimFile)
	if err := os.Remove(claimFile); err != nil {
		t.Fatal(err)
	}

	s.lose()
	refused(65, "would delete 11 of 18 files (61 %), and max_delete_percent is 50")
	s.settings.MaxDelete = 10
	refused(65, "max_delete is 10")
	s.run(0, "--allow-deletions")
	if n := s.files(); n != all-11 {
		t.Errorf("%d files and directories are left", n)
	}
	s.run(0, "--guard")
}

// Where only rsync's own limit stops a sync, the next one does not run: three of them would delete
// three times as many.
func TestHold(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run(0)
	all := s.files()
	s.lose()
	s.settings.MaxDelete, s.settings.MaxDeletePercent = 4, 0 // what the guard would count is deleted after it has looked
	s.run(0, "--guard")
	s.run(25)
	if n := s.files(); n != all-4 {
		t.Fatalf("%d of %d files and directories are left", n, all)
	}
	s.says(s.read("m.hold"), "max_delete")
	s.says(s.run(65, "--guard"), "mirrorform sync --allow-deletions")
	s.run(65)
	s.run(65, "--progress")
	if n := s.files(); n != all-4 {
		t.Fatalf("%d of %d files and directories are left", n, all)
	}
	s.says(s.run(0, "--progress", "--allow-deletions"), "synced")
	if n := s.files(); n != all-11 || s.read("m.hold") != "" {
		t.Errorf("%d of %d files and directories are left, and the hold says %q", n, all, s.read("m.hold"))
	}
	s.run(0, "--guard")

	s.run(25, "--record", strconv.Itoa(os.Getpid()), "25")
	if r := s.last(); r.By != "cron" || r.Exit != 25 {
		t.Errorf("the record is %+v", r)
	}
	s.run(65, "--guard")
}

// A link that leads out of the tree is not made, nor is anything set-id; other modes stay.
func TestSafety(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(s.upstream, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("/", "root")
	link("8/../../../../etc", "etc")
	link("8", "latest")
	modes := map[string]os.FileMode{
		"8/f0": 0o755 | os.ModeSetuid, "8/f1": 0o755 | os.ModeSetgid, "8/f2": 0o640, "8/f3": 0o777, "8/f4": 0o400, "8": 0o775 | os.ModeSetgid, "9": 0o777 | os.ModeSticky,
	}
	put(t, filepath.Join(s.upstream, "9/f"), "")
	for name, mode := range modes {
		if err := os.Chmod(filepath.Join(s.upstream, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{nil, {"--progress"}} {
		s.run(0, args...)
		for name, mode := range modes {
			info, err := os.Lstat(filepath.Join(s.tree, name))
			if want := mode &^ (os.ModeSetuid | os.ModeSetgid); err != nil || info.Mode()&^os.ModeDir != want {
				t.Errorf("%s: %v, want %v, %v", name, info.Mode(), want, err)
			}
		}
		for _, name := range []string{"root", "etc"} {
			if _, err := os.Lstat(filepath.Join(s.tree, name)); err == nil {
				t.Errorf("the link %s was made", name)
			}
		}
		if target, err := os.Readlink(filepath.Join(s.tree, "latest")); err != nil || target != "8" {
			t.Errorf("a link within the tree: %q, %v", target, err)
		}
	}
}

// Each byte that other syncs have announced counts once, and no message has a negative number.
func TestSpace(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	out, err := os.Create(filepath.Join(s.settings.State, "m.output"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	j := &job{Settings: &s.settings, name: "m", stdout: out, stderr: out}
	device, _ := deviceOf(s.tree)
	other, err := os.Create(filepath.Join(s.settings.State, "other.output"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	announced := func(need, device uint64, progress string) {
		t.Helper()
		text := fmt.Sprintf("mirrorform: measuring\nmirrorform: syncing %d bytes\nmirrorform: needing %d bytes on device %d\n%s", max(1000, need), need, device, progress)
		if err := os.WriteFile(other.Name(), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, n uint64) {
		t.Helper()
		if got := j.reserved(device); got != n {
			t.Errorf("%s: %d bytes are reserved, want %d", what, got, n)
		}
	}
	announced(1000, device, "")
	want("a sync that has ended", 0)
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	want("a sync that has begun", 1000)
	announced(1000, device, "\r        300  30%  1.00MB/s    0:00:01\r        400  40%  1.00MB/s    0:00:01")
	want("a sync that has received 400 bytes", 600)
	announced(500, device, "\r        300  30%  1.00MB/s    0:00:01")
	want("a sync that takes up 500 bytes", 500)
	announced(1000, device, "\r      1,000 100%  1.00MB/s    0:00:01 (xfr#1)\n")
	want("a sync that has all", 0)
	announced(1000, device+1, "")
	want("a sync to another file system", 0)
	if err := os.WriteFile(other.Name(), []byte("mirrorform: measuring\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want("a sync that measures", 0)

	announced(1<<62, device, "")
	if status := j.announce(2000, 1500, 1); status != 73 {
		t.Errorf("what is not free is announced, with status %d", status)
	}
	s.says(s.read("m.output"), "mirrorform: the sync needs 1500 bytes, but only 0 bytes are free\n")
	announced(1000, device+1, "")
	if status := j.announce(2000, 1500, 1); status != 0 {
		t.Errorf("what is free is not announced, with status %d", status)
	}
	s.says(s.read("m.output"), "mirrorform: syncing 2000 bytes\nmirrorform: needing 1500 bytes on device ")
}

func TestRecordCron(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	put(t, s.settings.Log, "receiving incremental file list\n./\na/\na/b\nc -> d\ndeleting e\nf\n\nsent 5 bytes  received 1,234 bytes  1.00 bytes/sec\n")
	me := strconv.Itoa(os.Getpid())
	s.run(0, "--record", me, "0")
	r := s.last()
	if r.By != "cron" || r.Exit != 0 || *r.Bytes != 1234 || *r.Files != 2 || r.Start < time.Now().Unix()-3600 || r.Start > r.End {
		t.Errorf("the record is %+v", r)
	}
	s.run(0, "--record", me, "24")
	if r := s.last(); r.Exit != 24 || r.Bytes == nil {
		t.Errorf("the record is %+v", r)
	}
	before := s.read("m.status")
	s.run(1, "--record", me, "1") // the lock was held
	if s.read("m.status") != before {
		t.Error("a sync that was not begun is recorded")
	}
	put(t, s.settings.Log, "rsync error: syntax or usage error (code 1) at main.c(1774) [client=3.2.7]\n")
	s.run(1, "--record", me, "1")
	if r := s.last(); r.Exit != 1 {
		t.Errorf("the record is %+v", r)
	}
	s.settings.Mount = s.tree
	s.run(1, "--record", me, "1")
	if r := s.last(); r.Exit != 69 {
		t.Errorf("the record is %+v", r)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"m", "almalinux-kitten_2 --progress", "m --progress --allow-deletions", "m --allow-deletions", "m --guard", "m --record 812 23",
	} {
		if _, ok := parseCall(strings.Fields(args)); !ok {
			t.Errorf("%q is not taken", args)
		}
	}
	for _, args := range []string{
		"", "../m", "-m", "a/b", ".", "m x", "m --guard --allow-deletions", "m --allow-deletions --progress", "m --record", "m --record 1", "m --record x 1", "m --record 1 -1",
		"m --record 1 2 3", "m --cron", "m --timer", "m --progress --progress", "m --help", "--guard m",
	} {
		if _, ok := parseCall(strings.Fields(args)); ok {
			t.Errorf("%q is taken", args)
		}
	}
}

func TestListing(t *testing.T) {
	t.Parallel()
	j := &job{Settings: &settings.Settings{Upstream: "rsync://h/m/", Options: []string{
		"-avSH", "--port=8873", "--address", "192.0.2.1", "-4", "--ipv6", "--exclude=TIME", "--timeout=60", "--bwlimit=1m", "--password-file=/etc/secret",
	}}}
	got := strings.Join(j.listing(), " ")
	if want := "/usr/bin/rsync --list-only --no-motd --no-human-readable --contimeout=60 --timeout=300 --port=8873 --address 192.0.2.1 -4 --ipv6 --timeout=60 " +
		"--password-file=/etc/secret rsync://h/m/"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Whoever can open the lock or the records can lock them, and so keep syncs from running.
func TestOthersCannotLock(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for path, mode := range map[string]os.FileMode{s.settings.Lock: 0o644, s.settings.State: 0o755} { // as of earlier versions
		if path == s.settings.Lock {
			put(t, path, "")
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	private := func() {
		t.Helper()
		for path, want := range map[string]os.FileMode{s.settings.Lock: 0o600, s.settings.State: 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v", path, info, err)
			}
		}
	}
	s.run(0, "--guard")
	private()
	if err := os.Remove(s.settings.Lock); err != nil {
		t.Fatal(err)
	}
	s.run(0, "--guard") // before flock makes it
	private()
}
