package ssh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

const (
	keptStderr = 4 << 10  // bytes of standard error that are kept: the last ones
	maxNoise   = 64 << 10 // bytes that login shells may print before the program itself
)

// process is a command that runs on the host.
type process struct {
	ch     gossh.Channel
	stdout *bufio.Reader
	stderr *tail

	installs bool   // it makes a helper root's own before it runs it
	offer    []byte // what it is given then, once it asks

	mu    sync.Mutex
	noise []byte // what it printed before what was looked for

	ended  chan struct{} // closed when status and signal are set
	status int           // exit status; -1: none was told
	signal string        // that killed it, or ""
}

// start runs a constant command line (see command.go). It does not wait for the host's answer to the request.
func (s *session) start(ctx context.Context, command string) (*process, error) {
	ch, requests, err := s.openChannel(ctx)
	if err != nil {
		return nil, err
	}
	p := &process{ch: ch, stdout: bufio.NewReader(ch), stderr: newTail(), ended: make(chan struct{}), status: -1}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		// A small buffer: there is one for each host, for as long as it is connected.
		_, _ = io.CopyBuffer(p.stderr, ch.Stderr(), make([]byte, 1024))
	}()
	go func() {
		p.wait(requests)
		<-copied
		close(p.ended)
	}()
	s.process = p
	if _, err := ch.SendRequest("exec", false, gossh.Marshal(struct{ Command string }{command})); err != nil {
		return nil, s.lostError(ctx, err)
	}
	return p, nil
}

// openChannel opens a session channel. Where only one session may be open (sshd_config(5), MaxSessions), sshd counts the
// one before until its process has been waited for, a moment after the channel's end: it is asked again for a while.
func (s *session) openChannel(ctx context.Context) (gossh.Channel, <-chan *gossh.Request, error) {
	for delay := 10 * time.Millisecond; ; delay *= 2 {
		ch, requests, err := s.client.OpenChannel("session", nil)
		var refused *gossh.OpenChannelError
		switch {
		case err == nil:
			s.opened = true
			return ch, requests, nil
		case !errors.As(err, &refused):
			return nil, nil, s.lostError(ctx, err)
		case !s.opened || delay > 2*time.Second:
			return nil, nil, fmt.Errorf("the host refused a session: %s; sshd_config's MaxSessions, or what restricts this key, does not permit it",
				quote(refused.Message))
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// wait notes how the process ended (RFC 4254, 6.10), until the channel is closed.
func (p *process) wait(requests <-chan *gossh.Request) {
	for r := range requests {
		switch r.Type {
		case "exit-status":
			var m struct{ Status uint32 }
			if gossh.Unmarshal(r.Payload, &m) == nil {
				p.status = int(m.Status & 0xff)
			}
		case "exit-signal":
			var m struct {
				Signal     string
				CoreDumped bool
				Error      string
				Lang       string
			}
			if gossh.Unmarshal(r.Payload, &m) == nil {
				p.signal = m.Signal
			}
		}
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
}

// close ends the process's channel.
func (p *process) close() { _ = p.ch.Close() }

// addNoise adds to the noise and returns all of it.
func (p *process) addNoise(b []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noise = append(p.noise, b...)
	return p.noise
}

// printed is what the process printed, quoted, or "" for nothing: standard error, else the noise.
func (p *process) printed() string {
	text := p.stderr.String()
	if text == "" {
		text = string(p.addNoise(nil))
	}
	if text == "" {
		return ""
	}
	return quote(text)
}

// outcome tells how an ended process ended.
func (p *process) outcome() string {
	var text string
	switch {
	case p.signal != "":
		text = "killed by signal " + quote(p.signal)
	case p.status >= 0:
		text = fmt.Sprintf("exit status %d", p.status)
	default:
		text = "no exit status"
	}
	if printed := p.printed(); printed != "" {
		text += ", it printed " + printed
	}
	return text
}

// finish reads what the process prints until it has ended.
func (p *process) finish(ctx context.Context, s *session) (stdout []byte, err error) {
	stdout, err = io.ReadAll(io.LimitReader(p.stdout, maxNoise))
	if err != nil {
		return nil, s.lostError(ctx, err)
	}
	if len(stdout) == maxNoise {
		p.close()
		return nil, fmt.Errorf("the host printed more than %d KiB where a short answer belongs: a login script that prints without end?", maxNoise>>10)
	}
	p.addNoise(stdout)
	select {
	case <-p.ended:
		return stdout, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// lingering is how long an ended output may wait for the exit status, or for the end of the connection, that explains it.
const lingering = 2 * time.Second

// ending waits for what explains the end of a process's output. The error is not nil when the connection has ended and
// not the process.
func (s *session) ending(ctx context.Context, p *process) error {
	timer := time.NewTimer(lingering)
	defer timer.Stop()
	select {
	case <-p.ended:
		if p.status >= 0 || p.signal != "" {
			return nil
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return errors.New("the helper closed its output, and goes on running")
	}
	select {
	case <-s.dead:
		return s.lostError(ctx, io.EOF)
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil // a host that tells no exit status
	}
}

// lostError is err in better words, when the connection is why.
func (s *session) lostError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if lost := s.lost(); lost != nil {
		return lost
	}
	if errors.Is(err, io.EOF) {
		return errors.New("connection lost: the host closed it")
	}
	return fmt.Errorf("connection lost: %w", err)
}

// explain puts an error of a Link's Read or Write in better words.
func (s *session) explain(p *process, err error) error {
	if lost := s.lost(); lost != nil {
		return fmt.Errorf("host %s: %w", s.target.Name, lost)
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("host %s: connection lost: %w", s.target.Name, err)
	}
	if lost := s.ending(context.Background(), p); lost != nil {
		return fmt.Errorf("host %s: %w (%w)", s.target.Name, lost, err)
	}
	return fmt.Errorf("host %s: the helper ended (%s): %w", s.target.Name, p.outcome(), err)
}

// tail keeps the last bytes of a stream, and looks for prompts in it.
type tail struct {
	prompts chan struct{} // receives once for each prompt

	mu   sync.Mutex
	kept []byte
	seen int // bytes of kept that have been searched already
}

func newTail() *tail { return &tail{prompts: make(chan struct{}, 8)} }

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for rest := b; len(rest) > 0; { // in pieces, so that what is kept stays small and no prompt is cut out unseen
		n := min(len(rest), keptStderr)
		t.kept = append(t.kept, rest[:n]...)
		rest = rest[n:]
		t.search()
		if cut := len(t.kept) - keptStderr; cut > 0 {
			t.kept = append(t.kept[:0], t.kept[cut:]...)
			t.seen = max(0, t.seen-cut)
		}
	}
	return len(b), nil
}

// search finds the prompts that have come since the last call, also where they came in two parts.
func (t *tail) search() {
	for {
		i := bytes.Index(t.kept[t.seen:], []byte(prompt))
		if i < 0 {
			t.seen = max(t.seen, len(t.kept)-len(prompt)+1)
			return
		}
		t.seen += i + len(prompt)
		select {
		case t.prompts <- struct{}{}:
		default:
		}
	}
}

// String is what was kept, without the prompts.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(bytes.ReplaceAll(t.kept, []byte(prompt), nil)))
}
