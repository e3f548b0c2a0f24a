package resources

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

const (
	rsyncProgram = "/usr/bin/rsync"
	rsyncPort    = "873"
	// rsyncdSocket is the unit of EL that starts a daemon for each client.
	rsyncdSocket = "rsyncd.socket"
)

// RsyncDaemon returns the package and the service of the rsync daemon on a host, and the socket
// that can stand for the service, or "".
func RsyncDaemon(t engine.Target) (name, service, socket string) {
	if t.Facts.OS.Family == "el" {
		socket = rsyncdSocket
	}
	return rsyncdPackage(t), rsyncdUnit(t), socket
}

// rsyncdPackage is the package with the daemon's unit.
func rsyncdPackage(t engine.Target) string {
	if t.Facts.OS.Family == "el" {
		return "rsync-daemon"
	}
	return "rsync"
}

func rsyncdUnit(t engine.Target) string {
	if t.Facts.OS.Family == "el" {
		return "rsyncd.service"
	}
	return "rsync.service"
}

func unitQueryOf(unit string) wire.Query { return wire.Query{Verb: wire.AskUnit, Arg: unit} }

// rsyncdState is how the daemon runs.
type rsyncdState struct{ service, socket bool }

func (s rsyncdState) running() bool { return s.service || s.socket }

func rsyncdStateOf(t engine.Target, got engine.Answers) rsyncdState {
	runs := func(unit string) bool {
		u, err := got.Unit(unitQueryOf(unit))
		return err == nil && !stopped(u)
	}
	return rsyncdState{service: runs(rsyncdUnit(t)), socket: runs(rsyncdSocket)}
}

// rsyncdServer is a daemon that reads a configuration and talks to one client on standard input,
// without a port: "rsync HOST::" starts it instead of ssh.
const rsyncdServer = rsyncProgram + " --server --daemon --log-file=/dev/stderr --config="

var (
	// rsyncdParseQuery has rsync parse the configuration and list its modules. What it does not know
	// is only in the log.
	rsyncdParseQuery = wire.Query{Verb: wire.AskRun, Args: []string{
		rsyncProgram, "--no-motd", "--timeout=10", "--rsh=" + rsyncdServer + rsyncdMain + " .", "localhost::",
	}}
	// rsyncdCheck does the same for a file before it replaces another one. The script is a constant;
	// the name of the file is its argument, and has no character that rsync reads as another.
	rsyncdCheck = []string{"/bin/sh", "-c",
		`exec ` + rsyncProgram + ` --no-motd --timeout=10 --rsh="` + rsyncdServer + `$1 ." localhost::`, "rsyncd", "{}"}
	rsyncdPortQuery = listenersQuery("", rsyncPort)
)

// rsyncVerify asks for the files of the module at the URL that follows. A service that has just
// been started may not listen yet: exit status 10 is a refused connection, 35 one that took too
// long. A module with as many clients as it may have is served, and so is one that refuses an
// option of the request. The script is a constant.
var rsyncVerify = []string{"/bin/sh", "-c", `for pause in 0.2 0.5 1 2 4 8 16 0; do
  out=$(` + rsyncProgram + ` --no-motd --contimeout=10 --timeout=30 "$1" 2>&1)
  exit=$?
  case $exit:$out in 0:* | *"max connections"* | *"configured to refuse"*) exit 0 ;; 10:* | 35:*) sleep $pause ;; *) break ;; esac
done
printf '%s\n' "$out"
exit $exit`, "rsync"}

// rsyncURLs returns where the host itself reaches the module.
func rsyncURLs(t engine.Target, s *RsyncModule) []string {
	urls := []string{"rsync://127.0.0.1/" + s.Name + "/"}
	if hasIPv6(t) {
		urls = append(urls, "rsync://[::1]/"+s.Name+"/")
	}
	return urls
}

// smallFiles are files that the root of a mirror may have, and that are read quickly.
var smallFiles = []string{"TIME", "timestamp*", "*.txt", "README*", "RPM-GPG-KEY*", "project", "favicon.ico"}

// rsyncServedQuery asks for the directory of the module, and has the daemon read its small files:
// it compares their checksums with those of the host's own files, and writes nothing. A module that
// refuses checksums is only asked for times and sizes.
func rsyncServedQuery(url string, s *RsyncModule) wire.Query {
	options := "-ncdii"
	if slices.Contains(s.RefuseOptions, "checksum") || slices.Contains(s.RefuseOptions, "c") {
		options = "-ndii"
	}
	args := []string{rsyncProgram, "--no-motd", "--contimeout=5", "--timeout=10", options}
	for _, f := range smallFiles {
		args = append(args, "--include=/"+f)
	}
	return wire.Query{Verb: wire.AskRun, Args: append(args, "--exclude=/*", url, s.Path+"/")}
}

// readServed returns whether the module has no place for another client, and why it is not served.
// One file that can be read is enough: a tree may have files that are not for everybody.
func readServed(run wire.Run) (full bool, reason string) {
	if run.Exit == 0 {
		same, differs := 0, ""
		for line := range strings.Lines(run.Stdout) {
			switch mark, name, _ := strings.Cut(strings.TrimSpace(line), " "); {
			case strings.HasPrefix(mark, ".f"):
				same++
			case strings.HasPrefix(mark, ">f"):
				differs = strings.TrimSpace(name)
			}
		}
		if same > 0 || differs == "" {
			return false, ""
		}
		return false, "it sends another content of " + bareOrQuoted(differs) + ", or cannot read it"
	}
	if strings.Contains(run.Stderr, rsyncRefusesOption) {
		return false, "" // an option of this request, which rsyncd.conf may refuse for all modules
	}
	for line := range strings.Lines(run.Stderr + "\n" + run.Stdout) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "@ERROR: "); ok {
			return strings.Contains(text, "max connections"), notFull(text)
		}
	}
	return false, firstLine(run.Stderr)
}

// rsyncRefusesOption is what the daemon answers, in its module, to an option in refuse options.
const rsyncRefusesOption = "The server is configured to refuse "

func notFull(text string) string {
	if strings.Contains(text, "max connections") {
		return ""
	}
	return fmt.Sprintf("%.200q", text)
}

// noGreeting is the advice for a daemon that accepts a connection and ends it. The client sees the
// end, or a reset if its own greeting was faster.
const noGreeting = "the daemon refuses its configuration, " +
	"or another program has port 873: to see which: ss -tlnpe 'sport = 873'; " +
	"for the daemon's log: journalctl -t rsyncd"

// rsyncHints explain what the daemon answers.
var rsyncHints = []engine.Hint{
	{Text: "access denied", Advice: "hosts allow or hosts deny in " + rsyncdMain + " refuses 127.0.0.1 or ::1: " +
		"set hosts_allow of the module, or allow the host there"},
	{Text: "Unknown module", Advice: "the daemon that answers on port 873 reads another file than " + rsyncdMain +
		": to see its options: systemctl cat 'rsync*'"},
	{Text: "chroot failed", Advice: "the daemon cannot enter the path of the module: " +
		"it is missing, or the service may not see it"},
	{Text: "chdir failed", Advice: "the daemon cannot enter the path of the module: " +
		"the user of uid needs access to the directory and those above it"},
	{Text: "invalid uid", Advice: "set uid to a user of the host"},
	{Text: "invalid gid", Advice: "set gid to a group of the host"},
	{Text: "did not see server greeting", Advice: noGreeting},
	{Text: "Connection reset by peer", Advice: noGreeting},
	{Text: "Connection refused", Advice: "the daemon does not listen on port 873: for its log: journalctl -t rsyncd"},
	{Text: "Permission denied", Advice: "the user of uid needs access to the files of the module"},
}

// adviceOf returns the advice of the first hint whose text is in an answer.
func adviceOf(hints []engine.Hint, answer string) string {
	i := slices.IndexFunc(hints, func(h engine.Hint) bool { return strings.Contains(answer, h.Text) })
	if i < 0 {
		return "for the daemon's log: journalctl -t rsyncd"
	}
	return hints[i].Advice
}

// rsyncdTaken refuses port 873 if another program has it, or another rsync than that of the
// service.
func rsyncdTaken(t engine.Target, is rsyncdState, got engine.Answers) (out []engine.Problem) {
	const daemon = "the rsync daemon"
	found, err := got.Listeners(rsyncdPortQuery)
	if err != nil {
		return []engine.Problem{caution("", "unknown which program has port 873: "+err.Error(),
			"the apply fails if "+daemon+" cannot listen there")}
	}
	for _, s := range found.Sockets {
		switch {
		case s.Program == "" && found.Hidden, s.Unit == rsyncdUnit(t), s.PID == 1 && is.socket:
		case slices.Contains(t.Stops, s.Unit):
		default:
			p := takenBy(s, "", daemon)
			p.Detail = strings.Replace(p.Detail, stopOrMove, "stop it: clients of rsync:// URLs ask at port 873", 1)
			if s.Program == "rsync" {
				p.Summary = fmt.Sprintf("another rsync daemon than %s has port %d: pid %d, %s",
					rsyncdUnit(t), s.Port, s.PID, bareOrQuoted(s.Unit))
			}
			return []engine.Problem{p}
		}
	}
	return nil
}

var unknownParameter = regexp.MustCompile(`Unknown Parameter encountered: "([^"\n]{1,100})"`)

// checkRsyncd finds what is wrong with the configuration of others, before a module joins it or the
// daemon is started with it.
func checkRsyncd(
	t engine.Target, s *RsyncModule, c *rsyncdConf, got engine.Answers,
) (out []engine.Problem) {
	fail := func(detail, format string, args ...any) {
		out = append(out, refusal("", t.Name+": "+fmt.Sprintf(format, args...), detail))
	}
	for _, name := range []string{"port", "address"} {
		if value := c.globals[name]; value != "" && value != rsyncPort {
			fail("remove that line: clients of rsync:// URLs ask at port 873 of every address",
				"%s sets %s to %s", rsyncdMain, name, bareOrQuoted(value))
		}
	}
	if c.broken > 0 {
		fail("repair it: with a syntax error, the daemon refuses every client",
			"rsync cannot parse %s:%d", rsyncdMain, c.broken)
		return out
	}
	run, err := got.Run(rsyncdParseQuery)
	if err != nil || run.Exit < 0 || c.absent {
		return out // rsync is not installed yet, or there is no configuration
	}
	if run.Exit != 0 {
		// It may be a file of mirrorform, which the apply repairs.
		return append(out, caution("",
			fmt.Sprintf("%s: rsync refuses its configuration: %s", t.Name, parseError(run.Stderr)),
			"repair it, if it is not a file of mirrorform: with a syntax error, the daemon refuses every client"))
	}
	is := rsyncdStateOf(t, got)
	out = append(out, unknownParameters(t, c, is, run.Stderr)...)
	if !is.running() {
		out = append(out, dormant(t, s, c, run.Stdout)...)
	}
	return out
}

// parseError returns the line of rsync's log that says what is wrong.
func parseError(log string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "params.c") || strings.Contains(line, "config file") {
			return firstLine(line)
		}
	}
	return firstLine(log)
}

// unknownParameters reports parameters that rsync ignores: a typing error in the name of a
// restriction publishes what it was to protect. It refuses to start a daemon with them.
func unknownParameters(t engine.Target, c *rsyncdConf, is rsyncdState, log string) (out []engine.Problem) {
	seen := map[string]bool{}
	for _, m := range unknownParameter.FindAllStringSubmatch(log, -1) {
		name := m[1]
		if seen[name] || !slices.Contains(c.names, parameterName(name)) {
			continue
		}
		seen[name] = true
		p := caution("",
			fmt.Sprintf("%s: rsync does not know the parameter %q in %s, and ignores it", t.Name, name, rsyncdMain),
			"correct or remove it")
		if !is.running() {
			p.Severity = engine.Error
			p.Detail += ": the daemon does not run yet, and it may be a restriction"
		}
		out = append(out, p)
	}
	return out
}

// dormant warns of modules that nobody can reach until the daemon starts.
func dormant(t engine.Target, s *RsyncModule, c *rsyncdConf, list string) []engine.Problem {
	ours := ourRsyncModules(t, s)
	var others []string
	for _, section := range c.sections {
		others = append(others, fmt.Sprintf("%s (%s)", bareOrQuoted(section.name), pathOrNone(section.path)))
		ours = append(ours, section.name)
	}
	for line := range strings.Lines(list) { // those of included files
		name, _, ok := strings.Cut(line, "\t")
		if name = strings.TrimSpace(name); ok && name != "" && !slices.Contains(ours, name) {
			others = append(others, bareOrQuoted(name))
		}
	}
	if len(others) == 0 {
		return nil
	}
	return []engine.Problem{caution("",
		fmt.Sprintf("%s: the rsync daemon does not run, and to start it publishes what %s has already: %s",
			t.Name, rsyncdMain, enumerate(others)),
		"remove what is not meant to be public, or restrict it with hosts allow or auth users")}
}

// pathOrNone quotes the path of a module.
func pathOrNone(p string) string {
	if p == "" {
		return "no path"
	}
	return fmt.Sprintf("%.200q", p)
}
