package sshconfig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// user returns the user set so far, or "".
func (q *query) user() string {
	if v, ok := q.first["user"]; ok && q.given.User == "" {
		return v.args[0]
	}
	return q.given.User
}

// hostName returns the value of HostName so far, expanded if possible.
func (q *query) hostName() string {
	v, ok := q.first["hostname"]
	if !ok {
		return q.host
	}
	name, err := expand(v.args[0], map[byte]string{'h': q.host})
	if err != nil {
		return v.args[0]
	}
	return name
}

// settings converts the collected values.
func (q *query) settings() (*Settings, error) {
	s := &Settings{HostName: q.host, User: q.user(), Port: q.given.Port}
	if v, ok := q.first["hostname"]; ok {
		name, err := expand(v.args[0], map[byte]string{'h': q.host})
		if err != nil {
			return nil, fmt.Errorf("%s: HostName %s: %w", v.place, v.args[0], err)
		}
		s.HostName = name
	}
	s.HostName = strings.ToLower(s.HostName)
	if v, ok := q.first["port"]; ok && s.Port == 0 {
		s.Port = parsePort(v.args[0])
	}
	if v, ok := q.first["addressfamily"]; ok && !strings.EqualFold(v.args[0], "any") {
		s.AddressFamily = strings.ToLower(v.args[0])
	}
	if v, ok := q.first["identitiesonly"]; ok {
		s.IdentitiesOnly = strings.EqualFold(v.args[0], "yes") || strings.EqualFold(v.args[0], "true")
	}
	if v, ok := q.first["hostkeyalias"]; ok {
		s.HostKeyAlias = strings.ToLower(v.args[0])
	}
	if v, ok := q.first["connecttimeout"]; ok {
		s.ConnectTimeout, _ = parseDuration(v.args[0])
	}
	if v, ok := q.first["serveraliveinterval"]; ok {
		s.ServerAliveInterval, _ = parseDuration(v.args[0])
	}
	if v, ok := q.first["serveralivecountmax"]; ok {
		s.ServerAliveCountMax, _ = strconv.Atoi(v.args[0])
	}
	if v, ok := q.first["preferredauthentications"]; ok && !strings.Contains(","+strings.ToLower(v.args[0])+",", ",publickey,") {
		return nil, &LackError{"PreferredAuthentications", fmt.Errorf("%s: PreferredAuthentications, which applies to %s, "+
			"lacks publickey; mirrorform logs in with keys only",
			v.place, q.host)}
	}
	switch v, ok := q.first["proxyjump"]; {
	case ok && v.command && strings.EqualFold(v.raw, "none"):
	case ok && v.command:
		command, err := q.command(v.raw, s, "hnpr")
		if err != nil {
			return nil, fmt.Errorf("%s: ProxyCommand, which applies to %s: %w", v.place, q.host, err)
		}
		s.ProxyCommand, s.ProxyPlace = command, v.place
	case ok && v.raw != "":
		s.Jump, _ = ParseJump(v.raw)
		for i := range s.Jump {
			s.Jump[i].Place = v.place
		}
	}
	return s, q.files(s)
}

// files expands file names.
func (q *query) files(s *Settings) error {
	tokens := q.tokens(s)
	path := func(name string, v value, arg string) (string, error) {
		expanded, err := q.path(arg, tokens)
		if err != nil {
			return "", fmt.Errorf("%s: %s %s: %w", v.place, name, arg, err)
		}
		return expanded, nil
	}
	var errs []error
	list := func(name string, v value) (files []string) {
		for _, arg := range v.args {
			if strings.EqualFold(arg, "none") {
				arg = os.DevNull
			}
			file, err := path(name, v, arg)
			files, errs = append(files, file), append(errs, err)
		}
		return files
	}
	s.UserKnownHostsFiles = list("UserKnownHostsFile", q.first["userknownhostsfile"])
	s.GlobalKnownHostsFile = list("GlobalKnownHostsFile", q.first["globalknownhostsfile"])
	for _, v := range q.identities {
		if strings.EqualFold(v.args[0], "none") {
			s.NoIdentityFiles = true
			continue
		}
		file, err := path("IdentityFile", v, v.args[0])
		s.IdentityFiles, errs = appendNew(s.IdentityFiles, file), append(errs, err)
	}
	for _, v := range q.certificates {
		if strings.EqualFold(v.args[0], "none") {
			continue
		}
		file, err := path("CertificateFile", v, v.args[0])
		s.CertificateFiles, errs = appendNew(s.CertificateFiles, file), append(errs, err)
	}
	if v, ok := q.first["identityagent"]; ok {
		switch arg := v.args[0]; {
		case strings.EqualFold(arg, "none"):
			s.IdentityAgent = "none"
		case arg == "SSH_AUTH_SOCK":
		case strings.HasPrefix(arg, "$") && !strings.HasPrefix(arg, "${"):
			if s.IdentityAgent = os.Getenv(arg[1:]); s.IdentityAgent == "" {
				s.IdentityAgent = "none"
			}
		default:
			file, err := path("IdentityAgent", v, arg)
			s.IdentityAgent, errs = file, append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// appendNew appends s unless the list has it.
func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// tokens returns the values of percent tokens: ssh_config(5), TOKENS.
func (q *query) tokens(s *Settings) map[byte]string {
	local, _ := os.Hostname()
	short, _, _ := strings.Cut(local, ".")
	remote, port, alias := s.User, s.Port, s.HostKeyAlias
	if remote == "" {
		remote = q.config.self.Username
	}
	if port == 0 {
		port = 22
	}
	if alias == "" {
		alias = q.host
	}
	return map[byte]string{
		'd': q.config.home, 'h': s.HostName, 'i': q.config.self.Uid, 'k': alias, 'L': short, 'l': local, 'n': q.host,
		'p': strconv.Itoa(port), 'r': remote, 'u': q.config.self.Username,
	}
}

// path expands ~, percent tokens and ${VARIABLES} in a file name.
func (q *query) path(name string, tokens map[byte]string) (string, error) {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		name = filepath.Join(strings.ReplaceAll(q.config.home, "%", "%%"), rest)
	} else if strings.HasPrefix(name, "~") {
		return "", errors.New("home directories of other users are not supported: write an absolute path")
	}
	return expand(name, tokens)
}

// expand expands percent tokens and ${VARIABLES} of the environment.
func expand(s string, tokens map[byte]string) (string, error) {
	var b strings.Builder
	for {
		text, rest, found := strings.Cut(s, "${")
		part, _, err := replace(text, tokens)
		if err != nil {
			return "", err
		}
		b.WriteString(part)
		if !found {
			return b.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		value, set := os.LookupEnv(name)
		if !closed || !set {
			return "", fmt.Errorf("the environment has no variable %q", name)
		}
		b.WriteString(value)
		s = after
	}
}

// replace replaces percent tokens, and returns which of them it has found.
func replace(s string, tokens map[byte]string) (text string, used map[byte]bool, err error) {
	var b strings.Builder
	used = map[byte]bool{}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '%':
			b.WriteByte(s[i])
		case i+1 == len(s):
			return "", nil, errors.New("% at the end: write %% for a percent sign")
		case s[i+1] == '%':
			b.WriteByte('%')
			i++
		default:
			value, ok := tokens[s[i+1]]
			if !ok {
				return "", nil, fmt.Errorf("the token %%%c is not supported here", s[i+1])
			}
			b.WriteString(value)
			used[s[i+1]] = true
			i++
		}
	}
	return b.String(), used, nil
}
