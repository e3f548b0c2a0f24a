package publish

import (
	"fmt"
	"path"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// Drift is what differs between an entry and what upstream has merged.
type Drift struct {
	Path        string                // in upstream's repository
	Missing     bool                  // upstream has no entry for the mirror
	Differences []mirrorsd.Difference // Have is upstream's value, Want the configuration's
	Foreign     []mirrorsd.ForeignKey // keys that upstream's schema does not know; told, and no difference
}

// Differs tells whether upstream's entry is another than the configuration's.
func (d *Drift) Differs() bool { return d.Missing || len(d.Differences) > 0 }

// Drift compares an entry with upstream's file, field by field.
func (s *Session) Drift(e Entry) (*Drift, error) {
	name := e.File.Name
	if !safeName.MatchString(name) {
		return nil, fmt.Errorf("%q cannot name a mirror: it has to be a DNS host name", name)
	}
	file, err := s.store.find(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	have, err := s.store.read(s.store.tip, file)
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
		return nil, fmt.Errorf("%s: upstream's %s cannot be compared: %w", name, file, err)
	}
	d.Differences, d.Foreign = doc.Compare(e.File), doc.Foreign()
	return d, nil
}

// Lines says in words what differs, a line for each.
func (d *Drift) Lines() []string {
	if d.Missing {
		return []string{fmt.Sprintf("upstream does not list it: there is no %s", path.Base(d.Path))}
	}
	var lines []string
	for _, diff := range d.Differences {
		switch {
		case diff.Key == "private" && diff.Want == "":
			lines = append(lines, "upstream has made it private, as it does with mirrors that misbehave: nobody outside its own networks is sent to it. "+
				"Repair it, then ask for it to be listed again with publish --relist")
		case diff.Have == "":
			lines = append(lines, fmt.Sprintf("%s: upstream has none, the configuration %s", diff.Key, diff.Want))
		case diff.Want == "":
			lines = append(lines, fmt.Sprintf("%s: upstream has %s, the configuration none", diff.Key, diff.Have))
		default:
			lines = append(lines, fmt.Sprintf("%s: upstream has %s, the configuration %s", diff.Key, diff.Have, diff.Want))
		}
	}
	return lines
}
