package publish_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/publish"
)

func TestHostileRepository(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"symlink":         {map[string]string{file: "-> /etc/passwd"}, file + " is a symbolic link"},
		"symlink in":      {map[string]string{file: "-> other.example.net.yml"}, file + " is a symbolic link"},
		"directory":       {map[string]string{file + "/x": "a\n"}, file + " is not a regular file"},
		"large":           {map[string]string{file: strings.Repeat("#", mirrorsd.MaxSize+1)}, "more than the limit of 262144"},
		"linked dir":      {map[string]string{"mirrors.d": "-> /etc"}, "mirrors.d in AlmaLinux/mirrors is not a directory"},
		"not YAML":        {map[string]string{file: "name: [\n"}, "cannot update upstream's mirrors.d/fra1.example.org.yml: the file is not readable YAML"},
		"twice":           {map[string]string{file: "name: a\nname: b\n"}, `line 2: "name" is already set on line 1`},
		"anchors":         {map[string]string{file: "name: &a fra1.example.org\nx: *a\n"}, "has the YAML anchor"},
		"python":          {map[string]string{file: "name: !!python/object:os.system x\n"}, "has the YAML tag"},
		"deep":            {map[string]string{file: "a: " + strings.Repeat("[", 100000)}, "not readable YAML"},
		"someone's large": {map[string]string{"mirrors.d/huge.yml": strings.Repeat("a: b\n", 1<<18), "mirrors.d/link.yml": "-> /dev/zero"}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.commit(up, "master", "Hostile", c.files)
			if c.want == "" {
				w.publish(entry(), publish.Create)
				return
			}
			w.refuse(entry(), c.want)
			if posted := w.posted(); len(posted) != 0 {
				t.Errorf("requests: %q", posted)
			}
		})
	}
}

// TestHostileBranch has the same in the pull request's branch.
func TestHostileBranch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(entry(), publish.Create)
	w.commit(fork, branch, "Link", map[string]string{file: "-> /etc/passwd"})
	w.refuse(entry(), "branch "+branch, "is a symbolic link")
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := publish.Open(t.Context(), w.options)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", ".", "..", "../../etc/passwd", "a/../b", "/etc/passwd", "-x.example.org", "--upload-pack=x", "a..b", "a b", "a\nb", "$(touch pwn)", "a;b", "a`b`", "a\x00b", "é.example.org",
		strings.Repeat("a.", 200) + "org",
	} {
		e := with(func(f *mirrorsd.File) { f.Name = bad })
		if _, err := s.Plan(t.Context(), e); err == nil || !strings.Contains(err.Error(), "DNS host name") {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := s.Drift(t.Context(), e); err == nil && !strings.Contains(bad, "..") && len(bad) < 100 {
			t.Errorf("%q: no error of Drift", bad)
		}
	}
	c, err := s.Plan(t.Context(), with(func(f *mirrorsd.File) { f.Name = "Mirror.example.lock" }))
	if err != nil || c.Branch != "mirrorform/mirror.example.lock-mirror" {
		t.Errorf("%v %+v", err, c)
	}
}

func TestHostileAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"http://github.example.org/api/v3/":     "does not begin with https://",
		"https://me:hunter2@github.example.org": "contains a user name or password",
		"ext::sh -c whoami":                     "does not begin with https://",
		"file:///etc/passwd":                    "does not begin with https://",
		"https://":                              "has no host",
		"https://github.example.org/?a=b":       "has a query",
		"https://github.example.org/%zz":        "is not a valid URL",
		"--output=x":                            "does not begin with https://",
	} {
		_, err := publish.Open(t.Context(), publish.Options{APIURL: address})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", address, err)
		}
	}
	w := newWorld(t)
	for _, full := range []string{"mirrors", "a/b/c", "../x", "a/..", "-a/b", "a b/c", "a/b\n", "https://github.com/a/b", "a/b?x", "a/--output"} {
		for _, set := range []func(*publish.Options){func(o *publish.Options) { o.Fork = full }, func(o *publish.Options) { o.Upstream = full }} {
			o := w.options
			set(&o)
			if _, err := publish.Open(t.Context(), o); err == nil || full != "a/--output" && !strings.Contains(err.Error(), "OWNER/NAME") {
				t.Errorf("%q: %v", full, err)
			}
		}
	}
}

func TestFindToken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		api     string
		environ []string
		want    string // String, or a part of the error
	}{
		{"", []string{"GH_TOKEN=a", "GITHUB_TOKEN=b"}, "the token from $GH_TOKEN"},
		{"", []string{"GH_TOKEN=", "GITHUB_TOKEN=b", "GH_ENTERPRISE_TOKEN=c"}, "the token from $GITHUB_TOKEN"},
		{"https://ghe.example.org/api/v3/", []string{"GITHUB_TOKEN=b", "GITHUB_ENTERPRISE_TOKEN=c"}, "the token from $GITHUB_ENTERPRISE_TOKEN"},
		{"https://ghe.example.org/api/v3/", []string{"GITHUB_TOKEN=b"}, "the token from $GITHUB_TOKEN"},
		{"", []string{"GITHUB_TOKEN=hunter2\nX: y"}, "contains a space, a control character"},
		{"http://example.org", []string{"GITHUB_TOKEN=b"}, "does not begin with https"},
	} {
		token, err := publish.FindToken(t.Context(), c.environ, c.api)
		got := token.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || strings.Contains(got, "hunter2") || strings.Contains(fmt.Sprintf("%v %+v %#v", token, token, token), "hunter2") {
			t.Errorf("%q: %s", c.environ, got)
		}
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := publish.Open(ctx, w.options); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("got %v", err)
	}
}
