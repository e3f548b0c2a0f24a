package cli

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
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/spf13/cobra"
)

// failedHosts is the --limit that means the hosts that did not end as wanted when they were last applied to.
const failedHosts = "@failed"

// limitHelp explains --limit, in the help of commands that select hosts.
const limitHelp = `--limit takes hosts or labels, with commas between them, and may be given again: what any of its values means is selected.
  fra1,edge,web-*            these hosts: names, for_each blocks, globs
  edge,!edge["ams"]          these without those after a !; with ! alone, all but these. In a value of its own ! takes away from the others
  wave=canary,country!=DE    the hosts for which all of these hold; values are globs, and a label that a host does not have is empty
  @FILE                      what the lines of FILE mean, each as a value of --limit; a line that begins with # is a comment
  @failed                    those that failed, were unreachable, rolled back or not started when they were last applied to from here

--shard 3/10 selects, of these, the third of ten parts: a host is in part 1 + H mod 10, where H is the first eight bytes of the SHA-256 of its name, as
a big-endian number. That is the same on every machine and in every version, and other hosts do not change it.`

// limitValue is a value of --limit, or a line of a file that one named.
type limitValue struct {
	origin   string // as errors name it
	selector *config.Selector
	// names are the hosts of @failed.
	names  []string
	failed bool
}

// subtracts reports whether a value only takes hosts away: from what the others mean, or from all.
func (v *limitValue) subtracts() bool { return v.selector != nil && v.selector.Subtracts() }

// limits reads the values of --limit.
func (a *app) limits() ([]limitValue, error) {
	var list []limitValue
	for _, text := range a.limit {
		origin := fmt.Sprintf("--limit %q", text)
		switch file, isFile := strings.CutPrefix(text, "@"); {
		case text == "":
			return nil, errors.New("--limit is empty: leave it out to mean all hosts")
		case text == failedHosts:
			last, err := a.readLastRun()
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

// readLimitFile reads a file of which each line is a value of --limit.
func readLimitFile(name string) (list []limitValue, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
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
		return nil, errors.New("the file names no hosts")
	}
	return list, nil
}

// selectHosts returns the hosts that --limit and --shard mean, all by default. Host local goes along, since it holds what mirrors publish.
func (a *app) selectHosts(declared []*config.Host) ([]engine.Host, error) {
	values, err := a.limits()
	if err != nil {
		return nil, err
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
			return nil, &noHostError{v.origin, none, v.selector.UnknownLabel(declared)}
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
	var hosts []engine.Host
	a.localNamed = slices.ContainsFunc(values, func(v limitValue) bool {
		return v.selector != nil && v.selector.MeansLocal() || slices.Contains(v.names, "local")
	})
	for _, h := range declared {
		switch {
		case h.Local && (len(hosts) > 0 || a.localNamed || len(values) == 0 && a.shard.has(h.Name)):
		case h.Local, len(values) > 0 && !selected[h.Name], !a.shard.has(h.Name):
			continue
		}
		hosts = append(hosts, engine.Host{Name: h.Name, Last: h.Local, Here: h.OnThisMachine})
	}
	return hosts, nil
}

// noHostError is the error of a --limit that means no host.
type noHostError struct{ origin, text, label string }

func (e *noHostError) Error() string {
	text := e.origin
	if !strings.Contains(text, strconv.Quote(e.text)) {
		text += fmt.Sprintf(": %q", e.text)
	}
	text += " means no host of this configuration"
	if e.label != "" {
		text += fmt.Sprintf("; no host has a label %q", e.label)
	}
	return text
}

// shard is the value of --shard: part number part of parts. Its zero value is everything.
type shard struct{ part, parts int }

const maxShards = 10000

// Set reads "3/10".
func (s *shard) Set(text string) error {
	parsed, err := report.ParseShard(text)
	if err != nil || parsed.Count > maxShards {
		return fmt.Errorf("it takes PART/PARTS such as 3/10, the first part being 1, of at most %d", maxShards)
	}
	*s = shard{parsed.Index, parsed.Count}
	return nil
}

func (s *shard) String() string {
	if s.parts == 0 {
		return ""
	}
	return report.Shard{Index: s.part, Count: s.parts}.String()
}

// Type is what help prints for the value.
func (s *shard) Type() string { return "PART/PARTS" }

// has tells whether a host of that name is in the shard. The rule must never change: machines with other versions share the work.
func (s *shard) has(name string) bool {
	return s.parts == 0 || shardOf(name, s.parts) == s.part
}

// shardOf is the part, from 1, that a host of that name is in.
func shardOf(name string, parts int) int {
	sum := sha256.Sum256([]byte(name))
	return 1 + int(binary.BigEndian.Uint64(sum[:8])%uint64(parts)) //nolint:gosec // below maxShards
}

// completeLimit completes the term of --limit that stands behind the last comma.
func (a *app) completeLimit(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	before := ""
	if i := strings.LastIndexByte(begun, ','); i >= 0 {
		before = begun[:i+1]
	}
	c, _ := a.load()
	var terms []string
	if before == "" {
		terms = append(terms, failedHosts)
	}
	for _, h := range c.Hosts() {
		terms = append(terms, h.Name)
		if h.Block != h.Name {
			terms = append(terms, h.Block)
		}
		for label, value := range h.Labels {
			terms = append(terms, label+"="+value)
		}
	}
	slices.Sort(terms)
	terms = slices.Compact(terms)
	for i := range terms {
		terms[i] = before + terms[i]
	}
	return terms, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// selectLocal leaves those resources of host local that --limit and --shard mean. What belongs to a host, as mirrors.d files do, goes with that host. The
// rest goes with the name local: it is meant where --limit names it, or where there is none by that name's shard.
func (r *run) selectLocal(list []*engine.Resource) []*engine.Resource {
	if len(r.limit) == 0 && r.shard.parts == 0 || r.localNamed {
		return list
	}
	declared, selected := map[string]bool{}, map[string]bool{}
	for _, h := range r.config.Hosts() {
		declared[h.Name] = true
	}
	for _, h := range r.hosts {
		selected[h.Name] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(res *engine.Resource) bool {
		owner := ownerOnLocal(res.Address)
		if declared[owner] {
			return !selected[owner]
		}
		return len(r.limit) > 0 || !r.shard.has("local")
	})
}

// ownerOnLocal is the key at the end of an address, local/mirror.almalinux.publish["fra1"], which for what belongs to a host is that host's name; or "".
func ownerOnLocal(address string) string {
	i := strings.LastIndex(address, `["`)
	if i < 0 || !strings.HasSuffix(address, "]") {
		return ""
	}
	name, err := strconv.Unquote(address[i+1 : len(address)-1])
	if err != nil {
		return ""
	}
	return name
}

// savedLimit is --limit for a saved plan: what files and the last run mean now.
func (a *app) savedLimit() ([]string, error) {
	values, err := a.limits()
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
