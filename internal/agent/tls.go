package agent

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// caDirectory is the program that also keeps the CAs of a Debian in a directory, by the hashes of
// their names. openssl(1) looks there for those that it needs. To read the file with all CAs takes
// it three times as long as everything else.
const caDirectory = "/usr/sbin/update-ca-certificates"

// errNoTLS means that nothing is known about a site over TLS.
var errNoTLS = errors.New("the host has no /usr/bin/openssl, and HTTPS cannot be checked without it: install the package openssl")

// overTLS sends a request, and verifies the server's certificate if verify is set. If that fails
// with the CAs in the directory, all CAs decide, and explain it.
func (s *site) overTLS(ctx context.Context, request string, verify bool) (raw []byte, unverified string, err error) {
	if !verify {
		return s.client(ctx, request, "-no-CAfile", "-no-CApath")
	}
	if s.hashed {
		if raw, unverified, err = s.client(ctx, request, "-no-CAfile"); err != nil || unverified == "" {
			return raw, unverified, err
		}
	}
	return s.client(ctx, request)
}

// client sends a request by openssl(1): crypto/tls would almost double the size of the helper.
// Versions 1.1.1 and 3 print the same here.
func (s *site) client(ctx context.Context, request string, cas ...string) (raw []byte, unverified string, err error) {
	if unix.Access(s.openssl, unix.X_OK) != nil {
		return nil, "", errNoTLS
	}
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	response := &head{enough: enough}
	// With -quiet, openssl does not read commands from its input, and waits for the response when the
	// input ends. With -brief, it says whether the certificate verifies.
	argv := append([]string{s.openssl, "s_client", "-quiet", "-brief", "-connect", s.address}, cas...)
	o, err := run(ctx, command{argv: append(argv, s.verified()...), timeout: s.limit, stdin: request, stdout: response})
	if err != nil {
		return nil, "", err
	}
	raw, all := response.get()
	printed := o.stderr.String()
	switch {
	case all || o.exit >= 0 && len(raw) > 0:
		return raw, unverifiedBy(printed), nil
	case o.exit < 0 && ctx.Err() != nil:
		return nil, "", errStopped
	case o.exit < 0:
		return nil, "", errNoResponse
	}
	return nil, "", fmt.Errorf("connect to %s over TLS: %s", s.address, complaint(printed))
}

// verified returns the arguments for the name that the server is asked for, and that its
// certificate must have. TLS has no server names that are IP addresses (RFC 6066, section 3).
func (s *site) verified() []string {
	name := s.host
	if inner, _, ok := strings.Cut(strings.TrimPrefix(name, "["), "]"); ok {
		name = inner
	} else {
		name, _, _ = strings.Cut(name, ":")
	}
	var v4 [4]byte
	var v6 [16]byte
	if parseIPv4(name, v4[:]) || parseIPv6(name, &v6) {
		return []string{"-noservername", "-verify_ip", name}
	}
	return []string{"-servername", name, "-verify_hostname", name}
}

// unverifiedBy returns why a certificate does not verify, from what openssl printed.
func unverifiedBy(printed string) string {
	for _, line := range strings.Split(printed, "\n") {
		if why, ok := strings.CutPrefix(line, "Verification error: "); ok {
			return printable(why[:min(len(why), maxReason)])
		}
		if line == "Verification: OK" {
			return ""
		}
	}
	return "openssl did not report whether it verifies"
}

// maxReason is how many bytes of a reason are kept.
const maxReason = 200

// complaint returns the reason in what openssl printed. Its lines have an address or a thread's
// number in front, which differ each time.
func complaint(printed string) string {
	if _, number, ok := strings.Cut(printed, "connect:errno="); ok {
		number, _, _ = strings.Cut(number, "\n")
		if n, err := strconv.Atoi(strings.TrimSpace(number)); err == nil && n > 0 {
			return unix.Errno(n).Error()
		}
	}
	for _, line := range strings.Split(printed, "\n") {
		// thread:error:code:library:function:reason:file:line:text
		if f := strings.Split(line, ":"); len(f) > 5 && f[1] == "error" {
			return quote(f[5])
		}
	}
	if last := lastLine(printed); last != "" {
		return quote(last)
	}
	return "the server closed the connection"
}

// head keeps the beginning of a response, and stops the program that writes it once that is enough.
type head struct {
	mu     sync.Mutex
	buf    []byte
	all    bool
	enough func()
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.all {
		h.buf = append(h.buf, p...)
		if h.all = len(h.buf) >= maxHeader+maxBody || complete(string(h.buf)); h.all {
			h.enough()
		}
	}
	return len(p), nil
}

// get returns the response, and whether it is all that is wanted.
func (h *head) get() ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf, h.all
}

// complete reports whether a response has as many bytes as it announces.
func complete(raw string) bool {
	fields, body, ok := strings.Cut(raw, "\r\n\r\n")
	if !ok {
		return false
	}
	for _, l := range strings.Split(fields, "\r\n") {
		name, value, _ := strings.Cut(l, ":")
		if strings.EqualFold(name, "Content-Length") {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			return err == nil && len(body) >= min(n, maxBody)
		}
	}
	return false
}
