package resources

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// File is a regular file. Missing parent directories are created.
type File struct {
	Path string `hcl:"path" id:"true"` // absolute path
	// Content is the content of the file. If neither Content nor Source is set, the content is not
	// managed, and a new file is empty.
	Content *string `hcl:"content,optional"`
	Source  string  `hcl:"source,optional"`            // path of a local file with the content
	Owner   string  `hcl:"owner,optional" argv:"true"` // user name or number
	Group   string  `hcl:"group,optional" argv:"true"` // group name or number
	Mode    string  `hcl:"mode,optional"`              // 3 or 4 octal digits
	// Validate is a program, by its absolute path, and its arguments. It must succeed before new
	// content replaces the file; each argument "{}" becomes the path of a file with the new content.
	Validate []string `hcl:"validate,optional" argv:"true"`

	// SourceContent is the content of Source. The configuration reads it, so that the type stays pure.
	SourceContent []byte
	// Digest stands for content that is not shown: it is not text, or is too large.
	Digest string `plan:"digest"`
	// Kind is what was found instead of a regular file: "directory", "symlink to TARGET", …
	Kind string `plan:"kind,found"`

	found wire.File
	private
}

// LoadSource reads the file Source, if it is set, into SourceContent.
func (f *File) LoadSource(read func(path string) ([]byte, error)) error {
	if f.Source == "" {
		return nil
	}
	content, err := read(f.Source)
	if err != nil {
		return err
	}
	f.SourceContent = append([]byte{}, content...) // not nil for an empty file: nil is "not read"
	return nil
}

type fileType struct{}

func init() { register("file", fileType{}) }

// Complete returns want with the content of its source, as plans show it.
func (fileType) Complete(_ engine.Target, want *File) *File {
	full := *want
	if full.SourceContent != nil {
		full.Content, full.Digest = describe(full.SourceContent)
	}
	return &full
}

func (fileType) managed(s *File) *managedFile {
	if s == nil {
		return nil
	}
	m := &managedFile{
		path: s.Path, content: s.Content, digest: s.Digest, owner: s.Owner, group: s.Group, mode: s.Mode,
		kind: s.Kind, validate: s.Validate, parents: true, private: bool(s.private), found: s.found,
	}
	if s.SourceContent != nil {
		content := string(s.SourceContent)
		m.content = &content
	}
	return m
}

// Generated implements engine.Generator. Only mirror blocks generate files with these names: the
// sync script and the entry of tmpfiles.d(5).
func (fileType) Generated(s *File) bool {
	return strings.HasPrefix(s.Path, "/usr/local/sbin/mirrorform-sync-") ||
		strings.HasPrefix(s.Path, "/etc/tmpfiles.d/mirrorform-") && strings.HasSuffix(s.Path, ".conf")
}

func (fileType) Keys(_ engine.Target, want *File) (provides, needs []engine.Key) {
	return []engine.Key{engine.PathKey(want.Path)}, fileNeeds(want.Path, want.Owner, want.Group)
}

func (ft fileType) Validate(want *File) []engine.Problem {
	out := slices.Concat(report("path", checkPath(want.Path)), checkAttributes(want.Owner, want.Group, want.Mode))
	switch {
	case want.Content != nil && want.Source != "":
		out = append(out, refusal("source", "content and source are both set", "remove one of them"))
	case want.Source != "" && want.SourceContent == nil:
		out = append(out, refusal("source", fmt.Sprintf("the source %q was not read", want.Source), ""))
	}
	attribute := "content"
	if want.Source != "" {
		attribute = "source"
	}
	if m := ft.managed(want); m.content != nil && len(*m.content) > wire.MaxContent {
		out = append(out, refusal(attribute, fmt.Sprintf("the content is too large: it has %d bytes, and the limit is %d",
			len(*m.content), wire.MaxContent), ""))
	}
	if len(want.Validate) > 0 {
		out = append(out, report("validate", checkProgram(want.Validate))...)
		if !slices.Contains(want.Validate, "{}") {
			out = append(out, refusal("validate", `validate has no argument "{}"`,
				`add "{}": it becomes the path of a file with the new content`))
		}
	}
	return out
}

func (ft fileType) Ask(_ engine.Target, want *File) []wire.Query {
	return []wire.Query{ft.managed(want).query()}
}

func (ft fileType) Read(t engine.Target, want *File, got engine.Answers) (*File, error) {
	m, err := ft.managed(want).read(got)
	if err != nil || m == nil {
		return nil, err
	}
	return &File{
		Path: m.path, Content: m.content, Source: want.Source, Owner: m.owner, Group: m.group, Mode: m.mode,
		Validate: want.Validate, Digest: m.digest, Kind: m.kind, found: m.found,
	}, nil
}

func (ft fileType) Diff(_ engine.Target, want, have *File) []engine.Step {
	return fileSteps(ft.managed(want), ft.managed(have))
}

// Irreplaceable keeps a file whose content is not managed: other programs write it.
func (ft fileType) Irreplaceable(want, _ *File) string {
	if ft.managed(want).content == nil {
		return "its content is not managed, and would be lost"
	}
	return ""
}

func (ft fileType) Check(_ engine.Target, want, have *File) []engine.Problem {
	if want == nil || have == nil {
		return nil
	}
	return ft.managed(have).check(ft.managed(want))
}
