package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// statusOptions are the options of status.
type statusOptions struct {
	hostFlags
	asJSON, watch bool
	interval      time.Duration
	maxAge        time.Duration // 0: any
}

func newStatusCommand(g *global) *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:   "status [HOST...]",
		Short: "Show the state of hosts and their mirrors",
		Long: `Print a table of all hosts, or of the named ones: names, for_each blocks or
globs. For each host it shows whether it was reached and how many changes a plan
has, or that it is as configured; what is wrong comes first. For each of its
mirrors it shows the result of the last sync, the age of its TIME file, how full
its file system is and in how many days it will be full, when cron syncs next,
and whether a sync is running. For a mirror block with tls, it shows for how
many days the certificate on the host is valid, and when it was issued, which is
its last renewal. A warning names a certificate that has fewer than 14 days left
or cannot be read. For a mirror block with rsync_daemon, it shows whether the
host's rsync daemon serves the mirror, or has as many clients as it may have.
For a leaf, which syncs from another host, it shows that hub, and by how much
TIME is older than the hub's. Ages and days are by the host's own clock. The
days until full are estimated from the free space after successful syncs. A ? is
a value that is not known. A dash is the age of TIME of another distribution
than AlmaLinux, which has no such file, the certificate of a mirror block
without tls, the daemon of one without rsync_daemon, or the hub of a mirror that
is not a leaf. On a terminal that is too narrow, the table is in parts, one
below the other; elsewhere it is in one part.

With --max-age, it names each mirror whose TIME file is older, and those whose
age is not known. For another distribution than AlmaLinux, the age is that of
the last successful sync.

Exit status: 0, or 1 if a host could not be reached or read, or 2 if a mirror is
older than --max-age.`,
		Example: `mirrorform status
mirrorform status --json fra1

# For monitoring: exit status 2 if a mirror is older
mirrorform status --max-age 6h

# Again and again, until you interrupt it
mirrorform status --watch --interval 1m

# As files, for a dashboard
mirrorform status --report json=status.json --report html=status.html`,
		ValidArgsFunction: completer{g, &o.configFlags}.hosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runStatus(cmd.Context(), g, w, o, args) })
		},
	}
	o.add(g, cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.asJSON, "json", false, "print the table as JSON, with --watch as one line each time")
	flags.BoolVar(&o.watch, "watch", false, "print the table again and again, until interrupted")
	flags.DurationVar(&o.interval, "interval", 10*time.Second, "with --watch: print the table every `DURATION`")
	flags.DurationVar(&o.maxAge, "max-age", 0, "exit with status 2 if the TIME of a mirror is older than `DURATION`")
	_ = flags.MarkHidden("target")
	o.reports.addFlag(cmd)
	return cmd
}

func runStatus(ctx context.Context, g *global, w *observer, o statusOptions, names []string) error {
	switch {
	case o.watch && len(o.reports) > 0:
		return errors.New("--watch never ends, and --report writes at the end: give one of them")
	case o.watch && o.maxAge != 0:
		return errors.New("--watch never ends, and --max-age decides the exit status: give one of them")
	case o.maxAge < 0:
		return fmt.Errorf("invalid value %q for --max-age: it takes a duration such as 6h", o.maxAge)
	case o.interval < time.Second:
		return fmt.Errorf("invalid value %q for --interval: it takes 1s or more", o.interval)
	case len(o.target) > 0:
		return errors.New("status takes no --target: name the hosts instead")
	}
	r, err := run.New(o.options(g, w, "", names...), w)
	if err != nil {
		return err
	}
	defer r.Close()
	aim := r.Aim()
	aim.Hosts = slices.DeleteFunc(slices.Clone(r.Hosts), func(h engine.Host) bool { return h.Last })
	aim.Adjust = run.WithSurveys
	w.result.narrowed(aim.Hosts)
	for {
		start := now()
		p := r.Observe(ctx, aim)
		p.Close()
		if ctx.Err() != nil {
			if o.watch {
				return nil
			}
			return errors.New("interrupted before all hosts were observed")
		}
		if o.watch && !o.asJSON {
			g.ui.Clear()
		}
		w.Diagnostics(p.Problems, r.Config.Files())
		status := &report.Status{FormatVersion: report.StatusFormat, Start: start, End: now(), Hosts: newHostStatuses(p.Plan)}
		w.result.surveyed(p.Plan, status)
		if err := printStatus(g, status, o.asJSON, o.watch); err != nil {
			return err
		}
		if !o.watch {
			if slices.ContainsFunc(status.Hosts, func(h report.HostStatus) bool { return h.Error != "" }) {
				return errReported
			}
			if o.maxAge == 0 {
				return nil
			}
			old := tooOld(status.Hosts, o.maxAge)
			for _, text := range old {
				g.ui.Warning(text)
			}
			if len(old) > 0 {
				return errDifferences
			}
			return nil
		}
		if !run.Sleep(ctx, o.interval) {
			return nil
		}
	}
}

// tooOld has a warning for each mirror that is older than a limit, or whose age is not known.
func tooOld(hosts []report.HostStatus, most time.Duration) (list []string) {
	for i := range hosts {
		for _, m := range hosts[i].Mirrors {
			what, age := "TIME", m.TimeAge
			if m.Distribution == syncs.OtherDistribution {
				what, age = "the last successful sync", m.SuccessAge
			}
			name := hosts[i].Name + ": " + m.Name + ": "
			switch {
			case age == nil:
				list = append(list, name+"the age of "+what+" is not known")
			case *age > int64(most/time.Second):
				list = append(list, name+what+" is "+ui.Span(*age)+" old, and --max-age is "+most.String()+besideHub(m.Hub))
			}
		}
	}
	return list
}

func newHostStatuses(plan *engine.Plan) []report.HostStatus {
	list := make([]report.HostStatus, len(plan.Hosts))
	for i, p := range plan.Hosts {
		h := report.HostStatus{Name: p.Host, Reachable: true, Mirrors: []report.MirrorStatus{}}
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
		serving := run.RsyncModules(p)
		for _, c := range p.Compared {
			if s, ok := c.Have.(*run.Survey); ok {
				m := newMirrorStatus(s)
				m.Rsync = serving[m.Path]
				h.Mirrors = append(h.Mirrors, m)
			}
		}
		list[i] = h
	}
	findHubs(plan, list)
	return list
}

func newMirrorStatus(s *run.Survey) report.MirrorStatus {
	m := report.MirrorStatus{Name: s.Job.Mirror, Path: s.Job.Dir, Distribution: s.Job.Distribution()}
	if s.Err != nil {
		m.Error = s.Err.Error()
		return m
	}
	st := s.State
	m.Certificate = newCertificate(s.Job.Certificate, s.Certificate, st.Now)
	locked := st.Running()
	m.Clock, m.Locked, m.Held = &st.Now, &locked, st.Held
	for _, r := range st.Records {
		if r.UpstreamTime != 0 {
			m.UpstreamTime = &r.UpstreamTime
		}
	}
	if n := len(st.Records); n > 0 {
		last := st.Records[n-1]
		age := st.Now.Unix() - last.End
		m.LastSync, m.LastSyncAge = &last, &age
	}
	for _, r := range st.Records {
		if age := st.Now.Unix() - r.End; r.Succeeded() {
			m.SuccessAge = &age
		}
	}
	if st.Time != nil {
		age := st.Now.Unix() - *st.Time
		m.TimeAge = &age
	}
	if st.HasSpace {
		m.Used, m.Available = &st.Used, &st.Available
		m.DaysUntilFull = syncs.DaysUntilFull(st.Records, st.Available)
	}
	if next, ok := syncs.NextRun(s.Job.Schedule, st.Now); ok && st.Applied {
		m.NextRun = &next
	}
	return m
}

func printStatus(g *global, status *report.Status, asJSON, watch bool) error {
	switch {
	case asJSON && watch:
		text, err := json.Marshal(status)
		if err != nil {
			return err
		}
		g.print("%s\n", text)
		return nil
	case asJSON:
		return g.printJSON(status)
	}
	if watch {
		g.print("%s\n", status.End.Local().Format(time.DateTime))
	}
	hosts := worstFirst(status.Hosts)
	g.ui.Cells(statusTable(hosts), hostColumn, mirrorColumn)
	for _, h := range hosts {
		for _, text := range certificateWarnings(&h) {
			g.ui.Warning(text)
		}
		if h.Error != "" {
			g.ui.Error(fmt.Errorf("%s: %s", h.Name, h.Error))
		}
		for _, m := range h.Mirrors {
			if m.Error != "" {
				g.ui.Error(fmt.Errorf("%s: %s: %s", h.Name, m.Name, m.Error))
			}
			if m.LastSync == nil {
				continue
			}
			if u := m.LastSync.Upstream; u != "" {
				g.ui.Note(h.Name + ": " + m.Name + ": the last sync used the upstream " + u + ", since the first one refused or is behind")
			}
			if text := hubNote(&m); text != "" {
				g.ui.Note(h.Name + ": " + m.Name + ": " + text)
			}
			if next := nextStep(m.LastSync); next != "" {
				g.ui.Note(h.Name + ": " + m.Name + ": " + fmt.Sprintf(next, h.Name))
			}
		}
	}
	return nil
}

// worstFirst returns hosts with what is wrong first: those that were not reached or read, then
// those with a mirror that is wrong, then those that have drifted.
func worstFirst(hosts []report.HostStatus) []report.HostStatus {
	rank := func(h report.HostStatus) int {
		failed := slices.ContainsFunc(h.Mirrors, func(m report.MirrorStatus) bool {
			return m.Error != "" || m.LastSync != nil && !m.LastSync.Succeeded() || m.Late() || m.Rsync == report.NotServed ||
				m.Certificate != nil && m.Certificate.Expired()
		})
		switch {
		case !h.Reachable || h.Error != "":
			return 0
		case failed:
			return 1
		case h.Changes == nil || *h.Changes > 0:
			return 2
		}
		return 3
	}
	hosts = slices.Clone(hosts)
	slices.SortStableFunc(hosts, func(a, b report.HostStatus) int { return cmp.Compare(rank(a), rank(b)) })
	return hosts
}

// refusedSyncs has, by exit status, what to do next about syncs that the guard stopped. The
// placeholder is the host.
var refusedSyncs = map[int]string{
	25: "a sync has deleted as many files as max_delete allows, and later syncs are held. Check the upstream. " +
		"To delete the rest, once: mirrorform sync --allow-deletions '%s'",
	syncs.ExitHeld: "syncs are held, since too many files would be deleted. Check the upstream. " +
		"To delete them, once: mirrorform sync --allow-deletions '%s'",
	syncs.ExitEmpty: "the upstream is empty, or lacks the file that freshness names, " +
		"so nothing is synced and the mirror's files stay. To see what the upstream has: rsync UPSTREAM. " +
		"To use another one, set sync.upstream and apply. Then: mirrorform sync '%s'",
	syncs.ExitTimeLimit: "the last sync was ended at time_limit, and the next one continues. To continue now: mirrorform sync '%s'",
	syncs.ExitUnclaimed: "the mirror's directory is not the one that was claimed for it, " +
		"so nothing is synced. To see what differs: mirrorform plan --limit '%s'",
}

// nextStep returns what to do after a sync that failed, with a placeholder for the host, or "".
func nextStep(r *syncs.Record) string {
	if full := r.Full(); full != "" && !r.Succeeded() {
		return full + ": the last sync did not fit, and the tree is older than the upstream. What is served stays. " +
			"Make room or extend the storage. Then: mirrorform sync '%s'"
	}
	return refusedSyncs[r.Exit]
}

// ago is how long ago something was. A wrong clock makes it negative: in the future.
func ago(seconds int64) string {
	if seconds < 0 {
		return ui.Span(seconds)
	}
	return ui.Span(seconds) + " ago"
}
