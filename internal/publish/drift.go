package publish

import (
	"context"
	"fmt"
	"path"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// Drift is the difference between an entry and upstream's merged file.
type Drift struct {
	Path        string                // in upstream's repository
	Missing     bool                  // upstream has no entry for the mirror
	Differences []mirrorsd.Difference // Have is upstream's value, Want the configuration's
	Foreign     []mirrorsd.ForeignKey // keys that upstream's schema does not define; not a difference
}

// Differs reports whether upstream's entry differs from the configuration.
func (d *Drift) Differs() bool { return d.Missing || len(d.Differences) > 0 }

// Drift compares an entry with upstream's file, field by field.
func (s *Session) Drift(ctx context.Context, e Entry) (_ *Drift, err error) {
	defer func() { err = s.o.Token.redact(err) }()
	name := e.File.Name
	if !safeName.MatchString(name) {
		return nil, fmt.Errorf("invalid mirror name %q: it must be a DNS host name", name)
	}
	file, err := s.list.find(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	have, err := s.list.read(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d := &Drift{Path: file}
	if have == nil {
		d.Missing = true
		return d, nil
	}
	doc, err := mirrorsd.ParseDocument(have.text)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot compare upstream's %s: %w", name, file, err)
	}
	d.Differences, d.Foreign = doc.Compare(e.File), doc.Foreign()
	return d, nil
}

// Lines describes each difference in one line.
func (d *Drift) Lines() []string {
	if d.Missing {
		return []string{fmt.Sprintf("not listed upstream: %s not found", path.Base(d.Path))}
	}
	var lines []string
	for _, diff := range d.Differences {
		switch {
		case diff.Key == "private" && diff.Want == "":
			lines = append(lines, "upstream has set private, as it does for mirrors that fail: "+
				"clients outside the mirror's own networks are not sent to it. "+
				"Repair the mirror, then request its listing with publish --relist")
		case diff.Have == "":
			lines = append(lines, fmt.Sprintf("%s: not set upstream, but %s in the configuration", diff.Key, diff.Want))
		case diff.Want == "":
			lines = append(lines, fmt.Sprintf("%s: %s upstream, but not set in the configuration", diff.Key, diff.Have))
		default:
			lines = append(lines, fmt.Sprintf("%s: %s upstream, but %s in the configuration", diff.Key, diff.Have, diff.Want))
		}
	}
	return lines
}
