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
	keptStderr = 4 << 10  // bytes kept from the end of standard error
	maxNoise   = 64 << 10 // bytes that login scripts may print before the program itself
)

// process is a command that runs on the host.
type process struct {
	ch     gossh.Channel
	stdout *bufio.Reader
	stderr *tail

	installs bool   // it installs root's helper before it runs it
	offer    []byte // the helper's bytes, sent when it asks

	mu    sync.Mutex
	noise []byte // output before the expected one

	ended  chan struct{} // closed when status and signal are set
	status int           // exit status; -1: unknown
	signal string        // the signal that killed it, or ""
}

// start runs a constant command line (see command.go). It does not wait for the answer to the
// request.
func (s *connection) start(ctx context.Context, command string) (*process, error) {
	ch, requests, err := s.openChannel(ctx)
	if err != nil {
		return nil, err
	}
	p := &process{ch: ch, stdout: bufio.NewReader(ch), stderr: newTail(), ended: make(chan struct{}), status: -1}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		// A small buffer, since every connected host has one.
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

// openChannel opens a session channel. If only one session may be open (sshd_config(5), MaxSessions
// 1), sshd counts the previous one until it has reaped its process, a moment after the channel's
// end. So openChannel retries for a while.
func (s *connection) openChannel(ctx context.Context) (gossh.Channel, <-chan *gossh.Request, error) {
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
			return nil, nil, fmt.Errorf("the host refused a session: %s; check MaxSessions in sshd_config, "+
				"and the options of the key in authorized_keys", quote(refused.Message))
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// wait records how the process ended (RFC 4254, section 6.10). It returns when the channel is
// closed.
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

// close closes the process's channel.
func (p *process) close() { _ = p.ch.Close() }

// addNoise adds to the noise and returns all of it.
func (p *process) addNoise(b []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noise = append(p.noise, b...)
	return p.noise
}

// printed returns the process's output, quoted: standard error, or else the noise; "" if it printed
// nothing.
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

// outcome describes how a process ended: "exit status 1, it printed …".
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

// finish reads the output of the process until it has ended.
func (p *process) finish(ctx context.Context, s *connection) (stdout []byte, err error) {
	stdout, err = io.ReadAll(io.LimitReader(p.stdout, maxNoise))
	if err != nil {
		return nil, s.lostError(ctx, err)
	}
	if len(stdout) == maxNoise {
		p.close()
		return nil, fmt.Errorf("the host printed more than %d KiB instead of a short answer; check the login "+
			"scripts", maxNoise>>10)
	}
	p.addNoise(stdout)
	select {
	case <-p.ended:
		return stdout, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// lingering is how long to wait, after the end of the output, for the exit status or the end of the
// connection that explains it.
const lingering = 2 * time.Second

// ending waits for the cause of the end of a process's output. The error is not nil if the
// connection has ended, and not the process.
func (s *connection) ending(ctx context.Context, p *process) error {
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
		return errors.New("the helper closed its output but still runs")
	}
	select {
	case <-s.dead:
		return s.lostError(ctx, io.EOF)
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil // the host sends no exit status
	}
}

// lostError rewords err if the connection is the cause.
func (s *connection) lostError(ctx context.Context, err error) error {
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

// explain rewords an error of a Link's Read or Write.
func (s *connection) explain(p *process, err error) error {
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

// tail keeps the last bytes of a stream, and searches it for prompts.
type tail struct {
	prompts chan struct{} // receives once for each prompt

	mu   sync.Mutex
	kept []byte
	seen int // bytes of kept already searched
}

func newTail() *tail { return &tail{prompts: make(chan struct{}, 8)} }

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for rest := b; len(rest) > 0; { // in pieces, to keep little and search all of it
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

// search finds the prompts that have arrived since the last call, even in two parts.
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

// String returns the kept bytes without the prompts.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(bytes.ReplaceAll(t.kept, []byte(prompt), nil)))
}
