package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"gopkg.in/yaml.v3"
)

// The examples for CI are run as far as that is possible without a CI system: the commands in them, in their order, with the conditions and values that
// the system would give them. What stands in for the rest:
//
//   - actions/checkout, actions/setup-go and actions/cache do nothing: the working directory is a clone already;
//   - actions/upload-artifact copies to $WORK/artifacts/NAME;
//   - the action of this repository is run from its action.yml; make, which builds mirrorform there, is a program of the script that builds nothing, since
//     the mirrorform under test is in PATH;
//   - gh, curl and apt-get are programs of the script.

// ciExamples is where the examples are.
const ciExamples = "../../examples/ci"

// actionStep is a step of a job, or of a composite action.
type actionStep struct {
	ID    string
	Name  string
	Uses  string
	Run   string
	If    string
	Shell string
	With  map[string]string
	Env   map[string]string
}

// job is a job under way.
type job struct {
	ts     *testscript.TestScript
	values map[string]string // of expressions: github.ref, steps.drift.outputs.status, secrets.NAME
	env    map[string]string // that steps gave later ones
	failed bool
	log    strings.Builder
}

// workflow runs a job of a workflow for GitHub Actions: workflow FILE JOB [NAME=VALUE]…. NAME is what expressions call it: secrets.MIRRORFORM_SSH_KEY,
// github.sha; a VALUE that begins with @ is the content of a file. What was printed is in job.log, summaries are in summary.md.
func workflow(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: workflow FILE JOB [NAME=VALUE]…")
	}
	var file struct {
		Jobs map[string]struct {
			If    string
			Steps []actionStep
		}
	}
	readYAML(ts, filepath.Join(ciExamples, "github", args[0]), &file)
	j := &job{ts: ts, env: map[string]string{}, values: map[string]string{"github.token": "gh-token", "runner.os": "Linux", "runner.arch": "X64"}}
	for _, arg := range args[2:] {
		name, value, _ := strings.Cut(arg, "=")
		if from, ok := strings.CutPrefix(value, "@"); ok {
			value = strings.TrimSpace(ts.ReadFile(from))
		}
		j.values[name] = value
		if variable, ok := strings.CutPrefix(name, "github."); ok {
			j.setenv("GITHUB_"+strings.ToUpper(variable), value)
		}
	}
	wanted, ok := file.Jobs[args[1]]
	if !ok || len(wanted.Steps) == 0 {
		ts.Fatalf("%s has no job %s with steps", args[0], args[1])
	}
	if wanted.If != "" && !j.condition(wanted.If) {
		ts.Fatalf("job %s would not run: %s", args[1], wanted.If)
	}
	for name, file := range map[string]string{"GITHUB_OUTPUT": "output", "GITHUB_ENV": "env", "GITHUB_PATH": "path", "GITHUB_STEP_SUMMARY": "summary.md"} {
		j.setenv(name, ts.MkAbs(file))
		ts.Check(os.WriteFile(ts.MkAbs(file), nil, 0o600))
	}
	j.setenv("RUNNER_TEMP", ts.MkAbs("runner"))
	ts.Check(os.RemoveAll(ts.MkAbs("runner")))
	ts.Check(os.Mkdir(ts.MkAbs("runner"), 0o700))
	for i := range wanted.Steps {
		j.step(&wanted.Steps[i])
	}
	if pid := j.env["SSH_AGENT_PID"]; pid != "" {
		ts.Check(ts.Exec("kill", pid)) // as a runner does at the end of a job
	}
	for name := range j.env {
		ts.Setenv(name, "")
	}
	ts.Check(os.WriteFile(ts.MkAbs("job.log"), []byte(j.log.String()), 0o600))
	if j.failed != neg {
		ts.Fatalf("the job failed: %t; it printed\n%s", j.failed, j.log.String())
	}
}

// setenv sets a variable until the end of the job.
func (j *job) setenv(name, value string) {
	j.env[name] = value
	j.ts.Setenv(name, value)
}

func readYAML(ts *testscript.TestScript, name string, into any) {
	text, err := os.ReadFile(name)
	ts.Check(err)
	ts.Check(yaml.Unmarshal(text, into))
}

var expressionMark = regexp.MustCompile(`\$\{\{\s*([^}]*?)\s*\}\}`)

// expand puts values in place of expressions.
func (j *job) expand(text string) string {
	return expressionMark.ReplaceAllStringFunc(text, func(mark string) string {
		return j.value(expressionMark.FindStringSubmatch(mark)[1])
	})
}

// value is the value of a name or a string. A name that nobody has set is a mistake, in the workflow or in the script.
func (j *job) value(expression string) string {
	expression = strings.TrimSpace(expression)
	if strings.HasPrefix(expression, "'") {
		return strings.Trim(expression, "'")
	}
	if name, ok := strings.CutPrefix(expression, "env."); ok {
		return j.env[name]
	}
	value, ok := j.values[expression]
	if !ok {
		j.ts.Fatalf("there is no value for ${{ %s }}", expression)
	}
	return value
}

// condition evaluates what the examples have as conditions: comparisons with && between them.
func (j *job) condition(text string) bool {
	for part := range strings.SplitSeq(text, "&&") {
		part = strings.TrimSpace(part)
		if part == "always()" {
			continue
		}
		left, right, unequal := strings.Cut(part, "!=")
		if !unequal {
			var equal bool
			if left, right, equal = strings.Cut(part, "=="); !equal {
				j.ts.Fatalf("this test does not know the condition %q", part)
			}
		}
		if (j.value(left) == j.value(right)) == unequal {
			return false
		}
	}
	return true
}

func (j *job) step(s *actionStep) {
	if j.failed && !strings.Contains(s.If, "always()") || s.If != "" && !j.condition(s.If) {
		return
	}
	if s.Uses == "" {
		j.run(s)
		return
	}
	name, _, _ := strings.Cut(s.Uses, "@")
	switch name {
	case "actions/checkout", "actions/setup-go":
	case "actions/cache":
		j.expand(s.With["key"])
	case "actions/upload-artifact":
		j.upload(s)
	case "mirrorform/mirrorform/examples/ci/action":
		j.composite(s)
	default:
		j.ts.Fatalf("this test does not know the action %s", s.Uses)
	}
}

// composite runs the steps of this repository's action.
func (j *job) composite(s *actionStep) {
	var action struct {
		Inputs map[string]struct{ Default string }
		Runs   struct{ Steps []actionStep }
	}
	readYAML(j.ts, filepath.Join(ciExamples, "action", "action.yml"), &action)
	for name, input := range action.Inputs {
		j.values["inputs."+name] = input.Default
	}
	for name, value := range s.With {
		if _, ok := action.Inputs[name]; !ok {
			j.ts.Fatalf("the action has no input %s", name)
		}
		j.values["inputs."+name] = j.expand(value)
	}
	j.setenv("GITHUB_ACTION_PATH", filepath.Join(j.ts.Getenv("CI_EXAMPLES"), "action"))
	for i := range action.Runs.Steps {
		j.step(&action.Runs.Steps[i])
	}
}

// upload copies the files of an artifact.
func (j *job) upload(s *actionStep) {
	dir := j.ts.MkAbs("artifacts/" + j.expand(s.With["name"]))
	j.ts.Check(os.RemoveAll(dir))
	j.ts.Check(os.MkdirAll(dir, 0o700))
	for path := range strings.FieldsSeq(s.With["path"]) {
		text, err := os.ReadFile(j.ts.MkAbs(path))
		if os.IsNotExist(err) && s.With["if-no-files-found"] != "error" {
			continue
		}
		j.ts.Check(err)
		j.ts.Check(os.WriteFile(filepath.Join(dir, filepath.Base(path)), text, 0o600))
	}
}

// run runs a step's commands as a runner does.
func (j *job) run(s *actionStep) {
	if strings.Contains(s.Run, "${{") {
		j.ts.Fatalf("an expression in a script is text for the shell: %s", s.Run)
	}
	for name, value := range s.Env {
		j.ts.Setenv(name, j.expand(value))
	}
	flags := []string{"-e"}
	if s.Shell == "bash" {
		flags = []string{"--noprofile", "--norc", "-eo", "pipefail"}
	}
	j.failed = !j.bash(flags, s.Run) || j.failed
	for name := range s.Env {
		j.ts.Setenv(name, "")
	}
	for name, value := range j.taken("GITHUB_ENV") {
		j.setenv(name, value)
	}
	for name, value := range j.taken("GITHUB_OUTPUT") {
		j.values["steps."+s.ID+".outputs."+name] = value
	}
}

// taken reads and empties a file of NAME=VALUE lines.
func (j *job) taken(variable string) map[string]string {
	text, err := os.ReadFile(j.env[variable])
	j.ts.Check(err)
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok {
			j.ts.Fatalf("%s has the line %q", variable, line)
		}
		values[name] = value
	}
	j.ts.Check(os.WriteFile(j.env[variable], nil, 0o600))
	return values
}

// bash runs a script, and keeps what it prints.
func (j *job) bash(flags []string, script string) bool {
	j.ts.Check(os.WriteFile(j.ts.MkAbs("step.sh"), []byte(script), 0o600))
	err := j.ts.Exec("bash", append(slices.Clone(flags), j.ts.MkAbs("step.sh"))...)
	fmt.Fprintf(&j.log, "%s%s", j.ts.ReadFile("stdout"), j.ts.ReadFile("stderr"))
	return err == nil
}

// pipeline runs a job of the example for GitLab: pipeline JOB [VARIABLE=VALUE]…. Its artifacts are copied to artifacts/JOB.
func pipeline(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: pipeline JOB [VARIABLE=VALUE]…")
	}
	type gitlabJob struct {
		Script    []string
		Artifacts struct {
			Paths   []string
			Reports map[string]string
		}
	}
	var file map[string]yaml.Node
	var base struct {
		BeforeScript []string `yaml:"before_script"`
	}
	var wanted gitlabJob
	readYAML(ts, filepath.Join(ciExamples, "gitlab", "gitlab-ci.yml"), &file)
	for name, into := range map[string]any{"default": &base, args[0]: &wanted} {
		node := file[name]
		ts.Check(node.Decode(into))
	}
	if len(base.BeforeScript) == 0 || len(wanted.Script) == 0 {
		ts.Fatalf("there is no job %s with a script", args[0])
	}
	j := &job{ts: ts, env: map[string]string{}}
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		j.setenv(name, value)
	}
	// GitLab's shell executor runs both in one shell that stops at errors. The container's end would be the agent's.
	script := append([]string{`trap 'test -z "${SSH_AGENT_PID:-}" || kill "$SSH_AGENT_PID"' EXIT`}, append(base.BeforeScript, wanted.Script...)...)
	ok := j.bash([]string{"-eo", "pipefail"}, strings.Join(script, "\n"))
	for _, path := range append(wanted.Artifacts.Paths, slices.Collect(maps.Values(wanted.Artifacts.Reports))...) {
		text, err := os.ReadFile(ts.MkAbs(path))
		if err != nil {
			continue
		}
		ts.Check(os.MkdirAll(ts.MkAbs("artifacts/"+args[0]), 0o700))
		ts.Check(os.WriteFile(ts.MkAbs("artifacts/"+args[0]+"/"+path), text, 0o600))
	}
	for name := range j.env {
		ts.Setenv(name, "")
	}
	ts.Check(os.WriteFile(ts.MkAbs("job.log"), []byte(j.log.String()), 0o600))
	if ok == neg {
		ts.Fatalf("the job succeeded: %t; it printed\n%s", ok, j.log.String())
	}
}
