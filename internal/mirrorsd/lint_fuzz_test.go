package mirrorsd

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// FuzzLint lints and fixes any bytes: findings are in the file, a fixed file stays as it is when it is fixed again, its other values are
// those it had, and what has no errors then is accepted by upstream's schema.
func FuzzLint(f *testing.F) {
	for _, data := range canonical(f) {
		f.Add(data)
	}
	for file, suffix := range map[string]string{"testdata/parse/cases.txt": ".err", "testdata/check/rules.txt": ".problems"} {
		for _, c := range cases(f, file, suffix) {
			f.Add(c[0].Data)
		}
	}
	for _, archive := range lintCases(f) {
		for _, file := range archive.Files {
			f.Add(unshown(file.Data))
		}
	}
	l := newLinter(f, Options{Enable: []string{AllRules}})
	schema := compile(f, restated)
	f.Fuzz(func(t *testing.T, data []byte) {
		s := Source{Name: "mirrors.d/mirror.example.org.yml", Data: data}
		for _, found := range l.Lint([]Source{s, {Name: "other.yml", Data: data}}) {
			if found.File == s.Name {
				checkFinding(t, found, data)
			}
		}
		fixed := checkFix(t, l, s)
		for _, found := range l.Lint([]Source{{Name: s.Name, Data: fixed}}) {
			if found.Severity == Error {
				return
			}
		}
		var number *json.UnsupportedTypeError // of a key that is no string, which JSON schemas do not know, and lint warns of
		if err := validate(schema, fixed); err != nil && !errors.As(err, &number) && !strings.Contains(err.Error(), "already defined") {
			t.Errorf("no error is found, and the schema refuses it: %v\n%q", err, fixed)
		}
	})
}

// checkFinding holds what every finding holds.
func checkFinding(t *testing.T, f Finding, data []byte) {
	t.Helper()
	inFile := func(p Position) bool { return p.Byte >= 0 && p.Byte <= len(data) && p.Line >= 1 && p.Column >= 1 }
	if !inFile(f.Start) || !inFile(f.End) || f.End.Byte < f.Start.Byte {
		t.Errorf("%s lies outside the file: %+v %+v", f.Rule, f.Start, f.End)
	}
	if f.Start.Line != 1+bytes.Count(data[:f.Start.Byte], []byte("\n")) {
		t.Errorf("%s: byte %d is not on line %d", f.Rule, f.Start.Byte, f.Start.Line)
	}
	for _, text := range []string{f.Message, f.Key} {
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%s: %q is not printable", f.Rule, text)
		}
	}
	if !slices.ContainsFunc(rules, func(r Rule) bool {
		return r.Name == f.Rule && (r.Severity == f.Severity || r.Mixed && f.Severity == Warning)
	}) {
		t.Errorf("no rule %s of severity %s", f.Rule, f.Severity)
	}
	if f.Fix == nil {
		return
	}
	end := 0
	for _, e := range f.Fix.Edits {
		if !inFile(e.Start) || !inFile(e.End) || e.Start.Byte < end || e.End.Byte < e.Start.Byte {
			t.Errorf("%s: edits overlap or lie outside the file: %+v", f.Rule, f.Fix.Edits)
		}
		end = e.End.Byte
	}
}

// checkFix fixes a file and returns it: fixing again changes nothing, and a reader that knows nothing of the rules finds the other values as
// they were.
func checkFix(t *testing.T, l *Linter, s Source) []byte {
	t.Helper()
	fixed, done := l.Fix(s)
	if len(done) == 0 && !bytes.Equal(fixed, s.Data) {
		t.Fatalf("%s: nothing is fixed, and the file changes", s.Name)
	}
	again, more := l.Fix(Source{Name: s.Name, Data: fixed})
	if len(more) > 0 || !bytes.Equal(again, fixed) {
		t.Fatalf("%s: fixing again changes it:\n%q\n%q\n%q", s.Name, s.Data, fixed, again)
	}
	if len(done) == 0 || len(s.Data) > MaxSize {
		return fixed
	}
	var before, after any
	if err := yaml.Unmarshal(s.Data, &before); err != nil {
		return fixed // with a repeated key or worse
	}
	if err := yaml.Unmarshal(fixed, &after); err != nil {
		t.Fatalf("%s: readable before, and after the fix %v:\n%q\n%q", s.Name, err, s.Data, fixed)
	}
	for _, f := range done {
		for _, key := range f.Fix.keys {
			for _, path := range []string{key, base(key)} { // a misspelt key, or a list of which an item is fixed
				remove(before, path)
				remove(after, path)
			}
		}
	}
	if !reflect.DeepEqual(before, after) {
		t.Fatalf("%s: fixing changes other values:\n%#v\n%#v\n%q\n%q", s.Name, before, after, s.Data, fixed)
	}
	return fixed
}

// remove takes a key out of nested maps.
func remove(v any, path string) {
	switch m := v.(type) {
	case map[string]any:
		delete(m, path)
		for k, sub := range m {
			if rest, ok := strings.CutPrefix(path, k+"."); ok {
				remove(sub, rest)
			}
		}
	case map[any]any: // some key is no string
		delete(m, path)
		for k, sub := range m {
			if k, ok := k.(string); ok && strings.HasPrefix(path, k+".") {
				remove(sub, path[len(k)+1:])
			}
		}
	}
}
