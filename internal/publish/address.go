package publish

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// ownerName matches the name of a GitHub account: letters, digits and single hyphens, at most 39
// characters. Names of an enterprise's managed users also have an underscore and a short code.
var ownerName = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?$`)

// validOwner reports whether an account can have this name.
func validOwner(name string) bool { return len(name) <= 100 && ownerName.MatchString(name) }

var repositoryName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// validRepository reports whether a repository can have this name: letters, digits, dots, hyphens
// and underscores.
func validRepository(name string) bool {
	return len(name) <= 100 && repositoryName.MatchString(name) && name != "." && name != ".."
}

// parseAPIURL checks the address of the API. The token is sent there, so the address must use
// https, or be on this machine.
func parseAPIURL(raw string) (*url.URL, error) {
	if raw == "" {
		raw = DefaultAPIURL
	}
	u, err := webURL(raw)
	if err != nil {
		return nil, fmt.Errorf("the API address %w; "+
			"use %s for github.com, or https://HOST/api/v3/ for GitHub Enterprise Server",
			err, DefaultAPIURL)
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	return u, nil
}

// webURL parses an https URL, or an http URL of this machine, that has only a host and a path.
// Errors do not repeat the URL, since it may contain a password.
func webURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("is not a valid URL")
	case u.User != nil || strings.Contains(u.Host, "@"):
		return nil, errors.New("contains a user name or password; remove it from the URL and set GITHUB_TOKEN")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, errors.New("does not begin with https://, so the token would be sent unencrypted")
	case u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("has no host name")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("has a query or fragment")
	}
	return u, nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
