package mirrorsd

import (
	"bytes"
	"reflect"
	"testing"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// FuzzBytes puts any strings into a File: what Bytes writes, yaml.v3 and Parse read
// back as the same value, and no plain scalar is anything but a string in YAML 1.1.
func FuzzBytes(f *testing.F) {
	for _, s := range []string{
		"", "NO", "22:22", "=", "<<", "0x1F", "1_000", "1e3", "2024-01-01", "~", " a", "a ", "a: b", "a #b", "a:", "- a", "?",
		"---", "...", "a\nb", "\n", "a\r", "\t", "\x00", "\u0085", "\u00a0", "\u2028", "\ufeff", "\ufffe", "\U0001F600", "\xff",
		"!!str x", "*a", "&a", "{{", "[a", "%a", "@a", "`a", "|", ">", "'", `"`, `\`, `a"b'c\d`, "y", ".inf", "0o17", "é: ü",
	} {
		f.Add(s, "Example, Inc.", int64(64496))
		f.Add("mirror.example.org", s, int64(-1))
	}
	f.Fuzz(func(t *testing.T, a, b string, n int64) {
		file := File{
			Name: a, Sponsor: b, ASN: []int64{n}, Private: n > 0,
			Address:         Address{HTTP: b, FTP: a},
			AddressOptional: AddressOptional{Kitten: Address{Rsync: a}},
			Geolocation:     Geolocation{Country: a, StateProvince: b},
			CloudRegions:    []string{a, b, a + b},
			Subnets:         Subnets{URL: a},
		}
		if n%2 == 0 {
			file.Subnets = Subnets{CIDRs: []string{b, a}}
			file.ASN = append(file.ASN, 1)
		}
		for _, p := range file.Check() {
			if p.Key == "" || p.Message == "" || !utf8.ValidString(p.String()) {
				t.Errorf("unusable problem %+v", p)
			}
		}
		data, err := file.Bytes()
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			if err == nil {
				t.Fatalf("Bytes accepts %q, %q", a, b)
			}
			return
		}
		if err != nil {
			if len(a)+len(b) < MaxSize/100 {
				t.Fatal(err)
			}
			return
		}
		again, err := file.Bytes()
		if err != nil || !bytes.Equal(data, again) {
			t.Fatalf("the second Bytes differs: %v\n%s\n%s", err, data, again)
		}
		parsed, _ := Parse(data) // an empty name or sponsor is "", and that is no error here
		if !reflect.DeepEqual(parsed, file) {
			t.Fatalf("got %+v, want %+v from\n%s", parsed, file, data)
		}
		var root yaml.Node
		if err := yaml.Unmarshal(data, &root); err != nil {
			t.Fatal(err)
		}
		checkScalars(t, root.Content[0], "")
		var plainRead struct {
			Name    string
			Sponsor string
			Regions []string `yaml:"cloud_regions"`
		}
		if err := yaml.Unmarshal(data, &plainRead); err != nil {
			t.Fatal(err)
		}
		if plainRead.Name != a || plainRead.Sponsor != b || !reflect.DeepEqual(plainRead.Regions, file.CloudRegions) {
			t.Fatalf("yaml.v3 reads %+v from\n%s", plainRead, data)
		}
	})
}

// checkScalars fails on a plain scalar that YAML 1.1 does not read as a string,
// outside the keys that hold integers and booleans.
func checkScalars(t *testing.T, n *yaml.Node, key string) {
	t.Helper()
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			checkScalars(t, n.Content[i+1], n.Content[i].Value)
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			checkScalars(t, item, key)
		}
	case yaml.ScalarNode:
		want := tagStr
		switch key {
		case "asn":
			want = tagInt
		case "private", "monopoly":
			want = tagBool
		case "state_province", "city":
			if n.Value == "" {
				want = tagNull // blank
			}
		}
		if n.Style == 0 {
			if got := yaml11Tag(n.Value); got != want {
				t.Errorf("%s: plain %q is a %s in YAML 1.1", key, n.Value, got)
			}
		} else if want != tagStr {
			t.Errorf("%s: %q is quoted", key, n.Value)
		}
	}
}

// FuzzParse reads any bytes: no crash, and a file that is read without error is
// written and read again to the same value.
func FuzzParse(f *testing.F) {
	for _, data := range canonical(f) {
		f.Add(data)
	}
	for file, suffix := range map[string]string{"testdata/parse/cases.txt": ".err", "testdata/check/rules.txt": ".problems"} {
		for _, c := range cases(f, file, suffix) {
			f.Add(c[0].Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		_ = file.Check()
		if err != nil {
			if !utf8.ValidString(err.Error()) {
				t.Errorf("error is not UTF-8: %q", err)
			}
			return
		}
		written, err := file.Bytes()
		if err != nil {
			if len(data) < MaxSize/20 {
				t.Fatal(err)
			}
			return
		}
		again, err := Parse(written)
		if err != nil || !reflect.DeepEqual(again, file) {
			t.Fatalf("%v: got %+v, want %+v from\n%s", err, again, file, written)
		}
	})
}
