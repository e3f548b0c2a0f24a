package lab_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// matrix are the operating systems of EL that the tests boot: those of MIRRORFORM_LAB_OS, a list with
// commas or "all". Without it, only EL 9, since each one takes minutes to build.
func matrix() (systems []lab.OS) {
	only := os.Getenv("MIRRORFORM_LAB_OS")
	if only == "" {
		return []lab.OS{lab.EL9}
	}
	for _, o := range lab.OSes() {
		if o.Family() == lab.EL && (only == "all" || slices.Contains(strings.Split(only, ","), string(o))) {
			systems = append(systems, o)
		}
	}
	return systems
}

// TestEnterprise: hosts of EL have real packages, in EL's places.
func TestEnterprise(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	for _, system := range matrix() {
		t.Run(string(system), func(t *testing.T) {
			t.Parallel()
			h := labtest.Host(t, lab.HostSpec{Name: string(system), OS: system})
			if h.OS != system || h.OS.Family() != lab.EL {
				t.Errorf("the host is %s of %s", h.OS, h.OS.Family())
			}
			testIdentityEL(t, h)
			testVersionsEL(t, h)
			testPackagesEL(t, h)
			testPortEL(t, h)
			testEPEL(t, h)
		})
	}
}

func testIdentityEL(t *testing.T, h *lab.Host) {
	t.Helper()
	major := strings.TrimPrefix(string(h.OS), "el")
	if got := on(t, h, "sh", "-c", ". /etc/os-release; echo $ID $VERSION_ID $ID_LIKE; systemctl is-system-running --wait; id -gn nobody"); !strings.HasPrefix(got,
		"almalinux "+major+".") || !strings.HasSuffix(got, " rhel centos fedora\nrunning\nnobody") {
		t.Errorf("the host is %q", got)
	}
	// What Debian hosts have, and these do not.
	on(t, h, "sh", "-c", "! command -v apt-get && ! command -v dpkg && ! id www-data && ! id _apt && ! systemctl cat cron && ! systemctl cat ssh")
	for _, pkg := range []string{"bash", "systemd", "openssh-server", "openssl", "almalinux-release"} {
		on(t, h, "rpm", "--query", pkg)
	}
}

func testVersionsEL(t *testing.T, h *lab.Host) {
	t.Helper()
	on(t, h, "dnf", "install", "--assumeyes", "mirrorform-lab-demo-1.0")
	if got := on(t, h, "rpm", "--query", "--queryformat=%{version}", "mirrorform-lab-demo"); got != "1.0" {
		t.Errorf("installed: %s", got)
	}
	on(t, h, "dnf", "upgrade", "--assumeyes", "mirrorform-lab-demo")
	if got := on(t, h, "cat", "/usr/share/mirrorform-lab-demo/version"); got != "2.0" {
		t.Errorf("after the upgrade: %s", got)
	}
	on(t, h, "dnf", "remove", "--assumeyes", "mirrorform-lab-demo")
	if _, err := h.Run(t.Context(), "rpm", "--query", "mirrorform-lab-demo"); err == nil {
		t.Error("still installed")
	}
}

func testPackagesEL(t *testing.T, h *lab.Host) {
	t.Helper()
	packages := []string{"nginx", "httpd", "mod_ssl", "mod_http2", "mod_md", "rsync", "rsync-daemon", "cronie", "logrotate", "firewalld",
		"policycoreutils-python-utils", "xfsprogs", "curl"}
	on(t, h, append([]string{"dnf", "install", "--assumeyes", "--quiet"}, packages...)...)
	on(t, h, "sh", "-c", "rpm --verify $(rpm --query --all)")
	for unit, want := range map[string]string{"nginx": "disabled", "httpd": "disabled", "rsyncd": "disabled", "rsyncd.socket": "disabled",
		"crond": "enabled", "firewalld": "enabled", "logrotate.timer": "enabled", "sshd": "enabled"} {
		if got := on(t, h, "sh", "-c", "systemctl is-enabled "+unit+" || true"); got != want {
			t.Errorf("%s is %s after its package was installed, want %s", unit, got, want)
		}
	}
	for file, want := range map[string]string{"/usr/sbin/nginx": "nginx-", "/usr/sbin/httpd": "httpd-", "/etc/rsyncd.conf": "rsync-",
		"/usr/sbin/crond": "cronie-", "/usr/bin/firewall-cmd": "firewalld-", "/usr/sbin/semanage": "policycoreutils-python-utils-"} {
		if got := on(t, h, "rpm", "--query", "--file", file); !strings.HasPrefix(got, want) {
			t.Errorf("%s is of %s", file, got)
		}
	}
	if got := on(t, h, "sh", "-c", "id -u apache; id -gn nginx; getent passwd nginx | cut -d: -f6-"); got != "48\nnginx\n/var/lib/nginx:/sbin/nologin" {
		t.Errorf("the accounts are %q", got)
	}
	// cron reads files with a dot in their names, and the crontabs of users in EL's place.
	on(t, h, "sh", "-c", "echo '* * * * * root touch /run/cron.ran' >/etc/cron.d/a.b; systemctl start crond firewalld rsyncd; firewall-cmd --state; "+
		"echo '1 1 1 1 * true' | crontab -u nobody -; test -s /var/spool/cron/nobody; rsync rsync://localhost/")
}

// testPortEL: nginx has a server of its own on the port that httpd listens on.
func testPortEL(t *testing.T, h *lab.Host) {
	t.Helper()
	on(t, h, "systemctl", "start", "nginx")
	if _, err := h.Run(t.Context(), "systemctl", "start", "httpd"); err == nil {
		t.Error("httpd started on the port of nginx")
	}
	const status = "curl --silent --output /dev/null --write-out %{http_code} "
	if got := on(t, h, "sh", "-c", status+"http://127.0.0.1/; systemctl stop nginx; systemctl start httpd; "+status+"http://127.0.0.1/; "+
		status+"--insecure https://127.0.0.1/none; ps -o user= -C httpd | sort -u | tr '\n' ' '"); got != "200403404apache root" {
		t.Errorf("the servers answer %q", got)
	}
	on(t, h, "systemctl", "reload", "httpd")
	on(t, h, "systemctl", "stop", "httpd")
}

// testEPEL: packages of EPEL are there with epel-release alone.
func testEPEL(t *testing.T, h *lab.Host) {
	t.Helper()
	if _, err := h.Run(t.Context(), "dnf", "install", "--assumeyes", "certbot"); err == nil {
		t.Error("certbot was installed without EPEL")
	}
	on(t, h, "dnf", "install", "--assumeyes", "--quiet", "epel-release")
	on(t, h, "dnf", "install", "--assumeyes", "--quiet", "python3-certbot-nginx", "python3-certbot-apache")
	if got := on(t, h, "certbot", "plugins", "--non-interactive"); !strings.Contains(got, "* nginx") || !strings.Contains(got, "* apache") {
		t.Errorf("certbot has %s", got)
	}
	if h.OS == lab.EL8 {
		return // Debian 11 has no Caddy
	}
	on(t, h, "dnf", "install", "--assumeyes", "--quiet", "caddy")
	on(t, h, "systemctl", "start", "caddy")
	on(t, h, "curl", "--fail", "--silent", "http://127.0.0.1/")
	on(t, h, "systemctl", "stop", "caddy")
}

// TestRelease: a host of another release of Debian.
func TestRelease(t *testing.T) {
	t.Parallel()
	l := labtest.Lab(t)
	h := labtest.Host(t, lab.HostSpec{OS: lab.Debian13})
	if got := on(t, h, "sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME; systemctl is-system-running --wait; ls /usr/lib/cargo/bin/sudo"); got != "trixie\nrunning\n/usr/lib/cargo/bin/sudo" {
		t.Errorf("the host says %q", got)
	}
	if out, err := ssh(t, l, h, "op", lab.OpPassword+"\n", "sudo", "-S", "-p", "", "id", "-u"); err != nil || out != "0\n" {
		t.Errorf("sudo: %q, %v", out, err)
	}
	on(t, h, "apt-get", "install", "-y", "mirrorform-lab-demo")
	for _, system := range []lab.OS{"el", "../trixie", "el9 "} {
		if h, err := l.Boot(t.Context(), lab.HostSpec{Name: "a", OS: system}); err == nil || !strings.Contains(err.Error(), "debian13, el8, el9, el10") {
			t.Errorf("booted %v of %s: %v", h, system, err)
		}
	}
}
