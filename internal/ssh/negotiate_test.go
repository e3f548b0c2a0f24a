package ssh

import (
	"io"
	"net"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// TestNothingCommon: the message says which side's algorithms are the rare ones, and where they are
// set.
func TestNothingCommon(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		theirs []string
		parts  []string
	}{
		{"key exchange", []string{"sntrup761x25519-sha512@openssh.com", "kex-strict-s-v00@openssh.com"}, []string{"too new for mirrorform", "KexAlgorithms", "mirrorform has curve25519-sha256"}},
		{"key exchange", []string{"diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1"}, []string{"too old to be safe", "KexAlgorithms"}},
		{"key exchange", []string{"diffie-hellman-group18-sha512"}, []string{"which mirrorform does not support", "group18"}},
		{"client to server MAC", []string{"umac-128@openssh.com"}, []string{"which mirrorform does not support", "MACs"}},
		{"server to client cipher", []string{"aes256-cbc"}, []string{"too old to be safe", "Ciphers"}},
		{"client to server compression", nil, []string{"which mirrorform does not support"}},
	} {
		a := attempt{}
		err := a.explain(&gossh.AlgorithmNegotiationError{What: c.what, RequestedAlgorithms: c.theirs, SupportedAlgorithms: []string{"curve25519-sha256", "ext-info-c"}})
		wantError(t, err, nil, append(c.parts, "no common "+c.what)...)
	}
}

// TestLargePacketsDropped: a host that greets, and whose key exchange does not arrive.
func TestLargePacketsDropped(t *testing.T) {
	t.Parallel()
	s := newServer(t).serve()
	addr := s.listener.Addr().(*net.TCPAddr)
	relay, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = relay.Close() })
	go func() {
		conn, err := relay.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		host, err := net.Dial("tcp", addr.String())
		if err != nil {
			return
		}
		defer func() { _ = host.Close() }()
		_, _ = io.CopyN(conn, host, int64(len("SSH-2.0-Go\r\n")))
		_, _ = io.Copy(io.Discard, conn)
	}()
	target := s.target()
	target.Port, target.ConnectTimeout = relay.Addr().(*net.TCPAddr).Port, time.Second
	_, err = connect(t, testDialer(t, Options{}), target, standIn(t, ""))
	wantError(t, err, ErrTimeout, "while exchanging keys", "the host greeted", "MTU", "ping -M do")
}
