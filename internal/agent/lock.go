package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// lock is the host's lock: an open file description lock (fcntl(2)) on a file of the state
// directory. Every program that changes the host inherits the descriptor. So the lock is held as
// long as any of them runs, even if the helper is killed.
type lock struct {
	state *stateDir
	taken *os.File // nil: not held by this session
}

// holder is the content of the lock's file: who took the lock last.
type holder struct {
	wire.Holder
	Start int64 `json:"start"` // seconds of CLOCK_BOOTTIME when it took the lock
	PID   int   `json:"pid"`
}

// maxHolder is the size of the lock's file. It is always written as one block of that size, padded
// with spaces, so that no reader sees a part of it.
const maxHolder = 2048

const lockPoll = 100 * time.Millisecond

// errHeld is the error of a lock that another run holds.
var errHeld = errors.New("locked by another run")

func (l *lock) file() string { return l.state.dir + "/lock" }

// try takes the lock, or fails with errHeld.
func (l *lock) try(who *wire.Begin) error {
	if err := l.state.make(""); err != nil {
		return err
	}
	fd, err := open(unix.AT_FDCWD, l.file(), unix.O_RDWR|unix.O_NOFOLLOW, 0)
	if absent(err) {
		fd, err = createOrOpen(unix.AT_FDCWD, l.file(), 0)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", l.file(), err)
	}
	if err := private(fd); err != nil {
		closeFD(fd)
		return fmt.Errorf("change mode of %s: %w", l.file(), err)
	}
	if err := setLock(fd, unix.F_OFD_SETLK); err != nil {
		closeFD(fd)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return errHeld
		}
		return fmt.Errorf("lock %s: %w", l.file(), err)
	}
	me := holder{Start: clock(unix.CLOCK_BOOTTIME), PID: unix.Getpid(), Holder: wire.Holder{
		Operator: shorten(who.Operator), Command: shorten(who.Command), From: from(),
		Since: time.Now().UTC().Format(time.RFC3339),
	}}
	// If this fails, as on a full disk, only what other runs show about the holder is missing.
	text := wire.Encode(me)
	for len(text) < maxHolder {
		text = append(text, ' ')
	}
	_ = writeAt(fd, text[:maxHolder])
	l.taken = os.NewFile(uintptr(fd), l.file())
	return nil
}

// private makes sure that no other user can open a file, and so lock it.
func private(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&0o077 == 0 {
		return err
	}
	return fchmod(fd, 0o600)
}

func setLock(fd, how int) error {
	for {
		l := unix.Flock_t{Type: unix.F_WRLCK}
		err := unix.FcntlFlock(uintptr(fd), how, &l)
		if err != unix.EINTR {
			return err
		}
	}
}

// release releases the lock, unless a program that was started still has it.
func (l *lock) release() {
	if l.taken != nil {
		_ = l.taken.Close()
		l.taken = nil
	}
}

// held returns who has the lock, or nil.
func (l *lock) held() *holder {
	fd, err := open(unix.AT_FDCWD, l.file(), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer closeFD(fd)
	how := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &how); err != nil || how.Type == unix.F_UNLCK {
		return nil
	}
	who := new(holder)
	data := make([]byte, maxHolder)
	n, _ := unix.Pread(fd, data, 0)
	if wire.Decode(data[:max(n, 0)], who) != nil {
		who = &holder{Holder: wire.Holder{Operator: "unknown", Command: "unknown"}} // it has not written the file yet
	}
	if who.Start > 0 {
		who.Seconds = int(max(0, clock(unix.CLOCK_BOOTTIME)-who.Start))
	}
	who.Process = lockProcesses(fd)
	if who.Process == "" && who.PID > 0 {
		who.Process = fmt.Sprintf("process %d", who.PID)
	}
	return who
}

// lockProcesses names the processes that hold the lock, as far as this user may see: those with a
// lock on a descriptor of the file.
func lockProcesses(fd int) string {
	file, err := readLink(unix.AT_FDCWD, procFD(fd))
	if err != nil {
		return ""
	}
	var found []string
	pids, _ := listDir("/proc")
	for _, pid := range pids {
		if strings.Trim(pid, "0123456789") != "" {
			continue
		}
		fds, _ := listDir("/proc/" + pid + "/fd") // fails for another user's process, and for one that has ended
		for _, n := range fds {
			if target, err := readLink(unix.AT_FDCWD, "/proc/"+pid+"/fd/"+n); err != nil || target != file {
				continue
			}
			if info, err := readFile("/proc/" + pid + "/fdinfo/" + n); err == nil && strings.Contains(string(info), "\nlock:") {
				found = append(found, firstLine("/proc/"+pid+"/comm")+" (process "+pid+")")
				break
			}
		}
		if len(found) == 4 {
			break
		}
	}
	return printable(strings.Join(found, ", "))
}

// wait takes the lock, and waits for it until the time is over; it then returns who has it. waiting
// is called at once when it has to wait, and again when the holder changes.
func (l *lock) wait(ctx context.Context, who *wire.Begin, waiting func(wire.Holder)) (*wire.Holder, error) {
	deadline := time.Now().Add(time.Duration(max(0, min(who.Wait, 24*3600))) * time.Second)
	var last *holder
	for {
		err := l.try(who)
		if err == nil {
			return nil, nil
		}
		if !errors.Is(err, errHeld) {
			return nil, err
		}
		now := l.held()
		if now != nil && (last == nil || now.Start != last.Start || now.PID != last.PID || now.Operator != last.Operator) {
			last = now
			waiting(now.Holder)
		}
		if now != nil && !time.Now().Before(deadline) {
			return &now.Holder, nil
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, errGone
		}
	}
}

// shorten keeps the beginning of a text that the controller sent.
func shorten(s string) string {
	if len(s) > 200 {
		s = s[:200]
	}
	return printable(s)
}

// from returns the address that the operator connects from, as sshd set it in $SSH_CONNECTION. It
// may be set only in a process above this one, since sudo(8) removes the variable.
func from() string {
	pid := "self"
	for range 7 {
		environment, _ := readFile("/proc/" + pid + "/environ") // fails for another user's process
		for _, v := range strings.Split(string(environment), "\x00") {
			if c, ok := strings.CutPrefix(v, "SSH_CONNECTION="); ok {
				address, _, _ := strings.Cut(c, " ")
				return shorten(address)
			}
		}
		// The name of the program, in parentheses, may contain anything: proc_pid_stat(5).
		_, after, _ := cutLast(firstLine("/proc/"+pid+"/stat"), ") ")
		f := strings.Fields(after)
		if len(f) < 2 || f[1] == "0" {
			return ""
		}
		pid = f[1]
	}
	return ""
}

// clock reads a clock, in seconds.
func clock(which int32) int64 {
	var ts unix.Timespec
	if unix.ClockGettime(which, &ts) != nil || ts.Sec < 0 {
		return 0
	}
	return ts.Sec
}
