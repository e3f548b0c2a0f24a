package mirror

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/syncjob/settings"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/resources"
)

// job is the sync of one tree: a sync block with all its values settled.
type job struct {
	prefix       string // prefix of its parts' names: "" or "kitten_"
	block        string // the sync block: "sync" or "kitten.sync"
	file         string // base name of its files on the host
	dir          string // directory of the tree
	dirAttribute string
	location     string // URL path
	calendar     string // when it runs, as in crontab(5)
	delay        string // random delay of a timer, or ""
	timer        bool   // systemd runs it, not cron
	settings     settings.Settings
	lock         string // path of the lock in the command, as in the guide or the block
	lockFile     string // path of the lock without links
	log          string // "" leaves the output to cron
	mount        string // mount point that must be mounted, or ""
	password     string // of the upstream's account, or ""
	proxy        string // with its account and password, or ""
	hubs         []syncs.Hub
	hubEvery     string // interval of the first hub's syncs, or ""
	notify       Notify
	metrics      string // path for the node exporter, or ""
}

// stateDir has the records of syncs. It belongs to the account that syncs, survives reboots, and
// is in no tree, where a sync would delete it.
const stateDir = "/var/lib/mirrorform-sync"

// name returns the name of the job in its program: almalinux, or almalinux-kitten.
func (j *job) name() string { return strings.TrimPrefix(j.file, "mirrorform-") }

// state returns the path of a file of the job in stateDir.
func (j *job) state(suffix string) string { return stateDir + "/" + j.name() + suffix }

// script returns the path of the job's script.
func (j *job) script() string {
	return "/usr/local/sbin/" + strings.Replace(j.file, "mirrorform-", "mirrorform-sync-", 1)
}

// part returns the name of one of the job's parts.
func (j *job) part(name string) string { return j.prefix + name }

// attribute returns the path of one of the job's attributes.
func (j *job) attribute(name string) string { return j.block + "." + name }

// settleJobs creates the jobs from the sync blocks.
func (x *settling) settleJobs() {
	main := settled(x.spec.Sync)
	x.jobs = []*job{x.newJob(&job{
		block: "sync", file: "mirrorform-" + x.name, dir: x.spec.Storage.Path, dirAttribute: "storage.path", location: x.web.Location,
	}, main, main, x.guide.main)}
	k := x.spec.Kitten
	if k == nil {
		return
	}
	own := settled(k.Sync)
	kitten := x.newJob(&job{
		prefix: "kitten_", block: "kitten.sync", file: "mirrorform-" + x.name + "-kitten", dir: k.Path, dirAttribute: "kitten.path",
		location: cmp.Or(k.Location, beside(x.web.Location)),
	}, own, inherit(own, main), x.guide.kitten)
	x.jobs = append(x.jobs, kitten)
	first := x.jobs[0]
	if kitten.lockFile == first.lockFile {
		x.errorf("kitten.sync.lock", "use a different lock for each",
			"both syncs lock %s, so one would keep the other from running", kitten.lock)
	}
	if kitten.log != "" && kitten.log == first.log {
		x.errorf("kitten.sync.log", "use a different log for each", "both syncs write to %s", kitten.log)
	}
}

// settled returns a sync block, empty if it is missing.
func settled(s *Sync) Sync {
	if s == nil {
		return Sync{}
	}
	return *s
}

// inherit fills the attributes that Kitten's sync block does not set from the mirror's own, except
// upstream, password, metrics, lock, and the path of the log.
func inherit(kitten, main Sync) Sync {
	if len(kitten.Upstream) == 0 && len(kitten.From) == 0 {
		kitten.From = main.From
		if kitten.Module == "" && main.Module != "" {
			kitten.Module = main.Module + kittenSuffix
		}
	}
	if kitten.Every == "" && kitten.Schedule == "" {
		kitten.Every, kitten.Schedule = main.Every, main.Schedule
	}
	inheritList := func(own *[]string, from []string) {
		if *own == nil {
			*own = from
		}
	}
	inheritList(&kitten.Flags, main.Flags)
	inheritList(&kitten.Options, main.Options)
	inheritList(&kitten.Exclude, main.Exclude)
	if kitten.Bandwidth == nil {
		kitten.Bandwidth = main.Bandwidth
	}
	if kitten.Log == nil && main.Log != nil && *main.Log == "" {
		kitten.Log = main.Log
	}
	kitten.Scheduler = cmp.Or(kitten.Scheduler, main.Scheduler)
	if kitten.Proxy == "" {
		kitten.Proxy, kitten.ProxyPassword = main.Proxy, main.ProxyPassword
	}
	kitten.IOClass = cmp.Or(kitten.IOClass, main.IOClass)
	kitten.TimeLimit = cmp.Or(kitten.TimeLimit, main.TimeLimit)
	inheritFrom(&kitten.Nice, main.Nice)
	if kitten.Notify == nil && main.Notify != nil {
		notify := *main.Notify
		notify.Ping = "" // syncs of the one would hide that those of the other have stopped
		kitten.Notify = &notify
	}
	inheritFrom(&kitten.Freshness, main.Freshness)
	inheritFrom(&kitten.Safe, main.Safe)
	inheritFrom(&kitten.MaxDelete, main.MaxDelete)
	inheritFrom(&kitten.MaxDeletePercent, main.MaxDeletePercent)
	return kitten
}

func inheritFrom[T any](own **T, from *T) {
	if *own == nil {
		*own = from
	}
}

// beside returns the default URL path of Kitten: /pub/almalinux-kitten/ for /pub/almalinux/.
func beside(location string) string {
	if location == "/" {
		return "/almalinux-kitten/"
	}
	return strings.TrimSuffix(location, "/") + "-kitten/"
}

// newJob settles the values of a job from s, and checks those that its own block sets.
func (x *settling) newJob(j *job, own, s Sync, m module) *job {
	x.checkSync(j, own)
	s = x.asLeaf(s)
	flags := x.guide.rsync
	if len(s.Flags) > 0 {
		flags = s.Flags
	}
	options := slices.Concat(flags, s.Options)
	if s.Password != "" {
		options = append(options, "--password-file="+j.passwordFile())
	}
	if rate, all := s.Bandwidth[""]; all {
		options = append(options, "--bwlimit="+rate)
	}
	for _, pattern := range s.Exclude {
		options = append(options, "--exclude="+pattern)
	}
	if x.mayHoldLostFound(j.dir) {
		options = append(options, "--exclude=/lost+found")
	}
	if j.calendar = s.Schedule; s.Schedule == "" {
		j.calendar = x.spread(j, cmp.Or(s.Every, x.guide.every))
		j.delay = "5min"
	}
	j.timer = s.Scheduler == systemdScheduler
	j.lock = cmp.Or(s.Lock, m.lock)
	j.lockFile = x.lockFile(j)
	j.log = "/var/log/" + j.file + ".log"
	if s.Log != nil {
		j.log = *s.Log
	}
	x.checkLog(j)
	j.mount = x.spec.Storage.guard(j.dir)
	j.settings = settings.Settings{
		User: x.user, Directory: j.dir + "/", Upstream: m.upstream, Lock: j.lock, Log: j.log, Mount: j.mount, State: stateDir,
		Options: options,
	}
	if len(s.Upstream) > 0 {
		j.settings.Upstream, j.settings.Fallback = s.Upstream[0], s.Upstream[1:]
	}
	x.settleHubs(j, own, s)
	j.settings.Rates = rates(s.Bandwidth)
	j.settings.Around, j.settings.TimeLimit = around(s), s.TimeLimit
	x.checkPassword(j, s)
	j.password = s.Password
	j.settleProxy(s)
	x.settleNotify(j, s)
	x.limits(j, s)
	return j
}

// SafetyOptions returns options of rsync that follow the guide's: no link out of the tree is
// created, and no file gets set-user-ID or set-group-ID. --max-delete is added separately.
func SafetyOptions() []string { return []string{"--safe-links", "--chmod=ug-s"} }

// MaxDelete is the default of max_delete.
const MaxDelete = 200_000

// limits settles the limits of a sync: deletions, freshness of the upstream, and safe options.
func (x *settling) limits(j *job, s Sync) {
	number := func(name string, set *int, standard, most int) int {
		n := standard
		if set != nil {
			n = *set
		}
		if n < 1 || n > most {
			x.errorf(j.attribute(name), "", "invalid number %d: use one from 1 to %d", n, most)
		}
		return n
	}
	j.settings.MaxDelete = number("max_delete", s.MaxDelete, MaxDelete, 1_000_000_000)
	if percent := number("max_delete_percent", s.MaxDeletePercent, 50, 100); percent < 100 {
		j.settings.MaxDeletePercent = percent
	}
	j.settings.Require = x.guide.freshness
	if s.Freshness != nil {
		j.settings.Require, j.settings.Freshness = *s.Freshness, *s.Freshness
		if strings.ContainsAny(*s.Freshness, "/ ") || checkText(*s.Freshness) != nil {
			x.errorf(j.attribute("freshness"), "use the name of a file in the upstream's root, without a slash or a space",
				"invalid file name %q", *s.Freshness)
		}
	}
	switch {
	case s.Safe == nil || *s.Safe:
		j.settings.Safety = SafetyOptions()
	case x.web.Server != noServer && resources.WebServer(x.web.Server, x.host.Target).FollowsLinks:
		x.errorf(j.attribute("safe"), "remove safe, or use another web server",
			"%s serves what a link in the tree leads to, so syncs need the safe options",
			resources.WebServer(x.web.Server, x.host.Target).Name)
	case x.user == "root":
		x.errorf(j.attribute("safe"), "use a dedicated account, or remove safe",
			"syncs that run as root need the safe options")
	default:
		j.settings.MaxDelete = 0
	}
}

// checkLog checks the path of the job's log.
func (x *settling) checkLog(j *job) {
	attribute := j.attribute("log")
	switch {
	case j.log == "":
	case !safePath.MatchString(j.log) || path.Clean(j.log) != j.log:
		x.errorf(attribute, "use an absolute path of letters, digits and . _ + - @", "invalid path %q for a log", j.log)
	case x.inTree(j, j.log):
		x.errorf(attribute, "a sync would delete it, and the web server would serve it: use a file in /var/log",
			"%s is in the mirrored tree", j.log)
	}
}

// checkSync checks the attributes that become arguments of rsync.
func (x *settling) checkSync(j *job, s Sync) {
	x.report(j.attribute("flags"), checkOptions(s.Flags))
	x.report(j.attribute("options"), checkOptions(s.Options))
	for _, pattern := range s.Exclude {
		x.report(j.attribute("exclude"), checkPattern(pattern))
	}
	for _, u := range s.Upstream {
		x.report(j.attribute("upstream"), checkUpstream(u))
	}
	x.checkBandwidth(j, s)
	x.checkAround(j, s)
	x.checkNotify(j, s)
	if s.Scheduler != "" && s.Scheduler != cronScheduler && s.Scheduler != systemdScheduler {
		x.choice(j.attribute("scheduler"), s.Scheduler, cronScheduler, systemdScheduler)
	}
}

// intervals are the values of every. Each divides the hour or the day, so that syncs are evenly
// spaced, and is one line of a crontab.
var intervals = []string{"10m", "12m", "15m", "20m", "30m", "1h", "2h", "3h", "4h", "6h", "8h", "12h", "24h"}

// spread returns the crontab schedule of an interval. Its minute, and the hour of a daily sync,
// come from a digest of the names of host and mirror: they are stable, but differ between hosts,
// so that a fleet does not sync all at once.
func (x *settling) spread(j *job, every string) string {
	if !slices.Contains(intervals, every) {
		x.errorf(j.attribute("every"), "use one of "+strings.Join(intervals, ", ")+", or set schedule",
			"invalid interval %q", every)
		return "0 0 * * *"
	}
	sum := sha256.Sum256([]byte(x.host.Target.Name + "\x00" + x.name + "\x00" + j.prefix))
	n := binary.BigEndian.Uint64(sum[:])
	minute, hour := n%60, n/60%24
	if step, ok := strings.CutSuffix(every, "m"); ok {
		n, _ := strconv.ParseUint(step, 10, 8)
		return fmt.Sprintf("%d-59/%d * * * *", minute%n, n)
	}
	switch every {
	case "1h":
		return fmt.Sprintf("%d * * * *", minute)
	case "24h":
		return fmt.Sprintf("%d %d * * *", minute, hour)
	}
	return fmt.Sprintf("%d */%s * * *", minute, strings.TrimSuffix(every, "h"))
}

// lockFile returns the path of the job's lock without links: on hosts, /var/run and /var/lock are
// links.
func (x *settling) lockFile(j *job) string {
	lock := j.lock
	for from, to := range map[string]string{"/var/run": "/run", "/var/lock": "/run/lock"} {
		if plain(lock) && lock != from && engine.PathWithin(lock, from) {
			lock = to + strings.TrimPrefix(lock, from)
		}
	}
	attribute, family := j.attribute("lock"), x.host.Target.Facts.OS.Family
	switch {
	case !safePath.MatchString(lock) || path.Clean(lock) != lock:
		x.errorf(attribute, "use an absolute path of letters, digits and . _ + - @", "invalid path %q for a lock", lock)
	case slices.ContainsFunc([]string{"/tmp", "/var/tmp", "/dev"}, func(dir string) bool { return engine.PathWithin(lock, dir) }):
		x.errorf(attribute, "use a file in /run", "every user of the host can lock a file in %s", path.Dir(lock))
	case engine.PathWithin(lock, "/run/lock") && family != "" && family != "el":
		x.errorf(attribute, "use a file in /run",
			"every user of the host can create a file in /run/lock, and so hold this lock")
	case x.inTree(j, lock):
		x.errorf(attribute, "a sync would delete it: use a file in /run", "%s is in the mirrored tree", lock)
	}
	return lock
}
