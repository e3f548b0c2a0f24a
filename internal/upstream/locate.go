package upstream

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/internal/geo"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
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
	if code := mirrorsd.CountryCode(g.Country); code != "" {
		want.Country = code // of de, or of Germany
	}
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
			if db.Provider == geo.IPinfo && db.Cities && ip.Is4() {
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
			if db.Countries {
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
		if !db.Cities {
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

// judge compares a database's location with the entry. Only IPinfo's databases, which AlmaLinux's
// service asks for the mirror's IPv4 addresses, have errors: it does not list a mirror that they do
// not locate, and otherwise keeps the country of the entry.
func (p *probe) judge(db *geo.DB, ip string, want geo.Place, got geo.Record, km *float64, values string) {
	advice := db.Provider.Advice()
	if values != "" {
		advice += "\n" + values
	}
	asked := db.Provider == geo.IPinfo && strings.Contains(ip, ".")
	add := func(severity Severity, format string, args ...any) {
		p.c.add(rawFinding{severity, CheckGeoIP, fmt.Sprintf(format, args...), advice, ""}, "", asked && !got.Found)
	}
	far := ""
	if km != nil {
		far = fmt.Sprintf(", %.0f km away", *km)
	}
	by := fmt.Sprintf("%s (%s, %s)", db.Provider.Name, clean(db.Type), clean(db.Name()))
	switch db.Judge(want, got, km != nil && *km <= nearby) {
	case geo.NotFound, geo.CountryUnknown:
		severity := Warning
		if asked {
			severity = Error
		}
		add(severity, "%s is not located by %s, so clients are not sent to the nearest mirror", ip, by)
	case geo.NoCity:
		add(Warning, "%s has no city by %s; the configuration has %s", ip, by, place(want))
	case geo.OtherCountry, geo.OtherCity:
		add(Warning, "%s is in %s by %s, and in %s by the configuration%s", ip, place(got.Place()), by, place(want), far)
	case geo.Agrees:
	}
}

func place(p geo.Place) string { return clean(p.String()) }

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
