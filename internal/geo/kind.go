package geo

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
)

// take says which files to download.
const take = "take a file in MMDB format: of IPinfo ipinfo_lite.mmdb, country.mmdb, standard_location.mmdb " +
	"or asn.mmdb, of MaxMind GeoLite2-City.mmdb, GeoLite2-Country.mmdb or GeoLite2-ASN.mmdb"

// identify sets the provider and the kind of data.
func (db *DB) identify() error {
	kind := strings.ToLower(db.Type)
	switch {
	case strings.HasPrefix(kind, "ipinfo"):
		db.Provider = IPinfo
		return db.identifyFlat(kind)
	case strings.Contains(kind, "city"), strings.Contains(kind, "enterprise"):
		db.Provider, db.Countries, db.Cities = MaxMind, true, true
	case strings.Contains(kind, "country"):
		db.Provider, db.Countries = MaxMind, true
	case strings.HasSuffix(kind, "-asn"), strings.HasSuffix(kind, "-isp"):
		db.Provider = MaxMind
	default:
		return fmt.Errorf("%s has the unsupported type %q; %s", db.Path, db.Type, take)
	}
	return nil
}

// identifyFlat sets the kind of a database of IPinfo. In some the country of a record is not that
// of the address, but that in which the autonomous system is registered. Those have AS numbers, and
// no continents.
func (db *DB) identifyFlat(kind string) error {
	known, err := db.sampleKeys()
	if err != nil {
		return err
	}
	country := known["country"] || known["country_code"]
	ofAddress := !known["asn"] || known["continent"] || known["continent_code"] || known["country_name"] ||
		strings.Contains(kind, "country") || strings.Contains(kind, "lite")
	db.Cities = known["city"]
	db.Countries = db.Cities || country && ofAddress
	if !db.Countries && !known["asn"] {
		return fmt.Errorf("%s is IPinfo's database %q, which has neither places nor AS numbers; %s", db.Path, db.Type, take)
	}
	return nil
}

// samples is how many records sampleKeys reads: some lack keys.
const samples = 1000

// sampleKeys returns the keys of the first records. The names of IPinfo's databases do not identify
// their content.
func (db *DB) sampleKeys() (map[string]bool, error) {
	keys := map[string]bool{}
	n := 0
	for result := range db.reader.Networks() {
		var record map[string]any
		if err := result.Decode(&record); err != nil {
			return nil, db.corrupt(err)
		}
		for k := range record {
			keys[k] = true
		}
		if n++; n >= samples {
			break
		}
	}
	return keys, nil
}

// formats are other formats of files, by their first bytes, with what to do.
var formats = []struct{ magic, name, advice string }{
	{"\x1f\x8b", "compressed with gzip", "unpack it with gunzip, or with tar -xzf"},
	{"PK\x03\x04", "a ZIP archive", "unpack it, or " + take},
	{"BZh", "compressed with bzip2", "unpack it"},
	{"\xfd7zXZ", "compressed with xz", "unpack it"},
	{"\x28\xb5\x2f\xfd", "compressed with Zstandard", "unpack it"},
	{"PAR1", "a Parquet file", take},
	{"SQLite format 3", "an SQLite database", take},
	{"<", "an HTML or XML page, such as that of a failed download", take},
	{"{", "a JSON file", take},
	{"[", "a JSON file", take},
}

// other returns what a file is instead of a database, and what to do, or "" if it is not known.
func other(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	head, err := io.ReadAll(io.LimitReader(file, 1024))
	if err != nil {
		return ""
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n")
	if len(text) == 0 {
		return "is empty; download it again"
	}
	for _, f := range formats {
		if bytes.HasPrefix(head, []byte(f.magic)) || bytes.HasPrefix(text, []byte(f.magic)) {
			return "is " + f.name + "; " + f.advice
		}
	}
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return "is a tar archive; unpack it with tar -xf"
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	binary := bytes.ContainsFunc(line, func(r rune) bool { return r == '\ufffd' || r < ' ' && r != '\t' && r != '\r' })
	if !binary && bytes.ContainsAny(line, ",;\t") {
		return "is a CSV file; " + take
	}
	return ""
}
