package geo

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	cities, countries, numbers := &DB{Countries: true, Cities: true}, &DB{Countries: true}, &DB{}
	want := Place{"DE", "Hesse", "Frankfurt"}
	for name, c := range map[string]struct {
		db      *DB
		want    Place
		got     Record
		near    bool
		verdict Verdict
	}{
		"an AS's record has no location":  {numbers, want, Record{Found: true, ASN: 64496}, false, Agrees},
		"nor is none":                     {numbers, want, Record{}, false, Agrees},
		"not found":                       {cities, want, Record{}, false, NotFound},
		"not found in countries":          {countries, want, Record{}, false, NotFound},
		"without a country":               {cities, want, Record{Found: true}, false, CountryUnknown},
		"nothing wanted":                  {cities, Place{}, Record{Found: true, Country: "US"}, false, Agrees},
		"another country":                 {cities, want, Record{Found: true, Country: "US", City: "Frankfurt"}, true, OtherCountry},
		"another country, countries only": {countries, want, Record{Found: true, Country: "US"}, false, OtherCountry},
		"the country":                     {countries, want, Record{Found: true, Country: "DE"}, false, Agrees},
		"the city":                        {cities, want, Record{Found: true, Country: "DE", Region: "Hesse", City: "Frankfurt am Main"}, false, Agrees},
		"a city nearby":                   {cities, want, Record{Found: true, Country: "DE", City: "Offenbach"}, true, Agrees},
		"another city":                    {cities, want, Record{Found: true, Country: "DE", City: "Berlin"}, false, OtherCity},
		"no city":                         {cities, want, Record{Found: true, Country: "DE"}, false, NoCity},
		"no city wanted":                  {cities, Place{Country: "DE"}, Record{Found: true, Country: "DE", City: "Berlin"}, false, Agrees},
	} {
		if got := c.db.Judge(c.want, c.got, c.near); got != c.verdict {
			t.Errorf("%s: got %d, want %d", name, got, c.verdict)
		}
	}
}

func TestAdvice(t *testing.T) {
	t.Parallel()
	if got := IPinfo.Advice(); got != "correct it at https://ipinfo.io/corrections" {
		t.Error(got)
	}
	if got := MaxMind.Advice(); !strings.Contains(got, MaxMind.Correction) || !strings.Contains(got, IPinfo.Correction) {
		t.Errorf("%s: not both forms are named", got)
	}
}
