package agent

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// fstab is the file that lists the mounts of the host (fstab(5)).
type fstab struct {
	path     string
	systemd  bool // reload systemd after each change
	accounts *accountDB
	files    *files
	programs *programs
}

// target returns the file to change: fstab itself, or the file that it links to, if only root can
// change that. The link stays.
func (f *fstab) target() (string, error) {
	file, root := f.path, func(uid int) bool { return uid == 0 || uid == unix.Geteuid() }
	for range maxLinks {
		p, err := at(file)
		if err != nil {
			return "", err
		}
		var dir unix.Stat_t
		err = unix.Fstat(p.dir, &dir)
		p.close()
		was := p.was
		switch {
		case err != nil:
			return "", fmt.Errorf("stat %s: %w", path.Dir(file), err)
		case file == f.path && was.Kind != wire.Symlink:
			return file, nil
		case !root(int(dir.Uid)) || dir.Mode&0o022 != 0:
			return "", fmt.Errorf("%s is a link to %s, which is not changed: users other than root can write to its directory",
				f.path, file)
		case !root(was.UID) || was.Kind == wire.Regular && was.Mode&0o022 != 0:
			return "", fmt.Errorf("%s is a link to %s, which is not changed: users other than root can write to it",
				f.path, file)
		case was.Kind == wire.Regular:
			return file, nil
		case was.Kind != wire.Symlink:
			return "", fmt.Errorf("%s is a link to %s, which is not a file: create the file, or replace the link with a file",
				f.path, file)
		}
		parent, err := realPath(path.Dir(file))
		if err != nil {
			return "", err
		}
		if file = path.Clean(was.Target); file[0] != '/' {
			file = path.Join(parent, was.Target)
		}
	}
	return "", fmt.Errorf("%s: %w", f.path, unix.ELOOP)
}

// write replaces fstab if it differs, unless another program has changed it, and reloads systemd.
func (f *fstab) write(old, text string) error {
	if old == text {
		return nil
	}
	file, err := f.target()
	if err != nil {
		return err
	}
	p, err := at(file)
	if err != nil {
		return err
	}
	defer p.close()
	if p.was.SHA256 != digestOf(old) && (p.was.Kind != wire.Absent || old != "") {
		return fmt.Errorf("%s was changed by another program: plan again", f.path)
	}
	p.expect = p.was.Fingerprint
	a, err := f.accounts.resolve(wire.Attributes{}, p.was, wire.Regular, 0o644)
	if err != nil {
		return err
	}
	a.xattrs = p.xattrs()
	if err := f.files.replace(p, []byte(text), a); err != nil {
		return err
	}
	if !f.systemd {
		return nil
	}
	// This has to happen before the mount: systemd unmounts a mount whose unit is stale.
	return f.programs.change("systemctl", "daemon-reload")
}

// verify checks a new fstab with findmnt(8). Only errors about the given mount point count:
// mirrorform is not responsible for the other lines.
func (f *fstab) verify(text, point string) error {
	file, err := f.target()
	if err != nil {
		return err
	}
	file = path.Dir(file) + "/" + f.files.temp()
	if err := f.files.replaceFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	defer func() { _ = unlink(unix.AT_FDCWD, file) }()
	o, err := run(context.Background(), command{argv: []string{"findmnt", "--verify", "--tab-file", file}, timeout: queryTimeout, merge: true})
	if errors.Is(err, errNotInstalled) {
		return nil
	}
	if err != nil {
		return err
	}
	if wrong := verdict(o.stdout.String(), point); wrong != "" {
		return &failure{message: "findmnt refuses the line for " + point + " in " + f.path, said: wrong, output: o.output()}
	}
	return nil
}

// changes reports whether a mount operation will change fstab: to add a line that is missing, or to
// remove one.
func (f *fstab) changes(op *wire.MountOp) bool {
	table, _ := readFile(f.path)
	there := slices.ContainsFunc(fstabLines(string(table)), func(l fstabLine) bool { return l.point() == op.Path })
	return there == op.Remove
}

// verdict finds an error about a mount point in the output of findmnt --verify, which has each
// target on a line, and the remarks on it indented below. "Unreachable" devices are not an error:
// the helper has read the device itself, and without udev findmnt does not see it.
func verdict(text, point string) string {
	target := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line != "" && line[0] != ' ' {
			target = line
		}
		if _, remark, ok := strings.Cut(line, "[E] "); ok && target == point && !strings.Contains(remark, "unreachable") {
			return remark
		}
	}
	return ""
}

// fstabLine is a line of fstab(5) without its newline.
type fstabLine struct {
	text   string
	fields []string // unescaped; none for a comment or an empty line
}

// point returns the mount point, without the trailing slash that fstab may have.
func (l fstabLine) point() string {
	if len(l.fields) < 2 {
		return ""
	}
	return path.Clean(l.fields[1])
}

func fstabLines(text string) (found []fstabLine) {
	for line := range strings.Lines(text) {
		l := fstabLine{text: strings.TrimSuffix(line, "\n")}
		// Only spaces and tabs separate fields (getmntent(3)).
		if trimmed := strings.Trim(l.text, " \t"); trimmed != "" && trimmed[0] != '#' {
			for _, f := range strings.FieldsFunc(trimmed, func(r rune) bool { return r == ' ' || r == '\t' }) {
				l.fields = append(l.fields, unescape(f))
			}
		}
		found = append(found, l)
	}
	return found
}

// editFstab replaces the line of a mount point, or adds it at the end. An empty line removes it.
// All other bytes stay the same.
func editFstab(text, point, line string) string {
	var b strings.Builder
	done := line == ""
	for raw := range strings.Lines(text) {
		if fstabLines(raw)[0].point() != point {
			b.WriteString(raw)
			continue
		}
		if !done {
			b.WriteString(line + "\n")
			done = true
		}
	}
	if !done {
		if b.Len() > 0 && !strings.HasSuffix(b.String(), "\n") {
			b.WriteByte('\n')
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
