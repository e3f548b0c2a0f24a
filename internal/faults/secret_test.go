package faults

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// canary is the secret of row 41.
const canary = "canary-7c1f95e2"

// sinks are the files that a run writes, each in a different format.
var sinks = []string{"json", "junit", "sarif", "markdown", "html", "prometheus"}

// loud runs the program with all kinds of output, and returns them together with the printed text.
func (s *site) loud(t *testing.T, exit int, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	args = append(args, "-vv", "--log-file", filepath.Join(dir, "log"), "--events", filepath.Join(dir, "events"))
	for _, format := range sinks {
		args = append(args, "--report", format+"="+filepath.Join(dir, format))
	}
	r := s.run(args...)
	r.says(t, exit)
	all := r.output
	for _, name := range append([]string{"log", "events"}, sinks...) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || len(text) == 0 {
			t.Errorf("%q wrote no %s: %v", args, name, err)
		}
		all += "\n" + string(text)
	}
	return all
}

// silent checks that a text does not contain a secret in any form, and contains the given texts.
func silent(t *testing.T, what, text string, says ...string) {
	t.Helper()
	encoded := base64.StdEncoding.EncodeToString([]byte(canary))
	for _, form := range []string{canary, "7c1f95e2", strings.ToUpper(canary), encoded[:16], "c a n a r y", "2e59f1c7"} {
		if strings.Contains(text, form) {
			at := strings.Index(text, form)
			t.Errorf("%s: %q is in %.300q", what, form, text[max(0, at-150):])
		}
	}
	for _, want := range says {
		if !strings.Contains(text, want) {
			t.Errorf("%s: nothing says %q:\n%s", what, want, text)
		}
	}
}

// A secret that a program prints, or a value that was a secret before, is in no output of a run.
func TestFault41SecretPrinted(t *testing.T) {
	t.Parallel()
	h := boot(t)
	const forms = `{ cat "$1"; base64 "$1"; rev "$1"; tr a-z A-Z <"$1"; sed 's/./& /g' "$1"; sha256sum "$1"; } >&2; tail -n 1 "$1"; exit 3`
	file := func(name, content, script string, more ...string) string {
		validate := ""
		if script != "" {
			validate = fmt.Sprintf("  validate = [\"/bin/sh\", \"-c\", %q, \"sh\", \"{}\"]\n", script)
		}
		return fmt.Sprintf("resource \"file\" %q {\n  hosts = [host.h]\n  path = \"/etc/fault-%[1]s\"\n  content = %s\n%s%s}\n", name, content, validate, strings.Join(more, ""))
	}
	const variable = "variable \"secret\" {\n  type = string\n  sensitive = %v\n}\n"
	secret := file("secret", `"token=${var.secret}\n"`, "")
	unit := "resource \"file\" \"unit\" {\n  hosts = [host.h]\n  path = \"/etc/systemd/system/fault.service\"\n" +
		"  content = \"[Service]\\nType=oneshot\\nExecStart=/bin/sh -c 'cat /etc/fault-secret; base64 /etc/fault-secret; exit 3'\\n\"\n}\n" +
		"resource \"service\" \"fault\" {\n  hosts = [host.h]\n  name = \"fault\"\n  running = true\n  depends_on = [file.unit, file.secret]\n%s}\n"
	injected := 0
	for _, c := range []struct {
		what, config string
		says         []string
	}{
		{"a validator of the secret's file", file("checked", `"token=${var.secret}\n"`, forms),
			[]string{"the new content of /etc/fault-checked is not valid: /bin/sh: exit status 3 (the output is not shown", "To see it, "}},
		{"a validator of another file", secret + file("other", `"x\n"`, `echo first; echo "line 3: unknown $(cat /etc/fault-secret) in $1"; exit 3`, "  depends_on = [file.secret]\n"),
			[]string{"exit status 3 (the output is not shown"}},
		{"a validator that has nothing to do with it", secret + file("zzz", `"x\n"`, `echo "line 3: unknown $(tr -d '\n' </etc/fault-secret), $(base64 </etc/fault-secret) here"; exit 3`),
			[]string{"exit status 3: line 3: unknown (sensitive value), (sensitive value)"}},
		{"a unit", secret + fmt.Sprintf(unit, "  restart_on = [\"/etc/fault-secret\"]\n"), []string{"the output is not shown", "journalctl --unit fault.service"}},
		{"a gate", secret + "rollout {\n  gate {\n    command = [\"/bin/sh\", \"-c\", \"echo the gate: $MIRRORFORM_VAR_secret; echo $MIRRORFORM_VAR_secret | base64; exit 1\"]\n  }\n}\n",
			[]string{"the gate: (sensitive value)"}},
	} {
		s := newSite(t, host{Host: h})
		s.env = append(s.env, "MIRRORFORM_VAR_secret="+canary)
		s.write("main.hcl", fmt.Sprintf(variable, true)+c.config)
		silent(t, c.what+", planned", s.loud(t, 0, "plan"))
		silent(t, c.what, s.loud(t, 1, "apply", "--auto-approve"), c.says...)
		injected++
		if t.Failed() {
			return
		}
	}

	// A new file is private, and stays so; one that others can read is named.
	s := newSite(t, host{Host: h})
	on(t, h, "rm", "-f", "/etc/fault-secret")
	s.env = append(s.env, "MIRRORFORM_VAR_secret="+canary)
	s.write("main.hcl", fmt.Sprintf(variable, true)+secret)
	silent(t, "a new file", s.loud(t, 0, "apply", "--auto-approve"), "with mode 0600, since it contains a secret")
	if mode := strings.TrimSpace(on(t, h, "stat", "-c", "%a", "/etc/fault-secret")); mode != "600" {
		t.Errorf("the new file has mode %s", mode)
	}
	on(t, h, "chmod", "0644", "/etc/fault-secret")
	silent(t, "a file that others read", s.loud(t, 0, "plan"), "chmod 0600 /etc/fault-secret")
	if mode := strings.TrimSpace(on(t, h, "stat", "-c", "%a", "/etc/fault-secret")); mode != "644" {
		t.Errorf("the file that was there has mode %s", mode)
	}

	// The variable loses its mark and its name; the old value is not shown beside the new one.
	for _, config := range []string{
		fmt.Sprintf(variable, false) + secret,
		strings.ReplaceAll(secret, "${var.secret}", "none"),
		strings.ReplaceAll(strings.ReplaceAll(secret, "${var.secret}", "none"), `"file" "secret"`, `"file" "renamed"`),
	} {
		s.write("main.hcl", config)
		silent(t, "no longer sensitive", s.loud(t, 0, "plan"))
		injected++
	}
	silent(t, "no longer sensitive, applied", s.loud(t, 0, "apply", "--auto-approve"), "(sensitive value)")
	record(t, 41, "a secret in output of validators, units and gates, in files that others can read, and no longer marked as sensitive", injected+3,
		"redacted on the terminal, in logs, events and all reports; the error says where to find the output")
}
