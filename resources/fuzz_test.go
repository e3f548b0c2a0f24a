package resources

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/rogpeppe/go-internal/txtar"
)

// fullStates are states that Validate takes, with as many attributes as go together.
var fullStates = map[string]func() any{
	"apache_site": func() any {
		return &ApacheSite{Name: "site", ServerName: []string{"mirror.example.org", "*.example.org"}, Listen: []string{"80", "127.0.0.1:8080"}, Root: "/srv/root",
			Aliases: map[string]string{"/almalinux/": "/srv/a"}, AccessLog: "/var/log/apache2/site.log", Header: "/srv/head.html", Footer: "/srv/foot.html",
			Certificate: "/etc/ssl/a.pem", CertificateKey: "/etc/ssl/a.key", TLSListen: []string{"443"}, HTTP: "serve", Headers: map[string]string{"X-A": "b c"},
			LogFormat: "%a x", Rate: "5m", Robots: "User-agent: *", Health: "/health", Redirects: map[string]string{"/old": "/almalinux/"},
			Webroot: "/var/www/acme", Extra: "Header set X-B c"}
	},
	"apache_snippet": func() any {
		return &ApacheSnippet{Name: "mirror", ServerName: "mirror.example.org", Aliases: map[string]string{"/almalinux/": "/srv/a"}}
	},
	"certificate": func() any {
		return &Certificate{Name: "mirror.example.org", Domains: []string{"mirror.example.org"}, Email: "admin@example.org", Webroot: "/srv/acme",
			Directory: "https://acme.example.org/directory", KeyType: "ecdsa"}
	},
	"cron": func() any {
		return &Cron{Name: "sync", Schedule: "5 */3 * * *", User: "mirror", Command: []string{"/usr/bin/rsync", "-a", "x"},
			Environment: map[string]string{"PATH": "/bin"}, RequireMount: "/srv", Guard: []string{"/usr/bin/guard", "x"}, Log: "/var/log/sync.log",
			OnExit: []string{"/usr/bin/record", "x"}}
	},
	"caddy_site": func() any {
		return &CaddySite{Name: "site", ServerName: []string{"mirror.example.org"}, Listen: []string{"80"}, Root: "/srv/root",
			Aliases: map[string]string{"/almalinux/": "/srv/a"}, AccessLog: "/var/log/caddy/site.log", TLSListen: []string{"443"}, HTTP: "serve",
			ACME: new(true), ACMEEmail: "m@example.org", ACMEDirectory: "https://acme.example.org/dir", ACMERoot: "/etc/ssl/ca.pem",
			Headers: map[string]string{"X-A": "b c"}, AnonymizeLog: new(true), Robots: "User-agent: *", Health: "/health",
			Redirects: map[string]string{"/old": "/almalinux/"}, Webroot: "/var/www/acme", Extra: "abort /x"}
	},
	"caddy_snippet": func() any {
		return &CaddySnippet{Name: "mirror", ServerName: "mirror.example.org", Aliases: map[string]string{"/almalinux/": "/srv/a"}}
	},
	"directory": func() any { return &Directory{Path: "/srv/d", Owner: "mirror", Group: "mirror", Mode: "0755"} },
	"file": func() any {
		content := "text\n"
		return &File{Path: "/etc/motd", Content: &content, Owner: "root", Group: "root", Mode: "0644", Validate: []string{"/bin/true", "{}"}}
	},
	"filesystem": func() any { return &Filesystem{Device: "/dev/vdb", Type: "xfs", Label: "mirror"} },
	"group":      func() any { return &Group{Name: "mirror", System: true} },
	"logrotate": func() any {
		return &Logrotate{Name: "sync", Files: []string{"/var/log/sync.log"}, Frequency: "weekly", CreateMode: "0640", CreateOwner: "mirror",
			CreateGroup: "mirror", SUUser: "mirror", SUGroup: "mirror"}
	},
	"mount": func() any {
		return &Mount{Path: "/srv/m", Device: "/dev/vdb", Filesystem: "xfs", Options: []string{"noatime"}, Owner: "mirror", Group: "mirror", Mode: "0755"}
	},
	"nginx_site": func() any {
		return &NginxSite{Name: "site", ServerName: []string{"mirror.example.org"}, Listen: []string{"80"}, Root: "/srv/root",
			Aliases: map[string]string{"/almalinux/": "/srv/a"}, AccessLog: "/var/log/nginx/site.log", Header: "/srv/head.html", Footer: "/srv/foot.html",
			Certificate: "/etc/ssl/a.pem", CertificateKey: "/etc/ssl/a.key", TLSListen: []string{"443"}, HTTP: "serve", Headers: map[string]string{"X-A": "b c"},
			LogFormat: "$remote_addr x", MaxConnections: new(5), Rate: "5m", Robots: "User-agent: *", Health: "/health", Redirects: map[string]string{"/old": "/almalinux/"},
			Webroot: "/var/www/acme", Extra: "gzip_static on;"}
	},
	"nginx_snippet": func() any {
		return &NginxSnippet{Name: "mirror", ServerName: "mirror.example.org", Aliases: map[string]string{"/almalinux/": "/srv/a"}}
	},
	"package": func() any {
		return &Package{Name: "rsync", State: "present", Names: map[string]string{"el": "rsync"}}
	},
	"program": func() any { return &Program{Path: "/usr/local/libexec/mirrorform-sync", Name: "mirrorform-sync"} },
	"service": func() any {
		yes := true
		return &Service{
			Name: "nginx", Enabled: &yes, Running: &yes, ReloadOn: []string{"/etc/a"}, RestartOn: []string{"/etc/b"}, Unless: "nginx.socket",
		}
	},
	"storage": func() any {
		return &Storage{Path: "/srv/s", Minimum: "1GB", Recommended: "2GB", Device: "/dev/vdb"}
	},
	"symlink": func() any { return &Symlink{Path: "/srv/l", Target: "d"} },
	"tree": func() any {
		return &Tree{Path: "/srv/t", Name: "almalinux", Claim: "/srv/t", Owner: "mirror", Group: "mirror", Apart: []string{"/srv/u"}}
	},
	"user": func() any {
		return &User{Name: "mirror", Group: "mirror", Groups: []string{"adm"}, Home: "/srv", Shell: "/bin/sh", Comment: "AlmaLinux mirror"}
	},
}

// fullState is a state of the type that Validate takes, with as many attributes as go together:
// that of its case create-full, unless fullStates has one.
func fullState(t testing.TB, name string) any {
	t.Helper()
	if full := fullStates[name]; full != nil {
		return full()
	}
	archive, err := txtar.ParseFile(filepath.Join("testdata", name, "create-full.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	state := All().Kind(name).New()
	setState(t, state, parseCase(t, archive).text["want"])
	return state
}

// hostileValues are what a value may be that somebody chose to do harm, besides the words of hostile.
var hostileValues = []string{
	"$(touch /pwn-1)", "`touch /pwn-2`", "; touch /pwn-3", "&& touch /pwn-4", "| touch /pwn-5", `'"'"'`, `\'"`, "a\nb", "a\r\nb", "a\x00b", "-rf", "--rsh=touch",
	"-oProxyCommand=touch /pwn-6", "\xff\xfe", "a\u202eb", "a\u200bb", "../../etc/shadow", "/srv/../etc/shadow", "", "/", "/etc", "/usr", "/srv/a b", "/srv/a\tb", "/srv/a#b",
	`/srv/a\040b`, "/srv/$(touch /pwn-7)", "/srv/it's", `/srv/"x"`, "/srv/%d", "%", "a%b", "@reboot; x", "@reboot", "a.b", "x~", "x; } server {", "NO", "22:22", "=", "<<", "!!python/object",
	"\x1b]52;c;Zm9v\x07", "\u009b31m", "${x}", "%{ if x }", "{}", "file:///etc/passwd", "ext::sh -c touch", "rsync://u:p@h/m/", "/srv/{a}", "/dev/../etc/shadow", "/dev/$(x)", "* * * * *\n* * * * * root x",
	"defaults,noauto", "a,b", "x:0:0::/:/bin/sh", "root", "0", "80;", "unix:/run/x", "*.example.org", "/a/;}/", "/srv/x\ny", "/etc/cron.d/x", "/srv/x/", "/srv/ü", "/srv/x'; touch /pwn-8; '",
}

// slot is a place in a state that holds a string: an attribute, a member of a list, a key or a value of a map.
type slot struct {
	kind, name string
	set        func(state any, value string)
}

// slots are the places of all types, in a fixed order.
func slots() []slot {
	var all []slot
	for _, kind := range All().Names() {
		typ := reflect.TypeOf(All().Kind(kind).New()).Elem()
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("hcl"), ",")
			if name == "" {
				continue
			}
			add := func(what string, set func(v reflect.Value, value string)) {
				all = append(all, slot{kind, name + what, func(state any, value string) { set(reflect.ValueOf(state).Elem().Field(i), value) }})
			}
			switch f.Type {
			case reflect.TypeFor[string]():
				add("", reflect.Value.SetString)
			case reflect.TypeFor[*string]():
				add("", func(v reflect.Value, value string) { v.Set(reflect.ValueOf(&value)) })
			case reflect.TypeFor[[]string]():
				add("[0]", func(v reflect.Value, value string) { v.Index(0).SetString(value) })
				add("[]", func(v reflect.Value, value string) { v.Set(reflect.Append(v, reflect.ValueOf(value))) })
			case reflect.TypeFor[map[string]string]():
				add(" key", func(v reflect.Value, value string) {
					for _, k := range v.MapKeys() {
						v.SetMapIndex(reflect.ValueOf(value), v.MapIndex(k))
					}
				})
				add(" value", func(v reflect.Value, value string) {
					for _, k := range v.MapKeys() {
						v.SetMapIndex(k, reflect.ValueOf(value))
					}
				})
			}
		}
	}
	return all
}

// Every state that FuzzValues begins with is right, or nothing would be rendered; and every attribute that is text has a slot.
func TestFuzzBeginsRight(t *testing.T) {
	t.Parallel()
	for _, name := range All().Names() {
		if problems := All().Kind(name).Validate(fullState(t, name)); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
		checkState(t, name, fullState(t, name))
	}
	if n := len(slots()); n < 60 {
		t.Errorf("only %d places for values", n)
	}
}

// FuzzValues puts any text into any attribute of any type. It is refused, or what is made of it is read by cron, nginx, logrotate, mount and the
// like as exactly that value.
func FuzzValues(f *testing.F) {
	all := slots()
	for i := range all {
		f.Add(uint16(i), "x")
		f.Add(uint16(i), hostileValues[i%len(hostileValues)])
	}
	f.Fuzz(func(t *testing.T, place uint16, value string) {
		checkValue(t, all[int(place)%len(all)], value)
	})
}

// TestHostileValues has every hostile value in every place: of each kind of place some are taken and some are refused.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	taken, refused := 0, 0
	for _, s := range slots() {
		for _, value := range slices.Concat(hostile, hostileValues) {
			if checkValue(t, s, value) {
				taken++
			} else {
				refused++
			}
		}
	}
	if taken < 500 || refused < 4000 {
		t.Errorf("%d values were taken and %d refused: hardly anything was tested", taken, refused)
	}
}

// checkValue puts a value into its place, and tells whether it was taken.
func checkValue(t *testing.T, s slot, value string) bool {
	t.Helper()
	state := fullState(t, s.kind)
	s.set(state, value)
	for _, p := range All().Kind(s.kind).Validate(state) {
		if p.Severity == engine.Error {
			if p.Summary == "" || strings.ContainsAny(p.Summary, "\n\r\x00\x1b") {
				t.Errorf("%s %s = %q: unusable message %q", s.kind, s.name, value, p.Summary)
			}
			return false
		}
	}
	checkState(t, s.kind, state)
	return true
}

// checkState holds what is so for each state that Validate takes.
func checkState(t *testing.T, name string, state any) {
	t.Helper()
	kind := All().Kind(name)
	target := engine.Target{Name: "fra1", Facts: wire.Facts{OS: wire.OSFacts{ID: "debian", Family: "debian"}, Systemd: true, Packages: "apt"}}
	if strings.HasPrefix(name, "selinux_") {
		target.Facts.SELinux, target.Facts.SELinuxPolicy = "enforcing", "default"
	}
	r := &engine.Resource{Address: engine.Address{Host: "fra1", Type: name, Name: "x"}, Kind: kind, State: state, Source: "test"}
	ordered, problems := engine.Order(target, []*engine.Resource{r})
	if len(problems) > 0 {
		t.Fatalf("%s: %v", name, problems)
	}
	full := kind.Complete(target, state)
	if again := kind.Complete(target, full); !reflect.DeepEqual(full, again) {
		t.Errorf("%s: completed twice it is another:\n%+v\n%+v", name, full, again)
	}
	if steps := kind.Diff(target, full, full); len(steps) > 0 {
		t.Errorf("%s: from a state to the same there are steps: %+v", name, steps)
	}
	queries := engine.Questions(target, ordered)
	nothing := make([]wire.Answer, len(queries))
	for i := range nothing {
		nothing[i] = wire.Answer{
			File: &wire.File{}, Filesystem: &wire.Filesystem{Size: 1 << 50, Available: 1 << 50}, Mount: &wire.Mount{}, Block: &wire.Block{Path: "/dev/vdb", Size: 1 << 50},
			Package: &wire.Package{}, Unit: &wire.Unit{LoadState: "loaded"}, User: &wire.User{UID: -1}, Group: &wire.Group{GID: -1}, Loaded: &wire.Loaded{}, HTTP: &wire.HTTP{}, Listeners: &wire.Listeners{}, Run: &wire.Run{},
			Tree: &wire.Tree{Place: wire.Place{Path: queries[i].Arg, Real: queries[i].Arg, At: "8:1:" + queries[i].Arg}},
		}
	}
	for i, q := range queries {
		if strings.HasPrefix(q.Arg, "/proc/sys/") || strings.HasPrefix(q.Arg, "/sys/fs/selinux/") {
			// The kernel has every parameter, and every boolean.
			nothing[i].File = &wire.File{Kind: wire.Regular, Content: []byte("0\n"), HasContent: true}
		}
	}
	for i, q := range queries {
		if q.Verb == wire.AskRun && slices.Contains(q.Args, "DUMP_MODULES") {
			nothing[i].Run = &wire.Run{Stdout: apacheDump(state)}
		} else if s, ok := state.(*ApacheSnippet); ok && slices.Contains(q.Args, "/etc/apache2") {
			nothing[i].Run = &wire.Run{Stdout: "/etc/apache2/sites-enabled/own.conf:2:IncludeOptional " + apacheDebian.Snippets + "/" + strings.ToLower(s.ServerName) + "/*.conf\n"}
		}
		s, joins := state.(*Snippet)
		switch key := q.Key(); {
		case joins && key == nginxConfigQuery.Key():
			nothing[i].Run = &wire.Run{Stdout: "# configuration file /etc/nginx/nginx.conf:\nhttp { server { server_name " + s.ServerName +
				"; include " + snippetType{"nginx_snippet", nginx{}}.dir(engine.Target{}, s) + "/*.conf; } }\n"}
		case key == caddyMainQuery.Key():
			nothing[i].File = &wire.File{Kind: wire.Regular, HasContent: true}
		case joins && key == caddyConfigQuery.Key():
			nothing[i].Run = &wire.Run{Stdout: caddyMain + ":1:" + s.ServerName + " {\n" + caddyMain + ":2:import " +
				snippetType{"caddy_snippet", caddy{}}.dir(engine.Target{}, s) + "/*.caddyfile\n"}
		case key == caddyConfigQuery.Key():
			nothing[i].Run = &wire.Run{Stdout: caddyMain + ":1:import Caddyfile.d/*.caddyfile\n"}
		}
	}
	if _, ok := state.(*RsyncModule); ok { // every account exists
		for i := range nothing {
			nothing[i].User, nothing[i].Group = &wire.User{UID: 977}, &wire.Group{GID: 977}
		}
	}
	got, err := engine.NewAnswers(queries, nothing)
	if err != nil {
		t.Fatal(err)
	}
	plan := engine.Compare(target, ordered, got)
	if plan.Failed() {
		t.Fatalf("%s: %v %v", name, plan.Err, plan.Problems)
	}
	for _, c := range plan.Changes {
		checkSteps(t, queries, state, c.Steps)
	}
	switch s := full.(type) {
	case *Cron:
		checkCron(t, s)
	case *Site:
		map[string]func(*testing.T, *Site){"apache_site": checkApacheSite, "caddy_site": checkCaddySite, "nginx_site": checkSite}[name](t, s)
	case *Snippet:
		map[string]func(*testing.T, *Snippet){
			"apache_snippet": checkApacheSnippet, "caddy_snippet": checkCaddySnippet, "nginx_snippet": checkSnippet,
		}[name](t, s)
	case *Logrotate:
		checkLogrotate(t, s)
	case *RsyncModule:
		checkRsyncModule(t, s)
	case *Mount:
		line := strings.Join([]string{"UUID=1", s.Path, s.Filesystem, strings.Join(append([]string{"nofail"}, s.Options...), ","), "0", "0"}, " ")
		if strings.Contains(line, "\\") || len(strings.Fields(line)) != 6 || strings.Fields(line)[1] != s.Path {
			t.Errorf("fstab(5) does not read %q as %+v", line, s)
		}
		found := &Mount{Fstab: line, names: true}
		once := &Mount{Fstab: found.lineFor(s), names: true}
		for _, o := range append([]string{"nofail"}, s.Options...) {
			if !slices.Contains(parseFstab(once.Fstab).options, o) {
				t.Errorf("%q becomes %q, without %s", line, once.Fstab, o)
			}
		}
		if twice := once.lineFor(s); twice != once.Fstab {
			t.Errorf("%q becomes %q, and that %q", line, once.Fstab, twice)
		}
	case *User:
		line := strings.Join([]string{s.Name, "x", "1", "1", s.Comment, s.Home, s.Shell}, ":")
		if strings.ContainsAny(line, "\n\r\x00") || strings.Count(line, ":") != 6 {
			t.Errorf("passwd(5) does not read %q as %+v", line, s)
		}
	}
}

// checkSteps holds that steps act on nothing but what was asked about, and that no name that becomes an argument is an option.
func checkSteps(t *testing.T, queries []wire.Query, state any, steps []engine.Step) {
	t.Helper()
	asked := map[string]bool{"": true}
	for _, q := range queries {
		asked[q.Arg] = true
		for _, a := range q.Args {
			asked[a] = true
		}
	}
	within := func(what, s string) {
		if !asked[s] {
			t.Errorf("a step is about the %s %q, of which nothing was asked: %v", what, s, queries)
		}
		if strings.HasPrefix(s, "-") || strings.ContainsAny(s, "\n\r\x00") {
			t.Errorf("the %s %q would be no argument of a program", what, s)
		}
	}
	for _, s := range steps {
		if strings.ContainsAny(s.Summary, "\n\r\x00\x1b") {
			t.Errorf("the summary %q is not one line of text", s.Summary)
		}
		for _, op := range []*wire.Op{&s.Do, s.Undo} {
			if op == nil {
				continue
			}
			within("path", op.Path())
			if op.Restore != nil {
				within("path", op.Restore.Path)
			}
			if op.Mount != nil {
				within("mount point", op.Mount.Path)
				if op != s.Undo { // which may mount again what was found there
					within("device", op.Mount.Device)
				}
			}
			if op.Mkfs != nil {
				within("device", op.Mkfs.Device)
			}
			if op.Unit != nil {
				within("unit", op.Unit.Name)
				for _, file := range op.Unit.Files {
					within("file", file)
				}
			}
			if op.User != nil {
				within("user", op.User.Name)
			}
			if op.Group != nil {
				within("group", op.Group.Name)
			}
			if op.Package != nil {
				for _, p := range slices.Concat(op.Package.Install, op.Package.Remove) {
					p, _, _ = strings.Cut(p, "=")
					within("package", p)
				}
			}
			if op.Run != nil {
				checkRun(t, asked, op.Run.Argv)
			}
			if op.Unit != nil && len(op.Unit.Program) > 0 {
				checkRun(t, asked, op.Unit.Program)
			}
			if op.Policy != nil {
				checkPolicy(t, asked, op.Policy)
			}
			if op.Write != nil {
				checkWrite(t, state, op.Write)
			}
		}
	}
}

// checkRun holds that a program is one of those that types run, with arguments that are not
// options.
func checkRun(t *testing.T, asked map[string]bool, argv []string) {
	t.Helper()
	switch {
	case slices.Equal(argv, []string{"/usr/sbin/nginx", "-t"}), slices.Equal(argv, []string{"/usr/sbin/apache2ctl", "-t"}):
	case slices.Equal(argv, caddy{}.test(engine.Target{}, nil).Do.Run.Argv):
	case slices.Equal(argv, caddy{}.load(engine.Target{}, nil, serverState{running: true})[0].Do.Run.Argv):
	case len(argv) == 5 && slices.Equal(argv[:4], rsyncVerify):
		if !rsyncURL.MatchString(argv[4]) {
			t.Errorf("%q is run", argv)
		}
	case argv[0] == "/usr/bin/certbot":
		checkCertbot(t, asked, argv)
	case argv[0] == "/usr/bin/firewall-cmd", argv[0] == "/usr/bin/firewall-offline-cmd", argv[0] == "/usr/sbin/ufw":
		for _, word := range argv[1:] {
			if !firewallWord.MatchString(word) {
				t.Errorf("%q is run", argv)
			}
		}
	case len(argv) == 3 && slices.Equal(argv[:2], []string{"/usr/sbin/sysctl", "-w"}):
		if name, value, _ := strings.Cut(argv[2], "="); !asked["/proc/sys/"+name] || strings.ContainsAny(value, "\n\r\x00") {
			t.Errorf("%q is run", argv)
		}
	default:
		t.Errorf("%q is run", argv)
	}
}

// policyCommand is a line for "semanage import" as types write it.
var policyCommand = regexp.MustCompile(`^(fcontext -[am] -t (\w+|<<none>>) '[^'\s]+'|fcontext -d '[^'\s]+'|boolean -m -[01] \w+)$`)

// checkPolicy holds that semanage reads as values what is meant as values.
func checkPolicy(t *testing.T, asked map[string]bool, p *wire.PolicyOp) {
	t.Helper()
	for _, line := range p.Commands {
		if !policyCommand.MatchString(line) {
			t.Errorf("%q is a line for semanage", line)
		}
	}
	for _, b := range append(slices.Clone(p.Booleans), p.Forget...) {
		name, value, _ := strings.Cut(b, "=")
		if !asked["/sys/fs/selinux/booleans/"+name] || value != "" && value != "on" && value != "off" {
			t.Errorf("the boolean %q is set", b)
		}
	}
	for _, path := range p.Relabel {
		if !asked[path] {
			t.Errorf("%q is labelled", path)
		}
	}
}

// firewallWord is an argument of firewall-cmd(1) or ufw(8).
var firewallWord = regexp.MustCompile(`^(--permanent|--zone=\w[\w.+-]*|--(add|remove)-service(-from-zone)?=\w[\w.+-]*|` +
	`--(add|remove)-port=[0-9]+(-[0-9]+)?/[a-z]+|allow|delete|[0-9]+(:[0-9]+)?/[a-z]+)$`)

// checkCertbot holds that certbot reads as values what is meant as values.
func checkCertbot(t *testing.T, asked map[string]bool, argv []string) {
	t.Helper()
	if !slices.Equal(argv[:6], []string{"/usr/bin/certbot", "certonly", "--non-interactive", "--agree-tos", "--webroot", "--webroot-path"}) {
		t.Errorf("%q is run", argv)
	}
	flags := []string{"--register-unsafely-without-email", "--renew-with-new-domains", "--force-renewal"}
	valued := []string{"--webroot-path", "--cert-name", "--server", "--email", "--key-type", "--domain"}
	for i := 5; i < len(argv); i++ {
		if slices.Contains(flags, argv[i]) {
			continue
		}
		if !slices.Contains(valued, argv[i]) || i+1 == len(argv) {
			t.Errorf("%q has no meaning in %q", argv[i], argv)
			return
		}
		i++
		if v := argv[i]; v == "" || v[0] == '-' || strings.ContainsAny(v, ",\n\r\x00 ") && argv[i-1] != "--webroot-path" {
			t.Errorf("the value %q of %s in %q", v, argv[i-1], argv)
		}
		if argv[i-1] == "--cert-name" && !asked["/etc/letsencrypt/renewal/"+argv[i]+".conf"] {
			t.Errorf("%q is about something that was not asked", argv)
		}
	}
}

// checkWrite holds that a file is checked by its own program or by none.
func checkWrite(t *testing.T, state any, w *wire.WriteOp) {
	t.Helper()
	switch s := state.(type) {
	case *File:
		if !slices.Equal(w.Validate, s.Validate) {
			t.Errorf("%q checks the file, not %q", w.Validate, s.Validate)
		}
		if m := (fileType{}).managed(s); m.content != nil && *m.content != string(w.Content) {
			t.Errorf("%q is written, not %q", w.Content, *m.content)
		}
	case *Logrotate:
		if !slices.Equal(w.Validate, []string{"/usr/sbin/logrotate", "--debug", "{}"}) {
			t.Errorf("%q checks the file", w.Validate)
		}
	case *RsyncModule:
		if !slices.Equal(w.Validate, rsyncdCheck) {
			t.Errorf("%q checks the file", w.Validate)
		}
	default:
		if w.Validate != nil {
			t.Errorf("%q checks the file", w.Validate)
		}
	}
}

// crontab is what cron(8) makes of a file of /etc/cron.d with one entry.
type crontab struct {
	variables map[string]string
	schedule  string
	user      string
	command   string // with \% and all
}

// readCrontab reads a file as Vixie's cron does: load_env for each line, and where that is no variable, load_entry.
func readCrontab(text string) (*crontab, error) {
	c := &crontab{variables: map[string]string{}}
	if !strings.HasSuffix(text, "\n") {
		return nil, fmt.Errorf("the last line has no newline")
	}
	if strings.ContainsAny(text, "\x00") {
		return nil, fmt.Errorf("a NUL character ends the file")
	}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		if len(line) > 999 {
			return nil, fmt.Errorf("a line of %d bytes", len(line))
		}
		if name, value, ok := crontabVariable(line); ok {
			if _, twice := c.variables[name]; twice {
				return nil, fmt.Errorf("%s is set twice", name)
			}
			c.variables[name] = value
			continue
		}
		if c.command != "" {
			return nil, fmt.Errorf("a second entry: %q", line)
		}
		fields := 5
		if line[0] == '@' {
			fields = 1
		}
		var words []string
		for range fields + 1 {
			end := strings.IndexAny(line, " \t")
			if end < 0 {
				return nil, fmt.Errorf("an entry cut short: %q", line)
			}
			words = append(words, line[:end])
			line = strings.TrimLeft(line[end:], " \t")
		}
		c.schedule, c.user, c.command = strings.Join(words[:fields], " "), words[fields], line
	}
	if c.command == "" {
		return nil, fmt.Errorf("no entry")
	}
	return c, nil
}

// crontabVariable reads NAME = VALUE, either of which may be in quotes of one kind, with nothing but blanks between and after.
func crontabVariable(line string) (name, value string, ok bool) {
	name, rest, ok := crontabWord(line, " \t=")
	rest, found := strings.CutPrefix(strings.TrimLeft(rest, " \t"), "=")
	if !ok || !found || name == "" {
		return "", "", false
	}
	rest = strings.TrimLeft(rest, " \t")
	if rest == "" {
		return "", "", false // Debian's cron takes no empty value without quotes
	}
	value, rest, ok = crontabWord(rest, "")
	if !ok || strings.TrimLeft(rest, " \t") != "" {
		return "", "", false
	}
	return name, value, true
}

func crontabWord(text, ends string) (word, rest string, ok bool) {
	if text[0] == '"' || text[0] == '\'' {
		end := strings.IndexByte(text[1:], text[0])
		if end < 0 {
			return "", "", false
		}
		return text[1 : end+1], text[end+2:], true
	}
	if i := strings.IndexAny(text, ends); ends != "" && i >= 0 {
		return text[:i], text[i:], true
	}
	return strings.TrimRight(text, " \t"), "", true
}

// operator stands before what a shell takes for more than text.
const operator = "\x00"

// shellReads are the words of a command, as a POSIX shell reads it. It knows the quoting of XCU 2.2 and the operators && and >>, and takes everything
// else that any shell could take for more than text for an error. FuzzShellWords holds the words against real shells.
func shellReads(text string) ([]string, error) { return shellReadsList(text, false) }

// shellReadsList is shellReads for text that may be a list of commands, if list is set.
func shellReadsList(text string, list bool) ([]string, error) {
	var words []string
	var word strings.Builder
	started := false
	end := func() {
		if started {
			words = append(words, word.String())
		}
		word.Reset()
		started = false
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\'' || c == '"':
			n := strings.IndexByte(text[i+1:], c)
			if n < 0 {
				return nil, fmt.Errorf("%q has no end", text[i:])
			}
			inner := text[i+1 : i+1+n]
			if c == '"' && strings.ContainsAny(inner, "$`\\!") {
				return nil, fmt.Errorf("%q is more than text", inner)
			}
			word.WriteString(inner)
			started = true
			i += n + 1
		case c == ' ':
			end()
		case strings.HasPrefix(text[i:], "&& "), strings.HasPrefix(text[i:], ">>"):
			if started {
				return nil, fmt.Errorf("%q right after a word", text[i:])
			}
			words = append(words, operator+text[i:i+2])
			i++
		case strings.HasPrefix(text[i:], "2>&1") && (i+4 == len(text) || text[i+4] == ';' || text[i+4] == ' ') && !started:
			words = append(words, operator+"2>&1")
			i += 3
		case list && strings.HasPrefix(text[i:], "; "):
			end()
			words = append(words, operator+";")
		case bareWord.MatchString(text[i : i+1]):
			word.WriteByte(c)
			started = true
		default:
			return nil, fmt.Errorf("%q is no text without quotes", text[i:])
		}
	}
	end()
	return words, nil
}

// checkCron holds that cron, and then the shell, read exactly what is wanted.
func checkCron(t *testing.T, s *Cron) {
	t.Helper()
	c, err := readCrontab(*s.Content)
	if err != nil {
		t.Fatalf("%v in\n%s", err, *s.Content)
	}
	read, _ := ParseSchedule(s.Schedule)
	schedule := read.String()
	want := s.Environment
	if want == nil {
		want = map[string]string{}
	}
	if c.schedule != schedule || c.user != s.User || !reflect.DeepEqual(c.variables, want) {
		t.Errorf("cron reads %+v, want %+v", c, s)
	}
	argv := slices.Clone(s.Command)
	if len(s.Guard) > 0 {
		guard := slices.Clone(s.Guard)
		if s.Log != "" {
			guard = append(guard, operator+">>", s.Log, operator+"2>&1")
		}
		argv = slices.Concat(guard, []string{operator + "&&"}, argv)
	}
	if s.RequireMount != "" {
		argv = slices.Concat([]string{"/usr/bin/mountpoint", "-q", s.RequireMount, operator + "&&"}, argv)
	}
	if s.Log != "" {
		argv = append(argv, operator+">>", s.Log, operator+"2>&1")
	}
	if len(s.OnExit) > 0 {
		argv = append(append(argv, operator+";"), s.OnExit...)
	}
	for _, collapses := range []bool{false, true} {
		command, reported := strings.CutSuffix(cronReads(c.command, collapses), ` "$$" "$?"`)
		if reported != (len(s.OnExit) > 0) {
			t.Errorf("a shell reads %q", command)
		}
		if words, err := shellReadsList(command, reported); err != nil || !slices.Equal(words, argv) {
			t.Errorf("a shell reads %q from %q: %v; want %q", words, command, err, argv)
		}
	}
}

// nginxDirective is a directive of nginx's with its block, if it has one.
type nginxDirective struct {
	words []string
	block []nginxDirective
}

func nginxTree(tokens []string) (list []nginxDirective, rest []string, err error) {
	var words []string
	for len(tokens) > 0 {
		token := tokens[0]
		tokens = tokens[1:]
		switch token {
		case ";":
			list = append(list, nginxDirective{words: words})
			words = nil
		case "{":
			block, after, err := nginxTree(tokens)
			if err != nil || len(after) == 0 || after[0] != "}" {
				return nil, nil, fmt.Errorf("the block of %q has no end: %w", words, err)
			}
			list = append(list, nginxDirective{words, block})
			words, tokens = nil, after[1:]
		case "}":
			if len(words) > 0 {
				return nil, nil, fmt.Errorf("%q has no end", words)
			}
			return list, append([]string{token}, tokens...), nil
		default:
			words = append(words, strings.TrimPrefix(token, "'"))
		}
	}
	if len(words) > 0 {
		return nil, nil, fmt.Errorf("%q has no end", words)
	}
	return list, nil, nil
}

// checkSite holds that nginx reads one server with what is wanted, and nothing else but constants.
func checkSite(t *testing.T, s *NginxSite) {
	t.Helper()
	tokens, err := nginxTokens(*s.Content)
	if err != nil {
		t.Fatal(err)
	}
	list, rest, err := nginxTree(tokens)
	outside := []string{"map", "log_format", "limit_conn_zone", "server"}
	if s.LogFormat == "" {
		outside = slices.Delete(outside, 1, 2)
	}
	if err != nil || len(rest) > 0 || !slices.EqualFunc(list, outside, func(d nginxDirective, name string) bool { return d.words[0] == name }) {
		t.Fatalf("%v, %q left; nginx reads %+v from\n%s", err, rest, list, *s.Content)
	}
	if format := list[1].words; s.LogFormat != "" && (len(format) != 3 || format[2] != s.LogFormat) {
		t.Errorf("the log format is %q", format)
	}
	text := func(words ...string) string { return fmt.Sprintf("%q", words) }
	lines := func(list []nginxDirective) (lines []string) {
		for _, d := range list {
			line := text(d.words...)
			for _, inner := range d.block {
				line += " " + text(inner.words...)
			}
			lines = append(lines, line)
		}
		return lines
	}
	got, want := lines(list[len(list)-1].block), checkedOptions(t, s, lines)
	for _, constant := range slices.Concat(tlsSettings, []string{"server_tokens off", "absolute_redirect off", "charset utf-8", "etag on", "sendfile on", "tcp_nopush on",
		"autoindex on", "autoindex_exact_size off", "autoindex_localtime off", "gzip on", "gzip_vary on",
		"gzip_types text/plain text/xml application/xml application/json", "add_header Cache-Control $mirrorform_" + strings.ReplaceAll(s.File, "-", "_") + "_cache"}) {
		want = append(want, text(strings.Fields(constant)...))
	}
	for _, l := range s.Listen {
		want = append(want, text("listen", l))
	}
	names := []string{"server_name"}
	for _, n := range s.ServerName {
		names = append(names, bracketed(n))
	}
	want = append(want, text(names...), text("location", "~", `/\.~tmp~(/|$)`)+" "+text("return", "404"),
		text("location", "=", siteMarker)+" "+text("access_log", "off")+" "+text("default_type", "text/plain")+" "+text("return", "200", digestOf([]byte(nginxText(s, "")))))
	if s.Root != "" {
		want = append(want, text("root", s.Root), text("disable_symlinks", "if_not_owner", "from="+s.Root))
	} else if s.Aliases["/"] == "" {
		want = append(want, text("location", "/")+" "+text("return", "404"))
	}
	for url, dir := range s.Aliases {
		if url != "/" {
			want = append(want, text("location", "=", strings.TrimSuffix(url, "/"))+" "+text("return", "301", url))
		}
		want = append(want, text("location", url)+" "+text("alias", dir+"/")+" "+text("disable_symlinks", "if_not_owner", "from="+dir))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("nginx reads\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// checkSnippet holds that nginx reads locations with what is wanted, and nothing else.
func checkSnippet(t *testing.T, s *NginxSnippet) {
	t.Helper()
	tokens, err := nginxTokens(*s.Content)
	if err != nil {
		t.Fatal(err)
	}
	list, rest, err := nginxTree(tokens)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%v, %q left; nginx reads %+v from\n%s", err, rest, list, *s.Content)
	}
	seen := map[string]bool{}
	for _, d := range list {
		seen[strings.Join(d.words, " ")] = true
		if d.words[1] != "^~" {
			continue
		}
		dir := s.Aliases[d.words[2]]
		if dir == "" || !slices.Equal(d.block[0].words, []string{"alias", dir + "/"}) || !slices.Equal(d.block[1].words, []string{"disable_symlinks", "if_not_owner", "from=" + dir}) {
			t.Errorf("nginx reads %+v from\n%s", d, *s.Content)
		}
	}
	want := map[string]bool{"location = " + snippetMarker(s): true}
	for url := range s.Aliases {
		want["location ^~ "+url] = true
		want["location = "+strings.TrimSuffix(url, "/")] = true
	}
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("nginx reads %v, want %v", seen, want)
	}
}

// checkedOptions are the directives of what the site sets.
func checkedOptions(t *testing.T, s *NginxSite, lines func([]nginxDirective) []string) (want []string) {
	t.Helper()
	add := func(words []string, block ...[]string) {
		line := fmt.Sprintf("%q", words)
		for _, inner := range block {
			line += " " + fmt.Sprintf("%q", inner)
		}
		want = append(want, line)
	}
	id := "mirrorform_" + strings.ReplaceAll(s.File, "-", "_")
	switch {
	case s.LogFormat == "":
		add([]string{"access_log", s.AccessLog})
	case s.AccessLog == "":
		add([]string{"access_log", "/var/log/nginx/access.log", id + "_log"})
	default:
		add([]string{"access_log", s.AccessLog, id + "_log"})
	}
	for _, l := range s.TLSListen {
		add([]string{"listen", l, "ssl", "http2"})
	}
	add([]string{"ssl_certificate", s.Certificate})
	add([]string{"ssl_certificate_key", s.CertificateKey})
	for name, value := range s.Headers {
		add([]string{"add_header", name, value, "always"})
	}
	add([]string{"limit_conn", id + "_connections", "5"})
	if s.Rate != "" {
		add([]string{"limit_rate", s.Rate})
	}
	for what, file := range map[string]string{"header": s.Header, "footer": s.Footer} {
		if file != "" {
			add([]string{map[string]string{"header": "add_before_body", "footer": "add_after_body"}[what], "/.well-known/mirrorform-" + what})
			add([]string{"location", "=", "/.well-known/mirrorform-" + what}, []string{"internal"}, []string{"default_type", "text/html"}, []string{"alias", file})
		}
	}
	plain := []string{"default_type", "text/plain"}
	if s.Robots != "" {
		add([]string{"location", "=", "/robots.txt"}, plain, []string{"return", "200", strings.TrimRight(s.Robots, "\n") + "\n"})
	}
	if s.Health != "" {
		add([]string{"location", "=", s.Health}, []string{"access_log", "off"}, plain, []string{"return", "200", "ok\n"})
	}
	for from, to := range s.Redirects {
		add([]string{"location", "=", from}, []string{"return", "301", to})
	}
	if s.Webroot != "" {
		add([]string{"location", "/.well-known/acme-challenge/"}, plain, []string{"root", s.Webroot})
	}
	switch page := sitePage(s); page {
	case "":
	case pageOfTrees:
		add([]string{"location", "=", "/"}, []string{"default_type", "text/html"}, []string{"return", "200", siteIndex(s)})
	default:
		dir, file := path.Split(page)
		add([]string{"location", "=", "/"}, []string{"root", path.Clean(dir)}, []string{"try_files", "/" + file, "=404"})
	}
	tokens, err := nginxTokens(s.Extra + "\n")
	if err != nil {
		t.Fatal(err)
	}
	list, rest, err := nginxTree(tokens)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%v: extra is read as %+v, %q left", err, list, rest)
	}
	return append(want, lines(list)...)
}

// checkLogrotate holds that logrotate reads the files that are wanted, and directives with exactly the wanted arguments.
func checkLogrotate(t *testing.T, s *Logrotate) {
	t.Helper()
	head, rest, found := strings.Cut(*s.Content, "\n{\n")
	body, after, closed := strings.Cut(rest, "\n}\n")
	if !found || !closed || after != "" || strings.ContainsAny(body, "{}#\"'\\\x00") {
		t.Fatalf("no block, or more than one:\n%s", *s.Content)
	}
	var files, got []string
	for line := range strings.SplitSeq(head, "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if len(line) < 3 || line[0] != '"' || strings.IndexByte(line[1:], '"') != len(line)-2 || strings.Contains(line, `\`) {
			t.Fatalf("%q is no name in quotes", line)
		}
		files = append(files, line[1:len(line)-1])
	}
	if !slices.Equal(files, s.Files) {
		t.Errorf("logrotate reads the files %q, want %q", files, s.Files)
	}
	for line := range strings.SplitSeq(body, "\n") {
		got = append(got, fmt.Sprintf("%q", strings.Fields(line)))
	}
	want := []string{fmt.Sprintf("%q", []string{s.Frequency}), `["rotate" "` + strconv.Itoa(*s.Rotate) + `"]`, `["compress"]`, `["missingok"]`, `["notifempty"]`}
	if s.CreateMode != "" {
		want = append(want, fmt.Sprintf("%q", []string{"create", s.CreateMode, s.CreateOwner, s.CreateGroup}))
	}
	if s.SUUser != "" {
		want = append(want, fmt.Sprintf("%q", []string{"su", s.SUUser, s.SUGroup}))
	}
	if !slices.Equal(got, want) {
		t.Errorf("logrotate reads %q, want %q", got, want)
	}
}

// The readers of this file must see what they are there to see.
func TestFuzzReadersSee(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"a; b", "a | b", "a `b`", "a $(b)", `a "$b"`, "a 'b", "a\nb", "a&b", "a>b", "a *", "a ~x", "a #b", `a \b`, "a {b,c}", "a\tb", "é"} {
		if words, err := shellReads(command); err == nil {
			t.Errorf("%q is read as %q", command, words)
		}
	}
	for _, text := range []string{"* * * * * root a", "A = \"b\" c\n* * * * root a\n", "* * * * * root a\n* * * * * root b\n", "A=1\nA=2\n* * * * * root a\n", "", "* * *\n"} {
		if c, err := readCrontab(text); err == nil {
			t.Errorf("%q is read as %+v", text, c)
		}
	}
	c, err := readCrontab("# x\nMAILTO = \"a 'b'\"\nB=c d \n'C' = ''\n\t@daily root  /bin/x y\n")
	if err != nil || c.schedule != "@daily" || c.user != "root" || c.command != "/bin/x y" ||
		!reflect.DeepEqual(c.variables, map[string]string{"MAILTO": "a 'b'", "B": "c d", "C": ""}) {
		t.Errorf("%+v, %v", c, err)
	}
	for _, text := range []string{"server { root x }", "server { root x; ", "root x; }", "a"} {
		tokens, err := nginxTokens(text + " ")
		if err != nil {
			t.Fatal(err)
		}
		if list, rest, err := nginxTree(tokens); err == nil && len(rest) == 0 {
			t.Errorf("%q is read as %+v", text, list)
		}
	}
}

// FuzzShellWords has real shells read many words at once: each line of the input is one, and an argument of one command.
func FuzzShellWords(f *testing.F) {
	f.Add(strings.Join(hostile, "\n"))
	f.Add(strings.Join([]string{"-oProxyCommand=touch /pwn-1", "x; } server {", "@reboot; x", "!!python/object", "../../etc/shadow", "'\\''\"'\"'"}, "\n"))
	var shells []string
	for _, name := range []string{"sh", "bash"} {
		if p, err := exec.LookPath(name); err == nil {
			shells = append(shells, p)
		}
	}
	if len(shells) == 0 {
		f.Fatal("there is no shell to compare with")
	}
	f.Fuzz(func(t *testing.T, input string) {
		words := strings.Split(input, "\n")
		text, err := ShellJoin(words)
		if strings.ContainsAny(input, "\r\x00") {
			if err == nil {
				t.Fatalf("ShellJoin(%q) is no error: %s", words, text)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if own, err := shellReads(text); err != nil || !slices.Equal(own, words) {
			t.Fatalf("the test's own reader makes %q of %s: %v", own, text, err)
		}
		if len(text) > 64<<10 {
			return // too long for one argument of a program
		}
		for _, shell := range shells {
			var out, errors bytes.Buffer
			cmd := exec.Command(shell, "-c", `printf '%s\0' `+text)
			cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = t.TempDir(), &out, &errors, []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
			if err := cmd.Run(); err != nil {
				t.Fatalf("%s: %v: %s", shell, err, errors.String())
			}
			if got := strings.Split(strings.TrimSuffix(out.String(), "\x00"), "\x00"); !slices.Equal(got, words) {
				t.Fatalf("%s reads %q from %s, want %q", shell, got, text, words)
			}
		}
	})
}

// FuzzCompare has hosts give arbitrary facts and answers. Nothing panics; no step is about anything that was not asked about; what would be saved of the
// plan can be read again.
func FuzzCompare(f *testing.F) {
	names := All().Names()
	const facts = `{"hostname":"$(touch /pwn-1)","os":{"id":"x; } server {","name":"${x}","family":"el"},"systemd":true,"packages":"../x"}`
	for i := range names {
		for _, answers := range []string{
			`[]`, `[{}]`, `[{"error":"\u001b]52;c;Zm9v\u0007\r$(touch /pwn-1)"}]`,
			`[{"file":{"kind":"symlink","target":"../../etc/shadow","fingerprint":"-x"},"mount":{"mounted":true,"source":"/dev/x","fstab":"UUID=1 /etc xfs defaults\nx"},` +
				`"block":{"path":"/","signature":"xfs","uuid":"a b","mounts":["/"]},"package":{"installed":"1;x","candidate":"-o x"},"unit":{"load_state":"loaded","unit_file_state":"$(x)"},` +
				`"user":{"uid":0,"group":"-x","home":"a:b\n","groups":["-G"]},"group":{"gid":0,"members":["\n"]},"loaded":{"recorded":true},"http":{"status":200,"body":"\u0000"},"filesystem":{"size":1}}]`,
			`[{"file":{"kind":"file","mode":4294967295,"owner":"-x","has_content":true,"content":"//8AGw==","sha256":"x"},"unit":{"active_state":"active"},"http":{"status":200}}]`,
			`[{"listeners":{"sockets":[{"address":"::","port":8080,"ipv4":true,"program":"\u001b[2J\n","pid":-1,"unit":"$(x).service"},{"address":"x","port":8080,"unit":"-x.service"}]}}]`,
			// Rules and a boolean, of types and values that are none.
			`[{"file":{"kind":"file","has_content":true,"content":"` + base64.StdEncoding.EncodeToString([]byte(
				"/srv/mirror/almalinux(/.*)? a:b:c'd:e\nrsync_export_all_ro=1;x\n")) + `","label":"a:b:c'd","labels":["x","a:b:c d"]}}]`,
			`[{"file":{"kind":"directory","empty":true}},{"file":{"kind":"other"}},{"mount":{"fstab":"\\040"},"block":{"path":"/dev/vdb","swap":true}}]`,
		} {
			f.Add(uint8(i), false, []byte(facts), []byte(answers))
			f.Add(uint8(i), true, []byte(`{}`), []byte(answers))
			f.Add(uint8(i), false, []byte(`{"selinux":"enforcing","selinux_policy":"a/../b"}`), []byte(answers))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, remove bool, factsText, answersText []byte) {
		target := engine.Target{Name: "fra1"}
		var list []wire.Answer
		if json.Unmarshal(factsText, &target.Facts) != nil || json.Unmarshal(answersText, &list) != nil {
			return
		}
		name := names[int(which)%len(names)]
		r := &engine.Resource{Address: engine.Address{Host: "fra1", Type: name, Name: "x"}, Kind: All().Kind(name), State: fullState(t, name), Source: "test", Remove: remove}
		ordered, problems := engine.Order(target, []*engine.Resource{r})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		queries := engine.Questions(target, ordered)
		given := make([]wire.Answer, len(queries))
		for i := range given {
			if len(list) > 0 {
				given[i] = list[i%len(list)]
			}
		}
		got, err := engine.NewAnswers(queries, given)
		if err != nil {
			t.Fatal(err)
		}
		before := fmt.Sprintf("%+v", r.State)
		plan := engine.Compare(target, ordered, got)
		for _, c := range plan.Changes {
			checkSteps(t, queries, r.State, c.Steps)
		}
		if after := fmt.Sprintf("%+v", r.State); after != before {
			t.Errorf("the wanted state was changed from %s to %s", before, after)
		}
		if plan.Failed() {
			return
		}
		saved, err := engine.Save(&engine.Plan{Hosts: []*engine.HostPlan{plan}}, engine.SaveOptions{Version: "1", Salt: "x"})
		if err != nil {
			t.Fatal(err)
		}
		text, err := saved.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := engine.DecodeSaved(text); err != nil || again.Checksum != saved.Checksum {
			t.Fatalf("%v from\n%s", err, text)
		}
	})
}
