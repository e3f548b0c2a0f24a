package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/resources"
)

var asked = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// scene is a host that is well, until a test changes it.
type scene struct {
	host    *Host
	seen    *Seen
	out     *Outside
	answers map[string]wire.Answer // by Query.Key
}

func newScene() *scene {
	c := &scene{
		host: &Host{Name: "m1", Address: "192.0.2.1", Become: "sudo", Place: "fleet.hcl:1",
			Mirrors:  []*mirror.Spec{{Web: &mirror.Web{ServerName: "m1.example.org"}}},
			Storages: []*resources.Storage{{Path: "/srv/m", Minimum: "1TB", Recommended: "2TB", Advice: "it grows"}}},
		seen: &Seen{Asked: asked, Answered: asked.Add(time.Second), Login: 300 * time.Millisecond,
			Hello: wire.Hello{Facts: &wire.Facts{Username: "root", Systemd: true, Packages: "apt", Arch: "amd64", Kernel: "6.1", OS: wire.OSFacts{Name: "Debian 12"}}}},
		out: &Outside{Names: map[string][]netip.Addr{"m1.example.org": {netip.MustParseAddr("192.0.2.1")}}, Unnamed: map[string]error{},
			Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Ports: map[netip.AddrPort]error{}},
	}
	c.answers = map[string]wire.Answer{
		clockQuery.Key():                {Run: &wire.Run{Stdout: fmt.Sprintf("%d.5\n", asked.Unix())}},
		ipv6Query.Key():                 {Run: &wire.Run{}},
		filesystemQuery("/srv/m").Key(): {Filesystem: &wire.Filesystem{MountPoint: "/srv", Type: "xfs", Size: 3e12, Available: 2e12}},
		"listeners [80]":                {Listeners: &wire.Listeners{}},
	}
	for _, name := range firewallUnits {
		c.answers[unitQuery(name).Key()] = wire.Answer{Unit: &wire.Unit{LoadState: "not-found", ActiveState: "inactive"}}
	}
	return c
}

// judge returns the findings that are not ok, as "LEVEL CHECK TEXT".
func (c *scene) judge(t *testing.T) (list []string) {
	t.Helper()
	queries := c.host.Questions()
	answers := make([]wire.Answer, len(queries))
	for i, q := range queries {
		a, ok := c.answers[q.Key()]
		if !ok {
			t.Fatalf("unexpected question: %s", q.Key())
		}
		answers[i] = a
	}
	var err error
	if c.seen.Answers, err = engine.NewAnswers(queries, answers); err != nil {
		t.Fatal(err)
	}
	for _, f := range c.host.Judge(c.seen, c.out) {
		if f.Level != OK {
			list = append(list, fmt.Sprintf("%s %s %s", f.Level, f.Check, f.Text))
		}
		if (f.Level == Warning || f.Level == Fault) && f.Fix == "" {
			t.Errorf("%s %s: nothing says what to do", f.Level, f.Text)
		}
	}
	return list
}

func listens(program, unit string) wire.Answer {
	return wire.Answer{Listeners: &wire.Listeners{Sockets: []wire.Listener{{Address: "0.0.0.0", Port: 80, Program: program, Unit: unit}}}}
}

const sixes = "20010db8000000000000000000000001 02 40 00 80 eth0\nfe800000000000000000000000000001 02 40 20 80 eth0\nfd000000000000000000000000000001 02 40 00 80 eth0\n"

func TestJudge(t *testing.T) {
	t.Parallel()
	web, six := netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddr("2001:db8::1")
	no := false
	for _, c := range []struct {
		name   string
		change func(c *scene)
		want   []string // beginnings
	}{
		{"a host that is well", func(*scene) {}, nil},
		{"not root", func(c *scene) { c.host.Become, c.seen.Hello.Facts.UID = "none", 1000 }, []string{"fault root the login is not root"}},
		{"no systemd", func(c *scene) { c.seen.Hello.Facts.Systemd = false }, []string{"fault system Debian 12, amd64, Linux 6.1: systemd"}},
		{"no package manager", func(c *scene) { c.seen.Hello.Facts.Packages = "" }, []string{"fault system Debian 12, amd64, Linux 6.1: neither"}},
		{"a lock", func(c *scene) { c.seen.Hello.Holder = &wire.Holder{Command: "apply", Operator: "a@b"} }, []string{"note lock another run holds the lock of the host: apply by a@b"}},
		{"an end that is missing", func(c *scene) { c.seen.Hello.Unfinished = &wire.Holder{Command: "apply", Operator: "a@b"} }, []string{"note lock an earlier run did not end"}},
		{"a manifest that cannot be read", func(c *scene) { c.seen.Hello.Unread = "input/output error" }, []string{"fault manifest the manifest"}},
		{"too small", func(c *scene) { c.answers["filesystem /srv/m"].Filesystem.Size = 9e11 }, []string{"fault storage /srv/m: 2 TB free of 900 GB, xfs on /srv: a mirror needs 1TB"}},
		{"smaller than recommended", func(c *scene) { c.answers["filesystem /srv/m"].Filesystem.Size = 1.5e12 }, []string{"warning storage /srv/m: 2 TB free of 1.5 TB, xfs on /srv: 2TB are recommended"}},
		{"read-only", func(c *scene) { c.answers["filesystem /srv/m"].Filesystem.ReadOnly = true }, []string{"fault storage /srv/m: 2 TB free of 3 TB, xfs on /srv, mounted read-only"}},
		{"a file system that hangs", func(c *scene) { c.answers["filesystem /srv/m"] = wire.Answer{Error: "did not answer"} }, []string{"warning storage filesystem /srv/m: did not answer"}},
		{"a device to come", func(c *scene) {
			c.host.Storages[0].Device = "/dev/vdb"
			c.answers["filesystem /srv/m"].Filesystem.MountPoint = "/"
		}, []string{"note storage /srv/m: /dev/vdb is not mounted yet"}},
		{"the port of another server", func(c *scene) { c.answers["listeners [80]"] = listens("lighttpd", "lighttpd.service") }, []string{"fault port 80: held by lighttpd (lighttpd.service)"}},
		{"the port of a program that is hidden", func(c *scene) { c.answers["listeners [80]"] = listens("", "") }, []string{"fault port 80: held by a program that is not known"}},
		{"the port of the same server", func(c *scene) { c.answers["listeners [80]"] = listens("nginx", "nginx.service") }, []string{"note port 80: nginx (nginx.service) listens already"}},
		{"listeners that are not known", func(c *scene) { c.answers["listeners [80]"] = wire.Answer{Error: "denied"} }, []string{"warning port who listens is not known"}},
		{"a firewall of the operator's", func(c *scene) {
			c.host.Mirrors[0].Firewall = &no
			c.answers["unit ufw.service"] = wire.Answer{Unit: &wire.Unit{ActiveState: "active"}}
		}, []string{"note firewall ufw is active: the ports 80 have to be open"}},
		{"nftables", func(c *scene) {
			c.answers["unit nftables.service"] = wire.Answer{Unit: &wire.Unit{ActiveState: "active"}}
		}, []string{"note firewall nftables is active"}},
		{"labels of the operator's", func(c *scene) { c.host.Mirrors[0].SELinux, c.seen.Hello.Facts.SELinux = &no, "enforcing" }, []string{"note selinux enforcing, and selinux = false"}},
		{"a name that does not exist", func(c *scene) {
			c.out.Names, c.out.Unnamed["m1.example.org"] = nil, &net.DNSError{Err: "no such host", IsNotFound: true}
		}, []string{"fault dns m1.example.org has no address here: no such name"}},
		{"a name of another machine", func(c *scene) { c.out.Names["m1.example.org"] = []netip.Addr{netip.MustParseAddr("198.51.100.7")} },
			[]string{"warning dns m1.example.org is 198.51.100.7, and the host 192.0.2.1"}},
		{"IPv6 without a record", func(c *scene) { c.answers[ipv6Query.Key()] = wire.Answer{Run: &wire.Run{Stdout: sixes}} }, []string{"note ipv6 the host has IPv6"}},
		{"a record without IPv6", func(c *scene) { c.out.Names["m1.example.org"] = append(c.out.Names["m1.example.org"], six) }, []string{"warning ipv6 m1.example.org has an AAAA record"}},
		{"both", func(c *scene) {
			c.answers[ipv6Query.Key()] = wire.Answer{Run: &wire.Run{Stdout: sixes}}
			c.out.Names["m1.example.org"] = []netip.Addr{six}
		}, nil},
		{"nothing listens yet", func(c *scene) { c.out.Ports[web] = &net.OpError{Err: syscall.ECONNREFUSED} }, []string{"note reach 192.0.2.1:80 refuses, since nothing listens"}},
		{"refused although it listens", func(c *scene) {
			c.answers["listeners [80]"] = listens("nginx", "nginx.service")
			c.out.Ports[web] = &net.OpError{Err: syscall.ECONNREFUSED}
		}, []string{"note port", "warning reach 192.0.2.1:80 refuses"}},
		{"dropped", func(c *scene) { c.out.Ports[web] = errors.New("it hangs") }, []string{"warning reach 192.0.2.1:80 does not answer from here: it hangs"}},
		{"a clock that is behind", func(c *scene) {
			c.answers[clockQuery.Key()] = wire.Answer{Run: &wire.Run{Stdout: fmt.Sprint(asked.Unix() - 10)}}
		}, []string{"warning clock 10s behind ours"}},
		{"a clock that is far ahead", func(c *scene) {
			c.answers[clockQuery.Key()] = wire.Answer{Run: &wire.Run{Stdout: fmt.Sprint(asked.Unix() + 3601)}}
		}, []string{"fault clock 1h0m0s ahead of ours"}},
		{"no clock", func(c *scene) { c.answers[clockQuery.Key()] = wire.Answer{Run: &wire.Run{Exit: 1}} }, []string{"warning clock the host's clock could not be read"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene()
			c.change(s)
			got := s.judge(t)
			if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	h := &Host{Mirrors: []*mirror.Spec{
		{Web: &mirror.Web{TLS: &mirror.TLS{}, ServerName: "a", ServerAliases: []string{"*.a", "b"}}, RsyncDaemon: &mirror.RsyncDaemon{}},
		{Web: &mirror.Web{ServerName: "a"}}, {Web: &mirror.Web{Server: "none", ServerName: "c"}}, {},
	}}
	if got := fmt.Sprint(h.Ports(), h.ServerNames()); got != "[80 443 873] [a b c]" {
		t.Error(got)
	}
}

// TestLook resolves a name and reaches a port of this machine.
func TestLook(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener
	h := &Host{Address: "127.0.0.1", Mirrors: []*mirror.Spec{{Web: &mirror.Web{Port: &port, ServerName: "no-such-name.invalid"}}}}
	o := h.Look(t.Context())
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)) //nolint:gosec // a port
	if err, tried := o.Ports[at]; !tried || err != nil || o.Unnamed["no-such-name.invalid"] == nil || len(o.Addresses) != 1 {
		t.Errorf("%+v", o)
	}
}
