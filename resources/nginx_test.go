package resources

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

func FuzzNginxQuote(f *testing.F) {
	for _, word := range append([]string{"x; } server {", "/srv/a b", `/srv/\t`, `/srv/"`, `/srv/\"`, "/srv/a{b}", "/srv/#", "~"}, hostile...) {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if strings.ContainsAny(word, "$") {
			return // refused by checkServed, since nginx cannot write it
		}
		text := "root " + nginxQuote(word) + "; next 1;"
		tokens, err := nginxTokens(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		want := []string{"root", word, ";", "next", "1", ";"}
		if len(tokens) > 1 {
			tokens[1] = strings.TrimPrefix(tokens[1], "'")
			if strings.HasPrefix(word, "'") && tokens[1] != word {
				tokens[1] = "'" + tokens[1]
			}
		}
		if !slices.Equal(tokens, want) {
			t.Fatalf("%s is read as %q, want %q", text, tokens, want)
		}
	})
}

// FuzzNginxSite holds that a site that Validate takes is one server with the directives that are meant and no others.
func FuzzNginxSite(f *testing.F) {
	f.Add("mirror.example.org", "80", "/srv/mirror", "/almalinux/", "/srv/a b")
	f.Add("x; } server {", "80; } server {", `/srv/"; } server {`, "/a; } server {/", "/srv/{")
	f.Add("[2001:db8::1]", "[::]:80", "/srv/#x", "/", "/srv/;")
	f.Add("*.example.org", "192.0.2.1:8080", "", "/a/b.c/", "/srv/'x'")
	f.Fuzz(func(t *testing.T, name, listen, root, url, dir string) {
		kind := siteType{"nginx_site", nginx{}}
		want := &NginxSite{Name: "site", ServerName: []string{name}, Listen: []string{listen}, Root: root, Aliases: map[string]string{url: dir}}
		if len(kind.Validate(want)) > 0 {
			return
		}
		tokens, err := nginxTokens(*kind.Complete(engine.Target{}, want).Content)
		if err != nil {
			t.Fatal(err)
		}
		var shape []string
		for _, directive := range strings.Split(strings.Join(tokens, "\x00"), ";") {
			words := strings.Split(strings.Trim(directive, "\x00"), "\x00")
			shape = append(shape, words...)
		}
		open, shut, servers := 0, 0, 0
		for i, token := range tokens {
			switch {
			case token == "{":
				open++
			case token == "}":
				shut++
			case token == "server" && tokens[i+1] == "{":
				servers++
			}
			if strings.Contains(token, "${") {
				t.Fatalf("a variable: %q", token)
			}
		}
		blocks := 5 // the map, server, the marker, .~tmp~, and the alias
		if url != "/" {
			blocks++ // the redirect to it
		}
		if root == "" && url != "/" {
			blocks += 2 // nothing else is there, and the page at /
		}
		if open != blocks || shut != blocks || servers != 1 {
			t.Fatalf("%d {, %d }, %d servers in place of %d {:\n%q", open, shut, servers, blocks, shape)
		}
		has := func(words ...string) {
			for i := range tokens {
				if i+len(words) <= len(tokens) && slices.EqualFunc(tokens[i:i+len(words)], words, func(token, word string) bool {
					return token == word || token == "'"+word
				}) {
					return
				}
			}
			t.Fatalf("%q is not in\n%q", words, tokens)
		}
		has("listen", listen, ";")
		has("server_name", bracketed(name), ";")
		has("alias", dir+"/", ";")
		has("disable_symlinks", "if_not_owner", "from="+dir, ";")
		has("location", url, "{")
	})
}

func TestNginxNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "mirror.example.org", "*.example.org", "192.0.2.1", "2001:db8::1", "[2001:db8::1]", "xn--mnchen-3ya.de", "A-1.example"} {
		if err := checkServerName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "x; } server {", "~^x$", "a b", "_", ".example.org", "www.*", "a..b", "-a.b", "a-.b", "[192.0.2.1]", "fe80::1%eth0", "$host", "a\n", "é", "a:80",
		"[2001:DB8::1]", strings.Repeat("a.", 127) + "aa"} {
		if checkServerName(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestNginxListen(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"80": "127.0.0.1:80", "*:8080": "127.0.0.1:8080", "0.0.0.0:80": "127.0.0.1:80", "192.0.2.1:80": "192.0.2.1:80", "[::]:80": "[::1]:80", "[2001:db8::1]:443": "[2001:db8::1]:443",
	} {
		if problems := checkListens("listen", []string{listen}); len(problems) > 0 {
			t.Errorf("%s: %v", listen, problems)
		}
		if got := probeAddress([]string{listen}); got != want {
			t.Errorf("%s is asked at %s, want %s", listen, got, want)
		}
	}
	for _, listen := range []string{"", "0", "65536", "080", "+80", "http", "80 ssl", "80;", "localhost:80", "::1:80", "[192.0.2.1]:80", "[::1", "unix:/run/x", "192.0.2.1", "[fe80::1%eth0]:80"} {
		if len(checkListens("listen", []string{listen})) == 0 {
			t.Errorf("%q is taken", listen)
		}
	}
}

// TestCompletedOnce counts how often a look at a host renders the text of a site: once, however
// many questions, comparisons and checks are made of it.
func TestCompletedOnce(t *testing.T) {
	t.Parallel()
	kind := All().Kind("nginx_site")
	count := 0
	rendered := countedSite{siteType: siteType{"nginx_site", nginx{}}, count: &count}
	r := new(engine.Registry)
	engine.Register(r, "nginx_site", rendered)
	site := &engine.Resource{Address: engine.Address{Host: "fra1", Type: "nginx_site", Name: "mirror"}, Kind: r.Kind("nginx_site"), State: fullState(t, "nginx_site")}
	target := engine.Target{Name: "fra1"}
	for range 3 { // the plan, the look before the steps, the one after them
		got := nginxHost(t, engine.Questions(target, []*engine.Resource{site}), nil)
		if p := engine.Compare(target, []*engine.Resource{site}, got); len(p.Changes) != 1 || len(p.Changes[0].Steps) < 4 {
			t.Fatalf("the plan is %+v", p)
		}
	}
	if want := kind.Complete(target, site.State).(*NginxSite).Content; want == nil || count != 1 {
		t.Errorf("the text was rendered %d times, want once", count)
	}
}

// countedSite counts the completions that render a text.
type countedSite struct {
	siteType
	count *int
}

func (c countedSite) Complete(t engine.Target, want *NginxSite) *NginxSite {
	if want.Content == nil {
		*c.count++
	}
	return c.siteType.Complete(t, want)
}

// Sites with a server name in common on one port are one site with the trees of all, in the file of
// the first. What two of them set differently is one error.
func TestSharedSite(t *testing.T) {
	t.Parallel()
	kind := All().Kind("nginx_site")
	site := func(name string, s NginxSite) *engine.Resource {
		s.Name, s.Aliases = name, map[string]string{"/" + name + "/": "/srv/" + name}
		return &engine.Resource{Address: engine.Address{Host: "fra1", Type: "nginx_site", Name: name}, Kind: kind, State: &s, Source: name + ".hcl:1"}
	}
	names := func(names ...string) []string { return names }
	a := site("a", NginxSite{ServerName: names("m.example.org", "a.example.org"), Robots: "x"})
	b := site("b", NginxSite{ServerName: names("M.example.org"), Certificate: "/c", CertificateKey: "/k", Rate: "5m"})
	other := site("other", NginxSite{ServerName: names("m.example.org"), Listen: names("8080")})
	ordered, problems := engine.Order(engine.Target{}, []*engine.Resource{a, b, other})
	if len(problems) > 0 || len(ordered) != 2 {
		t.Fatalf("%v %v", ordered, problems)
	}
	s := ordered[0].State.(*NginxSite)
	if s.Name != "a" || s.Robots != "x" || s.Certificate != "/c" || s.Rate != "5m" || len(s.Aliases) != 2 || len(s.ServerName) != 3 {
		t.Errorf("%+v", s)
	}
	if text := *kind.Complete(engine.Target{}, s).(*NginxSite).Content; strings.Count(strings.ToLower(text), " m.example.org") != 1 {
		t.Errorf("a name is there twice:\n%s", text)
	}
	if len(a.State.(*NginxSite).Aliases) != 1 {
		t.Error("the resource itself was changed")
	}

	// The owner that is left keeps the file, which the manifest remembers.
	b.State.(*NginxSite).File = "a"
	ordered, problems = engine.Order(engine.Target{}, []*engine.Resource{b})
	if keys, _ := ordered[0].Kind.Keys(engine.Target{}, ordered[0].State); len(problems) > 0 || keys[0] != "path:/etc/nginx/conf.d/a.conf" {
		t.Errorf("%v %v", keys, problems)
	}
	b.State.(*NginxSite).File = ""

	c := site("a2", NginxSite{ServerName: names("m.example.org"), Robots: "y", Headers: map[string]string{"X-A": "1"}})
	a.State.(*NginxSite).Headers = map[string]string{"X-A": "2"}
	_, problems = engine.Order(engine.Target{}, []*engine.Resource{a, c})
	const want = `two resources manage site m.example.org on 80: fra1/nginx_site.a (a.hcl:1) and fra1/nginx_site.a2 (a2.hcl:1); they differ in headers["X-A"], robots`
	if len(problems) != 1 || problems[0].Summary != want {
		t.Errorf("%v, want %s", problems, want)
	}
}

func TestSiteExtra(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a b;", "location / { a; }\n\tb \"}\" '{';", "a ${x}y;", "# }\na;", "if ($x = \"a b\") { return 403; }"} {
		if err := (nginx{}).checkExtra(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"}", "a", "a {", "a { b; ", "a; } b {", ";", "{}", "a \"b;", "a; # x\n}", "a { b }", "a;\x00"} {
		if (nginx{}).checkExtra(text) == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// Of several sites, one answers for the host's address: the one that says so or has it already,
// also if it comes after others, else the first.
func TestOneSiteHasTheAddress(t *testing.T) {
	t.Parallel()
	kind := All().Kind("nginx_site")
	yes, address := true, "192.0.2.1"
	site := func(name string, s NginxSite) *engine.Resource {
		s.Name, s.Aliases, s.Address = name, map[string]string{"/" + name + "/": "/srv/" + name}, address
		s.ServerName = append(s.ServerName, name+".example.org")
		return &engine.Resource{Address: engine.Address{Host: "fra1", Type: "nginx_site", Name: name}, Kind: kind, State: &s}
	}
	alone := site("b", NginxSite{Listen: []string{"8080"}})
	known := engine.Target{Records: []engine.Record{{Own: true, Type: "nginx_site", State: &NginxSite{Name: "b"}}}}
	former := func(has bool) engine.Target {
		return engine.Target{Records: []engine.Record{{Own: true, Type: "apache_site", State: &NginxSite{Name: "a", Default: &has}}}}
	}
	for _, tc := range []struct {
		name   string
		target engine.Target
		second *engine.Resource
		want   []string
	}{
		{"both are new", engine.Target{}, site("b", NginxSite{}), []string{"a"}},
		{"the second says so", engine.Target{}, site("b", NginxSite{Default: &yes}), []string{"b"}},
		{"the second has the name", engine.Target{}, site("b", NginxSite{ServerName: []string{address}}), []string{"b"}},
		{"the second has it already", known, site("b", NginxSite{}), []string{"b"}},
		{"the first has it from another server", former(yes), site("b", NginxSite{}), []string{"a"}},
		{"the first did not have it there", former(false), site("b", NginxSite{}), []string{"b"}},
		{"the second has another port", engine.Target{}, alone, []string{"a", "b"}},
	} {
		all := []*engine.Resource{site("a", NginxSite{}), tc.second}
		plan := engine.Compare(tc.target, all, nginxHost(t, engine.Questions(tc.target, all), nil))
		var got []string
		for _, c := range plan.Compared {
			if s := c.Want.(*NginxSite); slices.Contains(s.ServerName, address) {
				got = append(got, s.Name)
			}
		}
		if !slices.Equal(got, tc.want) || len(plan.Problems) > 0 {
			t.Errorf("%s: %v answer for the address, want %v; %v", tc.name, got, tc.want, plan.Problems)
		}
	}
}

// Of several sites with HTTP/3 on one address, one opens it for all.
func TestOneSiteOpensQUIC(t *testing.T) {
	t.Parallel()
	kind := All().Kind("nginx_site")
	yes, no := true, false
	site := func(name string, http3 *bool) *engine.Resource {
		return &engine.Resource{Address: engine.Address{Host: "fra1", Type: "nginx_site", Name: name}, Kind: kind, State: &NginxSite{
			Name: name, ServerName: []string{name + ".example.org"}, Root: "/srv", Certificate: "/c", CertificateKey: "/k",
			TLSListen: []string{"443"}, HTTP3: http3,
		}}
	}
	const open, plain = "server { listen *:443 quic reuseport; }", "server { listen 443 quic; listen 443 ssl reuseport; }"
	for _, tc := range []struct {
		name    string
		removed bool // whether the plan removes the site z
		second  *bool
		files   map[string]string // of nginx
		want    []string          // sites that open the address
		refuse  string
	}{
		{name: "both are new", second: &yes, want: []string{"a"}},
		{name: "the second has it", second: &yes, files: map[string]string{"a": plain, "b": open}, want: []string{"b"}},
		{name: "a site of the operator has it", second: &yes, files: map[string]string{"own": open}},
		{name: "a site that is removed has it", removed: true, second: &yes, files: map[string]string{"z": open}, want: []string{"a"}},
		{name: "a site of which the plan knows nothing has it", second: &yes, files: map[string]string{"z": open}},
		{name: "the second has it, and no longer wants it", second: &no, files: map[string]string{"b": open},
			refuse: "fra1: the site b opens 443 for HTTP/3 of all sites, and no longer offers it"},
		{name: "nginx cannot read its files", second: &yes, files: map[string]string{"a": plain, "b": open, "broken": ""}, want: []string{"b"}},
	} {
		all := []*engine.Resource{site("a", &yes), site("b", tc.second)}
		if tc.removed {
			z := site("z", &yes)
			z.Remove, z.Made = true, true
			all = append([]*engine.Resource{z}, all...)
		}
		target := engine.Target{Name: "fra1"}
		plan := engine.Compare(target, all, nginxHost(t, engine.Questions(target, all), tc.files))
		var got []string
		for _, c := range plan.Compared {
			if s, ok := c.Want.(*NginxSite); ok && !c.Resource.Remove && strings.Contains(*s.Content, "443 quic reuseport;") {
				got = append(got, s.Name)
			}
		}
		refused := ""
		for _, p := range plan.Problems {
			if p.Severity == engine.Error {
				refused += p.Summary
			}
		}
		if refused != tc.refuse || refused == "" && !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v open the address, want %v; %q", tc.name, got, tc.want, refused)
		}
	}
}

// nginxHost answers questions as a host does whose nginx has those files, by name of the site. If
// one is empty, nginx cannot read them. Without files, nginx is missing.
func nginxHost(t *testing.T, queries []wire.Query, files map[string]string) engine.Answers {
	t.Helper()
	path := func(name string) string { return nginxFacts.Sites + "/" + name + nginxFacts.Suffix }
	config := &wire.Run{Exit: -1}
	if len(files) > 0 {
		config = &wire.Run{}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		config.Stdout += "# configuration file " + path(name) + ":\n" + files[name] + "\n"
		if files[name] == "" {
			config.Exit = 1
		}
	}
	answers := make([]wire.Answer, len(queries))
	for i, q := range queries {
		switch q.Verb {
		case wire.AskFile:
			answers[i].File = &wire.File{Kind: wire.Absent}
			for name, text := range files {
				if path(name) == q.Arg {
					answers[i].File = &wire.File{Kind: wire.Regular, Content: []byte(text), HasContent: true, Mode: 0o644}
				}
			}
		case wire.AskUnit:
			answers[i].Unit = &wire.Unit{LoadState: "not-found"}
		case wire.AskHTTP:
			answers[i].HTTP = &wire.HTTP{}
		case wire.AskListeners:
			answers[i].Listeners = &wire.Listeners{}
		case wire.AskRun:
			answers[i].Run = config
		}
	}
	got, err := engine.NewAnswers(queries, answers)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
