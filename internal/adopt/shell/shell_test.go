package shell

import (
	"bytes"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// answers is a host with a few files.
type answers struct {
	files map[string]string
	asked int
}

func (a *answers) Text(p string) (text, realPath string, ok bool) {
	a.asked++
	text, ok = a.files[p]
	return text, p, ok
}

func (a *answers) Entries(dir string) (names []string, ok bool) {
	a.asked++
	for _, p := range slices.Sorted(maps.Keys(a.files)) {
		if path.Dir(p) == dir {
			names = append(names, path.Base(p))
		}
	}
	return names, names != nil
}

func (a *answers) Home(user string) string {
	a.asked++
	if user == "mirror" {
		return "/home/mirror"
	}
	return ""
}

func (a *answers) Find(name, searched string) []string {
	a.asked++
	return nil
}

func evaluated(text string, files map[string]string, vars map[string]string) Trace {
	none := ""
	return Text(&answers{files: files}, NewBudget(1_000_000), text, Start{
		At: Place{"/etc/cron.d/x", 1}, Lines: true, User: "mirror", Dir: "/srv", Vars: vars, Input: &none,
	})
}

// expansions are texts in which bash and this package have to run rsync with the same arguments.
var expansions = []string{
	`A="a b"; rsync $A "$A" '$A' \$A "\$A" a\ b`,
	`A=; B=x; rsync $A "$A" ${A:-d} ${B:+y} ${C-c} ${C:=z} $C "${D:-"q r"}"`,
	`A=(one "two three" four); A+=(five); rsync "${A[@]}" "${A[*]}" ${A[1]} "${#A[@]}" "${A[@]:1:2}" "${A[-1]}"`,
	`declare -A M=([x]=1 [y]="2 3"); M[z]=4; rsync "${M[x]}" "${M[y]}" "${M[z]}" "${#M[@]}"`,
	`P=/srv/mirror/almalinux/; rsync ${P%/} ${P##*/} ${P#/srv} ${P%%/m*} ${P/srv/data} ${P//r/R} ${P/%\//!} ${#P} ${P:5:6}`,
	`N=AlmaLinux; rsync ${N,,} ${N^^} ${N,} $((2 + 3 * 4)) $(((7 % 4) << 2)) $((N1 + 1))`,
	`f() { local x=$1; shift; rsync "$x" "$#" "$@"; }; f a "b c" d; rsync "$x"`,
	`set -- 1 "2 3" 4; rsync "$@" "$*" $# ${2}; shift; rsync "$1"`,
	`for i in a b; do for j in 1 2 3; do [ $j = 2 ] && continue; rsync $i$j; done; done`,
	`i=0; while [ $i -lt 3 ]; do i=$((i + 1)); rsync $i; done; until [ $i -eq 0 ]; do ((i--)); done; rsync $i`,
	`for ((i = 0; i < 3; i++)); do ((i == 1)) && break; rsync $i; done`,
	`while IFS='|' read -r a b c; do rsync "$a" "$b" "$c"; done <<'X'
n1|u1|x y
n2||
X`,
	`printf '%s\n' "a b" c | while read -r l; do rsync "$l"; done`,
	`read -r a b <<< "x y  z"; rsync "$a" "$b"; read -ra L <<< "p q"; rsync "${L[1]}"`,
	`case almalinux-9 in alma*-8) rsync 8;; alma*|x) rsync 9;; *) rsync no;; esac`,
	`A=$(echo "a  b"; echo c); rsync $A "$A"`,
	`rsync {a,b}{1..3} x{,y}`,
	`[[ abc == a* && ! -z x && b > a ]] && rsync yes; [[ abc =~ ^a(.)c$ ]] && rsync "${BASH_REMATCH[1]}"; [[ a == "a*" ]] || rsync no`,
	`[ -z "" -a a = a ] && rsync and; [ a = b -o 2 -gt 1 ] && rsync or; [ ! "" ] && rsync not`,
	`x=1; (x=2; rsync $x); rsync $x; { x=3; }; rsync $x`,
	`f() { return 3; }; f; rsync $?; false || rsync or; true && rsync and; ! true || rsync neg`,
	`eval 'A="p q"; rsync "$A"'; B='rsync -a "x y"'; eval $B`,
	`A=B; B=val; rsync "${!A}"; printf -v C '%s-%s' a b; rsync $C`,
	`while getopts 'a:bv' o -v -a X -b y; do rsync "$o" "$OPTARG"; OPTARG=; done`,
	`IFS=,; A="a,b c,d"; rsync $A; unset IFS; rsync $A`,
	`A='*.iso'; set -f; rsync --exclude=$A "--exclude=*.src.rpm"`,
	`rsync $'a\tb' $'it\'s' "$(printf '%s' 'q"r')"`,
	`mapfile -t L <<< $'a b\nc'; rsync "${L[0]}" "${#L[@]}"`,
	`readonly R=1; export E=2; declare -i I=3; rsync $R $E $I; unset E; rsync "${E-unset}"`,
	`basename /a/b.c .c | { read -r n; rsync "$n"; }; rsync "$(dirname /a/b)"`,
	`printf 'a:1\n#x\nb:2\n' | grep -v '^#' | cut -d: -f2 | while read n; do rsync $n; done`,
	`printf 'x y\n' | sed -e 's/x/z/' | awk '{print $1}' | tr z w | { read -r v; rsync $v; }`,
	`for n in $(seq 2 4); do rsync $n; done; echo a b | xargs -n1 echo | while read w; do rsync $w; done`,
}

// TestExpansions compares what rsync is run with: bash runs a function of that name.
func TestExpansions(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash to compare with")
	}
	for _, text := range expansions {
		var got strings.Builder
		for _, c := range evaluated(text, nil, nil).Commands {
			got.WriteString(strings.Join(c.Argv[1:], "\x1f") + "\n")
		}
		command := exec.Command(bash, "--norc", "-c", "exec 3>&1\nrsync() { local IFS=$'\\x1f'; echo \"$*\" >&3; }\n"+text)
		command.Env = []string{"PATH=" + os.Getenv("PATH")}
		want, err := command.Output()
		if err != nil && len(want) == 0 {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s\ngot:  %q\nbash: %q", text, got.String(), want)
		}
	}
}

// What is unknown stays unknown, and both ways of a condition on it are taken.
func TestUnknown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`rsync $(date +%F) x$RANDOM`:                                   {Unknown, "x" + Unknown},
		`if [ -e /x ]; then A=1; else A=2; fi; rsync $A`:               {"1", "2"},
		`A=$(cmd); case $A in x) rsync x;; y) rsync y;; esac; rsync z`: {"x", "z", "y"},
		`cmp -s a b && exit 0; rsync on`:                               {"on"},
		`[ -n "$UNSET" ] && rsync never; rsync always`:                 {"always"},
		`rsync a || rsync b`:                                           {"a", "b"},
		`while read l; do rsync "$l"; done < /missing; rsync end`:      {Unknown, "end"},
		`. /etc/x.conf; rsync $A $B`:                                   {"1", "/srv/almalinux"},
		`cd /data || exit; rsync "$PWD" ~ ~mirror/x ~nobody`: {"/data", "/home/mirror", "/home/mirror/x",
			Unknown},
		`for f in /etc/*.conf; do rsync $f; done`:                     {"/etc/x.conf", "/etc/y.conf"},
		`x=a; for i in {1..60}; do x=$x$x; done; rsync $x`:            {Unknown},
		`f() { f; }; f; rsync after`:                                  {"after"},
		`while true; do rsync loop; sleep 1; done`:                    {"loop"},
		`n=0; while [ $n -lt 100000 ]; do n=$((n+1)); done; rsync $n`: nil,
		`$CMD rsync a`: {"a"},
		`rsync_is_not_run_by=1 echo rsync; echo "rsync -a x y" >/dev/null`: nil,
	} {
		tr := evaluated(text, map[string]string{"/etc/x.conf": "A=1\nB=$D/almalinux\n", "/etc/y.conf": ""},
			map[string]string{"D": "/srv", "HOME": "/home/mirror"})
		var got []string
		for _, c := range tr.Commands {
			for _, w := range c.Argv[1:] {
				if !slices.Contains(got, w) {
					got = append(got, w)
				}
			}
		}
		if want != nil && !slices.Equal(got, want) || want == nil && len(got) > 1 {
			t.Errorf("%s\ngot %q, want %q; notes %v", text, got, want, tr.Notes)
		}
	}
}

func TestLocks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Lock{
		`flock -n /run/l rsync a`:                        {Flock, "/run/l"},
		`flock -w 5 -E 0 /run/l -c 'rsync a'`:            {Flock, "/run/l"},
		`exec 9>/run/l; flock -n 9 || exit; rsync a`:     {Flock, "/run/l"},
		`( flock -n 9 || exit 1; rsync a ) 9>/run/l`:     {Flock, "/run/l"},
		`exec {fd}>>/run/l; flock "$fd"; rsync a`:        {Flock, "/run/l"},
		`set -e; exec 9<>/run/l; flock -n 9; rsync a`:    {Flock, "/run/l"},
		`exec 9>/run/l; flock -n 9; flock -u 9; rsync a`: {},
		`( flock -n 9 || exit 1 ) 9>/run/l; rsync a`:     {},
		`exec 9>/run/l; if flock -n 9; then rsync a; fi`: {Flock, "/run/l"},
		`mkdir /run/l 2>/dev/null || exit; rsync a`:      {"mkdir", "/run/l"},
		`mkdir -p /run/l || exit; rsync a`:               {},
		`echo $$ >/run/l; rsync a`:                       {"pid file", "/run/l"},
		`setlock -n /run/l rsync a`:                      {"setlock", "/run/l"},
		`chpst -u mirror -l /run/l rsync a`:              {"chpst", "/run/l"},
		`nice flock /run/l timeout 5h rsync a`:           {Flock, "/run/l"},
		`ln -s /proc/$$ /run/l || exit 1; rsync a`:       {"ln", "/run/l"},
	} {
		tr := evaluated(text, nil, nil)
		if len(tr.Commands) == 0 {
			t.Errorf("%s: no rsync", text)
			continue
		}
		var got Lock
		if locks := tr.Commands[0].Locks; len(locks) > 0 {
			got = locks[0]
		}
		if got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

// The package can neither run a program nor open a file nor look into the environment.
func TestImports(t *testing.T) {
	t.Parallel()
	allowed := []string{"errors", "maps", "path", "regexp", "slices", "strconv", "strings", "unicode/utf8",
		"mvdan.cc/sh/v3/syntax", "mvdan.cc/sh/v3/pattern"}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatal(err, files)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if !slices.Contains(allowed, strings.Trim(i.Path.Value, `"`)) {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
	}
}

// FuzzText evaluates any text. Work, memory, records and questions are limited, and nothing of this
// process's environment is in the result.
func FuzzText(f *testing.F) {
	for _, text := range expansions {
		f.Add(text, "A=1\n")
	}
	for _, text := range []string{
		`x=aaaaaaaa; x=$x$x$x$x$x$x$x$x; x=$x$x$x$x$x$x$x$x; x=${x//a/$x}; x=${x//a/$x}; rsync $x`,
		`a=({1..1000}{1..1000}{1..1000}); rsync "${a[@]}"`,
		`f() { f | f; }; f`, `while :; do while :; do x=$x$x; done; done`,
		`: $((1 << 63)) $((1 / 0)) $((-9223372036854775808 / -1))`, "rsync `rsync \\`rsync\\``",
		`. /etc/x`, `cat /etc/x /proc/self/environ | bash; rsync $PATH $LEAKED ~root`,
		`[ $a ] && [ $b ] && case $c in *) rsync;; esac`, `flock 9 9>x rsync`,
		`getopts : x -; shift 9; set --; read -ra x; printf %s%s%s; xargs -I{} {} {}`,
		`${a:0:-1} ${a:9999999999999999999} ${a[99999999]} ${@:1:2}`, "rsync <<X\n$(\nX",
		`docker run -v a:b -v /a:/b x; su; su -; sudo; env -S; timeout; ssh rsync; ip netns exec`,
		`for ((;;)); do rsync; done`, `exec {x}>&- 9>&1; flock -u x`,
	} {
		f.Add(text, text)
	}
	f.Setenv("LEAKED", "canary-of-the-environment")
	f.Fuzz(func(t *testing.T, text, file string) {
		if strings.Contains(text+file, "canary") {
			return
		}
		h := &answers{files: map[string]string{"/etc/x": file}}
		b := NewBudget(100_000)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		none := ""
		tr := Text(h, b, text, Start{At: Place{"/f", 1}, User: "mirror", Dir: "/srv",
			Vars: map[string]string{"PATH": "/opt:/usr/bin"}, Input: &none})
		runtime.ReadMemStats(&after)
		if spent := 100_000 - b.left; spent > 200_000 {
			t.Errorf("it spent %d units of work", spent)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<30 {
			t.Errorf("it allocated %d bytes", used)
		}
		if h.asked > 200_000 || len(tr.Commands) > maxRecords || len(tr.Others) > maxRecords ||
			len(tr.Notes) > maxRecords+2 || len(tr.Scripts) > maxRecords {
			t.Errorf("%d questions, %d commands, %d others, %d notes", h.asked, len(tr.Commands), len(tr.Others),
				len(tr.Notes))
		}
		var all bytes.Buffer
		for _, c := range slices.Concat(tr.Commands, tr.Others) {
			for _, w := range c.Argv {
				if len(w) > maxValue {
					t.Errorf("an argument of %d bytes", len(w))
				}
				all.WriteString(w)
			}
		}
		if strings.Contains(all.String(), "canary") || strings.Contains(all.String(), os.Getenv("PATH")) &&
			os.Getenv("PATH") != "" && !strings.Contains(text+file, "PATH") {
			t.Error("the environment of this process is in the result")
		}
	})
}
