package mirrorsd

import (
	"fmt"
	"slices"
	"strings"
)

// Rule is a rule of the Linter.
type Rule struct {
	Name     string   // as in options and findings: lower case, with hyphens
	Severity Severity // of its findings; with Mixed, of the severe ones
	Mixed    bool     // other findings are warnings: AlmaLinux's service accepts the value
	Optional bool     // applied only if enabled
	Fixable  bool     // some findings of the rule have a Fix
	Summary  string   // the requirement, in one sentence without a full stop
	Detail   string   // the reason, in one or two sentences
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
	ruleVersion      = "config-version"
	ruleComment      = "yaml-comment"
	ruleGeolocation  = "geolocation"
	ruleContinent    = "continent"
	rulePlace        = "place"
	ruleModule       = "rsync-module"
	ruleDomain       = "other-domain"
	ruleWWW          = "www"
	ruleMisspelt     = "misspelt-name"
)

// rules are in the order in which a reader of a file meets their subjects.
var rules = []Rule{
	{ruleSyntax, Error, false, false, false, "The file is a single, readable YAML document",
		"If AlmaLinux's service cannot read one file, the update of its whole list stops."},
	{ruleEncoding, Error, false, false, false, "The file is encoded in UTF-8",
		"AlmaLinux's service opens all files as UTF-8, and stops at one that it cannot read."},
	{ruleBOM, Warning, false, false, true, "The file has no byte order mark",
		"UTF-8 does not need one, and some readers treat it as part of the first key."},
	{ruleLineEnding, Warning, false, false, true, "Lines end with a line feed only",
		"The other files have no carriage returns, and a diff that removes them shows every line as changed."},
	{ruleTab, Error, false, false, true, "The file has no tabs in indentation, between keys and values, " +
		"or at the end of a line",
		"PyYAML, the reader of AlmaLinux's service, rejects such a file. " +
			"Many other readers and editors accept it without a warning."},
	{ruleExtension, Error, false, false, false, "The file name ends in .yml",
		"AlmaLinux's service reads only *.yml files and would not list the mirror."},
	{ruleFileName, Warning, false, false, false, "The file is named after the mirror: NAME.yml",
		"People look for a mirror's file by the mirror's name."},
	{ruleDuplicate, Warning, false, false, false, "No other file has the same mirror name",
		"AlmaLinux's service locates mirrors by name, and remembers by name which one failed. " +
			"This rule compares only files that are checked together."},
	{ruleFeature, Error, true, false, false, "The file has no YAML tags, anchors, aliases or merge keys",
		"Mirror files do not need them. A tag that PyYAML's safe_load does not know is an error: " +
			"the update of the whole list stops. What it reads is a warning."},
	{ruleYAMLType, Error, false, false, true, "Strings that YAML 1.1 reads as another type are in quotes",
		"Without quotes, NO is the boolean false, 22:22 is the number 1342, 2024-01-01 is a date, and = is an error."},
	{ruleAmbiguous, Warning, false, false, true, "Values have the same meaning in YAML 1.1 and YAML 1.2",
		"yes is a boolean in YAML 1.1 and a string in YAML 1.2. " +
			"0o17 is a string in YAML 1.1 and the number 15 in YAML 1.2."},
	{ruleComment, Warning, false, false, false, "Names are in quotes if they contain a #",
		"YAML reads what follows a space and a # as a comment: sponsor: Example #1 is the sponsor Example."},
	{ruleMisspeltKey, Error, true, false, true, "Keys are spelt correctly",
		"AlmaLinux's schema allows any key, so the service ignores a misspelt key. " +
			"That of an optional key is a warning."},
	{ruleMisplacedKey, Error, true, false, false, "Keys are in the right section",
		"AlmaLinux's service ignores a key at the wrong level or in the wrong section: a warning. " +
			"It takes every key in address for a protocol, and stops if the value is not a string."},
	{ruleUnknownKey, Error, true, false, false, "The file has only keys that AlmaLinux's service reads",
		"Other keys have no effect: a warning. " +
			"In address, a key whose value is not a string stops the update of the whole list."},
	{ruleVersion, Error, false, false, true, "config_version is 1, or absent",
		"AlmaLinux's service looks for a schema of that version. It has only version 1, " +
			"and at another one the update of its whole list stops."},
	{ruleDuplicateKey, Warning, false, false, true, "No key is set twice",
		"PyYAML uses the last value without a warning, and other readers reject the file. " +
			"A fix removes the duplicate only if both values are equal."},
	{ruleType, Error, true, false, true, "Values have the types that AlmaLinux's schema requires",
		"A value of another type fails the validation, or makes the service fail. " +
			"An empty optional section is a warning."},
	{ruleRequired, Error, true, false, false, "Required keys are present and have a value",
		"AlmaLinux's schema requires name, address with http or https, update_frequency, sponsor and sponsor_url. " +
			"An empty sponsor or sponsor_url passes it and is a warning."},
	{ruleText, Error, true, false, true, "Values have at most 1000 bytes, no control, " +
		"invisible or bidirectional characters, and no leading or trailing spaces",
		"Values are shown on web pages and compared byte by byte. " +
			"Where the service only shows the value, such as in sponsor or email, it is a warning."},
	{ruleName, Error, false, false, true, "name is a DNS host name",
		"AlmaLinux's service looks up its addresses."},
	{ruleNameHost, Warning, false, false, false, "name is the host of the http or https URL",
		"AlmaLinux's service locates the mirror by the addresses of name, but sends clients to the URL."},
	{ruleDomain, Warning, false, false, false, "URLs are in the domain of name",
		"The domain is what someone registered, by the public suffix list: example.co.uk. " +
			"A URL in another one is most often that of another mirror, or misspelt."},
	{ruleMisspelt, Warning, false, false, false, "Names in the file agree with each other",
		"A name that differs in a letter from others in the file is misspelt: " +
			"the domain of email or sponsor_url, the host or path of one URL, the sponsor."},
	{ruleWWW, Warning, false, false, false, "Host names have www. once, with its dot",
		"www.www.example.org and wwwexample.org are slips for www.example.org."},
	{ruleURL, Error, true, false, true, "URLs are absolute and percent-encoded, without user name, password, " +
		"query or fragment",
		"Clients append paths to them, and the files are public. " +
			"sponsor_url and a subnets URL may have a query and a fragment, and are warnings: the mirror works."},
	{ruleScheme, Error, true, false, true, "Each URL has the scheme of its key; " +
		"sponsor_url and a subnets URL have https or http",
		"AlmaLinux's service and dnf choose the protocol by the key. " +
			"Where the mirror works all the same, as with an https URL in http, it is a warning."},
	{ruleModule, Warning, false, false, false, "rsync URLs have a module",
		"rsync://HOST/ lists a server's modules. A client needs rsync://HOST/MODULE."},
	{ruleForeign, Error, false, false, false, "URLs point to the mirror itself",
		"A file lists one mirror, not AlmaLinux's servers or other mirrors. " +
			"This rule compares only files that are checked together."},
	{ruleKitten, Error, false, false, false, "The Kitten tree and the almalinux tree are in separate directories",
		"rsync runs with --delete, so that each sync of the outer tree would delete the inner one."},
	{ruleHTTPS, Warning, false, true, false, "address has an https URL",
		"Clients that accept only HTTPS are not sent to a mirror without one."},
	{ruleGeolocation, Warning, false, false, false, "geolocation has country, state_province and city, " +
		"the latter two even if blank",
		"The mirror guide asks for it, and AlmaLinux's CI looks the place up and fails without it. " +
			"The service takes what is missing or blank from IPinfo. An empty country is an error of the rule country."},
	{ruleContinent, Warning, false, false, false, "geolocation.continent is the country's continent, or absent",
		"AlmaLinux's service stores it, and takes it from the country if it is absent. " +
			"It is a name such as Europe, or AF, AN, AS, EU, NA, OC or SA."},
	{rulePlace, Warning, false, false, false, "geolocation.city and state_province are in the country",
		"Compared with GeoNames' list of places with 5000 inhabitants or more, which is built in. " +
			"A place that it does not know is not reported, unless it differs in one letter from one in the country."},
	{ruleCountry, Error, true, false, true, "geolocation.country is an ISO 3166-1 alpha-2 code",
		"AlmaLinux's service compares it with the code of the client's country. The United Kingdom is GB, not UK. " +
			"A code in lower case and the English short name of ISO 3166 are warnings: the service maps them. " +
			"At other names the update of its whole list stops."},
	{ruleKosovo, Warning, false, false, false, "geolocation.country is an officially assigned code",
		"XK is commonly used for Kosovo, but ISO 3166-1 does not assign it."},
	{ruleFrequency, Error, true, false, true, "update_frequency is a number followed by m, h or d",
		"For example, 3h means every three hours. " +
			"Other notations that the service reads, such as 3 hours, are warnings."},
	{ruleSlow, Warning, false, false, false, "update_frequency is below the allowed_outdate of AlmaLinux's service",
		"The service removes mirrors with an older tree from the list: " +
			"a mirror that syncs as rarely as that is removed before each sync. " +
			"The limit is 12h, or the value in the service configuration if you pass one."},
	{ruleEmail, Warning, false, false, true, "email is a bare email address",
		"For example, mirror@example.org, without a name, brackets or mailto:. The service shows what the file has."},
	{ruleNoEmail, Warning, false, false, false, "email is set",
		"AlmaLinux needs it to reach the operator when the mirror fails."},
	{rulePrivate, Warning, false, false, false, "A private mirror has subnets or asn",
		"Without them, AlmaLinux sends no client to it. " +
			"AlmaLinux also sets private on failing mirrors to remove them from the list."},
	{ruleMonopoly, Warning, false, false, false, "A mirror with monopoly is private",
		"AlmaLinux's service sends clients of a monopoly mirror to no other mirror, " +
			"so it must be limited to your own networks."},
	{ruleASN, Warning, false, false, false, "asn has numbers from 1 to 4294967295",
		"AS numbers have 32 bits (RFC 6793), and 0 is reserved (RFC 7607)."},
	{ruleSubnets, Error, true, false, true, "subnets is a list of networks in CIDR notation without host bits, or one URL",
		"AlmaLinux's service compares client addresses with these networks. " +
			"At one that it cannot read, the update of its whole list stops. A single address is a warning."},
	{ruleCloud, Error, true, false, false, "Only AlmaLinux's own mirrors have cloud_type and cloud_regions, " +
		"and they have both",
		"Community mirrors are not allowed to set them: " +
			"a mirror with cloud_type is listed only for that cloud's clients. " +
			"AlmaLinux's schema requires the regions of a cloud; regions without a cloud have no effect."},
	{ruleTemplate, Warning, false, false, false, "The file does not have the instructions of AlmaLinux's template",
		"The template asks you to remove them before you submit the file."},
}

// Severities describes the severities of the rule's findings: error, warning, or error or warning.
func (r Rule) Severities() string {
	if r.Mixed {
		return string(Error) + " or " + string(Warning)
	}
	return string(r.Severity)
}

// Rules returns all rules.
func Rules() []Rule {
	return slices.Clone(rules)
}

// AllRules selects every rule in Options.
const AllRules = "all"

// selectRules returns the enabled rules.
func selectRules(enable, disable []string) (map[string]bool, error) {
	for _, name := range slices.Concat(enable, disable) {
		known := slices.ContainsFunc(rules, func(r Rule) bool { return r.Name == name })
		if !known && name != AllRules {
			return nil, unknownRule(name)
		}
		if slices.Contains(enable, name) && slices.Contains(disable, name) {
			return nil, fmt.Errorf("rule %s is both enabled and disabled", name)
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
		return fmt.Errorf("unknown rule %s; did you mean %s?", show(name), near)
	}
	return fmt.Errorf("unknown rule %s", show(name))
}

// severity returns the severity of a rule.
func severity(rule string) Severity {
	for _, r := range rules {
		if r.Name == rule {
			return r.Severity
		}
	}
	return Error
}
