package faults

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
	"golang.org/x/sys/unix"
)

// trail is a script that prints everything on a host that a change would affect, with its ctime,
// which cannot be set. It omits what the daemons of the host and the push of the helper write.
const trail = `find /etc /srv /usr/local /opt /root /var/lib/mirrorform /var/spool/cron -path /var/lib/mirrorform/lock -prune -o -printf '%p %y %C@ %m %u %l\n' 2>/dev/null | sort
dpkg-query -W -f '${Package} ${Status}\n'`

// unwritten returns a check that fails the test if anything was written on the host since then.
func unwritten(t testing.TB, h *lab.Host) (check func(what string)) {
	t.Helper()
	before := sh(t, h, trail)
	if len(strings.Split(before, "\n")) < 100 {
		t.Fatalf("the listing of %s is too short to be one:\n%s", h.Name, before)
	}
	return func(what string) {
		t.Helper()
		if after := sh(t, h, trail); after != before {
			t.Errorf("%s: something was written on %s:\n%s", what, h.Name, difference(before, after))
		}
	}
}

// difference lists the lines that only one of two texts has.
func difference(before, after string) string {
	old, young := map[string]bool{}, map[string]bool{}
	for l := range strings.Lines(before) {
		old[l] = true
	}
	var b strings.Builder
	for l := range strings.Lines(after) {
		young[l] = true
		if !old[l] {
			b.WriteString("+" + l)
		}
	}
	for l := range strings.Lines(before) {
		if !young[l] {
			b.WriteString("-" + l)
		}
	}
	return b.String()
}

// fileBlocks declares the files /etc/ctl/NAME1 to NAMEn on hosts ("host.h") with this content. Each
// is a separate resource, so that an apply has several operations.
func fileBlocks(hosts, name string, n int, content string) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		b.WriteString(fileBlock(hosts, fmt.Sprint(name, i), fmt.Sprintf("/etc/ctl/%s%d", name, i), content, ""))
	}
	return b.String()
}

// fileBlock declares one file. more has additional arguments.
func fileBlock(hosts, name, path, content, more string) string {
	return fmt.Sprintf("resource \"file\" %q {\n  hosts   = [%s]\n  path    = %q\n  content = %q\n%s}\n", name, hosts, path, content, more)
}

// contents returns the content of each of these files, or "" for a missing file.
func contents(t testing.TB, h *lab.Host, name string, n int) []string {
	t.Helper()
	out := sh(t, h, fmt.Sprintf(`for i in $(seq %d); do cat /etc/ctl/%s$i 2>/dev/null; echo; printf '\0'; done`, n, name))
	list := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	for i, c := range list {
		list[i] = strings.TrimSuffix(c, "\n")
	}
	if len(list) != n {
		t.Fatalf("%d contents of %d files: %q", len(list), n, out)
	}
	return list
}

// uniform fails the test unless all files have the same permitted content, and returns that
// content.
func uniform(t testing.TB, h *lab.Host, name string, n int, permitted ...string) string {
	t.Helper()
	list := contents(t, h, name, n)
	for _, c := range list {
		if c != list[0] {
			t.Errorf("the files are of different applies: %q", list)
			return list[0]
		}
	}
	for _, p := range permitted {
		if list[0] == p {
			return p
		}
	}
	t.Errorf("the files hold %q, want one of %q", list[0], permitted)
	return list[0]
}

// heldFile declares /etc/ctl/held. While the host is detained (detain), the program that checks the
// new content waits, and so does the write.
func heldFile(hosts, content string) string {
	const check = "[ -e /run/ctl-hold ] || exit 0; touch /run/ctl-here; for i in $(seq 1200); do sleep 0.1; [ -e /run/ctl-hold ] || exit 0; done; exit 1"
	return fileBlock(hosts, "held", "/etc/ctl/held", content, fmt.Sprintf("  validate = [\"/bin/sh\", \"-c\", %q, \"{}\"]\n", check))
}

// detain makes the next apply of a heldFile wait in the middle of its steps. reached waits until it
// does. letGo releases it.
func detain(t testing.TB, hosts ...*lab.Host) (reached, letGo func()) {
	t.Helper()
	for _, h := range hosts {
		sh(t, h, "rm -f /run/ctl-here; touch /run/ctl-hold")
	}
	return func() {
			t.Helper()
			for _, h := range hosts {
				eventually(t, "the writing of /etc/ctl/held", func() bool { return succeeds(h, "test -e /run/ctl-here") })
			}
		}, func() {
			t.Helper()
			for _, h := range hosts {
				on(t, h, "rm", "-f", "/run/ctl-hold")
			}
		}
}

// gate is a TCP proxy that treats each connection as a test wants, by its number, from 1.
type gate struct {
	target   string
	listener net.Listener
	treat    func(number int) treatment
	wait     sync.WaitGroup

	mu     sync.Mutex
	number int
	open   map[net.Conn]bool
	up     int64 // bytes passed to the target so far
	down   int64 // bytes passed back so far
	closed bool
}

// treatment is what the gate does with a connection. The zero value passes everything.
type treatment struct {
	refuse bool // it is reset at once
	// It is reset when so many bytes have passed to the target, or back; 0 is never.
	cutUp, cutDown int64
}

// newGate starts a gate to port 22 of a host; it ends with the test.
func newGate(t testing.TB, h *lab.Host, treat func(number int) treatment) *gate {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{target: net.JoinHostPort(h.Address, "22"), listener: listener, treat: treat, open: map[net.Conn]bool{}}
	g.wait.Go(g.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		g.mu.Lock()
		g.closed = true
		for c := range g.open {
			_ = c.Close()
		}
		g.mu.Unlock()
		g.wait.Wait()
	})
	return g
}

// change replaces the treatment of later connections, and counts them from 1 again.
func (g *gate) change(treat func(number int) treatment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.treat, g.number, g.up, g.down = treat, 0, 0, 0
}

// passed returns the number of connections since the last change, and the number of bytes in each
// direction.
func (g *gate) passed() (connections int, up, down int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.number, g.up, g.down
}

// adopt adds a connection to those that are closed at the end of the test.
func (g *gate) adopt(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		_ = c.Close()
		return false
	}
	g.open[c] = true
	return true
}

func (g *gate) serve() {
	for {
		conn, err := g.listener.Accept()
		if err != nil {
			return // closed
		}
		if !g.adopt(conn) {
			return
		}
		g.mu.Lock()
		g.number++
		how := g.treat(g.number)
		g.mu.Unlock()
		g.wait.Go(func() { g.connect(conn, how) })
	}
}

func (g *gate) connect(client net.Conn, how treatment) {
	server, err := net.DialTimeout("tcp4", g.target, limit)
	if err != nil || how.refuse || !g.adopt(server) {
		reset(client)
		if err == nil {
			reset(server)
		}
		return
	}
	var both sync.WaitGroup
	both.Go(func() { g.pass(client, server, how.cutUp, &g.up) })
	both.Go(func() { g.pass(server, client, how.cutDown, &g.down) })
	both.Wait()
	_, _ = client.Close(), server.Close()
	g.mu.Lock()
	delete(g.open, client)
	delete(g.open, server)
	g.mu.Unlock()
}

// reset closes a connection so that the other end sees a reset (RST).
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// pass passes bytes on until one side ends or the cut is reached.
func (g *gate) pass(from, to net.Conn, cut int64, count *int64) {
	buffer := make([]byte, 32<<10)
	var passed int64
	for {
		n, err := from.Read(buffer)
		end := cut > 0 && passed+int64(n) >= cut
		if end {
			n = int(cut - passed)
		}
		passed += int64(n)
		g.mu.Lock()
		*count += int64(n)
		g.mu.Unlock()
		_, failed := to.Write(buffer[:n])
		switch {
		case end || failed != nil || err != nil && !errors.Is(err, io.EOF):
			reset(from)
			reset(to)
			return
		case err != nil: // an end in order
			if tcp, ok := to.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			return
		}
	}
}

// address is the address in the host block, instead of the host's own address.
func (g *gate) address() string { return g.listener.Addr().String() }

// terminal is a run of the program with a pseudo-terminal as its input and output.
type terminal struct {
	*running
	master *os.File
}

// startOnTerminal is start on a terminal.
func (s *site) startOnTerminal(args ...string) *terminal {
	s.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	r := &running{t: s.t, cmd: exec.Command(s.path, args...), output: &syncBuffer{}, ended: make(chan struct{})}
	r.cmd.Dir, r.cmd.Env = s.dir, append(append([]string(nil), s.env...), "TERM=dumb")
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = tty, tty, tty
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := r.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	_ = tty.Close()
	var copied sync.WaitGroup
	copied.Go(func() { _, _ = io.Copy(r.output, master) }) // ends with an error once nobody has the terminal open
	go func() {
		_ = r.cmd.Wait()
		copied.Wait()
		close(r.ended)
	}()
	s.t.Cleanup(func() {
		r.kill()
		_ = master.Close()
	})
	return &terminal{r, master}
}

// say types a line.
func (c *terminal) say(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.master, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// changedSite is a site for a host with two applied files whose configured content has changed
// since.
func changedSite(t testing.TB, h *lab.Host) *site {
	t.Helper()
	s := newSite(t, host{Host: h})
	s.write("main.hcl", fileBlocks("host.h", "f", 2, "old\n"))
	s.apply().says(t, 0)
	s.write("main.hcl", fileBlocks("host.h", "f", 2, "new\n"))
	return s
}
