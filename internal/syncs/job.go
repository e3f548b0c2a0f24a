// Package syncs is what a host tells of the syncs of its mirrors: which jobs it has, what to ask
// about them, and what the answers mean. It is pure, as resource types are.
package syncs

import (
	"path"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Job is a tree that a host syncs. A mirror block's expansion makes it, as the data of the resource
// that schedules the syncs.
type Job struct {
	Host     string // as Jobs sets it
	Mirror   string // almalinux, or almalinux-kitten
	Script   string // path of the program that cron runs
	Lock     string // path
	Dir      string
	User     string // that syncs
	Schedule string // crontab(5)
	Status   string // path of the records
	Output   string // path of what rsync prints
}

// Unit is the systemd unit that a sync started from afar runs in. Its name is fixed, so that there
// is never more than one.
func (j *Job) Unit() string { return path.Base(j.Script) + ".service" }

// Label names the job in what is printed.
func (j *Job) Label() string { return j.Host + " " + j.Mirror }

// Jobs finds the jobs among a host's resources.
func Jobs(host string, list []*engine.Resource) []*Job {
	var jobs []*Job
	for _, r := range list {
		if j, ok := r.Data.(*Job); ok && !r.Remove {
			own := *j
			own.Host = host
			jobs = append(jobs, &own)
		}
	}
	return jobs
}

func (j *Job) scriptQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: j.Script}
}
func (j *Job) recordsQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: j.Status, Option: "content"}
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
	return wire.Query{Verb: wire.AskFile, Arg: j.Output, Option: "head"}
}
func (j *Job) outputQuery() wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: j.Output, Option: "tail"}
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
