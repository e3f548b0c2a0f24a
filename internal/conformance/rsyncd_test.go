package conformance

import (
	"regexp"

	"github.com/mirrorform/mirrorform/resources"
)

func init() { addCases("web", rsyncModuleAlone(), rsyncModuleJoined()) }

// rsyncModuleAlone is a module on a host whose daemon does not run.
func rsyncModuleAlone() testCase {
	const path = "/etc/rsyncd.d/case.conf"
	return testCase{
		kind: "rsync_module", name: "alone", harmless: true,
		variants: []any{
			&resources.RsyncModule{Name: "case", Path: "/srv/module"},
			&resources.RsyncModule{
				Name: "case", Path: "/srv/module", Comment: "a case", MaxConnections: new(2), MOTD: "/srv/module/README",
				Exclude: []string{".~tmp~/"}, HostsAllow: []string{"192.0.2.0/24"}, RefuseOptions: []string{"delete", "checksum"},
				UID: "daemon", GID: "daemon", Chroot: new(false), Log: "/var/log/rsyncd-case.log",
			},
		},
		files: []file{{"/srv/module/TIME", "1", 0o644}, {"/srv/module/README", "hello\n", 0o644}},
		effect: []string{"sh", "-c", "rsync --list-only rsync://127.0.0.1/case/TIME && " +
			"rsync rsync://127.0.0.1/ | grep ^case && ! rsync /etc/hostname rsync://127.0.0.1/case/ " +
			"&& systemctl is-active rsync"},
		edits: []edit{
			by("text", "sed", "-i", "s/read only = yes/read only = no/", path),
			by("another path", "sed", "-i", "s,path = .*,path = /nowhere,", path),
			{name: "broken", argvs: [][]string{{"sed", "-i", "s/\\]//", path}}, broken: true},
			by("mode", "chmod", "0600", path),
			by("missing", "rm", path),
			by("not included", "sed", "-i", "/include/d", "/etc/rsyncd.conf"),
			by("stopped", "systemctl", "stop", "rsync"),
		},
		touches: []string{"/etc/rsyncd.d", "/var/log/rsyncd-case.log", "/run/rsyncd-case.lock"},
		cleanup: [][]string{{"rm", "-rf", "/srv/module", "/var/log/rsyncd-case.log", "/run/rsyncd-case.lock"}},
	}
}

// rsyncModuleJoined is a module beside one of an operator, whose daemon runs.
func rsyncModuleJoined() testCase {
	const own = "uid = nobody\ngid = nogroup\n\n# Mine.\n[own]\n\tpath = /srv/own\n"
	return testCase{
		kind: "rsync_module", name: "beside another module", harmless: true,
		variants: []any{&resources.RsyncModule{Name: "case", Path: "/srv/module"}},
		files: []file{
			{"/srv/module/TIME", "1", 0o644}, {"/srv/own/mine", "1", 0o644}, {"/etc/rsyncd.conf", own, 0o640},
		},
		prepare: [][]string{{"systemctl", "start", "rsync"}},
		effect: []string{"sh", "-c", "rsync --list-only rsync://127.0.0.1/case/TIME && " +
			"rsync --list-only rsync://127.0.0.1/own/mine"},
		edits: []edit{
			by("edited around it", "sed", "-i", "/include/d;s/nogroup/daemon/", "/etc/rsyncd.conf"),
		},
		touches: []string{"/etc/rsyncd.d"},
		cleanup: [][]string{{"systemctl", "stop", "rsync"}, {"rm", "-r", "/srv/module", "/srv/own", "/etc/rsyncd.conf"}},
	}
}

// rsyncFailures are modules that rsync accepts and does not serve.
func rsyncFailures() []failure {
	return []failure{{
		kind: "rsync_module", name: "no access", says: "Permission denied",
		state:   &resources.RsyncModule{Name: "case", Path: "/srv/closed/module", Chroot: new(false)},
		prepare: [][]string{{"install", "-d", "-m", "0700", "/srv/closed", "/srv/closed/module"}},
		cleanup: [][]string{{"rm", "-r", "/srv/closed"}},
	}}
}

// logged is what rsync's log begins a line with: the time and the process.
var logged = regexp.MustCompile(`[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9:]{8} \[[0-9]+\] `)

// untimed returns an answer without what differs each time.
func untimed(answer string) string { return logged.ReplaceAllString(answer, "") }
