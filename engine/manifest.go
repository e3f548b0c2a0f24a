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

// ManifestFormat is the format version that this program writes, and the newest that it reads.
//
// Format 2 added what mirrorform made (Managed.Made), what types remember, and one entry per
// configuration that manages a resource.
const ManifestFormat = 2

// manifestKind distinguishes manifests from other JSON.
const manifestKind = "mirrorform manifest"

// Manifest is a host's own record of what mirrorform manages on it. It is a file in the helper's
// state directory, which only the helper's user can read. The helper stores it without parsing it.
type Manifest struct {
	Kind      string    `json:"kind"`
	Format    int       `json:"format_version"`
	Version   string    `json:"mirrorform_version"` // the version that wrote it
	Apply     string    `json:"apply"`              // random; different each time it is written
	Machine   string    `json:"machine_id"`         // see machine-id(5); a cloned host has the manifest of another machine
	Resources []Managed `json:"resources"`          // in the order of their apply
	Checksum  string    `json:"checksum"`           // SHA-256 of this object as compact JSON with an empty checksum
}

// Managed is the entry of one resource in a manifest.
type Managed struct {
	Address       string   `json:"address"`       // without the host: "file.motd"
	Configuration string   `json:"configuration"` // ID of the configuration that manages it
	Type          string   `json:"type"`
	Source        string   `json:"source"`               // where it was declared: "fleet.hcl:12"
	DependsOn     []string `json:"depends_on,omitempty"` // addresses without the host
	// State has the attributes of the last applied state, in the configuration's spelling, without
	// those in Digests and Secrets.
	State map[string]json.RawMessage `json:"state"`
	// Digests has the SHA-256 of long attributes.
	Digests map[string]string `json:"digests,omitempty"`
	// Remembered has what the type decided when the resource was first applied, see Settler.
	Remembered map[string]json.RawMessage `json:"remembered,omitempty"`
	// Secrets has digests of sensitive attributes, "argon2id:SALT:DIGEST".
	Secrets        map[string]string `json:"secrets,omitempty"`
	Keep           string            `json:"keep,omitempty"`            // see Resource.Keep
	PreventDestroy bool              `json:"prevent_destroy,omitempty"` // see Resource.PreventDestroy
	// Made means that the resource did not exist before mirrorform created it. Resources that existed
	// before are never removed, only released.
	Made bool `json:"made,omitempty"`

	// was is the address before a move. The digests of Secrets were computed with it.
	was string
}

// Move renames or releases the resources at or below From in a manifest.
type Move struct {
	From string // an address without the host: "file.motd", "mirror.almalinux"
	To   string // likewise; empty: the resources are released, and stay on the host unchanged
}

// ErrManifest is the error of an unusable manifest. It is then not known what is managed on the
// host, so the host gets no plan.
var ErrManifest = errors.New("its manifest cannot be used")

// DecodeManifest parses the manifest of the host with this machine-id. No bytes give a manifest
// without resources. Its errors wrap ErrManifest and give the reason: the manifest is corrupt,
// written by a newer mirrorform, or belongs to another machine.
func DecodeManifest(text []byte, machine string) (*Manifest, error) {
	if len(text) == 0 {
		return &Manifest{Kind: manifestKind, Format: ManifestFormat, Machine: machine}, nil
	}
	bad := func(format string, args ...any) (*Manifest, error) {
		return nil, fmt.Errorf("%w: "+format, append([]any{ErrManifest}, args...)...)
	}
	if manifestCost(text) > maxManifestCost {
		return bad("it is too large: larger than a manifest of %d resources", maxManifestCost/costOfResource)
	}
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil || m.Kind != manifestKind || m.Format > ManifestFormat {
		var head struct { // all that is known of a newer format
			Kind    string `json:"kind"`
			Format  int    `json:"format_version"`
			Version string `json:"mirrorform_version"`
		}
		if err := json.Unmarshal(text, &head); err != nil || head.Kind != manifestKind || head.Format <= ManifestFormat {
			return bad("it is corrupt")
		}
		return bad("mirrorform %s wrote it in format %d, and this version reads formats up to %d: use that version",
			clip(head.Version), head.Format, ManifestFormat)
	}
	if sum, err := m.checksum(); err != nil || sum != m.Checksum || m.Format < 1 {
		return bad("it is corrupt: its checksum does not match its content")
	}
	if m.Machine != machine {
		return bad("it belongs to another machine: its machine-id differs from this host's, as on a cloned host")
	}
	return m, nil
}

const (
	// costOfResource is the cost of a resource with a dozen attributes.
	costOfResource  = 2 << 10
	maxManifestCost = 24 << 20
)

// manifestCost estimates the memory needed to parse a manifest: an empty object is two bytes of
// text, but hundreds in memory.
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

// Encode returns the manifest as text, with a checksum and a new random Apply value.
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

// same reports whether two manifests have the same resources and machine.
func (m *Manifest) same(o *Manifest) bool {
	x, errX := json.Marshal(m.Resources)
	y, errY := json.Marshal(o.Resources)
	return errX == nil && errY == nil && bytes.Equal(x, y) && m.Machine == o.Machine && m.Format == o.Format
}

// upgraded converts a manifest of format 1 to this format. Format 1 does not record what mirrorform
// made: generated files count as made, all else as found.
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

// find returns the entry of a configuration for an address and a type, or nil.
func (m *Manifest) find(configuration, address, kind string) *Managed {
	for i := range m.Resources {
		e := &m.Resources[i]
		if e.Address == address && e.Type == kind && e.Configuration == configuration {
			return e
		}
	}
	return nil
}

// longAttribute is the length, in bytes of JSON, from which a manifest has an attribute's digest
// instead of its value.
const longAttribute = 1 << 10

// newManaged returns the entry of a resource. seal computes the digests of its secrets.
func newManaged(r *Resource, configuration string, seal func(attribute string, value any) string) (Managed, error) {
	m := Managed{
		Address: r.Address.Local(), Configuration: configuration, Type: r.Kind.Name, Source: r.Source, State: map[string]json.RawMessage{},
		Keep: r.Keep, PreventDestroy: r.PreventDestroy,
	}
	for _, a := range r.DependsOn {
		m.DependsOn = append(m.DependsOn, a.Local())
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

// eachAttribute calls each for the fields of a state that a configuration can set.
func eachAttribute(state any, each func(name string, v reflect.Value)) {
	v := reflect.Indirect(reflect.ValueOf(state))
	for _, f := range fieldsOf(v.Type()) {
		if name, derived := attributeName(f); name != "" && !derived {
			each(name, v.FieldByIndex(f.Index))
		}
	}
}

// on parses an address of the entry, which has no host.
func (m *Managed) on(host, local string) (Address, error) {
	a, ok := ParseLocal(local)
	if !ok {
		return Address{}, fmt.Errorf("%w: %q, of type %s, is not an address", ErrManifest, clip(local), clip(m.Type))
	}
	a.Host = host
	return a, nil
}

// resource returns the resource of an entry, marked for removal from a host.
func (m *Managed) resource(host string, types *Registry) (*Resource, error) {
	kind := types.Kind(m.Type)
	if kind == nil {
		return nil, fmt.Errorf("%w: %s has type %s, which this version of mirrorform does not have: use the "+
			"version that created it",
			ErrManifest, m.Address, m.Type)
	}
	address, err := m.on(host, m.Address)
	if err != nil {
		return nil, err
	}
	r := &Resource{
		Address: address, Kind: kind, State: kind.New(), Source: m.Source, Remove: true, Orphan: true, Keep: m.Keep, PreventDestroy: m.PreventDestroy,
		Sensitive: map[string]bool{}, Made: m.Made,
	}
	for name := range m.Secrets {
		r.Sensitive[name] = true
	}
	for _, a := range m.DependsOn {
		needed, err := m.on(host, a)
		if err != nil {
			return nil, err
		}
		r.DependsOn = append(r.DependsOn, needed)
	}
	eachAttribute(r.State, func(name string, v reflect.Value) {
		if text, ok := m.State[name]; ok && err == nil {
			if e := json.Unmarshal(text, v.Addr().Interface()); e != nil {
				err = fmt.Errorf("%w: %s: attribute %s has a different type in this version", ErrManifest, m.Address, name)
			}
		}
	})
	eachRemembered(r.State, func(_ int, name string, _ bool, v reflect.Value) {
		if text, ok := m.Remembered[name]; ok && err == nil {
			if e := json.Unmarshal(text, v.Addr().Interface()); e != nil {
				err = fmt.Errorf("%w: %s: remembered value %s has a different type in this version", ErrManifest, m.Address, name)
			}
		}
	})
	return r, err
}

// move returns the manifest with the resources of this configuration renamed or released, and a
// note for each released one.
func (m *Manifest) move(moves []Move, configuration string) (moved *Manifest, notes []string, err error) {
	out := *m
	out.Resources = nil
	from := map[string]string{} // by new address: the old one
	for _, e := range m.Resources {
		was := e.Address
		if e.Configuration != configuration {
			out.Resources = append(out.Resources, e)
			continue
		}
		i := slices.IndexFunc(moves, func(mv Move) bool { return mv.means(was) })
		if i >= 0 && moves[i].To == "" {
			notes = append(notes, was+" is released by a removed block: it stays on the host unchanged")
			continue
		}
		if i >= 0 {
			e.Address, e.was = moves[i].To+strings.TrimPrefix(was, moves[i].From), was
		}
		if other, taken := from[e.Address]; taken {
			return nil, nil, fmt.Errorf("a moved block renames %s to %s, but %s has that address already: release one "+
				"of them with a removed block",
				was, e.Address, other)
		}
		from[e.Address] = was
		out.Resources = append(out.Resources, e)
	}
	return &out, notes, nil
}

// means reports whether the move applies to an address.
func (m Move) means(address string) bool {
	if strings.HasSuffix(m.To, "]") && !strings.HasSuffix(m.From, "]") {
		return address == m.From // the block got for_each: an address with a key has moved already
	}
	return Within(address, m.From)
}

// merge returns the manifest after an apply. Of this configuration it drops the addresses in gone,
// and replaces or adds the given entries.
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
				if digest == "" { // unchanged: the earlier digest is still valid
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
