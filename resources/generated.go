package resources

import (
	"fmt"
	"regexp"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// generatedFile is the part of a state whose type is a file that mirrorform writes as a whole, in a
// directory where root has such files.
type generatedFile struct {
	// Content, Digest, Owner, Group, Mode and Kind are as in File, for the file that is made.
	Content *string `plan:"content"`
	Digest  string  `plan:"digest"`
	Owner   string  `plan:"owner"`
	Group   string  `plan:"group"`
	Mode    string  `plan:"mode"`
	Kind    string  `plan:"kind,found"`

	found wire.File
	private
}

// complete fills in what is not there: the text, and attributes with which every daemon reads the
// file. Such daemons skip files that others can write to. Validate reports an error of text.
func (g *generatedFile) complete(text func() (string, error)) {
	if g.Content == nil && g.Digest == "" && g.Kind == "" { // not what was found
		if content, err := text(); err == nil {
			g.Content = &content
		}
	}
	if g.Mode == "" {
		g.Owner, g.Group, g.Mode = "root", "root", g.publicMode()
	}
}

// at is the file that the state wants, or was found, at path.
func (g *generatedFile) at(path string) *managedFile {
	return &managedFile{
		path: path, content: g.Content, digest: g.Digest, owner: g.Owner, group: g.Group, mode: g.Mode,
		kind: g.Kind, private: bool(g.private), found: g.found,
	}
}

// took replaces what is wanted of the file by what was found.
func (g *generatedFile) took(m *managedFile) {
	g.Content, g.Digest, g.Kind, g.found = m.content, m.digest, m.kind, m.found
	g.Owner, g.Group, g.Mode = m.owner, m.group, m.mode
}

// header opens every file that is made here; kind and name are what a configuration calls the resource.
func header(kind, name string) string {
	return "# Managed by mirrorform: " + kind + " " + name + ". Changes made here are overwritten.\n"
}

// entryName is a name of a file that every reader of a directory of snippets takes. Debian's cron skips names with other
// characters, cronie takes job.tmp, and logrotate skips a list of suffixes.
var entryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// checkEntry tells why a name does not suit a file in the directory.
func checkEntry(name, directory string) []engine.Problem {
	if len(name) <= 128 && entryName.MatchString(name) {
		return nil
	}
	return []engine.Problem{refusal("name", fmt.Sprintf("%q cannot name a file in %s", name, directory),
		"it takes letters, digits, _ and -, beginning with a letter or digit: names with other characters are skipped there")}
}
