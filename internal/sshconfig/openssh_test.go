package sshconfig

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// generator writes client configurations that use what is understood here, in all the ways in which it can be written.
type generator struct {
	*rand.Rand
	dir   string
	files int
}

func (g *generator) pick(words ...string) string { return words[g.IntN(len(words))] }

func (g *generator) some(n int, f func() string) string {
	words := make([]string, 1+g.IntN(n))
	for i := range words {
		words[i] = f()
	}
	return strings.Join(words, g.pick(" ", " ", "\t", "  "))
}

func (g *generator) pattern() string {
	p := g.pick("*", "web*", "web?", "web1", "WEB1", "*.example.org", "db", "10.0.0.*", "?eb1", "*1*", "w**1", "other", "web1.example.org", "???????", "????")
	if g.IntN(4) == 0 {
		p = "!" + p
	}
	return p
}

func (g *generator) list() string {
	l := make([]string, 1+g.IntN(3))
	for i := range l {
		l[i] = g.pattern()
	}
	return strings.Join(l, ",")
}

// quoted writes a word in one of the ways of quoting.
func (g *generator) quoted(s string) string {
	switch g.IntN(8) {
	case 0:
		return `"` + s + `"`
	case 1:
		return `'` + s + `'`
	case 2:
		return s[:len(s)/2] + `"` + s[len(s)/2:] + `"`
	}
	return s
}

func (g *generator) hop() string {
	s := g.pick("gate", "10.9.9.9", "[2001:db8::1]", "gate.example.org")
	if g.IntN(3) == 0 {
		s = g.pick("jumper", "a@b") + "@" + s
	}
	if g.IntN(3) == 0 {
		s += ":" + g.pick("22", "2222")
	}
	if g.IntN(6) == 0 {
		s = "ssh://" + s
	}
	return s
}

// line is one line with a setting.
func (g *generator) line() string {
	keyword := g.pick("HostName", "User", "Port", "IdentityFile", "CertificateFile", "IdentitiesOnly", "IdentityAgent", "UserKnownHostsFile",
		"GlobalKnownHostsFile", "HostKeyAlias", "ProxyJump", "ProxyCommand", "ConnectTimeout", "ServerAliveInterval", "ServerAliveCountMax", "AddressFamily")
	var arg string
	switch keyword {
	case "HostName":
		arg = g.quoted(g.pick("real.example.org", "%h.example.org", "10.1.2.3", "2001:db8::5", "Web9", "100%%h"))
	case "User":
		arg = g.quoted(g.pick("alice", "bob", "carol"))
	case "Port":
		arg = g.quoted(g.pick("22", "2222", "65535"))
	case "IdentityFile", "CertificateFile":
		arg = g.quoted(g.pick("/k/one", "/k/two words", "/k/three", `/k/back\slash`))
		if strings.Contains(arg, " ") && !strings.ContainsAny(arg, `"'`) {
			arg = `"` + arg + `"`
		}
	case "IdentitiesOnly":
		arg = g.pick("yes", "no", "YES", "true", "false")
	case "IdentityAgent":
		arg = g.quoted(g.pick("none", "/run/agent", "/run/other"))
	case "UserKnownHostsFile", "GlobalKnownHostsFile":
		arg = g.some(3, func() string { return g.quoted(g.pick("/kh/one", "/kh/two", "/kh/three")) })
	case "HostKeyAlias":
		arg = g.quoted(g.pick("alias", "Alias2"))
	case "ProxyJump":
		hops := make([]string, 1+g.IntN(3))
		for i := range hops {
			hops[i] = g.hop()
		}
		arg = strings.Join(hops, ",")
		if g.IntN(5) == 0 {
			arg = "none"
		}
	case "ProxyCommand":
		arg = g.pick("nc %h %p", "ssh -W '[%h]:%p' %r@gate", `sh -c "echo %n" 100%%`, "none", "None")
	case "ConnectTimeout", "ServerAliveInterval":
		arg = g.pick("5", "30s", "1m", "1m30s", "2H", "none", "1d")
		if keyword == "ServerAliveInterval" && arg == "none" {
			arg = "7"
		}
	case "ServerAliveCountMax":
		arg = g.pick("1", "2", "9")
	case "AddressFamily":
		arg = g.pick("any", "inet", "inet6")
	}
	switch g.IntN(400) {
	case 0:
		arg = ""
	case 1:
		if !strings.HasPrefix(keyword, "Proxy") { // which take the rest of the line
			arg += " surplus"
		}
	case 2:
		arg = `"` + arg
	}
	keyword = g.pick(keyword, keyword, strings.ToLower(keyword), strings.ToUpper(keyword), `"`+keyword+`"`)
	comment := ""
	if !strings.HasPrefix(strings.ToLower(strings.Trim(keyword, `"`)), "proxy") {
		comment = g.pick("", "", "", " # comment", "\t# \"comment")
	}
	if keyword[0] == '"' && g.IntN(8) > 0 { // no equals sign can follow such a keyword
		return keyword + g.pick(" ", "\t") + arg + comment
	}
	return g.pick("", "  ", "\t") + keyword + g.pick(" ", " ", "=", " = ", "\t", " =") + arg + g.pick("", "", " ", "\t") + comment + g.pick("", "", "", "\r", "\f")
}

func (g *generator) file(depth int) string {
	var b strings.Builder
	for range 2 + g.IntN(12) {
		switch g.IntN(9) {
		case 0, 1:
			fmt.Fprintf(&b, "%s%s%s\n", g.pick("Host", "host", "HOST"), g.pick(" ", "=", "\t"), g.some(3, func() string { return g.quoted(g.pattern()) }))
		case 2:
			criteria := g.some(3, func() string {
				return g.pick("", "", "!") + g.pick("host", "originalhost", "user", "localuser", "Host", "exec")
			})
			var line []string
			for c := range strings.FieldsSeq(criteria) {
				line = append(line, c)
				if strings.HasSuffix(c, "exec") {
					line = append(line, g.pick("true", "false", `"test %h = real.example.org"`, `"test %n:%p = web1:22 && test -n %l"`, `"exit 3"`))
				} else if strings.HasSuffix(strings.ToLower(c), "user") {
					line = append(line, g.pick("alice", "b*", "root", "!bob,*", "given"))
				} else {
					line = append(line, g.list())
				}
			}
			fmt.Fprintf(&b, "Match %s\n", g.pick(strings.Join(line, " "), strings.Join(line, " "), "all", "canonical", "!canonical "+strings.Join(line, " ")))
		case 3:
			if depth < 2 {
				g.files++
				name := fmt.Sprintf("include%d", g.files)
				if err := os.WriteFile(filepath.Join(g.dir, name), []byte(g.file(depth+1)), 0o600); err != nil {
					panic(err)
				}
				fmt.Fprintf(&b, "Include %s/%s\n", g.dir, g.pick(name, name, name, "nothing*", "nothing*", name[:len(name)-1]+"?"))
			}
		case 4:
			b.WriteString(g.pick("\n", "# comment\n", "   \n", "\t# another\n", "ForwardAgent yes\n", "SendEnv LANG LC_*\n", "  Compression=yes\n"))
		default:
			b.WriteString(g.line() + "\n")
		}
	}
	return b.String()
}

// askSSH asks OpenSSH what it makes of a file; nil if it refuses it.
func askSSH(t testing.TB, file, host string, given Given) map[string][]string {
	t.Helper()
	args := []string{"-G", "-F", file}
	if given.User != "" {
		args = append(args, "-l", given.User)
	}
	if given.Port != 0 {
		args = append(args, "-p", strconv.Itoa(given.Port))
	}
	var stdout bytes.Buffer
	cmd := exec.Command("ssh", append(args, host)...)
	cmd.Stdout = &stdout
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return nil
	}
	values := map[string][]string{}
	for lines := bufio.NewScanner(&stdout); lines.Scan(); {
		key, rest, _ := strings.Cut(lines.Text(), " ")
		values[key] = append(values[key], rest)
	}
	return values
}

// compare tells where settings differ from what OpenSSH says.
func compare(s *Settings, want map[string][]string, host string, given Given) []string {
	var wrong []string
	is := func(key, have, preset string) {
		value := preset
		if len(want[key]) > 0 {
			value = want[key][0]
		}
		if have == "" || have == "0" {
			have = preset
		}
		if have != value {
			wrong = append(wrong, fmt.Sprintf("%s is %q, OpenSSH says %q", key, have, value))
		}
	}
	is("hostname", s.HostName, "")
	if s.User != "" {
		is("user", s.User, "")
	}
	is("port", strconv.Itoa(s.Port), "22")
	is("addressfamily", s.AddressFamily, "any")
	is("identitiesonly", map[bool]string{true: "yes", false: "no"}[s.IdentitiesOnly], "no")
	is("hostkeyalias", s.HostKeyAlias, "")
	is("identityagent", s.IdentityAgent, "")
	is("connecttimeout", strconv.Itoa(int(s.ConnectTimeout.Seconds())), "none")
	is("serveraliveinterval", strconv.Itoa(int(s.ServerAliveInterval.Seconds())), "0")
	is("serveralivecountmax", strconv.Itoa(s.ServerAliveCountMax), "3")
	if s.IdentityFiles != nil && !slices.Equal(s.IdentityFiles, dedupe(want["identityfile"])) {
		wrong = append(wrong, fmt.Sprintf("identity files are %q, OpenSSH says %q", s.IdentityFiles, want["identityfile"]))
	}
	if s.IdentityFiles == nil && slices.ContainsFunc(want["identityfile"], func(f string) bool { return strings.HasPrefix(f, "/k/") }) {
		wrong = append(wrong, fmt.Sprintf("no identity files, OpenSSH says %q", want["identityfile"]))
	}
	if !slices.Equal(s.CertificateFiles, dedupe(want["certificatefile"])) {
		wrong = append(wrong, fmt.Sprintf("certificates are %q, OpenSSH says %q", s.CertificateFiles, want["certificatefile"]))
	}
	if s.UserKnownHostsFiles != nil {
		is("userknownhostsfile", strings.Join(s.UserKnownHostsFiles, " "), "")
	} else if strings.Contains(fmt.Sprint(want["userknownhostsfile"]), "/kh/") {
		wrong = append(wrong, "no UserKnownHostsFile")
	}
	if s.GlobalKnownHostsFile != nil {
		is("globalknownhostsfile", strings.Join(s.GlobalKnownHostsFile, " "), "")
	} else if strings.Contains(fmt.Sprint(want["globalknownhostsfile"]), "/kh/") {
		wrong = append(wrong, "no GlobalKnownHostsFile")
	}
	command := ""
	if len(want["proxycommand"]) > 0 {
		command = strings.NewReplacer("%h", want["hostname"][0], "%n", host, "%p", want["port"][0], "%r", want["user"][0],
			"%%", "%").Replace(want["proxycommand"][0])
	}
	if s.ProxyCommand != command {
		wrong = append(wrong, fmt.Sprintf("the command is %q, OpenSSH says %q", s.ProxyCommand, want["proxycommand"]))
	}
	var hops []Hop
	if len(want["proxyjump"]) > 0 {
		hops, _ = ParseJump(want["proxyjump"][0])
	}
	have := slices.Clone(s.Jump)
	for i := range have {
		have[i].Place = ""
	}
	if !slices.Equal(have, hops) {
		wrong = append(wrong, fmt.Sprintf("hops are %+v, OpenSSH says %+v", have, want["proxyjump"]))
	}
	return wrong
}

func dedupe(list []string) []string {
	var kept []string
	for _, s := range list {
		if !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	return kept
}

// TestAgainstOpenSSH compares with `ssh -G` over many generated configurations. What OpenSSH refuses has to be refused here, too, and nothing else.
func TestAgainstOpenSSH(t *testing.T) {
	t.Parallel()
	labtest.Program(t, "ssh")
	files := 150
	if n, err := strconv.Atoi(os.Getenv("MIRRORFORM_SSHCONFIG_FILES")); err == nil {
		files = n
	}
	refused, shown := 0, 0
	for seed := range files {
		dir := t.TempDir()
		g := &generator{Rand: rand.New(rand.NewPCG(uint64(seed), 7)), dir: dir}
		text := g.file(0)
		file := filepath.Join(dir, "config")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		host, given := g.pick("web1", "WEB1", "web1.example.org", "10.0.0.7", "db"), Given{}
		if g.IntN(3) == 0 {
			given.User = "given"
		}
		if g.IntN(3) == 0 {
			given.Port = 4444
		}
		c, err := Open(file, true)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.For(host, given)
		want := askSSH(t, file, host, given)
		var wrong []string
		switch {
		case err != nil && strings.Contains(err.Error(), "a shell could interpret"): // stricter than ssh
		case err != nil && want != nil:
			wrong = []string{"refused: " + err.Error()}
		case err == nil && want == nil:
			wrong = []string{"OpenSSH refuses it"}
		case want == nil:
			refused++
			if testing.Verbose() {
				t.Log(err)
			}
		default:
			wrong = compare(s, want, host, given)
		}
		if len(wrong) > 0 {
			if shown++; shown <= 5 {
				t.Errorf("seed %d, host %s, %+v:\n  %s\n%s", seed, host, given, strings.Join(wrong, "\n  "), text)
			} else {
				t.Fail()
			}
		}
	}
	t.Logf("%d files, of which both refuse %d; %d differ", files, refused, shown)
	if refused == files {
		t.Error("every file was refused")
	}
}
