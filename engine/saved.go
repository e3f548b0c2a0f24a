package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// SavedFormat is the format version of saved plans that this program writes, and the only one that
// it reads. Format 1 had digests of absolute paths on host local, so it was bound to a directory.
const SavedFormat = 2

// savedKind distinguishes saved plans from other JSON.
const savedKind = "mirrorform saved plan"

// SavedPlan is a plan in a file: the changes as plans show them, and digests of everything that the
// plan was made from. It is a promise, not a payload: it contains no operation and no secret.
// Applying it means to plan again, and to continue only if nothing differs.
type SavedPlan struct {
	Kind          string      `json:"kind"`
	Format        int         `json:"format_version"`
	Version       string      `json:"mirrorform_version"`
	Time          time.Time   `json:"time"`
	Salt          string      `json:"salt"`             // for all digests
	Limit         []string    `json:"limit,omitempty"`  // the options that selected hosts and resources
	Shard         string      `json:"shard,omitempty"`  // likewise
	Target        []string    `json:"target,omitempty"` // likewise
	Replace       []string    `json:"replace,omitempty"`
	Directory     string      `json:"directory"`     // of the configuration: absolute; see base
	Configuration string      `json:"configuration"` // digest of everything that is wanted, on all hosts
	Hosts         []SavedHost `json:"hosts"`
	Checksum      string      `json:"checksum"` // SHA-256 of this object as compact JSON with an empty checksum
}

// SavedHost is the saved plan of one host.
type SavedHost struct {
	Name      string          `json:"name"`
	Local     bool            `json:"local,omitempty"` // as Host.Last: paths are relative to the configuration's directory
	Machine   string          `json:"machine"`         // keyed digest of the machine-id, which machine-id(5) asks to keep confidential
	Unchanged int             `json:"unchanged"`
	Resources []SavedResource `json:"resources"` // all of the host, changed or not
	Changes   []SavedChange   `json:"changes"`
	Warnings  []SavedWarning  `json:"warnings"`
	Notes     []string        `json:"notes,omitempty"`
}

// SavedResource contains digests of what a resource was planned from.
type SavedResource struct {
	Address string `json:"address"`
	Wanted  string `json:"wanted"` // digest of type, wanted state, dependencies and other owners
	Found   string `json:"found"`  // digest of the found state
}

// SavedChange is the saved form of a Change.
type SavedChange struct {
	Address string           `json:"address"`
	Also    []string         `json:"also,omitempty"` // addresses of resources that want the same thing
	Type    string           `json:"type"`
	Action  Action           `json:"action"`
	Orphan  string           `json:"orphan,omitempty"` // where the resource was declared, if it no longer is in the configuration
	Now     string           `json:"now,omitempty"`    // the type that its address has in the configuration
	Before  []SavedAttribute `json:"before"`           // null for create
	After   []SavedAttribute `json:"after"`            // null for delete
	Steps   []SavedStep      `json:"steps"`
}

// SavedAttribute is the saved form of an Attribute. A sensitive one has no value; Differs reports
// whether the change alters it.
type SavedAttribute struct {
	Name      string          `json:"name"`
	Value     json.RawMessage `json:"value,omitempty"` // in the form of Plain
	Sensitive bool            `json:"sensitive,omitempty"`
	Differs   bool            `json:"differs,omitempty"`
}

// SavedStep is what plans show of a Step.
type SavedStep struct {
	Summary string `json:"summary"`
	Final   string `json:"final,omitempty"`
	Later   bool   `json:"later,omitempty"` // as Step.Later
}

// SavedWarning is a warning about a resource, or about the host if Address is empty.
type SavedWarning struct {
	Address string `json:"address,omitempty"`
	Source  string `json:"source,omitempty"`
	Summary string `json:"summary"`
	Detail  string `json:"detail,omitempty"`
}

// SaveOptions describe a plan to save.
type SaveOptions struct {
	Version       string // of mirrorform
	Time          time.Time
	Salt          string // new and random, except to compare with another saved plan
	Limit, Target []string
	Shard         string
	Replace       []string
	Directory     string // of the configuration: absolute, or ""
}

// Save converts a plan of Planner.Plan to its saved form. It fails if the plan of any host failed.
func Save(p *Plan, o SaveOptions) (*SavedPlan, error) {
	var failed []string
	for _, h := range p.Hosts {
		if h.Failed() {
			failed = append(failed, h.Host)
		}
	}
	if len(failed) > 0 {
		return nil, fmt.Errorf("the plan cannot be saved: it failed for %s", strings.Join(failed, ", "))
	}
	s := &SavedPlan{
		Kind: savedKind, Format: SavedFormat, Version: o.Version, Time: o.Time.UTC().Truncate(time.Second), Salt: o.Salt,
		Limit: o.Limit, Shard: o.Shard, Target: o.Target, Replace: o.Replace,
		Directory: o.Directory, Hosts: []SavedHost{},
	}
	seals := newSealer(o.Salt)
	var wanted []string
	for _, h := range p.Hosts {
		at := sealing{sealer: seals}
		if h.last {
			at.base = base(o.Directory)
		}
		host, err := saveHost(h, at)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", h.Host, err)
		}
		for _, r := range host.Resources {
			wanted = append(wanted, r.Address+" "+r.Wanted)
		}
		s.Hosts = append(s.Hosts, *host)
	}
	slices.Sort(wanted)
	s.Configuration = seals.seal("configuration", false, wanted)
	return s.finish()
}

// finish returns the plan as a reader will decode it, with its checksum.
func (s *SavedPlan) finish() (*SavedPlan, error) {
	read, err := asRead("the plan", s)
	if err != nil {
		return nil, err
	}
	read.Checksum, err = read.checksum()
	return read, err
}

func saveHost(h *HostPlan, seals sealing) (*SavedHost, error) {
	s := &SavedHost{
		Name: h.Host, Local: h.last, Machine: seals.seal("machine", false, h.MachineID), Unchanged: h.Unchanged,
		Resources: []SavedResource{}, Changes: []SavedChange{}, Warnings: []SavedWarning{}, Notes: h.Notes,
	}
	for _, c := range h.Compared {
		r := c.Resource
		secret := len(r.Sensitive) > 0
		address := r.Address.String()
		var dependsOn []string
		for _, a := range r.dependsOn() {
			dependsOn = append(dependsOn, a.String())
		}
		slices.Sort(dependsOn)
		dependsOn = append(dependsOn, r.also()...)
		var decided any // by the found state
		if r.Kind.settles {
			decided = c.Want
		}
		s.Resources = append(s.Resources, SavedResource{
			Address: address,
			Wanted:  seals.seal("wanted "+address, secret && c.declared != nil, r.Kind.Name, c.declared, dependsOn),
			Found:   seals.seal("found "+address, secret && (c.Have != nil || decided != nil), c.Have, decided),
		})
	}
	for i := range h.Changes {
		c, err := saveChange(&h.Changes[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Changes[i].Address, err)
		}
		s.Changes = append(s.Changes, c)
	}
	for _, p := range h.Problems {
		w := SavedWarning{Summary: p.Summary, Detail: p.Detail}
		if r := p.Resource; r != nil {
			w.Address, w.Source = r.Address.String(), r.Source
			if len(r.Sensitive) > 0 && !p.Plain {
				w.Summary, w.Detail = "a warning that is not saved, since the resource has sensitive values", ""
			}
		}
		s.Warnings = append(s.Warnings, w)
	}
	return s, nil
}

func saveChange(c *Change) (SavedChange, error) {
	s := SavedChange{Address: c.Address, Also: c.Also, Type: c.Type, Action: c.Action, Steps: []SavedStep{}}
	if c.Resource.Orphan {
		s.Orphan, s.Now = c.Resource.Source, c.Resource.Now
	}
	for _, step := range c.Steps {
		saved := SavedStep{Summary: step.Summary, Later: step.Later}
		if step.Undo == nil {
			saved.Final = step.Final
		}
		s.Steps = append(s.Steps, saved)
	}
	var before, after error
	s.Before, before = saveAttributes(c.Before, c.After)
	s.After, after = saveAttributes(c.After, c.Before)
	return s, errors.Join(before, after)
}

func saveAttributes(list, others []Attribute) ([]SavedAttribute, error) {
	if list == nil {
		return nil, nil
	}
	saved := []SavedAttribute{}
	for _, a := range list {
		value := Plain(a.Value)
		if a.Sensitive {
			same := slices.ContainsFunc(others, func(o Attribute) bool { return o.Name == a.Name && reflect.DeepEqual(Plain(o.Value), value) })
			saved = append(saved, SavedAttribute{Name: a.Name, Sensitive: true, Differs: !same})
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", a.Name, err)
		}
		saved = append(saved, SavedAttribute{Name: a.Name, Value: text})
	}
	return saved, nil
}

func (s *SavedPlan) checksum() (string, error) {
	open := *s
	open.Checksum = ""
	return digestJSON("the plan", open)
}

// Encode encodes a saved plan as JSON for a file, with a final newline.
func (s *SavedPlan) Encode() ([]byte, error) { return writeDocument("the plan", s, "  ") }

// SavedFormatError is the error of a saved plan in another format, which another version of
// mirrorform wrote.
type SavedFormatError struct {
	Format  int
	Version string // of mirrorform
}

func (e *SavedFormatError) Error() string {
	return fmt.Sprintf("the saved plan has format %d, written by mirrorform %s; this version reads "+
		"format %d: use that version, or plan again", e.Format, e.Version, SavedFormat)
}

// DecodeSaved parses the output of Encode. Its errors distinguish files that are not a saved plan,
// have another format, or are damaged.
func DecodeSaved(text []byte) (*SavedPlan, error) {
	var head struct {
		Kind    string `json:"kind"`
		Version string `json:"mirrorform_version"`
	}
	var format struct {
		Format int `json:"format_version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("this is not a saved plan, or it is corrupt or incomplete: %w", err)
	}
	if head.Kind != savedKind {
		return nil, errors.New("this is not a saved plan: to make one, run mirrorform plan --out FILE")
	}
	if err := json.Unmarshal(text, &format); err != nil {
		return nil, fmt.Errorf("the saved plan is corrupt: %w", err)
	}
	if format.Format != SavedFormat {
		return nil, &SavedFormatError{Format: format.Format, Version: head.Version}
	}
	s := new(SavedPlan)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("the saved plan is corrupt: %w", err)
	}
	if sum, err := s.checksum(); err != nil || sum != s.Checksum {
		return nil, errors.Join(errors.New("the saved plan is corrupt: its checksum does not match its content"), err)
	}
	return s, nil
}
