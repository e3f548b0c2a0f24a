package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/mirrorform/mirrorform/internal/publish"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// publishOptions are the flags of publish.
type publishOptions struct {
	hostFlags
	repository                       publish.Options
	verify                           verifyFlags
	dryRun, check, patch, skipVerify bool
}

func newPublishCommand(g *global) *cobra.Command {
	o := publishOptions{verify: defaultVerifyFlags()}
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Add or update mirrors in AlmaLinux's mirror list",
		Long: `Open a pull request to AlmaLinux's mirror list for each mirror whose entry there
is missing or differs from the configuration, or update the open one, and print
its address. Entries that match the configuration are skipped.

In a file that the list already has, only lines of keys that differ change. The
commit is made by GitHub's API, on top of the list's newest commit, on the
branch mirrorform/NAME of your fork: --fork, or the one of the token's account,
which is created if it is missing. Its author is that of $GIT_AUTHOR_NAME and
$GIT_AUTHOR_EMAIL, or the token's account.

The new file is checked as by lint, and the mirror as by verify. An error of
either stops the entry; --skip-verify skips the second check.

The token is $GH_TOKEN or $GITHUB_TOKEN, or what gh auth token prints. A classic
token needs the scope public_repo.

--patch publishes nothing and needs no token: it prints each change as a patch
for git am, for those who push and open the pull request themselves.

--check publishes nothing: it prints how the list differs from the
configuration, field by field.

Exit status: 0 done or nothing to do, 1 error; with --check 2 if there are
differences.`,
		Example: `# See the pull requests, then open them
mirrorform publish --dry-run
mirrorform publish

# Push by hand: a patch for a clone of your fork
mirrorform publish --patch >add-mirror.patch

# In CI: does the list match the configuration?
mirrorform publish --check`,
		Args: completer{g, &o.configFlags}.none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runPublish(cmd.Context(), g, w, o) })
		},
	}
	o.add(g, cmd)
	o.verify.add(cmd)
	addRepositoryFlags(cmd, &o.repository)
	flags := cmd.Flags()
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the changes and the texts of the pull requests, and change nothing")
	flags.BoolVar(&o.patch, "patch", false, "print each change as a patch for git am, and publish nothing")
	flags.BoolVar(&o.check, "check", false, "print how the list differs from the configuration, and change nothing")
	flags.BoolVar(&o.skipVerify, "skip-verify", false, "do not check the mirrors from outside first")
	flags.BoolVar(&o.repository.Relist, "relist", false,
		"list mirrors again that upstream made private or that were retired")
	flags.BoolVar(&o.repository.Overwrite, "overwrite", false, "replace values that another user pushed to the branch")
	return cmd
}

// addRepositoryFlags adds the flags that say where the list and the fork are.
func addRepositoryFlags(cmd *cobra.Command, o *publish.Options) {
	flags := cmd.Flags()
	flags.StringVar(&o.Fork, "fork", "", "use your fork `OWNER/NAME`; default: the one of the token's account")
	flags.StringVar(&o.Upstream, "upstream", publish.DefaultUpstream,
		"open pull requests to `OWNER/NAME`, which has the list")
	flags.StringVar(&o.APIURL, "api-url", publish.DefaultAPIURL,
		"use GitHub's REST API at `URL`; GitHub Enterprise Server has https://HOST/api/v3/")
	flags.BoolVar(&o.IgnoreClosed, "ignore-closed", false,
		"open a new pull request even if one was closed without being merged")
	for _, name := range []string{"fork", "upstream", "api-url"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

func runPublish(ctx context.Context, g *global, w *observer, o publishOptions) error {
	err := onlyOne(setFlag{"--dry-run", o.dryRun}, setFlag{"--check", o.check}, setFlag{"--patch", o.patch})
	if err != nil {
		return err
	}
	of := o.options(g, w, "")
	s, err := run.NewScope(of.Sources, of.Selection, w)
	if err != nil {
		return err
	}
	list, err := s.Publishable(ctx, of.Access, of.Parallelism)
	if err != nil {
		return err
	}
	if note := s.OnlyOthers(s.Hosts...); len(list) == 0 && note != "" {
		w.Note(note)
		return nil
	}
	if len(list) == 0 {
		return errors.New("nothing to publish: no mirror of these hosts has a publish block")
	}
	repository := o.repository
	repository.Token, err = publish.FindToken(ctx, os.Environ(), repository.APIURL)
	if err != nil && (!errors.Is(err, publish.ErrNoToken) || !o.dryRun && !o.check && !o.patch) {
		return err
	}
	switch {
	case o.check:
	case o.skipVerify:
		current, err := o.verify.service.facts(ctx, nil, o.verify.timeout)
		if err != nil {
			return err
		}
		repository.Service = current.Service.Service
	default:
		c, err := newMirrorChecker(ctx, g.ui, o.verify, s.Config)
		if err != nil {
			return err
		}
		defer c.close()
		repository.Checkers, repository.Service = []publish.Checker{c}, c.options.Service.Service
	}
	repository.Notify, repository.UpstreamOnly = g.ui.Note, o.check || o.patch
	session, err := publish.Open(ctx, repository)
	if err != nil {
		return err
	}
	return publishAll(ctx, g, session, list, o)
}

// publishAll publishes or checks each entry, or prints its patch. After an error it continues with
// the next one.
func publishAll(ctx context.Context, g *global, s *publish.Session, list []publish.Entry, o publishOptions) error {
	failed, differs := false, false
	p := publishing{global: g, session: s}
	for _, e := range list {
		if ctx.Err() != nil {
			return errors.New("interrupted. To continue: mirrorform publish")
		}
		var err error
		if o.check {
			var d bool
			d, err = publishCheck(ctx, g, s, e)
			differs = differs || d
		} else {
			err = p.one(ctx, e, o)
		}
		if err != nil {
			g.ui.Error(err)
			failed = true
			if refused := (*publish.RefusedError)(nil); errors.As(err, &refused) && refused.Checker == verifyName {
				g.ui.Note("For more about the mirror: mirrorform verify. To publish it anyway: mirrorform publish --skip-verify")
			}
		}
	}
	p.nextSteps()
	switch {
	case failed:
		return errReported
	case differs:
		return errDifferences
	}
	return nil
}

func publishCheck(ctx context.Context, g *global, s *publish.Session, e publish.Entry) (differs bool, err error) {
	d, err := s.Drift(ctx, e)
	if err != nil {
		return false, err
	}
	for _, k := range d.Foreign {
		g.ui.Note(fmt.Sprintf("%s line %d: upstream's schema has no key %s", d.Path, k.Line, k.Key))
	}
	if !d.Differs() {
		g.ui.Print(e.File.Name + ": listed as configured")
		return false, nil
	}
	g.ui.Print(e.File.Name + ": differs from " + s.Upstream())
	for _, line := range d.Lines() {
		g.ui.Print("  " + line)
	}
	return true, nil
}

// publishing publishes entries, or prints their patches.
type publishing struct {
	*global
	session *publish.Session
	added   bool // a pull request or a patch adds an entry
	patches patches
}

func (p *publishing) one(ctx context.Context, e publish.Entry, o publishOptions) error {
	name, out := e.File.Name, p.ui.Print
	if o.patch {
		out = p.ui.Note // the output has only patches
	}
	c, err := p.session.Plan(ctx, e)
	if err != nil {
		return err
	}
	for _, note := range c.Notes {
		p.ui.Note(name + ": " + note)
	}
	switch {
	case c.Action == publish.Listed:
		out(name + ": nothing to do, upstream lists it as configured")
		return nil
	case c.Action == publish.Pending:
		out(name + ": nothing to do, the open pull request is as configured: " + c.URL)
		return nil
	case o.dryRun:
		showChange(p.ui, p.session, c)
		return nil
	case o.patch:
		err = p.patches.print(p.global, p.session, c)
	default:
		if err = p.session.Apply(ctx, c); err == nil {
			out(fmt.Sprintf("%s: %s", name, publishedVerb[c.Action]+c.URL))
		}
	}
	p.added = p.added || err == nil && c.IsNew() && c.Action == publish.Create
	return err
}

// nextSteps prints what the operator does next.
func (p *publishing) nextSteps() {
	p.patches.nextSteps(p.global, p.session)
	if p.added && strings.EqualFold(p.session.Upstream(), publish.DefaultUpstream) {
		p.ui.Note(joinCommunity)
	}
}

// joinCommunity is what AlmaLinux's guide asks of the operators of new mirrors, besides the pull
// request.
const joinCommunity = `AlmaLinux's guide also asks operators of new mirrors to join
- the list mirror-announce: https://lists.almalinux.org/mailman3/lists/mirror-announce.lists.almalinux.org/
- the channel mirrors: https://chat.almalinux.org/almalinux/channels/mirrors
- the AlmaLinux OS Foundation, as a member: https://almalinux.org/foundation/members/
The guide: https://wiki.almalinux.org/Mirrors.html`

// publishedVerb is what happened to a pull request.
var publishedVerb = map[publish.Action]string{publish.Create: "opened ", publish.Update: "updated "}

// showChange prints what publish would do.
func showChange(u *ui.UI, s *publish.Session, c *publish.Change) {
	from := c.Branch
	if s.Fork() != "" {
		from = s.Fork() + ":" + from
	}
	what := fmt.Sprintf("would open a pull request from %s to %s", from, s.Upstream())
	if c.Action == publish.Update {
		what = fmt.Sprintf("would update %s from %s", c.URL, from)
	}
	what += "\n"
	if c.Commits() {
		what += "  with a commit on top of " + c.Base() + "\n"
	}
	u.Print(c.Entry.File.Name + ": " + what)
	if s.MakesFork() {
		u.Note(fmt.Sprintf("%s: the fork %s does not exist yet and would be created", c.Entry.File.Name, s.Fork()))
	}
	after := "b/" + c.Path
	if c.After == nil {
		after = "/dev/null"
	}
	if diff := udiff.Unified("a/"+c.Path, after, string(c.Before), string(c.After)); diff != "" {
		u.Print(diff)
	}
	u.Print("\n" + c.Title + "\n\n" + c.Body)
}
