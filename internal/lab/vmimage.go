package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The image of virtual machines is a directory of the cache with these files: the disk of a booted
// system, its kernel, its initramfs, and the memory and the state of the virtual machine that
// booted it: a snapshot, from which hosts start.
const (
	vmDisk       = "disk.raw"
	vmMemoryFile = "memory"
	vmState      = "state"
)

// vmDiskSize is the size of the system's disk in bytes; the file is sparse.
const vmDiskSize = 10 << 30

// vmBootLimit bounds a boot of a virtual machine, which takes 10 s on a quiet machine and minutes
// on a busy one: its processor is emulated.
const vmBootLimit = 15 * time.Minute

// vmImage returns the directory of the image, and builds it first if it is missing.
func (c *cache) vmImage(ctx context.Context, base string, r *recipe, v *vmRecipe) (string, error) {
	hash, err := v.hash()
	if err != nil {
		return "", err
	}
	return c.ensure(ctx, "vm-"+hash, func(dir string) error {
		logf(c.log, "building the image of virtual machines; this takes about two minutes, but only once")
		source, err := c.source(ctx, r.Codename)
		if err != nil {
			return err
		}
		b := vmBuild{vm: v, source: source, dir: dir, root: filepath.Join(dir, "root"), log: c.log}
		return b.build(ctx, base)
	})
}

// vmBuild builds the image in dir. root is an overlay over the base tree while it lasts.
type vmBuild struct {
	vm        *vmRecipe
	source    *aptSource
	dir, root string
	log       io.Writer
}

func (b *vmBuild) build(ctx context.Context, base string) error {
	upper, work := filepath.Join(b.dir, "upper"), filepath.Join(b.dir, "work")
	for _, dir := range []string{upper, work, b.root} {
		if err := makeDirs(dir); err != nil {
			return err
		}
	}
	if err := mountOverlay(b.root, upper, work, false, filepath.Join(base, "root")); err != nil {
		return err
	}
	steps := []struct {
		what string
		run  func(context.Context) error
	}{
		{"downloading packages", b.download},
		{"installing SELinux's policy and tools", b.install},
		{"writing the kernel and the initramfs", b.writeKernel},
		{"writing and labelling the disk", b.writeDisk},
		{"booting the image for a snapshot", b.snapshot},
	}
	for _, step := range steps {
		logf(b.log, "%s", step.what)
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	for _, dir := range []string{b.root, upper, work} {
		if err := removeTree(dir); err != nil {
			return err
		}
	}
	return nil
}

// download adds the packages of virtual machines to the tree's repository.
func (b *vmBuild) download(ctx context.Context) error {
	options, err := aptOptions(ctx, b.source, b.dir)
	if err != nil {
		return err
	}
	if err := fillRepository(ctx, options, b.root, append(slices.Clone(b.vm.Tree), b.vm.Kernel)); err != nil {
		return err
	}
	return indexRepository(ctx, filepath.Join(b.root, hostRepos, "apt"))
}

// placeholdersScript creates the files that an identity fills, so that they get their labels with
// all others. It prints nothing.
const placeholdersScript = `ssh-keygen -A >/dev/null
for account; do
	home=$(getent passwd "$account" | cut -d: -f6)
	install -d -m 0700 -o "$account" -g "$account" "$home/.ssh"
	install -m 0600 -o "$account" -g "$account" /dev/null "$home/.ssh/authorized_keys"
done`

// install installs the packages of virtual machines into the tree, with the policy and the lab's
// own files.
func (b *vmBuild) install(ctx context.Context) error {
	policy := filepath.Join(b.root, "usr/sbin/policy-rc.d")
	const unit, permissive = "/etc/systemd/system/mirrorform-lab-identity.service", "/root/permissive.cil"
	err := errors.Join(
		os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755),
		writeTreeFiles(b.root, []treeFile{
			{"/etc/selinux/config", 0o644, b.vm.Files["selinux"]},
			{"/etc/systemd/network/10-host0.link", 0o644, b.vm.Files["host0.link"]},
			{"/etc/systemd/network/10-host0.network", 0o644, "[Match]\nName=host0\n\n[Network]\nLinkLocalAddressing=no\n"},
			{"/usr/local/libexec/mirrorform-lab-identity", 0o755, b.vm.Files["identity"]},
			{unit, 0o644, b.vm.Files["identity.service"]},
			{"/etc/modprobe.d/mirrorform-lab.conf", 0o644, b.vm.Files["modprobe.conf"]},
			{permissive, 0o644, b.vm.Files["permissive.cil"]},
			{"/etc/machine-id", 0o444, strings.Repeat("1", 32) + "\n"},
			{"/etc/hostname", 0o644, "lab\n"},
			{"/etc/hosts", 0o644, "127.0.0.1 localhost\n::1 localhost\n"},
		}),
		// In a virtual machine, systemd's own generator knows block devices.
		os.Remove(filepath.Join(b.root, "etc/systemd/system-generators/mirrorform-lab-fstab")),
	)
	if err != nil {
		return err
	}
	steps := [][]string{
		{"/usr/bin/apt-get", "update"},
		append([]string{"/usr/bin/apt-get", "install", "-y", "--no-install-recommends"}, b.vm.Tree...),
		{"/usr/sbin/semodule", "-n", "-i", permissive},
		append([]string{"/bin/sh", "-ec", placeholdersScript, "sh", "root"}, Users()...),
		{"/bin/systemctl", "enable", "auditd.service"},
		append([]string{"/bin/systemctl", "mask"}, b.vm.Masked...),
		{"/bin/systemctl", "add-wants", "multi-user.target", filepath.Base(unit)},
		{"/bin/rm", permissive},
	}
	for _, argv := range steps {
		if _, err := inTree(ctx, b.root, "", argv...); err != nil {
			return err
		}
	}
	return os.Remove(policy)
}

// writeKernel unpacks the kernel's package, without installing it, since that would make an
// initramfs of its own. The modules are in the tree; the kernel and an initramfs with the modules
// for the disk are beside the disk.
func (b *vmBuild) writeKernel(ctx context.Context) error {
	const initramfs = "/var/tmp/initramfs"
	debs, err := filepath.Glob(filepath.Join(b.root, hostRepos, "apt", "linux-image-[0-9]*.deb"))
	if err != nil || len(debs) != 1 {
		return errors.Join(err, fmt.Errorf("the hosts' apt repository has %d kernels", len(debs)))
	}
	if _, err := run(ctx, "dpkg-deb", "--extract", debs[0], filepath.Join(b.root, "var/tmp/kernel")); err != nil {
		return err
	}
	if err := writeTreeFiles(b.root, []treeFile{{initramfs + "/init", 0o755, b.vm.Files["init"]}}); err != nil {
		return err
	}
	const script = `cd /var/tmp/kernel
version=$(basename lib/modules/*)
rm -rf "/lib/modules/$version"
mkdir -p /lib/modules
mv "lib/modules/$version" /lib/modules/
depmod "$version"
cd "$1"
mkdir bin dev proc root modules.d
cp /bin/busybox bin/
modprobe --set-version="$version" --show-depends --all virtio_pci virtio_blk ext4 |
	while read -r kind path _; do
		[ "$kind" = insmod ] || continue
		name=/modules.d/$(basename "$path")
		[ -e ".$name" ] || echo "$name" >>modules
		cp "$path" ".$name"
	done
find . | busybox cpio -o -H newc | gzip -1 >../initrd`
	if _, err := inTree(ctx, b.root, "", "/bin/sh", "-ec", script, "sh", initramfs); err != nil {
		return err
	}
	kernels, err := filepath.Glob(filepath.Join(b.root, "var/tmp/kernel/boot/vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return errors.Join(err, fmt.Errorf("the package of the kernel has %d kernels", len(kernels)))
	}
	for from, to := range map[string]string{kernels[0]: "vmlinuz", filepath.Join(b.root, "var/tmp/initrd"): "initrd"} {
		if _, err := run(ctx, "mv", "--", from, filepath.Join(b.dir, to)); err != nil {
			return err
		}
	}
	return errors.Join(os.RemoveAll(filepath.Join(b.root, "var/tmp/kernel")),
		os.RemoveAll(filepath.Join(b.root, initramfs)))
}

// writeDisk copies the tree to a disk and labels its files there: an overlay would copy all of
// them.
func (b *vmBuild) writeDisk(ctx context.Context) error {
	disk, mount := filepath.Join(b.dir, vmDisk), filepath.Join(b.dir, "mount")
	if err := errors.Join(makeSparse(disk, vmDiskSize), makeDirs(mount)); err != nil {
		return err
	}
	for _, argv := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=32", "-E", "lazy_itable_init=1,lazy_journal_init=1", disk},
		{"mount", "-o", "loop,noatime", disk, mount},
		{"cp", "-a", "--", b.root + "/.", mount},
	} {
		if _, err := run(ctx, argv...); err != nil {
			return err
		}
	}
	const contexts = "/etc/selinux/default/contexts/files/file_contexts"
	if _, err := inTree(ctx, mount, "", "/sbin/setfiles", "-F", contexts, "/"); err != nil {
		return err
	}
	return removeTree(mount)
}

// snapshot boots the image and writes the state of the virtual machine that waits for its identity.
func (b *vmBuild) snapshot(ctx context.Context) error {
	e := &emulator{recipe: b.vm, image: b.dir, name: "mirrorform-lab-image", sockets: filepath.Join(b.dir, "vm"),
		console: filepath.Join(b.dir, "console"), disk: filepath.Join(b.dir, vmDisk), format: "raw", memory: writtenMemory}
	ctx, cancel := context.WithTimeout(ctx, vmBootLimit)
	defer cancel()
	cmd := command(ctx, e.argv()...)
	var said strings.Builder
	cmd.Stderr = &said
	cmd.WaitDelay = 5 * time.Second
	ended := make(chan struct{})
	go func() {
		// The kernel ends the program with the thread that started it.
		runtime.LockOSThread()
		endWithParent(cmd)
		_ = cmd.Run()
		close(ended)
	}()
	err := b.saveState(ctx, e, ended)
	if err != nil {
		cancel()
	}
	<-ended
	if err != nil {
		console, _ := os.ReadFile(e.console)
		return fmt.Errorf("%w\n%s\n%s", err, said.String(), lastLines(string(console), 15))
	}
	for _, name := range []string{"vm.qmp", "vm.identity", "console"} {
		if err := os.Remove(filepath.Join(b.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (b *vmBuild) saveState(ctx context.Context, e *emulator, ended <-chan struct{}) error {
	port, err := openIdentity(ctx, e.sockets+".identity", ended)
	if err != nil {
		return err
	}
	defer port.close()
	m, err := openMonitor(ctx, e.sockets+".qmp", ended)
	if err != nil {
		return err
	}
	defer m.close()
	if err := port.expect(ctx, "ready", vmBootLimit); err != nil {
		return err
	}
	return m.save(ctx, filepath.Join(b.dir, vmState))
}
