package lab

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// layer is the recipe of the overlay layer that makes an EL tree of a Debian tree. Like that of a
// base tree, it does not have the content of Debian's packages.
type layer struct {
	Format int // incremented when the code that builds the layer changes
	Base   string
	enterprise
	Tools   []string // packages of Debian that are installed in the layer
	Payload []string // packages of Debian whose files are in the host's rpms
	Maybe   []string // more of those, where the release has them
	Parts   []string // prefixes of the names of more, which those depend on
	Build   []string // packages that are unpacked for the build alone
	// Files are those of tree/el: the specs, units and configuration files of EL hosts, and the
	// scripts that build their trees. Of EL's packages they have the facts: names, paths, accounts.
	Files map[string]string
}

func newLayer(e *enterprise, base string) (*layer, error) {
	l := &layer{
		Format: 1, Base: base, enterprise: *e, Files: map[string]string{},
		Tools: []string{"dnf", "rpm", "createrepo-c", "netbase"},
		Payload: []string{"nginx", "nginx-common", "apache2", "apache2-bin", "apache2-data", "apache2-utils", "rsync", "logrotate",
			"certbot", "python3-certbot", "python3-acme", "python3-josepy", "python3-certbot-nginx", "python3-certbot-apache",
			"firewalld", "python3-firewall", "policycoreutils", "policycoreutils-python-utils", "semodule-utils", "xfsprogs", "curl",
			"nftables"},
		Maybe: []string{"caddy", "cronie"},
		Parts: []string{"nginx-", "libnginx-mod-"},
		Build: []string{"patchelf"},
	}
	err := fs.WalkDir(treeFiles, "tree/el", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := treeFiles.ReadFile(path)
		l.Files[strings.TrimPrefix(path, "tree/el/")] = string(data)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the recipe: %w", err)
	}
	return l, nil
}

func (l *layer) name() (string, error) {
	hash, err := hashRecipe(l)
	return "el" + l.Major + "-" + hash, err
}

// buildDir is the directory of the build in an EL tree. It is gone when the tree is complete.
const buildDir = "/root/el"

// build builds the layer over the tree base in dir.
func (l *layer) build(ctx context.Context, c *cache, base, dir string) error {
	logf(c.log, "building the tree of EL %s; this takes about a minute, but only once", l.Major)
	upper, work, merged := filepath.Join(dir, "root"), filepath.Join(dir, "work"), filepath.Join(dir, "merged")
	for _, path := range []string{upper, work, merged} {
		if err := makeDirs(path); err != nil {
			return err
		}
	}
	if err := mountOverlay(merged, upper, work, false, filepath.Join(base, "root")); err != nil {
		return err
	}
	b := &layerBuild{layer: l, cache: c, dir: dir, root: merged, log: c.log}
	err := b.fill(ctx)
	if unmountErr := removeTree(merged); err == nil {
		err = unmountErr
	}
	if err != nil {
		return err
	}
	for _, name := range []string{"work", "apt", "newer"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// layerBuild is one build of a layer.
type layerBuild struct {
	*layer
	cache *cache
	dir   string
	root  string // the mounted tree
	log   io.Writer
}

func (b *layerBuild) fill(ctx context.Context) error {
	for name, data := range b.Files {
		if err := writeTreeFiles(b.root, []treeFile{{buildDir + "/" + name, 0o644, data}}); err != nil {
			return err
		}
	}
	logf(b.log, "downloading the packages of EL %s", b.Major)
	debs, err := b.download(ctx)
	if err != nil {
		return err
	}
	if err := b.downloadNewer(ctx); err != nil {
		return err
	}
	logf(b.log, "installing what the packages need")
	if err := b.installPlatform(ctx, debs); err != nil {
		return err
	}
	logf(b.log, "building the packages and repositories")
	for _, argv := range [][]string{
		{"/bin/sh", buildDir + "/build.sh", b.Major, b.Version, b.Name},
		{"/bin/sh", buildDir + "/finish.sh", b.Major},
	} {
		if _, err := inTree(ctx, b.root, "", argv...); err != nil {
			return err
		}
	}
	return nil
}

// download fetches all packages with what they depend on, and returns the files of those that are
// to be installed. It unpacks the others.
func (b *layerBuild) download(ctx context.Context) ([]string, error) {
	codename, err := codenameOf(b.root)
	if err != nil {
		return nil, err
	}
	options, err := b.aptOptions(ctx, codename)
	if err != nil {
		return nil, err
	}
	archives := filepath.Join(b.root, buildDir, "debs")
	if err := makeDirs(filepath.Join(archives, "partial")); err != nil {
		return nil, err
	}
	payload := slices.Clone(b.Payload)
	for _, pkg := range b.Maybe {
		if available(ctx, options, pkg) {
			payload = append(payload, pkg)
		}
	}
	payload = append(payload, b.Build...)
	options = append(options, "-o", "Dir::State::status="+filepath.Join(b.root, "var/lib/dpkg/status"), "-o", "Dir::Cache::archives="+archives,
		"-o", "Debug::NoLocking=true", "-o", "APT::Install-Recommends=false")
	argv := append([]string{"apt-get", "install", "--download-only", "-y"}, options...)
	if _, err := run(ctx, append(append(argv, b.Tools...), payload...)...); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return nil, err
	}
	var platform []string
	for _, file := range files {
		name, version := debName(file)
		part := slices.ContainsFunc(b.Parts, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		if !part && !slices.Contains(payload, name) {
			platform = append(platform, filepath.Join(buildDir, "debs", filepath.Base(file)))
			continue
		}
		if err := b.unpack(ctx, file, "deb/"+name, name, version); err != nil {
			return nil, err
		}
	}
	return platform, nil
}

// downloadNewer unpacks packages of newer releases.
func (b *layerBuild) downloadNewer(ctx context.Context) error {
	for codename, packages := range b.Newer {
		options, err := b.aptOptions(ctx, codename)
		if err != nil {
			return err
		}
		dir := filepath.Join(b.dir, "newer", codename)
		if err := makeDirs(dir); err != nil {
			return err
		}
		cmd := command(ctx, append(append([]string{"apt-get", "download"}, options...), packages...)...)
		cmd.Dir = dir
		if _, err := runCmd(cmd); err != nil {
			return err
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
		if err != nil {
			return err
		}
		for _, file := range files {
			name, version := debName(file)
			if err := b.unpack(ctx, file, "newer/"+codename+"/"+name, name+"."+codename, version); err != nil {
				return err
			}
		}
	}
	return nil
}

// aptOptions returns the options with which the machine's apt has the packages of a release.
func (b *layerBuild) aptOptions(ctx context.Context, codename string) ([]string, error) {
	source, err := b.cache.source(ctx, codename)
	if err != nil {
		return nil, err
	}
	return aptOptions(ctx, source, filepath.Join(b.dir, "apt", codename))
}

// unpack unpacks a package into a directory of the build, and records its version.
func (b *layerBuild) unpack(ctx context.Context, file, to, name, version string) error {
	target := filepath.Join(b.root, buildDir, to)
	if err := makeDirs(target); err != nil {
		return err
	}
	if _, err := run(ctx, "dpkg-deb", "--extract", file, target); err != nil {
		return err
	}
	return writeTreeFiles(filepath.Join(b.root, buildDir), []treeFile{{"version/" + name, 0o644, version + "\n"}})
}

// installPlatform installs packages of Debian in the tree. What they depend on beyond them comes
// from rpms later.
func (b *layerBuild) installPlatform(ctx context.Context, debs []string) error {
	policy := treeFile{"/usr/sbin/policy-rc.d", 0o755, "#!/bin/sh\nexit 101\n"}
	if err := writeTreeFiles(b.root, []treeFile{policy}); err != nil {
		return err
	}
	options := []string{"/usr/bin/dpkg", "--force-depends", "--force-unsafe-io", "--path-exclude=/usr/share/doc/*",
		"--path-exclude=/usr/share/man/*", "--path-exclude=/usr/share/locale/*"}
	if _, err := inTree(ctx, b.root, "", append(options, "--purge", "cron")...); err != nil {
		return err
	}
	_, err := inTree(ctx, b.root, "", append(append(options, "--install"), debs...)...)
	return err
}

// debName returns the name of the package in a file of apt's, and its version without those of
// Debian.
func debName(file string) (name, version string) {
	name, version, _ = strings.Cut(filepath.Base(file), "_")
	version, _, _ = strings.Cut(version, "_")
	if _, after, ok := strings.Cut(version, "%3a"); ok {
		version = after
	}
	if i := strings.LastIndexByte(version, '-'); i >= 0 {
		version = version[:i]
	}
	version, _, _ = strings.Cut(version, "+")
	return name, strings.ReplaceAll(version, "-", ".")
}

// codenameOf returns the code name of a tree's Debian release.
func codenameOf(root string) (string, error) {
	return osReleaseOf(filepath.Join(root, "usr/lib/os-release"), "VERSION_CODENAME")
}
