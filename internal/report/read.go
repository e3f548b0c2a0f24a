package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// MaxSize is the largest document that Read accepts, in bytes. A thousand hosts with full mirrors
// need a tenth of it.
const MaxSize = 256 << 20

// Read reads the output of JSON, of this or another version with the same format. It also reads the
// output of plan --json, verify --json and status --json. The result has unique host names, known
// actions and outcomes, and a recounted Summary.
func Read(data []byte) (*Result, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("it is larger than %d MiB", MaxSize>>20)
	}
	var head struct {
		FormatVersion string `json:"format_version"`
		Mirrors       json.RawMessage
		Hosts         []struct{ Reachable *bool }
		Findings      json.RawMessage
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("not a mirrorform result, or truncated: %w", err)
	}
	if major, _, _ := strings.Cut(head.FormatVersion, "."); major != "1" {
		return nil, fmt.Errorf("unsupported format version %q: this mirrorform reads format 1, written by --report "+
			"json=FILE, "+
			"or printed by plan, drift, verify or status with --json", head.FormatVersion)
	}
	switch {
	case head.Mirrors != nil:
		v := new(Verify)
		if err := decode(data, v); err != nil {
			return nil, err
		}
		return finish(&Result{FormatVersion: Format, Command: "verify", Verify: v})
	case len(head.Hosts) > 0 && head.Hosts[0].Reachable != nil:
		s := new(Status)
		if err := decode(data, s); err != nil {
			return nil, err
		}
		return finish(&Result{FormatVersion: Format, Command: "status", Start: s.Start, End: s.End, Status: s})
	case head.Hosts == nil:
		return nil, errors.New("not a mirrorform result: it has no hosts")
	}
	r := new(Result)
	if err := decode(data, r); err != nil {
		return nil, err
	}
	return finish(r)
}

func decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // float64 would round an int64
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("not a mirrorform result: %w", err)
	}
	return nil
}

// finish checks a document, and sets fields that older versions of the format lack.
func finish(r *Result) (*Result, error) {
	r.FormatVersion = Format
	if r.Hosts == nil {
		r.Hosts = []HostResult{}
	}
	if !r.Start.IsZero() && r.End.Before(r.Start) {
		return nil, fmt.Errorf("it ends at %s, before it starts", r.End.Format(time.RFC3339))
	}
	if _, err := ParseShard(r.Shard); r.Shard != "" && err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		if h.Name == "" || seen[h.Name] {
			return nil, fmt.Errorf("host %d has no name, or a duplicate one: %q", i+1, h.Name)
		}
		seen[h.Name] = true
		if err := h.finish(); err != nil {
			return nil, fmt.Errorf("host %q: %w", h.Name, err)
		}
	}
	if v := r.Verify; v != nil {
		for _, m := range v.Mirrors {
			if err := checkMirror(m); err != nil {
				return nil, err
			}
		}
	}
	if s := r.Status; s != nil {
		seen := map[string]bool{}
		for i, h := range s.Hosts {
			if h.Name == "" || seen[h.Name] {
				return nil, fmt.Errorf("host %d of the status has no name, or a duplicate one: %q", i+1, h.Name)
			}
			seen[h.Name] = true
		}
	}
	r.Count()
	return r, nil
}

func (h *HostResult) finish() error {
	if h.Unchanged < 0 || h.Duration < 0 {
		return errors.New("negative number")
	}
	known := h.Outcome == ""
	for _, o := range Outcomes {
		known = known || o == h.Outcome
	}
	switch {
	case !known:
		return fmt.Errorf("unknown outcome %q", h.Outcome)
	case h.Outcome != "":
	case h.Error != nil: // format 1.1 has no outcomes
		h.Outcome = Failed
	case len(h.Changes) > 0:
		h.Outcome = Drifted
	default:
		h.Outcome = OK
	}
	for i := range h.Changes {
		c := &h.Changes[i]
		switch c.Action {
		case engine.Create, engine.Update, engine.Delete, engine.Replace:
		default:
			return fmt.Errorf("%q: unknown action %q", c.Address, c.Action)
		}
		switch c.Done {
		case "", Applied, StepFailed, NotApplied:
		default:
			return fmt.Errorf("%q: unknown value %q of done", c.Address, c.Done)
		}
		if c.Address == "" {
			return errors.New("a change has no address")
		}
		c.Steps = notNil(c.Steps)
	}
	h.Changes, h.Warnings, h.Notes = notNil(h.Changes), notNil(h.Warnings), notNil(h.Notes)
	return nil
}

// notNil returns an empty list for nil, so that JSON has [] and not null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func checkMirror(m *upstream.Report) error {
	if m == nil || m.Name == "" {
		return errors.New("a mirror has no name")
	}
	for _, f := range m.Findings {
		switch f.Severity {
		case upstream.Error, upstream.Warning, upstream.Note:
		default:
			return fmt.Errorf("mirror %q: unknown severity %q of a finding", m.Name, f.Severity)
		}
	}
	return nil
}
