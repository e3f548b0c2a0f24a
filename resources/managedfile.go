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

// digestOf returns the SHA-256 of content in hex, as in wire.File.
func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// describe returns content as plans show it: its text, or for binary content a digest.
func describe(content []byte) (text *string, digest string) {
	switch {
	case !utf8.Valid(content) || slices.Contains(content, 0):
		return nil, fmt.Sprintf("sha256:%s (%d bytes, not text)", digestOf(content), len(content))
	default:
		s := string(content)
		return &s, ""
	}
}

// managedFile is what all types that write a regular file have in common. In a wanted file, a field
// with its zero value is not managed.
type managedFile struct {
	path     string
	content  *string // any bytes, not only text
	digest   string  // found: description of content that cannot be shown
	owner    string
	group    string
	mode     string
	kind     string // found: what exists instead of a regular file
	validate []string
	parents  bool // missing parent directories are created
	private  bool // wanted: it contains a secret
	found    wire.File
}

// private is part of a state whose file may contain a secret.
type private bool

// HoldsSecret implements engine.Discreet.
func (p *private) HoldsSecret() { *p = true }

// publicMode returns the mode of a generated file. It is "", not managed, if the file contains a
// secret: the operator may have restricted it.
func (p private) publicMode() string {
	if p {
		return ""
	}
	return "0644"
}

// privateMode is the mode of a new file with a secret, unless the configuration sets one.
const privateMode = 0o600

// newMode returns the mode of a new file; nil leaves it to the helper.
func (m managedFile) newMode(set *uint32) *uint32 {
	if set == nil && m.private {
		mode := uint32(privateMode)
		return &mode
	}
	return set
}

// exposed warns of a secret in an existing file that other users can read. Such a file keeps its
// mode unless the configuration sets one.
func (m managedFile) exposed(have *managedFile) []engine.Problem {
	if !m.private || m.mode != "" || have.found.Kind != wire.Regular || have.found.Mode&0o044 == 0 {
		return nil
	}
	return []engine.Problem{{
		Severity: engine.Warning, Plain: true,
		Summary: fmt.Sprintf("%s contains a secret, and other users can read it: its mode is %s", m.path,
			formatMode(have.found.Mode)),
		Detail: fmt.Sprintf("An apply keeps the mode of an existing file. Set mode if the type has it, or run on the host: chmod 0600 %s",
			m.path),
	}}
}

// query asks for the file, with its content if that differs from the wanted one.
func (m managedFile) query() wire.Query {
	q := wire.Query{Verb: wire.AskFile, Arg: m.path}
	if m.content != nil {
		q.Option = "content-unless:" + digestOf([]byte(*m.content))
	}
	return q
}

// read returns the found file, or nil if it is absent. Values that mean the same as the wanted ones
// are spelled like them.
func (m managedFile) read(got engine.Answers) (*managedFile, error) { return m.readAs(m.query(), got) }

// readAs is read for an answer to another query.
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

// foundAttributes returns owner, group and mode of f, spelled as the wanted ones where they are
// equal: the configuration may have an owner's number, or a mode with three digits.
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

// otherThan describes f if it exists and is not of the wanted kind; otherwise it returns "".
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

// holds reports whether the file has the content. It is true if content is nil, not managed.
func (m managedFile) holds(content *string) bool {
	switch {
	case content == nil:
		return true
	case m.found.SHA256 != "":
		return m.found.SHA256 == digestOf([]byte(*content))
	case m.found.Kind != wire.Absent: // not a regular file, or too large for any configuration
		return false
	}
	return m.content != nil && *m.content == *content
}

// steps returns the steps from have to m. A nil have is an absent file.
func (m managedFile) steps(have *managedFile) []engine.Step {
	if have == nil {
		a, summary := m.attributes(), "create "+m.path
		if a.Mode == nil && m.private {
			summary += " with mode 0600, since it contains a secret"
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
			mode := uint32(0o644) // as for a new file: the mode of the link is 0777
			a.Mode = &mode
		}
		return []engine.Step{m.write("replace "+m.path+" with a file", a)}
	case !have.holds(m.content):
		_, changes := m.attributeChanges(have)
		return []engine.Step{m.write("write "+m.path, changes)}
	}
	return m.attributeSteps(have)
}

// fileSteps returns the steps from have to want; nil is an absent file.
func fileSteps(want, have *managedFile) []engine.Step {
	if want == nil {
		return have.remove()
	}
	return want.steps(have)
}

// write returns the step that writes the whole file.
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

// restore undoes an operation on path.
func restore(path string) *wire.Op { return &wire.Op{Restore: &wire.RestoreOp{Path: path}} }

// attributes returns the managed attributes.
func (m managedFile) attributes() wire.Attributes {
	_, all := m.attributeChanges(&managedFile{})
	return all
}

// attributeChanges returns the managed attributes that differ in have, and their names.
func (m managedFile) attributeChanges(have *managedFile) (names []string, changes wire.Attributes) {
	if m.owner != "" && m.owner != have.owner {
		names, changes.Owner = append(names, "owner"), &m.owner
	}
	if m.group != "" && m.group != have.group {
		names, changes.Group = append(names, "group"), &m.group
	}
	want, err := parseMode(m.mode)
	if err != nil {
		return names, changes // not managed: Validate has refused an invalid mode
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

// attributeSteps returns the step that sets owner, group and mode of an existing file.
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

// enumerate joins words as in a sentence: "owner, group and mode".
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// check refuses to replace anything but a file or a link, and reports hard links and exposed
// secrets. m is the found file.
func (m managedFile) check(want *managedFile) []engine.Problem {
	if out := m.inTheWay(); len(out) > 0 {
		return out
	}
	return append(m.checkLinks(want), want.exposed(&m)...)
}

// inTheWay refuses what a file never replaces.
func (m managedFile) inTheWay() []engine.Problem {
	switch m.found.Kind {
	case wire.Directory:
		return []engine.Problem{inTheWay(m.path, "a directory", "a file")}
	case wire.Other:
		return []engine.Problem{inTheWay(m.path, "a device, socket or named pipe", "a file")}
	}
	return nil
}

// checkLinks reports what happens to the other names of a file with several hard links. The
// attributes of such a file are not changed: they would change under every name, and another user
// may have made one of those.
func (m managedFile) checkLinks(want *managedFile) []engine.Problem {
	if m.found.Links < 2 || m.kind != want.kind {
		return nil
	}
	summary := fmt.Sprintf("%s is one of %d hard links to a file", m.path, m.found.Links)
	names, _ := want.attributeChanges(&m)
	switch {
	case !m.holds(want.content):
		return []engine.Problem{caution("", summary+", and is replaced: the others keep the old content",
			"to list them, run on the host: find / -xdev -samefile "+m.path)}
	case len(names) > 0:
		return []engine.Problem{refusal("", summary+": the "+enumerate(names)+" of all of them would change",
			fmt.Sprintf("to list them, run on the host: find / -xdev -samefile %[1]s; "+
				"to separate this one: cp -p %[1]s %[1]s.new && mv %[1]s.new %[1]s", m.path))}
	}
	return nil
}

// inTheWay refuses a path where something else exists, which is never removed to make room.
func inTheWay(path, found, wanted string) engine.Problem {
	return refusal("", fmt.Sprintf("%s is %s on the host, but the configuration wants %s", path, found, wanted),
		"it is not removed to make room: move it away, or choose another path")
}

// remove removes the file, or a link at its path. Anything else was not created by an apply, and
// stays.
func (m managedFile) remove() []engine.Step {
	if m.found.Kind == wire.Directory || m.found.Kind == wire.Other {
		return nil
	}
	return []engine.Step{removal(m.path)}
}

// removal returns the step that removes path.
func removal(path string) engine.Step {
	return engine.Step{
		Summary: "remove " + path,
		Do:      wire.Op{Remove: &wire.RemoveOp{Path: path}},
		Undo:    restore(path),
	}
}
