package mirrorsd

import (
	_ "embed" // countries.txt
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/language"
)

// kosovo is the user-assigned code that IP databases use for Kosovo.
const kosovo = "XK"

// unassigned lists the codes that x/text accepts as countries although ISO 3166-1 does not assign
// them: reserved codes (UK, AC, …), former countries, and the user-assigned XK.
const unassigned = " AC AN BU CP CQ CS CT DD DG DY EA EZ FQ FX HV IC JT MI NH NQ NT PC PU PZ RH SU TA " +
	"TP UK UN VD WK XK YD YU ZR "

// isCountry reports whether s is an officially assigned ISO 3166-1 alpha-2 code.
func isCountry(s string) bool {
	if len(s) != 2 || strings.ToUpper(s) != s || strings.Contains(unassigned, s) {
		return false
	}
	r, err := language.ParseRegion(s)
	return err == nil && r.IsCountry() && r.String() == s
}

//go:embed countries.txt
var countriesText string

// countryNames are names of countries in lower case.
type countryNames struct {
	iso   map[string]string // ISO 3166-1's English short names, with their codes
	other map[string]string // other names in use
	names map[string]string // the short name of each code
}

var countries = sync.OnceValue(func() countryNames {
	c := countryNames{iso: map[string]string{}, other: map[string]string{}, names: map[string]string{}}
	for line := range strings.Lines(countriesText) {
		line = strings.TrimSpace(line)
		code, names, ok := strings.Cut(line, " ")
		if !ok || code == "#" {
			continue
		}
		for i, name := range strings.Split(names, "|") {
			if i == 0 {
				c.iso[strings.ToLower(name)], c.names[code] = code, name
			} else {
				c.other[strings.ToLower(name)] = code
			}
		}
	}
	return c
})

// upstreamCountry returns the code to which AlmaLinux's service maps a country, or "": it converts
// two letters to capital letters, and looks up other texts as an English short name.
func upstreamCountry(s string) string {
	if upper := strings.ToUpper(s); isCountry(upper) {
		return upper
	}
	return countries().iso[strings.ToLower(s)]
}

// nearCountry returns the code that a lower-case, alpha-3, numeric or former code, or a name,
// probably means, or "" if it finds none.
func nearCountry(s string) string {
	if code := sameCountry(s); code != "" {
		return code
	}
	if r, err := language.ParseRegion(s); err == nil {
		if code := r.Canonicalize().String(); isCountry(code) {
			return code
		}
	}
	names := countries()
	var all []string
	for name := range names.iso {
		all = append(all, name)
	}
	slices.Sort(all)
	if near, certain := nearest(s, all); certain {
		return names.iso[near]
	}
	return ""
}

// CountryCode returns the ISO 3166-1 alpha-2 code of a country in any notation: a code in lower
// case or of three letters, or a name. It returns "" if the country is unknown.
func CountryCode(s string) string { return sameCountry(s) }

// sameCountry returns the code for which s is another notation: lower case, alpha-3, a name, or UK,
// which is reserved for the United Kingdom. Unlike nearCountry, it does not guess from former
// codes, because the country may have changed.
func sameCountry(s string) string {
	upper, lower := strings.ToUpper(s), strings.ToLower(s)
	switch names := countries(); {
	case upper == "UK":
		return "GB"
	case isCountry(upper):
		return upper
	case names.iso[lower] != "":
		return names.iso[lower]
	case names.other[lower] != "":
		return names.other[lower]
	case len(s) == 3 && strings.Trim(upper, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "":
		if r, err := language.ParseRegion(upper); err == nil && r.ISO3() == upper && isCountry(r.String()) {
			return r.String()
		}
	}
	return ""
}

// A continent is a code that AlmaLinux's service uses, with its English names.
type continent struct {
	code, region string // region is its code in UN M49
	names        []string
}

var continents = []continent{
	{"AF", "002", []string{"africa"}},
	{"AN", "", []string{"antarctica"}},
	{"AS", "142", []string{"asia"}},
	{"EU", "150", []string{"europe"}},
	{"NA", "003", []string{"north america"}},
	{"OC", "009", []string{"oceania"}},
	{"SA", "005", []string{"south america"}},
}

// findContinent returns the continent that a text names, or nil.
func findContinent(s string) *continent {
	for i, c := range continents {
		if s == c.code || slices.Contains(c.names, strings.ToLower(s)) {
			return &continents[i]
		}
	}
	return nil
}

// continentOf returns the code of a country's continent, or "" if the country is unknown.
func continentOf(country string) string {
	if both, ok := astride[country]; ok {
		return both[:2]
	}
	for _, c := range continents {
		if country != "" && c.on(country) {
			return c.code
		}
	}
	return ""
}

// astride are countries that lists put on either of two continents.
var astride = map[string]string{"RU": "EU AS", "TR": "AS EU", "KZ": "AS EU", "CY": "AS EU", "EG": "AF AS"}

// on reports whether a country is on the continent.
func (c *continent) on(country string) bool {
	if both, ok := astride[country]; ok {
		return strings.Contains(both, c.code)
	}
	r, err := language.ParseRegion(country)
	if err != nil || c.region == "" {
		return c.code == "AN" && strings.Contains("AQ BV GS HM TF", country)
	}
	return language.MustParseRegion(c.region).Contains(r)
}
