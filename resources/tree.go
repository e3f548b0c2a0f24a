package resources

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/claim"
)

// Tree is a claim to a directory tree that a sync fills and deletes from. A directory is claimed
// only if no other data can be lost: it is missing or empty, this configuration already manages
// it, or it contains an AlmaLinux tree and is for one. The claim is a file on the host that
// identifies the directory, and the sync writes to no other one. A missing directory is created.
type Tree struct {
	Path string `hcl:"path" id:"true"` // absolute path
	Name string `hcl:"name" id:"true"` // name of the claim, /etc/mirrorform-sync/NAME.claim
	// Claim, if it is equal to path, claims the directory whatever it contains. The sync deletes those
	// files.
	Claim string `hcl:"claim,optional"`
	// Distribution is what the tree is for: almalinux or other; default: almalinux. Other claims no
	// directory by its content.
	Distribution string `hcl:"distribution,optional"`
	Owner        string `hcl:"owner,optional" argv:"true"` // owner of the directory: user name or number
	Group        string `hcl:"group,optional" argv:"true"` // group of the directory: group name or number
	// Apart has directories that must not be in the tree or above it.
	Apart []string `hcl:"apart,optional"`

	// Identity is the found directory, as a claim has it; in a wanted state, the directory that was
	// claimed.
	Identity string `remember:"identity"`
	// On is the file system of the directory, if it is on a network, a Btrfs subvolume or a bind
	// mount.
	On string `plan:"on"`
	// Claimed is whether the claim identifies the found directory.
	Claimed *bool `plan:"claimed"`

	attribute string           // name of Claim in the configuration
	owner     string           // wanted: the owner of the found directory
	group     string           // wanted: the group of the found directory
	claimFile wire.Kind        // found
	problems  []engine.Problem // found: why it must not be claimed
}

// ClaimedBy returns a copy whose advice names the attribute of the configuration that claims it.
func (s *Tree) ClaimedBy(attribute string) *Tree {
	c := *s
	c.attribute = attribute
	return &c
}

type treeType struct{}

func init() { register("tree", treeType{}) }

// Complete returns want with its implied attributes.
func (treeType) Complete(_ engine.Target, want *Tree) *Tree {
	full := *want
	if full.Claimed == nil {
		yes := true
		full.Claimed = &yes
	}
	return &full
}

// Settle remembers the claimed directory by its identity.
func (tt treeType) Settle(t engine.Target, want *Tree, _ *engine.Record, got engine.Answers) *Tree {
	settled := *want
	if tree, err := got.Tree(tt.query(t, want)); err == nil && !unmounted(t, want, got) {
		settled.Identity, settled.On = tree.Identity, place(tree)
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
			"set it to the path: it is repeated so that a changed path needs a new claim"))
	}
	if d := want.Distribution; d != "" && d != almaLinux && d != otherDistribution {
		out = append(out, refusal("distribution", fmt.Sprintf("invalid distribution %q", d), "use almalinux or other"))
	}
	for _, p := range want.Apart {
		out = append(out, report("apart", checkPath(p))...)
	}
	return out
}

func (treeType) query(t engine.Target, want *Tree) wire.Query {
	others := append([]string{"/home"}, want.Apart...)
	for _, o := range wantedTrees(t, want) {
		others = append(others, o.path)
	}
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

// Read also returns a state for a directory that must not be claimed, so that Check can report why.
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
		tree.Identity, tree.Entries = want.Identity, nil // the plan mounts the tree first
	}
	problems := judge(t, want, tree)
	if file.Kind == wire.Absent && !refused(problems) {
		return nil, nil
	}
	claimed := tree.Identity != "" && string(file.Content) == tree.Identity && file.UID == 0 && file.Mode&0o022 == 0
	have := &Tree{
		Path: want.Path, Name: want.Name, Claim: want.Claim, Distribution: want.Distribution, Apart: want.Apart, Identity: tree.Identity, Claimed: &claimed,
		attribute: want.attribute, claimFile: file.Kind, problems: problems, On: place(tree),
	}
	have.Owner, have.Group, _ = foundAttributes(want.Owner, want.Group, "", root)
	if hidden {
		have.Owner, have.Group = want.Owner, want.Group
	}
	return have, nil
}

// networkFilesystems have no UUID: a claim has the type and the source of their mounts.
var networkFilesystems = []string{"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs", "glusterfs", "lustre", "beegfs", "fuse"}

// place describes the file system of a directory where it is not a local one's own: the network
// file system, the Btrfs subvolume or the bind mount.
func place(tree wire.Tree) string {
	kind, source, _ := strings.Cut(tree.On, " ")
	base, _, _ := strings.Cut(kind, ".") // fuse.sshfs
	id, err := claim.Parse(tree.Identity)
	switch {
	case slices.Contains(networkFilesystems, base):
		return kind + " " + source + ", which has no UUID"
	case tree.Bound != "":
		return "bind mount of " + tree.Bound + " on " + source
	case err == nil && id.Subvolume > 5: // the top of the file system
		return fmt.Sprintf("Btrfs subvolume %d of %s", id.Subvolume, id.Filesystem)
	}
	return ""
}

// mountOf asks about the mount of this configuration that has the claimed tree; nil if the tree is
// on no mount.
func mountOf(t engine.Target, want *Tree) *wire.Query {
	var at string
	for i := range t.Records {
		if m, ok := t.Records[i].State.(*Mount); ok && t.Records[i].Own && engine.PathWithin(want.Path, m.Path) && len(m.Path) > len(at) {
			at = m.Path
		}
	}
	if at == "" || want.Identity == "" {
		return nil
	}
	return &wire.Query{Verb: wire.AskMount, Arg: at}
}

// unmounted reports whether the claimed tree is hidden, since its file system is not mounted.
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
		return []engine.Step{removal(claim.Path(have.Name))} // the tree itself stays
	}
	found := &Tree{Owner: want.owner, Group: want.group, Identity: want.Identity} // from Settle, if there is no claim yet
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

const ownDirectory = "a sync deletes all files that upstream does not have: use a dedicated directory, such as /srv/mirror/almalinux"
