package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/wire"
	"github.com/spf13/cobra"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON, watch bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "status [HOST...]",
		Short: "Show how hosts and their mirrors are",
		Long: `Print a table of all hosts, or of those given: names, for_each blocks or globs. It says of each host whether it was reached and how many changes a plan has,
and of each mirror on it how the last sync went, how old its TIME is, how full its file system is and in how many days it is full, when cron syncs next, and
whether a sync runs. Times are by the host's own clock. The days are by how the free space went down between syncs that succeeded; ? is what is not known.

Exit status: 0, or 1 when a host could not be reached or read.`,
		Example: `mirrorform status
mirrorform status --json fra1
mirrorform status --watch`,
		ValidArgsFunction: a.completeHosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.limit = append(a.limit, args...)
			if interval < time.Second {
				return fmt.Errorf("--interval is %v: it takes 1s or more", interval)
			}
			return a.showStatus(cmd.Context(), asJSON, watch, interval)
		},
	}
	a.addHostFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "print as JSON, with --watch one line each time")
	flags.BoolVar(&watch, "watch", false, "go on and print it again and again, until interrupted")
	flags.DurationVar(&interval, "interval", 10*time.Second, "with --watch, the `DURATION` from one time to the next")
	_ = flags.MarkHidden("target")
	return cmd
}

func (a *app) showStatus(ctx context.Context, asJSON, watch bool, interval time.Duration) error {
	if len(a.target) > 0 {
		return errors.New("status takes no --target: name hosts")
	}
	r, err := a.newRun("")
	if err != nil {
		return err
	}
	defer r.close()
	r.hosts = slices.DeleteFunc(r.hosts, func(h engine.Host) bool { return h.Last })
	r.fleet.Adjust = withSurveys
	for {
		r.diags = nil
		plan := r.observe(ctx)
		if ctx.Err() != nil {
			return nil // interrupted: what was not reached says nothing
		}
		if watch && !asJSON {
			a.ui.Clear()
		}
		a.ui.Diagnostics(r.problems(plan), r.config.Files())
		hosts := newHostStatuses(plan)
		if err := a.printStatus(hosts, asJSON, watch); err != nil {
			return err
		}
		if !watch {
			if slices.ContainsFunc(hosts, func(h hostStatus) bool { return h.Error != "" }) {
				return errReported
			}
			return nil
		}
		if !wait(ctx, interval) {
			return nil
		}
	}
}

// survey is a resource that only looks: among a host's resources it has what status asks of a job asked in the plan's message.
type survey struct {
	Job *syncJob

	state *syncState
	err   error
}

type surveyType struct{}

func (surveyType) Keys(engine.Target, *survey) (provides, needs []engine.Key) { return nil, nil }
func (surveyType) Validate(*survey) []engine.Problem                          { return nil }
func (surveyType) Ask(_ engine.Target, want *survey) []wire.Query             { return want.Job.questions() }
func (surveyType) Diff(engine.Target, *survey, *survey) []engine.Step         { return nil }

// Read keeps an error for the table, since it says nothing against the plan.
func (surveyType) Read(_ engine.Target, want *survey, got engine.Answers) (*survey, error) {
	state, err := want.Job.read(got)
	return &survey{want.Job, state, err}, nil
}

var surveyKind = func() *engine.Kind {
	r := new(engine.Registry)
	engine.Register(r, "survey", surveyType{})
	return r.Kind("survey")
}()

// withSurveys adds a survey of each of a host's jobs to its resources.
func withSurveys(list []*engine.Resource) []*engine.Resource {
	if len(list) == 0 {
		return list
	}
	host := engine.HostOf(list[0].Address)
	all := slices.Clone(list)
	for _, j := range syncJobs(host, list) {
		all = append(all, &engine.Resource{Address: host + "/survey." + j.mirror, Kind: surveyKind, State: &survey{Job: j}})
	}
	return all
}

// hostStatus is how a host is.
type hostStatus struct {
	Name      string         `json:"name"`
	Reachable bool           `json:"reachable"`
	Error     string         `json:"error,omitempty"`
	Changes   *int           `json:"changes"` // of a plan; null when there is none
	Mirrors   []mirrorStatus `json:"mirrors"`
}

// mirrorStatus is how a mirror on a host is. What is not known is null.
type mirrorStatus struct {
	Name          string      `json:"name"`
	Path          string      `json:"path"`
	Error         string      `json:"error,omitempty"`
	LastSync      *syncRecord `json:"last_sync"`
	LastSyncAge   *int64      `json:"last_sync_age_seconds"`
	TimeAge       *int64      `json:"time_age_seconds"`
	Used          *uint64     `json:"used_bytes"`
	Available     *uint64     `json:"available_bytes"`
	DaysUntilFull *float64    `json:"days_until_full"`
	NextRun       *time.Time  `json:"next_run"`
	Locked        *bool       `json:"locked"`

	now time.Time
}

func newHostStatuses(plan *engine.Plan) []hostStatus {
	list := make([]hostStatus, len(plan.Hosts))
	for i, p := range plan.Hosts {
		h := hostStatus{Name: p.Host, Reachable: true, Mirrors: []mirrorStatus{}}
		var unreached interface{ Unreachable() bool }
		switch {
		case p.Err != nil:
			h.Reachable, h.Error = !errors.As(p.Err, &unreached), p.Err.Error()
		case p.Failed():
			h.Error = "the plan of this host has errors"
		default:
			changes := len(p.Changes)
			h.Changes = &changes
		}
		for _, c := range p.Compared {
			if s, ok := c.Have.(*survey); ok {
				h.Mirrors = append(h.Mirrors, newMirrorStatus(s))
			}
		}
		list[i] = h
	}
	return list
}

func newMirrorStatus(s *survey) mirrorStatus {
	m := mirrorStatus{Name: s.Job.mirror, Path: s.Job.dir}
	if s.err != nil {
		m.Error = s.err.Error()
		return m
	}
	st := s.state
	m.now = st.now
	locked := st.running()
	m.Locked = &locked
	if n := len(st.records); n > 0 {
		last := st.records[n-1]
		age := st.now.Unix() - last.End
		m.LastSync, m.LastSyncAge = &last, &age
	}
	if st.time != nil {
		age := st.now.Unix() - *st.time
		m.TimeAge = &age
	}
	if st.hasSpace {
		m.Used, m.Available = &st.used, &st.available
		m.DaysUntilFull = daysUntilFull(st.records, st.available)
	}
	if next, ok := nextRun(s.Job.schedule, st.now); ok && st.applied {
		m.NextRun = &next
	}
	return m
}

func (a *app) printStatus(hosts []hostStatus, asJSON, watch bool) error {
	doc := struct {
		FormatVersion string       `json:"format_version"`
		Hosts         []hostStatus `json:"hosts"`
	}{"1.0", hosts}
	switch {
	case asJSON && watch:
		text, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		a.print("%s\n", text)
		return nil
	case asJSON:
		return a.printJSON(doc)
	}
	if watch {
		a.print("%s\n", time.Now().Format(time.DateTime))
	}
	a.ui.Table(statusTable(hosts))
	for _, h := range hosts {
		if h.Error != "" {
			a.ui.Error(fmt.Errorf("%s: %s", h.Name, h.Error))
		}
		for _, m := range h.Mirrors {
			if m.Error != "" {
				a.ui.Error(fmt.Errorf("%s: %s: %s", h.Name, m.Name, m.Error))
			}
		}
	}
	return nil
}

func statusTable(hosts []hostStatus) [][]string {
	rows := [][]string{{"HOST", "STATE", "MIRROR", "LAST SYNC", "RESULT", "TIME", "USED", "FREE", "FULL IN", "NEXT SYNC", "LOCK"}}
	for _, h := range hosts {
		state := "?"
		switch {
		case !h.Reachable:
			state = "unreachable"
		case h.Changes != nil && *h.Changes == 0:
			state = "in sync"
		case h.Changes != nil && *h.Changes == 1:
			state = "drifted: 1 change"
		case h.Changes != nil:
			state = fmt.Sprintf("drifted: %d changes", *h.Changes)
		}
		for _, m := range h.Mirrors {
			rows = append(rows, append([]string{h.Name, state}, m.cells()...))
		}
		if len(h.Mirrors) == 0 {
			rows = append(rows, []string{h.Name, state})
		}
	}
	return rows
}

// cells are the mirror's part of its row.
func (m *mirrorStatus) cells() []string {
	last, result, age, used, free, full, next, lock := "?", "?", "?", "?", "?", "?", "?", "?"
	if m.LastSync != nil {
		last, result = ago(*m.LastSyncAge), "done"
		if m.LastSync.Exit != 0 {
			result = fmt.Sprintf("failed (%d)", m.LastSync.Exit)
		}
	}
	if m.TimeAge != nil {
		age = ago(*m.TimeAge)
	}
	if m.Used != nil && m.Available != nil {
		used, free = humanize.IBytes(*m.Used), humanize.IBytes(*m.Available)
	}
	if m.DaysUntilFull != nil {
		full = fmt.Sprintf("%.0f days", math.Floor(*m.DaysUntilFull))
	}
	if m.NextRun != nil {
		next = "in " + roughly(int64(m.NextRun.Sub(m.now)/time.Second))
	}
	if m.Locked != nil {
		lock = map[bool]string{true: "held", false: "free"}[*m.Locked]
	}
	return []string{m.Name, last, result, age, used, free, full, next, lock}
}

// ago says how long ago something was, by the host's clock.
func ago(seconds int64) string {
	if seconds < 0 {
		return "in the future"
	}
	return roughly(seconds) + " ago"
}

// roughly is a number of seconds in its largest whole unit.
func roughly(seconds int64) string {
	switch {
	case seconds < 60:
		return fmt.Sprintf("%d s", seconds)
	case seconds < 60*60:
		return fmt.Sprintf("%d min", seconds/60)
	case seconds < 48*60*60:
		return fmt.Sprintf("%d h", seconds/3600)
	}
	return fmt.Sprintf("%d d", seconds/86400)
}
