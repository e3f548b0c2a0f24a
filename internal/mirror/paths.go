package mirror

import (
	"path"
	"strings"
)

// Within reports whether the clean path p is dir or lies below it.
func Within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// plain tells whether p is absolute and clean, so that it can be compared. What is wrong with any
// other path, its part tells.
func plain(p string) bool { return path.IsAbs(p) && path.Clean(p) == p }

// mountPoint is where a file system must be mounted for anything below it to be written, or "".
func (st *Storage) mountPoint() string {
	if st.MountPoint == "" && st.Device != "" {
		return st.Path
	}
	return st.MountPoint
}

// guard is the mount point that a sync to dir has to find mounted, or "".
func (st *Storage) guard(dir string) string {
	if m := st.mountPoint(); m != "" && Within(dir, m) {
		return m
	}
	return ""
}

// mountAttribute is the attribute that mountPoint comes from.
func (st *Storage) mountAttribute() string {
	if st.MountPoint == "" {
		return "storage.path"
	}
	return "storage.mount_point"
}
