package faults

import (
	"strings"
	"testing"
)

const rsyncdConf = "/etc/rsyncd.conf"

// rsyncdOwn is an operator's configuration, with a daemon for it.
const rsyncdOwn = "uid = nobody\ngid = nogroup\n\n# Mine.\n[own]\npath = /srv/own\n"

// rsyncdFleet is a module. It comes after a file whose check runs a program on the host, between
// what the plan has seen and what the apply writes.
func rsyncdFleet(version, comment string) string {
	return `
resource "file" "first" {
  hosts    = [host.h]
  path     = "/etc/rsyncd.first"
  content  = "` + version + `\n"
  validate = ["/usr/local/bin/edit", "{}"]
}
resource "rsync_module" "m" {
  hosts      = [host.h]
  name       = "m"
  path       = "/srv/m"
  comment    = "` + comment + `"
  depends_on = [file.first]
}
`
}

// TestFault47RsyncdConf: another hand edits rsyncd.conf, before the plan and during the apply. Each
// edit stays, and what would refuse or expose clients is refused before it counts.
func TestFault47RsyncdConf(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s := newSite(t, host{Host: h})
	install(t, h, "rsync")
	sh(t, h, "mkdir -p /srv/own /srv/m /etc/rsyncd.more; echo own >/srv/own/file; echo m >/srv/m/TIME")
	put(t, h, "/usr/local/bin/edit", "#!/bin/sh\n", 0o755)
	const serves = "rsync --contimeout=5 rsync://127.0.0.1/own/file /tmp/"
	reset := func(conf, daemon string) {
		sh(t, h, "systemctl stop rsync; rm -rf /etc/rsyncd.d /etc/rsyncd.more/*")
		put(t, h, rsyncdConf, conf, 0o640)
		if sh(t, h, "systemctl "+daemon+" rsync"); daemon == "start" {
			eventually(t, "the operator's module", func() bool { return succeeds(h, serves) })
		}
	}
	count := 0
	check := func(name string, before states, r result, texts ...string) {
		t.Helper()
		count++
		r.says(t, 1, texts...)
		statesOf(t, h, rsyncdConf, "/etc/rsyncd.d/m.conf", "/etc/rsyncd.more/x.conf").same(t, before)
		clean(t, h)
		if t.Failed() {
			t.Fatalf("%s: the host is not as it should be", name)
		}
	}
	look := func() states { return statesOf(t, h, rsyncdConf, "/etc/rsyncd.d/m.conf", "/etc/rsyncd.more/x.conf") }

	s.write("fleet.hcl", rsyncdFleet("1", "m"))
	reset(rsyncdOwn+"[broken\n", "stop")
	check("syntax error", look(), s.apply(), "cannot parse /etc/rsyncd.conf:7")

	reset(rsyncdOwn+"hosts alow = 192.0.2.1\n", "stop")
	check("unknown parameter", look(), s.apply(), `does not know the parameter "hosts alow"`)

	reset(rsyncdOwn, "start")
	put(t, h, rsyncdConf, "&include /etc/rsyncd.more\n"+rsyncdOwn, 0o640)
	put(t, h, "/etc/rsyncd.more/x.conf", "[x\n", 0o644)
	check("syntax error in a file that is included", look(), s.apply(),
		"Badly formed line in config file: x", "rolled back")

	// During the apply: the program edits what the plan has seen.
	edit := func(script string) { put(t, h, "/usr/local/bin/edit", "#!/bin/sh\n"+script+"\n", 0o755) }
	during := func(name, script string, texts ...string) {
		t.Helper()
		sh(t, h, "cp -a "+rsyncdConf+" /root/conf; "+script)
		edited := look()
		sh(t, h, "cp -a /root/conf "+rsyncdConf)
		edit(script)
		r := s.apply()
		edit("")
		check(name, edited, r, append(texts, "rolled back")...)
	}
	reset(rsyncdOwn, "start")
	during("another module", "printf '[also]\\npath = /srv/own\\n' >>"+rsyncdConf,
		rsyncdConf+" has changed since it was observed")
	if !succeeds(h, strings.Replace(serves, "own/", "also/", 1)) {
		t.Error("the module that was added is not served")
	}

	reset(rsyncdOwn, "start")
	s.apply().says(t, 0)
	s.write("fleet.hcl", rsyncdFleet("2", "changed"))
	during("a syntax error", "echo '[broken' >>"+rsyncdConf, "refuses its configuration")

	sh(t, h, "sed -i '/broken/d' "+rsyncdConf)
	oracle(t, s, h, s.apply())
	if !succeeds(h, serves+" && rsync rsync://127.0.0.1/m/TIME /tmp/") {
		t.Error("both modules are not served")
	}
	record(t, 47, "rsyncd.conf edited by another hand: syntax errors, unknown parameters, edits during an apply", count,
		"refused by the plan, or rolled back; each edit stays, and what was served is served")
}
