package syncjob

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// measured is what a sync would do, according to a dry run of rsync.
type measured struct {
	known   bool // rsync has printed its statistics
	status  int
	total   uint64            // bytes to transfer
	files   map[string]uint64 // files to transfer, with their sizes
	deleted uint64            // files of the tree that would be deleted, without directories
	there   uint64            // files in the tree now
}

// measure runs rsync with --dry-run. Files that are already up to date do not count.
func (j *job) measure() *measured {
	argv := append(j.Command(false), "--dry-run", "--stats", "--no-human-readable", "--no-motd", "--out-format=%i %l %n")
	m := &measured{files: map[string]uint64{}}
	cmd := j.command(argv)
	cmd.Stderr = j.stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		m.status = j.exit(err)
		return m
	}
	var listed, created uint64
	// "Number of files: 19 (reg: 12, dir: 3, link: 4)"
	count := func(line, key string, n *uint64) bool {
		value, ok := strings.CutPrefix(line, key)
		if ok {
			digits, kinds, _ := strings.Cut(value, " ")
			all, _ := strconv.ParseUint(digits, 10, 63)
			_, dirs, _ := strings.Cut(kinds, "dir: ")
			dirs, _, _ = strings.Cut(strings.TrimSuffix(dirs, ")"), ",")
			d, _ := strconv.ParseUint(dirs, 10, 63)
			*n = all - min(all, d)
		}
		return ok
	}
	eachLine(out, func(line string) {
		switch {
		case strings.HasPrefix(line, "*deleting "):
			if !strings.HasSuffix(line, "/") {
				m.deleted++
			}
		case strings.HasPrefix(line, ">f"):
			if f := strings.SplitN(line, " ", 3); len(f) == 3 {
				if size, err := strconv.ParseUint(f[1], 10, 63); err == nil {
					m.files[f[2]] = size
				}
			}
		case count(line, "Number of files: ", &listed), count(line, "Number of created files: ", &created):
		case count(line, "Total transferred file size: ", &m.total):
			m.known = true
		}
	})
	m.status = j.exit(cmd.Wait())
	m.there = listed - min(listed, created) + m.deleted
	return m
}

// partial is the name of the directories where --delay-updates keeps new files until the end of the
// sync, beside the files that they replace.
const partial = ".~tmp~"

// staged returns how many bytes of the files to transfer, and how many of these files, are left
// over from an interrupted sync. rsync uses them again, so they need no more space.
func (m *measured) staged(tree string) (sum, files uint64) {
	if len(m.files) == 0 {
		return 0, 0
	}
	_ = filepath.WalkDir(tree, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(filepath.Dir(p)) != partial {
			return nil // unreadable files are not counted
		}
		name := strings.TrimPrefix(filepath.Join(filepath.Dir(filepath.Dir(p)), d.Name()), filepath.Clean(tree)+"/")
		size, wanted := m.files[name]
		if !wanted {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += min(uint64(st.Blocks)*512, size)
				files++
			}
		}
		return nil
	})
	return min(sum, m.total), files
}

// A sync prints these lines to announce what it needs. The controller parses the first one, too.
const (
	announcedTotal = "mirrorform: syncing "
	announcedNeed  = "mirrorform: needing "
)

// announce prints how much the sync will transfer, or refuses it if there is not enough free space.
// Only one sync at a time may check the space and announce its need.
func (j *job) announce(total, need, files uint64) int {
	unlock := j.files().lockState()
	defer unlock()
	device, ok := deviceOf(j.Directory)
	others := uint64(0)
	if ok {
		others = j.reserved(device) // read before the free space, which those syncs are using up
	}
	if !j.fits(need, files, others) {
		return statusNoRoom
	}
	// Written in one piece, so that a reader sees both lines or neither.
	_, err := j.stdout.WriteString(announcedTotal + strconv.FormatUint(total, 10) + " bytes\n" +
		announcedNeed + strconv.FormatUint(need, 10) + " bytes on device " + strconv.FormatUint(device, 10) + "\n")
	if err != nil {
		return statusBroken
	}
	return 0
}

func deviceOf(p string) (uint64, bool) {
	var st unix.Stat_t
	err := unix.Stat(p, &st)
	return st.Dev, err == nil
}

// reserved returns how many bytes other syncs to the same file system have announced but not
// received yet. rsync reports its progress once a second, so bytes received since its last report
// are counted twice. That may refuse a sync that would just fit, but never allows one that would
// not.
func (j *job) reserved(device uint64) (sum uint64) {
	entries, _ := os.ReadDir(j.State)
	for _, e := range entries {
		if file := filepath.Join(j.State, e.Name()); strings.HasSuffix(file, ".output") && file != j.files().file(".output") {
			sum += remaining(file, device)
		}
	}
	return sum
}

// remaining returns how many bytes a running sync still needs on a device, according to its output.
func remaining(file string, device uint64) uint64 {
	f, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	if flock(f, unix.LOCK_EX|unix.LOCK_NB) == nil {
		return 0 // it has ended; Close releases the lock
	}
	var total, need, got uint64
	here := false
	eachLine(io.LimitReader(f, 4096), func(line string) {
		if value, ok := strings.CutPrefix(line, announcedTotal); ok {
			total, _ = strconv.ParseUint(strings.TrimSuffix(value, " bytes"), 10, 63)
		}
		if value, ok := strings.CutPrefix(line, announcedNeed); ok {
			amount, on, _ := strings.Cut(value, " bytes on device ")
			need, _ = strconv.ParseUint(amount, 10, 63)
			here = on == strconv.FormatUint(device, 10)
		}
	})
	if !here {
		return 0
	}
	end, _ := tail(file, 4096)
	eachLine(strings.NewReader(string(end)), func(line string) {
		// A line looks like "   1,234,567  12%  1.23MB/s  0:00:01". The percentage is not used: it refers
		// to the whole tree.
		if f := strings.Fields(line); len(f) > 2 && strings.HasSuffix(f[1], "%") {
			if n, err := strconv.ParseUint(strings.ReplaceAll(f[0], ",", ""), 10, 63); err == nil {
				got = n
			}
		}
	})
	return min(need, total-min(total, got))
}
