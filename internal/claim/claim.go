// Package claim defines which directory a mirror's syncs may fill. An apply writes the identity of
// the directory to a file, and each sync compares it with the directory that it finds. So a sync
// never fills a different directory that has appeared at the same path: on another disk, below a
// missing mount, or swapped by another program. The helper, which runs as root, and the sync, which
// does not, see the same identity of a directory. It stays the same across reboots and kernel
// updates.
package claim

import (
	"errors"
	"strconv"
	"strings"
)

// Identity distinguishes a directory from all others of a host, as long as it exists.
type Identity struct {
	// Filesystem is "UUID=…"; or "fsid=…" if the kernel shows only a value computed from the UUID; or
	// "source=TYPE:SOURCE", as in mountinfo, if there is no UUID.
	Filesystem string
	Subvolume  uint64 // of btrfs, where each subvolume has its own inode numbers
	Inode      uint64 // 0 if the file system's inode numbers are not stable
}

// Path returns the path of a mirror's claim file. It belongs to root, and the mirror's account can
// read it.
func Path(mirror string) string { return "/etc/mirrorform-sync/" + mirror + ".claim" }

const (
	header = "mirrorform-claim 1\n"
	// maxText limits the text of a claim. A path, and so the source of a mount, has at most 4096
	// bytes, and the escapes of mountinfo make it up to four times as long.
	maxText = 20 << 10
)

// String returns the text of a claim file.
func (id Identity) String() string {
	return header + "filesystem " + id.Filesystem + "\nsubvolume " + strconv.FormatUint(id.Subvolume, 10) +
		"\ninode " + strconv.FormatUint(id.Inode, 10) + "\n"
}

// Parse parses the text of a claim file. It accepts only what String writes.
func Parse(text string) (Identity, error) {
	if len(text) > maxText {
		return Identity{}, errors.New("the claim is too long")
	}
	if !strings.HasPrefix(text, header) {
		return Identity{}, errors.New("this version cannot read the claim: its first line is not " + strconv.Quote(strings.TrimSpace(header)))
	}
	lines := strings.Split(text[len(header):], "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Identity{}, errors.New("the claim is damaged: it does not have the lines filesystem, subvolume and inode")
	}
	var id Identity
	var err error
	for i, name := range []string{"filesystem", "subvolume", "inode"} {
		value := strings.TrimPrefix(lines[i], name+" ")
		if value == lines[i] || value == "" {
			return Identity{}, errors.New("the claim is damaged: line " + strconv.Itoa(i+2) + " is not " + name)
		}
		switch name {
		case "filesystem":
			id.Filesystem = value
		case "subvolume":
			id.Subvolume, err = strconv.ParseUint(value, 10, 64)
		default:
			id.Inode, err = strconv.ParseUint(value, 10, 64)
		}
		if err != nil {
			return Identity{}, errors.New("the claim is damaged: " + name + " " + strconv.Quote(value) + " is not a number")
		}
	}
	if !validFilesystem(id.Filesystem) || id.String() != text {
		return Identity{}, errors.New("the claim is damaged: it is not as mirrorform writes it")
	}
	return id, nil
}

func validFilesystem(s string) bool {
	for _, r := range s {
		if r <= ' ' || r == 0x7f || r == '\uFFFD' {
			return false
		}
	}
	for _, prefix := range []string{"UUID=", "fsid=", "source="} {
		if strings.HasPrefix(s, prefix) && len(s) > len(prefix) {
			return true
		}
	}
	return false
}

// Equal reports whether both identify the same directory.
func (id Identity) Equal(other Identity) bool { return id == other }

// Differs returns how the directory that was found differs from the claimed one, or "".
func (id Identity) Differs(found Identity) string {
	switch {
	case id.Filesystem != found.Filesystem:
		return "it is on the file system " + found.Filesystem + ", and the claimed directory is on " + id.Filesystem
	case id.Subvolume != found.Subvolume:
		return "it is in the subvolume " + strconv.FormatUint(found.Subvolume, 10) + ", and the claimed directory is in " + strconv.FormatUint(id.Subvolume, 10)
	case id.Inode != found.Inode:
		return "it is another directory of the same file system (inode " + strconv.FormatUint(found.Inode, 10) +
			", and the claimed one has " + strconv.FormatUint(id.Inode, 10) + ")"
	}
	return ""
}
