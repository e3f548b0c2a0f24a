package lang

import (
	"slices"

	"golang.org/x/sys/unix"
)

// systemFileSystems are the file systems in which the kernel shows its state. They can be mounted
// anywhere, so their paths do not identify them.
var systemFileSystems = []uint32{
	unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEVPTS_SUPER_MAGIC, unix.SECURITYFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC,
	unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.EFIVARFS_MAGIC, unix.PSTOREFS_MAGIC, unix.BPF_FS_MAGIC, unix.SELINUX_MAGIC,
}

// systemFile reports whether a file is on a kernel file system.
func systemFile(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && slices.Contains(systemFileSystems, uint32(st.Type))
}
