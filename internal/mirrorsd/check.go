package mirrorsd

import (
	"cmp"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Severity says whether a Problem stops the file from being published.
type Severity string

// The severities of a Problem.
const (
	Error   Severity = "error"   // upstream rejects the file, or the mirror would not work
	Warning Severity = "warning" // the file works, but part of it is probably a mistake
)

// Problem is one finding of Check.
type Problem struct {
	Key      string // dotted path in the file, such as "address.http" or "subnets[0]"
	Severity Severity
	Message  string // what is wrong and what to write instead; one line, escaped
	Rule     string // name of the rule, as in Rules
	Fix      string // the value to write instead, or "" if the intended value is ambiguous
	list     bool   // write Fix as a list with one item
	mild     bool   // a warning for the Linter: AlmaLinux's service accepts the value
}

// String returns the problem as "severity: key: message".
func (p Problem) String() string {
	return fmt.Sprintf("%s: %s: %s", p.Severity, p.Key, p.Message)
}

// Check is CheckFor with the built-in settings of upstream's service.
func (f File) Check() []Problem {
	return f.CheckFor(DefaultService())
}

// CheckFor applies the rules of upstream's schema, and the stricter rules that upstream's checks
// imply. It returns all problems in the order of the file's keys. A file without errors can be
// published. CheckFor does not use the network.
func (f File) CheckFor(s Service) []Problem {
	c := &checker{service: s, bad: map[string]bool{}}
	c.text("", f.fields())
	c.rules(&f)
	slices.SortStableFunc(c.problems, func(a, b Problem) int {
		ka, ia := c.rank(a.Key)
		kb, ib := c.rank(b.Key)
		return cmp.Or(ka-kb, ia-ib)
	})
	return c.problems
}

type checker struct {
	service  Service
	problems []Problem
	order    []string        // key paths in file order
	bad      map[string]bool // keys whose text is invalid; other rules skip them
}

func (c *checker) errorf(rule, key, format string, args ...any) {
	c.problems = append(c.problems, Problem{Key: key, Severity: Error, Rule: rule, Message: fmt.Sprintf(format,
		args...)})
}

func (c *checker) warnf(rule, key, format string, args ...any) {
	c.problems = append(c.problems, Problem{Key: key, Severity: Warning, Rule: rule, Message: fmt.Sprintf(format,
		args...)})
}

// mild marks the last problem as one that AlmaLinux's service accepts. Check is stricter: it is for
// files that mirrorform itself writes.
func (c *checker) mild() {
	c.problems[len(c.problems)-1].mild = true
}

// fix adds a fix to the last problem: the only value that its author can have intended.
func (c *checker) fix(value string) {
	c.problems[len(c.problems)-1].Fix = value
}

// rank returns the position of a key in the file, and of an item in its list.
func (c *checker) rank(key string) (position, item int) {
	base, rest, _ := strings.Cut(key, "[")
	item, _ = strconv.Atoi(strings.TrimSuffix(rest, "]")) // 0 for the key itself
	return slices.Index(c.order, base), item
}

// text applies the rules for all strings.
func (c *checker) text(path string, s section) {
	for _, f := range s {
		key := join(path, f.key)
		c.order = append(c.order, key)
		switch v := f.value.(type) {
		case section:
			c.text(key, v)
		case *string:
			c.string(key, *v)
		case *[]string:
			c.list(key, *v)
		case *Subnets:
			c.string(key, v.URL)
			c.list(key, v.CIDRs)
		}
	}
}

func (c *checker) list(key string, items []string) {
	for i, s := range items {
		item := fmt.Sprintf("%s[%d]", key, i)
		if s == "" {
			c.bad[item] = true
			c.errorf(ruleRequired, item, "is empty; set a value or remove the item")
			continue
		}
		c.string(item, s)
	}
}

// maxString is the longest string accepted, in bytes. Upstream's schema sets no limit, but no name,
// URL or sponsor is longer.
const maxString = 1000

func (c *checker) string(key, s string) {
	if problem := badText(s); problem != "" {
		c.bad[key] = true
		c.errorf(ruleText, key, "%s", problem)
		if shownOnly(key) {
			c.mild()
		}
		if trimmed := strings.TrimSpace(s); trimmed != "" && badText(trimmed) == "" {
			c.fix(trimmed)
		}
	}
}

// shownOnly reports whether AlmaLinux's service only shows the value of a key.
func shownOnly(key string) bool {
	switch key {
	case "sponsor", "sponsor_url", "email", "geolocation.state_province", "geolocation.city":
		return true
	}
	return false
}

func badText(s string) string {
	if len(s) > maxString {
		return fmt.Sprintf("has %d bytes, more than the limit of %d bytes; shorten it", len(s), maxString)
	}
	if !utf8.ValidString(s) {
		return "is not valid UTF-8; save the file as UTF-8"
	}
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Bidi_Control, r):
			return fmt.Sprintf("contains the bidirectional control character %U, which can disguise text; remove it", r)
		case unicode.Is(unicode.Cc, r):
			return fmt.Sprintf("contains the control character %U; remove it", r)
		case !unicode.IsGraphic(r): // format, line and paragraph separators, private use, unassigned
			return fmt.Sprintf("contains the invisible or unassigned character %U; remove it", r)
		}
	}
	if strings.TrimSpace(s) != s {
		return "begins or ends with a space; remove it"
	}
	return ""
}

func (c *checker) rules(f *File) {
	c.name(f.Name)
	c.address("address", f.Address)
	if f.AddressOptional.Kitten != (Address{}) {
		c.address("address_optional.kitten", f.AddressOptional.Kitten)
		c.separate(f.Address, f.AddressOptional.Kitten)
	}
	c.country(f.Geolocation)
	c.frequency(f.UpdateFrequency)
	if f.Sponsor == "" {
		c.errorf(ruleRequired, "sponsor", "is required; write the name of the organisation that pays for the mirror")
	}
	if f.SponsorURL == "" {
		c.errorf(ruleRequired, "sponsor_url", "is required; write the sponsor's home page, such as https://example.org")
	} else if !c.bad["sponsor_url"] {
		c.url("sponsor_url", f.SponsorURL, true, "https", "http")
	}
	c.email(f.Email)
	c.reach(f)
	c.cloud(f)
}

func (c *checker) name(name string) {
	const key = "name"
	switch {
	case c.bad[key]:
	case name == "":
		c.errorf(ruleRequired, key, "is required; write the mirror's DNS host name, such as mirror.example.org")
	case strings.Contains(name, "://"):
		_, rest, _ := strings.Cut(name, "://")
		host, _, _ := strings.Cut(rest, "/")
		c.errorf(ruleName, key, "is a URL; write only the host name%s", didYouMean(host))
		c.fix(hostOnly(host))
	case strings.Contains(name, "/"):
		host, _, _ := strings.Cut(name, "/")
		c.errorf(ruleName, key, "contains a slash; write only the host name%s", didYouMean(host))
		c.fix(hostOnly(host))
	default:
		if err := hostName(name); err != nil {
			c.errorf(ruleName, key, "%s is not a DNS host name: %v", show(name), err)
		}
	}
}

// hostOnly returns host if it is a valid host name, otherwise "".
func hostOnly(host string) string {
	if hostName(host) != nil {
		return ""
	}
	return host
}

// didYouMean suggests host if it is a valid host name.
func didYouMean(host string) string {
	if hostOnly(host) == "" {
		return ""
	}
	return "; did you mean " + host + "?"
}

func (c *checker) country(g Geolocation) {
	const key = "geolocation.country"
	switch {
	case g == (Geolocation{}) || c.bad[key]:
	case g.Country == "":
		c.errorf(ruleGeolocation, key, "is required with state_province or city; write an ISO 3166-1 alpha-2 code such as DE")
	case g.Country == kosovo:
		c.warnf(ruleKosovo, key, "XK is commonly used for Kosovo, but ISO 3166-1 does not assign it")
	case !isCountry(g.Country):
		c.notCountry(key, g.Country)
	}
}

// notCountry reports a country that is not a code as it has to be.
func (c *checker) notCountry(key, country string) {
	mapped, hint := upstreamCountry(country) != "", ""
	if !mapped && len([]rune(country)) != 2 {
		hint = "; AlmaLinux's service stops updating its whole list at a name that it does not know"
	}
	if s := nearCountry(country); s != "" {
		hint += "; did you mean " + s + "?"
	}
	c.errorf(ruleCountry, key, "%s is not an ISO 3166-1 alpha-2 code (two capital letters such as DE)%s",
		show(country), hint)
	c.fix(sameCountry(country))
	if mapped {
		c.mild()
	}
}

// looseFrequency matches other notations of a duration whose meaning is clear. It does not match M,
// which can mean months.
var looseFrequency = regexp.MustCompile(`^(?:[Ee]very )?([1-9][0-9]{0,3}) ?(?:(m|min|mins|[Mm]inutes?)|(h|H|hr|hrs|[Hh]ours?)|(d|D|[Dd]ays?))$`)

func (c *checker) frequency(s string) {
	const key = "update_frequency"
	if c.bad[key] {
		return
	}
	if s == "" {
		c.errorf(ruleRequired, key, "is required; write the time between two syncs, such as 3h")
		return
	}
	every, err := ParseDuration(s)
	if err != nil {
		c.errorf(ruleFrequency, key, "%s is not a duration; write a number and m, h or d, such as 3h", show(s))
		if m := looseFrequency.FindStringSubmatch(s); m != nil {
			for i, unit := range []string{"m", "h", "d"} {
				if m[i+2] != "" {
					c.fix(m[1] + unit)
					c.mild()
				}
			}
		}
		return
	}
	if every >= c.service.AllowedOutdate {
		c.warnf(ruleSlow, key, "%s is not shorter than %s, the age at which AlmaLinux considers a mirror outdated; "+
			"3h is usual", s, duration(c.service.AllowedOutdate))
	}
}

func (c *checker) email(s string) {
	const key = "email"
	if c.bad[key] {
		return
	}
	if s == "" {
		c.warnf(ruleNoEmail, key, "is missing; add an address at which AlmaLinux can reach you when the mirror fails")
		return
	}
	if err := bareAddress(s); err != nil {
		c.errorf(ruleEmail, key, "%s %v", show(s), err)
		if a, err := mail.ParseAddress(strings.TrimPrefix(s, "mailto:")); err == nil && bareAddress(a.Address) == nil {
			c.fix(a.Address)
		}
	}
}

// bareAddress checks an addr-spec (RFC 5322 section 3.4.1) whose domain is a host name.
func bareAddress(s string) error {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s {
		return errors.New("is not a bare email address; write it like mirror@example.org, without a name or brackets")
	}
	if err := hostName(s[strings.LastIndexByte(s, '@')+1:]); err != nil {
		return fmt.Errorf("has an invalid domain after the @: %w", err)
	}
	return nil
}

// reach checks the keys that select which clients use the mirror.
func (c *checker) reach(f *File) {
	networks := len(f.Subnets.CIDRs) != 0 || f.Subnets.URL != ""
	if f.Private && !networks && len(f.ASN) == 0 {
		c.errorf(rulePrivate, "private", "a private mirror needs subnets or asn; "+
			"without them, AlmaLinux sends no client to it")
	}
	if f.Monopoly && !f.Private {
		c.errorf(ruleMonopoly, "monopoly", "requires private: true")
	}
	for i, n := range f.ASN {
		if n < 1 || n > 4294967295 { // RFC 6793; 0 is reserved by RFC 7607
			key := "asn"
			if len(f.ASN) > 1 {
				key = fmt.Sprintf("asn[%d]", i)
			}
			c.errorf(ruleASN, key, "%d is not an autonomous system number (1 to 4294967295)", n)
		}
	}
	if f.Subnets.URL != "" {
		if len(f.Subnets.CIDRs) != 0 {
			c.errorf(ruleSubnets, "subnets", "has both a list and a URL; keep one of them")
		}
		if _, err := netip.ParsePrefix(f.Subnets.URL); err == nil {
			c.errorf(ruleSubnets, "subnets", "%s is a network; write a list, even for a single network", show(f.Subnets.URL))
			c.fix(f.Subnets.URL)
			c.problems[len(c.problems)-1].list = true
			c.mild()
		} else if !c.bad["subnets"] {
			c.url("subnets", f.Subnets.URL, true, "https", "http")
		}
	}
	for i, s := range f.Subnets.CIDRs {
		key := fmt.Sprintf("subnets[%d]", i)
		if !c.bad[key] {
			c.cidr(key, s)
		}
	}
}

func (c *checker) cidr(key, s string) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		c.errorf(ruleSubnets, key, "%s is an IP address, not a network in CIDR notation; did you mean %s/%d?", show(s), s,
			a.BitLen())
		c.fix(fmt.Sprintf("%s/%d", s, a.BitLen()))
		c.mild()
		return
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		c.errorf(ruleSubnets, key, "%s is not a network in CIDR notation such as 203.0.113.0/24 or 2001:db8::/32; "+
			"AlmaLinux's service stops updating its whole list at it", show(s))
		return
	}
	switch m := p.Masked(); {
	case m != p:
		c.errorf(ruleSubnets, key, "%s has address bits set beyond /%d, and AlmaLinux's service stops updating "+
			"its whole list at it; did you mean %s?", show(s), p.Bits(), m)
	case p.Bits() == 0:
		c.errorf(ruleSubnets, key, "%s contains every address; list only your own networks", show(s))
	}
}

// clouds are the values of cloud_type that AlmaLinux's service knows.
var clouds = []string{"aws", "azure", "gcp", "oci"}

func (c *checker) cloud(f *File) {
	kind, regions := f.CloudType, f.CloudRegions
	if !inDomain(strings.ToLower(f.Name), upstreamDomain) {
		if kind != "" {
			c.errorf(ruleCloud, "cloud_type", "is not allowed for community mirrors: it is for AlmaLinux's own mirrors "+
				"in a cloud, and no client outside of that cloud would get this mirror; remove it")
		}
		if len(regions) != 0 {
			c.errorf(ruleCloud, "cloud_regions", "is not allowed for community mirrors; remove it")
		}
		return
	}
	if kind != "" && !slices.Contains(clouds, kind) {
		c.errorf(ruleCloud, "cloud_type", "%s is not a cloud that AlmaLinux's service knows (%s), so no client would get "+
			"the mirror", show(kind), strings.Join(clouds, ", "))
	}
	if kind != "" && len(regions) == 0 {
		c.errorf(ruleCloud, "cloud_regions", "is required with cloud_type; list the regions of %s that use this mirror",
			show(kind))
	}
	if kind == "" && len(regions) != 0 {
		c.errorf(ruleCloud, "cloud_type", "is required with cloud_regions; "+
			"write the cloud of the regions, such as aws, azure or gcp")
		c.mild()
	}
}
