// Package report makes the result of a command a document: for other programs, as JSON, and from that what CI systems and monitoring read.
// It is pure: plans and documents go in, documents and bytes come out.
package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// Format is the version of the format of Result. Additions raise the second number, everything else the first.
const Format = "1.2"

// Result is what a command found or did. plan --json is one that has only what a plan says: Hosts and Summary.
type Result struct {
	FormatVersion string `json:"format_version"`
	Version       string `json:"mirrorform_version,omitempty"`
	Command       string `json:"command,omitempty"` // plan, drift, apply, destroy, retire, verify, status; empty: printed by plan --json or show --json
	// Start and End are by the clock of the machine that ran the command.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`
	// Shard is which part of the hosts this is of, such as "3/10"; empty when it is of all.
	Shard string `json:"shard,omitempty"`
	// Configuration is the configuration's ID, from mirrorform.hosts.json; empty before the first apply.
	Configuration string `json:"configuration,omitempty"`
	// Sources is a digest of the configuration's files, slow to guess at; empty when they could not be read.
	Sources string  `json:"sources,omitempty"`
	Hosts   []Host  `json:"hosts"`
	Summary Summary `json:"summary"`
	// Problems are errors and warnings of the configuration, and of resources on their hosts, with their places.
	Problems []Problem `json:"problems,omitempty"`
	// Error is why the command failed as a whole; errors of single hosts are with them.
	Error  string  `json:"error,omitempty"`
	Verify *Verify `json:"verify,omitempty"` // what verify --json prints
	Status *Status `json:"status,omitempty"` // what status --json prints
}

// Outcome is how a host ended.
type Outcome string

// The outcomes.
const (
	OK          Outcome = "ok"          // it is as the configuration says, and was before
	Changed     Outcome = "changed"     // an apply made it so
	Drifted     Outcome = "drifted"     // it differs, and the command was not to change it
	Failed      Outcome = "failed"      // there was an error on it, however that left it
	Unreachable Outcome = "unreachable" // no connection could be made
	RolledBack  Outcome = "rolled_back" // all went well on it, and it was taken back with its wave
	NotStarted  Outcome = "not_started" // an apply was ended before it came to this host
)

// Outcomes are all outcomes, the good ones first.
var Outcomes = []Outcome{OK, Changed, Drifted, RolledBack, Failed, Unreachable, NotStarted}

// Bad tells whether an outcome makes the exit status 1.
func (o Outcome) Bad() bool {
	switch o {
	case Failed, Unreachable, RolledBack, NotStarted:
		return true
	}
	return false
}

// Host is what was found or done on one host.
type Host struct {
	Name     string            `json:"name"`
	Address  string            `json:"address,omitempty"` // that it was reached by
	Labels   map[string]string `json:"labels,omitempty"`
	Local    bool              `json:"local,omitempty"` // the machine that ran the command
	Source   *Source           `json:"source,omitempty"`
	Outcome  Outcome           `json:"outcome"`
	Duration float64           `json:"duration_seconds,omitempty"` // from the first attempt to connect
	Changes  []Change          `json:"changes"`
	// Unchanged is how many resources were as wanted before.
	Unchanged int `json:"unchanged"`
	// Resources are all that were compared, those in Changes too, in their order.
	Resources []Resource `json:"resources,omitempty"`
	Error     *string    `json:"error"` // null: there was none. What the host printed in it is data from the host
	// Left is how an apply that failed left the host: untouched, "taken back", "half back" or "not known".
	Left     engine.Left `json:"left,omitempty"`
	Warnings []string    `json:"warnings"`
	Notes    []string    `json:"notes"`
}

// Resource is one resource that was compared.
type Resource struct {
	Address string  `json:"address"`
	Type    string  `json:"type"`
	Source  *Source `json:"source,omitempty"`
}

// Source is a place in the configuration.
type Source struct {
	File string `json:"file"` // from the working directory of the command
	Line int    `json:"line"` // from 1
}

// Change is what differs in one resource, or what was done to it.
type Change struct {
	Address string        `json:"address"`
	Type    string        `json:"type"`
	Action  engine.Action `json:"action"`
	// Orphan says that the resource is managed on the host and not in the configuration any more.
	Orphan bool    `json:"orphan,omitempty"`
	Source *Source `json:"source,omitempty"`
	// Done says how far an apply came with it; empty where nothing was to be applied.
	Done   Done           `json:"done,omitempty"`
	Before map[string]any `json:"before"` // null for create
	After  map[string]any `json:"after"`  // null for delete
	Steps  []string       `json:"steps"`
	// Diff shows before and after as a unified diff does, escaped: "" for delete.
	Diff string `json:"diff,omitempty"`
}

// Done is how far an apply came with a change.
type Done string

// How far an apply may come with a change.
const (
	Applied    Done = "applied"     // it was done, and was found to be as wanted
	StepFailed Done = "failed"      // one of its steps failed
	NotApplied Done = "not_applied" // it was not done, or was taken back
)

// Summary counts changes, and hosts by their outcomes.
type Summary struct {
	Create    int             `json:"create"`
	Update    int             `json:"update"`
	Delete    int             `json:"delete"`
	Replace   int             `json:"replace"`
	Unchanged int             `json:"unchanged"`
	Hosts     map[Outcome]int `json:"hosts"` // all outcomes
}

// Changes is how many resources change.
func (s Summary) Changes() int { return s.Create + s.Update + s.Delete + s.Replace }

// Problem is a diagnostic: an error or a warning with its place in the configuration, if it has one.
type Problem struct {
	Severity  string `json:"severity"` // error or warning
	Summary   string `json:"summary"`
	Detail    string `json:"detail,omitempty"`
	File      string `json:"file,omitempty"` // from the working directory of the command; "" for a problem without a place
	Line      int    `json:"line,omitempty"` // from 1, as the rest
	Column    int    `json:"column,omitempty"`
	EndLine   int    `json:"end_line,omitempty"`
	EndColumn int    `json:"end_column,omitempty"` // exclusive
}

// Verify is what verify --json prints.
type Verify struct {
	FormatVersion string             `json:"format_version"`
	Mirrors       []*upstream.Report `json:"mirrors"`
}

// Host returns the host of that name, or nil.
func (r *Result) Host(name string) *Host {
	for i := range r.Hosts {
		if r.Hosts[i].Name == name {
			return &r.Hosts[i]
		}
	}
	return nil
}

// byName has the hosts by their names, as long as none is added.
func (r *Result) byName() map[string]*Host {
	index := make(map[string]*Host, len(r.Hosts))
	for i := range r.Hosts {
		index[r.Hosts[i].Name] = &r.Hosts[i]
	}
	return index
}

// Count makes the summary anew.
func (r *Result) Count() {
	s := Summary{Hosts: map[Outcome]int{}}
	for _, o := range Outcomes {
		s.Hosts[o] = 0
	}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		s.Hosts[h.Outcome]++
		s.Unchanged += h.Unchanged
		for j := range h.Changes {
			switch h.Changes[j].Action {
			case engine.Create:
				s.Create++
			case engine.Update:
				s.Update++
			case engine.Delete:
				s.Delete++
			case engine.Replace:
				s.Replace++
			}
		}
	}
	r.Summary = s
}

// JSON renders a result as one line of JSON without a final newline, as plain.JSON does.
func (r *Result) JSON() ([]byte, error) { return plain.JSON(r) }

func (r *Result) dated() bool { return !r.End.IsZero() }

// outcomes counts the hosts of a document by their outcomes.
func (r *Result) outcomes() map[Outcome]int {
	n := map[Outcome]int{}
	for i := range r.Hosts {
		n[r.Hosts[i].Outcome]++
	}
	if r.Status != nil && len(r.Hosts) == 0 {
		for i := range r.Status.Hosts {
			n[r.Status.Hosts[i].outcome()]++
		}
	}
	return n
}

// title names what the result is of: "drift", or "drift of shard 3/10".
func (r *Result) title() string {
	command := r.Command
	if command == "" {
		command = "plan"
	}
	if r.Shard != "" {
		command += " of shard " + r.Shard
	}
	return plain.Escape(command)
}

// verdict sums up in a line.
func (r *Result) verdict() string {
	if r.Status != nil && len(r.Hosts) == 0 {
		return r.Status.verdict()
	}
	var parts []string
	for _, o := range urgency {
		if n := r.Summary.Hosts[o]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o.words()))
		}
	}
	text := "no hosts"
	if len(parts) > 0 {
		text = count(len(r.Hosts), "host") + ": " + strings.Join(parts, ", ")
	}
	if r.Verify != nil {
		accepted := 0
		for _, m := range r.Verify.Mirrors {
			if m.Accepted {
				accepted++
			}
		}
		verified := fmt.Sprintf("%d of %s accepted", accepted, count(len(r.Verify.Mirrors), "mirror"))
		if len(parts) == 0 {
			return verified
		}
		text += "; " + verified
	}
	if r.Error != "" {
		text += "; it failed"
	}
	return text
}

// Failed tells whether the command's exit status was 1.
func (r *Result) Failed() bool {
	for o, n := range r.Summary.Hosts {
		if o.Bad() && n > 0 {
			return true
		}
	}
	if r.Status != nil && slices.ContainsFunc(r.Status.Hosts, func(h HostStatus) bool { return h.Error != "" }) {
		return true
	}
	return r.Error != "" || slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Severity == "error" }) ||
		r.Verify != nil && slices.ContainsFunc(r.Verify.Mirrors, func(m *upstream.Report) bool { return !m.Accepted })
}
