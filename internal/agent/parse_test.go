package agent

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func TestParseOSRelease(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]wire.OSFacts{
		"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n": {ID: "debian", IDLike: []string{}, Name: "Debian GNU/Linux 12 (bookworm)", Version: "12", Family: "debian"},
		"NAME=\"AlmaLinux\"\nID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID='9.5'\nPRETTY_NAME=\"AlmaLinux 9.5 (Teal \\\"x\\\" \\$Serval)\"": {
			ID: "almalinux", IDLike: []string{"rhel", "centos", "fedora"}, Name: `AlmaLinux 9.5 (Teal "x" $Serval)`, Version: "9.5", Family: "el"},
		"ID=ubuntu\nID_LIKE=debian\n#ID=x\n": {ID: "ubuntu", IDLike: []string{"debian"}, Family: "debian"},
		"ID=arch\nVERSION_ID=\"":             {ID: "arch", IDLike: []string{}, Version: "\"", Family: "arch"},
		"":                                   {IDLike: []string{}},
	} {
		same(t, text, parseOSRelease(text), want)
	}
}

func TestParseAccounts(t *testing.T) {
	t.Parallel()
	users := parsePasswd([]byte("root:x:0:0:root:/root:/bin/bash\n+nis::::::\n#c:x:1:1:::\nshort:x:1\nbad:x:y:1:::\nm:x:999:33:A \xff,b:/srv:/bin/sh"))
	same(t, "passwd", users, []user{{"root", "root", "/root", "/bin/bash", 0, 0, false}, {"m", "A \xff,b", "/srv", "/bin/sh", 999, 33, false}})
	groups := parseGroup([]byte("root:x:0:\nadm:x:4:m,syslog\n-x:::\nbad:x::\nempty:x:5:,\n"))
	same(t, "group", groups, []group{{"root", 0, []string{}}, {"adm", 4, []string{"m", "syslog"}}, {"empty", 5, []string{}}})

	a := &accounts{users: users, groups: groups}
	same(t, "user", a.askUser("m", false).User, &wire.User{UID: 999, GID: 33, Home: "/srv", Shell: "/bin/sh", Gecos: "A \uFFFD,b", Groups: []string{"adm"}})
	same(t, "a number is no name", a.askUser("0", false).User, &wire.User{UID: -1, GID: -1})
	same(t, "group", a.askGroup("adm").Group, &wire.Group{GID: 4, Members: []string{"m", "syslog"}})
	same(t, "no group", a.askGroup("4").Group, &wire.Group{GID: -1})
	known, unknown := &wire.File{UID: 0, GID: 4}, &wire.File{UID: 7, GID: 7}
	if err := errors.Join(a.nameOwner(known), a.nameOwner(unknown)); err != nil {
		t.Fatal(err)
	}
	same(t, "names", []string{known.Owner, unknown.Owner, known.Group, unknown.Group}, []string{"root", "7", "adm", "7"})
}

const mountinfo = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw,errors=remount-ro
23 22 0:21 / /proc rw,nosuid - proc proc rw
40 22 7:1 / /srv/a\040b\011c\134d ro,noatime shared:2 master:3 - xfs /dev/loop1 rw,attr2
41 22 7:2 /sub /srv/a\040b\011c\134d rw - ext4 /dev/loop2 rw
broken line
x 22 0:1 / /x rw - t s rw
`

func TestParseMountinfo(t *testing.T) {
	t.Parallel()
	got := parseMountinfo(mountinfo)
	same(t, "mountinfo", got, []mountEntry{
		{22, "254:0", "/", "/", []string{"rw", "relatime", "errors=remount-ro"}, "ext4", "/dev/root"},
		{23, "0:21", "/", "/proc", []string{"rw", "nosuid"}, "proc", "proc"},
		{40, "7:1", "/", "/srv/a b\tc\\d", []string{"ro", "noatime", "attr2"}, "xfs", "/dev/loop1"},
		{41, "7:2", "/sub", "/srv/a b\tc\\d", []string{"rw"}, "ext4", "/dev/loop2"},
	})
	if e := mountAt(got, "/srv/a b\tc\\d"); e == nil || e.id != 41 {
		t.Errorf("the uppermost mount: %+v", e)
	}
	if e := mountAt(got, "/srv"); e != nil {
		t.Errorf("no mount point: %+v", e)
	}
}

func TestEditFstab(t *testing.T) {
	t.Parallel()
	const old = "# comment\nUUID=1 / ext4 defaults 0 1\n\n  UUID=2\t/srv/a\\040b/ xfs  defaults 0 0  # x\nproc /proc proc\n"
	for _, c := range []struct{ text, point, line, want string }{
		{old, "/srv/x", "NEW /srv/x", old + "NEW /srv/x\n"},
		{old, "/srv/a b", "NEW", strings.Replace(old, "  UUID=2\t/srv/a\\040b/ xfs  defaults 0 0  # x\n", "NEW\n", 1)},
		{old, "/srv/a b", "", strings.Replace(old, "  UUID=2\t/srv/a\\040b/ xfs  defaults 0 0  # x\n", "", 1)},
		{old, "/nothing", "", old},
		{"", "/x", "L /x", "L /x\n"},
		{"a /a t", "/x", "L /x", "a /a t\nL /x\n"},
		{"a /x t\nb /x t\n", "/x", "L /x", "L /x\n"},
		{"a /x t", "/x", "", ""},
	} {
		same(t, c.text+" | "+c.line, editFstab(c.text, c.point, c.line), c.want)
	}
}

func TestRemountOptions(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"UUID=1 /x xfs defaults,nofail 0 0":       "remount,diratime,relatime,defaults,defaults,nofail",
		"UUID=1 /x xfs noatime,ro,nofail 0 0":     "remount,diratime,defaults,noatime,ro,nofail",
		"UUID=1 /x xfs":                           "remount,diratime,relatime,defaults",
		"UUID=1 /x ext4 strictatime,nodev,nosuid": "remount,diratime,defaults,strictatime,nodev,nosuid",
	} {
		same(t, line, remountOptions(line), want)
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	const text = "/a\n   [E] bad type\n/b\n   [W] odd\n   [E] unreachable: UUID=1\n/c\n   [ ] fine\n   [E] no such option\n\n0 parse errors, 3 errors, 1 warning\n"
	for point, want := range map[string]string{"/a": "bad type", "/b": "", "/c": "no such option", "/d": ""} {
		same(t, point, verdict(text, point), want)
	}
}

func TestParseBlkid(t *testing.T) {
	t.Parallel()
	same(t, "export", parseBlkid("DEVNAME=/dev/sda\nLABEL=a\\ b\\\\c\\$d\nUUID=1-2\nnonsense\nTYPE=xfs\nEMPTY=\n"),
		map[string]string{"DEVNAME": "/dev/sda", "LABEL": `a b\c$d`, "UUID": "1-2", "TYPE": "xfs", "EMPTY": ""})
}

func TestInUse(t *testing.T) {
	t.Parallel()
	free := wire.Block{Path: "/dev/sda", Size: 1}
	if why := inUse(&free); why != "" {
		t.Errorf("a free device: %s", why)
	}
	for want, spoil := range map[string]func(*wire.Block){
		"not found":            func(b *wire.Block) { b.Path = "" },
		"its size is 0":        func(b *wire.Block) { b.Size = 0 },
		"read-only":            func(b *wire.Block) { b.ReadOnly = true },
		"mounted on /a and /b": func(b *wire.Block) { b.Mounts = []string{"/a", "/b"} },
		"swap":                 func(b *wire.Block) { b.Swap = true },
		"held by /dev/dm-0":    func(b *wire.Block) { b.Holders = []string{"/dev/dm-0"} },
		"partitions /dev/sda1": func(b *wire.Block) { b.Partitions = []string{"/dev/sda1"} },
		"(ambivalent":          func(b *wire.Block) { b.Signature = "ambivalent" },
	} {
		b := free
		spoil(&b)
		if why := inUse(&b); !strings.Contains(why, want) {
			t.Errorf("%q, want %q", why, want)
		}
	}
}

const dpkgStatus = `Package: rsync
Status: install ok installed
Architecture: amd64
Version: 3.2.7-1
Description: fast
 Package: nginx
 .

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: half
Status: install reinstreq half-installed
Architecture: all
Version: 2

Package: unconfigured
Status: install ok half-configured
Architecture: all
Version: 3

Package: held
Status: hold ok installed
Version: 4
Essential: yes
Architecture: amd64

Package: rsync
Status: install ok installed
Architecture: i386
Version: 0.1

Package: foreign
Status: install ok installed
Architecture: i386
Version: 0.1

Package: other
Status: install ok installed
Architecture: amd64
Version: 9

Package: odd
Architecture: all
Status: what`

func TestParseDpkg(t *testing.T) {
	t.Parallel()
	wanted := map[string]bool{"rsync": true, "gone": true, "half": true, "unconfigured": true, "held": true, "foreign": true, "nginx": true, "odd": true}
	found := map[instance]*wire.Package{}
	long := "Package: long\nDescription: " + strings.Repeat("x", 300<<10) + "\n\n"
	if err := parseDpkg(strings.NewReader(long+dpkgStatus), wanted, found); err != nil {
		t.Fatal(err)
	}
	want := map[string]*wire.Package{
		"rsync":        {Installed: "3.2.7-1"},
		"rsync:i386":   {Installed: "0.1"},
		"foreign:i386": {Installed: "0.1"},
		"gone":         {},
		"half":         {Broken: "reinstreq half-installed"},
		"unconfigured": {Installed: "3", Broken: "half-configured"},
		"held":         {Installed: "4", Essential: true, Held: true},
		"odd":          {Broken: `unknown status "what"`},
	}
	same(t, "status", named(&apt{}, found, "amd64"), want)
	// The same host with an i386 userland: what a name stands for is another package.
	want["rsync"], want["rsync:amd64"] = want["rsync:i386"], want["rsync"]
	want["foreign"], want["gone:amd64"], want["held:amd64"] = want["foreign:i386"], want["gone"], want["held"]
	for _, gone := range []string{"rsync:i386", "foreign:i386", "gone", "held"} {
		delete(want, gone)
	}
	same(t, "status on i386", named(&apt{}, found, "i386"), want)
}

// An rpm of another architecture is another package, whatever level of its own the host has.
func TestParseRPM(t *testing.T) {
	t.Parallel()
	text := "bash\t5.1-1\tx86_64_v2\nglibc\t2.34-2\ti686\nglibc\t2.34-1\tx86_64\nkernel\t0:5-1\tx86_64\nkernel\t4-1\tx86_64\n" +
		"tzdata\t1\tnoarch\ngpg-pubkey\t1-1\t(none)\njunk\nonly\t1-1\ti386\n"
	want := map[string]*wire.Package{"bash": {Installed: "5.1-1"}, "glibc": {Installed: "2.34-1"}, "glibc.i686": {Installed: "2.34-2"},
		"kernel": {Installed: "4-1"}, "tzdata": {Installed: "1"}, "gpg-pubkey": {Installed: "1-1"}, "only.i386": {Installed: "1-1"}}
	same(t, "rpm -q", named(&dnf{}, parseRPM(text, false), "x86_64"), want)
	want["kernel"].Installed = "5-1 4-1"
	same(t, "rpm -qa", named(&dnf{}, parseRPM(text, true), "x86_64_v2"), want)
	on32 := named(&dnf{}, parseRPM(text, false), "i686")
	if on32["glibc"].Installed != "2.34-2" || on32["glibc.x86_64"].Installed != "2.34-1" || on32["only"] == nil || on32["bash"] != nil || on32["tzdata"] == nil {
		t.Errorf("on i686: %v", on32)
	}
}

func TestParsePackageManagers(t *testing.T) {
	t.Parallel()
	same(t, "apt-cache policy", parsePolicy("rsync:\n  Installed: 1\n  Candidate: 2:3~x\n  Version table:\n *** 1 500\n        500 file:/x ./ Packages\nnone:\n  Installed: (none)\n  Candidate: (none)\n"),
		map[string]string{"rsync": "2:3~x"})
	same(t, "dnf repoquery", parseRepoquery("rsync\t3.2-1.el9\tx86_64\n\nrsync\t3.3\ti686\nrsync-doc\t0:1-1\tnoarch\nx\t1:2-3\tx86_64_v2\njunk\n", "x86_64"),
		map[string]string{"rsync": "3.2-1.el9", "rsync-doc": "1-1", "x": "1:2-3"})
}

func TestPackageNames(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"rsync", "g++", "libc6.1-dev", "python3_x", "_x", "NetworkManager", "0ad"} {
		if err := checkPackage(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "-y", "rsync-", "a b", "a=b", "a/b", "*", "^a", "a$", "a:i386", ".a", "+a", "a\n", "é", strings.Repeat("a", 300)} {
		if checkPackage(bad) == nil {
			t.Errorf("%q is taken as a package", bad)
		}
	}
	for version, good := range map[string]bool{"1:2.3~rc1+dfsg-4^x": true, "": false, "-1": false, "1 2": false, "1;2": false} {
		if (checkVersion(version) == nil) != good {
			t.Errorf("version %q", version)
		}
	}
}

func TestParseShow(t *testing.T) {
	t.Parallel()
	blocks := parseShow("Id=nginx.service\nNames=nginx.service\nActiveState=active\nCanReload=yes\n\nId=mariadb.service\nNames=mysql.service mariadb.service\nActiveState=inactive\n\nId=a=b.service\nNames=a=b.service\n")
	if len(blocks) != 3 || blocks[2]["Id"] != "a=b.service" {
		t.Fatalf("%+v", blocks)
	}
	for _, names := range [][]string{
		{"nginx.service", "mysql.service", "a=b.service"},             // in order, by an alias
		{"mariadb.service", "nginx.service"},                          // another order
		{"mysql.service", "mariadb.service", "nginx.service", "nope"}, // one block for both, none for another
	} {
		for i, u := range matchUnits(blocks, names) {
			if names[i] == "nope" {
				if u != nil {
					t.Errorf("%+v", u)
				}
			} else if u == nil || u["Id"] != names[i] && !strings.Contains(u["Names"], names[i]) {
				t.Errorf("%s: %+v", names[i], u)
			}
		}
	}
}

// A unit that is masked since its package was removed does not exist; one that an operator masked
// is masked.
func TestRemovedWithPackage(t *testing.T) {
	t.Parallel()
	masks := t.TempDir()
	if err := os.WriteFile(masks+"/caddy.service", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]wire.Unit{
		"caddy.service": {LoadState: "not-found", ActiveState: "inactive"},
		"nginx.service": {LoadState: "masked", ActiveState: "inactive", UnitFileState: "masked"},
	} {
		u := wire.Unit{LoadState: "masked", ActiveState: "inactive", UnitFileState: "masked"}
		if removedWithPackage(masks, name, &u); u != want {
			t.Errorf("%s: %+v, want %+v", name, u, want)
		}
	}
	u := wire.Unit{LoadState: "loaded", ActiveState: "active", UnitFileState: "enabled"} // it was installed again
	if removedWithPackage(masks, "caddy.service", &u); u.LoadState != "loaded" || u.UnitFileState != "enabled" {
		t.Errorf("%+v", u)
	}
}

func TestUnitNames(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"nginx.service", "user@1000.service", `srv-a\x20b.mount`, "a.b.timer", "x:y.socket"} {
		if err := checkUnit(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "nginx", ".service", "-x.service", "*.service", "a b.service", "a.service\n", "a.exe", "a/b.service", strings.Repeat("x", 300) + ".service"} {
		if checkUnit(bad) == nil {
			t.Errorf("%q is taken as a unit", bad)
		}
	}
}

// What parses text that hosts provide never panics, and keeps its word about it.
func FuzzParsers(f *testing.F) {
	for _, s := range []string{mountinfo, dpkgStatus, "root:x:0:0:root:/root:/bin/sh\n", "UUID=1 /srv/a\\040b xfs defaults 0 0\n", "LABEL=a\\ b\n", "Id=a\nNames=a b\n\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "\\1", "a\\777"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, e := range parseMountinfo(s) {
			if strings.IndexByte(e.dev, ' ') >= 0 {
				t.Errorf("%+v", e)
			}
		}
		parsePasswd([]byte(s))
		parseGroup([]byte(s))
		parseBlkid(s)
		parsePolicy(s)
		parseRepoquery(s, "x86_64")
		parseOSRelease(s)
		matchUnits(parseShow(s), []string{"a", s})
		verdict(s, "/a")
		remountOptions(strings.ReplaceAll(s, "\n", " ") + " ")
		parseRPM(s, true)
		found := map[instance]*wire.Package{}
		if err := parseDpkg(strings.NewReader(s), map[string]bool{"rsync": true}, found); err != nil {
			t.Error(err)
		}
		if _, body, err := parseResponse([]byte(s)); err == nil && len(body) > 3*maxBody {
			t.Errorf("a body of %d bytes", len(body))
		}
		if !strings.ContainsAny(s, "\x00") && unescape(escape(s)) != s {
			t.Errorf("%q is escaped as %q", s, escape(s))
		}
		// Nothing but the lines of the mount point changes.
		var kept strings.Builder
		for line := range strings.Lines(s) {
			if fstabLines(line)[0].point() != "/srv" {
				kept.WriteString(line)
			}
		}
		if got := editFstab(s, "/srv", ""); got != kept.String() {
			t.Errorf("%q became %q", s, got)
		}
		edited := editFstab(s, "/srv", "UUID=1 /srv xfs defaults 0 0")
		n := 0
		for _, l := range fstabLines(edited) {
			if l.point() == "/srv" {
				n++
			}
		}
		if n != 1 || editFstab(edited, "/srv", "UUID=1 /srv xfs defaults 0 0") != edited {
			t.Errorf("%q became %q", s, edited)
		}
		// What is quoted in a message is one line of plain text.
		if quoted := quote(s); strings.ContainsAny(quoted, "\n\r\x1b\x00\x7f") {
			t.Errorf("%q", quoted)
		}
	})
}

func TestExpired(t *testing.T) {
	t.Parallel()
	const shadow = "root:*:19000:0:99999:7:::\nold:!:19000:0:99999:7::19001:\nnew:!:19000:0:99999:7::99999:\n"
	now := time.Unix(19001*24*60*60, 0)
	for name, want := range map[string]bool{"root": false, "old": true, "new": false, "nobody": false} {
		same(t, name, expired([]byte(shadow), name, now), want)
	}
	same(t, "the day before", expired([]byte(shadow), "old", now.Add(-time.Second)), false)
}
