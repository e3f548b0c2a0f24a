package mirror

import (
	"cmp"
	"path"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// within tells whether the clean path p is dir or lies below it.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// plain tells whether p is absolute and clean, so that it can be compared. What is wrong with any other path, its part tells.
func plain(p string) bool { return path.IsAbs(p) && path.Clean(p) == p }

// ownDirectory reports a path that a sync must not fill, since it would delete what is there.
func (x *expansion) ownDirectory(attribute, p string) {
	const own = "a sync deletes whatever upstream does not have: give the mirror a directory of its own, such as /srv/mirror/almalinux"
	if why := resources.NotOwn(p); why != "" {
		x.errorf(attribute, own, "%s %s", p, why)
	}
}

// mountPoint is where a file system must be mounted for anything below it to be written, or "".
func (x *expansion) mountPoint() string {
	st := x.spec.Storage
	if st.MountPoint == "" && st.Device != "" {
		return st.Path
	}
	return st.MountPoint
}

// guard is the mount point that a sync to dir has to find mounted, or "".
func (x *expansion) guard(dir string) string {
	if m := x.mountPoint(); m != "" && within(dir, m) {
		return m
	}
	return ""
}

// mountAttribute is the attribute that mountPoint comes from.
func (x *expansion) mountAttribute() string {
	if x.spec.Storage.MountPoint == "" {
		return "storage.path"
	}
	return "storage.mount_point"
}

// storage makes the check of the size.
func (x *expansion) storage() {
	st := x.spec.Storage
	x.storageRules()
	minimum, recommended := x.sizes()
	x.add(engine.Part{
		Name: "storage", Type: "storage",
		State: &resources.Storage{Path: st.Path, Minimum: minimum, Recommended: recommended, Device: st.Device},
	}, map[string]string{
		"path": "storage.path", "minimum": "storage.minimum", "recommended": "storage.recommended", "device": "storage.device",
	})
}

// filesystem makes the file system on the device, where there is one, and mounts it.
func (x *expansion) filesystem() {
	st := x.spec.Storage
	if st.Device == "" {
		return
	}
	filesystem := cmp.Or(st.Filesystem, "xfs")
	tools := map[string]string{"xfs": "xfsprogs", "ext4": "e2fsprogs"}[filesystem]
	if tools == "" {
		x.choice("storage.filesystem", filesystem, "xfs", "ext4")
		return
	}
	point, pointFrom := x.mountPoint(), x.mountAttribute()
	x.add(engine.Part{
		Name: "filesystem_package", Type: "package", Keep: "it repairs the host's file systems",
		State: &resources.Package{Name: tools},
	}, nil)
	x.add(engine.Part{
		Name: "mount_point", Type: "directory",
		// Its owner and mode are those of what is mounted there, which are the mount's matter.
		State: &resources.Directory{Path: point},
	}, map[string]string{"path": pointFrom})
	x.add(engine.Part{
		Name: "filesystem", Type: "filesystem", DependsOn: []string{"filesystem_package"},
		State: &resources.Filesystem{Device: st.Device, Type: filesystem},
	}, map[string]string{"device": "storage.device", "type": "storage.filesystem"})
	mount := &resources.Mount{Path: point, Device: st.Device, Filesystem: filesystem, Options: st.Options}
	depends := []string{"mount_point", "filesystem"}
	x.add(engine.Part{Name: "mount", Type: "mount", DependsOn: depends, State: mount}, map[string]string{
		"path": pointFrom, "device": "storage.device", "filesystem": "storage.filesystem", "options": "storage.options",
	})
}

// storageRules checks what only a mirror asks of its storage.
func (x *expansion) storageRules() {
	st := x.spec.Storage
	if plain(st.Path) {
		x.ownDirectory("storage.path", st.Path)
	}
	if st.MountPoint != "" && plain(st.MountPoint) && plain(st.Path) && !within(st.Path, st.MountPoint) {
		x.errorf("storage.mount_point", "mount the device on storage.path or on a directory above it",
			"%q does not hold storage.path, which is %q", st.MountPoint, st.Path)
	}
	if st.MountPoint != "" && !plain(st.MountPoint) || st.MountPoint == "/" {
		x.errorf("storage.mount_point", "write an absolute path without . and .., doubled and trailing slashes",
			"%q is no mount point for a mirror", st.MountPoint)
	}
	if st.Device == "" && st.Filesystem != "" {
		x.errorf("storage.filesystem", "set storage.device, too", "there is no device to make a file system on")
	}
	if st.Device == "" && len(st.Options) > 0 {
		x.errorf("storage.options", "set storage.device, too", "there is no device to mount with options")
	}
	k := x.spec.Kitten
	if k == nil || !plain(k.Path) {
		return
	}
	x.ownDirectory("kitten.path", k.Path)
	const apart = "each sync would delete the other tree: give Kitten a directory beside it, such as "
	switch beside := st.Path + "-kitten"; {
	case !plain(st.Path):
	case k.Path == st.Path:
		x.errorf("kitten.path", apart+beside, "%s is storage.path itself", k.Path)
	case within(k.Path, st.Path):
		x.errorf("kitten.path", apart+beside, "%s lies inside the almalinux tree, %s", k.Path, st.Path)
	case within(st.Path, k.Path):
		x.errorf("kitten.path", apart+beside, "%s holds the almalinux tree, %s", k.Path, st.Path)
	}
}

// sizes are the file system's least and recommended size. A value of the block holds as it is; the guide's adds what Kitten takes.
func (x *expansion) sizes() (minimum, recommended string) {
	st, g := x.spec.Storage, x.guide
	minimum, recommended = g.minimum, g.recommended
	if x.spec.Kitten != nil {
		minimum, recommended = g.kittenMinimum, g.kittenRecommended
	}
	minimum = cmp.Or(st.Minimum, minimum)
	recommended = cmp.Or(st.Recommended, recommended)
	if st.Recommended == "" {
		least, err := resources.ParseSize(minimum)
		enough, enoughErr := resources.ParseSize(recommended)
		if err == nil && enoughErr == nil && enough < least { // the part's type tells of errors
			recommended = minimum
		}
	}
	return minimum, recommended
}

// owner is who owns what a sync writes. Where root syncs, rsync sets owner and group as upstream has them, so that neither is managed.
func (x *expansion) owner() (owner, group string) {
	if x.user == "root" {
		return "", ""
	}
	return x.user, x.user
}

// directories makes the directory of each tree. None has a mode: rsync gives the directory that of upstream's.
func (x *expansion) directories() {
	for i, j := range x.jobs {
		x.tree(j, x.jobs[:i])
		name := j.part("directory")
		if x.has("mount_point") && j.dir == x.mountPoint() {
			continue
		}
		from := j.dirAttribute
		owner, group := x.owner()
		x.add(engine.Part{
			Name: name, Type: "directory", Keep: "it holds the mirror's files",
			DependsOn: x.existing("user", "mount", j.part("tree")),
			State:     &resources.Directory{Path: j.dir, Owner: owner, Group: group},
		}, map[string]string{"path": from, "owner": "user", "group": "user"})
	}
}

// tree claims the directory of a tree, before anything is done to it. Where it is itself the mount
// point, its owner is set here as well: no part before this one may change what lies on a device.
func (x *expansion) tree(j *job, others []*job) {
	attribute := strings.TrimSuffix(j.dirAttribute, "path") + "claim"
	tree := &resources.Tree{Path: j.dir, Name: strings.TrimPrefix(j.file, "mirrorform-"), Claim: x.spec.Storage.Claim}
	if j.prefix != "" {
		tree.Claim = x.spec.Kitten.Claim
	}
	depends := []string{"mount"}
	if x.has("mount_point") && j.dir == x.mountPoint() {
		tree.Owner, tree.Group = x.owner()
		depends = append(depends, "user")
	}
	for _, other := range others {
		tree.Apart = append(tree.Apart, other.dir)
	}
	x.add(engine.Part{
		Name: j.part("tree"), Type: "tree", DependsOn: x.existing(depends...), State: tree.ClaimedBy(attribute),
	}, map[string]string{"path": j.dirAttribute, "claim": attribute, "owner": "user", "group": "user"})
}
