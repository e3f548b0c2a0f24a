package mirror

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/syncjob/settings"
)

// job is one tree that is synced: a sync block with all its values settled.
type job struct {
	prefix       string // of its parts' names: "" or "kitten_"
	block        string // the sync block: "sync" or "kitten.sync"
	file         string // what its files on the host are named after
	dir          string // where the tree is
	dirAttribute string
	location     string // URL path
	schedule     string
	settings     settings.Settings // but for the account and what jobs have in common
	lock         string            // as in the guide or the block: what the command says
	lockFile     string            // where that is on the host
	log          string            // "" leaves the output to cron
	mount        string            // what must be mounted on it, or ""
}

// stateDir is where jobs record how their syncs went. It belongs to the account that syncs, outlives reboots, and lies in no tree.
const stateDir = "/var/lib/mirrorform-sync"

// name is what the job's program knows it by: almalinux, or almalinux-kitten.
func (j *job) name() string { return strings.TrimPrefix(j.file, "mirrorform-") }

// state is the path of a file in stateDir that is the job's own.
func (j *job) state(suffix string) string { return stateDir + "/" + j.name() + suffix }

// script is the path of the job's script.
func (j *job) script() string {
	return "/usr/local/sbin/" + strings.Replace(j.file, "mirrorform-", "mirrorform-sync-", 1)
}

// part is the name of one of the job's parts.
func (j *job) part(name string) string { return j.prefix + name }

// attribute is the path of one of the job's attributes.
func (j *job) attribute(name string) string { return j.block + "." + name }

// settleJobs makes the jobs out of the sync blocks.
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
		x.errorf("kitten.sync.lock", "give each its own lock", "both syncs lock %s, so that one would keep the other from running", kitten.lock)
	}
	if kitten.log != "" && kitten.log == first.log {
		x.errorf("kitten.sync.log", "give each its own log", "both syncs write %s", kitten.log)
	}
}

// settled is a sync block, also where there is none.
func settled(s *Sync) Sync {
	if s == nil {
		return Sync{}
	}
	return *s
}

// inherit fills what Kitten's block leaves unset from the mirror's own. Its upstream, its lock and its log's path stay apart.
func inherit(kitten, main Sync) Sync {
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
	kitten.Bandwidth = cmp.Or(kitten.Bandwidth, main.Bandwidth)
	if kitten.Log == nil && main.Log != nil && *main.Log == "" {
		kitten.Log = main.Log
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

// beside is the URL path of Kitten's tree next to that of the mirror: /pub/almalinux/ gives /pub/almalinux-kitten/.
func beside(location string) string {
	if location == "/" {
		return "/almalinux-kitten/"
	}
	return strings.TrimSuffix(location, "/") + "-kitten/"
}

// newJob settles the values of a job, s, and checks those that its own block sets.
func (x *settling) newJob(j *job, own, s Sync, m module) *job {
	x.checkSync(j, own)
	flags := x.guide.rsync
	if len(s.Flags) > 0 {
		flags = s.Flags
	}
	options := slices.Concat(flags, s.Options)
	if s.Bandwidth != "" {
		options = append(options, "--bwlimit="+s.Bandwidth)
	}
	for _, pattern := range s.Exclude {
		options = append(options, "--exclude="+pattern)
	}
	if x.mayHoldLostFound(j.dir) {
		options = append(options, "--exclude=/lost+found")
	}
	j.schedule = s.Schedule
	if s.Schedule == "" {
		j.schedule = x.spread(j, cmp.Or(s.Every, x.guide.every))
	}
	j.lock = cmp.Or(s.Lock, m.lock)
	j.lockFile = x.lockFile(j)
	j.log = "/var/log/" + j.file + ".log"
	if s.Log != nil {
		j.log = *s.Log
	}
	x.checkLog(j)
	j.mount = x.spec.Storage.guard(j.dir)
	j.settings = settings.Settings{
		User: x.user, Directory: j.dir + "/", Upstream: cmp.Or(s.Upstream, m.upstream), Lock: j.lock, Log: j.log, Mount: j.mount, State: stateDir,
		Options: options,
	}
	x.limits(j, s)
	return j
}

// SafetyOptions are what a sync gets after the guide's options, beside --max-delete: no link out of
// the tree is made, and no set-user-ID and set-group-ID arrives, with all other modes unchanged.
func SafetyOptions() []string { return []string{"--safe-links", "--chmod=ug-s"} }

// MaxDelete is how many files a sync may delete unless the configuration sets max_delete.
const MaxDelete = 200_000

// limits settles what keeps a sync from doing harm.
func (x *settling) limits(j *job, s Sync) {
	number := func(name string, set *int, standard, most int) int {
		n := standard
		if set != nil {
			n = *set
		}
		if n < 1 || n > most {
			x.errorf(j.attribute(name), "", "%d is not a number between 1 and %d", n, most)
		}
		return n
	}
	j.settings.MaxDelete = number("max_delete", s.MaxDelete, MaxDelete, 1_000_000_000)
	if percent := number("max_delete_percent", s.MaxDeletePercent, 50, 100); percent < 100 {
		j.settings.MaxDeletePercent = percent
	}
	j.settings.Require = "TIME"
	if s.Freshness != nil {
		j.settings.Require = *s.Freshness
		if strings.ContainsAny(*s.Freshness, "/ ") || checkText(*s.Freshness) != nil {
			x.errorf(j.attribute("freshness"), "name a file of the upstream's root, without a directory or a space", "%q is not a file's name", *s.Freshness)
		}
	}
	switch {
	case s.Safe == nil || *s.Safe:
		j.settings.Safety = SafetyOptions()
	case x.user == "root":
		x.errorf(j.attribute("safe"), "give the mirror an account of its own, or leave safe out", "syncs that run as root cannot do without the safe options")
	default:
		j.settings.MaxDelete = 0
	}
}

// checkLog checks where the job's log is.
func (x *settling) checkLog(j *job) {
	attribute := j.attribute("log")
	switch {
	case j.log == "":
	case !safePath.MatchString(j.log) || path.Clean(j.log) != j.log:
		x.errorf(attribute, "write an absolute path of letters, digits and . _ + - @", "%q is no path for a log", j.log)
	case x.inTree(j, j.log):
		x.errorf(attribute, "a sync would delete it, and the web server would serve it: use a file in /var/log",
			"%s lies inside the mirrored tree", j.log)
	}
}

// checkSync checks what becomes arguments of rsync.
func (x *settling) checkSync(j *job, s Sync) {
	x.report(j.attribute("flags"), checkOptions(s.Flags))
	x.report(j.attribute("options"), checkOptions(s.Options))
	for _, pattern := range s.Exclude {
		x.report(j.attribute("exclude"), checkPattern(pattern))
	}
	if s.Upstream != "" {
		x.report(j.attribute("upstream"), checkUpstream(s.Upstream))
	}
	if s.Bandwidth != "" {
		x.report(j.attribute("bandwidth"), checkBandwidth(s.Bandwidth))
	}
}

// intervals are the values of every. Each divides the day, so that the gaps between syncs are even.
var intervals = []string{"1h", "2h", "3h", "4h", "6h", "8h", "12h", "24h"}

// spread is the crontab schedule of an interval. Its minute, and the hour of a daily sync, come from a digest of the names of host and
// mirror: the same in every run, and so different among hosts that a fleet does not meet the upstream at one time.
func (x *settling) spread(j *job, every string) string {
	if !slices.Contains(intervals, every) {
		x.errorf(j.attribute("every"), "use one of "+strings.Join(intervals, ", ")+", or set schedule", "%q is no interval that divides the day", every)
		return "0 0 * * *"
	}
	sum := sha256.Sum256([]byte(x.host.Target.Name + "\x00" + x.name + "\x00" + j.prefix))
	n := binary.BigEndian.Uint64(sum[:])
	minute, hour := n%60, n/60%24
	switch every {
	case "1h":
		return fmt.Sprintf("%d * * * *", minute)
	case "24h":
		return fmt.Sprintf("%d %d * * *", minute, hour)
	}
	return fmt.Sprintf("%d */%s * * *", minute, strings.TrimSuffix(every, "h"))
}

// lockFile is where the job's lock is on a host. /var/run and /var/lock are links there.
func (x *settling) lockFile(j *job) string {
	lock := j.lock
	for from, to := range map[string]string{"/var/run": "/run", "/var/lock": "/run/lock"} {
		if plain(lock) && lock != from && Within(lock, from) {
			lock = to + strings.TrimPrefix(lock, from)
		}
	}
	attribute, family := j.attribute("lock"), x.host.Target.Facts.OS.Family
	switch {
	case !safePath.MatchString(lock) || path.Clean(lock) != lock:
		x.errorf(attribute, "write an absolute path of letters, digits and . _ + - @", "%q is no path for a lock file", lock)
	case slices.ContainsFunc([]string{"/tmp", "/var/tmp", "/dev"}, func(dir string) bool { return Within(lock, dir) }):
		x.errorf(attribute, "use a file in /run", "anyone on the host can hold a lock in %s", path.Dir(lock))
	case Within(lock, "/run/lock") && family != "" && family != "el":
		x.errorf(attribute, "use a file in /run", "anyone on the host can make a file in /run/lock, and so hold this lock")
	case x.inTree(j, lock):
		x.errorf(attribute, "a sync would delete it: use a file in /run", "%s lies inside the mirrored tree", lock)
	}
	return lock
}
