package resources

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// rsyncURL is what a module is asked for at.
var rsyncURL = regexp.MustCompile(`^rsync://(127\.0\.0\.1|\[::1\])/[A-Za-z0-9][A-Za-z0-9_-]*/$`)

// checkRsyncModule holds that rsync reads one module, with exactly the wanted values.
func checkRsyncModule(t *testing.T, s *RsyncModule) {
	t.Helper()
	got := map[string]string{}
	sections := 0
	for line := range strings.Lines(*s.Content) {
		if !strings.HasSuffix(line, "\n") || strings.ContainsAny(line, "\r\x00") || strings.HasSuffix(line, "\\\n") {
			t.Fatalf("%q is more or less than a line", line)
		}
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			if sections++; line != "["+s.Name+"]" || sections > 1 {
				t.Errorf("the section %q", line)
			}
		default:
			name, value, ok := strings.Cut(line, "=")
			if name = strings.TrimSpace(name); !ok || sections != 1 || got[name] != "" {
				t.Errorf("%q is no parameter of the module", line)
			}
			got[name] = strings.TrimSpace(value)
		}
	}
	want := map[string]string{
		"path": s.Path, "comment": s.Comment, "read only": "yes", "write only": "no", "list": "yes", "auth users": "",
		"uid": s.UID, "gid": s.GID, "exclude": strings.Join(s.Exclude, " "), "hosts deny": strings.Join(s.HostsDeny, " "),
		"refuse options": strings.Join(s.RefuseOptions, " "), "log file": s.Log,
	}
	if len(s.HostsAllow) > 0 {
		want["hosts allow"] = strings.Join(s.HostsAllow, " ") + " 127.0.0.1 ::1"
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("rsync reads %s = %q, want %q", name, got[name], value)
		}
	}
}

// mirrorform's lines come where they change how no other line is read, and go without a trace.
func TestRsyncdConf(t *testing.T) {
	t.Parallel()
	const lines, last = rsyncdMarker + rsyncdInclude, rsyncdUnended + rsyncdInclude
	for _, c := range []struct{ name, text, want, motd string }{
		{"empty", "", lines, ""},
		{"no module", "uid = nobody\n", "uid = nobody\n" + lines, ""},
		{"no newline", "uid = nobody", "uid = nobody\n" + last, ""},
		{"modules", "uid = nobody\n\n[a]\npath = /a\n", "uid = nobody\n\n" + lines + "[a]\npath = /a\n", ""},
		{
			"comment of a module", "x = y\n\n# of a\n; too\n[a]\npath = /a\n",
			"x = y\n\n" + lines + "# of a\n; too\n[a]\npath = /a\n", "",
		},
		{"module first", "[a]\npath = /a", lines + "[a]\npath = /a", ""},
		{
			"global", "[Global]\nuid = x\n[a]\npath = /a\n",
			"[Global]\nuid = x\n" + lines + "[a]\npath = /a\n", "",
		},
		{
			"continued", "exclude = a \\\n[b] \\\nc\n[a]\npath = /a\n",
			"exclude = a \\\n[b] \\\nc\n" + lines + "[a]\npath = /a\n", "",
		},
		{"included", "x = y\n&include /etc/rsyncd.d/\n[a]\n", "x = y\n&include /etc/rsyncd.d/\n[a]\n", ""},
		{"merged", "&merge /etc/rsyncd.d\n", "&merge /etc/rsyncd.d\n" + lines, ""},
		{"motd", "[a]\n", rsyncdMarker + "motd file = /etc/m\n" + rsyncdInclude + "[a]\n", "/etc/m"},
		{
			"motd is there", "Motd  File=/etc/m\n&include /etc/rsyncd.d\n",
			"Motd  File=/etc/m\n&include /etc/rsyncd.d\n", "/etc/m",
		},
		{
			"motd alone", "&include /etc/rsyncd.d\n",
			"&include /etc/rsyncd.d\n" + rsyncdMarker + "motd file = /etc/m\n", "/etc/m",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := readRsyncd(c.text).with(c.motd)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			again := readRsyncd(got)
			if again.text != c.text {
				t.Errorf("without its lines it is %q, want %q", again.text, c.text)
			}
			if text := again.with(c.motd); text != got {
				t.Errorf("the second time it is %q, want %q", text, got)
			}
		})
	}
}

// What follows mirrorform's lines is the operator's, also if the operator has added it there.
func TestRsyncdConfAdded(t *testing.T) {
	t.Parallel()
	c := readRsyncd("a = b\n" + rsyncdMarker + rsyncdInclude + "hosts deny = *\n[m\nx = y\n[ n o ]\n path = /n\n")
	const text = "a = b\nhosts deny = *\n[m\nx = y\n[ n o ]\n path = /n\n"
	if c.text != text || c.globals["hostsdeny"] != "*" || c.broken != 3 {
		t.Errorf("%+v", c)
	}
	if n := len(c.sections); n != 2 || c.sections[1] != (rsyncdSection{"n o", "/n", 5}) {
		t.Errorf("%+v", c.sections)
	}
}

// Of several modules, the last one that goes takes the lines with it, and all want one message.
func TestRsyncModules(t *testing.T) {
	t.Parallel()
	a, b := &RsyncModule{Name: "a", MOTD: "/etc/m"}, &RsyncModule{Name: "b"}
	entries := []string{"a.conf", "b.conf"}
	removed := engine.Target{Removed: []any{a, b}}
	if lastRsyncModule(removed, a, entries) || !lastRsyncModule(removed, b, entries) {
		t.Error("of two that go, the second one is the last")
	}
	if lastRsyncModule(engine.Target{Removed: []any{a}}, a, entries) {
		t.Error("a file of another owner stays")
	}
	if lastRsyncModule(engine.Target{Removed: []any{a}, Settled: []any{b}}, a, entries[:1]) {
		t.Error("a module that the plan wants stays")
	}
	c := readRsyncd("")
	if motd, out := wantedMOTD(engine.Target{Unsettled: []any{a, b}}, b, c); motd != "/etc/m" || len(out) > 0 {
		t.Errorf("%q, %v", motd, out)
	}
	if _, out := wantedMOTD(engine.Target{Settled: []any{a}}, &RsyncModule{Name: "c", MOTD: "/etc/n"}, c); len(out) != 1 {
		t.Errorf("two messages: %v", out)
	}
	others := engine.Target{Records: []engine.Record{{State: a}}}
	if motd, _ := wantedMOTD(others, b, c); motd != "/etc/m" {
		t.Errorf("the message of another configuration: %q", motd)
	}
	if out := strangers(others, b, append(entries, ".x", "c.inc")); len(out) > 0 {
		t.Errorf("%v", out)
	}
}

func TestReadServed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		run    wire.Run
		full   bool
		reason string
	}{
		{wire.Run{Stdout: ".d          ./\n"}, false, ""},
		{wire.Run{Stdout: ".d          ./\n>fc........ TIME\n.f          README\n"}, false, ""},
		{wire.Run{Stdout: ">fc........ a b\n"}, false, `it sends another content of "a b", or cannot read it`},
		{wire.Run{Exit: 5, Stderr: "@ERROR: max connections (2) reached -- try again later\n"}, true, ""},
		{wire.Run{Exit: 5, Stdout: "hello\n", Stderr: "x\n@ERROR: chroot failed\ny\n"}, false, `"chroot failed"`},
		{wire.Run{Exit: 5, Stderr: "rsync: did not see server greeting\n"}, false, `"rsync: did not see server greeting"`},
		{wire.Run{Exit: 4, Stderr: "The server is configured to refuse --checksum (-c)\nrsync error: requested action not supported (code 4)\n"}, false, ""},
		{wire.Run{Exit: -1}, false, `""`},
	} {
		if full, reason := readServed(c.run); full != c.full || reason != c.reason {
			t.Errorf("%+v: %v, %q", c.run, full, reason)
		}
	}
	for _, answer := range []string{"rsync: did not see server greeting", "safe_read failed to read 1 bytes: Connection reset by peer (104)"} {
		if advice := adviceOf(rsyncHints, answer); advice != noGreeting {
			t.Errorf("%s: %q", answer, advice)
		}
	}
	if advice := adviceOf(rsyncHints, fmt.Sprintf("%q", "chroot failed")); !strings.Contains(advice, "path") {
		t.Errorf("%q", advice)
	}
}

func TestServing(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]*RsyncModule{
		"not served": {Served: new(false)}, "served": {Served: new(true)}, "full": {Served: new(true), full: true},
	} {
		if got := m.Serving(); got != want {
			t.Errorf("%+v: %s", m, got)
		}
	}
	if got := (*RsyncModule)(nil).Serving(); got != "not served" {
		t.Errorf("no module: %s", got)
	}
}
