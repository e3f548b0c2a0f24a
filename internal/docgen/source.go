package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// structure is a struct type with its comments, from Go source.
type structure struct {
	name   string
	doc    string
	fields []attribute
}

// attribute is a field with a tag.
type attribute struct {
	name     string // as a configuration writes it
	kind     string // its type in the language; for a block, the name of the struct
	doc      string // Markdown
	optional bool
	identity bool
	block    bool
}

// parseStructs reads the structs of a Go package without its tests. tag is the key of the struct
// tags that name the fields; fields without it are skipped. An alias has the fields of its struct
// with a comment of its own.
func parseStructs(dir, tag string) (map[string]*structure, error) {
	files, err := parseDirectory(dir)
	if err != nil {
		return nil, err
	}
	structs, aliases := map[string]*structure{}, map[*structure]string{}
	for _, f := range files {
		for _, d := range f.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range decl.Specs {
				spec, ok := s.(*ast.TypeSpec)
				if !ok {
					continue
				}
				doc := spec.Doc
				if doc == nil {
					doc = decl.Doc
				}
				switch t := spec.Type.(type) {
				case *ast.StructType:
					structs[spec.Name.Name] = newStructure(spec.Name.Name, doc, t, tag)
				case *ast.Ident:
					if spec.Assign.IsValid() {
						aliases[&structure{name: spec.Name.Name, doc: commentText(doc)}] = t.Name
					}
				}
			}
		}
	}
	for s, of := range aliases {
		if structs[of] != nil {
			s.fields = structs[of].fields
			structs[s.name] = s
		}
	}
	return structs, nil
}

func parseDirectory(dir string) ([]*ast.File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return e.IsDir() || !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go")
	})
	var files []*ast.File
	for _, e := range entries {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func newStructure(name string, doc *ast.CommentGroup, st *ast.StructType, tag string) *structure {
	s := &structure{name: name, doc: commentText(doc)}
	names := map[string]string{} // from Go's names to those of the language
	var comments []string
	for _, f := range st.Fields.List {
		if f.Tag == nil || len(f.Names) != 1 {
			continue
		}
		tags := reflect.StructTag(strings.Trim(f.Tag.Value, "`"))
		text, ok := tags.Lookup(tag)
		if !ok {
			continue
		}
		a := attribute{kind: languageType(f.Type), identity: tags.Get("id") == "true"}
		if tags.Get("one") == "true" {
			a.kind = "string or " + a.kind
		}
		if tags.Get("hosts") == "true" {
			a.kind = "host or list(host)"
		}
		parts := strings.Split(text, ",")
		a.name = parts[0]
		a.optional = slices.Contains(parts, "optional")
		a.block = slices.Contains(parts, "block")
		if _, pointer := f.Type.(*ast.StarExpr); a.block && pointer {
			a.optional = true
		}
		names[f.Names[0].Name] = a.name
		s.fields = append(s.fields, a)
		comments = append(comments, strings.TrimSpace(commentText(f.Doc)+" "+commentText(f.Comment)))
	}
	for i, comment := range comments {
		s.fields[i].doc = describe(s.fields[i].name, comment, names)
		if comment != "" {
			continue
		}
		// A comment on several fields stands above the first.
		for j := range i {
			if strings.Contains(s.fields[j].doc, "`"+s.fields[i].name+"`") {
				s.fields[i].doc = "See `" + s.fields[j].name + "`."
			}
		}
	}
	return s
}

func commentText(c *ast.CommentGroup) string {
	if c == nil {
		return ""
	}
	return strings.TrimSpace(c.Text())
}

// languageType is the type of a field in the configuration language.
func languageType(e ast.Expr) string {
	switch t := e.(type) {
	case *ast.StarExpr:
		return languageType(t.X)
	case *ast.ArrayType:
		return "list(" + languageType(t.Elt) + ")"
	case *ast.MapType:
		return "map(" + languageType(t.Value) + ")"
	case *ast.SelectorExpr:
		return "any"
	case *ast.Ident:
		switch t.Name {
		case "int", "int64", "uint64", "float64":
			return "number"
		}
		return t.Name // string, bool, or the name of a struct
	}
	return fmt.Sprintf("%T", e)
}

// word is a word with the version of a protocol, such as HTTP/2, which is not a field.
var word = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*(/[0-9])?`)

// describe makes the description of an attribute from its comment. Go's field names become those of
// the language, and the attribute's name is removed from the beginning.
func describe(name, comment string, names map[string]string) string {
	text := prose(strings.Join(strings.Fields(comment), " "))
	text = word.ReplaceAllStringFunc(text, func(w string) string {
		if n, ok := names[w]; ok {
			return "`" + n + "`"
		}
		return w
	})
	own := "`" + name + "` "
	for _, verb := range []string{"is ", "are ", "has "} {
		if rest, ok := strings.CutPrefix(text, own+verb); ok {
			text = rest
		}
	}
	return sentence(text)
}

// sentence gives text a capital letter and a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(text)
	beginning, _, _ := strings.Cut(text, " ")
	if !slices.Contains(verbatim, strings.TrimRight(beginning, ",;:")) {
		text = string(unicode.ToUpper(first)) + text[size:]
	}
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "…") {
		text += "."
	}
	return text
}

// verbatim are words that keep their small letter at the beginning of a sentence.
var verbatim = []string{"xfs", "nginx", "rsync's", "rsync", "mirrors.d", "cron", "rsync://", "daily", "root", "apt", "debian", "auto"}
