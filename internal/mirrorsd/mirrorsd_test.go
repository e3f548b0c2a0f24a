package mirrorsd

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// canonical returns the files of testdata/bytes by name: each is what Bytes writes.
func canonical(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/bytes/*.yml")
	if err != nil || len(names) < 3 {
		t.Fatalf("testdata/bytes: %d files, %v", len(names), err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = data
	}
	return files
}

func TestBytesIsCanonical(t *testing.T) {
	t.Parallel()
	for name, data := range canonical(t) {
		f, err := Parse(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for range 3 {
			got, err := f.Bytes()
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: error %v, got:\n%s\nwant:\n%s", name, err, got, data)
			}
		}
		for _, p := range f.Check() {
			if p.Rule != ruleCloud { // some have all keys, even those for AlmaLinux's own mirrors
				t.Errorf("%s: %v", name, p)
			}
		}
	}
}

// TestEveryField sets each leaf of File alone and expects Bytes and Parse to carry it.
func TestEveryField(t *testing.T) {
	t.Parallel()
	leaves := 0
	var walk func(v reflect.Value, root *File)
	walk = func(v reflect.Value, root *File) {
		for i := range v.NumField() {
			field := v.Field(i)
			switch field.Interface().(type) {
			case string:
				field.SetString("NO")
			case bool:
				field.SetBool(true)
			case []string:
				field.Set(reflect.ValueOf([]string{"NO", "~"}))
			case []int64:
				field.Set(reflect.ValueOf([]int64{-1, 64496}))
			default:
				walk(field, root)
				continue
			}
			leaves++
			data, err := root.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			got, _ := Parse(data) // required keys are missing their values
			if !reflect.DeepEqual(got, *root) {
				t.Errorf("%s: got %+v, want %+v from\n%s", v.Type().Field(i).Name, got, *root, data)
			}
			field.SetZero()
		}
	}
	var f File
	walk(reflect.ValueOf(&f).Elem(), &f)
	if leaves != 23 {
		t.Errorf("File has %d leaves, want 23; extend fields() and this test", leaves)
	}
}

func TestBytesRefuses(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]File{
		"sponsor: is not valid UTF-8":                             {Sponsor: "a\xff"},
		"cloud_regions[1]: is not valid UTF-8":                    {CloudRegions: []string{"a", "\xc3"}},
		"subnets: has both a list and a URL":                      {Subnets: Subnets{CIDRs: []string{"10.0.0.0/8"}, URL: "https://example.org"}},
		"more than the limit of 262144 bytes; shorten its values": {Sponsor: strings.Repeat("x", MaxSize)},
	} {
		if data, err := f.Bytes(); err == nil || !strings.Contains(err.Error(), want) || data != nil {
			t.Errorf("got %d bytes and %v, want an error with %s", len(data), err, want)
		}
	}
}

func TestYAML11Tag(t *testing.T) {
	t.Parallel()
	n := 0
	for _, line := range lines(t, "testdata/yaml11.txt") {
		i := strings.LastIndexByte(line, ' ')
		s, err := strconv.Unquote(line[:i])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		n++
		if got := yaml11Tag(s); got != line[i+1:] {
			t.Errorf("%q: got %s, want %s", s, got, line[i+1:])
		}
		if line[i+1:] != tagStr && plain(s) {
			t.Errorf("%q is written plain, and PyYAML reads a %s", s, line[i+1:])
		}
	}
	if n < 100 {
		t.Errorf("only %d scalars", n)
	}
	for _, s := range []string{"mirror.example.org", "https://example.org/", "3h", "DE", "203.0.113.0/24", "2001:db8::/32", "São Paulo", "Foo, Inc.", "a#b", "it's"} {
		if !plain(s) {
			t.Errorf("%q is quoted, and need not be", s)
		}
	}
}

func TestCountries(t *testing.T) {
	t.Parallel()
	var want, got []string
	for _, line := range lines(t, "testdata/iso3166.txt") {
		want = append(want, strings.Fields(line)...)
	}
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			if s := string([]rune{a, b}); isCountry(s) {
				got = append(got, s)
			}
		}
	}
	if len(want) != 249 || !slices.Equal(got, want) {
		t.Errorf("got %d codes, want %d:\n%v\n%v", len(got), len(want), got, want)
	}
}

// lines returns a test file's lines without comments.
func lines(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"), func(s string) bool {
		return strings.HasPrefix(s, "#")
	})
}

// cases returns the members of a txtar file in pairs: NAME, then NAME with the suffix.
func cases(t testing.TB, file, suffix string) (pairs [][2]txtar.File) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := archive.Files
	if len(files) == 0 || len(files)%2 != 0 {
		t.Fatalf("%s has %d members", file, len(files))
	}
	for i := 0; i < len(files); i += 2 {
		if files[i+1].Name != files[i].Name+suffix {
			t.Fatalf("%s: after %s comes %s", file, files[i].Name, files[i+1].Name)
		}
		pairs = append(pairs, [2]txtar.File{files[i], files[i+1]})
	}
	return pairs
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, c := range cases(t, "testdata/parse/cases.txt", ".err") {
		_, err := Parse(c[0].Data)
		if err == nil || err.Error()+"\n" != string(c[1].Data) {
			t.Errorf("%s: got\n%v\nwant\n%s", c[0].Name, err, c[1].Data)
		}
	}
}

func TestParseHostile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ data, want string }{
		"too large":     {strings.Repeat("#", MaxSize+1), "more than the limit"},
		"utf-16":        {"\xff\xfen\x00a\x00", "not valid UTF-8"},
		"nul":           {"name: a\x00b", "not readable YAML"},
		"deep flow":     {strings.Repeat("[", MaxSize), "not readable YAML"},
		"deep mapping":  {strings.Repeat("{a: ", 5000), "not readable YAML"},
		"deep block":    {strings.Repeat("- ", 20000), "not readable YAML"},
		"unclosed":      {`name: "a`, "not readable YAML"},
		"many errors":   {strings.Repeat("? [a]\n", 1000), "too many errors"},
		"unknown alias": {"name: *nothing", "not readable YAML"},
		"self alias":    {"name: &a [*a]", ""},
	} {
		if _, err := Parse([]byte(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		} else if len(err.Error()) > 10000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/check/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata/check: %d files, %v", len(files), err)
	}
	for _, file := range files {
		made := &txtar.Archive{Comment: []byte("# Files and what Check says about them: NAME, then NAME.problems, one line each.\n")}
		for _, c := range cases(t, file, ".problems") {
			f, err := Parse(c[0].Data)
			if err != nil {
				t.Errorf("%s: %s: %v", file, c[0].Name, err)
				continue
			}
			var got strings.Builder
			for _, p := range f.Check() {
				got.WriteString(p.String() + "\n")
			}
			made.Files = append(made.Files, c[0], txtar.File{Name: c[1].Name, Data: []byte(got.String())})
			if got.String() != string(c[1].Data) && !*update {
				t.Errorf("%s: %s: got\n%s\nwant\n%s", file, c[0].Name, got.String(), c[1].Data)
			}
		}
		if *update {
			if err := os.WriteFile(file, txtar.Format(made), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCheckUnwritable covers what no file read by Parse can hold.
func TestCheckUnwritable(t *testing.T) {
	t.Parallel()
	valid, err := Parse(canonical(t)["minimal.yml"])
	if err != nil {
		t.Fatal(err)
	}
	for want, set := range map[string]func(*File){
		"error: sponsor: is not valid UTF-8; save the file as UTF-8":                    func(f *File) { f.Sponsor = "a\xff" },
		"error: subnets: has both a list and a URL; keep one of them":                   func(f *File) { f.Subnets = Subnets{[]string{"10.0.0.0/8"}, "https://example.org/"} },
		"error: sponsor: has 1001 bytes, more than the limit of 1000 bytes; shorten it": func(f *File) { f.Sponsor = strings.Repeat("x", 1001) },
	} {
		f := valid
		set(&f)
		if p := f.Check(); len(p) != 1 || p[0].String() != want {
			t.Errorf("got %v, want %s", p, want)
		}
	}
}
