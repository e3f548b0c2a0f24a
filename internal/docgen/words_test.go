package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// leftBehind are phrases that help, messages, docs and comments avoid, and what to write instead.
// Each was a second word for the same thing, or is not idiomatic.
var leftBehind = []struct {
	phrase *regexp.Regexp
	use    string
}{
	{phrase(`(take|takes|taken|taking|took|put|puts|putting|bring|brings|bringing|brought|go|goes|going|gone|went)( (it|them|this|that|all|everything))? back`), "roll back, undo, restore"},
	{phrase(`anew`), "again, recreate, rebuild"},
	{phrase(`(let|lets|letting) (it |them )?go`), "release"},
	{phrase(`(tell|tells|told|telling)`), "report, show, print, list, pass"},
	{phrase(`says? of|said of`), "report, show"},
	{phrase(`left alone|not said|as they were|as it was|as it is|as they are`), "not managed, unchanged"},
	{phrase(`made final|is final`), "commit, committed; cannot be undone"},
	{phrase(`(some|any)body|whoever`), "the operator, another user, you"},
	{phrase(`(be|is|are|was|were) no [a-z]+`), "is not a; invalid; not found"},
	{phrase(`there (is|are) none|(is|are) there twice`), "not found, missing; listed twice"},
	{phrase(`is nothing`), "must be greater than zero"},
	{phrase(`for want of`), "without; not known"},
	{phrase(`by the way|so much is|that are meant|means? hosts`), "selected; or nothing"},
	{phrase(`in place of|in its place|in their place`), "instead of"},
	{phrase(`what holds data|holds data`), "data"},
	{phrase(`wander(s|ed)?|of another kind`), "drift; different type"},
	{phrase(`at work`), "running; locked by another run"},
	{phrase(`please|simply`), "nothing"},
	{phrase(`mend(s|ed|ing)?`), "fix, repair"},
	{phrase(`hear(s|d)? (of|nothing|what)`), "receive, learn"},
	{phrase(`brings? about|came about`), "make, cause"},
}

// allowed are uses of these phrases that are ordinary English.
var allowed = regexp.MustCompile(`(?i)\b(is|are|was|be|were) no (longer|more than|less than|later than)\b|\b(there|it) (is|are|was|were) no\b|\bwhether there (is|are) no\b`)

func phrase(text string) *regexp.Regexp { return regexp.MustCompile(`(?i)\b(` + text + `)\b`) }

// fixed are literals that other programs read: values in JSON, and a mark in pull requests.
var fixed = []string{
	"taken back",
	"<!-- mirrorform publish: what stands between these lines is written anew each time -->",
}

// TestWords reads every string and comment of the program, and every page of docs.
func TestWords(t *testing.T) {
	root := "../.."
	dirs := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "bin"):
			return filepath.SkipDir
		case d.IsDir() || strings.HasSuffix(path, "_test.go"):
		case slices.Contains([]string{".go", ".md", ".hcl"}, filepath.Ext(path)):
			dir, _ := filepath.Rel(root, filepath.Dir(path))
			dirs[dir] = append(dirs[dir], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, files := range dirs {
		t.Run(strings.ReplaceAll(dir, "/", "."), func(t *testing.T) {
			for _, path := range files {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				name, _ := filepath.Rel(root, path)
				if filepath.Ext(path) == ".go" {
					checkGo(t, name, text)
					continue
				}
				for i, line := range strings.Split(string(text), "\n") {
					checkWords(t, name, i+1, line)
				}
			}
		})
	}
}

// checkGo reads the literals and the comments of a Go file. Comments have at most 100 columns, so
// that two files stand side by side.
func checkGo(t *testing.T, name string, text []byte) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Comments {
		for _, c := range group.List {
			at := files.Position(c.Pos())
			for i, line := range strings.Split(c.Text, "\n") {
				checkWords(t, name, at.Line+i, line)
			}
			if at.Column <= 20 && utf8.RuneCountInString(c.Text)+at.Column-1 > 100 && strings.HasPrefix(c.Text, "// ") && !strings.Contains(c.Text, "://") {
				t.Errorf("%s:%d: a comment of more than 100 columns", name, at.Line)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil || slices.Contains(fixed, value) {
			return true
		}
		for i, line := range strings.Split(value, "\n") {
			checkWords(t, name, files.Position(literal.Pos()).Line+i, line)
		}
		return true
	})
}

func checkWords(t *testing.T, name string, line int, text string) {
	t.Helper()
	text = allowed.ReplaceAllString(text, "")
	for _, w := range leftBehind {
		if found := w.phrase.FindString(text); found != "" {
			t.Errorf("%s:%d: %q, better %s", name, line, found, w.use)
		}
	}
}
