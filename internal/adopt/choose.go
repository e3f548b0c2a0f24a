package adopt

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/adopt/shell"
)

// roles names the jobs of one starter that are not the sync of their tree, and gives the sync what
// the others do for it: fallbacks, and the file that is compared first.
func (f evaluator) roles(jobs []*job, commands []shell.Command) {
	for _, j := range jobs {
		var best *job
		for _, o := range jobs {
			if o.sync.tree == j.sync.tree && (best == nil || better(o, best, commands)) {
				best = o
			}
		}
		if best == j {
			continue
		}
		switch {
		case afterFailure(j, commands) && j.sync.upstream != best.sync.upstream && j.sync.upstream != "":
			j.role = "a fallback"
			if !slices.Contains(best.sync.fallbacks, j.sync.upstream) {
				best.sync.fallbacks = append(best.sync.fallbacks, j.sync.upstream)
			}
		case best.sync.deletes && !j.sync.deletes:
			j.role = "a first stage or a first run, without --delete"
		case j.sync.upstream == best.sync.upstream:
			j.role = "the same sync under another condition"
		default:
			j.role = "a sync of the same tree from another upstream, under a condition that only the host knows: check " +
				"sync.upstream"
		}
	}
	for _, c := range commands {
		url := probe(c)
		if url == "" {
			continue
		}
		for _, j := range jobs {
			if root, name := path.Split(strings.TrimPrefix(url, "rsync://")); "rsync://"+root == j.sync.upstream &&
				j.role == "" {
				j.sync.freshness = name
			}
		}
	}
}

// afterFailure reports whether a sync runs because another command has failed.
func afterFailure(j *job, commands []shell.Command) bool {
	return j.sync.index >= 0 && j.sync.index < len(commands) && commands[j.sync.index].Failed >= 0
}

// better reports whether a is the sync of its tree rather than b: it deletes what the upstream has
// deleted, does not depend on a failure, and comes first.
func better(a, b *job, commands []shell.Command) bool {
	for _, rule := range []func(*job) bool{
		func(j *job) bool { return j.sync.deletes },
		func(j *job) bool { return j.sync.upstream != "" },
		func(j *job) bool { return !afterFailure(j, commands) },
		func(j *job) bool { return !j.sync.partial },
	} {
		if rule(a) != rule(b) {
			return rule(a)
		}
	}
	return false
}

// release matches the directory of a release in AlmaLinux's tree.
var release = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?)(-beta)?$`)

// wholes replaces the syncs of single releases by one of the tree that contains them.
func (f *found) wholes() {
	for _, j := range slices.Clone(f.jobs) {
		name := path.Base(j.sync.tree)
		if !j.almalinux() || j.role != "" || !release.MatchString(name) || path.Base(j.sync.upstream) != name {
			continue
		}
		tree := path.Dir(j.sync.tree)
		whole := slices.IndexFunc(f.jobs, func(o *job) bool { return o.sync.tree == tree && o.almalinux() })
		if whole < 0 && alma.MatchString(tree) {
			root := *j
			root.sync.tree, root.sync.alma = tree, true
			root.sync.upstream = strings.TrimSuffix(strings.TrimSuffix(j.sync.upstream, "/"), name)
			f.jobs = append(f.jobs, &root)
			whole = len(f.jobs) - 1
			f.remark(j.sync.at, "this job syncs single releases, and a mirror block the whole tree, %s", printable(tree))
		}
		if whole >= 0 {
			j.role = "a sync of one release"
		}
	}
}

// choose sets the sync of AlmaLinux and that of Kitten, of all jobs.
func (f *found) choose() {
	f.wholes()
	for _, kitten := range []bool{false, true} {
		var best *job
		for _, j := range f.jobs {
			if f.named != "" && !kitten && j.sync.tree != f.named {
				continue
			}
			if j.almalinux() && j.kitten() == kitten && j.role == "" && (best == nil || f.prefer(j, best)) {
				best = j
			}
		}
		if kitten {
			f.kittenJob = best
		} else {
			f.mainJob = best
		}
	}
}

// prefer reports whether a is the mirror's sync rather than b.
func (f *found) prefer(a, b *job) bool {
	for _, rule := range []func(j, other *job) bool{
		func(j, other *job) bool { return !inside(j.sync.tree, other.sync.tree) }, // a part of the other one's tree
		func(j, _ *job) bool { return j.idle == "" },
		func(j, _ *job) bool { return j.sync.upstream != "" },
		func(j, _ *job) bool { return j.sync.deletes },
		func(j, _ *job) bool { return j.schedule != "" || j.timer.name != "" },
	} {
		if rule(a, b) != rule(b, a) {
			return rule(a, b)
		}
	}
	return false
}

// inside reports whether a directory is below another one.
func inside(p, dir string) bool { return p != dir && engine.PathWithin(p, dir) }

// main and kitten return the sync of AlmaLinux and that of Kitten, or nil.
func (f *found) main() *job   { return f.mainJob }
func (f *found) kitten() *job { return f.kittenJob }

// sharesLock reports whether a sync of another tree has the lock of a job: then the lock keeps
// AlmaLinux's sync from running while that one runs.
func (f *found) sharesLock(j *job) bool {
	return slices.ContainsFunc(f.jobs, func(o *job) bool {
		return o.sync.tree != j.sync.tree && !inside(o.sync.tree, j.sync.tree) && o.sync.lock() == j.sync.lock()
	})
}

// again reports whether a job is the sync of a chosen job that something else starts, too, or
// another way to run it by the same starter.
func (f *found) again(j *job) bool {
	return slices.ContainsFunc([]*job{f.main(), f.kitten()}, func(m *job) bool {
		return m != nil && m != j && m.sync.starts == j.sync.starts && m.sync.tree == j.sync.tree &&
			m.sync.upstream == j.sync.upstream && m.sync.deletes == j.sync.deletes
	})
}

// unreached reports the lines with an rsync of a script that do not run when the job starts.
func (f evaluator) unreached(s shell.Script, reached map[shell.Place]bool) {
	text, _, missing, err := f.text(s.Path)
	if missing || err != nil || !strings.Contains(text, "rsync") {
		return
	}
	file, err := shell.Parse(text)
	if err != nil {
		return // the evaluation has reported it
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || !slices.ContainsFunc(call.Args, func(w *syntax.Word) bool { return path.Base(w.Lit()) == "rsync" }) {
			return true
		}
		first := path.Base(call.Args[0].Lit())
		if slices.Contains([]string{"command", "which", "type", "pgrep", "pidof", "killall", "pkill", "echo",
			"logger", "hash", "dnf", "yum", "apt-get", "apt"}, first) {
			return true
		}
		if at := (shell.Place{File: s.Path, Line: int(call.Pos().Line())}); !reached[at] {
			f.remark(Place{at.File, at.Line}, "this rsync does not run when %s starts the script: it is left out",
				Place{s.By.File, s.By.Line})
		}
		return true
	})
}
