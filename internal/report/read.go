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

// MaxSize bounds a document that Read takes, in bytes: a thousand hosts with whole mirrors need a tenth of it.
const MaxSize = 256 << 20

// Read reads what JSON wrote, this program's or another version's of the same format. It also takes what plan --json, verify --json and
// status --json print. What it returns has unique names of hosts, known actions and outcomes, and a Summary that was counted anew.
func Read(data []byte) (*Result, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("it has %d bytes, more than the limit of %d", len(data), MaxSize)
	}
	var head struct {
		FormatVersion string `json:"format_version"`
		Mirrors       json.RawMessage
		Hosts         []struct{ Reachable *bool }
		Findings      json.RawMessage
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("it is no result of mirrorform, or it is cut off: %w", err)
	}
	if major, _, _ := strings.Cut(head.FormatVersion, "."); major != "1" {
		return nil, fmt.Errorf("it has format version %q; this mirrorform reads 1: a result is what --report json=FILE writes, or plan, drift, verify or status --json prints", head.FormatVersion)
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
		return nil, errors.New("it is no result of mirrorform: it has no hosts")
	}
	r := new(Result)
	if err := decode(data, r); err != nil {
		return nil, err
	}
	return finish(r)
}

func decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // an int64 is no float64
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("it is no result of mirrorform: %w", err)
	}
	return nil
}

// finish checks what was read, and fills in what older versions of the format do not have.
func finish(r *Result) (*Result, error) {
	r.FormatVersion = Format
	if r.Hosts == nil {
		r.Hosts = []Host{}
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
			return nil, fmt.Errorf("host %d has no name, or that of another: %q", i+1, h.Name)
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
				return nil, fmt.Errorf("host %d of the status has no name, or that of another: %q", i+1, h.Name)
			}
			seen[h.Name] = true
		}
	}
	r.Count()
	return r, nil
}

func (h *Host) finish() error {
	if h.Unchanged < 0 || h.Duration < 0 {
		return errors.New("a number of it is negative")
	}
	known := h.Outcome == ""
	for _, o := range Outcomes {
		known = known || o == h.Outcome
	}
	switch {
	case !known:
		return fmt.Errorf("its outcome is %q", h.Outcome)
	case h.Outcome != "":
	case h.Error != nil: // 1.1 has no outcomes
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
			return fmt.Errorf("%q: its action is %q", c.Address, c.Action)
		}
		switch c.Done {
		case "", Applied, StepFailed, NotApplied:
		default:
			return fmt.Errorf("%q: how far it was done is %q", c.Address, c.Done)
		}
		if c.Address == "" {
			return errors.New("a change has no address")
		}
		c.Steps = notNil(c.Steps)
	}
	h.Changes, h.Warnings, h.Notes = notNil(h.Changes), notNil(h.Warnings), notNil(h.Notes)
	return nil
}

// notNil keeps lists from being null in JSON.
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
			return fmt.Errorf("mirror %q: a finding has severity %q", m.Name, f.Severity)
		}
	}
	return nil
}
