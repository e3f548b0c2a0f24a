package main

import (
	"cmp"
	"errors"
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
//   - actions/checkout clones $WORK/origin.git, as deep as it should, to another directory for each job, which is the working directory of its steps;
//   - actions/setup-go and actions/cache do nothing;
//   - actions/upload-artifact copies to $WORK/artifacts/NAME, and actions/download-artifact from there;
//   - the action of this repository is run from its action.yml. It downloads a release of a server of this test, whose program is the mirrorform under test;
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
	work   string            // $WORK; steps run in a clone below it
	values map[string]string // of expressions: github.ref, steps.drift.outputs.status, secrets.NAME
	env    map[string]string // that steps gave later ones
	failed bool
	log    strings.Builder
}

// workflow runs a job of a workflow: workflow SYSTEM/FILE JOB [NAME=VALUE]…. NAME is what expressions call it: secrets.MIRRORFORM_SSH_KEY, github.sha; a
// VALUE that begins with @ is the content of a file. What was printed is in job.log, summaries are in summary.md, outputs in JOB.NAME.
func workflow(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: workflow SYSTEM/FILE JOB [NAME=VALUE]…")
	}
	var file struct {
		Jobs map[string]struct {
			If      string
			Outputs map[string]string
			Steps   []actionStep
		}
	}
	readYAML(ts, filepath.Join(ciExamples, filepath.FromSlash(args[0])), &file)
	j := newJob(ts, args[2:])
	wanted, ok := file.Jobs[args[1]]
	if !ok || len(wanted.Steps) == 0 {
		ts.Fatalf("%s has no job %s with steps", args[0], args[1])
	}
	if wanted.If != "" && !j.condition(wanted.If) {
		ts.Fatalf("job %s would not run: %s", args[1], wanted.If)
	}
	for i := range wanted.Steps {
		j.step(&wanted.Steps[i])
	}
	for name, value := range wanted.Outputs {
		ts.Check(os.WriteFile(j.path(args[1]+"."+name), []byte(j.expand(value)+"\n"), 0o600))
	}
	if pid := j.env["SSH_AGENT_PID"]; pid != "" {
		ts.Check(ts.Exec("kill", pid)) // as a runner does at the end of a job
	}
	j.end(j.failed, neg)
}

// newJob prepares a job of a workflow, with values of expressions.
func newJob(ts *testscript.TestScript, values []string) *job {
	j := &job{ts: ts, work: ts.Getenv("WORK"), env: map[string]string{}, values: map[string]string{
		"github.token": "gh-token", "github.repository": "o/r", "github.ref_name": "main", "github.actor": "somebody",
		"github.server_url": "https://forge.example.org", "github.api_url": "https://forge.example.org/api/v1", "runner.os": "Linux", "runner.arch": "X64",
	}}
	for _, value := range values {
		name, value, _ := strings.Cut(value, "=")
		if from, ok := strings.CutPrefix(value, "@"); ok {
			value = strings.TrimSpace(ts.ReadFile(from))
		}
		j.values[name] = value
	}
	for name, value := range j.values {
		if variable, ok := strings.CutPrefix(name, "github."); ok && !strings.Contains(variable, ".") {
			j.setenv("GITHUB_"+strings.ToUpper(variable), value)
		}
	}
	for name, file := range map[string]string{"GITHUB_OUTPUT": "output", "GITHUB_ENV": "env", "GITHUB_PATH": "path", "GITHUB_STEP_SUMMARY": "summary.md"} {
		j.setenv(name, j.path(file))
		ts.Check(os.WriteFile(j.path(file), nil, 0o600))
	}
	j.values["runner.temp"] = j.path("runner")
	j.setenv("RUNNER_TEMP", j.path("runner"))
	ts.Check(os.RemoveAll(j.path("runner")))
	ts.Check(os.Mkdir(j.path("runner"), 0o700))
	return j
}

// path is the absolute path of a file of the script.
func (j *job) path(name string) string { return filepath.Join(j.work, name) }

// end restores the environment and the directory of the script.
func (j *job) end(failed, neg bool) {
	for name := range j.env {
		if name != "PATH" {
			j.ts.Setenv(name, "")
		}
	}
	if path := j.values["test.path"]; path != "" {
		j.ts.Setenv("PATH", path)
	}
	j.ts.Check(j.ts.Chdir(j.work))
	j.ts.Check(os.WriteFile(j.path("job.log"), []byte(j.log.String()), 0o600))
	if failed != neg {
		j.ts.Fatalf("the job failed: %t; it printed\n%s", failed, j.log.String())
	}
}

// checkout clones the repository of the script to a new directory, with as many commits as wanted (0: all), and continues there.
func (j *job) checkout(ref, depth string) {
	jobs, err := filepath.Glob(j.path("jobs/*"))
	j.ts.Check(err)
	dir := j.path(fmt.Sprintf("jobs/%d/r", len(jobs)))
	j.ts.Check(os.MkdirAll(dir, 0o700))
	j.ts.Check(j.ts.Chdir(dir))
	fetch := []string{"fetch", "-q"}
	if depth != "0" {
		fetch = append(fetch, "--depth="+cmp.Or(depth, "1"))
	}
	at := []string{"checkout", "-q", "-B", j.values["github.ref_name"], "FETCH_HEAD"}
	if ref != "" {
		at = []string{"checkout", "-q", "--detach", "FETCH_HEAD"}
	}
	for _, args := range [][]string{{"init", "-q"}, {"remote", "add", "origin", "file://" + j.path("origin.git")}, append(fetch, "origin", cmp.Or(ref, j.values["github.sha"])), at} {
		j.ts.Check(j.ts.Exec("/usr/bin/git", args...))
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
	if !ok && !strings.HasPrefix(expression, "steps.") { // a step that did not run has no outputs
		j.ts.Fatalf("there is no value for ${{ %s }}", expression)
	}
	return value
}

// condition evaluates what the examples have as conditions: comparisons with && between them.
func (j *job) condition(text string) bool {
	for part := range strings.SplitSeq(text, "&&") {
		part = strings.TrimSpace(part)
		if slices.Contains(whenFailed, part) {
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

// whenFailed are conditions of steps that run after a failed one, too.
var whenFailed = []string{"always()", "!cancelled()"}

func (j *job) step(s *actionStep) {
	runs := func(when string) bool { return strings.Contains(s.If, when) }
	if j.failed && !slices.ContainsFunc(whenFailed, runs) || s.If != "" && !j.condition(s.If) {
		return
	}
	if s.Uses == "" {
		j.run(s)
		return
	}
	name, version, _ := strings.Cut(s.Uses, "@")
	name = strings.TrimPrefix(name, "https://github.com/")
	if !strings.HasPrefix(name, "mirrorform/") && !pinned.MatchString(version) {
		j.ts.Fatalf("%s is not pinned to a commit", s.Uses)
	}
	switch name {
	case "actions/checkout":
		j.checkout(j.expand(s.With["ref"]), s.With["fetch-depth"])
	case "actions/setup-go":
	case "actions/cache":
		j.expand(s.With["key"])
	case "actions/upload-artifact":
		j.upload(s)
	case "actions/download-artifact":
		from := j.path("artifacts/" + j.expand(s.With["name"]))
		j.ts.Check(os.CopyFS(j.expand(s.With["path"]), os.DirFS(from)))
	case "mirrorform/mirrorform/.github/actions/setup-mirrorform":
		j.composite(s)
	default:
		j.ts.Fatalf("this test does not know the action %s", s.Uses)
	}
}

// pinned is a full commit.
var pinned = regexp.MustCompile(`^[0-9a-f]{40}$`)

// setupAction is the directory of this repository's action.
const setupAction = "../../.github/actions/setup-mirrorform"

// composite runs the steps of this repository's action.
func (j *job) composite(s *actionStep) {
	var action struct {
		Inputs map[string]struct{ Default string }
		Runs   struct{ Steps []actionStep }
	}
	readYAML(j.ts, filepath.Join(setupAction, "action.yml"), &action)
	for name, input := range action.Inputs {
		j.values["inputs."+name] = input.Default
	}
	for name, value := range s.With {
		if _, ok := action.Inputs[name]; !ok {
			j.ts.Fatalf("the action has no input %s", name)
		}
		j.values["inputs."+name] = j.expand(value)
	}
	release := newRelease(j.ts, j.ts.Getenv("PATH"))
	defer release.Close()
	j.values["inputs.version"], j.values["inputs.releases"] = releaseVersion, release.URL
	dir, err := filepath.Abs(setupAction)
	j.ts.Check(err)
	j.setenv("GITHUB_ACTION_PATH", dir)
	for i := range action.Runs.Steps {
		j.step(&action.Runs.Steps[i])
	}
}

// upload copies the files of an artifact.
func (j *job) upload(s *actionStep) {
	dir := j.path("artifacts/" + j.expand(s.With["name"]))
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
	if dirs := strings.Fields(j.ts.ReadFile(j.env["GITHUB_PATH"])); len(dirs) > 0 {
		if j.values["test.path"] == "" {
			j.values["test.path"] = j.ts.Getenv("PATH")
		}
		j.ts.Setenv("PATH", strings.Join(append(dirs, j.values["test.path"]), ":"))
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
	j.ts.Check(os.WriteFile(j.path("step.sh"), []byte(script), 0o600))
	err := j.ts.Exec("bash", append(slices.Clone(flags), j.path("step.sh"))...)
	fmt.Fprintf(&j.log, "%s%s", j.ts.ReadFile("stdout"), j.ts.ReadFile("stderr"))
	return err == nil
}

// pipeline runs a job of the example for GitLab in a new clone: pipeline JOB [VARIABLE=VALUE]…. CI_COMMIT_SHA is the commit. The job's artifacts are copied
// to artifacts/JOB, and those of the jobs that it needs are there when it starts.
func pipeline(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: pipeline JOB [VARIABLE=VALUE]…")
	}
	var file map[string]yaml.Node
	var base struct {
		BeforeScript []string `yaml:"before_script"`
	}
	var wanted struct {
		Script    []string
		Needs     []string
		Artifacts struct {
			Paths   []string
			Reports map[string]string
		}
	}
	readYAML(ts, filepath.Join(ciExamples, "gitlab", "gitlab-ci.yml"), &file)
	for name, into := range map[string]any{"default": &base, args[0]: &wanted} {
		node := file[name]
		ts.Check(node.Decode(into))
	}
	if len(base.BeforeScript) == 0 || len(wanted.Script) == 0 {
		ts.Fatalf("there is no job %s with a script", args[0])
	}
	j := &job{ts: ts, work: ts.Getenv("WORK"), env: map[string]string{}, values: map[string]string{"github.ref_name": "main"}}
	release := newRelease(ts, ts.Getenv("PATH"))
	defer release.Close()
	for _, arg := range append(args[1:], "CI_COMMIT_BRANCH=main", "MIRRORFORM_COMMIT=main", "MIRRORFORM_RELEASES="+release.URL, "MIRRORFORM_VERSION="+releaseVersion) {
		name, value, _ := strings.Cut(arg, "=")
		if from, ok := strings.CutPrefix(value, "@"); ok {
			value = strings.TrimSpace(ts.ReadFile(from))
		}
		j.setenv(name, value)
	}
	j.values["github.sha"] = cmp.Or(j.env["CI_COMMIT_SHA"], "main")
	j.checkout("", "0")
	dir := ts.MkAbs(".")
	for _, need := range wanted.Needs {
		ts.Check(copyOver(j.path("artifacts/"+need), dir))
	}
	// GitLab's shell executor runs both in one shell that stops at errors. The container's end would be the agent's.
	script := append([]string{`trap 'test -z "${SSH_AGENT_PID:-}" || kill "$SSH_AGENT_PID"' EXIT`}, append(base.BeforeScript, wanted.Script...)...)
	ok := j.bash([]string{"-eo", "pipefail"}, strings.Join(script, "\n"))
	ts.Check(os.RemoveAll(j.path("artifacts/" + args[0])))
	ts.Check(os.MkdirAll(j.path("artifacts/"+args[0]), 0o700))
	for _, path := range append(wanted.Artifacts.Paths, slices.Collect(maps.Values(wanted.Artifacts.Reports))...) {
		if text, err := os.ReadFile(filepath.Join(dir, path)); err == nil {
			ts.Check(os.WriteFile(j.path("artifacts/"+args[0]+"/"+path), text, 0o600))
		}
	}
	j.end(!ok, neg)
}

// copyOver copies the files of a directory to another one.
func copyOver(from, to string) error {
	entries, err := os.ReadDir(from)
	for _, e := range entries {
		text, readErr := os.ReadFile(filepath.Join(from, e.Name()))
		err = errors.Join(err, readErr, os.WriteFile(filepath.Join(to, e.Name()), text, 0o600))
	}
	return err
}
