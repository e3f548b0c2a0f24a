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

// SavedFormat is the version of the format of saved plans that this program writes, and the only one that it reads.
const SavedFormat = 1

// savedKind tells saved plans from other JSON.
const savedKind = "mirrorform saved plan"

// SavedPlan is a plan as a file holds it: what will change, as plans show it, and digests of everything that the plan was made from. It is a
// promise, not a payload: no operation and no secret is in it. Performing it means to plan anew, and to go on if nothing differs.
type SavedPlan struct {
	Kind          string      `json:"kind"`
	Format        int         `json:"format_version"`
	Version       string      `json:"mirrorform_version"`
	Time          time.Time   `json:"time"`
	Salt          string      `json:"salt"`             // of all digests
	Limit         []string    `json:"limit,omitempty"`  // what the plan was limited to
	Shard         string      `json:"shard,omitempty"`  // likewise
	Target        []string    `json:"target,omitempty"` // likewise
	Replace       []string    `json:"replace,omitempty"`
	Configuration string      `json:"configuration"` // digest of all that is wanted, on all hosts
	Hosts         []SavedHost `json:"hosts"`
	Checksum      string      `json:"checksum"` // SHA-256 of this object as compact JSON with an empty checksum
}

// SavedHost is the plan of one host.
type SavedHost struct {
	Name      string          `json:"name"`
	Machine   string          `json:"machine"` // keyed digest of the machine-id: machine-id(5) wants it confidential
	Unchanged int             `json:"unchanged"`
	Resources []SavedResource `json:"resources"` // all of the host, changed or not
	Changes   []SavedChange   `json:"changes"`
	Warnings  []SavedWarning  `json:"warnings"`
	Notes     []string        `json:"notes,omitempty"`
}

// SavedResource says what a resource was planned from.
type SavedResource struct {
	Address string `json:"address"`
	Wanted  string `json:"wanted"` // digest of type, wanted state and dependencies
	Found   string `json:"found"`  // digest of the found state
}

// SavedChange is a Change.
type SavedChange struct {
	Address string           `json:"address"`
	Type    string           `json:"type"`
	Action  Action           `json:"action"`
	Orphan  string           `json:"orphan,omitempty"` // where it was declared that is no longer in the configuration
	Before  []SavedAttribute `json:"before"`           // null for create
	After   []SavedAttribute `json:"after"`            // null for delete
	Steps   []SavedStep      `json:"steps"`
}

// SavedAttribute is an Attribute. A sensitive one has no value; Differs then tells whether it is another one than before.
type SavedAttribute struct {
	Name      string          `json:"name"`
	Value     json.RawMessage `json:"value,omitempty"` // as Plain has it
	Sensitive bool            `json:"sensitive,omitempty"`
	Differs   bool            `json:"differs,omitempty"`
}

// SavedStep is what is shown of a Step.
type SavedStep struct {
	Summary string `json:"summary"`
	Final   string `json:"final,omitempty"`
}

// SavedWarning is a warning about a resource, or about the host where there is no address.
type SavedWarning struct {
	Address string `json:"address,omitempty"`
	Source  string `json:"source,omitempty"`
	Summary string `json:"summary"`
	Detail  string `json:"detail,omitempty"`
}

// SaveOptions are what a saved plan says of itself.
type SaveOptions struct {
	Version       string // of mirrorform
	Time          time.Time
	Salt          string // fresh and random, unless plans are to be compared
	Limit, Target []string
	Shard         string
	Replace       []string
}

// Save makes the saved form of a plan that Fleet.Plan made. A plan that failed on any host cannot be saved.
func Save(p *Plan, o SaveOptions) (*SavedPlan, error) {
	var failed []string
	for _, h := range p.Hosts {
		if h.Failed() {
			failed = append(failed, h.Host)
		}
	}
	if len(failed) > 0 {
		return nil, fmt.Errorf("there is no whole plan: it failed for %s", strings.Join(failed, ", "))
	}
	s := &SavedPlan{
		Kind: savedKind, Format: SavedFormat, Version: o.Version, Time: o.Time.UTC().Truncate(time.Second), Salt: o.Salt,
		Limit: o.Limit, Shard: o.Shard, Target: o.Target, Replace: o.Replace, Hosts: []SavedHost{},
	}
	seals := newSealer(o.Salt)
	var wanted []string
	for _, h := range p.Hosts {
		host, err := saveHost(h, seals)
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

// finish returns the plan as it will be read, with its checksum.
func (s *SavedPlan) finish() (*SavedPlan, error) {
	read, err := asRead("the plan", s)
	if err != nil {
		return nil, err
	}
	read.Checksum, err = read.checksum()
	return read, err
}

func saveHost(h *HostPlan, seals *sealer) (*SavedHost, error) {
	s := &SavedHost{
		Name: h.Host, Machine: seals.seal("machine", false, h.MachineID), Unchanged: h.Unchanged,
		Resources: []SavedResource{}, Changes: []SavedChange{}, Warnings: []SavedWarning{}, Notes: h.Notes,
	}
	for _, c := range h.Compared {
		r := c.Resource
		secret := len(r.Sensitive) > 0
		dependsOn := slices.Sorted(slices.Values(r.DependsOn))
		var decided any // by what was found
		if r.Kind.settles {
			decided = c.Want
		}
		s.Resources = append(s.Resources, SavedResource{
			Address: r.Address,
			Wanted:  seals.seal("wanted "+r.Address, secret && c.declared != nil, r.Kind.Name, c.declared, dependsOn),
			Found:   seals.seal("found "+r.Address, secret && (c.Have != nil || decided != nil), c.Have, decided),
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
			w.Address, w.Source = r.Address, r.Source
			if len(r.Sensitive) > 0 && !p.Plain {
				w.Summary, w.Detail = "there is a warning, which is not saved: the resource has sensitive values", ""
			}
		}
		s.Warnings = append(s.Warnings, w)
	}
	return s, nil
}

func saveChange(c *Change) (SavedChange, error) {
	s := SavedChange{Address: c.Address, Type: c.Type, Action: c.Action, Steps: []SavedStep{}}
	if c.Resource.Orphan {
		s.Orphan = c.Resource.Source
	}
	for _, step := range c.Steps {
		saved := SavedStep{Summary: step.Summary}
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

// Encode writes a saved plan as JSON for a file, with a newline at its end.
func (s *SavedPlan) Encode() ([]byte, error) { return writeDocument("the plan", s, "  ") }

// DecodeSaved reads what Encode wrote. The errors tell apart what is no saved plan, one of another format, and a damaged one.
func DecodeSaved(text []byte) (*SavedPlan, error) {
	var head struct {
		Kind    string `json:"kind"`
		Version string `json:"mirrorform_version"`
	}
	var format struct {
		Format int `json:"format_version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("this is no saved plan, or it is corrupt or cut off: %w", err)
	}
	if head.Kind != savedKind {
		return nil, errors.New("this is no saved plan: mirrorform plan --out FILE writes one")
	}
	if err := json.Unmarshal(text, &format); err != nil {
		return nil, fmt.Errorf("the saved plan is corrupt: %w", err)
	}
	if format.Format != SavedFormat {
		return nil, fmt.Errorf("the saved plan has format %d, written by mirrorform %s; this mirrorform reads format %d: use that version, or plan again",
			format.Format, head.Version, SavedFormat)
	}
	s := new(SavedPlan)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("the saved plan is corrupt: %w", err)
	}
	if sum, err := s.checksum(); err != nil || sum != s.Checksum {
		return nil, errors.Join(errors.New("the saved plan is corrupt: its checksum does not fit what it says"), err)
	}
	return s, nil
}
