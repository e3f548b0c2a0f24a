package adopt

import (
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/adopt/shell"
	"github.com/mirrorform/mirrorform/internal/mirror"
)

// syncCommand is a command that fills a directory with the files of an upstream.
type syncCommand struct {
	at, starts Place      // of the command, and of what starts it
	options    [][]string // each with its argument
	upstream   string     // rsync:// URL without user and password; "" if it is not known
	fallbacks  []string   // upstreams that are used if that one fails
	tree       string     // clean path of the directory that gets the upstream's content
	locks      []shell.Lock
	log        string // file that gets the output, or ""
	wrappers   []shell.Wrapper
	proxy      string // HOST:PORT of RSYNC_PROXY
	freshness  string // name of the file that is compared first, or ""
	secret     bool   // the command has a user or password, which is left out
	deletes    bool
	alma       bool   // it is AlmaLinux's by something else than its names
	partial    bool   // not all arguments are known
	other      string // how it differs from rsync's own protocol with a known upstream
	index      int    // of the command in its evaluation, or -1
}

const unclearRsync = "mirrorform cannot parse the arguments of this rsync: it uses values that only the host " +
	"knows, or does not copy one upstream to one directory. " +
	"If it fills AlmaLinux's tree, name the directory with --tree"

// readSync reads a recorded command. Without a tree, it fills none. why is a remark about it, or
// "".
func readSync(c shell.Command) (s syncCommand, why string) {
	if name := path.Base(c.Argv[0]); name != "rsync" && name != "rsync-ssl" {
		return otherTool(c)
	}
	options, rest := mirror.SplitOptions(c.Argv[1:])
	if mirror.DryRun(options) || slices.ContainsFunc(options, func(o []string) bool {
		return slices.Contains([]string{"--daemon", "--version", "-V", "--help", "--server"}, o[0])
	}) {
		return s, ""
	}
	s.options = slices.DeleteFunc(options, func(o []string) bool { return !shell.Known(strings.Join(o, "")) })
	s.partial = len(s.options) < len(options)
	operands := slices.DeleteFunc(slices.Clone(rest), func(w string) bool { return w == shell.Unknown })
	if len(rest) > 2 && len(operands) == 2 {
		rest, s.partial = operands, true // the others are options
	}
	switch {
	case len(rest) == 0:
		return s, "this rsync has no source and no destination when the job starts like this"
	case len(rest) == 1 && !s.partial && shell.Known(rest[0]):
		return s, "" // a listing
	case len(rest) != 2:
		return s, unclearRsync
	}
	why = s.operands(c, rest[0], rest[1])
	if s.tree == "" {
		return s, why
	}
	s.around(c)
	if s.partial && why == "" {
		why = "not all arguments of this rsync are known: the mirror block lacks them"
	}
	return s, why
}

// operands sets upstream and tree.
func (s *syncCommand) operands(c shell.Command, source, target string) (why string) {
	dir, known := onHost(c, target)
	switch {
	case strings.Contains(target, "::") || strings.HasPrefix(target, "rsync://"):
		return "" // it sends files
	case !known || source == "":
		return unclearRsync
	case !shell.Known(source):
		if !alma.MatchString(dir) {
			return unclearRsync
		}
		s.tree, s.other = dir, "its upstream is not known"
		return "the upstream of this rsync is a value that only the host knows: check sync.upstream in the mirror block"
	}
	upstream, secret, ok := upstreamURL(source)
	s.secret = secret || c.Env["RSYNC_PASSWORD"] != ""
	host, _, remote := strings.Cut(source, ":")
	switch {
	case !ok && secret:
		return unclearRsync
	case !ok && remote && host != "" && !strings.Contains(host, "/"):
		s.tree, s.other = dir, "over a remote shell"
		return "this rsync runs over a remote shell (ssh), and a mirror block only by rsync's own protocol: set " +
			"sync.upstream"
	case !ok:
		if path.IsAbs(source) && alma.MatchString(dir) {
			return "this rsync copies " + printable(path.Clean(source)) + " to " + printable(dir) + " on the host " +
				"itself: a mirror block syncs to the tree directly"
		}
		return ""
	}
	if !s.recursive() && !strings.HasSuffix(upstream, "/") {
		return "" // one file
	}
	s.upstream, s.tree = upstream, dir
	_, module, _ := strings.Cut(strings.TrimPrefix(upstream, "rsync://"), "/")
	if !strings.HasSuffix(upstream, "/") {
		// rsync(1): without the slash, it copies the directory itself; of a module, the content.
		if strings.Contains(module, "/") {
			s.tree = path.Join(dir, path.Base(upstream))
		}
		s.upstream += "/"
	}
	return ""
}

// onHost returns a directory as the host sees it.
func onHost(c shell.Command, dir string) (string, bool) {
	if !path.IsAbs(dir) {
		if !path.IsAbs(c.Dir) {
			return "", false
		}
		dir = path.Join(c.Dir, dir)
	}
	dir = path.Clean(dir)
	if !shell.Known(dir) {
		return "", false
	}
	if c.Volumes == nil {
		return dir, true
	}
	for _, v := range c.Volumes {
		if rest, ok := strings.CutPrefix(dir, v[1]); ok && (rest == "" || rest[0] == '/') {
			return path.Join(v[0], rest), true
		}
	}
	return "", false
}

// recursive reports whether the options copy directories.
func (s *syncCommand) recursive() bool {
	return slices.ContainsFunc(s.options, func(o []string) bool {
		if strings.HasPrefix(o[0], "--") {
			return o[0] == "--recursive" || o[0] == "--archive"
		}
		return strings.ContainsAny(o[0], "ra") && len(o) == 1
	}) || s.partial
}

// around sets what the command has besides its arguments.
func (s *syncCommand) around(c shell.Command) {
	s.locks, s.log, s.wrappers = c.Locks, c.Log, c.Wrappers
	if s.log != "" && !path.IsAbs(s.log) || !shell.Known(s.log) {
		s.log = ""
	}
	if proxy := c.Env["RSYNC_PROXY"]; shell.Known(proxy) && !strings.Contains(proxy, "@") {
		s.proxy = proxy
	}
	s.deletes = slices.ContainsFunc(s.options, func(o []string) bool { return strings.HasPrefix(o[0], "--del") })
	if path.Base(c.Argv[0]) == "rsync-ssl" {
		s.other = "over TLS"
	}
}

// lock returns the file that a flock(1) of a mirror block locks as well, or "".
func (s *syncCommand) lock() string {
	for _, l := range s.locks {
		if slices.Contains([]string{shell.Flock, "setlock", "chpst", "lckdo"}, l.Kind) && path.IsAbs(l.Path) &&
			shell.Known(l.Path) {
			return l.Path
		}
	}
	return ""
}

// probe returns the URL of the one file that a command copies or lists, or "".
func probe(c shell.Command) string {
	if path.Base(c.Argv[0]) != "rsync" {
		return ""
	}
	options, rest := mirror.SplitOptions(c.Argv[1:])
	s := syncCommand{options: options}
	if len(rest) == 0 || len(rest) > 2 {
		return ""
	}
	upstream, _, ok := upstreamURL(rest[0])
	if !ok || strings.HasSuffix(upstream, "/") || !shell.Known(upstream) || s.recursive() {
		return ""
	}
	return upstream
}

// upstreamURL returns the rsync:// URL of a source (rsync://HOST/… or HOST::…) without user and
// password. secret reports that the source had one.
func upstreamURL(source string) (url string, secret, ok bool) {
	rest, isURL := strings.CutPrefix(source, "rsync://")
	if !isURL {
		host, module, double := strings.Cut(source, "::")
		if !double || strings.Contains(host, "/") {
			return "", false, false
		}
		rest = host + "/" + module
	}
	authority, module, _ := strings.Cut(rest, "/")
	if strings.Contains(module, "@") { // a password with a slash: the start of the host is ambiguous
		return "", true, false
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		secret = true
		authority = authority[i+1:]
	}
	return "rsync://" + authority + "/" + module, secret, authority != "" && module != ""
}

// targetOptions are the options of other programs that name the directory that they fill.
var targetOptions = map[string][]string{
	"reposync": {"-p", "--download-path", "--download_path"},
	"dnf":      {"-p", "--download-path"},
	"yum":      {"-p", "--download_path"},
	"wget":     {"-P", "--directory-prefix"}, "wget2": {"-P", "--directory-prefix"},
}

// otherTool reads a command that fills a directory by something else than rsync. Only its directory
// can be taken over.
func otherTool(c shell.Command) (s syncCommand, why string) {
	name := path.Base(c.Argv[0])
	text := strings.Join(c.Argv, " ")
	switch {
	case (name == "dnf" || name == "yum") && !slices.Contains(c.Argv, "reposync"),
		(name == "wget" || name == "wget2") && !copiesTree(c.Argv),
		name == "lftp" && !strings.Contains(text, "mirror"), name == "rclone" && !strings.Contains(text, "sync") &&
			!strings.Contains(text, "copy"):
		return s, ""
	}
	target := ""
	for i, w := range c.Argv {
		for _, option := range targetOptions[name] {
			if w == option && i+1 < len(c.Argv) {
				target = c.Argv[i+1]
			}
			if value, ok := strings.CutPrefix(w, option+"="); ok {
				target = value
			}
		}
	}
	if name == "rclone" && len(c.Argv) > 3 {
		target = c.Argv[3]
	}
	about := " fills a directory without rsync, so a mirror block can only take the directory over"
	if dir, known := onHost(c, target); target != "" && known && alma.MatchString(dir) {
		s.tree, s.other = dir, "by "+name
		s.around(c)
		return s, name + about + ": its content becomes that of AlmaLinux's upstream"
	}
	return s, name + about + ": if it is AlmaLinux's, name it with --tree"
}

// copiesTree reports whether arguments of wget make it copy a tree.
func copiesTree(argv []string) bool {
	return slices.ContainsFunc(argv, func(w string) bool {
		return w == "--mirror" || w == "--recursive" || len(w) > 1 && w[0] == '-' && w[1] != '-' &&
			strings.ContainsAny(w, "mr")
	})
}
