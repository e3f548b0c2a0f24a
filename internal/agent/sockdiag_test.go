package agent

import (
	"encoding/binary"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSameListeners compares what the kernel lists by netlink with its files in /proc.
func TestSameListeners(t *testing.T) {
	t.Parallel()
	ports := map[int]bool{}
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0", "[::ffff:127.0.0.1]:0"} {
		network := "tcp"
		if address == "[::]:0" {
			network = "tcp6"
		}
		l, err := net.Listen(network, address)
		if err != nil {
			t.Log(err) // a machine without IPv6
			continue
		}
		t.Cleanup(func() { _ = l.Close() })
		ports[l.Addr().(*net.TCPAddr).Port] = true
	}
	want, err := eachFamily(ports, readListening)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) < 2 {
		t.Fatalf("%d sockets in /proc", len(want))
	}
	got, err := eachFamily(ports, diagListening)
	if err != nil {
		t.Skip("this kernel does not answer by sock_diag, or not in this container")
	}
	same(t, "by netlink", got, want)
	if got, err := listeners(ports, false); err != nil || len(got) != len(want) {
		t.Errorf("%v, %v", got, err)
	}
}

// diagMessage is a message of netlink(7).
func diagMessage(kind, flags uint16, payload []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(payload)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = append(append(b, make([]byte, 8)...), payload...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func TestParseDiag(t *testing.T) {
	t.Parallel()
	socket := make([]byte, diagAnswer)
	socket[0] = unix.AF_INET6
	binary.BigEndian.PutUint16(socket[4:], 443)
	copy(socket[8:], net.ParseIP("2001:db8::1"))
	binary.NativeEndian.PutUint32(socket[64:], 33)
	binary.NativeEndian.PutUint32(socket[68:], 4711)
	one := diagMessage(unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_MULTI, append(socket, 5, 0, 11, 0, 1))
	end := diagMessage(unix.NLMSG_DONE, unix.NLM_F_MULTI, make([]byte, 4))

	var got []*listening
	each := func(l *listening) { got = append(got, l) }
	if done, err := parseDiag(append(append(one, one...), end...), unix.AF_INET6, each); !done || err != nil {
		t.Fatal(done, err)
	}
	want := listeningAt(net.ParseIP("2001:db8::1"), 443)
	want.uid, want.inode = 33, 4711
	same(t, "sockets", got, []*listening{want, want})
	if done, err := parseDiag(one, unix.AF_INET6, each); done || err != nil {
		t.Error("more may follow:", done, err)
	}
	for name, bad := range map[string][]byte{
		"an error":        diagMessage(unix.NLMSG_ERROR, 0, make([]byte, 20)),
		"a failed end":    diagMessage(unix.NLMSG_DONE, 0, []byte{0xff, 0xff, 0xff, 0xff}),
		"an interruption": diagMessage(unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP_INTR, socket),
		"another family":  diagMessage(unix.SOCK_DIAG_BY_FAMILY, 0, make([]byte, diagAnswer)),
		"a short one":     diagMessage(unix.SOCK_DIAG_BY_FAMILY, 0, socket[:diagAnswer-4]),
		"a cut one":       one[:len(one)-4],
	} {
		if done, err := parseDiag(bad, unix.AF_INET6, func(*listening) {}); done || err == nil {
			t.Errorf("%s: %v, %v", name, done, err)
		}
	}
}

// FuzzDiag parses any bytes: neither a panic nor an endless loop.
func FuzzDiag(f *testing.F) {
	f.Add(diagMessage(unix.SOCK_DIAG_BY_FAMILY, 0, make([]byte, diagAnswer)), byte(unix.AF_INET))
	f.Add(diagMessage(unix.NLMSG_DONE, 0, make([]byte, 4)), byte(unix.AF_INET6))
	f.Fuzz(func(t *testing.T, b []byte, family byte) {
		n := 0
		_, _ = parseDiag(b, family, func(*listening) { n++ })
		if n > len(b)/diagAnswer {
			t.Errorf("%d sockets in %d bytes", n, len(b))
		}
	})
}
