package mirrorsd

import (
	"fmt"
	"slices"
	"strings"
)

// Rule is a rule of the Linter.
type Rule struct {
	Name     string   // as in options and findings: lower case, with hyphens
	Severity Severity // of all findings of the rule
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
)

// rules are in the order in which a reader of a file meets their subjects.
var rules = []Rule{
	{ruleSyntax, Error, false, false, "The file is a single, readable YAML document",
		"If AlmaLinux's service cannot read one file, it may fail to read the others."},
	{ruleEncoding, Error, false, false, "The file is encoded in UTF-8",
		"AlmaLinux's service opens all files as UTF-8."},
	{ruleBOM, Warning, false, true, "The file has no byte order mark",
		"UTF-8 does not need one, and some readers treat it as part of the first key."},
	{ruleLineEnding, Warning, false, true, "Lines end with a line feed only",
		"The other files have no carriage returns, and a diff that removes them shows every line as changed."},
	{ruleTab, Error, false, true, "The file has no tabs in indentation, between keys and values, " +
		"or at the end of a line",
		"PyYAML, the reader of AlmaLinux's service, rejects such a file. " +
			"Many other readers and editors accept it without a warning."},
	{ruleExtension, Error, false, false, "The file name ends in .yml",
		"AlmaLinux's service reads only *.yml files and would not list the mirror."},
	{ruleFileName, Warning, false, false, "The file is named after the mirror: NAME.yml",
		"People look for a mirror's file by the mirror's name."},
	{ruleDuplicate, Error, false, false, "No other file has the same mirror name",
		"AlmaLinux's service identifies mirrors by name. This rule compares only files that are checked together."},
	{ruleFeature, Error, false, false, "The file has no YAML tags, anchors, aliases or merge keys",
		"Mirror files do not need them, and PyYAML's safe_load rejects many tags."},
	{ruleYAMLType, Error, false, true, "Strings that YAML 1.1 reads as another type are in quotes",
		"Without quotes, NO is the boolean false, 22:22 is the number 1342, 2024-01-01 is a date, and = is an error."},
	{ruleAmbiguous, Warning, false, true, "Values have the same meaning in YAML 1.1 and YAML 1.2",
		"yes is a boolean in YAML 1.1 and a string in YAML 1.2. " +
			"0o17 is a string in YAML 1.1 and the number 15 in YAML 1.2."},
	{ruleMisspeltKey, Error, false, true, "Keys are spelt correctly",
		"AlmaLinux's schema allows any key, so the service ignores a misspelt key without an error."},
	{ruleMisplacedKey, Error, false, false, "Keys are in the right section",
		"AlmaLinux's service ignores a key at the wrong level or in the wrong section without an error."},
	{ruleUnknownKey, Warning, false, false, "The file has only keys that AlmaLinux's service reads",
		"Other keys have no effect."},
	{ruleDuplicateKey, Error, false, true, "No key is set twice",
		"PyYAML uses the last value without a warning, and other readers reject the file. " +
			"A fix removes the duplicate only if both values are equal."},
	{ruleType, Error, false, true, "Values have the types that AlmaLinux's schema requires",
		"A value of another type fails the validation, or makes the service fail."},
	{ruleRequired, Error, false, false, "Required keys are present and have a value",
		"AlmaLinux's schema requires name, address with http or https, update_frequency, sponsor and sponsor_url. " +
			"A geolocation is useless without a country."},
	{ruleText, Error, false, true, "Values have at most 1000 bytes, no control, " +
		"invisible or bidirectional characters, and no leading or trailing spaces",
		"Values are shown on web pages and compared byte by byte."},
	{ruleName, Error, false, true, "name is a DNS host name",
		"AlmaLinux's service looks up its addresses."},
	{ruleNameHost, Warning, false, false, "name is the host of the http or https URL",
		"AlmaLinux's service locates the mirror by the addresses of name, but sends clients to the URL."},
	{ruleURL, Error, false, true, "URLs are absolute and percent-encoded, without user name, password, " +
		"query or fragment",
		"Clients append paths to them, and the files are public. " +
			"sponsor_url and a subnets URL may have a query and a fragment."},
	{ruleScheme, Error, false, true, "Each URL has the scheme of its key; " +
		"sponsor_url and a subnets URL have https or http",
		"AlmaLinux's service and dnf choose the protocol by the key."},
	{ruleForeign, Error, false, false, "URLs point to the mirror itself",
		"A file lists one mirror, not AlmaLinux's servers or other mirrors. " +
			"This rule compares only files that are checked together."},
	{ruleKitten, Error, false, false, "The Kitten tree and the almalinux tree are in separate directories",
		"rsync runs with --delete, so that each sync of the outer tree would delete the inner one."},
	{ruleHTTPS, Warning, true, false, "address has an https URL",
		"Clients that accept only HTTPS are not sent to a mirror without one."},
	{ruleCountry, Error, false, true, "geolocation.country is an ISO 3166-1 alpha-2 code",
		"AlmaLinux's service compares it with the code of the client's country. The United Kingdom is GB, not UK."},
	{ruleKosovo, Warning, false, false, "geolocation.country is an officially assigned code",
		"XK is commonly used for Kosovo, but ISO 3166-1 does not assign it."},
	{ruleFrequency, Error, false, true, "update_frequency is a number followed by m, h or d",
		"For example, 3h means every three hours."},
	{ruleSlow, Warning, false, false, "update_frequency is at most the allowed_outdate of AlmaLinux's service",
		"The service removes mirrors with an older tree from the list. " +
			"The limit is 12h, or the value in the service configuration if you pass one."},
	{ruleEmail, Error, false, true, "email is a bare email address",
		"For example, mirror@example.org, without a name, brackets or mailto:."},
	{ruleNoEmail, Warning, false, false, "email is set",
		"AlmaLinux needs it to reach the operator when the mirror fails."},
	{rulePrivate, Warning, false, false, "A private mirror has subnets or asn",
		"Without them, AlmaLinux sends no client to it. " +
			"AlmaLinux also sets private on failing mirrors to remove them from the list."},
	{ruleMonopoly, Error, false, false, "A mirror with monopoly is private",
		"AlmaLinux's service sends clients of a monopoly mirror to no other mirror, " +
			"so it must be limited to your own networks."},
	{ruleASN, Error, false, false, "asn has numbers from 1 to 4294967295",
		"AS numbers have 32 bits (RFC 6793), and 0 is reserved (RFC 7607)."},
	{ruleSubnets, Error, false, true, "subnets is a list of networks in CIDR notation without host bits, or one URL",
		"AlmaLinux's service compares client addresses with these networks."},
	{ruleCloud, Error, false, false, "cloud_type and cloud_regions are set together",
		"AlmaLinux's schema requires the regions of a cloud."},
	{ruleTemplate, Warning, false, false, "The file does not have the instructions of AlmaLinux's template",
		"The template asks you to remove them before you submit the file."},
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
