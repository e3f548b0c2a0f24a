package lab

import (
	"context"
	"embed"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

//go:embed vmtree
var vmFiles embed.FS

// vmRequirements are what a host that is a virtual machine needs on the machine, besides what every
// lab needs.
var vmRequirements = []requirement{
	{"qemu-system-x86_64", "qemu-system-x86", "runs virtual machines"},
	{"qemu-img", "qemu-utils", "creates their disks"},
}

// vmRecipe describes the image of virtual machines, except the content of the distribution's
// packages. Its hash names the image in the cache.
type vmRecipe struct {
	Format   int      // incremented when the code that builds the image changes
	Base     string   // the name of the base tree, which the image has
	Emulator string   // the version of qemu, since a snapshot is for the version that made it
	Kernel   string   // the package with the kernel, of which only files are installed
	Tree     []string // packages installed besides those of every host
	Masked   []string // units without use, which would only slow down the boot
	Options  []string // of qemu, that the snapshot depends on
	Append   string   // the kernel's command line
	Files    map[string]string
}

func newVMRecipe(ctx context.Context, base string) (*vmRecipe, error) {
	version, err := run(ctx, "qemu-system-x86_64", "--version")
	if err != nil {
		return nil, err
	}
	line, _, _ := strings.Cut(string(version), "\n")
	r := &vmRecipe{
		Format:   1,
		Base:     filepath.Base(base),
		Emulator: line,
		Kernel:   "linux-image-cloud-amd64",
		Tree: []string{"udev", "kmod", "busybox-static", "selinux-policy-default", "policycoreutils",
			"policycoreutils-python-utils", "auditd", "lvm2", "mdadm", "dmsetup", "xfsprogs", "e2fsprogs"},
		Masked: []string{"modprobe@configfs.service", "modprobe@drm.service", "modprobe@efi_pstore.service",
			"sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-binfmt.service",
			"proc-sys-fs-binfmt_misc.automount", "user@.service"},
		// One processor: two wait for each other, and on a busy machine one of them does not run.
		Options: []string{"-machine", "pc,memory-backend=ram", "-accel", "tcg", "-cpu", "max", "-smp", "1",
			"-m", "1024", "-nodefaults", "-no-user-config", "-display", "none"},
		// On a busy machine the kernel would find its timer broken, and itself stuck.
		Append: "root=/dev/vda console=ttyS0 quiet net.ifnames=0 mitigations=off panic=-1 no_timer_check nowatchdog " +
			"audit=1 security=selinux selinux=1 enforcing=1",
		Files: map[string]string{},
	}
	entries, err := vmFiles.ReadDir("vmtree")
	if err != nil {
		return nil, fmt.Errorf("reading the recipe: %w", err)
	}
	for _, entry := range entries {
		data, err := vmFiles.ReadFile("vmtree/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the recipe: %w", err)
		}
		r.Files[entry.Name()] = string(data)
	}
	return r, nil
}

func (r *vmRecipe) hash() (string, error) { return hashRecipe(r) }

// checkVM returns an error if this machine cannot run virtual machines.
func checkVM() error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("%w: a virtual machine is for amd64 only, and this machine is %s", ErrUnavailable,
			runtime.GOARCH)
	}
	return nil
}
