package resources

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestShellQuote(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"":                        `''`,
		"-avSH":                   `-avSH`,
		"/srv/mirror/almalinux/":  `/srv/mirror/almalinux/`,
		"rsync://host/module/":    `rsync://host/module/`,
		"R .~tmp~":                `'R .~tmp~'`,
		"--exclude=.~tmp~":        `--exclude='.~tmp~'`,
		"--exclude=a'b":           `--exclude="a'b"`,
		"--delete-delay":          `--delete-delay`,
		"--bwlimit=10m":           `--bwlimit=10m`,
		"~root":                   `'~root'`,
		"A=b":                     `'A=b'`,
		"A+=b":                    `'A+=b'`,
		"-DA=b":                   `-DA=b`,
		"if":                      `'if'`,
		"time":                    `'time'`,
		"it's":                    `"it's"`,
		"it's $HOME":              `'it'"'"'s $HOME'`,
		"it's \"that\"":           `'it'"'"'s "that"'`,
		"`id`":                    "'`id`'",
		"$(touch /pwn-1)":         `'$(touch /pwn-1)'`,
		"a;b":                     `'a;b'`,
		"a&&b|c":                  `'a&&b|c'`,
		"a\\":                     `'a\'`,
		"!x":                      `'!x'`,
		"*.rpm":                   `'*.rpm'`,
		"{a,b}":                   `'{a,b}'`,
		"#x":                      `'#x'`,
		"\t":                      "'\t'",
		"é":                       `'é'`,
		"100%":                    `100%`,
		"-oProxyCommand=touch /x": `'-oProxyCommand=touch /x'`,
	} {
		if got, err := ShellQuote(word); got != want || err != nil {
			t.Errorf("ShellQuote(%q) = %s, %v, want %s", word, got, err, want)
		}
	}
	for _, word := range []string{"a\nb", "a\rb", "a\x00b", "--exclude=a\nb"} {
		if got, err := ShellQuote(word); err == nil {
			t.Errorf("ShellQuote(%q) = %s, want an error", word, got)
		}
		if got, err := ShellJoin([]string{"ok", word}); err == nil {
			t.Errorf("ShellJoin(%q) = %s, want an error", word, got)
		}
	}
}

// TestGuideLine holds the operators' guide: its line comes out byte for byte.
func TestGuideLine(t *testing.T) {
	t.Parallel()
	const guide = `/usr/bin/flock -n /var/run/almalinux_rsync.lock -c "/usr/bin/rsync -avSH -f 'R .~tmp~' --delete-delay --delay-updates rsync://rsync.repo.almalinux.org/almalinux/ /srv/mirror/almalinux/"`
	sync, err := ShellJoin([]string{"/usr/bin/rsync", "-avSH", "-f", "R .~tmp~", "--delete-delay", "--delay-updates",
		"rsync://rsync.repo.almalinux.org/almalinux/", "/srv/mirror/almalinux/"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := ShellJoin([]string{"/usr/bin/flock", "-n", "/var/run/almalinux_rsync.lock", "-c", sync})
	if err != nil || cronEscape(got) != guide {
		t.Errorf("got  %s\nwant %s\n%v", got, guide, err)
	}
}

// hostile are words that shells, cron and quoting functions get wrong.
var hostile = []string{
	"", " ", "'", "''", `"`, `\`, `\\`, `\'`, `'\''`, `"'"`, "$(touch /pwn-1)", "`touch /pwn-1`", ";", "&&", "|", "-n", "--", "-e",
	"%", "%%", `\%`, `\\%`, `\\\%`, `%\`, `'%'`, `\'%`, "!", "!!", "~", "~root", "*", "?", "[a]", "{a,b}", "#", "a#b", "=", "A=b", "if", "--x=",
	"--x=~", "--x='", "\t", "\x01", "\x7f", "\xff\xfe", "é", "\u202e", "$'a'", `$"a"`, "${IFS}", "<(id)", ">x", "a b  c", `a\b`, `it's 100\% "$x"`,
}

func FuzzShellQuote(f *testing.F) {
	for i, word := range hostile {
		f.Add(word, hostile[(i+7)%len(hostile)])
	}
	var shells []string
	for _, name := range []string{"sh", "bash"} {
		if p, err := exec.LookPath(name); err == nil {
			shells = append(shells, p)
		}
	}
	if len(shells) == 0 {
		f.Fatal("there is no shell to compare with")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		argv := []string{first, second, first + second}
		text, err := ShellJoin(argv)
		if strings.ContainsAny(first+second, "\n\r\x00") {
			if err == nil {
				t.Fatalf("ShellJoin(%q) is no error: %s", argv, text)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		inner, err := ShellJoin([]string{"sh", "-c", `printf '%s\0' ` + text})
		if err != nil {
			t.Fatal(err)
		}
		line := cronEscape(inner)
		for _, collapses := range []bool{false, true} {
			if got := cronReads(line, collapses); !sameCommand(got, inner) {
				t.Fatalf("cron (two backslashes become one: %v) reads %s\nfrom %s\nwant %s", collapses, got, line, inner)
			}
		}
		for _, shell := range shells {
			for what, script := range map[string]string{
				"words":                `printf '%s\0' ` + text,
				"a command in another": inner,
				"a crontab line":       cronReads(line, true),
				"its other reading":    cronReads(line, false),
			} {
				var out, errors bytes.Buffer
				cmd := exec.Command(shell, "-c", script)
				cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = t.TempDir(), &out, &errors, []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
				if err := cmd.Run(); err != nil {
					t.Fatalf("%s -c %q: %v: %s", shell, script, err, errors.String())
				}
				if got := strings.Split(strings.TrimSuffix(out.String(), "\x00"), "\x00"); !slices.Equal(got, argv) {
					t.Fatalf("%s: %s reads %q from %s, want %q", what, shell, got, script, argv)
				}
			}
		}
	})
}

// sameCommand compares what a shell makes of two texts of ShellJoin, one of which has quotes that were closed and opened again.
func sameCommand(a, b string) bool {
	return strings.ReplaceAll(a, "''", "") == strings.ReplaceAll(b, "''", "")
}

// cronReads is the command that cron runs for the text of a crontab line: up to a bare %, and with % for \%. Some
// crons also make one backslash of two. (do_command.c of Vixie's cron, ISC cron and cronie.)
func cronReads(line string, collapses bool) string {
	var out strings.Builder
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '%':
			return out.String()
		case c == '\\' && i+1 < len(line):
			i++
			if next := line[i]; next != '%' && (next != '\\' || !collapses) {
				out.WriteByte(c)
			}
			out.WriteByte(line[i])
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}
