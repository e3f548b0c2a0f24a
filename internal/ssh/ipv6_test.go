package ssh

import (
	"net"
	"testing"
)

// TestIPv6: literal addresses, with a zone too, in known_hosts' own spelling.
func TestIPv6(t *testing.T) {
	t.Parallel()
	key, pub, _ := newKeyFile(t)
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	s := newServer(t, pub).serve()
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.conns.Store(conn, nil)
			s.open.Go(func() { s.handle(conn) })
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for address, entry := range map[string]string{"::1": "[::1]:" + port, "::1%lo": "[::1%lo]:" + port, "0:0::1": "[0:0::1]:" + port} {
		file := writeFile(t, entry+" "+publicLine(edKey().PublicKey())+"\n")
		target := s.target(key)
		target.Address, target.Port = address, listener.Addr().(*net.TCPAddr).Port
		if _, err := connect(t, testDialer(t, Options{KnownHostsFiles: []string{file}}), target, standIn(t, "")); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		// What is entered for a new host is found again, by ssh-keygen's rules for the name.
		added := writeFile(t, "")
		for _, accept := range []bool{true, false} {
			if _, err := connect(t, testDialer(t, Options{KnownHostsFiles: []string{added}, AcceptNewHostKeys: accept}), target, standIn(t, "")); err != nil {
				t.Errorf("%s: accept %t: %v", address, accept, err)
			}
		}
		if got, want := readFile(t, added), entry+" "+publicLine(edKey().PublicKey())+"\n"; got != want {
			t.Errorf("entered: %s", got)
		}
	}
	target := s.target(key)
	target.AddressFamily = "inet6"
	_, err = connect(t, testDialer(t, Options{}), target, standIn(t, ""))
	wantError(t, err, nil, "cannot connect")
}
