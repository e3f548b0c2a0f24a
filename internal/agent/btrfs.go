package agent

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/mirrorform/mirrorform/internal/claim"
	"github.com/mirrorform/mirrorform/internal/ioctl"
	"golang.org/x/sys/unix"
)

// quota returns the limit of the quota group of a directory's Btrfs subvolume, and how much of it
// is used, in bytes. The limit is 0 without one, and for users other than root, who may not ask.
func quota(dir int) (limit, used uint64) {
	id, err := claim.OfFD(dir)
	if err != nil || id.Subvolume == 0 {
		return 0, 0
	}
	const infoItem, limitItem = 242, 244
	limits, info := quotaItem(dir, limitItem, id.Subvolume), quotaItem(dir, infoItem, id.Subvolume)
	if len(limits) < 24 || len(info) < 32 {
		return 0, 0
	}
	// Data that snapshots share counts for the first limit only.
	for i := range 2 {
		most := binary.LittleEndian.Uint64(limits[8+8*i:])
		if limits[0]&(1<<i) != 0 && (limit == 0 || most < limit) {
			limit, used = most, binary.LittleEndian.Uint64(info[8+16*i:])
		}
	}
	return limit, used
}

// quotaItem returns an item of the quota tree: struct btrfs_qgroup_info_item or
// btrfs_qgroup_limit_item of linux/btrfs_tree.h. It is empty without quotas.
func quotaItem(dir int, kind uint32, group uint64) []byte {
	var search struct { // a literal of this size would be copied from the program
		tree, minObject, maxObject, minOffset, maxOffset, minTransaction, maxTransaction uint64
		minType, maxType, items, _                                                       uint32
		_                                                                                [4]uint64
		transaction, object, offset                                                      uint64
		kind, size                                                                       uint32
		item                                                                             [3960]byte
	}
	search.tree, search.maxTransaction, search.items = 8, 1<<64-1, 1
	search.minType, search.maxType, search.minOffset, search.maxOffset = kind, kind, group, group
	const treeSearch = 17
	err := ioctl.Do(dir, ioctl.Read|ioctl.Write, ioctl.Btrfs, treeSearch, unsafe.Pointer(&search), unsafe.Sizeof(search))
	if err != nil || search.items != 1 || int(search.size) > len(search.item) {
		return nil
	}
	return search.item[:search.size]
}

// makeSubvolume creates a subvolume in the root of a Btrfs file system, unless there is one. The
// file system is mounted without a mount point, so that nothing is left if the helper is killed.
func makeSubvolume(device, name string) error {
	root, err := detached(device)
	if err != nil {
		return fmt.Errorf("look into the file system on %s: %w", device, err)
	}
	defer closeFD(root)
	var st unix.Stat_t
	err = unix.Fstatat(root, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Ino == 256: // BTRFS_FIRST_FREE_OBJECTID
		return nil
	case err == nil:
		return fmt.Errorf("%s in the file system on %s is not a subvolume: choose another name", name, device)
	case !absent(err):
		return fmt.Errorf("%s in the file system on %s: %w", name, device, err)
	}
	if err := subvolume(root, name); err != nil {
		return fmt.Errorf("create the subvolume %s on %s: %w", name, device, err)
	}
	return fsync(root)
}

// detached mounts the top of a Btrfs file system, and returns its root directory. Closing it
// unmounts it.
func detached(device string) (int, error) {
	fs, err := unix.Fsopen("btrfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer closeFD(fs)
	for _, option := range [][2]string{{"source", device}, {"subvolid", "5"}} {
		if err := unix.FsconfigSetString(fs, option[0], option[1]); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer closeFD(mount)
	return open(mount, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0) // a mount takes no requests
}
