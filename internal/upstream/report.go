package upstream

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Severity says how bad a finding is.
type Severity string

// The severities: an error keeps a mirror, or some of its clients, from working; a warning should be looked at; a note is good to know.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// The checks, by the names that findings have.
const (
	CheckDNS         = "dns"         // the name has addresses
	CheckConnect     = "connect"     // the server answers
	CheckSlow        = "slow"        // it answers in time
	CheckCertificate = "certificate" // HTTPS clients trust it
	CheckRedirect    = "redirect"    // redirects end, and at the mirror
	CheckBase        = "base"        // the tree's URL answers
	CheckTime        = "time"        // TIME is there and recent
	CheckRepodata    = "repodata"    // each repomd.xml is there
	CheckMetadata    = "metadata"    // what repomd.xml names is there and as it says
	CheckStale       = "stale"       // repomd.xml is as recent as TIME says
	CheckConsistency = "consistency" // all addresses and protocols serve the same
	CheckISO         = "iso"         // the installation images are there
	CheckKitten      = "kitten"      // Kitten's repomd.xml files are there
	CheckListing     = "listing"     // directories are listed
	CheckTemporary   = "temporary"   // rsync's temporary directories are not served
	CheckCDN         = "cdn"         // no CDN stands in front
	CheckRsync       = "rsync"       // the rsync module is there
	CheckGeoIP       = "geoip"       // IP databases place the mirror where it is
)

// Finding is what is wrong with a mirror, or good to know. What comes from the mirror is quoted in the text, so that it can be printed.
type Finding struct {
	Severity Severity `json:"severity"`
	Check    string   `json:"check"`
	// Upstream says that AlmaLinux's service sees it, too.
	Upstream bool     `json:"seen_by_upstream"`
	Message  string   `json:"message"`
	Advice   string   `json:"advice,omitempty"`
	Routes   []string `json:"routes,omitempty"` // by which protocols and families: "http/ipv4"
	Paths    []string `json:"paths,omitempty"`  // which files, relative to the tree
}

// Address is one of a mirror's addresses.
type Address struct {
	IP        string     `json:"ip"`
	Locations []Location `json:"locations,omitempty"`
}

// Location is what one GeoIP database has about an address.
type Location struct {
	Database  string   `json:"database"` // the file's name
	Country   string   `json:"country,omitempty"`
	Region    string   `json:"region,omitempty"`
	City      string   `json:"city,omitempty"`
	Latitude  *float64 `json:"latitude,omitempty"`
	Longitude *float64 `json:"longitude,omitempty"`
	ASN       uint64   `json:"asn,omitempty"`
	Holder    string   `json:"as_holder,omitempty"`
	// Distance is how far that is from where the configuration says, in km; nil where that is not known.
	Distance *float64 `json:"distance_km,omitempty"`
}

// Certificate is what an HTTPS server showed.
type Certificate struct {
	Host     string    `json:"host"`
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"not_after"`
	DaysLeft int       `json:"days_left"` // negative when it has expired
	Valid    bool      `json:"valid"`
}

// Report is what was found out about a mirror.
type Report struct {
	Name     string `json:"name"`
	Host     string `json:"host,omitempty"` // the configuration's host
	Status   string `json:"status"`         // what AlmaLinux's service would store; "ok" is accepted
	Accepted bool   `json:"accepted"`       // the status is "ok", and no finding is an error

	IPv6       bool     `json:"ipv6"`         // it has an AAAA record, as the service notes it
	FullISOSet bool     `json:"full_iso_set"` // all ISOs are there, as the service notes it
	Modules    []string `json:"modules"`      // optional trees that are complete, as the service notes them

	Private      bool          `json:"private"` // the service does not look at it
	Addresses    []Address     `json:"addresses"`
	Routes       []string      `json:"routes"` // over which it was looked at
	Time         *time.Time    `json:"time"`   // the content of TIME; null where there is none
	Certificates []Certificate `json:"certificates"`
	Requests     int64         `json:"requests"`
	Bytes        int64         `json:"bytes"`
	// Verified and Sized count the metadata files whose content was compared with repomd.xml, and those of which only the size was.
	Verified int       `json:"metadata_verified"`
	Sized    int       `json:"metadata_sized"`
	Findings []Finding `json:"findings"`
}

// collector gathers findings from many goroutines. The same finding on several routes is one, and so is the same on several files.
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

// origin is where a finding was made.
type origin struct {
	routes   []string
	upstream bool
}

// add notes a finding; route and path may be "".
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

// findings joins what differs in the file alone, and sorts: errors first, then by check.
func (c *collector) findings() []Finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []Finding{}
	index := map[string]int{}
	for _, raw := range c.order {
		o := c.found[raw]
		slices.Sort(o.routes)
		key := fmt.Sprintf("%q", []string{string(raw.severity), raw.check, raw.message, raw.advice, strings.Join(o.routes, " "), fmt.Sprint(o.upstream)})
		i, ok := index[key]
		if !ok {
			i = len(list)
			index[key] = i
			list = append(list, Finding{Severity: raw.severity, Check: raw.check, Upstream: o.upstream, Message: raw.message, Advice: raw.advice, Routes: o.routes})
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
		return cmp.Or(cmp.Compare(rank[a.Severity], rank[b.Severity]), cmp.Compare(a.Check, b.Check), cmp.Compare(a.Message, b.Message), slices.Compare(a.Routes, b.Routes))
	})
	return list
}
