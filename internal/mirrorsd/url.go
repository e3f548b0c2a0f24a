package mirrorsd

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// each calls do for the URL of every protocol, in file order.
func (a Address) each(do func(protocol, url string)) {
	do("http", a.HTTP)
	do("https", a.HTTPS)
	do("rsync", a.Rsync)
	do("ftp", a.FTP)
}

// address checks the URLs of one tree. Each must have the scheme of its key.
func (c *checker) address(path string, a Address) {
	served := false
	a.each(func(protocol, raw string) {
		served = served || raw != "" && slices.Contains(c.service.RequiredProtocols, protocol)
	})
	if !served {
		c.errorf(ruleRequired, path, "needs %s, since dnf uses no other protocol; add at least one such URL",
			strings.Join(c.service.RequiredProtocols, " or "))
	}
	a.each(func(protocol, raw string) {
		key := join(path, protocol)
		if raw == "" || c.bad[key] {
			return
		}
		c.url(key, raw, false, protocol)
		if t, ok := treeOf(raw); ok && !c.bad[key] && protocol == "rsync" && t.path == "/" {
			c.warnf(ruleModule, key, "%s has no module; write rsync://HOST/MODULE, or remove the key", show(raw))
		}
	})
}

// url checks an absolute URL, which may have a query and a fragment only if query is true. A URL
// with an @ may contain a password, so messages do not repeat it.
func (c *checker) url(key, raw string, query bool, schemes ...string) {
	err := checkURL(raw, query, schemes)
	if err == nil {
		return
	}
	c.bad[key] = true
	rule := ruleURL
	if errors.As(err, new(schemeError)) {
		rule = ruleScheme
	}
	if !strings.Contains(raw, "@") {
		err = fmt.Errorf("%s %w", show(raw), err)
	}
	c.errorf(rule, key, "%v", err)
	c.fix(repairURL(raw, query, schemes))
	// The service only shows these URLs, or does without what it cannot fetch.
	if key == "sponsor_url" || key == "subnets" || rule == ruleScheme && otherScheme(key, raw) {
		c.mild()
	}
}

// otherScheme reports whether a URL under the key of another protocol works all the same for
// AlmaLinux's service: HTTP and HTTPS for each other, and any URL that it only shows.
func otherScheme(key, raw string) bool {
	web := []string{"http", "https"}
	if strings.HasSuffix(key, ".rsync") || strings.HasSuffix(key, ".ftp") {
		web = append(web, "rsync", "ftp")
	}
	return checkURL(raw, false, web) == nil
}

// repairURL returns the URL that an invalid one clearly means, or "".
func repairURL(raw string, query bool, schemes []string) string {
	var try string
	if scheme, rest, ok := strings.Cut(raw, "://"); ok {
		try = strings.ToLower(scheme) + "://" + rest
	} else if len(schemes) != 1 {
		return "" // the scheme is ambiguous
	} else {
		try = schemes[0] + "://" + strings.TrimPrefix(raw, "//")
	}
	if strings.HasPrefix(try, "rsync://") && !strings.Contains(try, "[") {
		try = strings.Replace(try, "::", "/", 1)
	}
	if try == raw || checkURL(try, query, schemes) != nil {
		return ""
	}
	return try
}

// schemeError is the error of a URL with a wrong scheme. It lists the valid schemes.
type schemeError []string

func (e schemeError) Error() string {
	return "does not begin with " + strings.Join(e, ":// or ") + "://"
}

func checkURL(raw string, query bool, schemes []string) error {
	for _, r := range raw {
		if r <= ' ' || r > '~' || strings.ContainsRune("\"<>\\^`{|}", r) {
			return fmt.Errorf("has the character %q; percent-encode it (in a host name, use punycode)", r)
		}
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || !slices.Contains(schemes, scheme) {
		return schemeError(schemes)
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	if strings.Contains(authority, "@") {
		return errors.New("must not contain a user name or password; the file is public")
	}
	if scheme == "rsync" && strings.Contains(authority, "::") && authority[0] != '[' {
		return errors.New("mixes two forms of rsync addresses; " +
			"write rsync://HOST/MODULE, with a slash instead of the colons")
	}
	if !query && strings.ContainsAny(rest, "?#") {
		return errors.New("must not have a query or fragment (? or #)")
	}
	u, err := url.Parse(raw)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err // without the URL, which the caller adds
		}
		return fmt.Errorf("is not a valid URL: %w", err)
	}
	if err := urlHost(u); err != nil {
		return err
	}
	for _, part := range strings.Split(u.Path, "/") {
		if part == "." || part == ".." {
			return errors.New("has . or .. in its path; remove them from the path")
		}
	}
	return nil
}

func urlHost(u *url.URL) error {
	host := u.Hostname()
	if host == "" {
		return errors.New("has no host name")
	}
	if strings.HasSuffix(u.Host, ":") {
		return errors.New("has a colon without a port after its host name")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return errors.New("has an invalid port; ports are 1 to 65535")
		}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return errors.New("has an IPv6 zone, which is valid only on one host; remove it")
		}
		return nil
	}
	if err := hostName(host); err != nil {
		return fmt.Errorf("has an invalid host name: %w", err)
	}
	return nil
}

// hostName checks a fully qualified DNS host name without a final dot (RFC 1123, section 2.1, and
// RFC 1035, section 2.3.4).
func hostName(s string) error {
	if len(s) > 253 {
		return errors.New("it is longer than 253 characters")
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return errors.New("it is an IP address")
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		switch {
		case label == "":
			return errors.New("it has an empty part; write it like mirror.example.org")
		case len(label) > 63:
			return errors.New("a part between dots is longer than 63 characters")
		case label[0] == '-' || label[len(label)-1] == '-':
			return errors.New("a part between dots begins or ends with a hyphen")
		}
		for _, r := range label {
			if r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
				return fmt.Errorf("it contains %q; only letters, digits, hyphens and dots are allowed", r)
			}
		}
	}
	if len(labels) == 1 {
		return errors.New("it has no domain; write it in full, like mirror.example.org")
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return errors.New("its last part is a number")
	}
	return nil
}

// tree is the location of a URL's files in a comparable form. HTTP and HTTPS on their default ports
// count as the same tree.
type tree struct{ kind, host, port, path string }

func treeOf(raw string) (tree, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return tree{}, false
	}
	t := tree{kind: u.Scheme, host: strings.ToLower(u.Hostname()), port: u.Port(), path: path.Clean("/" + u.Path)}
	usual := map[string]string{"http": "80", "https": "443", "rsync": "873", "ftp": "21"}
	if t.port == usual[t.kind] {
		t.port = ""
	}
	if t.kind == "https" {
		t.kind = "http"
	}
	return t, true
}

// within reports whether t is o or is below it. The paths are those of URLs.
func (t tree) within(o tree) bool {
	if t.kind != o.kind || t.host != o.host || t.port != o.port {
		return false
	}
	return t.path == o.path || strings.HasPrefix(t.path, strings.TrimSuffix(o.path, "/")+"/")
}

// separate requires that neither tree is inside the other. rsync syncs each tree with --delete,
// which would remove the inner tree.
func (c *checker) separate(alma, kitten Address) {
	kitten.each(func(protocol, raw string) {
		key := "address_optional.kitten." + protocol
		k, ok := treeOf(raw)
		if !ok || c.bad[key] {
			return
		}
		found := false
		alma.each(func(protocol, raw string) {
			almaKey := "address." + protocol
			a, ok := treeOf(raw)
			if !ok || c.bad[almaKey] || found {
				return
			}
			found = true
			switch {
			case k == a:
				c.errorf(ruleKitten, key, "is the same tree as %s; Kitten needs its own directory", almaKey)
			case k.within(a):
				c.errorf(ruleKitten, key, "is inside the almalinux tree (%s), whose sync would delete it; "+
					"move Kitten to a sibling directory such as /almalinux-kitten/", almaKey)
			case a.within(k):
				c.errorf(ruleKitten, key, "contains the almalinux tree (%s), which Kitten's sync would delete; "+
					"move Kitten to a sibling directory such as /almalinux-kitten/", almaKey)
			default:
				found = false
			}
		})
	})
}
