package main

import (
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// traced is one execve(2).
type traced struct {
	path      string
	argv, env []string
}

func (e traced) String() string { return fmt.Sprintf("%s %q", e.path, e.argv) }

// tracer is an strace(1) of a host's sshd and of everything below it.
type tracer struct{ host *lab.Host }

// tracePath is on a file system that is not searched for the secret.
const tracePath = "/mnt/strace/trace"

func startTrace(t *testing.T, h *lab.Host) *tracer {
	t.Helper()
	const script = `mkdir -p /mnt/strace && systemd-run --quiet --unit=trace strace -f -v -xx -e trace=execve -s 65535 -o ` + tracePath + ` -p "$(systemctl show --value -p MainPID ssh.service)"`
	if _, err := h.Run(t.Context(), "sh", "-c", script); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		pid, err := h.Run(t.Context(), "sh", "-c", `grep TracerPid "/proc/$(systemctl show --value -p MainPID ssh.service)/status"`)
		if err == nil && !strings.HasSuffix(strings.TrimSpace(string(pid)), "\t0") {
			return &tracer{h}
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("sshd is not traced: %s (%v)", pid, err)
		}
	}
}

// read returns what was traced so far.
func (tr *tracer) read(t *testing.T) []traced {
	t.Helper()
	text, err := tr.host.Read(tracePath)
	if err != nil {
		t.Fatal(err)
	}
	execs, err := parseTrace(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return execs
}

// execve is a call as strace -v -xx prints it: every string in hexadecimal, so that nothing in one can end it.
var execve = regexp.MustCompile(`execve\("((?:\\x[0-9a-f]{2})*)", \[((?:"(?:\\x[0-9a-f]{2})*"(?:, )?)*)\], \[((?:"(?:\\x[0-9a-f]{2})*"(?:, )?)*)\]`)

func parseTrace(text string) ([]traced, error) {
	var execs []traced
	for line := range strings.Lines(text) {
		if !strings.Contains(line, " execve(") {
			continue
		}
		m := execve.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("a call that is not whole: %.300s", line)
		}
		e := traced{path: unhex(m[1])}
		for list, into := range map[string]*[]string{m[2]: &e.argv, m[3]: &e.env} {
			for s := range strings.SplitSeq(list, ", ") {
				*into = append(*into, unhex(strings.Trim(s, `"`)))
			}
		}
		execs = append(execs, e)
	}
	return execs, nil
}

// unhex reads \x2f\x62\x69\x6e.
func unhex(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	if err != nil {
		return "\xff" + s
	}
	return string(b)
}

// hostilePrograms are those that run below sshd, by their names.
var hostilePrograms = []string{
	"sshd", "bash", "tcsh", "fish", "sh", "dash", "sudo", "helper", "uname", "id", "rm", "mv", "mkdir", "chmod", "sha256sum", "head", "grep", "find", "cat", "diff",
	"getent", "ls", "systemctl", "useradd", "usermod", "groupadd", "groupmod", "mkfs.ext4", "mke2fs", "mount", "umount", "findmnt", "blkid", "lsblk", "udevadm", "nginx", "logrotate", "echo",
	"env", "run-parts", "nscd", "sss_cache", "systemd-tmpfiles", "crontab", "dpkg-query", "dpkg", "apt-cache", "dircolors", "locale", "uniq", "sort", "unix_chkpwd", "motd", "00-header", "10-uname",
}

var (
	hexDigits = regexp.MustCompile(`[0-9a-f]{16,64}`)
	// ourTemporary is the name of a temporary file of the helper, which lies beside the file that it becomes.
	ourTemporary = regexp.MustCompile(`^\.mirrorform-[0-9A-Za-z-]+$`)
)

// problemsOf tells what is wrong with traced calls. exact are the values that may be an argument, as they are; of every other argument no value is any
// part, nor of the environment, nor of a shell's -c; the secret is nowhere.
func problemsOf(execs []traced, exact map[string]bool) []string {
	var out []string
	for _, e := range execs {
		name := path.Base(e.path)
		if strings.HasPrefix(name, "helper-") || strings.HasPrefix(name, ".helper-") {
			name = "helper"
		}
		if !slices.Contains(hostilePrograms, name) {
			out = append(out, "a program that is not expected: "+e.String())
		}
		for i, arg := range e.argv {
			whole := exact[arg] || exact[path.Dir(arg)] || ourTemporary.MatchString(path.Base(arg)) && beside(exact, arg)
			if strings.Contains(arg, hostileMark) && !whole {
				out = append(out, fmt.Sprintf("the argument %q of %s", arg, e))
			}
			if strings.Contains(arg, hostileMark) && i > 0 && isShell(name) {
				out = append(out, fmt.Sprintf("a shell is given %q: %s", arg, e))
			}
		}
		for _, s := range slices.Concat([]string{e.path}, e.argv, e.env) {
			if strings.Contains(s, hostileCanary) {
				out = append(out, fmt.Sprintf("the secret in %q of %s", s, e))
			}
		}
		for _, s := range e.env {
			if strings.Contains(s, hostileMark) {
				out = append(out, fmt.Sprintf("the environment %q of %s", s, e))
			}
		}
	}
	return out
}

// beside tells whether a path lies in the directory of one of the values.
func beside(exact map[string]bool, p string) bool {
	for v := range exact {
		if path.Dir(v) == path.Dir(p) {
			return true
		}
	}
	return false
}

func isShell(name string) bool {
	return slices.Contains([]string{"sh", "dash", "bash", "tcsh", "fish"}, name)
}

// checkExecs holds that a trace is whole, and that there is nothing wrong in it. logins is how often mirrorform connected.
func checkExecs(t *testing.T, execs []traced, exact map[string]bool, logins int) {
	t.Helper()
	for _, p := range problemsOf(execs, exact) {
		t.Error(p)
	}
	// sshd runs command lines by login shells, and they /bin/sh; what differs between two of one kind is hexadecimal.
	helpers, lines := map[string]int{}, map[string]bool{}
	for _, e := range execs {
		name := path.Base(e.path)
		helpers[name]++
		if strings.HasPrefix(name, "helper-") && slices.Contains(e.argv, "--nonce") {
			helpers["helper"]++
		}
		if isShell(name) && len(e.argv) > 2 && e.argv[1] == "-c" {
			lines[hexDigits.ReplaceAllString(e.argv[2], "H")] = true
		}
	}
	if helpers["helper"] < logins || helpers["useradd"] < 1 || helpers["echo"] < len(hostileWords) || helpers["tcsh"] < 1 || helpers["fish"] < 1 || helpers["nginx"] < 1 {
		t.Errorf("the trace is not whole: %v", helpers)
	}
	for line := range lines {
		if !commandLine.MatchString(line) {
			t.Errorf("a command line that is not expected: %s", line)
		}
	}
	if len(lines) > 2*4+2 {
		t.Errorf("%d command lines, so something varies in them: %q", len(lines), slices.Sorted(maps.Keys(lines)))
	}
}

// checkJob checks that a sync runs rsync and curl, and that no program gets the secret as an
// argument or in its environment.
func checkJob(t *testing.T, execs []traced) {
	t.Helper()
	for _, name := range []string{"rsync", "curl"} {
		if !slices.ContainsFunc(execs, func(e traced) bool { return path.Base(e.path) == name }) {
			t.Errorf("the sync did not run %s: %v", name, execs)
		}
	}
	for _, e := range execs {
		for _, s := range slices.Concat([]string{e.path}, e.argv, e.env) {
			if strings.Contains(s, hostileCanary) {
				t.Errorf("the secret in %q of %s", s, e)
			}
		}
	}
}

// commandLine is how the lines begin that shells are given: to run, survey and install the helper, by the login shell or by sh; sshd's own.
var commandLine = regexp.MustCompile(`^((/bin/sh -c ')?LC_ALL=C; export LC_ALL; (set -- "\$\{HOME:-/dev/null\}/\.cache/mirrorform"|exec (sudo -n -- )?/bin/sh -c "set -f; )|set -f; umask 066; mkdir -p /(var/lib|opt)/mirrorform |/usr/bin/env -i PATH=[a-z/:]* run-parts )`)

// What is sought in a trace is found in one.
func TestTraceIsRead(t *testing.T) {
	t.Parallel()
	line := func(words ...string) string {
		quoted := make([]string, len(words))
		for i, w := range words {
			quoted[i] = `"`
			for _, c := range []byte(w) {
				quoted[i] += fmt.Sprintf(`\x%02x`, c)
			}
			quoted[i] += `"`
		}
		return fmt.Sprintf("41    execve(%s, [%s], [%s]) = 0\n", quoted[0], strings.Join(quoted[1:len(quoted)-1], ", "), quoted[len(quoted)-1])
	}
	exact := map[string]bool{"$(touch /pwn-1)": true}
	for _, c := range []struct {
		text     string
		problems int
	}{
		{line("/bin/echo", "echo", "$(touch /pwn-1)", "A=b"), 0},
		{line("/bin/echo", "echo", "x $(touch /pwn-1)", "A=b"), 1},
		{line("/bin/echo", "echo", "/pwn-1)", "A=b"), 1},
		{line("/bin/sh", "sh", "-c", "$(touch /pwn-1)", "A=b"), 1},
		{line("/bin/sh", "sh", "-c", "echo pwn", "A=b"), 2},
		{line("/usr/bin/touch", "touch", "/x", "A=b"), 1},
		{line("/bin/echo", "echo", "A=pwn"), 1},
		{line("/bin/echo", "echo", "TOKEN="+hostileCanary), 1},
		{line("/bin/echo", "echo", "a", hostileCanary, "A=b"), 1},
		{"40 +++ exited with 0 +++\n", 0},
	} {
		execs, err := parseTrace(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if found := problemsOf(execs, exact); len(found) != c.problems {
			t.Errorf("%q has the problems %q, want %d", c.text, found, c.problems)
		}
	}
	if execs, err := parseTrace("1 execve(\"\\x2f\", [\"\\x2f\"...], 0x7ffd /* 3 vars */) = 0\n"); err == nil {
		t.Errorf("a call that is cut short is read as %v", execs)
	}
}
