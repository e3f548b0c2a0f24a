//go:build faults

package agent

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// faultFile controls the fault points of this build, unless $MIRRORFORM_FAULT names another file.
// It has one line:
//
//	log FILE      appends the name of every point to FILE
//	kill N        kills this process at point N, counted from 1
//	stop N DIR    at point N writes DIR/reached, and waits until DIR/go exists
//	hurry N       lets a probe wait for N seconds at most
//	stopall DIR   does so at every point; reached holds its number, and go is removed before the next
//
// Counting starts with the first transaction of the process, including a recovery.
const faultFile = "/run/mirrorform-fault"

// faults belongs to the process: a build for the fault suite serves one session.
var faults struct {
	sync.Mutex
	armed bool
	count int
	order []string
}

// armFaults starts counting fault points, once.
func armFaults() {
	faults.Lock()
	defer faults.Unlock()
	if faults.armed {
		return
	}
	faults.armed = true
	file, ok := syscall.Getenv("MIRRORFORM_FAULT")
	if !ok {
		file = faultFile
	}
	faults.order = strings.Fields(firstLine(file))
}

// faultpoint is called before every step that changes the host.
func faultpoint(name string) {
	faults.Lock()
	defer faults.Unlock()
	if len(faults.order) < 2 {
		return
	}
	faults.count++
	switch args := faults.order[1:]; faults.order[0] {
	case "log":
		if fd, err := unix.Open(args[0], unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC, 0o600); err == nil {
			_, _ = unix.Write(fd, []byte(name+"\n"))
			closeFD(fd)
		}
	case "kill":
		if n, err := strconv.Atoi(args[0]); err == nil && n == faults.count {
			_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
			select {}
		}
	case "stop":
		if n, err := strconv.Atoi(args[0]); err == nil && n == faults.count && len(args) > 1 {
			faultStop(args[1])
		}
	case "stopall":
		faultStop(args[0])
		_ = unix.Unlink(args[0] + "/go")
	}
}

// probeLimit returns how long a probe that may take that long waits for the expected response.
func probeLimit(timeout time.Duration) time.Duration {
	faults.Lock()
	defer faults.Unlock()
	if len(faults.order) < 2 || faults.order[0] != "hurry" {
		return timeout
	}
	n, _ := strconv.Atoi(faults.order[1])
	return min(timeout, seconds(n, timeout))
}

// faultStop reports the point, and waits until DIR/go exists.
func faultStop(dir string) {
	if fd, err := unix.Open(dir+"/reached.new", unix.O_WRONLY|unix.O_TRUNC|unix.O_CREAT|unix.O_CLOEXEC, 0o600); err == nil {
		_, _ = unix.Write(fd, fmt.Appendf(nil, "%d\n", faults.count))
		closeFD(fd)
	}
	_ = unix.Rename(dir+"/reached.new", dir+"/reached")
	for !exists(dir + "/go") {
		time.Sleep(time.Millisecond)
	}
}
