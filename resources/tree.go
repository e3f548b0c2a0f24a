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

// Tree is the claim to a directory that something fills and empties by itself, as a mirror's sync
// does. A directory is claimed only if nothing in it can be lost: it is missing or empty, or this
// configuration manages it already, or it holds an AlmaLinux tree. The claim is a file on the host
// that says which directory is meant, and the sync fills no other one. A directory that is missing
// is made.
type Tree struct {
	Path string `hcl:"path" id:"true"` // absolute
	Name string `hcl:"name" id:"true"` // of the claim: /etc/mirrorform-sync/NAME.claim
	// Claim, equal to path, claims the directory whatever lies in it, which the sync then deletes.
	Claim string `hcl:"claim,optional"`
	Owner string `hcl:"owner,optional" argv:"true"` // of the directory: user name or number
	Group string `hcl:"group,optional" argv:"true"` // of the directory: group name or number
	// Apart are directories that must neither hold the tree nor lie in it.
	Apart []string `hcl:"apart,optional"`

	// Identity is the directory's, as a claim has it; of a wanted state it is that of the directory
	// which was claimed.
	Identity string `remember:"identity"`
	// Claimed tells whether the claim names the directory that is there.
	Claimed *bool `plan:"claimed"`

	attribute string           // what the configuration calls Claim
	owner     string           // of a wanted state: that of the directory that is there
	group     string           // likewise
	claimFile wire.Kind        // found
	problems  []engine.Problem // found: why it must not be claimed
}

// ClaimedBy returns a copy that says in its advice which attribute of the configuration claims it.
func (s *Tree) ClaimedBy(attribute string) *Tree {
	c := *s
	c.attribute = attribute
	return &c
}

type treeType struct{}

func init() { register("tree", treeType{}) }

// Complete returns want with what follows from it.
func (treeType) Complete(_ engine.Target, want *Tree) *Tree {
	full := *want
	if full.Claimed == nil {
		yes := true
		full.Claimed = &yes
	}
	return &full
}

// Settle implements engine.Settler: what is claimed is remembered, by its identity.
func (tt treeType) Settle(t engine.Target, want *Tree, _ *engine.Record, got engine.Answers) *Tree {
	settled := *want
	if tree, err := got.Tree(tt.query(t, want)); err == nil && !unmounted(t, want, got) {
		settled.Identity = tree.Identity
	}
	_, root := tt.files(want)
	if f, err := got.File(root); err == nil && f.Kind == wire.Directory {
		settled.owner, settled.group, _ = foundAttributes(want.Owner, want.Group, "", f)
	}
	return &settled
}

func (treeType) Keys(_ engine.Target, want *Tree) (provides, needs []engine.Key) {
	provides = []engine.Key{engine.Key("tree:" + want.Path), engine.PathKey(claim.Path(want.Name))}
	needs = append(fileNeeds(want.Path, want.Owner, want.Group), engine.PathKey(path.Dir(claim.Path(want.Name))))
	for dir := want.Path; dir != "/"; dir = path.Dir(dir) {
		needs = append(needs, engine.MountKey(dir))
	}
	return provides, needs
}

func (treeType) Validate(want *Tree) []engine.Problem {
	out := slices.Concat(report("path", checkPath(want.Path)), checkEntry(want.Name, path.Dir(claim.Path("x"))), checkAttributes(want.Owner, want.Group, ""))
	if why := NotOwn(want.Path); why != "" && checkPath(want.Path) == nil {
		out = append(out, refusal("path", want.Path+" "+why, ownDirectory))
	}
	if want.Claim != "" && want.Claim != want.Path {
		out = append(out, refusal("claim", fmt.Sprintf("%q is not the path, which is %q", want.Claim, want.Path),
			"the claim repeats the path, so that one of them cannot be changed without the other"))
	}
	for _, p := range want.Apart {
		out = append(out, report("apart", checkPath(p))...)
	}
	return out
}

func (treeType) query(t engine.Target, want *Tree) wire.Query {
	others := append([]string{"/home"}, want.Apart...)
	for _, h := range heldBy(t, want) {
		others = append(others, h.path)
	}
	others = slices.DeleteFunc(others, func(p string) bool { return checkPath(p) != nil })
	slices.Sort(others)
	return wire.Query{Verb: wire.AskTree, Arg: want.Path, Args: slices.Compact(others)}
}

func (treeType) files(want *Tree) (file, root wire.Query) {
	return wire.Query{Verb: wire.AskFile, Arg: claim.Path(want.Name), Option: "content"}, wire.Query{Verb: wire.AskFile, Arg: want.Path}
}

func (tt treeType) Ask(t engine.Target, want *Tree) []wire.Query {
	file, root := tt.files(want)
	list := []wire.Query{tt.query(t, want), file, root}
	if q := mountOf(t, want); q != nil {
		list = append(list, *q)
	}
	return list
}

// Read returns a state also for what must not be claimed, so that Check can say why.
func (tt treeType) Read(t engine.Target, want *Tree, got engine.Answers) (*Tree, error) {
	tree, err := got.Tree(tt.query(t, want))
	if err != nil {
		return nil, err
	}
	fileQuery, rootQuery := tt.files(want)
	file, err := got.File(fileQuery)
	if err != nil {
		return nil, err
	}
	root, err := got.File(rootQuery)
	if err != nil {
		return nil, err
	}
	hidden := unmounted(t, want, got)
	if hidden {
		tree.Identity, tree.Entries = want.Identity, nil // what is there is not the tree: the plan mounts that first
	}
	problems := judge(t, want, tree)
	if file.Kind == wire.Absent && !refused(problems) {
		return nil, nil
	}
	claimed := tree.Identity != "" && string(file.Content) == tree.Identity && file.UID == 0 && file.Mode&0o022 == 0
	have := &Tree{
		Path: want.Path, Name: want.Name, Claim: want.Claim, Apart: want.Apart, Identity: tree.Identity, Claimed: &claimed,
		attribute: want.attribute, claimFile: file.Kind, problems: problems,
	}
	have.Owner, have.Group, _ = foundAttributes(want.Owner, want.Group, "", root)
	if hidden {
		have.Owner, have.Group = want.Owner, want.Group
	}
	return have, nil
}

// mountOf asks about the mount of this configuration that the claimed tree lies on; nil: there is
// none.
func mountOf(t engine.Target, want *Tree) *wire.Query {
	var at string
	for i := range t.Records {
		if m, ok := t.Records[i].State.(*Mount); ok && t.Records[i].Own && holdsPath(m.Path, want.Path) && len(m.Path) > len(at) {
			at = m.Path
		}
	}
	if at == "" || want.Identity == "" {
		return nil
	}
	return &wire.Query{Verb: wire.AskMount, Arg: at}
}

// unmounted tells whether the claimed tree is not to be seen, since nothing is mounted where its
// file system was.
func unmounted(t engine.Target, want *Tree, got engine.Answers) bool {
	q := mountOf(t, want)
	if q == nil {
		return false
	}
	m, err := got.Mount(*q)
	return err == nil && !m.Mounted
}

func (tt treeType) Diff(_ engine.Target, want, have *Tree) []engine.Step {
	if want == nil {
		if have.claimFile != wire.Regular {
			return nil
		}
		return []engine.Step{removal(claim.Path(have.Name))} // and nothing of the tree
	}
	found := &Tree{Owner: want.owner, Group: want.group, Identity: want.Identity} // where there is no claim yet, the wanted state knows
	if have != nil {
		found = tt.Complete(engine.Target{}, have)
	}
	var steps []engine.Step
	directory := &managedFile{path: want.Path, owner: want.Owner, group: want.Group}
	if have == nil && found.Identity == "" || have != nil && have.claimFile != "" && have.Identity == "" && have != want {
		steps = []engine.Step{{
			Summary: "create directory " + want.Path,
			Do:      wire.Op{Mkdir: &wire.MkdirOp{Path: want.Path, Attributes: directory.attributes(), Parents: true}},
			Undo:    restore(want.Path),
		}}
		found.Owner, found.Group = want.Owner, want.Group
	}
	if have != nil && refused(have.problems) {
		return nil // Check refuses it
	}
	if isTrue(tt.Complete(engine.Target{}, want).Claimed) && !isTrue(found.Claimed) {
		file := claim.Path(want.Name)
		steps = append(steps, engine.Step{
			Summary: "claim " + want.Path,
			Do:      wire.Op{Claim: &wire.ClaimOp{Path: file, Tree: want.Path, Identity: found.Identity}},
			Undo:    restore(file),
		})
	}
	return append(steps, directory.attributeSteps(&managedFile{owner: found.Owner, group: found.Group})...)
}

func (treeType) Check(_ engine.Target, want, have *Tree) []engine.Problem {
	if want == nil || have == nil {
		return nil
	}
	return have.problems
}

const ownDirectory = "a sync deletes whatever upstream does not have: give the mirror a directory of its own, such as /srv/mirror/almalinux"

// judge says why a directory must not be claimed, or what there is to know of it.
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
				"each sync would delete the other's files: choose a directory apart from it")
		}
	}
	for _, apart := range want.Apart {
		if p, ok := places[apart]; ok && nested(tree.Place, p, true) {
			return no("and "+apart+" are nested", "each sync would delete the other's files: choose a directory apart from it")
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
	if len(tree.Entries) > 0 && (!mine || moved != "") && !isAlmaLinux(tree.Entries) && want.Claim != want.Path {
		found := "holds " + firstFew(tree.Entries, tree.More) + ", and no AlmaLinux tree: a sync would delete what is there"
		if moved != "" {
			found = "is not the directory that was claimed: " + moved + ". It " + found
		}
		attribute := want.attribute
		if attribute == "" {
			attribute = "claim"
		}
		return no(found, fmt.Sprintf("choose a directory of its own; or, if nothing in it is needed, say so: %s = %q", attribute, want.Path))
	}
	var warnings []engine.Problem
	if len(tree.Mounts) > 0 {
		warnings = append(warnings, caution("path", fmt.Sprintf("%s: %s mounted in %s, where a sync deletes what upstream does not have, too", t.Name, oneOrMore(tree.Mounts), shown),
			"unmount what is not part of the mirror"))
	}
	if moved != "" {
		warnings = append(warnings, caution("path", fmt.Sprintf("%s: %s is not the directory that was claimed: %s", t.Name, shown, moved),
			"if a file system should be mounted there, mount it first: an apply claims the directory that is there now"))
	}
	return warnings
}

// held is a path that the host's manifest has.
type held struct {
	path   string
	own    bool   // it is this tree
	inside bool   // a tree must not lie in it either
	what   string // for people
}

// heldBy are the data paths that a host's manifest has, of all configurations. Another entry of the
// tree's own mirror is none: its path may change.
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
			// The whole file system is the tree of a mirror that has no other directory.
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
			continue // its record was lost, or it is taken over: what lies there decides
		}
		if !h.own && same || h.path == want.Path && !h.inside {
			continue
		}
		list = append(list, h)
	}
	return list
}

// hasDirectory tells whether the mirror of a mount has a directory of its own, or a tree that says
// where it is.
func hasDirectory(records []engine.Record, mount *engine.Record, at engine.Address) bool {
	return slices.ContainsFunc(records, func(r engine.Record) bool {
		a, _ := engine.ParseLocal(r.Address)
		return r.Configuration == mount.Configuration && a.Block() == at.Block() && (a.Part == "directory" || a.Part == "tree")
	})
}

// partOf tells whether an address is a part of the mirror whose tree has that name.
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

// mirrorBlock is the type that the addresses of a mirror's parts have.
const mirrorBlock = "mirror"

// nested tells whether one of two places lies in the other. With inside false only what lies in the
// tree counts.
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
	// otherRelease are directories of distributions that had a file TIME as well.
	otherRelease = regexp.MustCompile(`^[0-9]+(\.[0-9]+\.[0-9]{4}|-stream)/$`)
)

// isAlmaLinux tells whether the entries of a directory are those of an AlmaLinux tree.
func isAlmaLinux(entries []string) bool {
	return !slices.ContainsFunc(entries, otherRelease.MatchString) &&
		(slices.Contains(entries, "TIME") && slices.ContainsFunc(entries, release.MatchString) || slices.ContainsFunc(entries, kittenRelease.MatchString))
}

// firstFew names entries: "debian/, ubuntu/ and 12 more".
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

// A sync deletes whatever upstream does not have, so a mirror's directory must be one that nothing
// else uses.
var (
	// neverTrees are directories of the system's own, with all that is in them (hier(7)).
	neverTrees = []string{
		"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/lost+found", "/proc", "/root", "/run", "/sbin",
		"/sys", "/tmp", "/usr", "/var/lib/dpkg", "/var/lib/mirrorform", "/var/lib/mirrorform-sync", "/var/lib/rpm", "/var/lib/systemd", "/var/lock", "/var/log",
		"/var/run", "/var/spool", "/var/tmp",
	}
	// sharedDirectories hold the directories of many programs or people.
	sharedDirectories = []string{
		"/", "/home", "/media", "/mnt", "/opt", "/srv", "/var", "/var/cache", "/var/lib", "/var/local", "/var/opt", "/var/www",
	}
)

// NotOwn says why a path is never that of a mirror's tree: "is shared by many programs". It is
// empty where it may be.
func NotOwn(p string) string {
	for _, dir := range neverTrees {
		if holdsPath(dir, p) {
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
