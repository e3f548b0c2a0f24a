package agent

import (
	"fmt"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

const (
	// patience is how long a question keeps others from being asked.
	patience = 500 * time.Millisecond
	// maxStalled is how many questions may stall at once: each may keep a thread of the kernel's
	// for good.
	maxStalled = wire.MaxStalled
	// step is how often the tasks are looked at.
	step = 100 * time.Millisecond
)

// task answers some questions of a batch, each once.
type task struct {
	which []int
	limit time.Duration // without an answer after it, their answer is an error
	do    func(set func(i int, a wire.Answer))

	began          time.Time
	stalled, ended bool
}

// pool performs tasks, several at once. A system call on a file system that does not answer never
// returns: a task that stalls gives its place to others, and one that takes longer than its limit
// is left behind with its goroutine.
type pool struct {
	mu      sync.Mutex
	answers []wire.Answer
	closed  []bool // which of the answers are final
	todo    []*task
	running []*task
	workers int           // that do not stall
	stalled int           // tasks that did
	left    int           // tasks that have not ended
	done    chan struct{} // closed when there are none
}

// perform performs tasks with a number of workers for each list, and returns when each question of
// them has its answer.
func perform(answers []wire.Answer, lists ...workload) {
	var wg sync.WaitGroup
	for _, l := range lists {
		if len(l.tasks) > 0 {
			wg.Go(func() { l.perform(answers) })
		}
	}
	wg.Wait()
}

// workload is tasks, and how many of them are performed at once.
type workload struct {
	workers int
	tasks   []*task
}

func (l workload) perform(answers []wire.Answer) {
	p := &pool{answers: make([]wire.Answer, len(answers)), closed: make([]bool, len(answers)), todo: l.tasks, left: len(l.tasks), done: make(chan struct{})}
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

// collect hands out the answers.
func (p *pool) collect(answers []wire.Answer, tasks []*task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range tasks {
		for _, i := range t.which {
			answers[i] = p.answers[i]
		}
	}
}

// begin starts workers, as many as there is something to do for. The pool is locked.
func (p *pool) begin(workers int) {
	for range min(workers, len(p.todo)) {
		p.workers++
		go p.work()
	}
}

// work performs one task after the other, until there are none or one has stalled.
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
			return // others have taken its place
		}
	}
	p.workers--
}

// set makes an answer final, unless it is already.
func (p *pool) set(i int, a wire.Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed[i] {
		p.answers[i], p.closed[i] = a, true
	}
}

// end ends a task; err is the answer to what it left unanswered. The pool is locked.
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

// watch ends what has taken too long. For each task that has stalled it starts two workers: there
// may be many that stall, and those that do not are to be answered soon.
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
			p.end(t, fmt.Errorf("no answer came within %s: what was asked about may be on a mount or a server that does not answer (findmnt lists mounts)", period(t.limit)))
		}
	}
	if p.workers == 0 {
		for _, t := range p.todo {
			p.end(t, fmt.Errorf("it was not asked: %d other questions do not end", p.stalled))
		}
		p.todo = nil
	}
}

// stall takes the worker of a task off those that go on. The pool is locked.
func (p *pool) stall(t *task) {
	t.stalled = true
	p.stalled++
	p.workers--
}
