package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/resources"
	"golang.org/x/sys/unix"
)

// syncJob is a tree that a host syncs, by the resources that its mirror block expands to.
type syncJob struct {
	host     string
	mirror   string // almalinux, or almalinux-kitten
	script   string
	lock     string
	dir      string
	user     string // that syncs
	schedule string // crontab(5)
	status   string // path of the records
	output   string // path of what rsync prints
}

// unit is the systemd unit that a sync started from afar runs in. Its name is fixed, so that there is never more than one.
func (j *syncJob) unit() string { return path.Base(j.script) + ".service" }

// label names the job in what is printed.
func (j *syncJob) label() string { return j.host + " " + j.mirror }

// syncJobs finds the jobs among a host's resources.
func syncJobs(host string, list []*engine.Resource) []*syncJob {
	byAddress := map[engine.Address]any{}
	for _, r := range list {
		if a, ok := engine.ParseAddress(r.Address); ok && !r.Remove {
			byAddress[a] = r.State
		}
	}
	var jobs []*syncJob
	for _, r := range list {
		a, _ := engine.ParseAddress(r.Address)
		prefix, isCron := strings.CutSuffix(a.Part, "cron") // of the parts of a mirror's second job
		cron, isState := r.State.(*resources.Cron)
		if a.Type != "mirror" || !isCron || !isState || r.Remove || len(cron.Command) < 3 || len(cron.OnExit) == 0 {
			continue
		}
		part := func(name string) any {
			a.Part = name
			return byAddress[a]
		}
		name := a.Name
		if prefix == "kitten_" {
			name += "-kitten"
		}
		j := &syncJob{host: host, mirror: name, script: cron.OnExit[0], lock: cron.Command[2], user: cron.User, schedule: cron.Schedule}
		if f, ok := part(prefix + "sync_status").(*resources.File); ok {
			j.status = f.Path
		}
		if f, ok := part(prefix + "sync_output").(*resources.File); ok {
			j.output = f.Path
		}
		if d, ok := part(prefix + "directory").(*resources.Directory); ok {
			j.dir = d.Path
		} else if m, ok := part("mount").(*resources.Mount); ok {
			j.dir = m.Path
		}
		if j.status != "" && j.output != "" && j.dir != "" {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// parseRecords reads a status file. Lines that are no records are left out: the account that syncs can write anything there.
func parseRecords(content []byte) []report.SyncRecord {
	const year9999 = 253402300799
	var list []report.SyncRecord
	for line := range bytes.Lines(content) {
		var r report.SyncRecord
		if len(line) > 4096 || json.Unmarshal(line, &r) != nil || r.Start <= 0 || r.End <= 0 || r.Start > year9999 || r.End > year9999 {
			continue
		}
		if slices.ContainsFunc([]*int64{r.Bytes, r.Files, r.Size, r.Available}, func(n *int64) bool { return n != nil && *n < 0 }) {
			continue
		}
		list = append(list, r)
	}
	return list
}

// daysUntilFull is when the file system is full if it goes on filling as between the oldest and the newest of the records since it has its size; nil when
// that is not known, or it does not fill. Only syncs that succeeded count: what a first sync brings in pieces is no growth.
func daysUntilFull(list []report.SyncRecord, available uint64) *float64 {
	list = slices.DeleteFunc(slices.Clone(list), func(r report.SyncRecord) bool { return !r.Succeeded() || r.Size == nil || r.Available == nil })
	if len(list) < 2 {
		return nil
	}
	newest := list[len(list)-1]
	oldest := list[slices.IndexFunc(list, func(r report.SyncRecord) bool { return *r.Size == *newest.Size })]
	filled, took := *oldest.Available-*newest.Available, newest.End-oldest.End
	if filled <= 0 || took <= 0 {
		return nil
	}
	days := math.Round(float64(available)/float64(filled)*float64(took)/864) / 100
	if math.IsInf(days, 0) || math.IsNaN(days) {
		return nil
	}
	return &days
}

// syncState is what a host says of a job.
type syncState struct {
	applied   bool // its script is there
	locked    bool // a sync runs, whoever began it
	started   bool // one that sync started
	records   []report.SyncRecord
	raw       string // the newest record as it stands
	head      string // the first lines of what the sync printed
	output    string // and the end of that
	now       time.Time
	time      *int64 // what TIME holds, seconds since 1970
	used      uint64 // bytes of the file system
	available uint64
	hasSpace  bool
}

// refused tells whether the job's script found the lock held. The kernel's list is read in pieces and can miss one.
func (s *syncState) refused() bool {
	return strings.Contains(s.output, "is running already: it holds ")
}

// running tells whether a sync is under way.
func (s *syncState) running() bool { return s.locked || s.started }

func (j *syncJob) scriptQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: j.script}
}
func (j *syncJob) recordsQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: j.status, Option: "content"}
}
func (j *syncJob) timeQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: path.Join(j.dir, "TIME"), Option: "content"}
}
func (j *syncJob) spaceQuery() wire.Query { return wire.Query{Verb: wire.AskFilesystem, Arg: j.dir} }
func (j *syncJob) unitQuery() wire.Query  { return wire.Query{Verb: wire.AskUnit, Arg: j.unit()} }
func (j *syncJob) lockQuery() wire.Query {
	return wire.Query{Verb: wire.AskRun, Args: []string{"stat", "-L", "-c", "%d %i", "--", j.lock}}
}
func (j *syncJob) headQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: j.output, Option: "head"}
}
func (j *syncJob) outputQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: j.output, Option: "tail"}
}

// Taking the lock to see whether it is held would keep cron from taking it at that moment: the kernel's list (proc(5)) is read in its place.
var (
	locksQuery = wire.Query{Verb: wire.AskRun, Args: []string{"grep", "-F", "FLOCK", "/proc/locks"}}
	clockQuery = wire.Query{Verb: wire.AskRun, Args: []string{"date", "+%s %z"}}
)

// questions are what read needs answered.
func (j *syncJob) questions() []wire.Query {
	return []wire.Query{j.scriptQuery(), j.recordsQuery(), j.timeQuery(), j.spaceQuery(), j.unitQuery(), j.lockQuery(), locksQuery, clockQuery}
}

// outputQuestions are what read can do without: how far a sync is.
func (j *syncJob) outputQuestions() []wire.Query {
	return []wire.Query{j.headQuery(), j.outputQuery()}
}

// read makes a state out of the answers. What is not known of the tree or was not asked is left out.
func (j *syncJob) read(got engine.Answers) (*syncState, error) {
	s := &syncState{}
	script, err := got.File(j.scriptQuery())
	if err != nil {
		return nil, err
	}
	s.applied = script.Kind == wire.Regular
	records, err := got.File(j.recordsQuery())
	if err != nil {
		return nil, err
	}
	s.records = parseRecords(records.Content)
	s.raw = lastText(string(records.Content))
	unit, err := got.Unit(j.unitQuery())
	if err != nil {
		return nil, err
	}
	s.started = slices.Contains([]string{"active", "activating", "deactivating", "reloading"}, unit.ActiveState)
	clock, err := got.Run(clockQuery)
	if err != nil {
		return nil, err
	}
	if s.now, err = parseClock(clock.Stdout); err != nil {
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
		s.head = strings.ToValidUTF8(string(f.Content), "\uFFFD")
	}
	if f, err := got.File(j.outputQuery()); err == nil {
		s.output = strings.ToValidUTF8(string(f.Content), "\uFFFD")
	}
	if f, err := got.File(j.timeQuery()); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(f.Content)), 10, 64); err == nil && n > 0 && n < 1<<40 {
			s.time = &n
		}
	}
	if fs, err := got.Filesystem(j.spaceQuery()); err == nil && fs.Size > 0 {
		s.hasSpace, s.available, s.used = true, fs.Available, fs.Size-min(fs.Size, fs.Free)
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

// lockHeld tells whether a file has a lock by flock(2). file is its device and inode as stat(1) prints them, in decimal; locks is /proc/locks, where the
// device is in hexadecimal.
func lockHeld(file, locks string) bool {
	device, inode, ok := strings.Cut(strings.TrimSpace(file), " ")
	n, err := strconv.ParseUint(device, 10, 64)
	if !ok || err != nil {
		return false
	}
	want := fmt.Sprintf("%02x:%02x:%s", unix.Major(n), unix.Minor(n), inode)
	for line := range strings.Lines(locks) {
		// 1: FLOCK  ADVISORY  WRITE 812 00:19:1234 0 EOF; with -> after the number where one waits for it.
		if f := strings.Fields(line); len(f) >= 6 && f[1] == "FLOCK" && f[5] == want {
			return true
		}
	}
	return false
}
