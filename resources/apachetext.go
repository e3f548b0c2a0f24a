package resources

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
)

// apacheText returns the virtual hosts of a site: one for HTTP, and one for HTTPS. Before them, the
// file has Apache listen on what nothing else of its configuration listens on.
func apacheText(t engine.Target, s *Site, digest string) string {
	w := apacheWriter{}
	for _, l := range s.opens {
		w.listen(l)
	}
	for _, port := range s.bare {
		apacheBareHost(&w, port)
	}
	if s.overHTTP() {
		w.open("VirtualHost", vhostAddresses(s.Listen)...)
		apacheNames(&w, s)
		apacheLog(&w, t, s)
		if s.servesHTTP() {
			apacheServing(&w, t, s, digest)
		} else {
			apacheNotServing(&w, s, digest)
		}
		w.close("VirtualHost")
	}
	if s.Certificate != "" {
		w.blank()
		w.open("VirtualHost", vhostAddresses(s.TLSListen)...)
		apacheNames(&w, s)
		apacheTLS(&w, s)
		apacheLog(&w, t, s)
		apacheServing(&w, t, s, digest)
		w.close("VirtualHost")
	}
	return strings.TrimPrefix(w.String(), "\n")
}

// apacheBareHost keeps the main configuration the one that answers what no name matches: it does so
// on its own only as long as the port has no virtual host.
func apacheBareHost(w *apacheWriter, port string) {
	w.open("VirtualHost", "*:"+port)
	w.open("IfModule", "mod_rewrite.c") // of all that it has, virtual hosts lack this alone
	w.line("RewriteEngine", "on")
	w.line("RewriteOptions", "Inherit")
	w.close("IfModule")
	w.close("VirtualHost")
	w.blank()
}

// vhostAddresses returns the addresses of a virtual host. Apache's * is all of both families.
func vhostAddresses(listens []string) (addresses []string) {
	for _, l := range listens {
		address, port, err := parseListen(l)
		if err != nil {
			continue // Validate reports it
		}
		if isWild(address) {
			address = "*"
		}
		if a := address + ":" + port; !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

// apacheNames writes the names. Without a ServerName, Apache would look one up in DNS; it takes
// neither a pattern nor an IPv6 address.
func apacheNames(w *apacheWriter, s *Site) {
	server, aliases := "", []string{"ServerAlias"}
	seen := map[string]bool{}
	for _, name := range s.ServerName { // of joined sites, which may write a name differently
		name = strings.Trim(name, "[]")
		switch key := strings.ToLower(bracketed(name)); {
		case seen[key]:
		case server == "" && !strings.ContainsAny(name, "*:"):
			seen[key], server = true, name
		default:
			seen[key], aliases = true, append(aliases, strings.Trim(bracketed(name), "[]"))
		}
	}
	if server == "" {
		server = strings.ReplaceAll(s.File, "_", "-") + ".invalid" // RFC 6761, 6.4
	}
	w.line("ServerName", server)
	if len(aliases) > 1 {
		w.line(aliases...)
	}
	w.blank()
}

// apacheNotServing writes what a virtual host has that does not serve over HTTP. It redirects under
// the name of the request, unless that may be the address, which the certificate is not for.
func apacheNotServing(w *apacheWriter, s *Site, digest string) {
	here := `\.well-known/mirrorform-site$`
	if s.Webroot != "" {
		here = `\.well-known/(acme-challenge/|mirrorform-site$)`
	}
	host := "%{SERVER_NAME}"
	if isTrue(s.TLSElsewhere) && s.named != nil {
		host = bracketed(strings.Trim(s.ServerName[0], "[]"))
	}
	w.blank()
	if s.HTTP == httpOff {
		w.line("RedirectMatch", "404", "^/(?!"+here+")")
	} else {
		w.line("RewriteEngine", "on")
		w.line("RewriteCond", "%{REQUEST_URI}", "!^/"+here)
		w.line("RewriteRule", "^/(.*)$", "https://"+host+portOf(s.overTLS())+"/$1", "[R=301,L]")
	}
	apacheAnswer(w, siteMarker, "text/plain", digest)
	apacheChallenges(w, s)
}

// apacheServing writes what a virtual host serves.
func apacheServing(w *apacheWriter, t engine.Target, s *Site, digest string) {
	apacheOptions(w, s)
	w.blank()
	w.line("RedirectMatch", "404", `/\.~tmp~(/|$)`) // rsync's unfinished files
	apacheAnswer(w, siteMarker, "text/plain", digest)
	apacheChallenges(w, s)
	apacheAnswers(w, s)
	apacheTrees(w, t, s)
	if s.Extra != "" {
		w.blank()
		w.text(s.Extra)
	}
}

// apacheTrees writes the directories, the longest URL path first, since Apache takes the first one
// that matches.
func apacheTrees(w *apacheWriter, t engine.Target, s *Site) {
	root := s.Root
	for _, url := range slices.SortedFunc(maps.Keys(s.Aliases), longestFirst) {
		if url == "/" {
			root = s.Aliases[url]
			continue
		}
		w.blank()
		w.tree(url, s.Aliases[url])
		w.directory(s.Aliases[url], isTrue(s.Autoindex))
		apacheParts(w, s)
		w.close("Directory")
	}
	w.blank()
	if root == "" {
		// Apache needs a directory at /. Nothing of it is served.
		w.line("DocumentRoot", apacheUnserved(t))
		w.open("Directory", apacheUnserved(t))
		w.line("Require", "all", "granted")
		w.line("RedirectMatch", "404", ".")
		w.close("Directory")
		return
	}
	w.line("DocumentRoot", root)
	w.directory(root, isTrue(s.Autoindex))
	apacheParts(w, s)
	w.close("Directory")
	if isTrue(s.Autoindex) {
		// The welcome page of EL's package takes listings away from the / of all virtual hosts.
		w.open("LocationMatch", "^/+$")
		w.line("Options", "+Indexes")
		w.close("LocationMatch")
	}
}

func longestFirst(a, b string) int {
	return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
}

// apacheUnserved is a directory that the server's own package has.
func apacheUnserved(t engine.Target) string {
	if isEL(t.Facts.OS) {
		return "/usr/share/httpd/icons"
	}
	return "/usr/share/apache2/icons"
}

// apacheWriter writes directives of Apache, indented by their depth.
type apacheWriter struct{ siteWriter }

// line writes a directive.
func (w *apacheWriter) line(words ...string) { w.word(quotedWords(words, apacheQuote)) }

// open begins a section.
func (w *apacheWriter) open(name string, words ...string) {
	w.word("<" + quotedWords(append([]string{name}, words...), apacheQuote) + ">")
	w.depth++
}

func (w *apacheWriter) close(name string) {
	w.depth--
	w.word("</" + name + ">")
}

// listen has Apache listen on an address, unless another of these files does: Apache refuses to
// listen on an address twice.
func (w *apacheWriter) listen(address string) {
	name := "MIRRORFORM_LISTEN_" + strings.Trim(notInDefine.ReplaceAllString(strings.ToUpper(address), "_"), "_")
	w.open("IfDefine", "!"+name)
	w.line("Define", name)
	w.line("Listen", address)
	w.close("IfDefine")
	w.blank()
}

var notInDefine = regexp.MustCompile(`[^A-Z0-9]+`)

// tree writes the alias of a directory, with a redirect to its URL. Both end with a slash:
// otherwise /almalinux../ would lead to the directory's siblings.
func (w *apacheWriter) tree(url, dir string) {
	w.line("RedirectMatch", "301", "^"+regexp.QuoteMeta(strings.TrimSuffix(url, "/"))+"$", url)
	w.line("Alias", url, dir+"/")
}

// directory begins the section of a directory that is served. An account that writes to a tree must
// not be able to publish files from elsewhere: Apache follows a link in the tree only if link and
// target have the same owner. And it must not be able to have Apache do anything: no .htaccess
// files, and no handlers that other sites have set, such as PHP's.
func (w *apacheWriter) directory(dir string, listing bool) {
	w.open("Directory", dir)
	if listing {
		w.line("Options", "Indexes", "SymLinksIfOwnerMatch")
		w.line("IndexOptions", "FancyIndexing", "FoldersFirst", "HTMLTable", "NameWidth=*", "SuppressDescription", "SuppressIcon", "VersionSort", "Charset=UTF-8")
	} else {
		w.line("Options", "SymLinksIfOwnerMatch")
	}
	w.line("AllowOverride", "None")
	w.line("Require", "all", "granted")
	w.line("DirectoryIndex", "index.html")
	w.open("FilesMatch", ".")
	w.line("SetHandler", "default-handler")
	w.close("FilesMatch")
}

// apacheBare is text that Apache reads as one word without quotes.
var apacheBare = regexp.MustCompile(`^[A-Za-z0-9_./:*!+=,;@~\[\]-]+$`)

// apacheQuote quotes a word for Apache. Between double quotes, a backslash escapes a quote or a
// backslash, and is itself before anything else. Apache has no escape for ${, which Validate
// refuses.
func apacheQuote(word string) string {
	if apacheBare.MatchString(word) {
		return word
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(word) {
		last := i+1 == len(word)
		if c := word[i]; c == '"' || c == '\\' && (last || word[i+1] == '\\' || word[i+1] == '"') {
			b.WriteByte('\\')
		}
		b.WriteByte(word[i])
	}
	b.WriteByte('"')
	return b.String()
}
