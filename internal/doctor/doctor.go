// Package doctor judges whether a host can become the mirrors that are declared for it. It asks the
// host once, looks at it from outside, and changes nothing.
package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/resources"
)

// Level is how bad a finding is.
type Level string

// The levels. A Fault keeps a mirror from being made, or clients from using it.
const (
	OK      Level = "ok"
	Note    Level = "note"
	Warning Level = "warning"
	Fault   Level = "fault"
)

// Finding is what one check of a host found.
type Finding struct {
	Level Level  `json:"level"`
	Check string `json:"check"` // login, root, system, storage, port, dns, ipv6, reach, clock, firewall, selinux, lock
	Text  string `json:"text"`
	Fix   string `json:"fix,omitempty"` // what to do about a warning or a fault
}

// Host is what the configuration declares for a host.
type Host struct {
	Name, Address, Become string
	Place                 string // of its block: FILE:LINE
	Mirrors               []*mirror.Spec
	Storages              []*resources.Storage
}

// Seen is what a host answered.
type Seen struct {
	Hello    wire.Hello
	Answers  engine.Answers
	Login    time.Duration // from the connection to the greeting
	Asked    time.Time     // by our clock, before the questions
	Answered time.Time     // by our clock, after the answers
}

// webPorts returns the TCP ports of the site of a mirror that mirrorform serves or joins.
func webPorts(w *mirror.Web) []int {
	if w == nil || w.Server == "none" {
		return nil
	}
	ports := []int{orPort(w.Port, 80)}
	if w.TLS != nil {
		ports = append(ports, orPort(w.TLS.Port, 443))
	}
	return ports
}

func orPort(port *int, usual int) int {
	if port == nil {
		return usual
	}
	return *port
}

const rsyncPort = 873

// Ports returns the TCP ports that the mirrors of a host serve, sorted.
func (h *Host) Ports() []int {
	var ports []int
	for _, m := range h.Mirrors {
		ports = append(ports, webPorts(m.Web)...)
		if m.RsyncDaemon != nil {
			ports = append(ports, rsyncPort)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// ServerNames returns the names of the mirrors in DNS, sorted. Addresses and patterns are left out.
func (h *Host) ServerNames() []string {
	var names []string
	for _, m := range h.Mirrors {
		if m.Web == nil {
			continue
		}
		for _, name := range append([]string{m.Web.ServerName}, m.Web.ServerAliases...) {
			if name != "" && !strings.Contains(name, "*") {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var (
	clockQuery    = wire.Query{Verb: wire.AskRun, Args: []string{"date", "+%s.%N"}}
	ipv6Query     = wire.Query{Verb: wire.AskRun, Args: []string{"cat", "/proc/net/if_inet6"}, Option: "if:/proc/net/if_inet6"}
	firewallUnits = []string{"firewalld.service", "ufw.service", "nftables.service"}
)

func unitQuery(name string) wire.Query { return wire.Query{Verb: wire.AskUnit, Arg: name} }

func filesystemQuery(path string) wire.Query {
	return wire.Query{Verb: wire.AskFilesystem, Arg: path}
}

func (h *Host) listenersQuery() wire.Query {
	q := wire.Query{Verb: wire.AskListeners}
	for _, port := range h.Ports() {
		q.Args = append(q.Args, fmt.Sprint(port))
	}
	return q
}

// Questions returns the questions about a host. They go into one message.
func (h *Host) Questions() []wire.Query {
	list := []wire.Query{clockQuery, ipv6Query}
	for _, name := range firewallUnits {
		list = append(list, unitQuery(name))
	}
	if len(h.Ports()) > 0 {
		list = append(list, h.listenersQuery())
	}
	for _, s := range h.Storages {
		list = append(list, filesystemQuery(s.Path))
	}
	return list
}

// Judge returns the findings about a host, in the order of the checks. out is what was seen from
// here.
func (h *Host) Judge(s *Seen, out *Outside) []Finding {
	list := []Finding{h.login(s), h.root(s), h.system(s)}
	list = append(list, h.lock(s)...)
	list = append(list, h.storage(s)...)
	list = append(list, h.ports(s)...)
	list = append(list, h.guards(s)...)
	list = append(list, h.names(s, out)...)
	list = append(list, h.reach(s, out)...)
	return append(list, clock(s))
}

// Unreached returns the finding about a host that could not be looked at.
func Unreached(err error) Finding {
	return Finding{Fault, "login", err.Error(), ""}
}

func (h *Host) login(s *Seen) Finding {
	text := fmt.Sprintf("in %.1f s", s.Login.Seconds())
	if !h.becomes() {
		text = "as " + s.Hello.Facts.Username + ", " + text
	}
	return Finding{OK, "login", text, ""}
}

// becomes reports whether the helper runs as root by sudo or doas.
func (h *Host) becomes() bool { return h.Become != "none" && h.Become != "" }

// root follows what the helper runs as: with become, that is already root.
func (h *Host) root(s *Seen) Finding {
	how := "the login is root"
	switch {
	case s.Hello.Facts.UID != 0:
		return Finding{Fault, "root", "the login is not root, and become is not set: packages, services and accounts need root",
			"set become = \"sudo\" or \"doas\" in the host's block (" + h.Place + "), or log in as root"}
	case h.becomes():
		how = "by " + h.Become
	}
	return Finding{OK, "root", how, ""}
}

func (h *Host) system(s *Seen) Finding {
	f := s.Hello.Facts
	text := fmt.Sprintf("%s, %s, Linux %s", f.OS.Name, f.Arch, f.Kernel)
	switch {
	case !f.Systemd:
		return Finding{Fault, "system", text + ": systemd is not its init system", "use a host with systemd: docs/hosts.md lists what is tested"}
	case f.Packages == "":
		return Finding{Fault, "system", text + ": neither apt nor dnf", "use a system of the Debian or EL families: docs/hosts.md lists what is tested"}
	}
	return Finding{OK, "system", text + ", " + f.Packages, ""}
}

func (h *Host) lock(s *Seen) []Finding {
	switch {
	case s.Hello.Unread != "":
		return []Finding{{Fault, "manifest", "the manifest of the host cannot be read: " + s.Hello.Unread, "mirrorform state rebuild '" + h.Name + "'"}}
	case s.Hello.Holder != nil:
		return []Finding{{Note, "lock", "another run holds the lock of the host: " + s.Hello.Holder.Command + " by " + s.Hello.Holder.Operator, ""}}
	case s.Hello.Unfinished != nil:
		return []Finding{{Note, "lock", "an earlier run did not end; the next apply rolls it back: " + s.Hello.Unfinished.Command + " by " + s.Hello.Unfinished.Operator, ""}}
	}
	return nil
}

func (h *Host) storage(s *Seen) (list []Finding) {
	for _, want := range h.Storages {
		fs, err := s.Answers.Filesystem(filesystemQuery(want.Path))
		if err != nil {
			list = append(list, Finding{Warning, "storage", err.Error(), "look at it on the host, then run doctor again"})
			continue
		}
		text := fmt.Sprintf("%s: %s free of %s, %s on %s", want.Path, resources.FormatSize(fs.Available), resources.FormatSize(fs.Size), fs.Type, fs.MountPoint)
		minimum, _ := resources.ParseSize(want.Minimum) // 0 if not set; validate has checked both
		recommended, _ := resources.ParseSize(want.Recommended)
		switch {
		case want.Device != "" && fs.MountPoint == "/":
			list = append(list, Finding{Note, "storage", want.Path + ": " + want.Device + " is not mounted yet; the plan checks it", ""})
		case fs.ReadOnly:
			list = append(list, Finding{Fault, "storage", text + ", mounted read-only", "mount it read-write: mount -o remount,rw " + fs.MountPoint})
		case fs.Size < minimum:
			list = append(list, Finding{Fault, "storage", text + ": a mirror needs " + want.Minimum, "name a larger file system or a device in the storage block, or set storage.minimum if you leave parts out"})
		case fs.Size < recommended:
			list = append(list, Finding{Warning, "storage", text + ": " + want.Recommended + " are recommended", want.Advice})
		default:
			list = append(list, Finding{OK, "storage", text, ""})
		}
	}
	return list
}

// ports says who holds the ports that the mirrors serve.
func (h *Host) ports(s *Seen) (list []Finding) {
	if len(h.Ports()) == 0 {
		return nil
	}
	got, err := s.Answers.Listeners(h.listenersQuery())
	if err != nil {
		return []Finding{{Warning, "port", "who listens is not known: " + err.Error(), "look with ss -ltnp on the host"}}
	}
	for _, port := range h.Ports() {
		holder, ok := holderOf(got, port)
		switch {
		case !ok:
			list = append(list, Finding{OK, "port", fmt.Sprintf("%d: free", port), ""})
		case h.expects(s.Hello.Facts, holder, port):
			list = append(list, Finding{Note, "port", fmt.Sprintf("%d: %s listens already: its other sites stay", port, described(holder)), ""})
		default:
			list = append(list, Finding{Fault, "port", fmt.Sprintf("%d: held by %s", port, described(holder)),
				"set web.server to what is there, web.port to another port, or stop it"})
		}
	}
	return list
}

func holderOf(l wire.Listeners, port int) (wire.Listener, bool) {
	i := slices.IndexFunc(l.Sockets, func(s wire.Listener) bool { return s.Port == port })
	if i < 0 {
		return wire.Listener{}, false
	}
	return l.Sockets[i], true
}

func described(l wire.Listener) string {
	switch {
	case l.Program == "":
		return "a program that is not known"
	case l.Unit != "":
		return l.Program + " (" + l.Unit + ")"
	}
	return l.Program
}

// expects reports whether the program is the one that is to serve the port.
func (h *Host) expects(facts *wire.Facts, l wire.Listener, port int) bool {
	for _, m := range h.Mirrors {
		if port == rsyncPort && m.RsyncDaemon != nil {
			return l.Program == "rsync" || l.Program == "systemd"
		}
		if slices.Contains(webPorts(m.Web), port) {
			return resources.ServerOf(engine.Target{Facts: *facts}, l.Program) == cmp.Or(m.Web.Server, "nginx")
		}
	}
	return false
}

// guards are the firewall and SELinux.
func (h *Host) guards(s *Seen) (list []Finding) {
	kept := slices.ContainsFunc(h.Mirrors, func(m *mirror.Spec) bool { return m.Firewall != nil && !*m.Firewall })
	for _, name := range firewallUnits {
		unit, err := s.Answers.Unit(unitQuery(name))
		if err != nil || unit.ActiveState != "active" || len(h.Ports()) == 0 {
			continue
		}
		name = strings.TrimSuffix(name, ".service")
		switch {
		case name == "nftables" || kept:
			list = append(list, Finding{Note, "firewall", name + " is active: the ports " + joined(h.Ports()) + " have to be open there", ""})
		default:
			list = append(list, Finding{OK, "firewall", name + " is active: apply opens " + joined(h.Ports()), ""})
		}
	}
	switch mode := s.Hello.Facts.SELinux; {
	case mode != "" && slices.ContainsFunc(h.Mirrors, func(m *mirror.Spec) bool { return m.SELinux != nil && !*m.SELinux }):
		list = append(list, Finding{Note, "selinux", mode + ", and selinux = false: the labels of the trees are yours", ""})
	case mode != "":
		list = append(list, Finding{OK, "selinux", mode + ": apply labels the trees", ""})
	}
	return list
}

func joined(ports []int) string {
	texts := make([]string, len(ports))
	for i, p := range ports {
		texts[i] = fmt.Sprint(p)
	}
	return strings.Join(texts, ", ")
}
