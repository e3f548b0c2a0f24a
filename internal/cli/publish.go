package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/aymanbagabas/go-udiff"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/publish"
	"github.com/spf13/cobra"
)

// publishOptions are the flags of publish.
type publishOptions struct {
	publish.Options
	verify                    verifyFlags
	dryRun, check, skipVerify bool
}

func (a *app) publishCommand() *cobra.Command {
	o := publishOptions{verify: defaultVerifyFlags()}
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Bring the mirrors' entries into AlmaLinux's mirror list",
		Long: `Open a pull request to AlmaLinux's mirror list for each mirror whose entry there is missing or differs from the configuration, or update the one that is
open, and print its address. Nothing is done for entries that are as they should be.

Of a file that upstream has, only the lines of keys that differ change. The commit goes to the branch mirrorform/NAME of your fork. --repo names a clone of
it, whose remotes say what the fork is and whose author commits; the clone itself is never written. Without it the fork is --fork, or that of the token's account.

What would be committed is checked as by lint, and the mirror as by verify; an error of either stops its entry. --skip-verify leaves out the second.

The token is $GH_TOKEN or $GITHUB_TOKEN, or what gh auth token prints; a classic one needs the scope public_repo.

With --check nothing is published: what differs between the configuration and the list is told, field by field.

Exit status: 0 done or nothing to do, 1 an error, with --check 2 when there are differences.`,
		Args: a.noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.publish(cmd.Context(), o)
		},
	}
	a.addHostFlags(cmd)
	o.verify.add(cmd)
	addRepositoryFlags(cmd, &o.Options)
	flags := cmd.Flags()
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the changes and the pull requests' texts, and change nothing")
	flags.BoolVar(&o.check, "check", false, "tell what differs between the configuration and the list")
	flags.BoolVar(&o.skipVerify, "skip-verify", false, "do not look at the mirrors from outside before their entries are published")
	flags.BoolVar(&o.Relist, "relist", false, "ask for mirrors that upstream made private, or that were retired, to be listed again")
	flags.BoolVar(&o.Overwrite, "overwrite", false, "replace values that somebody else pushed to the branch")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "check")
	return cmd
}

// addRepositoryFlags adds what says where the list and the fork are.
func addRepositoryFlags(cmd *cobra.Command, o *publish.Options) {
	flags := cmd.Flags()
	flags.StringVar(&o.Clone, "repo", "", "your clone of the fork, in `DIRECTORY`")
	flags.StringVar(&o.Fork, "fork", "", "your fork, as `OWNER/NAME`")
	flags.StringVar(&o.Upstream, "upstream", publish.DefaultUpstream, "the repository that holds the list, as `OWNER/NAME`")
	flags.StringVar(&o.APIURL, "api-url", publish.DefaultAPIURL, "`URL` of GitHub's REST API; https://HOST/api/v3/ for GitHub Enterprise Server")
	flags.BoolVar(&o.IgnoreClosed, "ignore-closed", false, "open a new pull request although one was closed without being merged")
	_ = cmd.MarkFlagDirname("repo")
	for _, name := range []string{"fork", "upstream", "api-url"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

func (a *app) publish(ctx context.Context, o publishOptions) error {
	r, err := a.entriesRun()
	if err != nil {
		return err
	}
	list, err := r.entriesToPublish(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return errors.New("there is nothing to publish: no mirror block of these hosts has a publish block")
	}
	if o.Token, err = publish.FindToken(ctx, os.Environ(), o.APIURL); err != nil && (!errors.Is(err, publish.ErrNoToken) || !o.dryRun && !o.check) {
		return err
	}
	if !o.skipVerify && !o.check {
		c, err := a.newMirrorChecker(ctx, o.verify, r.config)
		if err != nil {
			return err
		}
		defer c.close()
		o.Checkers = []publish.Checker{c}
	}
	o.Notify, o.UpstreamOnly = a.ui.Note, o.check
	session, err := publish.Open(ctx, o.Options)
	if err != nil {
		return err
	}
	err = a.publishAll(ctx, session, list, o)
	return errors.Join(err, session.Close())
}

// publishAll goes on with the other entries after an error.
func (a *app) publishAll(ctx context.Context, s *publish.Session, list []publish.Entry, o publishOptions) error {
	failed, differs := false, false
	for _, e := range list {
		if ctx.Err() != nil {
			return errors.New("interrupted; run publish again to go on")
		}
		var err error
		if o.check {
			var d bool
			d, err = a.publishCheck(s, e)
			differs = differs || d
		} else {
			err = a.publishOne(ctx, s, e, o.dryRun)
		}
		if err != nil {
			a.ui.Error(err)
			failed = true
			if refused := (*publish.RefusedError)(nil); errors.As(err, &refused) && refused.Checker == verifyName {
				a.ui.Note("mirrorform verify says more about it; --skip-verify publishes it all the same")
			}
		}
	}
	switch {
	case failed:
		return errReported
	case differs:
		return errDifferences
	}
	return nil
}

func (a *app) publishCheck(s *publish.Session, e publish.Entry) (differs bool, err error) {
	d, err := s.Drift(e)
	if err != nil {
		return false, err
	}
	for _, k := range d.Foreign {
		a.ui.Note(fmt.Sprintf("%s line %d: %s is no key that upstream's schema knows", d.Path, k.Line, k.Key))
	}
	if !d.Differs() {
		a.ui.Print(e.File.Name + ": listed as configured")
		return false, nil
	}
	a.ui.Print(e.File.Name + ": differs from " + s.Upstream())
	for _, line := range d.Lines() {
		a.ui.Print("  " + line)
	}
	return true, nil
}

func (a *app) publishOne(ctx context.Context, s *publish.Session, e publish.Entry, dryRun bool) error {
	name := e.File.Name
	c, err := s.Plan(ctx, e)
	if err != nil {
		return err
	}
	for _, note := range c.Notes {
		a.ui.Note(name + ": " + note)
	}
	switch {
	case c.Action == publish.Listed:
		a.ui.Print(name + ": nothing to do, upstream lists it as configured")
		return nil
	case c.Action == publish.Pending:
		a.ui.Print(name + ": nothing to do, the pull request is as configured: " + c.URL)
		return nil
	case dryRun:
		a.showChange(s, c)
		return nil
	}
	if err := s.Apply(ctx, c); err != nil {
		return err
	}
	a.ui.Print(fmt.Sprintf("%s: %s", name, publishedVerb[c.Action]+c.URL))
	return nil
}

// publishedVerb says what was done to a pull request.
var publishedVerb = map[publish.Action]string{publish.Create: "opened ", publish.Update: "updated "}

// showChange prints what publish would do.
func (a *app) showChange(s *publish.Session, c *publish.Change) {
	from := c.Branch
	if s.Fork() != "" {
		from = s.Fork() + ":" + from
	}
	what := fmt.Sprintf("would open a pull request from %s to %s", from, s.Upstream())
	if c.Action == publish.Update {
		what = fmt.Sprintf("would update %s from %s", c.URL, from)
	}
	a.ui.Print(c.Entry.File.Name + ": " + what + "\n")
	after := "b/" + c.Path
	if c.After == nil {
		after = "/dev/null"
	}
	if diff := udiff.Unified("a/"+c.Path, after, string(c.Before), string(c.After)); diff != "" {
		a.ui.Print(diff)
	}
	a.ui.Print("\n" + c.Title + "\n\n" + c.Body)
}

// entriesToPublish are the mirrors' files as the configuration wants them. Hosts are reached only if their facts decide what is in them.
func (r *run) entriesToPublish(ctx context.Context) ([]publish.Entry, error) {
	var facts map[string]*wire.Facts
	var err error
	if hosts := r.needFacts(); len(hosts) > 0 {
		if facts, err = r.readFacts(ctx, hosts); err != nil {
			return nil, err
		}
	}
	list, err := r.entries(facts)
	if err != nil {
		return nil, err
	}
	var found []publish.Entry
	names := map[string]string{}
	for _, e := range list {
		key := strings.ToLower(e.file.Name)
		if other := names[key]; other != "" {
			return nil, fmt.Errorf("%s and %s both publish a mirror named %s; set publish.name of one of them", other, e.address, e.file.Name)
		}
		names[key] = e.address
		found = append(found, publish.Entry{Address: e.address, Host: e.host, File: e.file})
	}
	return found, nil
}

// readFacts reaches hosts for their facts alone.
func (r *run) readFacts(ctx context.Context, hosts []engine.Host) (map[string]*wire.Facts, error) {
	var err error
	var mu sync.Mutex
	facts := map[string]*wire.Facts{}
	fleet := &engine.Fleet{Parallelism: r.parallelism, Once: true, Brief: true}
	fleet.Wanted = func(host string, all map[string]*wire.Facts) ([]*engine.Resource, error) {
		mu.Lock()
		defer mu.Unlock()
		facts[host] = all[host]
		return nil, nil
	}
	if r.fleet != nil {
		fleet.Connect = r.fleet.Connect
	} else {
		var disconnect func()
		if fleet.Connect, disconnect, err = r.connector(r.newReach(hostsByName(r.config.Hosts()))); err != nil {
			return nil, err
		}
		defer disconnect()
	}
	defer fleet.Close()
	plan := fleet.Plan(ctx, hosts)
	for _, h := range plan.Hosts {
		if h.Err != nil {
			return nil, fmt.Errorf("the entry of host %s needs its facts: %w", h.Host, h.Err)
		}
	}
	return facts, nil
}
