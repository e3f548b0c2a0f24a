package agent

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// A device without a signature may still have data: a file system whose first superblock was lost,
// a plain dm-crypt volume, a member of a RAID set whose metadata this version of blkid does not
// know. A device is considered empty only if all places are zero where such data would be.

const (
	wholeEnds   = 4 << 20          // read at both ends, where LUKS, LVM, md, GPT and btrfs have their headers
	aroundCopy  = 256 << 10        // read around the place of a copy, since file systems round its position
	sampleSize  = 4 << 10          // read at each other place
	samples     = 512              // number of further places, spread over the device
	essential   = 20 * time.Second // limit for all but those; a slower device is not judged
	worthSpread = 5 * time.Second  // limit for those
)

// span is a part of a device.
type span struct{ from, size uint64 }

// copies returns the places where file systems keep copies of their first blocks.
func copies(size uint64) (list []span) {
	around := func(at uint64) {
		if at < size {
			from := at - min(at, aroundCopy/2)
			list = append(list, span{from, min(aroundCopy, size-from)})
		}
	}
	// The superblocks of ext4: in group 1 and the groups that are powers of 3, 5 and 7. The size of a
	// group follows from the size of its blocks (ext4(5), mke2fs(8)).
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
	// The allocation groups of xfs: equal parts of the device, of at most 1 TiB each.
	for _, parts := range []uint64{4, 32} {
		for i := uint64(1); i < parts; i++ {
			around(size / parts * i)
		}
	}
	for at := uint64(1 << 40); at < size; at += 1 << 40 {
		around(at)
	}
	// The superblocks of btrfs.
	around(64 << 20)
	around(256 << 30)
	return list
}

// spread returns places all over a device. Their distances vary, so that a regular layout cannot
// fall between all of them.
func spread(size uint64) (list []span) {
	x := uint64(88172645463325252) // xorshift64: the same places each time
	for i := uint64(0); i < samples && size >= samples*sampleSize; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		part := size / samples
		list = append(list, span{(part*i + x%(part-sampleSize+1)) &^ (sampleSize - 1), sampleSize})
	}
	return list
}

// dataOn returns where a device has anything but zeros: "at byte N", or "" if it is empty.
func dataOn(fd int, size uint64, now func() time.Time) (string, error) {
	ends := []span{{0, min(wholeEnds, size)}, {size - min(wholeEnds, size), min(wholeEnds, size)}}
	list := copies(size)
	// In the order of a disk's heads. The list is short, and slices.SortFunc would add 10 KB.
	for i := range list {
		for j := i; j > 0 && list[j].from < list[j-1].from; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
	began := now()
	for _, s := range append(ends, list...) {
		if now().Sub(began) > essential {
			return "", fmt.Errorf("reading it takes longer than %s, so it is unknown whether it is empty", essential.String())
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

// nonzero returns where a part of a device is not zero, or "".
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

// usage returns how much of a file system is used, from its superblock. The superblock of a mounted
// file system is updated only from time to time.
func usage(fd int, kind string) (used, capacity uint64) {
	sb := make([]byte, 4096)
	at := int64(0)
	if kind == "btrfs" {
		at = 64 << 10
	}
	if n, err := unix.Pread(fd, sb, at); err != nil || n != len(sb) {
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
	case "btrfs":
		le := binary.LittleEndian
		block, capacity = 1, le.Uint64(sb[0x70:])
		free = capacity - min(capacity, le.Uint64(sb[0x78:]))
	}
	if free > capacity || capacity > 1<<52 || block > 1<<16 {
		return 0, 0
	}
	return (capacity - free) * block, capacity * block
}
