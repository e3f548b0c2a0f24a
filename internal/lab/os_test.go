//go:build linux

package lab

import (
	"strings"
	"testing"
)

func TestResolveOS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		os       OS
		codename string
		want     OS
	}{
		{"", "bookworm", Debian12}, {"", "trixie", Debian13}, {"", "noble", ""}, {EL9, "noble", EL9}, {Debian11, "bookworm", Debian11},
	} {
		if got, err := resolveOS(c.os, c.codename); err != nil || got != c.want {
			t.Errorf("%q on %s is %q, %v; want %q", c.os, c.codename, got, err, c.want)
		}
	}
	if _, err := resolveOS("el7", "bookworm"); err == nil || !strings.Contains(err.Error(), `"el7": use one of debian11, debian12, debian13, el8, el9, el10`) {
		t.Errorf("el7: %v", err)
	}
	for os, want := range map[OS]Family{"": Debian, Debian13: Debian, EL8: EL, EL10: EL} {
		if got := os.Family(); got != want {
			t.Errorf("%q is of family %s", os, got)
		}
	}
}

// TestTreeNames: each operating system has trees of its own, and EL shares its base with a Debian.
func TestTreeNames(t *testing.T) {
	t.Parallel()
	r := &recipe{Codename: "bookworm", Tree: []string{"fish"}, Users: []user{{Name: "admin", Shell: "/bin/bash"}, {Name: "fish", Shell: "/usr/bin/fish"}}}
	seen := map[string]OS{}
	for _, row := range osTable {
		base, err := r.of(row.codename).hash()
		if err != nil {
			t.Fatal(err)
		}
		name := "base-" + base
		if row.el != nil {
			l, err := newLayer(row.el, name)
			if err != nil {
				t.Fatal(err)
			}
			if name, err = l.name(); err != nil {
				t.Fatal(err)
			}
			l.Files["platform"] += "# changed\n"
			if changed, err := l.name(); err != nil || changed == name {
				t.Errorf("%s: another file, and the tree is %s, %v", row.os, changed, err)
			}
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%s and %s have one tree, %s", row.os, other, name)
		}
		seen[name] = row.os
		if !cachedTree.MatchString(name) {
			t.Errorf("%s is never pruned", name)
		}
	}
	if own := r.of("bookworm"); len(own.Users) != 2 || len(own.Tree) != 1 {
		t.Errorf("the machine's own release has %+v", own)
	}
	if other := r.of("trixie"); len(other.Users) != 1 || len(other.Tree) != 0 || len(r.Users) != 2 {
		t.Errorf("another release has %+v", other)
	}
}

func TestDebName(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"nginx_1.22.1-9+deb12u7_amd64.deb":           "nginx 1.22.1",
		"python3-audit_1%3a3.0.9-1_amd64.deb":        "python3-audit 3.0.9",
		"rpm_4.18.0+dfsg-1+deb12u1_amd64.deb":        "rpm 4.18.0",
		"/a/b/hostname_3.23+nmu1_amd64.deb":          "hostname 3.23",
		"librtmp1_2.4-rc1+20151223.gitfa-1_i386.deb": "librtmp1 2.4.rc1",
	} {
		if name, version := debName(file); name+" "+version != want {
			t.Errorf("%s is %s %s, want %s", file, name, version, want)
		}
	}
}
