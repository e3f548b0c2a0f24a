package agent

import (
	"encoding/binary"
	"encoding/hex"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
)

func TestListeners(t *testing.T) {
	t.Parallel()
	program := firstLine("/proc/self/comm")
	var queries []wire.Query
	var want []wire.Listener
	for _, l := range []struct {
		network, listen, address string
		ipv4                     bool
	}{
		{"tcp4", "127.0.0.1:0", "127.0.0.1", false},
		{"tcp4", "0.0.0.0:0", "0.0.0.0", false},
		{"tcp6", "[::1]:0", "0:0:0:0:0:0:0:1", false},
		{"tcp6", "[::]:0", "::", false},
		{"tcp", ":0", "::", true},
	} {
		listener, err := net.Listen(l.network, l.listen)
		if err != nil {
			t.Log(err) // a machine without IPv6
			continue
		}
		t.Cleanup(func() { _ = listener.Close() })
		port := listener.Addr().(*net.TCPAddr).Port
		queries = append(queries, wire.Query{Verb: wire.AskListeners, Args: []string{strconv.Itoa(port)}})
		want = append(want, wire.Listener{Address: l.address, Port: port, IPv4: l.ipv4, Program: program, PID: os.Getpid(), Unit: unitOfProcess("/proc/self")})
	}
	// Connections are not listeners.
	client, err := net.Dial("tcp", "127.0.0.1:"+queries[0].Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	queries = append(queries, wire.Query{Verb: wire.AskListeners, Args: []string{strconv.Itoa(client.LocalAddr().(*net.TCPAddr).Port)}})
	h := newHost(t.TempDir())
	for i, a := range h.answer(t.Context(), queries) {
		switch {
		case a.Listeners == nil || a.Listeners.More:
			t.Errorf("%s: %+v", queries[i], a)
		case i == len(want):
			same(t, "a connection", len(a.Listeners.Sockets), 0)
		default:
			same(t, queries[i].String(), a.Listeners.Sockets, []wire.Listener{want[i]})
		}
	}
	testDatagrams(t, h, program)
	both := []string{queries[1].Args[0], queries[0].Args[0]}
	if a := h.answer(t.Context(), []wire.Query{{Verb: wire.AskListeners, Args: both}})[0]; a.Listeners == nil || len(a.Listeners.Sockets) != 2 ||
		a.Listeners.Sockets[0].Port > a.Listeners.Sockets[1].Port {
		t.Errorf("%+v", a)
	}
	for _, bad := range [][]string{{"0"}, {"65536"}, {"http"}, {"-1"}, {""}, {"80\n"}} {
		if a := h.answer(t.Context(), []wire.Query{{Verb: wire.AskListeners, Args: bad}})[0]; !strings.Contains(a.Error, "is not a port") {
			t.Errorf("%q: %+v", bad, a)
		}
	}
	var many []string
	for i := range maxPorts + 1 {
		many = append(many, strconv.Itoa(i+1))
	}
	if a := h.answer(t.Context(), []wire.Query{{Verb: wire.AskListeners, Args: many}})[0]; !strings.Contains(a.Error, "too many") {
		t.Errorf("%+v", a)
	}
}

// testDatagrams asks for sockets of UDP: a connected one does not count, nor does one of TCP.
func testDatagrams(t *testing.T, h *host, program string) {
	t.Helper()
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	client, err := net.Dial("udp4", socket.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	port := socket.LocalAddr().(*net.UDPAddr).Port
	ask := func(port int, protocol string) []wire.Listener {
		t.Helper()
		a := h.answer(t.Context(), []wire.Query{{Verb: wire.AskListeners, Arg: protocol, Args: []string{strconv.Itoa(port)}}})[0]
		if a.Listeners == nil {
			t.Fatal(a.Error)
		}
		return a.Listeners.Sockets
	}
	same(t, "a socket of UDP", ask(port, wire.UDP), []wire.Listener{
		{Address: "127.0.0.1", Port: port, Program: program, PID: os.Getpid(), Unit: unitOfProcess("/proc/self")},
	})
	same(t, "the same for TCP", len(ask(port, "")), 0)
	same(t, "a connected one", len(ask(client.LocalAddr().(*net.UDPAddr).Port, wire.UDP)), 0)
	if a := h.answer(t.Context(), []wire.Query{{Verb: wire.AskListeners, Arg: "sctp", Args: []string{"80"}}})[0]; !strings.Contains(a.Error, "is not a protocol") {
		t.Errorf("%+v", a)
	}
}

func TestParseListening(t *testing.T) {
	t.Parallel()
	line := func(ip []byte, rest string) string {
		words := make([]byte, len(ip))
		for i := 0; i+4 <= len(ip); i += 4 { // as the kernel prints them, on this machine
			binary.BigEndian.PutUint32(words[i:], binary.NativeEndian.Uint32(ip[i:]))
		}
		return "   0: " + strings.ToUpper(hex.EncodeToString(words)) + rest
	}
	const state = ":01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0"
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "0.0.0.0": "0.0.0.0", "::": "::", "::1": "0:0:0:0:0:0:0:1", "2001:db8::1:f": "2001:db8:0:0:0:0:1:f", "::ffff:192.0.2.1": "192.0.2.1",
	} {
		ip := net.ParseIP(address)
		bytes := []byte(ip)
		if !strings.Contains(address, ":") {
			bytes = ip.To4()
		}
		l, ok := parseListening(line(bytes, state), stateListen)
		if !ok || l.Address != want || l.Port != 443 || l.inode != 4711 || l.v6 != (strings.Contains(want, ":")) || l.any != ip.IsUnspecified() {
			t.Errorf("%s: %+v", address, l)
		}
	}
	for _, bad := range []string{"", line(make([]byte, 4), strings.Replace(state, " 0A ", " 01 ", 1)), line(make([]byte, 8), state), line(make([]byte, 4), ":01BB 0 0A"), "x y z 0A 1 2 3 4 5 6"} {
		if l, ok := parseListening(bad, stateListen); ok {
			t.Errorf("%q: %+v", bad, l)
		}
	}
}

func TestUnitOfProcess(t *testing.T) {
	t.Parallel()
	for cgroup, want := range map[string]string{
		"0::/system.slice/caddy.service\n":                                       "caddy.service",
		"12:pids:/x.service\n1:name=systemd:/system.slice/a.service\n0::/\n":     "a.service",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n": "user@1000.service",
		"0::/system.slice/docker-0123.scope\n":                                   "docker-0123.scope",
		"0::/init.scope\n":                                                       "init.scope",
		"0::/\n":                                                                 "",
		"0::/system.slice/" + strings.Repeat("x", maxUnit) + ".service\n":        "",
		"": "",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/cgroup", []byte(cgroup), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := unitOfProcess(dir); got != want {
			t.Errorf("%q: %q", cgroup, got)
		}
	}
}

// BenchmarkListeners looks for a holder that is found last, if at all.
func BenchmarkListeners(b *testing.B) {
	for b.Loop() {
		holders([]*listening{{inode: 1}})
	}
}
