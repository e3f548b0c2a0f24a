package mirror

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/resources"
)

// Entry is the data of a part that writes a mirror's entry in AlmaLinux's list.
type Entry struct {
	Host string // the mirror's
	Hub  string // the host that its tree comes from, or ""
	File mirrorsd.File
}

// publish adds the mirror's entry for AlmaLinux's mirrors.d, a file on host local.
func (x *expansion) publish() {
	if x.spec.Publish == nil {
		return
	}
	file := x.entry()
	if file.Name == "" {
		x.errorf("publish.name", "set publish.name or web.server_name to the mirror's name in DNS",
			"the entry has no name: web.server_name is not set, and the host's address, %q, is not a host name", x.host.Address)
	}
	for _, p := range file.Check() {
		if file.Name == "" && slices.Contains([]string{"name", "address", "address_optional.kitten"}, p.Key) {
			continue // the URLs contain the name
		}
		problem := engine.Errorf(publishAttribute(p.Key, file), "%s: %s", p.Key, p.Message)
		if p.Severity == mirrorsd.Warning {
			problem.Severity = engine.Warning
		}
		x.list = append(x.list, problem)
	}
	content, err := file.Bytes()
	if err != nil {
		x.report("publish", err)
		return
	}
	text := string(content)
	dir := cmp.Or(x.spec.Publish.Directory, "mirrors.d")
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(x.host.Dir, dir)
	}
	x.add(engine.Part{
		Name: "publish", Local: true, Type: "file", State: &resources.File{Path: filepath.Join(dir, file.Name+".yml"), Content: &text},
		Data: &Entry{Host: x.host.Target.Name, Hub: x.jobs[0].firstHub(), File: file},
	}, map[string]string{"path": "publish.directory", "content": "publish"})
}

// entry returns the file that the publish block describes.
func (x *expansion) entry() mirrorsd.File {
	p := x.spec.Publish
	f := mirrorsd.File{
		Name:            cmp.Or(p.Name, x.web.ServerName),
		UpdateFrequency: x.updateFrequency(),
		Sponsor:         p.Sponsor,
		SponsorURL:      p.SponsorURL,
		Email:           p.Email,
		ASN:             numbers(p.ASN),
		Subnets:         mirrorsd.Subnets{CIDRs: p.Subnets, URL: p.SubnetsURL},
		Private:         p.Private != nil && *p.Private,
		Monopoly:        p.Monopoly != nil && *p.Monopoly,
		CloudType:       p.CloudType,
		CloudRegions:    p.CloudRegions,
	}
	if address := webAddress(x.host.Address); f.Name == "" && isHostName(address) {
		f.Name = address
	}
	if g := p.Geolocation; g != nil {
		f.Geolocation = mirrorsd.Geolocation{Country: g.Country, StateProvince: g.StateProvince, City: g.City}
	}
	f.Address = mirrorsd.Address{
		HTTP: x.treeURL(p.HTTP, f.Name, x.jobs[0]), HTTPS: x.secureURL(p.HTTPS, f.Name, x.jobs[0]), Rsync: x.rsyncURL(p.Rsync, f.Name, x.jobs[0]), FTP: value(p.FTP),
	}
	f.AddressOptional.Kitten = mirrorsd.Address{HTTP: value(p.KittenHTTP), HTTPS: value(p.KittenHTTPS), Rsync: value(p.KittenRsync)}
	if len(x.jobs) > 1 {
		f.AddressOptional.Kitten.HTTP = x.treeURL(p.KittenHTTP, f.Name, x.jobs[1])
		f.AddressOptional.Kitten.HTTPS = x.secureURL(p.KittenHTTPS, f.Name, x.jobs[1])
		f.AddressOptional.Kitten.Rsync = x.rsyncURL(p.KittenRsync, f.Name, x.jobs[1])
	}
	return f
}

// treeURL returns the URL in the block, by default the one at which the site serves the tree.
func (x *expansion) treeURL(set *string, name string, j *job) string {
	if set != nil || name == "" {
		return value(set)
	}
	if x.web.TLS != nil && (x.web.HTTP == "redirect" || x.web.HTTP == "off") {
		return ""
	}
	port := ""
	if *x.web.Port != 80 {
		port = fmt.Sprintf(":%d", *x.web.Port)
	}
	return "http://" + name + port + j.location
}

// secureURL is as treeURL, over HTTPS. Without a tls block it is empty, unless the block sets it.
func (x *expansion) secureURL(set *string, name string, j *job) string {
	if set != nil || name == "" || x.web.TLS == nil || x.web.Server == noServer {
		return value(set)
	}
	port := ""
	if p := x.web.TLS.Port; p != nil && *p != 443 {
		port = fmt.Sprintf(":%d", *p)
	}
	return "https://" + name + port + j.location
}

// updateFrequency returns the interval of the syncs. A crontab schedule does not have one, so then
// it warns.
func (x *expansion) updateFrequency() string {
	sync := settled(x.spec.Sync)
	if sync.Schedule != "" && sync.Every == "" && x.spec.Publish.UpdateFrequency == "" {
		p := engine.Errorf("publish.update_frequency", "the interval of sync.schedule is not known, so the entry has %s",
			x.guide.every)
		p.Severity, p.Detail = engine.Warning, "set publish.update_frequency, or sync.every"
		x.list = append(x.list, p)
	}
	return cmp.Or(x.spec.Publish.UpdateFrequency, sync.Every, x.jobs[0].hubEvery, x.guide.every)
}

// publishAttribute returns the attribute of the block that sets a key of the entry.
func publishAttribute(key string, f mirrorsd.File) string {
	key, _, _ = strings.Cut(key, "[")
	switch {
	case key == "address", key == "address_optional.kitten":
		key += ".http"
	case key == "subnets" && f.Subnets.URL != "" && len(f.Subnets.CIDRs) == 0:
		key = "subnets_url"
	}
	if k, ok := strings.CutPrefix(key, "address_optional.kitten."); ok {
		key = "kitten_" + k
	}
	return "publish." + strings.TrimPrefix(key, "address.")
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func numbers(list []int) []int64 {
	var out []int64
	for _, n := range list {
		out = append(out, int64(n))
	}
	return out
}
