package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A package counts as installed even if its service does not start with the configuration that it
// comes with, as nginx does not on a host without IPv6. The resource that needs the service, such
// as a service or a site, starts it later with the wanted configuration.

// failedStarts lists the units that systemctl(1) reports as not started.
func failedStarts(output string) (units []string) {
	for line := range strings.Lines(output) {
		rest, ok := strings.CutPrefix(line, "Job for ")
		unit, _, failed := strings.Cut(rest, " failed")
		if ok && failed && checkUnit(unit) == nil && !slices.Contains(units, unit) {
			units = append(units, unit)
		}
	}
	return units
}

// startLater is the drop-in (systemd.unit(5)) that turns starts into no-ops as long as this process
// runs. If the process is killed, the condition in the drop-in holds again, and the file has no
// effect.
const startLater = "/mirrorform-install.conf"

// installStopped runs apt-get while the units cannot be started.
func (a *apt) installStopped(install, units []string) error {
	var dirs []string
	for _, u := range units {
		dirs = append(dirs, "/run/systemd/system/"+u+".d")
	}
	err := a.holdStarts(dirs)
	if err == nil {
		err = a.get(install)
	}
	for _, dir := range dirs {
		if e := unlink(unix.AT_FDCWD, dir+startLater); e != nil && !absent(e) && err == nil {
			err = fmt.Errorf("allow starts again: %w", e)
		}
		_ = rmdir(unix.AT_FDCWD, dir) // fails if other drop-ins are there
	}
	if e := a.programs.change("systemctl", "daemon-reload"); err == nil {
		err = e
	}
	return err
}

func (a *apt) holdStarts(dirs []string) error {
	for _, dir := range dirs {
		if err := mkdir(unix.AT_FDCWD, dir, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("hold starts: %w", err)
		}
		if err := unlink(unix.AT_FDCWD, dir+startLater); err != nil && !absent(err) {
			return fmt.Errorf("hold starts: %w", err)
		}
		fd, err := create(unix.AT_FDCWD, dir+startLater, 0o644)
		if err != nil {
			return fmt.Errorf("hold starts: %w", err)
		}
		err = writeAll(fd, fmt.Appendf(nil, "[Unit]\nConditionPathExists=!/proc/%d\n", unix.Getpid()))
		closeFD(fd)
		if err != nil {
			return fmt.Errorf("hold starts: %w", err)
		}
	}
	return a.programs.change("systemctl", "daemon-reload")
}
