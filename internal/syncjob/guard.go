package syncjob

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mirrorform/mirrorform/internal/claim"
)

// The guard prevents a sync that would empty the directory tree or fill another directory.

// guardCron is the guard of the scheduled sync. While another sync is running it does nothing:
// flock then prevents this one.
func (j *job) guardCron() int {
	if j.busy() {
		return 0
	}
	if status := j.guard(); status != 0 {
		return status
	}
	if j.unchanged() {
		return statusUnchanged
	}
	return j.checkDeletions()
}

// guard makes the checks that are fast: the hold, the directory, and the upstream's root directory.
func (j *job) guard() int {
	switch {
	case j.files().held() && !j.allow:
		j.complain("held: an earlier sync has deleted as many files as max_delete allows, and left the rest. " +
			"Check the upstream. To delete the rest, once: mirrorform sync --allow-deletions")
		return statusHeld
	case !j.mounted():
		j.complain("nothing is mounted on " + j.Mount + ", so nothing was synced")
		return statusAbsent
	}
	if err := checkClaim(j.Directory, j.claimFile); err != nil {
		j.complain("not the claimed directory: " + err.Error() + ", so nothing was synced. To see what differs: mirrorform plan")
		return statusConfig
	}
	environ, err := readProxy(j.Proxy)
	if err != nil {
		j.complain("cannot read the proxy: " + err.Error() + ", so nothing was synced. To see what differs: mirrorform plan")
		return statusConfig
	}
	j.environ = environ
	if status := j.choose(); status != 0 {
		return status
	}
	return j.keepFreshness()
}

// readProxy reads the file of a proxy, with its password. rsync takes it from its environment,
// which only root and the account can see.
func readProxy(file string) (environ []string, err error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return []string{"RSYNC_PROXY=" + strings.TrimSpace(string(text))}, nil
}

// choose uses the first upstream that answers and is not behind the tree. If all that answer are
// behind, a scheduled sync has nothing to do; one by hand uses the first of them.
func (j *job) choose() int {
	status, behind := 0, ""
	for _, u := range append([]string{j.Upstream}, j.Fallback...) {
		j.upstream, j.offered = u, ""
		got := j.checkUpstream()
		switch {
		case stopped(got):
			return got
		case got == 0 && len(j.Fallback) > 0 && timeOf(j.offered) < timeOf(j.fileState()):
			j.complain("the upstream " + u + " is behind the mirror")
			behind = cmp.Or(behind, u)
		case got == 0:
			return 0
		default:
			status = cmp.Or(status, got)
		}
	}
	switch {
	case behind == "":
		j.upstream = j.Upstream
		return status
	case j.scheduled:
		return statusUnchanged
	}
	j.upstream = behind
	return 0
}

// checkClaim returns why a directory is not the one that an apply has claimed for the mirror.
// Before the first apply that claims the directory, there is no claim to check.
func checkClaim(dir, file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	claimed, err := claim.Parse(string(text))
	if err != nil {
		return errors.New(file + ": " + err.Error())
	}
	found, err := claim.Of(dir)
	if err != nil {
		return err
	}
	if why := claimed.Differs(found); why != "" {
		return errors.New(dir + ": " + why)
	}
	return nil
}

// connection lists rsync's options for the connection to an upstream.
var connection = []string{"--address", "--port", "--sockopts", "--contimeout", "--timeout", "--password-file",
	"--ipv4", "--ipv6", "-4", "-6", "--protocol"}

// listing returns the rsync command that lists the upstream's root.
func (j *job) listing() []string {
	argv := append(j.Around[:len(j.Around):len(j.Around)], "/usr/bin/rsync", "--list-only", "--no-motd", "--no-human-readable",
		"--contimeout=60", "--timeout=300")
	for i, o := range j.Options {
		name, _, whole := strings.Cut(o, "=")
		for _, c := range connection {
			if name != c {
				continue
			}
			argv = append(argv, o)
			if alone := strings.HasPrefix(o, "-4") || strings.HasPrefix(o, "-6") || strings.HasPrefix(o, "--ipv"); !alone && !whole && i+1 < len(j.Options) {
				argv = append(argv, j.Options[i+1])
			}
		}
	}
	return append(argv, j.Upstream)
}

// checkUpstream lists the upstream's root. It must not be empty, and must contain the required
// file.
func (j *job) checkUpstream() int {
	cmd := j.command(j.listing())
	cmd.Stderr, cmd.Env = j.stderr, append(cmd.Env, "TZ=UTC")
	out, err := cmd.Output()
	status := j.exit(err)
	entries, required := 0, j.Require == ""
	eachLine(strings.NewReader(string(out)), func(line string) {
		// "-rw-r--r--             11 2026/11/29 08:08:37 TIME"
		f := strings.Fields(line)
		if len(f) < 5 || len(f[0]) != 10 || f[4] == "." || f[4] == "lost+found" {
			return
		}
		entries++
		if f[4] == j.Require && f[0][0] == '-' {
			required, j.offered = true, f[2]+" "+f[3]+" "+number(f[1])
		}
	})
	switch {
	case stopped(status):
		return rsyncStopped
	case status != 0 && status != 23 && !succeeded(status):
		j.complain("the upstream " + j.upstream + " cannot be reached: rsync exited with status " + strconv.Itoa(status))
		return statusAbsent
	case entries == 0:
		j.complain("the upstream " + j.upstream + " is empty, so nothing was synced")
		return statusEmpty
	case !required:
		j.complain("the upstream " + j.upstream + " has no " + j.Require + ", so it is not the mirrored tree, and nothing " +
			"was synced. If it never has that file: set freshness in the sync block")
		return statusEmpty
	}
	return 0
}

// checkDeletions asks rsync what it would delete, if there is a limit that rsync cannot enforce.
// --max-delete alone is not enough: it stops a sync after that many deletions, and the next sync
// continues.
func (j *job) checkDeletions() int {
	if j.MaxDeletePercent == 0 {
		return 0
	}
	m := j.measure()
	switch {
	case stopped(m.status):
		return rsyncStopped
	case m.known:
	case m.status == 5 || m.status == 10 || m.status == 12 || m.status == 30 || m.status == 35:
		j.complain("the upstream " + j.upstream + " cannot be reached: rsync exited with status " + strconv.Itoa(m.status))
		return statusAbsent
	default:
		return 0 // rsync is quiet, or rejects its arguments: the sync reports that itself
	}
	if why := j.tooMany(m); why != "" {
		j.complain(why)
		return statusHeld
	}
	return j.checkRoom(m)
}

// tooMany returns why a sync would delete too much, or "".
func (j *job) tooMany(m *measured) string {
	percent := uint64(0)
	if m.there > 0 {
		percent = m.deleted * 100 / m.there
	}
	limit := ""
	switch {
	case j.MaxDelete > 0 && m.deleted > uint64(j.MaxDelete):
		limit = "max_delete is " + strconv.Itoa(j.MaxDelete)
	case j.MaxDeletePercent > 0 && m.deleted*100 > m.there*uint64(j.MaxDeletePercent):
		limit = "max_delete_percent is " + strconv.Itoa(j.MaxDeletePercent)
	default:
		return ""
	}
	return "held: the sync would delete " + strconv.FormatUint(m.deleted, 10) + " of " + strconv.FormatUint(m.there, 10) +
		" files (" + strconv.FormatUint(percent, 10) + " %), and " + limit + ", so nothing was synced. Check the upstream. " +
		"To delete them, once: mirrorform sync --allow-deletions"
}

// busy reports whether the lock is held. It reads the kernel's list of locks: taking the lock to
// test it could block a sync that starts at the same moment.
func (j *job) busy() bool {
	var st unix.Stat_t
	if unix.Stat(j.Lock, &st) != nil {
		return false
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return false
	}
	pad := func(n uint32) string {
		s := strconv.FormatUint(uint64(n), 16)
		return strings.Repeat("0", max(0, 2-len(s))) + s
	}
	want := pad(unix.Major(st.Dev)) + ":" + pad(unix.Minor(st.Dev)) + ":" + strconv.FormatUint(st.Ino, 10)
	for line := range strings.Lines(string(locks)) {
		if f := strings.Fields(line); len(f) >= 6 && f[1] == "FLOCK" && f[5] == want {
			return true
		}
	}
	return false
}

// realPath resolves all links of a path.
func realPath(p string) (string, error) { return filepath.EvalSymlinks(p) }
