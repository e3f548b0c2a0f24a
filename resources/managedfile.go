package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// digestOf is the SHA-256 of content in hex, as wire.File has it.
func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// describe is content as plans show it: as text where it is text, otherwise its digest with the reason.
func describe(content []byte) (text *string, digest string) {
	switch {
	case !utf8.Valid(content) || slices.Contains(content, 0):
		return nil, fmt.Sprintf("sha256:%s (%d bytes, not text)", digestOf(content), len(content))
	default:
		s := string(content)
		return &s, ""
	}
}

// managedFile is what the types that are a regular file have in common. For a wanted file the zero value of a field
// means that it is not managed.
type managedFile struct {
	path     string
	content  *string // bytes
	digest   string  // found: what is said of content that cannot be shown
	owner    string
	group    string
	mode     string
	kind     string // found: what is there when it is no regular file
	validate []string
	parents  bool // directories above it are made where they are missing
	private  bool // wanted: it holds a secret
	found    wire.File
}

// private is what a state has of whether its file holds a secret.
type private bool

// HoldsSecret implements engine.Discreet.
func (p *private) HoldsSecret() { *p = true }

// publicMode is the mode of a generated file, or "", which is not managed, for one with a secret.
func (p private) publicMode() string {
	if p {
		return ""
	}
	return "0644"
}

// privateMode is the mode of a new file that holds a secret, unless another one is set.
const privateMode = 0o600

// newMode is the mode of a new file, nil for the usual one.
func (m managedFile) newMode(set *uint32) *uint32 {
	if set == nil && m.private {
		mode := uint32(privateMode)
		return &mode
	}
	return set
}

// exposed warns of a file that others can read and that holds a secret: one that is there keeps the
// mode that it has, unless another one is set.
func (m managedFile) exposed(have *managedFile) []engine.Problem {
	if !m.private || m.mode != "" || have.found.Kind != wire.Regular || have.found.Mode&0o044 == 0 {
		return nil
	}
	return []engine.Problem{{
		Severity: engine.Warning, Plain: true,
		Summary: fmt.Sprintf("%s holds a secret, and has mode %s on the host, with which others can read it", m.path, formatMode(have.found.Mode)),
		Detail:  fmt.Sprintf("Set mode, where the type has it, or run on the host: chmod 0600 %s. The file that is there keeps its mode until then.", m.path),
	}}
}

// query asks for the file, with its content unless that is the wanted one.
func (m managedFile) query() wire.Query {
	q := wire.Query{Verb: wire.AskFile, Arg: m.path}
	if m.content != nil {
		q.Option = "content-unless:" + digestOf([]byte(*m.content))
	}
	return q
}

// read makes the found file of the answer, in the spelling of the wanted one where both mean the same. It is nil when
// nothing is there.
func (m managedFile) read(got engine.Answers) (*managedFile, error) { return m.readAs(m.query(), got) }

// readAs is read for a file about which another question was asked.
func (m managedFile) readAs(q wire.Query, got engine.Answers) (*managedFile, error) {
	f, err := got.File(q)
	if err != nil || f.Kind == wire.Absent {
		return nil, err
	}
	have := &managedFile{path: m.path, validate: m.validate, found: f}
	have.owner, have.group, have.mode = foundAttributes(m.owner, m.group, m.mode, f)
	have.kind = otherThan(wire.Regular, f)
	if m.content == nil || have.kind != "" {
		return have, nil
	}
	switch {
	case f.SHA256 == digestOf([]byte(*m.content)):
		have.content, have.digest = describe([]byte(*m.content))
	case f.HasContent:
		have.content, have.digest = describe(f.Content)
	case f.SHA256 == "":
		have.digest = fmt.Sprintf("%d bytes, too large to compare", f.Size)
	default:
		have.digest = fmt.Sprintf("sha256:%s (%d bytes, too large to show)", f.SHA256, f.Size)
	}
	return have, nil
}

// foundAttributes are owner, group and mode of f, spelt as wanted where they are as wanted: an owner may be wanted by
// number, and a mode with three digits.
func foundAttributes(owner, group, mode string, f wire.File) (string, string, string) {
	foundOwner, foundGroup, foundMode := f.Owner, f.Group, formatMode(f.Mode)
	if owner == fmt.Sprint(f.UID) {
		foundOwner = owner
	}
	if group == fmt.Sprint(f.GID) {
		foundGroup = group
	}
	if m, err := parseMode(mode); err == nil && m == f.Mode {
		foundMode = mode
	}
	return foundOwner, foundGroup, foundMode
}

// otherThan names what f is when it is not of the wanted kind, and is empty when it is.
func otherThan(kind wire.Kind, f wire.File) string {
	switch f.Kind {
	case kind, wire.Absent:
		return ""
	case wire.Symlink:
		return "symlink to " + f.Target
	case wire.Other:
		return "device, socket or named pipe"
	}
	return string(f.Kind)
}

// holds reports whether the file has that content.
func (m managedFile) holds(content *string) bool {
	switch {
	case content == nil:
		return true
	case m.found.SHA256 != "":
		return m.found.SHA256 == digestOf([]byte(*content))
	case m.found.Kind != wire.Absent: // not a regular file, or too large for a digest and so for a configuration
		return false
	}
	return m.content != nil && *m.content == *content
}

// steps brings have to m. A nil have means that nothing is there.
func (m managedFile) steps(have *managedFile) []engine.Step {
	if have == nil {
		a, summary := m.attributes(), "create "+m.path
		if a.Mode == nil && m.private {
			summary += " with mode 0600, since it holds a secret"
		}
		a.Mode = m.newMode(a.Mode)
		return []engine.Step{m.write(summary, a)}
	}
	switch {
	case have.found.Kind == wire.Directory || have.found.Kind == wire.Other:
		return nil // check refuses it
	case have.kind != m.kind:
		a := m.attributes()
		if a.Mode = m.newMode(a.Mode); a.Mode == nil {
			mode := uint32(0o644) // as a new file: a link's own mode is 0777
			a.Mode = &mode
		}
		return []engine.Step{m.write("replace "+m.path+" by a file", a)}
	case !have.holds(m.content):
		_, changes := m.attributeChanges(have)
		return []engine.Step{m.write("write "+m.path, changes)}
	}
	return m.attributeSteps(have)
}

// fileSteps are the steps from the file have to want; nil is no file.
func fileSteps(want, have *managedFile) []engine.Step {
	if want == nil {
		return have.remove()
	}
	return want.steps(have)
}

// write is the step that makes the file anew.
func (m managedFile) write(summary string, attributes wire.Attributes) engine.Step {
	content := ""
	if m.content != nil {
		content = *m.content
	}
	return engine.Step{
		Summary: summary,
		Do: wire.Op{Write: &wire.WriteOp{
			Path: m.path, Content: []byte(content), Attributes: attributes, Parents: m.parents, Validate: m.validate,
		}},
		Undo: restore(m.path),
	}
}

// restore puts path back as it was.
func restore(path string) *wire.Op { return &wire.Op{Restore: &wire.RestoreOp{Path: path}} }

// attributes are those that are managed.
func (m managedFile) attributes() wire.Attributes {
	_, all := m.attributeChanges(&managedFile{})
	return all
}

// attributeChanges names the managed attributes in which have differs, and returns them.
func (m managedFile) attributeChanges(have *managedFile) (names []string, changes wire.Attributes) {
	if m.owner != "" && m.owner != have.owner {
		names, changes.Owner = append(names, "owner"), &m.owner
	}
	if m.group != "" && m.group != have.group {
		names, changes.Group = append(names, "group"), &m.group
	}
	want, err := parseMode(m.mode)
	if err != nil {
		return names, changes // not managed: Validate has refused what is no mode
	}
	found, err := parseMode(have.mode)
	switch {
	case err != nil || found != want:
		names, changes.Mode = append(names, "mode"), &want
	case len(names) > 0:
		changes.Mode = &want // chown(2) clears setuid and setgid
	}
	return names, changes
}

// attributeSteps brings owner, group and mode of what is there to what is wanted.
func (m managedFile) attributeSteps(have *managedFile) []engine.Step {
	names, changes := m.attributeChanges(have)
	if len(names) == 0 {
		return nil
	}
	return []engine.Step{{
		Summary: "set " + enumerate(names) + " of " + m.path,
		Do:      wire.Op{Attr: &wire.AttrOp{Path: m.path, Attributes: changes}},
		Undo:    restore(m.path),
	}}
}

// enumerate writes a list as a sentence does: "owner, group and mode".
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// check refuses what must not be replaced by a wanted file, and says what becomes of its other
// names; m is what was found.
func (m managedFile) check(want *managedFile) []engine.Problem {
	if out := m.inTheWay(); len(out) > 0 {
		return out
	}
	return append(m.checkLinks(want), want.exposed(&m)...)
}

// inTheWay refuses what a file must not replace.
func (m managedFile) inTheWay() []engine.Problem {
	switch m.found.Kind {
	case wire.Directory:
		return []engine.Problem{inTheWay(m.path, "a directory", "a file")}
	case wire.Other:
		return []engine.Problem{inTheWay(m.path, "a device, socket or named pipe", "a file")}
	}
	return nil
}

// checkLinks says what becomes of the other names of a file that has several. Its attributes are
// not changed: the others may lie anywhere, and belong to anybody.
func (m managedFile) checkLinks(want *managedFile) []engine.Problem {
	if m.found.Links < 2 || m.kind != want.kind {
		return nil
	}
	summary := fmt.Sprintf("%s is one of %d hard links to a file", m.path, m.found.Links)
	names, _ := want.attributeChanges(&m)
	switch {
	case !m.holds(want.content):
		return []engine.Problem{caution("", summary+", and is replaced: the others keep the old content", "to see them: find / -xdev -samefile "+m.path)}
	case len(names) > 0:
		return []engine.Problem{refusal("", summary+": the "+enumerate(names)+" of all of them would change",
			fmt.Sprintf("to see them: find / -xdev -samefile %[1]s. To make it a file of its own: cp -p %[1]s %[1]s.new && mv %[1]s.new %[1]s", m.path))}
	}
	return nil
}

// inTheWay says that something is at path that is never removed to make room.
func inTheWay(path, found, wanted string) engine.Problem {
	return refusal("", fmt.Sprintf("%s is %s on the host, and %s is wanted there", path, found, wanted),
		"it is never removed to make room: move it away, or choose another path")
}

// remove takes the file, or a link that took its place, away. Anything else is not what was made, and stays.
func (m managedFile) remove() []engine.Step {
	if m.found.Kind == wire.Directory || m.found.Kind == wire.Other {
		return nil
	}
	return []engine.Step{removal(m.path)}
}

// removal is the step that removes what is at path.
func removal(path string) engine.Step {
	return engine.Step{
		Summary: "remove " + path,
		Do:      wire.Op{Remove: &wire.RemoveOp{Path: path}},
		Undo:    restore(path),
	}
}
