package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// directory is where upstream keeps its entries.
const directory = "mirrors.d"

// store is a bare repository in a temporary directory. It has no working tree, so that symlinks,
// hooks and attributes of the repositories do not reach the file system.
type store struct {
	dir     string
	storage *filesystem.Storage
	auth    transport.AuthMethod
	api     *api
	depth   int            // of fetches; 0 fetches everything, since a push needs the history that the fork lacks
	tip     *object.Commit // of upstream's default branch
}

func newStore(s *Session) (*store, error) {
	dir, err := os.MkdirTemp("", "mirrorform-publish-")
	if err != nil {
		return nil, fmt.Errorf("create a temporary directory: %w", err)
	}
	st := &store{dir: dir, storage: filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRUDefault()), api: s.api}
	if _, err := git.Init(st.storage, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("create a temporary repository: %w", err), st.close())
	}
	if s.o.UpstreamOnly {
		st.depth = 1
	}
	if s.o.Token.Present() {
		// GitHub ignores the user name and checks only the password.
		st.auth = &githttp.BasicAuth{Username: "x-access-token", Password: s.o.Token.secret}
	}
	return st, nil
}

func (st *store) close() error { return errors.Join(st.storage.Close(), os.RemoveAll(st.dir)) }

// remote returns a repository as a git remote, with its authentication.
func (st *store) remote(r repository) (*git.Remote, transport.AuthMethod) {
	auth := st.auth
	if strings.HasPrefix(r.git, "file:") {
		auth = nil
	}
	return git.NewRemote(st.storage, &config.RemoteConfig{Name: "origin", URLs: []string{r.git}}), auth
}

// fetch fetches refs of a repository into the store.
func (st *store) fetch(ctx context.Context, r repository, specs ...config.RefSpec) error {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	remote, auth := st.remote(r)
	err := remote.FetchContext(ctx, &git.FetchOptions{RemoteName: "origin", RefSpecs: specs, Tags: git.NoTags,
		Auth: auth, Depth: st.depth})
	if err != nil && !errors.Is(err, git.NoErrAlreadyUpToDate) {
		return st.api.explainGit("fetch from "+r.String(), err)
	}
	return nil
}

func (st *store) fetchUpstream(ctx context.Context, up repository) error {
	from := plumbing.NewBranchReferenceName(up.branch)
	if err := from.Validate(); err != nil {
		return fmt.Errorf("the default branch of %s has the invalid name %q", up, up.branch)
	}
	const to = "refs/upstream/tip"
	if err := st.fetch(ctx, up, config.RefSpec("+"+from.String()+":"+to)); err != nil {
		return err
	}
	ref, err := st.storage.Reference(to)
	if err != nil {
		return fmt.Errorf("branch %s of %s not found: %w", up.branch, up, err)
	}
	st.tip, err = st.commit(ref.Hash())
	return err
}

// branch fetches a branch of the fork and returns its tip, or nil if the branch does not exist.
func (st *store) branch(ctx context.Context, fork repository, name string) (*object.Commit, error) {
	listCtx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	remote, auth := st.remote(fork)
	refs, err := remote.ListContext(listCtx, &git.ListOptions{Auth: auth})
	if err != nil && !errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return nil, st.api.explainGit("list the branches of "+fork.String(), err)
	}
	from := plumbing.NewBranchReferenceName(name)
	if !slices.ContainsFunc(refs, func(r *plumbing.Reference) bool { return r.Name() == from }) {
		return nil, nil
	}
	to := plumbing.ReferenceName("refs/fork/" + name)
	if err := st.fetch(ctx, fork, config.RefSpec("+"+from.String()+":"+to.String())); err != nil {
		return nil, err
	}
	ref, err := st.storage.Reference(to)
	if err != nil {
		return nil, fmt.Errorf("branch %s of %s: %w", name, fork, err)
	}
	return st.commit(ref.Hash())
}

// has reports whether the store has a commit. It returns true for "".
func (st *store) has(sha string) bool {
	return sha == "" || st.storage.HasEncodedObject(plumbing.NewHash(sha)) == nil
}

func (st *store) commit(h plumbing.Hash) (*object.Commit, error) {
	c, err := object.GetCommit(st.storage, h)
	if err != nil {
		return nil, fmt.Errorf("read commit %s: %w", h, err)
	}
	return c, nil
}

// entry is a file of mirrors.d in a commit.
type entry struct {
	path string
	mode filemode.FileMode
	blob plumbing.Hash
	text []byte
}

// entries returns the tree of mirrors.d, or nil if it is missing.
func entries(c *object.Commit) (*object.Tree, error) {
	root, err := c.Tree()
	if err != nil {
		return nil, fmt.Errorf("read commit %s: %w", c.Hash, err)
	}
	i := slices.IndexFunc(root.Entries, func(e object.TreeEntry) bool { return e.Name == directory })
	if i < 0 {
		return nil, nil
	}
	if mode := root.Entries[i].Mode; mode != filemode.Dir {
		return nil, fmt.Errorf("%s in commit %s is not a directory (mode %s), "+
			"so this is not a repository of mirrors.d files", directory, c.Hash, mode)
	}
	tree, err := root.Tree(directory)
	if err != nil {
		return nil, fmt.Errorf("read %s of commit %s: %w", directory, c.Hash, err)
	}
	return tree, nil
}

// read returns a file of mirrors.d in a commit, or nil if it is missing. Symlinks, submodules,
// directories and files above the size limit are errors.
func (st *store) read(c *object.Commit, file string) (*entry, error) {
	tree, err := entries(c)
	if err != nil || tree == nil {
		return nil, err
	}
	i := slices.IndexFunc(tree.Entries, func(e object.TreeEntry) bool { return e.Name == path.Base(file) })
	if i < 0 {
		return nil, nil
	}
	return st.open(tree.Entries[i])
}

func (st *store) open(e object.TreeEntry) (*entry, error) {
	file := path.Join(directory, e.Name)
	switch e.Mode {
	case filemode.Regular, filemode.Executable, filemode.Deprecated:
	case filemode.Symlink:
		return nil, fmt.Errorf("%s is a symbolic link in the repository and is not followed; "+
			"ask upstream to replace it with a regular file", file)
	default:
		return nil, fmt.Errorf("%s is not a regular file in the repository (mode %s)", file, e.Mode)
	}
	blob, err := object.GetBlob(st.storage, e.Hash)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if blob.Size > mirrorsd.MaxSize {
		return nil, fmt.Errorf("%s has %d bytes in the repository, more than the limit of %d bytes", file, blob.Size,
			mirrorsd.MaxSize)
	}
	r, err := blob.Reader()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	text, err := io.ReadAll(io.LimitReader(r, mirrorsd.MaxSize+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return &entry{path: file, mode: e.Mode, blob: e.Hash, text: text}, nil
}

// find returns the path of a mirror's file upstream: mirrors.d/NAME.yml, or another file whose key
// name has this value. Some of upstream's files are named differently.
func (st *store) find(name string) (string, error) {
	usual := path.Join(directory, name+".yml")
	tree, err := entries(st.tip)
	if err != nil || tree == nil {
		return usual, err
	}
	other := ""
	for _, e := range tree.Entries {
		if e.Name == path.Base(usual) {
			return usual, nil
		}
		if other != "" || !e.Mode.IsFile() || e.Mode == filemode.Symlink || path.Ext(e.Name) != ".yml" {
			continue
		}
		f, err := st.open(e)
		if err != nil {
			continue // another mirror's file, whose errors do not matter here
		}
		if d, err := mirrorsd.ParseDocument(f.text); err == nil && strings.EqualFold(d.Name(), name) {
			other = f.path
		}
	}
	if other != "" {
		return other, nil
	}
	return usual, nil
}

// write makes a commit on parent that replaces one file, or removes it if its text is nil.
func (st *store) write(parent *object.Commit, file entry, message string, a author, now time.Time) (plumbing.Hash,
	error) {
	set := object.TreeEntry{Name: path.Base(file.path), Mode: file.mode}
	if file.text != nil {
		var err error
		set.Hash, err = st.put(plumbing.BlobObject, func(w io.Writer) error {
			_, err := w.Write(file.text)
			return err
		})
		if err != nil {
			return set.Hash, err
		}
	}
	tree, err := entries(parent)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if tree == nil {
		tree = &object.Tree{}
	}
	dir, err := st.replace(tree, set)
	if err != nil {
		return dir, err
	}
	if set.Hash.IsZero() && len(tree.Entries) == 1 {
		dir = plumbing.ZeroHash // git does not store empty directories
	}
	root, err := parent.Tree()
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("read commit %s: %w", parent.Hash, err)
	}
	top, err := st.replace(root, object.TreeEntry{Name: directory, Mode: filemode.Dir, Hash: dir})
	if err != nil {
		return top, err
	}
	who := object.Signature{Name: a.name, Email: a.email, When: now}
	c := &object.Commit{Author: who, Committer: who, Message: message, TreeHash: top,
		ParentHashes: []plumbing.Hash{parent.Hash}}
	return st.encode(c)
}

// replace writes a copy of a tree that sets one entry, or removes it if its hash is zero.
func (st *store) replace(t *object.Tree, e object.TreeEntry) (plumbing.Hash, error) {
	list := slices.DeleteFunc(slices.Clone(t.Entries), func(old object.TreeEntry) bool { return old.Name == e.Name })
	if !e.Hash.IsZero() {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b object.TreeEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	return st.encode(&object.Tree{Entries: list})
}

// sortName returns the sort key of a tree entry: git sorts directories as if their names ended with
// a slash.
func sortName(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}

func (st *store) encode(o interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	m := st.storage.NewEncodedObject()
	if err := o.Encode(m); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("write an object: %w", err)
	}
	return st.set(m)
}

func (st *store) put(t plumbing.ObjectType, write func(io.Writer) error) (plumbing.Hash, error) {
	m := st.storage.NewEncodedObject()
	m.SetType(t)
	w, err := m.Writer()
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("write an object: %w", err)
	}
	if err := errors.Join(write(w), w.Close()); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("write an object: %w", err)
	}
	return st.set(m)
}

func (st *store) set(m plumbing.EncodedObject) (plumbing.Hash, error) {
	h, err := st.storage.SetEncodedObject(m)
	if err != nil {
		return h, fmt.Errorf("write an object: %w", err)
	}
	return h, nil
}

// push pushes a commit to a branch of the fork, whose tip must still be old (zero: no branch).
// force replaces the commits of the branch.
func (st *store) push(ctx context.Context, fork repository, branch string, commit, old plumbing.Hash,
	force bool) error {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	name := plumbing.NewBranchReferenceName(branch)
	if err := st.storage.SetReference(plumbing.NewHashReference(name, commit)); err != nil {
		return fmt.Errorf("write a branch: %w", err)
	}
	o := &git.PushOptions{RemoteName: "origin"}
	remote, auth := st.remote(fork)
	o.Auth = auth
	spec := config.RefSpec(name.String() + ":" + name.String())
	if force {
		spec = "+" + spec
	}
	o.RefSpecs = []config.RefSpec{spec}
	if !old.IsZero() {
		// The server compares again with the refs that it advertised at the start of this push.
		o.RequireRemoteRefs = []config.RefSpec{config.RefSpec(old.String() + ":" + name.String())}
	}
	err := remote.PushContext(ctx, o)
	switch {
	case err == nil || errors.Is(err, git.NoErrAlreadyUpToDate):
		return nil
	case strings.Contains(err.Error(), "required to be"),
		strings.Contains(err.Error(), "non-fast-forward"), errors.Is(err, git.ErrForceNeeded):
		return fmt.Errorf("branch %s of %s has changed since it was read, so nothing was pushed; "+
			"run the command again to plan with the new commits", branch, fork)
	}
	return st.api.explainGit("push branch "+branch+" to "+fork.String(), err)
}
