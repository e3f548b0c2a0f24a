package lang

import (
	"slices"

	"golang.org/x/sys/unix"
)

// systemFileSystems are those in which the kernel shows its own state, wherever they are mounted.
var systemFileSystems = []uint32{
	unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEVPTS_SUPER_MAGIC, unix.SECURITYFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC,
	unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.EFIVARFS_MAGIC, unix.PSTOREFS_MAGIC, unix.BPF_FS_MAGIC, unix.SELINUX_MAGIC,
}

// systemFile reports whether a file is the kernel's own.
func systemFile(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && slices.Contains(systemFileSystems, uint32(st.Type))
}
