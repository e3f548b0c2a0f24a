package conformance

import (
	"fmt"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/resources"
)

func groupCases() []testCase {
	return []testCase{
		{
			kind: "group", name: "number",
			variants: []any{&resources.Group{Name: "case", GID: new(4242)}, &resources.Group{Name: "case", GID: new(4343)}},
			effect:   []string{"getent", "group", "case"},
			edits:    []edit{by("number", "groupmod", "-g", "4444", "case"), by("missing", "groupdel", "case")},
			ignored:  []edit{{name: "member", argvs: [][]string{{"usermod", "-aG", "case", "plain"}, {"gpasswd", "-d", "plain", "case"}}}},
			touches:  []string{"/etc/group", "/etc/gshadow"},
		},
		{
			kind: "group", name: "system",
			variants: []any{&resources.Group{Name: "case", System: true}},
			edits:    []edit{by("missing", "groupdel", "case")},
			ignored:  []edit{by("number", "groupmod", "-g", "4444", "case")},
			touches:  []string{"/etc/group", "/etc/gshadow"},
		},
	}
}

func userCases() []testCase {
	accounts := []string{"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"}
	return []testCase{
		{
			kind: "user", name: "attributes",
			variants: []any{
				&resources.User{
					Name: "case", UID: new(4242), Group: "casegroup", Groups: []string{"plain", "adm"}, Home: "/srv/case", Shell: "/usr/sbin/nologin",
					Comment: "Häuser & Co",
				},
				&resources.User{
					Name: "case", UID: new(4343), Group: "users", Groups: []string{"adm", "cdrom"}, Home: "/", Shell: "/bin/sh", Comment: "other",
				},
			},
			prepare: [][]string{{"groupadd", "-g", "4300", "casegroup"}},
			effect:  []string{"getent", "passwd", "case"},
			edits: []edit{
				by("number", "usermod", "-u", "4444", "case"),
				by("primary group", "usermod", "-g", "users", "case"),
				by("groups", "usermod", "-G", "adm", "case"),
				by("no groups", "usermod", "-G", "", "case"),
				by("home", "usermod", "-d", "/nonexistent", "case"),
				by("shell", "usermod", "-s", "/bin/sh", "case"),
				by("comment", "usermod", "-c", "", "case"),
				by("missing", "userdel", "case"),
			},
			ignored: []edit{by("password", "usermod", "-p", "$6$salt$hash", "case")},
			touches: accounts,
			cleanup: [][]string{{"groupdel", "casegroup"}},
		},
		{
			kind: "user", name: "system",
			variants: []any{&resources.User{Name: "case", System: true, Home: "/nonexistent"}},
			effect:   []string{"getent", "group", "case"},
			edits:    []edit{by("missing", "userdel", "case")},
			ignored:  []edit{by("shell", "usermod", "-s", "/bin/false", "case"), by("number", "usermod", "-u", "444", "case")},
			touches:  accounts,
		},
	}
}

// caseUnit records in /run/case when it last loaded its configuration. It sleeps longer than any
// test.
const caseUnit = `[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/sleep infinity
ExecStartPost=/usr/bin/touch /run/case
ExecReload=/usr/bin/touch /run/case
[Install]
WantedBy=multi-user.target
`

func serviceCases() []testCase {
	const unit, config = "/etc/systemd/system/case.service", "/etc/case.conf"
	daemonReload := []string{"systemctl", "daemon-reload"}
	cleanup := [][]string{{"rm", "-f", unit, config, "/run/case", "/var/lib/mirrorform/loaded/case.service"}, daemonReload}
	wants := []string{"/etc/systemd/system/multi-user.target.wants/case.service"}
	stale := by("configuration", "sed", "-i", "$ a changed", config)
	return []testCase{
		{
			kind: "service", name: "enabled and running",
			variants: []any{
				&resources.Service{Name: "case", Enabled: new(true), Running: new(true)},
				&resources.Service{Name: "case.service", Enabled: new(false), Running: new(false)},
				&resources.Service{Name: "case", Enabled: new(true), Running: new(false)},
			},
			files:   []file{{unit, caseUnit, 0o644}},
			prepare: [][]string{daemonReload},
			effect:  []string{"systemctl", "--quiet", "is-active", "case"},
			edits: []edit{
				by("stopped", "systemctl", "stop", "case"),
				{name: "failed", argvs: [][]string{{"systemctl", "kill", "--signal=KILL", "case"}, {"sh", "-c", "while systemctl -q is-active case; do sleep 0.01; done"}}},
				by("disabled", "systemctl", "disable", "case"),
				by("disabled and stopped", "systemctl", "disable", "--now", "case"),
			},
			touches: wants,
			stays:   "its unit is somebody else's",
			cleanup: cleanup,
		},
		{
			kind: "service", name: "reloaded on a change",
			variants: []any{&resources.Service{Name: "case", Running: new(true), ReloadOn: []string{config}}},
			files:    []file{{unit, caseUnit, 0o644}, {config, "first\n", 0o644}},
			prepare:  [][]string{daemonReload},
			effect:   []string{"test", "/run/case", "-nt", config},
			edits:    []edit{stale, by("stopped", "systemctl", "stop", "case")},
			stays:    "its unit is somebody else's",
			cleanup:  cleanup,
		},
		{
			kind: "service", name: "restarted on a change",
			variants: []any{&resources.Service{Name: "case", Enabled: new(true), Running: new(true), RestartOn: []string{config}}},
			files:    []file{{unit, caseUnit, 0o644}, {config, "first\n", 0o644}},
			prepare:  [][]string{daemonReload},
			effect:   []string{"test", "/run/case", "-nt", config},
			edits:    []edit{stale, {name: "missing", argvs: [][]string{{"rm", config}, {"touch", "/run/case"}}}},
			touches:  wants,
			stays:    "its unit is somebody else's",
			cleanup:  append([][]string{{"rm", "-f", "/var/lib/mirrorform/loaded/case.service.restart"}}, cleanup...),
		},
	}
}

// demo is a package in the hosts' repositories, with the versions 1.0 and 2.0.
const demo = "mirrorform-lab-demo"

func aptCases() []testCase {
	install := []string{"apt-get", "install", "-y", "--allow-downgrades", demo}
	old := append(install[:4:4], demo+"=1.0")
	remove := []string{"dpkg", "--remove", demo}
	return packageCases(install, old, remove, edit{name: "half-installed", argvs: [][]string{
		remove, {"sh", "-c", "cd /tmp && apt-get download " + demo + " && dpkg --unpack ./" + demo + "_*.deb && rm ./" + demo + "_*.deb"},
	}})
}

func dnfCases() []testCase {
	return packageCases([]string{"dnf", "-y", "-q", "install", demo}, []string{"dnf", "-y", "-q", "install", demo + "-1.0"}, []string{"rpm", "-e", demo})
}

// packageCases returns the cases for a package manager, with the commands of a manual change.
func packageCases(install, old, remove []string, broken ...edit) []testCase {
	there := []string{"test", "-f", "/usr/share/" + demo + "/version"}
	return []testCase{
		{
			kind: "package", name: "present", slow: true,
			variants: []any{&resources.Package{Name: "other-name", Names: map[string]string{"debian": demo, "el": demo}}},
			effect:   there,
			edits:    append([]edit{by("missing", remove...)}, broken...),
		},
		{
			kind: "package", name: "latest", slow: true,
			variants: []any{&resources.Package{Name: demo, State: "latest"}},
			prepare:  [][]string{old},
			effect:   []string{"grep", "-qx", "2.0", "/usr/share/" + demo + "/version"},
			edits:    []edit{{name: "older version", argvs: [][]string{remove, old}}},
		},
		{
			kind: "package", name: "absent", slow: true,
			variants: []any{&resources.Package{Name: demo, State: "absent"}},
			prepare:  [][]string{install},
			effect:   []string{"test", "!", "-e", "/usr/share/" + demo + "/version"},
			edits:    []edit{by("installed", install...)},
			stays:    "nothing is what is wanted",
		},
	}
}

// accountFailures are changes that shadow-utils refuses.
func accountFailures() []failure {
	return []failure{
		{kind: "user", name: "number taken", state: &resources.User{Name: "case", UID: new(1)}, says: "not unique"},
		{kind: "user", name: "group that is not there", state: &resources.User{Name: "case", Group: "nobody-such"}, says: "nobody-such"},
		{kind: "group", name: "number taken", state: &resources.Group{Name: "case", GID: new(1)}, says: "already exists"},
		{
			kind: "group", name: "made after the plan", state: &resources.Group{Name: "case"}, between: [][]string{{"groupadd", "case"}},
			says: "already exists", cleanup: [][]string{{"groupdel", "case"}},
		},
		{
			kind: "service", name: "that does not start", state: &resources.Service{Name: "case", Enabled: new(true), Running: new(true)}, says: "case.service",
			files:   []file{{"/etc/systemd/system/case.service", "[Service]\nExecStart=/usr/bin/false\nType=oneshot\n[Install]\nWantedBy=multi-user.target\n", 0o644}},
			cleanup: [][]string{{"rm", "/etc/systemd/system/case.service"}, {"systemctl", "daemon-reload"}, {"systemctl", "reset-failed"}},
		},
	}
}

func aptRefusals() []refusal {
	same := []string{"dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Status}\\n"}
	return []refusal{
		{
			kind: "package", name: "essential", state: &resources.Package{Name: "dpkg", State: "absent"}, problem: "essential",
			op: &wire.Op{Package: &wire.PackageOp{Remove: []string{"dpkg"}}}, refuses: "dpkg", same: same,
		},
		{
			kind: "package", name: "removal of what another needs", op: &wire.Op{Package: &wire.PackageOp{Remove: []string{"openssh-client"}}},
			refuses: "openssh-server", same: same,
		},
		{
			kind: "package", name: "that is not offered", op: &wire.Op{Package: &wire.PackageOp{Install: []string{"no-such-package"}}},
			refuses: "no-such-package", same: same,
		},
	}
}

// hostileRefusals are operations whose values would have another meaning for the programs that
// receive them.
func hostileRefusals() []refusal {
	var all []refusal
	for i, c := range []struct {
		op      wire.Op
		refuses string
	}{
		{wire.Op{Package: &wire.PackageOp{Install: []string{"-oAPT::Update::Pre-Invoke::=/usr/bin/true"}}}, "invalid package name"},
		{wire.Op{Package: &wire.PackageOp{Install: []string{"cron-"}}}, "invalid package name"},
		{wire.Op{Package: &wire.PackageOp{Install: []string{"/srv/evil.deb"}}}, "invalid package name"},
		{wire.Op{Package: &wire.PackageOp{Install: []string{"cron=1 -y"}}}, "invalid package version"},
		{wire.Op{Package: &wire.PackageOp{Remove: []string{"cr*n"}}}, "invalid package name"},
		{wire.Op{Unit: &wire.UnitOp{Name: "--now", Action: wire.UnitDisable}}, "invalid name of a systemd unit"},
		{wire.Op{Unit: &wire.UnitOp{Name: "c*.service", Action: wire.UnitStop}}, "invalid name of a systemd unit"},
		{wire.Op{Unit: &wire.UnitOp{Name: "cron.service", Action: "mask"}}, "mask"},
		{wire.Op{Unit: &wire.UnitOp{Name: "cron.service", Action: wire.UnitLoad, Record: "../../../etc/case"}}, "invalid name of a record"},
		{wire.Op{User: &wire.UserOp{Name: "-D", Create: true}}, "not a valid name of a user"},
		{wire.Op{User: &wire.UserOp{Name: "case", Create: true, Gecos: new("x:/root:/bin/sh\ncase2::0:0::/:/bin/sh")}}, "passwd(5)"},
		{wire.Op{User: &wire.UserOp{Name: "case", Create: true, Groups: new([]string{"adm,root"})}}, "not a valid name of a user"},
		{wire.Op{Group: &wire.GroupOp{Name: "-f", Create: true}}, "not a valid name of a user"},
		{wire.Op{Write: &wire.WriteOp{Path: "srv/case"}}, "not an absolute path"},
		{wire.Op{Write: &wire.WriteOp{Path: "/srv/../etc/case"}}, "not a clean path"},
		{wire.Op{Write: &wire.WriteOp{Path: "/srv/case\x00/x"}}, "not a clean path"},
		{wire.Op{Write: &wire.WriteOp{Path: "/srv/case", Attributes: wire.Attributes{Mode: new(uint32(0o100644))}}}, "mode"},
		{wire.Op{Mkdir: &wire.MkdirOp{Path: "/"}}, "root directory"},
		{wire.Op{Attr: &wire.AttrOp{Path: "/", Attributes: wire.Attributes{Mode: new(uint32(0o777))}}}, "root directory"},
		{wire.Op{Remove: &wire.RemoveOp{Path: "/srv/"}}, "not a clean path"},
		{wire.Op{Restore: &wire.RestoreOp{Path: "/etc/passwd"}}, "restore is only for undo"},
		{wire.Op{Run: &wire.RunOp{Argv: []string{"./case"}}}, "absolute"},
		{wire.Op{Run: &wire.RunOp{}}, "no program"},
		{wire.Op{Mount: &wire.MountOp{Path: "/srv", Line: new("x /srv xfs defaults 0 0\ny /etc xfs defaults 0 0")}}, "invalid fstab line"},
		{wire.Op{}, "unknown type of operation"},
	} {
		all = append(all, refusal{kind: "helper", name: fmt.Sprintf("hostile %d", i), op: &c.op, refuses: c.refuses})
	}
	return all
}
