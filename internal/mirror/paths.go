package mirror

import (
	"path"

	"github.com/mirrorform/mirrorform/engine"
)

// plain reports whether p is absolute and clean, so that it can be compared. Parts report the
// problems of other paths.
func plain(p string) bool { return path.IsAbs(p) && path.Clean(p) == p }

// mountPoint returns where a file system must be mounted before anything is written there, or "".
func (st *Storage) mountPoint() string {
	if st.MountPoint == "" && st.Device != "" {
		return st.Path
	}
	return st.MountPoint
}

// guard returns the mount point that must be mounted for a sync to dir, or "".
func (st *Storage) guard(dir string) string {
	if m := st.mountPoint(); m != "" && engine.PathWithin(dir, m) {
		return m
	}
	return ""
}

// mountAttribute returns the attribute that sets mountPoint.
func (st *Storage) mountAttribute() string {
	if st.MountPoint == "" {
		return "storage.path"
	}
	return "storage.mount_point"
}
