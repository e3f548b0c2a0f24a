package faults

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/crypto/ssh"
)

// nasty is what a hostile host says wherever it can say a word. It clears the screen, sets the clipboard (OSC 52), uses a C1 control, goes back to the
// beginning of the line to forge an answer, reverses the reading direction, hides characters. The text before shows that it was printed.
// nastyBytes is what it sends where any bytes will do.
const (
	nasty      = "MARKED\x1b[2J\x1b]52;c;Y2FuYXJ5\x07\u009b31m\rApply complete!\u202e\u2066\u200b\x08\x7f"
	nastyBytes = nasty + "\x9b31m\x00\xff"
)

// harmless fails the test if the output is not plain text: if a terminal would interpret part of
// it, or show it differently.
func harmless(t testing.TB, what, output string) {
	t.Helper()
	for i, r := range output {
		_, size := utf8.DecodeRuneInString(output[i:])
		if r == '\n' || r == '\t' {
			continue
		}
		if r == utf8.RuneError && size == 1 || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			t.Errorf("%s: %q is printed as it is: %q", what, r, output[max(0, i-60):min(len(output), i+60)])
			return
		}
	}
}

// mostMemory is more than the program needs for any host, in KiB of resident memory. Decoding a
// message of the maximum size of 32 MiB takes about four times that size. The cases below send
// gigabytes.
const mostMemory = 512 << 10

// How long the program may take to see through a host that keeps it busy, and how much it may print of what such a host says, in bytes.
const (
	patience   = 60 * time.Second
	mostOutput = 64 << 10
)

// len returns the number of bytes written.
func (s *syncBuffer) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Len()
}

// against runs apply with a peer as the host, and returns the result and the peak memory in KiB.
func (p *peer) against(t testing.TB, config, connectTimeout string) (result, int64) {
	t.Helper()
	path, env := program(t)
	s := &site{t: t, dir: t.TempDir(), path: path, env: append(append([]string(nil), env...), "HOME="+t.TempDir(), "USER=tester", "MIRRORFORM_BECOME_PASSWORD=canary-7733")}
	s.write("hosts.hcl", p.block("h", p.pinned()+"  connect_timeout = \""+connectTimeout+"\"\n"))
	s.write("main.hcl", config)
	run := s.start("apply", "--auto-approve", "--lock-timeout", "1s")
	most := int64(0)
	for begin := time.Now(); run.alive(); time.Sleep(5 * time.Millisecond) {
		most = max(most, residentPeak(run.cmd.Process.Pid))
		if printed := run.output.len(); printed > mostOutput || time.Since(begin) > patience {
			t.Errorf("it had not ended after %v, and had printed %d bytes", time.Since(begin), printed)
			run.kill()
		}
	}
	if most == 0 {
		t.Error("the program's memory could not be measured")
	}
	return run.wait(), most
}

// residentPeak returns the peak memory of a process in KiB (VmHWM, proc_pid_status(5)), or 0 if it
// has ended. The value of wait4(2) would be too large, since it includes the memory of the parent
// process.
func residentPeak(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var peak int64
	_, _ = fmt.Sscan(rest, &peak) // a process that has ended has none
	return peak
}

// oneFile is a configuration with one file.
func oneFile() string { return fileBlocks("host.h", "f", 1, "x\n") }

// TestFault30HostileWords: a host sends hostile text in every field. The text is escaped, bounded
// and never interpreted.
func TestFault30HostileWords(t *testing.T) {
	t.Parallel()
	fails := func(kind string, done wire.Done) func(*wire.Message, func(*wire.Message)) bool {
		return func(m *wire.Message, say func(*wire.Message)) bool {
			if kindOf(m) != kind {
				return false
			}
			say(&wire.Message{Done: &done})
			return true
		}
	}
	begun := func(b wire.Begun) func(*wire.Message, func(*wire.Message)) bool {
		return func(m *wire.Message, say func(*wire.Message)) bool {
			if m.Begin == nil {
				return false
			}
			say(&wire.Message{Begun: &b})
			return true
		}
	}
	holder := wire.Holder{Operator: nasty, Command: nasty, From: nasty, Since: nasty, Process: nasty}
	content := "content = \"${target.facts.hostname} ${target.facts.os.name}\"\n"
	found := func(f wire.File) func(*wire.Answer) {
		return func(a *wire.Answer) {
			if a.File.Kind == wire.Absent {
				f.Fingerprint = "found"
				a.File = &f
			}
		}
	}
	managed := engine.Manifest{Machine: strings.Repeat("f", 32), Version: nasty, Resources: []engine.Managed{
		{Address: "file." + nasty, Configuration: nasty, Type: nasty, Source: nasty, State: map[string]json.RawMessage{}}}}
	manifest, err := managed.Encode()
	if err != nil {
		t.Fatal(err)
	}
	newer, err := json.Marshal(map[string]any{"kind": "mirrorform manifest", "format_version": 9, "mirrorform_version": nasty})
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name   string
		play   *play
		peer   func(*peer)
		config string
		exit   int
		silent bool // nothing of it needs to be printed
	}{
		{name: "nothing hostile", play: &play{}, silent: true},
		{name: "banner", play: &play{}, peer: func(p *peer) { p.banner = nasty }, silent: true},
		{name: "facts", play: &play{hello: func(h *wire.Hello) {
			h.Facts.Hostname, h.Facts.OS.Name, h.Facts.Kernel, h.Facts.Username = nasty, nasty, nasty, nasty
		}}, config: strings.Replace(oneFile(), "content = \"x\\n\"\n", content, 1)},
		{name: "version, in the greeting", play: &play{hello: func(h *wire.Hello) { h.Version = nasty }}, silent: true},
		{name: "digest of the helper", play: &play{hello: func(h *wire.Hello) { h.SHA256 = nasty }}, exit: 1, silent: true},
		{name: "architecture", play: &play{hello: func(h *wire.Hello) { h.Facts.Arch = nasty }}, exit: 1},
		{name: "why the manifest was not read", play: &play{hello: func(h *wire.Hello) { h.Unread = nasty }}, exit: 1},
		{name: "holder of the lock", play: &play{instead: begun(wire.Begun{Held: &holder})}, exit: 1},
		{name: "what could not be recovered", play: &play{instead: begun(wire.Begun{ID: "00", Recovered: &wire.Recovered{ID: nasty, Operator: nasty, Command: nasty,
			Errors: []string{nasty, nasty}, Journal: nasty}})}, exit: 1},
		{name: "what was recovered", play: &play{instead: begun(wire.Begun{ID: "00", Recovered: &wire.Recovered{ID: nasty, Operator: nasty, Command: nasty,
			Undone: -1 << 40, Stays: []string{nasty}}})}},
		{name: "transaction's ID", play: &play{instead: begun(wire.Begun{ID: nasty})}, silent: true},
		{name: "manifest", play: &play{instead: begun(wire.Begun{ID: "00", Manifest: manifest})}, silent: true},
		{name: "newer manifest", play: &play{instead: begun(wire.Begun{ID: "00", Manifest: newer})}, exit: 1},
		{name: "error of an answer", play: &play{answer: func(a *wire.Answer) { *a = wire.Answer{Error: nasty} }}, exit: 1},
		{name: "content and owner of a file", play: &play{answer: found(wire.File{Kind: wire.Regular, Mode: 0o644, Owner: nasty, Group: nasty,
			Content: []byte(nastyBytes), HasContent: true, Size: int64(len(nastyBytes)), SHA256: nasty})},
			config: strings.Replace(oneFile(), "content =", "owner = \"root\"\n  content =", 1)},
		{name: "target of a link", play: &play{answer: found(wire.File{Kind: wire.Symlink, Target: nasty, Owner: nasty})}},
		{name: "kind of a file", play: &play{answer: func(a *wire.Answer) { a.File = &wire.File{Kind: nasty, Fingerprint: nasty} }}, exit: 1, silent: true},
		{name: "error and output of a step", play: &play{event: func(e *wire.Event) {
			if e.State == wire.Finished {
				e.State, e.Error, e.Output = wire.Failed, nasty, nasty
			}
		}}, exit: 1},
		{name: "state of a step", play: &play{event: func(e *wire.Event) { e.State = nasty }}, silent: true},
		{name: "refusal of the steps", play: &play{instead: fails("do", wire.Done{Error: nasty, Undone: true, Journal: nasty})}, exit: 1},
		{name: "refusal of the commit", play: &play{instead: fails("commit", wire.Done{Error: nasty, Undone: true, Journal: nasty})}, exit: 1},
		{name: "words of the helper's end", play: &play{instead: func(m *wire.Message, say func(*wire.Message)) bool {
			say(&wire.Message{Failure: &wire.Failure{Message: nasty}})
			return true
		}}, exit: 1},
		{name: "noise before the helper", play: &play{}, peer: func(p *peer) {
			run := p.run
			p.run = func(command string, ch ssh.Channel) []byte {
				_, _ = io.WriteString(ch, nastyBytes+"\n"+nastyBytes+"\n")
				_, _ = io.WriteString(ch.Stderr(), nastyBytes+"\n")
				return run(command, ch)
			}
		}, silent: true},
		{name: "noise in place of the helper", play: &play{}, peer: func(p *peer) {
			p.run = func(_ string, ch ssh.Channel) []byte {
				_, _ = io.WriteString(ch, nastyBytes+"\n")
				_, _ = io.WriteString(ch.Stderr(), nastyBytes+"\nsudo: "+nastyBytes+"\n")
				return status(1)
			}
		}, exit: 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t)
			p.run = c.play.run(p)
			if c.peer != nil {
				c.peer(p)
			}
			p.serve(t)
			config := c.config
			if config == "" {
				config = oneFile()
			}
			r, _ := p.against(t, config, "30s")
			r.says(t, c.exit)
			harmless(t, c.name, r.output)
			if !c.silent && !strings.Contains(r.output, "MARKED") {
				t.Errorf("what the host said is not told:\n%s", r.output)
			}
		})
	}
	record(t, 30, "hostile text from a host, in every field", len(cases)-1, "escaped and bounded, never interpreted")
}

// TestFault30Flood: a host sends endless data or announces gigabytes. Memory remains bounded, and
// the program ends by itself.
func TestFault30Flood(t *testing.T) {
	t.Parallel()
	// endless writes until the other side has enough, or for eight gigabytes.
	endless := func(w io.Writer, piece []byte) {
		for sent := 0; sent < 8<<30; sent += len(piece) {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}
	zeros := make([]byte, 32<<10)
	frame := func(m *wire.Message) []byte {
		var b strings.Builder
		if err := wire.Write(&b, m); err != nil {
			panic(err)
		}
		return []byte(b.String())
	}
	// flood answers one kind of message by an endless stream of another.
	flood := func(kind string, m *wire.Message) *play {
		piece := frame(m)
		h := &play{}
		h.stream = func(asked *wire.Message, ch io.Writer) bool {
			if kindOf(asked) != kind {
				return false
			}
			endless(ch, piece)
			return true
		}
		return h
	}
	length := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	announces := func(n uint32) *play {
		h := &play{}
		h.stream = func(asked *wire.Message, ch io.Writer) bool {
			_, _ = ch.Write(length(n))
			endless(ch, zeros)
			return true
		}
		return h
	}
	large := strings.Repeat("A", 16<<20)
	missing := func(p *peer) {
		p.run = func(_ string, ch ssh.Channel) []byte {
			arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
			if arch == "" {
				arch = runtime.GOARCH
			}
			_, _ = fmt.Fprintf(ch, "mirrorform-helper-missing/1\n%s\n1000\n/home/admin/.cache/mirrorform\n/var/tmp/mirrorform-admin\n/run/user/1000/mirrorform\n/dev/shm/mirrorform-admin\n", arch)
			return status(127)
		}
	}
	cases := []struct {
		name string
		play *play
		peer func(*peer)
		ok   bool // it may as well succeed
	}{
		{name: "output before the helper", peer: func(p *peer) {
			p.run = func(_ string, ch ssh.Channel) []byte { endless(ch, zeros); return status(0) }
		}},
		{name: "lines before the helper", peer: func(p *peer) {
			p.run = func(_ string, ch ssh.Channel) []byte { endless(ch, []byte("noise\n")); return status(0) }
		}},
		{name: "standard error before the helper", peer: func(p *peer) {
			p.run = func(_ string, ch ssh.Channel) []byte { endless(ch.Stderr(), zeros); return status(0) }
		}},
		{name: "prompts of sudo", peer: func(p *peer) {
			p.run = func(_ string, ch ssh.Channel) []byte {
				endless(ch.Stderr(), []byte("mirrorform-become-password:"))
				return status(0)
			}
		}},
		{name: "signs of life in place of the greeting", play: &play{raw: func(ch ssh.Channel) { endless(ch, frame(&wire.Message{Beat: &wire.Beat{}})) }}},
		{name: "a frame of 4 GiB in place of the greeting", play: &play{raw: func(ch ssh.Channel) { _, _ = ch.Write(length(1<<32 - 1)); endless(ch, zeros) }}},
		{name: "a frame of 2 GiB in place of the greeting", play: &play{raw: func(ch ssh.Channel) { _, _ = ch.Write(length(1 << 31)); endless(ch, zeros) }}},
		{name: "a frame of 32 MiB of zeros in place of the greeting", play: &play{raw: func(ch ssh.Channel) { _, _ = ch.Write(length(32 << 20)); endless(ch, zeros) }}},
		{name: "brackets in place of the greeting", play: &play{raw: func(ch ssh.Channel) {
			_, _ = ch.Write(length(32 << 20))
			endless(ch, []byte(strings.Repeat("[", 32<<10)))
		}}},
		{name: "a manifest of 2 GiB", play: announces(1 << 31)},
		{name: "a greeting with a manifest of 16 MB", ok: true, play: &play{hello: func(h *wire.Hello) { h.Manifest = []byte(large) }}},
		{name: "Begun with a manifest of 16 MB", play: &play{instead: func(m *wire.Message, say func(*wire.Message)) bool {
			if m.Begin == nil {
				return false
			}
			say(&wire.Message{Begun: &wire.Begun{ID: "00", Manifest: []byte(large)}})
			return true
		}}},
		{name: "Begun with an ID of 16 MB", ok: true, play: &play{instead: func(m *wire.Message, say func(*wire.Message)) bool {
			if m.Begin == nil {
				return false
			}
			say(&wire.Message{Begun: &wire.Begun{ID: large}})
			return true
		}}},
		{name: "Begun without end", play: flood("begin", &wire.Message{Begun: &wire.Begun{ID: "00", Manifest: []byte(large)}})},
		{name: "waiting without end", play: flood("begin", &wire.Message{Waiting: &wire.Waiting{Holder: wire.Holder{Operator: "mallory"}}})},
		{name: "answers without end", play: flood("ask", &wire.Message{Answers: &wire.Answers{Answers: make([]wire.Answer, 100000)}})},
		{name: "one step's beginning without end", play: flood("do", &wire.Message{Event: &wire.Event{ID: 0, State: wire.Started}})},
		{name: "events of what was not ordered", play: flood("do", &wire.Message{Event: &wire.Event{ID: 1 << 40, State: wire.Started}})},
		{name: "a step's output of 16 MB", play: &play{event: func(e *wire.Event) {
			if e.State == wire.Finished {
				e.State, e.Output = wire.Failed, large
			}
		}}},
		{name: "an SFTP packet of 4 GiB", peer: func(p *peer) {
			missing(p)
			p.sftp = func(ch ssh.Channel) { _, _ = ch.Write(length(1<<32 - 1)); endless(ch, zeros) }
		}},
		{name: "an SFTP version, then a packet of 4 GiB", peer: func(p *peer) {
			missing(p)
			p.sftp = func(ch ssh.Channel) {
				_, _ = ch.Write(append(length(5), 2, 0, 0, 0, 3)) // SSH_FXP_VERSION (draft-ietf-secsh-filexfer-02, 4)
				_, _ = ch.Write(append(length(1<<32-1), 103))     // SSH_FXP_DATA
				endless(ch, zeros)
			}
		}},
		{name: "SFTP output without end", peer: func(p *peer) {
			missing(p)
			p.sftp = func(ch ssh.Channel) { endless(ch, append(append(length(5), 2, 0, 0, 0, 3), zeros[:1000]...)) }
		}},
		{name: "a survey without end", peer: func(p *peer) {
			p.run = func(_ string, ch ssh.Channel) []byte {
				_, _ = io.WriteString(ch, "mirrorform-helper-missing/1\n")
				endless(ch, zeros)
				return status(127)
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { // one after the other: each of them is a full load
			p := newPeer(t)
			if c.play != nil {
				p.run = c.play.run(p)
			}
			if c.peer != nil {
				c.peer(p)
			}
			p.serve(t)
			r, memory := p.against(t, oneFile(), "4s")
			if r.exit != 1 && (r.exit != 0 || !c.ok) {
				t.Errorf("exit status %d:\n%.2000s", r.exit, r.output)
			}
			if p.sftp != nil && p.uploads.Load() == 0 {
				t.Errorf("no SFTP was begun:\n%s", r.output)
			}
			if memory > mostMemory {
				t.Errorf("it needed %d MiB of memory", memory>>10)
			}
			harmless(t, c.name, r.output)
		})
	}
	record(t, 30, "endless output, forged lengths up to 4 GiB", len(cases), fmt.Sprintf("ended automatically, with less than %d MiB of memory", mostMemory>>10))
}

// TestFault30ForgedFrames: a host sends unexpected messages and invalid exit statuses.
func TestFault30ForgedFrames(t *testing.T) {
	t.Parallel()
	zero := 0
	far := 1 << 40
	always := func(m wire.Message) func(*wire.Message, func(*wire.Message)) bool {
		return func(_ *wire.Message, say func(*wire.Message)) bool {
			say(&m)
			return true
		}
	}
	at := func(kind string, messages ...wire.Message) *play {
		return &play{instead: func(m *wire.Message, say func(*wire.Message)) bool {
			if kindOf(m) != kind {
				return false
			}
			for _, forged := range messages {
				say(&forged)
			}
			return true
		}}
	}
	frames := map[string]*play{
		"an empty message":                  {instead: always(wire.Message{})},
		"a second greeting":                 {instead: always(wire.Message{Hello: &wire.Hello{Protocol: wire.Protocol, Nonce: "00"}})},
		"Done to every message":             {instead: always(wire.Message{Done: &wire.Done{}})},
		"a question in place of the answer": {instead: always(wire.Message{Ask: &wire.Ask{}})},
		"an order in place of the answer":   {instead: always(wire.Message{Do: &wire.Do{}})},
		"no answers":                        at("ask", wire.Message{Answers: &wire.Answers{}}),
		"too many answers":                  at("ask", wire.Message{Answers: &wire.Answers{Answers: make([]wire.Answer, 1000)}}),
		"empty answers":                     {answer: func(a *wire.Answer) { *a = wire.Answer{} }},
		"a file without a fingerprint":      {answer: func(a *wire.Answer) { a.File = &wire.File{Kind: wire.Regular} }},
		"a success that nobody began":       at("begin", wire.Message{Done: &wire.Done{}}),
		"Begun and Held at once":            at("begin", wire.Message{Begun: &wire.Begun{ID: "00", Held: &wire.Holder{}}}),
		"a transaction without an ID":       at("begin", wire.Message{Begun: &wire.Begun{}}),
		"failure of a step not ordered":     at("do", wire.Message{Done: &wire.Done{Failed: &far}}),
		"end of a step not ordered":         at("do", wire.Message{Event: &wire.Event{ID: -1, State: wire.Finished}}, wire.Message{Done: &wire.Done{}}),
		"failure of a step, and no reason":  at("do", wire.Message{Done: &wire.Done{Failed: &zero}}),
		"success of steps not done":         at("do", wire.Message{Done: &wire.Done{}}), // observed again, nothing is there
		"success of steps taken back":       at("do", wire.Message{Done: &wire.Done{Undone: true}}),
		"a commit that was taken back":      at("commit", wire.Message{Done: &wire.Done{Undone: true}}),
		"a commit without an answer":        at("commit", wire.Message{Failure: &wire.Failure{}}),
		"a greeting to another":             {hello: func(h *wire.Hello) { h.Nonce = "00" }},
		"a greeting without facts":          {hello: func(h *wire.Hello) { h.Facts = nil }},
		"a greeting of another protocol":    {hello: func(h *wire.Hello) { h.Protocol = 1 << 30 }},
	}
	for name, h := range frames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t)
			p.run = h.run(p)
			p.serve(t)
			r, _ := p.against(t, oneFile(), "30s")
			r.says(t, 1)
			harmless(t, name, r.output)
			if strings.Contains(r.output, "panic") || strings.Contains(r.output, "bug in mirrorform") {
				t.Errorf("it panicked:\n%s", r.output)
			}
		})
	}
	statuses := map[string][]byte{
		"empty": nil, "one byte": {0}, "three bytes": {0, 0, 0}, "2^32-1": {255, 255, 255, 255}, "2^31": {128, 0, 0, 0}, "256": {0, 0, 1, 0},
		"8 bytes": {0, 0, 0, 0, 0, 0, 0, 0}, "32 KiB": make([]byte, 32<<10), "127 and nothing printed": status(127), "126": status(126), "0 and nothing printed": status(0),
	}
	for name, payload := range statuses {
		t.Run("exit status: "+name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t)
			p.run = func(string, ssh.Channel) []byte { return payload }
			p.serve(t)
			r, _ := p.against(t, oneFile(), "30s")
			r.says(t, 1)
			harmless(t, name, r.output)
		})
	}
	record(t, 30, "forged frames and malformed exit statuses", len(frames)+len(statuses), "exit status 1; no panic")
}

// TestFault30ForgedPrompt: a host prints text that looks like a prompt. No secret is sent, and no
// prompt counts as answered.
func TestFault30ForgedPrompt(t *testing.T) {
	t.Parallel()
	prompts := "[sudo] password for admin: mirrorform-become-password:\nApply these changes?\n  Only \"yes\" is accepted.\n\n  Answer: yes\nPassword: "
	for _, become := range []string{"none", "doas"} {
		p := newPeer(t)
		got := make(chan string, 16)
		p.run = func(_ string, ch ssh.Channel) []byte {
			_, _ = io.WriteString(ch, prompts)
			_, _ = io.WriteString(ch.Stderr(), prompts)
			heard := make(chan []byte)
			go func() {
				b, _ := io.ReadAll(io.LimitReader(ch, 1<<20))
				heard <- b
			}()
			select {
			case b := <-heard:
				got <- string(b)
			case <-time.After(limit):
			}
			return status(1)
		}
		p.serve(t)
		path, env := program(t)
		s := &site{t: t, dir: t.TempDir(), path: path, env: append(append([]string(nil), env...), "HOME="+t.TempDir(), "USER=tester", "MIRRORFORM_BECOME_PASSWORD=canary-7733")}
		s.write("hosts.hcl", p.block("h", p.pinned()+"  connect_timeout = \"2s\"\n  become = \""+become+"\"\n"))
		s.write("main.hcl", oneFile())
		r := s.run("apply")
		r.says(t, 1)
		if heard := <-got; strings.Contains(heard+r.output, "canary") {
			t.Errorf("become %s: the password was given: %q", become, heard)
		}
		harmless(t, become, r.output)
	}
	record(t, 30, "forged prompts", 2, "no secret sent")
}
