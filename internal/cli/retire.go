package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/publish"
	"github.com/mirrorform/mirrorform/internal/upstream"
	"github.com/mirrorform/mirrorform/resources"
	"github.com/spf13/cobra"
)

// retireOptions are the flags of retire.
type retireOptions struct {
	publish.Options
	mirrorList                    string
	wait                          time.Duration
	dryRun, skipPublish, approved bool
	deleteData                    []string
}

func (a *app) retireCommand() *cobra.Command {
	var o retireOptions
	cmd := &cobra.Command{
		Use:   "retire HOST...",
		Short: "Take mirrors out of AlmaLinux's list, then stop them",
		Long: `Retire the mirrors of hosts, so that no client is sent to a mirror that has stopped: first a pull request removes each mirror's entry from AlmaLinux's
mirror list; once that is merged and the mirror service does not list the mirror any more, its cron entries and its site are removed, and its file in mirrors.d here. That
is planned, shown, asked for and performed as by apply. HOST is a host of the configuration, a for_each block or a glob; its mirror block has to be there still.

retire goes on from what is there, so run it again until it is done: it opens the pull request, tells that it waits to be merged, tells that the service still lists the
mirror, then stops it. With --wait it looks again by itself for that long. --skip-publish is for mirrors that never were listed.

Files, accounts and packages stay. --delete-data deletes a directory of a mirror's files, named by its address as plan prints it, in the end and after another question that
names its path and size; while a sync holds the mirror's lock it fails.

--events and --report tell of what is planned and applied on hosts, not of the pull requests; a host whose mirror AlmaLinux still lists is one that was not started.

In the end retire says what to take out of the configuration: until then the next apply would bring the mirror back.

Exit status: 0 retired, 1 an error, 2 AlmaLinux still lists a mirror.`,
		Example: `mirrorform retire fra1
mirrorform retire --wait 6h --auto-approve fra1
mirrorform retire --delete-data fra1/mirror.almalinux.directory fra1`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeHosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(a.limit)+len(a.target)+a.shard.parts > 0 {
				return errors.New("retire takes hosts as arguments, and no --limit, --shard or --target")
			}
			a.limit = args
			return a.retire(cmd.Context(), o)
		},
	}
	a.addHostFlags(cmd)
	a.addEventsFlag(cmd)
	a.addLockFlag(cmd)
	addRepositoryFlags(cmd, &o.Options)
	flags := cmd.Flags()
	flags.StringVar(&o.mirrorList, "mirror-list", upstream.DefaultMirrorList, "ask the mirror service at `URL` whether it lists a mirror; go by the merged files alone if empty")
	flags.DurationVar(&o.wait, "wait", 0, "look again for that long, as `30m` or 6h, while a mirror is still listed")
	flags.BoolVar(&o.skipPublish, "skip-publish", false, "stop mirrors whatever AlmaLinux lists: for those that never were listed")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the pull requests and the plan, and change nothing")
	flags.BoolVar(&o.approved, "auto-approve", false, "do not ask")
	flags.StringArrayVar(&o.deleteData, "delete-data", nil, "delete the directory at `ADDRESS` with the mirror's files in it, in the end (may be given again)")
	for _, name := range []string{"limit", "shard", "target"} {
		_ = flags.MarkHidden(name)
	}
	for _, name := range []string{"mirror-list", "wait"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	_ = cmd.RegisterFlagCompletionFunc("delete-data", a.completeAddresses)
	a.addReportFlag(cmd)
	return cmd
}

func (a *app) retire(ctx context.Context, o retireOptions) error {
	if o.wait < 0 || o.wait > 0 && o.wait < time.Second {
		return fmt.Errorf("--wait is %v: it takes a second at least, such as 30m", o.wait)
	}
	if o.mirrorList != "" {
		if _, err := treeURL(o.mirrorList, "http", "https"); err != nil {
			return fmt.Errorf("--mirror-list: %w", err)
		}
	}
	command := "retire"
	if o.dryRun {
		command = "" // takes no locks
	}
	r, err := a.newRun(command)
	if err != nil {
		return err
	}
	defer r.close()
	hosts, err := r.hostsToRetire()
	if err != nil {
		return err
	}
	data, err := r.dataToDelete(hosts, o.deleteData)
	if err != nil {
		return err
	}
	ready, waiting, failed := hosts, false, false
	if !o.skipPublish {
		if ready, waiting, failed, err = r.unlist(ctx, hosts, o); err != nil {
			return err
		}
	}
	if len(ready) > 0 {
		if err := r.stopMirrors(ctx, ready, data, o); err != nil {
			if !errors.Is(err, errReported) {
				return err
			}
			failed = true
		}
	}
	switch {
	case failed:
		return errReported
	case waiting:
		return errDifferences
	}
	return nil
}

// hostsToRetire are the hosts that the arguments mean; each has a mirror.
func (r *run) hostsToRetire() ([]string, error) {
	var names []string
	for _, h := range r.hosts {
		if h.Last {
			continue
		}
		if len(r.config.MirrorsOn(h.Name)) == 0 {
			return nil, fmt.Errorf("the configuration has no mirror on host %s; retire goes by the mirror block, which has to stay until the mirror is retired", h.Name)
		}
		names = append(names, h.Name)
	}
	if len(names) == 0 {
		return nil, errors.New("host local has no mirror to retire")
	}
	return names, nil
}

// partOf takes the address of a mirror's part apart. The host is that of the mirror; part is "" where the address is of something else.
func partOf(address string) (host, mirrorName, part string) {
	a, ok := engine.ParseAddress(address)
	if !ok || a.Type != "mirror" || a.Part == "" {
		return a.Host, "", ""
	}
	return cmp.Or(a.Key, a.Host), a.Name, a.Part
}

// dataToDelete checks as much of --delete-data as can be checked without a host, and returns the addresses by host.
func (r *run) dataToDelete(hosts, addresses []string) (map[string][]string, error) {
	data := map[string][]string{}
	for _, address := range addresses {
		host, name, part := partOf(address)
		if !slices.Contains(hosts, host) {
			return nil, fmt.Errorf("--delete-data %s: that is not on a host that is retired here", address)
		}
		places := r.config.MirrorsOn(host)
		i := slices.IndexFunc(places, func(p config.MirrorPlace) bool { return p.Name == name })
		if _, isData := mirror.Data(part); !isData || i < 0 {
			return nil, noDataError(address)
		}
		if parts := places[i].Parts; parts != nil {
			if err := checkData(parts, address); err != nil {
				return nil, err
			}
		}
		data[host] = append(data[host], address)
	}
	wanted := r.fleet.Wanted
	r.fleet.Wanted = func(host string, facts map[string]*wire.Facts) ([]*engine.Resource, error) {
		list, err := wanted(host, facts)
		if err != nil || data[host] == nil {
			return list, err
		}
		var parts []string
		for _, res := range list {
			if of, _, part := partOf(res.Address); of == host && part != "" {
				parts = append(parts, part)
			}
		}
		for _, address := range data[host] {
			err = errors.Join(err, checkData(parts, address))
		}
		return list, err
	}
	return data, nil
}

// checkData checks an address of --delete-data by the parts that the mirror has on its host.
func checkData(parts []string, address string) error {
	_, _, part := partOf(address)
	if !slices.Contains(parts, part) {
		return noDataError(address)
	}
	if part == "mount_point" && slices.Contains(parts, "directory") {
		return fmt.Errorf("--delete-data %s: the mirror's files are in a directory below it: name %s", address, strings.TrimSuffix(address, part)+"directory")
	}
	return nil
}

func noDataError(address string) error {
	return fmt.Errorf("--delete-data %s: that is no directory of a mirror's files; they are in HOST/mirror.NAME.directory or kitten_directory, or in mount_point where a file system is mounted on the very directory", address)
}

// stopMirrors stops the mirrors of hosts, deletes what is to be deleted, and says what to take out of the configuration.
func (r *run) stopMirrors(ctx context.Context, hosts []string, data map[string][]string, o retireOptions) error {
	all := r.hosts
	r.only(all, hosts, true)
	r.fleet.Select = func(_ engine.Target, list []*engine.Resource) []*engine.Resource {
		return slices.DeleteFunc(slices.Clone(list), func(res *engine.Resource) bool {
			host, _, part := partOf(res.Address)
			return res.Orphan || !mirror.Live(part) || !slices.Contains(hosts, host)
		})
	}
	r.fleet.Adjust = func(list []*engine.Resource) []*engine.Resource {
		for _, res := range list {
			res.Remove = true
		}
		return list
	}
	if o.dryRun {
		plan, err := r.plan(ctx)
		if err != nil {
			return err
		}
		if err := r.show(plan, false); err != nil || plan.Failed() {
			return errors.Join(err, errReported)
		}
		return nil
	}
	err := r.apply(ctx, "Stop the syncs and the sites of these mirrors?", o.approved)
	if err == nil && len(data) > 0 {
		r.only(all, hosts, false)
		if err = r.deleteData(ctx, data, o.approved); errors.Is(err, errNotApproved) {
			r.ui.Error(errors.New("not approved; the mirrors are stopped, and their files stay"))
			err = errReported
		}
	}
	if err == nil || errors.Is(err, errReported) {
		r.ui.Print(takeOut(r.config, hosts))
	}
	return err
}

// only narrows the run to hosts, and host local if it is wanted.
func (r *run) only(all []engine.Host, hosts []string, local bool) {
	r.hosts = slices.DeleteFunc(slices.Clone(all), func(h engine.Host) bool { return h.Last && !local || !h.Last && !slices.Contains(hosts, h.Name) })
	r.diags = nil // they were told
}

// deleteData deletes directories with what is in them, in a transaction of its own: when it begins, nothing can be taken back any more.
func (r *run) deleteData(ctx context.Context, data map[string][]string, approved bool) error {
	r.hosts = slices.DeleteFunc(r.hosts, func(h engine.Host) bool { return data[h.Name] == nil })
	if len(r.hosts) == 0 {
		return nil
	}
	r.fleet.Select = func(_ engine.Target, list []*engine.Resource) []*engine.Resource {
		locks := map[string]string{} // by the addresses of cron entries
		for _, res := range list {
			if c, ok := res.State.(*resources.Cron); ok && !res.Orphan && len(c.Command) > 2 {
				locks[res.Address] = c.Command[2]
			}
		}
		var found []*engine.Resource
		for _, res := range list {
			host, name, part := partOf(res.Address)
			directory, ok := res.State.(*resources.Directory)
			if !ok || res.Orphan || !slices.Contains(data[host], res.Address) {
				continue
			}
			var held []string
			crons, _ := mirror.Data(part)
			for _, cron := range crons {
				if lock := locks[fmt.Sprintf("%s/mirror.%s.%s", host, name, cron)]; lock != "" {
					held = append(held, lock)
				}
			}
			res.State, res.Remove, res.Purge = directory.Deleting(held...), true, true
			found = append(found, res)
		}
		return found
	}
	r.fleet.Adjust = nil
	return r.applyAsking(ctx, deletionQuestion, approved)
}

// deletionQuestion names what a plan deletes: the path and the size, which are in the steps.
func deletionQuestion(plan *engine.Plan) string {
	lines := []string{"Do this for good? Deleted files do not come back."}
	for _, h := range plan.Hosts {
		for _, c := range h.Changes {
			for _, step := range c.Steps {
				lines = append(lines, fmt.Sprintf("  on %s, %s", h.Host, step.Summary))
			}
		}
	}
	return strings.Join(lines, "\n")
}

// takeOut says what of the configuration would bring retired mirrors back.
func takeOut(c *config.Config, hosts []string) string {
	lines := []string{"The configuration still declares what was retired, so the next apply would bring it back. Take out of it:"}
	told := map[string]bool{}
	for _, host := range hosts {
		for _, p := range c.MirrorsOn(host) {
			at := fmt.Sprintf("%s:%d", p.Reference.Filename, p.Reference.Start.Line)
			line := fmt.Sprintf("  %s  host %s, which mirror %q has by this reference", at, host, p.Name)
			switch {
			case !slices.ContainsFunc(p.Hosts, func(h string) bool { return !slices.Contains(hosts, h) }):
				line = fmt.Sprintf("  %s:%d-%d  the block mirror %q", p.Block.Filename, p.Block.Start.Line, p.Block.End.Line, p.Name)
			case p.Exact:
				line = fmt.Sprintf("  %s  host %s in the hosts of mirror %q", at, host, p.Name)
			}
			if !told[line] {
				told[line] = true
				lines = append(lines, line)
			}
		}
	}
	lines = append(lines, "The apply after that removes the packages and scripts that the mirrors leave, and keeps their files and accounts.")
	return strings.Join(lines, "\n")
}

// unlist brings the entries of hosts out of AlmaLinux's list. ready are the hosts that are not listed any more; waiting tells whether others still are,
// failed whether something went wrong with some, which was told.
func (r *run) unlist(ctx context.Context, hosts []string, o retireOptions) (ready []string, waiting, failed bool, err error) {
	entries, err := r.entriesToRetire(ctx, hosts)
	if err != nil {
		return nil, false, false, err
	}
	if o.Token, err = publish.FindToken(ctx, os.Environ(), o.APIURL); err != nil && (!errors.Is(err, publish.ErrNoToken) || !o.dryRun) {
		return nil, false, false, err
	}
	o.Notify = r.ui.Note
	session, err := publish.Open(ctx, o.Options)
	if err != nil {
		return nil, false, false, err
	}
	u := &unlisting{run: r, o: o, session: session, states: map[string]unlistState{}}
	err = errors.Join(u.until(ctx, entries), session.Close())
	for _, host := range hosts {
		worst := unlisted
		for _, e := range entries {
			if e.Host == host {
				worst = max(worst, u.states[e.File.Name])
			}
		}
		switch worst {
		case unlistFailed:
			failed = true
		case unlistWaiting:
			waiting = true
		default:
			ready = append(ready, host)
		}
	}
	if o.dryRun {
		ready, waiting = hosts, false // all that would be done is shown
	}
	return ready, waiting, failed, err
}

// entriesToRetire are the entries of hosts; each has one.
func (r *run) entriesToRetire(ctx context.Context, hosts []string) ([]publish.Entry, error) {
	entries, err := r.entriesToPublish(ctx)
	if err != nil {
		return nil, err
	}
	for _, host := range hosts {
		if !slices.ContainsFunc(entries, func(e publish.Entry) bool { return e.Host == host }) {
			return nil, fmt.Errorf("the mirror on host %s has no publish block, so its name in AlmaLinux's list is not known; add the block, or give --skip-publish if it never was listed", host)
		}
	}
	for i := range entries {
		entries[i].Remove = true
	}
	return entries, nil
}
