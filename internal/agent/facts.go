package agent

import (
	"runtime"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// host is what the helper knows of the machine, and the parts that act on it. Tests set other
// paths.
type host struct {
	facts     wire.Facts
	inProcess bool       // the helper runs in the controller's process, and has no executable
	boot      *bootFiles // nil: an open transaction is not recovered when this host starts

	state     *stateDir
	lock      *lock
	files     *files
	programs  *programs
	accounts  *accountDB
	units     *units
	storage   *storage
	packages  *packages
	obstacles *obstacles
	labelled  labelled
}

func newHost(state string) *host {
	h := &host{facts: readFacts(), state: &stateDir{state}}
	h.lock = &lock{state: h.state}
	h.files = &files{exchange: renameExchange, renameNoReplace: renameNoReplace}
	h.programs = &programs{h.lock}
	h.accounts = &accountDB{passwd: passwdFile, group: "/etc/group", getent: true, programs: h.programs}
	h.units = &units{h.programs, &records{h.state, h.files}}
	h.storage = &storage{
		mountinfo: "/proc/self/mountinfo", swaps: "/proc/swaps", byUUID: "/dev/disk/by-uuid", programs: h.programs,
		fstab: &fstab{path: "/etc/fstab", systemd: h.facts.Systemd, accounts: h.accounts, files: h.files, programs: h.programs},
	}
	h.packages = &packages{}
	switch h.facts.Packages {
	case "apt":
		h.packages.manager = &apt{manager: manager{programs: h.programs}, dpkg: "/var/lib/dpkg"}
	case "dnf":
		h.packages.manager = &dnf{manager{programs: h.programs}}
	}
	h.obstacles = &obstacles{storage: h.storage, apt: h.facts.Packages == "apt"}
	return h
}

const passwdFile = "/etc/passwd"

// readFacts reads only files of /proc and /etc: it is part of every connection, and must be fast.
func readFacts() wire.Facts {
	f := wire.Facts{
		Hostname:  firstLine("/proc/sys/kernel/hostname"),
		MachineID: firstLine("/etc/machine-id"),
		Kernel:    firstLine("/proc/sys/kernel/osrelease"),
		Arch:      runtime.GOARCH,
		CPUs:      runtime.NumCPU(),
		UID:       unix.Geteuid(),
		Systemd:   exists("/run/systemd/system"), // sd_booted(3)
	}
	// proc(5), if_inet6: addresses in hex. Without ::1 a host has no IPv6, or has it disabled.
	if data, err := readFile("/proc/net/if_inet6"); err == nil {
		f.IPv6 = strings.Contains(string(data), "00000000000000000000000000000001 ")
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		f.Memory = info.Totalram * uint64(info.Unit)
	}
	release, err := readFile("/etc/os-release")
	if err != nil {
		release, _ = readFile("/usr/lib/os-release") // without it the fields stay empty
	}
	f.OS = parseOSRelease(string(release))
	if data, err := readFile(passwdFile); err == nil {
		for _, u := range parsePasswd(data) {
			if u.uid == f.UID {
				f.Username = u.name
				break
			}
		}
	}
	f.SELinux, f.SELinuxPolicy = readSELinux("/sys/fs/selinux", "/etc/selinux/config")
	apt, dnf := exists("/usr/bin/apt-get"), exists("/usr/bin/dnf")
	switch {
	case dnf && (f.OS.Family == "el" || !apt):
		f.Packages = "dnf"
	case apt:
		f.Packages = "apt"
	}
	return f
}

// parseOSRelease parses os-release(5).
func parseOSRelease(text string) wire.OSFacts {
	v := assignments(text)
	f := wire.OSFacts{ID: v["ID"], IDLike: strings.Fields(v["ID_LIKE"]), Name: v["PRETTY_NAME"], Version: v["VERSION_ID"]}
	f.Family = f.ID
	for _, id := range append([]string{f.ID}, f.IDLike...) {
		switch id {
		case "debian":
			f.Family = "debian"
			return f
		case "rhel", "centos":
			f.Family = "el"
			return f
		}
	}
	return f
}

// assignments returns the values of a file with one assignment in each line.
func assignments(text string) map[string]string {
	v := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			v[key] = unquote(value)
		}
	}
	return v
}

// unquote removes the shell quotes that os-release(5) allows.
func unquote(s string) string {
	if len(s) < 2 || (s[0] != '"' && s[0] != '\'') || s[len(s)-1] != s[0] {
		return s
	}
	inner := s[1 : len(s)-1]
	if s[0] == '\'' {
		return inner
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' && i+1 < len(inner) && strings.IndexByte("\"$`\\", inner[i+1]) >= 0 {
			i++
		}
		b.WriteByte(inner[i])
	}
	return b.String()
}

func firstLine(path string) string {
	data, _ := readFile(path) // a fact that cannot be read is empty
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}
