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

// Cron is an entry of /etc/cron.d: a command that runs by a schedule.
type Cron struct {
	Name     string `hcl:"name" id:"true"` // the file in /etc/cron.d: letters, digits, _ and -
	Schedule string `hcl:"schedule"`       // five fields of crontab(5), or one of its nicknames, as @daily
	User     string `hcl:"user,optional"`  // the account that the command runs as: root by default
	// Command is a program, by its absolute path, with its arguments.
	Command []string `hcl:"command" argv:"true"`
	// Environment has variables for the command, MAILTO and PATH among them.
	Environment map[string]string `hcl:"environment,optional"`
	// RequireMount is the absolute path of a mount point: the command runs only while a file system is mounted there.
	RequireMount string `hcl:"require_mount,optional"`
	// Guard is a program with its arguments, by its absolute path: the command runs only when it
	// succeeds.
	Guard []string `hcl:"guard,optional" argv:"true"`
	// Log is the absolute path of a file that the output of guard and command is added to; without
	// it, cron mails the output.
	Log string `hcl:"log,optional"`
	// OnExit is a program with its arguments that runs when the command has ended, or was kept from
	// running by RequireMount or Guard. It gets two more arguments: the ID of the process that
	// began when the job did, and the exit status, which is the guard's where that kept the command
	// from running. Its own exit status is what cron sees.
	OnExit []string `hcl:"on_exit,optional" argv:"true"`

	generatedFile
}

const cronDir = "/etc/cron.d"

// maxCronLine is what fits in the buffers of Debian's cron for a command and for a variable: of 1000 bytes, the newline and
// the final NUL take two. With one more it skips the whole file.
const maxCronLine = 998

type cronType struct{}

func init() { register("cron", cronType{}) }

// Complete returns want with its defaults and the file that comes of it.
func (cronType) Complete(_ engine.Target, want *Cron) *Cron {
	full := *want
	if full.User == "" {
		full.User = "root"
	}
	full.complete(func() (string, error) { return cronContent(&full) })
	return &full
}

// cronContent is the text of the file.
func cronContent(s *Cron) (string, error) {
	schedule, err := ParseSchedule(s.Schedule)
	if err != nil {
		return "", err
	}
	command, err := cronCommand(s)
	if err != nil {
		return "", err
	}
	if len(command) > maxCronLine {
		return "", fmt.Errorf("the command has %d bytes as cron reads it, Debian's cron takes %d: put it in a script", len(command), maxCronLine)
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

// cronCommand is the command with what guards it, as cron reads it.
func cronCommand(s *Cron) (string, error) {
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
	return cronEscape(command), nil
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// shells are those for which ShellQuote writes.
var shells = []string{"/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/sh", "/usr/bin/bash", "/usr/bin/dash"}

// cronVariable is the line that sets a variable. crontab(5) knows two kinds of quotes and no escapes, and nothing may
// follow the closing quote.
func cronVariable(name, value string) (string, error) {
	switch {
	case !variableName.MatchString(name):
		return "", fmt.Errorf("%q is no name of a variable: it takes letters, digits and _, and no digit first", name)
	case name == "LOGNAME" || name == "USER":
		return "", fmt.Errorf("%s cannot be set: cron sets it to the user", name)
	case name == "SHELL" && !slices.Contains(shells, value):
		return "", fmt.Errorf("SHELL cannot be %q: commands are quoted for a POSIX shell, one of %s", value, strings.Join(shells, ", "))
	case strings.ContainsAny(value, "\n\r\x00"):
		return "", fmt.Errorf("the value of %s holds a newline, carriage return or NUL character, which a crontab cannot hold", name)
	}
	quote := `"`
	if strings.Contains(value, `"`) {
		quote = `'`
	}
	if strings.Contains(value, quote) {
		return "", fmt.Errorf("the value of %s holds both kinds of quotes, which a crontab cannot hold", name)
	}
	line := name + " = " + quote + value + quote
	if len(line) > maxCronLine {
		return "", fmt.Errorf("the line of %s has %d bytes, Debian's cron takes %d", name, len(line), maxCronLine)
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

func (cronType) Keys(t engine.Target, want *Cron) (provides, needs []engine.Key) {
	daemon := "cron"
	if t.Facts.OS.Family == "el" {
		daemon = "cronie"
	}
	p := cronDir + "/" + want.Name
	if want.Log != "" {
		needs = append(needs, engine.PathKey(path.Dir(want.Log)))
	}
	if want.RequireMount != "" {
		needs = append(needs, engine.MountKey(want.RequireMount))
	}
	needs = append(needs, engine.PathKey(cronDir), engine.UserKey(cmp.Or(want.User, "root")), engine.PackageKey(daemon))
	return []engine.Key{engine.PathKey(p)}, needs
}

func (ct cronType) Validate(want *Cron) []engine.Problem {
	full := ct.Complete(engine.Target{}, want)
	_, scheduleErr := ParseSchedule(full.Schedule)
	out := slices.Concat(checkEntry(full.Name, cronDir), report("schedule", scheduleErr), report("command", checkProgram(full.Command)))
	if _, number := strconv.Atoi(full.User); !isOwner(full.User) || number == nil {
		out = append(out, refusal("user", fmt.Sprintf("%q is no name of a user", full.User), ""))
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
	return []wire.Query{ct.file(want).query()}
}

// Read takes what is not the file itself as wanted: the difference shows in its content.
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

func (ct cronType) Check(_ engine.Target, want, have *Cron) []engine.Problem {
	if want == nil || have == nil {
		return nil
	}
	return ct.file(have).check(ct.file(want))
}
