package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/publish"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// verifyName is the name of the mirrorChecker.
const verifyName = "verify"

// mirrorChecker is a publish.Checker that checks the mirror itself, as verify does. It checks one
// mirror at a time.
type mirrorChecker struct {
	ui       *ui.UI
	options  upstream.Options
	verifier *upstream.Verifier
	meter    *ui.Meter // of the mirror that is being checked
}

// newMirrorChecker returns a checker that the caller closes.
func newMirrorChecker(ctx context.Context, u *ui.UI, f verifyFlags, configured *config.Config) (*mirrorChecker, error) {
	options, err := f.upstream()
	if err != nil {
		return nil, err
	}
	if err := openConfigured(&options, configured, u); err != nil {
		closeDatabases(options)
		return nil, err
	}
	if _, err := f.require(ctx, &options); err != nil {
		closeDatabases(options)
		return nil, err
	}
	c := &mirrorChecker{ui: u}
	options.Progress = func(mirror string, done, total int64) { c.meter.Set(mirror, done, total) }
	c.options, c.verifier = options, upstream.New(options)
	return c, nil
}

func (c *mirrorChecker) close() { closeDatabases(c.options) }

// Name returns "verify".
func (c *mirrorChecker) Name() string { return verifyName }

// Check checks the mirror that the configuration wants listed. A mirror that is not accepted has an
// error among its findings.
func (c *mirrorChecker) Check(ctx context.Context, s publish.Subject) ([]publish.Finding, error) {
	c.meter = ui.NewMeter(c.ui)
	m := upstream.Mirror{File: s.File}
	m.HTTPSFirst, m.KittenHTTPSFirst = upstream.HTTPSFirst(s.Text)
	report, err := c.verifier.Verify(ctx, m)
	c.meter.Close()
	if err != nil {
		return nil, err
	}
	var found []publish.Finding
	if !report.Accepted {
		message := "AlmaLinux's service would accept the mirror, but its clients would get errors"
		if report.Status != "ok" {
			message = fmt.Sprintf("AlmaLinux's service would store the status %q", report.Status)
		}
		found = append(found, publish.Finding{Severity: mirrorsd.Error, Message: message})
	}
	for _, f := range report.Findings {
		severity := mirrorsd.Warning
		switch f.Severity {
		case upstream.Note:
			continue
		case upstream.Error:
			severity = mirrorsd.Error
		}
		message := fmt.Sprintf("%s: %s", f.Check, f.Message)
		if len(f.Routes) > 0 {
			message += " (" + strings.Join(f.Routes, ", ") + ")"
		}
		found = append(found, publish.Finding{Severity: severity, Message: message})
	}
	return found, nil
}
