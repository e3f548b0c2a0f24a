package ssh

import (
	"bufio"
	"encoding/base64"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
	gossh "golang.org/x/crypto/ssh"
)

// FuzzKnownHosts reads any bytes as a known_hosts file. Lines that cannot be used are left out, whatever they are; a key that the file does
// not have is never taken.
func FuzzKnownHosts(f *testing.F) {
	ed, rsa, other := publicLine(edKey().PublicKey()), publicLine(rsaKey().PublicKey()), publicLine(otherKey().PublicKey())
	for _, line := range []string{
		"192.0.2.1 " + ed, "* " + other, "!192.0.2.1,* " + ed, "[192.0.2.1]:22 " + rsa, "@revoked * " + ed, "@cert-authority * " + ed, "@x 192.0.2.1 " + ed,
		"|1|x|y " + ed, "|1||  " + ed, "|1|AAAA|AAAA " + ed, "|2|AAAA|AAAA " + ed, "$(touch /pwn-1) " + ed, "-oProxyCommand=touch " + ed, "[::1 " + ed, "[] " + ed, ", " + ed,
		"192.0.2.1 ssh-ed25519 AAAA", "192.0.2.1 ssh-ed25519 " + base64.StdEncoding.EncodeToString([]byte("\xff\xff\xff\xff")), "192.0.2.1 ssh-rsa " + strings.Fields(ed)[1], "\x00", "\xff\xfe", "192.0.2.1\r\n" + ed,
		"a\u202eb " + ed, "*.*.*.* " + ed, strings.Repeat("*a", 40) + " " + ed, "! " + ed, "h,! " + ed,
	} {
		f.Add([]byte(line + "\n"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h := newHostKeys([]string{writeFile(t, string(data))}, false, func(string) {})
		p, err := h.policy(Target{Name: "h", Address: "192.0.2.1", Port: 22})
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		remote := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 22}
		for _, signer := range []gossh.Signer{edKey(), rsaKey(), otherKey()} {
			key := signer.PublicKey()
			err := p.check("", remote, key)
			if err == nil && !strings.Contains(string(data), base64.StdEncoding.EncodeToString(key.Marshal())) {
				t.Errorf("%s is taken by\n%s", publicLine(key), data)
			}
			if err != nil && !errors.Is(err, ErrHostKeyUnknown) && !errors.Is(err, ErrHostKeyChanged) {
				t.Errorf("%v", err)
			}
		}
	})
}

// FuzzTarget takes any address, user, way to become root and pinned key. What is accepted is no option and holds no blank; none of it is in
// any command line.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "2001:db8::1", "fe80::1%eth0", "mirror.example.org", "-oProxyCommand=touch /pwn-1", "$(touch /pwn-2)", "a b", "a;b", "x\ny", "", "\xff", "a\u202eb", "[::1]", "user@host", `DOMAIN\user`, "fe80::1%-x", "..", "a\x00"} {
		f.Add(s, s, "sudo", publicLine(edKey().PublicKey()))
		f.Add("h", "u", s, "command=\"touch /pwn-3\" "+publicLine(edKey().PublicKey()))
		f.Add("h", "u", "none", s)
	}
	f.Fuzz(func(t *testing.T, address, user, how, hostKey string) {
		target, err := Target{Address: address, User: user, Become: how, HostKey: hostKey}.complete()
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
				t.Errorf("unusable message %q", err)
			}
			return
		}
		for _, s := range []string{target.Address, target.User} {
			if s == "" || s[0] == '-' || strings.ContainsFunc(s, func(r rune) bool {
				return r <= ' ' || r > '~' || strings.ContainsRune("$`'\"&|;<>(){}*?!#~,=", r) && (r != '$' || !strings.HasSuffix(s, "$"))
			}) {
				t.Errorf("%q is taken", s)
			}
		}
		if !slices.Contains([]string{"", "sudo -n -- ", "doas -n -- "}, become(target.Become, false)) {
			t.Errorf("become %q puts %q before the helper", how, become(target.Become, false))
		}
		if target.HostKey == "" {
			return
		}
		if p, err := pinned(target.HostKey); err == nil && len(p.algorithms) == 0 {
			t.Errorf("%q pins nothing", hostKey)
		}
	})
}

// FuzzNoise has a login shell print anything before the helper's first word, and anything on standard error: only the preamble on a line's end begins
// the protocol, what is kept is bounded, and what is said of it is one line.
func FuzzNoise(f *testing.F) {
	for _, s := range []string{
		"", wire.Preamble, "Welcome!\n" + wire.Preamble, "\x00mirrorform-helper/2\n", "\x00mirrorform-helper/1 \n", "$(touch /pwn-1)\r\n", "\x1b]52;c;Zm9v\x07\x9b31m\n", prompt, prompt[:9], missing + "\n",
		"\x00mirrorform-helper/1\x00mirrorform-helper/1\n", strings.Repeat("x", 5000), "sudo: a password is required\n", "\xff\xfe\u202e",
	} {
		f.Add([]byte(s), []byte(s), 3)
		f.Add([]byte(s+wire.Preamble), []byte("x"+prompt+prompt[:5]), 1)
	}
	f.Fuzz(func(t *testing.T, stdout, stderr []byte, piece int) {
		p := &process{stdout: bufio.NewReader(strings.NewReader(string(stdout))), stderr: newTail(), status: -1}
		piece = max(1, piece&0xfff)
		for rest := stderr; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
			if _, err := p.stderr.Write(rest[:min(piece, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := len(p.stderr.prompts), strings.Count(string(stderr), prompt); got != min(want, cap(p.stderr.prompts)) {
			t.Errorf("%d prompts in %q, want %d", got, stderr, want)
		}
		if len(p.stderr.kept) > keptStderr {
			t.Errorf("%d bytes are kept", len(p.stderr.kept))
		}
		if asks, err := p.skipToPreamble(); asks {
			t.Errorf("the helper's bytes are asked for in %q, where there are none", stdout)
		} else if err == nil && !strings.Contains(string(stdout), wire.Preamble) {
			t.Errorf("the helper is heard in %q", stdout)
		} else if err != nil && strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
			t.Errorf("unusable message %q", err)
		}
		if len(p.noise) > maxNoise+8<<10 {
			t.Errorf("%d bytes are kept", len(p.noise))
		}
		if said := p.outcome(); strings.ContainsAny(said, "\n\r\x00\x1b\u202e") {
			t.Errorf("unusable message %q", said)
		}
	})
}
