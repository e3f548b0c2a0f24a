package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/skeema/knownhosts"
	gossh "golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/sys/unix"
)

// remember adds the key of a new host to the first known_hosts file. Since another process may do
// the same, it locks the file and reads it again under the lock.
func (h *hostKeys) remember(endpoint string, key gossh.PublicKey) (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	paths := h.paths()
	if len(paths) == 0 {
		return errors.New("accept host key: no known_hosts file to add it to")
	}
	file := paths[0]
	if file == os.DevNull { // in ssh_config(5), the usual way to store no keys
		h.accepted[endpoint] = key
		h.log(fmt.Sprintf("accepted the host key of %s for this run, %s", entryName(endpoint), describeKey(key)))
		return nil
	}
	defer func() {
		if err != nil && !errors.Is(err, ErrHostKeyChanged) {
			err = fmt.Errorf("accept host key: %w", err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }() // also releases the lock
	if err := flock(f); err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	cleaned, _ := withoutBadLines(data)
	switch err := h.alreadyThere(endpoint, key, file, cleaned); {
	case errors.Is(err, errAbsent):
	case err != nil:
		return err
	default:
		h.accepted[endpoint] = key
		return nil
	}

	name := entryName(endpoint)
	hashed := name
	if bytes.HasPrefix(data, []byte("|1|")) || bytes.Contains(data, []byte("\n|1|")) {
		hashed = xknownhosts.HashHostname(name)
	}
	line := hashed + " " + publicLine(key) + "\n"
	if len(data) > 0 && !bytes.HasSuffix(data, []byte("\n")) {
		line = "\n" + line
	}
	if _, err := f.WriteString(line); err != nil { // one write, so that readers see all of it or nothing
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	h.accepted[endpoint] = key
	h.log(fmt.Sprintf("%s: added the host key of %s, %s", file, name, describeKey(key)))
	return nil
}

// errAbsent: a file has no entry for a host.
var errAbsent = errors.New("no entry")

// alreadyThere searches the content of a known_hosts file for a host. It returns nil if the host
// has this key, and errAbsent if it has none.
func (h *hostKeys) alreadyThere(endpoint string, key gossh.PublicKey, file string, content []byte) error {
	copied, err := writeTemp(content)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(copied) }()
	db, err := knownhosts.NewDB(copied)
	if err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), copied, file))
	}
	var differs *xknownhosts.KeyError
	err = db.HostKeyCallback()(endpoint, unspecified, key)
	if !errors.As(err, &differs) {
		return err
	}
	for _, k := range differs.Want {
		if k.Filename = file; !h.isAuthority(k) {
			return h.changed(endpoint, key, []xknownhosts.KnownKey{k})
		}
	}
	return errAbsent
}

// unspecified replaces the address of a host in lookups by name.
var unspecified = &net.TCPAddr{IP: net.IPv4zero}

// flock waits for an exclusive lock on a file.
func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
