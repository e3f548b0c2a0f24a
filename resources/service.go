package resources

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Service is a systemd unit: whether it starts at boot, whether it runs, and which files it must
// have loaded.
type Service struct {
	Name    string `hcl:"name" id:"true"`   // name of the unit; default suffix: .service
	Enabled *bool  `hcl:"enabled,optional"` // whether it starts at boot
	Running *bool  `hcl:"running,optional"` // whether it runs
	// ReloadOn and RestartOn are absolute paths of files. If a file differs from what the unit last
	// loaded, the unit is reloaded or restarted, also if an earlier run failed to do so. Both need
	// Running = true.
	ReloadOn  []string `hcl:"reload_on,optional"`
	RestartOn []string `hcl:"restart_on,optional"`
	// Unless is the full name of another unit, such as a socket, that does the same. While it runs or
	// starts at boot, nothing is planned for the service.
	Unless string `hcl:"unless,optional"`

	// Loaded is whether the unit has loaded the current content of those files.
	Loaded *bool `plan:"loaded"`

	staleReload, staleRestart bool // found: a file of the list is not loaded
	stops, disables           bool // found: whether a removal stops and disables the unit
	unit                      wire.Unit
}

type serviceType struct{}

func init() { register("service", serviceType{}) }

// Complete returns want with its implied attributes.
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

// unitOf returns the full name of the unit.
func unitOf(name string) string {
	if unitSuffix.MatchString(name) {
		return name
	}
	return name + ".service"
}

// restartRecord returns the name of the helper's record for RestartOn. The record for ReloadOn has
// the name of the unit.
func restartRecord(unit string) string { return unit + ".restart" }

func (serviceType) Keys(_ engine.Target, want *Service) (provides, needs []engine.Key) {
	for _, p := range follows(want) {
		needs = append(needs, engine.PathKey(p))
	}
	return []engine.Key{engine.UnitKey(unitOf(want.Name))}, needs
}

// follows returns the files that the unit must have loaded, sorted.
func follows(s *Service) []string { return sorted(s.ReloadOn, s.RestartOn) }

// sorted returns the members of all lists, sorted and without duplicates.
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

// Reads returns the files that a unit reads when it starts, guessed from its name: its unit files,
// and the usual places of its configuration. So a plan fixes a broken file before it starts the
// unit.
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

// alsoNamed has other names of a unit's configuration, by the name of the unit.
var alsoNamed = map[string][]string{
	"apache2": {"httpd"}, "httpd": {"apache2"}, "bind9": {"bind", "named"}, "named": {"bind"}, "chronyd": {"chrony"}, "cron": {"crontab"},
	"crond": {"cron", "crontab"}, "rsync": {"rsyncd"}, "rsyncd": {"rsync"}, "sshd": {"ssh"}, "ssh": {"sshd"}, "ntpd": {"ntp"},
	"systemd-tmpfiles-setup": {"tmpfiles"}, "systemd-sysctl": {"sysctl"}, "systemd-modules-load": {"modules-load"}, "systemd-sysusers": {"sysusers"},
	"smbd": {"samba"}, "nfs-server": {"nfs", "exports"},
}

// Stale assumes that a file in each list has changed.
func (serviceType) Stale(want, have *Service) *Service {
	stale := *have
	stale.setStale(len(want.ReloadOn) > 0, len(want.RestartOn) > 0)
	return &stale
}

// setStale sets which lists have a file that is not loaded.
func (s *Service) setStale(reload, restart bool) {
	s.staleReload, s.staleRestart = reload, restart
	loaded := !reload && !restart
	s.Loaded = &loaded
}

func isTrue(b *bool) bool  { return b != nil && *b }
func isFalse(b *bool) bool { return b != nil && !*b }

// active reports whether a unit runs. A failed unit does not, nor does one that changes its state
// (activating, reloading, deactivating).
func active(u wire.Unit) bool { return u.ActiveState == "active" }

// stopped reports whether a unit is stopped. A unit that systemd restarts again and again is
// "activating" between two starts: it neither runs nor is it stopped.
func stopped(u wire.Unit) bool {
	return u.ActiveState == "inactive" || u.ActiveState == "failed" || u.ActiveState == ""
}

// running returns the found value of Service.Running. It is nil while the unit changes its state.
func running(u wire.Unit) *bool {
	yes := active(u)
	if !yes && !stopped(u) {
		return nil
	}
	return &yes
}

// enabled reports whether a unit starts at boot. An "indirect" unit does by the units of its Also=.
func enabled(u wire.Unit) bool {
	return slices.Contains([]string{"enabled", "indirect", "alias"}, u.UnitFileState)
}

func (serviceType) Validate(want *Service) []engine.Problem {
	var out []engine.Problem
	switch unit := unitOf(want.Name); {
	case want.Name == "" || !unitName.MatchString(want.Name) || len(unit) > maxName:
		out = append(out, refusal("name", fmt.Sprintf("invalid unit name %q", want.Name), "see systemd.unit(5)"))
	case strings.HasSuffix(strings.TrimSuffix(unit, unitSuffix.FindString(unit)), "@"):
		out = append(out, refusal("name", fmt.Sprintf("%s is a template, not a unit", unit),
			"use an instance of it, such as "+strings.Replace(unit, "@", "@NAME", 1)))
	}
	if u := want.Unless; u != "" && (!unitName.MatchString(u) || !unitSuffix.MatchString(u) || len(u) > maxName) {
		out = append(out, refusal("unless", fmt.Sprintf("invalid unit name %q", u), "use a full name, such as rsyncd.socket"))
	}
	if want.Enabled == nil && want.Running == nil && len(follows(want)) == 0 {
		out = append(out, refusal("", "the service has nothing to manage", "set enabled, running, reload_on or restart_on"))
	}
	if len(follows(want)) > 0 && !isTrue(want.Running) {
		out = append(out, refusal("running", "reload_on and restart_on need running = true", "set running = true"))
	}
	for _, p := range want.ReloadOn {
		out = append(out, report("reload_on", checkPath(p))...)
		if slices.Contains(want.RestartOn, p) {
			out = append(out, refusal("reload_on", p+" is in both reload_on and restart_on", "remove it from one of them"))
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

// unitPrograms has the program of units that stay when their package is removed: nginx.service of
// Debian's nginx-common, and caddy.service, which the scripts of Debian's package mask.
var unitPrograms = map[string]string{"nginx.service": "/usr/sbin/nginx", "caddy.service": "/usr/bin/caddy"}

// remainsQueries ask whether a unit is only what a removed package has left: its program is
// missing, and the unit is not one of the operator's.
func remainsQueries(unit string) []wire.Query {
	program := unitPrograms[unit]
	if program == "" {
		return nil
	}
	return []wire.Query{{Verb: wire.AskFile, Arg: program, Option: "stat"},
		{Verb: wire.AskFile, Arg: "/etc/systemd/system/" + unit, Option: "stat"}}
}

// remains reports whether a unit is only what a removed package has left. If that is not known, it
// is not.
func remains(name string, u wire.Unit, got engine.Answers) bool {
	queries := remainsQueries(name)
	if len(queries) == 0 || !stopped(u) {
		return false
	}
	program, err := got.File(queries[0])
	own, err1 := got.File(queries[1])
	return err == nil && err1 == nil && program.Kind == wire.Absent && (own.Kind == wire.Absent || u.LoadState == "masked")
}

// Applies implements engine.Conditional.
func (serviceType) Applies(_ engine.Target, want *Service, got engine.Answers) bool {
	if want.Unless == "" {
		return true
	}
	u, err := got.Unit(unitQueryOf(want.Unless))
	return err != nil || stopped(u) && !enabled(u)
}

func (st serviceType) Ask(_ engine.Target, want *Service) []wire.Query {
	unit, reload, restart := st.queries(want)
	out := append([]wire.Query{unit}, remainsQueries(unit.Arg)...)
	if want.Unless != "" {
		out = append(out, unitQueryOf(want.Unless))
	}
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
	if want.Unless != "" {
		if _, err := got.Unit(unitQueryOf(want.Unless)); err != nil {
			return nil, err
		}
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
	if err != nil || u.LoadState == "not-found" || remains(unit.Arg, u, got) {
		return nil, err
	}
	isEnabled := enabled(u)
	have := &Service{
		Name: want.Name, Enabled: &isEnabled, Running: running(u), ReloadOn: want.ReloadOn, RestartOn: want.RestartOn,
		Unless: want.Unless,
		// If the unit was wanted stopped and is active, another program has started it: it stays. If it
		// restarts again and again, it is stopped.
		stops: isTrue(want.Running) || isFalse(want.Running) && !active(u), disables: isTrue(want.Enabled), unit: u,
	}
	if reload != nil || restart != nil {
		have.setStale(staleReload, staleRestart)
	}
	return have, nil
}

func (st serviceType) Diff(t engine.Target, want, have *Service) []engine.Step {
	if want == nil {
		return st.remove(have)
	}
	want = st.Complete(t, want)
	unit := unitOf(want.Name)
	var steps []engine.Step
	if have == nil {
		// The same plan installs its package, which may start it before the files are written.
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
	if unit == caddyFacts.Unit && have.unit.ActiveState == "reloading" {
		if len(loads) == 0 {
			loads = append(loads, caddyLoad())
		}
		return append(append(steps, loads...), caddyRestart())
	}
	if len(loads) == 0 && !isTrue(have.Running) {
		loads = append(loads, unitStep("start", unit, wire.UnitStart, wire.UnitRestore))
	}
	return append(steps, loads...)
}

// loads returns the steps that make the unit load the current files. Each step records what the
// unit loads: if it fails, the next plan finds the difference.
func (serviceType) loads(want, have *Service, unit string) []engine.Step {
	if !isTrue(want.Loaded) {
		return nil
	}
	var steps []engine.Step
	add := func(verb string, action wire.UnitAction, record string, files []string) {
		if !isTrue(have.Running) && have.unit.ActiveState != "reloading" && len(steps) == 0 {
			verb = "start"
		}
		s := unitStep(verb, unit, action, wire.UnitRestore)
		if unit == caddyFacts.Unit && action == wire.UnitLoad {
			s.Do = caddyLoad().Do // it does not count for a stopped unit
		}
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

// remove stops and disables a unit that is no longer declared, if it was wanted running and
// enabled.
func (serviceType) remove(have *Service) []engine.Step {
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

// unitStep returns a step with an action of systemctl and the one that undoes it.
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
		return []engine.Problem{refusal("", fmt.Sprintf("%s cannot be managed: %s does not run systemd", unit, t.Name),
			"")}
	}
	if have == nil {
		return nil
	}
	masked := have.unit.LoadState == "masked" || strings.HasPrefix(have.unit.UnitFileState, "masked")
	switch state := have.unit.UnitFileState; {
	case masked && (isTrue(want.Enabled) || isTrue(want.Running)):
		return []engine.Problem{refusal("", unit+" is masked on "+t.Name,
			"a masked unit cannot start; to unmask it, run on the host: systemctl unmask "+unit)}
	case isTrue(want.Enabled) && slices.Contains([]string{"static", "generated", "transient"}, state):
		return []engine.Problem{refusal("enabled", fmt.Sprintf("%s cannot be enabled: it is %s", unit, state),
			"the unit has no [Install] section, and other units start it: remove enabled")}
	}
	return nil
}
