package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/events"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// A sync that is followed is asked how far it is after syncFirst, then after longer and longer pauses, until they are syncPoll. syncRecording is how many times more it is
// asked when it has ended and its record is not there: cron's is written when its lock is free again.
const (
	syncFirst     = 100 * time.Millisecond
	syncPoll      = time.Second
	syncRecording = 15
)

// Statuses of the sync script besides rsync's own.
const (
	syncHeld        = 65
	syncEmpty       = 66
	syncUnavailable = 69
	syncNoRoom      = 73
	syncUnclaimed   = 78
)

// syncOptions are the options of sync.
type syncOptions struct {
	hostFlags
	lockTimeout time.Duration
	follow      bool
	allow       bool // deletions without a limit
	asJSON      bool
}

func newSyncCommand(g *global) *cobra.Command {
	var o syncOptions
	cmd := &cobra.Command{
		Use:   "sync [HOST...]",
		Short: "Sync mirrors now, and show how far they are",
		Long: `Run the sync job of all mirrors, or of those on the hosts given: names, for_each blocks or globs. It is the job that cron runs: the same command, as the
same user, under the same lock. First rsync tells what would be transferred and deleted; where the storage would not hold that, or more would be deleted than
max_delete and max_delete_percent allow, nothing is synced. --allow-deletions lets it delete, this once, and lifts a hold.

The sync runs on the host by itself, as the systemd unit mirrorform-sync-NAME.service: it goes on when the connection is lost or this command is
interrupted, and --follow takes it up again. --follow starts nothing: it follows what runs, cron's sync too, and where nothing runs tells of the last one.

Exit status: 0 when every sync succeeded, else 1; also when one could not be started because one was running.`,
		Example: `mirrorform sync
mirrorform sync fra1
mirrorform sync --follow
mirrorform sync --allow-deletions fra1`,
		ValidArgsFunction: completer{g, &o.configFlags}.hosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runSync(cmd.Context(), g, w, o, args) })
		},
	}
	o.add(g, cmd)
	o.addEventsFlag(cmd)
	addLockFlag(cmd, &o.lockTimeout)
	cmd.Flags().BoolVar(&o.follow, "follow", false, "start nothing: follow the syncs that run")
	cmd.Flags().BoolVar(&o.allow, "allow-deletions", false, "let the sync delete whatever the upstream does not have, this once")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the results as JSON")
	_ = cmd.Flags().MarkHidden("target")
	return cmd
}

// syncResult is how a job's sync went.
type syncResult struct {
	Host    string             `json:"host"`
	Mirror  string             `json:"mirror,omitempty"`
	OK      bool               `json:"ok"`
	Record  *report.SyncRecord `json:"record"`
	Seconds *int64             `json:"seconds"`
	Error   string             `json:"error,omitempty"`
}

// syncRun is one run of sync.
type syncRun struct {
	*run.Run
	o         syncOptions
	observer  *observer
	lock      *engine.Lock
	transfers *ui.Transfers
	problems  run.Problems
	mu        sync.Mutex
	results   []syncResult
}

func runSync(ctx context.Context, g *global, w *observer, o syncOptions, names []string) error {
	switch {
	case o.follow && o.allow:
		return errors.New("--follow starts nothing, and --allow-deletions is for a sync that is started: give one of them")
	case len(o.target) > 0:
		return errors.New("sync takes no --target: name hosts")
	}
	r, err := run.New(o.options(g, w, "", names...), w)
	if err != nil {
		return err
	}
	defer r.Close()
	s := &syncRun{Run: r, o: o, observer: w, lock: run.NewLock("sync", o.lockTimeout), transfers: g.ui.Transfers()}
	hosts := slices.DeleteFunc(slices.Clone(r.Hosts), func(h engine.Host) bool { return h.Last })
	w.Hosts(run.Names(hosts))
	var all sync.WaitGroup
	places := make(chan struct{}, max(o.parallelism, 1))
	for _, h := range hosts {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			s.host(ctx, h.Name)
		})
	}
	all.Wait()
	s.transfers.Close()
	r.Tell(&s.problems)
	if len(s.results) == 0 {
		return errors.New("there is no mirror to sync on these hosts")
	}
	slices.SortFunc(s.results, func(x, y syncResult) int { return strings.Compare(x.Host+" "+x.Mirror, y.Host+" "+y.Mirror) })
	if o.asJSON {
		err = g.printJSON(struct {
			FormatVersion string       `json:"format_version"`
			Syncs         []syncResult `json:"syncs"`
		}{"1.0", s.results})
	} else {
		s.print()
	}
	if err == nil && slices.ContainsFunc(s.results, func(r syncResult) bool { return !r.OK }) {
		err = errReported
	}
	return err
}

// host syncs what is mirrored on a host.
func (s *syncRun) host(ctx context.Context, host string) {
	s.observer.tell(engine.Progress{Host: host, Stage: engine.Connecting})
	session, err := s.Connect(ctx, host)
	if err != nil {
		s.failed(host, err)
		return
	}
	s.observer.tell(engine.Progress{Host: host, Stage: engine.Connected})
	link := &syncLink{connect: func() (*engine.Session, error) { return s.Connect(ctx, host) }, session: session}
	defer link.close()
	list, err := s.Wanted(host, map[string]*wire.Facts{host: &session.Facts}, &s.problems)
	if err != nil {
		s.failed(host, err)
		return
	}
	jobs := syncJobs(host, list)
	errs := make([]error, len(jobs))
	var all sync.WaitGroup
	for i, j := range jobs {
		all.Go(func() {
			record, err := s.job(ctx, link, j)
			errs[i] = err
			s.add(newSyncResult(j, record, err))
			e := events.Sync{Stage: events.SyncDone, Host: host, Mirror: j.mirror, Record: record, Err: err}
			if err != nil {
				e.Stage = events.SyncFailed
			}
			s.observer.events.Sync(e)
		})
	}
	all.Wait()
	switch {
	case len(jobs) == 0: // nothing is mirrored there
	case errors.Join(errs...) != nil:
		s.observer.events.Sync(events.Sync{Stage: events.HostUnsynced, Host: host}) // each has said why
	default:
		s.observer.events.Sync(events.Sync{Stage: events.HostSynced, Host: host})
	}
}

// failed ends a host whose mirrors are not known.
func (s *syncRun) failed(host string, err error) {
	s.add(syncResult{Host: host, Error: err.Error()})
	s.observer.events.Sync(events.Sync{Stage: events.HostUnsynced, Host: host, Err: err})
}

func (s *syncRun) add(r syncResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = append(s.results, r)
}

func newSyncResult(j *syncJob, record *report.SyncRecord, err error) syncResult {
	r := syncResult{Host: j.host, Mirror: j.mirror, Record: record, OK: err == nil}
	if err != nil {
		r.Error = err.Error()
	}
	if record != nil {
		seconds := record.Seconds()
		r.Seconds = &seconds
	}
	return r
}

// syncLink is a session with a host that is opened anew when it is lost: a sync goes on meanwhile.
type syncLink struct {
	connect func() (*engine.Session, error)
	mu      sync.Mutex
	session *engine.Session
}

func (l *syncLink) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.session.Close()
}

// ask asks, over a new connection where the one there is was lost.
func (l *syncLink) ask(ctx context.Context, queries []wire.Query) (engine.Answers, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	got, err := l.session.Ask(ctx, queries)
	for _, pause := range []time.Duration{0, time.Second, 5 * time.Second, 15 * time.Second} {
		if !errors.Is(err, engine.ErrLost) || !wait(ctx, pause) {
			break
		}
		if session, failed := l.connect(); failed == nil {
			_ = l.session.Close()
			l.session = session
			got, err = session.Ask(ctx, queries)
		}
	}
	return got, err
}

// wait waits, and tells whether it was not interrupted.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (l *syncLink) state(ctx context.Context, j *syncJob) (*syncState, error) {
	got, err := l.ask(ctx, append(j.questions(), j.outputQuestions()...))
	if err != nil {
		return nil, err
	}
	return j.read(got)
}

// job syncs, or follows a sync, and returns its record.
func (s *syncRun) job(ctx context.Context, link *syncLink, j *syncJob) (*report.SyncRecord, error) {
	before, err := link.state(ctx, j)
	switch {
	case err != nil:
		return nil, err
	case !before.applied:
		return nil, fmt.Errorf("%s is not on the host: apply first", j.script)
	case before.running() && !s.o.follow:
		return nil, j.busy()
	case !before.running() && s.o.follow:
		if len(before.records) == 0 {
			return nil, errors.New("no sync is running, and none has been recorded")
		}
		last := before.records[len(before.records)-1]
		return &last, syncError(last.Exit, "")
	case !before.running():
		if err := s.start(ctx, link, j); err != nil {
			return nil, err
		}
	}
	s.observer.events.Sync(events.Sync{Stage: events.SyncStarted, Host: j.host, Mirror: j.mirror})
	var shown, told ui.Transfer
	var toldAt time.Time
	pause := syncFirst
	for recording := 0; ; pause = min(2*pause, syncPoll) {
		now, err := link.state(ctx, j)
		switch {
		case err != nil:
		case now.running():
			recording = 0
			shown = now.progress(before)
			s.transfers.Set(j.label(), shown)
			if shown != told && time.Since(toldAt) >= syncPoll {
				told, toldAt = shown, time.Now()
				s.observer.events.Sync(events.Sync{Stage: events.SyncProgress, Host: j.host, Mirror: j.mirror, Transfer: &told})
			}
		case now.raw != before.raw && len(now.records) > 0:
			return s.ended(j, now, shown)
		case !before.running() && now.refused():
			return nil, j.busy()
		case recording == syncRecording:
			return nil, fmt.Errorf("the sync ended, and left no record of how: journalctl -u %s on the host may tell", j.unit())
		default:
			recording++
		}
		if err != nil || !wait(ctx, pause) {
			if ctx.Err() != nil {
				err = errors.New("interrupted")
			}
			return nil, fmt.Errorf("%w. The sync goes on on the host; to follow it: mirrorform sync --follow '%s'", err, j.host)
		}
	}
}

// busy is the error of a job whose lock is held.
func (j *syncJob) busy() error {
	return errors.New("a sync is running already. To follow it: mirrorform sync --follow '" + j.host + "'")
}

// ended returns the record of a sync that has ended, and its error. shown is how far it was.
func (s *syncRun) ended(j *syncJob, now *syncState, shown ui.Transfer) (*report.SyncRecord, error) {
	last := now.records[len(now.records)-1]
	output := ""
	if last.By == "sync" { // otherwise the output is of an earlier one
		output = now.output
		if at := parseProgress(now.head, output); at.Total > 0 {
			shown = at
		}
	}
	shown.Phase, shown.Speed = "failed", 0
	if last.Succeeded() {
		shown.Phase, shown.Bytes = "synced", shown.Total
	}
	s.transfers.Set(j.label(), shown)
	return &last, syncError(last.Exit, output)
}

// progress is how far the sync is. Of cron's only rsync's own log tells. before is how it was at first: where nothing ran then, its output is of an earlier sync.
func (s *syncState) progress(before *syncState) ui.Transfer {
	switch {
	case !s.started:
		return ui.Transfer{Phase: "syncing for cron"}
	case !before.running() && s.head == before.head && s.output == before.output:
		return ui.Transfer{Phase: "starting"}
	}
	return parseProgress(s.head, s.output)
}

// start starts the job as a unit of its own, which outlives the connection.
func (s *syncRun) start(ctx context.Context, link *syncLink, j *syncJob) error {
	link.mu.Lock()
	defer link.mu.Unlock()
	// The unit has the user, so that the script need not call runuser(1): that kills what it runs two seconds after it was told to stop, which may be
	// before the script has recorded it.
	argv := []string{"systemd-run", "--quiet", "--collect", "--no-ask-password", "--unit=" + j.unit(), "--uid=" + j.user, "--", j.script, "--progress"}
	if s.o.allow {
		argv = append(argv, "--allow-deletions")
	}
	err := link.session.RunProgram(ctx, s.lock, wire.RunOp{Argv: argv, Timeout: 60}, "a sync that has begun goes on", func(holder string) {
		s.transfers.Set(j.label(), ui.Transfer{Phase: "waiting for " + holder})
		s.observer.tell(engine.Progress{Host: j.host, Stage: engine.Waiting, Summary: holder})
	})
	switch {
	case errors.Is(err, engine.ErrLost):
		return fmt.Errorf("it is not known whether the sync began. To find out: mirrorform sync --follow '%s': %w", j.host, err)
	case err != nil:
		return fmt.Errorf("the sync could not be started: %w", err)
	}
	return nil
}

// rsyncErrors are what rsync's commonest exit statuses mean: rsync(1), EXIT VALUES.
var rsyncErrors = map[int]string{
	1: "rsync does not take its arguments", 5: "the upstream refused", 10: "the upstream could not be reached", 11: "a file could not be read or written",
	12: "the connection broke off", 20: "it was stopped", 23: "some files could not be transferred", 25: "it has deleted as many files as max_delete allows, and is held",
	30: "the upstream fell silent", 35: "the upstream did not answer", syncNoRoom: "the storage would not hold it",
	syncHeld: "it is held, since it would delete too many files", syncEmpty: "the upstream is empty, or is not what was mirrored",
	syncUnavailable: "its file system is not mounted, or the upstream cannot be reached", syncUnclaimed: "its directory is not the claimed one",
}

// syncError is the error of a sync's exit status, with what its output says of it.
func syncError(exit int, output string) error {
	if (&report.SyncRecord{Exit: exit}).Succeeded() {
		return nil
	}
	text := fmt.Sprintf("the sync failed with status %d", exit)
	if why := rsyncErrors[exit]; why != "" {
		text += ": " + why
	}
	for _, line := range complaints(output) {
		text += "\n" + line
	}
	return errors.New(text)
}

func (s *syncRun) print() {
	for _, r := range s.results {
		name := strings.TrimSpace(r.Host + " " + r.Mirror)
		if !r.OK {
			s.observer.Error(fmt.Errorf("%s: %s", name, r.Error))
			continue
		}
		s.observer.Print(name + ": synced " + describeRecord(r.Record))
	}
}

// describeRecord says how much a sync received, in which time, and how fast.
func describeRecord(r *report.SyncRecord) string {
	took := r.Seconds()
	duration := (time.Duration(took) * time.Second).String()
	if r.Bytes == nil {
		return "in " + duration
	}
	text := humanize.IBytes(uint64(*r.Bytes)) + " in " + duration + ", " + humanize.IBytes(uint64(*r.Bytes/max(took, 1))) + "/s"
	if r.Files != nil {
		text += ", " + humanize.Comma(*r.Files) + " files"
	}
	return text
}
