package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// ManifestFormat is the version of the format of manifests that this program writes, and the newest
// that it reads.
//
// Format 2 has what mirrorform made (Managed.Made), what types remember, and one entry for each
// configuration that manages a resource.
const ManifestFormat = 2

// manifestKind tells manifests from other JSON.
const manifestKind = "mirrorform manifest"

// Manifest is what a host itself knows of what mirrorform manages on it. It lies in the helper's state directory, which only its user can read; the
// helper keeps it and does not look into it.
type Manifest struct {
	Kind      string    `json:"kind"`
	Format    int       `json:"format_version"`
	Version   string    `json:"mirrorform_version"` // that wrote it
	Apply     string    `json:"apply"`              // random, another one each time it is written
	Machine   string    `json:"machine_id"`         // of machine-id(5): a cloned host has the manifest of another machine
	Resources []Managed `json:"resources"`          // in the order in which they were applied
	Checksum  string    `json:"checksum"`           // SHA-256 of this object as compact JSON with an empty checksum
}

// Managed is a resource in a manifest.
type Managed struct {
	Address       string   `json:"address"`       // on the host, without the host: "file.motd"
	Configuration string   `json:"configuration"` // ID of the configuration that manages it
	Type          string   `json:"type"`
	Source        string   `json:"source"`               // where it was declared: "fleet.hcl:12"
	DependsOn     []string `json:"depends_on,omitempty"` // addresses without the host
	// State has the attributes that were set, as the configuration spells them, in the last state that was applied; but not those of Digests and Secrets.
	State map[string]json.RawMessage `json:"state"`
	// Digests has the SHA-256 of attributes that are long.
	Digests map[string]string `json:"digests,omitempty"`
	// Remembered has what the type decided when the resource was first applied, see Settler.
	Remembered map[string]json.RawMessage `json:"remembered,omitempty"`
	// Secrets has digests of sensitive attributes, "argon2id:SALT:DIGEST".
	Secrets        map[string]string `json:"secrets,omitempty"`
	Keep           string            `json:"keep,omitempty"`            // see Resource.Keep
	PreventDestroy bool              `json:"prevent_destroy,omitempty"` // see Resource.PreventDestroy
	// Made says that the host did not have it before mirrorform made it. What was found is never
	// removed, only released.
	Made bool `json:"made,omitempty"`

	// was is the address before a move, under which Secrets were made.
	was string
}

// Move tells what became of resources that the manifest has: it renames those at or below From, or lets them go.
type Move struct {
	From string // an address on a host, without the host: "file.motd", "mirror.almalinux"
	To   string // likewise; empty: they are let go, and stay on the host as they are
}

// ErrManifest is the error of a manifest that cannot be used. Nothing is known then of what is managed on the host, so nothing is planned for it.
var ErrManifest = errors.New("its manifest cannot be used")

// DecodeManifest reads the manifest of a host with that machine-id. Of no bytes it makes a manifest without resources. Its errors are ErrManifest,
// and say why: it is corrupt, of a newer mirrorform, or of another machine.
func DecodeManifest(text []byte, machine string) (*Manifest, error) {
	if len(text) == 0 {
		return &Manifest{Kind: manifestKind, Format: ManifestFormat, Machine: machine}, nil
	}
	bad := func(format string, args ...any) (*Manifest, error) {
		return nil, fmt.Errorf("%w: "+format, append([]any{ErrManifest}, args...)...)
	}
	var head struct {
		Kind    string `json:"kind"`
		Format  int    `json:"format_version"`
		Version string `json:"mirrorform_version"`
	}
	if manifestCost(text) > maxManifestCost {
		return bad("it has more in it than a manifest of %d resources, so that it is not read", maxManifestCost/costOfResource)
	}
	if err := json.Unmarshal(text, &head); err != nil || head.Kind != manifestKind {
		return bad("it is corrupt")
	}
	if head.Format > ManifestFormat {
		return bad("mirrorform %s wrote it in format %d, and this one knows formats up to %d: use that version", clip(head.Version), head.Format, ManifestFormat)
	}
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return bad("it is corrupt")
	}
	if sum, err := m.checksum(); err != nil || sum != m.Checksum || m.Format < 1 {
		return bad("it is corrupt: its checksum does not fit what it says")
	}
	if m.Machine != machine {
		return bad("it is of another machine: its machine-id is not this host's, as on a host that was cloned")
	}
	return m, nil
}

const (
	// costOfResource is what a resource with a dozen attributes costs.
	costOfResource  = 2 << 10
	maxManifestCost = 24 << 20
)

// manifestCost is about how much memory it takes to read a manifest: an object without anything in
// it is two bytes of text, and hundreds in memory.
func manifestCost(text []byte) int {
	cost, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			cost += 400
		case c == ',' || c == '[':
			cost += 64
		}
	}
	return cost
}

func (m *Manifest) checksum() (string, error) {
	open := *m
	open.Checksum = ""
	return digestJSON("the manifest", open)
}

// Encode writes a manifest, which gets a checksum and a random value of its own.
func (m *Manifest) Encode() ([]byte, error) {
	w := *m
	w.Kind, w.Format, w.Apply = manifestKind, ManifestFormat, NewNonce()
	if w.Resources == nil {
		w.Resources = []Managed{}
	}
	read, err := asRead("the manifest", &w)
	if err != nil {
		return nil, err
	}
	if read.Checksum, err = read.checksum(); err != nil {
		return nil, err
	}
	return writeDocument("the manifest", read, " ")
}

// same tells whether two manifests say the same of resources and machine.
func (m *Manifest) same(o *Manifest) bool {
	x, errX := json.Marshal(m.Resources)
	y, errY := json.Marshal(o.Resources)
	return errX == nil && errY == nil && bytes.Equal(x, y) && m.Machine == o.Machine && m.Format == o.Format
}

// upgraded returns a manifest of format 1 as one of this format. It does not say what mirrorform
// made: files that nobody else writes count as made, all else as found.
func (m *Manifest) upgraded(types *Registry) *Manifest {
	if m.Format >= 2 {
		return m
	}
	out := *m
	out.Resources = slices.Clone(m.Resources)
	for i := range out.Resources {
		e := &out.Resources[i]
		if r, err := e.resource("", types); err == nil {
			e.Made = r.Kind.generated(r.State)
		}
	}
	return &out
}

// find returns a configuration's entry of an address on a host, or nil.
func (m *Manifest) find(configuration, address string) *Managed {
	for i := range m.Resources {
		if m.Resources[i].Address == address && m.Resources[i].Configuration == configuration {
			return &m.Resources[i]
		}
	}
	return nil
}

// longAttribute is the length from which on a manifest has an attribute's digest in place of its value, in bytes of JSON.
const longAttribute = 1 << 10

// newManaged makes the entry of a resource. What it needs of secrets, seal makes.
func newManaged(r *Resource, configuration string, seal func(attribute string, value any) string) (Managed, error) {
	m := Managed{
		Address: Local(r.Address), Configuration: configuration, Type: r.Kind.Name, Source: r.Source, State: map[string]json.RawMessage{},
		Keep: r.Keep, PreventDestroy: r.PreventDestroy,
	}
	for _, a := range r.DependsOn {
		m.DependsOn = append(m.DependsOn, Local(a))
	}
	var err error
	eachAttribute(r.State, func(name string, v reflect.Value) {
		if v.IsZero() || err != nil {
			return
		}
		if r.Sensitive[name] {
			if m.Secrets == nil {
				m.Secrets = map[string]string{}
			}
			m.Secrets[name] = seal(name, v.Interface())
			return
		}
		text, e := json.Marshal(v.Interface())
		switch {
		case e != nil:
			err = fmt.Errorf("%s: attribute %s: %w", r.Address, name, e)
		case len(text) < longAttribute:
			m.State[name] = text
		default:
			if m.Digests == nil {
				m.Digests = map[string]string{}
			}
			m.Digests[name] = digestText(text)
		}
	})
	return m, err
}

// eachAttribute calls each for the fields of a state that a configuration sets.
func eachAttribute(state any, each func(name string, v reflect.Value)) {
	v := reflect.Indirect(reflect.ValueOf(state))
	for _, f := range fieldsOf(v.Type()) {
		if name, derived := attributeName(f); name != "" && !derived {
			each(name, v.FieldByIndex(f.Index))
		}
	}
}

// resource makes the resource of an entry, to be removed from a host.
func (m *Managed) resource(host string, types *Registry) (*Resource, error) {
	kind := types.Kind(m.Type)
	if kind == nil {
		return nil, fmt.Errorf("%w: %s has the type %s, which this mirrorform does not know: use the version that made it", ErrManifest, m.Address, m.Type)
	}
	r := &Resource{
		Address: OnHost(host, m.Address), Kind: kind, State: kind.New(), Source: m.Source, Remove: true, Orphan: true, Keep: m.Keep, PreventDestroy: m.PreventDestroy,
		Sensitive: map[string]bool{}, Made: m.Made,
	}
	for name := range m.Secrets {
		r.Sensitive[name] = true
	}
	for _, a := range m.DependsOn {
		r.DependsOn = append(r.DependsOn, OnHost(host, a))
	}
	var err error
	eachAttribute(r.State, func(name string, v reflect.Value) {
		if text, ok := m.State[name]; ok && err == nil {
			if e := json.Unmarshal(text, v.Addr().Interface()); e != nil {
				err = fmt.Errorf("%w: %s: attribute %s is of another kind than this mirrorform has it", ErrManifest, m.Address, name)
			}
		}
	})
	eachRemembered(r.State, func(_ int, name string, _ bool, v reflect.Value) {
		if text, ok := m.Remembered[name]; ok && err == nil {
			if e := json.Unmarshal(text, v.Addr().Interface()); e != nil {
				err = fmt.Errorf("%w: %s: what it remembers as %s has a different type in this version", ErrManifest, m.Address, name)
			}
		}
	})
	return r, err
}

// move returns the manifest with its resources renamed or let go, and the notes on what was let go. Only those of that configuration are meant.
func (m *Manifest) move(moves []Move, configuration string) (moved *Manifest, notes []string, err error) {
	out := *m
	out.Resources = nil
	from := map[string]string{} // where a resource of this configuration was, by where it is
	for _, e := range m.Resources {
		was := e.Address
		if e.Configuration != configuration {
			out.Resources = append(out.Resources, e)
			continue
		}
		i := slices.IndexFunc(moves, func(mv Move) bool { return mv.means(was) })
		if i >= 0 && moves[i].To == "" {
			notes = append(notes, was+" stays as it is and is not managed any more: a removed block lets it go")
			continue
		}
		if i >= 0 {
			e.Address, e.was = moves[i].To+strings.TrimPrefix(was, moves[i].From), was
		}
		if other, taken := from[e.Address]; taken {
			return nil, nil, fmt.Errorf("a moved block says that %s is now %s, which %s is already: let go of one of them with a removed block", was, e.Address, other)
		}
		from[e.Address] = was
		out.Resources = append(out.Resources, e)
	}
	return &out, notes, nil
}

// means tells whether a resource is one that moves.
func (m Move) means(address string) bool {
	if strings.HasSuffix(m.To, "]") && !strings.HasSuffix(m.From, "]") {
		return address == m.From // a block got for_each: what has a key has moved already
	}
	return Within(address, m.From)
}

// orphans are the resources of this configuration that the manifest has and that are not wanted any more.
type orphans struct {
	remove []*Resource
	letGo  []*Resource
	why    map[*Resource]string // why one is let go; empty: it is managed under another address
	others int                  // resources of other configurations
	shared int                  // those of them that this one wants, too
}

// orphans finds what the manifest has beyond what is wanted. What keeps things that cannot be brought back is let go, and so is what that or
// a wanted resource needs; what a wanted resource manages under another address is taken over.
func (m *Manifest) orphans(t Target, types *Registry, configuration string, wanted []*Resource, leftOut func(address string) bool) (*orphans, error) {
	o := &orphans{why: map[*Resource]string{}}
	is := map[string]bool{}
	managed := map[Key]bool{}
	var needs []Key
	need := func(r *Resource) (provides []Key) {
		provides, more := r.Kind.requires(t, r.State)
		needs = append(needs, more...)
		return provides
	}
	for _, r := range wanted {
		is[Local(r.Address)] = true
		for _, k := range need(r) {
			managed[k] = true
		}
	}
	var left []*Resource
	for i := range m.Resources {
		e := &m.Resources[i]
		if e.Configuration != configuration {
			if is[e.Address] {
				o.shared++
			} else {
				o.others++
			}
			continue
		}
		if is[e.Address] || leftOut(OnHost(t.Name, e.Address)) {
			continue
		}
		r, err := e.resource(t.Name, types)
		if err != nil {
			return nil, err
		}
		provides, _ := r.Kind.keys(t, r.State)
		switch {
		case slices.ContainsFunc(provides, func(k Key) bool { return managed[k] }):
			o.keep(r, "")
		case r.Kept() != "" && !r.PreventDestroy:
			o.keep(r, r.Kept())
			need(r)
		default:
			left = append(left, r)
		}
	}
	for _, r := range staying(t, left, needs) {
		o.keep(r, "something that stays needs it")
	}
	o.remove = slices.DeleteFunc(left, func(r *Resource) bool { return slices.Contains(o.letGo, r) })
	return o, nil
}

func (o *orphans) keep(r *Resource, why string) {
	o.letGo = append(o.letGo, r)
	o.why[r] = why
}

// notes say what a plan has to tell of orphans that are let go, and of what others manage.
func (o *orphans) notes(letGo []*Resource) []string {
	var notes []string
	for _, r := range letGo {
		if why := o.why[r]; why != "" {
			notes = append(notes, fmt.Sprintf("%s is not in the configuration any more. It stays as it is and is not managed any more: %s", Local(r.Address), why))
		}
	}
	if o.shared > 0 {
		notes = append(notes, fmt.Sprintf("another configuration manages %d of these resources, too: they stay on the host until neither does. "+
			"If that is this one under an earlier ID (its record of hosts was lost), see: mirrorform state forget --configuration", o.shared))
	}
	if o.others > 0 {
		notes = append(notes, fmt.Sprintf("another configuration manages %d more resources on this host, which this one leaves alone", o.others))
	}
	return notes
}

// merge returns the manifest after an apply: without this configuration's addresses that are gone,
// and with the entries given instead of what it had under their addresses.
func (m *Manifest) merge(version, configuration string, gone []string, entries []Managed) *Manifest {
	out := &Manifest{Version: version, Machine: m.Machine, Format: ManifestFormat}
	fresh := map[string]Managed{}
	for _, e := range entries {
		fresh[e.Address] = e
	}
	for _, e := range m.Resources {
		if e.Configuration != configuration {
			out.Resources = append(out.Resources, e)
			continue
		}
		if slices.Contains(gone, e.Address) {
			continue
		}
		if f, ok := fresh[e.Address]; ok {
			for name, digest := range f.Secrets {
				if digest == "" { // it was not changed, and has a digest already
					f.Secrets[name] = e.Secrets[name]
				}
			}
			e = f
			delete(fresh, e.Address)
		}
		out.Resources = append(out.Resources, e)
	}
	for _, e := range entries {
		if _, is := fresh[e.Address]; is {
			out.Resources = append(out.Resources, e)
			delete(fresh, e.Address)
		}
	}
	return out
}
