package faults

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// demoUnit records in /run/demo.log which content of /etc/demo.conf it has loaded, and whether by
// start or reload.
const demoUnit = `[Service]
ExecStart=/bin/sh -c 'echo "start $$(cat /etc/demo.conf)" >>/run/demo.log; exec sleep infinity'
ExecReload=/bin/sh -c 'echo "reload $$(cat /etc/demo.conf)" >>/run/demo.log'
`

// small is a configuration whose change from one version to the other has a step of each kind:
// files that are replaced, created and removed, modes, links, directories, a crontab entry, and a
// service that loads a file. An apply takes well under a second.
func small(version string) string {
	mode, minute := "0600", "1"
	if version == "new" {
		mode, minute = "0640", "2"
	}
	return fmt.Sprintf(`
resource "file" "unit" {
  hosts   = [host.h]
  path    = "/etc/systemd/system/demo.service"
  content = file("demo.service")
}
resource "file" "conf" {
  hosts   = [host.h]
  path    = "/etc/demo.conf"
  content = "%[1]s\n"
}
resource "file" "mode" {
  hosts   = [host.h]
  path    = "/etc/demo.mode"
  content = "the same\n"
  mode    = %[2]q
}
resource "file" "only_%[1]s" {
  hosts   = [host.h]
  path    = "/etc/demo.only-%[1]s"
  content = "%[1]s\n"
}
resource "directory" "only_%[1]s" {
  hosts = [host.h]
  path  = "/srv/only-%[1]s"
  mode  = "0750"
}
resource "symlink" "current" {
  hosts  = [host.h]
  path   = "/srv/current"
  target = "/srv/only-%[1]s"
}
resource "cron" "demo" {
  hosts    = [host.h]
  name     = "demo"
  schedule = "%[3]s 0 1 1 *"
  command  = ["/bin/true", "%[1]s"]
}
resource "service" "demo" {
  hosts      = [host.h]
  name       = "demo"
  running    = true
  reload_on  = ["/etc/demo.conf"]
  depends_on = [file.unit]
}
`, version, mode, minute)
}

// smallPaths are the paths that small manages in all of its versions.
var smallPaths = []string{"/etc/systemd/system/demo.service", "/etc/demo.conf", "/etc/demo.mode", "/etc/demo.only-old", "/etc/demo.only-new",
	"/srv/only-old", "/srv/only-new", "/srv/current", "/etc/cron.d/demo"}

// smallSite makes a site for small on a host, applies the version "old", and returns the states of
// the files.
func smallSite(t testing.TB, h *lab.Host) (*site, states) {
	t.Helper()
	withCron(t, h)
	s := newSite(t, host{Host: h})
	s.write("demo.service", demoUnit)
	s.write("fleet.hcl", small("old"))
	s.apply().says(t, 0)
	return s, statesOf(t, h, smallPaths...)
}

// noDoubleLoad fails the test if a log with lines "start CONTENT" or "reload CONTENT" has a reload
// of unchanged content.
func noDoubleLoad(t testing.TB, log []string) {
	t.Helper()
	last := ""
	for _, line := range log {
		how, content, _ := strings.Cut(line, " ")
		if how == "reload" && content == last {
			t.Errorf("%q was loaded again without having changed: %q", content, log)
		}
		last = content
	}
}

// states are the states of paths on a host: kind, mode, owner, link target and digest of the
// content, by path.
type states map[string]string

// statesOf returns the states of paths on a host.
func statesOf(t testing.TB, h *lab.Host, paths ...string) states {
	t.Helper()
	script := `for f; do if [ -e "$f" ] || [ -L "$f" ]; then find "$f" -maxdepth 0 -printf '%p %y %m %u:%g %l '
if [ -f "$f" ] && [ ! -L "$f" ]; then sha256sum <"$f"; else echo; fi; else echo "$f absent"; fi; done`
	found := states{}
	for line := range strings.Lines(on(t, h, append([]string{"sh", "-c", script, "sh"}, paths...)...)) {
		path, state, _ := strings.Cut(strings.TrimSpace(line), " ")
		found[path] = strings.TrimSpace(state)
	}
	if len(found) != len(paths) {
		t.Fatalf("of %d paths on host %s there are %d", len(paths), h.Name, len(found))
	}
	return found
}

// same fails the test unless the states equal one of the given ones, and returns its index.
func (s states) same(t testing.TB, ones ...states) int {
	t.Helper()
	if i := slices.IndexFunc(ones, func(one states) bool { return maps.Equal(s, one) }); i >= 0 {
		return i
	}
	for _, path := range slices.Sorted(maps.Keys(s)) {
		t.Logf("%s is %q", path, s[path])
		for _, one := range ones {
			if one[path] != s[path] {
				t.Logf("  and not %q", one[path])
			}
		}
	}
	t.Errorf("the host's files are neither all as they were nor all as they should be")
	return -1
}

// equal reports whether both states are equal.
func (s states) equal(other states) bool { return maps.Equal(s, other) }

// wholly fails the test if the state of a path is in none of the given states.
func (s states) wholly(t testing.TB, ones ...states) {
	t.Helper()
	for path, state := range s {
		if !slices.ContainsFunc(ones, func(one states) bool { return one[path] == state }) {
			t.Errorf("%s is %q, which is neither old nor new", path, state)
		}
	}
}

// other returns the other version of small.
func other(version string) string {
	if version == "old" {
		return "new"
	}
	return "old"
}

// shards runs a test on several hosts in parallel, each with a part of the numbers.
func shards(t *testing.T, hosts int, numbers []int, run func(t *testing.T, numbers []int)) {
	parts := make([][]int, min(hosts, len(numbers)))
	for i, n := range numbers {
		parts[i%len(parts)] = append(parts[i%len(parts)], n)
	}
	for i, part := range parts {
		t.Run(fmt.Sprint("host", i+1), func(t *testing.T) {
			t.Parallel()
			run(t, part)
		})
	}
}

// debPackage is a package for tests, with maintainer scripts.
type debPackage struct {
	name    string
	arch    string            // "all" when empty
	fields  string            // more lines of its control file
	scripts map[string]string // "postinst" and so on
}

// offer builds packages on a host, and an apt repository with them.
func offer(t testing.TB, h *lab.Host, packages ...debPackage) {
	t.Helper()
	const repo = "/opt/faults"
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		arch := cmp.Or(p.arch, "all")
		tree := filepath.Join(t.TempDir(), "tree")
		files := map[string]string{
			"DEBIAN/control": "Package: " + p.name + "\nVersion: 1.0\nArchitecture: " + arch + "\nMaintainer: mirrorform <mirrorform@example.org>\n" +
				p.fields + "Description: a package for the tests of mirrorform\n",
			"usr/share/" + p.name + "/data-" + arch: "data\n",
		}
		for script, text := range p.scripts {
			files["DEBIAN/"+script] = text
		}
		for name, text := range files {
			path := filepath.Join(tree, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		local(t, "", "dpkg-deb", "--root-owner-group", "--build", tree, filepath.Join(dir, p.name+"_1.0_"+arch+".deb"))
	}
	index := local(t, dir, "dpkg-scanpackages", "--multiversion", ".")
	if err := os.WriteFile(filepath.Join(dir, "Packages"), []byte(index), 0o644); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		put(t, h, repo+"/"+e.Name(), string(data), 0o644)
	}
	put(t, h, "/etc/apt/sources.list.d/faults.list", "deb [trusted=yes] file:"+repo+" ./\n", 0o644)
	on(t, h, "apt-get", "-q", "update")
}

// local runs a program on this machine and returns its standard output.
func local(t testing.TB, dir string, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, stderr.String())
	}
	return string(out)
}

// waiting is a maintainer script that reports that it is running, then waits until it is released.
const waiting = "#!/bin/sh\nset -e\n[ \"$1\" = configure ] || exit 0\n[ ! -e /run/wait ] || { touch /run/waiting; while [ -e /run/wait ]; do sleep 0.1; done; }\n"

// hold makes the scripts of waiting wait. letGo releases them.
func hold(t testing.TB, h *lab.Host) (reached, letGo func()) {
	t.Helper()
	on(t, h, "rm", "-f", "/run/waiting")
	on(t, h, "touch", "/run/wait")
	return func() {
			t.Helper()
			eventually(t, "the maintainer's script to run", func() bool { return succeeds(h, "test -e /run/waiting") })
		}, func() {
			t.Helper()
			on(t, h, "rm", "-f", "/run/wait")
		}
}
