package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mirrorform/mirrorform/internal/publish"
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
	*run
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
		u.showChange(u.session, c)
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
