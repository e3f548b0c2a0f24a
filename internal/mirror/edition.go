package mirror

import (
	"slices"
	"strings"
)

// Edition is what an edition of the operators' guide says of a sync: what an existing mirror is compared with.
type Edition struct {
	Name                       string   // as the attribute guide has it
	Rsync                      []string // arguments of rsync before the upstream
	Upstream, Lock             string
	KittenUpstream, KittenLock string
	Minimum, KittenMinimum     string // the least size of the file system; the second with Kitten
	Every                      string
}

// Editions returns every edition; the first is the default.
func Editions() []Edition {
	var list []Edition
	for _, g := range guides {
		list = append(list, Edition{
			Name: g.name, Rsync: slices.Clone(g.rsync), Upstream: g.main.upstream, Lock: g.main.lock,
			KittenUpstream: g.kitten.upstream, KittenLock: g.kitten.lock, Minimum: g.minimum, KittenMinimum: g.kittenMinimum, Every: g.every,
		})
	}
	return list
}

// Intervals returns the values of sync.every.
func Intervals() []string { return slices.Clone(intervals) }

// SplitOptions parts the arguments of rsync: each option with its argument, where that is a word of its own, and the words that are no options. "--" ends
// the options, as getopt(3) has it.
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

// DryRun tells whether options of rsync, as SplitOptions gives them, have it copy nothing.
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

// alsoArguments are options of rsync(1) that take an argument and are refused in a configuration.
var alsoArguments = []string{"e", "rsh", "rsync-path", "M", "remote-option", "config", "dparam", "read-batch", "write-batch", "only-write-batch", "files-from"}

func takesArgument(name string) bool {
	return slices.Contains(argumentOptions, name) || slices.Contains(alsoArguments, name)
}

// takesNext tells whether an option's argument is the next word.
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
