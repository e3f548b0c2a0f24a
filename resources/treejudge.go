package resources

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/claim"
)

// judge returns why a directory must not be claimed, or warnings.
func judge(t engine.Target, want *Tree, tree wire.Tree) []engine.Problem {
	shown := want.Path
	if tree.Real != want.Path {
		shown += " (really " + tree.Real + ")"
	}
	no := func(found, advice string) []engine.Problem {
		return []engine.Problem{refusal("path", fmt.Sprintf("%s: %s %s", t.Name, shown, found), advice)}
	}
	places := map[string]wire.Place{}
	for _, p := range tree.Others {
		places[p.Path] = p
	}
	mine := false
	for _, h := range heldBy(t, want) {
		mine = mine || h.own
		if p, ok := places[h.path]; ok && !h.own && nested(tree.Place, p, h.inside) {
			return no(fmt.Sprintf("and %s, which %s, are nested", h.path, h.what),
				nestedTrees+": choose another directory")
		}
	}
	for _, apart := range want.Apart {
		if p, ok := places[apart]; ok && nested(tree.Place, p, true) {
			return no("and "+apart+" are nested", nestedTrees+": choose another directory")
		}
	}
	for _, o := range wantedTrees(t, want) {
		if p, ok := places[o.path]; ok && nested(tree.Place, p, true) {
			return no("and "+o.path+", which is a tree of "+o.what+", are nested", nestedTrees+": choose another directory")
		}
	}
	moved := ""
	if was, err := claim.Parse(want.Identity); err == nil && tree.Identity != "" {
		if now, err := claim.Parse(tree.Identity); err == nil {
			moved = was.Differs(now)
		}
	}
	if !mine {
		if why := NotOwn(tree.Real); why != "" {
			return no(why, ownDirectory)
		}
		if home, ok := places["/home"]; ok && (tree.At == home.At || path.Dir(tree.At) == home.At || path.Dir(tree.Real) == home.Real || tree.Real == home.Real) {
			return no("is a home directory", ownDirectory)
		}
	}
	if tree.Kind != wire.Absent && tree.Kind != wire.Directory {
		return []engine.Problem{inTheWay(want.Path, "a "+string(tree.Kind), "a directory")}
	}
	other := want.Distribution == otherDistribution
	if len(tree.Entries) > 0 && (!mine || moved != "") && (other || !isAlmaLinux(tree.Entries)) && want.Claim != want.Path {
		found := "contains " + firstFew(tree.Entries, tree.More) + ", but no AlmaLinux tree: a sync would delete these files"
		if other {
			found = "contains " + firstFew(tree.Entries, tree.More) + ": a sync would delete these files"
		}
		if moved != "" {
			found = "is not the directory that was claimed: " + moved + ". It " + found
		}
		attribute := want.attribute
		if attribute == "" {
			attribute = "claim"
		}
		return no(found, fmt.Sprintf("use a dedicated directory; or, if the files are not needed, set %s = %q", attribute,
			want.Path))
	}
	var warnings []engine.Problem
	if len(tree.Mounts) > 0 {
		warnings = append(warnings, caution("path",
			fmt.Sprintf("%s: %s mounted in %s, and a sync deletes files there, too, that upstream does not have", t.Name,
				oneOrMore(tree.Mounts), shown),
			"unmount what is not part of the mirror"))
	}
	if moved != "" {
		warnings = append(warnings, caution("path", fmt.Sprintf("%s: %s is not the directory that was claimed: %s", t.Name, shown, moved),
			"if a file system should be mounted there, mount it first: otherwise an apply claims the new directory"))
	}
	return warnings
}

// nestedTrees is why trees must not be in one another.
const nestedTrees = "each sync would delete the files of the other"

// Separate returns the tree: none must be in another one. Paths that lead into one another by links
// are found on the host.
func (treeType) Separate(want *Tree) (dir, reason string) { return want.Path, nestedTrees }

// wantedTrees returns the trees that this run wants on the host and that come before this one: each
// two are compared once.
func wantedTrees(t engine.Target, want *Tree) []held {
	var list []held
	for i := range t.Wanted {
		other, ok := t.Wanted[i].State.(*Tree)
		if ok && other.Path == want.Path {
			return list
		}
		if ok {
			list = append(list, held{path: other.Path, what: t.Wanted[i].Address})
		}
	}
	return nil
}

// held is a path with data in the host's manifest.
type held struct {
	path   string
	own    bool   // it is this tree
	inside bool   // a tree must not be in it either
	what   string // for messages
}

// heldBy returns the paths with data in a host's manifest, of all configurations. It omits other
// entries of the tree's own mirror, whose path may change.
func heldBy(t engine.Target, want *Tree) []held {
	var list []held
	for i := range t.Records {
		r := &t.Records[i]
		address, _ := engine.ParseLocal(r.Address)
		mirrors := address.Type == mirrorBlock
		h := held{inside: true, what: "is a tree of " + r.Address}
		switch s := r.State.(type) {
		case *Tree:
			h.path = s.Path
		case *Directory:
			if !mirrors || r.Keep == "" {
				continue
			}
			h.path = s.Path
		case *Mount:
			h.path = s.Path
			// A mirror without a directory of its own uses the whole file system.
			if h.inside = mirrors && !hasDirectory(t.Records, r, address); !h.inside {
				h.what = "is a mount point of " + r.Address
			}
		default:
			continue
		}
		if !r.Own {
			h.what += " in another configuration"
		}
		same := partOf(address, want.Name)
		h.own = h.path == want.Path && h.inside && (r.Own || same)
		if h.own && !r.Own {
			continue // its record was lost, or another configuration takes it over: its files decide
		}
		if !h.own && same || h.path == want.Path && !h.inside {
			continue
		}
		list = append(list, h)
	}
	return list
}

// hasDirectory reports whether the mirror of a mount has a record of its directory or its tree.
func hasDirectory(records []engine.Record, mount *engine.Record, at engine.Address) bool {
	return slices.ContainsFunc(records, func(r engine.Record) bool {
		a, _ := engine.ParseLocal(r.Address)
		return r.Configuration == mount.Configuration && a.Block() == at.Block() && (a.Part == "directory" || a.Part == "tree")
	})
}

// partOf reports whether an address is a part of the mirror whose tree has that name.
func partOf(a engine.Address, name string) bool {
	if a.Type != mirrorBlock {
		return false
	}
	mirror, kitten := strings.CutSuffix(name, "-kitten")
	if strings.HasPrefix(a.Part, "kitten_") {
		return kitten && a.Name == mirror
	}
	return a.Name == name
}

// The values of Tree.Distribution.
const (
	almaLinux         = "almalinux"
	otherDistribution = "other"
)

// mirrorBlock is the type in the addresses of a mirror's parts.
const mirrorBlock = "mirror"

// nested reports whether other is in the tree or, if inside is set, the tree is in other.
func nested(tree, other wire.Place, inside bool) bool {
	in := func(p, dir string) bool { return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/") }
	if in(other.Real, tree.Real) || tree.At != "" && other.At != "" && in(other.At, tree.At) {
		return true
	}
	return inside && (in(tree.Real, other.Real) || tree.At != "" && other.At != "" && in(tree.At, other.At))
}

var (
	release       = regexp.MustCompile(`^([89]|[1-9][0-9])(\.[0-9]{1,2})?(-beta(-[0-9])?)?/$`)
	kittenRelease = regexp.MustCompile(`^[1-9][0-9]-kitten(-[0-9.]+)?/$`)
	// otherRelease has directories of other distributions that also had a file TIME.
	otherRelease = regexp.MustCompile(`^[0-9]+(\.[0-9]+\.[0-9]{4}|-stream)/$`)
)

// isAlmaLinux reports whether the entries of a directory are those of an AlmaLinux tree.
func isAlmaLinux(entries []string) bool {
	return !slices.ContainsFunc(entries, otherRelease.MatchString) &&
		(slices.Contains(entries, "TIME") && slices.ContainsFunc(entries, release.MatchString) || slices.ContainsFunc(entries, kittenRelease.MatchString))
}

// firstFew lists entries: "debian/, ubuntu/ and 12 more".
func firstFew(entries []string, more bool) string {
	const few = 4
	if len(entries) <= few && !more {
		return enumerate(entries)
	}
	shown := entries[:min(few, len(entries))]
	rest := fmt.Sprintf("%d more", len(entries)-len(shown))
	if more {
		rest = "many more"
	}
	return enumerate(append(slices.Clone(shown), rest))
}

// A sync deletes whatever upstream does not have, so nothing else may use a mirror's directory.
var (
	// neverTrees are directories of the system (hier(7)). Directories in them are refused, too.
	neverTrees = []string{
		"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/lost+found", "/proc", "/root", "/run", "/sbin",
		"/sys", "/tmp", "/usr", "/var/lib/dpkg", "/var/lib/mirrorform", "/var/lib/mirrorform-sync", "/var/lib/rpm", "/var/lib/systemd", "/var/lock", "/var/log",
		"/var/run", "/var/spool", "/var/tmp",
	}
	// sharedDirectories have subdirectories of many programs or users, which may be used.
	sharedDirectories = []string{
		"/", "/home", "/media", "/mnt", "/opt", "/srv", "/var", "/var/cache", "/var/lib", "/var/local", "/var/opt", "/var/www",
	}
)

// NotOwn returns why a path must not be a mirror's tree, such as "is shared by many programs", or
// "".
func NotOwn(p string) string {
	for _, dir := range neverTrees {
		if engine.PathWithin(p, dir) {
			return "is in " + dir + ", which belongs to the system"
		}
	}
	switch {
	case slices.Contains(sharedDirectories, p):
		return "is shared by many programs"
	case path.Dir(p) == "/home":
		return "is a home directory"
	}
	return ""
}
