package main

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// hostileRefused are attributes that are refused, by block: each is one line of a configuration of its own.
func hostileRefused() []string {
	var lines []string
	resource := func(kind, attributes string) {
		lines = append(lines, fmt.Sprintf("resource %q \"r%d\" { \n hosts = [host.h]\n %s\n}", kind, len(lines), strings.ReplaceAll(attributes, ";;", "\n")))
	}
	for _, p := range []string{"", "/", "relative", "-oProxyCommand=touch /pwn-1", "../../etc/shadow", "/srv/../etc/shadow", "/srv/", "/srv//x", "/srv/a\nb", "/srv/a\r\nb", "/srv/a\x00b", "/srv/\x1b[2J",
		"/srv/a\u202eb", "/srv/a\u200bb", "/srv/" + strings.Repeat("x", 300), "file:///etc/passwd", "ext::sh -c touch"} {
		for _, a := range []string{`"file" path = %s`, `"directory" path = %s`, `"symlink" path = %s;;target="x"`, `"mount" path = %s;;device = "/dev/vdb";;filesystem = "xfs"`, `"storage" path = %s`,
			`"logrotate" name = "x";;files = [%s]`, `"nginx_site" name = "x";;server_name = ["x"];;root = %s`, `"filesystem" type = "xfs";;device = %s`} {
			kind, attributes, _ := strings.Cut(a, " ")
			resource(strings.Trim(kind, `"`), fmt.Sprintf(attributes, literal(p)))
		}
	}
	for _, p := range []string{"/srv/a b", "/srv/a\tb", "/srv/a#b", `/srv/a\040b`, "/etc", "/usr", "/usr/x", "/", "/var", "/srv/a\u00a0b"} {
		resource("mount", fmt.Sprintf(`path = %s;;device = "/dev/vdb";;filesystem = "xfs"`, literal(p)))
	}
	for _, w := range hostileWords {
		l := literal(w)
		resource("user", "name = "+l)
		resource("group", "name = "+l)
		resource("package", "name = "+l)
		resource("service", "running = true;;name = "+l)
		resource("cron", `schedule = "@daily";;command = ["/bin/true"];;name = `+l)
		resource("cron", `name = "x";;command = ["/bin/true"];;schedule = `+l)
		resource("cron", `name = "x";;schedule = "@daily";;command = ["/bin/true"];;user = `+l)
		resource("cron", `name = "x";;schedule = "@daily";;command = [`+l+`]`)
		resource("cron", `name = "x";;schedule = "@daily";;command = ["/bin/true"];;on_exit = [`+l+`]`)
		resource("cron", `name = "x";;schedule = "@daily";;command = ["/bin/true"];;environment = { (`+l+`) = "x" }`)
		resource("nginx_site", `name = "x";;root = "/srv";;server_name = [`+l+`]`)
		resource("nginx_site", `name = "x";;root = "/srv";;server_name = ["x"];;listen = [`+l+`]`)
		resource("logrotate", `name = "x";;files = ["/x"];;su_group = "x";;su_user = `+l)
		resource("file", `path = "/x";;owner = `+l)
		resource("file", `path = "/x";;mode = `+l)
		resource("file", `path = "/x";;validate = [`+l+`, "{}"]`)
		resource("mount", `path = "/x";;device = "/dev/vdb";;filesystem = `+l)
	}
	for _, w := range []string{"a\nb", "a\r\nb", "a\x00b", "a.b", "x~", "@reboot; x", "\xc2\x9b31m"} {
		resource("cron", `schedule = "@daily";;command = ["/bin/true"];;name = `+literal(w))
		resource("logrotate", `files = ["/x"];;name = `+literal(w))
	}
	for _, w := range []string{"a\nb", "a\r\nb", "a\x00b"} {
		resource("cron", `name = "x";;schedule = "@daily";;command = ["/bin/echo", `+literal(w)+`]`)
		resource("cron", `name = "x";;schedule = "@daily";;command = ["/bin/true"];;on_exit = ["/bin/echo", `+literal(w)+`]`)
		resource("cron", `name = "x";;schedule = "@daily";;command = ["/bin/echo"];;environment = { A = `+literal(w)+` }`)
		resource("user", `name = "x";;comment = `+literal(w))
	}
	resource("user", `name = "x";;comment = "x:0:0::/:/bin/sh"`)
	resource("nginx_site", `name = "x";;server_name = ["x"];;root = "/srv/$x"`)
	for _, u := range []string{"file:///etc", "ext::sh -c touch", "rsync://u:p@h/m/", "-e touch", "rsync://h/m/;x"} {
		lines = append(lines, fmt.Sprintf("mirror \"m%d\" {\n hosts = [host.h]\n storage { path = \"/srv\" }\n sync { upstream = %s }\n}", len(lines), literal(u)))
	}
	for _, o := range []string{"-e touch", "--rsh=touch", "--rsync-path=/x", "--daemon", "-M--x", "--files-from=/x"} {
		lines = append(lines, fmt.Sprintf("mirror \"m%d\" {\n hosts = [host.h]\n storage { path = \"/srv\" }\n sync { options = %s }\n}", len(lines), "["+literal(o)+"]"))
	}
	for _, a := range []string{"-oProxyCommand=touch /pwn-1", "$(touch /pwn-2)", "a b", "x\ny", "", "a\u202eb"} {
		lines = append(lines, fmt.Sprintf("host \"a%d\" { address = %s }", len(lines), literal(a)))
		if a != "" {
			lines = append(lines, fmt.Sprintf("host \"u%d\" {\n address = \"192.0.2.1\"\n user = %s\n}", len(lines), literal(a)))
		}
	}
	// Everybody on a host can see the arguments of its programs.
	for _, a := range []string{`"user" name = "x";;comment = var.secret`, `"user" name = "x";;groups = [var.secret]`, `"file" path = "/x";;validate = ["/bin/echo", var.secret, "{}"]`,
		`"filesystem" device = "/dev/vdb";;type = "xfs";;label = var.secret`, `"mount" path = "/x";;device = "/dev/vdb";;filesystem = "xfs";;options = [var.secret]`,
		`"cron" name = "x";;schedule = "@daily";;command = ["/bin/echo", var.secret]`, `"package" name = "x";;names = { el = var.secret }`, `"file" path = "/x";;owner = var.secret`} {
		kind, attributes, _ := strings.Cut(a, " ")
		resource(strings.Trim(kind, `"`), attributes)
	}
	return lines
}

// TestHostileRefused has mirrorform refuse hostile values: each with a message that names its place, all before any host is reached.
func TestHostileRefused(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connected := make(chan struct{}, 1)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				close(connected)
				return
			}
			_ = conn.Close()
			select {
			case connected <- struct{}{}:
			default:
			}
		}
	}()
	r := newHostileRun(t)
	r.write("host.hcl", fmt.Sprintf("host \"h\" {\n  address = \"127.0.0.1\"\n  port    = %d\n  user    = \"admin\"\n}\nvariable \"secret\" {\n  type      = string\n  sensitive = true\n}\n", listener.Addr().(*net.TCPAddr).Port))
	blocks := hostileRefused()
	if len(blocks) < 500 {
		t.Errorf("only %d values", len(blocks))
	}
	for batch := range slices.Chunk(blocks, 100) { // of more, the first are printed and the rest counted
		r.refuse(batch)
	}
	if !strings.Contains(r.printed.String(), "argument of a program") {
		t.Error("nothing is said of secrets as arguments")
	}
	// What is no text at all, or would take too much to read.
	for name, text := range map[string]string{
		"not UTF-8": "locals { x = \"\xff\xfe\" }", "deep": "locals { x = " + strings.Repeat("(", 100<<10),
		"exponential": "locals {\n  a0 = \"" + strings.Repeat("x", 100) + "\"\n" + exponential() + "}\n",
	} {
		r.write("fleet.hcl", text)
		if out := r.mirrorform(1, "plan"); !strings.Contains(out, "fleet.hcl") || len(out) > 64<<10 {
			t.Errorf("%s: %d bytes are printed: %.500s", name, len(out), out)
		}
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	if _, open := <-connected; open {
		t.Error("a host was reached")
	}
	if left, _ := filepath.Glob("/pwn*"); len(left) > 0 {
		t.Errorf("a value was run: %v", left)
	}
}

// refuse holds that each block is refused at its place.
func (r *hostileRun) refuse(blocks []string) {
	r.t.Helper()
	text, first := "", make([]int, len(blocks))
	for i, b := range blocks {
		first[i] = strings.Count(text, "\n") + 1
		text += b + "\n"
	}
	r.write("fleet.hcl", text)
	out := r.mirrorform(1, "plan")
	for i, b := range blocks {
		said := false
		for line := first[i]; line <= first[i]+strings.Count(b, "\n"); line++ {
			said = said || regexp.MustCompile(fmt.Sprintf(`fleet\.hcl line %d[^0-9]`, line)).MatchString(out)
		}
		if !said {
			r.t.Errorf("nothing is said of\n%s", b)
		}
	}
	if strings.Contains(out, hostileCanary) {
		r.t.Errorf("the secret is printed: %s", out)
	}
	for _, c := range "\x00\x1b\r\u009b\u202e\u200b" {
		if strings.ContainsRune(out, c) {
			r.t.Errorf("%q is printed", c)
		}
	}
}

// exponential are locals of which each is ten times the one before.
func exponential() string {
	var b strings.Builder
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "  a%d = \"%s\"\n", i, strings.Repeat(fmt.Sprintf("${local.a%d}", i-1), 10))
	}
	return b.String()
}
