package ssh

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// maxPassphrases is how many wrong passphrases are accepted before giving up, as in ssh(1).
const maxPassphrases = 3

// candidate is a key that a host may accept.
type candidate struct {
	label string          // for messages
	pub   gossh.PublicKey // nil: unknown until the file is decrypted
	sign  signFunc
	file  *identity // nil: a key of the agent
	named bool      // the configuration names it; the order of such keys is the user's
}

// signFunc signs data with an algorithm of RFC 4253, 5656, 8332 or 8709. It calls pause before it
// waits for the user.
type signFunc func(
	ctx context.Context, pause func() (resume func()), data []byte, algorithm string,
) (*gossh.Signature, error)

// keyring holds the keys of one run.
type keyring struct {
	socket     string // the agent's socket, unless the target sets another
	passphrase func(file string) ([]byte, error)
	answer     func(host, question string) (string, error)
	prompt     sync.Mutex // one prompt at a time

	mu     sync.Mutex
	files  map[string]*identity
	agents map[string]*agentKeys
}

func newKeyring(
	socket string, passphrase func(string) ([]byte, error), answer func(string, string) (string, error),
) *keyring {
	return &keyring{
		socket: socket, passphrase: passphrase, answer: answer,
		files: map[string]*identity{}, agents: map[string]*agentKeys{},
	}
}

// agent returns the agent for a target.
func (k *keyring) agent(t Target) *agentKeys {
	socket := cmp.Or(t.AgentSocket, k.socket, os.Getenv("SSH_AUTH_SOCK"))
	if socket == "none" {
		socket = ""
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.agents[socket]
	if a == nil {
		a = &agentKeys{socket: socket}
		k.agents[socket] = a
	}
	return a
}

// candidates returns the keys for a target in the order to try them: the identity files that it
// names, then the agent's keys; or, if it names none, the agent's keys, then the default files.
// problems lists keys that cannot be used, and why.
func (k *keyring) candidates(t Target) (keys []candidate, problems []string) {
	agentKeys, err := k.agent(t).list()
	if err != nil {
		problems = append(problems, err.Error())
	}
	files, named := t.Identities, true
	if files == nil {
		files, named = []string{"~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"}, false
	}
	var fromFiles []candidate
	for _, file := range files {
		found, err := k.fromFile(file, agentKeys)
		if err != nil && (named || !errors.Is(err, fs.ErrNotExist)) {
			problems = append(problems, err.Error())
		}
		fromFiles = append(fromFiles, found...)
	}
	certified, certProblems := certificates(t.Certificates, slices.Concat(fromFiles, agentKeys))
	fromFiles, problems = slices.Concat(certified, fromFiles), append(problems, certProblems...)
	if t.IdentitiesOnly {
		agentKeys = nil
	}
	all := [][]candidate{agentKeys, fromFiles}
	if named {
		all = [][]candidate{fromFiles, agentKeys}
	}
	seen := map[string]bool{}
	for i, list := range all {
		for _, c := range list {
			if c.pub != nil {
				if id := string(c.pub.Marshal()); seen[id] {
					continue
				} else {
					seen[id] = true
				}
			}
			c.named = named && i == 0
			keys = append(keys, c)
			if cert, ok := c.pub.(*gossh.Certificate); ok {
				problems = append(problems, expiry(cert, c.label, time.Now())...)
			}
		}
	}
	return keys, problems
}

// fromFile returns the keys of an identity file: its certificate (FILE-cert.pub), if any, and the
// key. If the agent holds the key too, the agent signs: it needs no passphrase.
func (k *keyring) fromFile(name string, agentKeys []candidate) ([]candidate, error) {
	path, err := expandHome(name)
	if err != nil {
		return nil, fmt.Errorf("identity %s: %w", name, err)
	}
	id := k.identity(path)
	if id.err != nil {
		return nil, id.err
	}
	plain := candidate{label: path, pub: id.pub, sign: id.sign, file: id}
	held := false
	for _, a := range agentKeys {
		if id.pub != nil && bytes.Equal(a.pub.Marshal(), id.pub.Marshal()) {
			plain, held = candidate{label: path + " (ssh-agent)", pub: a.pub, sign: a.sign}, true
			break
		}
	}
	if id.pem == nil && !held {
		return nil, fmt.Errorf("identity %s: this is a public key, and ssh-agent does not hold its private key", path)
	}
	keys := []candidate{plain}
	if cert := id.certificate(); cert != nil {
		withCert := plain
		withCert.label, withCert.pub = path+"-cert.pub", cert
		keys = []candidate{withCert, plain}
	}
	return keys, nil
}

// certificates reads certificate files (ssh_config(5), CertificateFile) and pairs each with the key
// that it certifies.
func certificates(files []string, keys []candidate) (certified []candidate, problems []string) {
	for _, name := range files {
		path, err := expandHome(name)
		if err != nil {
			problems = append(problems, fmt.Sprintf("certificate %s: %v", name, err))
			continue
		}
		cert, ok := readPublicKey(path).(*gossh.Certificate)
		if !ok || cert.CertType != gossh.UserCert {
			problems = append(problems, fmt.Sprintf("certificate %s: the file does not contain a user certificate", path))
			continue
		}
		i := slices.IndexFunc(keys, func(c candidate) bool {
			return c.pub != nil && bytes.Equal(c.pub.Marshal(), cert.Key.Marshal())
		})
		if i < 0 {
			problems = append(problems, fmt.Sprintf("certificate %s: its key is not in an identity file or ssh-agent", path))
			continue
		}
		withCert := keys[i]
		withCert.label, withCert.pub = path, cert
		certified = append(certified, withCert)
	}
	return certified, problems
}

// expiry reports a certificate that is not valid now by this machine's clock. It is offered
// nevertheless, since the host's clock decides.
func expiry(cert *gossh.Certificate, label string, now time.Time) []string {
	const layout = "2006-01-02 15:04:05 MST"
	switch unix := uint64(now.Unix()); {
	case unix < cert.ValidAfter && cert.ValidAfter <= math.MaxInt64:
		from := time.Unix(int64(cert.ValidAfter), 0).UTC().Format(layout)
		return []string{fmt.Sprintf("certificate %s: not valid before %s", label, from)}
	case unix >= cert.ValidBefore: // "forever" is the largest number
		until := time.Unix(int64(cert.ValidBefore), 0).UTC().Format(layout)
		return []string{fmt.Sprintf("certificate %s: expired on %s", label, until)}
	}
	return nil
}

// identity is an identity file, read once.
type identity struct {
	path string
	pub  gossh.PublicKey // nil: unknown until it is decrypted
	pem  []byte          // nil: the file has a public key
	err  error           // why it cannot be used

	ring   *keyring
	once   sync.Once
	opened chan struct{} // closed when signer or failed is set
	signer gossh.AlgorithmSigner
	failed error
}

// identity returns the identity of a file. It reads the file once.
func (k *keyring) identity(path string) *identity {
	k.mu.Lock()
	defer k.mu.Unlock()
	id, ok := k.files[path]
	if !ok {
		id = &identity{path: path, ring: k, opened: make(chan struct{})}
		if err := id.read(); err != nil {
			id.err = fmt.Errorf("identity %s: %w", path, err)
		}
		k.files[path] = id
	}
	return id
}

// read reads the file without decrypting it.
func (id *identity) read() error {
	f, err := os.Open(id.path)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) { // the message names the file already
			return path.Err
		}
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return err
	}
	if pub, _, _, _, err := gossh.ParseAuthorizedKey(data); err == nil {
		id.pub = pub
		return nil
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("mode %#o lets other users read it, so ssh ignores it; run: chmod 600 %s",
			info.Mode().Perm(), shellWord(id.path))
	}
	if onHardware(data) {
		return errors.New(hardwareKey)
	}
	signer, err := gossh.ParsePrivateKey(data)
	var encrypted *gossh.PassphraseMissingError
	switch {
	case errors.As(err, &encrypted):
		id.pem = data
		if id.pub = encrypted.PublicKey; id.pub == nil {
			id.pub = readPublicKey(id.path + ".pub")
		}
		return nil
	case err != nil:
		return err
	}
	id.pem = data
	return id.use(signer)
}

// use sets the decrypted key.
func (id *identity) use(signer gossh.Signer) error {
	s, ok := signer.(gossh.AlgorithmSigner)
	if !ok {
		return fmt.Errorf("keys of type %s are not supported", signer.PublicKey().Type())
	}
	id.once.Do(func() {})
	id.pub, id.signer = s.PublicKey(), s
	close(id.opened)
	return nil
}

// readPublicKey reads a .pub file. It returns nil if the file is missing or unusable.
func readPublicKey(path string) gossh.PublicKey {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	pub, _, _, _, err := gossh.ParseAuthorizedKey(data)
	if err != nil {
		return nil
	}
	return pub
}

// certificate returns the user certificate beside the file, if it certifies this key (ssh(1),
// option -i).
func (id *identity) certificate() *gossh.Certificate {
	cert, ok := readPublicKey(strings.TrimSuffix(id.path, ".pub") + "-cert.pub").(*gossh.Certificate)
	if !ok || cert.CertType != gossh.UserCert || id.pub == nil || !bytes.Equal(cert.Key.Marshal(), id.pub.Marshal()) {
		return nil
	}
	return cert
}

// open decrypts the key. If it needs a passphrase, it asks once for all hosts that wait for the
// key.
func (id *identity) open(ctx context.Context, pause func() func()) (gossh.AlgorithmSigner, error) {
	id.once.Do(func() {
		go func() { // so that a cancelled host does not wait for the user
			defer close(id.opened)
			id.signer, id.failed = id.decrypt()
		}()
	})
	select {
	case <-id.opened:
		return id.signer, id.failed
	default:
	}
	resume := pause()
	defer resume()
	select {
	case <-id.opened:
		return id.signer, id.failed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// decrypt asks for the passphrase, up to maxPassphrases times, until it is correct.
func (id *identity) decrypt() (gossh.AlgorithmSigner, error) {
	if id.ring.passphrase == nil {
		return nil, fmt.Errorf("identity %s is encrypted, and there is no terminal to ask for its passphrase; run: "+
			"ssh-add %s",
			id.path, shellWord(id.path))
	}
	id.ring.prompt.Lock()
	defer id.ring.prompt.Unlock()
	for range maxPassphrases {
		passphrase, err := id.ring.passphrase(id.path)
		if err != nil {
			return nil, fmt.Errorf("identity %s: passphrase: %w", id.path, err)
		}
		signer, err := gossh.ParsePrivateKeyWithPassphrase(id.pem, passphrase)
		clear(passphrase)
		if errors.Is(err, x509.IncorrectPasswordError) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("identity %s: %w", id.path, err)
		}
		s, ok := signer.(gossh.AlgorithmSigner)
		if !ok {
			return nil, fmt.Errorf("identity %s: keys of type %s are not supported", id.path, signer.PublicKey().Type())
		}
		return s, nil
	}
	return nil, fmt.Errorf("identity %s: wrong passphrase", id.path)
}

// sign is the identity's signFunc.
func (id *identity) sign(
	ctx context.Context, pause func() func(), data []byte, algorithm string,
) (*gossh.Signature, error) {
	signer, err := id.open(ctx, pause)
	if err != nil {
		return nil, err
	}
	return signer.SignWithAlgorithm(nil, data, algorithm)
}

// boundSigner is a candidate bound to one connection. It implements ssh.MultiAlgorithmSigner.
type boundSigner struct {
	candidate
	ctx   context.Context
	pause func() func()
	// Callbacks of the connection, called by the goroutine that authenticates.
	offered, signed func()
	failed          func(error)
}

// PublicKey implements ssh.Signer. The library calls it when it offers the key.
func (s *boundSigner) PublicKey() gossh.PublicKey {
	s.offered()
	return s.pub
}

// Sign implements ssh.Signer.
func (s *boundSigner) Sign(rand io.Reader, data []byte) (*gossh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, s.Algorithms()[0])
}

// SignWithAlgorithm implements ssh.AlgorithmSigner.
func (s *boundSigner) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (*gossh.Signature, error) {
	signature, err := s.sign(s.ctx, s.pause, data, algorithm)
	if err != nil {
		s.failed(err)
		return nil, err
	}
	s.signed()
	return signature, nil
}

// Algorithms implements ssh.MultiAlgorithmSigner. RSA keys never sign with SHA-1 (RFC 8332).
func (s *boundSigner) Algorithms() []string {
	pub := s.pub
	if cert, ok := pub.(*gossh.Certificate); ok {
		pub = cert.Key
	}
	if pub.Type() == gossh.KeyAlgoRSA {
		return []string{gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256}
	}
	return []string{pub.Type()}
}
