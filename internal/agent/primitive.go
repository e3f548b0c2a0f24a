package agent

import (
	"unsafe"

	"github.com/mirrorform/mirrorform/internal/ioctl"
	"golang.org/x/sys/unix"
)

// These are all the system calls that change files. Each is a point where the fault suite can
// interrupt a transaction (see faultpoint). A test fails if another file of this package makes such
// a call.

// create creates a new file, and opens it for writing.
func create(dir int, name string, mode uint32) (int, error) {
	faultpoint("create")
	return open(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW, mode)
}

// createOrOpen opens a file for reading and writing, and creates it if it does not exist.
func createOrOpen(dir int, name string, flags int) (int, error) {
	faultpoint("create")
	return open(dir, name, unix.O_CREAT|unix.O_RDWR|unix.O_NOFOLLOW|flags, 0o600)
}

// writeAll writes all of b.
func writeAll(fd int, b []byte) error {
	faultpoint("write")
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// writeAt writes all of b at the beginning of a file.
func writeAt(fd int, b []byte) error {
	faultpoint("write")
	_, err := unix.Pwrite(fd, b, 0)
	return err
}

func truncate(fd int, size int64) error {
	faultpoint("truncate")
	return unix.Ftruncate(fd, size)
}

func fallocate(fd int, size int64) error {
	faultpoint("fallocate")
	return unix.Fallocate(fd, 0, 0, size)
}

// fsync makes a file durable, or the entries of a directory.
func fsync(fd int) error {
	faultpoint("fsync")
	return unix.Fsync(fd)
}

// subvolume creates a Btrfs subvolume in a directory.
func subvolume(dir int, name string) error {
	faultpoint("subvolume")
	var args struct {
		_    int64
		name [4088]byte
	}
	copy(args.name[:255], name)
	const create = 14
	return ioctl.Do(dir, ioctl.Write, ioctl.Btrfs, create, unsafe.Pointer(&args), unsafe.Sizeof(args))
}

func rename(dir int, from string, toDir int, to string) error {
	faultpoint("rename")
	return unix.Renameat(dir, from, toDir, to)
}

// renameNoReplace fails with EEXIST if the target exists. Some file systems do not support it
// (unsupported).
func renameNoReplace(dir int, from string, toDir int, to string) error {
	faultpoint("rename")
	return unix.Renameat2(dir, from, toDir, to, unix.RENAME_NOREPLACE)
}

// renameExchange swaps two entries atomically. Some file systems do not support it (unsupported).
func renameExchange(dir int, a, b string) error {
	faultpoint("exchange")
	return unix.Renameat2(dir, a, dir, b, unix.RENAME_EXCHANGE)
}

func unlink(dir int, name string) error {
	faultpoint("unlink")
	return unix.Unlinkat(dir, name, 0)
}

func rmdir(dir int, name string) error {
	faultpoint("rmdir")
	return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
}

func mkdir(dir int, name string, mode uint32) error {
	faultpoint("mkdir")
	return unix.Mkdirat(dir, name, mode)
}

func symlink(target string, dir int, name string) error {
	faultpoint("symlink")
	return unix.Symlinkat(target, dir, name)
}

func fchown(fd, uid, gid int) error {
	faultpoint("chown")
	return unix.Fchown(fd, uid, gid)
}

// chownPath changes the owner of a file opened with O_PATH.
func chownPath(fd, uid, gid int) error {
	faultpoint("chown")
	return unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH)
}

func fchmod(fd int, mode uint32) error {
	faultpoint("chmod")
	return unix.Fchmod(fd, mode)
}

// chmodPath changes the mode of a file opened with O_PATH: fchmod(2) refuses such a descriptor, and
// chmod(2) on its link in /proc reaches exactly that file.
func chmodPath(fd int, mode uint32) error {
	faultpoint("chmod")
	return unix.Chmod(procFD(fd), mode)
}

func fsetxattr(fd int, name string, value []byte) error {
	faultpoint("setxattr")
	return unix.Fsetxattr(fd, name, value, 0)
}

// setTimes sets the access and modification times of an open file.
func setTimes(fd int, times []unix.Timespec) error {
	faultpoint("utimes")
	return unix.UtimesNanoAt(unix.AT_FDCWD, procFD(fd), times, 0)
}

// setxattrPath sets an extended attribute of a file opened with O_PATH.
func setxattrPath(fd int, name string, value []byte) error {
	faultpoint("setxattr")
	return unix.Setxattr(procFD(fd), name, value, 0)
}
