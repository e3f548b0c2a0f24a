// Package syncs is what a host tells of the syncs of its mirrors: which jobs it has, what to ask
// about them, and what the answers mean. It is pure, as resource types are.
package syncs

import (
	"path"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/resources"
)

// Job is a tree that a host syncs, by the resources that its mirror block expands to.
type Job struct {
	Host     string
	Mirror   string // almalinux, or almalinux-kitten
	Script   string // path of the program that cron runs
	Lock     string // path
	Dir      string
	User     string // that syncs
	Schedule string // crontab(5)
	status   string // path of the records
	output   string // path of what rsync prints
}

// Unit is the systemd unit that a sync started from afar runs in. Its name is fixed, so that there
// is never more than one.
func (j *Job) Unit() string { return path.Base(j.Script) + ".service" }

// Label names the job in what is printed.
func (j *Job) Label() string { return j.Host + " " + j.Mirror }

// Jobs finds the jobs among a host's resources.
func Jobs(host string, list []*engine.Resource) []*Job {
	byAddress := map[engine.Address]any{}
	for _, r := range list {
		if a, ok := engine.ParseAddress(r.Address); ok && !r.Remove {
			byAddress[a] = r.State
		}
	}
	var jobs []*Job
	for _, r := range list {
		a, _ := engine.ParseAddress(r.Address)
		prefix, isCron := strings.CutSuffix(a.Part, "cron") // of the parts of a mirror's second job
		cron, isState := r.State.(*resources.Cron)
		if a.Type != "mirror" || !isCron || !isState || r.Remove || len(cron.Command) < 3 || len(cron.OnExit) == 0 {
			continue
		}
		part := func(name string) any {
			a.Part = name
			return byAddress[a]
		}
		name := a.Name
		if prefix == "kitten_" {
			name += "-kitten"
		}
		j := &Job{Host: host, Mirror: name, Script: cron.OnExit[0], Lock: cron.Command[2], User: cron.User, Schedule: cron.Schedule}
		if f, ok := part(prefix + "sync_status").(*resources.File); ok {
			j.status = f.Path
		}
		if f, ok := part(prefix + "sync_output").(*resources.File); ok {
			j.output = f.Path
		}
		if d, ok := part(prefix + "directory").(*resources.Directory); ok {
			j.Dir = d.Path
		} else if m, ok := part("mount").(*resources.Mount); ok {
			j.Dir = m.Path
		}
		if j.status != "" && j.output != "" && j.Dir != "" {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

func (j *Job) scriptQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: j.Script}
}
func (j *Job) recordsQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: j.status, Option: "content"}
}
func (j *Job) timeQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: path.Join(j.Dir, "TIME"), Option: "content"}
}
func (j *Job) spaceQuery() wire.Query { return wire.Query{Verb: wire.AskFilesystem, Arg: j.Dir} }
func (j *Job) unitQuery() wire.Query  { return wire.Query{Verb: wire.AskUnit, Arg: j.Unit()} }
func (j *Job) lockQuery() wire.Query {
	return wire.Query{Verb: wire.AskRun, Args: []string{"stat", "-L", "-c", "%d %i", "--", j.Lock}}
}
func (j *Job) headQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: j.output, Option: "head"}
}
func (j *Job) outputQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: j.output, Option: "tail"}
}

// Taking the lock to see whether it is held would keep cron from taking it at that moment: the
// kernel's list (proc(5)) is read in its place.
var (
	locksQuery = wire.Query{Verb: wire.AskRun, Args: []string{"grep", "-F", "FLOCK", "/proc/locks"}}
	clockQuery = wire.Query{Verb: wire.AskRun, Args: []string{"date", "+%s %z"}}
)

// Questions are what Read needs answered.
func (j *Job) Questions() []wire.Query {
	return []wire.Query{j.scriptQuery(), j.recordsQuery(), j.timeQuery(), j.spaceQuery(), j.unitQuery(), j.lockQuery(), locksQuery, clockQuery}
}

// OutputQuestions are what Read can do without: how far a sync is.
func (j *Job) OutputQuestions() []wire.Query {
	return []wire.Query{j.headQuery(), j.outputQuery()}
}
