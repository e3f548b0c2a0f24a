package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// on runs a script on a host, and returns what it prints.
func on(t *testing.T, h *lab.Host, script string) string {
	t.Helper()
	out, err := h.Run(t.Context(), "sh", "-c", script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// eventually waits for a script to succeed on a host.
func eventually(t *testing.T, h *lab.Host, script string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out, err := h.Run(t.Context(), "sh", "-c", script)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
}

// What an installation brought along goes with it, and nothing else.
func TestPackageRollbackOnHost(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	for _, system := range []lab.OS{"", lab.EL9} {
		family := system.Family()
		t.Run(string(family), func(t *testing.T) {
			t.Parallel()
			h, c := onHost(t, lab.HostSpec{Name: "pkgtx-" + string(family), OS: system})
			list, many := `dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' | grep '^.i'`, "nginx-light"
			if family == lab.EL {
				list, many = `rpm -qa | sort`, demo
			}
			v1 := strings.Replace(c.pkg(demo).Candidate, "2.0", "1.0", 1)
			c.must(install(demo + "=" + v1))
			before := on(t, h, list)
			undo := remove(many)
			if family == lab.EL {
				c.must(remove(demo))
				before = on(t, h, list)
			}
			order := wire.Order{ID: 1, Op: install(many), Undo: &undo}
			events, done := c.do(order, wire.Order{ID: 2, Op: runs("false")})
			if done.Failed == nil || *done.Failed != 2 || done.Journal != "" {
				t.Fatalf("%+v %+v", events, done)
			}
			if after := on(t, h, list); after != before {
				t.Errorf("changed\n%s\nto\n%s", before, after)
			}
			if family == lab.EL {
				return
			}
			// An upgrade goes back; what failed as a whole changed nothing.
			back := install(demo + "=" + v1)
			if events, done := c.do(wire.Order{ID: 1, Op: install(demo), Undo: &back}, wire.Order{ID: 2, Op: install("no-such-package-xyz"), Undo: &back}); done.Failed == nil || done.Journal != "" {
				t.Errorf("%+v %+v", events, done)
			}
			if after := on(t, h, list); after != before {
				t.Errorf("changed\n%s\nto\n%s", before, after)
			}
		})
	}
}

// brittleRepository offers the package of brokenPackage to apt.
const brittleRepository = brokenPackage + `
mkdir /srv/repo && cp /root/brittle.deb /srv/repo && cd /srv/repo
{ dpkg-deb -f brittle.deb; echo Filename: ./brittle.deb; echo "Size: $(stat -c %s brittle.deb)"; echo "SHA256: $(sha256sum brittle.deb | cut -d' ' -f1)"; } >Packages
echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list.d/brittle.list
apt-get update`

// The helper is killed while a maintainer script runs: the script keeps the lock, and when it has ended the package is taken away.
func TestKilledInMaintainerScriptOnHost(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	h, c := onHost(t, lab.HostSpec{Name: "orphan"})
	on(t, h, brittleRepository+"; touch /root/slow")
	undo := remove("brittle")
	file := "/etc/transaction-test"
	c.begin()
	c.send(&wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1, Op: write(file, "x", wire.Attributes{}), Undo: restore(file)}, {ID: 2, Op: install("brittle"), Undo: &undo}}}})
	eventually(t, h, "test -e /root/waiting")
	on(t, h, "test -e /etc/systemd/system/multi-user.target.wants/mirrorform-recover.service && test -x /usr/local/sbin/mirrorform-recover && kill -9 $(pgrep -x helper)")
	c = start(t, labtest.Lab(t).SSHCommand(h, "root", "/usr/local/bin/helper"))
	b := c.lock(1)
	if b.Held == nil || b.Held.Operator != "alice@laptop" || !strings.Contains(b.Held.Process, "brittle.postins") {
		t.Fatalf("%+v %+v", b, b.Held)
	}
	if b.Held.From == "" {
		t.Errorf("nothing tells where the holder is: %+v", b.Held)
	}
	on(t, h, "rm /root/slow; kill $(pgrep -x sleep)")
	if b = c.lock(60); b.ID == "" || b.Recovered == nil || b.Recovered.Undone != 1 || len(b.Recovered.Errors)+len(b.Recovered.Stays) != 0 {
		t.Fatalf("%+v %+v", b, b.Recovered)
	}
	if p := c.one(wire.Query{Verb: wire.AskPackage, Arg: "brittle"}).Package; p.Installed != "" || p.Broken != "" {
		t.Errorf("%+v", p)
	}
	on(t, h, "! test -e "+file+" && ! ls /etc/.mirrorform-* && ! ls /etc/systemd/system/multi-user.target.wants/mirrorform-recover.service /usr/local/sbin/mirrorform-recover")
}

// A host that stops while a transaction is open takes it back when it starts, before anybody connects.
func TestBootRecoveryOnHost(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	h, c := onHost(t, lab.HostSpec{Name: "boot"})
	const unit = "/etc/systemd/system/demo.service"
	on(t, h, "echo old >/etc/transaction-test; printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' >"+unit+"; systemctl daemon-reload")
	disable, stop := wire.Op{Unit: &wire.UnitOp{Name: "demo.service", Action: wire.UnitDisable}}, wire.Op{Unit: &wire.UnitOp{Name: "demo.service", Action: wire.UnitRestore}}
	events, done := c.do(
		wire.Order{ID: 1, Op: write("/etc/transaction-test", "new\n", wire.Attributes{}), Undo: restore("/etc/transaction-test")},
		wire.Order{ID: 2, Op: wire.Op{Unit: &wire.UnitOp{Name: "demo.service", Action: wire.UnitEnable}}, Undo: &disable},
		wire.Order{ID: 3, Op: wire.Op{Unit: &wire.UnitOp{Name: "demo.service", Action: wire.UnitStart}}, Undo: &stop},
	)
	if done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	on(t, h, "kill -9 $(pgrep -x helper) && grep -q new /etc/transaction-test && systemctl is-enabled demo.service")
	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, h, "! test -e /usr/local/sbin/mirrorform-recover && ! ls -d /var/lib/mirrorform/journal/*")
	on(t, h, `set -e
		test "$(cat /etc/transaction-test)" = old
		test -z "$(find /etc /usr/local /var/lib/mirrorform -name '.mirrorform-*' -o -name 'mirrorform-recover*')"
		! systemctl is-enabled demo.service`)
	eventually(t, h, "! systemctl is-active demo.service && ! systemctl list-jobs | grep -q demo")
	c = start(t, labtest.Lab(t).SSHCommand(h, "root", "/usr/local/bin/helper"))
	if b := c.lock(10); b.ID == "" || b.Recovered != nil {
		t.Errorf("%+v %+v", b, b.Recovered)
	}
}
