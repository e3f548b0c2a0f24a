//go:build unix

package upstream

import (
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/mirrorform/mirrorform/internal/geo"
	"github.com/mirrorform/mirrorform/internal/geo/geotest"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// geoDB makes a database and opens it.
func geoDB(t *testing.T, kind string, records map[string]mmdbtype.Map) *geo.DB {
	t.Helper()
	db, err := geo.Open(geotest.Write(t, kind, records))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// flat is a record as IPinfo has it, and maxmind one as MaxMind has it.
func flat(country, region, city, lat, lng string) mmdbtype.Map {
	return mmdbtype.Map{
		"country": mmdbtype.String(country), "region": mmdbtype.String(region), "city": mmdbtype.String(city), "lat": mmdbtype.String(lat), "lng": mmdbtype.String(lng),
	}
}

func maxmind(country, city string, lat, long float64) mmdbtype.Map {
	return mmdbtype.Map{
		"country": mmdbtype.Map{"iso_code": mmdbtype.String(country)}, "city": mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(city)}},
		"location": mmdbtype.Map{"latitude": mmdbtype.Float64(lat), "longitude": mmdbtype.Float64(long)},
	}
}

// lite is a record as IPinfo Lite has it.
func lite(code, country string) mmdbtype.Map {
	return mmdbtype.Map{
		"country": mmdbtype.String(country), "country_code": mmdbtype.String(code), "continent": mmdbtype.String("Earth"), "continent_code": mmdbtype.String("XX"),
		"asn": mmdbtype.String("AS64496"), "as_name": mmdbtype.String("Example"), "as_domain": mmdbtype.String("example.org"),
	}
}

func TestGeoIP(t *testing.T) {
	t.Parallel()
	frankfurt := mirrorsd.Geolocation{Country: "DE", StateProvince: "Hesse", City: "Frankfurt"}
	germany := mirrorsd.Geolocation{Country: "Germany", StateProvince: "Hesse", City: "Frankfurt"}
	elsewhere := map[string]mmdbtype.Map{"203.0.113.0/24": flat("DE", "Hesse", "Frankfurt am Main", "50.1109", "8.6821")}
	only := func(record mmdbtype.Map) map[string]mmdbtype.Map {
		return map[string]mmdbtype.Map{"127.0.0.0/8": record, "::1/128": record}
	}
	with := func(record mmdbtype.Map) map[string]mmdbtype.Map {
		return map[string]mmdbtype.Map{"127.0.0.0/8": record, "::1/128": record, "203.0.113.0/24": elsewhere["203.0.113.0/24"]}
	}
	tests := map[string]struct {
		kind     string
		records  map[string]mmdbtype.Map
		want     mirrorsd.Geolocation
		severity Severity // "" is none
		message  string
		advice   string
		status   string
	}{
		"right":          {"ipinfo location", with(flat("DE", "Hesse", "Frankfurt am Main", "50.1", "8.7")), frankfurt, "", "", "", "ok"},
		"next town":      {"ipinfo location", with(flat("DE", "Hesse", "Offenbach", "50.1", "8.76")), frankfurt, "", "", "", "ok"},
		"nothing to say": {"ipinfo location", with(flat("FR", "", "Paris", "48.9", "2.3")), mirrorsd.Geolocation{}, "", "", "", "ok"},
		"other city": {
			"ipinfo location", with(flat("DE", "Berlin", "Berlin", "52.52", "13.405")), frankfurt,
			Warning, "is in Berlin, Berlin, DE by IPinfo (ipinfo location, test.mmdb), and in Frankfurt, Hesse, DE by the configuration, 424 km away",
			"correct it at https://ipinfo.io/corrections\nIP address: 127.0.0.1\ncountry: DE\nregion: Hesse\ncity: Frankfurt\nlatitude: 50.1109\nlongitude: 8.6821", "ok",
		},
		"other country": {
			"GeoLite2-City", map[string]mmdbtype.Map{"127.0.0.0/8": maxmind("US", "Cheyenne", 41.1, -104.8), "::1/128": maxmind("US", "Cheyenne", 41.1, -104.8)}, frankfurt,
			Warning, "is in Cheyenne, US by MaxMind (GeoLite2-City, test.mmdb), and in Frankfurt, Hesse, DE by the configuration",
			"correct it at https://www.maxmind.com/en/geoip-location-correction; AlmaLinux's service uses IPinfo, whose form is https://ipinfo.io/corrections\nIP address: 127.0.0.1\ncountry: DE\nregion: Hesse\ncity: Frankfurt", "ok",
		},
		"other country at IPinfo": {
			"ipinfo location", with(flat("US", "Wyoming", "Cheyenne", "41.1", "-104.8")), frankfurt,
			Warning, "is in Cheyenne, Wyoming, US by IPinfo (ipinfo location, test.mmdb), and in Frankfurt, Hesse, DE by the configuration",
			"correct it at https://ipinfo.io/corrections\nIP address: 127.0.0.1", "ok",
		},
		"other notation": {"ipinfo location", with(flat("DE", "Hesse", "Frankfurt am Main", "50.1", "8.7")), germany, "", "", "", "ok"},
		"IPinfo Lite": {
			"ipinfo generic_lite.mmdb", only(lite("US", "United States")), frankfurt,
			Warning, "is in US by IPinfo (ipinfo generic_lite.mmdb, test.mmdb), and in Frankfurt, Hesse, DE by the configuration",
			"correct it at https://ipinfo.io/corrections\nIP address: 127.0.0.1", "ok",
		},
		"IPinfo Lite agrees": {"ipinfo generic_lite.mmdb", only(lite("DE", "Germany")), frankfurt, "", "", "", "ok"},
		"missing in IPinfo Lite": {
			"ipinfo generic_lite.mmdb", map[string]mmdbtype.Map{"203.0.113.0/24": lite("DE", "Germany")}, frankfurt,
			Error, "127.0.0.1 is not located by IPinfo", "correct it at https://ipinfo.io/corrections", "ok",
		},
		"MaxMind's countries": {
			"GeoLite2-Country", only(mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String("US")}}), frankfurt,
			Warning, "is in US by MaxMind (GeoLite2-Country, test.mmdb), and in Frankfurt, Hesse, DE by the configuration",
			"correct it at https://www.maxmind.com/en/geoip-location-correction", "ok",
		},
		"the AS's country": {
			"ipinfo standard_asn.mmdb", only(mmdbtype.Map{
				"asn": mmdbtype.String("AS64496"), "name": mmdbtype.String("Example"), "domain": mmdbtype.String("example.org"),
				"country": mmdbtype.String("US"), "type": mmdbtype.String("hosting"),
			}), frankfurt, "", "", "", "ok",
		},
		"missing": {
			"ipinfo location", elsewhere, frankfurt,
			Error, "127.0.0.1 is not located by IPinfo", "correct it at https://ipinfo.io/corrections\nIP address: 127.0.0.1", "Unknown geodata for any IP of the mirror",
		},
		"missing at MaxMind": {
			"GeoLite2-City", map[string]mmdbtype.Map{"203.0.113.0/24": maxmind("DE", "Frankfurt", 50, 8)}, frankfurt,
			Warning, "127.0.0.1 is not located by MaxMind", "correct it at https://www.maxmind.com", "ok",
		},
		"no city": {
			"GeoLite2-City", map[string]mmdbtype.Map{"127.0.0.0/8": maxmind("DE", "", 51, 9), "::1/128": maxmind("DE", "", 51, 9)}, frankfurt,
			Warning, "127.0.0.1 has no city by MaxMind", "correct it at", "ok",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireIPv6(t)
			f := newFake(t, tiny())
			f.options.GeoIP = []*geo.DB{
				geoDB(t, test.kind, test.records),
				geoDB(t, "GeoLite2-ASN", map[string]mmdbtype.Map{"127.0.0.0/8": {"autonomous_system_number": mmdbtype.Uint32(64496)}}),
			}
			f.start()
			f.file.Geolocation = test.want
			r, err := New(f.options).Verify(t.Context(), Mirror{File: f.file})
			if err != nil {
				t.Fatal(err)
			}
			found := find(r, CheckGeoIP)
			if len(found) != len(r.Findings) || r.Status != test.status || r.Accepted != (test.severity != Error) {
				t.Errorf("status %q, findings %+v", r.Status, r.Findings)
			}
			if locations := r.Addresses[0].Locations; len(locations) == 0 || locations[len(locations)-1].ASN != 64496 {
				t.Errorf("locations %+v", locations)
			}
			if test.severity == "" {
				if len(found) != 0 {
					t.Errorf("findings %+v", found)
				}
				return
			}
			// One for each address.
			if len(found) != 2 || found[0].Severity != test.severity || !strings.Contains(found[0].Message, test.message) || !strings.HasPrefix(found[0].Advice, test.advice) {
				t.Errorf("findings %+v", found)
			}
		})
	}
}
