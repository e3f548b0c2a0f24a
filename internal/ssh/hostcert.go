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

// noteRevoked keeps the keys of a known_hosts file's @revoked lines, which sshd(8) puts above all others. They count for every host, whatever pattern
// stands in the line: a key that is known to be in wrong hands proves nothing anywhere.
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

// notRevoked refuses a key that is marked @revoked, and a certificate of such a key or by such an authority, as ssh(1) does.
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
	return errors.Join(refuse(cert, ""), refuse(cert.Key, "the certified key "), refuse(cert.SignatureKey, "the authority that signed the host's certificate, "))
}

// trusted returns what of a key is to be looked up: a certificate by an authority that known_hosts names for the host, and of any other certificate the
// key that it certifies, as ssh(1) does.
func (h *hostKeys) trusted(endpoint string, key gossh.PublicKey) (gossh.PublicKey, error) {
	cert, ok := key.(*gossh.Certificate)
	if !ok {
		return key, nil
	}
	authority := cert.SignatureKey.Marshal()
	named := slices.ContainsFunc(h.authorities(endpoint), func(k gossh.PublicKey) bool { return bytes.Equal(k.Marshal(), authority) })
	switch {
	case !named:
		return cert.Key, nil
	case cert.Signature.Format == gossh.KeyAlgoRSA: // ssh_config(5), CASignatureAlgorithms
		return nil, fmt.Errorf("%w: %s is signed by SHA-1: have the authority sign it anew (ssh-keygen -t rsa-sha2-512)", ErrHostKeyChanged, describeKey(key))
	}
	return key, nil
}

// authorities are the keys of the @cert-authority lines for a host.
func (h *hostKeys) authorities(endpoint string) []gossh.PublicKey {
	var keys []gossh.PublicKey
	for _, k := range h.db.HostKeys(endpoint) {
		if k.Cert {
			keys = append(keys, k.PublicKey)
		}
	}
	return keys
}
