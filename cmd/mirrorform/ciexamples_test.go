package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestWorkflows has what a run of the examples' commands cannot show: actions are pinned, and nothing keeps a workflow from running or drops a run of it.
func TestWorkflows(t *testing.T) {
	t.Parallel()
	var files []string
	for _, pattern := range []string{ciExamples + "/github/*.yml", ciExamples + "/forgejo/*.yml", "../../.github/workflows/*.yml", setupAction + "/action.yml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	uses := regexp.MustCompile(`(?m)^\s*-? uses: (.*)$`)
	commit := regexp.MustCompile(`^\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range uses.FindAllStringSubmatch(string(text), -1) {
			if own := strings.Contains(m[1], "mirrorform/mirrorform/.github/actions/setup-mirrorform@main # pin it"); !own && !commit.MatchString(m[1]) {
				t.Errorf("%s uses %s, which is not a commit with its version", file, m[1])
			}
		}
		var workflow struct {
			On          yaml.Node
			Concurrency struct {
				Cancel bool `yaml:"cancel-in-progress"`
			}
		}
		if err := yaml.Unmarshal(text, &workflow); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		on, err := yaml.Marshal(&workflow.On)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(on), "paths") {
			t.Errorf("%s has a filter of paths: a required check would wait forever", file)
		}
		switch filepath.Base(file) {
		case "apply.yml":
			if strings.Contains(string(text), "\nconcurrency:") || strings.Contains(string(text), "    concurrency:") {
				t.Errorf("%s has a concurrency: a waiting run would be dropped, and its merge not applied", file)
			}
		case "drift.yml":
			if workflow.Concurrency.Cancel {
				t.Errorf("%s ends runs", file)
			}
		}
	}
}
