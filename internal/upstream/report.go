package upstream

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Severity is how serious a finding is.
type Severity string

// The severities: an error breaks the mirror for some or all clients; a warning should be checked;
// a note is for information.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// The names of the checks in findings.
const (
	CheckDNS         = "dns"         // the name has addresses
	CheckConnect     = "connect"     // the server answers
	CheckSlow        = "slow"        // it answers in time
	CheckCertificate = "certificate" // HTTPS clients trust it
	CheckRedirect    = "redirect"    // redirects end at the mirror
	CheckBase        = "base"        // the tree's URL answers
	CheckTime        = "time"        // TIME is there and recent
	CheckRepodata    = "repodata"    // each repomd.xml is there
	CheckMetadata    = "metadata"    // the files in repomd.xml are there and match it
	CheckStale       = "stale"       // repomd.xml is as recent as TIME
	CheckConsistency = "consistency" // all addresses and protocols serve the same
	CheckISO         = "iso"         // the installation images are there
	CheckKitten      = "kitten"      // Kitten's repomd.xml files are there
	CheckListing     = "listing"     // directories are listed
	CheckTemporary   = "temporary"   // rsync's temporary directories are not served
	CheckCDN         = "cdn"         // the mirror is not behind a CDN
	CheckRsync       = "rsync"       // the rsync module is there
	CheckAgent       = "agent"       // no user agent is refused
	CheckAttempts    = "attempts"    // each request needs one attempt
	CheckReleases    = "releases"    // the tree has the releases that the service requires
	CheckGeoIP       = "geoip"       // GeoIP databases have the mirror's location
)

// Finding is a fault of a mirror, or information about it. Text from the mirror is escaped, so a
// finding is safe to print.
type Finding struct {
	Severity Severity `json:"severity"`
	Check    string   `json:"check"`
	// Upstream is set if AlmaLinux's service sees it too.
	Upstream bool     `json:"seen_by_upstream"`
	Message  string   `json:"message"`
	Advice   string   `json:"advice,omitempty"`
	Routes   []string `json:"routes,omitempty"` // protocols and families: "http/ipv4"
	Paths    []string `json:"paths,omitempty"`  // files, relative to the tree
}

// Address is one of a mirror's addresses.
type Address struct {
	IP        string     `json:"ip"`
	Locations []Location `json:"locations,omitempty"`
}

// Location is an address's location in one GeoIP database.
type Location struct {
	Database  string   `json:"database"` // the file's name
	Country   string   `json:"country,omitempty"`
	Region    string   `json:"region,omitempty"`
	City      string   `json:"city,omitempty"`
	Latitude  *float64 `json:"latitude,omitempty"`
	Longitude *float64 `json:"longitude,omitempty"`
	ASN       uint64   `json:"asn,omitempty"`
	Holder    string   `json:"as_holder,omitempty"`
	// Distance is the distance in km from the location in the configuration; nil if unknown.
	Distance *float64 `json:"distance_km,omitempty"`
}

// Certificate is the certificate of an HTTPS server.
type Certificate struct {
	Host     string    `json:"host"`
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"not_after"`
	DaysLeft int       `json:"days_left"` // negative if expired
	Valid    bool      `json:"valid"`
}

// Report is the result of verifying a mirror.
type Report struct {
	Name     string `json:"name"`
	Host     string `json:"host,omitempty"` // the configuration's host
	Status   string `json:"status"`         // the status that AlmaLinux's service would set; "ok" is accepted
	Accepted bool   `json:"accepted"`       // the status is "ok", and no finding is an error

	Service Verdict `json:"service,omitzero"` // how the service comes to the status

	IPv6       bool     `json:"ipv6"`         // it has an AAAA record, as recorded by the service
	FullISOSet bool     `json:"full_iso_set"` // all ISOs are there, as recorded by the service
	Modules    []string `json:"modules"`      // complete optional trees, as recorded by the service

	Private      bool          `json:"private"` // the service does not check it
	Addresses    []Address     `json:"addresses"`
	Routes       []string      `json:"routes"` // used for the checks
	Time         *time.Time    `json:"time"`   // the content of TIME; null if missing
	Certificates []Certificate `json:"certificates"`
	Requests     int64         `json:"requests"`
	Bytes        int64         `json:"bytes"`
	// Verified and Sized count the metadata files compared with repomd.xml by content, and only by
	// size.
	Verified int       `json:"metadata_verified"`
	Sized    int       `json:"metadata_sized"`
	Findings []Finding `json:"findings"`
}

// collector collects findings from many goroutines. It merges the same finding on several routes or
// files.
type collector struct {
	mu    sync.Mutex
	found map[rawFinding]*origin
	order []rawFinding
}

// rawFinding is a finding about one file.
type rawFinding struct {
	severity               Severity
	check, message, advice string
	path                   string
}

// origin is where a finding comes from.
type origin struct {
	routes   []string
	upstream bool
}

// add records a finding. route and f.path may be "".
func (c *collector) add(f rawFinding, route string, upstream bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found == nil {
		c.found = map[rawFinding]*origin{}
	}
	o := c.found[f]
	if o == nil {
		o = &origin{}
		c.found[f] = o
		c.order = append(c.order, f)
	}
	if route != "" && !slices.Contains(o.routes, route) {
		o.routes = append(o.routes, route)
	}
	o.upstream = o.upstream || upstream
}

// findings merges findings that differ only in the file, and sorts them: errors first, then by
// check.
func (c *collector) findings() []Finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []Finding{}
	index := map[string]int{}
	for _, raw := range c.order {
		o := c.found[raw]
		slices.Sort(o.routes)
		key := fmt.Sprintf("%q", []string{
			string(raw.severity), raw.check, raw.message, raw.advice, strings.Join(o.routes, " "), fmt.Sprint(o.upstream),
		})
		i, ok := index[key]
		if !ok {
			i = len(list)
			index[key] = i
			list = append(list, Finding{
				Severity: raw.severity, Check: raw.check, Upstream: o.upstream,
				Message: raw.message, Advice: raw.advice, Routes: o.routes,
			})
		}
		if raw.path != "" {
			list[i].Paths = append(list[i].Paths, raw.path)
		}
	}
	for i := range list {
		slices.Sort(list[i].Paths)
	}
	rank := map[Severity]int{Error: 0, Warning: 1, Note: 2}
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank[a.Severity], rank[b.Severity]), cmp.Compare(a.Check, b.Check),
			cmp.Compare(a.Message, b.Message), slices.Compare(a.Routes, b.Routes))
	})
	return list
}
