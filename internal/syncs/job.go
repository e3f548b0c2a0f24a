// Package syncs defines what a host reports about the syncs of its mirrors: its jobs, the questions
// about them, and the meaning of the answers. It is pure, as resource types are.
package syncs

import (
	"path"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Job is a tree that a host syncs. A mirror block's expansion makes it, as the data of the resource
// that schedules the syncs.
type Job struct {
	Host     string
	Mirror   string // almalinux, or almalinux-kitten
	Script   string // path of the program that cron runs
	Lock     string // path
	Dir      string
	User     string // account that runs the syncs
	Schedule string // crontab(5)
	Status   string // path of the records
	Output   string // path of rsync's output
	Hold     string // path of the hold, which holds syncs unless it is empty
	Time     string // path of the tree's file TIME; "" for other distributions than AlmaLinux
	// Certificate is the path of the site's certificate; "" if the mirror block has no tls.
	Certificate string
	// Hubs are the hosts that the tree comes from, in the order in which they are tried; none if it
	// comes from another upstream.
	Hubs []Hub
}

// Hub is a tree on another host of the configuration, from which a job syncs.
type Hub struct {
	Host, Mirror string // as in the Job of that tree
	URL          string // where its rsync daemon serves it
}

// The results of Distribution.
const (
	almaLinux         = "almalinux"
	OtherDistribution = "other"
)

// Distribution returns the distribution of the tree, as the mirror block has it.
func (j *Job) Distribution() string {
	if j.Time == "" {
		return OtherDistribution
	}
	return almaLinux
}

// Unit returns the systemd unit of a sync that `mirrorform sync` starts. The name is fixed, so that
// there is never more than one.
func (j *Job) Unit() string { return path.Base(j.Script) + ".service" }

// Label names the job in the output.
func (j *Job) Label() string { return j.Host + " " + j.Mirror }

// Jobs finds the jobs in a host's resources.
func Jobs(list []*engine.Resource) []*Job {
	var jobs []*Job
	for _, r := range list {
		if j, ok := r.Data.(*Job); ok && !r.Remove {
			jobs = append(jobs, j)
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
	return wire.Query{Verb: wire.AskFile, Arg: j.Time, Option: "content"}
}
func (j *Job) holdQuery() wire.Query  { return wire.Query{Verb: wire.AskFile, Arg: j.Hold} }
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

// The kernel's list of locks is read (proc_locks(5)): taking the lock to test it could block a sync
// that cron starts at the same moment.
var (
	locksQuery = wire.Query{Verb: wire.AskRun, Args: []string{"grep", "-F", "FLOCK", "/proc/locks"}}
	clockQuery = wire.Query{Verb: wire.AskRun, Args: []string{"date", "+%s %z"}}
)

// Questions returns the questions that Read needs answers to.
func (j *Job) Questions() []wire.Query {
	list := []wire.Query{j.scriptQuery(), j.recordsQuery(), j.holdQuery(), j.spaceQuery(), j.unitQuery(), j.lockQuery(), locksQuery, clockQuery}
	if j.Time != "" {
		list = append(list, j.timeQuery())
	}
	return list
}

// OutputQuestions returns the questions about the progress of a sync. Read works without them.
func (j *Job) OutputQuestions() []wire.Query {
	return []wire.Query{j.headQuery(), j.outputQuery()}
}
