// Package geo looks up the locations of IP addresses in databases in MaxMind's format: IPinfo's
// databases with their flat schema, and MaxMind's City, Country and ASN databases.
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

	"github.com/mirrorform/mirrorform/internal/placename"
	"github.com/oschwald/maxminddb-golang/v2"
)

// Provider is a provider of databases.
type Provider struct {
	Name       string
	Correction string // URL of the form to report a wrong location
}

// The providers whose databases Open reads.
var (
	MaxMind = Provider{"MaxMind", "https://www.maxmind.com/en/geoip-location-correction"}
	IPinfo  = Provider{"IPinfo", "https://ipinfo.io/corrections"}
)

// DB is an open database. Its file is mapped into memory, so it must not be changed in place while
// the database is open. Methods other than Close are safe for concurrent use.
type DB struct {
	Path      string
	Type      string // from its metadata, such as GeoLite2-City
	Provider  Provider
	Countries bool // it has the countries of addresses, not only AS numbers
	Cities    bool // and their cities
	reader    *maxminddb.Reader
}

// Record is the data of an address. A field without a value is zero.
type Record struct {
	Found     bool
	Network   netip.Prefix // the network of the record
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

// Open opens a database and reads its type from the metadata. A file that is not a database, that
// is corrupt or has an unsupported type is an error.
func Open(path string) (*DB, error) {
	reader, err := maxminddb.Open(path)
	if err != nil {
		var file *fs.PathError
		if errors.As(err, &file) {
			return nil, fmt.Errorf("GeoIP database: %w", err)
		}
		if what := other(path); what != "" {
			return nil, fmt.Errorf("GeoIP database: %s %s", path, what)
		}
		return nil, fmt.Errorf("%s is not a database in MaxMind's format, or it is corrupt; download it again: %w", path, err)
	}
	db := &DB{Path: path, Type: reader.Metadata.DatabaseType, reader: reader}
	if err := db.identify(); err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	return db, nil
}

// Close releases the file.
func (db *DB) Close() error { return db.reader.Close() }

// Name returns the file's name, for messages.
func (db *DB) Name() string { return filepath.Base(db.Path) }

func (db *DB) corrupt(err error) error {
	return fmt.Errorf("%s is corrupt; download it again: %w", db.Path, err)
}

// Lookup returns the record of an address. An unknown address is not an error: Found is false.
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
	if !db.Countries {
		r.Country = "" // it is that in which the AS is registered
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

// flatRecord reads a record with IPinfo's schema: one level of keys, and in most databases numbers
// as text.
func flatRecord(result maxminddb.Result) (Record, error) {
	var m map[string]any
	if err := result.Decode(&m); err != nil {
		return Record{}, err
	}
	r := Record{Country: first(m, "country_code", "country"), Region: first(m, "region", "state"), City: first(m, "city"), ASNHolder: first(m, "as_name", "name")}
	if len(r.Country) != 2 {
		r.Country = "" // databases without a code have the country's name here
	}
	lat, latErr := strconv.ParseFloat(first(m, "latitude", "lat"), 64)
	long, longErr := strconv.ParseFloat(first(m, "longitude", "lng", "lon"), 64)
	if latErr == nil && longErr == nil {
		r.Point, r.HasPoint = Point{lat, long}, true
	}
	r.ASN, _ = strconv.ParseUint(strings.TrimPrefix(first(m, "asn"), "AS"), 10, 32)
	return r, nil
}

// first returns the value of the first key that has one, as text.
func first(m map[string]any, keys ...string) string {
	for _, k := range keys {
		if v, ok := m[k]; ok && v != nil && v != "" {
			return fmt.Sprint(v)
		}
	}
	return ""
}

// check reports values that only a corrupt database has.
func (r Record) check() error {
	if c := r.Country; c != "" && (len(c) != 2 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		return fmt.Errorf("it has the country %q, which is not an ISO 3166-1 code", c)
	}
	// The negated comparisons also reject NaN.
	if r.HasPoint && (!(math.Abs(r.Point.Latitude) <= 90) || !(math.Abs(r.Point.Longitude) <= 180)) {
		return fmt.Errorf("it has the invalid coordinates %v, %v", r.Point.Latitude, r.Point.Longitude)
	}
	return nil
}

// Place is a city with its names, from a person or a database.
type Place struct {
	Country string // ISO 3166-1 alpha-2
	Region  string // state or province; may be empty
	City    string
}

// Place returns the names of the record.
func (r Record) Place() Place { return Place{r.Country, r.Region, r.City} }

// Same reports whether two places are the same city: the countries are equal, and so are the names
// without case, accents and punctuation (Zürich, Zurich). If one name has more words than the other
// (Frankfurt, Frankfurt am Main), the regions must be equal too.
func (p Place) Same(o Place) bool {
	return p.Country == o.Country && (sameName(p.City, o.City) || p.near(o) && sameName(p.Region, o.Region))
}

// near reports whether the countries are equal and one city name is the other with more words.
func (p Place) near(o Place) bool {
	a, b := placename.Plain(p.City), placename.Plain(o.City)
	return p.Country == o.Country && a != "" && b != "" && (strings.HasPrefix(a, b+" ") || strings.HasPrefix(b, a+" "))
}

// Find returns the location of a city. It searches the networks of the database one by one; in the
// worst case it reads all of a large file. ok is false if the database does not have the city, or
// if the context ended before it was found.
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

// Distance returns the great-circle distance of two points in km, by the haversine formula.
func Distance(a, b Point) float64 {
	rad := func(degrees float64) float64 { return degrees * math.Pi / 180 }
	lat := math.Sin(rad(b.Latitude-a.Latitude) / 2)
	long := math.Sin(rad(b.Longitude-a.Longitude) / 2)
	h := lat*lat + math.Cos(rad(a.Latitude))*math.Cos(rad(b.Latitude))*long*long
	return 2 * earthRadius * math.Asin(math.Sqrt(min(h, 1)))
}

func sameName(a, b string) bool {
	a, b = placename.Plain(a), placename.Plain(b)
	return a != "" && a == b
}
