package publish

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-github/v93/github"
)

// commit is a commit of a repository, as the API describes it.
type commit struct {
	sha, tree string
	parents   []string
	message   string
	author    string // the author's name
}

// short returns the abbreviated name of the commit, for messages.
func (c *commit) short() string { return c.sha[:min(len(c.sha), 12)] }

// published reports whether publish made the commit.
func (c *commit) published() bool { return strings.Contains(c.message, "\n"+trailer) }

// The modes of tree entries (git-fast-import(1), filemodify).
const (
	modeRegular    = "100644"
	modeExecutable = "100755"
	modeSymlink    = "120000"
)

// blob is an entry of a tree that is not a tree itself: a file, a symbolic link or a submodule.
type blob struct {
	mode, sha string
	size      int
}

// tree is the content of a commit: everything but directories, by path.
type tree map[string]blob

// gitSHA matches the names of git objects in answers. They become parts of requests.
func gitSHA(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 2*sha1.Size
}

// newCommit checks the API's description of a commit before anything of it is used.
func newCommit(c *github.RepositoryCommit) (*commit, error) {
	made := &commit{
		sha: c.GetSHA(), tree: c.GetCommit().GetTree().GetSHA(),
		message: c.GetCommit().GetMessage(), author: c.GetCommit().GetAuthor().GetName(),
	}
	for _, p := range c.Parents {
		made.parents = append(made.parents, p.GetSHA())
	}
	if !gitSHA(made.sha) || !gitSHA(made.tree) {
		return nil, errors.New("GitHub's answer has no valid commit")
	}
	return made, nil
}

// branch reads the tip of a branch, or nil if the branch does not exist.
func (a *api) branch(ctx context.Context, r repository, name string) (*commit, error) {
	doing := fmt.Sprintf("read branch %s of %s", name, r)
	var b *github.Branch
	err := a.do(ctx, doing, true, func(ctx context.Context) error {
		// Repositories.GetBranch does not report rate limits as such.
		req, err := a.client.NewRequest(ctx, http.MethodGet,
			fmt.Sprintf("repos/%s/%s/branches/%s", r.owner, r.name, url.PathEscape(name)), nil)
		if err != nil {
			return err
		}
		_, err = a.client.Do(req, &b)
		return err
	})
	switch {
	case notFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case b.GetName() != name:
		return nil, nil // renamed: GitHub redirects to the new name, which publish does not use
	}
	c, err := newCommit(b.GetCommit())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return c, nil
}

// comparison is what a branch has on top of upstream.
type comparison struct {
	base    *commit            // the newest commit that both have
	commits map[string]*commit // of the branch only, by name
}

// maxCommits is the most commits that GitHub returns of a comparison ("Compare two commits").
const maxCommits = 250

// compare compares a branch of the fork with upstream's default branch. tip is the branch's tip
// when it was read. It returns nil if the two have no commit in common.
func (a *api) compare(ctx context.Context, upstream, fork repository, branch string, tip *commit) (
	*comparison, error,
) {
	doing := fmt.Sprintf("compare branch %s of %s with upstream", branch, fork)
	// Upstream is asked, since the fork may not have upstream's newest objects yet. The owners stand
	// for the repositories, of which each account has one in a fork network ("Compare two commits").
	base, head := upstream.owner+":"+upstream.branch, fork.owner+":"+branch
	var answer *github.CommitsComparison
	err := a.do(ctx, doing, true, func(ctx context.Context) (err error) {
		answer, _, err = a.client.Repositories.CompareCommits(ctx, upstream.owner, upstream.name, base, head, nil)
		return err
	})
	var refused *github.ErrorResponse
	switch {
	case notFound(err) && errors.As(err, &refused) && strings.Contains(refused.Message, "No common ancestor"):
		return nil, nil
	case err != nil:
		return nil, err
	case answer.GetTotalCommits() > maxCommits:
		return nil, fmt.Errorf("the branch has more than %d commits; delete it and run the command again", maxCommits)
	}
	found := &comparison{commits: map[string]*commit{}}
	if found.base, err = newCommit(answer.GetMergeBaseCommit()); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	for _, each := range answer.Commits {
		c, err := newCommit(each)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
		found.commits[c.sha] = c
	}
	if found.commits[tip.sha] == nil && found.base.sha != tip.sha {
		return nil, branchChanged(fork, branch)
	}
	return found, nil
}

// lastPublished returns the newest commit of publish in the branch, or the branch's base.
func (c *comparison) lastPublished(tip *commit) *commit {
	for at := tip; at != nil && at.sha != c.base.sha; {
		if at.published() {
			return at
		}
		if len(at.parents) == 0 {
			break
		}
		at = c.commits[at.parents[0]]
	}
	return c.base
}

// objects reads trees and files, each once. Git names objects by their content, so it does not
// matter which repository of the fork network they came from.
type objects struct {
	api   *api
	trees map[string]tree   // by the tree's name
	blobs map[string][]byte // by the blob's name
}

func newObjects(a *api) *objects {
	return &objects{api: a, trees: map[string]tree{}, blobs: map[string][]byte{}}
}

// tree reads the content of a commit.
func (o *objects) tree(ctx context.Context, r repository, c *commit) (tree, error) {
	if t, ok := o.trees[c.tree]; ok {
		return t, nil
	}
	doing := fmt.Sprintf("list the files of %s in commit %s", r, c.short())
	var answer *github.Tree
	err := o.api.do(ctx, doing, true, func(ctx context.Context) (err error) {
		answer, _, err = o.api.client.Git.GetTree(ctx, r.owner, r.name, c.tree, true)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case answer.GetTruncated():
		return nil, fmt.Errorf("%s: the repository has more files than GitHub lists, "+
			"so it is not a repository of mirrors.d files", doing)
	}
	t := tree{}
	for _, e := range answer.Entries {
		if e.GetType() == "tree" {
			continue
		}
		if !gitSHA(e.GetSHA()) {
			return nil, fmt.Errorf("%s: GitHub's answer has an invalid object name", doing)
		}
		t[e.GetPath()] = blob{e.GetMode(), e.GetSHA(), e.GetSize()}
	}
	o.trees[c.tree] = t
	return t, nil
}

// blob reads the content of a file.
func (o *objects) blob(ctx context.Context, r repository, sha string) ([]byte, error) {
	if text, ok := o.blobs[sha]; ok {
		return text, nil
	}
	doing := fmt.Sprintf("read object %s of %s", sha, r)
	var text []byte
	err := o.api.do(ctx, doing, true, func(ctx context.Context) (err error) {
		text, _, err = o.api.client.Git.GetBlobRaw(ctx, r.owner, r.name, sha)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !o.keep(sha, text) {
		return nil, fmt.Errorf("%s: GitHub's answer has other content than git's object", doing)
	}
	return o.blobs[sha], nil
}

// keep keeps the content of a file if it is the object's.
func (o *objects) keep(sha string, text []byte) bool {
	if blobName(text) != sha {
		return false
	}
	if text == nil {
		text = []byte{} // nil means missing
	}
	o.blobs[sha] = text
	return true
}

// blobName returns git's name of a file's content (gitformat-pack(5), "Object names").
func blobName(text []byte) string {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(text))
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}
