package publish

import (
	"context"
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// Checker checks a mirror before its entry is published: the text of its file, or the public
// mirror.
type Checker interface {
	// Name is the name of the check in messages: "lint", "verify".
	Name() string
	// Check returns its findings. An error means that the check did not run. Either stops the entry,
	// findings only if they are errors.
	Check(ctx context.Context, s Subject) ([]Finding, error)
}

// Subject is the input of a Checker.
type Subject struct {
	Path string        // in upstream's repository: mirrors.d/NAME.yml
	Text []byte        // the content to commit
	File mirrorsd.File // the values wanted by the configuration
}

// Finding is a problem that a Checker found.
type Finding struct {
	Severity mirrorsd.Severity // an Error stops the entry, a Warning is reported
	Key      string            // dotted path in the file, or ""
	Message  string            // what is wrong and what to do; one line
}

// String returns the finding as "severity: key: message".
func (f Finding) String() string {
	if f.Key == "" {
		return fmt.Sprintf("%s: %s", f.Severity, f.Message)
	}
	return fmt.Sprintf("%s: %s: %s", f.Severity, f.Key, f.Message)
}

// lint checks the text with the rules of mirrorsd.Linter, and the defaults of the lint command.
type lint struct{ service mirrorsd.Service }

func (lint) Name() string { return "lint" }

func (l lint) Check(_ context.Context, s Subject) ([]Finding, error) {
	linter, err := mirrorsd.NewLinter(mirrorsd.Options{Service: l.service})
	if err != nil {
		return nil, err
	}
	var found []Finding
	for _, f := range linter.Lint([]mirrorsd.Source{{Name: s.Path, Data: s.Text}}) {
		place := fmt.Sprintf("%s:%d:%d", f.File, f.Start.Line, f.Start.Column)
		found = append(found, Finding{Severity: f.Severity, Message: fmt.Sprintf("%s: %s (%s)", place, f.Message, f.Rule)})
	}
	return found, nil
}

// RefusedError is the error of an entry for which a Checker found errors.
type RefusedError struct {
	Name     string    // of the mirror
	Checker  string    // its name
	Findings []Finding // errors only
}

func (e *RefusedError) Error() string {
	lines := []string{fmt.Sprintf("%s was not published: %s found errors; fix them first", e.Name, e.Checker)}
	for _, f := range e.Findings {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n  ")
}

// check runs all checkers and returns their warnings as notes.
func (s *Session) check(ctx context.Context, name string, subject Subject) (notes []string, err error) {
	for _, c := range append([]Checker{lint{s.o.Service}}, s.o.Checkers...) {
		findings, err := c.Check(ctx, subject)
		if err != nil {
			return nil, fmt.Errorf("%s was not published, since %s could not run: %w", name, c.Name(), err)
		}
		refused := &RefusedError{Name: name, Checker: c.Name()}
		for _, f := range findings {
			if f.Severity == mirrorsd.Error {
				refused.Findings = append(refused.Findings, f)
			} else {
				notes = append(notes, f.String())
			}
		}
		if len(refused.Findings) > 0 {
			return nil, refused
		}
	}
	return notes, nil
}
