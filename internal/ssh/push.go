package ssh

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"
)

// unused is how long a helper of another version must be unused before it is removed from an
// account's directories.
const unused = 30 * 24 * time.Hour

// arches maps the output of uname -m to GOARCH.
var arches = map[string]string{
	"x86_64": "amd64", "amd64": "amd64",
	"aarch64": "arm64", "arm64": "arm64",
	"ppc64le": "ppc64le",
	"s390x":   "s390x",
}

// uploader pushes the helper to a host, over SFTP, into a directory of the login account.
type uploader struct {
	*connection
	bundle Bundle

	place   int      // index of the next directory to try
	refused []string // why the directories before it are unusable
	host    *surveyed
}

// surveyed is what a host reports before it has a helper.
type surveyed struct {
	arch string // GOARCH
	uid  uint32
	dirs []string // the directories of command.go, with variables expanded
}

// refuse records why a directory is unusable.
func (u *uploader) refuse(place int, reason string) {
	u.refused = append(u.refused, u.host.dirs[place]+": "+reason)
}

// push installs the helper in the first usable directory, starting at u.place, and sets u.place to
// the next one.
func (u *uploader) push(ctx context.Context) error {
	u.guard.enterFor("pushing the helper", u.opts.TransferTimeout)
	if u.host == nil {
		host, err := u.survey(ctx)
		if err != nil {
			return err
		}
		u.host = host
	}
	data, digest, err := u.bundle.Binary(ctx, u.host.arch)
	if err != nil {
		return err
	}
	for u.place < len(directories) {
		place := u.place
		u.place++
		err := u.install(ctx, place, data, digest)
		var unusable *unusableError
		switch {
		case err == nil:
			u.opts.Log(fmt.Sprintf("host %s: pushed the helper to %s", u.target.Name, u.host.dirs[place]))
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.As(err, &unusable):
			return fmt.Errorf("push the helper: %w", err)
		}
		u.refuse(place, unusable.reason)
	}
	return fmt.Errorf("push the helper: no usable directory on the host: %s; make one of them writable for user %s, "+
		"on a file system without noexec", strings.Join(u.refused, "; "), u.target.User)
}

// survey asks the host for what push needs.
func (s *connection) survey(ctx context.Context) (*surveyed, error) {
	p, err := s.start(ctx, surveyCommand())
	if err != nil {
		return nil, err
	}
	out, err := p.finish(ctx, s)
	if err != nil {
		return nil, err
	}
	_, answer, ok := bytes.Cut(out, []byte(missing+"\n"))
	lines := strings.Split(strings.TrimSuffix(string(answer), "\n"), "\n")
	if !ok || len(lines) != 2+len(directories) {
		return nil, s.noShellError(p)
	}
	h := &surveyed{dirs: lines[2:]}
	if h.arch = arches[lines[0]]; h.arch == "" {
		return nil, fmt.Errorf("the host's architecture %s is not supported", quote(lines[0]))
	}
	uid, err := strconv.ParseUint(lines[1], 10, 32)
	if err != nil {
		return nil, fmt.Errorf("the host failed to run id(1): %s", p.outcome())
	}
	h.uid = uint32(uid)
	for i, dir := range h.dirs {
		if !path.IsAbs(dir) {
			return nil, fmt.Errorf("the host expands %s to %s, not an absolute path", directories[i], quote(dir))
		}
	}
	return h, nil
}

// unusableError: the helper cannot be installed in a directory. Another one may work.
type unusableError struct {
	reason string
	err    error // the SFTP error, or nil
}

func (e *unusableError) Error() string { return e.reason }
func (e *unusableError) Unwrap() error { return e.err }

// unusable returns an unusableError for an SFTP error.
func unusable(what string, err error) error {
	return &unusableError{what + ": " + quote(err.Error()), err}
}

// install uploads the helper into a directory under a temporary name; the host then verifies and
// renames it. Only one session is open at a time, for hosts that permit no more (MaxSessions).
func (u *uploader) install(ctx context.Context, place int, data []byte, digest string) error {
	temp := newTempName()
	err := u.withSFTP(ctx, func(c *sftp.Client) error { return u.upload(c, place, temp, data) })
	if err != nil {
		return err
	}
	return u.settle(ctx, place, temp, digest)
}

// settle makes the host verify and rename an uploaded file.
func (u *uploader) settle(ctx context.Context, place int, temp, digest string) error {
	p, err := u.start(ctx, installCommand(place, temp, digest, u.bundle.ID()))
	if err != nil {
		return err
	}
	if err := p.ch.CloseWrite(); err != nil && !errors.Is(err, io.EOF) {
		return u.lostError(ctx, err)
	}
	if _, err := p.finish(ctx, u.connection); err != nil {
		return err
	}
	switch p.status {
	case 0:
		return nil
	case exitNoDirectory:
		return &unusableError{reason: "SFTP and the login shell see different directories: " + p.outcome()}
	case exitWrongDigest:
		return &unusableError{reason: "what arrived differs from what was sent"}
	case exitNotRunnable:
		return &unusableError{reason: "programs cannot be executed there: " + p.outcome()}
	case exitNoDigest:
		if digest == "" {
			break
		}
		if err := u.withSFTP(ctx, func(c *sftp.Client) error { return u.readBack(c, place, temp, digest) }); err != nil {
			return err
		}
		return u.settle(ctx, place, temp, "")
	}
	return &unusableError{reason: p.outcome()}
}

// inFlight is how many writes of 32 KiB may be unanswered. OpenSSH's server copies its whole input
// buffer each time the buffer grows: with 64, a push costs the host three times as much CPU time as
// with 16.
const inFlight = 16

// withSFTP runs f with an SFTP client.
func (u *uploader) withSFTP(ctx context.Context, f func(*sftp.Client) error) error {
	ch, requests, err := u.openChannel(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = ch.Close() }()
	go gossh.DiscardRequests(requests)
	go func() { _, _ = io.Copy(io.Discard, ch.Stderr()) }()
	ok, err := ch.SendRequest("subsystem", true, gossh.Marshal(struct{ Name string }{"sftp"}))
	if err != nil {
		return u.lostError(ctx, err)
	}
	if !ok {
		return errNoSFTP
	}
	client, err := sftp.NewClientPipe(&versionReader{r: ch}, ch,
		sftp.UseConcurrentWrites(true), sftp.MaxConcurrentRequestsPerFile(inFlight))
	if err != nil {
		if lost := u.conn.lost(); lost != nil || ctx.Err() != nil {
			return u.lostError(ctx, err)
		}
		return fmt.Errorf("%w: %s", errNoSFTP, quote(err.Error()))
	}
	err = f(client)
	if errors.Is(err, sftp.ErrSSHFxConnectionLost) {
		err = fmt.Errorf("the SFTP session ended: %s", quote(fmt.Sprint(client.Wait())))
	}
	if lost := u.conn.lost(); err != nil && (lost != nil || ctx.Err() != nil) {
		err = u.lostError(ctx, err)
	}
	_ = client.Close()
	return err
}

// errNoSFTP: the host has no SFTP server to push the helper to.
var errNoSFTP = errors.New("the host has no working SFTP subsystem: enable it in sshd_config (Subsystem sftp " +
	"internal-sftp)")

// versionReader reads an SFTP server's output and skips what login scripts print before it: the
// login shell starts an external SFTP server.
type versionReader struct {
	r        io.Reader
	ahead    []byte // bytes read from r; once found, they start with the first packet
	searched int    // bytes of ahead that do not start the first packet
	found    bool
}

// Read implements io.Reader.
func (v *versionReader) Read(b []byte) (int, error) {
	var chunk [512]byte
	for !v.found {
		n, err := v.r.Read(chunk[:])
		v.ahead = append(v.ahead, chunk[:n]...)
		if i := versionPacket(v.ahead[v.searched:]); i >= 0 {
			v.ahead, v.found = v.ahead[v.searched+i:], true
			break
		}
		v.searched = max(0, len(v.ahead)-versionHeader+1)
		if err != nil {
			return 0, fmt.Errorf("%w; it printed %s", err, quote(string(v.ahead)))
		}
		if len(v.ahead) > maxNoise {
			return 0, fmt.Errorf("it printed more than %d KiB without an SFTP version", maxNoise>>10)
		}
	}
	if len(v.ahead) > 0 {
		n := copy(b, v.ahead)
		v.ahead = v.ahead[n:]
		return n, nil
	}
	return v.r.Read(b)
}

// versionHeader is how many bytes identify a version packet.
const versionHeader = 9

// versionPacket returns the index of the first packet of an SFTP server, or -1 if it has not
// arrived: a length (four bytes, the first two zero, unlike text), SSH_FXP_VERSION (2), and version
// 3 (draft-ietf-secsh-filexfer-02, section 4).
func versionPacket(b []byte) int {
	for i := 0; i+versionHeader <= len(b); i++ {
		if b[i] == 0 && b[i+1] == 0 && bytes.Equal(b[i+4:i+versionHeader], []byte{2, 0, 0, 0, 3}) {
			return i
		}
	}
	return -1
}

// upload writes the helper into a directory under a temporary name.
func (u *uploader) upload(c *sftp.Client, place int, temp string, data []byte) (err error) {
	dir := u.host.dirs[place]
	if err := u.prepare(c, dir, place == 0); err != nil {
		return err
	}
	file := path.Join(dir, temp)
	f, err := c.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return unusable("create a file", err)
	}
	defer func() {
		if err != nil {
			_ = c.Remove(file)
		}
	}()
	if err := f.Chmod(0o500); err != nil {
		return errors.Join(unusable("chmod", err), f.Close())
	}
	if _, err := f.ReadFrom(bytes.NewReader(data)); err != nil {
		return errors.Join(unusable("write (is the file system full?)", err), f.Close())
	}
	if _, ok := c.HasExtension("fsync@openssh.com"); ok {
		if err := f.Sync(); err != nil {
			return errors.Join(unusable("fsync", err), f.Close())
		}
	}
	if err := f.Close(); err != nil {
		return unusable("write", err)
	}
	u.sweep(c, dir, temp)
	return nil
}

// prepare creates a directory that belongs to the user, with mode 0700. If it exists, prepare
// checks that.
func (u *uploader) prepare(c *sftp.Client, dir string, withParent bool) error {
	info, err := c.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if parent := path.Dir(dir); withParent {
			if err := c.Mkdir(parent); err == nil {
				_ = c.Chmod(parent, 0o700) // ~/.cache: XDG Base Directory Specification
			}
		}
		if err := c.Mkdir(dir); err != nil {
			return unusable("mkdir", err)
		}
		info, err = c.Lstat(dir)
	}
	if err != nil {
		return unusable("stat", err)
	}
	stat, ok := info.Sys().(*sftp.FileStat)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return &unusableError{reason: "it is a symbolic link"}
	case !info.IsDir():
		return &unusableError{reason: "it is not a directory"}
	case !ok || stat.UID != u.host.uid:
		return &unusableError{reason: "it belongs to another user"}
	case info.Mode().Perm() != 0o700:
		if err := c.Chmod(dir, 0o700); err != nil {
			return unusable("chmod", err)
		}
	}
	return nil
}

// sweep removes helpers of other versions that are long unused, and the remains of interrupted
// pushes. It compares their times with that of the file just written, so that only the host's clock
// counts.
func (u *uploader) sweep(c *sftp.Client, dir, temp string) {
	now, err := c.Lstat(path.Join(dir, temp))
	if err != nil {
		return
	}
	entries, err := c.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		name := e.Name()
		limit := unused
		switch {
		case !e.Mode().IsRegular() || name == temp || name == helperName(u.bundle.ID()):
			continue
		case strings.HasPrefix(name, ".helper-"):
			limit = 24 * time.Hour
		case !strings.HasPrefix(name, "helper-"):
			continue
		}
		used := e.ModTime()
		if stat, ok := e.Sys().(*sftp.FileStat); ok {
			if read := time.Unix(int64(stat.Atime), 0); read.After(used) {
				used = read
			}
		}
		if now.ModTime().Sub(used) > limit {
			_ = c.Remove(path.Join(dir, path.Base(name)))
		}
	}
}

// readBack verifies an uploaded file over SFTP, for hosts without sha256sum(1).
func (u *uploader) readBack(c *sftp.Client, place int, temp, digest string) error {
	file := path.Join(u.host.dirs[place], temp)
	f, err := c.Open(file)
	if err != nil {
		return unusable("read back", err)
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return unusable("read back", err)
	}
	if hex.EncodeToString(h.Sum(nil)) != digest {
		_ = c.Remove(file)
		return &unusableError{reason: "what arrived differs from what was sent"}
	}
	return nil
}
