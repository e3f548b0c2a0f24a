package upstream

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/internal/geo"
)

const (
	// nearby is the distance in km, from the city in the entry, up to which a location counts as
	// correct: clients get the same mirrors.
	nearby = 100.0
	// searching is the time limit of searching the databases for the city.
	searching = 10 * time.Second
)

// locate looks up the mirror's addresses in the GeoIP databases, and compares the locations with
// the entry. located is false if a database of IPinfo, which the service uses, has none of the IPv4
// addresses.
func (p *probe) locate(ctx context.Context) (located bool, err error) {
	g := p.m.File.Geolocation
	want := geo.Place{Country: g.Country, Region: g.StateProvince, City: g.City}
	home, known, err := p.home(ctx, want)
	if err != nil {
		return false, err
	}
	asked, found := false, false
	for i := range p.report.Addresses {
		a := &p.report.Addresses[i]
		ip := netip.MustParseAddr(a.IP)
		for _, db := range p.v.o.GeoIP {
			record, err := db.Lookup(ip)
			if err != nil {
				return false, err
			}
			if db.Provider == geo.IPinfo && db.Locations && ip.Is4() {
				asked, found = true, found || record.Found
			}
			location := describe(db, record)
			if record.HasPoint && known {
				km := geo.Distance(home, record.Point)
				location.Distance = &km
			}
			if record.Found {
				a.Locations = append(a.Locations, location)
			}
			if db.Locations {
				p.judge(db, a.IP, want, record, location.Distance, correction(a.IP, want, home, known))
			}
		}
	}
	return !asked || found, nil
}

// home returns the coordinates of the entry's city, from the first database that has it.
func (p *probe) home(ctx context.Context, want geo.Place) (geo.Point, bool, error) {
	if want.City == "" {
		return geo.Point{}, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, searching)
	defer cancel()
	for _, db := range p.v.o.GeoIP {
		if !db.Locations {
			continue
		}
		if point, ok, err := db.Find(ctx, want); ok || err != nil {
			return point, ok, err
		}
	}
	return geo.Point{}, false, nil
}

func describe(db *geo.DB, r geo.Record) Location {
	l := Location{Database: db.Name(), Country: r.Country, Region: r.Region, City: r.City, ASN: r.ASN, Holder: r.ASNHolder}
	if r.HasPoint {
		l.Latitude, l.Longitude = &r.Point.Latitude, &r.Point.Longitude
	}
	return l
}

// judge compares a database's location with the entry.
func (p *probe) judge(db *geo.DB, ip string, want geo.Place, got geo.Record, km *float64, values string) {
	advice := "correct it at " + db.Provider.Correction
	if values != "" {
		advice += "\n" + values
	}
	seen := !got.Found && db.Provider == geo.IPinfo && strings.Contains(ip, ".")
	add := func(severity Severity, format string, args ...any) {
		p.c.add(rawFinding{severity, CheckGeoIP, fmt.Sprintf(format, args...), advice, ""}, "", seen)
	}
	far := ""
	if km != nil {
		far = fmt.Sprintf(", %.0f km away", *km)
	}
	by := fmt.Sprintf("%s (%s, %s)", db.Provider.Name, clean(db.Type), clean(db.Name()))
	switch {
	case !got.Found || got.Country == "":
		add(Error, "%s is not located by %s, so clients are not sent to the nearest mirror", ip, by)
	case want.Country == "":
	case got.Country != want.Country:
		add(Error, "%s is in %s by %s, and in %s by the configuration%s", ip, place(got.Place()), by, place(want), far)
	case want.City == "" || got.Place().Same(want) || km != nil && *km <= nearby:
	case got.City == "":
		add(Warning, "%s has no city by %s; the configuration has %s", ip, by, place(want))
	default:
		add(Warning, "%s is in %s by %s, and in %s by the configuration%s", ip, place(got.Place()), by, place(want), far)
	}
}

func place(p geo.Place) string {
	var parts []string
	for _, s := range []string{p.City, p.Region, p.Country} {
		if s != "" {
			parts = append(parts, clean(s))
		}
	}
	return strings.Join(parts, ", ")
}

// correction returns the values for a provider's correction form, one per line.
func correction(ip string, want geo.Place, home geo.Point, known bool) string {
	if want.Country == "" {
		return ""
	}
	lines := []string{"IP address: " + ip, "country: " + clean(want.Country)}
	if want.Region != "" {
		lines = append(lines, "region: "+clean(want.Region))
	}
	if want.City != "" {
		lines = append(lines, "city: "+clean(want.City))
	}
	if known {
		lines = append(lines, fmt.Sprintf("latitude: %.4f", home.Latitude), fmt.Sprintf("longitude: %.4f", home.Longitude))
	}
	return strings.Join(lines, "\n")
}
