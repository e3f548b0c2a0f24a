package agent

import (
	"errors"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/mirrorform/mirrorform/internal/wire"
)

// maxAnswers is how much file content the answers to one message carry together, in bytes; a frame has to hold it as base64.
const maxAnswers = 20 << 20

// batch is the questions of one message, answered together.
type batch struct {
	*host
	stop    until
	queries []wire.Query
	mounts  func() ([]mountEntry, error) // read once
	content atomic.Int64                 // bytes of file content so far
}

func failed(err error) wire.Answer { return wire.Answer{Error: printable(err.Error())} }

// answer answers all questions of a message. Child processes run while files are read.
func (h *host) answer(stop until, queries []wire.Query) []wire.Answer {
	b := &batch{host: h, stop: stop, queries: queries, mounts: once(h.mounts)}
	answers := make([]wire.Answer, len(queries))
	by := map[wire.Verb][]int{}
	for i, q := range queries {
		by[q.Verb] = append(by[q.Verb], i)
	}
	set := func(i int, a wire.Answer) { answers[i] = a }
	var wg sync.WaitGroup

	// Each of these sets an answer for all of its questions; where it panics, the answers that it did not set become the error.
	together := func(which []int, f func()) {
		if len(which) == 0 {
			return
		}
		wg.Go(func() {
			if err := guard(func() error { f(); return nil }); err != nil {
				for _, i := range which {
					if answers[i] == (wire.Answer{}) {
						answers[i] = failed(err)
					}
				}
			}
		})
	}
	together(by[wire.AskUnit], func() { b.askUnits(by[wire.AskUnit], set) })
	together(by[wire.AskPackage], func() { b.askPackages(by[wire.AskPackage], set) })

	// The others stand for themselves. Those that run programs or wait start first.
	each := func(workers int, verbs []wire.Verb, f func(wire.Query) wire.Answer) {
		var which []int
		for _, v := range verbs {
			which = append(which, by[v]...)
		}
		var next atomic.Int64
		for range min(workers, len(which)) {
			wg.Go(func() {
				for n := next.Add(1); int(n) <= len(which); n = next.Add(1) {
					i := which[n-1]
					if err := guard(func() error { answers[i] = f(queries[i]); return nil }); err != nil {
						answers[i] = failed(err)
					}
				}
			})
		}
	}
	each(8, []wire.Verb{wire.AskBlock, wire.AskMount, wire.AskRun, wire.AskHTTP, wire.AskTree}, b.askSlow)
	each(min(runtime.NumCPU(), 4), []wire.Verb{wire.AskFile, wire.AskFilesystem, wire.AskLoaded}, b.askQuick)
	wg.Wait()

	if err := guard(func() error { b.names(by, answers); return nil }); err != nil {
		for i := range answers {
			if f := answers[i].File; f != nil || queries[i].Verb == wire.AskUser || queries[i].Verb == wire.AskGroup {
				answers[i] = failed(err)
			}
		}
	}
	for i, q := range queries {
		if answers[i] == (wire.Answer{}) {
			answers[i] = failed(errors.New("this helper does not know the question " + quote(string(q.Verb)) + ": replace the helper"))
		}
	}
	return answers
}

func (b *batch) askSlow(q wire.Query) wire.Answer {
	switch q.Verb {
	case wire.AskBlock:
		block, err := b.askBlock(b.stop, q.Arg, b.mounts)
		if err != nil {
			return failed(err)
		}
		return wire.Answer{Block: block}
	case wire.AskMount:
		return b.askMount(q.Arg)
	case wire.AskTree:
		return b.askTree(q)
	case wire.AskHTTP:
		if len(q.Args) < 2 {
			return failed(errors.New("http: want the host and the path as arguments"))
		}
		w := get(b.stop, q.Arg, q.Args[0], q.Args[1])
		if w.Status == 200 {
			if err := treesNotServed(b.stop, q.Arg, q.Args[0], q.Args[2:]); err != nil {
				w.Trees = printable(err.Error())
			}
		}
		return wire.Answer{HTTP: w}
	}
	o, err := run(b.stop, command{argv: q.Args, timeout: queryTimeout})
	if err != nil {
		return wire.Answer{Run: &wire.Run{Exit: -1, Stderr: printable(err.Error())}}
	}
	w := &wire.Run{Exit: o.exit, Stdout: printable(o.stdout.String()), Stderr: printable(o.stderr.String())}
	if o.why != "" {
		w.Stderr += o.why
	}
	return wire.Answer{Run: w}
}

func (b *batch) askQuick(q wire.Query) wire.Answer {
	switch q.Verb {
	case wire.AskFile:
		return b.askFile(q)
	case wire.AskFilesystem:
		return b.askFilesystem(q.Arg)
	}
	return b.askLoaded(q)
}

// room reports whether n more bytes of content fit into the answers, and takes them.
func (b *batch) room(n int) bool { return b.content.Add(int64(n)) <= maxAnswers }

// names answers the questions about accounts, and adds owners' names to files.
func (b *batch) names(by map[wire.Verb][]int, answers []wire.Answer) {
	if len(by[wire.AskUser])+len(by[wire.AskGroup])+len(by[wire.AskFile]) == 0 {
		return
	}
	a := b.accounts()
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
	a.complete(b.stop, users, groups)
	// The primary groups of accounts that getent told of.
	groups = nil
	for _, i := range by[wire.AskUser] {
		if u := a.user(b.queries[i].Arg); u != nil {
			groups = append(groups, strconv.Itoa(u.gid))
		}
	}
	a.complete(b.stop, nil, groups)
	for _, i := range by[wire.AskUser] {
		answers[i] = a.askUser(b.queries[i].Arg, b.queries[i].Option == "usable")
	}
	for _, i := range by[wire.AskGroup] {
		answers[i] = a.askGroup(b.queries[i].Arg)
	}
	for _, i := range by[wire.AskFile] {
		if f := answers[i].File; f != nil && f.Kind != wire.Absent {
			f.Owner, f.Group = a.userName(f.UID), a.groupName(f.GID)
		}
	}
}

// once makes a function that reads the mounts only the first time.
func once(read func() ([]mountEntry, error)) func() ([]mountEntry, error) {
	var o sync.Once
	var entries []mountEntry
	var err error
	return func() ([]mountEntry, error) {
		o.Do(func() { entries, err = read() })
		return entries, err
	}
}
