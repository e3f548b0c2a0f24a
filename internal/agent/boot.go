package agent

import (
	"fmt"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// bootFiles are the files that end an open transaction when the host starts, before anyone
// connects: a unit, the link that enables it, and a copy of the helper. They exist only while a
// transaction is open. The copy is in /usr/local/sbin, since SELinux lets systemd run programs from
// there.
type bootFiles struct{ unit, link, program, self string }

func newBootFiles(root string) *bootFiles {
	return &bootFiles{
		unit:    root + "/etc/systemd/system/mirrorform-recover.service",
		link:    root + "/etc/systemd/system/multi-user.target.wants/mirrorform-recover.service",
		program: root + "/usr/local/sbin/mirrorform-recover",
		self:    "/proc/self/exe",
	}
}

// bootUnit has no default dependencies, so that no unit waits for it: a rollback starts and stops
// units, and a unit that waited for this one would never start.
const bootUnit = `[Unit]
Description=End the mirrorform transaction that was open when the host stopped
Documentation=https://github.com/mirrorform/mirrorform
DefaultDependencies=no
After=local-fs.target basic.target
RequiresMountsFor=/var/lib/mirrorform
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/mirrorform-recover --recover
TimeoutStartSec=infinity
`

func (b *bootFiles) dirs() []string {
	return []string{path.Dir(b.program), path.Dir(b.unit), path.Dir(b.link)}
}

// missing lists the directories that have to be created for the files.
func (b *bootFiles) missing() (missing []string, err error) {
	for _, dir := range b.dirs() {
		var more []string
		fd, err := openDir(dir, &more)
		if err == nil {
			closeFD(fd)
		} else if !absent(err) {
			return nil, err
		}
		for _, d := range more {
			if !slices.Contains(missing, d) {
				missing = append(missing, d)
			}
		}
	}
	return missing, nil
}

// obstacle returns the reason why the files cannot be created, or nil.
func (b *bootFiles) obstacle(o *obstacles) error {
	for _, file := range []string{b.program, b.unit, b.link} {
		if err := o.to(file); err != nil {
			return err
		}
	}
	return nil
}

// enable writes the files, the link last: only a complete unit is ever enabled.
func (b *bootFiles) enable(files *files) error {
	program, err := readFile(b.self)
	if err != nil {
		return err
	}
	if err := files.replaceFile(b.program, program, 0o755); err != nil {
		return err
	}
	if err := files.replaceFile(b.unit, []byte(bootUnit), 0o644); err != nil {
		return err
	}
	p, err := at(b.link)
	if err != nil {
		return err
	}
	defer p.close()
	name := files.temp()
	if err := p.makeLink(name, b.unit); err != nil {
		return err
	}
	if err := rename(p.dir, name, p.dir, p.name); err != nil {
		_ = unlink(p.dir, name)
		return p.wrap("rename", err)
	}
	return p.sync()
}

// disable removes the files and the directories that were created for them. Missing ones are fine.
func (b *bootFiles) disable(made []string) error {
	if b == nil {
		return nil
	}
	for _, file := range []string{b.link, b.unit, b.program} {
		var st unix.Stat_t
		if absent(unix.Lstat(file, &st)) {
			continue // on a read-only file system, unlink(2) may fail even for a missing file
		}
		err := unlink(unix.AT_FDCWD, file)
		if err == nil {
			err = syncPath(path.Dir(file))
		}
		if err != nil && !absent(err) {
			return fmt.Errorf("remove %s: %w", file, err)
		}
	}
	removeMade(made)
	return nil
}
