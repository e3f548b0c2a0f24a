package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// syncOptions are the options of sync.
type syncOptions struct {
	hostFlags
	lockTimeout time.Duration
	follow      bool
	allow       bool // --allow-deletions
	asJSON      bool
}

func newSyncCommand(g *global) *cobra.Command {
	var o syncOptions
	cmd := &cobra.Command{
		Use:   "sync [HOST...]",
		Short: "Sync mirrors now, and show their progress",
		Long: `Run the sync job of all mirrors, or of those on the named hosts: names, for_each
blocks or globs. It is the job that cron runs: the same command, as the same
user, under the same lock. rsync first lists what it would transfer and delete.
If the storage is too small, or more would be deleted than max_delete and
max_delete_percent allow, nothing is synced. --allow-deletions allows the
deletions this once, and lifts a hold.

A host whose mirrors come from another one of these hosts (sync.from) starts
after it.

The sync runs on the host, as the systemd unit mirrorform-sync-NAME.service. It
continues if the connection is lost or you interrupt the command, and --follow
shows it again. --follow starts nothing: it follows running syncs, also those of
cron, and if none is running it reports the last one.

Exit status: 0 if every sync succeeded, else 1, also if a sync could not start
because one was running.`,
		Example: `mirrorform sync
mirrorform sync fra1

# Follow a running sync
mirrorform sync --follow fra1

# After you have checked the upstream: delete more than max_delete allows
mirrorform sync --allow-deletions fra1`,
		ValidArgsFunction: completer{g, &o.configFlags}.hosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runSync(cmd.Context(), g, w, o, args) })
		},
	}
	o.add(g, cmd)
	o.addEventsFlag(cmd)
	addLockFlag(cmd, &o.lockTimeout)
	cmd.Flags().BoolVar(&o.follow, "follow", false, "start nothing: follow the running syncs")
	cmd.Flags().BoolVar(&o.allow, "allow-deletions", false,
		"delete what the upstream does not have, without a limit, this once")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the results as JSON")
	_ = cmd.Flags().MarkHidden("target")
	return cmd
}

func runSync(ctx context.Context, g *global, w *observer, o syncOptions, names []string) error {
	switch {
	case o.follow && o.allow:
		return errors.New("--follow starts nothing, and --allow-deletions is for a sync that starts: give one of them")
	case len(o.target) > 0:
		return errors.New("sync takes no --target: name the hosts instead")
	}
	r, err := run.New(o.options(g, w, "", names...), w)
	if err != nil {
		return err
	}
	defer r.Close()
	w.transfers = ui.NewTransfers(g.ui)
	results, problems := r.Sync(ctx, run.SyncOptions{Follow: o.follow, AllowDeletions: o.allow, LockTimeout: o.lockTimeout})
	w.transfers.Close()
	r.Report(problems)
	if len(results) == 0 {
		return errors.New("no mirror to sync on these hosts")
	}
	if err := printSyncs(g, results, o.asJSON); err != nil {
		return err
	}
	if slices.ContainsFunc(results, func(r run.SyncResult) bool { return r.Err != nil }) {
		return errReported
	}
	return nil
}

// syncJSON is the result of a job's sync.
type syncJSON struct {
	Host    string        `json:"host"`
	Mirror  string        `json:"mirror,omitempty"`
	OK      bool          `json:"ok"`
	Record  *syncs.Record `json:"record"`
	Seconds *int64        `json:"seconds"`
	Error   string        `json:"error,omitempty"`
}

func newSyncJSON(r run.SyncResult) syncJSON {
	j := syncJSON{Host: r.Host, Mirror: r.Mirror, Record: r.Record, OK: r.Err == nil}
	if r.Err != nil {
		j.Error = r.Err.Error()
	}
	if r.Record != nil {
		seconds := r.Record.Seconds()
		j.Seconds = &seconds
	}
	return j
}

func printSyncs(g *global, results []run.SyncResult, asJSON bool) error {
	if asJSON {
		list := []syncJSON{}
		for _, r := range results {
			list = append(list, newSyncJSON(r))
		}
		return g.printJSON(struct {
			FormatVersion string     `json:"format_version"`
			Syncs         []syncJSON `json:"syncs"`
		}{"1.0", list})
	}
	for _, r := range results {
		name := strings.TrimSpace(r.Host + " " + r.Mirror)
		if r.Err != nil {
			g.ui.Error(fmt.Errorf("%s: %w", name, r.Err))
			continue
		}
		g.ui.Print(name + ": synced " + describeRecord(r.Record))
	}
	return nil
}

// describeRecord shows how much a sync received, in which time, and how fast.
func describeRecord(r *syncs.Record) string {
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
