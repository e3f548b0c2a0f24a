package faults

import (
	"fmt"
	"strings"
	"testing"
)

// One machine under two names is refused before anything is planned for it, regardless of how the
// names lead to it. The other hosts continue.
func TestFault35OneMachine(t *testing.T) {
	t.Parallel()
	h, other := boot(t), boot(t)
	sh(t, h, `printf 'Port 22\nPort 2200\n' >/etc/ssh/sshd_config.d/ports.conf; systemctl stop ssh.socket 2>/dev/null; systemctl restart sshd
ip address add 10.213.255.1/32 dev lo`)
	s := newSite(t, host{Host: other})
	web := host{Host: h}.block(t, "web")
	same := func(from, to string) string {
		if !strings.Contains(web, from) {
			t.Fatalf("%s lacks %q", web, from)
		}
		return strings.Replace(strings.Replace(web, `"web"`, `"db"`, 1), from, to, 1)
	}
	ssh := fmt.Sprintf("Host database\n  HostName %s\n  HostKeyAlias %[1]s\n", h.Address)
	s.write("ssh_config", ssh)
	resources := func(names ...string) (text string) {
		for _, name := range names {
			text += fmt.Sprintf("resource \"file\" %q {\n  hosts = [host.%[1]s]\n  path = \"/etc/from-%[1]s\"\n  content = %[1]q\n}\n", name)
		}
		return text
	}
	address := fmt.Sprintf("address    = %q", h.Address)
	cases := []struct{ what, block, says string }{
		{"the same address", same("user", "user"), "Host db has the same address, port and jump as host web"},
		{"the same address, another user", same(`"admin"`, `"fish"`), "Host db has the same address, port and jump as host web"},
		{"the same address, written otherwise", same(address, fmt.Sprintf(`address    = "::ffff:%s"`, h.Address)), "Host db has the same address, port and jump as host web"},
		{"another port", same("port       = 22", "port       = 2200"), "db and web are one machine under 2 names"},
		{"another name", same(address, `address    = "database"`), "db and web are one machine under 2 names"},
		{"a jump host", same(address, "jump       = host.h\n  "+address), "db and web are one machine under 2 names"},
	}
	s.write("web.hcl", web)
	s.write("resources.hcl", resources("web", "h"))
	s.apply("--ssh-config", "ssh_config").says(t, 0)
	s.write("resources.hcl", resources("web", "h", "db"))
	before := statesOf(t, h, "/etc/from-web", "/etc/from-db")
	injected := 0
	for _, c := range cases {
		s.write("zdb.hcl", c.block) // after web.hcl
		for _, args := range [][]string{{"plan"}, {"apply", "--auto-approve"}, {"destroy", "--auto-approve", "--limit", "web,db"}} {
			r := s.run(append(args, "--ssh-config", "ssh_config")...)
			r.says(t, 1, c.says)
			for _, planned := range []string{"from-db", "file.web"} {
				if strings.Contains(r.output, planned) {
					t.Errorf("%s, %s: the output has %q:\n%s", c.what, args[0], planned, r.output)
				}
			}
			statesOf(t, h, "/etc/from-web", "/etc/from-db").same(t, before)
			injected++
		}
		clean(t, h)
	}
	on(t, other, "test", "-e", "/etc/from-h")
	// The other host has gone on, and the machine does under one of its names.
	s.write("zdb.hcl", "")
	s.write("resources.hcl", resources("web", "h"))
	oracle(t, s, h, s.apply())
	record(t, 35, "two host blocks for one machine: address, name, port, jump host", injected, "refused when the configuration is read, or by the machine ID; nothing written there; other hosts continue")
}

// A clone has the machine ID of its original. It is refused with the command that gives it a new
// ID, and the command works.
func TestFault35ClonedMachine(t *testing.T) {
	t.Parallel()
	h, clone := boot(t), boot(t)
	put(t, clone, "/etc/machine-id", read(t, h, "/etc/machine-id"), 0o444)
	s := newSite(t, host{Host: h}, host{Host: clone})
	s.write("resources.hcl", "resource \"file\" \"f\" {\n  hosts = [host.h1, host.h2]\n  path = \"/etc/cloned\"\n  content = target.name\n}\n")
	for _, args := range [][]string{{"plan"}, {"apply", "--auto-approve"}} {
		r := s.run(args...)
		r.says(t, 1, "h1 and h2 have the same machine-id, but are different machines", "rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup")
		if strings.Contains(r.output, "to create") && !strings.Contains(r.output, "0 to create") {
			t.Errorf("something is planned:\n%s", r.output)
		}
	}
	for _, machine := range []string{"h1", "h2"} {
		if r := s.run("plan", "--limit", machine, "--detailed-exitcode"); r.exit != 2 {
			t.Errorf("%s alone: exit status %d:\n%s", machine, r.exit, r.output)
		}
	}
	sh(t, clone, "rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup")
	if read(t, h, "/etc/machine-id") == read(t, clone, "/etc/machine-id") {
		t.Fatal("systemd-machine-id-setup made the same machine-id")
	}
	r := s.apply()
	r.says(t, 0)
	for _, host := range []string{read(t, h, "/etc/cloned"), read(t, clone, "/etc/cloned")} {
		if host != "h1" && host != "h2" {
			t.Errorf("a host has %q", host)
		}
	}
	oracle(t, s, clone, r)
	record(t, 35, "a cloned host next to its original", 2, "refused with the command that gives it a new ID; the command works; nothing written")
}
