package resources

import (
	"fmt"
	"regexp"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// generatedFile is part of the states whose types write a whole file: cron, logrotate, nginx_site
// and sysctl.
type generatedFile struct {
	// Content, Digest, Owner, Group, Mode and Kind are as in File.
	Content *string `plan:"content"`
	Digest  string  `plan:"digest"`
	Owner   string  `plan:"owner"`
	Group   string  `plan:"group"`
	Mode    string  `plan:"mode"`
	Kind    string  `plan:"kind,found"`

	found wire.File
	private
}

// complete fills in what is not set: the content, and owner, group and mode. Daemons such as cron
// skip files that other users can write to. Validate reports the errors of text.
func (g *generatedFile) complete(text func() (string, error)) {
	if g.Content == nil && g.Digest == "" && g.Kind == "" { // a wanted state, not a found one
		if content, err := text(); err == nil {
			g.Content = &content
		}
	}
	if g.Mode == "" {
		g.Owner, g.Group, g.Mode = "root", "root", g.publicMode()
	}
}

// at returns the file at path, wanted or found as the state is.
func (g *generatedFile) at(path string) *managedFile {
	return &managedFile{
		path: path, content: g.Content, digest: g.Digest, owner: g.Owner, group: g.Group, mode: g.Mode,
		kind: g.Kind, private: bool(g.private), found: g.found,
	}
}

// took copies the attributes of a found file.
func (g *generatedFile) took(m *managedFile) {
	g.Content, g.Digest, g.Kind, g.found = m.content, m.digest, m.kind, m.found
	g.Owner, g.Group, g.Mode = m.owner, m.group, m.mode
}

// header is the first line of every generated file. Changed bytes would be drift on every host.
func header(kind, name string) string {
	return "# Managed by mirrorform: " + kind + " " + name + ". Changes made here are overwritten.\n"
}

// entryName is a file name that every reader of a drop-in directory accepts. Debian's cron skips
// names with other characters, cronie even reads job.tmp, and logrotate skips some suffixes.
var entryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// checkEntry checks the name of a file in a drop-in directory.
func checkEntry(name, directory string) []engine.Problem {
	if len(name) <= 128 && entryName.MatchString(name) {
		return nil
	}
	return []engine.Problem{refusal("name", fmt.Sprintf("%q is not a valid name for a file in %s", name, directory),
		"use letters, digits, _ and -, beginning with a letter or digit: files with other names are skipped")}
}
