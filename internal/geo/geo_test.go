package geo

import (
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/mirrorform/mirrorform/internal/geo/geotest"
)

// city is a record as MaxMind's City database has it.
func city(country, region, name string, lat, long float64) mmdbtype.Map {
	names := func(s string) mmdbtype.Map { return mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(s)}} }
	return mmdbtype.Map{
		"country":      mmdbtype.Map{"iso_code": mmdbtype.String(country)},
		"subdivisions": mmdbtype.Slice{names(region)},
		"city":         names(name),
		"location":     mmdbtype.Map{"latitude": mmdbtype.Float64(lat), "longitude": mmdbtype.Float64(long), "time_zone": mmdbtype.String("Europe/Berlin")},
	}
}

func open(t *testing.T, name string) *DB {
	t.Helper()
	db, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestLookup(t *testing.T) {
	t.Parallel()
	frankfurt := Record{Found: true, Country: "DE", Region: "Hesse", City: "Frankfurt am Main", Point: Point{50.11, 8.68}, HasPoint: true}
	tests := map[string]struct {
		kind              string
		record            mmdbtype.Map
		want              Record
		provider          string
		countries, cities bool
	}{
		"GeoLite2 City": {"GeoLite2-City", city("DE", "Hesse", "Frankfurt am Main", 50.11, 8.68), frankfurt, "MaxMind", true, true},
		"GeoIP2 City":   {"GeoIP2-City", city("DE", "Hesse", "Frankfurt am Main", 50.11, 8.68), frankfurt, "MaxMind", true, true},
		"GeoLite2 ASN": {
			"GeoLite2-ASN", mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64496), "autonomous_system_organization": mmdbtype.String("Example")}, //nolint:misspell // the key is MaxMind's
			Record{Found: true, ASN: 64496, ASNHolder: "Example"}, "MaxMind", false, false,
		},
		"IPinfo location": {
			"ipinfo standard_location.mmdb", mmdbtype.Map{
				"city": mmdbtype.String("Frankfurt am Main"), "region": mmdbtype.String("Hesse"), "country": mmdbtype.String("DE"),
				"lat": mmdbtype.String("50.11"), "lng": mmdbtype.String("8.68"), "postal": mmdbtype.String("60306"), "timezone": mmdbtype.String("Europe/Berlin"),
			}, frankfurt, "IPinfo", true, true,
		},
		"IPinfo with numbers": {
			"ipinfo ipinfo_core.mmdb", mmdbtype.Map{
				"city": mmdbtype.String("Frankfurt am Main"), "region": mmdbtype.String("Hesse"), "country": mmdbtype.String("Germany"),
				"country_code": mmdbtype.String("DE"), "latitude": mmdbtype.Float64(50.11), "longitude": mmdbtype.Float64(8.68),
			}, frankfurt, "IPinfo", true, true,
		},
		"IPinfo Lite": {
			"ipinfo generic_ipinfo_lite.mmdb", mmdbtype.Map{
				"country": mmdbtype.String("Germany"), "country_code": mmdbtype.String("DE"), "continent": mmdbtype.String("Europe"), "continent_code": mmdbtype.String("EU"),
				"asn": mmdbtype.String("AS64496"), "as_name": mmdbtype.String("Example"), "as_domain": mmdbtype.String("example.org"),
			}, Record{Found: true, Country: "DE", ASN: 64496, ASNHolder: "Example"}, "IPinfo", true, false,
		},
		"IPinfo country and ASN": {
			"ipinfo country_asn.mmdb", mmdbtype.Map{
				"country": mmdbtype.String("DE"), "country_name": mmdbtype.String("Germany"), "continent": mmdbtype.String("EU"), "continent_name": mmdbtype.String("Europe"),
				"asn": mmdbtype.String("AS64496"), "as_name": mmdbtype.String("Example"), "as_domain": mmdbtype.String("example.org"),
			}, Record{Found: true, Country: "DE", ASN: 64496, ASNHolder: "Example"}, "IPinfo", true, false,
		},
		"IPinfo country": {
			"ipinfo country.mmdb", mmdbtype.Map{"country": mmdbtype.String("DE"), "country_name": mmdbtype.String("Germany"), "continent": mmdbtype.String("EU")},
			Record{Found: true, Country: "DE"}, "IPinfo", true, false,
		},
		"IPinfo ASN with the AS's country": {
			"ipinfo standard_asn.mmdb", mmdbtype.Map{
				"asn": mmdbtype.String("AS64496"), "name": mmdbtype.String("Example"), "domain": mmdbtype.String("example.org"),
				"type": mmdbtype.String("isp"), "country": mmdbtype.String("US"), "route": mmdbtype.String("203.0.113.0/24"),
			}, Record{Found: true, ASN: 64496, ASNHolder: "Example"}, "IPinfo", false, false,
		},
		"GeoLite2 Country": {
			"GeoLite2-Country", mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")}},
			Record{Found: true, Country: "DE"}, "MaxMind", true, false,
		},
		"GeoIP2 Country": {
			"GeoIP2-Country", mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")}},
			Record{Found: true, Country: "DE"}, "MaxMind", true, false,
		},
		"IPinfo ASN": {
			"ipinfo asn.mmdb", mmdbtype.Map{"asn": mmdbtype.String("AS64496"), "name": mmdbtype.String("Example"), "domain": mmdbtype.String("example.org")},
			Record{Found: true, ASN: 64496, ASNHolder: "Example"}, "IPinfo", false, false,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, geotest.Write(t, test.kind, map[string]mmdbtype.Map{"203.0.113.0/24": test.record, "2001:db8::/32": test.record}))
			if db.Provider.Name != test.provider || db.Countries != test.countries || db.Cities != test.cities || db.Provider.Correction == "" {
				t.Errorf("it is %v, countries %v, cities %v", db.Provider, db.Countries, db.Cities)
			}
			for address, network := range map[string]string{"203.0.113.9": "203.0.113.0/24", "2001:db8::9": "2001:db8::/32", "::ffff:203.0.113.9": "203.0.113.0/24"} {
				got, err := db.Lookup(netip.MustParseAddr(address))
				if err != nil {
					t.Fatal(err)
				}
				want := test.want
				want.Network = netip.MustParsePrefix(network)
				if got != want {
					t.Errorf("%s: got %+v, want %+v", address, got, want)
				}
			}
			if got, err := db.Lookup(netip.MustParseAddr("198.51.100.1")); err != nil || got != (Record{}) {
				t.Errorf("an unknown address: %+v, %v", got, err)
			}
		})
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	db := open(t, geotest.Write(t, "GeoLite2-City", map[string]mmdbtype.Map{
		"192.0.2.0/25": city("DE", "Brandenburg", "Frankfurt an der Oder", 52.34, 14.55), "192.0.2.128/25": city("DE", "Hesse", "Frankfurt am Main", 50.11, 8.68),
		"198.51.100.0/24": city("CH", "Zurich", "Zürich", 47.37, 8.55), "203.0.113.0/24": city("US", "Kentucky", "Frankfort", 38.2, -84.87),
	}))
	for _, test := range []struct {
		place Place
		want  Point
		ok    bool
	}{
		{Place{"DE", "Hesse", "Frankfurt"}, Point{50.11, 8.68}, true},
		{Place{"DE", "Brandenburg", "frankfurt"}, Point{52.34, 14.55}, true},
		{Place{"CH", "", "ZURICH"}, Point{47.37, 8.55}, true},
		{Place{"US", "Kentucky", "Frankfurt"}, Point{}, false},
		{Place{"DE", "Hesse", ""}, Point{}, false},
	} {
		got, ok, err := db.Find(t.Context(), test.place)
		if err != nil || ok != test.ok || got != test.want {
			t.Errorf("%+v: got %v, %v, %v", test.place, got, ok, err)
		}
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b Place
		want bool
	}{
		{Place{"DE", "Hesse", "Frankfurt am Main"}, Place{"DE", "Hesse", "Frankfurt"}, true},
		{Place{"DE", "Brandenburg", "Frankfurt (Oder)"}, Place{"DE", "Hesse", "Frankfurt"}, false},
		{Place{"FR", "", "Saint-Étienne"}, Place{"FR", "Loire", "saint etienne"}, true},
		{Place{"DE", "", "Berlin"}, Place{"AT", "", "Berlin"}, false},
		{Place{"DE", "", ""}, Place{"DE", "", ""}, false},
	} {
		if got := test.a.Same(test.b); got != test.want {
			t.Errorf("%v and %v: %v", test.a, test.b, got)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b Point
		km   float64
	}{
		{Point{52.52, 13.405}, Point{50.1109, 8.6821}, 423.6},            // Berlin, Frankfurt am Main
		{Point{0, 0}, Point{0, 180}, math.Pi * earthRadius},              // half around
		{Point{-36.85, 174.76}, Point{-36.85, 174.76}, 0},                // the same
		{Point{90, 0}, Point{-90, 77}, math.Pi * earthRadius},            // from pole to pole
		{Point{0, 179.5}, Point{0, -179.5}, math.Pi * earthRadius / 180}, // over the date line
	} {
		if got := Distance(test.a, test.b); math.Abs(got-test.km) > 0.5 {
			t.Errorf("%v to %v: %.2f km, want %.2f", test.a, test.b, got, test.km)
		}
	}
}

func TestUnusable(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile(geotest.Write(t, "GeoLite2-City", map[string]mmdbtype.Map{"203.0.113.0/24": city("DE", "Hesse", "Frankfurt", 50.11, 8.68)}))
	if err != nil {
		t.Fatal(err)
	}
	file := func(data []byte) string {
		name := filepath.Join(t.TempDir(), "bad.mmdb")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	tests := map[string]struct{ name, want string }{
		"missing":   {filepath.Join(t.TempDir(), "none.mmdb"), "no such file"},
		"directory": {t.TempDir(), "is a directory"},
		"empty":     {file(nil), "bad.mmdb is empty; download it again"},
		"blank":     {file([]byte(" \n")), "bad.mmdb is empty; download it again"},
		"page":      {file([]byte("\n<html>404 Not Found</html>")), "bad.mmdb is an HTML or XML page, such as that of a failed download; take a file in MMDB format"},
		"CSV":       {file([]byte("network,country,country_code\n1.0.0.0/24,Australia,AU\n")), "bad.mmdb is a CSV file; take a file in MMDB format: of IPinfo ipinfo_lite.mmdb"},
		"CSV, BOM":  {file([]byte("\ufeffstart_ip\tend_ip\n1.0.0.0\t1.0.0.255\n")), "bad.mmdb is a CSV file"},
		"JSON":      {file([]byte(`{"network":"1.0.0.0/24","country":"Australia"}`)), "bad.mmdb is a JSON file; take a file in MMDB format"},
		"gzip":      {file([]byte("\x1f\x8b\x08\x00abc")), "bad.mmdb is compressed with gzip; unpack it with gunzip, or with tar -xzf"},
		"zip":       {file([]byte("PK\x03\x04abc")), "bad.mmdb is a ZIP archive; unpack it, or take a file in MMDB format"},
		"Parquet":   {file([]byte("PAR1abc")), "bad.mmdb is a Parquet file; take a file in MMDB format"},
		"tar":       {file([]byte("GeoLite2-City" + strings.Repeat("\x00", 244) + "ustar\x0000")), "bad.mmdb is a tar archive; unpack it with tar -xf"},
		"cut off":   {file(good[:len(good)/2]), "bad.mmdb is not a database in MaxMind's format, or it is corrupt; download it again"},
		"anonymous": {geotest.Write(t, "GeoIP2-Anonymous-IP", map[string]mmdbtype.Map{"203.0.113.0/24": {}}), `the unsupported type "GeoIP2-Anonymous-IP"; take a file in MMDB format`},
		"privacy":   {geotest.Write(t, "ipinfo standard_privacy.mmdb", map[string]mmdbtype.Map{"203.0.113.0/24": {"vpn": mmdbtype.String("true")}}), "neither places nor AS numbers"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := Open(test.name)
			if err == nil {
				_ = db.Close()
				t.Fatal("it opens")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
	t.Run("values", func(t *testing.T) {
		t.Parallel()
		for name, record := range map[string]mmdbtype.Map{
			"country": city("\x1b]", "Hesse", "Frankfurt", 50, 8), "latitude": city("DE", "Hesse", "Frankfurt", 95, 8),
			"NaN": city("DE", "Hesse", "Frankfurt", 50, math.NaN()), "type": {"city": mmdbtype.String("Frankfurt")},
		} {
			db := open(t, geotest.Write(t, "GeoLite2-City", map[string]mmdbtype.Map{"203.0.113.0/24": record}))
			if r, err := db.Lookup(netip.MustParseAddr("203.0.113.1")); err == nil || !strings.Contains(err.Error(), "is corrupt; download it again") {
				t.Errorf("%s: got %+v, %v", name, r, err)
			}
		}
	})
}

// TestCorrupt changes each byte of a database: it may be refused, or an address may have another place, but nothing panics.
func TestCorrupt(t *testing.T) {
	t.Parallel()
	name := geotest.Write(t, "GeoLite2-City", map[string]mmdbtype.Map{"203.0.113.0/24": city("DE", "Hesse", "Frankfurt", 50.11, 8.68)})
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	changed := filepath.Join(t.TempDir(), "changed.mmdb")
	for i := range data {
		data[i] ^= 0xff
		if err := os.WriteFile(changed, data, 0o600); err != nil {
			t.Fatal(err)
		}
		data[i] ^= 0xff
		db, err := Open(changed)
		if err != nil {
			refused++
			continue
		}
		if _, err := db.Lookup(netip.MustParseAddr("203.0.113.1")); err != nil {
			refused++
			if !strings.Contains(err.Error(), "changed.mmdb is corrupt") {
				t.Errorf("byte %d: %v", i, err)
			}
		}
		if _, _, err := db.Find(t.Context(), Place{"FR", "", "Paris"}); err != nil && !strings.Contains(err.Error(), "changed.mmdb is corrupt") {
			t.Errorf("byte %d: %v", i, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if refused == 0 {
		t.Error("no change was noticed")
	}
}
