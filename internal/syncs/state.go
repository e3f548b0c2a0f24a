package syncs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// State is what a host reports about a job.
type State struct {
	Applied   bool // its sync program is installed
	Started   bool // `mirrorform sync` has started a sync that is running
	Records   []Record
	Raw       string // the newest record, unparsed
	Head      string // the first lines of the sync's output
	Output    string // the end of the sync's output
	Now       time.Time
	Time      *int64 // the content of TIME, in seconds since 1970
	Used      uint64 // bytes of the file system in use
	Available uint64
	HasSpace  bool  // Used and Available are known
	Held      *bool // syncs are held, since one has deleted too much; nil if not known
	locked    bool  // a sync is running, started by any program
}

// Refused reports whether the sync program found the lock held. The kernel's list of locks is read
// in parts, so it may miss a lock.
func (s *State) Refused() bool {
	return strings.Contains(s.Output, "is running already: it holds ")
}

// Running reports whether a sync is running.
func (s *State) Running() bool { return s.locked || s.Started }

// Progress returns the progress of the sync. A sync that cron started reports it only in rsync's
// own log. before is the first state: if nothing was running then, unchanged output is that of an
// earlier sync.
func (s *State) Progress(before *State) Transfer {
	switch {
	case !s.Started:
		return Transfer{Phase: "syncing for cron"}
	case !before.Running() && s.Head == before.Head && s.Output == before.Output:
		return Transfer{Phase: "starting"}
	}
	return ParseProgress(s.Head, s.Output)
}

// Read builds the state from the answers. Values of the tree that are unknown stay empty, as do the
// answers to questions that were not asked.
func (j *Job) Read(got engine.Answers) (*State, error) {
	s := &State{}
	script, err := got.File(j.scriptQuery())
	if err != nil {
		return nil, err
	}
	s.Applied = script.Kind == wire.Regular
	records, err := got.File(j.recordsQuery())
	if err != nil {
		return nil, err
	}
	s.Records = ParseRecords(records.Content)
	s.Raw = lastText(string(records.Content))
	unit, err := got.Unit(j.unitQuery())
	if err != nil {
		return nil, err
	}
	s.Started = slices.Contains([]string{"active", "activating", "deactivating", "reloading"}, unit.ActiveState)
	clock, err := got.Run(clockQuery)
	if err != nil {
		return nil, err
	}
	if s.Now, err = parseClock(clock.Stdout); err != nil {
		return nil, err
	}
	lock, err := got.Run(j.lockQuery())
	if err != nil {
		return nil, err
	}
	locks, err := got.Run(locksQuery)
	if err != nil {
		return nil, err
	}
	if locks.Exit != 0 && locks.Exit != 1 { // 1: no lock found
		return nil, fmt.Errorf("cannot read the kernel's locks: %q", locks.Stderr)
	}
	s.locked = lock.Exit == 0 && lockHeld(lock.Stdout, locks.Stdout)
	if f, err := got.File(j.holdQuery()); err == nil && (f.Kind == wire.Regular || f.Kind == wire.Absent) {
		held := f.Size > 0
		s.Held = &held
	}
	if f, err := got.File(j.headQuery()); err == nil {
		s.Head = strings.ToValidUTF8(string(f.Content), "\uFFFD")
	}
	if f, err := got.File(j.outputQuery()); err == nil {
		s.Output = strings.ToValidUTF8(string(f.Content), "\uFFFD")
	}
	if f, err := got.File(j.timeQuery()); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(f.Content)), 10, 64); err == nil && n > 0 && n < 1<<40 {
			s.Time = &n
		}
	}
	if fs, err := got.Filesystem(j.spaceQuery()); err == nil && fs.Size > 0 {
		s.HasSpace, s.Available, s.Used = true, fs.Available, fs.Size-min(fs.Size, fs.Free)
	}
	return s, nil
}

// lastText returns the last line of a text that is not empty.
func lastText(text string) string {
	text = strings.TrimRight(text, "\n")
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// parseClock parses the output of `date '+%s %z'`: the host's time in its own time zone.
func parseClock(text string) (time.Time, error) {
	seconds, zone, ok := strings.Cut(strings.TrimSpace(text), " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	offset, zoneErr := time.Parse("-0700", zone)
	if !ok || err != nil || zoneErr != nil || n < 0 || n >= 1<<40 {
		return time.Time{}, fmt.Errorf("cannot read the host's clock: date printed %q", text)
	}
	return time.Unix(n, 0).In(offset.Location()), nil
}

// lockHeld reports whether a file is locked with flock(2). file is its device and inode in decimal,
// as stat(1) prints them; locks is /proc/locks, where the device is in hexadecimal.
func lockHeld(file, locks string) bool {
	device, inode, ok := strings.Cut(strings.TrimSpace(file), " ")
	n, err := strconv.ParseUint(device, 10, 64)
	if !ok || err != nil {
		return false
	}
	want := fmt.Sprintf("%02x:%02x:%s", unix.Major(n), unix.Minor(n), inode)
	for line := range strings.Lines(locks) {
		// A line looks like "1: FLOCK  ADVISORY  WRITE 812 00:19:1234 0 EOF"; a waiting process has "->"
		// after the number.
		if f := strings.Fields(line); len(f) >= 6 && f[1] == "FLOCK" && f[5] == want {
			return true
		}
	}
	return false
}
