// Package report turns the result of a command into documents: JSON for other programs, and formats
// for CI systems and monitoring. It is pure: plans and documents go in, documents and bytes come
// out.
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

// Format is the version of the format of Result. Additions increment the minor version, all other
// changes the major one.
const Format = "1.2"

// Result is the result of a command. plan --json prints one with Hosts and Summary only.
type Result struct {
	FormatVersion string `json:"format_version"`
	Version       string `json:"mirrorform_version,omitempty"`
	// Command is plan, drift, apply, destroy, retire, verify or status; empty in the output of plan
	// --json and show --json.
	Command string `json:"command,omitempty"`
	// Start and End are times of the clock of the machine that ran the command.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`
	// Shard is the part of the hosts in this result, such as "3/10"; empty for all hosts.
	Shard string `json:"shard,omitempty"`
	// Configuration is the configuration's ID, from mirrorform.hosts.json; empty before the first
	// apply.
	Configuration string `json:"configuration,omitempty"`
	// Sources is a digest of the configuration's files, made to be slow, so that their content is
	// hard to guess; empty if they could not be read.
	Sources string       `json:"sources,omitempty"`
	Hosts   []HostResult `json:"hosts"`
	Summary Summary      `json:"summary"`
	// Problems are errors and warnings of the configuration, and of resources on hosts, with their
	// positions.
	Problems []Problem `json:"problems,omitempty"`
	// Error is why the command failed as a whole. Errors of single hosts are in Hosts.
	Error  string  `json:"error,omitempty"`
	Verify *Verify `json:"verify,omitempty"` // as printed by verify --json
	Status *Status `json:"status,omitempty"` // as printed by status --json
}

// Outcome is the outcome of a command on a host.
type Outcome string

// The outcomes.
const (
	OK          Outcome = "ok"          // it matched the configuration already
	Changed     Outcome = "changed"     // an apply changed it, and now it matches the configuration
	Drifted     Outcome = "drifted"     // it differs, and the command does not change hosts
	Failed      Outcome = "failed"      // it has an error, whatever its state
	Unreachable Outcome = "unreachable" // the connection failed
	RolledBack  Outcome = "rolled_back" // it had no error, but was rolled back with its wave
	NotStarted  Outcome = "not_started" // the apply ended before it started on this host
)

// Outcomes lists all outcomes, the good ones first.
var Outcomes = []Outcome{OK, Changed, Drifted, RolledBack, Failed, Unreachable, NotStarted}

// Bad reports whether an outcome makes the exit status 1.
func (o Outcome) Bad() bool {
	switch o {
	case Failed, Unreachable, RolledBack, NotStarted:
		return true
	}
	return false
}

// HostResult is the result for one host.
type HostResult struct {
	Name     string            `json:"name"`
	Address  string            `json:"address,omitempty"` // used to connect
	Labels   map[string]string `json:"labels,omitempty"`
	Local    bool              `json:"local,omitempty"` // the machine that ran the command
	Source   *Source           `json:"source,omitempty"`
	Outcome  Outcome           `json:"outcome"`
	Duration float64           `json:"duration_seconds,omitempty"` // from the first attempt to connect
	Changes  []Change          `json:"changes"`
	// Unchanged is the number of resources that matched the configuration already.
	Unchanged int `json:"unchanged"`
	// Resources are all compared resources, including those in Changes, in order.
	Resources []Resource `json:"resources,omitempty"`
	Error     *string    `json:"error"` // null without an error. It may contain untrusted output of the host
	// Left is the state of the host after a failed apply; its values are those of engine.Left.
	Left     engine.Left `json:"left,omitempty"`
	Warnings []string    `json:"warnings"`
	Notes    []string    `json:"notes"`
}

// Resource is one compared resource.
type Resource struct {
	Address string  `json:"address"`
	Type    string  `json:"type"`
	Source  *Source `json:"source,omitempty"`
}

// key is what no other resource of a plan has: one to remove and a wanted one of another type may
// have one address.
func (r *Resource) key() [2]string { return [2]string{r.Address, r.Type} }

// Source is a position in the configuration.
type Source struct {
	File string `json:"file"` // relative to the working directory of the command
	Line int    `json:"line"` // from 1
}

// Change is a planned or applied change of one resource.
type Change struct {
	Address string        `json:"address"`
	Also    []string      `json:"also,omitempty"` // addresses of resources that want the same thing
	Type    string        `json:"type"`
	Action  engine.Action `json:"action"`
	// Orphan is set if the resource is managed on the host but no longer in the configuration.
	Orphan bool `json:"orphan,omitempty"`
	// Later is set if the change waits until all other changes are committed.
	Later  bool    `json:"later,omitempty"`
	Source *Source `json:"source,omitempty"`
	// Done is the outcome of applying the change; empty without an apply.
	Done   Done           `json:"done,omitempty"`
	Before map[string]any `json:"before"` // null for create
	After  map[string]any `json:"after"`  // null for delete
	Steps  []string       `json:"steps"`
	// Diff is a unified diff of Before and After, escaped; "" for delete.
	Diff string `json:"diff,omitempty"`
}

// resource is the key of the changed resource.
func (c *Change) resource() [2]string { return [2]string{c.Address, c.Type} }

// Done is the outcome of applying a change.
type Done string

// The outcomes of applying a change.
const (
	Applied    Done = "applied"     // applied and confirmed
	StepFailed Done = "failed"      // one of its steps failed
	NotApplied Done = "not_applied" // not started, or rolled back
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

// Changes returns the number of changed resources.
func (s Summary) Changes() int { return s.Create + s.Update + s.Delete + s.Replace }

// Problem is a diagnostic: an error or a warning, with its position in the configuration if it has
// one.
type Problem struct {
	Severity  string `json:"severity"` // error or warning
	Summary   string `json:"summary"`
	Detail    string `json:"detail,omitempty"`
	File      string `json:"file,omitempty"` // relative to the working directory; "" without a position
	Line      int    `json:"line,omitempty"` // from 1, like the other numbers
	Column    int    `json:"column,omitempty"`
	EndLine   int    `json:"end_line,omitempty"`
	EndColumn int    `json:"end_column,omitempty"` // exclusive
}

// Verify is the output of verify --json.
type Verify struct {
	FormatVersion string             `json:"format_version"`
	Facts         Facts              `json:"facts,omitzero"`
	Mirrors       []*upstream.Report `json:"mirrors"`
}

// Facts are where verify has from what AlmaLinux's service requires.
type Facts struct {
	Source  string     `json:"source"` // "fetched", "cached", "built-in" or "given"
	Date    *time.Time `json:"date"`   // null if given
	Problem string     `json:"problem,omitempty"`
}

// Host returns the host with a name, or nil.
func (r *Result) Host(name string) *HostResult {
	for i := range r.Hosts {
		if r.Hosts[i].Name == name {
			return &r.Hosts[i]
		}
	}
	return nil
}

// byName maps names to hosts. The map is valid until a host is added.
func (r *Result) byName() map[string]*HostResult {
	index := make(map[string]*HostResult, len(r.Hosts))
	for i := range r.Hosts {
		index[r.Hosts[i].Name] = &r.Hosts[i]
	}
	return index
}

// Count recomputes the summary.
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

// JSON renders a result as one line of JSON without a final newline, by plain.JSON.
func (r *Result) JSON() ([]byte, error) { return plain.JSON(r) }

func (r *Result) dated() bool { return !r.End.IsZero() }

// outcomes counts the hosts of a document by outcome.
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

// title returns the command, and the shard if any: "drift of shard 3/10".
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

// verdict summarises the result in a line.
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
		text += "; the command failed"
	}
	return text
}

// Failed reports whether the command's exit status was 1.
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
