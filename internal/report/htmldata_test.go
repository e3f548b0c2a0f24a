package report

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// cities are where the hosts of made fleets are.
var cities = []struct {
	code, country, city string
	latitude, longitude float64
}{
	{"fra", "DE", "Frankfurt am Main", 50.11, 8.68}, {"ams", "NL", "Amsterdam", 52.37, 4.9}, {"sin", "SG", "Singapore", 1.35, 103.82},
	{"iad", "US", "Ashburn", 39.04, -77.49}, {"gru", "BR", "São Paulo", -23.55, -46.63}, {"syd", "AU", "Sydney", -33.87, 151.21},
	{"nrt", "JP", "Tokyo", 35.68, 139.69}, {"jnb", "ZA", "Johannesburg", -26.2, 28.05}, {"lax", "US", "Los Angeles", 34.05, -118.24},
	{"waw", "PL", "Warsaw", 52.23, 21.01}, {"bom", "IN", "Mumbai", 19.08, 72.88}, {"yyz", "CA", "Toronto", 43.65, -79.38},
	{"par", "FR", "Paris", 48.86, 2.35}, {"lon", "GB", "London", 51.51, -0.13}, {"hel", "FI", "Helsinki", 60.17, 24.94},
	{"scl", "CL", "Santiago", -33.45, -70.67}, {"hkg", "HK", "Hong Kong", 22.32, 114.17}, {"nbo", "KE", "Nairobi", -1.29, 36.82},
	{"akl", "NZ", "Auckland", -36.85, 174.76}, {"ist", "TR", "Istanbul", 41.01, 28.98}, {"dfw", "US", "Dallas", 32.78, -96.8},
	{"mad", "ES", "Madrid", 40.42, -3.7}, {"mil", "IT", "Milan", 45.46, 9.19}, {"sto", "SE", "Stockholm", 59.33, 18.07}, {"icn", "KR", "Seoul", 37.57, 126.98},
}

// madeFleet makes the documents of a fleet of n hosts over three weeks: nightly drift, two applies, and at the end status and verify. The same n gives the
// same documents.
func madeFleet(n int) []*Result {
	rnd := rand.New(rand.NewPCG(uint64(n), 11))
	day := time.Date(2026, 3, 1, 2, 15, 0, 0, time.UTC)
	var list []*Result
	for i := range 21 {
		r := &Result{FormatVersion: Format, Version: "v1.2.3", Command: "drift", Start: day, End: day.Add(time.Duration(900+40*n) * time.Millisecond), Hosts: []HostResult{}}
		if i == 6 || i == 15 {
			r.Command = "apply"
		}
		for j := range n {
			r.Hosts = append(r.Hosts, madeHost(rnd, j, r.Command))
		}
		r.Count()
		list = append(list, r)
		day = day.Add(24 * time.Hour)
	}
	last := list[len(list)-1]
	return append(list, madeStatus(rnd, last), madeVerify(rnd, n, last.End))
}

func madeName(i int) string { return fmt.Sprintf("%s%d", cities[i%len(cities)].code, i/len(cities)+1) }

func madeHost(rnd *rand.Rand, i int, command string) HostResult {
	c := cities[i%len(cities)]
	name := madeName(i)
	h := HostResult{
		Name: name, Address: fmt.Sprintf("203.0.113.%d", i%250+1), Outcome: OK, Duration: 0.4, Unchanged: 14, Changes: []Change{}, Warnings: []string{}, Notes: []string{},
		Labels: map[string]string{"country": c.country, "wave": []string{"canary", "early", "rest", "rest"}[i%4]},
	}
	fail := func(o Outcome, text string) { h.Outcome, h.Error = o, &text }
	switch x := rnd.IntN(30); {
	case x == 0:
		fail(Unreachable, "dial tcp "+h.Address+":22: connection refused: is the host up, and does its firewall let this address in?")
	case x == 1 && command == "apply":
		h.Changes = madeChanges(name, 2)
		fail(RolledBack, name+"/mirror.almalinux.nginx: reload nginx.service: nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)")
		h.Left = engine.TakenBack
	case x == 1:
		fail(Failed, "/srv/mirror has 280 GB\n300 GB are needed for the almalinux tree")
	case x < 6:
		h.Changes = madeChanges(name, 1+rnd.IntN(3))
		h.Outcome = Drifted
		if command == "apply" {
			h.Outcome = Changed
			for k := range h.Changes {
				h.Changes[k].Done = Applied
			}
		}
	case x == 6:
		h.Warnings = []string{"unit rsyncd.service is in the state failed; nothing here manages it"}
	}
	return h
}

const (
	siteBefore = "server {\n    listen 80;\n    listen [::]:80;\n    server_name mirror.example.org;\n    root /srv/mirror;\n\n    location /almalinux/ {\n        autoindex on;\n    }\n}\n"
	siteAfter  = "server {\n    listen 80;\n    listen [::]:80;\n    server_name mirror.example.org alma.example.org;\n    root /srv/mirror;\n    access_log /var/log/nginx/mirror.log;\n\n    location /almalinux/ {\n        autoindex on;\n        sendfile on;\n    }\n}\n"
)

func madeChanges(host string, n int) []Change {
	return []Change{
		{
			Address: host + "/mirror.almalinux.site", Type: "nginx_site", Action: engine.Update, Source: &Source{"fleet.hcl", 24},
			Before: map[string]any{"content": siteBefore, "mode": "0600"}, After: map[string]any{"content": siteAfter, "mode": "0644"},
			Steps: []string{"write /etc/nginx/conf.d/mirror.conf", "check nginx -t", "reload nginx.service"},
			Diff: `--- content
+++ content
@@ -1,10 +1,12 @@
 server {
     listen 80;
     listen [::]:80;
-    server_name mirror.example.org;
+    server_name mirror.example.org alma.example.org;
     root /srv/mirror;
+    access_log /var/log/nginx/mirror.log;
 
     location /almalinux/ {
         autoindex on;
+        sendfile on;
     }
 }
-mode = "0600"
+mode = "0644"`,
		},
		{
			Address: host + "/mirror.almalinux.cron", Type: "cron", Action: engine.Create, Source: &Source{"fleet.hcl", 22}, After: map[string]any{"schedule": "0 */3 * * *", "user": "mirror"},
			Steps: []string{"write /etc/cron.d/mirrorform-almalinux"},
			Diff: "+command = \"/usr/bin/flock -n /var/run/almalinux_rsync.lock -c '/usr/bin/rsync -avSH -f \\\"R .~tmp~\\\" --delete-delay --delay-updates rsync://rsync.repo.almalinux.org/almalinux/ /srv/mirror/almalinux/'\"\n" +
				"+schedule = \"0 */3 * * *\"\n+user = \"mirror\"",
		},
		{Address: host + "/file.old", Type: "file", Action: engine.Delete, Orphan: true, Before: map[string]any{"path": "/etc/old"}, Steps: []string{"remove /etc/old"}},
	}[:n]
}

func madeStatus(rnd *rand.Rand, last *Result) *Result {
	at := last.End
	r := &Result{FormatVersion: Format, Version: "v1.2.3", Command: "status", Start: at.Add(time.Minute), End: at.Add(time.Minute + time.Second), Hosts: []HostResult{}, Status: &Status{FormatVersion: "1.0"}}
	for i := range last.Hosts {
		h := &last.Hosts[i]
		s := HostStatus{Name: h.Name, Reachable: true, Changes: ptr(len(h.Changes)), Mirrors: []MirrorStatus{}}
		if h.Error != nil {
			s.Reachable, s.Changes, s.Error = h.Outcome != Unreachable, nil, *h.Error
			r.Status.Hosts = append(r.Status.Hosts, s)
			continue
		}
		age := int64(600 + rnd.IntN(10400))
		if rnd.IntN(25) == 0 {
			age += 14 * 3600
		}
		m := MirrorStatus{
			Name: "almalinux", Path: "/srv/mirror/almalinux", LastSyncAge: ptr(age), TimeAge: ptr(age + 1800), Locked: ptr(rnd.IntN(9) == 0), NextRun: ptr(at.Truncate(3 * time.Hour).Add(3 * time.Hour)),
			LastSync: &syncs.Record{Start: at.Unix() - age - 300, End: at.Unix() - age, By: "cron", Bytes: ptr(int64(3 << 30))},
			Used:     ptr(uint64(1200+rnd.IntN(600)) << 30), Available: ptr(uint64(200+rnd.IntN(900)) << 30),
		}
		m.Clock, m.UpstreamTime, m.SuccessAge = ptr(at), ptr(at.Unix()-age-900), ptr(age)
		m.Rsync = []string{"served", "", "full", "served", NotServed, "served"}[i%6]
		if rnd.IntN(20) == 0 {
			m.LastSync.Exit, m.SuccessAge = 23, ptr(age+3*3600)
		}
		if rnd.IntN(3) > 0 {
			m.DaysUntilFull = ptr(float64(9 + rnd.IntN(400)))
		}
		s.Mirrors = append(s.Mirrors, m)
		if i%5 == 0 {
			s.Mirrors = append(s.Mirrors, MirrorStatus{Name: "kitten", Path: "/srv/mirror/almalinux-kitten", Locked: ptr(false)})
		}
		r.Status.Hosts = append(r.Status.Hosts, s)
	}
	return r
}

func madeVerify(rnd *rand.Rand, n int, at time.Time) *Result {
	r := &Result{FormatVersion: Format, Version: "v1.2.3", Command: "verify", Start: at.Add(2 * time.Minute), End: at.Add(4 * time.Minute), Hosts: []HostResult{}, Verify: &Verify{FormatVersion: "1.0"}}
	for i := range n {
		c := cities[i%len(cities)]
		days := 10 + rnd.IntN(80)
		m := &upstream.Report{
			Name: madeName(i) + ".mirror.example.org", Host: madeName(i), Status: "ok", Accepted: true, IPv6: rnd.IntN(4) > 0, FullISOSet: true, Modules: []string{"kitten"},
			Addresses: []upstream.Address{{IP: fmt.Sprintf("203.0.113.%d", i%250+1), Locations: []upstream.Location{{
				Database: "GeoLite2-City.mmdb", Country: c.country, City: c.city, Latitude: ptr(c.latitude + 0.3*rnd.Float64()), Longitude: ptr(c.longitude + 0.3*rnd.Float64()), Distance: ptr(float64(rnd.IntN(40))),
			}}}},
			Routes: []string{"http/ipv4", "https/ipv4"}, Certificates: []upstream.Certificate{{Host: "mirror.example.org", Issuer: "Test CA", NotAfter: at.AddDate(0, 0, days), DaysLeft: days, Valid: true}},
			Findings: []upstream.Finding{},
		}
		if i%8 == 5 {
			m.Addresses[0].Locations = nil
		}
		switch rnd.IntN(12) {
		case 0:
			m.Status, m.Accepted = "expired", false
			m.Findings = append(m.Findings,
				upstream.Finding{Severity: upstream.Error, Check: upstream.CheckTime, Upstream: true, Message: "TIME is 16 h old (2026-03-20 10:00 UTC); the service takes mirrors up to 12 h", Advice: "Look at the sync job: mirrorform status shows how its last run went.", Routes: []string{"http/ipv4", "https/ipv4"}, Paths: []string{"TIME"}},
				upstream.Finding{Severity: upstream.Warning, Check: upstream.CheckStale, Message: "repomd.xml differs from the reference", Paths: []string{"9.8/BaseOS/x86_64/os/repodata/repomd.xml", "9.8/AppStream/x86_64/os/repodata/repomd.xml"}})
		case 1, 2:
			m.Findings = append(m.Findings, upstream.Finding{Severity: upstream.Warning, Check: upstream.CheckCertificate, Message: fmt.Sprintf("the certificate ends in %d days", days)})
		case 3:
			m.Findings = append(m.Findings, upstream.Finding{Severity: upstream.Note, Check: upstream.CheckListing, Message: "directories are not listed"})
		}
		r.Verify.Mirrors = append(r.Verify.Mirrors, m)
	}
	return r
}
