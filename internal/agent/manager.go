package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

const (
	packageTimeout = wire.PackagesTime
	lockPatience   = wire.LockTime // how long to wait for another run of the package manager
)

// manager is what apt and dnf share.
type manager struct {
	programs *programs
	native   native
}

// run runs a package manager, and again while another one holds the lock.
func (m *manager) run(env []string, argv ...string) error {
	deadline := time.Now().Add(lockPatience)
	for {
		_, err := must(context.Background(), command{argv: argv, env: env, timeout: packageTimeout, merge: true, lock: m.programs.lock})
		if err == nil || !locked(outputOf(err)) {
			return err
		}
		if time.Now().After(deadline) {
			message := "the package manager has been locked by another program for " + period(lockPatience)
			if holder := lockHolder(locks...); holder != "" {
				message += ": " + holder
			}
			return &failure{message: message, output: outputOf(err)}
		}
		time.Sleep(time.Second)
	}
}

// bothFailed returns the error of an installation, with the error of the step that should have made
// it possible.
func bothFailed(err, before error) error {
	if err == nil || before == nil {
		return err
	}
	last, first := failureOf(err), failureOf(before)
	said := last.said
	if first.said != "" {
		said = strings.TrimPrefix(said+"; before it: "+first.said, "; ")
	}
	return &failure{
		message: fmt.Sprintf("%v; before it %v", err, before), said: said,
		output: strings.TrimSpace(first.output + "\n" + last.output),
		cause:  errors.Join(err, before),
	}
}

// locked reports whether a package manager gave up because another one is running.
func locked(output string) bool {
	if strings.Contains(output, "are you root") || strings.Contains(output, "Permission denied") {
		return false // waiting would not help
	}
	for _, sign := range []string{"Could not get lock", "Unable to acquire the dpkg frontend lock", "frontend lock was locked by another process",
		"status database area is locked", "Unable to lock directory", "can't create transaction lock", "Failed to obtain the transaction lock"} {
		if strings.Contains(output, sign) {
			return true
		}
	}
	return false
}

// locks are the files that package managers lock with fcntl(2).
var locks = []string{"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock",
	"/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"}

// lockHolder names the process that holds a lock on one of the files; "" if it finds none.
func lockHolder(files ...string) string {
	for _, file := range files {
		fd, err := open(unix.AT_FDCWD, file, unix.O_RDWR, 0)
		if err != nil {
			continue
		}
		lock := unix.Flock_t{Type: unix.F_WRLCK}
		err = unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &lock)
		closeFD(fd)
		if err == nil && lock.Type != unix.F_UNLCK && lock.Pid > 0 {
			return fmt.Sprintf("process %d (%s) holds %s", lock.Pid, firstLine(fmt.Sprintf("/proc/%d/comm", lock.Pid)), file)
		}
	}
	return ""
}
