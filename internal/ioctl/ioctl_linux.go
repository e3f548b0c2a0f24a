// Package ioctl sends requests to the drivers of file systems, which have no system calls of their
// own: ioctl(2).
package ioctl

import (
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The directions of a request's argument.
const (
	Write = 1 // the kernel reads it
	Read  = 2 // the kernel writes it
)

// Btrfs is the kind of the requests of linux/btrfs.h.
const Btrfs = 0x94

// Do encodes a request as asm/ioctl.h does, which differs on powerpc and mips, and sends it. arg
// points to size bytes.
func Do(fd int, direction uintptr, kind, number byte, arg unsafe.Pointer, size uintptr) error {
	bits, shift := direction, 30
	if strings.HasPrefix(runtime.GOARCH, "ppc64") || strings.HasPrefix(runtime.GOARCH, "mips") {
		shift = 29
		if direction&Write != 0 {
			bits = direction&^Write | 4
		}
	}
	request := bits<<shift | size<<16 | uintptr(kind)<<8 | uintptr(number)
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
			continue
		}
		return errno
	}
}
