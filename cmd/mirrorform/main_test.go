package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/cli"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
	"github.com/mirrorform/mirrorform/internal/publish/githubtest"
	"github.com/mirrorform/mirrorform/internal/upstream"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(labMain{m}, map[string]func(){
		"mirrorform": func() { os.Exit(cli.MainOn(func() time.Time { return upstream.BuiltInDate })) },
	})
}

var update = flag.Bool("update", false, "write what commands printed into the scripts that compare it")

// TestScripts runs the command line as a user does, without a host: testdata/script.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		Setup:               setUp,
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": status, "repeat": repeat, "github": github, "serve": serve},
	})
}

// setUp gives a script a home of its own, and the environment that the program needs.
func setUp(env *testscript.Env) error {
	env.Setenv("HOME", env.WorkDir+"/home")
	env.Setenv("NO_COLOR", "1")
	env.Setenv("MIRRORFORM_OFFLINE", "1")
	env.Values[gitHubKey{}] = map[string]*githubtest.Server{}
	if err := os.Mkdir(env.WorkDir+"/home", 0o700); err != nil {
		return err
	}
	environ, err := labtest.Environ(env.WorkDir + "/home/.cache")
	env.Vars = append(env.Vars, environ...)
	return err
}

// status runs a program and checks its exit status: status N PROGRAM ARGUMENT…
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N PROGRAM ARGUMENT…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		exit, ok := err.(*exec.ExitError) //nolint:errorlint // testscript returns it as it is
		if !ok {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = fmt.Sprint(exit.ExitCode())
	}
	if got != args[0] {
		ts.Fatalf("%s: exit status %s, want %s", args[1], got, args[0])
	}
}

// repeat writes a file that holds text N times: repeat N TEXT FILE
func repeat(ts *testscript.TestScript, neg bool, args []string) {
	var n int
	if neg || len(args) != 3 {
		ts.Fatalf("usage: repeat N TEXT FILE")
	}
	if _, err := fmt.Sscan(args[0], &n); err != nil {
		ts.Fatalf("repeat: %v", err)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(strings.Repeat(args[1], n)), 0o644))
}
