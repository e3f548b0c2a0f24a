package gazetteer

import (
	"slices"
	"strings"
	"testing"
)

func TestCountries(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Zoetermeer": "NL", "zürich": "CH", "Kansas City": "US", "BRUSSELS": "BE", "Nürnberg": "DE", "Nuremberg": "DE",
		"California": "US", "São Paulo": "BR", "Hanoi": "VN", "Karagandy": "KZ", "Karaganda": "KZ",
	} {
		if got := Countries(name); !slices.Contains(got, want) {
			t.Errorf("%s: got %v, want %s in it", name, got, want)
		}
	}
	for _, name := range []string{"", "Xyzzy", "Central", "東京"} {
		if got := Countries(name); got != nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestHas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		country, name string
		want          bool
	}{
		{"DE", "Frankfurt am Main", true},
		{"DE", "Frankfurt", true},
		{"DE", "Kempten", true}, // Kempten (Allgäu)
		{"FR", "Zoetermeer", false},
		{"NL", "Zoeter", false},
		{"KR", "Kansas City", false},
		{"US", "Puerto Rico", true},
		{"HK", "Shenzhen", true},
		{"TW", "Taiwan", false}, // a province of itself says nothing
	} {
		if got := Has(c.country, c.name); got != c.want {
			t.Errorf("%s, %s: got %t", c.country, c.name, got)
		}
	}
}

func TestNear(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ country, name, want string }{
		{"NL", "Zodetermeer", "zoetermeer"},
		{"DE", "Falkstein", ""}, // two letters are too many
		{"DE", "Kempen", ""},    // too short
		{"DE", "Zodetermeer", ""},
		{"US", "", ""},
	} {
		if got := Near(c.country, c.name); got != c.want {
			t.Errorf("%s, %s: got %q, want %q", c.country, c.name, got, c.want)
		}
	}
}

// TestData: the data are sorted, without capital letters, and each name has at least one country.
func TestData(t *testing.T) {
	t.Parallel()
	d := load()
	if len(d.names) < 50_000 || !slices.IsSorted(d.names) {
		t.Errorf("%d names, sorted: %t", len(d.names), slices.IsSorted(d.names))
	}
	for i, name := range d.names {
		c := d.countries[i]
		if name == "" || strings.ToLower(name) != name || len(c) < 2 || len(c)%2 != 0 || strings.ToUpper(c) != c {
			t.Fatalf("%d: %q, %q", i, name, c)
		}
	}
}
