package agent

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
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
		return errors.New(quote(name) + " is no name of a systemd unit")
	}
	return nil
}

// shown is what systemctl show says of one unit.
type shown map[string]string

// showUnits asks systemctl once about units whose names were checked. The answers stand in the order of the names.
func showUnits(stop until, names []string) ([]shown, error) {
	o, err := ask(stop, append([]string{"systemctl", "show", "--no-pager",
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
			return nil, errors.New("systemctl show (exit status " + strconv.Itoa(o.exit) + ") tells nothing of " + names[i] + ": " + lastLine(printable(o.stderr.String())))
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
	units, err := showUnits(b.stop, names)
	for n, i := range asked {
		if err != nil {
			set(i, failed(err))
		} else {
			set(i, wire.Answer{Unit: units[n].wire()})
		}
	}
}

// unit performs a UnitOp.
func (h *host) unit(op *wire.UnitOp) error {
	if op.Action == wire.UnitDaemonReload {
		return h.programs.change("systemctl", "daemon-reload")
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
	units, err := showUnits(forever, []string{op.Name})
	if err != nil {
		return err
	}
	if err := h.systemctl(op, units[0], upFor); err != nil {
		return err
	}
	if op.Action == wire.UnitStop {
		h.forgetLoaded(op.Name)
	}
	if op.Record != "" {
		return h.recordLoaded(op.Record, record)
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

// record is what a unit has loaded, as it is kept in the state directory.
type record struct {
	Name string `json:"name"`
	Sum  string `json:"sum"`
}

// unitState finds how a unit is.
func (h *host) unitState(name string) (*unitState, error) {
	if err := checkUnit(name); err != nil {
		return nil, err
	}
	units, err := showUnits(forever, []string{name})
	if err != nil {
		return nil, err
	}
	state := units[0]["ActiveState"]
	u := &unitState{Name: name, Running: slices.Contains([]string{"active", "activating", "reloading", "refreshing"}, state), Starting: state == "activating"}
	for _, name := range h.recordsOf(name) {
		data, err := readFile(h.state.dir + "/loaded/" + name)
		if err != nil {
			return nil, err
		}
		u.Records = append(u.Records, record{name, strings.TrimSpace(string(data))})
	}
	return u, nil
}

// restoreUnit brings a unit back to how it was.
func (h *host) restoreUnit(name string, was *unitState) error {
	if was == nil {
		return errors.New("how " + quote(name) + " was before is not known: restore only undoes an operation on it")
	}
	units, err := showUnits(forever, []string{name})
	if err != nil {
		return err
	}
	if units[0]["LoadState"] != "not-found" {
		action := wire.UnitStop
		if was.Running && !programGone(name) {
			action = wire.UnitLoad
		}
		err := h.systemctl(&wire.UnitOp{Name: name, Action: action}, units[0], 0)
		if err != nil && was.Starting && action == wire.UnitLoad && startsAgain(name) {
			err = nil // it is as it was
		}
		if err != nil {
			return err
		}
	}
	return h.restoreRecords(name, was.Records)
}

// startsAgain reports whether systemd is about to start a unit that has just failed.
func startsAgain(name string) bool {
	units, err := showUnits(forever, []string{name})
	return err == nil && units[0]["ActiveState"] == "activating"
}

// programGone tells that what a unit starts is not there any more: a package that this transaction
// installed had started it, and was removed since.
func programGone(name string) bool {
	o, err := ask(forever, "systemctl", "show", "--property=ExecStart", "--value", "--", name)
	if err != nil {
		return false
	}
	_, program, ok := strings.Cut(o.stdout.String(), "path=")
	program, _, _ = strings.Cut(program, " ;")
	return ok && strings.HasPrefix(program, "/") && !exists(program)
}

// restoreRecords puts back what a unit had loaded.
func (h *host) restoreRecords(name string, records []record) error {
	for _, now := range h.recordsOf(name) {
		if !slices.ContainsFunc(records, func(r record) bool { return r.Name == now }) {
			if err := unlink(unix.AT_FDCWD, h.state.dir+"/loaded/"+now); err != nil && !absent(err) {
				return because("remove the record "+now, err)
			}
		}
	}
	for _, r := range records {
		if err := h.recordLoaded(r.Name, r.Sum); err != nil {
			return err
		}
	}
	return nil
}

// systemctl acts on a unit that is as in u. One that it starts is watched for a while.
func (h *host) systemctl(op *wire.UnitOp, u shown, watch time.Duration) error {
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
		return errors.New("unknown action " + quote(string(op.Action)) + " of a unit")
	}
	if starts && strings.HasPrefix(u["SubState"], "auto-restart") {
		// A start would wait until the pause before the next one is over, and a reload fails.
		argv[len(argv)-1] = "restart"
	}
	if u["NeedDaemonReload"] == "yes" {
		if err := h.programs.change("systemctl", "daemon-reload"); err != nil {
			return err
		}
	}
	if starts && u["ActiveState"] == "failed" {
		// A unit that failed too often would not be started again for a while. Failing here is told by the start.
		_ = h.programs.change("systemctl", "reset-failed", "--", op.Name)
	}
	err := h.programs.change(append(argv, "--", op.Name)...)
	if err == nil && starts {
		err = staysUp(op, u, watch)
	}
	if f := (*failure)(nil); errors.As(err, &f) {
		o, err := run(forever, command{
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
	units, err := showUnits(forever, []string{op.Name})
	if err != nil {
		return err
	}
	now := units[0]
	started := before["ActiveState"] != "active" || op.Action == wire.UnitRestart || op.Action == wire.UnitLoad && before["CanReload"] != "yes"
	if watch > 0 && started && now["ActiveState"] == "active" && slices.Contains([]string{"simple", "exec", "idle"}, now["Type"]) {
		time.Sleep(watch)
		if units, err = showUnits(forever, []string{op.Name}); err != nil {
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

// loadedFile is where the record of a name is kept.
func (h *host) loadedFile(name string) (string, error) {
	for _, r := range name {
		if r <= ' ' || r == '/' || r == 0x7f {
			return "", errors.New(quote(name) + " is no name of a record")
		}
	}
	if name == "" || name[0] == '.' || len(name) > 200 {
		return "", errors.New(quote(name) + " is no name of a record")
	}
	return h.state.dir + "/loaded/" + name, nil
}

// loadedDigest is a digest of files' paths and contents, whatever the order of the paths. A link counts as what it leads to.
func loadedDigest(files []string) (string, error) {
	files = append([]string(nil), files...)
	slices.Sort(files)
	var b strings.Builder
	for _, p := range files {
		if p == "" || p[0] != '/' {
			return "", notAbsolute(p)
		}
		sum, err := contentDigest(p, true)
		if err != nil {
			return "", because(p, err)
		}
		b.WriteString(p + "\x00" + sum + "\x00")
	}
	return digestOf(b.String()), nil
}

// contentDigest is a digest of a file, or of the names and contents of the files in a directory.
func contentDigest(p string, enter bool) (string, error) {
	w, err := walk(p, nil)
	if absent(err) {
		return "absent", nil
	}
	if err != nil {
		return "", err
	}
	defer w.close()
	kind := w.kind()
	if kind != unix.S_IFREG && (kind != unix.S_IFDIR || !enter) {
		return octal(kind), nil
	}
	fd, err := w.reopen(unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer closeFD(fd)
	if kind == unix.S_IFREG {
		sum, _, err := digest(fd, nil)
		return sum, err
	}
	names, err := list(fd, 0)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range names {
		if strings.HasPrefix(name, tempPrefix) {
			continue // an original, until the commit
		}
		sum, err := contentDigest(p+"/"+name, false)
		if err != nil {
			return "", err
		}
		b.WriteString(name + "\x00" + sum + "\x00")
	}
	return digestOf(b.String()), nil
}

// askLoaded answers AskLoaded.
func (h *host) askLoaded(q wire.Query) wire.Answer {
	file, err := h.loadedFile(q.Arg)
	if err != nil {
		return failed(err)
	}
	record, err := readFile(file)
	if absent(err) {
		return wire.Answer{Loaded: &wire.Loaded{}}
	}
	if err != nil {
		return failed(err)
	}
	now, err := loadedDigest(q.Args)
	if err != nil {
		return failed(err)
	}
	return wire.Answer{Loaded: &wire.Loaded{Recorded: true, Current: now == strings.TrimSpace(string(record))}}
}

// recordsOf names the records of a unit: NAME, and NAME.SOMETHING.
func (h *host) recordsOf(unit string) (names []string) {
	all, _ := listDir(h.state.dir + "/loaded") // absent where nothing was recorded yet
	for _, name := range all {
		if name == unit || strings.HasPrefix(name, unit+".") {
			names = append(names, name)
		}
	}
	return names
}

// forgetLoaded removes the records of a unit. What is stopped has nothing loaded.
func (h *host) forgetLoaded(unit string) {
	for _, name := range h.recordsOf(unit) {
		_ = unlink(unix.AT_FDCWD, h.state.dir+"/loaded/"+name)
	}
}

// recordLoaded notes what a unit has loaded.
func (h *host) recordLoaded(name, sum string) error {
	file, err := h.loadedFile(name)
	if err != nil {
		return err
	}
	if err := h.state.make("loaded"); err != nil {
		return err
	}
	return h.files.replaceFile(file, []byte(sum+"\n"), 0o600)
}
