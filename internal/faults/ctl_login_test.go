package faults

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// TestFault22BecomingRoot: a sudo that denies, prompts, rejects the password or requires a terminal
// is detected before the first write. The other hosts continue.
func TestFault22BecomingRoot(t *testing.T) {
	t.Parallel()
	h := boot(t)
	const rule = "/etc/sudoers.d/zz-faults" // the last rule that matches decides (sudoers(5))
	variants := []struct {
		name, user, rule, password, says string
	}{
		{"no rule", "plain", "", "", "sudo"},
		{"denied", "admin", "admin ALL=(ALL) !ALL\n", "", "cannot become root"},
		{"another program only", "admin", "admin ALL=(ALL) !ALL, NOPASSWD: /bin/true\n", "", "cannot become root"},
		{"another account only", "admin", "admin ALL=(ALL) !ALL\nadmin ALL=(op) NOPASSWD: ALL\n", "", "cannot become root"},
		{"asks, and nobody answers", "op", "", "", "--ask-become-pass"},
		{"asks, and the answer is wrong", "op", "", "canary-wrong-9417", "sudo refused the password"},
		{"asks an account without a password", "admin", "admin ALL=(ALL) PASSWD: ALL\n", "canary-wrong-9417", "sudo refused the password"},
		{"wants a terminal", "admin", "Defaults:admin requiretty\n", "", "requiretty"},
	}
	good := newSite(t, host{Host: h})
	good.write("main.hcl", fileBlocks("host.h", "f", 2, "old\n"))
	good.apply().says(t, 0)
	for _, v := range variants {
		if v.rule != "" {
			put(t, h, rule, v.rule, 0o440)
		}
		check := unwritten(t, h)
		s := newSite(t, host{Host: h, User: v.user})
		s.write("main.hcl", fileBlocks("host.h", "f", 2, "new\n"))
		s.env = append(s.env, "MIRRORFORM_BECOME_PASSWORD="+v.password)
		for _, args := range [][]string{{"plan"}, {"apply", "--auto-approve"}} {
			r := s.run(args...)
			r.says(t, 1, v.says)
			if strings.Contains(r.output, "canary") {
				t.Errorf("%s: the password was printed:\n%s", v.name, r.output)
			}
		}
		check(v.name)
		on(t, h, "rm", "-f", rule)
	}
	on(t, h, "mv", "/usr/bin/sudo", "/usr/bin/sudo.away")
	check := unwritten(t, h)
	good.write("main.hcl", fileBlocks("host.h", "f", 2, "new\n"))
	r := good.apply()
	r.says(t, 1, "sudo is not installed")
	check("no sudo")
	on(t, h, "mv", "/usr/bin/sudo.away", "/usr/bin/sudo")
	oracle(t, good, h, r)
	uniform(t, h, "f", 2, "new\n")
	record(t, 22, "sudo denied, missing or asking for a password", len(variants)+1, "reported before the first write; nothing written")
}

// TestFault22SudoTakenAway: the account loses the right to become root between the plan and its
// approval. Running processes keep their rights. A host that needs a new connection for its
// confirmation and gets none is rolled back.
func TestFault22SudoTakenAway(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s := changedSite(t, h)
	asked := s.startOnTerminal("apply")
	asked.until("Answer:")
	put(t, h, "/etc/sudoers.d/zz-faults", "admin ALL=(ALL) !ALL\n", 0o440)
	asked.say("yes")
	r := asked.wait()
	on(t, h, "rm", "/etc/sudoers.d/zz-faults")
	if got := uniform(t, h, "f", 2, "old\n", "new\n"); r.exit == 0 && got != "new\n" || r.exit != 0 && got != "old\n" {
		t.Errorf("exit status %d, and the files hold %q:\n%s", r.exit, got, r.output)
	}
	oracle(t, s, h, r)
	record(t, 22, "sudo denied after the plan, before the approval", 1, "all or nothing, as the exit status reports")
}

// TestFault23HostKey: a host key that differs from the known key ends the connection. The host
// receives nothing but the key exchange.
func TestFault23HostKey(t *testing.T) {
	t.Parallel()
	path, env := program(t)
	keys := func(k ...ssh.Signer) []ssh.Signer { return k }
	cases := []struct {
		name            string
		has, known      []ssh.Signer
		pin             ssh.Signer
		accept, trusted bool
		says            string
	}{
		{name: "another key", has: keys(otherHostKey()), known: keys(edHostKey()), says: "host key"},
		{name: "another key, new ones accepted", has: keys(otherHostKey()), known: keys(edHostKey()), accept: true, says: "host key"},
		{name: "no entry", has: keys(edHostKey()), says: "--accept-new-host-keys"},
		{name: "another pinned key", has: keys(otherHostKey()), pin: edHostKey(), says: "host_key"},
		{name: "a known key of another kind than the pinned one", has: keys(edHostKey()), known: keys(edHostKey()), pin: rsaHostKey()},
		{name: "RSA known, another RSA shown", has: keys(otherRSAKey(), edHostKey()), known: keys(rsaHostKey()), says: "host key"},
		{name: "RSA known, Ed25519 alone shown", has: keys(edHostKey()), known: keys(rsaHostKey())},
		{name: "RSA known, Ed25519 alone shown, new ones accepted", has: keys(edHostKey()), known: keys(rsaHostKey()), accept: true},
		// The counterparts: the same server is logged in to when its key is right, so the refusals are none of the fake's.
		{name: "RSA known, and shown beside Ed25519", has: keys(edHostKey(), rsaHostKey()), known: keys(rsaHostKey()), trusted: true},
		{name: "the known key", has: keys(edHostKey()), known: keys(edHostKey()), trusted: true},
		{name: "the pinned key", has: keys(edHostKey()), pin: edHostKey(), trusted: true},
	}
	refused := 0
	for _, c := range cases {
		p := newPeer(t)
		p.hostKeys = c.has
		p.run = (&play{}).run(p)
		p.serve(t)
		s := &site{t: t, dir: t.TempDir(), path: path, env: append(append([]string(nil), env...), "HOME="+t.TempDir(), "USER=tester")}
		more := ""
		if c.pin != nil {
			more = fmt.Sprintf("  host_key = %q\n", publicLine(c.pin))
		}
		s.write("hosts.hcl", p.block("h", more))
		s.write("main.hcl", fileBlocks("host.h", "f", 1, "x\n"))
		args := []string{"apply", "--auto-approve", "--known-hosts", p.knownHosts(t, c.known...)}
		if c.accept {
			args = append(args, "--accept-new-host-keys")
		}
		r := s.run(args...)
		attempts := p.attempts.Load()
		if c.trusted {
			r.says(t, 0)
			if attempts == 0 {
				t.Errorf("%s: it was not logged in to:\n%s", c.name, r.output)
			}
			continue
		}
		refused++
		r.says(t, 1, c.says)
		if attempts != 0 || p.commands.Load() != 0 {
			t.Errorf("%s: %d attempts to authenticate, %d commands; none may be made:\n%s", c.name, attempts, p.commands.Load(), r.output)
		}
	}
	record(t, 23, "host key that differs from the known key", refused, "ended before authentication")
}

// TestFault23KeysSwapped: the keys of a real host change between plan and apply, as if the host was
// reinstalled or impersonated.
func TestFault23KeysSwapped(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s := changedSite(t, h)
	s.run("plan", "--out", "p.plan").says(t, 0)
	swap := `cd /etc/ssh && mkdir -p kept && mv ssh_host_* kept/ && for k in ed25519 ecdsa rsa; do ssh-keygen -q -t $k -N '' -f ssh_host_${k}_key; done`
	back := `cd /etc/ssh && rm ssh_host_* && mv kept/* . && rmdir kept`
	sh(t, h, swap)
	check := unwritten(t, h)
	s.run("apply", "p.plan").says(t, 1, "host key")
	r := s.apply()
	r.says(t, 1, "host key")
	check("swapped host keys")
	sh(t, h, back)
	oracle(t, s, h, r)
	uniform(t, h, "f", 2, "new\n")
	record(t, 23, "keys of a real host swapped after the plan", 2, "refused; nothing written")
}
