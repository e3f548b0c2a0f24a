package run

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
)

// FailedHosts is the value of --limit for the hosts that did not end as wanted in their last apply.
const FailedHosts = "@failed"

// Selection selects hosts and resources of a configuration. Its zero value selects all.
type Selection struct {
	Limit  []string // --limit
	Shard  Shard
	Target []string // addresses; what they need is selected too
	// Replace contains addresses of resources to remove and recreate.
	Replace []string
}

// Narrows reports whether the selection limits the hosts.
func (s *Selection) Narrows() bool { return len(s.Limit) > 0 || s.Shard.Parts > 0 }

// limitValue is a value of --limit, or a line of a --limit file.
type limitValue struct {
	origin   string // for errors
	selector *config.Selector
	// names are the hosts of @failed.
	names  []string
	failed bool
}

// subtracts reports whether the value only excludes hosts: from those that other values select, or
// from all.
func (v *limitValue) subtracts() bool { return v.selector != nil && v.selector.Subtracts() }

// limits parses the values of --limit. @failed selects the hosts that failed in the last run of the
// configuration in dir.
func (s *Selection) limits(dir string) ([]limitValue, error) {
	var list []limitValue
	for _, text := range s.Limit {
		origin := fmt.Sprintf("--limit %q", text)
		switch file, isFile := strings.CutPrefix(text, "@"); {
		case text == "":
			return nil, errors.New("--limit is empty: omit it to select all hosts")
		case text == FailedHosts:
			last, err := readLastRun(dir)
			if err != nil {
				return nil, err
			}
			list = append(list, limitValue{origin: origin, names: last.failed(), failed: true})
		case isFile:
			lines, err := readLimitFile(file)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", origin, err)
			}
			list = append(list, lines...)
		default:
			s, err := config.ParseSelector(text)
			if err != nil {
				return nil, fmt.Errorf("--limit: %w", err)
			}
			list = append(list, limitValue{origin: origin, selector: s})
		}
	}
	return list, nil
}

// readLimitFile reads a file in which each line is a value of --limit.
func readLimitFile(name string) (list []limitValue, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // errors do not matter after reading
	in := bufio.NewScanner(file)
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		s, err := config.ParseSelector(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		list = append(list, limitValue{origin: fmt.Sprintf("%s:%d: %q", name, n, line), selector: s})
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("the file contains no hosts")
	}
	return list, nil
}

// hosts returns the declared hosts that --limit and --shard select; without them, all. Host local
// is included with other hosts, since it has the files that mirrors publish; localNamed reports
// whether --limit names it.
func (s *Selection) hosts(declared []*config.DeclaredHost, dir string) (hosts []engine.Host, localNamed bool, err error) {
	values, err := s.limits(dir)
	if err != nil {
		return nil, false, err
	}
	selected, left := map[string]bool{}, map[string]bool{}
	onlyLess := !slices.ContainsFunc(values, func(v limitValue) bool { return !v.subtracts() })
	for _, v := range values {
		if v.failed {
			for _, h := range declared {
				selected[h.Name] = selected[h.Name] || slices.Contains(v.names, h.Name)
			}
			continue
		}
		if none := v.selector.Unmatched(declared); none != "" {
			return nil, false, &NoHostError{v.origin, none, v.selector.UnknownLabel(declared)}
		}
		for _, h := range declared {
			matches := v.selector.Match(h)
			if v.subtracts() {
				left[h.Name] = left[h.Name] || !matches
				matches = matches && onlyLess
			}
			selected[h.Name] = selected[h.Name] || matches
		}
	}
	for name := range left {
		selected[name] = selected[name] && !left[name]
	}
	localNamed = slices.ContainsFunc(values, func(v limitValue) bool {
		return v.selector != nil && v.selector.MeansLocal() || slices.Contains(v.names, "local")
	})
	for _, h := range declared {
		switch {
		case h.Local && (len(hosts) > 0 || localNamed || len(values) == 0 && s.Shard.has(h.Name)):
		case h.Local, len(values) > 0 && !selected[h.Name], !s.Shard.has(h.Name):
			continue
		}
		hosts = append(hosts, engine.Host{Name: h.Name, Last: h.Local, Here: h.OnThisMachine})
	}
	return hosts, localNamed, nil
}

// NoHostError is the error of a --limit that matches no host.
type NoHostError struct {
	origin string
	// Text is the part of the value that matches no host.
	Text  string
	label string
}

func (e *NoHostError) Error() string {
	text := e.origin
	if !strings.Contains(text, strconv.Quote(e.Text)) {
		text += fmt.Sprintf(": %q", e.Text)
	}
	text += " matches no host of this configuration"
	if e.label != "" {
		text += fmt.Sprintf("; no host has a label %q", e.label)
	}
	return text
}

// Shard is part number Part of Parts, counted from 1. Its zero value includes everything.
type Shard struct{ Part, Parts int }

func (s Shard) String() string {
	if s.Parts == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Part, s.Parts)
}

// has reports whether a host is in the shard. The rule must never change: machines with different
// versions share the work.
func (s Shard) has(name string) bool {
	return s.Parts == 0 || shardOf(name, s.Parts) == s.Part
}

// shardOf returns the part, counted from 1, of a host name.
func shardOf(name string, parts int) int {
	sum := sha256.Sum256([]byte(name))
	return 1 + int(binary.BigEndian.Uint64(sum[:8])%uint64(parts)) //nolint:gosec // above zero
}

// saved returns --limit for a saved plan, with files and @failed expanded.
func (s *Selection) saved(dir string) ([]string, error) {
	values, err := s.limits(dir)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, v := range values {
		if v.failed {
			list = append(list, v.names...)
		} else {
			list = append(list, v.selector.String())
		}
	}
	return list, nil
}
