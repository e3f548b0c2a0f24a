package agent

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// commit commits a transaction. If it returns an error with committed unset, the transaction is not
// committed. With committed set, some of its files still have to be removed.
func (t *transaction) commit(m *wire.Commit) (committed bool, err error) {
	h := t.host
	if len(m.Manifest) > wire.MaxManifest {
		return false, fmt.Errorf("the manifest has %d bytes, the limit is %d", len(m.Manifest), wire.MaxManifest)
	}
	c := &commitment{Manifest: len(m.Manifest) > 0}
	if c.Manifest {
		kind := uint32(0)
		var st unix.Stat_t
		if unix.Lstat(h.state.manifestFile(), &st) == nil {
			kind = st.Mode & unix.S_IFMT
		}
		if m.Aside && kind != 0 {
			c.Aside = h.state.freeName()
		} else if kind != 0 && kind != unix.S_IFREG {
			return false, fmt.Errorf("%s is not a regular file, and is not replaced", h.state.manifestFile())
		}
	}
	if !c.Manifest && t.dir == "" {
		return true, nil
	}
	// A new manifest without operations needs no journal: it replaces the old one at once. If the old
	// one has to be kept, there are two steps.
	if t.dir == "" && c.Aside == "" {
		err := h.files.replaceFile(h.state.manifestFile(), m.Manifest, 0o600)
		return err == nil, err
	}
	if err := t.open(); err != nil {
		return false, err
	}
	if c.Manifest {
		if err := h.files.replaceFile(t.dir+"/"+newManifest, m.Manifest, 0o600); err != nil {
			return false, err
		}
	}
	// This file commits the transaction.
	if err := h.files.replaceFile(t.dir+"/"+commitName, wire.Encode(c), 0o600); err != nil {
		back := unlink(unix.AT_FDCWD, t.dir+"/"+commitName)
		if back == nil {
			back = syncPath(t.dir)
		}
		if back != nil && !absent(back) {
			return true, fmt.Errorf("the disk fails, so it is not known whether the transaction is committed: %w", err)
		}
		return false, err
	}
	return true, t.finish(c)
}

// finish completes a committed transaction. It can be repeated.
func (t *transaction) finish(c *commitment) error {
	h := t.host
	if c.Manifest && exists(t.dir+"/"+newManifest) {
		if c.Aside != "" && strings.HasPrefix(c.Aside, "manifest.json.") && !strings.Contains(c.Aside, "/") && !exists(h.state.dir+"/"+c.Aside) {
			err := h.files.move(unix.AT_FDCWD, h.state.manifestFile(), unix.AT_FDCWD, h.state.dir+"/"+c.Aside)
			if err != nil && !absent(err) {
				return fmt.Errorf("keep the old manifest: %w", err)
			}
		}
		if err := rename(unix.AT_FDCWD, t.dir+"/"+newManifest, unix.AT_FDCWD, h.state.manifestFile()); err != nil {
			return fmt.Errorf("replace the manifest: %w", err)
		}
	}
	if err := syncPath(h.state.dir); err != nil {
		return err
	}
	return t.tidy()
}

// recover completes or rolls back the transactions that earlier runs left open; it returns nil if
// there were none. The lock is held.
func (h *host) recover() (*wire.Recovered, error) {
	dirs, err := h.state.journals()
	if err != nil {
		return nil, fmt.Errorf("an earlier transaction could not be rolled back or completed: %w", err)
	}
	var r *wire.Recovered
	for _, dir := range dirs {
		if r = h.recoverOne(dir); len(r.Errors) > 0 {
			return r, nil
		}
	}
	// These are left over from a transaction that was ending when its journal was removed, and from
	// commits without a journal.
	for _, dir := range []string{h.state.dir, h.state.dir + "/loaded"} {
		if err := newTransaction(h, header{}).sweepDir(dir, tempPrefix); err != nil {
			return r, fmt.Errorf("leftover files of an earlier run could not be removed: %w", err)
		}
	}
	if err := h.boot.disable(nil); err != nil && !errors.Is(err, unix.EROFS) {
		return r, fmt.Errorf("leftover files of an earlier run could not be removed: %w", err)
	}
	// A unit that stays on a read-only file system does no harm: it finds no open transaction.
	return r, nil
}

func (h *host) recoverOne(dir string) *wire.Recovered {
	j, err := loadJournal(dir)
	r := &wire.Recovered{}
	fail := func(err error) *wire.Recovered {
		r.Errors, r.Journal = append(r.Errors, printable(withReason(err))), dir
		return r
	}
	if j == nil {
		return fail(err)
	}
	t := newTransaction(h, header{})
	t.journal = *j
	defer t.close()
	r.ID, r.Operator, r.Command = t.ID, t.Operator, t.Command
	if err != nil {
		return fail(err)
	}
	h.files.transaction = t.ID
	defer func() { h.files.transaction = "" }()
	data, err := readFile(dir + "/" + commitName)
	switch {
	case err == nil:
		var c commitment
		r.Committed = true
		if err = wire.Decode(data, &c); err == nil {
			err = t.finish(&c)
		}
		if err != nil {
			return fail(fmt.Errorf("%s: %w", dir, err))
		}
		return r
	case !absent(err):
		return fail(err)
	}
	r.Undone, r.Errors = t.rollback()
	r.Stays = t.stays
	if len(r.Errors) > 0 {
		r.Journal = dir
	}
	return r
}

// Recover completes or rolls back a transaction that was open when the host stopped, and writes the
// result to out, one line each. It does nothing while another run holds the lock: that run has
// already recovered. It returns an error if the rollback was not complete.
func Recover(out io.Writer, o Options) error {
	armFaults()
	h := newHost(o.stateDir())
	h.boot = h.ownBoot()
	err := h.lock.try(&wire.Begin{Operator: "mirrorform-recover", Command: "recover"})
	say := func(line string) { _, _ = io.WriteString(out, line+"\n") } // the journal of systemd may be unavailable
	if errors.Is(err, errHeld) {
		if who := h.lock.held(); who != nil {
			say(fmt.Sprintf("nothing done: locked by another run: %s (%s, since %s)", who.Operator, who.Command, who.Since))
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer h.lock.release()
	r, err := h.recover()
	if r != nil {
		what := "transaction " + r.ID + " of " + r.Operator + " (" + r.Command + ")"
		switch {
		case len(r.Errors) > 0:
			say(what + " could not be rolled back completely; its journal is " + r.Journal)
		case r.Committed:
			say(what + " was committed, and its temporary files are removed")
		default:
			say(fmt.Sprintf("%s was rolled back (%d operations)", what, r.Undone))
		}
		for _, line := range r.Stays {
			say("stays: " + line)
		}
		for _, line := range r.Errors {
			say("error: " + line)
		}
		if len(r.Errors) > 0 && err == nil {
			err = errors.New("not everything could be rolled back")
		}
	}
	return err
}

// ownBoot returns the files that recover this host when it starts, or nil if that is not possible.
func (h *host) ownBoot() *bootFiles {
	if !h.facts.Systemd || unix.Geteuid() != 0 || h.state.dir != DefaultStateDir {
		return nil
	}
	return newBootFiles("")
}

// confirm records a confirmation of a transaction that another process has open.
func (h *host) confirm(c *wire.Confirm) error {
	if err := checkID(c.ID); err != nil {
		return err
	}
	if err := checkNonce(c.Nonce); err != nil {
		return err
	}
	dir := h.state.dir + "/journal/" + c.ID
	if !exists(dir+"/"+headerName) || exists(dir+"/"+commitName) || h.lock.held() == nil {
		return fmt.Errorf("no open transaction %s on this host: it has ended or was rolled back", c.ID)
	}
	return h.files.replaceFile(dir+"/"+confirmedName, []byte(c.Nonce), 0o600)
}

// confirmed reports whether the transaction was confirmed with a nonce.
func (t *transaction) confirmed(nonce string) bool {
	data, err := readFile(t.dir + "/" + confirmedName)
	return t.dir != "" && err == nil && string(data) == nonce
}

func checkNonce(nonce string) error { return checkHex("nonce", nonce, 128) }
