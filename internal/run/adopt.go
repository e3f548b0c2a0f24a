package run

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/adopt"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// Adoption has the operator's options for the mirrors to adopt.
type Adoption struct {
	MirrorsD *mirrorsd.File // the mirror's entry in AlmaLinux's list, or nil
	Out      string         // the file that is written, or ""
	Tree     string         // the directory with AlmaLinux's files, or ""
	Content  bool           // whether the content of files is copied
}

// ErrNoMirror is the error of a host without a mirror. It has a draft, whose remarks say what was
// seen.
var ErrNoMirror = errors.New("no AlmaLinux mirror found: no crontab, unit or site that mirrorform understands refers to one")

// Drafts reads all hosts at once. Each host that cannot be read has its own error.
func (r *Run) Drafts(ctx context.Context, hosts []engine.Host, a Adoption) ([]*adopt.Draft, []error, error) {
	dir, err := filepath.Abs(r.sources.Dir)
	if err != nil {
		return nil, nil, err
	}
	drafts, failures := make([]*adopt.Draft, len(hosts)), make([]error, len(hosts))
	r.each(hosts, func(i int, h engine.Host, report engine.Report) error {
		host := adopt.Input{Name: h.Name, Address: r.byName[h.Name].Address, Dir: dir, Types: r.sources.Types, MirrorsD: a.MirrorsD, Content: a.Content}
		drafts[i], failures[i] = r.draft(ctx, host, a, report)
		return failures[i]
	})
	return drafts, failures, nil
}

// draft asks one host until there are no more questions, makes a draft, and compares it with the
// host.
func (r *Run) draft(ctx context.Context, h adopt.Input, a Adoption, report func(engine.Progress)) (*adopt.Draft, error) {
	report(engine.Progress{Host: h.Name, Stage: engine.Connecting})
	session, err := r.Connect(ctx, h.Name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = session.Close() }() // no answer is outstanding
	report(engine.Progress{Host: h.Name, Stage: engine.Observing})
	survey := adopt.NewSurvey(engine.Target{Name: h.Name, Facts: *session.Hello.Facts, Helper: session.Hello.SHA256})
	survey.Tree(a.Tree)
	for queries := survey.Next(); len(queries) > 0; queries = survey.Next() {
		got, err := session.Ask(ctx, queries)
		if err != nil {
			return nil, err
		}
		survey.Add(queries, got)
	}
	declared, diags := r.Config.Resources(h.Name, map[string]*wire.Facts{h.Name: session.Hello.Facts})
	if diags.HasErrors() {
		return nil, fmt.Errorf("its configuration has errors: %w", diags)
	}
	for _, res := range declared {
		if !r.DeclaredIn(res, a.Out) {
			h.Declared = append(h.Declared, res)
		}
	}
	d := adopt.NewDraft(survey, h)
	if !d.Found() {
		return d, ErrNoMirror
	}
	got, err := session.Ask(ctx, d.Questions())
	if err != nil {
		return nil, err
	}
	d.Settle(got)
	return d, nil
}

// DeclaredIn reports whether a resource is declared in the file out, which is about to be replaced.
// All files of a configuration are in one directory.
func (s *Scope) DeclaredIn(res *engine.Resource, out string) bool {
	i := strings.LastIndexByte(res.Source, ':')
	if out == "" || i <= 0 {
		return false
	}
	there, err := filepath.Abs(filepath.Join(s.sources.Dir, filepath.Base(res.Source[:i])))
	here, outErr := filepath.Abs(out)
	return err == nil && outErr == nil && there == here
}
