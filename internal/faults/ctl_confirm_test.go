package faults

import (
	"fmt"
	"io"
	"os/exec"
	"path"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lab"
)

// Arguments of a host: how long it waits for a confirmation, where none will come, and where one has to come on a busy machine as well.
const (
	shortConfirm = "  confirm_timeout = \"6s\"\n"
	longConfirm  = "  confirm_timeout = \"90s\"\n"
)

// sshAnswers reports whether the host accepts logins.
func sshAnswers(h *lab.Host) bool {
	return exec.Command("ssh", "-F", "none", "-i", h.SSHKeyPath, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
		"-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR", "admin@"+h.Address, "true").Run() == nil
}

// TestFault08CutsItselfOff: an apply that breaks SSH on the host is rolled back automatically and
// reported as failed.
func TestFault08CutsItselfOff(t *testing.T) {
	t.Parallel()
	restart := func(file string) string {
		return "resource \"service\" \"ssh\" {\n  hosts      = [host.h]\n  name       = \"ssh\"\n  running    = true\n  restart_on = [\"" + file + "\"]\n}\n"
	}
	const drop = "/etc/ssh/sshd_config.d/50-faults.conf"
	cases := []struct{ name, config string }{
		{"sshd is stopped", "resource \"service\" \"ssh\" {\n  hosts   = [host.h]\n  name    = \"ssh\"\n  running = false\n}\n"},
		{"sshd listens elsewhere", fileBlock("host.h", "drop", drop, "Port 2222\n", "") + restart(drop)},
		{"nobody may log in", fileBlock("host.h", "drop", drop, "DenyUsers *\n", "") + restart(drop)},
		{"sshd does not start any more", fileBlock("host.h", "drop", drop, "NoSuchKeyword yes\n", "") + restart(drop)},
		{"sudo denies", fileBlock("host.h", "sudo", "/etc/sudoers.d/zz-faults", "admin ALL=(ALL) !ALL\n", "  mode = \"0440\"\n")},
		{"the login's key is gone", fileBlock("host.h", "keys", "/home/admin/.ssh/authorized_keys", "", "")},
	}
	h := boot(t)
	s := newSite(t, host{Host: h, More: shortConfirm})
	base := fileBlocks("host.h", "f", 2, "old\n")
	s.write("main.hcl", base)
	s.apply().says(t, 0)
	cases = cases[:size(3, len(cases))]
	for _, c := range cases {
		s.write("main.hcl", fileBlocks("host.h", "f", 2, "new\n")+c.config)
		r := s.apply()
		r.says(t, 1)
		if !strings.Contains(r.output, "rolled back") && c.name != "sshd does not start any more" {
			t.Errorf("%s: nothing says that it was rolled back:\n%s", c.name, r.output)
		}
		eventually(t, "logins to work again after: "+c.name, func() bool { return sshAnswers(h) })
		clean(t, h)
		uniform(t, h, "f", 2, "old\n")
		if !succeeds(h, "systemctl is-active --quiet ssh && test ! -e "+drop+" -a ! -e /etc/sudoers.d/zz-faults -a -s /home/admin/.ssh/authorized_keys") {
			t.Errorf("%s: the host is not as it was", c.name)
		}
		s.write("main.hcl", base)
		oracle(t, s, h, r)
	}
	// A harmless change of the same kind is confirmed, and stays.
	s = newSite(t, host{Host: h, More: longConfirm})
	s.write("main.hcl", base+fileBlock("host.h", "drop", drop, "MaxAuthTries 5\n", "")+restart(drop))
	s.apply().says(t, 0)
	oracle(t, s, h, result{})
	if !strings.Contains(read(t, h, drop), "MaxAuthTries") {
		t.Error("a harmless change of sshd's configuration did not stay")
	}
	record(t, 8, "change that locks the operator out of SSH or sudo", len(cases), "rolled back automatically; exit status 1")
}

// TestFault09ConfirmationLost: the connection for the confirmation is lost. Success is never
// reported if the host has rolled back.
func TestFault09ConfirmationLost(t *testing.T) {
	t.Parallel()
	h := boot(t)
	g := newGate(t, h, passAll)
	impatient, patient := host{Host: h, Address: g.address(), More: shortConfirm}, host{Host: h, Address: g.address(), More: longConfirm}
	s := newSite(t, patient)
	risky := func(content string) {
		s.write("main.hcl", fileBlocks("host.h", "f", 2, content)+fileBlock("host.h", "drop", "/etc/ssh/sshd_config.d/50-faults.conf", "# "+content, ""))
	}
	risky("0\n")
	g.change(passAll)
	s.apply().says(t, 0)
	if n, _, _ := g.passed(); n < 2 {
		t.Fatalf("a change below /etc/ssh was confirmed over no new connection: %d connections", n)
	}
	// What the second connection of a good run carries.
	risky("1\n")
	size2 := measureSecond(t, g, s)
	later := func(how treatment) func(int) treatment {
		return func(number int) treatment {
			if number == 1 {
				return treatment{}
			}
			return how
		}
	}
	second := func(how treatment) func(int) treatment {
		return func(number int) treatment {
			if number == 2 {
				return how
			}
			return treatment{}
		}
	}
	type loss struct {
		name  string
		treat func(int) treatment
		fails bool // no confirmation can have arrived
	}
	losses := []loss{{"every new connection refused", later(treatment{refuse: true}), true}}
	for _, k := range spread(8, size(2, 8)) {
		at := max(1, size2*int64(k)/8)
		losses = append(losses, loss{fmt.Sprintf("second connection cut after %d bytes back", at), second(treatment{cutDown: at}), false})
	}
	if all() {
		losses = append(losses,
			loss{"every new connection cut within its key exchange", later(treatment{cutDown: 200}), true},
			loss{"second connection refused, later ones good", second(treatment{refuse: true}), false})
	}
	old := "1\n"
	for i, l := range losses {
		young := fmt.Sprint("after ", i, "\n")
		risky(young)
		g.change(l.treat)
		if l.fails {
			s.write("hosts.hcl", impatient.block(t, "h"))
		}
		r := s.apply()
		g.change(passAll)
		s.write("hosts.hcl", patient.block(t, "h"))
		if l.fails && r.exit == 0 {
			t.Errorf("%s: exit status 0:\n%s", l.name, r.output)
		}
		truthful(t, l.name, h, 2, old, young, r)
		oracle(t, s, h, r)
		old = young
	}
	record(t, 9, "connection for the confirmation refused or lost", len(losses), "success only if the host has committed")
}

// measureSecond applies and returns the number of bytes received on all connections after the
// first.
func measureSecond(t testing.TB, g *gate, s *site) int64 {
	t.Helper()
	var before int64
	g.change(func(number int) treatment {
		if number == 2 {
			before = g.down // called with the gate's lock held
		}
		return treatment{}
	})
	s.apply().says(t, 0)
	_, _, down := g.passed()
	if before == 0 || down <= before {
		t.Fatalf("no second connection: %d bytes back before it, %d in all", before, down)
	}
	return down - before
}

// wireSession is a session with the helper on a host without mirrorform. It uses ssh and the same
// command line, except for the search for the helper.
type wireSession struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

// talk starts the helper that an earlier apply pushed.
func talk(t testing.TB, h *lab.Host) *wireSession {
	t.Helper()
	cmd := exec.Command("ssh", "-F", "none", "-i", h.SSHKeyPath, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
		"-o", "LogLevel=ERROR", "admin@"+h.Address, "exec sudo -n -- /bin/sh -c 'exec /var/lib/mirrorform/helper/helper-* --nonce 00ff'")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &wireSession{t, cmd, in, out}
	t.Cleanup(w.end)
	preamble := make([]byte, len(wire.Preamble))
	if _, err := io.ReadFull(out, preamble); err != nil || string(preamble) != wire.Preamble {
		t.Fatalf("the helper begins with %q: %v", preamble, err)
	}
	if m := w.next(); m.Hello == nil {
		t.Fatalf("the helper does not greet: %+v", m)
	}
	return w
}

// end closes the connection and waits until the helper has ended.
func (w *wireSession) end() {
	_ = w.in.Close()
	_, _ = io.Copy(io.Discard, w.out)
	_ = w.cmd.Wait()
}

// next returns the next message other than heartbeats and events.
func (w *wireSession) next() *wire.Message {
	w.t.Helper()
	for {
		m, err := wire.Read(w.out)
		if err != nil {
			w.t.Fatalf("the helper: %v", err)
		}
		if m.Beat == nil && m.Event == nil && m.Waiting == nil {
			return m
		}
	}
}

// ask sends a message and returns the answer.
func (w *wireSession) ask(m *wire.Message) *wire.Message {
	w.t.Helper()
	if err := wire.Write(w.in, m); err != nil {
		w.t.Fatal(err)
	}
	return w.next()
}

// begin begins a transaction and returns its ID.
func (w *wireSession) begin() string {
	w.t.Helper()
	m := w.ask(&wire.Message{Begin: &wire.Begin{Operator: "tester@faults", Command: "apply", Wait: 20}})
	if m.Begun == nil || m.Begun.ID == "" {
		w.t.Fatalf("no transaction has begun: %+v", m)
	}
	return m.Begun.ID
}

// done sends a message that is answered by Done.
func (w *wireSession) done(m *wire.Message) *wire.Done {
	w.t.Helper()
	answer := w.ask(m)
	if answer.Done == nil {
		w.t.Fatalf("not done: %+v", answer)
	}
	return answer.Done
}

// TestFault10StaleConfirmation: only the nonce of the current transaction confirms it. Stored,
// guessed and forged confirmations are ignored.
func TestFault10StaleConfirmation(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s := newSite(t, host{Host: h, More: shortConfirm})
	s.write("main.hcl", fileBlocks("host.h", "f", 2, "old\n"))
	s.apply().says(t, 0)
	const target = "/etc/ctl/confirmed-or-not"
	const stale, right = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"
	order := func(nonce string) *wire.Message {
		return &wire.Message{Do: &wire.Do{
			Ops: []wire.Order{{ID: 1, Op: wire.Op{Expect: fingerprint(t, h, target), Write: &wire.WriteOp{Path: target, Content: []byte("x\n")}},
				Undo: &wire.Op{Restore: &wire.RestoreOp{Path: target}}}},
			Confirm: &wire.Confirmation{Nonce: nonce, Timeout: 20},
		}}
	}
	journal := stateDir + "/journal"
	cases := []struct {
		name string
		// plant puts something on the host while the transaction id is open.
		plant func(id string)
		good  bool
	}{
		{"nothing", func(string) {}, false},
		{"the nonce of an earlier apply, as a file", func(id string) { put(t, h, path.Join(journal, id, "confirmed"), stale, 0o600) }, false},
		{"an empty file", func(id string) { put(t, h, path.Join(journal, id, "confirmed"), "", 0o600) }, false},
		{"the right nonce with more behind it", func(id string) { put(t, h, path.Join(journal, id, "confirmed"), right+"00", 0o600) }, false},
		{"the first half of the right nonce", func(id string) { put(t, h, path.Join(journal, id, "confirmed"), right[:16], 0o600) }, false},
		{"the right nonce beside the journal", func(string) { put(t, h, path.Join(journal, "confirmed"), right, 0o600) }, false},
		{"the right nonce in the state directory", func(string) { put(t, h, path.Join(stateDir, "confirmed"), right, 0o600) }, false},
		{"a confirmation with a stale nonce, over another connection", func(id string) { confirm(t, h, id, stale) }, false},
		{"a confirmation of an earlier transaction, over another connection", func(string) { confirm(t, h, strings.Repeat("0", 32), right) }, false},
		{"a confirmation of a path, over another connection", func(string) { confirm(t, h, "../journal", right) }, false},
		{"the right one, over another connection", func(id string) { confirm(t, h, id, right) }, true},
	}
	for _, c := range cases {
		w := talk(t, h)
		id := w.begin()
		if d := w.done(order(right)); d.Error != "" || d.Failed != nil {
			t.Fatalf("%s: the operation failed: %+v", c.name, d)
		}
		c.plant(id)
		d := w.done(&wire.Message{Commit: &wire.Commit{}})
		w.end()
		there := succeeds(h, "test -e "+target)
		switch {
		case c.good && (d.Error != "" || !there):
			t.Errorf("%s: it was not made final: %+v", c.name, d)
		case !c.good && (d.Error == "" || there):
			t.Errorf("%s: it was made final: %+v", c.name, d)
		}
		on(t, h, "rm", "-f", target, path.Join(journal, "confirmed"), path.Join(stateDir, "confirmed"))
		clean(t, h)
	}
	s.write("main.hcl", fileBlocks("host.h", "f", 2, "new\n"))
	oracle(t, s, h, result{exit: 1})
	uniform(t, h, "f", 2, "new\n")
	record(t, 10, "stale, foreign, truncated or forged confirmation", len(cases)-1, "ignored; only the right nonce confirms")
}

// confirm sends a confirmation over a separate connection.
func confirm(t testing.TB, h *lab.Host, id, nonce string) {
	t.Helper()
	w := talk(t, h)
	defer w.end()
	_ = w.ask(&wire.Message{Confirm: &wire.Confirm{ID: id, Nonce: nonce}}) // refused or not: the commit shows
}

// fingerprint queries the helper for the fingerprint of a path.
func fingerprint(t testing.TB, h *lab.Host, file string) string {
	t.Helper()
	w := talk(t, h)
	defer w.end()
	m := w.ask(&wire.Message{Ask: &wire.Ask{Queries: []wire.Query{{Verb: wire.AskFile, Arg: file}}}})
	if m.Answers == nil || len(m.Answers.Answers) != 1 || m.Answers.Answers[0].File == nil {
		t.Fatalf("no answer about %s: %+v", file, m)
	}
	return m.Answers.Answers[0].File.Fingerprint
}
