// Package geo says where IP addresses are, by databases in MaxMind's format: MaxMind's own City and ASN databases, and IPinfo's with their flat schema.
package geo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/oschwald/maxminddb-golang/v2"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// Provider makes databases.
type Provider struct {
	Name       string
	Correction string // where a wrong location is reported: URL of a form
}

// The providers whose databases Open reads.
var (
	MaxMind = Provider{"MaxMind", "https://www.maxmind.com/en/geoip-location-correction"}
	IPinfo  = Provider{"IPinfo", "https://ipinfo.io/corrections"}
)

// DB is an open database. Its file is mapped into memory: it must not be changed in place meanwhile. Its methods may be called by many
// goroutines at once, but for Close.
type DB struct {
	Path      string
	Type      string // as its metadata has it, such as GeoLite2-City
	Provider  Provider
	Locations bool // it knows where addresses are, and not just whose they are
	reader    *maxminddb.Reader
}

// Record is what a database has about an address. A field without a value is zero.
type Record struct {
	Found     bool
	Network   netip.Prefix // the network that it has it for
	Country   string       // ISO 3166-1 alpha-2
	Region    string       // state or province
	City      string
	Point     Point
	HasPoint  bool
	ASN       uint64
	ASNHolder string
}

// Point is a place on Earth, in degrees.
type Point struct {
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
}

// Open opens a database and finds out by its metadata what it holds. A file that is no database, a corrupt one, and one of a kind that is
// of no use here are errors.
func Open(path string) (*DB, error) {
	reader, err := maxminddb.Open(path)
	if err != nil {
		var file *fs.PathError
		if errors.As(err, &file) {
			return nil, fmt.Errorf("GeoIP database: %w", err)
		}
		return nil, fmt.Errorf("%s is no database in MaxMind's format, or a corrupt one; download it again: %w", path, err)
	}
	db := &DB{Path: path, Type: reader.Metadata.DatabaseType, reader: reader}
	if err := db.identify(); err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	return db, nil
}

// identify sets the provider, and what the database knows.
func (db *DB) identify() error {
	kind := strings.ToLower(db.Type)
	switch {
	case strings.HasPrefix(kind, "ipinfo"):
		db.Provider = IPinfo
		known, err := db.sampleKeys()
		if err != nil {
			return err
		}
		db.Locations = known["city"]
		if !db.Locations && !known["asn"] {
			return fmt.Errorf("%s is IPinfo's %q, which has neither cities nor AS numbers; use its location or ASN database", db.Path, db.Type)
		}
	case strings.Contains(kind, "city"), strings.Contains(kind, "enterprise"):
		db.Provider, db.Locations = MaxMind, true
	case strings.HasSuffix(kind, "-asn"), strings.HasSuffix(kind, "-isp"):
		db.Provider = MaxMind
	default:
		return fmt.Errorf("%s is a database of the type %q; MaxMind's City and ASN databases and IPinfo's location and ASN databases are of use here", db.Path, db.Type)
	}
	return nil
}

// sampleKeys are the keys of the first record, since the names of IPinfo's databases do not tell what is in them.
func (db *DB) sampleKeys() (map[string]bool, error) {
	keys := map[string]bool{}
	for result := range db.reader.Networks() {
		var record map[string]any
		if err := result.Decode(&record); err != nil {
			return nil, db.corrupt(err)
		}
		for k := range record {
			keys[k] = true
		}
		break
	}
	return keys, nil
}

// Close releases the file.
func (db *DB) Close() error { return db.reader.Close() }

// Name is the file's name, for messages.
func (db *DB) Name() string { return filepath.Base(db.Path) }

func (db *DB) corrupt(err error) error {
	return fmt.Errorf("%s is corrupt; download it again: %w", db.Path, err)
}

// Lookup returns what the database has about an address. An address that it does not know is no error.
func (db *DB) Lookup(a netip.Addr) (Record, error) {
	a = a.Unmap()
	if a.Is6() && db.reader.Metadata.IPVersion == 4 {
		return Record{}, nil
	}
	result := db.reader.Lookup(a)
	if err := result.Err(); err != nil {
		return Record{}, db.corrupt(err)
	}
	if !result.Found() {
		return Record{}, nil
	}
	return db.record(result)
}

// mmCity is a record of MaxMind's City and ASN databases.
type mmCity struct {
	Country struct {
		ISOCode string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Subdivisions []struct {
		Names map[string]string `maxminddb:"names"`
	} `maxminddb:"subdivisions"`
	City struct {
		Names map[string]string `maxminddb:"names"`
	} `maxminddb:"city"`
	Location struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
	} `maxminddb:"location"`
	ASN       uint64 `maxminddb:"autonomous_system_number"`
	ASNHolder string `maxminddb:"autonomous_system_organization"` //nolint:misspell // the key is MaxMind's
}

func (db *DB) record(result maxminddb.Result) (Record, error) {
	var r Record
	var err error
	if db.Provider == IPinfo {
		r, err = flatRecord(result)
	} else {
		r, err = maxMindRecord(result)
	}
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return Record{}, db.corrupt(err)
	}
	r.Found, r.Network = true, result.Prefix()
	return r, nil
}

func maxMindRecord(result maxminddb.Result) (Record, error) {
	var m mmCity
	if err := result.Decode(&m); err != nil {
		return Record{}, err
	}
	r := Record{Country: m.Country.ISOCode, City: m.City.Names["en"], ASN: m.ASN, ASNHolder: m.ASNHolder}
	if n := len(m.Subdivisions); n > 0 {
		r.Region = m.Subdivisions[0].Names["en"]
	}
	if lat, long := m.Location.Latitude, m.Location.Longitude; lat != nil && long != nil {
		r.Point, r.HasPoint = Point{*lat, *long}, true
	}
	return r, nil
}

// flatRecord reads IPinfo's schema: one level of keys, and numbers written as text in most of its databases.
func flatRecord(result maxminddb.Result) (Record, error) {
	var m map[string]any
	if err := result.Decode(&m); err != nil {
		return Record{}, err
	}
	r := Record{Country: first(m, "country_code", "country"), Region: first(m, "region", "state"), City: first(m, "city"), ASNHolder: first(m, "as_name", "name")}
	if len(r.Country) != 2 {
		r.Country = "" // the country's name, in databases that have no code
	}
	lat, latErr := strconv.ParseFloat(first(m, "latitude", "lat"), 64)
	long, longErr := strconv.ParseFloat(first(m, "longitude", "lng", "lon"), 64)
	if latErr == nil && longErr == nil {
		r.Point, r.HasPoint = Point{lat, long}, true
	}
	r.ASN, _ = strconv.ParseUint(strings.TrimPrefix(first(m, "asn"), "AS"), 10, 32)
	return r, nil
}

// first is the first of the keys that has a value, as text.
func first(m map[string]any, keys ...string) string {
	for _, k := range keys {
		if v, ok := m[k]; ok && v != nil && v != "" {
			return fmt.Sprint(v)
		}
	}
	return ""
}

// check finds values that no intact database has.
func (r Record) check() error {
	if c := r.Country; c != "" && (len(c) != 2 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		return fmt.Errorf("it has the country %q, which is no ISO 3166-1 code", c)
	}
	// Written so that NaN fails, too.
	if r.HasPoint && (!(math.Abs(r.Point.Latitude) <= 90) || !(math.Abs(r.Point.Longitude) <= 180)) {
		return fmt.Errorf("it has the coordinates %v, %v", r.Point.Latitude, r.Point.Longitude)
	}
	return nil
}

// Place is a city by its names, as people or databases write them.
type Place struct {
	Country string // ISO 3166-1 alpha-2
	Region  string // state or province; may be empty
	City    string
}

// Place returns the names of the record.
func (r Record) Place() Place { return Place{r.Country, r.Region, r.City} }

// Same tells whether two names mean the same city: in one country, with names that are the same but for case, accents and punctuation
// (Zürich, Zurich). Where one has more words than the other (Frankfurt, Frankfurt am Main), the regions must agree, too.
func (p Place) Same(o Place) bool {
	return p.Country == o.Country && (sameName(p.City, o.City) || p.near(o) && sameName(p.Region, o.Region))
}

// near tells whether one name of the city is the other with more words, in one country.
func (p Place) near(o Place) bool {
	a, b := plain(p.City), plain(o.City)
	return p.Country == o.Country && a != "" && b != "" && (strings.HasPrefix(a, b+" ") || strings.HasPrefix(b, a+" "))
}

// Find returns where the database has a city, by looking through its networks. ok is false where it has none of that name, or the
// context ended before one was found: it reads all of a large file in the worst case.
func (db *DB) Find(ctx context.Context, city Place) (p Point, ok bool, err error) {
	seen := map[uintptr]bool{}
	for result := range db.reader.Networks() {
		if ctx.Err() != nil {
			break
		}
		if seen[result.Offset()] {
			continue
		}
		if len(seen) < 1<<20 {
			seen[result.Offset()] = true
		}
		r, err := db.record(result)
		switch {
		case err != nil:
			return Point{}, false, err
		case !r.HasPoint:
		case r.Place().Same(city):
			return r.Point, true, nil
		case !ok && r.Place().near(city):
			p, ok = r.Point, true
		}
	}
	return p, ok, nil
}

// earthRadius is the mean radius of WGS 84's ellipsoid in km.
const earthRadius = 6371.0088

// Distance is the length of the great circle between two points in km, by the haversine formula.
func Distance(a, b Point) float64 {
	rad := func(degrees float64) float64 { return degrees * math.Pi / 180 }
	lat := math.Sin(rad(b.Latitude-a.Latitude) / 2)
	long := math.Sin(rad(b.Longitude-a.Longitude) / 2)
	h := lat*lat + math.Cos(rad(a.Latitude))*math.Cos(rad(b.Latitude))*long*long
	return 2 * earthRadius * math.Asin(math.Sqrt(min(h, 1)))
}

func sameName(a, b string) bool {
	a, b = plain(a), plain(b)
	return a != "" && a == b
}

// plain is a name in lower case, without accents, its words with single spaces between them.
func plain(s string) string {
	bare := transform.Chain(norm.NFD, runes.Remove(runes.In(unicode.Mn)), norm.NFC)
	if t, _, err := transform.String(bare, s); err == nil {
		s = t
	}
	s = strings.NewReplacer("ß", "ss", "ø", "o", "Ø", "o", "ł", "l", "Ł", "l").Replace(s)
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), " ")
}
