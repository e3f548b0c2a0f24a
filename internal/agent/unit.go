package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// checkUnit refuses what is no unit name (systemd.unit(5)); systemctl would refuse a whole batch for it, or take it as a pattern.
func checkUnit(name string) error {
	base, kind, _ := cutLast(name, ".")
	ok := base != "" && len(name) <= 255 && base[0] != '-'
	for _, r := range base {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(`:-_.\@`, r))
	}
	kinds := []string{"service", "socket", "timer", "mount", "automount", "swap", "target", "path", "slice", "scope", "device"}
	if !ok || !slices.Contains(kinds, kind) {
		return fmt.Errorf("%s is no name of a systemd unit", quote(name))
	}
	return nil
}

// shown is what systemctl show says of one unit.
type shown map[string]string

// showUnits asks systemctl once about units whose names were checked. The answers stand in the order of the names.
func showUnits(ctx context.Context, names []string) ([]shown, error) {
	o, err := ask(ctx, append([]string{"systemctl", "show", "--no-pager",
		"--property=Id,Names,LoadState,ActiveState,SubState,UnitFileState,CanReload,NeedDaemonReload,Type,NRestarts", "--"}, names...)...)
	if errors.Is(err, errNotInstalled) {
		return nil, errors.New("this host has no systemd: there is no systemctl")
	}
	if err != nil {
		return nil, err
	}
	units := matchUnits(parseShow(o.stdout.String()), names)
	for i, u := range units {
		if u == nil {
			return nil, fmt.Errorf("systemctl show (exit status %d) tells nothing of %s: %s", o.exit, names[i], lastLine(printable(o.stderr.String())))
		}
	}
	return units, nil
}

// parseShow reads blocks of NAME=value lines, parted by empty lines.
func parseShow(text string) (blocks []shown) {
	var u shown
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok {
			u = nil
			continue
		}
		if u == nil {
			u = shown{}
			blocks = append(blocks, u)
		}
		u[name] = value
	}
	return blocks
}

// matchUnits finds each name's block by its names: an alias is shown as the unit that it stands for, perhaps once for both.
func matchUnits(blocks []shown, names []string) []shown {
	found := make([]shown, len(names))
	for i, name := range names {
		is := func(u shown) bool {
			return u["Id"] == name || slices.Contains(strings.Fields(u["Names"]), name)
		}
		if len(blocks) == len(names) && is(blocks[i]) {
			found[i] = blocks[i]
		} else if j := slices.IndexFunc(blocks, is); j >= 0 {
			found[i] = blocks[j]
		} else if len(blocks) == len(names) && blocks[i]["LoadState"] == "masked" {
			found[i] = blocks[i]
		}
	}
	return found
}

func (u shown) wire() *wire.Unit {
	return &wire.Unit{
		LoadState: u["LoadState"], ActiveState: u["ActiveState"], UnitFileState: u["UnitFileState"], CanReload: u["CanReload"] == "yes",
	}
}

// askUnits answers all unit questions with one child process.
func (b *batch) askUnits(which []int, set func(int, wire.Answer)) {
	var names []string
	var asked []int
	for _, i := range which {
		if err := checkUnit(b.queries[i].Arg); err != nil {
			set(i, failed(err))
			continue
		}
		names, asked = append(names, b.queries[i].Arg), append(asked, i)
	}
	if len(names) == 0 {
		return
	}
	units, err := showUnits(b.ctx, names)
	for n, i := range asked {
		if err != nil {
			set(i, failed(err))
		} else {
			set(i, wire.Answer{Unit: units[n].wire()})
		}
	}
}

// units acts on units, with systemctl(1).
type units struct {
	programs *programs
	records  *records
}

// perform performs a UnitOp.
func (u *units) perform(op *wire.UnitOp) error {
	if op.Action == wire.UnitDaemonReload {
		return u.programs.change("systemctl", "daemon-reload")
	}
	if err := checkUnit(op.Name); err != nil {
		return err
	}
	var record string
	var err error
	if op.Record != "" {
		if record, err = loadedDigest(op.Files); err != nil {
			return err
		}
	}
	shown, err := showUnits(context.Background(), []string{op.Name})
	if err != nil {
		return err
	}
	if err := u.systemctl(op, shown[0], upFor); err != nil {
		return err
	}
	if op.Action == wire.UnitStop {
		u.records.forget(op.Name)
	}
	if op.Record != "" {
		return u.records.put(op.Record, record)
	}
	return nil
}

// unitState is how a unit was before an operation: what UnitRestore brings back.
type unitState struct {
	Name    string `json:"name"`
	Running bool   `json:"running"`
	// Starting says that it did not run yet: systemd starts it, perhaps again and again.
	Starting bool     `json:"starting,omitempty"`
	Records  []record `json:"records"`
}

// state finds how a unit is.
func (u *units) state(name string) (*unitState, error) {
	if err := checkUnit(name); err != nil {
		return nil, err
	}
	shown, err := showUnits(context.Background(), []string{name})
	if err != nil {
		return nil, err
	}
	state := shown[0]["ActiveState"]
	was := &unitState{Name: name, Running: slices.Contains([]string{"active", "activating", "reloading", "refreshing"}, state), Starting: state == "activating"}
	for _, name := range u.records.of(name) {
		data, err := readFile(u.records.state.dir + "/loaded/" + name)
		if err != nil {
			return nil, err
		}
		was.Records = append(was.Records, record{name, strings.TrimSpace(string(data))})
	}
	return was, nil
}

// restore brings a unit back to how it was.
func (u *units) restore(name string, was *unitState) error {
	if was == nil {
		return fmt.Errorf("how %s was before is not known: restore only undoes an operation on it", quote(name))
	}
	shown, err := showUnits(context.Background(), []string{name})
	if err != nil {
		return err
	}
	if shown[0]["LoadState"] != "not-found" {
		action := wire.UnitStop
		if was.Running && !programGone(name) {
			action = wire.UnitLoad
		}
		err := u.systemctl(&wire.UnitOp{Name: name, Action: action}, shown[0], 0)
		if err != nil && was.Starting && action == wire.UnitLoad && startsAgain(name) {
			err = nil // it is as it was
		}
		if err != nil {
			return err
		}
	}
	return u.records.restore(name, was.Records)
}

// gone tells that there is no such unit any more: nothing of it need be stopped or disabled.
func (u *units) gone(name string) bool {
	if checkUnit(name) != nil {
		return false
	}
	shown, err := showUnits(context.Background(), []string{name})
	return err == nil && shown[0]["LoadState"] == "not-found"
}

// startsAgain reports whether systemd is about to start a unit that has just failed.
func startsAgain(name string) bool {
	units, err := showUnits(context.Background(), []string{name})
	return err == nil && units[0]["ActiveState"] == "activating"
}

// programGone tells that what a unit starts is not there any more: a package that this transaction
// installed had started it, and was removed since.
func programGone(name string) bool {
	o, err := ask(context.Background(), "systemctl", "show", "--property=ExecStart", "--value", "--", name)
	if err != nil {
		return false
	}
	_, program, ok := strings.Cut(o.stdout.String(), "path=")
	program, _, _ = strings.Cut(program, " ;")
	return ok && strings.HasPrefix(program, "/") && !exists(program)
}

// systemctl acts on a unit that is as shown. One that it starts is watched for a while.
func (u *units) systemctl(op *wire.UnitOp, is shown, watch time.Duration) error {
	starts := false
	argv := []string{"systemctl", "--no-ask-password"}
	switch op.Action {
	case wire.UnitLoad:
		// It reloads what runs and can reload, restarts what runs and cannot, and starts what does not run.
		argv, starts = append(argv, "reload-or-restart"), true
	case wire.UnitStart, wire.UnitRestart:
		argv, starts = append(argv, string(op.Action)), true
	case wire.UnitStop, wire.UnitEnable, wire.UnitDisable:
		argv = append(argv, string(op.Action))
	default:
		return fmt.Errorf("unknown action %s of a unit", quote(string(op.Action)))
	}
	if starts && strings.HasPrefix(is["SubState"], "auto-restart") {
		// A start would wait until the pause before the next one is over, and a reload fails.
		argv[len(argv)-1] = "restart"
	}
	if is["NeedDaemonReload"] == "yes" {
		if err := u.programs.change("systemctl", "daemon-reload"); err != nil {
			return err
		}
	}
	if starts && is["ActiveState"] == "failed" {
		// A unit that failed too often would not be started again for a while. Failing here is told by the start.
		_ = u.programs.change("systemctl", "reset-failed", "--", op.Name)
	}
	err := u.programs.change(append(argv, "--", op.Name)...)
	if err == nil && starts {
		err = staysUp(op, is, watch)
	}
	if f := (*failure)(nil); errors.As(err, &f) {
		o, err := run(context.Background(), command{
			argv: []string{"systemctl", "status", "--no-pager", "--full", "--lines=15", "--", op.Name}, timeout: queryTimeout, keep: 8 << 10,
		})
		if err == nil {
			f.output = strings.TrimSpace(f.output + "\n" + o.output())
		}
	}
	return err
}

// upFor is how long a unit is watched after its start: most programs have read their configuration
// and opened their ports by then.
const upFor = time.Second

// staysUp watches a unit that was started, and was as in before. Of types simple, exec and idle a
// start succeeds with the program's first instruction (systemd.service(5)): one that fails a moment
// later, and that systemd starts again and again, has not started.
func staysUp(op *wire.UnitOp, before shown, watch time.Duration) error {
	units, err := showUnits(context.Background(), []string{op.Name})
	if err != nil {
		return err
	}
	now := units[0]
	started := before["ActiveState"] != "active" || op.Action == wire.UnitRestart || op.Action == wire.UnitLoad && before["CanReload"] != "yes"
	if watch > 0 && started && now["ActiveState"] == "active" && slices.Contains([]string{"simple", "exec", "idle"}, now["Type"]) {
		time.Sleep(watch)
		if units, err = showUnits(context.Background(), []string{op.Name}); err != nil {
			return err
		}
		if later := units[0]; strings.HasPrefix(later["SubState"], "auto-restart") || later["NRestarts"] != now["NRestarts"] {
			return &failure{message: op.Name + " does not stay up after its " + string(op.Action) + ": it ended, and systemd starts it again and again"}
		}
		now = units[0]
	}
	if now["ActiveState"] == "failed" {
		return &failure{message: op.Name + " failed right after its " + string(op.Action)}
	}
	return nil
}
