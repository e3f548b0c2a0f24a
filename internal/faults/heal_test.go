package faults

import (
	"fmt"
	"strings"
	"testing"
)

// Obstacles to writing are detected before the first write, with path and cause. Nothing is changed
// partially, and resources without changes succeed.
func TestFault38CannotBeWritten(t *testing.T) {
	t.Parallel()
	h := boot(t)
	install(t, h, "e2fsprogs")
	s, old := smallSite(t, h)
	readOnly := func(dir string) [2]string {
		return [2]string{fmt.Sprintf("mount --bind %[1]s %[1]s && mount -o remount,bind,ro %[1]s", dir), "umount -l " + dir}
	}
	flag := func(f, path string) [2]string {
		return [2]string{"chattr +" + f + " " + path, "chattr -" + f + " " + path}
	}
	bind := func(path string) [2]string {
		return [2]string{fmt.Sprintf("mount --bind %[1]s %[1]s", path), "umount " + path}
	}
	injected := 0
	for _, c := range []struct {
		what        string
		change      [2]string
		path, cause string
	}{
		{"read-only", readOnly("/usr"), "/usr/local/sbin", "mounted on /usr)"},
		{"read-only", readOnly("/usr/local/sbin"), "/usr/local/sbin", "mounted on /usr/local/sbin)"},
		{"read-only", readOnly("/etc"), "/etc", "mounted on /etc)"},
		{"read-only", readOnly("/etc/cron.d"), "/etc/cron.d", "mounted on /etc/cron.d)"},
		{"immutable", flag("i", "/etc/demo.conf"), "/etc/demo.conf", "chattr -i /etc/demo.conf"},
		{"immutable", flag("i", "/etc/cron.d/demo"), "/etc/cron.d/demo", "chattr -i /etc/cron.d/demo"},
		{"immutable", flag("i", "/etc/demo.mode"), "/etc/demo.mode", "chattr -i /etc/demo.mode"},
		{"immutable", flag("i", "/etc/cron.d"), "/etc/cron.d", "chattr -i /etc/cron.d"},
		{"append-only", flag("a", "/etc/cron.d"), "/etc/cron.d", "chattr -a /etc/cron.d"},
		{"immutable", flag("i", "/usr/local/sbin"), "/usr/local/sbin", "chattr -i /usr/local/sbin"},
		{"mount point", bind("/etc/demo.conf"), "/etc/demo.conf", "mounted on /etc/demo.conf)"},
		{"mount point", bind("/etc/cron.d/demo"), "/etc/cron.d/demo", "mounted on /etc/cron.d/demo)"},
	} {
		sh(t, h, c.change[0])
		s.write("fleet.hcl", small("old"))
		if r := s.apply(); r.exit != 0 || strings.Contains(r.output, "earlier") {
			t.Errorf("%s: an apply that changes nothing has the exit status %d:\n%s", c.change[0], r.exit, r.output)
		}
		s.write("fleet.hcl", small("new"))
		r := s.apply()
		r.says(t, 1, c.path, c.what, c.cause)
		statesOf(t, h, smallPaths...).same(t, old)
		clean(t, h)
		sh(t, h, c.change[1])
		injected++
		if t.Failed() {
			t.Fatalf("%s\n%s", c.change[0], r.output)
		}
	}
	oracle(t, s, h, s.apply())
	record(t, 38, "read-only directories, immutable files and directories, mount points in the way", injected, "refused before the first write, with path and cause; a plan without changes is applied")
}

// Every file that a service reads gets a broken line, one by one and all at once, and the service
// is stopped. One apply repairs everything.
func TestFault39DriftThatBreaksAStart(t *testing.T) { onServers(t, driftThatBreaksAStart) }

// services are two sites of a web server, and a service with files of several kinds.
const services = `
resource "service" "web" {
  hosts   = [host.h]
  name    = "UNIT"
  running = true
}
resource "package" "web" {
  hosts = [host.h]
  name  = "PACKAGE"
}
resource "SERVER_site" "a" {
  hosts       = [host.h]
  name        = "a"
  server_name = ["a.example.org"]
  root        = "/srv"
  depends_on  = [service.web, package.web]
}
resource "SERVER_site" "b" {
  hosts       = [host.h]
  name        = "b"
  server_name = ["b.example.org"]
  root        = "/srv"
  depends_on  = [SERVER_site.a]
}
resource "service" "demo" {
  hosts      = [host.h]
  name       = "demo"
  running    = true
  reload_on  = ["/etc/demo-settings"]
  restart_on = ["/etc/demo.d"]
}
resource "directory" "demo" {
  hosts = [host.h]
  path  = "/etc/demo.d"
}
resource "file" "inside" {
  hosts   = [host.h]
  path    = "/etc/demo.d/inside"
  content = "fine\n"
}
resource "file" "settings" {
  hosts   = [host.h]
  path    = "/etc/demo-settings"
  content = "fine\n"
}
resource "file" "environment" {
  hosts   = [host.h]
  path    = "/etc/default/demo"
  content = "WORD=fine\n"
}
resource "file" "unit" {
  hosts   = [host.h]
  path    = "/etc/systemd/system/demo.service"
  content = <<-END
    [Service]
    ExecStartPre=/bin/sh -c '! grep broken /etc/default/demo /etc/demo-settings /etc/demo.d/inside'
    ExecStart=/bin/sleep infinity
    ExecReload=/bin/true
  END
}
`

func driftThatBreaksAStart(t *testing.T, w webServer) {
	h := boot(t)
	s := newSite(t, host{Host: h})
	w.install(t, h) // with what sites need of it, which Apache's package does not load
	s.write("fleet.hcl", w.in(h, services))
	s.apply().says(t, 0)
	paths := []string{w.site("a"), w.site("b"), "/etc/default/demo", "/etc/demo-settings", "/etc/demo.d/inside", "/etc/systemd/system/demo.service"}
	want := statesOf(t, h, paths...)
	reader := map[string]string{}
	for i, p := range paths {
		if reader[p] = "demo"; i < 2 {
			reader[p] = w.unit
		}
	}
	sets := [][]string{paths, paths[:2], paths[2:]}
	for _, p := range paths {
		sets = append(sets, []string{p})
	}
	sets = sets[:w.size(2, len(sets))]
	for _, broken := range sets {
		for _, p := range broken {
			sh(t, h, "systemctl stop "+reader[p]+"; sed -i 's/^ExecStart=/broken=/' "+p+"; echo 'broken {' >>"+p)
		}
		sh(t, h, "systemctl daemon-reload")
		for _, p := range broken {
			sh(t, h, "! systemctl start "+reader[p]+" 2>/dev/null; systemctl reset-failed")
		}
		r := s.apply()
		r.says(t, 0)
		statesOf(t, h, paths...).same(t, want)
		on(t, h, "systemctl", "is-active", w.unit, "demo")
		oracle(t, s, h, r)
		if t.Failed() {
			t.Fatalf("%v\n%s", broken, r.output)
		}
	}
	record(t, 39, "a broken line in a file that a stopped service reads, "+w.name, len(sets), "repaired by one apply: written, checked, then started")
}
