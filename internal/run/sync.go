package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/syncs"
)

// A followed sync is polled after syncFirst, then after increasing pauses of up to syncPoll. After
// its end it is polled up to syncRecording more times for its record: cron's syncs write it after
// they release the lock.
const (
	syncFirst     = 100 * time.Millisecond
	syncPoll      = time.Second
	syncRecording = 15
)

// SyncOptions are the options of Run.Sync.
type SyncOptions struct {
	Follow         bool // do not start a sync
	AllowDeletions bool // without the limit on deletions
	LockTimeout    time.Duration
}

// SyncResult is the result of one sync job, or the error of a host.
type SyncResult struct {
	Host   string
	Mirror string        // "" for a host's error
	Record *syncs.Record // nil without a record
	Err    error
}

// syncing is one run of the sync command.
type syncing struct {
	*Run
	o        SyncOptions
	lock     engine.Lock
	problems Problems
	mu       sync.Mutex
	results  []SyncResult
}

// Sync runs the sync jobs of all mirrors on the hosts, or follows those that are running. A leaf
// starts after its hubs, whose new files it can get then. It returns the results, in order, and the
// configuration's problems with the hosts.
func (r *Run) Sync(ctx context.Context, o SyncOptions) ([]SyncResult, *Problems) {
	s := &syncing{Run: r, o: o, lock: newLock("sync", o.LockTimeout)}
	hosts := slices.DeleteFunc(slices.Clone(r.Hosts), func(h engine.Host) bool { return h.Last })
	r.observer.Hosts(Names(hosts))
	var all sync.WaitGroup
	places := make(chan struct{}, max(r.Options.Parallelism, 1))
	ended := map[string]chan struct{}{}
	for _, h := range hosts {
		ended[h.Name] = make(chan struct{})
	}
	if !o.Follow {
		s.noteOrder(hosts)
	}
	for _, h := range hosts {
		all.Go(func() {
			defer close(ended[h.Name])
			if !o.Follow {
				s.await(ctx, h.Name, ended)
			}
			places <- struct{}{}
			defer func() { <-places }()
			s.host(ctx, h.Name)
		})
	}
	all.Wait()
	slices.SortFunc(s.results, func(x, y SyncResult) int { return strings.Compare(x.Host+" "+x.Mirror, y.Host+" "+y.Mirror) })
	return s.results, &s.problems
}

// await waits for the syncs of the hosts that a host depends on. Whatever became of them, it has
// syncs of its own to run: its hub may have more than it has itself.
func (s *syncing) await(ctx context.Context, host string, ended map[string]chan struct{}) {
	for _, on := range s.Config.DependsOn(host) {
		if over := ended[on]; over != nil {
			select {
			case <-over:
			case <-ctx.Done():
			}
		}
	}
}

// noteOrder notes how many hosts start after others.
func (s *syncing) noteOrder(hosts []engine.Host) {
	leaves := map[string][]string{}
	for _, h := range hosts {
		for _, hub := range s.Config.DependsOn(h.Name) {
			leaves[hub] = append(leaves[hub], h.Name)
		}
	}
	for _, h := range hosts {
		switch list := leaves[h.Name]; {
		case len(list) > 3:
			some := strings.Join(list[:2], ", ")
			s.observer.Note(fmt.Sprintf("After the syncs of %s: %s and %d others.", h.Name, some, len(list)-2))
		case len(list) > 0:
			s.observer.Note(fmt.Sprintf("After the syncs of %s: %s.", h.Name, strings.Join(list, ", ")))
		}
	}
}

// host syncs the mirrors of a host.
func (s *syncing) host(ctx context.Context, host string) {
	s.observer.Tell(engine.Progress{Host: host, Stage: engine.Connecting})
	session, err := s.Connect(ctx, host)
	if err != nil {
		s.failed(host, err)
		return
	}
	s.observer.Tell(engine.Progress{Host: host, Stage: engine.Connected})
	link := &syncLink{connect: func() (*engine.Session, error) { return s.Connect(ctx, host) }, session: session}
	defer link.close()
	list, err := s.Wanted(host, map[string]*wire.Facts{host: session.Hello.Facts}, &s.problems)
	if err != nil {
		s.failed(host, err)
		return
	}
	jobs := syncs.Jobs(list)
	errs := make([]error, len(jobs))
	var all sync.WaitGroup
	for i, j := range jobs {
		all.Go(func() {
			record, err := s.job(ctx, link, j)
			errs[i] = err
			s.add(SyncResult{Host: host, Mirror: j.Mirror, Record: record, Err: err})
			e := syncs.Event{Stage: syncs.Done, Host: host, Mirror: j.Mirror, Record: record, Err: err}
			if err != nil {
				e.Stage = syncs.Failed
			}
			s.observer.Sync(e)
		})
	}
	all.Wait()
	switch {
	case len(jobs) == 0: // the host has no mirror
	case errors.Join(errs...) != nil:
		s.observer.Sync(syncs.Event{Stage: syncs.HostUnsynced, Host: host}) // each job has reported its error
	default:
		s.observer.Sync(syncs.Event{Stage: syncs.HostSynced, Host: host})
	}
}

// failed records a host whose mirrors are not known.
func (s *syncing) failed(host string, err error) {
	s.add(SyncResult{Host: host, Err: err})
	s.observer.Sync(syncs.Event{Stage: syncs.HostUnsynced, Host: host, Err: err})
}

func (s *syncing) add(r SyncResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = append(s.results, r)
}

// job starts or follows a sync and returns its record.
func (s *syncing) job(ctx context.Context, link *syncLink, j *syncs.Job) (*syncs.Record, error) {
	before, err := link.state(ctx, j)
	switch {
	case err != nil:
		return nil, err
	case !before.Applied:
		return nil, fmt.Errorf("%s not found on the host: run mirrorform apply first", j.Script)
	case before.Running() && !s.o.Follow:
		return nil, busy(j)
	case !before.Running() && s.o.Follow:
		if len(before.Records) == 0 {
			return nil, errors.New("no sync is running, and no earlier sync is recorded")
		}
		last := before.Records[len(before.Records)-1]
		return &last, syncs.ExitError(last.Exit, "")
	case !before.Running():
		if err := s.start(ctx, link, j); err != nil {
			return nil, err
		}
	}
	s.observer.Sync(syncs.Event{Stage: syncs.Started, Host: j.Host, Mirror: j.Mirror})
	var shown, told syncs.Transfer
	var toldAt time.Time
	pause := syncFirst
	for recording := 0; ; pause = min(2*pause, syncPoll) {
		now, err := link.state(ctx, j)
		switch {
		case err != nil:
		case now.Running():
			recording = 0
			shown = now.Progress(before)
			s.observer.Transfer(j.Label(), shown)
			if shown != told && time.Since(toldAt) >= syncPoll {
				told, toldAt = shown, time.Now()
				s.observer.Sync(syncs.Event{Stage: syncs.InProgress, Host: j.Host, Mirror: j.Mirror, Transfer: &told})
			}
		case now.Raw != before.Raw && len(now.Records) > 0:
			return s.ended(j, now, shown)
		case !before.Running() && now.Refused():
			return nil, busy(j)
		case recording == syncRecording:
			return nil, fmt.Errorf("the sync ended without a record. To see its log, run on the host: "+
				"journalctl --unit %s", j.Unit())
		default:
			recording++
		}
		if err != nil || !Sleep(ctx, pause) {
			if ctx.Err() != nil {
				err = errors.New("interrupted")
			}
			return nil, fmt.Errorf("%w. The sync continues on the host. To follow it: "+
				"mirrorform sync --follow '%s'", err, j.Host)
		}
	}
}

// busy is the error of a job that is already running.
func busy(j *syncs.Job) error {
	return errors.New("a sync is already running. To follow it: mirrorform sync --follow '" + j.Host + "'")
}

// ended returns the record of a finished sync, and its error. shown is the last progress that was
// shown.
func (s *syncing) ended(j *syncs.Job, now *syncs.State, shown syncs.Transfer) (*syncs.Record, error) {
	last := now.Records[len(now.Records)-1]
	output := ""
	if last.By == "sync" { // otherwise the output belongs to an earlier sync
		output = now.Output
		if at := syncs.ParseProgress(now.Head, output); at.Total > 0 {
			shown = at
		}
	}
	shown.Phase, shown.Speed = "failed", 0
	if last.Succeeded() {
		shown.Phase, shown.Bytes = "synced", shown.Total
	}
	s.observer.Transfer(j.Label(), shown)
	return &last, syncs.ExitError(last.Exit, output)
}

// start starts the job as a separate unit, which outlives the connection.
func (s *syncing) start(ctx context.Context, link *syncLink, j *syncs.Job) error {
	link.mu.Lock()
	defer link.mu.Unlock()
	// The unit runs as the user, so that the script need not call runuser(1): that kills its child two
	// seconds after SIGTERM, which may be before the script has written its record.
	argv := []string{"systemd-run", "--quiet", "--collect", "--no-ask-password", "--unit=" + j.Unit(), "--uid=" + j.User, "--", j.Script, "--progress"}
	if s.o.AllowDeletions {
		argv = append(argv, "--allow-deletions")
	}
	err := link.session.RunProgram(ctx, s.lock, wire.RunOp{Argv: argv, Timeout: 60}, "a sync that has started continues", func(holder string) {
		s.observer.Transfer(j.Label(), syncs.Transfer{Phase: "waiting for " + holder})
		s.observer.Tell(engine.Progress{Host: j.Host, Stage: engine.Waiting, Summary: holder})
	})
	switch {
	case errors.Is(err, engine.ErrLost):
		return fmt.Errorf("it is not known whether the sync started. To find out: "+
			"mirrorform sync --follow '%s': %w", j.Host, err)
	case err != nil:
		return fmt.Errorf("the sync could not be started: %w", err)
	}
	return nil
}
