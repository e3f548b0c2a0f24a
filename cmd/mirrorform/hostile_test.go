package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
	"github.com/zclconf/go-cty/cty"
)

// hostileMark is in every value below, so that a part of one is found wherever it turns up.
const hostileMark = "pwn"

// hostileCanary is the secret. It may be in the files that it is for, and nowhere else.
const hostileCanary = "canary-7c1f95e2"

// hostileWords are values of one line that shells, cron, nginx, sudo, systemd or a program's options could take for more than text.
var hostileWords = []string{
	"$(touch /pwn-1)", "`touch /pwn-2`", "; touch /pwn-3;", "&& touch /pwn-4 &", "| touch /pwn-5", "-oProxyCommand=touch /pwn-6", "--rsh=touch /pwn-7", "> /pwn-8", "<(touch /pwn-9)",
	`'"'"'pwn`, `"pwn\"`, `\pwn\`, "'pwn", "%pwn", `\%pwn%`, "*?[pwn]{b,c}~#!", "x; } server { pwn", "${pwn}", "%{ if pwn }", "@reboot; pwn", "!!python/object pwn", "pwn=<<", "é pwn", "$PWN ${IFS}pwn", "{}pwn",
}

// hostileText is what only the content of a file can be.
var hostileText = strings.Join(hostileWords, "\n") + "\r\n\x00\x1b]52;c;Zm9v\x07\u009b31m\u202e\u200b pwn, and no newline at the end"

// literal writes a value for HCL.
func literal(values ...string) string {
	if len(values) == 1 {
		return string(hclwrite.TokensForValue(cty.StringVal(values[0])).Bytes())
	}
	list := make([]cty.Value, len(values))
	for i, v := range values {
		list[i] = cty.StringVal(v)
	}
	return string(hclwrite.TokensForValue(cty.ListVal(list)).Bytes())
}

// hostileFleet is a configuration of values that are taken, with what must come of it.
type hostileFleet struct {
	text  strings.Builder
	files map[string]string // what each path holds in the end
	links map[string]string
	dirs  []string
	exact map[string]bool // values that are arguments of programs as they are
	argv  []string        // those of them that must be seen as arguments
}

func (f *hostileFleet) resource(kind, name string, attributes ...string) {
	fmt.Fprintf(&f.text, "resource %q %q {\n  hosts = [host.h]\n", kind, name)
	for i := 0; i < len(attributes); i += 2 {
		fmt.Fprintf(&f.text, "  %s = %s\n", attributes[i], attributes[i+1])
	}
	f.text.WriteString("}\n")
}

// hostilePaths are directories and files of hostile names, below /srv/h.
func (f *hostileFleet) hostilePaths() {
	for i, word := range hostileWords {
		at := func(kind string) string {
			p := fmt.Sprintf("/srv/h/%s%d/%s", kind, i, word)
			f.exact[p] = true
			return p
		}
		file, link, dir := at("f"), at("l"), at("d")
		f.resource("file", fmt.Sprintf("f%d", i), "path", literal(file), "content", literal(word), "validate", literal("/bin/echo", word, "{}"))
		f.resource("symlink", fmt.Sprintf("l%d", i), "path", literal(link), "target", literal(word))
		f.resource("directory", fmt.Sprintf("d%d", i), "path", literal(dir), "mode", `"0750"`)
		f.files[file], f.links[link] = word, word
		f.dirs = append(f.dirs, dir)
		f.argv = append(f.argv, word)
	}
}

// newHostileFleet has every type of resource with hostile values in all attributes that take them. disk is a block device of the host.
func newHostileFleet(disk string) *hostileFleet {
	f := &hostileFleet{files: map[string]string{}, links: map[string]string{}, exact: map[string]bool{}}
	f.text.WriteString(`
variable "secret" {
  type      = string
  sensitive = true
}
variable "text" { type = string }
`)
	f.hostilePaths()
	f.resource("file", "motd", "path", `"/etc/motd"`, "content", "var.text")
	f.files["/etc/motd"] = hostileText
	f.resource("file", "labels", "path", `"/srv/h/labels"`, "content", `"${target.labels.word}|${target.facts.os.name}|${target.name}"`)
	f.files["/srv/h/labels"] = hostileWords[0] + "|" + hostileFact + "|h"
	f.resource("file", "secret", "path", `"/etc/h-secret"`, "content", `"token=${var.secret}\n"`, "mode", `"0600"`, "validate", `["/bin/cat", "{}"]`)
	f.files["/etc/h-secret"] = "token=" + hostileCanary + "\n"

	const point = `/srv/h/$(pwn);'"&|<>*` + "`"
	label := "$(pwn);`x`&|*'"
	label = strings.ReplaceAll(label, "'", "~")
	f.argv = append(f.argv, point, label)
	f.resource("filesystem", "fs", "device", literal(disk), "type", `"ext4"`, "label", literal(label))
	f.resource("directory", "point", "path", literal(point))
	f.resource("mount", "m", "path", literal(point), "device", literal(disk), "filesystem", `"ext4"`, "options", `["noatime"]`, "mode", `"0711"`)
	f.resource("storage", "s", "path", literal(point+"/x; pwn"), "minimum", `"1MB"`)

	comment := strings.ReplaceAll(strings.Join(hostileWords, " "), ":", "")
	f.resource("user", "u", "name", `"h-user"`, "comment", literal(comment), "home", literal("/srv/h/"+hostileWords[0]+"'\"`pwn`\\"), "shell", `"/usr/sbin/nologin"`)
	f.argv = append(f.argv, comment, "/srv/h/"+hostileWords[0]+"'\"`pwn`\\")

	printed := slices.DeleteFunc(slices.Clone(hostileWords), func(w string) bool { return strings.Contains(w, "é") }) // cron's line is bounded
	log := "/srv/h/cron $(touch /pwn-10) `pwn`; %d"
	f.resource("directory", "logs", "path", literal(path.Dir(log)))
	f.resource("cron", "words", "name", `"h-words"`, "schedule", `"* * * * *"`, "command", literal(append([]string{"/usr/bin/printf", `%s\n`}, printed...)...),
		"log", literal(log), "require_mount", literal(point))
	f.resource("cron", "environment", "name", `"h-environment"`, "schedule", `"* * * * *"`, "command", `["/usr/bin/printenv", "W0", "W1"]`, "log", `"/srv/h/environment.log"`,
		"environment", "{ W0 = "+literal(strings.Join(printed[:9], " "))+", W1 = "+literal(`"pwn\" %$(touch /pwn-11)`)+" }",
		"on_exit", literal(append([]string{"/usr/bin/true", "; touch /pwn-12;", "$(touch /pwn-12)"}, printed[:9]...)...))
	f.resource("cron", "secret", "name", `"h-secret"`, "schedule", `"1 1 1 1 *"`, "command", `["/bin/true"]`, "environment", "{ TOKEN = var.secret }")

	f.resource("logrotate", "l", "name", `"h-logs"`, "files", literal("/srv/h/$(touch pwn).log", "/srv/h/`pwn`; x | y & z.log", "/srv/h/-pwn %d $pwn.log"))
	f.resource("service", "nginx", "name", `"nginx"`, "running", "true", "restart_on", literal("/srv/h/f0/"+hostileWords[0], "/srv/h/f11/"+hostileWords[11]))

	root, alias := "/srv/h/x; } server { `pwn` #", `/srv/h/"pwn' \ {}`
	f.resource("directory", "root", "path", literal(root), "mode", `"0755"`)
	f.resource("file", "index", "path", literal(root+"/index.html"), "content", `"the root"`, "mode", `"0644"`)
	f.resource("file", "aliased", "path", literal(alias+"/x"), "content", `"the alias"`, "mode", `"0644"`)
	f.resource("nginx_site", "s", "name", `"h"`, "server_name", `["h.example.org"]`, "listen", `["80"]`, "root", literal(root), "aliases", `{ "/a/" = `+literal(alias)+" }",
		"access_log", literal("/var/log/nginx/; } pwn {.log"))

	exclude := slices.DeleteFunc(slices.Clone(hostileWords[:12]), func(w string) bool { return w[0] == '-' })
	fmt.Fprintf(&f.text, `
mirror "m" {
  hosts = [host.h]
  storage {
    path        = %s
    minimum     = "1MB"
    recommended = "1MB"
  }
  sync {
    schedule = "1 1 1 1 *"
    exclude  = %s
    log      = %s
    upstream = "rsync://me@127.0.0.1:1/m/"
    password = var.secret
    notify {
      url  = "http://127.0.0.1:1/${var.secret}"
      ping = "http://127.0.0.1:1/${var.secret}"
    }
  }
  web { server = "none" }
  publish {
    name             = "mirror.example.org"
    http             = "http://mirror.example.org/almalinux/"
    update_frequency = "3h"
    sponsor          = %s
    sponsor_url      = "https://example.org"
    email            = "mirror@example.org"
    geolocation      = { country = "DE", city = %s }
  }
}
`, literal("/srv/h/mirror $(touch pwn)"), literal(exclude...), `"/var/log/h-mirror.log"`, literal("<< = NO 22:22 !!python/object pwn $(touch /pwn-12) #: {}"), literal("`pwn`"))
	for _, v := range f.argv {
		f.exact[v] = true
	}
	return f
}

// hostileFact is what the host says that its operating system is called.
const hostileFact = "pwn $(touch /pwn-13) ${var.secret} %{ if true }"

// hostileRun runs mirrorform on the directory of a hostile configuration.
type hostileRun struct {
	t       *testing.T
	dir     string
	environ []string
	printed bytes.Buffer // everything that all runs printed
}

func (r *hostileRun) mirrorform(status int, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("mirrorform", args...)
	cmd.Dir, cmd.Env = r.dir, r.environ
	out, err := cmd.CombinedOutput()
	r.printed.Write(out)
	if got := cmd.ProcessState.ExitCode(); got != status {
		r.t.Fatalf("mirrorform %s: exit status %d, want %d (%v):\n%s", strings.Join(args, " "), got, status, err, out)
	}
	return string(out)
}

func (r *hostileRun) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// loud is mirrorform with everything that a run can write, in the directory sinks.
func (r *hostileRun) loud(status int, args ...string) string {
	r.t.Helper()
	sinks := filepath.Join(r.dir, "sinks")
	if err := os.MkdirAll(sinks, 0o700); err != nil {
		r.t.Fatal(err)
	}
	files, err := os.ReadDir(sinks)
	if err != nil {
		r.t.Fatal(err)
	}
	sink := func(kind string) string { return filepath.Join(sinks, fmt.Sprint(len(files), kind)) }
	args = append(args, "-vv", "--log-file", sink("log"), "--events", sink("events"))
	for _, format := range []string{"json", "junit", "sarif", "markdown", "html", "prometheus"} {
		args = append(args, "--report", format+"="+sink(format))
	}
	return r.mirrorform(status, args...)
}

// hostilePrints has a validator that prints the secret, and fails.
const hostilePrints = `
resource "file" "refused" {
  hosts    = [host.h]
  path     = "/etc/h-refused"
  content  = "token=${var.secret}\n"
  validate = ["/usr/bin/diff", "/dev/null", "{}"]
}
`

// hostileGate has a gate that does so.
const hostileGate = `
resource "file" "gated" {
  hosts   = [host.h]
  path    = "/srv/h/gated"
  content = "x"
}
rollout {
  gate {
    command = ["/bin/sh", "-c", "echo the gate says $MIRRORFORM_VAR_secret; exit 1"]
  }
}
`

// login declares the host for one of its accounts.
func (r *hostileRun) login(h *lab.Host, user string) {
	r.t.Helper()
	key, err := h.HostKey()
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("host.hcl", fmt.Sprintf("host \"h\" {\n  address    = %q\n  user       = %q\n  become     = \"sudo\"\n  identities = [%q]\n  host_key   = %q\n  labels     = { word = %s }\n}\n",
		h.Address, user, h.SSHKeyPath, key, literal(hostileWords[0])))
}

func newHostileRun(t *testing.T) *hostileRun {
	t.Helper()
	r := &hostileRun{t: t, dir: t.TempDir(), environ: append(os.Environ(), "HOME="+t.TempDir(), "NO_COLOR=1", "MIRRORFORM_VAR_secret="+hostileCanary)}
	environ, err := labtest.Environ(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r.environ = append(r.environ, environ...)
	return r
}

// TestHostileValues applies a configuration of hostile values to a real host, and holds against a trace of its sshd that no value is more than one
// argument of a program, that no shell is given any, and that a secret is where it belongs and nowhere else.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	h := labtest.Host(t, lab.HostSpec{Name: "hostile", Disks: []int64{64 << 20}})
	on := func(argv ...string) string {
		t.Helper()
		out, err := h.Run(t.Context(), argv...)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	// What package managers and maintainers' scripts do is not at issue.
	on("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends", "nginx-light", "rsync", "curl", "logrotate", "e2fsprogs")
	on("sed", "-i", "s/^PRETTY_NAME=.*/PRETTY_NAME='"+strings.ReplaceAll(hostileFact, "/", `\/`)+"'/", "/usr/lib/os-release")
	trace := startTrace(t, h)

	r := newHostileRun(t)
	fleet := newHostileFleet(h.Disks[0].Path)
	r.write("fleet.hcl", fleet.text.String())
	values, err := hclValues("text", hostileText)
	if err != nil {
		t.Fatal(err)
	}
	r.write("mirrorform.hclvars", values)
	r.login(h, "admin")
	r.mirrorform(0, "validate")
	r.mirrorform(2, "plan", "--detailed-exitcode")
	r.mirrorform(0, "plan", "--out", "saved.plan")
	r.mirrorform(0, "show", "saved.plan")
	r.mirrorform(0, "show", "--json", "saved.plan")
	r.loud(0, "apply", "saved.plan")
	logins := 3
	for _, user := range []string{"admin", "csh", "fish", "noisy"} {
		r.login(h, user)
		r.mirrorform(0, "plan", "--detailed-exitcode")
		logins++
	}
	fleet.check(t, h)
	// A validator prints the secret and fails; so does a gate.
	r.login(h, "admin")
	r.write("refused.hcl", hostilePrints)
	if out := r.loud(1, "apply", "--auto-approve"); !strings.Contains(out, "/usr/bin/diff: exit status 1 (the output is not shown") {
		t.Errorf("of the validator it says:\n%s", out)
	}
	r.write("refused.hcl", hostileGate)
	if out := r.loud(1, "apply", "--auto-approve"); !strings.Contains(out, "the gate says "+engine.SensitiveValue) {
		t.Errorf("of the gate it says:\n%s", out)
	}
	logins += 2

	execs := trace.read(t)
	checkExecs(t, execs, fleet.exact, logins)
	for _, value := range fleet.argv {
		if !slices.ContainsFunc(execs, func(e traced) bool { return slices.Contains(e.argv, value) }) {
			t.Errorf("no program was given %q: the trace is not of what was applied", value)
		}
	}
	login := func(command string) *exec.Cmd {
		return exec.Command("ssh", "-F", "none", "-i", h.SSHKeyPath, "-o", "UserKnownHostsFile="+labtest.Lab(t).KnownHosts(), "-o", "BatchMode=yes", "admin@"+h.Address, command)
	}
	// A sync that fails, and its notification, which fails too: no program of theirs gets a secret.
	out, err := login("sudo -n /usr/local/sbin/mirrorform-sync-m").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "the notification by url failed: exit status 7") {
		t.Errorf("the sync: %v: %s", err, out)
	}
	r.printed.Write(out)
	checkJob(t, trace.read(t)[len(execs):])
	checkNoPwned(t, h)
	checkSecret(t, h, r)

	// What is sought would be found: a command line with a value in it, run below the same sshd.
	planted := login("sudo -n sh -c 'touch /pwn-planted; true " + hostileCanary + "'")
	if out, err := planted.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if found := problemsOf(trace.read(t), fleet.exact); len(found) < 4 {
		t.Errorf("of a planted command the trace tells only %q", found)
	}
	if left := on("find", "/", "-maxdepth", "1", "-name", "pwn*"); left != "/pwn-planted\n" {
		t.Errorf("of a planted command there is %q", left)
	}
}

// hclValues writes a file of values.
func hclValues(name, value string) (string, error) {
	f := hclwrite.NewEmptyFile()
	f.Body().SetAttributeValue(name, cty.StringVal(value))
	var b bytes.Buffer
	_, err := f.WriteTo(&b)
	return b.String(), err
}

// check holds that the host has what was wanted, and that cron and nginx take it so.
func (f *hostileFleet) check(t *testing.T, h *lab.Host) {
	t.Helper()
	for p, want := range f.files {
		if got, err := h.Read(p); err != nil || string(got) != cty.StringVal(want).AsString() {
			t.Errorf("%q holds %q, want %q (%v)", p, got, want, err)
		}
	}
	for p, want := range f.links {
		if got, err := h.Run(t.Context(), "readlink", "-n", "--", p); err != nil || string(got) != want {
			t.Errorf("the link %q leads to %q, want %q (%v)", p, got, want, err)
		}
	}
	for _, p := range f.dirs {
		if _, err := h.Run(t.Context(), "test", "-d", p); err != nil {
			t.Errorf("%q is no directory: %v", p, err)
		}
	}
	for url, want := range map[string]string{"/index.html": "the root", "/a/x": "the alias"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.Address+url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "h.example.org"
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		got, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || string(got) != want {
			t.Errorf("nginx answers %s with %q, want %q (%v)", url, got, want, err)
		}
	}
	printed := slices.DeleteFunc(slices.Clone(hostileWords), func(w string) bool { return strings.Contains(w, "é") })
	for p, want := range map[string]string{
		"/srv/h/cron $(touch /pwn-10) `pwn`; %d": strings.Join(printed, "\n") + "\n",
		"/srv/h/environment.log":                 strings.Join(printed[:9], " ") + "\n" + `"pwn\" %$(touch /pwn-11)` + "\n",
	} {
		got, err := h.Read(p)
		for begin := time.Now(); err != nil && time.Since(begin) < 3*time.Minute; time.Sleep(time.Second) {
			got, err = h.Read(p)
		}
		if err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("cron wrote %q to %q, want %q (%v)", got, p, want, err)
		}
	}
}

// checkNoPwned holds that no value was run, on the host or here.
func checkNoPwned(t *testing.T, h *lab.Host) {
	t.Helper()
	for _, dir := range []string{"/", "/root", "/home", "/tmp", "/etc/cron.d"} {
		if out, err := h.Run(t.Context(), "find", dir, "-maxdepth", "2", "-name", "pwn*", "-not", "-path", "/proc/*"); err != nil || len(out) > 0 {
			t.Errorf("a value was run on the host: %s (%v)", out, err)
		}
	}
	if left, _ := filepath.Glob("/pwn*"); len(left) > 0 {
		t.Errorf("a value was run here: %v", left)
	}
}

// checkSecret holds that the secret is in the files that it is for, and nowhere else: not on the host, not in what was printed, not in the saved plan.
func checkSecret(t *testing.T, h *lab.Host, r *hostileRun) {
	t.Helper()
	content := "token=" + hostileCanary + "\n"
	digest := func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }
	forms := map[string]string{"itself": hostileCanary, "its base64": strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(hostileCanary)), "="),
		"its digest": digest(hostileCanary), "the digest of its file": digest(content), "the base64 of its file": strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(content)), "=")}
	if _, err := h.Run(t.Context(), "journalctl", "--sync"); err != nil {
		t.Error(err)
	}
	journal, err := h.Run(t.Context(), "journalctl", "--no-pager", "--output=export", "--all")
	if err != nil || len(journal) < 1000 {
		t.Errorf("the journal has %d bytes: %v", len(journal), err)
	}
	saved, err := os.ReadFile(filepath.Join(r.dir, "saved.plan"))
	if err != nil {
		t.Error(err)
	}
	sinks, err := filepath.Glob(filepath.Join(r.dir, "sinks", "*"))
	if err != nil || len(sinks) != 3*8 {
		t.Errorf("the runs wrote %q: %v", sinks, err)
	}
	texts := map[string][]byte{"the journal": journal, "the saved plan": saved, "what was printed": r.printed.Bytes()}
	for _, sink := range sinks {
		if texts[sink], err = os.ReadFile(sink); err != nil || len(texts[sink]) == 0 {
			t.Errorf("%s holds nothing: %v", sink, err)
		}
	}
	if manifest, err := h.Read("/var/lib/mirrorform/manifest.json"); err != nil || !bytes.Contains(manifest, []byte("file.secret")) {
		t.Errorf("the manifest does not have the resource that holds the secret: %s (%v)", manifest, err)
	}
	for what, form := range forms {
		for where, text := range texts {
			if bytes.Contains(text, []byte(form)) {
				t.Errorf("%s is in %s", what, where)
			}
		}
		// grep fails where it finds nothing.
		found, err := h.Run(t.Context(), "grep", "-rlaF", "--exclude-dir=strace", "-e", form, "/boot", "/dev/shm", "/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var/lib", "/var/log", "/var/tmp", "/var/cache", "/var/spool")
		want := ""
		if what == "itself" {
			want = "/etc/cron.d/h-secret\n/etc/h-secret\n/etc/mirrorform-sync/m.password\n/etc/mirrorform-sync/m.ping\n/etc/mirrorform-sync/m.url\n"
		}
		lines := strings.SplitAfter(string(found), "\n")
		slices.Sort(lines)
		if got := strings.Join(lines, ""); got != want {
			t.Errorf("%s is in the files %q, want %q (%v)", what, got, want, err)
		}
		if named, err := h.Run(t.Context(), "find", "/", "-xdev", "-name", "*"+form+"*"); err != nil || len(named) > 0 {
			t.Errorf("%s is in the names %q (%v)", what, named, err)
		}
	}
}
