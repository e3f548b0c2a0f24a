package agent

import (
	"encoding/binary"
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// The kernel lists the sockets that listen by netlink (sock_diag(7)). To read /proc/net/tcp, it
// walks its table of all connections, which has hundreds of thousands of places however few are in
// use.

const (
	diagRequest = unix.SizeofNlMsghdr + 56 // struct inet_diag_req_v2 (linux/inet_diag.h)
	diagAnswer  = 72                       // struct inet_diag_msg
	maxDiag     = 4 << 20                  // bytes of an answer
)

// errNoDiag means that the kernel does not answer, or not with what was asked: /proc still does.
var errNoDiag = errors.New("no answer by sock_diag")

// canDiag reports whether the kernel answers without loading a module, which a plan must not do.
func canDiag() bool {
	modules, err := readFile("/proc/modules")
	return absent(err) || err == nil && strings.Contains("\n"+string(modules), "\ntcp_diag ")
}

// diagListening passes each listening TCP socket of an address family to each.
func diagListening(family byte, each func(*listening)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return errNoDiag
	}
	defer closeFD(fd)
	const listen = 1 << 10 // TCPF_LISTEN
	request := binary.NativeEndian.AppendUint32(nil, diagRequest)
	request = binary.NativeEndian.AppendUint16(request, unix.SOCK_DIAG_BY_FAMILY)
	request = binary.NativeEndian.AppendUint16(request, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request = append(request, make([]byte, 8)...) // the number of the request, and the kernel's port
	request = append(request, family, unix.IPPROTO_TCP, 0, 0)
	request = binary.NativeEndian.AppendUint32(request, listen)
	request = append(request, make([]byte, diagRequest-len(request))...) // any address and port
	// Without an address, it goes to the kernel. Only the kernel and root can send to this socket.
	if n, err := unix.SendmsgN(fd, request, nil, nil, 0); err != nil || n != len(request) {
		return errNoDiag
	}
	buf := make([]byte, 32<<10) // the kernel's messages are smaller
	for total := 0; total < maxDiag; {
		n, err := reader(fd).Read(buf)
		if err != nil {
			return errNoDiag
		}
		total += n
		if done, err := parseDiag(buf[:n], family, each); done || err != nil {
			return err
		}
	}
	return errNoDiag
}

// parseDiag parses messages of the kernel. done means that no more follow.
func parseDiag(b []byte, family byte, each func(*listening)) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size, kind := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint16(b[4:])
		flags := binary.NativeEndian.Uint16(b[6:])
		// While the kernel lists them, sockets may have come and gone: the list may lack some.
		if size < unix.SizeofNlMsghdr || size > len(b) || flags&unix.NLM_F_DUMP_INTR != 0 {
			return false, errNoDiag
		}
		m := b[unix.SizeofNlMsghdr:size]
		switch {
		case kind == unix.NLMSG_DONE && (len(m) < 4 || binary.NativeEndian.Uint32(m) == 0):
			return true, nil
		case kind != unix.SOCK_DIAG_BY_FAMILY || len(m) < diagAnswer || m[0] != family:
			return false, errNoDiag
		}
		ip := m[8:12]
		if family == unix.AF_INET6 {
			ip = m[8:24]
		}
		l := listeningAt(ip, binary.BigEndian.Uint16(m[4:]))
		l.uid, l.inode = uint64(binary.NativeEndian.Uint32(m[64:])), uint64(binary.NativeEndian.Uint32(m[68:]))
		each(l)
		b = b[min(len(b), (size+3)&^3):]
	}
	return false, nil
}
