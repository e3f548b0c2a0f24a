package claim

import (
	"errors"
	"os"
	"path"
	"strconv"
	"strings"
	"unsafe"

	"github.com/mirrorform/mirrorform/internal/ioctl"
	"golang.org/x/sys/unix"
)

// Of returns the identity of the directory at a path, after the kernel has resolved all links. The
// caller only needs permission to read the directory. No device is opened, and neither udev nor
// blkid is used: blkid needs root, and containers have no udev.
func Of(dir string) (Identity, error) {
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return Identity{}, because("open "+dir, err)
	}
	defer func() { _ = unix.Close(fd) }()
	id, err := OfFD(fd)
	return id, because(dir, err)
}

// OfFD is Of for a directory that is open for reading.
func OfFD(fd int) (Identity, error) {
	var st unix.Stat_t
	var fs unix.Statfs_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return Identity{}, because("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return Identity{}, unix.ENOTDIR
	}
	if err := retry(func() error { return unix.Fstatfs(fd, &fs) }); err != nil {
		return Identity{}, because("statfs", err)
	}
	id := Identity{Inode: st.Ino}
	switch uint32(fs.Type) { // its type differs between architectures
	case unix.EXT4_SUPER_MAGIC: // also the magic number of ext2 and ext3
		// Kernels before 6.0 do not show the UUID to users who cannot open the device. All kernels show
		// both halves of it, combined, in the fsid.
		if v := fs.Fsid.Val; v != [2]int32{} {
			id.Filesystem = "fsid=" + hex(uint64(uint32(v[1]))<<32|uint64(uint32(v[0])))
			return id, nil
		}
	case unix.XFS_SUPER_MAGIC:
		// The fsid of xfs is the device number, which can change.
		var geometry struct {
			_      [0]uint64 // for the alignment
			before [64]byte
			uuid   [16]byte
			after  [32]byte
		}
		if err := ioctl.Do(fd, ioctl.Read, 'X', 100, unsafe.Pointer(&geometry), unsafe.Sizeof(geometry)); err != nil { // XFS_IOC_FSGEOMETRY_V1
			return Identity{}, because("read the UUID of the xfs file system", err)
		}
		id.Filesystem = "UUID=" + uuid(geometry.uuid)
		return id, nil
	case unix.BTRFS_SUPER_MAGIC:
		var info struct {
			before [2]uint64
			fsid   [16]byte
			after  [992]byte
		}
		if err := ioctl.Do(fd, ioctl.Read, ioctl.Btrfs, 31, unsafe.Pointer(&info), unsafe.Sizeof(info)); err != nil { // BTRFS_IOC_FS_INFO
			return Identity{}, because("read the UUID of the btrfs file system", err)
		}
		// Any user may ask for the subvolume of a directory, as long as the request asks for nothing
		// else.
		var lookup struct {
			tree, object uint64
			name         [4080]byte
		}
		lookup.object = 256                                                                                                           // BTRFS_FIRST_FREE_OBJECTID
		if err := ioctl.Do(fd, ioctl.Read|ioctl.Write, ioctl.Btrfs, 18, unsafe.Pointer(&lookup), unsafe.Sizeof(lookup)); err != nil { // BTRFS_IOC_INO_LOOKUP
			return Identity{}, because("read the btrfs subvolume", err)
		}
		id.Filesystem, id.Subvolume = "UUID="+uuid(info.fsid), lookup.tree
		return id, nil
	}
	kind, source, err := mounted(fd)
	if err != nil {
		return Identity{}, err
	}
	id.Filesystem = "source=" + kind + ":" + source
	if strings.HasPrefix(source, "/dev/") {
		// The name of a device may change at a boot, so its UUID is used instead. overlay and tmpfs have
		// a UUID, too, but only until they are unmounted.
		if u := uuidOf(fd, source); u != "" {
			id.Filesystem = "UUID=" + u
		}
	}
	if kind == "fuse" || strings.HasPrefix(kind, "fuse.") || kind == "cifs" || kind == "smb3" {
		id.Inode = 0 // their inode numbers are assigned on first access
	}
	return id, nil
}

// uuidOf returns the UUID of a file system without its own request for it: from the kernel (since
// Linux 6.9), or from the link that udev creates.
func uuidOf(fd int, source string) string {
	var u struct {
		size  byte
		bytes [16]byte
	}
	if ioctl.Do(fd, ioctl.Read, 0x15, 0, unsafe.Pointer(&u), unsafe.Sizeof(u)) == nil && int(u.size) == len(u.bytes) && u.bytes != [16]byte{} { // FS_IOC_GETFSUUID
		return uuid(u.bytes)
	}
	var device, link unix.Stat_t
	if unix.Stat(source, &device) != nil || device.Mode&unix.S_IFMT != unix.S_IFBLK {
		return ""
	}
	const links = "/dev/disk/by-uuid"
	entries, _ := os.ReadDir(links) // empty without udev
	for _, e := range entries {
		if unix.Stat(path.Join(links, e.Name()), &link) == nil && link.Mode&unix.S_IFMT == unix.S_IFBLK && link.Rdev == device.Rdev {
			return e.Name()
		}
	}
	return ""
}

// mounted returns the type and source of the mount that an open directory is on, as in mountinfo.
func mounted(fd int) (kind, source string, err error) {
	info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return "", "", err
	}
	number := ""
	for _, line := range strings.Split(string(info), "\n") {
		if strings.HasPrefix(line, "mnt_id:") {
			number = strings.TrimSpace(line[len("mnt_id:"):])
		}
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", err
	}
	for _, line := range strings.Split(string(table), "\n") {
		if number == "" || !strings.HasPrefix(line, number+" ") {
			continue
		}
		_, after, _ := strings.Cut(line, " - ")
		if f := strings.Split(after, " "); len(f) >= 3 && f[0] != "" {
			if f[1] == "" {
				f[1] = "none"
			}
			return f[0], f[1], nil
		}
	}
	return "", "", errors.New("its mount is not in /proc/self/mountinfo")
}

func retry(do func() error) error {
	for {
		if err := do(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func because(doing string, err error) error {
	if err == nil {
		return nil
	}
	return &failure{doing, err}
}

type failure struct {
	doing string
	err   error
}

func (f *failure) Error() string { return f.doing + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func hex(n uint64) string {
	s := strconv.FormatUint(n, 16)
	return "0000000000000000"[len(s):] + s
}

func uuid(b [16]byte) string {
	const digits = "0123456789abcdef"
	var out []byte
	for i, c := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out = append(out, '-')
		}
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}
