// Package mirrorsd models the file that lists a mirror in AlmaLinux's mirror list:
// mirrors.d/NAME.yml of github.com/AlmaLinux/mirrors.
//
// Bytes writes a File, Parse reads one, and Check applies the rules. Upstream reads these files
// with PyYAML's safe_load, a YAML 1.1 reader, and validates them with mirror_config.v1.schema.json.
// This package follows both, including their quirks.
package mirrorsd

// File is one mirror's entry, with every key that upstream's schema defines. A zero value means
// that the key is absent. The fields are in the order in which most of upstream's files have their
// keys, and in which Bytes writes them.
type File struct {
	Name            string          // name: the mirror's DNS host name; required
	Address         Address         // address: where the almalinux tree is served; required
	AddressOptional AddressOptional // address_optional: other trees that the mirror serves
	Geolocation     Geolocation     // geolocation: if absent, upstream looks it up in an IP database
	UpdateFrequency string          // update_frequency: time between two syncs, such as "3h"; required
	Sponsor         string          // sponsor: who pays for the mirror, as shown to users; required
	SponsorURL      string          // sponsor_url: the sponsor's home page; required
	Email           string          // email: where upstream reports problems of the mirror
	Private         bool            // private: serve only clients in Subnets or ASN
	Monopoly        bool            // monopoly: those clients get no other mirror; only with Private
	ASN             []int64         // asn: autonomous system numbers whose clients prefer the mirror
	Subnets         Subnets         // subnets: networks whose clients prefer the mirror
	CloudType       string          // cloud_type: the cloud whose clients prefer the mirror, such as "gcp"
	CloudRegions    []string        // cloud_regions: regions of that cloud; required with CloudType
}

// Address has the URLs of one tree, one for each protocol. HTTP or HTTPS is required, since dnf
// uses no other protocol.
type Address struct {
	HTTP  string // http: an http:// URL
	HTTPS string // https: an https:// URL
	Rsync string // rsync: an rsync:// URL
	FTP   string // ftp: an ftp:// URL
}

// AddressOptional has the trees besides almalinux. Upstream's schema defines one, kitten.
type AddressOptional struct {
	Kitten Address // kitten: the AlmaLinux Kitten tree; zero if it is not mirrored
}

// Geolocation is where the mirror is. Upstream sends clients to mirrors near them.
type Geolocation struct {
	Country       string // country: ISO 3166-1 alpha-2 code
	StateProvince string // state_province: free text; written even if empty, as null, which reads as ""
	City          string // city: free text; the same
}

// Subnets is the value of the subnets key, which is a list or a string. At most one of the fields
// may be set.
type Subnets struct {
	CIDRs []string // networks, such as "203.0.113.0/24"
	URL   string   // an http(s) URL from which upstream fetches the list as JSON
}

// field is a key and the location of its value. Bytes, Parse and Check use the same table, so that
// all of them know the same keys.
type field struct {
	key      string
	always   bool // written even if empty, because upstream or its CI requires the key
	nullable bool // upstream's schema allows null
	value    any  // *string, *bool, *[]string, *[]int64, *Subnets or section
}

// section is a nested mapping.
type section []field

func (f *File) fields() section {
	located := f.Geolocation.Country != "" // AlmaLinux's CI then looks up the state and city
	return section{
		{key: "name", always: true, value: &f.Name},
		{key: "address", always: true, value: f.Address.fields()},
		{key: "address_optional", value: section{
			{key: "kitten", value: f.AddressOptional.Kitten.fields()},
		}},
		{key: "geolocation", value: section{
			{key: "country", value: &f.Geolocation.Country},
			{key: "state_province", always: located, nullable: true, value: &f.Geolocation.StateProvince},
			{key: "city", always: located, nullable: true, value: &f.Geolocation.City},
		}},
		{key: "update_frequency", always: true, value: &f.UpdateFrequency},
		{key: "sponsor", always: true, value: &f.Sponsor},
		{key: "sponsor_url", always: true, value: &f.SponsorURL},
		{key: "email", value: &f.Email},
		{key: "private", value: &f.Private},
		{key: "monopoly", value: &f.Monopoly},
		{key: "asn", value: &f.ASN},
		{key: "subnets", value: &f.Subnets},
		{key: "cloud_type", value: &f.CloudType},
		{key: "cloud_regions", value: &f.CloudRegions},
	}
}

func (a *Address) fields() section {
	return section{
		{key: "http", value: &a.HTTP},
		{key: "https", value: &a.HTTPS},
		{key: "rsync", value: &a.Rsync},
		{key: "ftp", value: &a.FTP},
	}
}

// find returns the field of a key, or nil.
func (s section) find(key string) *field {
	for i := range s {
		if s[i].key == key {
			return &s[i]
		}
	}
	return nil
}

// keys returns the section's keys in file order.
func (s section) keys() []string {
	var keys []string
	for _, f := range s {
		keys = append(keys, f.key)
	}
	return keys
}

// empty reports whether the field has its zero value, so that the key can be omitted.
func (f field) empty() bool {
	switch v := f.value.(type) {
	case *string:
		return *v == ""
	case *bool:
		return !*v
	case *[]string:
		return len(*v) == 0
	case *[]int64:
		return len(*v) == 0
	case *Subnets:
		return len(v.CIDRs) == 0 && v.URL == ""
	case section:
		for _, sub := range v {
			if !sub.empty() {
				return false
			}
		}
		return true
	}
	return true
}

// join returns the dotted path of a key, as in problems and errors.
func join(parent, key string) string {
	if parent == "" {
		return key
	}
	return parent + "." + key
}
