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

// unlistState is how far the removal of an entry is; the higher, the worse.
type unlistState int

const (
	unlisted      unlistState = iota // neither upstream's files nor its service have it
	unlistWaiting                    // upstream has it still
	unlistFailed                     // the error was told
)

// unlisting brings entries out of AlmaLinux's list.
type unlisting struct {
	ui      *ui.UI
	o       retireOptions
	session *publish.Session
	states  map[string]unlistState // by the mirrors' names
	said    map[string]string      // what was last said of each
}

// The bounds of the pause between two looks.
const (
	leastPause = time.Second
	mostPause  = time.Minute
)

// until does what can be done, and looks again until no entry is listed, or the time is up.
func (u *unlisting) until(ctx context.Context, entries []publish.Entry) error {
	u.said = map[string]string{}
	deadline := time.Now().Add(u.o.wait)
	pause := min(max(u.o.wait/20, leastPause), mostPause)
	for _, e := range entries {
		u.states[e.File.Name] = unlistWaiting
	}
	for {
		u.look(ctx, entries)
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
			u.ui.Note("Nothing is stopped that is still listed. Run retire again later, or with --wait, to go on.")
			return nil
		}
		select {
		case <-ctx.Done():
			return errInterruptedRetire
		case <-time.After(pause):
		}
		if err := u.session.Refresh(ctx); err != nil && ctx.Err() == nil {
			u.ui.Note(fmt.Sprintf("%v; looking again in %v", err, pause))
		}
	}
}

var errInterruptedRetire = errors.New("interrupted; no mirror was stopped. Run retire again to go on")

// look looks once at the entries that are waited for.
func (u *unlisting) look(ctx context.Context, entries []publish.Entry) {
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
		u.ui.Warning(fmt.Sprintf("%v. To go by the merged files alone, give --mirror-list ''", err))
		return
	}
	for _, name := range merged {
		switch l := list[name]; {
		case ctx.Err() != nil:
		case l.Listed:
			u.say(name, fmt.Sprintf("the mirror service still lists it (status %q); it reads the list anew from time to time", l.Status))
		default:
			u.say(name, "the mirror service does not list it any more")
			u.states[name] = unlisted
		}
	}
}

// remove sees to the removal of an entry from upstream's files, and tells whether it is gone.
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
		return false, fmt.Errorf("%s has no entry for %s, and no merged pull request of %s took one out; check publish.name, or give --skip-publish if the mirror never was listed or somebody else took it out",
			u.session.Upstream(), name, u.session.Fork())
	case c.Action == publish.Unlisted:
		u.say(name, fmt.Sprintf("not in %s any more%s", u.session.Upstream(), by(c.Removed)))
		return true, nil
	case c.Action == publish.Pending:
		u.say(name, "waits to be merged: "+c.URL)
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

// say prints how far a mirror is, once for each news.
func (u *unlisting) say(name, text string) {
	if u.said[name] != text {
		u.said[name] = text
		u.ui.Print(name + ": " + text)
	}
}

// sayOnce notes something that is so at each look.
func (u *unlisting) sayOnce(text string) {
	if u.said[text] == "" {
		u.said[text] = text
		u.ui.Note(text)
	}
}

// unlist brings the entries of hosts out of AlmaLinux's list. ready are the hosts that are not
// listed any more; waiting tells whether others still are, failed whether something went wrong with
// some, which was told.
func unlist(ctx context.Context, r *run.Run, u *ui.UI, hosts []string, o retireOptions) (ready []string, waiting, failed bool, err error) {
	entries, err := entriesToRetire(ctx, r, hosts)
	if err != nil {
		return nil, false, false, err
	}
	repository := o.repository
	if repository.Token, err = publish.FindToken(ctx, os.Environ(), repository.APIURL); err != nil && (!errors.Is(err, publish.ErrNoToken) || !o.dryRun) {
		return nil, false, false, err
	}
	repository.Notify = u.Note
	session, err := publish.Open(ctx, repository)
	if err != nil {
		return nil, false, false, err
	}
	list := &unlisting{ui: u, o: o, session: session, states: map[string]unlistState{}}
	err = errors.Join(list.until(ctx, entries), session.Close())
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
		ready, waiting = hosts, false // all that would be done is shown
	}
	return ready, waiting, failed, err
}

// entriesToRetire are the entries of hosts; each has one.
func entriesToRetire(ctx context.Context, r *run.Run, hosts []string) ([]publish.Entry, error) {
	entries, err := r.Publishable(ctx)
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
