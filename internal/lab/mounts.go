package lab

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// mountEntry is one line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type mountEntry struct {
	point, fsType, superOptions string
}

func readMounts() ([]mountEntry, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("reading the mount table: %w", err)
	}
	var mounts []mountEntry
	for line := range strings.Lines(string(data)) {
		left, right, ok := strings.Cut(line, " - ")
		before, after := strings.Fields(left), strings.Fields(right)
		if !ok || len(before) < 6 || len(after) < 3 {
			return nil, fmt.Errorf("reading the mount table: unexpected line %q", line)
		}
		mounts = append(mounts, mountEntry{unescapeMount(before[4]), after[0], after[2]})
	}
	return mounts, nil
}

// unescapeMount decodes the octal escapes of mountinfo fields.
var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace

// mountOverlay mounts an overlay file system at merged, with the lower directories topmost first.
// With volatile, fsync(2) does not wait for the disk, if the kernel has that (5.10): a lab does not
// outlive a stop of the machine. See Documentation/filesystems/overlayfs.rst of the kernel.
func mountOverlay(merged, upper, work string, volatile bool, lower ...string) error {
	for _, dir := range append([]string{merged, upper, work}, lower...) {
		if strings.ContainsAny(dir, ":,\\") {
			return fmt.Errorf("mounting %s: path %q contains a colon, comma or backslash, which overlay mounts do not support",
				merged, dir)
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(lower, ":"), upper, work)
	if volatile && overlayMount(merged, options+",volatile") == nil {
		return nil
	}
	if err := overlayMount(merged, options); err != nil {
		return fmt.Errorf("mounting an overlay at %s: %w", merged, err)
	}
	return nil
}

// unmountBelow unmounts everything at dir and below it.
func unmountBelow(dir string) error {
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(mounts) {
		if m.point != dir && !strings.HasPrefix(m.point, dir+"/") {
			continue
		}
		if err := unmount(m.point, false); err != nil {
			// Another mount namespace, or a shell in this directory, may keep it busy.
			if err := unmount(m.point, true); err != nil {
				return fmt.Errorf("unmounting %s: %w", m.point, err)
			}
		}
	}
	return nil
}

// removeTree unmounts everything at dir and below it, and removes dir.
func removeTree(dir string) error {
	if err := unmountBelow(dir); err != nil {
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	return nil
}
