package lab

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// makeAptRepository fills the tree's `file:` repository with the offered packages, their missing
// dependencies, and the demo package. The machine's apt downloads them, with the dpkg status of the
// tree instead of the machine's, and for another release than the machine's with lists in the
// directory work.
func makeAptRepository(ctx context.Context, r *recipe, source *aptSource, work, root string, log io.Writer) error {
	repo := filepath.Join(root, hostRepos, "apt")
	if err := makeDirs(filepath.Join(repo, "partial")); err != nil {
		return err
	}
	logf(log, "creating the package repository for the hosts")
	options, err := aptOptions(ctx, source, work)
	if err != nil {
		return err
	}
	offered := slices.Clone(r.Offered)
	for _, pkg := range r.MaybeOffered {
		if available(ctx, options, pkg) {
			offered = append(offered, pkg)
		}
	}
	// Download each package separately: dependencies can depend on the other packages.
	sets := [][]string{}
	for _, pkg := range offered {
		sets = append(sets, []string{pkg})
	}
	if len(offered) > 0 {
		sets = append(sets, offered)
	}
	if err := fillRepository(ctx, options, root, sets...); err != nil {
		return err
	}
	for _, version := range []string{"1.0", "2.0"} {
		if err := buildDemoDeb(ctx, repo, version); err != nil {
			return err
		}
	}
	return indexRepository(ctx, repo)
}

// fillRepository downloads sets of packages, with the dependencies that the tree lacks, to the
// tree's repository.
func fillRepository(ctx context.Context, options []string, root string, sets ...[]string) error {
	repo := filepath.Join(root, hostRepos, "apt")
	options = append(slices.Clone(options), "-o", "Dir::State::status="+filepath.Join(root, "var/lib/dpkg/status"),
		"-o", "Dir::Cache::archives="+repo)
	for _, set := range sets {
		if err := download(ctx, options, set...); err != nil {
			return err
		}
	}
	for _, leftover := range []string{"partial", "lock"} {
		if err := os.RemoveAll(filepath.Join(repo, leftover)); err != nil {
			return err
		}
	}
	return nil
}

// aptOptions returns the options with which the machine's apt has the packages of source. The lists
// of another release than the machine's are fetched into the directory work.
func aptOptions(ctx context.Context, source *aptSource, work string) ([]string, error) {
	options := []string{"-o", "APT::Sandbox::User=root"}
	if own, err := osRelease("VERSION_CODENAME"); err != nil || own == source.suite {
		return options, err
	}
	dir := filepath.Join(work, "apt")
	for _, sub := range []string{"lists/partial", "cache"} {
		if err := makeDirs(filepath.Join(dir, sub)); err != nil {
			return nil, err
		}
	}
	line := fmt.Sprintf("deb %s %s %s\n", source.url, source.suite, strings.Join(source.components, " "))
	if err := os.WriteFile(filepath.Join(dir, "sources.list"), []byte(line), 0o644); err != nil {
		return nil, err
	}
	options = append(options, "-o", "Dir::Etc::sourcelist="+filepath.Join(dir, "sources.list"), "-o", "Dir::Etc::sourceparts=-",
		"-o", "Dir::State::lists="+filepath.Join(dir, "lists"), "-o", "Dir::Cache="+filepath.Join(dir, "cache"))
	_, err := run(ctx, append([]string{"apt-get", "update"}, options...)...)
	return options, err
}

// available reports whether apt has the package. A name that only other packages mention is known
// to apt, too.
func available(ctx context.Context, options []string, pkg string) bool {
	out, err := run(ctx, append(append([]string{"apt-cache"}, options...), "show", pkg)...)
	return err == nil && len(out) > 0
}

func download(ctx context.Context, options []string, packages ...string) error {
	argv := append([]string{"apt-get", "install", "--download-only", "-y",
		"-o", "Debug::NoLocking=true", // apt does not use the machine's dpkg
		"-o", "APT::Install-Recommends=true", // the default on hosts
		"--reinstall"}, // also download packages that the tree already has
		options...)
	_, err := run(ctx, append(argv, packages...)...)
	return err
}

// buildDemoDeb builds the demo package with dpkg-deb(1).
func buildDemoDeb(ctx context.Context, repo, version string) error {
	tree, err := os.MkdirTemp("", "mirrorform-lab-deb-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tree) }()
	if err := os.Chmod(tree, 0o755); err != nil {
		return err
	}
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nSection: misc\nPriority: optional\n"+
		"Maintainer: mirrorform <mirrorform@example.org>\nDescription: "+
		"a package for the tests of mirrorform\n", demoPackage, version)
	err = writeTreeFiles(tree, []treeFile{
		{"DEBIAN/control", 0o644, control},
		{"usr/share/" + demoPackage + "/version", 0o644, version + "\n"},
	})
	if err != nil {
		return err
	}
	_, err = run(ctx, "dpkg-deb", "--root-owner-group", "--build", tree,
		filepath.Join(repo, demoPackage+"_"+version+"_all.deb"))
	return err
}

// indexRepository writes Packages and Release of a flat repository (sources.list(5); Debian wiki,
// RepositoryFormat). The repository is not signed; the hosts' sources.list marks it as trusted.
func indexRepository(ctx context.Context, repo string) error {
	// On hosts, the user _apt reads the files.
	debs, err := filepath.Glob(filepath.Join(repo, "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range debs {
		if err := os.Chmod(deb, 0o644); err != nil {
			return err
		}
	}
	cmd := command(ctx, "dpkg-scanpackages", "--multiversion", ".")
	cmd.Dir = repo
	packages, err := runCmd(cmd)
	if err != nil {
		return err
	}
	if !strings.Contains(string(packages), "Package: "+demoPackage+"\n") {
		return fmt.Errorf("package %s not found in the index of %s", demoPackage, repo)
	}
	release := fmt.Sprintf("Origin: mirrorform-lab\nLabel: mirrorform-lab\nSuite: lab\nCodename: lab\nDate: "+
		"%s\nSHA256:\n %x %d Packages\n",
		time.Now().UTC().Format(time.RFC1123), sha256.Sum256(packages), len(packages))
	return writeTreeFiles(repo, []treeFile{
		{"Packages", 0o644, string(packages)},
		{"Release", 0o644, release},
	})
}
