package lab

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

//go:embed tree
var treeFiles embed.FS

// recipe describes the base tree, except the content of the distribution's packages. Its hash names
// the tree in the cache, so that a changed recipe builds a new tree.
type recipe struct {
	Format   int // incremented when the code that builds the tree changes
	Arch     string
	Codename string   // of the release: VERSION_CODENAME in os-release(5)
	Include  []string // packages for debootstrap besides the minimum
	Tree     []string // packages installed later from the hosts' repository
	Offered  []string // packages that hosts can install without a network
	// MaybeOffered are offered where the release has them.
	MaybeOffered []string `json:",omitempty"`
	Masked       []string // units without use on a lab host, which would only slow down the boot
	// Generators are disabled generators (systemd.generator(7)). They generate nothing on a lab host,
	// but would run at each daemon-reload, several times per package installation.
	Generators []string
	Files      map[string]string // the files of tree/
	Users      []user
}

// user is an account of every host. The lab's key can log in to all of them.
type user struct {
	Name, Shell string
	Password    string // "" locks the password
	Noisy       bool   // shell startup files print text
}

// OpPassword is the password of the account "op" for sudo(8).
const OpPassword = "lab-password"

// demoPackage is a package in the hosts' repositories, with the versions 1.0 and 2.0.
const demoPackage = "mirrorform-lab-demo"

func newRecipe() (*recipe, error) {
	codename, err := osRelease("VERSION_CODENAME")
	if err != nil {
		return nil, err
	}
	r := &recipe{
		Format:   3,
		Arch:     runtime.GOARCH,
		Codename: codename,
		Include: []string{"systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "cron", "sudo",
			"iproute2", "procps", "ca-certificates"},
		Tree: []string{"tcsh", "fish", "opendoas", "strace"},
		Offered: []string{"rsync", "nginx-light", "nginx", "logrotate", "xfsprogs", "e2fsprogs", "btrfs-progs", "util-linux",
			"fdisk", "curl", "strace", "tcsh", "fish", "opendoas", "python3", "python3-apt", "dnf", "rpm", "createrepo-c",
			"apache2", "certbot", "openssl", "firewalld", "ufw", "netbase", "nftables"},
		MaybeOffered: []string{"caddy", "libnginx-mod-http-xslt-filter", "libnginx-mod-http-fancyindex"}, // Debian 11 lacks the first
		Masked: []string{"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
			"e2scrub_reap.service", "fstrim.timer", "man-db.timer", "console-getty.service", "getty.target", "systemd-resolved.service",
			"systemd-networkd-wait-online.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
			"systemd-sysusers.service", "systemd-firstboot.service", "systemd-hwdb-update.service",
			"systemd-boot-update.service", "systemd-pcrphase.service", "systemd-pcrphase-sysinit.service", "dev-hugepages.mount", "ldconfig.service"},
		Generators: []string{"cryptsetup", "debug", "getty", "gpt-auto", "hibernate-resume", "integritysetup", "rc-local",
			"run",
			"system-update", "veritysetup"},
		Files: map[string]string{},
		Users: []user{
			{Name: "admin", Shell: "/bin/bash"},
			{Name: "op", Shell: "/bin/bash", Password: OpPassword},
			{Name: "plain", Shell: "/bin/bash"},
			{Name: "doas", Shell: "/bin/bash"},
			{Name: "csh", Shell: "/bin/tcsh"},
			{Name: "fish", Shell: "/usr/bin/fish"},
			{Name: "noisy", Shell: "/bin/bash", Noisy: true},
		},
	}
	entries, err := treeFiles.ReadDir("tree")
	if err != nil {
		return nil, fmt.Errorf("reading the recipe: %w", err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		data, err := treeFiles.ReadFile("tree/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the recipe: %w", err)
		}
		r.Files[entry.Name()] = string(data)
	}
	return r, nil
}

// of returns the recipe for a release of the machine's distribution. The tree of another one than
// the machine's has only what debootstrap installs, and its hosts can install what a mirror needs.
func (r *recipe) of(codename string) *recipe {
	if codename == r.Codename {
		return r
	}
	other := *r
	other.Codename = codename
	other.Include = append(slices.Clone(r.Include), debianRow(codename).include...)
	other.Tree = nil
	other.Offered = []string{"rsync", "nginx", "logrotate", "curl", "certbot", "openssl", "apache2", "xfsprogs", "e2fsprogs",
		"firewalld", "ufw", "netbase", "nftables"}
	other.Users = slices.DeleteFunc(slices.Clone(r.Users), func(u user) bool { return u.Shell != "/bin/bash" })
	return &other
}

func (r *recipe) hash() (string, error) { return hashRecipe(r) }

// hashRecipe returns what distinguishes trees in the cache: a hash of the recipe as JSON.
func hashRecipe(recipe any) (string, error) {
	data, err := json.Marshal(recipe)
	if err != nil {
		return "", fmt.Errorf("hashing the recipe: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6]), nil
}

// osRelease returns a value of the machine's os-release file (os-release(5)).
func osRelease(name string) (string, error) { return osReleaseOf("/etc/os-release", name) }

func osReleaseOf(file, name string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%w: detecting a distribution: %w", ErrUnavailable, err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return strings.Trim(value, `"'`), nil
		}
	}
	return "", fmt.Errorf("%w: %s not found in %s, so this is not Debian-like", ErrUnavailable, name, file)
}
