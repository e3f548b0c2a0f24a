package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// batch is the questions of one message, which are answered together.
type batch struct {
	*host
	ctx     context.Context
	queries []wire.Query
	mounts  func() ([]mountEntry, error) // read once
	content atomic.Int64                 // bytes of file content so far
}

func failed(err error) wire.Answer { return wire.Answer{Error: printable(withReason(err))} }

// answer answers all questions of a message. Child processes run while files are read.
func (h *host) answer(ctx context.Context, queries []wire.Query) []wire.Answer {
	b := &batch{host: h, ctx: ctx, queries: queries, mounts: sync.OnceValues(h.storage.mounts)}
	answers := make([]wire.Answer, len(queries))
	by := map[wire.Verb][]int{}
	for i, q := range queries {
		by[q.Verb] = append(by[q.Verb], i)
	}
	perform(answers,
		b.together(by[wire.AskUnit], wire.ProgramTime, b.askUnits),
		b.together(by[wire.AskPackage], wire.PackageTime, b.askPackages),
		b.each(8, by, wire.ProgramTime, b.askSlow, wire.AskBlock, wire.AskMount, wire.AskRun, wire.AskHTTP, wire.AskListeners, wire.AskTree,
			wire.AskBus),
		b.each(min(runtime.NumCPU(), 4), by, wire.LookTime, b.askQuick, wire.AskFile, wire.AskFilesystem, wire.AskLoaded),
	)
	if err := guard(func() error { b.names(by, answers); return nil }); err != nil {
		for i, q := range queries {
			if answers[i].File != nil || q.Verb == wire.AskUser || q.Verb == wire.AskGroup {
				answers[i] = failed(err)
			}
		}
	}
	for i, q := range queries {
		if answers[i] == (wire.Answer{}) {
			answers[i] = failed(fmt.Errorf("unknown question %s: replace the helper", quote(string(q.Verb))))
		}
	}
	return answers
}

// together makes one task of several questions.
func (b *batch) together(which []int, limit time.Duration, ask func(which []int, set func(int, wire.Answer))) workload {
	if len(which) == 0 {
		return workload{}
	}
	return workload{1, []*task{{which: which, limit: limit, do: func(set func(int, wire.Answer)) { ask(which, set) }}}}
}

// each makes a task of each question, those with the first verb first.
func (b *batch) each(
	workers int, by map[wire.Verb][]int, limit time.Duration, ask func(wire.Query) wire.Answer, verbs ...wire.Verb,
) workload {
	w := workload{workers: workers}
	for _, v := range verbs {
		for n, i := range by[v] {
			w.tasks = append(w.tasks, &task{
				which: by[v][n : n+1], limit: limit, do: func(set func(int, wire.Answer)) { set(i, ask(b.queries[i])) },
			})
		}
	}
	return w
}

func (b *batch) askSlow(q wire.Query) wire.Answer {
	switch q.Verb {
	case wire.AskBlock:
		block, err := b.storage.block(b.ctx, q.Arg, b.mounts)
		if err != nil {
			return failed(err)
		}
		return wire.Answer{Block: block}
	case wire.AskMount:
		return b.askMount(q.Arg)
	case wire.AskTree:
		return b.askTree(q)
	case wire.AskListeners:
		return b.askListeners(q.Arg, q.Args)
	case wire.AskBus:
		return b.askBus(q)
	case wire.AskHTTP:
		if len(q.Args) < 2 {
			return failed(errors.New("http: the host and the path are missing"))
		}
		return siteAt(q.Arg, q.Args[0]).ask(b.ctx, q.Args[1], q.Args[2:])
	}
	return b.askRun(q.Args, q.Option)
}

// askRun answers AskRun. A missing program is an answer; a program that was killed is an error.
func (b *batch) askRun(argv []string, option string) wire.Answer {
	if path, ok := strings.CutPrefix(option, "if:"); ok {
		if _, err := os.Lstat(path); absent(err) {
			return wire.Answer{Run: &wire.Run{Exit: -1, Stderr: printable(err.Error())}}
		}
	}
	o, err := run(b.ctx, command{argv: argv, timeout: queryTimeout})
	switch {
	case errors.Is(err, errNotInstalled) || errors.Is(err, errNoProgram) || absent(err):
		return wire.Answer{Run: &wire.Run{Exit: -1, Stderr: printable(err.Error())}}
	case err != nil:
		return failed(err)
	case o.why != "":
		return failed(fmt.Errorf("%s: %s", argv[0], o.why))
	}
	return wire.Answer{Run: &wire.Run{Exit: o.exit, Stdout: printable(o.stdout.String()), Stderr: printable(o.stderr.String())}}
}

func (b *batch) askQuick(q wire.Query) wire.Answer {
	switch q.Verb {
	case wire.AskFile:
		return b.askFile(q)
	case wire.AskFilesystem:
		return b.askFilesystem(q.Arg)
	}
	return b.units.records.ask(q)
}

// room reports whether n more bytes of content fit into the answers, and reserves them.
func (b *batch) room(n int) bool { return b.content.Add(int64(n)) <= wire.MaxAnswers }

// names answers the questions about accounts, and adds owners' names to files.
func (b *batch) names(by map[wire.Verb][]int, answers []wire.Answer) {
	if len(by[wire.AskUser])+len(by[wire.AskGroup])+len(by[wire.AskFile]) == 0 {
		return
	}
	a := b.accounts.read()
	var users, groups []string
	for _, i := range by[wire.AskUser] {
		users = append(users, b.queries[i].Arg)
	}
	for _, i := range by[wire.AskGroup] {
		groups = append(groups, b.queries[i].Arg)
	}
	for _, i := range by[wire.AskFile] {
		if f := answers[i].File; f != nil && f.Kind != wire.Absent {
			users = append(users, strconv.Itoa(f.UID))
			groups = append(groups, strconv.Itoa(f.GID))
		}
	}
	a.complete(b.ctx, users, groups)
	// Also the primary groups of accounts that getent has found.
	groups = nil
	for _, i := range by[wire.AskUser] {
		if u, _ := a.user(b.queries[i].Arg); u != nil {
			groups = append(groups, strconv.Itoa(u.gid))
		}
	}
	a.complete(b.ctx, nil, groups)
	for _, i := range by[wire.AskGroup] {
		answers[i] = a.askGroup(b.queries[i].Arg)
	}
	for _, i := range by[wire.AskFile] {
		if f := answers[i].File; f != nil && f.Kind != wire.Absent {
			if err := a.nameOwner(f); err != nil {
				answers[i] = failed(fmt.Errorf("look up the owner of %s: %w", b.queries[i].Arg, err))
			}
		}
	}
	// Homes may be on a server that does not answer.
	perform(answers, b.each(4, by, wire.LookTime, func(q wire.Query) wire.Answer {
		return a.askUser(q.Arg, q.Option == "usable")
	}, wire.AskUser))
}
