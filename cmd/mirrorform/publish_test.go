package main

import (
	"os"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mirrorform/mirrorform/internal/publish/githubtest"
)

// gitHubKey is the key of a script's *githubtest.Server.
type gitHubKey struct{}

// github is a GitHub of the script's own, with AlmaLinux/mirrors and its fork me/mirrors:
//
//	github start                        its API is at $GITHUB_API, its repositories are in $GITHUB_ROOT
//	github commit REPO BRANCH FILE TEXT commit a file to a branch
//	github cat REPO BRANCH FILE         print a file of a branch
//	github merge NUMBER                 merge a pull request
//	github close NUMBER                 close a pull request without merging it
//	github unfork                       remove the fork
//	github pulls                        print the pull requests
func github(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: github start|commit|cat|merge|close|unfork|pulls …")
	}
	if args[0] == "start" {
		root := ts.MkAbs("github")
		ts.Check(os.MkdirAll(root, 0o755))
		s, err := githubtest.Start(root)
		ts.Check(err)
		ts.Defer(s.Close)
		ts.Setenv("GITHUB_API", s.URL+"/")
		ts.Setenv("GITHUB_ROOT", root)
		servers := ts.Value(gitHubKey{}).(map[string]*githubtest.Server)
		servers[""] = s
		return
	}
	s := ts.Value(gitHubKey{}).(map[string]*githubtest.Server)[""]
	switch {
	case s == nil:
		ts.Fatalf("github start comes first")
	case args[0] == "commit" && len(args) == 5:
		ts.Check(s.Commit(args[1], args[2], "A reviewer's commit", map[string]string{args[3]: ts.ReadFile(args[4])}))
	case args[0] == "cat" && len(args) == 4:
		out, err := s.Git(s.Dir(args[1]), "show", args[2]+":"+args[3])
		ts.Check(err)
		_, _ = ts.Stdout().Write([]byte(out + "\n"))
	case args[0] == "merge" && len(args) == 2:
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		ts.Check(s.Merge(n))
	case args[0] == "close" && len(args) == 2:
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		s.Edit(n, func(p *githubtest.Pull) { p.State = "closed" })
	case args[0] == "unfork" && len(args) == 1:
		s.Remove(githubtest.Login + "/mirrors")
		ts.Check(os.RemoveAll(s.Dir(githubtest.Login + "/mirrors")))
	case args[0] == "pulls" && len(args) == 1:
		var b strings.Builder
		for _, p := range s.Pulls() {
			b.WriteString(strings.Join([]string{strconv.Itoa(p.Number), p.State, p.HeadRepo, p.HeadRef, p.Title}, " ") + "\n")
		}
		_, _ = ts.Stdout().Write([]byte(b.String()))
	default:
		ts.Fatalf("github: %q", args)
	}
}
