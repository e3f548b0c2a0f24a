package resources

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// memberAdvice is what to do about a device that is a part of a larger one.
const memberAdvice = "mirrorform never overwrites data: choose a device of its own. For space in a volume group, create a " +
	"logical volume (lvcreate) and set its path, /dev/GROUP/VOLUME; of an array, set the path of the array, /dev/md/NAME"

// member returns what a device is a part of, such as "is a physical volume of the LVM volume group
// vg0 (/dev/mapper/vg0-data)", or "". The signatures are those of blkid(8).
func member(b wire.Block) string {
	by := ""
	if len(b.Holders) > 0 {
		by = " (" + strings.Join(b.Holders, ", ") + ")"
	}
	name := func(text string) string {
		if b.Label != "" {
			text += " " + b.Label
		}
		return text + by
	}
	switch b.Signature {
	case "LVM2_member", "LVM1_member":
		var groups []string
		for _, holder := range b.Holders {
			if g := volumeGroup(holder); g != "" && !slices.Contains(groups, g) {
				groups = append(groups, g)
			}
		}
		if len(groups) == 0 { // none of its volumes is active
			return "is a physical volume of LVM (UUID " + b.UUID + "; to see its volume group, run on the host: pvs)" + by
		}
		return fmt.Sprintf("is a physical volume of the LVM volume group %s%s", strings.Join(groups, ", "), by)
	case "linux_raid_member", "isw_raid_member", "ddf_raid_member":
		return name("is a member of the RAID array")
	case "zfs_member":
		return name("is a member of the ZFS pool")
	case "crypto_LUKS":
		return name("is encrypted with LUKS")
	}
	if by != "" {
		return "is part of " + strings.Join(b.Holders, ", ")
	}
	return ""
}

// volumeGroup returns the group in the name of a logical volume, or "". LVM writes
// /dev/mapper/GROUP-VOLUME, and a minus in either name twice.
func volumeGroup(holder string) string {
	name, mapped := strings.CutPrefix(holder, "/dev/mapper/")
	if !mapped {
		return ""
	}
	for i := 1; i < len(name)-1; i++ {
		switch {
		case name[i] != '-':
		case name[i+1] == '-':
			i++
		default:
			return strings.ReplaceAll(name[:i], "--", "-")
		}
	}
	return ""
}
