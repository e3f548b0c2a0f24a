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

// ownerName is an account's name: letters, digits and single hyphens, at most 39 characters; an enterprise adds an underscore and
// a short code for its managed users.
var ownerName = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?$`)

// validOwner reports whether an account can have that name.
func validOwner(name string) bool { return len(name) <= 100 && ownerName.MatchString(name) }

var repositoryName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// validRepository tells whether a repository can have that name: letters, digits, dots, hyphens and underscores.
func validRepository(name string) bool {
	return len(name) <= 100 && repositoryName.MatchString(name) && name != "." && name != ".."
}

// parseAPIURL checks the API's address. A token is sent there, so it has to be https, or on this machine.
func parseAPIURL(raw string) (*url.URL, error) {
	if raw == "" {
		raw = DefaultAPIURL
	}
	u, err := webURL(raw)
	if err != nil {
		return nil, fmt.Errorf("the API's address %w; it is %s for github.com, and https://HOST/api/v3/ for GitHub Enterprise Server", err, DefaultAPIURL)
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	return u, nil
}

// webURL parses an https URL, or an http one of this machine, that holds nothing but a host and a path. Errors do not repeat it,
// since it may hold a password.
func webURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL")
	case u.User != nil || strings.Contains(u.Host, "@"):
		return nil, errors.New("has a user name or password in it; secrets do not belong into URLs, set GITHUB_TOKEN")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, errors.New("does not begin with https://, so a token would be sent in the clear")
	case u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("has no host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("has a query or fragment")
	}
	return u, nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// gitAddress checks a URL that the API gives for git. The token is sent to it, so it has to be the API's own host: github.com for
// api.github.com.
func gitAddress(api *url.URL, raw string) (string, error) {
	u, err := webURL(raw)
	if err != nil {
		return "", err
	}
	if host := strings.TrimPrefix(api.Hostname(), "api."); !strings.EqualFold(u.Hostname(), host) {
		return "", fmt.Errorf("is on %s, and not on %s", u.Hostname(), host)
	}
	if u.Scheme == "http" && api.Scheme != "http" {
		return "", errors.New("does not begin with https://")
	}
	return u.String(), nil
}

// remote is a remote of the user's clone, as far as its URL tells.
type remote struct {
	owner, name string // "" if the URL does not end in two names
	file        string // the absolute path of a repository on this machine, or ""
}

// scpLike is git's short form of an SSH URL (git-clone(1), GIT URLS).
var scpLike = regexp.MustCompile(`^(?:[A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*:([^:].*)$`)

// parseRemote reads a remote's URL. Only forms that can do no more than name a repository are taken: https, http, ssh, git, git's
// short form of ssh, and file or an absolute path; not ext:: and other helpers (gitremote-helpers(7)), which run programs. Errors do not
// repeat the URL, since it may hold a password.
func parseRemote(raw string) (remote, error) {
	switch {
	case raw == "" || strings.HasPrefix(raw, "-"):
		return remote{}, errors.New("has a URL that is empty or begins with a hyphen")
	case strings.Contains(raw, "::") && !strings.Contains(raw, "://"):
		return remote{}, errors.New("has a URL of a remote helper (ext:: and the like), which would run a program; use https or ssh")
	case strings.HasPrefix(raw, "/"):
		return fileRemote(raw)
	}
	if m := scpLike.FindStringSubmatch(raw); m != nil && !strings.Contains(raw, "://") {
		return named(m[1]), nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return remote{}, errors.New("has a URL that cannot be read")
	}
	if _, hasPassword := u.User.Password(); hasPassword || u.User != nil && u.Scheme != "ssh" {
		return remote{}, errors.New("has a user name or password in its URL; secrets do not belong there: git remote set-url it without, and set GITHUB_TOKEN")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return remote{}, errors.New("has a URL with a query or fragment")
	}
	switch u.Scheme {
	case "https", "http", "ssh", "git":
		return named(u.Path), nil
	case "file":
		if u.Host != "" && u.Host != "localhost" {
			return remote{}, errors.New("has a file: URL with a host; write file:///PATH")
		}
		return fileRemote(u.Path)
	}
	return remote{}, fmt.Errorf("has a URL of the scheme %q, which is not taken; use https or ssh", u.Scheme)
}

func fileRemote(p string) (remote, error) {
	if !strings.HasPrefix(p, "/") || path.Clean(p) != strings.TrimSuffix(p, "/") || strings.ContainsAny(p, "\x00\n\r") {
		return remote{}, errors.New("has a path that is not absolute, or has . or .. in it")
	}
	r := named(p)
	r.file = path.Clean(p)
	return r, nil
}

// named takes OWNER/NAME from the end of a path.
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
