package mirror

import (
	"cmp"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// storage adds the check of the size.
func (x *expansion) storage() {
	st := x.spec.Storage
	minimum, recommended := x.sizes()
	x.add(engine.Part{
		Name: "storage", Type: "storage",
		State: &resources.Storage{Path: st.Path, Minimum: minimum, Recommended: recommended, Advice: x.sizeAdvice(), Device: st.Device},
	}, map[string]string{
		"path": "storage.path", "minimum": "storage.minimum", "recommended": "storage.recommended", "device": "storage.device",
	})
}

// filesystem adds the file system and its mount, if the mirror has a device.
func (x *expansion) filesystem() {
	st := x.spec.Storage
	if st.Device == "" {
		return
	}
	filesystem := cmp.Or(st.Filesystem, "xfs")
	tools := resources.FilesystemTools(filesystem)
	if tools == "" {
		x.choice("storage.filesystem", filesystem, "xfs", "ext4", "btrfs")
		return
	}
	point, pointFrom := x.spec.Storage.mountPoint(), x.spec.Storage.mountAttribute()
	x.add(engine.Part{
		Name: "filesystem_package", Type: "package", Keep: "it repairs the host's file systems",
		State: &resources.Package{Name: tools},
	}, nil)
	x.add(engine.Part{
		Name: "mount_point", Type: "directory",
		// Without owner and mode: the mounted file system's are the tree's.
		State: &resources.Directory{Path: point},
	}, map[string]string{"path": pointFrom})
	x.add(engine.Part{
		Name: "filesystem", Type: "filesystem", DependsOn: []string{"filesystem_package"},
		State: &resources.Filesystem{Device: st.Device, Type: filesystem},
	}, map[string]string{"device": "storage.device", "type": "storage.filesystem"})
	mount := &resources.Mount{Path: point, Device: st.Device, Filesystem: filesystem, Options: st.Options, Subvolume: st.Subvolume}
	depends := []string{"mount_point", "filesystem"}
	x.add(engine.Part{Name: "mount", Type: "mount", DependsOn: depends, State: mount}, map[string]string{
		"path": pointFrom, "device": "storage.device", "filesystem": "storage.filesystem", "options": "storage.options",
		"subvolume": "storage.subvolume",
	})
}

// directories adds the directory of each tree. It has no mode: rsync sets that of the upstream.
func (x *expansion) directories() {
	for i, j := range x.jobs {
		x.tree(j, x.jobs[:i])
		name := j.part("directory")
		if x.has("mount_point") && j.dir == x.spec.Storage.mountPoint() {
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

// tree adds the claim to the directory of a tree. Other parts that change the directory come after
// it. If the directory is the mount point, the claim also sets the owner: no earlier part may
// change the files of a device.
func (x *expansion) tree(j *job, others []*job) {
	attribute := strings.TrimSuffix(j.dirAttribute, "path") + "claim"
	tree := &resources.Tree{Path: j.dir, Name: strings.TrimPrefix(j.file, "mirrorform-"), Claim: x.spec.Storage.Claim}
	if !x.spec.AlmaLinux() {
		tree.Distribution = otherDistribution
	}
	if j.prefix != "" {
		tree.Claim = x.spec.Kitten.Claim
	}
	depends := []string{"mount"}
	if x.has("mount_point") && j.dir == x.spec.Storage.mountPoint() {
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
