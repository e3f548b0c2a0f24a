package resources

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// apacheDump is what Apache prints of a host that has a site's modules, or a snippet's site.
func apacheDump(state any) string {
	var b strings.Builder
	names := []string{"headers"}
	if s, ok := state.(*Site); ok {
		names = apacheModules(s)
	} else if s, ok := state.(*Snippet); ok {
		fmt.Fprintf(&b, "*:80   %s (/etc/apache2/sites-enabled/own.conf:1)\n", s.ServerName)
	}
	for _, name := range names {
		fmt.Fprintf(&b, " %s_module (shared)\n", name)
	}
	return b.String()
}

func FuzzApacheQuote(f *testing.F) {
	for _, word := range append([]string{`x" y`, `\`, `a\`, `\"`, `a\\"b`, "</VirtualHost>", "a>b", "'x'", "# x", `%{x}`, `\.~tmp~(/|$)`}, hostile...) {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if strings.ContainsAny(word, "\n\r") || word == "" {
			return // refused by checkText; nothing is written empty
		}
		for _, text := range []string{"Alias " + apacheQuote(word) + " next", "<Directory " + apacheQuote(word) + " next>\n</Directory>"} {
			list, err := apacheTree(text)
			if err != nil || len(list) != 1 || !slices.Equal(list[0].words, []string{word, "next"}) {
				t.Fatalf("%s is read as %+v, %v, want %q", text, list, err, word)
			}
		}
	})
}

// FuzzApacheEscape holds that Apache's unescape reads a text as it was, and that no character ends
// the expression.
func FuzzApacheEscape(f *testing.F) {
	for _, text := range append([]string{"ok\n", "a}b", "%41", "/x", "%{x}", `\`, "$1", "ü"}, hostile...) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		escaped := apacheEscape(text)
		inner, ok := strings.CutPrefix(escaped, "%{unescape:")
		if !ok {
			if escaped != text || !regexp.MustCompile("^[a-z0-9]+$").MatchString(text) {
				t.Fatalf("%q is written as %q", text, escaped)
			}
			return
		}
		inner = strings.TrimSuffix(inner, "}")
		if got, err := url.PathUnescape(inner); err != nil || got != text || strings.ContainsAny(inner, "{}\\$\"'\n") || strings.Contains(strings.ToUpper(inner), "%2F") {
			t.Fatalf("%q is written as %q and read as %q, %v", text, escaped, got, err)
		}
	})
}

// FuzzApacheSite holds that a site that Validate takes is one virtual host with the directives that
// are meant and no others.
func FuzzApacheSite(f *testing.F) {
	f.Add("mirror.example.org", "80", "/srv/mirror", "/almalinux/", "/srv/a b")
	f.Add("x\n</VirtualHost>", "80>", `/srv/"> x`, "/a>/", "/srv/${x}")
	f.Add("[2001:db8::1]", "[::]:80", "/srv/#x", "/", "/srv/;")
	f.Add("*.example.org", "192.0.2.1:8080", "", "/a/b.c/", `/srv/\"x'\`)
	f.Fuzz(func(t *testing.T, name, listen, root, url, dir string) {
		kind := siteType{"apache_site", apache{}}
		want := &ApacheSite{Name: "site", ServerName: []string{name}, Listen: []string{listen}, Root: root, Aliases: map[string]string{url: dir}}
		if len(kind.Validate(want)) == 0 {
			checkApacheSite(t, kind.Complete(engine.Target{}, want))
		}
	})
}

// apacheFlat returns directives as lines: the sections around each, and its words.
func apacheFlat(list []apacheDirective, around string) (lines []string) {
	for _, d := range list {
		line := around + fmt.Sprintf("%s %q", d.name, d.words)
		if d.block == nil {
			lines = append(lines, line)
		}
		lines = append(lines, apacheFlat(d.block, line+" | ")...)
	}
	return lines
}

// checkApacheSite holds that Apache reads virtual hosts with what is wanted, and nothing else.
func checkApacheSite(t *testing.T, s *ApacheSite) {
	t.Helper()
	list, err := apacheTree(*s.Content)
	if err != nil {
		t.Fatalf("%v in\n%s", err, *s.Content)
	}
	hosts := 1
	if s.Certificate != "" && s.overHTTP() {
		hosts = 2
	}
	list = slices.DeleteFunc(list, func(d apacheDirective) bool {
		return d.name == "<VirtualHost" && len(d.block) == 1 && d.block[0].name == "<IfModule" && slices.Contains(s.bare, strings.TrimPrefix(d.words[0], "*:"))
	})
	for i, d := range list {
		switch {
		case i < len(s.opens) && d.name == "<IfDefine" && d.block[1].name == "Listen" && slices.Equal(d.block[1].words, []string{s.opens[i]}):
		case i >= len(s.opens) && d.name == "<VirtualHost" && len(list) == len(s.opens)+hosts:
		default:
			t.Fatalf("Apache reads %+v from\n%s", list, *s.Content)
		}
	}
	for i, d := range list[len(s.opens):] {
		tls := s.Certificate != "" && (i == 1 || s.HTTP == httpOff)
		listens := s.Listen
		if tls {
			listens = s.TLSListen
		}
		if !slices.Equal(d.words, vhostAddresses(listens)) {
			t.Errorf("a virtual host on %q, want %q", d.words, listens)
		}
		if !tls && !s.servesHTTP() {
			continue
		}
		got, want := apacheFlat(d.block, ""), apacheWant(s, tls)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("Apache reads\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// apacheWant returns the directives of a virtual host that serves, as apacheFlat returns them.
func apacheWant(s *ApacheSite, tls bool) (want []string) {
	add := func(path []string, name string, words ...string) {
		want = append(want, strings.Join(append(path, ""), " | ")+fmt.Sprintf("%s %q", name, words))
	}
	in := func(section string, words ...string) []string { return []string{fmt.Sprintf("<%s %q", section, words)} }
	server, aliases := "", []string(nil)
	for _, name := range s.ServerName {
		if name = strings.Trim(bracketed(strings.Trim(name, "[]")), "[]"); server == "" && !strings.ContainsAny(name, "*:") {
			server = name
		} else {
			aliases = append(aliases, name)
		}
	}
	if server == "" {
		server = s.File + ".invalid"
	}
	add(nil, "ServerName", server)
	if aliases != nil {
		add(nil, "ServerAlias", aliases...)
	}
	if tls {
		add(nil, "SSLEngine", "on")
		add(nil, "SSLCertificateFile", s.Certificate)
		add(nil, "SSLCertificateKeyFile", s.CertificateKey)
		for _, setting := range apacheTLSSettings {
			words := strings.Fields(setting)
			add(nil, words[0], words[1:]...)
		}
		if isFalse(s.HTTP2) {
			add(nil, "Protocols", "http/1.1")
		} else {
			add(nil, "Protocols", "h2", "http/1.1")
		}
	}
	if s.AccessLog == "off" {
		add(nil, "CustomLog", "/dev/null", "-", "env=mirrorform_never")
	} else {
		format, file := s.LogFormat, s.AccessLog
		if format == "" {
			format = apacheCombined
		}
		if file == "" {
			file = "/var/log/apache2/access.log"
		}
		add(nil, "CustomLog", file, format, "env=!mirrorform_unlogged")
		for _, url := range []string{siteMarker, s.Health} {
			if url != "" {
				add(nil, "SetEnvIf", "Request_URI", "^"+regexp.QuoteMeta(url)+"$", "mirrorform_unlogged")
			}
		}
	}
	add(nil, "ServerSignature", "off")
	add(nil, "AddDefaultCharset", "utf-8")
	for name, value := range s.Headers {
		add(nil, "Header", "always", "set", name, strings.ReplaceAll(value, "%", "%%"))
	}
	add(in("LocationMatch", digestFiles+"|"+packageFiles), "Header", "set", "Cache-Control", "public, max-age=31536000, immutable")
	add(in("LocationMatch", freshFiles), "Header", "set", "Cache-Control", "no-cache")
	add(nil, "AddOutputFilterByType", "DEFLATE", "text/html", "text/plain", "text/xml", "application/xml", "application/json")
	add(nil, "SetEnvIf", "Request_URI", freshFiles, "no-gzip")
	if s.Rate != "" {
		add(nil, "SetEnvIf", "Request_URI", ".", fmt.Sprintf("rate-limit=%d", bytesOf(s.Rate)/1024))
		add(nil, "SetOutputFilter", "RATE_LIMIT")
	}
	add(nil, "RedirectMatch", "404", `/\.~tmp~(/|$)`)
	answer := func(url, kind, text string) {
		exact := "^" + regexp.QuoteMeta(url) + "$"
		add(nil, "RedirectMatch", "200", exact)
		add(in("LocationMatch", exact), "ErrorDocument", "200", apacheEscape(text))
		add(in("LocationMatch", exact), "Header", "always", "set", "Content-Type", kind)
	}
	answer(siteMarker, "text/plain", digestOf([]byte(apacheText(engine.Target{}, s, ""))))
	file := func(url, file string) {
		exact := "^" + regexp.QuoteMeta(url) + "$"
		add(nil, "AliasMatch", exact, strings.NewReplacer(`\`, `\\`, "$", `\$`).Replace(file))
		add(in("LocationMatch", exact), "Require", "all", "granted")
		add(in("LocationMatch", exact), "ForceType", "text/html")
	}
	if s.Header != "" {
		file("/.well-known/mirrorform-header", s.Header)
	}
	if s.Footer != "" {
		file("/.well-known/mirrorform-footer", s.Footer)
	}
	if s.Webroot != "" {
		add(nil, "Alias", "/.well-known/acme-challenge/", s.Webroot+"/.well-known/acme-challenge/")
		dir := in("Directory", s.Webroot+"/.well-known/acme-challenge")
		for _, line := range []string{"Options SymLinksIfOwnerMatch", "AllowOverride None", "Require all granted", "ForceType text/plain"} {
			words := strings.Fields(line)
			add(dir, words[0], words[1:]...)
		}
	}
	switch page := sitePage(s); page {
	case "":
	case pageOfTrees:
		answer("/", "text/html; charset=utf-8", siteIndex(s))
	default:
		file("/", page)
	}
	if s.Robots != "" {
		answer("/robots.txt", "text/plain; charset=utf-8", strings.TrimRight(s.Robots, "\n")+"\n")
	}
	if s.Health != "" {
		answer(s.Health, "text/plain", "ok\n")
	}
	for from, to := range s.Redirects {
		add(in("LocationMatch", "^"+regexp.QuoteMeta(from)+"$"), "Redirect", "301", from, to)
	}
	root := s.Root
	for url, dir := range s.Aliases {
		if url == "/" {
			root = dir
			continue
		}
		add(nil, "RedirectMatch", "301", "^"+regexp.QuoteMeta(strings.TrimSuffix(url, "/"))+"$", url)
		add(nil, "Alias", url, dir+"/")
		apacheWantDir(s, dir, in, add)
	}
	if root == "" {
		add(nil, "DocumentRoot", "/usr/share/apache2/icons")
		add(in("Directory", "/usr/share/apache2/icons"), "Require", "all", "granted")
		add(in("Directory", "/usr/share/apache2/icons"), "RedirectMatch", "404", ".")
	} else {
		add(nil, "DocumentRoot", root)
		apacheWantDir(s, root, in, add)
		add(in("LocationMatch", "^/+$"), "Options", "+Indexes")
	}
	if s.Extra != "" {
		list, _ := apacheTree(s.Extra)
		want = append(want, apacheFlat(list, "")...)
	}
	return want
}

func apacheWantDir(s *ApacheSite, dir string, in func(string, ...string) []string, add func([]string, string, ...string)) {
	section := in("Directory", dir)
	lines := []string{"Options Indexes SymLinksIfOwnerMatch", "AllowOverride None", "Require all granted", "DirectoryIndex index.html",
		"IndexOptions FancyIndexing FoldersFirst HTMLTable NameWidth=* SuppressDescription SuppressIcon VersionSort Charset=UTF-8"}
	if s.Header != "" {
		lines = append(lines, "HeaderName /.well-known/mirrorform-header")
	}
	if s.Footer != "" {
		lines = append(lines, "ReadmeName /.well-known/mirrorform-footer")
	}
	for _, line := range lines {
		words := strings.Fields(line)
		add(section, words[0], words[1:]...)
	}
	add(append(section, in("FilesMatch", ".")...), "SetHandler", "default-handler")
}

// checkApacheSnippet holds that Apache reads the directories that are wanted, and nothing else.
func checkApacheSnippet(t *testing.T, s *ApacheSnippet) {
	t.Helper()
	list, err := apacheTree(*s.Content)
	if err != nil {
		t.Fatalf("%v in\n%s", err, *s.Content)
	}
	exact := "^" + regexp.QuoteMeta(snippetMarker(s)) + "$"
	var want []string
	add := func(path []string, name string, words ...string) {
		want = append(want, strings.Join(append(path, ""), " | ")+fmt.Sprintf("%s %q", name, words))
	}
	in := func(section string, words ...string) []string { return []string{fmt.Sprintf("<%s %q", section, words)} }
	add(nil, "RedirectMatch", "200", exact)
	add(in("LocationMatch", exact), "ErrorDocument", "200", digestOf([]byte(apache{}.snippetText(s, ""))))
	add(in("LocationMatch", exact), "Header", "always", "set", "Content-Type", "text/plain")
	for url, dir := range s.Aliases {
		add(nil, "RedirectMatch", "404", "^"+regexp.QuoteMeta(url)+`(.*/)?\.~tmp~(/|$)`)
		add(nil, "RedirectMatch", "301", "^"+regexp.QuoteMeta(strings.TrimSuffix(url, "/"))+"$", url)
		add(nil, "Alias", url, dir+"/")
		apacheWantDir(&Site{}, dir, in, add)
	}
	got := apacheFlat(list, "")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Apache reads\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestApacheExtra(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"A b", "<Location \"/x\">\n\tRequire all denied\n</location>", "A b \\\n  c", "# </VirtualHost>", "A \"</VirtualHost>\"", "<IfModule x>\n<If \"%{x} > 1\">\nA\n</If>\n</IfModule>\n"} {
		if err := (apache{}).checkExtra(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"</VirtualHost>", "<Location /x>", "A\n</Location>", "<A>\n<B>\n</A>\n</B>", "A b \\", "# x \\", "A \"b", "<A", "<A>\n</A> x", "A\x00", "<>\n</>", "< A>\n</ A>"} {
		if (apache{}).checkExtra(text) == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestApacheAnonymous(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"": "%{mirrorform_client}e %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"", "%a %{c}a %>h %!200,304a": strings.Repeat("%{mirrorform_client}e ", 3) + "%{mirrorform_client}e",
		"%%a %%%h %{a}i %A": "%%a %%%{mirrorform_client}e %{a}i %A",
	} {
		if got := apacheLogFormat(&Site{LogFormat: format, AnonymizeLog: new(true)}); got != want {
			t.Errorf("%q is written as %q, want %q", format, got, want)
		}
	}
}

const dumped = `VirtualHost configuration:
192.0.2.1:80           own.example.org (/etc/apache2/sites-enabled/ip.conf:1)
*:80                   is a NameVirtualHost
         default server 127.0.1.1 (/etc/apache2/sites-enabled/000-default.conf:1)
         port 80 namevhost 127.0.1.1 (/etc/apache2/sites-enabled/000-default.conf:1)
         port 80 namevhost Files.example.org (/etc/apache2/sites-enabled/files.conf:3)
                 alias ftp.example.org
                 wild alias *.files.example.org
*:443                  files.example.org (/etc/apache2/sites-enabled/files.conf:9)
Loaded Modules:
 core_module (static)
 ssl_module (shared)
`

func TestApacheHosts(t *testing.T) {
	t.Parallel()
	hosts := apacheHosts(dumped)
	if got := fmt.Sprint(hosts); got != "[{192.0.2.1 80 /etc/apache2/sites-enabled/ip.conf 1 [own.example.org] true} "+
		"{* 80 /etc/apache2/sites-enabled/000-default.conf 1 [127.0.1.1] true} "+
		"{* 80 /etc/apache2/sites-enabled/files.conf 3 [files.example.org ftp.example.org *.files.example.org] false} "+
		"{* 443 /etc/apache2/sites-enabled/files.conf 9 [files.example.org] true}]" {
		t.Error(got)
	}
	if m := loadedModules(dumped); len(m) != 2 || !m["core"] || !m["ssl"] {
		t.Error(m)
	}
	// Apache takes the first of two virtual hosts that have or match a name.
	for name, clash := range map[string]bool{
		"ftp.example.org": true, "FTP.example.org": true, "x.files.example.org": true, "*.example.org": false, "other.example.org": false,
	} {
		s := &Site{File: "a", Listen: []string{"80"}, ServerName: []string{name}}
		if got := (apache{}).sameNames(engine.Target{}, s, hosts, nil); (len(got) > 0) != clash {
			t.Errorf("%s: %v", name, got)
		}
	}
	if clashes("x.files.example.org", "*.files.example.org", true) || !clashes("*.example.org", "ftp.example.org", true) || clashes("*.example.org", "example.org", true) {
		t.Error("the first virtual host is judged as if it were the second")
	}
	if got := (apache{}).sameNames(engine.Target{}, &Site{File: "a", Listen: []string{"80"}, ServerName: []string{"ftp.example.org"}}, hosts, map[string]bool{"/etc/apache2/sites-enabled/files.conf": true}); got != nil {
		t.Errorf("a file of mirrorform: %v", got)
	}
}

func TestApacheOpens(t *testing.T) {
	t.Parallel()
	line := func(address, port string, own bool) listenLine {
		return listenLine{file: "f", line: 1, address: address, port: port, own: own}
	}
	for _, c := range []struct {
		listen []string
		lines  []listenLine
		want   string
		refuse bool
	}{
		{[]string{"80", "[::]:80"}, []listenLine{line("*", "80", false)}, "[]", false},
		{[]string{"8080", "[::]:8080"}, []listenLine{line("*", "80", false)}, "[8080]", false},
		{[]string{"8080"}, []listenLine{line("*", "8080", true)}, "[8080]", false}, // both files have it, guarded
		{[]string{"127.0.0.1:80"}, []listenLine{line("*", "80", false)}, "[]", false},
		{[]string{"127.0.0.1:80", "80"}, nil, "[80]", false},
		{[]string{"127.0.0.1:8080", "[2001:db8::1]:8080"}, nil, "[127.0.0.1:8080 [2001:db8::1]:8080]", false},
		{[]string{"80"}, []listenLine{line("192.0.2.1", "80", false)}, "[]", true},
		{[]string{"127.0.0.1:80"}, []listenLine{line("192.0.2.1", "80", false)}, "[127.0.0.1:80]", false},
	} {
		var problems []engine.Problem
		if got := fmt.Sprint(apacheOpens(engine.Target{}, &Site{Listen: c.listen}, c.lines, &problems)); got != c.want || (len(problems) > 0) != c.refuse {
			t.Errorf("%v with %v: %v %v", c.listen, c.lines, got, problems)
		}
	}
}

func TestApacheModules(t *testing.T) {
	t.Parallel()
	debian, el := wire.OSFacts{Family: "debian"}, wire.OSFacts{Family: "el"}
	names := func(modules []ApacheModule) (names []string) {
		for _, m := range modules {
			names = append(names, m.Name)
		}
		return names
	}
	full := &Site{Certificate: "/c", HTTP: "redirect", Rate: "5m"}
	if got := names(ApacheModules(debian, full)); !slices.Equal(got, []string{"headers", "http2", "ratelimit", "rewrite", "socache_shmcb", "ssl"}) {
		t.Error(got)
	}
	if got := names(ApacheModules(el, full)); !slices.Equal(got, []string{"http2", "ratelimit", "ssl"}) {
		t.Error(got)
	}
	if got := names(ApacheModules(el, &Site{})); got != nil {
		t.Error(got)
	}
	for _, m := range append(ApacheModules(debian, full), ApacheModules(el, full)...) {
		if len(m.keys()) == 0 || m.advice() == "" {
			t.Errorf("nothing enables %+v", m)
		}
	}
}

// An apply that enables HTTP/2 restarts Apache, also for a site that has none.
func TestApacheRestarts(t *testing.T) {
	t.Parallel()
	s := &Site{Name: "a", File: "a", ServerName: []string{"a.example.org"}, Listen: []string{"80"}, Root: "/srv"}
	for _, c := range []struct{ loaded, provided, want string }{
		{"headers", "http2", "restart apache2.service"}, {"headers", "headers", "reload apache2.service"}, {"http2", "http2", "reload apache2.service"},
	} {
		target := engine.Target{Provided: map[engine.Key]bool{engine.PathKey("/etc/apache2/mods-enabled/" + c.provided + ".load"): true}}
		queries := []wire.Query{apacheDebian.unitQuery(), apache{}.dumpQuery(target), apache{}.listenLinesQuery(target)}
		got, err := engine.NewAnswers(queries, []wire.Answer{
			{Unit: &wire.Unit{LoadState: "loaded", ActiveState: "active"}}, {Run: &wire.Run{Stdout: " " + c.loaded + "_module (shared)\n"}},
			{Run: &wire.Run{Stdout: "/etc/apache2/ports.conf:5:Listen 80\n"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		settled := *s
		apache{}.settle(target, &settled, got)
		if step := (apache{}).load(target, &settled, serverState{running: true})[0]; step.Summary != c.want {
			t.Errorf("with %s and a plan that enables %s: %s, want %s", c.loaded, c.provided, step.Summary, c.want)
		}
	}
}

func TestApacheReadTLS(t *testing.T) {
	t.Parallel()
	for _, s := range []Site{
		{Certificate: "/etc/my certs/c.pem", CertificateKey: "/k.pem", TLSListen: []string{"443", "[::]:443"}, HTTP2: new(true)},
		{Certificate: "/c.pem", CertificateKey: "/k.pem", TLSListen: []string{"192.0.2.1:8443"}, HTTP2: new(false), HTTP: httpRedirect},
	} {
		s.Name, s.ServerName, s.Root = "www", []string{"www.example.org"}, "/srv/www"
		var got Site
		apache{}.readTLS(&got, *siteType{"apache_site", apache{}}.Complete(engine.Target{}, &s).Content)
		if got.Certificate != s.Certificate || got.CertificateKey != s.CertificateKey || *got.HTTP2 != *s.HTTP2 || !slices.Equal(got.TLSListen, (apache{}).written(s.TLSListen)) {
			t.Errorf("got %+v, want %+v", got, s)
		}
	}
	for _, text := range []string{"", "<VirtualHost *:80>\n</VirtualHost>\n", "<VirtualHost *:443>\nSSLCertificateFile /c\n", "SSLCertificateFile /c\nSSLCertificateKeyFile /k\n"} {
		var got Site
		if (apache{}).readTLS(&got, text); got.Certificate != "" || got.TLSListen != nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// Whether Apache can run without a site: sections for modules count, and other sites of the plan.
func TestApacheAlone(t *testing.T) {
	t.Parallel()
	site := &Site{Name: "mirror", ServerName: []string{"mirror.example.org"}, Root: "/srv"}
	st := siteType{"apache_site", apache{}}
	full := st.Complete(engine.Target{}, site)
	other := st.Complete(engine.Target{}, &Site{Name: "epel", ServerName: []string{"epel.example.org"}, Root: "/srv"})
	own := listenLine{file: "/etc/apache2/sites-enabled/zz-mirror.conf", port: "80", own: true}
	in := func(modules ...string) listenLine {
		return listenLine{file: "/etc/apache2/ports.conf", port: "443", modules: modules}
	}
	loaded := map[string]bool{"ssl": true}
	for _, c := range []struct {
		lines []listenLine
		t     engine.Target
		want  bool
	}{
		{[]listenLine{own}, engine.Target{}, true},
		{[]listenLine{own, in()}, engine.Target{}, false},
		{[]listenLine{own, in("ssl")}, engine.Target{}, false},
		{[]listenLine{own, in("ssl", "gnutls")}, engine.Target{}, true},
		{[]listenLine{own, in("!gnutls")}, engine.Target{}, false},
		{[]listenLine{own, in("!mod_ssl")}, engine.Target{}, true},
		{[]listenLine{own}, engine.Target{Settled: []any{other}}, false},
		{[]listenLine{own}, engine.Target{Unsettled: []any{other}}, false},
		{[]listenLine{own, {file: "/etc/apache2/sites-enabled/zz-epel.conf", port: "80"}}, engine.Target{Removed: []any{full, other}}, true},
		{[]listenLine{own, {file: "/etc/apache2/sites-enabled/zz-epel.conf", port: "80"}}, engine.Target{Removed: []any{full}}, false},
	} {
		if got := (apache{}).alone(c.t, full, c.lines, loaded); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
