package mirror_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/syncjob/settings"
	"github.com/mirrorform/mirrorform/resources"
)

// everything sets every attribute of a mirror block, rightly.
const everything = `
distribution = "almalinux"
guide        = "classic"
user         = "mirror"
storage {
  path        = "/srv/mirror/almalinux"
  device      = "/dev/vdb"
  filesystem  = "xfs"
  mount_point = "/srv/mirror"
  options     = ["noatime"]
  minimum     = "300GB"
  recommended = "500GB"
}
sync {
  every     = "3h"
  schedule  = "5 */3 * * *"
  upstream  = "rsync://rsync.example.org/almalinux/"
  flags     = ["-avSH"]
  options   = ["--timeout=60"]
  exclude   = ["*/isos/"]
  freshness = "TIME"
  bandwidth = "10m"
  lock      = "/run/alma.lock"
  log       = "/var/log/alma.log"
  proxy      = "proxy.example.org:3128"
  nice       = 10
  io_class   = "idle"
  time_limit = "8h"
}
kitten {
  path     = "/srv/mirror/kitten"
  location = "/kitten/"
  sync {
    every     = "3h"
    schedule  = "6 */3 * * *"
    upstream  = "rsync://me@rsync.example.org/kitten/"
    password  = "word"
    proxy          = "me@proxy.example.org:3128"
    proxy_password = "word"
    flags     = ["-avSH"]
    options   = ["--timeout=60"]
    exclude   = ["*/isos/"]
    freshness = "TIME"
    bandwidth = "10m"
    lock      = "/run/kitten.lock"
    log       = "/var/log/kitten.log"
  }
}
web {
  server         = "nginx"
  server_name    = "mirror.example.org"
  server_aliases = ["mirror.example.net"]
  location       = "/almalinux/"
}
publish {
  directory        = "mirrors.d"
  name             = "mirror.almalinux.org"
  http             = "http://mirror.example.org/almalinux/"
  https            = "https://mirror.example.org/almalinux/"
  rsync            = "rsync://mirror.example.org/almalinux/"
  ftp              = "ftp://mirror.example.org/almalinux/"
  kitten_http      = "http://mirror.example.org/kitten/"
  kitten_https     = "https://mirror.example.org/kitten/"
  kitten_rsync     = "rsync://mirror.example.org/kitten/"
  update_frequency = "3h"
  sponsor          = "Example"
  sponsor_url      = "https://example.org"
  email            = "mirror@example.org"
  geolocation      = { country = "DE", state_province = "Hesse", city = "Frankfurt" }
  subnets          = ["203.0.113.0/24"]
  cloud_type       = "gcp"
  cloud_regions    = ["europe-west3"]
}
`

// urls are the attributes in which somebody may have put a password.
var urls = regexp.MustCompile(`upstream|http|rsync$|ftp|url`)

var hostile = []string{
	"$(touch /pwn-1)", "`touch /pwn-2`", "; touch /pwn-3", "&& touch /pwn-4", "| touch /pwn-5", `'"'"'`, `"'`, `\`, `'\''`, "%", `\%`, "a\nb",
	"a\r\nb", "a\x00b", "-oProxyCommand=touch", "--rsh=touch /pwn-6", "\xff\xfe", "a\u202eb", "a\u200bb", "../../etc/shadow", "/", "/etc", "x; } server {",
	"NO", "22:22", "=", "<<", "!!python/object", "{{.Name}}", "${x}", "~", "*", "#", "a b", "/srv/a b", "/srv/a\tb", "/srv/$(touch /pwn-7)/x",
	"/srv/mirror/'x'", "/srv/mirror/%d", "ext::sh -c touch", "file:///etc/passwd", "rsync://u:canary@h/m/", "rsync://h/m/;x/",
	strings.Repeat("x", 5000),
}

// Each hostile string takes the place of each attribute in turn. Either that is an error, or what is made is safe: the types
// take every part, and a shell reads every command as the words that were meant.
func TestHostile(t *testing.T) {
	t.Parallel()
	host := readHost(t, []byte(`{"name": "fra1", "address": "203.0.113.10"}`))
	parts, problems := mirror.Expand(resources.All(), "almalinux", readSpec(t, everything), host)
	if checkParts(t, parts, problems, host); len(problems) > 0 {
		t.Fatalf("the block is not right by itself: %v", problems)
	}
	paths := stringPaths(reflect.TypeFor[mirror.Spec](), "")
	if len(paths) < 50 {
		t.Fatalf("only %d attributes: %v", len(paths), paths)
	}
	right := dump(t, readSpec(t, everything))
	accepted, shell := 0, &shellText{seen: map[string]bool{}}
	for _, path := range paths {
		for _, bad := range hostile {
			spec := new(mirror.Spec)
			if err := json.Unmarshal([]byte(right), spec); err != nil {
				t.Fatal(err)
			}
			setString(t, reflect.ValueOf(spec).Elem(), path, bad)
			parts, problems := mirror.Expand(resources.All(), "almalinux", spec, host)
			for _, p := range problems {
				if strings.Contains(p.String(), "canary") && urls.MatchString(path) {
					t.Errorf("%s = %q: a problem shows a password: %s", path, bad, p)
				}
			}
			if checkParts(t, parts, problems, host); parts != nil {
				accepted++
				shell.add(t, parts)
			}
		}
	}
	if accepted == 0 || len(shell.lines) < 20 {
		t.Errorf("only %d blocks were taken as they are, with %d commands: hardly any quoting was tested", accepted, len(shell.lines))
	}
	shell.check(t)
	if left, _ := filepath.Glob("/pwn-*"); len(left) > 0 {
		t.Errorf("a value was run as a command: %v", left)
	}
	for _, name := range hostile {
		if parts, problems := mirror.Expand(resources.All(), name, readSpec(t, everything), host); parts != nil && name != "NO" {
			t.Errorf("a mirror may be called %q: %v", name, problems)
		}
		bad := host
		bad.Address = name
		parts, problems := mirror.Expand(resources.All(), "almalinux", readSpec(t, everything), bad)
		checkParts(t, parts, problems, bad)
	}
}

// stringPaths lists the dotted paths of all strings in a struct's attributes and blocks.
func stringPaths(typ reflect.Type, prefix string) []string {
	var paths []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("hcl"), ",")
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice || inner.Kind() == reflect.Map {
			inner = inner.Elem()
		}
		switch inner.Kind() {
		case reflect.Struct:
			paths = append(paths, stringPaths(inner, prefix+name+".")...)
		case reflect.String:
			paths = append(paths, prefix+name)
		}
	}
	return paths
}

func setString(t *testing.T, v reflect.Value, path, s string) {
	t.Helper()
	for name := range strings.SplitSeq(path, ".") {
		v = settle(field(t, v, name))
	}
	switch v.Kind() {
	case reflect.Slice:
		v.Set(reflect.ValueOf([]string{s}))
		return
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"": s}))
		return
	}
	v.SetString(s)
}

// shellText collects what parts give a shell to read, so that one shell reads it all.
type shellText struct {
	seen    map[string]bool
	lines   []string   // commands
	words   [][]string // what each is meant to be
	scripts []string
}

func (x *shellText) add(t *testing.T, parts []engine.Part) {
	t.Helper()
	for _, p := range parts {
		switch s := p.State.(type) {
		case *resources.Cron:
			line, err := resources.ShellJoin(s.Command)
			if err != nil {
				t.Error(err)
			}
			if !x.seen[line] {
				x.seen[line] = true
				x.lines, x.words = append(x.lines, line, s.Command[4]), append(x.words, s.Command, nil)
			}
		case *resources.File:
			if s.Content != nil && strings.HasPrefix(*s.Content, "#!/bin/sh\n") && !x.seen[*s.Content] {
				x.seen[*s.Content] = true
				x.scripts = append(x.scripts, *s.Content)
			}
		}
	}
}

// around is what runs rsync in the block with everything.
var around = regexp.MustCompile(
	`^(/usr/local/sbin/mirrorform-sync-almalinux(-kitten)? --cron)?( ?/usr/bin/env RSYNC_PROXY=[A-Za-z0-9.:-]+)?` +
		`( ?/usr/bin/nice -n 10)?( ?/usr/bin/ionice -c [23 n7-]+)?( ?/usr/bin/timeout --foreground -k 60 [0-9]+[smhd])?$`)

// check has a shell read everything, and run none of it.
func (x *shellText) check(t *testing.T) {
	t.Helper()
	for i, got := range shellWords(t, x.lines...) {
		switch want := x.words[i]; {
		case want != nil && !slices.Equal(got, want):
			t.Errorf("a shell reads %q, not %q", got, want)
		case want == nil && (!around.MatchString(strings.Join(got[:max(0, slices.Index(got, "/usr/bin/rsync"))], " ")) || len(got) < 6 || !strings.HasPrefix(got[len(got)-5], "rsync://") || !strings.HasPrefix(got[len(got)-4], "/")):
			t.Errorf("a shell would run %q", got)
		}
	}
	cmd := exec.Command("/bin/sh", "-n")
	cmd.Stdin = strings.NewReader(strings.Join(x.scripts, ""))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// shellWords are the words that sh makes of each line.
func shellWords(t *testing.T, lines ...string) [][]string {
	t.Helper()
	var text strings.Builder
	for _, line := range lines {
		text.WriteString("set -f -- " + line + "\nprintf '%s\\0' \"$#\" \"$@\"\n")
	}
	cmd := exec.Command("/bin/sh")
	cmd.Stdin = strings.NewReader(text.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sh cannot read the lines: %v", err)
	}
	fields := strings.Split(string(out), "\x00")
	words := make([][]string, len(lines))
	for i := range lines {
		n, err := strconv.Atoi(fields[0])
		if err != nil || n < 1 || n >= len(fields) {
			t.Fatalf("sh made %q of %q", fields[0], lines[i])
		}
		words[i], fields = fields[1:n+1], fields[n+1:]
	}
	return words
}

// The program runs rsync with just the words that cron's command has, under the same lock.
func TestSettings(t *testing.T) {
	t.Parallel()
	spec := readSpec(t, everything)
	spec.Kitten.Sync.Proxy, spec.Kitten.Sync.ProxyPassword = "", "" // with an account, the program runs the command
	spec.Sync.Exclude = []string{"it's $(touch /pwn-1) 100%", `back\slash "quoted"`, "`x`; y"}
	parts, problems := mirror.Expand(resources.All(), "almalinux", spec, readHost(t, []byte(`{"name": "fra1", "address": "203.0.113.10"}`)))
	if parts == nil {
		t.Fatal(problems)
	}
	for _, prefix := range []string{"", "kitten_"} {
		file := state[resources.File](t, parts, prefix+"sync_settings")
		cron := state[resources.Cron](t, parts, prefix+"cron")
		got, err := settings.Parse(*file.Content)
		if err != nil {
			t.Fatal(err)
		}
		if words := shellWords(t, cron.Command[4])[0]; !slices.Equal(got.Command(true), words) {
			t.Errorf("the program runs %q, cron runs %q", got.Command(true), words)
		}
		if got.Lock != cron.Command[2] || got.Log != cron.Log || got.User != cron.User || got.Mount != cron.RequireMount {
			t.Errorf("the settings are %+v, cron's are %+v", got, cron)
		}
		script := *state[resources.File](t, parts, prefix+"sync_script").Content
		lines := strings.Split(strings.TrimSpace(script), "\n")
		want := "exec " + state[resources.Program](t, parts, "sync_program").Path + " " + filepath.Base(file.Path) + ` "$@"`
		if got := lines[len(lines)-1]; got != want {
			t.Errorf("the script ends with %q, want %q", got, want)
		}
	}

	spec.Sync.Options = []string{"--info", ""}
	if parts, problems := mirror.Expand(resources.All(), "almalinux", spec, readHost(t, []byte(`{"name": "fra1"}`))); parts != nil || len(problems) != 1 ||
		problems[0].Attribute != "sync" {
		t.Errorf("an empty word is taken: %v", problems)
	}
}

// state finds the state of a part.
func state[S any](t *testing.T, parts []engine.Part, name string) *S {
	t.Helper()
	for _, p := range parts {
		if s, ok := p.State.(*S); ok && p.Name == name {
			return s
		}
	}
	t.Fatalf("there is no part %s", name)
	return nil
}
