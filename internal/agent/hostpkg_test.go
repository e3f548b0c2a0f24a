package agent

import (
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

const demo = "mirrorform-lab-demo"

// pkg is what the host's package manager says of the demonstration package.
func (c *controller) pkg(name string) wire.Package {
	c.t.Helper()
	return *c.one(wire.Query{Verb: wire.AskPackage, Arg: name, Option: "candidate"}).Package
}

func install(specs ...string) wire.Op { return wire.Op{Package: &wire.PackageOp{Install: specs}} }
func remove(names ...string) wire.Op  { return wire.Op{Package: &wire.PackageOp{Remove: names}} }

func TestPackagesOnHost(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	for _, system := range []lab.OS{"", lab.EL9} {
		family := system.Family()
		t.Run(string(family), func(t *testing.T) {
			t.Parallel()
			h, c := onHost(t, lab.HostSpec{Name: "pkg-" + string(family), OS: system})
			p := c.pkg(demo)
			if p.Installed != "" || !strings.HasPrefix(p.Candidate, "2.0") {
				t.Fatalf("before: %+v", p)
			}
			v1, v2 := strings.Replace(p.Candidate, "2.0", "1.0", 1), p.Candidate
			for _, v := range []string{v1, v2, v1} {
				c.must(install(demo + "=" + v))
				if p := c.pkg(demo); p.Installed != v || p.Candidate != v2 || p.Broken != "" {
					t.Errorf("version %s: %+v", v, p)
				}
			}
			c.must(remove(demo), remove(demo))
			if p := c.pkg(demo); p.Installed != "" || p.Broken != "" {
				t.Errorf("removed: %+v", p)
			}
			c.refuses(install("no-such-package-xyz"), "no-such-package-xyz")
			for _, bad := range []string{"-y", "rsync-", "a b", "rsync/sid", "*", "^r", "$(x)", ""} {
				c.refuses(install(bad), "invalid package name")
			}
			c.refuses(install(demo+"=1;x"), "invalid package version")
			if family == lab.Debian {
				// The lists are fetched when a name is not in them.
				if out, err := h.Run(t.Context(), "sh", "-c", "rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin"); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if p := c.pkg(demo); p.Candidate != "" {
					t.Errorf("without lists: %+v", p)
				}
				c.must(install(demo))
			}
		})
	}
}

// brokenPackage makes a package whose installation can be made to wait or fail.
const brokenPackage = `set -e
mkdir -p /root/p/DEBIAN
printf 'Package: brittle\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: x\n' >/root/p/DEBIAN/control
printf '#!/bin/sh\ntest ! -e /root/slow || { touch /root/waiting; sleep 60; }\n' >/root/p/DEBIAN/postinst
chmod 755 /root/p/DEBIAN/postinst
dpkg-deb -b /root/p /root/brittle.deb >/dev/null
mkdir -p /root/n/DEBIAN
printf 'Package: needs-brittle\nVersion: 1\nArchitecture: all\nDepends: brittle\nMaintainer: a <a@example.org>\nDescription: x\n' >/root/n/DEBIAN/control
dpkg-deb -b /root/n /root/needs.deb >/dev/null`

func TestInterruptedPackagesOnHost(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	h, c := onHost(t, lab.HostSpec{Name: "dpkg"})
	run := func(argv ...string) {
		t.Helper()
		if out, err := h.Run(t.Context(), argv...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	brittle := func() wire.Package {
		t.Helper()
		return *c.one(wire.Query{Verb: wire.AskPackage, Arg: "brittle"}).Package
	}
	run("sh", "-c", brokenPackage)
	// dpkg is killed while a maintainer script runs.
	run("sh", "-c", `touch /root/slow
		dpkg -i /root/brittle.deb & pid=$!
		while ! test -e /root/waiting; do sleep 0.05; done
		kill -9 $pid; pkill -9 -P $pid; kill -9 $(pgrep -x sleep); rm /root/slow`)
	if p := brittle(); p.Broken == "" {
		t.Errorf("killed while it was configured: %+v", p)
	}
	// Any operation repairs that first.
	c.must(install(demo))
	if p := brittle(); p.Broken != "" || p.Installed != "1" {
		t.Errorf("after another package was installed: %+v", p)
	}

	run("dpkg", "-i", "/root/needs.deb")
	c.refuses(remove("brittle"), "dpkg")
	if p := brittle(); p.Installed != "1" {
		t.Errorf("a package that another one needs was removed: %+v", p)
	}
	c.must(remove("needs-brittle", "brittle"))

	// Another dpkg holds the lock for a while: it is waited for.
	run("sh", "-c", "rm -f /root/waiting; touch /root/slow")
	out := make(chan error, 1)
	go func() {
		_, err := h.Run(t.Context(), "dpkg", "-i", "/root/brittle.deb")
		out <- err
	}()
	eventually(t, h, "test -e /root/waiting")
	c.begin()
	c.send(&wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1, Op: remove(demo)}}}})
	if m := c.receive(); m.Event == nil || m.Event.State != wire.Started {
		t.Fatalf("%+v", m)
	}
	run("sh", "-c", "rm /root/slow; kill $(pgrep -x sleep)")
	if events, done := c.finish(); done.Failed != nil {
		t.Errorf("%+v", events)
	}
	if err := <-out; err == nil {
		t.Error("the package that was being installed has no failed script")
	}
	if p := c.pkg(demo); p.Installed != "" {
		t.Errorf("%+v", p)
	}
}

func TestUnitsOnHost(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	h, c := onHost(t, lab.HostSpec{Name: "units"})
	unit := func(name string) wire.Unit {
		t.Helper()
		return *c.one(wire.Query{Verb: wire.AskUnit, Arg: name}).Unit
	}
	do := func(name string, action wire.UnitAction) wire.Op {
		return wire.Op{Unit: &wire.UnitOp{Name: name, Action: action}}
	}
	write := func(path, content string) {
		t.Helper()
		if err := h.Write(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const name = "demo.service"
	if u := unit(name); u.LoadState != "not-found" || u.ActiveState != "inactive" {
		t.Errorf("before: %+v", u)
	}
	write("/etc/demo.conf", "1")
	write("/etc/systemd/system/demo.service", "[Service]\nExecStart=/bin/sleep 1000\nExecReload=/bin/true\n[Install]\nWantedBy=multi-user.target\nAlias=other.service\n")
	loaded := wire.Query{Verb: wire.AskLoaded, Arg: name, Args: []string{"/etc/demo.conf", "/etc/nosuch"}}
	if l := c.one(loaded).Loaded; l.Recorded {
		t.Errorf("no record yet: %+v", l)
	}
	load := wire.Op{Unit: &wire.UnitOp{Name: name, Action: wire.UnitLoad, Record: name, Files: []string{"/etc/nosuch", "/etc/demo.conf"}}}
	c.must(do(name, wire.UnitEnable), load)
	if u := unit(name); u != (wire.Unit{LoadState: "loaded", ActiveState: "active", UnitFileState: "enabled", CanReload: true}) {
		t.Errorf("started: %+v", u)
	}
	if l := c.one(loaded).Loaded; !l.Recorded || !l.Current {
		t.Errorf("loaded: %+v", l)
	}
	write("/etc/demo.conf", "2")
	if l := c.one(loaded).Loaded; !l.Recorded || l.Current {
		t.Errorf("after a change: %+v", l)
	}
	pid := func() string {
		t.Helper()
		out, err := h.Run(t.Context(), "systemctl", "show", "--property=MainPID", name)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	before := pid()
	c.must(load)
	if pid() != before {
		t.Error("a unit that can reload was restarted")
	}
	if l := c.one(loaded).Loaded; !l.Current {
		t.Errorf("loaded again: %+v", l)
	}
	// An alias, its unit, and one that is not there, in one batch.
	answers := c.ask(wire.Query{Verb: wire.AskUnit, Arg: "other.service"}, wire.Query{Verb: wire.AskUnit, Arg: "x; y.service"},
		wire.Query{Verb: wire.AskUnit, Arg: "nosuch.service"}, wire.Query{Verb: wire.AskUnit, Arg: name})
	if u := answers[0].Unit; u == nil || u.ActiveState != "active" {
		t.Errorf("alias: %+v", answers[0])
	}
	if answers[1].Error == "" || answers[2].Unit == nil || answers[2].Unit.LoadState != "not-found" || answers[3].Unit == nil || answers[3].Unit.ActiveState != "active" {
		t.Errorf("batch: %+v", answers)
	}
	// A changed unit file is taken notice of without being told; what cannot reload is restarted.
	write("/etc/systemd/system/demo.service", "[Service]\nExecStart=/bin/sleep 2000\n[Install]\nWantedBy=multi-user.target\n")
	c.must(load)
	if pid() == before {
		t.Error("a unit that cannot reload was not restarted")
	}
	// Failing is told, with what the unit said.
	write("/etc/systemd/system/demo.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo it hurts >&2; exit 3'\n")
	c.must(do("", wire.UnitDaemonReload), do(name, wire.UnitStop))
	events, done := c.do(wire.Order{ID: 1, Op: do(name, wire.UnitStart)})
	if last := events[len(events)-1]; done.Failed == nil || !strings.Contains(last.Output, "it hurts") {
		t.Errorf("failed start: %+v", events)
	}
	if u := unit(name); u.ActiveState != "failed" {
		t.Errorf("failed: %+v", u)
	}
	write("/etc/systemd/system/demo.service", "[Service]\nExecStart=/bin/sleep 3000\n[Install]\nWantedBy=multi-user.target\n")
	c.must(load, do(name, wire.UnitDisable), do(name, wire.UnitStop))
	if l := c.one(loaded).Loaded; l.Recorded {
		t.Errorf("a stopped unit has something loaded: %+v", l)
	}
	if u := unit(name); u.ActiveState != "inactive" || u.UnitFileState != "disabled" {
		t.Errorf("stopped: %+v", u)
	}
	c.refuses(do("-x.service", wire.UnitStart), "invalid name of a systemd unit")
	c.refuses(do("nosuch.service", wire.UnitStart), "nosuch.service")
}

func TestAccountsOnHost(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	h, c := onHost(t, lab.HostSpec{Name: "accounts"})
	user := func(name string) wire.User {
		t.Helper()
		return *c.one(wire.Query{Verb: wire.AskUser, Arg: name}).User
	}
	s := func(v string) *string { return &v }
	n := func(v int) *int { return &v }
	if u := user("mirror"); u.UID != -1 {
		t.Errorf("before: %+v", u)
	}
	c.must(wire.Op{Group: &wire.GroupOp{Name: "readers", Create: true, GID: n(4000)}},
		wire.Op{Group: &wire.GroupOp{Name: "mirror", Create: true, System: true}},
		wire.Op{User: &wire.UserOp{Name: "mirror", Create: true, System: true, Home: s("/srv/mirror"), Shell: s("/usr/sbin/nologin"), Gecos: s("the mirror"), Groups: &[]string{"readers", "adm"}}})
	u := user("mirror")
	if u.UID <= 0 || u.UID >= 1000 || u.Group != "mirror" || u.Home != "/srv/mirror" || u.Shell != "/usr/sbin/nologin" || u.Gecos != "the mirror" || strings.Join(u.Groups, " ") != "adm readers" {
		t.Errorf("made: %+v", u)
	}
	if f := c.file("/srv/mirror"); f.Kind != wire.Absent {
		t.Errorf("a home was made: %+v", f)
	}
	c.must(wire.Op{User: &wire.UserOp{Name: "mirror", UID: n(4321), Group: s("readers"), Home: s("/srv"), Shell: s("/bin/sh"), Gecos: s(""), Groups: &[]string{}}},
		wire.Op{Group: &wire.GroupOp{Name: "mirror", GID: n(4001)}})
	if u := user("mirror"); u.UID != 4321 || u.GID != 4000 || u.Group != "readers" || u.Home != "/srv" || u.Shell != "/bin/sh" || u.Gecos != "" || len(u.Groups) != 0 {
		t.Errorf("changed: %+v", u)
	}
	if g := c.one(wire.Query{Verb: wire.AskGroup, Arg: "mirror"}).Group; g.GID != 4001 {
		t.Errorf("group: %+v", g)
	}
	c.must(wire.Op{User: &wire.UserOp{Name: "mirror", Remove: true}}, wire.Op{User: &wire.UserOp{Name: "mirror", Remove: true}},
		wire.Op{Group: &wire.GroupOp{Name: "mirror", Remove: true}}, wire.Op{Group: &wire.GroupOp{Name: "mirror", Remove: true}})
	if u := user("mirror"); u.UID != -1 {
		t.Errorf("removed: %+v", u)
	}
	if _, err := h.Run(t.Context(), "getent", "passwd", "mirror"); err == nil {
		t.Error("the account is still there")
	}
	for _, bad := range []string{"", "-r", "a:b", "0", "a b", "a\nb", "$(x)", strings.Repeat("x", 40)} {
		c.refuses(wire.Op{User: &wire.UserOp{Name: bad, Create: true}}, "not a valid name of a user")
		c.refuses(wire.Op{Group: &wire.GroupOp{Name: bad, Create: true}}, "not a valid name of a user")
	}
	c.refuses(wire.Op{User: &wire.UserOp{Name: "x", Create: true, Gecos: s("a:0:0")}}, "passwd(5)")
	c.refuses(wire.Op{User: &wire.UserOp{Name: "x", Create: true, Shell: s("sh")}}, "absolute")
}
