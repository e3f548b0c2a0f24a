// Package gazetteer knows in which countries places of a name are. Its data are from GeoNames
// (see README.md).
package gazetteer

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the data
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/agext/levenshtein"
	"github.com/mirrorform/mirrorform/internal/placename"
)

//go:embed places.gz
var packed []byte

// table has the names in their order, without case and accents, and the codes of each name's
// countries, joined. A country of more than one place is there once.
type table struct {
	names     []string
	countries []string
}

// load unpacks the data: a line for each name, NAME TAB CODES. The first byte of NAME is, above
// '0', how many bytes it shares with the name before it.
var load = sync.OnceValue(func() table {
	var t table
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic("gazetteer: " + err.Error()) // the data are built in
	}
	text, err := io.ReadAll(r)
	if err != nil {
		panic("gazetteer: " + err.Error())
	}
	last := ""
	for line := range strings.Lines(string(text)) {
		name, countries, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		last = last[:name[0]-'0'] + name[1:]
		t.names = append(t.names, last)
		t.countries = append(t.countries, countries)
	}
	return t
})

// vague are names of regions of many countries, which say nothing about the country.
var vague = strings.Fields("central centre north northern south southern east eastern west western " +
	"northeast northwest southeast southwest capital metropolitan")

// Countries returns the countries that have a place, state or province of this name, as ISO 3166-1
// alpha-2 codes in their order. It returns nil for a name that is not in the data, such as that of
// a village.
func Countries(name string) []string {
	t, plain := load(), placename.Plain(name)
	i, ok := slices.BinarySearch(t.names, plain)
	if !ok || slices.Contains(vague, plain) {
		return nil
	}
	var codes []string
	for c := t.countries[i]; len(c) >= 2; c = c[2:] {
		codes = append(codes, c[:2])
	}
	return codes
}

// families are countries with their territories, or that claim each other's land: either may be
// written for the other.
var families = []string{
	"US PR GU VI AS MP UM", "FR RE GP MQ GF YT NC PF BL MF PM WF TF", "NL CW AW SX BQ",
	"GB GG JE IM GI FK BM KY VG TC AI MS SH IO", "DK GL FO", "CN HK MO TW", "FI AX", "NO SJ BV",
	"AU CX CC NF HM", "NZ CK NU TK", "IL PS", "RS XK", "UA RU", "MA EH", "CY TR",
}

// family returns the countries that may be written for one, itself included.
func family(country string) []string {
	all := []string{country}
	for _, f := range families {
		if members := strings.Fields(f); slices.Contains(members, country) {
			all = append(all, members...)
		}
	}
	return all
}

// Has reports whether a country, or one of its territories, has a place, state or province of this
// name, or of one that has more words after it: Frankfurt is in DE as Frankfurt am Main.
func Has(country, name string) bool {
	t, plain := load(), placename.Plain(name)
	members := family(country)
	i, _ := slices.BinarySearch(t.names, plain)
	for ; i < len(t.names) && strings.HasPrefix(t.names[i], plain); i++ {
		longer := t.names[i][len(plain):]
		there := slices.ContainsFunc(members, func(c string) bool { return has(t.countries[i], c) })
		if there && (longer == "" || longer[0] == ' ') {
			return true
		}
	}
	return false
}

// shortest is the shortest name that Near compares: there are many short names, and a letter is a
// large part of one.
const shortest = 7

// Near returns the name of the one place in a country that differs from name in one letter. It
// returns "" for none, or more than one.
func Near(country, name string) string {
	t, plain := load(), placename.Plain(name)
	near := ""
	for i, n := range t.names {
		if len(plain) < shortest || max(len(n)-len(plain), len(plain)-len(n)) > 1 || n[0] != plain[0] ||
			!has(t.countries[i], country) || levenshtein.Distance(plain, n, nil) != 1 {
			continue
		}
		if near != "" {
			return ""
		}
		near = n
	}
	return near
}

// has reports whether joined codes have one of them.
func has(codes, code string) bool {
	for ; len(codes) >= 2; codes = codes[2:] {
		if codes[:2] == code {
			return true
		}
	}
	return false
}
