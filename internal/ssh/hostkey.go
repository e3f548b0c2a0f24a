package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/skeema/knownhosts"
	gossh "golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// The host key algorithms, in order of preference. SHA-1 signatures (ssh-rsa) and DSA are excluded.
var (
	plainHostKeyAlgorithms = []string{
		gossh.KeyAlgoED25519,
		gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384, gossh.KeyAlgoECDSA521,
		gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256,
	}
	certHostKeyAlgorithms = []string{
		gossh.CertAlgoED25519v01,
		gossh.CertAlgoECDSA256v01, gossh.CertAlgoECDSA384v01, gossh.CertAlgoECDSA521v01,
		gossh.CertAlgoRSASHA512v01, gossh.CertAlgoRSASHA256v01,
	}
)

// hostKeys holds the known host keys. It reads its files on first use.
type hostKeys struct {
	files  []string // nil: the defaults
	accept bool
	log    func(string)

	load    sync.Once
	loadErr error
	db      *knownhosts.HostKeyDB
	names   map[string]string // the original file, by the name of its cleaned copy
	revoked map[string]string // FILE:LINE of a @revoked line, by the key's wire format

	mu       sync.Mutex
	accepted map[string]gossh.PublicKey // accepted in this run, by ADDRESS:PORT
}

func newHostKeys(files []string, accept bool, log func(string)) *hostKeys {
	return &hostKeys{
		files: files, accept: accept, log: log,
		names: map[string]string{}, revoked: map[string]string{}, accepted: map[string]gossh.PublicKey{},
	}
}

// policy determines how the host key of one target is checked.
type policy struct {
	algorithms []string
	check      gossh.HostKeyCallback
	known      []string // the known keys, for messages: "ssh-rsa SHA256:… (FILE:LINE)"
}

// origin returns how a host key that passed the check is known. It must not add to what is known.
func (h *hostKeys) origin(t Target, key gossh.PublicKey) KeyOrigin {
	h.load.Do(func() { h.loadErr = h.read() })
	switch {
	case h.loadErr == nil && h.acceptedKey(t.keyEndpoint()) == nil && h.listed(t, key):
		return KeyKnown
	case t.HostKey != "":
		return KeyPinned
	}
	return KeyNew
}

// listed reports whether the files have a key for a host.
func (h *hostKeys) listed(t Target, key gossh.PublicKey) bool {
	if h.notRevoked(key) != nil {
		return false
	}
	key, err := h.trusted(t.keyEndpoint(), key)
	return err == nil && h.db.HostKeyCallback()(t.keyEndpoint(), unspecified, key) == nil
}

// policy returns the check of a host's key, and the algorithms that make the host show a key of a
// known type.
func (h *hostKeys) policy(t Target) (policy, error) {
	if t.HostKey != "" {
		return pinned(t.HostKey)
	}
	h.load.Do(func() { h.loadErr = h.read() })
	if h.loadErr != nil {
		return policy{}, h.loadErr
	}
	endpoint := t.keyEndpoint()
	p := policy{check: func(_ string, remote net.Addr, key gossh.PublicKey) error {
		return h.check(t, remote, key)
	}}
	if key := h.acceptedKey(endpoint); key != nil {
		p.algorithms = algorithmsFor([]gossh.PublicKey{key})
		return p, nil
	}
	var plain []gossh.PublicKey
	var authority bool
	for _, k := range h.db.HostKeys(endpoint) {
		if k.Cert {
			authority = true
			continue
		}
		plain = append(plain, k.PublicKey)
		p.known = append(p.known, describeKey(k.PublicKey))
	}
	if bare := t.bareEndpoint(); bare != "" && len(plain) == 0 && len(h.authorities(bare)) > 0 {
		authority = true
	}
	if authority { // its key type does not determine the types of the keys that it certified
		p.algorithms = slices.Clone(certHostKeyAlgorithms)
	}
	if len(plain) > 0 {
		p.algorithms = append(p.algorithms, algorithmsFor(plain)...)
	} else {
		p.algorithms = append(p.algorithms, plainHostKeyAlgorithms...)
	}
	return p, nil
}

// pinned returns the policy for keys that the configuration names.
func pinned(lines string) (policy, error) {
	var p policy
	var keys []gossh.PublicKey
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, _, options, _, err := gossh.ParseAuthorizedKey([]byte(line))
		if err != nil || len(options) > 0 {
			return p, fmt.Errorf("host_key %s: not a public key; copy a line of a .pub file: ssh-ed25519 AAAA…", quote(line))
		}
		keys = append(keys, key)
		p.known = append(p.known, describeKey(key)+" (host_key)")
	}
	if p.algorithms = algorithmsFor(keys); len(p.algorithms) == 0 {
		return p, errors.New("host_key: no supported public key; copy a line of a .pub file: ssh-ed25519 AAAA…")
	}
	p.check = func(_ string, _ net.Addr, key gossh.PublicKey) error {
		for _, k := range keys {
			if bytes.Equal(k.Marshal(), key.Marshal()) {
				return nil
			}
		}
		return fmt.Errorf("%w: host_key pins %s, but the host showed %s; the connection may be intercepted, or the host "+
			"was "+
			"reinstalled: update host_key only if you know that it was",
			ErrHostKeyChanged, strings.Join(p.known, " and "), describeKey(key))
	}
	return p, nil
}

// algorithmsFor returns the algorithms with which a host can prove that it holds one of keys.
func algorithmsFor(keys []gossh.PublicKey) []string {
	var algorithms []string
	for _, a := range plainHostKeyAlgorithms {
		kind := a
		if a == gossh.KeyAlgoRSASHA512 || a == gossh.KeyAlgoRSASHA256 { // two signature algorithms of one key type: RFC 8332
			kind = gossh.KeyAlgoRSA
		}
		if slices.ContainsFunc(keys, func(k gossh.PublicKey) bool { return k.Type() == kind }) {
			algorithms = append(algorithms, a)
		}
	}
	return algorithms
}

// check compares the key that a host proved to hold with the known ones. As in ssh(1), an entry
// without a port also counts for a host on another port, if that port has no entry and the entry
// has the same key.
func (h *hostKeys) check(t Target, remote net.Addr, key gossh.PublicKey) error {
	if err := h.notRevoked(key); err != nil {
		return err
	}
	err := h.lookUp(t.keyEndpoint(), remote, key)
	if !errors.Is(err, errAbsent) {
		return err
	}
	if bare := t.bareEndpoint(); bare != "" && h.lookUp(bare, remote, key) == nil {
		return nil
	}
	if cert, ok := key.(*gossh.Certificate); ok {
		key = cert.Key
	}
	return h.unknown(t, key)
}

// lookUp compares a key with the entries of a name. The error is errAbsent if the name has no
// entry.
func (h *hostKeys) lookUp(endpoint string, remote net.Addr, key gossh.PublicKey) error {
	key, err := h.trusted(endpoint, key)
	if err != nil {
		return err
	}
	if known := h.acceptedKey(endpoint); known != nil && bytes.Equal(known.Marshal(), key.Marshal()) {
		return nil
	}
	err = h.db.HostKeyCallback()(endpoint, remote, key)
	var differs *xknownhosts.KeyError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &differs):
		differs.Want = slices.DeleteFunc(differs.Want, h.isAuthority)
		if len(differs.Want) > 0 {
			return h.changed(endpoint, key, differs.Want)
		}
		return errAbsent
	default: // an invalid certificate
		return fmt.Errorf("%w: %s is not valid for this host: %s; have the authority sign the host's key again",
			ErrHostKeyChanged, describeKey(key), quote(strings.TrimPrefix(err.Error(), "ssh: ")))
	}
}

// isAuthority reports whether an entry is a @cert-authority line.
func (h *hostKeys) isAuthority(k xknownhosts.KnownKey) bool {
	data, err := os.ReadFile(h.file(k))
	if err != nil {
		return false
	}
	lines := strings.SplitAfter(string(data), "\n")
	return k.Line <= len(lines) && strings.HasPrefix(strings.TrimSpace(lines[k.Line-1]), "@cert-authority")
}

// changed returns the error of a key that differs from the known ones.
func (h *hostKeys) changed(endpoint string, key gossh.PublicKey, known []xknownhosts.KnownKey) error {
	old := known[0]
	for _, k := range known { // prefer the entry of the same type
		if k.Key.Type() == key.Type() {
			old = k
			break
		}
	}
	return fmt.Errorf("%w: %s has %s, but the host showed %s; the connection may be intercepted, or the host was "+
		"reinstalled: "+
		"only if you know that it was, remove the old entry with: ssh-keygen -f %s -R %s",
		ErrHostKeyChanged, h.place(old), describeKey(old.Key), describeKey(key),
		shellWord(h.file(old)), shellWord(entryName(endpoint)))
}

// unknown accepts the key of a host without an entry, or refuses it and names the ways to accept
// it.
func (h *hostKeys) unknown(t Target, key gossh.PublicKey) error {
	if h.accept {
		return h.remember(t.keyEndpoint(), key)
	}
	way := ""
	if t.Jump == nil && t.HostKeyAlias == "" { // ssh-keyscan supports neither
		way = fmt.Sprintf(", or append the output of `ssh-keyscan %s` to known_hosts", t.Address)
		if t.Port != DefaultPort {
			way = fmt.Sprintf(", or append the output of `ssh-keyscan -p %d %s` to known_hosts", t.Port, t.Address)
		}
	}
	return fmt.Errorf("%w: %s is not in %s; compare the fingerprint on the host (ssh-keygen -lf "+
		"/etc/ssh/ssh_host_*_key.pub), "+
		"then add --accept-new-host-keys to the command, or set host_key = %q%s",
		ErrHostKeyUnknown, describeKey(key), strings.Join(h.paths(), ", "), publicLine(key), way)
}

func (h *hostKeys) acceptedKey(endpoint string) gossh.PublicKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.accepted[endpoint]
}

// maxAsterisks is the largest number of asterisks in a pattern of known_hosts.
const maxAsterisks = 8

// describeKey returns a key's type and its fingerprint as ssh-keygen -l prints it.
func describeKey(key gossh.PublicKey) string {
	if cert, ok := key.(*gossh.Certificate); ok {
		return fmt.Sprintf("%s (certificate %s of the authority %s)",
			describeKey(cert.Key), quote(cert.KeyId), describeKey(cert.SignatureKey))
	}
	return quoteType(key.Type()) + " " + gossh.FingerprintSHA256(key)
}

// quoteType quotes the name of a key type if it has unusual characters.
func quoteType(kind string) string {
	if strings.ContainsFunc(kind, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return quote(kind)
	}
	return kind
}

// publicLine returns a key as a line of a .pub file.
func publicLine(key gossh.PublicKey) string {
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key)))
}

// shellWord quotes a word of a shell command in a message.
func shellWord(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/._-:+@%,", r)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
