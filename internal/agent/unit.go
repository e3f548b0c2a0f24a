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

// checkUnit refuses invalid unit names (systemd.unit(5)): systemctl would refuse a whole batch
// because of one, or take it as a pattern.
func checkUnit(name string) error {
	base, kind, _ := cutLast(name, ".")
	ok := base != "" && len(name) <= 255 && base[0] != '-'
	for _, r := range base {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(`:-_.\@`, r))
	}
	kinds := []string{"service", "socket", "timer", "mount", "automount", "swap", "target", "path", "slice", "scope", "device"}
	if !ok || !slices.Contains(kinds, kind) {
		return fmt.Errorf("invalid name of a systemd unit: %s", quote(name))
	}
	return nil
}

// shown is what systemctl show reports about one unit.
type shown map[string]string

// showUnits asks systemctl once about units whose names were checked. The results have the order of
// the names.
func showUnits(ctx context.Context, names []string) ([]shown, error) {
	o, err := ask(ctx, append([]string{"systemctl", "show", "--no-pager",
		"--property=Id,Names,LoadState,ActiveState,SubState,UnitFileState,CanReload,NeedDaemonReload,Type,NRestarts," +
			"RequiredBy,BoundBy,ConsistsOf,BusName", "--"}, names...)...)
	if errors.Is(err, errNotInstalled) {
		return nil, errors.New("this host has no systemd: systemctl not found")
	}
	if err != nil {
		return nil, err
	}
	units := matchUnits(parseShow(o.stdout.String()), names)
	for i, u := range units {
		if u == nil {
			return nil, fmt.Errorf("systemctl show (exit status %d) reports nothing about %s: %s",
				o.exit, names[i], lastLine(printable(o.stderr.String())))
		}
	}
	return units, nil
}

// parseShow parses blocks of NAME=value lines, separated by empty lines.
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

// matchUnits finds the block of each name. An alias is shown as the unit that it stands for,
// perhaps only once for both.
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
		LoadState: u["LoadState"], ActiveState: u["ActiveState"], UnitFileState: u["UnitFileState"],
		CanReload: u["CanReload"] == "yes" && u["LoadState"] != "not-found", // systemd can reload any mount
	}
}

// askUnits answers all unit questions with one connection to systemd, or one child process.
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
	units, err := b.unitsOf(names)
	for n, i := range asked {
		if err != nil {
			set(i, failed(err))
		} else {
			set(i, wire.Answer{Unit: units[n]})
		}
	}
}

// packageMasks is the directory in which Debian's packages note which units they masked when they
// were removed (deb-systemd-helper(1p)). Their installation unmasks these, and no others.
const packageMasks = "/var/lib/systemd/deb-systemd-helper-masked"

// unitsOf returns units whose names were checked, in the order of the names.
func (b *batch) unitsOf(names []string) ([]*wire.Unit, error) {
	units, err := unitsByBus(b.ctx, systemdSocket, names)
	if errors.Is(err, errNoBus) {
		var shown []shown
		shown, err = showUnits(b.ctx, names)
		for _, u := range shown {
			units = append(units, u.wire())
		}
	}
	for i, u := range units {
		removedWithPackage(packageMasks, names[i], u)
	}
	return units, err
}

// removedWithPackage makes a unit that its package has masked one that does not exist.
func removedWithPackage(masks, name string, u *wire.Unit) {
	if u.LoadState == "masked" && exists(masks+"/"+name) {
		u.LoadState, u.UnitFileState = "not-found", ""
	}
}

// units changes units, with systemctl(1).
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

// unitState is the state of a unit before an operation, which UnitRestore restores.
type unitState struct {
	Name    string `json:"name"`
	Running bool   `json:"running"`
	// Starting reports that it was not running yet: systemd was starting it, perhaps repeatedly.
	Starting bool     `json:"starting,omitempty"`
	Records  []record `json:"records"`
	// Ends reports that it has no process (Type=oneshot), and that nothing else stops with it. Only
	// its stop undoes what its start did, and that may depend on the files that the start has read:
	// ufw keeps its rules if it stops while its file says that it is not enabled.
	Ends bool `json:"ends,omitempty"`
}

// state returns the state of a unit.
func (u *units) state(name string) (*unitState, error) {
	if err := checkUnit(name); err != nil {
		return nil, err
	}
	shown, err := showUnits(context.Background(), []string{name})
	if err != nil {
		return nil, err
	}
	is := shown[0]
	state := is["ActiveState"]
	was := &unitState{Name: name, Running: slices.Contains([]string{"active", "activating", "reloading", "refreshing"}, state), Starting: state == "activating"}
	was.Ends = is["Type"] == "oneshot" && is["RequiredBy"]+is["BoundBy"]+is["ConsistsOf"] == ""
	for _, name := range u.records.of(name) {
		data, err := readFile(u.records.state.dir + "/loaded/" + name)
		if err != nil {
			return nil, err
		}
		was.Records = append(was.Records, record{name, strings.TrimSpace(string(data))})
	}
	return was, nil
}

// restore restores the state of a unit.
func (u *units) restore(name string, was *unitState) error {
	if was == nil {
		return fmt.Errorf("the earlier state of %s is not known: restore can only undo an operation on the unit", quote(name))
	}
	shown, err := showUnits(context.Background(), []string{name})
	if err != nil {
		return err
	}
	if shown[0]["LoadState"] != "not-found" {
		action := wire.UnitStop
		if was.Running && !programGone(name) {
			action = wire.UnitLoad
			if shown[0]["ActiveState"] == "reloading" {
				action = wire.UnitRestart // a reload would wait for that one, which may never end
				if err := u.reload(name); err != nil {
					return err
				}
			}
		}
		err := u.systemctl(&wire.UnitOp{Name: name, Action: action}, shown[0], 0)
		if err != nil && was.Starting && action == wire.UnitLoad && startsAgain(name) {
			err = nil // it failed and restarted before, too
		}
		if err != nil {
			return err
		}
	}
	return u.records.restore(name, was.Records)
}

// reload runs the program of a unit's reload. A unit that cannot load its files keeps what it has
// loaded: a restart would end it.
func (u *units) reload(name string) error {
	o, err := ask(context.Background(), "systemctl", "show", "--property=ExecReload", "--value", "--", name)
	if err != nil {
		return err
	}
	_, argv, _ := strings.Cut(o.stdout.String(), "argv[]=")
	argv, _, _ = strings.Cut(argv, " ;")
	if err := u.programs.perform(&wire.RunOp{Argv: strings.Fields(argv), Timeout: 30}); err != nil {
		return &left{name + " cannot load the restored files, either; it goes on with what it has loaded: " + withReason(err)}
	}
	return nil
}

// gone reports that a unit does not exist any more, so that it need not be stopped or disabled.
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

// programGone reports that the program of a unit does not exist any more: a package that this
// transaction installed had started the unit, and is removed again.
func programGone(name string) bool {
	o, err := ask(context.Background(), "systemctl", "show", "--property=ExecStart", "--value", "--", name)
	if err != nil {
		return false
	}
	_, program, ok := strings.Cut(o.stdout.String(), "path=")
	program, _, _ = strings.Cut(program, " ;")
	return ok && strings.HasPrefix(program, "/") && !exists(program)
}

// systemctl changes a unit, whose state is given. It watches a unit that it starts for a while.
func (u *units) systemctl(op *wire.UnitOp, is shown, watch time.Duration) error {
	starts := false
	argv := []string{"systemctl", "--no-ask-password"}
	switch op.Action {
	case wire.UnitLoad:
		if state := is["ActiveState"]; len(op.Program) > 0 && (state == "active" || state == "reloading") {
			return u.programs.perform(&wire.RunOp{Argv: op.Program, Timeout: 30})
		}
		// This reloads a running unit if it can reload, restarts it otherwise, and starts a unit that is
		// not running.
		argv, starts = append(argv, "reload-or-restart"), true
	case wire.UnitStart, wire.UnitRestart:
		argv, starts = append(argv, string(op.Action)), true
	case wire.UnitStop, wire.UnitEnable, wire.UnitDisable:
		argv = append(argv, string(op.Action))
	default:
		return fmt.Errorf("unknown action %s of a unit", quote(string(op.Action)))
	}
	if starts && strings.HasPrefix(is["SubState"], "auto-restart") {
		// start would wait for the end of the restart delay, and reload would fail.
		argv[len(argv)-1] = "restart"
	}
	// systemd does not notice the first drop-in of a unit by itself.
	ofUnit := func(file string) bool { return strings.HasPrefix(file, "/etc/systemd/system/") }
	if is["NeedDaemonReload"] == "yes" || slices.ContainsFunc(op.Files, ofUnit) {
		if err := u.programs.change("systemctl", "daemon-reload"); err != nil {
			return err
		}
	}
	if starts && is["ActiveState"] == "failed" {
		// systemd would refuse to start a unit that failed too often. If this fails, the start reports
		// it.
		_ = u.programs.change("systemctl", "reset-failed", "--", op.Name)
	}
	var watched *serviceWatch
	if starts && is["BusName"] != "" {
		reloads := op.Action == wire.UnitLoad && is["CanReload"] == "yes" && is["ActiveState"] == "active"
		watched = watchService(systemBus, is["BusName"], reloads)
		defer watched.close()
	}
	err := u.programs.change(append(argv, "--", op.Name)...)
	if err == nil {
		err = watched.settled()
	}
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

// upFor is how long to watch a unit after its start: by then, most programs have read their
// configuration and opened their ports.
const upFor = time.Second

// staysUp watches a unit after its start; before is its state before. For the types simple, exec
// and idle, a start succeeds as soon as the program runs (systemd.service(5)). If the program fails
// a moment later and systemd restarts it repeatedly, the unit has not started.
func staysUp(op *wire.UnitOp, before shown, watch time.Duration) error {
	units, err := showUnits(context.Background(), []string{op.Name})
	if err != nil {
		return err
	}
	now := units[0]
	started := before["ActiveState"] != "active" || op.Action == wire.UnitRestart ||
		op.Action == wire.UnitLoad && before["CanReload"] != "yes"
	if watch > 0 && started && now["ActiveState"] == "active" && slices.Contains([]string{"simple", "exec", "idle"}, now["Type"]) {
		time.Sleep(watch)
		if units, err = showUnits(context.Background(), []string{op.Name}); err != nil {
			return err
		}
		if later := units[0]; strings.HasPrefix(later["SubState"], "auto-restart") || later["NRestarts"] != now["NRestarts"] {
			return &failure{message: op.Name + " does not stay up after its " + string(op.Action) +
				": it keeps ending, and systemd keeps restarting it"}
		}
		now = units[0]
	}
	if now["ActiveState"] == "failed" {
		return &failure{message: op.Name + " failed right after its " + string(op.Action)}
	}
	return nil
}
