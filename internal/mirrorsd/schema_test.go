package mirrorsd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// restated is what upstream's schema requires, in words of our own.
const restated = "testdata/mirror_config.schema.json"

// compile compiles a JSON schema.
func compile(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.UseRegexpEngine(schemaRegexp)
	if err := c.AddResource("mirror.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mirror.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// namePattern is the one pattern of upstream's schema with lookaround, which Go's regexp has
// not: no http:// or https:// at the start, no slash at the end.
const namePattern = `^(?!(http:\/\/|https:\/\/)).*(?<!(\/))$`

type nameRegexp struct{}

func (nameRegexp) String() string { return namePattern }

func (nameRegexp) MatchString(s string) bool {
	return !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") &&
		!strings.HasSuffix(s, "/") && !strings.Contains(s, "\n")
}

// schemaRegexp compiles any pattern that Go can, and that one; another pattern
// with lookaround fails here, and so the test does.
func schemaRegexp(s string) (jsonschema.Regexp, error) {
	if s == namePattern {
		return nameRegexp{}, nil
	}
	return regexp.Compile(s)
}

// validate reads YAML as upstream's checker would and applies the schema.
func validate(s *jsonschema.Schema, data []byte) error {
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		return err
	}
	j, err := json.Marshal(v)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(j))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

// TestSchema holds that whatever Check lets through, the schema does too.
func TestSchema(t *testing.T) {
	t.Parallel()
	s := compile(t, restated)
	files, checked := canonical(t), 0
	for _, c := range cases(t, "testdata/check/rules.txt", ".problems") {
		if !bytes.Contains(c[1].Data, []byte("error: ")) {
			files[c[0].Name] = c[0].Data
		}
	}
	for name, data := range files {
		f, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, change := range []func(*File){
			func(*File) {},
			func(f *File) { f.ASN = []int64{64496} },
			func(f *File) { f.Subnets = Subnets{URL: "https://example.org/n"} },
			func(f *File) { f.Subnets = Subnets{CIDRs: []string{"10.0.0.0/8"}} },
			func(f *File) { f.Geolocation = Geolocation{Country: "NO"} },
			func(f *File) { f.Sponsor = "22:22" },
		} {
			change(&f)
			data, err := f.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if err := validate(s, data); err != nil {
				t.Errorf("%s: %v\n%s", name, err, data)
			}
			checked++
		}
	}
	if checked < 30 {
		t.Errorf("only %d files were validated", checked)
	}
	minimal := string(canonical(t)["minimal.yml"])
	for old, broken := range breakages {
		data := strings.Replace(minimal, old, broken, 1)
		if err := validate(s, []byte(data)); data == minimal || err == nil {
			t.Errorf("the schema lets %s through", broken)
		}
	}
}

// breakages are changes to testdata/bytes/minimal.yml that upstream's schema refuses.
var breakages = map[string]string{
	"name: ":                   "nam: ",
	"name: mirror":             "name: https://mirror",
	"name: mirror.example.org": "name: mirror.example.org/",
	"  https:":                 "  rsync:",
	"sponsor: Example":         "sponsor: [Example]",
	"email: ":                  "cloud_type: ",
	"sponsor_url: ":            "url: ",
}

// upstreamDir returns a checkout of github.com/AlmaLinux/mirrors that a developer
// keeps as DIRECTORY/data/almalinux-mirrors beside the module, or skips the test:
// the files are upstream's and under the GPL, so this repository has no copy.
func upstreamDir(t *testing.T) string {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			t.Fatal("no go.mod above the test")
		}
		root = filepath.Dir(root)
	}
	pattern := filepath.Join(filepath.Dir(root), "*", "data", "almalinux-mirrors")
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) == 0 {
		t.Skipf("no checkout of github.com/AlmaLinux/mirrors at %s", pattern)
	}
	return dirs[0]
}

// findings are the errors that Parse rightly has for upstream's own files.
var findings = map[string]string{
	"almalinux.mirror.sofia.incognet.io.yml": `line 7: unknown key "address_options"; did you mean address_optional?`,
	"dfw.mirror.rackspace.com.yml":           `line 10: geolocation: unknown key "City"; did you mean city?`,
	"mirror.cov.ukservers.com.yml":           "line 14: geolocation: is already set on line 6; keep one",
	"mirror.herza.id.yml":                    "line 16: geolocation: is already set on line 7; keep one",
	"pkg.adfinis-on-exoscale.ch.yml":         "line 13: sponsor_url: is already set on line 12; keep one",
}

// TestUpstreamFiles reads upstream's real files: each parses or has a known fault,
// writing it loses nothing, and both schemas agree about it.
func TestUpstreamFiles(t *testing.T) {
	t.Parallel()
	dir := upstreamDir(t)
	ours, theirs := compile(t, restated), compile(t, filepath.Join(dir, "mirror_config.v1.schema.json"))
	agree := func(name string, data []byte) error {
		a, b := validate(ours, data), validate(theirs, data)
		if (a == nil) != (b == nil) {
			t.Errorf("%s: our schema says %v, upstream's %v", name, a, b)
		}
		return b
	}
	names, err := filepath.Glob(filepath.Join(dir, "mirrors.d", "*.yml"))
	if err != nil || len(names) < 200 {
		t.Fatalf("%d files in %s, %v", len(names), dir, err)
	}
	faulty := 0
	for _, path := range names {
		name := filepath.Base(path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_ = agree(name, data) // which of upstream's own files are valid is upstream's matter
		f, err := Parse(data)
		if err != nil {
			faulty++
			if err.Error() != findings[name] {
				t.Errorf("%s: %v", name, err)
			}
		}
		written, err := f.Bytes()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := Parse(written)
		if err != nil || !reflect.DeepEqual(again, f) {
			t.Errorf("%s: %v: got %+v, want %+v from\n%s", name, err, again, f, written)
		}
		if err := agree(name, written); err != nil {
			t.Errorf("%s: as written: %v", name, err)
		}
		for _, p := range f.Check() {
			t.Logf("%s: %s", name, p)
		}
	}
	if faulty != len(findings) {
		t.Errorf("%d files have errors, want %d", faulty, len(findings))
	}
	minimal := string(canonical(t)["minimal.yml"])
	for old, broken := range breakages {
		if agree(broken, []byte(strings.Replace(minimal, old, broken, 1))) == nil {
			t.Errorf("upstream's schema lets %s through", broken)
		}
	}
}
