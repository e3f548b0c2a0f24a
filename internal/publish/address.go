package publish

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
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

// gitAddress checks a git URL from the API. The token is sent there, so the host must be the host
// of the API: github.com for api.github.com.
func gitAddress(api *url.URL, raw string) (string, error) {
	u, err := webURL(raw)
	if err != nil {
		return "", err
	}
	if host := strings.TrimPrefix(api.Hostname(), "api."); !strings.EqualFold(u.Hostname(), host) {
		return "", fmt.Errorf("is on %s, not on %s", u.Hostname(), host)
	}
	if u.Scheme == "http" && api.Scheme != "http" {
		return "", errors.New("does not begin with https://")
	}
	return u.String(), nil
}

// remote is a remote of the user's clone, as parsed from its URL.
type remote struct {
	owner, name string // "" if the URL does not end in OWNER/NAME
	file        string // absolute path of a repository on this machine, or ""
}

// scpLike is git's short form of an SSH URL (git-clone(1), GIT URLS).
var scpLike = regexp.MustCompile(`^(?:[A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*:([^:].*)$`)

// parseRemote parses the URL of a remote. It accepts https, http, ssh, git, git's short form of
// ssh, file, and absolute paths. It rejects ext:: and other remote helpers (gitremote-helpers(7)),
// which run programs. Errors do not repeat the URL, since it may contain a password.
func parseRemote(raw string) (remote, error) {
	switch {
	case raw == "" || strings.HasPrefix(raw, "-"):
		return remote{}, errors.New("has an invalid URL: it is empty or begins with a hyphen")
	case strings.Contains(raw, "::") && !strings.Contains(raw, "://"):
		return remote{}, errors.New("has a URL of a remote helper (such as ext::), which would run a program; " +
			"use https or ssh")
	case strings.HasPrefix(raw, "/"):
		return fileRemote(raw)
	}
	if m := scpLike.FindStringSubmatch(raw); m != nil && !strings.Contains(raw, "://") {
		return named(m[1]), nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return remote{}, errors.New("has an invalid URL")
	}
	if _, hasPassword := u.User.Password(); hasPassword || u.User != nil && u.Scheme != "ssh" {
		return remote{}, errors.New("has a user name or password in its URL; " +
			"remove it with git remote set-url, and set GITHUB_TOKEN")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return remote{}, errors.New("has a URL with a query or fragment")
	}
	switch u.Scheme {
	case "https", "http", "ssh", "git":
		return named(u.Path), nil
	case "file":
		if u.Host != "" && u.Host != "localhost" {
			return remote{}, errors.New("has a file URL with a host name; write file:///PATH")
		}
		return fileRemote(u.Path)
	}
	return remote{}, fmt.Errorf("has a URL with the unsupported scheme %q; use https or ssh", u.Scheme)
}

func fileRemote(p string) (remote, error) {
	if !strings.HasPrefix(p, "/") || path.Clean(p) != strings.TrimSuffix(p, "/") || strings.ContainsAny(p, "\x00\n\r") {
		return remote{}, errors.New(`has a path that is not absolute, or that contains "." or ".."`)
	}
	r := named(p)
	r.file = path.Clean(p)
	return r, nil
}

// named returns the remote for OWNER/NAME at the end of a path.
func named(p string) remote {
	parts := strings.Split(strings.Trim(p, "/"), "/")
	if len(parts) < 2 {
		return remote{}
	}
	owner, name := parts[len(parts)-2], strings.TrimSuffix(parts[len(parts)-1], ".git")
	if !validOwner(owner) || !validRepository(name) {
		return remote{}
	}
	return remote{owner: owner, name: name}
}
