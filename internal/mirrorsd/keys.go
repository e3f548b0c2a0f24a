package mirrorsd

import (
	"strings"

	"github.com/agext/levenshtein"
	"gopkg.in/yaml.v3"
)

// unknown reports a key that is not in the section, unless AlmaLinux's service reads it.
func (p *parser) unknown(path string, s section, wanted map[string]int, k, v *yaml.Node) {
	switch {
	case k.Style == 0 && yaml11Tag(k.Value) == tagMerge:
		p.errorf(ruleFeature, k, path, "has the YAML merge key <<; write the keys instead").mild = true
		return
	case path == "" && k.Value == "config_version":
		p.version(v)
		return
	case path == "geolocation" && k.Value == "continent":
		p.keys[join(path, k.Value)], p.values[join(path, k.Value)] = k, v
		return
	}
	mild := !p.stops(path, v)
	if near, certain := meant(path, k.Value, s.keys()); near != "" {
		f := p.errorf(ruleMisspeltKey, k, path, "unknown key %s; did you mean %s?", show(k.Value), near)
		f.meant = join(path, near)
		others := wanted[near]
		if near == "http" || near == "https" { // one of them is required
			others = wanted["http"] + wanted["https"]
		}
		f.mild = mild && (!required(f.meant) || others > 1)
		if certain && wanted[near] == 1 {
			f.source = near
		}
		return
	}
	if home := homes(k.Value); len(home) > 0 {
		p.errorf(ruleMisplacedKey, k, path, "unknown key %s here; it belongs %s", show(k.Value),
			strings.Join(home, " or ")).mild = mild
		return
	}
	p.errorf(ruleUnknownKey, k, path, "unknown key %s", show(k.Value)).mild = mild
}

// stops reports whether AlmaLinux's service, which takes each key of an address for a protocol,
// cannot store the value of one as a URL.
func (p *parser) stops(path string, v *yaml.Node) bool {
	if path != "address" && path != "address_optional.kitten" {
		return false
	}
	return v.Kind != yaml.ScalarNode || v.Style == 0 && yaml11Tag(v.Value) != tagStr
}

// required reports whether AlmaLinux's schema requires a key.
func required(path string) bool {
	switch path {
	case "name", "address", "address.http", "address.https", "update_frequency", "sponsor", "sponsor_url":
		return true
	}
	return false
}

// version checks the version of the schema, of which AlmaLinux's service has the first.
func (p *parser) version(v *yaml.Node) {
	if v.Kind == yaml.ScalarNode && v.Value == "1" {
		return
	}
	f := p.errorf(ruleVersion, v, "config_version", "must be 1, the only version; AlmaLinux's service stops "+
		"updating its whole list at another one")
	f.source = "1"
}

// synonyms are keys that people write for those of the schema, by section.
var synonyms = map[string]map[string]string{
	"": {
		"frequency": "update_frequency", "mail": "email", "contact": "email", "sponsor_name": "sponsor", "hostname": "name",
		"addresses": "address", "urls": "address", "location": "geolocation", "geo": "geolocation",
	},
	"geolocation": {
		"state": "state_province", "province": "state_province", "region": "state_province", "town": "city",
		"country_code": "country",
	},
}

// meant returns the known key that a key of the section most likely means, or "". certain reports
// whether no other key can have been intended.
func meant(path, key string, known []string) (near string, certain bool) {
	if near := synonyms[path][strings.ToLower(key)]; near != "" {
		return near, true
	}
	return nearest(key, known)
}

// homes returns the sections to which a key belongs.
func homes(key string) (places []string) {
	var walk func(path string, s section)
	walk = func(path string, s section) {
		for _, f := range s {
			switch {
			case f.key != key:
			case path == "":
				places = append(places, "at the top level")
			default:
				places = append(places, "under "+path)
			}
			if sub, ok := f.value.(section); ok {
				walk(join(path, f.key), sub)
			}
		}
	}
	walk("", (&File{}).fields())
	return places
}

// nearest returns the known key closest to a misspelt one, or "" if none is close. certain reports
// whether no other key can have been intended.
func nearest(key string, known []string) (near string, certain bool) {
	if len(key) > 40 {
		return "", false
	}
	spelt := strings.ReplaceAll(strings.ToLower(key), "-", "_")
	best, second := 4, 4
	for _, k := range known {
		switch d := levenshtein.Distance(spelt, k, nil); {
		case d < best:
			near, best, second = k, d, best
		case d < second:
			second = d
		}
	}
	if near == "" || best > len(near)/2 {
		return "", false
	}
	return near, best == 0 || best <= 2 && 3*best <= len(near) && second >= best+2
}
