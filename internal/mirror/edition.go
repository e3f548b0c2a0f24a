package mirror

import (
	"slices"
	"strings"
)

// Edition has the values of an edition of the operators' guide, to compare an existing mirror with.
type Edition struct {
	Name                       string   // value of the attribute guide
	Date                       string   // month of its sizes
	Rsync                      []string // arguments of rsync before the upstream
	Upstream, Lock             string
	KittenUpstream, KittenLock string
	Minimum, KittenMinimum     string // minimum size of the file system, without and with Kitten
	Every                      string
}

// Editions returns all editions. The first is the default.
func Editions() []Edition {
	var list []Edition
	for _, g := range guides {
		list = append(list, Edition{
			Name: g.name, Date: g.date, Rsync: slices.Clone(g.rsync), Upstream: g.main.upstream, Lock: g.main.lock,
			KittenUpstream: g.kitten.upstream, KittenLock: g.kitten.lock, Minimum: g.minimum, KittenMinimum: g.kittenMinimum, Every: g.every,
		})
	}
	return list
}

// Intervals returns the values of sync.every.
func Intervals() []string { return slices.Clone(intervals) }

// SplitOptions splits arguments of rsync into its options, each with its argument if that is a
// separate word, and the rest. "--" ends the options, as in getopt(3).
func SplitOptions(words []string) (options [][]string, rest []string) {
	for i := 0; i < len(words); i++ {
		word := words[i]
		if word == "--" {
			return options, append(rest, words[i+1:]...)
		}
		if len(word) < 2 || word[0] != '-' {
			rest = append(rest, word)
			continue
		}
		option := []string{word}
		if takesNext(word) && i+1 < len(words) {
			i++
			option = append(option, words[i])
		}
		options = append(options, option)
	}
	return options, rest
}

// DryRun reports whether options of rsync, as returned by SplitOptions, make it copy nothing.
func DryRun(options [][]string) bool {
	return slices.ContainsFunc(options, func(o []string) bool {
		if o[0] == "--dry-run" || o[0] == "--list-only" {
			return true
		}
		for _, r := range strings.TrimPrefix(o[0], "-") {
			if r == 'n' {
				return true
			}
			if r == '-' || takesArgument(string(r)) {
				return false
			}
		}
		return false
	})
}

// alsoArguments are the options of rsync(1) with an argument that a configuration cannot use, but
// an existing mirror may.
var alsoArguments = []string{"e", "rsh", "rsync-path", "M", "remote-option", "config", "dparam", "read-batch", "write-batch", "only-write-batch", "files-from"}

func takesArgument(name string) bool {
	return slices.Contains(argumentOptions, name) || slices.Contains(alsoArguments, name)
}

// takesNext reports whether the argument of an option is the next word.
func takesNext(word string) bool {
	if word[1] == '-' {
		return len(word) > 3 && takesArgument(word[2:])
	}
	for i, r := range word[1:] {
		if takesArgument(string(r)) {
			return i == len(word)-2
		}
	}
	return false
}
