package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

const (
	maxHeader = 16 << 10
	maxBody   = 4 << 10
)

// errNoResponse means that it is not known how a server answers: it may hang, or the host is busy.
var errNoResponse = errors.New("no response in time")

// seconds returns n seconds, or the default for 0 and for values out of range.
func seconds(n int, otherwise time.Duration) time.Duration {
	if n <= 0 || n > 24*3600 {
		return otherwise
	}
	return time.Duration(n) * time.Second
}

// site is where requests go: an address of this host, and the value of the Host header.
type site struct {
	address, host string
	limit         time.Duration // of one request
	openssl       string        // openssl(1), for requests over TLS; "": requests are not sent over TLS
	hashed        bool          // see caDirectory
}

// siteAt returns the site of an AskHTTP query.
func siteAt(address, host string) *site {
	if plain, ok := strings.CutPrefix(address, wire.OverTLS); ok {
		return &site{address: plain, host: host, limit: wire.HTTPTime, openssl: "/usr/bin/openssl", hashed: exists(caDirectory)}
	}
	return &site{address: address, host: host, limit: wire.HTTPTime}
}

// url returns a URL of the site at a name or address.
func (s *site) url(at, path string) string {
	if s.openssl != "" {
		return wire.OverTLS + at + path
	}
	return "http://" + at + path
}

// ask answers AskHTTP.
func (s *site) ask(ctx context.Context, path string, trees []string) wire.Answer {
	w, err := s.request(ctx, path, true)
	if err == nil && w.Status == 200 {
		if err = s.treesNotServed(ctx, trees); err != nil && !errors.Is(err, errNoResponse) {
			w.Trees, err = printable(err.Error()), nil
		}
	}
	if err != nil {
		return failed(err)
	}
	return wire.Answer{HTTP: w}
}

// request requests a path. Its error is errNoResponse, others are part of the answer.
func (s *site) request(ctx context.Context, path string, verify bool) (*wire.HTTP, error) {
	w := &wire.HTTP{}
	raw, unverified, err := s.exchange(ctx, path, verify)
	w.Unverified = unverified
	if err == nil {
		w.Status, w.Body, err = parseResponse(raw)
	}
	if errors.Is(err, errNoResponse) {
		return nil, err
	}
	if err != nil {
		w.Status, w.Body, w.Error, w.Missing = 0, "", printable(err.Error()), errors.Is(err, errNoTLS)
	}
	return w, nil
}

// exchange sends a request and returns the response, limited in size and time. If verify is set, it
// also returns why the certificate does not verify. HTTP/1.0 keeps the server from sending chunks
// (RFC 9112, section 6.1).
func (s *site) exchange(ctx context.Context, path string, verify bool) (raw []byte, unverified string, err error) {
	if _, _, err := parseAddress(s.address); err != nil {
		return nil, "", err
	}
	if path == "" || path[0] != '/' || s.host == "" {
		return nil, "", fmt.Errorf("invalid path %s or host %s of a request", quote(path), quote(s.host))
	}
	for _, c := range []byte(s.host + path) {
		if c <= ' ' || c >= 0x7f {
			return nil, "", fmt.Errorf("invalid path %s or host %s of a request", quote(path), quote(s.host))
		}
	}
	request := "GET " + path + " HTTP/1.0\r\nHost: " + s.host + "\r\nUser-Agent: mirrorform\r\nConnection: close\r\n\r\n"
	if s.openssl != "" {
		return s.overTLS(ctx, request, verify)
	}
	raw, err = s.overTCP(ctx, []byte(request))
	return raw, "", err
}

// overTCP uses system calls: package net alone would add 550 KB to the helper.
func (s *site) overTCP(ctx context.Context, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	family, to, err := parseAddress(s.address)
	if err != nil {
		return nil, err
	}
	fd, err := reach(ctx, family, to)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", s.address, err)
	}
	defer closeFD(fd)
	c := &socket{ctx, fd}
	if err := c.sendAll(request); err != nil {
		return nil, s.failedTo("send to", err)
	}
	answer, err := io.ReadAll(io.LimitReader(c, maxHeader+maxBody))
	if err != nil {
		return nil, s.failedTo("receive from", err)
	}
	return answer, nil
}

// failedTo describes an error, except those that say all.
func (s *site) failedTo(do string, err error) error {
	if errors.Is(err, errNoResponse) || errors.Is(err, errStopped) {
		return err
	}
	return fmt.Errorf("%s %s: %w", do, s.address, err)
}

// socket is a connection that does not block, used until ctx ends.
type socket struct {
	ctx context.Context
	fd  int
}

// Read implements io.Reader.
func (s *socket) Read(p []byte) (int, error) {
	for {
		if err := await(s.ctx, s.fd, unix.POLLIN); err != nil {
			return 0, err
		}
		if n, err := reader(s.fd).Read(p); !errors.Is(err, unix.EAGAIN) {
			return n, err
		}
	}
}

func (s *socket) sendAll(data []byte) error {
	for len(data) > 0 {
		if err := await(s.ctx, s.fd, unix.POLLOUT); err != nil {
			return err
		}
		n, err := unix.SendmsgN(s.fd, data, nil, nil, unix.MSG_NOSIGNAL)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			return err
		}
		data = data[max(n, 0):]
	}
	return nil
}

// reach opens a connection that does not block.
func reach(ctx context.Context, family int, to unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = unix.Connect(fd, to)
	if errors.Is(err, unix.EINPROGRESS) {
		if err = await(ctx, fd, unix.POLLOUT); err == nil {
			var code int
			if code, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && code != 0 {
				err = unix.Errno(code)
			}
		}
	}
	if err != nil {
		closeFD(fd)
		return -1, err
	}
	return fd, nil
}

// await waits until fd is ready.
func await(ctx context.Context, fd int, events int16) error {
	for {
		if err := ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
			return errNoResponse
		} else if err != nil {
			return errStopped
		}
		left := 200 * time.Millisecond
		if deadline, ok := ctx.Deadline(); ok {
			left = min(left, time.Until(deadline)+time.Millisecond)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, int(max(0, left.Milliseconds())))
		if err != nil && err != unix.EINTR {
			return err
		}
		if n > 0 {
			return nil
		}
	}
}

// parseResponse parses a status line, headers and a body (RFC 9112).
func parseResponse(raw []byte) (status int, body string, err error) {
	head, rest, ok := strings.Cut(string(raw), "\r\n\r\n")
	if !ok || len(head) > maxHeader {
		return 0, "", errors.New("the response is not HTTP")
	}
	lines := strings.Split(head, "\r\n")
	f := strings.SplitN(lines[0], " ", 3)
	if len(f) < 2 || !strings.HasPrefix(f[0], "HTTP/1.") || len(f[1]) != 3 {
		return 0, "", fmt.Errorf("the response is not HTTP: it begins with %s", quote(lines[0]))
	}
	if status, err = strconv.Atoi(f[1]); err != nil || status < 100 {
		return 0, "", fmt.Errorf("invalid HTTP status line %s", quote(lines[0]))
	}
	body = rest[:min(len(rest), maxBody)]
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.EqualFold(name, "Transfer-Encoding"):
			return 0, "", fmt.Errorf("the response to an HTTP/1.0 request has the transfer encoding %s", quote(value))
		case strings.EqualFold(name, "Content-Length"):
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return 0, "", fmt.Errorf("invalid Content-Length %s", quote(value))
			}
			if len(body) < min(n, maxBody) {
				return 0, "", errors.New("the response ended early")
			}
			body = body[:min(n, len(body))]
		}
	}
	return status, printable(body), nil
}

// parseAddress parses "IPV4:PORT" or "[IPV6]:PORT". There are no names: the host reaches itself by
// number.
func parseAddress(address string) (family int, to unix.Sockaddr, err error) {
	bad := fmt.Errorf("%s is not an IP address with a port", quote(address))
	ip, port, ok := cutLast(address, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || n == 0 {
		return 0, nil, bad
	}
	if inner, ok := strings.CutPrefix(ip, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		a := &unix.SockaddrInet6{Port: int(n)}
		if !ok || !parseIPv6(inner, &a.Addr) {
			return 0, nil, bad
		}
		return unix.AF_INET6, a, nil
	}
	a := &unix.SockaddrInet4{Port: int(n)}
	if !parseIPv4(ip, a.Addr[:]) {
		return 0, nil, bad
	}
	return unix.AF_INET, a, nil
}

func parseIPv4(s string, to []byte) bool {
	parts := strings.Split(s, ".")
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 8)
		if len(parts) != 4 || err != nil || len(p) > 1 && p[0] == '0' {
			return false
		}
		to[i] = byte(n)
	}
	return true
}

// parseIPv6 parses the text form of RFC 4291, section 2.2, without a zone.
func parseIPv6(s string, to *[16]byte) bool {
	left, right, gap := strings.Cut(s, "::")
	head, ok1 := groups6(left)
	tail, ok2 := groups6(right)
	n := len(head) + len(tail)
	if !ok1 || !ok2 || !gap && n != 16 || gap && n > 14 {
		return false
	}
	copy(to[:], head)
	copy(to[16-len(tail):], tail)
	return true
}

func groups6(s string) (b []byte, ok bool) {
	if s == "" {
		return nil, true
	}
	parts := strings.Split(s, ":")
	for i, p := range parts {
		if i == len(parts)-1 && strings.Contains(p, ".") {
			b = append(b, 0, 0, 0, 0)
			return b, parseIPv4(p, b[len(b)-4:])
		}
		n, err := strconv.ParseUint(p, 16, 16)
		if err != nil || len(p) > 4 {
			return nil, false
		}
		b = append(b, byte(n>>8), byte(n))
	}
	return b, true
}

// steady is how many correct responses in a row a probe wants, each on its own connection: while a
// server reloads, workers with the old configuration and workers with the new one accept
// connections side by side.
const steady = 5

// enough is how many responses decide that a server does not answer as wanted. A host that gives
// fewer of them in the time of a probe is slow.
const enough = 100

// probeHTTP performs a ProbeOp.
func probeHTTP(op *wire.ProbeOp) error { return siteAt(op.Query().Arg, op.Host).probe(op) }

// probe sends requests until the responses are correct, and stay so.
func (s *site) probe(op *wire.ProbeOp) error {
	begin := time.Now()
	timeout := probeLimit(seconds(op.Timeout, 10*time.Second))
	for right, tries := 0, 1; right < steady; tries++ {
		a, err := s.request(context.Background(), op.Path, false)
		wrong := ""
		switch {
		case err != nil:
			wrong = err.Error()
		case a.Missing:
			return errors.New(a.Error)
		case a.Error != "":
			wrong = a.Error
		case a.Status != op.Status:
			wrong = fmt.Sprintf("status %d instead of %d", a.Status, op.Status)
		case op.Body != "" && a.Body != op.Body:
			wrong = "the body " + quote(a.Body) + " instead of " + quote(op.Body)
		default:
			if right++; right < steady {
				time.Sleep(20 * time.Millisecond)
			}
			continue
		}
		right = 0
		took := time.Since(begin).Truncate(time.Second)
		if took >= timeout && (tries >= enough || took >= timeout+wire.SlowTime) {
			return fmt.Errorf("%s (host %s) did not give the expected response within %s; the last response: %s",
				s.url(op.Address, op.Path), op.Host, period(took), wrong)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return s.treesNotServed(context.Background(), op.Trees)
}
