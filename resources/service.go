package resources

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Service is a systemd unit: whether it starts at boot, whether it runs, and which files it has to have loaded.
type Service struct {
	Name    string `hcl:"name" id:"true"`   // a unit; ".service" is added to a name without a unit's suffix
	Enabled *bool  `hcl:"enabled,optional"` // whether it starts at boot
	Running *bool  `hcl:"running,optional"` // whether it runs now
	// ReloadOn and RestartOn are absolute paths of files. When one differs from what the unit last loaded, it is
	// reloaded or restarted; that holds across runs, so that a failed one is made up for. Both need Running to be true.
	ReloadOn  []string `hcl:"reload_on,optional"`
	RestartOn []string `hcl:"restart_on,optional"`

	// Loaded tells whether the unit has loaded those files as they are.
	Loaded *bool `plan:"loaded"`

	staleReload, staleRestart bool // found: the list in which a file is not loaded
	stops, disables           bool // found: whether removal reverses what was wanted
	unit                      wire.Unit
}

type serviceType struct{}

func init() { register("service", serviceType{}) }

// Complete returns want with what follows from the files that it follows.
func (serviceType) Complete(_ engine.Target, want *Service) *Service {
	full := *want
	if full.Loaded == nil && len(full.ReloadOn)+len(full.RestartOn) > 0 {
		yes := true
		full.Loaded = &yes
	}
	return &full
}

var (
	// unitName is from systemd.unit(5): a prefix of these characters, and a type as suffix.
	unitName   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9:_.\\@-]*$`)
	unitSuffix = regexp.MustCompile(`\.(service|socket|timer|target|path|mount|automount|swap|slice|scope|device)$`)
)

// unitOf is the unit's full name.
func unitOf(name string) string {
	if unitSuffix.MatchString(name) {
		return name
	}
	return name + ".service"
}

// restartRecord names the record of the files for which a unit is restarted; that of the others has the unit's own name.
func restartRecord(unit string) string { return unit + ".restart" }

func (serviceType) Keys(_ engine.Target, want *Service) (provides, needs []engine.Key) {
	for _, p := range follows(want) {
		needs = append(needs, engine.PathKey(p))
	}
	return []engine.Key{engine.UnitKey(unitOf(want.Name))}, needs
}

// follows are all files that are followed, sorted.
func follows(s *Service) []string { return sorted(s.ReloadOn, s.RestartOn) }

// sorted is every member of the lists once, in order.
func sorted(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

func (serviceType) Follows(_ engine.Target, want *Service) []engine.Key {
	var keys []engine.Key
	for _, p := range follows(want) {
		keys = append(keys, engine.PathKey(p))
	}
	return keys
}

// Reads are the files that a unit reads when it starts, as far as a name tells: its unit files, and
// where its configuration is by custom. A file that is broken and keeps the unit from starting is
// mended before.
func (serviceType) Reads(_ engine.Target, want *Service) []engine.Key {
	unit := unitOf(want.Name)
	name := strings.TrimSuffix(unit, unitSuffix.FindString(unit))
	paths := follows(want)
	units := []string{unit, name + ".service"}
	if template, _, ok := strings.Cut(name, "@"); ok {
		name = template
		units = append(units, template+"@"+unitSuffix.FindString(unit), template+"@.service")
	}
	for _, u := range units {
		for _, dir := range []string{"/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/"} {
			paths = append(paths, dir+u, dir+u+".d")
		}
	}
	for _, n := range append([]string{name}, alsoNamed[name]...) {
		paths = append(paths, "/etc/"+n, "/etc/"+n+".conf", "/etc/"+n+".d", "/etc/default/"+n, "/etc/sysconfig/"+n)
		if s, ok := strings.CutPrefix(n, "systemd-"); ok {
			paths = append(paths, "/etc/systemd/"+s+".conf", "/etc/systemd/"+s+".conf.d", "/etc/systemd/"+strings.TrimSuffix(s, "d")+".conf",
				"/etc/systemd/"+strings.TrimSuffix(s, "d")+".conf.d")
		}
	}
	var keys []engine.Key
	for _, p := range sorted(paths) {
		keys = append(keys, engine.PathKey(p))
	}
	return keys
}

// alsoNamed has, by the name of a unit, what its configuration is named after where that differs.
var alsoNamed = map[string][]string{
	"apache2": {"httpd"}, "httpd": {"apache2"}, "bind9": {"bind", "named"}, "named": {"bind"}, "chronyd": {"chrony"}, "cron": {"crontab"},
	"crond": {"cron", "crontab"}, "rsync": {"rsyncd"}, "rsyncd": {"rsync"}, "sshd": {"ssh"}, "ssh": {"sshd"}, "ntpd": {"ntp"},
	"systemd-tmpfiles-setup": {"tmpfiles"}, "systemd-sysctl": {"sysctl"}, "systemd-modules-load": {"modules-load"}, "systemd-sysusers": {"sysusers"},
	"smbd": {"samba"}, "nfs-server": {"nfs", "exports"},
}

// Stale assumes that a file of each list has changed: a restart loads what a reload would.
func (serviceType) Stale(want, have *Service) *Service {
	stale := *have
	stale.setStale(len(want.ReloadOn) > 0, len(want.RestartOn) > 0)
	return &stale
}

// setStale says in which lists a file is not loaded.
func (s *Service) setStale(reload, restart bool) {
	s.staleReload, s.staleRestart = reload, restart
	loaded := !reload && !restart
	s.Loaded = &loaded
}

func isTrue(b *bool) bool  { return b != nil && *b }
func isFalse(b *bool) bool { return b != nil && !*b }

// active reports whether a unit runs; one that failed does not, and one that is on its way to a
// state (activating, reloading, deactivating) not yet.
func active(u wire.Unit) bool { return u.ActiveState == "active" }

// stopped reports whether a unit is at rest. One that systemd starts again and again is activating
// between two starts: it neither runs nor is it stopped.
func stopped(u wire.Unit) bool {
	return u.ActiveState == "inactive" || u.ActiveState == "failed" || u.ActiveState == ""
}

// running is the found value of Service.Running, nil for a unit on its way to a state.
func running(u wire.Unit) *bool {
	yes := active(u)
	if !yes && !stopped(u) {
		return nil
	}
	return &yes
}

// enabled reports whether a unit starts at boot. One that is "indirect" is started by what its Also= names.
func enabled(u wire.Unit) bool {
	return slices.Contains([]string{"enabled", "indirect", "alias"}, u.UnitFileState)
}

func (serviceType) Validate(want *Service) []engine.Problem {
	var out []engine.Problem
	switch unit := unitOf(want.Name); {
	case want.Name == "" || !unitName.MatchString(want.Name) || len(unit) > maxName:
		out = append(out, refusal("name", fmt.Sprintf("%q cannot name a unit", want.Name), "see systemd.unit(5)"))
	case strings.HasSuffix(strings.TrimSuffix(unit, unitSuffix.FindString(unit)), "@"):
		out = append(out, refusal("name", fmt.Sprintf("%s is a template, not a unit", unit), "name an instance of it, like "+strings.Replace(unit, "@", "@NAME", 1)))
	}
	if want.Enabled == nil && want.Running == nil && len(follows(want)) == 0 {
		out = append(out, refusal("", "nothing of the service is managed", "set enabled, running, reload_on or restart_on"))
	}
	if len(follows(want)) > 0 && !isTrue(want.Running) {
		out = append(out, refusal("running", "files are followed of a service that is not said to run", "set running = true"))
	}
	for _, p := range want.ReloadOn {
		out = append(out, report("reload_on", checkPath(p))...)
		if slices.Contains(want.RestartOn, p) {
			out = append(out, refusal("reload_on", p+" is also in restart_on", "a restart loads it too: leave it out of one"))
		}
	}
	for _, p := range want.RestartOn {
		out = append(out, report("restart_on", checkPath(p))...)
	}
	return out
}

func (serviceType) queries(s *Service) (unit wire.Query, reload, restart *wire.Query) {
	name := unitOf(s.Name)
	unit = wire.Query{Verb: wire.AskUnit, Arg: name}
	if len(s.ReloadOn) > 0 {
		reload = &wire.Query{Verb: wire.AskLoaded, Arg: name, Args: sorted(s.ReloadOn)}
	}
	if len(s.RestartOn) > 0 {
		restart = &wire.Query{Verb: wire.AskLoaded, Arg: restartRecord(name), Args: sorted(s.RestartOn)}
	}
	return unit, reload, restart
}

func (st serviceType) Ask(_ engine.Target, want *Service) []wire.Query {
	unit, reload, restart := st.queries(want)
	out := []wire.Query{unit}
	for _, q := range []*wire.Query{reload, restart} {
		if q != nil {
			out = append(out, *q)
		}
	}
	return out
}

func (st serviceType) Read(_ engine.Target, want *Service, got engine.Answers) (*Service, error) {
	unit, reload, restart := st.queries(want)
	u, err := got.Unit(unit)
	if err != nil {
		return nil, err
	}
	stale := func(q *wire.Query) (bool, error) {
		if q == nil {
			return false, nil
		}
		l, err := got.Loaded(*q)
		return !l.Current, err
	}
	staleReload, err := stale(reload)
	if err != nil {
		return nil, err
	}
	staleRestart, err := stale(restart)
	if err != nil || u.LoadState == "not-found" {
		return nil, err
	}
	isEnabled := enabled(u)
	have := &Service{
		Name: want.Name, Enabled: &isEnabled, Running: running(u), ReloadOn: want.ReloadOn, RestartOn: want.RestartOn,
		// What was wanted stopped and runs was started by somebody else. What is restarted for ever
		// was not.
		stops: isTrue(want.Running) || isFalse(want.Running) && !active(u), disables: isTrue(want.Enabled), unit: u,
	}
	if reload != nil || restart != nil {
		have.setStale(staleReload, staleRestart)
	}
	return have, nil
}

func (st serviceType) Diff(t engine.Target, want, have *Service) []engine.Step {
	if want == nil {
		return st.leave(have)
	}
	want = st.Complete(t, want)
	unit := unitOf(want.Name)
	var steps []engine.Step
	if have == nil {
		// Its package comes in the same plan, and may start it before the files are in place.
		have = &Service{staleReload: len(want.ReloadOn) > 0, staleRestart: len(want.RestartOn) > 0}
	}
	switch {
	case isTrue(want.Enabled) && !isTrue(have.Enabled):
		steps = append(steps, unitStep("enable", unit, wire.UnitEnable, wire.UnitDisable))
	case isFalse(want.Enabled) && isTrue(have.Enabled):
		steps = append(steps, unitStep("disable", unit, wire.UnitDisable, wire.UnitEnable))
	}
	if isFalse(want.Running) && !stopped(have.unit) {
		return append(steps, unitStep("stop", unit, wire.UnitStop, wire.UnitRestore))
	}
	if !isTrue(want.Running) {
		return steps
	}
	loads := st.loads(want, have, unit)
	if len(loads) == 0 && !isTrue(have.Running) {
		loads = append(loads, unitStep("start", unit, wire.UnitStart, wire.UnitRestore))
	}
	return append(steps, loads...)
}

// loads are the steps after which the unit runs with the files as they are. What has to be loaded is recorded at the
// same time, so that what a failed run leaves out is found by the next.
func (serviceType) loads(want, have *Service, unit string) []engine.Step {
	if !isTrue(want.Loaded) {
		return nil
	}
	var steps []engine.Step
	add := func(verb string, action wire.UnitAction, record string, files []string) {
		if !isTrue(have.Running) && len(steps) == 0 {
			verb = "start"
		}
		s := unitStep(verb, unit, action, wire.UnitRestore)
		s.Do.Unit.Record, s.Do.Unit.Files = record, sorted(files)
		steps = append(steps, s)
	}
	if have.staleRestart {
		add("restart", wire.UnitRestart, restartRecord(unit), want.RestartOn)
	}
	if have.staleReload {
		add("reload", wire.UnitLoad, unit, want.ReloadOn)
	}
	return steps
}

// leave stops and disables a unit that is not declared any more, as far as it was wanted to run and to be enabled.
func (serviceType) leave(have *Service) []engine.Step {
	unit := unitOf(have.Name)
	var steps []engine.Step
	if have.stops && !stopped(have.unit) {
		steps = append(steps, unitStep("stop", unit, wire.UnitStop, wire.UnitRestore))
	}
	if have.disables && isTrue(have.Enabled) {
		steps = append(steps, unitStep("disable", unit, wire.UnitDisable, wire.UnitEnable))
	}
	return steps
}

// unitStep is one action that another undoes.
func unitStep(verb, unit string, do, undo wire.UnitAction) engine.Step {
	return engine.Step{
		Summary: verb + " " + unit,
		Do:      wire.Op{Unit: &wire.UnitOp{Name: unit, Action: do}},
		Undo:    &wire.Op{Unit: &wire.UnitOp{Name: unit, Action: undo}},
	}
}

func (serviceType) Check(t engine.Target, want, have *Service) []engine.Problem {
	if want == nil {
		return nil
	}
	unit := unitOf(want.Name)
	if !t.Facts.Systemd {
		return []engine.Problem{refusal("", fmt.Sprintf("%s is not run by systemd, so %s cannot be managed there", t.Name, unit), "")}
	}
	if have == nil {
		return nil
	}
	masked := have.unit.LoadState == "masked" || strings.HasPrefix(have.unit.UnitFileState, "masked")
	switch state := have.unit.UnitFileState; {
	case masked && (isTrue(want.Enabled) || isTrue(want.Running)):
		return []engine.Problem{refusal("", unit+" is masked on "+t.Name,
			"somebody forbade it to start: run \"systemctl unmask "+unit+"\" there if that is not so any more")}
	case isTrue(want.Enabled) && slices.Contains([]string{"static", "generated", "transient"}, state):
		return []engine.Problem{refusal("enabled", fmt.Sprintf("%s cannot be enabled: it is %s", unit, state),
			"it has no [Install] section, and something else starts it: leave enabled out")}
	}
	return nil
}
