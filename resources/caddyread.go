package resources

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// caddyConfigQuery asks for the lines of all files in Caddy's directory that begin and end blocks,
// name their addresses, import a file, name a certificate, or mark a file of mirrorform. Keys and
// certificates have no such lines, so they are not read.
var caddyConfigQuery = wire.Query{Verb: wire.AskRun, Args: []string{"/bin/grep", "-RnIE", "-e",
	`[{}]|,[[:space:]]*$|^[[:space:]]*(import|admin|tls)[[:space:]]|^# Managed by mirrorform: `, "/etc/caddy"}}

// caddyLine is a line of a file of Caddy's configuration.
type caddyLine struct {
	number int
	text   string
}

// caddyConfig has the lines of caddyConfigQuery that Caddy reads, by file.
type caddyConfig struct {
	files map[string][]caddyLine // all files
	read  []string               // the files that the Caddyfile imports outside of blocks, and itself
	sites []caddyFound
	admin string // FILE:LINE of "admin off"
	env   string // FILE:LINE of an environment variable
}

// caddyFound is a site block.
type caddyFound struct {
	file      string
	line      int
	addresses []caddyAddress
	imports   []string // absolute patterns of files
	// certificate is whether the site has a certificate of files.
	certificate bool
}

// caddyAddress is an address of a site. A host of "" is any; a port of "" is Caddy's choice: 443,
// and 80 with a redirect.
type caddyAddress struct{ scheme, host, port string }

func (a caddyAddress) on(port string) bool {
	switch {
	case a.port != "":
		return a.port == port
	case a.scheme == "http":
		return port == "80"
	}
	return port == "443" || port == "80"
}

// secure reports whether Caddy serves the address over HTTPS.
func (a caddyAddress) secure() bool {
	return a.scheme == "https" || a.scheme == "" && a.host != "" && a.port != "80"
}

// readCaddy reads the answer to caddyConfigQuery.
func readCaddy(got engine.Answers) (*caddyConfig, error) {
	run, err := got.Run(caddyConfigQuery)
	switch {
	case err != nil:
		return nil, err
	case run.Exit > 1 || run.Exit < 0:
		return nil, errors.New(firstLine(run.Stderr))
	}
	c := &caddyConfig{files: map[string][]caddyLine{}}
	for line := range strings.Lines(run.Stdout) {
		file, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		number, text, ok := strings.Cut(rest, ":")
		if n, err := strconv.Atoi(number); ok && err == nil {
			c.files[file] = append(c.files[file], caddyLine{n, text})
		}
	}
	c.follow(caddyMain)
	return c, nil
}

// follow reads a file, and what it imports.
func (c *caddyConfig) follow(file string) {
	if slices.Contains(c.read, file) {
		return
	}
	c.read = append(c.read, file)
	depth := 0
	var site *caddyFound
	var before []string // addresses on lines above that of the brace
	for _, l := range c.files[file] {
		words := strings.Fields(l.text)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		at := fmt.Sprintf("%s:%d", file, l.number)
		if strings.Contains(l.text, "{$") && c.env == "" {
			c.env = at
		}
		if words[0] == "tls" && site != nil && depth == 1 {
			site.certificate = len(words) > 2 && words[2] != "{"
		}
		last := words[len(words)-1]
		switch {
		case words[0] == "import" && len(words) > 1:
			c.imported(file, words[1], site, depth)
		case words[0] == "admin" && depth == 1 && len(words) > 1 && words[1] == "off":
			c.admin = at
		case words[0] == "}":
			if depth--; depth <= 0 {
				depth, site = 0, nil
			}
		case last == "{":
			if depth++; depth == 1 {
				site = c.begin(file, l.number, append(before, words[:len(words)-1]...))
			}
			before = nil
		case depth == 0 && strings.HasSuffix(last, ","):
			before = append(before, words...)
		}
	}
}

// imported follows an import outside of blocks, and notes one in a site. The name of a snippet
// matches no file.
func (c *caddyConfig) imported(file, pattern string, site *caddyFound, depth int) {
	pattern = strings.Trim(pattern, "\"`")
	if !path.IsAbs(pattern) {
		pattern = path.Join(path.Dir(file), pattern)
	}
	if site != nil {
		site.imports = append(site.imports, pattern)
	}
	if depth > 0 {
		return
	}
	for name := range c.files {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			c.follow(name)
		}
	}
	c.read = append(c.read, pattern)
}

// begin begins a block outside of others: a site, or nil for a snippet or global options.
func (c *caddyConfig) begin(file string, line int, words []string) *caddyFound {
	if len(words) == 0 || strings.HasPrefix(words[0], "(") {
		return nil
	}
	site := caddyFound{file: file, line: line}
	for _, word := range words {
		if word = strings.Trim(word, ",\"`"); word != "" {
			site.addresses = append(site.addresses, parseCaddyAddress(word))
		}
	}
	c.sites = append(c.sites, site)
	return &c.sites[len(c.sites)-1]
}

// parseCaddyAddress reads [SCHEME://][HOST][:PORT][/PATH].
func parseCaddyAddress(word string) (a caddyAddress) {
	if scheme, rest, ok := strings.Cut(word, "://"); ok {
		a.scheme, word = scheme, rest
	}
	word, _, _ = strings.Cut(word, "/")
	a.host = word
	if i := strings.LastIndexByte(word, ':'); i >= 0 && !strings.HasSuffix(word, "]") {
		a.host, a.port = word[:i], word[i+1:]
	}
	a.host = strings.ToLower(strings.Trim(a.host, "[]"))
	return a
}

// imports reports whether the Caddyfile imports the files of the directory of sites.
func (c *caddyConfig) imports(file string) bool {
	return slices.ContainsFunc(c.read, func(pattern string) bool {
		ok, err := path.Match(pattern, file)
		return ok && err == nil
	})
}

// ours reports whether mirrorform has written a file.
func (c *caddyConfig) ours(file string) bool {
	return slices.ContainsFunc(c.files[file], func(l caddyLine) bool {
		return strings.HasPrefix(l.text, "# Managed by mirrorform: ")
	})
}
