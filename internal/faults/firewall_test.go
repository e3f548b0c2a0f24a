package faults

import (
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// withFirewalls boots a host that has firewalld and ufw, of which neither runs.
func withFirewalls(t *testing.T) *lab.Host {
	t.Helper()
	h := boot(t)
	sh(t, h, `export DEBIAN_FRONTEND=noninteractive
apt-get install -y firewalld ufw >/dev/null 2>&1
systemctl disable --now firewalld ufw`)
	return h
}

// serviceBlock is a service that runs and follows a file in the way of the attribute.
func serviceBlock(name, attribute, file string) string {
	return "resource \"service\" \"" + name + "\" {\n  hosts = [host.h]\n  name = \"" + name + "\"\n  running = true\n  " + attribute + " = [\"" + file + "\"]\n}\n"
}

// TestFault48FirewallCutsItselfOff: an apply that makes a firewall shut out SSH is rolled back, and
// the firewall is as it was.
func TestFault48FirewallCutsItselfOff(t *testing.T) {
	t.Parallel()
	h := withFirewalls(t)
	s := newSite(t, host{Host: h, More: shortConfirm})
	base := fileBlocks("host.h", "f", 2, "old\n")
	s.write("main.hcl", base)
	s.apply().says(t, 0)
	const conf, zones, public = "/etc/ufw/ufw.conf", "/etc/firewalld/firewalld.conf", "/etc/firewalld/zones/public.xml"
	enable := fileBlock("host.h", "conf", conf, "ENABLED=yes\nLOGLEVEL=low\n", "") + serviceBlock("ufw", "restart_on", conf)
	zone := fileBlock("host.h", "zone", public, "<zone>\n  <service name=\"http\"/>\n</zone>\n", "") + serviceBlock("firewalld", "reload_on", public)
	restored := "systemctl is-active --quiet firewalld; test ! -e " + public + "; firewall-cmd --query-service=ssh; systemctl stop firewalld"
	cases := []struct{ name, prepare, config, after string }{
		{"ufw is enabled without a rule for SSH", "", enable, "grep -qx ENABLED=no " + conf + "; ! systemctl is-active --quiet ufw"},
		{
			// Its stop does nothing once the file says again that it is not enabled.
			"the same, and its unit has run since the boot", "systemctl start ufw", enable,
			"grep -qx ENABLED=no " + conf + "; systemctl is-active --quiet ufw; systemctl stop ufw",
		},
		{
			"firewalld is started with a zone that drops everything", "",
			fileBlock("host.h", "conf", zones, "DefaultZone=drop\n", "") + serviceBlock("firewalld", "restart_on", zones),
			"! systemctl is-active --quiet firewalld; grep -qx DefaultZone=public " + zones,
		},
		{"firewalld loads a zone without SSH", "systemctl start firewalld", zone, restored},
		{
			// systemd's signal is received by a thread that does not run while others want to.
			"the same, and it reloads long after it was told to", `systemctl start firewalld
for thread in /proc/$(systemctl show -P MainPID firewalld)/task/*; do
	if grep -q gmain $thread/comm; then chrt --idle --pid 0 ${thread##*/}; fi
done
for n in 1 2 3 4; do systemd-run --quiet --unit=busy$n --property=RuntimeMaxSec=60 sh -c 'while :; do :; done'; done`,
			zone, "systemctl stop 'busy*'; " + restored,
		},
	}
	for _, c := range cases {
		sh(t, h, "true; "+c.prepare)
		s.write("main.hcl", fileBlocks("host.h", "f", 2, "new\n")+c.config)
		r := s.apply()
		r.says(t, 1, "rolled back")
		eventually(t, "logins to work again after: "+c.name, func() bool { return sshAnswers(h) })
		clean(t, h)
		uniform(t, h, "f", 2, "old\n")
		if !succeeds(h, "set -e; "+c.after) {
			t.Errorf("%s: the host is not as it was", c.name)
		}
		s.write("main.hcl", base)
		oracle(t, s, h, r)
	}
	record(t, 48, "firewalld or ufw started, enabled or reloaded without a rule for SSH", len(cases), "rolled back automatically; the firewall is as before; exit status 1")
}

// TestFault48FirewallReloaded: another program reloads firewalld again and again while an apply
// opens and closes ports. Each apply ends as it says, and no connection is lost.
func TestFault48FirewallReloaded(t *testing.T) {
	t.Parallel()
	h := withFirewalls(t)
	sh(t, h, "systemctl start firewalld; systemd-run --quiet --unit=reloads sh -c 'while :; do firewall-cmd --reload; done'")
	s := newSite(t, host{Host: h, More: longConfirm})
	opening := "resource \"firewall\" \"http\" {\n  hosts = [host.h]\n  service = \"http\"\n}\n"
	rounds := size(2, 8)
	for i := range rounds {
		for _, config := range []string{opening, ""} {
			content := strings.Repeat("x", i) + config + "\n"
			s.write("main.hcl", fileBlocks("host.h", "f", 2, content)+config)
			if r := s.apply(); r.exit != 0 && !strings.Contains(r.output, "rolled back") && !strings.Contains(r.output, "Plan failed") {
				t.Errorf("exit status %d:\n%s", r.exit, r.output)
			}
			if !sshAnswers(h) {
				t.Fatal("SSH is shut out")
			}
		}
	}
	if state := strings.TrimSpace(sh(t, h, "systemctl is-active reloads")); state != "active" {
		t.Errorf("nothing was reloaded any more: the unit is %s", state)
	}
	sh(t, h, "systemctl stop reloads")
	s.write("main.hcl", opening)
	oracle(t, s, h, s.apply())
	if !succeeds(h, "firewall-cmd --query-service=http && firewall-cmd --permanent --query-service=http") {
		t.Error("http is not open, although the apply says so")
	}
	record(t, 48, "firewalld reloaded in a loop while an apply opens or closes a port", 2*rounds, "applied or rolled back; converges; SSH is never shut out")
}
