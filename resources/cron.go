package resources

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Cron is a scheduled command: a file in /etc/cron.d.
type Cron struct {
	Name     string `hcl:"name" id:"true"` // name of the file in /etc/cron.d: letters, digits, _ and -
	Schedule string `hcl:"schedule"`       // five fields of crontab(5), or a nickname such as @daily
	User     string `hcl:"user,optional"`  // account that runs the command; default: root
	// Command is the program, by its absolute path, and its arguments.
	Command []string `hcl:"command" argv:"true"`
	// Environment has environment variables of the command, such as MAILTO and PATH.
	Environment map[string]string `hcl:"environment,optional"`
	// RequireMount is the absolute path of a mount point. The command runs only while a file system
	// is mounted there.
	RequireMount string `hcl:"require_mount,optional"`
	// Guard is a program, by its absolute path, and its arguments. It runs first; the command runs
	// only if it succeeds.
	Guard []string `hcl:"guard,optional" argv:"true"`
	// Log is the absolute path of a file to which the output of guard and command is appended. If
	// not set, cron mails the output.
	Log string `hcl:"log,optional"`
	// OnExit is a program, by its absolute path, and its arguments. It runs after the command, also
	// when RequireMount or Guard has kept the command from running. It gets two more arguments: the
	// process ID of the job's shell, and the exit status of the last program that ran, which is the
	// guard's if the guard failed. Cron sees the exit status of this program.
	OnExit []string `hcl:"on_exit,optional" argv:"true"`

	generatedFile
	daemon string // wanted: the package of a cron daemon, if the host seems to have none
}

const cronDir = "/etc/cron.d"

var cronDirQuery = wire.Query{Verb: wire.AskFile, Arg: cronDir, Option: "stat"}

// maxCronLine is the longest command or variable that Debian's cron can read: its buffers have 1000
// bytes, of which the newline and the NUL take two. If a line is longer, cron skips the whole file.
const maxCronLine = 998

type cronType struct{}

func init() { register("cron", cronType{}) }

// Complete returns want with defaults and the content of its file.
func (cronType) Complete(_ engine.Target, want *Cron) *Cron {
	full := *want
	if full.User == "" {
		full.User = "root"
	}
	full.complete(func() (string, error) { return cronContent(&full) })
	return &full
}

// cronContent returns the content of the file.
func cronContent(s *Cron) (string, error) {
	schedule, err := ParseSchedule(s.Schedule)
	if err != nil {
		return "", err
	}
	command, err := s.Shell()
	if err != nil {
		return "", err
	}
	command = cronEscape(command)
	if len(command) > maxCronLine {
		return "", fmt.Errorf("the command is too long: it has %d bytes in the crontab, and Debian's cron reads %d: move it to a script",
			len(command), maxCronLine)
	}
	var out strings.Builder
	out.WriteString(header("cron", s.Name))
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		line, err := cronVariable(name, s.Environment[name])
		if err != nil {
			return "", err
		}
		out.WriteString(line + "\n")
	}
	fmt.Fprintf(&out, "%s %s %s\n", schedule, s.User, command)
	return out.String(), nil
}

// Shell returns the command with its guards, for a POSIX shell.
func (s *Cron) Shell() (string, error) {
	command, err := ShellJoin(s.Command)
	if err != nil {
		return "", err
	}
	output := ""
	if s.Log != "" {
		log, err := ShellQuote(s.Log)
		if err != nil {
			return "", err
		}
		output = " >>" + log + " 2>&1"
	}
	command += output
	if len(s.Guard) > 0 {
		guard, err := ShellJoin(s.Guard)
		if err != nil {
			return "", fmt.Errorf("guard: %w", err)
		}
		command = guard + output + " && " + command
	}
	if s.RequireMount != "" {
		mounted, err := ShellJoin([]string{"/usr/bin/mountpoint", "-q", s.RequireMount})
		if err != nil {
			return "", err
		}
		command = mounted + " && " + command
	}
	if len(s.OnExit) > 0 {
		after, err := ShellJoin(s.OnExit)
		if err != nil {
			return "", fmt.Errorf("on_exit: %w", err)
		}
		command += "; " + after + ` "$$" "$?"` // two numbers (XCU 2.5.2)
	}
	return command, nil
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// shells are the shells that read what ShellQuote writes.
var shells = []string{"/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/sh", "/usr/bin/bash", "/usr/bin/dash"}

// cronVariable returns the line that sets a variable. crontab(5) has two kinds of quotes and no
// escapes, and nothing may follow the closing quote.
func cronVariable(name, value string) (string, error) {
	switch {
	case !variableName.MatchString(name):
		return "", fmt.Errorf("invalid variable name %q: use letters, digits and _, not beginning with a digit", name)
	case name == "LOGNAME" || name == "USER":
		return "", fmt.Errorf("%s cannot be set: cron sets it to the user", name)
	case name == "SHELL" && !slices.Contains(shells, value):
		return "", fmt.Errorf("SHELL cannot be %q: commands are quoted for a POSIX shell, one of %s", value, strings.Join(shells, ", "))
	case strings.ContainsAny(value, "\n\r\x00"):
		return "", fmt.Errorf("the value of %s contains a newline, a carriage return or a NUL character", name)
	}
	quote := `"`
	if strings.Contains(value, `"`) {
		quote = `'`
	}
	if strings.Contains(value, quote) {
		return "", fmt.Errorf("the value of %s contains both single and double quotes: crontabs have no escapes", name)
	}
	line := name + " = " + quote + value + quote
	if len(line) > maxCronLine {
		return "", fmt.Errorf("the value of %s is too long: its line has %d bytes, and Debian's cron reads at most %d",
			name, len(line), maxCronLine)
	}
	return line, nil
}

func (cronType) file(s *Cron) *managedFile {
	if s == nil {
		return nil
	}
	return s.at(cronDir + "/" + s.Name)
}

// Generated implements engine.Generator.
func (cronType) Generated(*Cron) bool { return true }

// cronPackage is the package of a host's cron daemon.
func cronPackage(t engine.Target) string {
	if t.Facts.OS.Family == "el" {
		return "cronie"
	}
	return "cron"
}

// Settle finds out whether the host has, or the plan installs, a directory for the file.
func (cronType) Settle(t engine.Target, want *Cron, _ *engine.Record, got engine.Answers) *Cron {
	full := *want
	dir, err := got.File(cronDirQuery)
	if full.daemon = ""; err == nil && dir.Kind == wire.Absent &&
		!t.Provided[engine.PackageKey(cronPackage(t))] && !t.Provided[engine.PathKey(cronDir)] {
		full.daemon = cronPackage(t)
	}
	return &full
}

func (cronType) Keys(t engine.Target, want *Cron) (provides, needs []engine.Key) {
	p := cronDir + "/" + want.Name
	if want.Log != "" {
		needs = append(needs, engine.PathKey(path.Dir(want.Log)))
	}
	if want.RequireMount != "" {
		needs = append(needs, engine.MountKey(want.RequireMount))
	}
	needs = append(needs, engine.PathKey(cronDir), engine.UserKey(cmp.Or(want.User, "root")), engine.PackageKey(cronPackage(t)))
	return []engine.Key{engine.PathKey(p)}, needs
}

func (ct cronType) Validate(want *Cron) []engine.Problem {
	full := ct.Complete(engine.Target{}, want)
	_, scheduleErr := ParseSchedule(full.Schedule)
	out := slices.Concat(checkEntry(full.Name, cronDir), report("schedule", scheduleErr), report("command", checkProgram(full.Command)))
	if _, number := strconv.Atoi(full.User); !isOwner(full.User) || number == nil {
		out = append(out, refusal("user", fmt.Sprintf("invalid user name %q", full.User),
			"crontabs take the name of a user, not a number"))
	}
	if full.RequireMount != "" {
		out = append(out, report("require_mount", checkPath(full.RequireMount))...)
	}
	if full.Log != "" {
		out = append(out, report("log", checkPath(full.Log))...)
	}
	if len(full.Guard) > 0 {
		out = append(out, report("guard", checkProgram(full.Guard))...)
	}
	if len(full.OnExit) > 0 {
		out = append(out, report("on_exit", checkProgram(full.OnExit))...)
	}
	for _, name := range slices.Sorted(maps.Keys(full.Environment)) {
		_, err := cronVariable(name, full.Environment[name])
		out = append(out, report("environment", err)...)
	}
	if len(out) == 0 && full.Content == nil {
		_, err := cronContent(full)
		out = report("command", err)
	}
	return out
}

func (ct cronType) Ask(_ engine.Target, want *Cron) []wire.Query {
	return []wire.Query{ct.file(want).query(), cronDirQuery}
}

// Read compares only the file. All other attributes are copied from want: their differences show in
// the content.
func (ct cronType) Read(_ engine.Target, want *Cron, got engine.Answers) (*Cron, error) {
	m, err := ct.file(want).read(got)
	if err != nil || m == nil {
		return nil, err
	}
	have := *want
	have.took(m)
	return &have, nil
}

func (ct cronType) Diff(_ engine.Target, want, have *Cron) []engine.Step {
	return fileSteps(ct.file(want), ct.file(have))
}

func (ct cronType) Check(t engine.Target, want, have *Cron) []engine.Problem {
	switch {
	case want == nil:
		return nil
	case have != nil:
		return ct.file(have).check(ct.file(want))
	case want.daemon != "": // another package of the plan may bring one
		return []engine.Problem{caution("", fmt.Sprintf("%s has no directory %s, so no cron daemon is installed", t.Name, cronDir),
			fmt.Sprintf("declare a package resource for %s, or install it on the host: without the directory, the apply fails", want.daemon))}
	}
	return nil
}
