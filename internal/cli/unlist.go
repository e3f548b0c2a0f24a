package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/mirrorform/mirrorform/internal/publish"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// unlistState is the progress of the removal of an entry; the higher, the worse.
type unlistState int

const (
	unlisted      unlistState = iota // neither upstream's files nor its service list the mirror
	unlistWaiting                    // upstream still lists the mirror
	unlistFailed                     // the error was reported
)

// unlisting removes entries from AlmaLinux's list.
type unlisting struct {
	ui      *ui.UI
	o       retireOptions
	session *publish.Session
	states  map[string]unlistState // by the mirrors' names
	said    map[string]string      // the last text that was printed, by name
}

// The bounds of the pause between two checks.
const (
	leastPause = time.Second
	mostPause  = time.Minute
)

// until removes what it can, and checks again until no entry is listed or --wait is over.
func (u *unlisting) until(ctx context.Context, entries []publish.Entry) error {
	u.said = map[string]string{}
	deadline := time.Now().Add(u.o.wait)
	pause := min(max(u.o.wait/20, leastPause), mostPause)
	for _, e := range entries {
		u.states[e.File.Name] = unlistWaiting
	}
	for {
		u.check(ctx, entries)
		left := 0
		for _, state := range u.states {
			if state == unlistWaiting {
				left++
			}
		}
		if ctx.Err() != nil {
			return errInterruptedRetire
		}
		if left == 0 || u.o.dryRun {
			return nil
		}
		if time.Now().Add(pause).After(deadline) {
			u.ui.Note("Mirrors that are still listed were not stopped. To continue, run retire again later, or with --wait.")
			return nil
		}
		select {
		case <-ctx.Done():
			return errInterruptedRetire
		case <-time.After(pause):
		}
		if err := u.session.Refresh(ctx); err != nil && ctx.Err() == nil {
			u.ui.Note(fmt.Sprintf("%v; checking again in %v", err, pause))
		}
	}
}

var errInterruptedRetire = errors.New("interrupted; no mirror was stopped. To continue, run retire again")

// check checks the waiting entries once.
func (u *unlisting) check(ctx context.Context, entries []publish.Entry) {
	var merged []string
	for _, e := range entries {
		name := e.File.Name
		if u.states[name] != unlistWaiting || ctx.Err() != nil {
			continue
		}
		gone, err := u.remove(ctx, e)
		switch {
		case err != nil && ctx.Err() == nil:
			u.ui.Error(err)
			u.states[name] = unlistFailed
		case gone && u.o.mirrorList == "":
			u.states[name] = unlisted
		case gone:
			merged = append(merged, name)
		}
	}
	if len(merged) == 0 || ctx.Err() != nil || u.o.dryRun {
		return
	}
	list, err := upstream.ReadMirrorList(ctx, u.o.mirrorList, "mirrorform/"+Version(), merged)
	if err != nil && ctx.Err() == nil {
		u.ui.Warning(fmt.Sprintf("%v. To check only the merged files, add --mirror-list ''", err))
		return
	}
	for _, name := range merged {
		switch l := list[name]; {
		case ctx.Err() != nil:
		case l.Listed:
			u.say(name, fmt.Sprintf("the mirror service still lists it (status %q); it reads the list again from time to time",
				l.Status))
		default:
			u.say(name, "the mirror service no longer lists it")
			u.states[name] = unlisted
		}
	}
}

// remove opens or updates the pull request that removes an entry from upstream's files, and reports
// whether the entry is gone.
func (u *unlisting) remove(ctx context.Context, e publish.Entry) (gone bool, err error) {
	name := e.File.Name
	c, err := u.session.Plan(ctx, e)
	if err != nil {
		return false, err
	}
	for _, note := range c.Notes {
		u.sayOnce(name + ": " + note)
	}
	switch {
	case c.Action == publish.Unlisted && c.Removed == "" && u.session.Fork() != "":
		return false, fmt.Errorf("%s has no entry for %s, and no merged pull request of %s removed one: check publish.name, "+
			"or add --skip-publish if the mirror was never listed or another user removed it",
			u.session.Upstream(), name, u.session.Fork())
	case c.Action == publish.Unlisted:
		u.say(name, fmt.Sprintf("no longer in %s%s", u.session.Upstream(), by(c.Removed)))
		return true, nil
	case c.Action == publish.Pending:
		u.say(name, "waiting for the merge of "+c.URL)
		return false, nil
	case u.o.dryRun:
		showChange(u.ui, u.session, c)
		return false, nil
	}
	if err := u.session.Apply(ctx, c); err != nil {
		return false, err
	}
	u.say(name, publishedVerb[c.Action]+c.URL+", which removes its entry")
	return false, nil
}

func by(pull string) string {
	if pull == "" {
		return ""
	}
	return ", since " + pull
}

// say prints the progress of a mirror, if it is news.
func (u *unlisting) say(name, text string) {
	if u.said[name] != text {
		u.said[name] = text
		u.ui.Print(name + ": " + text)
	}
}

// sayOnce prints a note the first time.
func (u *unlisting) sayOnce(text string) {
	if u.said[text] == "" {
		u.said[text] = text
		u.ui.Note(text)
	}
}

// unlist removes the entries of hosts from AlmaLinux's list. ready are the hosts that are no longer
// listed. waiting reports whether others still are, and failed whether there were errors, which
// have been printed.
func unlist(
	ctx context.Context, r *run.Run, u *ui.UI, hosts []string, o retireOptions,
) (ready []string, waiting, failed bool, err error) {
	entries, err := entriesToRetire(ctx, r, hosts)
	if err != nil {
		return nil, false, false, err
	}
	repository := o.repository
	repository.Token, err = publish.FindToken(ctx, os.Environ(), repository.APIURL)
	if err != nil && (!errors.Is(err, publish.ErrNoToken) || !o.dryRun) {
		return nil, false, false, err
	}
	repository.Notify = u.Note
	session, err := publish.Open(ctx, repository)
	if err != nil {
		return nil, false, false, err
	}
	list := &unlisting{ui: u, o: o, session: session, states: map[string]unlistState{}}
	err = list.until(ctx, entries)
	for _, host := range hosts {
		worst := unlisted
		for _, e := range entries {
			if e.Host == host {
				worst = max(worst, list.states[e.File.Name])
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
		ready, waiting = hosts, false // show everything that would be done
	}
	return ready, waiting, failed, err
}

// entriesToRetire are the entries of hosts. A host without one is an error.
func entriesToRetire(ctx context.Context, r *run.Run, hosts []string) ([]publish.Entry, error) {
	entries, err := r.Publishable(ctx)
	if err != nil {
		return nil, err
	}
	for _, host := range hosts {
		if !slices.ContainsFunc(entries, func(e publish.Entry) bool { return e.Host == host }) {
			return nil, fmt.Errorf("the mirror on host %s has no publish block, so its name in AlmaLinux's list is not known: "+
				"add the block, or --skip-publish if the mirror was never listed", host)
		}
	}
	for i := range entries {
		entries[i].Remove = true
	}
	return entries, nil
}

// patchRemovals prints the patches that remove the entries of hosts from AlmaLinux's list. It
// changes nothing.
func patchRemovals(ctx context.Context, g *global, r *run.Run, hosts []string, o retireOptions) error {
	entries, err := entriesToRetire(ctx, r, hosts)
	if err != nil {
		return err
	}
	repository := o.repository
	repository.Token, err = publish.FindToken(ctx, os.Environ(), repository.APIURL)
	if err != nil && !errors.Is(err, publish.ErrNoToken) {
		return err
	}
	repository.Notify, repository.UpstreamOnly = g.ui.Note, true
	session, err := publish.Open(ctx, repository)
	if err != nil {
		return err
	}
	var p patches
	failed := false
	for _, e := range entries {
		c, err := session.Plan(ctx, e)
		switch {
		case err != nil:
		case c.Action == publish.Unlisted:
			g.ui.Note(fmt.Sprintf("%s: nothing to do, not in %s", e.File.Name, session.Upstream()))
		default:
			err = p.print(g, session, c)
		}
		if err != nil {
			g.ui.Error(err)
			failed = true
		}
	}
	p.nextSteps(g, session)
	if p.count > 0 {
		g.ui.Note("Once it is merged and the mirror service no longer lists the mirror, stop it with retire --skip-publish.")
	}
	if failed {
		return errReported
	}
	return nil
}
