// Package syncjob is the host's program mirrorform-sync: one sync of a mirror, guarded, measured
// and recorded.
//
// The scheduled sync is the command of AlmaLinux's guide, in cron.d. This program runs before it,
// as the guard, and after it, to record it. It also runs the same command when it is called by hand
// and for `mirrorform sync`. The program is the helper's executable, which acts as mirrorform-sync
// when it is called by that name.
package syncjob

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/claim"
	"github.com/mirrorform/mirrorform/internal/syncjob/settings"
)

// The exit statuses besides rsync's own follow sysexits.h. docs/mirror.md explains them to
// operators.
const (
	statusUsage      = 64
	statusHeld       = 65 // too many deletions, or a hold
	statusEmpty      = 66 // the upstream is empty, or does not have the required file
	statusAbsent     = 69 // nothing is mounted, or the upstream cannot be reached
	statusSilent     = 70 // rsync is quiet, so the sync cannot be measured
	statusNoRoom     = 73
	statusBusy       = 75
	statusNotAllowed = 77
	statusConfig     = 78 // no valid settings, or not the claimed directory
	// statusUnchanged is between the guard and the record in the crontab: the record has 0.
	statusUnchanged = 79
	// statusTimeLimit is timeout(1)'s.
	statusTimeLimit = 124
	// statusBroken is for failures of the host itself.
	statusBroken = 71
)

// These exit statuses of rsync need special treatment: rsync(1), EXIT VALUES.
const (
	rsyncFileIO    = 11
	rsyncProtocol  = 12
	rsyncStopped   = 20
	rsyncPartial   = 23
	rsyncVanished  = 24 // files vanished from the upstream during the sync: the next one gets their replacements
	rsyncMaxDelete = 25
)

// succeeded reports whether rsync's exit status means that the sync is complete.
func succeeded(status int) bool { return status == 0 || status == rsyncVanished }

const usage = "usage: " + wire.SyncProgram + " NAME [--progress] [--allow-deletions], or " + wire.SyncProgram + " NAME --guard, or " +
	wire.SyncProgram + " NAME --record PID STATUS, or " + wire.SyncProgram + " NAME --cron COMMAND"

// job is one run of the program.
type job struct {
	*settings.Settings
	name           string
	stdout, stderr *os.File
	rsync          string // the program, for tests; "": that of the command
	claimFile      string
	allow          bool // deletions without a limit
	start          time.Time
	lock           *os.File // held
	said           said     // by the rsync of a sync by hand
	lacks          string   // what the sync has run out of
	upstream       string   // in use
	offered        string   // the upstream's required file, as fileState; "": not known
	scheduled      bool     // by cron or a timer
	why            string   // the last complaint
	same           bool     // nothing to sync: the upstream is unchanged
	settingsFile   string
	environ        []string // of rsync, besides this program's
}

// Main runs the program with its arguments, and returns its exit status.
func Main(args []string) int {
	syscall.Umask(0o022)
	_ = os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
	_ = os.Setenv("LC_ALL", "C")
	c, ok := parseCall(args)
	if !ok {
		complain(os.Stderr, usage)
		return statusUsage
	}
	if err := os.Chdir("/"); err != nil {
		complain(os.Stderr, err.Error())
		return statusBroken
	}
	s, status := load(filepath.Join(settings.Dir, c.name), os.Stderr)
	if s == nil {
		return status
	}
	if status, ok := asUser(s.User, args); !ok {
		return status
	}
	j := &job{Settings: s, name: c.name, stdout: os.Stdout, stderr: os.Stderr, claimFile: claim.Path(c.name), allow: c.allow,
		upstream: s.Upstream, settingsFile: filepath.Join(settings.Dir, c.name), scheduled: c.argv != nil}
	return j.run(c)
}

// load reads the settings of a job.
func load(file string, stderr *os.File) (*settings.Settings, int) {
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrPermission):
		complain(stderr, "run this as root or as the mirror's account: "+err.Error())
		return nil, statusNotAllowed
	case err != nil:
		complain(stderr, err.Error()+". To write it: mirrorform apply")
		return nil, statusConfig
	}
	s, err := settings.Parse(string(text))
	if err != nil {
		complain(stderr, "invalid settings in "+file+": "+err.Error()+". To write them again: mirrorform apply")
		return nil, statusConfig
	}
	return s, 0
}

// asUser makes sure that the program runs as the given user. If it runs as root, it replaces itself
// with runuser.
func asUser(user string, args []string) (status int, ok bool) {
	out, err := exec.Command("/usr/bin/id", "-un").Output()
	switch {
	case err == nil && strings.TrimSpace(string(out)) == user:
		return 0, true
	case os.Geteuid() != 0 && user == "root":
		complain(os.Stderr, "run this as root")
		return statusNotAllowed, false
	case os.Geteuid() != 0:
		complain(os.Stderr, "run this as root or as "+user)
		return statusNotAllowed, false
	}
	argv := append([]string{"runuser", "-u", user, "--", settings.Program}, args...)
	err = syscall.Exec("/usr/sbin/runuser", argv, os.Environ())
	complain(os.Stderr, "cannot switch to user "+user+": /usr/sbin/runuser: "+err.Error())
	return statusBroken, false
}

// complain prints one of the program's own messages.
func complain(to *os.File, message string) { _, _ = to.WriteString("mirrorform: " + message + "\n") }

func (j *job) say(message string) {
	if !j.scheduled || j.Log != "" { // cron mails all output
		complain(j.stdout, message)
	}
}
func (j *job) complain(message string) {
	j.why = message
	complain(j.stderr, message)
}

func (j *job) run(c call) int {
	j.start = time.Now()
	j.private()
	switch c.mode {
	case "guard":
		return j.guardCron()
	case "record":
		return j.recordCron(c.pid, c.status)
	}
	// These signals end rsync, with status 20, which is recorded. They are caught, not ignored, since
	// rsync would inherit the latter.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	if c.mode == "progress" {
		return j.progress()
	}
	return j.script(c)
}

// private prevents other users from opening the lock and the records: a user who can open a file
// can lock it, and so block syncs. Earlier versions created these files readable by all. A file
// that this account cannot change is reported when it is used.
func (j *job) private() {
	f, err := os.OpenFile(j.Lock, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err == nil {
		onlyOwner(f, 0o600)
	}
	if f, err = os.OpenFile(j.State, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0); err == nil {
		onlyOwner(f, 0o700)
	}
}

// onlyOwner makes a file of this account inaccessible to other users, and closes it. A file with
// several hard links is skipped: another user may have linked to a different file.
func onlyOwner(f *os.File, mode uint32) {
	defer func() { _ = f.Close() }()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || int(st.Uid) != os.Geteuid() || st.Mode&0o077 == 0 {
		return
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR || st.Nlink == 1 {
		_ = unix.Fchmod(int(f.Fd()), mode)
	}
}

// begin takes the lock, for as long as the program or rsync runs.
func (j *job) begin() (status int, ok bool) {
	if !j.mounted() {
		j.complain("nothing is mounted on " + j.Mount + ", so nothing was synced")
		return statusAbsent, false
	}
	f, err := os.OpenFile(j.Lock, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		j.complain(err.Error())
		return statusBroken, false
	}
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		j.complain("a sync to " + j.Directory + " is running already: it holds " + j.Lock)
		return statusBusy, false
	}
	j.lock = f
	return 0, true
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

// script is a sync by hand, which does the same as a scheduled one, or a scheduled one, with the
// command of its schedule. flock(1) holds the lock of that.
func (j *job) script(c call) int {
	by, argv, output := cmp.Or(c.mode, "script"), c.argv, j.Log
	status, ok := 0, true
	if !j.scheduled {
		argv, output = j.Command(!j.allow), ""
		status, ok = j.begin()
	}
	if status == statusBusy {
		return status
	}
	if ok {
		status = j.guard()
	}
	if status == 0 && j.scheduled && j.unchanged() {
		status = statusUnchanged
	}
	if status == 0 && !j.allow {
		status = j.checkDeletions()
	}
	if status != 0 {
		if j.same = status == statusUnchanged; j.same {
			status = 0
		}
		j.record(by, status, "")
		return status
	}
	j.say("syncing " + j.Directory + " from " + j.upstream + " as " + j.User)
	if !j.scheduled {
		j.said.to = j.stderr // the log has it otherwise
	}
	return j.ended(by, j.call(argv), output)
}

// progress is a sync for `mirrorform sync`. It first measures the space, and writes all output to a
// file.
func (j *job) progress() int {
	output, err := os.OpenFile(j.files().file(".output"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		j.complain(err.Error())
		return statusBroken
	}
	defer func() { _ = output.Close() }()
	j.stdout, j.stderr = output, output
	status, ok := j.begin()
	switch {
	case status == statusBusy:
		return status
	case ok:
		_ = flock(output, unix.LOCK_EX) // shows other syncs that this one is running
		j.say("measuring")
		status = j.guard()
		if status == 0 {
			status = j.prepare()
		}
	}
	if status != 0 {
		j.record("sync", status, "")
		return status
	}
	argv := j.Command(!j.allow)
	// Later options win, so the controller always gets the output that it parses.
	status = j.call(append(argv, "--info=progress2,name0,del0,stats2", "--outbuf=N", "--no-human-readable"))
	_, _ = output.WriteString("\n")
	status = j.ended("sync", status, output.Name())
	j.files().trimOutput()
	return status
}

// prepare measures the sync, and announces it unless it would delete too much or does not fit on
// the file system.
func (j *job) prepare() int {
	m := j.measure()
	switch {
	case stopped(m.status):
		return rsyncStopped
	case !m.known && m.status == 0:
		j.complain("rsync was run with --quiet, so it is unknown how much space the sync needs: " +
			"remove --quiet from its options")
		return statusSilent
	case !m.known:
		j.complain("the sync to " + j.Directory + " failed: rsync exited with status " + strconv.Itoa(m.status))
		return m.status
	}
	if why := j.tooMany(m); why != "" && !j.allow {
		j.complain(why)
		return statusHeld
	}
	bytes, files := m.staged(j.Directory)
	return j.announce(m.total, m.total-bytes, uint64(len(m.files))-files)
}

// stopped reports whether a status means that rsync was stopped by a signal, and with it this
// program.
func stopped(status int) bool {
	return status == rsyncStopped || status == 128+int(syscall.SIGHUP) || status == 128+int(syscall.SIGINT) || status == 128+int(syscall.SIGTERM)
}

// call runs rsync, and returns its exit status as a shell reports it.
func (j *job) call(argv []string) int {
	cmd := j.command(argv)
	cmd.Stdout, cmd.Stderr = j.stdout, j.stderr
	if j.said.to != nil {
		cmd.Stderr = &j.said
	}
	return j.exit(cmd.Run())
}

// adjusted returns a command of rsync with the upstream in use, which gets a password only if it
// has an account, and with the rate of this time of the day.
func (j *job) adjusted(argv []string) []string {
	list := []string{}
	for _, a := range argv {
		switch {
		case a == j.Upstream:
			a = j.upstream
		case strings.HasPrefix(a, "--password-file=") && !strings.Contains(j.upstream, "@"):
			continue
		}
		list = append(list, a)
	}
	now := j.start.Format("15:04")
	for _, r := range j.Rates {
		from, rest, _ := strings.Cut(r, "-")
		to, rate, _ := strings.Cut(rest, " ")
		if from <= now && now < to || to < from && (from <= now || now < to) {
			list = append(list, "--bwlimit="+rate)
		}
	}
	return list
}

func (j *job) command(argv []string) *exec.Cmd {
	argv = j.adjusted(argv)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), j.environ...)
	if j.rsync != "" {
		cmd.Path = j.rsync
	}
	if j.lock != nil {
		cmd.ExtraFiles = []*os.File{j.lock} // rsync keeps the lock if this program is killed
	}
	return cmd
}

func (j *job) exit(err error) int {
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &ended):
		j.complain(err.Error())
		return 127
	}
	if ws, ok := ended.Sys().(syscall.WaitStatus); ok && ws.Signal() >= 0 {
		return 128 + int(ws.Signal())
	}
	return ended.ExitCode()
}

// ended reports and records a sync that has ended, and returns the program's exit status.
func (j *job) ended(by string, status int, output string) int {
	status = j.judge(status, output)
	switch {
	case status == rsyncVanished:
		j.say("synced " + j.Directory + ", but for files that vanished from the upstream meanwhile (24): the next sync gets their replacements")
	case succeeded(status):
		j.say("synced " + j.Directory)
	case status == statusTimeLimit:
		j.complain("the sync to " + j.Directory + " was ended at its time limit: the next one continues")
	default:
		j.complain("the sync to " + j.Directory + " failed: rsync exited with status " + strconv.Itoa(status))
	}
	switch {
	case status == rsyncMaxDelete:
		j.files().hold()
	case succeeded(status) && j.allow:
		j.files().release()
	}
	j.record(by, status, output)
	if succeeded(status) {
		return 0
	}
	return status
}
