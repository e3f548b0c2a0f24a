package upstream

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBuiltIn counts what the service asks mirrors for, and looks at a few of the paths.
func TestBuiltIn(t *testing.T) {
	t.Parallel()
	s := BuiltIn()
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	repodata, kitten, isos := s.Repodata(), s.ModuleRepodata("kitten"), s.ISOs()
	if len(repodata) != 136 || len(kitten) != 15 || len(isos) != (4+4+5)*7 {
		t.Errorf("%d repositories, %d of Kitten, %d ISO files", len(repodata), len(kitten), len(isos))
	}
	for list, paths := range map[*[]string][]string{
		&repodata: {"8.10/PowerTools/s390x/os/repodata/repomd.xml", "10.2/BaseOS/x86_64_v2/os/repodata/repomd.xml", "8.10/raspberrypi/aarch64/os/repodata/repomd.xml"},
		&kitten:   {"10-kitten/extras-common/x86_64_v2/os/repodata/repomd.xml"},
		&isos:     {"9.8/isos/ppc64le/AlmaLinux-9.8-ppc64le-minimal.iso.manifest", "8.10/isos/x86_64/CHECKSUM"},
	} {
		for _, p := range paths {
			if !slices.Contains(*list, p) {
				t.Errorf("%s is not asked for", p)
			}
		}
	}
	for _, p := range []string{"8/BaseOS/x86_64/os/repodata/repomd.xml", "10.2/RT/aarch64/os/repodata/repomd.xml", "9.8/PowerTools/x86_64/os/repodata/repomd.xml"} {
		if slices.Contains(repodata, p) {
			t.Errorf("%s is asked for", p)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(repodata)))) != len(repodata) {
		t.Error("a path is there twice")
	}
}

// TestUpstreamConfig compares what is built in with upstream's file, which a developer may keep as DIRECTORY/data/almalinux-mirrors beside the module.
// The file is under the GPL, so this repository has no copy.
func TestUpstreamConfig(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	pattern := filepath.Join(filepath.Dir(root), "*", "data", "almalinux-mirrors", "config.yml")
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Skipf("no checkout of github.com/AlmaLinux/mirrors: %s", pattern)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseService(data)
	if err != nil {
		t.Fatal(err)
	}
	if want := BuiltIn(); !reflect.DeepEqual(got, want) {
		t.Errorf("upstream has\n%+v\nbuilt in is\n%+v", got, want)
	}
}

const config = `
allowed_outdate: 1d
mirrors_dir: mirrors.d
versions: [9, 9.10, "10.2"]
duplicated_versions: {9: 9.10}
arches: {9: [x86_64], 10: [x86_64, aarch64]}
required_protocols: [http, https]
repos:
  - name: baseos
    path: BaseOS/$basearch/os/
  - name: baseos-source
    path: BaseOS/Source/
    vault: true
`

func TestParseService(t *testing.T) {
	t.Parallel()
	s, err := ParseService([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"9.10/BaseOS/x86_64/os/repodata/repomd.xml", "10.2/BaseOS/x86_64/os/repodata/repomd.xml", "10.2/BaseOS/aarch64/os/repodata/repomd.xml"}
	if got := s.Repodata(); !slices.Equal(got, want) || s.AllowedOutdate != 24*time.Hour {
		t.Errorf("got %q, %v", got, s.AllowedOutdate)
	}
	for name, test := range map[string]struct{ old, new, want string }{
		"age":          {"1d", "soon", `allowed_outdate: "soon" is not a duration; write a number and m, h or d, such as 12h`},
		"no age":       {"allowed_outdate: 1d", "", "allowed_outdate"},
		"arches":       {"10: [x86_64, aarch64]", "11: [x86_64]", `versions: "10.2" has no entry in arches`},
		"protocols":    {"[http, https]", "[ftp]", "neither http nor https"},
		"nothing":      {`versions: [9, 9.10, "10.2"]`, "versions: []", "asked for nothing"},
		"path":         {"BaseOS/$basearch/os/", "../../etc", "cannot be the path of a file"},
		"query":        {"BaseOS/$basearch/os/", "BaseOS/os?x", "cannot be the path of a file"},
		"architecture": {"[x86_64, aarch64]", `["x86_64\e[2J"]`, "cannot be the path of a file"},
		"type":         {"versions: [9,", "versions: [{},", "must be a plain value"},
		"YAML":         {"repos:", "repos: [", "not a config.yml"},
		"page":         {config, "<html>404</html>", "not a config.yml"},
		"size":         {"repos:", "# " + strings.Repeat("x", MaxServiceSize) + "\nrepos:", "more than the limit"},
		"many":         {"aarch64]", strings.Repeat("a, ", maxProbes) + "b]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(config, test.old) {
				t.Fatalf("no %q in the file", test.old)
			}
			got, err := ParseService([]byte(strings.ReplaceAll(config, test.old, test.new)))
			if name == "many" { // the same path many times is one
				if err != nil || len(got.Repodata()) != 4 {
					t.Errorf("got %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}
