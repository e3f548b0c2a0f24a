package agent

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A device without a signature may hold data for all that: a file system whose first superblock was
// lost, a plain dm-crypt volume, a member of a RAID set whose metadata this blkid does not know.
// Nothing is there only if it is zero wherever such data would be.

const (
	wholeEnds   = 4 << 20          // read at the beginning and at the end: there are the headers of LUKS, LVM, md, GPT and btrfs
	aroundCopy  = 256 << 10        // read around the place of a copy, which a file system rounds
	sampleSize  = 4 << 10          // read at each other place
	samples     = 512              // further places, spread over the device
	essential   = 20 * time.Second // for all but those: a device that is slower is not judged
	worthSpread = 5 * time.Second  // for those
)

// span is a part of a device.
type span struct{ from, size uint64 }

// copies are where file systems have copies of what is at their beginning.
func copies(size uint64) (list []span) {
	around := func(at uint64) {
		if at < size {
			from := at - min(at, aroundCopy/2)
			list = append(list, span{from, min(aroundCopy, size-from)})
		}
	}
	// Superblocks of ext4: in the groups 1 and 3, 5 and 7 to each power, whose size follows from
	// that of its blocks (ext4(5), mke2fs(8)).
	for _, block := range []uint64{1 << 10, 2 << 10, 4 << 10, 64 << 10} {
		group, first := 8*block*block, uint64(0)
		if block == 1<<10 {
			first = block
		}
		for _, base := range []uint64{3, 5, 7} {
			for n := uint64(1); n < size/group+1 && n < 1<<20; n *= base {
				if at := n*group + first; at < size {
					list = append(list, span{at, min(sampleSize, size-at)})
				}
			}
		}
	}
	// Allocation groups of xfs: equal parts of the device, at most 1 TiB each.
	for _, parts := range []uint64{4, 32} {
		for i := uint64(1); i < parts; i++ {
			around(size / parts * i)
		}
	}
	for at := uint64(1 << 40); at < size; at += 1 << 40 {
		around(at)
	}
	// Superblocks of btrfs.
	around(64 << 20)
	around(256 << 30)
	return list
}

// spread are places all over a device, of which no regular layout misses all: their distance
// varies.
func spread(size uint64) (list []span) {
	x := uint64(88172645463325252) // xorshift64, so that each look is the same
	for i := uint64(0); i < samples && size >= samples*sampleSize; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		part := size / samples
		list = append(list, span{(part*i + x%(part-sampleSize+1)) &^ (sampleSize - 1), sampleSize})
	}
	return list
}

// dataOn says where a device has anything but zeroes: "at byte N", or "" where it holds nothing.
func dataOn(fd int, size uint64, now func() time.Time) (string, error) {
	ends := []span{{0, min(wholeEnds, size)}, {size - min(wholeEnds, size), min(wholeEnds, size)}}
	list := copies(size)
	slices.SortFunc(list, func(a, b span) int { return cmp.Compare(a.from, b.from) }) // disks with heads read in order
	began := now()
	for _, s := range append(ends, list...) {
		if now().Sub(began) > essential {
			return "", fmt.Errorf("reading it takes longer than %s, so nobody knows whether it is empty", essential.String())
		}
		if at, err := nonzero(fd, s); err != nil || at != "" {
			return at, err
		}
	}
	began = now()
	for _, s := range spread(size) {
		if now().Sub(began) > worthSpread {
			break
		}
		if at, err := nonzero(fd, s); err != nil || at != "" {
			return at, err
		}
	}
	return "", nil
}

// nonzero says where a part of a device is not zero, or is empty.
func nonzero(fd int, s span) (string, error) {
	buffer := make([]byte, min(s.size, 1<<20))
	for done := uint64(0); done < s.size; {
		n, err := unix.Pread(fd, buffer[:min(uint64(len(buffer)), s.size-done)], int64(s.from+done))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return "", fmt.Errorf("read at byte %d: %w", s.from+done, err)
		case n == 0:
			return "", fmt.Errorf("it ends at byte %d", s.from+done)
		}
		for i, b := range buffer[:n] {
			if b != 0 {
				return fmt.Sprintf("at byte %d", s.from+done+uint64(i)), nil
			}
		}
		done += uint64(n)
	}
	return "", nil
}

// usage is how much of a file system is used, by its superblock: what is mounted updates that only
// now and then.
func usage(fd int, kind string) (used, capacity uint64) {
	sb := make([]byte, 4096)
	if n, err := unix.Pread(fd, sb, 0); err != nil || n != len(sb) {
		return 0, 0
	}
	var free, block uint64
	switch kind {
	case "ext2", "ext3", "ext4":
		le := binary.LittleEndian
		sb = sb[1024:]
		block = 1 << (10 + min(le.Uint32(sb[24:]), 6))
		capacity, free = uint64(le.Uint32(sb[4:])), uint64(le.Uint32(sb[12:]))
		if le.Uint32(sb[96:])&0x80 != 0 { // INCOMPAT_64BIT
			capacity |= uint64(le.Uint32(sb[0x150:])) << 32
			free |= uint64(le.Uint32(sb[0x158:])) << 32
		}
	case "xfs":
		be := binary.BigEndian
		block, capacity, free = uint64(be.Uint32(sb[4:])), be.Uint64(sb[8:]), be.Uint64(sb[144:])
	}
	if free > capacity || capacity > 1<<52 || block > 1<<16 {
		return 0, 0
	}
	return (capacity - free) * block, capacity * block
}
