package resources

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// nginxTokens reads a configuration as nginx does (ngx_conf_read_token): words, and ; { } by themselves. A word that was
// in quotes has a ' in front, so that "}" and a quoted one differ.
func nginxTokens(text string) ([]string, error) {
	var tokens []string
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case strings.IndexByte(";{}", c) >= 0:
			tokens = append(tokens, string(c))
			i++
		default:
			word, n, err := nginxWord(text[i:])
			if err != nil {
				return nil, err
			}
			tokens = append(tokens, word)
			i += n
		}
	}
	return tokens, nil
}

// nginxWord reads one word and says how many bytes it took.
func nginxWord(text string) (string, int, error) {
	var word strings.Builder
	quote := byte(0)
	start := 0
	if text[0] == '"' || text[0] == '\'' {
		quote, start = text[0], 1
		word.WriteByte('\'')
	}
	for i := start; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			if escape := strings.IndexByte(`"'\trn`, text[i]); escape >= 0 {
				word.WriteByte("\"'\\\t\r\n"[escape])
			} else {
				word.WriteString(text[i-1 : i+1])
			}
		case c == '$' && quote == 0 && i+1 < len(text) && text[i+1] == '{':
			return "", 0, fmt.Errorf("a variable: %q", text)
		case quote != 0 && c == quote:
			if i+1 < len(text) && strings.IndexByte(" \t\r\n;{)", text[i+1]) < 0 {
				return "", 0, fmt.Errorf("unexpected %q after a quote", text[i+1])
			}
			return word.String(), i + 1, nil
		case quote == 0 && strings.IndexByte(" \t\r\n;{", c) >= 0:
			return word.String(), i, nil
		default:
			word.WriteByte(c)
		}
	}
	return "", 0, fmt.Errorf("no end of the word %q", text)
}

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
		kind := nginxSiteType{}
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
		open, shut, ends := 0, 0, 0
		for _, token := range tokens {
			switch token {
			case "{":
				open++
			case "}":
				shut++
			case ";":
				ends++
			}
		}
		blocks, directives := 4, 17 // server, the marker, .~tmp~, and the alias
		if url != "/" {
			blocks, directives = blocks+1, directives+1 // the redirect to it
		}
		switch {
		case root != "":
			directives += 2
		case url != "/":
			blocks, directives = blocks+1, directives+1 // nothing else is there
		}
		if open != blocks || shut != blocks || ends != directives {
			t.Fatalf("%d {, %d }, %d ; in place of %d, %d, %d:\n%q", open, shut, ends, blocks, blocks, directives, shape)
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
		if problems := checkListens([]string{listen}); len(problems) > 0 {
			t.Errorf("%s: %v", listen, problems)
		}
		if got := probeAddress([]string{listen}); got != want {
			t.Errorf("%s is asked at %s, want %s", listen, got, want)
		}
	}
	for _, listen := range []string{"", "0", "65536", "080", "+80", "http", "80 ssl", "80;", "localhost:80", "::1:80", "[192.0.2.1]:80", "[::1", "unix:/run/x", "192.0.2.1", "[fe80::1%eth0]:80"} {
		if len(checkListens([]string{listen})) == 0 {
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
	rendered := countedSite{count: &count}
	r := new(engine.Registry)
	engine.Register(r, "nginx_site", rendered)
	site := &engine.Resource{Address: "fra1/nginx_site.mirror", Kind: r.Kind("nginx_site"), State: fullState(t, "nginx_site")}
	target := engine.Target{Name: "fra1"}
	for range 3 { // the plan, the look before the steps, the one after them
		queries := engine.Questions(target, []*engine.Resource{site})
		answers := make([]wire.Answer, len(queries))
		for i, q := range queries {
			switch q.Verb {
			case wire.AskFile:
				answers[i].File = &wire.File{Kind: wire.Absent}
			case wire.AskUnit:
				answers[i].Unit = &wire.Unit{LoadState: "not-found"}
			case wire.AskHTTP:
				answers[i].HTTP = &wire.HTTP{}
			case wire.AskRun:
				answers[i].Run = &wire.Run{}
			}
		}
		got, err := engine.NewAnswers(queries, answers)
		if err != nil {
			t.Fatal(err)
		}
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
	nginxSiteType
	count *int
}

func (c countedSite) Complete(t engine.Target, want *NginxSite) *NginxSite {
	if want.Content == nil {
		*c.count++
	}
	return c.nginxSiteType.Complete(t, want)
}
