package engine

import (
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// Changes that may cut the connection to a host: what sshd, logins, privileges and the network
// need. They are confirmed over a new connection, or the host rolls them back. The paths and names
// are those of Debian 12 and AlmaLinux 8 to 10.
var (
	riskyPaths = []string{
		"/etc/ssh", "/etc/sudoers", "/etc/sudoers.d", "/etc/doas.conf", "/etc/pam.d", "/etc/pam.conf", "/etc/security", "/etc/passwd", "/etc/shadow",
		"/etc/group", "/etc/gshadow", "/etc/nsswitch.conf", "/etc/shells", "/etc/nologin", "/etc/login.defs", "/etc/hosts.allow", "/etc/hosts.deny",
		"/etc/network", "/etc/netplan", "/etc/systemd/network", "/etc/NetworkManager", "/etc/sysconfig/network", "/etc/sysconfig/network-scripts",
		"/etc/sysconfig/sshd", "/etc/default/ssh", "/etc/nftables.conf", "/etc/nftables", "/etc/sysconfig/nftables.conf", "/etc/iptables", "/etc/sysconfig/iptables",
		"/etc/firewalld", "/etc/ufw", "/etc/fail2ban", "/etc/crypto-policies", "/etc/sysctl.conf", "/etc/sysctl.d", "/etc/selinux", "/etc/ld.so.preload",
		"/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/profile", "/etc/profile.d", "/etc/bash.bashrc", "/etc/bashrc", "/root", "/bin", "/sbin", "/lib", "/lib64",
		"/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/run/sshd", "/var/empty",
	}
	riskyUnits = []string{
		"ssh", "sshd", "ssh@", "sshd@", "sshd-keygen", "networking", "systemd-networkd", "systemd-resolved", "NetworkManager", "network", "nftables", "iptables",
		"ip6tables", "firewalld", "ufw", "netfilter-persistent", "fail2ban", "sssd", "nscd", "nslcd", "systemd-logind", "dbus", "dbus-broker", "wg-quick@",
		"openvpn", "tailscaled",
	}
	riskyPackages = []string{
		"openssh-server", "openssh", "sudo", "doas", "opendoas", "nftables", "iptables", "firewalld", "ufw", "fail2ban", "network-manager", "NetworkManager",
		"ifupdown", "netplan.io", "systemd", "libpam-modules", "libpam-runtime", "pam", "sssd", "bash", "dash", "zsh", "fish", "tcsh", "ksh",
	}
)

// risk returns what may stop one of users from logging in after a change, or "".
func risk(c *Change, users []string, homes []string) string {
	if c.Resource != nil && c.Resource.Kind != nil && c.Resource.Kind.risk != nil {
		return c.risk
	}
	for _, s := range c.Steps {
		if what := riskOf(s.Do, users, homes); what != "" {
			return what
		}
	}
	return ""
}

func riskOf(op wire.Op, users, homes []string) string {
	p := op.Path()
	if op.Mount != nil {
		p = op.Mount.Path // a mount hides what is below its mount point
	}
	if p != "" {
		for _, r := range riskyPaths {
			// The mode of a directory applies to everything below it.
			if PathWithin(p, r) || PathWithin(r, p) {
				return p
			}
		}
		for _, home := range homes {
			// The login account's home: sshd ignores keys if others can write to it (StrictModes).
			if home != "" && (p == home || strings.HasPrefix(p, home+"/.") || strings.HasPrefix(home, p+"/")) {
				return p
			}
		}
		if strings.HasPrefix(p, "/etc/systemd/") {
			for name := range strings.SplitSeq(p, "/") {
				if isRiskyUnit(strings.TrimSuffix(name, ".d")) { // UNIT, or the drop-in directory UNIT.d
					return p
				}
			}
		}
	}
	switch {
	case op.Unit != nil && isRiskyUnit(op.Unit.Name):
		return op.Unit.Name
	case op.User != nil && slices.Contains(users, op.User.Name):
		return "user " + op.User.Name
	case op.Group != nil && slices.Contains([]string{"root", "sudo", "wheel", "admin", "ssh", "sshd"}, op.Group.Name):
		return "group " + op.Group.Name
	case op.Package != nil:
		for _, list := range [][]string{op.Package.Install, op.Package.Remove} {
			for _, p := range list {
				if name, _, _ := strings.Cut(p, "="); slices.Contains(riskyPackages, name) {
					return "package " + name
				}
			}
		}
	}
	return ""
}

func isRiskyUnit(unit string) bool {
	return slices.ContainsFunc(riskyUnits, func(name string) bool { return unitIs(unit, name) })
}

// unitIs reports whether a unit, with its suffix, has this name. A name that ends in @ matches all
// instances.
func unitIs(unit, name string) bool {
	base, kind := unit, ""
	if i := strings.LastIndexByte(unit, '.'); i >= 0 {
		base, kind = unit[:i], unit[i+1:]
	}
	if !slices.Contains([]string{"service", "socket", "target"}, kind) {
		return false
	}
	return base == name || strings.HasSuffix(name, "@") && strings.HasPrefix(base, name)
}
