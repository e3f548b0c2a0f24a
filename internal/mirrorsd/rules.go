package mirrorsd

import (
	"fmt"
	"slices"
	"strings"
)

// Rule is one thing that Linter looks for.
type Rule struct {
	Name     string   // as options and findings name it: lower case, with hyphens
	Severity Severity // of all its findings
	Optional bool     // looked for only if enabled
	Fixable  bool     // some of its findings have a Fix
	Summary  string   // what is required, in one sentence without a full stop
	Detail   string   // why, and what upstream does otherwise; one or two sentences
}

// Names of rules.
const (
	ruleSyntax       = "syntax"
	ruleEncoding     = "encoding"
	ruleBOM          = "byte-order-mark"
	ruleLineEnding   = "line-ending"
	ruleTab          = "tab"
	ruleExtension    = "extension"
	ruleFileName     = "file-name"
	ruleDuplicate    = "duplicate-name"
	ruleFeature      = "yaml-feature"
	ruleYAMLType     = "yaml-type"
	ruleAmbiguous    = "yaml-ambiguous"
	ruleMisspeltKey  = "misspelt-key"
	ruleMisplacedKey = "misplaced-key"
	ruleUnknownKey   = "unknown-key"
	ruleDuplicateKey = "duplicate-key"
	ruleType         = "value-type"
	ruleRequired     = "required"
	ruleText         = "text"
	ruleName         = "name"
	ruleNameHost     = "name-host"
	ruleURL          = "url"
	ruleScheme       = "url-scheme"
	ruleForeign      = "foreign-address"
	ruleKitten       = "kitten-tree"
	ruleHTTPS        = "https"
	ruleCountry      = "country"
	ruleKosovo       = "country-kosovo"
	ruleFrequency    = "update-frequency"
	ruleSlow         = "slow-sync"
	ruleEmail        = "email"
	ruleNoEmail      = "email-missing"
	rulePrivate      = "private"
	ruleMonopoly     = "monopoly"
	ruleASN          = "asn"
	ruleSubnets      = "subnets"
	ruleCloud        = "cloud"
	ruleTemplate     = "template-comment"
)

// rules are in the order in which a reader of a file meets what they are about.
var rules = []Rule{
	{ruleSyntax, Error, false, false, "The file is one YAML document, which upstream's reader can read",
		"A file that cannot be read can stop the service from reading the others."},
	{ruleEncoding, Error, false, false, "The file is UTF-8", "Upstream opens the files as text in UTF-8."},
	{ruleBOM, Warning, false, true, "The file has no byte order mark", "UTF-8 needs none, and some readers take it for part of the first key."},
	{ruleLineEnding, Warning, false, true, "Lines end with a line feed alone", "Carriage returns make every line differ from those of the other files."},
	{ruleTab, Error, false, true, "There are no tabs between keys and values, in indentation or at the end of a line",
		"PyYAML, which upstream uses, refuses the file; many other readers, editors among them, do not tell."},
	{ruleExtension, Error, false, false, "The file's name ends in .yml", "Upstream reads *.yml and nothing else, so the mirror would not be listed."},
	{ruleFileName, Warning, false, false, "The file is named after the mirror: NAME.yml", "Whoever looks for a mirror's file looks for its name."},
	{ruleDuplicate, Error, false, false, "No other file has the mirror's name", "Upstream tells mirrors apart by their names. Only the files that are checked together are compared."},
	{ruleFeature, Error, false, false, "There are no YAML tags, anchors, aliases or merge keys", "The files need none, and safe_load refuses what many tags stand for."},
	{ruleYAMLType, Error, false, true, "A string that YAML 1.1 takes for something else is in quotes",
		"Without quotes NO is false, 22:22 is 1342, 2024-01-01 is a date, and = is refused."},
	{ruleAmbiguous, Warning, false, true, "Values mean the same to readers of YAML 1.1 and 1.2", "yes is true in YAML 1.1 and a string in 1.2; 0o17 is the other way round, a string in 1.1 and 15 in 1.2."},
	{ruleMisspeltKey, Error, false, true, "Keys are spelt as upstream reads them", "Upstream's schema allows any key, so that one with a mistake is silently not there."},
	{ruleMisplacedKey, Error, false, false, "Keys are where upstream reads them", "At the wrong level, or under another key, a key is silently not there."},
	{ruleUnknownKey, Warning, false, false, "There are no keys that upstream does not read", "They have no effect."},
	{ruleDuplicateKey, Error, false, true, "No key is there twice", "PyYAML takes the last without a word, other readers refuse the file. The second is removed by a fix only if both say the same."},
	{ruleType, Error, false, true, "Values have the type that upstream's schema requires", "The schema refuses others, or the service fails on them."},
	{ruleRequired, Error, false, false, "Required keys are there and have a value",
		"Upstream's schema requires name, address with http or https, update_frequency, sponsor and sponsor_url; a geolocation is of no use without a country."},
	{ruleText, Error, false, true, "Values have no control, invisible or bidirectional characters, no space around them, and at most 1000 bytes", "They are shown on web pages and compared byte by byte."},
	{ruleName, Error, false, true, "name is a DNS host name", "The service looks its addresses up."},
	{ruleNameHost, Warning, false, false, "name is the host of the http or https URL", "The service locates the mirror by the addresses of its name, and sends clients to the URL."},
	{ruleURL, Error, false, true, "URLs are absolute, percent-encoded, and have no user name, password, query or fragment",
		"Clients append a path to them, and the files are public. sponsor_url and a subnets URL may have a query."},
	{ruleScheme, Error, false, true, "A URL has the scheme that its key names; sponsor_url is http or https", "The service and dnf choose the protocol by the key."},
	{ruleForeign, Error, false, false, "URLs are the mirror's own", "AlmaLinux's own servers and other mirrors' are not what the file offers. Only the files that are checked together are compared."},
	{ruleKitten, Error, false, false, "The Kitten tree lies beside the almalinux tree", "Inside it, each sync of AlmaLinux would delete it, since rsync runs with --delete."},
	{ruleHTTPS, Warning, true, false, "address has an https URL", "Clients that want HTTPS alone are not sent to the mirror."},
	{ruleCountry, Error, false, true, "geolocation.country is an ISO 3166-1 alpha-2 code", "It is compared with the client's country, which is such a code: GB, and not UK."},
	{ruleKosovo, Warning, false, false, "geolocation.country is an assigned code", "XK is in common use for Kosovo, and no part of ISO 3166-1."},
	{ruleFrequency, Error, false, true, "update_frequency is a number with m, h or d", "Such as 3h."},
	{ruleSlow, Warning, false, false, "update_frequency is at most the service's allowed_outdate", "A tree that is older takes the mirror off the list (12h, unless a service configuration says otherwise)."},
	{ruleEmail, Error, false, true, "email is an address alone", "Such as mirror@example.org, without a name, brackets or mailto:."},
	{ruleNoEmail, Warning, false, false, "There is an email", "AlmaLinux needs it to reach the operator when the mirror fails."},
	{rulePrivate, Warning, false, false, "A private mirror has subnets or asn", "Otherwise no client is sent to it. AlmaLinux itself sets private on mirrors that fail, to take them off the list."},
	{ruleMonopoly, Error, false, false, "A mirror with monopoly is private", "The service gives a monopoly's clients no other mirror, which only makes sense for one's own."},
	{ruleASN, Error, false, false, "asn holds numbers from 1 to 4294967295", "RFC 6793; 0 is reserved by RFC 7607."},
	{ruleSubnets, Error, false, true, "subnets is a list of networks in CIDR notation without host bits, or one URL", "The service compares clients' addresses with them."},
	{ruleCloud, Error, false, false, "cloud_type and cloud_regions come together", "Upstream's schema requires the regions."},
	{ruleTemplate, Warning, false, false, "The template's instructions are removed", "They say so themselves."},
}

// Rules returns all rules.
func Rules() []Rule {
	return slices.Clone(rules)
}

// AllRules stands for every rule in Options.
const AllRules = "all"

// selectRules returns the rules that are looked for.
func selectRules(enable, disable []string) (map[string]bool, error) {
	for _, name := range slices.Concat(enable, disable) {
		known := slices.ContainsFunc(rules, func(r Rule) bool { return r.Name == name })
		if !known && name != AllRules {
			return nil, unknownRule(name)
		}
		if slices.Contains(enable, name) && slices.Contains(disable, name) {
			return nil, fmt.Errorf("the rule %s is both enabled and disabled", name)
		}
	}
	on := map[string]bool{}
	for _, r := range rules {
		on[r.Name] = (!r.Optional || slices.Contains(enable, AllRules)) && !slices.Contains(disable, AllRules)
	}
	for _, name := range disable {
		on[name] = false
	}
	for _, name := range enable {
		on[name] = true
	}
	delete(on, AllRules)
	return on, nil
}

func unknownRule(name string) error {
	var names []string
	for _, r := range rules {
		names = append(names, r.Name)
	}
	if near, _ := nearest(strings.ReplaceAll(name, "_", "-"), names); near != "" {
		return fmt.Errorf("there is no rule %s; did you mean %s?", show(name), near)
	}
	return fmt.Errorf("there is no rule %s", show(name))
}

// severity is that of a rule's findings.
func severity(rule string) Severity {
	for _, r := range rules {
		if r.Name == rule {
			return r.Severity
		}
	}
	return Error
}
