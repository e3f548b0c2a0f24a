package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// hostRepos is the directory of a host's package repositories.
const hostRepos = "/opt/mirrorform-lab"

// cache is the directory of the base trees. A tree is built in a temporary directory and renamed
// when it is complete. A lock ensures that parallel processes build it only once.
type cache struct {
	dir string
	log io.Writer
}

// keepUnused is how long the tree of another recipe stays in the cache.
const keepUnused = 30 * 24 * time.Hour

// base returns the directory of the tree for r, and builds it first if it is missing.
func (c *cache) base(ctx context.Context, r *recipe) (string, error) {
	hash, err := r.hash()
	if err != nil {
		return "", err
	}
	return c.ensure(ctx, "base-"+hash, func(dir string) error { return c.buildBase(ctx, r, dir) })
}

// trees returns the trees of an operating system, topmost first. It builds missing ones. r is the
// recipe of the machine's own release.
func (c *cache) trees(ctx context.Context, r *recipe, o OS) ([]string, error) {
	row := o.row()
	if row == nil {
		row = &osRow{codename: r.Codename}
	}
	base, err := c.base(ctx, r.of(row.codename))
	if err != nil || row.el == nil {
		return []string{filepath.Join(base, "root")}, err
	}
	l, err := newLayer(row.el, filepath.Base(base))
	if err != nil {
		return nil, err
	}
	name, err := l.name()
	if err != nil {
		return nil, err
	}
	top, err := c.ensure(ctx, name, func(dir string) error { return l.build(ctx, c, base, dir) })
	return []string{filepath.Join(top, "root"), filepath.Join(base, "root")}, err
}

// ensure returns the directory name of the cache. It calls build if the directory does not exist.
func (c *cache) ensure(ctx context.Context, name string, build func(dir string) error) (string, error) {
	final := filepath.Join(c.dir, name)
	if _, err := os.Stat(final); err == nil {
		now := time.Now()
		return final, os.Chtimes(final, now, now) // prune keeps recently used trees
	}
	if err := makeDirs(c.dir); err != nil {
		return "", fmt.Errorf("creating the lab's cache: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(c.dir, "lock"), func() {
		logf(c.log, "waiting for another process to build %s", final)
	})
	if err != nil {
		return "", fmt.Errorf("waiting for the lab's cache: %w", err)
	}
	defer unlock()
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	if err := c.prune(); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(c.dir, "build-")
	if err != nil {
		return "", fmt.Errorf("creating the lab's cache: %w", err)
	}
	defer func() { _ = removeTree(work) }()
	start := time.Now()
	if err := os.Chmod(work, 0o755); err != nil {
		return "", fmt.Errorf("creating the lab's cache: %w", err)
	}
	if err := build(work); err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	if err := os.Rename(work, final); err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	logf(c.log, "%s is ready after %.0f s; later labs reuse it", final, time.Since(start).Seconds())
	return final, nil
}

// cachedTree matches the names of trees.
var cachedTree = regexp.MustCompile(`^(base|el[0-9]*|pebble|vm)-`)

// prune removes the remains of interrupted builds, and trees not used for keepUnused. The caller
// holds the cache's lock.
func (c *cache) prune() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("cleaning the lab's cache: %w", err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue
		}
		if strings.HasPrefix(entry.Name(), "build-") || cachedTree.MatchString(entry.Name()) && time.Since(info.ModTime()) > keepUnused {
			if err := removeTree(filepath.Join(c.dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// lockFile takes an exclusive lock on a file, which it creates if it is missing, and returns the
// function that releases it. It calls waiting once if it has to wait, and gives up when ctx ends.
func lockFile(ctx context.Context, path string, waiting func()) (func(), error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	notified := false
	for {
		ok, err := tryFlock(file)
		if err == nil && ok {
			return func() { _ = file.Close() }, nil
		}
		if err == nil {
			if !notified && waiting != nil {
				waiting()
				notified = true
			}
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-time.After(5 * time.Millisecond):
				continue
			}
		}
		_ = file.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
}

// aptSource is a package source in the machine's apt configuration.
type aptSource struct {
	url, suite string
	components []string
}

// source returns the package source for a release. It is the machine's own source, which has other
// releases too. On a fresh machine apt has no package lists, so source runs apt-get update if apt
// reports no source.
func (c *cache) source(ctx context.Context, codename string) (*aptSource, error) {
	own, err := osRelease("VERSION_CODENAME")
	if err != nil {
		return nil, err
	}
	source, err := findSource(ctx, own)
	if err != nil {
		logf(c.log, "running apt-get update, since apt has no package lists for %s", own)
		if _, updateErr := run(ctx, "apt-get", "update"); updateErr != nil {
			return nil, errors.Join(err, updateErr)
		}
		if source, err = findSource(ctx, own); err != nil {
			return nil, err
		}
	}
	source.suite = codename
	return source, nil
}

// findSource returns apt's source for the machine's own release.
func findSource(ctx context.Context, codename string) (*aptSource, error) {
	const format = "$(CREATED_BY) $(CODENAME) $(SUITE) $(RELEASE) $(COMPONENT) $(REPO_URI)"
	out, err := run(ctx, "apt-get", "indextargets", "--format", format)
	if err != nil {
		return nil, fmt.Errorf("reading apt's sources: %w", err)
	}
	var found *aptSource
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 6 || fields[0] != "Packages" || fields[1] != codename || fields[3] != codename {
			continue
		}
		if found == nil {
			found = &aptSource{url: fields[5], suite: codename}
		}
		if fields[5] == found.url {
			found.components = append(found.components, fields[4])
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%w: apt has no package source for %s; run apt-get update, or add a source to /etc/apt",
			ErrUnavailable, codename)
	}
	return found, nil
}

func (c *cache) buildBase(ctx context.Context, r *recipe, dir string) error {
	source, err := c.source(ctx, r.Codename)
	if err != nil {
		return err
	}
	logf(c.log, "building the base tree of the hosts in %s; this takes a few minutes, but only once", c.dir)
	root := filepath.Join(dir, "root")
	// Separate namespaces ensure that a cancelled build leaves no processes or mounts.
	logf(c.log, "debootstrap %s from %s (about a minute)", source.suite, source.url)
	_, err = run(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "debootstrap",
		"--variant=minbase", "--include="+strings.Join(r.Include, ","),
		"--components="+strings.Join(source.components, ","), source.suite, root, source.url)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(root, "debootstrap", "debootstrap.log"))
		return fmt.Errorf("%w\n%s", err, lastLines(string(log), 20))
	}
	if err := makeAptRepository(ctx, r, source, dir, root, c.log); err != nil {
		return fmt.Errorf("creating the hosts' apt repository: %w", err)
	}
	logf(c.log, "setting up the tree")
	if err := setUpTree(ctx, r, root); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(dir, "apt"))
}

// inTree runs a program in the tree root with /proc mounted. It uses separate process and mount
// namespaces, so that no child process or mount outlives the program.
func inTree(ctx context.Context, root, stdin string, argv ...string) ([]byte, error) {
	full := append([]string{"unshare", "--mount", "--pid", "--fork", "--kill-child", "--root=" + root, "--mount-proc",
		"--",
		"/bin/sh", "-c", `umask 022; exec "$@"`, "sh"}, argv...)
	cmd := command(ctx, full...)
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	return runCmd(cmd)
}

// makeDirs is os.MkdirAll with mode 0755, regardless of the umask.
func makeDirs(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if err := makeDirs(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Chmod(path, 0o755)
}

// treeFile is a file of the base tree that the recipe writes.
type treeFile struct {
	path string
	mode os.FileMode
	data string
}

func writeTreeFiles(root string, files []treeFile) error {
	for _, file := range files {
		path := filepath.Join(root, file.path)
		if err := makeDirs(filepath.Dir(path)); err != nil {
			return err
		}
		// A symbolic link may point outside the tree.
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(path, []byte(file.data), file.mode); err != nil {
			return err
		}
		if err := os.Chmod(path, file.mode); err != nil { // WriteFile applies the umask
			return err
		}
	}
	return nil
}

// setUpTree prepares the tree for booting: configuration, packages, accounts.
func setUpTree(ctx context.Context, r *recipe, root string) error {
	files := []treeFile{
		{"/etc/apt/sources.list", 0o644, "deb [trusted=yes] file:" + hostRepos + "/apt ./\n"},
		{"/etc/resolv.conf", 0o644, "# A lab has no name server.\n"},
		{"/etc/systemd/system-generators/mirrorform-lab-fstab", 0o755, r.Files["fstab-generator"]},
		{"/etc/ssh/sshd_config.d/mirrorform-lab.conf", 0o644, r.Files["sshd.conf"]},
		{"/etc/sudoers.d/mirrorform-lab", 0o440, r.Files["sudoers"]},
		{"/etc/doas.conf", 0o400, r.Files["doas.conf"]},
	}
	if err := writeTreeFiles(root, files); err != nil {
		return err
	}
	keys, err := filepath.Glob(filepath.Join(root, "etc/ssh/ssh_host_*"))
	if err != nil {
		return err
	}
	for _, path := range keys { // each host has its own keys
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	// Services must not start while packages are installed into the tree.
	policy := filepath.Join(root, "usr/sbin/policy-rc.d")
	if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return err
	}
	steps := [][]string{
		{"/usr/bin/apt-get", "clean"},
		{"/usr/bin/apt-get", "update"},
		append([]string{"/usr/bin/apt-get", "install", "-y", "--no-install-recommends"}, r.Tree...), // r.Tree may be empty
		{"/usr/sbin/usermod", "--lock", "root"},
		{"/bin/systemctl", "enable", "systemd-networkd.service"},
		append([]string{"/bin/systemctl", "mask"}, r.Masked...),
		{"/usr/sbin/visudo", "--check"},
	}
	for _, argv := range steps {
		if _, err := inTree(ctx, root, "", argv...); err != nil {
			return err
		}
	}
	if err := addUsers(ctx, r, root); err != nil {
		return err
	}
	if err := quicken(r, root); err != nil {
		return err
	}
	return os.Remove(policy)
}

// quicken removes parts that cost time and have no effect on a lab host. Generators that generate
// nothing and the index of manual pages take more than half of a package installation. The message
// of the day takes a third of a login.
func quicken(r *recipe, root string) error {
	dir := filepath.Join(root, "etc/systemd/system-generators")
	if err := makeDirs(dir); err != nil {
		return err
	}
	for _, name := range r.Generators {
		if err := os.Symlink("/dev/null", filepath.Join(dir, "systemd-"+name+"-generator")); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(filepath.Join(root, "etc/update-motd.d")); err != nil {
		return err
	}
	// Without this file, man-db's trigger does not rebuild the index.
	if err := os.Remove(filepath.Join(root, "var/lib/man-db/auto-update")); err != nil &&
		!errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func addUsers(ctx context.Context, r *recipe, root string) error {
	for _, u := range r.Users {
		if _, err := inTree(ctx, root, "", "/usr/sbin/useradd", "--create-home", "--user-group", "--shell", u.Shell,
			u.Name); err != nil {
			return err
		}
		if u.Password != "" {
			if _, err := inTree(ctx, root, u.Name+":"+u.Password+"\n", "/usr/sbin/chpasswd"); err != nil {
				return err
			}
		}
		if u.Noisy {
			home := "/home/" + u.Name
			if err := writeTreeFiles(root, []treeFile{
				{home + "/.bashrc", 0o644, r.Files["noisy"]},
				{home + "/.profile", 0o644, r.Files["noisy"]},
			}); err != nil {
				return err
			}
		}
	}
	return nil
}
