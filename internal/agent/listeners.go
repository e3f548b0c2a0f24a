package agent

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

const (
	maxPorts = 64
	maxUnit  = 256 // bytes of a unit's name (systemd.unit(5))
	// maxFiles is how many files of a process are looked at. The first are those opened first, such as
	// sockets that listen.
	maxFiles = 4096
)

// listening is a socket that waits for connections, or for datagrams of any sender.
type listening struct {
	wire.Listener
	v6    bool // of IPv6, with an address of IPv6
	any   bool // for all addresses
	inode uint64
	uid   uint64 // of the process that made it
}

// askListeners answers AskListeners. It looks for the holders only of sockets that listen on one of
// the ports.
func (b *batch) askListeners(protocol string, args []string) wire.Answer {
	udp := protocol == wire.UDP
	if protocol != "" && !udp {
		return failed(fmt.Errorf("%s is not a protocol", quote(protocol)))
	}
	ports := map[int]bool{}
	for _, a := range args {
		n, err := strconv.ParseUint(a, 10, 16)
		if err != nil || n == 0 || len(ports) >= maxPorts {
			return failed(fmt.Errorf("%s is not a port, or there are too many", quote(a)))
		}
		ports[int(n)] = true
	}
	var found []*listening
	hidden := false
	// A socket without a holder may have been closed since: it is looked for again.
	for range 2 {
		var err error
		if found, err = listeners(ports, udp); err != nil {
			return failed(err)
		}
		var left bool
		if left, hidden = holders(found); !left || hidden {
			break
		}
	}
	answer := &wire.Listeners{Hidden: hidden, More: len(found) > wire.MaxListeners}
	for _, l := range found[:min(len(found), wire.MaxListeners)] {
		l.IPv4 = l.v6 && l.any && !udp && b.takesIPv4(l.Port, found)
		answer.Sockets = append(answer.Sockets, l.Listener)
	}
	return wire.Answer{Listeners: answer}
}

// takesIPv4 reports whether a socket for all addresses of IPv6 accepts connections over IPv4 as
// well. /proc does not show it, so this connects. Two sockets cannot have the same port of IPv4.
func (b *batch) takesIPv4(port int, all []*listening) bool {
	if slices.ContainsFunc(all, func(l *listening) bool { return !l.v6 && l.Port == port }) {
		return false
	}
	ctx, cancel := context.WithTimeout(b.ctx, wire.HTTPTime)
	defer cancel()
	fd, err := reach(ctx, unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err == nil {
		closeFD(fd)
	}
	return !errors.Is(err, unix.ECONNREFUSED)
}

// listeners returns the sockets that listen on the ports, one of each address.
func listeners(ports map[int]bool, udp bool) ([]*listening, error) {
	if udp {
		return eachFamily(ports, readDatagrams)
	}
	if canDiag() {
		if list, err := eachFamily(ports, diagListening); err == nil {
			return list, nil
		}
	}
	return eachFamily(ports, readListening)
}

// eachFamily returns the sockets that listen on the ports. ask passes those of an address family to
// its function.
func eachFamily(ports map[int]bool, ask func(family byte, each func(*listening)) error) ([]*listening, error) {
	found := map[string]*listening{}
	var keys []string
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		err := ask(family, func(l *listening) {
			key := string([]byte{byte(l.Port >> 8), byte(l.Port), family}) + l.Address
			if ports[l.Port] && found[key] == nil {
				found[key] = l
				keys = append(keys, key)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(keys)
	var list []*listening
	for _, key := range keys {
		list = append(list, found[key])
	}
	return list, nil
}

// The states of sockets that listen, and of those of UDP that are not connected, as /proc/net has
// them (include/net/tcp_states.h).
const (
	stateListen = "0A"
	stateClose  = "07"
)

// readListening passes each listening TCP socket of an address family in /proc/net to each.
func readListening(family byte, each func(*listening)) error {
	return readSockets("/proc/net/tcp", stateListen, family, each)
}

// readDatagrams does so with sockets of UDP that are not connected.
func readDatagrams(family byte, each func(*listening)) error {
	return readSockets("/proc/net/udp", stateClose, family, each)
}

func readSockets(file, state string, family byte, each func(*listening)) error {
	if family == unix.AF_INET6 {
		file += "6"
	}
	fd, err := openRead(file)
	if absent(err) && family == unix.AF_INET6 {
		return nil // a host without IPv6
	}
	if err != nil {
		return err
	}
	defer closeFD(fd)
	in := bufio.NewReader(reader(fd))
	_, err = in.ReadString('\n') // the heading
	for err == nil {
		var line string
		if line, err = in.ReadString('\n'); err != nil {
			break
		}
		l, ok := parseListening(line, state)
		if !ok && state == stateListen {
			return nil // the kernel lists sockets that listen first (net/ipv4/tcp_ipv4.c, tcp_get_idx)
		}
		if ok {
			each(l)
		}
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

// parseListening parses a line of /proc/net/tcp, udp, tcp6 or udp6 (proc(5)). It returns false for
// a socket in another state.
func parseListening(line, state string) (l *listening, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != state {
		return nil, false
	}
	address, port, _ := strings.Cut(f[1], ":")
	n, err1 := strconv.ParseUint(port, 16, 16)
	uid, err2 := strconv.ParseUint(f[7], 10, 32)
	inode, err3 := strconv.ParseUint(f[9], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || len(address) != 8 && len(address) != 32 {
		return nil, false
	}
	// Words of four bytes, each printed as a number.
	ip := make([]byte, len(address)/2)
	for i := 0; i < len(ip); i += 4 {
		word, err := strconv.ParseUint(address[2*i:2*i+8], 16, 32)
		if err != nil {
			return nil, false
		}
		binary.NativeEndian.PutUint32(ip[i:], uint32(word))
	}
	l = listeningAt(ip, uint16(n))
	l.uid, l.inode = uid, inode
	return l, true
}

// listeningAt returns a socket that listens at an address of 4 or 16 bytes.
func listeningAt(ip []byte, port uint16) *listening {
	l := &listening{v6: len(ip) == 16}
	if l.v6 && string(ip[:12]) == mappedIPv4 {
		ip, l.v6 = ip[12:], false
	}
	l.Port, l.any = int(port), strings.Trim(string(ip), "\x00") == ""
	switch {
	case !l.v6:
		l.Address = fmt.Sprintf("%d.%d.%d.%d", ip[0], ip[1], ip[2], ip[3])
	case l.any:
		l.Address = "::"
	default:
		var groups []string
		for i := 0; i < len(ip); i += 2 {
			groups = append(groups, strconv.FormatUint(uint64(ip[i])<<8|uint64(ip[i+1]), 16))
		}
		l.Address = strings.Join(groups, ":")
	}
	return l
}

// mappedIPv4 begins an address of IPv6 that stands for one of IPv4 (RFC 4291, section 2.5.5.2).
const mappedIPv4 = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff"

// holders finds a process for each socket. left means that it has found none for some, hidden that
// this user may not see the files of all processes.
func holders(found []*listening) (left, hidden bool) {
	sockets := map[uint64]*listening{}
	for _, l := range found {
		sockets[l.inode] = l
	}
	if len(sockets) == 0 {
		return false, false
	}
	hidden = unix.Geteuid() != 0 // /proc may even be without the processes of others (proc(5), hidepid)
	pids, _ := listDir("/proc")
	// First those of the users who made the sockets: a server's workers, as another user, may have
	// thousands of files.
	made := func(pid string) bool {
		var st unix.Stat_t
		return unix.Stat("/proc/"+pid, &st) == nil &&
			slices.ContainsFunc(found, func(l *listening) bool { return l.uid == uint64(st.Uid) })
	}
	var first, others []string
	for _, pid := range pids {
		switch {
		case strings.Trim(pid, "0123456789") != "":
		case made(pid):
			first = append(first, pid)
		default:
			others = append(others, pid)
		}
	}
	for _, pid := range append(first, others...) {
		if len(sockets) == 0 {
			return false, false
		}
		if err := heldBy(pid, sockets); errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			hidden = true
		}
	}
	return len(sockets) > 0, hidden && len(sockets) > 0
}

// heldBy removes the sockets that a process holds, and sets their holder.
func heldBy(pid string, sockets map[uint64]*listening) error {
	dir := "/proc/" + pid
	fd, err := open(unix.AT_FDCWD, dir+"/fd", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	names, _ := list(fd, maxFiles)
	buf := make([]byte, 64)
	for _, name := range names {
		n, err := unix.Readlinkat(fd, name, buf)
		if err != nil || n < 9 || string(buf[:8]) != "socket:[" {
			continue
		}
		inode, _ := strconv.ParseUint(string(buf[8:n-1]), 10, 64)
		if l := sockets[inode]; l != nil {
			l.PID, _ = strconv.Atoi(pid)
			l.Program, l.Unit = printable(firstLine(dir+"/comm")), unitOfProcess(dir)
			delete(sockets, inode)
		}
	}
	return nil
}

// unitOfProcess returns the unit of the system's manager that a process belongs to: the first in
// the path of its control group, since a unit may have groups of its own.
func unitOfProcess(dir string) string {
	data, err := readFile(dir + "/cgroup")
	if err != nil {
		return ""
	}
	for _, line := range strings.Split(string(data), "\n") {
		group, ok := strings.CutPrefix(line, "0::")
		if !ok || group == "/" {
			if _, group, ok = strings.Cut(line, ":name=systemd:"); !ok {
				continue
			}
		}
		for _, part := range strings.Split(group, "/") {
			for _, suffix := range []string{".service", ".scope", ".socket"} {
				if strings.HasSuffix(part, suffix) && len(part) <= maxUnit {
					return printable(part)
				}
			}
		}
	}
	return ""
}
