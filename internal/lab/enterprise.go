package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// alma is /etc/os-release of a host of family EL, with the keys of AlmaLinux 9. Otherwise the tree
// is a Debian tree.
const alma = `NAME="AlmaLinux"
VERSION="9.6 (Sage Margay)"
ID="almalinux"
ID_LIKE="rhel centos fedora"
VERSION_ID="9.6"
PLATFORM_ID="platform:el9"
PRETTY_NAME="AlmaLinux 9.6 (Sage Margay)"
ANSI_COLOR="0;34"
`

const dnfRepo = `[mirrorform-lab]
name=mirrorform lab
baseurl=file://` + hostRepos + `/dnf
enabled=1
gpgcheck=0
`

// dnfConf omits Debian's own repositories and sets the release, which dnf would otherwise look up
// in the rpm database.
const dnfConf = `[main]
gpgcheck=1
installonly_limit=3
clean_requirements_on_remove=True
best=True
skip_if_unavailable=False
module_platform_id=platform:el9
`

// buildEnterpriseLayer builds the overlay layer of family EL over base in dir, with dnf, rpm,
// AlmaLinux's os-release, and a dnf repository with the demo package.
func buildEnterpriseLayer(ctx context.Context, base, dir string, log io.Writer) error {
	logf(log, "building the tree of family EL; this takes about 30 s, but only once")
	upper, work, merged := filepath.Join(dir, "root"), filepath.Join(dir, "work"), filepath.Join(dir, "merged")
	for _, path := range []string{upper, work, merged} {
		if err := makeDirs(path); err != nil {
			return err
		}
	}
	if err := mountOverlay(merged, upper, work, filepath.Join(base, "root")); err != nil {
		return err
	}
	err := fillEnterpriseLayer(ctx, merged)
	if unmountErr := removeTree(merged); err == nil {
		err = unmountErr
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(work)
}

func fillEnterpriseLayer(ctx context.Context, root string) error {
	if _, err := inTree(ctx, root, "", "/usr/bin/apt-get", "install", "-y", "--no-install-recommends", "dnf", "rpm",
		"createrepo-c"); err != nil {
		return err
	}
	err := writeTreeFiles(root, []treeFile{
		{"/etc/os-release", 0o644, alma},
		{"/usr/lib/os-release", 0o644, alma},
		{"/etc/yum.repos.d/mirrorform-lab.repo", 0o644, dnfRepo},
		{"/etc/dnf/dnf.conf", 0o644, dnfConf},
		{"/etc/dnf/vars/releasever", 0o644, "9\n"},
	})
	if err != nil {
		return err
	}
	spec, err := treeFiles.ReadFile("tree/demo.spec")
	if err != nil {
		return err
	}
	const specPath, top = "/root/demo.spec", "/root/rpmbuild"
	if err := writeTreeFiles(root, []treeFile{{specPath, 0o644, string(spec)}}); err != nil {
		return err
	}
	for _, version := range []string{"1.0", "2.0"} {
		if _, err := inTree(ctx, root, "", "/usr/bin/rpmbuild", "-bb",
			"--define", "_topdir "+top, "--define", "_rpmdir "+hostRepos+"/dnf",
			"--define", "demo_version "+version, specPath); err != nil {
			return fmt.Errorf("building the demo rpm: %w", err)
		}
	}
	steps := [][]string{
		{"/usr/bin/createrepo_c", hostRepos + "/dnf"},
		{"/usr/bin/dnf", "makecache"},
		{"/bin/rm", "-rf", top, specPath},
	}
	for _, argv := range steps {
		if _, err := inTree(ctx, root, "", argv...); err != nil {
			return err
		}
	}
	return nil
}
