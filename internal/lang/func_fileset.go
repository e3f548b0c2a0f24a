package lang

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// maxFileset is the largest number of directory entries that fileset reads.
const maxFileset = 100_000

// fileSet is fileset(path, pattern): the names of the regular files that match, relative to path
// and with slashes. It follows symbolic links and ignores dangling ones. As in Terraform, the
// pattern is joined to the path first, so it can lead out of path with "..".
func (r *Reader) fileSet(a []string) (cty.Value, error) {
	root, err := r.Path(a[0])
	if err != nil {
		return cty.NilVal, err
	}
	pattern := path.Clean(strings.TrimLeft(filepath.ToSlash(a[1]), "/"))
	base := root
	for pattern == ".." || strings.HasPrefix(pattern, "../") {
		base, pattern = filepath.Dir(base), strings.TrimPrefix(strings.TrimPrefix(pattern, ".."), "/")
	}
	w := &fileWalk{found: map[string]bool{}, mayRead: r.mayList}
	segments, err := globSegments(pattern)
	if err != nil {
		return cty.NilVal, function.NewArgError(1, err)
	}
	if err := w.match(base, segments, nil); err != nil {
		return cty.NilVal, err
	}
	names := []cty.Value{}
	for _, file := range SortedKeys(w.found) {
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return cty.NilVal, err
		}
		names = append(names, cty.StringVal(filepath.ToSlash(rel)))
	}
	if len(names) == 0 {
		return cty.SetValEmpty(cty.String), nil
	}
	return cty.SetVal(names), nil
}

// globSegment matches one name, or with ** any number of directories.
type globSegment struct {
	any   bool // **
	match *regexp.Regexp
}

func globSegments(pattern string) ([]globSegment, error) {
	if pattern == "" || pattern == "." {
		return nil, nil
	}
	var segments []globSegment
	for _, text := range strings.Split(pattern, "/") {
		if text == "**" {
			segments = append(segments, globSegment{any: true})
			continue
		}
		re, err := globPattern(text)
		if err != nil {
			return nil, err
		}
		segments = append(segments, globSegment{match: re})
	}
	if segments[len(segments)-1].any {
		segments = append(segments, globSegment{match: regexp.MustCompile("")}) // any file
	}
	return segments, nil
}

// fileWalk collects files.
type fileWalk struct {
	seen    int
	found   map[string]bool
	mayRead func(path string) error
}

// match adds the files below a directory that match the segments. above holds the directories that
// ** has passed, so that a link to one of them does not cause an endless loop.
func (w *fileWalk) match(dir string, segments []globSegment, above []fs.FileInfo) error {
	if len(segments) == 0 {
		return nil
	}
	if err := w.mayRead(dir); err != nil {
		return err
	}
	first, rest := segments[0], segments[1:]
	if first.any {
		if err := w.match(dir, rest, nil); err != nil {
			return err
		}
		if info, err := os.Stat(dir); err == nil && above == nil {
			above = []fs.FileInfo{info}
		}
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if w.seen++; w.seen > maxFileset {
			return fmt.Errorf("it would have to read more than %d directory entries; use a narrower path or pattern", maxFileset)
		}
		if first.any || first.match.MatchString(e.Name()) {
			name := filepath.Join(dir, e.Name())
			if e.Type()&fs.ModeSymlink != 0 {
				if err := w.mayRead(name); err != nil {
					return err
				}
			}
			if err := w.entry(name, segments, above); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry handles a directory entry whose name matches the first segment.
func (w *fileWalk) entry(name string, segments []globSegment, above []fs.FileInfo) error {
	info, err := os.Stat(name)
	if err != nil {
		return nil //nolint:nilerr // a dangling link, or a file that was just deleted
	}
	switch {
	case !segments[0].any && len(segments) == 1:
		if info.Mode().IsRegular() {
			w.found[name] = true
		}
		return nil
	case !info.IsDir():
		return nil
	case !segments[0].any:
		return w.match(name, segments[1:], nil)
	case slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, info) }):
		return nil
	}
	return w.match(name, segments, append(slices.Clip(above), info))
}

// globPattern converts a glob for one name to a regular expression: * matches any characters and ?
// one, [a-z] matches a character of the class and [^a-z] one outside of it, {a,b} matches one of
// several texts. A backslash escapes the next character.
func globPattern(glob string) (*regexp.Regexp, error) {
	var b strings.Builder
	depth := 0
	for i := 0; i < len(glob); i++ {
		rest := glob[i:]
		switch c := glob[i]; {
		case c == '*':
			b.WriteString(".*")
		case c == '?':
			b.WriteString(".")
		case c == '[':
			end := strings.IndexByte(rest, ']')
			if end < 2 {
				return nil, fmt.Errorf("in the pattern %q, a bracket is not closed", glob)
			}
			class := strings.ReplaceAll(strings.ReplaceAll(rest[1:end], `\`, `\\`), "[", `\[`)
			b.WriteString("[" + class + "]")
			i += end
		case c == '{':
			depth++
			b.WriteString("(?:")
		case c == '}' && depth > 0:
			depth--
			b.WriteString(")")
		case c == ',' && depth > 0:
			b.WriteString("|")
		case c == '\\' && i+1 < len(glob):
			i++
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		default:
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	re, err := regexp.Compile("^(?s:" + b.String() + ")$")
	if err != nil || depth > 0 {
		return nil, fmt.Errorf("%q is not a valid pattern for file names", glob)
	}
	return re, nil
}
