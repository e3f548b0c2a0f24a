package ssh

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// noteRevoked records the keys of a known_hosts file's @revoked lines, which take precedence over
// all others (sshd(8)). They count for every host, whatever the line's pattern: a stolen key proves
// nothing anywhere.
func (h *hostKeys) noteRevoked(file string, content []byte) {
	for i, line := range bytes.Split(content, []byte("\n")) {
		fields := strings.Fields(string(line))
		if len(fields) < 4 || fields[0] != "@revoked" {
			continue
		}
		if key, err := base64.StdEncoding.DecodeString(fields[3]); err == nil {
			h.revoked[string(key)] = fmt.Sprintf("%s:%d", file, i+1)
		}
	}
}

// notRevoked refuses a key that is marked @revoked, and a certificate of such a key or signed by
// one, as ssh(1) does.
func (h *hostKeys) notRevoked(key gossh.PublicKey) error {
	refuse := func(key gossh.PublicKey, what string) error {
		if place, ok := h.revoked[string(key.Marshal())]; ok {
			return fmt.Errorf("%w: %s%s is marked @revoked at %s", ErrHostKeyChanged, what, describeKey(key), place)
		}
		return nil
	}
	cert, ok := key.(*gossh.Certificate)
	if !ok {
		return refuse(key, "")
	}
	return errors.Join(refuse(cert, ""), refuse(cert.Key, "the certified key "),
		refuse(cert.SignatureKey, "the authority that signed the host's certificate, "))
}

// trusted returns the key to look up in known_hosts, as ssh(1) does: a certificate itself, if
// known_hosts trusts its authority for the host; otherwise the key that it certifies.
func (h *hostKeys) trusted(endpoint string, key gossh.PublicKey) (gossh.PublicKey, error) {
	cert, ok := key.(*gossh.Certificate)
	if !ok {
		return key, nil
	}
	authority := cert.SignatureKey.Marshal()
	named := slices.ContainsFunc(h.authorities(endpoint), func(k gossh.PublicKey) bool {
		return bytes.Equal(k.Marshal(), authority)
	})
	switch {
	case !named:
		return cert.Key, nil
	case cert.Signature.Format == gossh.KeyAlgoRSA: // ssh_config(5), CASignatureAlgorithms
		return nil, fmt.Errorf("%w: %s is signed with SHA-1; have the authority sign it again with: ssh-keygen -t "+
			"rsa-sha2-512",
			ErrHostKeyChanged, describeKey(key))
	}
	return key, nil
}

// authorities returns the keys of the @cert-authority lines for a host.
func (h *hostKeys) authorities(endpoint string) []gossh.PublicKey {
	var keys []gossh.PublicKey
	for _, k := range h.db.HostKeys(endpoint) {
		if k.Cert {
			keys = append(keys, k.PublicKey)
		}
	}
	return keys
}
