package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Every host, the upstream and each CA have their own control group, mirrorform-lab/LAB/MEMBER, in
// the hierarchies that systemd uses: cgroup v2, name=systemd, or both (cgroups(7)). Two containers
// in one group would share their payload group, and so their services. The group also identifies
// all processes of a member when it has to end.
const cgroupTop = "mirrorform-lab"

// cgroupRoots returns the mount points of the hierarchies that systemd uses.
func cgroupRoots() ([]string, error) {
	mounts, err := readMounts()
	if err != nil {
		return nil, err
	}
	var roots []string
	for _, m := range mounts {
		named := m.fsType == "cgroup" && slices.Contains(strings.Split(m.superOptions, ","), "name=systemd")
		if (m.fsType == "cgroup2" || named) && strings.HasPrefix(m.point, "/sys/fs/cgroup") &&
			!slices.Contains(roots, m.point) {
			roots = append(roots, m.point)
		}
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("%w: no cgroup v2 or name=systemd hierarchy is mounted under /sys/fs/cgroup", ErrUnavailable)
	}
	return roots, nil
}

// makeCgroup creates a group in every hierarchy and returns its directories.
func makeCgroup(parts ...string) ([]string, error) {
	roots, err := cgroupRoots()
	if err != nil {
		return nil, err
	}
	dirs := make([]string, len(roots))
	for i, root := range roots {
		dirs[i] = filepath.Join(append([]string{root, cgroupTop}, parts...)...)
		if err := makeDirs(dirs[i]); err != nil {
			return nil, fmt.Errorf("creating a control group: %w", err)
		}
	}
	return dirs, nil
}

// joinScript moves the shell into groups, then executes a program with the usual umask of services.
// Its arguments are the number of groups, their paths, and the program with its arguments.
const joinScript = `umask 022; n=$1; shift
while [ "$n" -gt 0 ]; do echo $$ >"$1/cgroup.procs" || exit 125; shift; n=$((n-1)); done
exec "$@"`

// inCgroup returns the argv that runs argv inside the groups dirs, from its first instruction on.
func inCgroup(dirs []string, argv ...string) []string {
	full := []string{"/bin/sh", "-c", joinScript, "sh", strconv.Itoa(len(dirs))}
	return append(append(full, dirs...), argv...)
}

// cgroupPids returns the ids of all processes in the group and below it.
func cgroupPids(parts ...string) ([]int, error) {
	roots, err := cgroupRoots()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, root := range roots {
		top := filepath.Join(append([]string{root, cgroupTop}, parts...)...)
		err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return ignoreGone(err)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return ignoreGone(err)
			}
			for _, field := range strings.Fields(string(data)) {
				// 0 stands for a process of another PID namespace.
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 && !slices.Contains(pids, pid) {
					pids = append(pids, pid)
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading control groups: %w", err)
		}
	}
	return pids, nil
}

// ignoreGone drops the errors of groups that vanish while they are read.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return err
}

// endCgroup kills every process in the group and below it, waits until they have ended, and removes
// the groups in every hierarchy.
func endCgroup(ctx context.Context, parts ...string) error {
	name := strings.Join(parts, "/")
	err := poll(ctx, 20*time.Second, func() (bool, error) {
		pids, err := cgroupPids(parts...)
		if err != nil {
			return false, err
		}
		for _, pid := range pids {
			if err := killPid(pid); err != nil {
				return false, err
			}
		}
		return len(pids) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("ending the processes of %s: %w", name, err)
	}
	return removeCgroup(ctx, parts...)
}

func removeCgroup(ctx context.Context, parts ...string) error {
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		top := filepath.Join(append([]string{root, cgroupTop}, parts...)...)
		// A dying process keeps its group busy for a moment.
		err := poll(ctx, 10*time.Second, func() (bool, error) {
			var dirs []string
			err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					dirs = append(dirs, path)
				}
				return ignoreGone(err)
			})
			if err != nil {
				return false, err
			}
			for _, dir := range slices.Backward(dirs) {
				if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return false, nil
				}
			}
			return true, nil
		})
		if err != nil {
			return fmt.Errorf("removing the control group %s: %w", top, err)
		}
		// This fails, as intended, while another lab uses the group.
		_ = os.Remove(filepath.Join(root, cgroupTop))
	}
	return nil
}

// errTimeout is poll's error when the condition was not met in time.
var errTimeout = errors.New("timed out")

// poll calls done every few milliseconds until it returns true or an error, the limit has passed,
// or ctx ends.
func poll(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	wait := 2 * time.Millisecond
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w after %s", errTimeout, limit)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 25*time.Millisecond)
	}
}
