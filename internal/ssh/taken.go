package ssh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// Each connection on which a host refuses keys counts as a failed login, even if a later connection
// offers the right key. OpenSSH 9.8 and later penalises an address by 5 seconds for each, and
// rejects it above 15 seconds (sshd_config(5), PerSourcePenalties). fail2ban counts them too.
const (
	penalty    = 5 * time.Second
	maxPenalty = 15 * time.Second
	// maxTakenFile is the size, in bytes, above which the file of takenKeys is truncated.
	maxTakenFile = 1 << 20
)

// takenKeys remembers which key a host accepted, for logins that needed more than one connection to
// find it. The next login offers that key first.
type takenKeys struct {
	file string // "": remembered for this run only
	log  func(string)

	mu   sync.Mutex
	keys map[string]string // fingerprint by login; nil until the file is read
}

// login identifies the login for which a key is remembered.
func (t Target) login() string { return t.User + "@" + t.server() }

// server identifies a server: its address, and the jump hosts on the way to it.
func (t Target) server() string {
	if t.Jump == nil {
		return t.endpoint()
	}
	return t.endpoint() + "," + t.Jump.server()
}

// fingerprint identifies a key. It identifies a certificate by its key, since certificates are
// renewed.
func fingerprint(pub gossh.PublicKey) string {
	if cert, ok := pub.(*gossh.Certificate); ok {
		return gossh.FingerprintSHA256(cert.Key) + "-cert"
	}
	return gossh.FingerprintSHA256(pub)
}

// known returns the fingerprint of the key last accepted for a login, or "".
func (k *takenKeys) known(login string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = k.read()
	}
	return k.keys[login]
}

// read reads the file. The last line of a login counts. A missing file and damaged lines are
// ignored.
func (k *takenKeys) read() map[string]string {
	keys := map[string]string{}
	if k.file == "" {
		return keys
	}
	data, err := os.ReadFile(k.file)
	if err != nil {
		return keys
	}
	for line := range strings.Lines(string(data)) {
		if login, id, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			keys[login] = id
		}
	}
	return keys
}

// note records the key of a login.
func (k *takenKeys) note(login string, key gossh.PublicKey) {
	id := fingerprint(key)
	if k.known(login) == id {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[login] = id
	if k.file == "" {
		return
	}
	if err := k.write(login + " " + id + "\n"); err != nil {
		k.log(fmt.Sprintf("cannot save which key was accepted for %s: %v", login, err))
	}
}

// write appends a line with one write, since other processes append too.
func (k *takenKeys) write(line string) (err error) {
	if err := os.MkdirAll(filepath.Dir(k.file), 0o700); err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_APPEND | os.O_CREATE
	if info, err := os.Stat(k.file); err == nil && info.Size() > maxTakenFile {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(k.file, flags, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// promote moves the key with a fingerprint to the front, but behind the keys that the configuration
// names, whose order is the user's. It is always offered on the first connection.
func promote(keys []candidate, id string) []candidate {
	at := slices.IndexFunc(keys, func(c candidate) bool { return c.pub != nil && fingerprint(c.pub) == id })
	named := 0
	for named < len(keys) && keys[named].named {
		named++
	}
	place := min(named, keysPerConnection-1)
	if at <= place {
		return keys
	}
	return slices.Concat(keys[:place], keys[at:at+1], keys[place:at], keys[at+1:])
}

// searches slows down the logins of this run that search for their key, so that the server does not
// reject this machine.
type searches struct {
	mu      sync.Mutex
	servers map[string]*search
}

// search is the state for one server.
type search struct {
	turn chan struct{} // has a token while a login searches
	mu   sync.Mutex
	// until is the end of the penalties for this run's failed logins.
	until time.Time
}

func (s *searches) of(server string) *search {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.servers[server]
	if found == nil {
		found = &search{turn: make(chan struct{}, 1)}
		s.servers[server] = found
	}
	return found
}

// begin waits until no other login searches.
func (s *search) begin(ctx context.Context) (end func(), err error) {
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// failed records a connection on which keys were refused.
func (s *search) failed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.until.Before(now) {
		s.until = now
	}
	s.until = s.until.Add(penalty)
}

// delay returns how long the next connection has to wait, so that the server does not reject later
// ones even if it refuses these keys too.
func (s *search) delay() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, max(0, time.Until(s.until))+penalty-maxPenalty)
}

// await waits until a connection may be made.
func (s *search) await(ctx context.Context) error {
	select {
	case <-time.After(s.delay()):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// penalises reports whether a server may reject an address for failed logins. OpenSSH does since
// 9.8; other servers may.
func penalises(version string) bool {
	_, release, ok := strings.Cut(version, "-OpenSSH_")
	if !ok {
		return true
	}
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return true
	}
	return major > 9 || major == 9 && minor >= 8
}
