package agent

import (
	"fmt"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// stateDir is the directory that holds what outlives the helper: the manifest, the lock, journals,
// and records of what units have loaded.
type stateDir struct{ dir string }

// make makes a subdirectory of the state directory (or itself, for ""). Only this user can write to
// it.
func (s *stateDir) make(name string) error {
	if err := checkPath(s.dir); err != nil {
		return err
	}
	dirs := []string{s.dir}
	if name != "" {
		dirs = append(dirs, s.dir+"/"+name)
	}
	if err := mkdirAll(dirs[len(dirs)-1]); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	for _, dir := range dirs {
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil {
			return fmt.Errorf("state directory %s: %w", dir, err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != unix.Geteuid() || st.Mode&0o022 != 0 {
			return fmt.Errorf("refused: state directory %s must be a directory that user %d owns and no other user can write to",
				dir, unix.Geteuid())
		}
	}
	return nil
}

func (s *stateDir) manifestFile() string { return s.dir + "/manifest.json" }

// readManifest reads the manifest; nil if the host has none.
func (s *stateDir) readManifest() ([]byte, error) {
	fd, err := open(unix.AT_FDCWD, s.manifestFile(), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.manifestFile(), err)
	}
	defer closeFD(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", s.manifestFile(), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s is not a regular file", s.manifestFile())
	}
	data, err := readAll(fd, wire.MaxManifest)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.manifestFile(), err)
	}
	return data, nil
}

// freeName returns the name that an old manifest is kept under: manifest.json.N with the next free
// number.
func (s *stateDir) freeName() string {
	for n := 1; ; n++ {
		name := fmt.Sprintf("manifest.json.%d", n)
		var st unix.Stat_t
		if unix.Lstat(s.dir+"/"+name, &st) == unix.ENOENT || n == 1<<20 {
			return name
		}
	}
}

// journals lists the directories of transactions that were left open. It removes the journals of
// those that never began or that have ended.
func (s *stateDir) journals() (dirs []string, err error) {
	names, err := listDir(s.dir + "/journal")
	if absent(err) {
		return nil, nil
	}
	for _, name := range names {
		dir := s.dir + "/journal/" + name
		if exists(dir + "/" + headerName) {
			dirs = append(dirs, dir)
		} else if err := removeJournal(dir); err != nil {
			return nil, err
		}
	}
	return dirs, err
}

// unfinished returns who left a transaction open, or nil.
func (s *stateDir) unfinished() *wire.Holder {
	names, _ := listDir(s.dir + "/journal") // does not exist before the first change
	for _, name := range names {
		data, err := readFile(s.dir + "/journal/" + name + "/" + headerName)
		if err != nil {
			continue
		}
		var t header
		if wire.Decode(data, &t) != nil {
			t = header{Operator: "unknown", Command: "unknown"}
		}
		return &wire.Holder{Operator: t.Operator, Command: t.Command, From: t.From, Since: t.Since}
	}
	return nil
}
