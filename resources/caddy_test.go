package resources

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// caddyDirective is a line of words with its block, if it has one.
type caddyDirective struct {
	words []string
	block []caddyDirective
}

// caddyLines reads a Caddyfile as lines of words, as Caddy's lexer does: white space ends a word,
// quotes only begin at the begin of one, a backslash escapes only a double quote between such, and
// a # begins a comment only where a word would begin.
func caddyLines(text string) (lines [][]string, err error) {
	var line []string
	var word []rune
	var quote rune
	in, escaped, comment := false, false, false
	endWord := func() {
		if in {
			line = append(line, string(word))
		}
		word, in, quote, escaped = nil, false, 0, false
	}
	endLine := func() {
		endWord()
		if len(line) > 0 {
			lines = append(lines, line)
		}
		line, comment = nil, false
	}
	for _, r := range text {
		switch {
		case comment:
			if r == '\n' {
				endLine()
			}
		case quote == '"' && escaped:
			if r != '"' {
				word = append(word, '\\')
			}
			word, escaped = append(word, r), false
		case quote == '"' && r == '\\':
			escaped = true
		case quote != 0 && r == quote:
			endWord()
		case quote != 0:
			word = append(word, r)
		case r == '\n':
			endLine()
		case r == ' ' || r == '\t' || r == '\r':
			endWord()
		case !in && r == '#':
			comment = true
		case !in && (r == '"' || r == '`'):
			in, quote = true, r
		default:
			in, word = true, append(word, r)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("no end of the quotes in %q", text)
	}
	endLine()
	return lines, nil
}

// caddyTree reads blocks: a { ends a line that begins one, a } on a line of its own ends it. Caddy
// looks at words without their quotes.
func caddyTree(lines [][]string, depth int) (list []caddyDirective, rest [][]string, err error) {
	for len(lines) > 0 {
		words := lines[0]
		lines = lines[1:]
		if slices.Equal(words, []string{"}"}) {
			if depth == 0 {
				return nil, nil, fmt.Errorf("a } too many")
			}
			return list, lines, nil
		}
		d := caddyDirective{words: words}
		if last := len(words) - 1; words[last] == "{" {
			d.words = words[:last]
			if d.block, lines, err = caddyTree(lines, depth+1); err != nil {
				return nil, nil, err
			}
		}
		if slices.Contains(d.words, "{") || slices.Contains(d.words, "}") {
			return nil, nil, fmt.Errorf("a brace in the middle of %q", d.words)
		}
		list = append(list, d)
	}
	if depth > 0 {
		return nil, nil, fmt.Errorf("a block has no end")
	}
	return list, nil, nil
}

func readCaddyfile(t *testing.T, text string) []caddyDirective {
	t.Helper()
	if strings.Contains(text, "{$") {
		t.Fatalf("an environment variable in\n%s", text)
	}
	lines, err := caddyLines(text)
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := caddyTree(lines, 0)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return list
}

// flatCaddy writes each directive with those that it is in.
func flatCaddy(list []caddyDirective, above string) (lines []string) {
	for _, d := range list {
		line := above + fmt.Sprintf("%q", d.words)
		lines = append(append(lines, line), flatCaddy(d.block, line+" ")...)
	}
	return lines
}

// checkCaddySite holds that Caddy reads what is wanted, and nothing else but constants: with all
// values replaced by harmless ones, the text has the same directives, and each value is a word of
// its own.
func checkCaddySite(t *testing.T, s *CaddySite) {
	t.Helper()
	got := readCaddyfile(t, *s.Content)
	names := []string{"(mirrorform-" + s.File + ")"}
	for _, b := range caddyBlocks(s) {
		names = append(names, strings.Join(b.addresses, ", "))
	}
	if !slices.EqualFunc(got, names, func(d caddyDirective, name string) bool { return strings.Join(d.words, " ") == name }) {
		t.Fatalf("Caddy reads the blocks %q of\n%s", flatCaddy(got, ""), *s.Content)
	}
	common := flatCaddy(got[0].block, "")
	has := func(words ...string) {
		for _, line := range common {
			if strings.HasSuffix(line, fmt.Sprintf("%q", words)) {
				return
			}
		}
		t.Errorf("%q is not in\n%s", words, strings.Join(common, "\n"))
	}
	for name, value := range s.Headers {
		has(name, value)
	}
	for url, dir := range s.Aliases {
		if url != "/" {
			has("handle_path", url+"*")
		}
		has("root", "*", dir)
	}
	for from, to := range s.Redirects {
		has("handle", from)
		has("redir", "*", to, "301")
	}
	if s.Robots != "" {
		has("respond", "*", strings.TrimRight(s.Robots, "\n")+"\n", "200")
	}
	if s.AccessLog != "" && s.AccessLog != "off" {
		has("output", "file", s.AccessLog)
	}
	has("respond", "*", digestOf([]byte(caddyText(s, ""))), "200")
	extra, err := caddyLines(s.Extra)
	if err != nil {
		t.Fatal(err)
	}
	if want := caddyCount(harmlessCaddy(s)) + caddyCount(readCaddyfile(t, s.Extra)); caddyCount(got) != want {
		t.Errorf("Caddy reads %d directives instead of %d, with %q, of\n%s", caddyCount(got), want, extra, *s.Content)
	}
}

// harmlessCaddy reads the text of the site with harmless values instead of its own, and without
// extra.
func harmlessCaddy(s *CaddySite) []caddyDirective {
	plain := *s
	plain.Extra, plain.Content = "", nil
	plain.Aliases, plain.Redirects, plain.Headers = map[string]string{}, map[string]string{}, map[string]string{}
	set := func(into, from map[string]string, prefix string) {
		for i := range len(from) {
			into[fmt.Sprintf("%s%d/", prefix, i)] = "/x"
		}
	}
	set(plain.Redirects, s.Redirects, "/r")
	for i := range len(s.Headers) {
		plain.Headers[fmt.Sprintf("X-%d", i)] = "x"
	}
	rest := len(s.Aliases)
	if s.Aliases["/"] != "" {
		plain.Aliases["/"] = "/x"
		rest--
	}
	for i := range rest {
		plain.Aliases[fmt.Sprintf("/a%d/", i)] = "/x"
	}
	for _, v := range []*string{&plain.Root, &plain.AccessLog, &plain.Robots, &plain.Health, &plain.Webroot, &plain.ACMEEmail, &plain.ACMEDirectory, &plain.ACMERoot, &plain.Certificate, &plain.CertificateKey} {
		if *v != "" && *v != "off" {
			*v = "/x"
		}
	}
	lines, _ := caddyLines(caddyText(&plain, "x"))
	list, _, _ := caddyTree(lines, 0)
	return list
}

func caddyCount(list []caddyDirective) (n int) {
	for _, d := range list {
		n += 1 + caddyCount(d.block)
	}
	return n
}

// checkCaddySnippet holds that Caddy reads handlers with what is wanted, and nothing else.
func checkCaddySnippet(t *testing.T, s *CaddySnippet) {
	t.Helper()
	var got []string
	for _, d := range readCaddyfile(t, *s.Content) {
		got = append(got, strings.Join(d.words, " "))
		if d.words[0] == "handle_path" && !slices.Equal(d.block[0].words, []string{"root", "*", s.Aliases[strings.TrimSuffix(d.words[1], "*")]}) {
			t.Errorf("Caddy reads %+v from\n%s", d, *s.Content)
		}
	}
	want := []string{"handle " + snippetMarker(s)}
	for url := range s.Aliases {
		want = append(want, "handle "+strings.TrimSuffix(url, "/"), "handle_path "+url+"*")
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Caddy reads %q, want %q", got, want)
	}
}

func FuzzCaddyQuote(f *testing.F) {
	for _, word := range append([]string{"/srv/a b", `"`, `a"b`, "#x", "`", "<<X", "*", "@a", "import", "a\nb"}, hostile...) {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if (caddy{}).checkText(word) != nil || strings.ContainsAny(word, "\x00\ufffd") || strings.ToValidUTF8(word, "") != word {
			return // refused
		}
		text := "root " + caddyQuote(word) + "\nnext 1\n"
		lines, err := caddyLines(text)
		if want := [][]string{{"root", word}, {"next", "1"}}; err != nil || !slices.EqualFunc(lines, want, slices.Equal[[]string]) {
			t.Fatalf("%s is read as %q, want %q: %v", text, lines, want, err)
		}
		tokens, err := caddyTokens(text)
		if want := []string{"root", word, "next", "1"}; err != nil || !slices.EqualFunc(tokens, want, func(t caddyToken, w string) bool { return t.word == w }) {
			t.Fatalf("%s: the program reads %v, want %q: %v", text, tokens, want, err)
		}
	})
}

// FuzzCaddySite holds that a site that Validate takes has the blocks that are meant and no others.
func FuzzCaddySite(f *testing.F) {
	f.Add("mirror.example.org", "80", "/srv/mirror", "/almalinux/", "/srv/a b", "x")
	f.Add("x } a {", "80 }", `/srv/"; } x {`, "/a } b {/", "/srv/{", "{$HOME}")
	f.Add("[2001:db8::1]", "[::]:80", "/srv/#x", "/", "/srv/`", "a\n}\nhttp://x {\n")
	f.Add("*.example.org", "192.0.2.1:8080", "", "/a/b.c/", "/srv/<<x", "/x")
	f.Fuzz(func(t *testing.T, name, listen, root, url, dir, robots string) {
		kind := siteType{"caddy_site", caddy{}}
		want := &CaddySite{Name: "site", ServerName: []string{name}, Listen: []string{listen}, Root: root, Aliases: map[string]string{url: dir}, Robots: robots}
		if len(kind.Validate(want)) == 0 {
			checkCaddySite(t, kind.Complete(engine.Target{}, want))
		}
	})
}

// FuzzCaddyExtra holds that what checkExtra takes neither ends the block that it is in nor opens
// another.
func FuzzCaddyExtra(f *testing.F) {
	for _, text := range []string{"respond /x ok", "handle /x {\n\trespond \"} {\"\n}", "}", "a {", "a \"{\"", "a `{`\n}", "a {\n}\n}\nb {\n{", "a {$X}", "a <<X\n}\nX", "# }\na", "a \\\n{", "a{\n}", "\"a\n}\" b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if (caddy{}).checkExtra(text) != nil {
			return
		}
		list := readCaddyfile(t, "route {\n"+text+"\nlast\n}\nnext\n")
		if len(list) != 2 || list[0].words[0] != "route" || len(list[0].block) == 0 || list[0].block[len(list[0].block)-1].words[0] != "last" {
			t.Fatalf("Caddy reads %q of %q", flatCaddy(list, ""), text)
		}
	})
}

func TestCaddyExtra(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"respond /x ok", "handle /x {\n\trespond ok\n\n}", "# }\nabort", "header X {host}", "redir /a `b \" c`", "@a path /x\nabort @a"} {
		if err := (caddy{}).checkExtra(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"}", "a {", "a {\nb\n", "{", "a \"b", "a {$X}", "a <<X\nX", "a \\\n{", "a { b }", "a\x00", "a{\n}", "a \"{\"\n\"}\""} {
		if (caddy{}).checkExtra(text) == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// A configuration of many files is read as Caddy reads it.
func TestCaddyConfig(t *testing.T) {
	t.Parallel()
	lines := strings.Join([]string{
		caddyMain + ":1:{", caddyMain + ":2:\tadmin localhost:2020", caddyMain + ":3:}",
		caddyMain + ":4:(own) {", caddyMain + ":5:\timport nothing", caddyMain + ":6:}",
		caddyMain + ":7:a.example, ", caddyMain + ":8:https://[2001:db8::1]:8443, b.example/x {", caddyMain + ":9:\timport own",
		caddyMain + ":10:\thandle {", caddyMain + ":11:\t\timport deep/*", caddyMain + ":12:\t}", caddyMain + ":13:}",
		caddyMain + ":14:# import not/*", caddyMain + ":15:import sites/*.caddy", caddyMain + ":16:import Caddyfile",
		"/etc/caddy/sites/c.caddy:2::80 {", "/etc/caddy/sites/c.caddy:3:\ttls /c.pem /k.pem", "/etc/caddy/sites/c.caddy:4:}", "/etc/caddy/not/d:1:d.example {", "/etc/caddy/not/d:2:}",
	}, "\n") + "\n"
	got, err := engine.NewAnswers([]wire.Query{caddyConfigQuery}, []wire.Answer{{Run: &wire.Run{Stdout: lines}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := readCaddy(got)
	if err != nil {
		t.Fatal(err)
	}
	want := "[{/etc/caddy/Caddyfile 8 [{ a.example } {https 2001:db8::1 8443} { b.example }] [/etc/caddy/own /etc/caddy/deep/*] false} " +
		"{/etc/caddy/sites/c.caddy 2 [{  80}] [] true}]"
	if sites := fmt.Sprint(c.sites); sites != want {
		t.Errorf("the sites are\n%s\nwant\n%s", sites, want)
	}
	if !c.imports("/etc/caddy/sites/new.caddy") || c.imports("/etc/caddy/not/d") || c.imports("/etc/caddy/deep/d") || c.admin != "" || c.env != "" {
		t.Errorf("%+v", c)
	}
}

// The certificate of a site is read from its own text, and from no other.
func TestCaddyReadTLS(t *testing.T) {
	t.Parallel()
	for _, want := range []Site{
		{Certificate: "/etc/my certs/c.pem", CertificateKey: "/k.pem", TLSListen: []string{"443", "[::]:443"}},
		{Certificate: "/c.pem", CertificateKey: "/k.pem", TLSListen: []string{"192.0.2.1:8443"}},
		{ACME: new(true), TLSListen: []string{"443"}},
		{},
	} {
		s := want
		s.Name, s.ServerName, s.Root = "www", []string{"www.example.org"}, "/srv/www"
		want.ACME = nil
		var got Site
		caddy{}.readTLS(&got, *siteType{"caddy_site", caddy{}}.Complete(engine.Target{}, &s).Content)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
	for _, text := range []string{"", "tls", "tls \"/c.pem", "tls /c.pem /k.pem more", "tls x {"} {
		var got Site
		if (caddy{}).readTLS(&got, text); got.Certificate != "" || got.TLSListen != nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}
