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

// State is what a host says of a job.
type State struct {
	Applied   bool // its script is there
	Started   bool // one runs that sync started
	Records   []Record
	Raw       string // the newest record as it stands
	Head      string // the first lines of what the sync printed
	Output    string // and the end of that
	Now       time.Time
	Time      *int64 // what TIME holds, seconds since 1970
	Used      uint64 // bytes of the file system
	Available uint64
	HasSpace  bool // it is known how much there is
	locked    bool // one runs, whoever began it
}

// Refused tells whether the job's script found the lock held. The kernel's list is read in pieces
// and can miss one.
func (s *State) Refused() bool {
	return strings.Contains(s.Output, "is running already: it holds ")
}

// Running tells whether a sync is under way.
func (s *State) Running() bool { return s.locked || s.Started }

// Progress is how far the sync is. Of cron's only rsync's own log tells. before is how it was at
// first: where nothing ran then, its output is of an earlier sync.
func (s *State) Progress(before *State) Transfer {
	switch {
	case !s.Started:
		return Transfer{Phase: "syncing for cron"}
	case !before.Running() && s.Head == before.Head && s.Output == before.Output:
		return Transfer{Phase: "starting"}
	}
	return ParseProgress(s.Head, s.Output)
}

// Read makes a state out of the answers. What is not known of the tree or was not asked is left
// out.
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
	if locks.Exit != 0 && locks.Exit != 1 { // 1: there are none
		return nil, fmt.Errorf("the kernel's locks cannot be read: %q", locks.Stderr)
	}
	s.locked = lock.Exit == 0 && lockHeld(lock.Stdout, locks.Stdout)
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

// lastText is the last line of a text that has any.
func lastText(text string) string {
	text = strings.TrimRight(text, "\n")
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// parseClock reads what `date '+%s %z'` prints: the host's time in its own zone.
func parseClock(text string) (time.Time, error) {
	seconds, zone, ok := strings.Cut(strings.TrimSpace(text), " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	offset, zoneErr := time.Parse("-0700", zone)
	if !ok || err != nil || zoneErr != nil || n < 0 || n >= 1<<40 {
		return time.Time{}, fmt.Errorf("the host's clock cannot be read: date printed %q", text)
	}
	return time.Unix(n, 0).In(offset.Location()), nil
}

// lockHeld tells whether a file has a lock by flock(2). file is its device and inode as stat(1)
// prints them, in decimal; locks is /proc/locks, where the device is in hexadecimal.
func lockHeld(file, locks string) bool {
	device, inode, ok := strings.Cut(strings.TrimSpace(file), " ")
	n, err := strconv.ParseUint(device, 10, 64)
	if !ok || err != nil {
		return false
	}
	want := fmt.Sprintf("%02x:%02x:%s", unix.Major(n), unix.Minor(n), inode)
	for line := range strings.Lines(locks) {
		// 1: FLOCK  ADVISORY  WRITE 812 00:19:1234 0 EOF; with -> after the number where one waits
		// for it.
		if f := strings.Fields(line); len(f) >= 6 && f[1] == "FLOCK" && f[5] == want {
			return true
		}
	}
	return false
}
