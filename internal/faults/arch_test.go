package faults

import (
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// demoOf is a configuration with a package. If fails is true, a file that cannot be written follows
// it.
func demoOf(name string, fails bool) string {
	text := "resource \"package\" \"p\" {\n  hosts = [host.h]\n  name  = \"" + name + "\"\n}\n"
	if fails {
		text += "resource \"file\" \"fails\" {\n  hosts = [host.h]\n  path = \"/etc/fails\"\n  content = \"x\"\n  validate = [\"/bin/false\", \"{}\"]\n  depends_on = [package.p]\n}\n"
	}
	return text
}

// rollBack declares a missing package and a failing resource after it. listed is a script that
// lists the packages of the host, of all architectures.
func rollBack(t *testing.T, s *site, h *lab.Host, name, listed string) {
	t.Helper()
	before := sh(t, h, listed)
	s.write("fleet.hcl", demoOf(name, false))
	if p := s.run("plan", "--detailed-exitcode"); p.exit != 2 {
		t.Errorf("%s counts as installed: exit status %d\n%s", name, p.exit, p.output)
	}
	s.write("fleet.hcl", demoOf(name, true))
	r := s.apply()
	r.says(t, 1)
	if now := sh(t, h, listed); now != before {
		t.Errorf("after the rollback there is\n%s--- and was\n%s--- the run:\n%s", now, before, r.output)
	}
}

// installAndRemove calls rollBack, then installs the package and removes it again. brings is the
// line of the package in the list.
func installAndRemove(t *testing.T, s *site, h *lab.Host, name, listed, brings string) {
	t.Helper()
	before := sh(t, h, listed)
	rollBack(t, s, h, name, listed)
	s.write("fleet.hcl", demoOf(name, false))
	r := s.apply()
	r.says(t, 0)
	if now := sh(t, h, listed); !strings.Contains(now, brings) {
		t.Errorf("the packages lack %q:\n%s", brings, now)
	}
	oracle(t, s, h, r)
	s.write("fleet.hcl", "")
	r = s.apply()
	r.says(t, 0)
	if now := sh(t, h, listed); now != before {
		t.Errorf("after the removal there is\n%s--- and was\n%s--- the run:\n%s", now, before, r.output)
	}
	oracle(t, s, h, r)
}

// listedDebs lists what there is of the packages of twoArchitectures.
const listedDebs = `dpkg-query -W -f '${binary:Package}:${Architecture} ${db:Status-Status}\n' 'tool*' 'lead*' 'only*' | grep ' installed$' | sort`

// twoArchitectures offers packages of two architectures to a host, and installs the package tool
// for i386.
func twoArchitectures(t *testing.T, h *lab.Host) *site {
	t.Helper()
	both := "Multi-Arch: same\n"
	offer(t, h, debPackage{name: "tool", arch: "i386", fields: both}, debPackage{name: "tool", arch: "amd64", fields: both},
		debPackage{name: "lead", arch: "i386", fields: "Depends: tool\n"}, debPackage{name: "lead", arch: "amd64", fields: "Depends: tool\n"},
		debPackage{name: "only", arch: "i386"})
	sh(t, h, "apt-get install -y -q tool:i386")
	return newSite(t, host{Host: h})
}

// The architecture of dpkg counts, not that of the kernel. The kernel does not need to run i386
// programs: the test only configures dpkg and apt for i386, and marks all installed packages as
// i386.
func TestFault37OtherArchitecture(t *testing.T) {
	t.Parallel()
	h := boot(t)
	put(t, h, "/usr/local/sbin/dpkg", "#!/bin/sh\n[ \"$*\" != --print-architecture ] || { echo i386; exit; }\nexec /usr/bin/dpkg \"$@\"\n", 0o755)
	put(t, h, "/etc/apt/apt.conf.d/99i386", "APT::Architecture \"i386\";\nAPT::Architectures { \"i386\"; };\n", 0o644)
	// The lab's repository has the same packages for amd64, which apt would take for these.
	sh(t, h, `set -e
: >/etc/apt/sources.list
rm -f /var/lib/apt/lists/*_Packages
/usr/bin/dpkg --add-architecture i386
sed -i 's/^Architecture: amd64$/Architecture: i386/' /var/lib/dpkg/status
cd /var/lib/dpkg/info
for f in *:amd64.*; do mv "$f" "$(echo "$f" | sed s/:amd64/:i386/)"; done`)
	s := twoArchitectures(t, h)
	s.write("fleet.hcl", demoOf("tool", false))
	if p := s.run("plan", "--detailed-exitcode"); p.exit != 0 {
		t.Errorf("an installed package of dpkg's own architecture: exit status %d\n%s", p.exit, p.output)
	}
	installAndRemove(t, s, h, "lead", listedDebs, "lead:i386:i386 installed")
	record(t, 37, "dpkg of another architecture than the kernel's", 4, "plans, installation, rollback and removal use dpkg's architecture")
}

// A package of another architecture is a different package. Rollbacks and removals do not change
// it.
func TestFault37TwoArchitectures(t *testing.T) {
	t.Parallel()
	h := boot(t)
	sh(t, h, "dpkg --add-architecture i386")
	s := twoArchitectures(t, h)
	installAndRemove(t, s, h, "tool", listedDebs, "tool:amd64:amd64 installed")
	rollBack(t, s, h, "lead", listedDebs)
	// One that there is for another architecture only does not stay.
	before := sh(t, h, listedDebs)
	s.write("fleet.hcl", demoOf("only", false))
	r := s.apply()
	r.says(t, 1, "only")
	if now := sh(t, h, listedDebs); now != before {
		t.Errorf("after the rollback there is\n%s--- and was\n%s--- the run:\n%s", now, before, r.output)
	}
	clean(t, h)
	record(t, 37, "packages of two architectures, dpkg", 5, "dpkg's own architecture counts; rollback and removal keep the other package")
}

// With rpm, too, a package of another architecture is a different package.
func TestFault37OtherArchitectureRPM(t *testing.T) {
	t.Parallel()
	h := boot(t, lab.HostSpec{OS: lab.EL9})
	put(t, h, "/root/twin.spec", "Name: twin\nVersion: 1\nRelease: 1\nSummary: x\nLicense: Apache-2.0\n%description\nx\n%install\nmkdir -p %{buildroot}/usr/share/twin\n"+
		"echo x >%{buildroot}/usr/share/twin/%{_target_cpu}\n%files\n/usr/share/twin/%{_target_cpu}\n", 0o644)
	sh(t, h, `set -e
for arch in i686 x86_64; do rpmbuild -bb --target $arch --define '_rpmdir /srv/repo' /root/twin.spec; done
createrepo_c -q /srv/repo
printf '[twin]\nname=twin\nbaseurl=file:///srv/repo\ngpgcheck=0\n' >/etc/yum.repos.d/twin.repo
rpm -i --ignorearch /srv/repo/i686/twin-1-1.i686.rpm`)
	s := newSite(t, host{Host: h})
	installAndRemove(t, s, h, "twin", "rpm -qa | sort", "twin-1-1.x86_64")
	record(t, 37, "packages of two architectures, rpm", 3, "rpm's own architecture counts; rollback and removal keep the other package")
}
