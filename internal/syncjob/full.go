package syncjob

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What a sync has run out of, as records have it.
const (
	noSpace  = "space"
	noInodes = "inodes"
	noQuota  = "quota"
)

// judge finds out what a sync has run out of, and returns its status. rsync exits with 0 although
// it has discarded files, if it could not create directories for them.
func (j *job) judge(status int, output string) int {
	j.lacks = cmp.Or(j.lacks, j.ranOut(status, output))
	if j.lacks != "" && succeeded(status) {
		return rsyncPartial
	}
	return status
}

// ranOut returns what a sync has run out of, according to its output, or "". The log of cron also
// has earlier syncs. Errors may come before "receiving" in it, as rsync buffers only its other
// output.
func (j *job) ranOut(status int, output string) (what string) {
	text := j.said.end
	if output != "" {
		text, _ = tail(output, longestEnd)
	}
	over, failed := false, false
	next := func() {
		if over {
			what, over = "", false
		}
	}
	eachLine(strings.NewReader(string(text)), func(line string) {
		switch {
		case status == statusNoRoom:
			if strings.HasPrefix(line, "mirrorform: "+needs) {
				what = noSpace
				if strings.HasSuffix(line, inodesFree) {
					what = noInodes
				}
			}
		case strings.HasPrefix(line, "receiving "):
			next()
		case strings.HasPrefix(line, "total size is "), strings.HasPrefix(line, "rsync error: "):
			over, failed = true, line[0] == 'r'
		case strings.HasPrefix(line, "Unable to create partial-dir for "):
			next()
			what = cmp.Or(what, scarcer(j.Directory))
		case strings.HasPrefix(line, "rsync: "): // a name of a file may end as an error does
			next()
			if strings.HasSuffix(line, "Disk quota exceeded (122)") {
				what = noQuota
			} else if strings.HasSuffix(line, "No space left on device (28)") {
				what = scarcer(j.Directory)
			}
		}
	})
	switch {
	case status == statusNoRoom:
		return cmp.Or(what, scarcer(j.Directory))
	case status == rsyncFileIO, status == rsyncProtocol, status == rsyncPartial, succeeded(status) && (output == "" || over && !failed):
		return what
	}
	return "" // of an earlier sync
}

// scarcer returns which is scarcer on the file system of the tree, space or inodes: the error for
// both is the same.
func scarcer(directory string) string {
	var st unix.Statfs_t
	if unix.Statfs(directory, &st) == nil && float64(st.Ffree)*float64(st.Blocks) < float64(st.Bavail)*float64(st.Files) {
		return noInodes
	}
	return noSpace
}

// The words of a sync that does not fit. ranOut finds them in the log.
const (
	needs      = "the sync needs "
	inodesFree = " free inodes"
)

// fits reports whether the file system can hold a sync, besides others that need some of its space,
// and what it lacks otherwise. A sync with --delay-updates keeps all old files until it ends.
func (j *job) fits(need, files, others uint64) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(j.Directory, &st); err != nil {
		j.complain(j.Directory + ": " + err.Error())
		return false
	}
	free := st.Bavail * uint64(st.Frsize)
	free -= min(free, others)
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	switch {
	case need > free:
		j.lacks = noSpace
		j.complain(needs + number(need) + " bytes, but only " + number(free) + " bytes are free")
	case st.Files > 0 && files > st.Ffree: // some file systems have no fixed number of inodes
		j.lacks = noInodes
		j.complain(needs + number(files) + " inodes, but there are only " + number(st.Ffree) + inodesFree)
	default:
		return true
	}
	return false
}

// checkRoom refuses a scheduled sync that cannot fit. Without --delay-updates, a sync may delete
// before it receives, so what it needs is not known.
func (j *job) checkRoom(m *measured) int {
	if !slices.Contains(j.Options, "--delay-updates") || slices.Contains(j.Options, "--inplace") {
		return 0
	}
	var st unix.Statfs_t
	files := uint64(len(m.files))
	if unix.Statfs(j.Directory, &st) != nil || m.total <= st.Bavail*uint64(st.Frsize) && (st.Files == 0 || files <= st.Ffree) {
		return 0
	}
	bytes, there := m.staged(j.Directory) // a walk through the whole tree
	if !j.fits(m.total-bytes, files-there, 0) {
		return statusNoRoom
	}
	return 0
}

// The upstream's file of freshness, TIME, says how old the tree is. rsync continues after a file
// that it cannot create, and receives TIME all the same. So the guard keeps the old one, and a sync
// that has run out of something restores it: TIME is never newer than the tree.

const longestFreshness = 4 << 10

// keepFreshness keeps the tree's file of freshness; the copy is empty if it is missing. The copy of
// an interrupted sync is older, and stays.
func (j *job) keepFreshness() int {
	if _, err := os.Lstat(j.files().file(".kept")); j.Require == "" || err == nil {
		return 0
	}
	content, _ := j.freshness()
	err := j.files().replace(".kept", content)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		j.lacks = noSpace
		j.complain("cannot keep a copy of " + j.Require + ": " + err.Error())
		return statusNoRoom
	}
	return 0
}

// freshness returns the content of the tree's file of freshness, and whether there is such a file.
func (j *job) freshness() (content []byte, there bool) {
	file := j.Directory + j.Require
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() > longestFreshness {
		return nil, false
	}
	content, err = os.ReadFile(file)
	return content, err == nil
}

// restoreFreshness restores the kept file after a sync that has run out of something. It writes in
// place, since another file may need an inode too many. The next sync receives the new file again,
// as the time of the old one differs.
func (j *job) restoreFreshness(what string) {
	kept := j.files().file(".kept")
	old, err := os.ReadFile(kept)
	if err != nil {
		return
	}
	if now, there := j.freshness(); what != "" && there && string(now) != string(old) {
		file := j.Directory + j.Require
		if len(old) == 0 || os.WriteFile(file, old, 0o644) != nil {
			_ = os.Remove(file) // no date is better than a wrong one
		}
		j.complain(j.Require + " is as before, since the tree is incomplete")
	}
	_ = os.Remove(kept)
}

const longestEnd = 64 << 10

// said passes on what a program prints, and keeps its end.
type said struct {
	to  *os.File
	end []byte
}

func (s *said) Write(p []byte) (int, error) {
	s.end = append(s.end, p...)
	s.end = s.end[max(0, len(s.end)-longestEnd):]
	return s.to.Write(p)
}
