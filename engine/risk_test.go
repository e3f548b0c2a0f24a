package engine

import (
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
)

func TestRisk(t *testing.T) {
	t.Parallel()
	write := func(path string) wire.Op { return wire.Op{Write: &wire.WriteOp{Path: path}} }
	attr := func(path string) wire.Op { return wire.Op{Attr: &wire.AttrOp{Path: path}} }
	mount := func(path string) wire.Op { return wire.Op{Mount: &wire.MountOp{Path: path}} }
	unit := func(name string) wire.Op { return wire.Op{Unit: &wire.UnitOp{Name: name, Action: wire.UnitLoad}} }
	user := func(name string) wire.Op { return wire.Op{User: &wire.UserOp{Name: name}} }
	group := func(name string) wire.Op { return wire.Op{Group: &wire.GroupOp{Name: name}} }
	install := func(names ...string) wire.Op { return wire.Op{Package: &wire.PackageOp{Install: names}} }
	type ops map[string]wire.Op // by what is said
	paths := func(verb func(string) wire.Op, paths ...string) ops {
		m := ops{}
		for _, p := range paths {
			m[p] = verb(p)
		}
		return m
	}
	for name, risky := range map[string]ops{
		"files of both":   paths(write, "/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/10-x.conf", "/etc/sudoers", "/etc/sudoers.d/admin", "/etc/pam.d/sshd", "/etc/passwd", "/etc/shadow", "/etc/nsswitch.conf", "/etc/security/limits.conf", "/etc/nftables.conf", "/root/.ssh/authorized_keys", "/etc/nologin", "/etc/profile.d/x.sh", "/etc/ld.so.preload", "/etc/doas.conf", "/usr/sbin/sshd"),
		"files of Debian": paths(write, "/etc/network/interfaces", "/etc/network/interfaces.d/eth0", "/etc/netplan/01.yaml", "/etc/default/ssh", "/etc/ufw/user.rules", "/etc/iptables/rules.v4", "/etc/bash.bashrc"),
		"files of EL":     paths(write, "/etc/sysconfig/sshd", "/etc/sysconfig/network-scripts/ifcfg-eth0", "/etc/sysconfig/nftables.conf", "/etc/NetworkManager/system-connections/x", "/etc/firewalld/zones/public.xml", "/etc/crypto-policies/config", "/etc/selinux/config", "/etc/bashrc"),
		"units as files":  paths(write, "/etc/systemd/system/ssh.service", "/etc/systemd/system/sshd.service.d/override.conf", "/etc/systemd/system/ssh.socket.d/port.conf", "/etc/systemd/system/multi-user.target.wants/sshd.service", "/etc/systemd/network/10-eth0.network", "/lib/systemd/system/ssh.service"),
		"own home":        paths(write, "/home/admin/.ssh/authorized_keys", "/home/admin/.bashrc", "/home/admin"),
		"above":           paths(attr, "/etc", "/home", "/", "/usr", "/etc/systemd", "/root", "/home/admin"),
		"mounted over":    paths(mount, "/home", "/etc/ssh", "/root", "/var", "/home/admin"),
		"other verbs": {
			"/etc/ssh/a": {Remove: &wire.RemoveOp{Path: "/etc/ssh/a"}}, "/etc/ssh/b": {Mkdir: &wire.MkdirOp{Path: "/etc/ssh/b"}},
			"/etc/ssh/c": {Symlink: &wire.SymlinkOp{Path: "/etc/ssh/c"}}, "/etc/ssh/d": attr("/etc/ssh/d"),
		},
		"units":  paths(unit, "ssh.service", "sshd.service", "ssh.socket", "sshd@1.service", "networking.service", "systemd-networkd.service", "NetworkManager.service", "network.service", "nftables.service", "firewalld.service", "ufw.service", "fail2ban.service", "wg-quick@wg0.service", "systemd-logind.service", "sssd.service"),
		"users":  {"user root": user("root"), "user admin": user("admin"), "user login": user("login")},
		"groups": {"group sudo": group("sudo"), "group wheel": group("wheel"), "group sshd": group("sshd")},
		"packages": {
			"package openssh-server": install("rsync", "openssh-server"), "package sudo": install("sudo=1.9"), "package nftables": {Package: &wire.PackageOp{Remove: []string{"nftables"}}},
			"package firewalld": install("firewalld"), "package ifupdown": install("ifupdown"),
		},
	} {
		for want, op := range risky {
			if got := riskOf(op, []string{"root", "admin", "login"}, []string{"/home/admin"}); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	}
	for name, harmless := range map[string]ops{
		"files":       paths(write, "/etc/motd", "/etc/cron.d/almalinux", "/etc/nginx/nginx.conf", "/etc/nginx/sites-enabled/mirror", "/etc/sshx", "/etc/ssh.bak", "/etc/fstab", "/etc/rsyncd.conf", "/srv/etc/ssh/x", "/usr/local/bin/x", "/etc/logrotate.d/x", "/home/mirror/.ssh/x", "/home/administrator/.ssh/x", "/home/admin/notes", "/etc/systemd/system/nginx.service", "/etc/systemd/system/sshfs.service", "/etc/systemd/system/mirror.timer", "/etc/default/rsync", "/rootfs"),
		"directories": paths(attr, "/srv", "/srv/mirror", "/etc/nginx", "/var/www", "/home/mirror"),
		"mounts":      paths(mount, "/srv/mirror", "/mnt", "/var/www", "/home/mirror"),
		"units":       paths(unit, "nginx.service", "cron.service", "crond.service", "rsync.service", "ssh.timer", "sshfs.service", "network", "mirror.service", "user@1000.service"),
		"users":       {"": user("mirror"), "other": user("administrator")},
		"groups":      {"": group("mirror"), "other": group("users")},
		"packages":    {"": install("rsync", "nginx", "openssh-client", "sudo-ldap", "libnftables1"), "removed": {Package: &wire.PackageOp{Remove: []string{"nginx"}}}},
		"the rest": {
			"mkfs": {Mkfs: &wire.MkfsOp{Device: "/dev/sdb"}}, "probe": {Probe: &wire.ProbeOp{}}, "daemon-reload": unit(""), "nothing": {},
		},
	} {
		for what, op := range harmless {
			if got := riskOf(op, []string{"root", "admin"}, []string{"/home/admin", ""}); got != "" {
				t.Errorf("%s: %s: taken for a risk because of %q", name, what, got)
			}
		}
	}
	declares := &Resource{Kind: &Kind{risk: func(_, _ any) string { return "" }}}
	for _, want := range []string{"", "kernel parameter net.ipv4.ip_forward"} {
		own := &Change{Resource: declares, risk: want, Steps: []Step{{Do: write("/etc/sysctl.d/90-x.conf")}}}
		if got := risk(own, nil, nil); got != want {
			t.Errorf("a type that knows says %q, the engine %q", want, got)
		}
	}
	steps := &Change{Steps: []Step{{Do: write("/etc/motd")}, {Do: unit("ssh.service")}}}
	if got := risk(steps, nil, nil); got != "ssh.service" {
		t.Errorf("of two steps: %q", got)
	}
}
