package agent

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// Undos that have a unit load its files wait for all others; those that stop one keep their place.
func TestUnitsAreUndoneLast(t *testing.T) {
	t.Parallel()
	other := &wire.Op{Run: &wire.RunOp{}}
	unit := func(action wire.UnitAction) *wire.Op {
		return &wire.Op{Unit: &wire.UnitOp{Name: "demo.service", Action: action}}
	}
	undos := []*wire.Op{other, unit(wire.UnitLoad), other, unit(wire.UnitStop), unit(wire.UnitStart), unit(wire.UnitDisable), unit(wire.UnitEnable), nil, other}
	var orders []wire.Order
	for i, undo := range undos {
		orders = append(orders, wire.Order{ID: i, Op: wire.Op{Run: &wire.RunOp{Refuse: "do"}}, Undo: undo})
	}
	var did []string
	undo := &wire.Message{Rollback: &wire.Rollback{}}
	in := &blocked{bytes.NewReader(frames(t, hello, begin, &wire.Message{Do: &wire.Do{Ops: orders}}, undo)), make(chan struct{})}
	_, err := talk(t, in, func(s *session) {
		s.perform = func(j job) error {
			if j.undo == nil {
				return nil
			}
			if did = append(did, strconv.Itoa(j.undo.ID)); len(did) == 8 {
				close(in.end)
			}
			return nil
		}
	})
	if err != nil {
		t.Error(err)
	}
	if want := []string{"8", "6", "5", "3", "2", "0", "4", "1"}; !slices.Equal(did, want) {
		t.Errorf("undone in the order %v, want %v", did, want)
	}
}

// A unit that was stopped starts before packages are removed; one that was only reloaded waits for
// that, and so does any for packages that are installed again.
func TestStoppedUnitStartsBeforePackagesGo(t *testing.T) {
	t.Parallel()
	ran := &unitState{Name: "nginx.service", Running: true}
	load := func(verb string, was *unitState) *operation {
		return &operation{begun: begun{What: verb, Verb: verb, Unit: was, Undo: &wire.Op{Unit: &wire.UnitOp{Name: was.Name, Action: wire.UnitRestore}}}}
	}
	installed := &operation{begun: begun{What: "install", Undo: &wire.Op{Package: &wire.PackageOp{Remove: []string{"apache2"}}}}}
	removed := &operation{begun: begun{What: "remove", Undo: &wire.Op{Package: &wire.PackageOp{Install: []string{"nginx"}}}}}
	file := &operation{begun: begun{What: "file", Undo: &wire.Op{Restore: &wire.RestoreOp{Path: "/x"}}}}
	other := load("load", &unitState{Name: "apache2.service"})
	for _, c := range []struct {
		ops  []*operation
		want string
	}{
		{[]*operation{installed, file, load("stop", ran), other, removed}, "remove load file stop install"},
		{[]*operation{installed, file, load("load", ran)}, "file install load"},
		{[]*operation{installed, file, other}, "load file install"},
	} {
		tx := &transaction{}
		tx.ops = c.ops
		var got []string
		for _, op := range tx.undoOrder() {
			got = append(got, op.What)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestRestoreUnitOnHost(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	h, c := onHost(t, lab.HostSpec{Name: "unitundo"})
	const name, conf, loaded = "demo.service", "/etc/demo.conf", "/run/demo.loaded"
	write := func(path, content string) {
		t.Helper()
		if err := h.Write(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) string {
		t.Helper()
		data, err := h.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	write(conf, "old")
	write("/etc/systemd/system/"+name,
		"[Service]\nExecStartPre=/bin/cp "+conf+" "+loaded+"\nExecStart=/bin/sleep infinity\nExecReload=/bin/cp "+conf+" "+loaded+"\n")
	state := func() string {
		t.Helper()
		got := c.ask(wire.Query{Verb: wire.AskUnit, Arg: name}, wire.Query{Verb: wire.AskLoaded, Arg: name, Args: []string{conf}},
			wire.Query{Verb: wire.AskLoaded, Arg: name + ".more", Args: []string{conf}})
		text := got[0].Unit.ActiveState
		for _, a := range got[1:] {
			text += " " + map[wire.Loaded]string{{}: "unrecorded", {Recorded: true}: "stale", {Recorded: true, Current: true}: "current"}[*a.Loaded]
		}
		if content := read(conf); content != "old" {
			t.Errorf("%s holds %q, want %q", conf, content, "old")
		}
		return text
	}
	unit := func(action wire.UnitAction, record string) wire.Op {
		op := &wire.UnitOp{Name: name, Action: action, Record: record}
		if record != "" {
			op.Files = []string{conf}
		}
		return wire.Op{Unit: op}
	}
	undo := unit(wire.UnitRestore, "")
	id := 0
	// attempt writes the file and acts on the unit, all of it in vain.
	attempt := func(ops ...wire.Op) {
		t.Helper()
		content := wire.Op{Write: &wire.WriteOp{Path: conf, Content: []byte("new")}}
		orders := []wire.Order{{ID: id, Op: content, Undo: &wire.Op{Restore: &wire.RestoreOp{Path: conf}}}}
		for _, op := range ops {
			orders = append(orders, wire.Order{ID: id + len(orders), Op: op, Undo: &undo})
		}
		orders = append(orders, wire.Order{ID: id + len(orders), Op: wire.Op{Run: &wire.RunOp{Argv: []string{"false"}}}})
		id += len(orders)
		events, done := c.do(orders...)
		if done.Failed == nil || *done.Failed != id-1 || slices.ContainsFunc(events, func(e wire.Event) bool { return e.State == wire.UndoFailed }) {
			t.Errorf("%+v %+v", events, done)
		}
	}
	same := func(want string) {
		t.Helper()
		if got := state(); got != want {
			t.Errorf("the unit is %q, was %q", got, want)
		}
	}
	same("inactive unrecorded unrecorded")
	attempt(unit(wire.UnitLoad, name), unit(wire.UnitRestart, name+".more"))
	same("inactive unrecorded unrecorded")

	c.must(unit(wire.UnitStart, name))
	same("active current unrecorded")
	attempt(unit(wire.UnitLoad, name), unit(wire.UnitRestart, name+".more"))
	same("active current unrecorded")
	if got := read(loaded); got != "old" {
		t.Errorf("the unit has loaded %q: it has to load what was put back", got)
	}
	attempt(unit(wire.UnitStop, ""))
	same("active current unrecorded")
	write(loaded, "")
	attempt(wire.Op{Run: &wire.RunOp{Argv: []string{"systemctl", "reload", name}}})
	if got := read(loaded); got != "old" {
		t.Errorf("after a program had the unit load the file, the undo had it load %q", got)
	}

	// A unit that is no more needs nothing; another than the operation's is refused.
	other := wire.Op{Unit: &wire.UnitOp{Name: "other.service", Action: wire.UnitRestore}}
	if _, done := c.do(wire.Order{ID: id, Op: unit(wire.UnitLoad, ""), Undo: &other}); done.Failed == nil {
		t.Error("the undo of an operation on one unit restores another")
	}
	id++
	c.refuses(undo, "can only undo")
	if _, done := c.do(wire.Order{ID: id, Op: unit(wire.UnitLoad, ""), Undo: &undo}); done.Failed != nil {
		t.Fatalf("%+v", done)
	}
	for _, argv := range [][]string{{"systemctl", "stop", name}, {"rm", "/etc/systemd/system/" + name}, {"systemctl", "daemon-reload"}} {
		if _, err := h.Run(t.Context(), argv...); err != nil {
			t.Fatal(err)
		}
	}
	if events, done := c.rollback(); done.Journal != "" || len(events) != 1 {
		t.Errorf("%+v %+v", events, done)
	}
}

// A unit that stays in its reload, as Caddy does with files that it refuses, is restarted once it
// could load the restored ones; with others it goes on running.
func TestRestoreReloadingUnitOnHost(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	h, c := onHost(t, lab.HostSpec{Name: "reloading"})
	const name, good = "stuck.service", "/etc/good"
	for path, text := range map[string]string{
		"/usr/local/bin/reload":       "#!/bin/sh\n[ -n \"$NOTIFY_SOCKET\" ] || exec test -e \"$1\"\nexec systemd-notify RELOADING=1\n",
		"/etc/systemd/system/" + name: "[Service]\nType=notify\nNotifyAccess=all\nExecStart=/bin/sh -c 'systemd-notify --ready; exec sleep infinity'\nExecReload=/usr/local/bin/reload " + good + "\n",
	} {
		if err := h.Write(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func(argv ...string) string {
		t.Helper()
		out, err := h.Run(t.Context(), argv...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	run("systemctl", "start", name)
	process := func() string { return run("systemctl", "show", "--property=ActiveState,MainPID", name) }
	before := process()
	reload := wire.Op{Run: &wire.RunOp{Argv: []string{"systemctl", "reload", name}, Timeout: 3}}
	undo := wire.Op{Unit: &wire.UnitOp{Name: name, Action: wire.UnitRestore}}
	events, done := c.do(wire.Order{ID: 1, Op: reload, Undo: &undo})
	if stuck := strings.Replace(before, "=active", "=reloading", 1); done.Failed == nil || done.Journal != "" || process() != stuck ||
		!slices.ContainsFunc(events, func(e wire.Event) bool {
			return e.State == wire.UndoFailed && strings.Contains(e.Error, "goes on with")
		}) {
		t.Errorf("%+v %+v %s", events, done, process())
	}
	run("touch", good)
	events, done = c.do(wire.Order{ID: 2, Op: reload, Undo: &undo})
	if done.Failed == nil || slices.ContainsFunc(events, func(e wire.Event) bool { return e.State == wire.UndoFailed }) {
		t.Errorf("%+v %+v", events, done)
	}
	if now := process(); now == before || !strings.Contains(now, "ActiveState=active") {
		t.Errorf("%s, was %s", now, before)
	}
}
