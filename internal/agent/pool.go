package agent

import (
	"fmt"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

const (
	// patience is how long a question may block its worker before others start.
	patience = 500 * time.Millisecond
	// maxStalled is how many questions may stall at once: each may hold a thread of the kernel
	// forever.
	maxStalled = wire.MaxStalled
	// step is how often the tasks are checked.
	step = 100 * time.Millisecond
)

// task answers some questions of a batch, each once.
type task struct {
	which []int
	limit time.Duration // after this time, the answer is an error
	do    func(set func(i int, a wire.Answer))

	began          time.Time
	stalled, ended bool
}

// pool performs several tasks at once. A system call on a file system that does not answer never
// returns. So a task that stalls gives its place to others, and a task that exceeds its limit is
// abandoned, together with its goroutine.
type pool struct {
	mu      sync.Mutex
	answers []wire.Answer
	closed  []bool // answers that must not change any more
	todo    []*task
	running []*task
	workers int           // workers that are not stalled
	stalled int           // tasks that are stalled
	left    int           // tasks that have not ended
	done    chan struct{} // closed when all tasks have ended
}

// perform performs the tasks of each workload with its number of workers, and returns when every
// question has an answer.
func perform(answers []wire.Answer, lists ...workload) {
	var wg sync.WaitGroup
	for _, l := range lists {
		if len(l.tasks) > 0 {
			wg.Go(func() { l.perform(answers) })
		}
	}
	wg.Wait()
}

// workload is a list of tasks, and how many of them run at once.
type workload struct {
	workers int
	tasks   []*task
}

func (l workload) perform(answers []wire.Answer) {
	p := &pool{
		answers: make([]wire.Answer, len(answers)), closed: make([]bool, len(answers)),
		todo: l.tasks, left: len(l.tasks), done: make(chan struct{}),
	}
	p.mu.Lock()
	p.begin(l.workers)
	p.mu.Unlock()
	defer p.collect(answers, l.tasks)
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for {
		select {
		case <-p.done:
			return
		case now := <-ticker.C:
			p.watch(now)
		}
	}
}

// collect copies the answers to the caller.
func (p *pool) collect(answers []wire.Answer, tasks []*task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range tasks {
		for _, i := range t.which {
			answers[i] = p.answers[i]
		}
	}
}

// begin starts workers, but no more than there are tasks. The pool is locked.
func (p *pool) begin(workers int) {
	for range min(workers, len(p.todo)) {
		p.workers++
		go p.work()
	}
}

// work performs tasks, until none is left or the current one has stalled.
func (p *pool) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.todo) > 0 {
		t := p.todo[0]
		p.todo = p.todo[1:]
		t.began = time.Now()
		p.running = append(p.running, t)
		p.mu.Unlock()
		err := guard(func() error { t.do(p.set); return nil })
		p.mu.Lock()
		p.end(t, err)
		if t.stalled {
			return // other workers have taken its place
		}
	}
	p.workers--
}

// set sets an answer, unless it has one already.
func (p *pool) set(i int, a wire.Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed[i] {
		p.answers[i], p.closed[i] = a, true
	}
}

// end ends a task; err becomes the answer to its open questions. The pool is locked.
func (p *pool) end(t *task, err error) {
	if t.ended {
		return
	}
	t.ended = true
	for _, i := range t.which {
		if !p.closed[i] && err != nil {
			p.answers[i] = failed(err)
		}
		p.closed[i] = true
	}
	for n, r := range p.running {
		if r == t {
			p.running = append(p.running[:n], p.running[n+1:]...)
			break
		}
	}
	if p.left--; p.left == 0 {
		close(p.done)
	}
}

// watch ends tasks that take too long. It starts two workers for each task that stalls: many may
// stall, and the rest should still be answered soon.
func (p *pool) watch(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range append([]*task(nil), p.running...) {
		took := now.Sub(t.began)
		if took > patience && !t.stalled && p.stalled < maxStalled {
			p.stall(t)
			p.begin(2)
		}
		if took > t.limit {
			if !t.stalled {
				p.stall(t)
			}
			p.end(t, fmt.Errorf("no answer within %s: it may be on a mount or a server that does not respond; "+
				"to list mounts: findmnt", period(t.limit)))
		}
	}
	if p.workers == 0 {
		for _, t := range p.todo {
			p.end(t, fmt.Errorf("not asked: %d other questions are stalled, perhaps on a mount or a server that does not respond; "+
				"to list mounts: findmnt", p.stalled))
		}
		p.todo = nil
	}
}

// stall stops counting the worker of a task. The pool is locked.
func (p *pool) stall(t *task) {
	t.stalled = true
	p.stalled++
	p.workers--
}
