package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
)

// clone is the user's clone of the fork. Publish only reads it.
type clone struct {
	dir     string
	repo    *git.Repository
	config  *config.Config
	remotes map[string]remote // by name
	names   []string          // of the remotes, origin first
}

func openClone(dir string) (*clone, error) {
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, fmt.Errorf("--repo %s is not a git clone; clone your fork there, or omit --repo", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("--repo %s: %w", dir, err)
	}
	c := &clone{dir: dir, repo: repo, remotes: map[string]remote{}}
	if c.config, err = repo.Config(); err != nil {
		return nil, fmt.Errorf("--repo %s: read its git configuration: %w", dir, err)
	}
	for name, r := range c.config.Remotes {
		for _, raw := range r.URLs {
			parsed, err := parseRemote(raw)
			if err != nil {
				return nil, fmt.Errorf("--repo %s: remote %s %w", dir, name, err)
			}
			c.remotes[name] = parsed
		}
		c.names = append(c.names, name)
	}
	slices.SortFunc(c.names, func(a, b string) int {
		return cmp.Or(-cmp.Compare(b2i(a == "origin"), b2i(b == "origin")), cmp.Compare(a, b))
	})
	return c, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// clean rejects a clone with uncommitted changes: the pull request would not include them, which is
// easy to overlook. Untracked files count only in mirrors.d.
func (c *clone) clean() error {
	tree, err := c.repo.Worktree()
	if errors.Is(err, git.ErrIsBareRepository) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--repo %s: %w", c.dir, err)
	}
	status, err := tree.Status()
	if err != nil {
		return fmt.Errorf("--repo %s: git status: %w", c.dir, err)
	}
	var dirty []string
	for path, s := range status {
		untracked := s.Worktree == git.Untracked && s.Staging == git.Untracked
		if untracked && !strings.HasPrefix(filepath.ToSlash(path), directory+"/") {
			continue
		}
		if s.Worktree != git.Unmodified || s.Staging != git.Unmodified {
			dirty = append(dirty, path)
		}
	}
	if len(dirty) == 0 {
		return nil
	}
	return fmt.Errorf("--repo %s has uncommitted changes (%s), which would not be published; "+
		"commit or stash them, or omit --repo",
		c.dir, someOf(dirty))
}

// someOf lists the first few of the paths, sorted.
func someOf(paths []string) string {
	const few = 5
	slices.Sort(paths)
	if len(paths) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(paths[:few], ", "), len(paths)-few)
	}
	return strings.Join(paths, ", ")
}

// forkName returns the OWNER/NAME of the fork: the repository of origin, or of the only remote that
// is not upstream.
func (c *clone) forkName(upstream repository) (string, error) {
	var found []string
	for _, name := range c.names {
		r := c.remotes[name]
		if r.owner == "" || r.is(upstream) {
			continue
		}
		if name == "origin" {
			return r.owner + "/" + r.name, nil
		}
		if full := r.owner + "/" + r.name; !slices.Contains(found, full) {
			found = append(found, full)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("--repo %s has no remote for a fork of %s; "+
			"add your fork with git remote add, or pass --fork OWNER/NAME",
			c.dir, upstream)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("--repo %s has several remotes that may be the fork (%s); select one with --fork OWNER/NAME",
		c.dir, strings.Join(found, ", "))
}

func (r remote) is(other repository) bool {
	return strings.EqualFold(r.owner, other.owner) && strings.EqualFold(r.name, other.name)
}

// transport returns the git URL of a repository: a path on this machine if a remote has one, else
// the URL from the API, for which the token is valid.
func (c *clone) transport(r repository) string {
	for _, name := range c.names {
		if remote := c.remotes[name]; remote.file != "" && remote.is(r) {
			return "file://" + remote.file
		}
	}
	return r.git
}

// author is the author and committer of a commit.
type author struct{ name, email string }

// findAuthor looks for the author in the same places as git (git-commit(1), COMMIT INFORMATION):
// the environment, the clone's configuration, and the user's configuration. The fallback is the
// token's account, with its public or noreply address on GitHub.
func (s *Session) findAuthor(ctx context.Context) (author, error) {
	c := s.clone
	name, email := lookupEnv(s.o.Environ, "GIT_AUTHOR_NAME"), lookupEnv(s.o.Environ, "GIT_AUTHOR_EMAIL")
	if c != nil {
		name, email = cmp.Or(name, c.config.User.Name), cmp.Or(email, c.config.User.Email)
	}
	if name == "" || email == "" {
		if global, err := config.LoadConfig(config.GlobalScope); err == nil { // ignore an unreadable file
			name, email = cmp.Or(name, global.User.Name), cmp.Or(email, global.User.Email)
		}
	}
	if (name == "" || email == "") && s.o.Token.Present() {
		user, err := s.api.account(ctx)
		if err != nil {
			return author{}, err
		}
		name = cmp.Or(name, user.GetName(), user.GetLogin())
		email = cmp.Or(email, user.GetEmail(),
			fmt.Sprintf("%d+%s@users.noreply.%s", user.GetID(), user.GetLogin(), s.api.webHost()))
	}
	if strings.ContainsAny(name+email, "<>\n\x00") {
		return author{}, errors.New("the author's name or email address contains <, > or a line break; " +
			"correct it with git config user.name and git config user.email")
	}
	return author{name, email}, nil
}
