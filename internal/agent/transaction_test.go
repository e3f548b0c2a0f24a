package agent

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// One session has the lock; the other is told who, and gets it afterwards.
func TestLock(t *testing.T) {
	t.Parallel()
	state := t.TempDir() + "/state"
	one, two := dial(t, state), dial(t, state)
	if b := one.lock(0); b.ID == "" || b.Held != nil {
		t.Fatalf("%+v", b)
	}
	ours := func(who *wire.Holder) {
		t.Helper()
		if who == nil || who.Operator != "alice@laptop" || who.Command != "apply" || !strings.Contains(who.Process, "process "+strconv.Itoa(os.Getpid())) || who.Seconds < 0 || who.Seconds > 60 {
			t.Fatalf("holder %+v", who)
		}
		if since, err := time.Parse(time.RFC3339, who.Since); err != nil || time.Since(since).Abs() > time.Minute {
			t.Errorf("since %q: %v", who.Since, err)
		}
	}
	if b := two.lock(0); b.ID != "" {
		t.Fatalf("%+v", b)
	} else {
		ours(b.Held)
	}
	two.send(&wire.Message{Begin: &wire.Begin{Operator: "bob", Command: "destroy", Wait: 60}})
	m := two.receive()
	if m.Waiting == nil {
		t.Fatalf("%+v", m)
	}
	ours(&m.Waiting.Holder)
	if done := one.commit(wire.Commit{}); done.Error != "" {
		t.Fatal(done.Error)
	}
	if m := two.receive(); m.Begun == nil || m.Begun.ID == "" {
		t.Fatalf("%+v", m)
	}
	// A session that begins, and one that only looks.
	if b := one.lock(0); b.Held == nil || b.Held.Operator != "bob" {
		t.Errorf("%+v", b)
	}
	messages, err := talkTo(t, bytes.NewReader(frames(t, hello)), state, nil)
	if err != nil || messages[0].Hello.Holder == nil || messages[0].Hello.Holder.Command != "destroy" || messages[0].Hello.Unfinished != nil {
		t.Errorf("%v, %+v", err, messages[0].Hello)
	}
	if _, done := two.rollback(); !done.Undone || done.Error != "" {
		t.Errorf("%+v", done)
	}
	if b := one.lock(60); b.ID == "" {
		t.Errorf("%+v", b)
	}
	// Another state directory is another host's.
	if b := dial(t, t.TempDir()+"/state").lock(0); b.ID == "" {
		t.Errorf("%+v", b)
	}
}

// Whoever waits for the lock gives up when its controller is gone.
func TestWaiterGone(t *testing.T) {
	t.Parallel()
	state := t.TempDir() + "/state"
	if b := dial(t, state).lock(0); b.ID == "" {
		t.Fatalf("%+v", b)
	}
	forever := &wire.Message{Begin: &wire.Begin{Operator: "bob", Command: "apply", Wait: 3600}}
	if messages, _ := talkTo(t, bytes.NewReader(frames(t, hello, forever)), state, nil); messages[len(messages)-1].Begun != nil {
		t.Errorf("%+v", messages)
	}
}

// A program that changes the host keeps the lock after the helper has gone; one that only reads never has it.
func TestLockOutlivesHelper(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), t.TempDir()+"/state"
	leave := func(name string) []string {
		return []string{"sh", "-c", `sleep 1000 >/dev/null 2>&1 & echo $! >"$1"`, "sh", dir + "/" + name}
	}
	pid := func(name string) int {
		t.Helper()
		data, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Kill(n, unix.SIGKILL) })
		return n
	}
	c := dial(t, state)
	c.begin()
	c.ask(wire.Query{Verb: wire.AskRun, Args: leave("reads")})
	reads := pid("reads")
	if done := c.commit(wire.Commit{}); done.Error != "" {
		t.Fatal(done.Error)
	}
	if b := c.lock(60); b.ID == "" {
		t.Fatalf("a question has the lock: %+v", b.Held)
	}
	if events, done := c.do(wire.Order{ID: 1, Op: runs(leave("writes")...)}); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	writes := pid("writes")
	_ = c.rw.Close()
	c = dial(t, state)
	b := c.lock(1)
	if b.Held == nil || !strings.Contains(b.Held.Process, "sleep (process "+strconv.Itoa(writes)+")") || strings.Contains(b.Held.Process, strconv.Itoa(reads)) {
		t.Fatalf("%+v %+v", b, b.Held)
	}
	if err := unix.Kill(writes, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if b := c.lock(60); b.ID == "" {
		t.Errorf("%+v", b)
	}
}

// A holder that hangs keeps the lock, and is waited for no longer than was asked.
func TestStoppedHolder(t *testing.T) {
	t.Parallel()
	state := t.TempDir() + "/state"
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "MIRRORFORM_TEST_STATE="+state)
	holder := connect(t, spawn(t, cmd))
	if b := holder.lock(0); b.ID == "" {
		t.Fatalf("%+v", b)
	}
	if err := unix.Kill(cmd.Process.Pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c := dial(t, state)
	for range 2 {
		if b := c.lock(1); b.Held == nil || !strings.Contains(b.Held.Process, "process "+strconv.Itoa(cmd.Process.Pid)) {
			t.Errorf("%+v", b)
		}
	}
	if err := unix.Kill(cmd.Process.Pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if done := holder.commit(wire.Commit{}); done.Error != "" {
		t.Error(done.Error)
	}
	if b := c.lock(60); b.ID == "" {
		t.Errorf("%+v", b)
	}
}

func TestCommit(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), t.TempDir()+"/state"
	c := dial(t, state)
	manifest := func() string {
		t.Helper()
		files, _ := filepath.Glob(state + "/manifest.json*")
		var all []string
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				data = []byte(err.Error())
			}
			all = append(all, filepath.Base(f)+"="+string(data))
		}
		return strings.Join(all, " ")
	}
	for i, step := range []struct {
		commit wire.Commit
		do     bool
		want   string
	}{
		{wire.Commit{}, false, ""},
		{wire.Commit{Manifest: []byte("1")}, false, "manifest.json=1"},
		{wire.Commit{}, true, "manifest.json=1"},
		{wire.Commit{Manifest: []byte("2")}, true, "manifest.json=2"},
		{wire.Commit{Manifest: []byte("3"), Aside: true}, false, "manifest.json=3 manifest.json.1=2"},
		{wire.Commit{Manifest: []byte("4"), Aside: true}, true, "manifest.json=4 manifest.json.1=2 manifest.json.2=3"},
	} {
		b := c.lock(60)
		if want, _, _ := strings.Cut(strings.TrimPrefix(manifest(), "manifest.json="), " "); b.ID == "" || string(b.Manifest) != want {
			t.Errorf("step %d: %+v", i, b)
		}
		if step.do {
			if events, done := c.do(wire.Order{ID: i, Op: write(dir+"/file", strconv.Itoa(i), wire.Attributes{}), Undo: restore(dir + "/file")}); done.Failed != nil {
				t.Fatalf("%+v", events)
			}
		}
		if done := c.commit(step.commit); done.Error != "" || done.Undone {
			t.Errorf("step %d: %+v", i, done)
		}
		if got := manifest(); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
	if f := c.file(dir + "/file"); string(f.Content) != "5" {
		t.Errorf("%+v", f)
	}
	// What is not committed is taken back: also what cannot be.
	for name, m := range map[string]wire.Commit{
		"the limit is 8388608":     {Manifest: bytes.Repeat([]byte("x"), wire.MaxManifest+1)},
		"is not a regular file, a": {Manifest: []byte("5")},
	} {
		if strings.Contains(name, "regular") {
			if err := os.RemoveAll(state + "/manifest.json"); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(state+"/manifest.json/x", 0o700); err != nil {
				t.Fatal(err)
			}
		}
		c.do(wire.Order{ID: 99, Op: write(dir+"/file", "99", wire.Attributes{}), Undo: restore(dir + "/file")})
		done := c.commit(m)
		if text, _, _ := strings.Cut(name, ", a"); !strings.Contains(done.Error, text) || !done.Undone || done.Journal != "" {
			t.Errorf("%s: %+v", name, done)
		}
		if f := c.file(dir + "/file"); string(f.Content) != "5" {
			t.Errorf("%s: %+v", name, f)
		}
		if err := os.RemoveAll(state + "/manifest.json"); err != nil {
			t.Fatal(err)
		}
	}
	c.send(&wire.Message{Commit: &wire.Commit{Manifest: []byte("x")}})
	if _, done := c.finish(); done.Error == "" {
		t.Error("committed without a transaction")
	}
	left, _ := os.ReadDir(state + "/journal")
	temporary, _ := filepath.Glob(state + "/.mirrorform-*")
	if beside, _ := filepath.Glob(dir + "/.mirrorform-*"); len(left)+len(temporary)+len(beside) > 0 {
		t.Errorf("left behind: %v %v %v", left, temporary, beside)
	}
}

// A commit that begins the next transaction keeps the lock, and the next one is rolled back alone.
func TestCommitNext(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), t.TempDir()+"/state"
	one, two := dial(t, state), dial(t, state)
	put := func(id int, text string) {
		t.Helper()
		if events, done := one.do(wire.Order{ID: id, Op: write(dir+"/file", text, wire.Attributes{}), Undo: restore(dir + "/file")}); done.Failed != nil {
			t.Fatalf("%+v", events)
		}
	}
	put(1, "first")
	first := one.tx
	done := one.commit(wire.Commit{Manifest: []byte("1"), Next: true})
	if done.Error != "" || done.Next == "" || done.Next == first {
		t.Fatalf("%+v", done)
	}
	if b := two.lock(0); b.Held == nil || b.Held.Operator != "alice@laptop" {
		t.Errorf("the lock is not held: %+v", b)
	}
	one.tx = done.Next
	put(2, "second")
	if _, done := one.rollback(); !done.Undone || done.Error != "" {
		t.Errorf("%+v", done)
	}
	b := two.lock(60)
	if b.ID == "" || string(b.Manifest) != "1" || b.Recovered != nil {
		t.Errorf("%+v", b)
	}
	if f := two.file(dir + "/file"); string(f.Content) != "first" {
		t.Errorf("%+v", f)
	}
}

// Hello tells what there is without changing anything.
func TestHelloTells(t *testing.T) {
	t.Parallel()
	state := t.TempDir() + "/state"
	tell := func() *wire.Hello {
		t.Helper()
		messages, err := talkTo(t, bytes.NewReader(frames(t, hello)), state, nil)
		if err != nil || len(messages) != 1 {
			t.Fatalf("%v, %+v", err, messages)
		}
		return messages[0].Hello
	}
	if h := tell(); h.Manifest != nil || h.Unread != "" || h.Holder != nil || h.Unfinished != nil || exists(state) {
		t.Errorf("%+v", h)
	}
	c := dial(t, state)
	if done := c.commit(wire.Commit{Manifest: []byte("{}")}); done.Error != "" {
		t.Fatal(done.Error)
	}
	if h := tell(); string(h.Manifest) != "{}" || h.Holder != nil || h.Unfinished != nil {
		t.Errorf("%+v", h)
	}
	for what, prepare := range map[string]func() error{
		"larger than the limit": func() error {
			return os.WriteFile(state+"/manifest.json", bytes.Repeat([]byte("x"), wire.MaxManifest+1), 0o600)
		},
		"not a regular file": func() error { return os.Mkdir(state+"/manifest.json", 0o700) },
		"too many":           func() error { return os.Symlink("manifest.json", state+"/manifest.json") },
	} {
		if err := os.RemoveAll(state + "/manifest.json"); err != nil {
			t.Fatal(err)
		}
		if err := prepare(); err != nil {
			t.Fatal(err)
		}
		if h := tell(); len(h.Manifest) != 0 || !strings.Contains(h.Unread, what) {
			t.Errorf("%s: %q", what, h.Unread)
		}
	}
	// What a process that was killed left.
	if err := os.MkdirAll(state+"/journal/0123456789abcdef", 0o700); err != nil {
		t.Fatal(err)
	}
	if h := tell(); h.Unfinished != nil {
		t.Errorf("a journal without a header: %+v", h.Unfinished)
	}
	header := `{"format":1,"id":"0123456789abcdef","operator":"carol","command":"apply","since":"2001-02-03T04:05:06Z"}`
	if err := os.WriteFile(state+"/journal/0123456789abcdef/transaction.json", []byte(header), 0o600); err != nil {
		t.Fatal(err)
	}
	if h := tell(); h.Unfinished == nil || h.Unfinished.Operator != "carol" || h.Unfinished.Since != "2001-02-03T04:05:06Z" {
		t.Errorf("%+v", h.Unfinished)
	}
}

// Journals that are not understood are left alone, and nothing begins.
func TestForeignJournals(t *testing.T) {
	t.Parallel()
	line := func(body string) string { return digestOf(body)[:16] + " " + body + "\n" }
	begun := line(`{"op":1,"begun":{"id":1,"what":"run x"}}`)
	for name, c := range map[string]struct{ header, log, want string }{
		"newer":          {`{"format":2,"id":"0123456789abcdef"}`, "", "use the version that created it"},
		"of another":     {`{"format":1,"id":"../../../../tmp"}`, "", "another transaction"},
		"no JSON":        {"\x00\x00", "", "transaction.json"},
		"damaged":        {`{"format":1,"id":"0123456789abcdef"}`, "garbage\n" + begun, "damaged at byte 0"},
		"out of order":   {`{"format":1,"id":"0123456789abcdef"}`, line(`{"op":2,"undone":true}`), "operation 2 follows operation 0"},
		"without a log":  {`{"format":1,"id":"0123456789abcdef"}`, "-", "no such file"},
		"torn":           {`{"format":1,"id":"0123456789abcdef"}`, begun + begun[:20], ""},
		"torn with NULs": {`{"format":1,"id":"0123456789abcdef"}`, begun + "\x00\x00\n\x00", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := t.TempDir() + "/state"
			dir := state + "/journal/0123456789abcdef"
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/transaction.json", []byte(c.header), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.log != "-" {
				if err := os.WriteFile(dir+"/log", []byte(c.log), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			b := dial(t, state).lock(0)
			if c.want == "" {
				if b.ID == "" || b.Recovered == nil || b.Recovered.Undone != 0 || exists(dir) {
					t.Errorf("%+v %+v", b, b.Recovered)
				}
				return
			}
			if b.ID != "" || b.Recovered == nil || b.Recovered.Journal != dir || len(b.Recovered.Errors) != 1 || !strings.Contains(b.Recovered.Errors[0], c.want) {
				t.Errorf("%+v %+v", b, b.Recovered)
			}
			if data, err := os.ReadFile(dir + "/transaction.json"); err != nil || string(data) != c.header {
				t.Errorf("%q, %v", data, err)
			}
		})
	}
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	const nonce = "00ff00ff00ff00ff"
	for name, c := range map[string]struct {
		confirm func(id string) []wire.Confirm
		wrong   string // in the answer to the confirmation
		commits bool
	}{
		"none":       {func(string) []wire.Confirm { return nil }, "", false},
		"right":      {func(id string) []wire.Confirm { return []wire.Confirm{{ID: id, Nonce: nonce}} }, "", true},
		"wrong":      {func(id string) []wire.Confirm { return []wire.Confirm{{ID: id, Nonce: "11ff00ff00ff00ff"}} }, "", false},
		"part of it": {func(id string) []wire.Confirm { return []wire.Confirm{{ID: id, Nonce: nonce[:8]}} }, "", false},
		"no nonce":   {func(id string) []wire.Confirm { return []wire.Confirm{{ID: id}} }, "invalid nonce", false},
		"no hex":     {func(id string) []wire.Confirm { return []wire.Confirm{{ID: id, Nonce: "../x"}} }, "invalid nonce", false},
		"long":       {func(id string) []wire.Confirm { return []wire.Confirm{{ID: id, Nonce: strings.Repeat("f", 1<<20)}} }, "invalid nonce", false},
		"another ID": {func(string) []wire.Confirm { return []wire.Confirm{{ID: "0123456789abcdef", Nonce: nonce}} }, "no open transaction", false},
		"no ID":      {func(string) []wire.Confirm { return []wire.Confirm{{ID: "../journal", Nonce: nonce}} }, "invalid transaction ID", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, state := t.TempDir(), t.TempDir()+"/state"
			one, two := dial(t, state), dial(t, state)
			one.begin()
			id := one.tx
			one.send(&wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1, Op: write(dir+"/x", "new", wire.Attributes{}), Undo: restore(dir + "/x")}},
				Confirm: &wire.Confirmation{Nonce: nonce, Timeout: 600}}})
			if events, done := one.finish(); done.Failed != nil || done.Error != "" {
				t.Fatalf("%+v %+v", events, done)
			}
			for _, m := range c.confirm(id) {
				two.send(&wire.Message{Confirm: &m})
				if _, done := two.finish(); (done.Error != "") != (c.wrong != "") || !strings.Contains(done.Error, c.wrong) {
					t.Errorf("%+v", done)
				}
			}
			done := one.commit(wire.Commit{Manifest: []byte("{}")})
			if c.commits != (done.Error == "") || c.commits == done.Undone || !c.commits && !strings.Contains(done.Error, "not confirmed") {
				t.Errorf("%+v", done)
			}
			if exists(dir+"/x") != c.commits || exists(state+"/manifest.json") != c.commits || exists(state+"/journal/"+id) {
				t.Error("it is not as was said")
			}
			// It confirms nothing that comes later.
			two.send(&wire.Message{Confirm: &wire.Confirm{ID: id, Nonce: nonce}})
			if _, done := two.finish(); done.Error == "" {
				t.Error("a transaction that has ended was confirmed")
			}
		})
	}
}

// A transaction that was confirmed in time stays open until the controller ends it, however long it waits for other hosts.
func TestConfirmedWaits(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), t.TempDir()+"/state"
	one, overdue := dialLate(t, state)
	two := dial(t, state)
	one.begin()
	one.send(&wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1, Op: write(dir+"/x", "new", wire.Attributes{}), Undo: restore(dir + "/x")}},
		Confirm: &wire.Confirmation{Nonce: "ab", Timeout: 1}}})
	if events, done := one.finish(); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	two.send(&wire.Message{Confirm: &wire.Confirm{ID: one.tx, Nonce: "ab"}})
	if _, done := two.finish(); done.Error != "" {
		t.Fatalf("%+v", done)
	}
	overdue()
	if done := one.commit(wire.Commit{Manifest: []byte("{}")}); done.Error != "" || done.Undone || !exists(dir+"/x") {
		t.Errorf("%+v", done)
	}
}

// A host that is slow to observe has its time for a confirmation afterwards.
func TestConfirmationAfterObservation(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), t.TempDir()+"/state"
	timers := make(chan chan time.Time, 9)
	one := connect(t, pipeTo(context.Background(), Options{Version: "test", StateDir: state}, func(s *session) {
		s.after = func(time.Duration) <-chan time.Time {
			timer := make(chan time.Time, 1)
			timers <- timer
			return timer
		}
	}))
	two := dial(t, state)
	one.begin()
	one.send(&wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1, Op: write(dir+"/x", "new", wire.Attributes{}), Undo: restore(dir + "/x")}},
		Confirm: &wire.Confirmation{Nonce: "ab", Timeout: 1}}})
	if events, done := one.finish(); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	first := <-timers
	one.ask(wire.Query{Verb: wire.AskFile, Arg: dir + "/x"})
	<-timers
	first <- time.Now()
	two.send(&wire.Message{Confirm: &wire.Confirm{ID: one.tx, Nonce: "ab"}})
	if _, done := two.finish(); done.Error != "" {
		t.Fatalf("%+v", done)
	}
	if done := one.commit(wire.Commit{Manifest: []byte("{}")}); done.Error != "" || done.Undone || !exists(dir+"/x") {
		t.Errorf("%+v", done)
	}
}

// Without a confirmation in time everything is taken back, and a Commit that comes late is told so.
func TestConfirmationOverdue(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), t.TempDir()+"/state"
	c, overdue := dialLate(t, state)
	c.begin()
	c.send(&wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1, Op: write(dir+"/x", "new", wire.Attributes{}), Undo: restore(dir + "/x")}},
		Confirm: &wire.Confirmation{Nonce: "ab", Timeout: 1}}})
	if events, done := c.finish(); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	overdue()
	if m := c.receive(); m.Event == nil || m.Event.State != wire.Undone {
		t.Fatalf("%+v", m)
	}
	if done := c.commit(wire.Commit{Manifest: []byte("{}")}); !strings.Contains(done.Error, "in time") || !done.Undone || done.Journal != "" {
		t.Errorf("%+v", done)
	}
	if exists(dir+"/x") || exists(state+"/manifest.json") {
		t.Error("it was not taken back")
	}
	c.tx = ""
	if b := c.lock(60); b.ID == "" {
		t.Errorf("%+v", b)
	}
}

// A controller that goes away, or says nothing any more, between two messages has lost its transaction.
func TestAbandoned(t *testing.T) {
	t.Parallel()
	for name, quiet := range map[string]bool{"gone": false, "silent": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, state := t.TempDir(), t.TempDir()+"/state"
			in := &blocked{bytes.NewReader(frames(t, hello, begin, &wire.Message{Do: &wire.Do{Ops: []wire.Order{
				{ID: 1, Op: write(dir+"/x", "new", wire.Attributes{}), Undo: restore(dir + "/x")}}}})), make(chan struct{})}
			if quiet {
				defer close(in.end)
			}
			did := make(chan struct{})
			go func() {
				for !quiet {
					if exists(dir + "/x") {
						close(in.end)
						break
					}
					time.Sleep(time.Millisecond)
				}
				close(did)
			}()
			messages, _ := talkTo(t, in, state, func(s *session) {
				if quiet {
					s.silence = time.Second
				}
			})
			<-did
			last := messages[len(messages)-1]
			if last.Event == nil || last.Event.State != wire.Undone && last.Event.State != wire.Failed {
				if last.Done == nil || !last.Done.Undone {
					t.Errorf("%+v", last)
				}
			}
			if exists(dir + "/x") {
				t.Error("it was not taken back")
			}
			if left, _ := os.ReadDir(state + "/journal"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// The reserve has its space before the first operation, and gives it back before the first undo.
func TestReserve(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), t.TempDir()+"/state"
	c := dial(t, state)
	file := dir + "/blocks"
	script := `stat -c '%s %b %B' "$1"/journal/*/reserve >"$2"`
	gone := runs("sh", "-c", `! test -e "$1"/journal/*/reserve`, "sh", state)
	if events, done := c.do(wire.Order{ID: 1, Op: runs("sh", "-c", script, "sh", state, file), Undo: &gone}); done.Failed != nil {
		t.Fatalf("%+v", events)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var n []int
	for _, f := range strings.Fields(string(data)) {
		v, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		n = append(n, v)
	}
	if len(n) != 3 || n[0] != reserveSize || n[1]*n[2] < reserveSize {
		t.Errorf("%q", data)
	}
	if events, done := c.rollback(); done.Journal != "" || len(events) != 1 {
		t.Errorf("%+v %+v", events, done)
	}
}

// The boot unit is there while a transaction is open, and only then.
func TestBootFiles(t *testing.T) {
	t.Parallel()
	root, state := t.TempDir(), t.TempDir()+"/state"
	h := newHost(state)
	h.boot = newBootFiles(root)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		tx := newTransaction(h, header{Format: journalFormat, ID: random()})
		h.files.transaction = tx.ID
		if err := tx.open(); err != nil {
			t.Fatal(err)
		}
		tx.close()
		want, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(root + "/usr/local/sbin/mirrorform-recover"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the program has %d bytes, want %d: %v", len(got), len(want), err)
		}
		if info, err := os.Stat(root + "/usr/local/sbin/mirrorform-recover"); err != nil || info.Mode() != 0o755 {
			t.Errorf("%v, %v", info, err)
		}
		if data, err := os.ReadFile(root + "/etc/systemd/system/multi-user.target.wants/mirrorform-recover.service"); err != nil || !strings.Contains(string(data), "ExecStart=/usr/local/sbin/mirrorform-recover --recover\n") {
			// The link leads to the path on a real host, which is the one below root here.
			t.Errorf("%q, %v", data, err)
		}
		if round == 0 {
			if err := tx.tidy(); err != nil {
				t.Fatal(err)
			}
		} else if r, err := h.recover(); err != nil || r == nil || r.ID != tx.ID {
			t.Fatalf("%+v, %v", r, err)
		}
		if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

// A target that is changed between the last look and the replacement is given back.
func TestChangedAtTheLastMoment(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]func(path string) wire.Op{
		"write":   func(p string) wire.Op { return write(p, "ours", wire.Attributes{}) },
		"symlink": func(p string) wire.Op { return wire.Op{Symlink: &wire.SymlinkOp{Path: p, Target: "ours"}} },
		"remove":  func(p string) wire.Op { return wire.Op{Remove: &wire.RemoveOp{Path: p}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, state := t.TempDir(), t.TempDir()+"/state"
			path := dir + "/x"
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			in := &blocked{bytes.NewReader(frames(t, hello, begin, &wire.Message{Do: &wire.Do{Ops: []wire.Order{{ID: 1, Op: op(path), Undo: restore(path)}}}})), make(chan struct{})}
			edit := func() {
				_ = os.WriteFile(path, []byte("theirs"), 0o600)
				close(in.end) // after this operation there is nothing more to do
			}
			messages, err := talkTo(t, in, state, func(s *session) {
				// Once each, and then as ever.
				s.host.files.exchange = func(dir int, a, b string) error {
					edit()
					s.host.files.exchange = renameExchange
					return renameExchange(dir, a, b)
				}
				s.host.files.renameNoReplace = func(dir int, from string, toDir int, to string) error {
					if from == "x" {
						edit()
					}
					s.host.files.renameNoReplace = renameNoReplace
					return renameNoReplace(dir, from, toDir, to)
				}
			})
			if err != nil {
				t.Error(err)
			}
			var failed *wire.Event
			for _, m := range messages {
				if m.Event != nil && m.Event.State == wire.Failed {
					failed = m.Event
				}
				if m.Done != nil && (!m.Done.Undone || m.Done.Journal != "") {
					t.Errorf("%+v", m.Done)
				}
			}
			if failed == nil || !strings.Contains(failed.Error, "has changed since it was observed, just before") {
				t.Errorf("%+v", failed)
			}
			if data, err := os.ReadFile(path); err != nil || string(data) != "theirs" {
				t.Errorf("%q, %v", data, err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("%v, %v", entries, err)
			}
		})
	}
}

// An account that somebody else made is not removed because ours could not be made.
func TestIdleOperationIsNotUndone(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), t.TempDir()+"/state"
	passwd := dir + "/passwd"
	var undone []string
	for name, c := range map[string]struct{ made, undoes bool }{"without effect": {false, false}, "half done": {true, true}} {
		if err := os.WriteFile(passwd, []byte("root:x:0:0::/root:/bin/sh\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		undone = nil
		order := wire.Order{ID: 1, Op: wire.Op{User: &wire.UserOp{Name: "mirror", Create: true}}, Undo: &wire.Op{User: &wire.UserOp{Name: "mirror", Remove: true}}}
		in := &blocked{bytes.NewReader(frames(t, hello, begin, &wire.Message{Do: &wire.Do{Ops: []wire.Order{order}}})), make(chan struct{})}
		_, err := talkTo(t, in, state, func(s *session) {
			s.host.accounts.passwd, s.host.accounts.getent = passwd, false
			s.perform = func(j job) error {
				if j.undo != nil {
					undone = append(undone, j.undo.What)
					return nil
				}
				if c.made {
					if err := os.WriteFile(passwd, []byte("root:x:0:0::/root:/bin/sh\nmirror:x:7:7::/:/bin/sh\n"), 0o600); err != nil {
						t.Error(err)
					}
				}
				close(in.end) // after this operation there is nothing more to do
				return unix.EIO
			}
		})
		if err != nil {
			t.Error(err)
		}
		if got := slices.Equal(undone, []string{"user mirror"}); got != c.undoes {
			t.Errorf("%s: undone %v", name, undone)
		}
	}
}
