package faults

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
	"github.com/mirrorform/mirrorform/resources"
)

// TestFault02Interrupted: the second SIGINT ends the program while it changes two hosts. Each host
// rolls back and releases its lock.
func TestFault02Interrupted(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	program(t)
	hosts := labtest.Hosts(t, 2)
	s := newSite(t, host{Host: hosts[0]}, host{Host: hosts[1]})
	const both = "host.h1, host.h2"
	config := func(content string) {
		s.write("main.hcl", fileBlocks(both, "f", 3, content)+heldFile(both, content))
	}
	config("old\n")
	s.apply().says(t, 0)
	signals := []struct {
		name          string
		send          syscall.Signal
		twice, rolled bool // rolled: the program ends at once, so nothing can have been committed
	}{
		{"SIGINT twice", syscall.SIGINT, true, true},
		{"SIGINT once", syscall.SIGINT, false, false},
		{"SIGTERM twice", syscall.SIGTERM, true, true},
		{"SIGTERM once", syscall.SIGTERM, false, false},
		{"SIGHUP", syscall.SIGHUP, false, true}, // the terminal is gone
	}
	signals = signals[:size(2, len(signals))]
	for i, sig := range signals {
		content := fmt.Sprint("new", i, "\n")
		config(content)
		old := uniform(t, hosts[0], "f", 3, contents(t, hosts[0], "f", 1)...)
		reached, letGo := detain(t, hosts...)
		run := s.start("apply", "--auto-approve")
		reached()
		run.signal(sig.send)
		if sig.twice {
			run.until("nterrupt") // the first one was taken
			eventually(t, "the program to end by a second "+sig.name, func() bool {
				run.signal(sig.send)
				return !run.alive()
			})
		} else if sig.rolled {
			<-run.ended
		}
		letGo()
		r := run.wait()
		if sig.rolled && r.exit == 0 {
			t.Errorf("%s: exit status 0:\n%s", sig.name, r.output)
		}
		for _, h := range hosts {
			clean(t, h)
			want := old
			if r.exit == 0 {
				want = content
			}
			uniform(t, h, "f", 3, want)
		}
		oracle(t, s, hosts[0], r)
		oracle(t, s, hosts[1], r)
		uniform(t, hosts[0], "f", 3, content)
		uniform(t, hosts[1], "f", 3, content)
	}
	record(t, 2, "SIGINT, SIGTERM and SIGHUP during apply", len(signals), "every host rolled back or finished, as the exit status reports; locks released")
}

// TestFault02InterruptedQuestion: before the first change, one signal ends the program.
func TestFault02InterruptedQuestion(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s := changedSite(t, h)
	check := unwritten(t, h)
	asked := s.startOnTerminal("apply")
	asked.until("Answer:")
	asked.signal(syscall.SIGINT)
	r := asked.wait()
	if r.exit != 1 {
		t.Errorf("exit status %d, want 1:\n%s", r.exit, r.output)
	}
	clean(t, h)
	check("SIGINT at the question")
	oracle(t, s, h, r)
	record(t, 2, "SIGINT while apply asks for confirmation", 1, "ends immediately; nothing written; lock released")
}

// bomb is a resource of a type with a bug: a file for which the type sometimes panics.
type bomb struct {
	Path string `hcl:"path" id:"true"`
}

// bombs is the type of bomb. It counts the calls of its methods, and panics at the call with the
// number boom.
type bombs struct {
	mu    sync.Mutex
	calls int
	boom  int
	where string // the method that panicked
}

func (b *bombs) call(method string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calls++; b.calls == b.boom {
		b.where = method
		var nothing *bomb
		_ = nothing.Path // as a real bug would
	}
}

func (b *bombs) query(s *bomb) wire.Query { return wire.Query{Verb: wire.AskFile, Arg: s.Path} }

func (b *bombs) Keys(_ engine.Target, want *bomb) (provides, needs []engine.Key) {
	b.call("Keys")
	return []engine.Key{engine.PathKey(want.Path)}, nil
}

func (b *bombs) Validate(*bomb) []engine.Problem {
	b.call("Validate")
	return nil
}

func (b *bombs) Ask(_ engine.Target, want *bomb) []wire.Query {
	b.call("Ask")
	return []wire.Query{b.query(want)}
}

func (b *bombs) Read(_ engine.Target, want *bomb, got engine.Answers) (*bomb, error) {
	b.call("Read")
	f, err := got.File(b.query(want))
	if err != nil || f.Kind == wire.Absent {
		return nil, err
	}
	return &bomb{want.Path}, nil
}

func (b *bombs) Complete(_ engine.Target, want *bomb) *bomb {
	b.call("Complete")
	full := *want
	return &full
}

func (b *bombs) Check(engine.Target, *bomb, *bomb) []engine.Problem {
	b.call("Check")
	return nil
}

func (b *bombs) Follows(engine.Target, *bomb) []engine.Key {
	b.call("Follows")
	return nil
}

func (b *bombs) Stale(_, have *bomb) *bomb {
	b.call("Stale")
	return have
}

func (b *bombs) Diff(_ engine.Target, want, have *bomb) []engine.Step {
	b.call("Diff")
	if want == nil || have != nil {
		return nil
	}
	return []engine.Step{{Summary: "write " + want.Path, Do: wire.Op{Write: &wire.WriteOp{Path: want.Path, Content: []byte("x")}},
		Undo: &wire.Op{Restore: &wire.RestoreOp{Path: want.Path}}}}
}

// fleet is simulated hosts that record their messages, and what is wanted on them.
type fleet struct {
	hosts  map[string]*play
	types  *engine.Registry
	wanted func(host string) []*engine.Resource // creates new resources for each call
	open   sync.WaitGroup
}

// Connect implements engine.Access.
func (f *fleet) Connect(_ context.Context, host string) (*engine.Session, error) {
	here, there := net.Pipe()
	f.open.Go(func() {
		f.hosts[host].serve(there, "00", "")
		_ = there.Close()
	})
	m, err := wire.Read(here)
	if err != nil {
		return nil, err
	}
	return engine.NewSession(here, m.Hello)
}

// Login implements engine.Access.
func (f *fleet) Login(string) string { return "" }

// ConfirmTimeout implements engine.Access.
func (f *fleet) ConfirmTimeout(string) time.Duration { return 0 }

// Wanted implements engine.Intent.
func (f *fleet) Wanted(host string, _ map[string]*wire.Facts) ([]*engine.Resource, error) {
	return f.wanted(host), nil
}

// LeftOut implements engine.Intent.
func (f *fleet) LeftOut(string, map[string]*wire.Facts) func(engine.Address) bool {
	return func(engine.Address) bool { return false }
}

// Select implements engine.Intent.
func (f *fleet) Select(_ engine.Target, all []*engine.Resource) []*engine.Resource { return all }

// Adjust implements engine.Intent.
func (f *fleet) Adjust(selected []*engine.Resource) []*engine.Resource { return selected }

// Replaced implements engine.Intent.
func (f *fleet) Replaced() []string { return nil }

// apply plans and applies on all hosts, in the order of their names, closes the connections and waits until the hosts have seen it.
func (f *fleet) apply(t testing.TB) (*engine.Plan, *engine.Result) {
	t.Helper()
	var hosts []engine.Host
	for _, name := range slices.Sorted(maps.Keys(f.hosts)) {
		hosts = append(hosts, engine.Host{Name: name})
	}
	all := engine.NewFleet(f, 0, engine.Ledger{Types: f.types, Configuration: "test", Version: "test"})
	plan := engine.NewPlanner(all, f, engine.Lock{Operator: "tester", Command: "apply"}, engine.Unreported).Plan(t.Context(), hosts)
	result := engine.NewApplier(plan, engine.Unreported).Apply(t.Context(), engine.ApplyOptions{})
	plan.Close()
	f.open.Wait() // every connection has ended, and with it every lock would
	return plan, result
}

// TestFault02PanickingType: a resource type panics in every method, at every call during an apply.
// That host fails and is not committed. The other host is finished.
func TestFault02PanickingType(t *testing.T) {
	t.Parallel()
	attempt := func(boom int) (*bombs, map[string]*play, *engine.Result) {
		types, b := resources.All(), &bombs{boom: boom}
		engine.Register(types, "bomb", b)
		another := func(h *wire.Hello) { h.Facts.MachineID = strings.Repeat("e", 32) }
		hosts := map[string]*play{"bad": {}, "good": {hello: another}}
		f := &fleet{hosts: hosts, types: types, wanted: func(host string) []*engine.Resource {
			content := "x\n"
			list := []*engine.Resource{{Address: engine.Address{Host: host, Type: "file", Name: "f"}, Kind: types.Kind("file"), State: &resources.File{Path: "/etc/f", Content: &content}}}
			if host == "bad" {
				list = append(list, &engine.Resource{Address: engine.Address{Host: host, Type: "bomb", Name: "b"}, Kind: types.Kind("bomb"), State: &bomb{Path: "/etc/b"}})
			}
			return list
		}}
		_, result := f.apply(t)
		return b, hosts, result
	}
	b, hosts, result := attempt(0)
	if result.Failed() || !hosts["bad"].said("commit") {
		t.Fatalf("without a panic it fails: %+v", result.Hosts[0])
	}
	calls, methods := b.calls, map[string]bool{}
	if calls < 10 {
		t.Fatalf("%d calls, which is no apply", calls)
	}
	for boom := 1; boom <= calls; boom++ {
		b, hosts, result := attempt(boom)
		if b.where == "" {
			t.Fatalf("call %d of %d did not happen", boom, calls)
		}
		methods[b.where] = true
		bad, good := result.Hosts[0], result.Hosts[1]
		switch {
		case bad.Err == nil || !strings.Contains(bad.Err.Error(), "bug in mirrorform"):
			t.Errorf("call %d, of %s: the host that it happened on has the error %v", boom, b.where, bad.Err)
		case hosts["bad"].said("commit"):
			t.Errorf("call %d, of %s: the host was committed all the same", boom, b.where)
		case hosts["bad"].said("do") && !hosts["bad"].said("rollback"):
			t.Errorf("call %d, of %s: what was done was not taken back", boom, b.where)
		case good.Err != nil || !hosts["good"].said("commit"):
			t.Errorf("call %d, of %s: the other host is not done: %v", boom, b.where, good.Err)
		}
	}
	record(t, 2, "panic in a resource type, at every call", calls, "that host rolled back, the other host finished ("+strings.Join(slices.Sorted(maps.Keys(methods)), ", ")+")")
}
