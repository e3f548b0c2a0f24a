package geo

import (
	"fmt"
	"strings"
)

// Verdict is how a database's location of an address compares with the one that the mirror's entry
// has.
type Verdict int

// The verdicts.
const (
	Agrees         Verdict = iota // or it has no location to compare
	NotFound                      // the database does not locate the address
	OtherCountry                  // it has another country
	NoCity                        // it has cities, but none for this address
	OtherCity                     // it has another city, and not one nearby
	CountryUnknown                // the record has no country
)

// Judge compares a record of the database with the wanted place. near reports that the cities are
// so close to each other that clients get the same mirrors.
func (db *DB) Judge(want Place, got Record, near bool) Verdict {
	switch {
	case !db.Countries:
		return Agrees
	case !got.Found:
		return NotFound
	case got.Country == "":
		return CountryUnknown
	case want.Country == "":
		return Agrees
	case got.Country != want.Country:
		return OtherCountry
	case !db.Cities || want.City == "" || got.Place().Same(want) || near:
		return Agrees
	case got.City == "":
		return NoCity
	}
	return OtherCity
}

// Advice returns how to have a location corrected. AlmaLinux's service asks IPinfo.
func (p Provider) Advice() string {
	advice := "correct it at " + p.Correction
	if p != IPinfo {
		advice += fmt.Sprintf("; AlmaLinux's service uses %s, whose form is %s", IPinfo.Name, IPinfo.Correction)
	}
	return advice
}

// String returns the place as CITY, REGION, COUNTRY, without what is unknown.
func (p Place) String() string {
	var parts []string
	for _, s := range []string{p.City, p.Region, p.Country} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ", ")
}
