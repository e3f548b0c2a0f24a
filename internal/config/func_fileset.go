package config

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// maxFileset is how many directory entries fileset looks at.
const maxFileset = 100_000

// fileSet is fileset(path, pattern): the names of the regular files below path that match, relative to it, with slashes.
func (c *Config) fileSet(a []string) (cty.Value, error) {
	root, err := expandPath(a[0], c.dir)
	if err != nil {
		return cty.NilVal, err
	}
	matches, err := globPattern(a[1])
	if err != nil {
		return cty.NilVal, err
	}
	var names []cty.Value
	seen := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if seen++; seen > maxFileset {
			return fmt.Errorf("there are more than %d files below %s", maxFileset, root)
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if name := filepath.ToSlash(rel); d.Type().IsRegular() && matches.MatchString(name) {
			names = append(names, cty.StringVal(name))
		}
		return nil
	})
	if err != nil {
		return cty.NilVal, err
	}
	if len(names) == 0 {
		return cty.SetValEmpty(cty.String), nil
	}
	return cty.SetVal(names), nil
}

// globPattern makes a regular expression of a glob: * and ? stand for characters other than a slash, ** for any number of directories, [a-z] for one of
// a class, {a,b} for one of several texts; a backslash takes the meaning from the character after it.
func globPattern(glob string) (*regexp.Regexp, error) {
	var b strings.Builder
	depth := 0
	for i := 0; i < len(glob); i++ {
		rest := glob[i:]
		switch c := glob[i]; {
		case strings.HasPrefix(rest, "**/"):
			b.WriteString("(?:.*/)?")
			i += 2
		case strings.HasPrefix(rest, "**"):
			b.WriteString(".*")
			i++
		case c == '*':
			b.WriteString("[^/]*")
		case c == '?':
			b.WriteString("[^/]")
		case c == '[':
			end := strings.IndexByte(rest, ']')
			if end < 2 {
				return nil, fmt.Errorf("the pattern %q has a bracket that is not closed", glob)
			}
			class := strings.ReplaceAll(strings.ReplaceAll(rest[1:end], `\`, `\\`), "[", `\[`)
			if negated, ok := strings.CutPrefix(class, "!"); ok {
				class = "^" + negated
			}
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
		return nil, fmt.Errorf("%q is not a pattern for file names", glob)
	}
	return re, nil
}
