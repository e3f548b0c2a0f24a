package faults

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lab"
)

// passAll passes all data, like a good network.
func passAll(int) treatment { return treatment{} }

// first applies a treatment to the first connection only.
func first(how treatment) func(int) treatment {
	return func(number int) treatment {
		if number == 1 {
			return how
		}
		return treatment{}
	}
}

// truthful fails the test unless the report of a run about a host, its exit status and its text,
// matches the state of the host. It first waits until the helper has ended. It returns the content
// of the host's files, old or young.
func truthful(t testing.TB, what string, h *lab.Host, n int, old, young string, r result) string {
	t.Helper()
	clean(t, h)
	found := uniform(t, h, "f", n, old, young)
	switch {
	case r.exit == 0 && found != young:
		t.Errorf("%s: exit status 0, but the files hold %q:\n%s", what, found, r.output)
	case r.exit == 1 && found == young && !strings.Contains(r.output, "the state of the host could not be checked"):
		t.Errorf("%s: exit status 1, but the files hold %q, and nothing says that this is not known:\n%s", what, found, r.output)
	case r.exit != 0 && r.exit != 1:
		t.Errorf("%s: exit status %d:\n%s", what, r.exit, r.output)
	}
	if strings.Contains(r.output, "the host has rolled back all changes") && found != old {
		t.Errorf("%s: it says that all was taken back, but the files hold %q:\n%s", what, found, r.output)
	}
	return found
}

// TestFault05ConnectionReset: the connection is reset at regular byte offsets of an apply, in each
// direction. The run reports the lost connection, asks the host again, and reports the result.
func TestFault05ConnectionReset(t *testing.T) {
	t.Parallel()
	const files = 4
	h := boot(t)
	g := newGate(t, h, passAll)
	s := newSite(t, host{Host: h, Address: g.address()})
	config := func(content string) { s.write("main.hcl", fileBlocks("host.h", "f", files, content)) }
	config("0\n")
	s.apply().says(t, 0) // pushes the helper
	g.change(passAll)
	config("1\n")
	s.apply().says(t, 0)
	connections, up, down := g.passed()
	if connections != 1 || up < 4096 || down < 4096 {
		t.Fatalf("one apply has %d connections, %d bytes up and %d down", connections, up, down)
	}
	// Every 512 bytes; and finer where the last answer comes back, since only there may the host have committed.
	type cut struct {
		direction string
		at        int64
	}
	var cuts []cut
	for _, k := range spread(int(up-1)/512, size(4, int(up-1)/512)) {
		cuts = append(cuts, cut{"up", 512 * int64(k)})
	}
	for _, k := range spread(int(down-1)/512, size(4, int(down-1)/512)) {
		cuts = append(cuts, cut{"down", 512 * int64(k)})
	}
	for _, k := range spread(16, size(2, 16)) {
		cuts = append(cuts, cut{"down", down - 24*int64(k)})
	}
	old, reread, taken, done := "1\n", 0, 0, 0
	for i, c := range cuts {
		how := treatment{cutUp: c.at}
		if c.direction == "down" {
			how = treatment{cutDown: c.at}
		}
		young := fmt.Sprint(i%10, "\n") // of the same length as before
		if young == old {
			young = "x\n"
		}
		config(young)
		g.change(first(how))
		r := s.apply()
		connections, _, _ := g.passed()
		what := fmt.Sprintf("reset after %d bytes %s", c.at, c.direction)
		found := truthful(t, what, h, files, old, young, r)
		if strings.Contains(r.output, "reconnecting to check the state of the host") {
			reread++
			if connections < 2 {
				t.Errorf("%s: it says that it asked the host, on no new connection:\n%s", what, r.output)
			}
		}
		if !strings.Contains(r.output, "connection") && !strings.Contains(r.output, "handshake") && r.exit != 0 {
			t.Errorf("%s: nothing says that the connection was lost:\n%s", what, r.output)
		}
		if found == young {
			done++
		} else {
			taken++
		}
		oracle(t, s, h, r)
		old = young
	}
	if reread == 0 || taken == 0 {
		t.Errorf("of %d resets none hit a transaction (%d asked again, %d taken back)", len(cuts), reread, taken)
	}
	record(t, 5, "connection reset, each direction, every 512 bytes", len(cuts),
		fmt.Sprintf("reported, and the host asked again: %d rolled back or not started, %d finished", taken, done))
}

// TestFault05CommitAnswerLost: the connection ends after the host has received the commit and
// before it answers. When mirrorform asks again, the manifest shows whether the host has committed,
// and mirrorform reports the same.
func TestFault05CommitAnswerLost(t *testing.T) {
	t.Parallel()
	for _, committed := range []bool{true, false} {
		p, h := newPeer(t), &play{}
		var manifest atomic.Pointer[[]byte] // as the host has it
		var lost atomic.Bool
		manifest.Store(new([]byte))
		h.stream = func(m *wire.Message, ch io.Writer) bool {
			if m.Commit == nil || lost.Swap(true) {
				return false
			}
			if committed {
				manifest.Store(&m.Commit.Manifest)
			} else {
				h.forget()
			}
			_ = ch.(io.Closer).Close()
			return true
		}
		h.instead = func(m *wire.Message, say func(*wire.Message)) bool {
			if m.Begin != nil {
				say(&wire.Message{Begun: &wire.Begun{ID: "00", Manifest: *manifest.Load()}})
			}
			return m.Begin != nil
		}
		p.run = h.run(p)
		p.serve(t)
		r, _ := p.against(t, oneFile(), "30s")
		if !lost.Load() {
			t.Errorf("no commit was ordered:\n%s", r.output)
		}
		if committed {
			r.says(t, 0, "reconnecting to check the state of the host")
		} else {
			r.says(t, 1, "reconnecting to check the state of the host", "the host has rolled back all changes")
		}
	}
	record(t, 5, "connection lost before the answer to the commit", 2, "asked the host again; finished or rolled back, as the host reports")
}

// TestFault06ConnectionSwallowed: the network drops all data without an error. Both sides time out:
// the run reports it, and the host rolls back and releases its lock.
func TestFault06ConnectionSwallowed(t *testing.T) {
	t.Parallel()
	moments := []string{"while steps run, for a while", "while steps run, for good", "while the question waits", "from the first byte on"}
	moments = moments[:size(1, len(moments))]
	for _, moment := range moments {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			h := boot(t)
			proxy, err := lab.NewProxy(h.Address + ":22")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = proxy.Close() })
			s := newSite(t, host{Host: h, Address: proxy.Addr(), More: "  connect_timeout = \"5s\"\n"})
			direct := newSite(t, host{Host: h})
			config := func(s *site, content string) {
				s.write("main.hcl", fileBlocks("host.h", "f", 2, content)+heldFile("host.h", content))
			}
			config(s, "old\n")
			s.apply().says(t, 0)
			config(s, "new\n")
			config(direct, "other\n")
			var r result
			switch moment {
			case "while the question waits":
				run := s.startOnTerminal("apply")
				run.until("Answer:")
				proxy.Swallow()
				run.say("yes")
				r = run.wait()
			case "from the first byte on":
				proxy.Swallow()
				r = s.apply()
			default:
				reached, letGo := detain(t, h)
				run := s.start("apply", "--auto-approve")
				reached()
				proxy.Swallow()
				letGo()
				run.until("the connection was lost")
				if strings.HasSuffix(moment, "for a while") {
					proxy.Resume()
				}
				r = run.wait()
			}
			r.says(t, 1)
			uniform(t, h, "f", 2, "old\n")
			if strings.HasSuffix(moment, "for a while") {
				r.says(t, 1, "the host has rolled back all changes")
			}
			// The lock is free, or will be, without anybody's help: where the old connection is, it is still open on both sides.
			direct.apply("--lock-timeout", "90s").says(t, 0)
			uniform(t, h, "f", 2, "other\n")
			proxy.Resume()
			oracle(t, s, h, r)
		})
	}
	record(t, 6, "connection that drops all data", len(moments), "both sides time out; the next operator gets the lock")
}

// TestFault07SlowLink: a connection with long delay and low throughput does not count as lost.
func TestFault07SlowLink(t *testing.T) {
	t.Parallel()
	h := boot(t)
	proxy, err := lab.NewProxy(h.Address + ":22")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	s := newSite(t, host{Host: h, Address: proxy.Addr()})
	config := func(content string) { s.write("main.hcl", fileBlocks("host.h", "f", 3, content)) }
	type link struct {
		delay time.Duration // one way
		rate  int           // bytes a second
		fresh bool          // the helper has to be pushed
	}
	links := []link{
		{delay: 300 * time.Millisecond},
		{rate: 4 << 10},
		{delay: 150 * time.Millisecond, rate: 8 << 10},
		{delay: time.Second, rate: 2 << 10},
		{delay: 100 * time.Millisecond, rate: 128 << 10, fresh: true},
	}
	links = links[:size(3, len(links))]
	config("0\n")
	s.apply().says(t, 0)
	for i, l := range links {
		if l.fresh {
			on(t, h, "rm", "-rf", "/var/lib/mirrorform/helper")
		}
		content := fmt.Sprint("new", i, "\n")
		config(content)
		proxy.Delay(l.delay, l.delay)
		proxy.Rate(l.rate)
		r := s.apply()
		r.says(t, 0)
		uniform(t, h, "f", 3, content)
		if plan := s.run("plan", "--detailed-exitcode"); plan.exit != 0 {
			t.Errorf("the plan over the slow link has status %d:\n%s", plan.exit, plan.output)
		}
		proxy.Delay(0, 0)
		proxy.Rate(0)
		oracle(t, s, h, r)
	}
	record(t, 7, "slow connection, up to 1 s of delay and down to 2 KiB/s", len(links), "no false timeout; exit status 0")
}
