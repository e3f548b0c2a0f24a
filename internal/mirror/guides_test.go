package mirror_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/resources"
)

// The lines of the operators' guides, with DIR for the mirror's directory.
var guideLines = map[string]string{
	"classic": `0 */3 * * * /usr/bin/flock -n /var/run/almalinux_rsync.lock -c "/usr/bin/rsync -avSH -f 'R .~tmp~' --delete-delay --delay-updates rsync://rsync.repo.almalinux.org/almalinux/ DIR/"`,
	"current": `0 */3 * * * /usr/bin/flock -n /var/run/almalinux_rsync.lock -c "/usr/bin/rsync -rlptvSH --exclude='.~tmp~' --delete-delay --delay-updates rsync://rsync.repo.almalinux.org/almalinux/ DIR/"`,
	"kitten":  `0 */3 * * * /usr/bin/flock -n /var/run/almalinux_kitten_rsync.lock -c "/usr/bin/rsync -rlptvSH --exclude='.~tmp~' --delete-delay --delay-updates rsync://rsync.kitten.repo.almalinux.org/almalinux-kitten/ DIR/"`,
}

func TestGuideLine(t *testing.T) {
	t.Parallel()
	for name, line := range guideLines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := &mirror.Spec{Guide: name, Storage: mirror.Storage{Path: "/srv/mirror/almalinux"}}
			part, dir := "cron", spec.Storage.Path
			if name == "kitten" {
				part, dir = "kitten_cron", "/srv/mirror/almalinux-kitten"
				spec.Guide, spec.Kitten = "current", &mirror.Kitten{Path: dir}
			}
			cron := state[resources.Cron](t, expand(t, "fra1", spec), part)
			want := strings.SplitN(strings.ReplaceAll(line, "DIR", dir), " ", 6)
			command, err := resources.ShellJoin(cron.Command)
			if err != nil {
				t.Fatal(err)
			}
			// The safe options come after the guide's words, which are all there.
			const safe = ` --safe-links --chmod=ug-s --max-delete=200000"`
			want[5] = strings.TrimSuffix(want[5], `"`) + safe
			if command != want[5] {
				t.Errorf("the command is\n%s\nthe guide's is\n%s", command, want[5])
			}
			// All but the minute, which is the host's own.
			if fields := strings.Fields(cron.Schedule); !slices.Equal(fields[1:], want[1:5]) {
				t.Errorf("the schedule is %s, the guide's is %s", cron.Schedule, want[:5])
			}
			read := shellWords(t, command, want[5])
			inner := shellWords(t, read[0][4], read[1][4])
			if !slices.Equal(read[0], read[1]) || !slices.Equal(inner[0], inner[1]) {
				t.Errorf("a shell reads %q, of the guide's %q", read[0], read[1])
			}
			if part == "cron" && cron.User != "mirror" {
				t.Errorf("it runs as %q", cron.User)
			}
		})
	}
}

func expand(t *testing.T, host string, spec *mirror.Spec) []engine.Part {
	t.Helper()
	h := readHost(t, []byte(`{"address": "203.0.113.10"}`))
	h.Target.Name = host
	parts, problems := mirror.Expand(resources.All(), "almalinux", spec, h)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return parts
}

// The minute is the same in every run and every version, and differs among hosts.
func TestSpread(t *testing.T) {
	t.Parallel()
	schedule := func(host, every, part string) string {
		spec := &mirror.Spec{
			Storage: mirror.Storage{Path: "/srv/mirror/almalinux"}, Sync: &mirror.Sync{Every: every}, Kitten: &mirror.Kitten{Path: "/srv/mirror/kitten"},
		}
		return state[resources.Cron](t, expand(t, host, spec), part).Schedule
	}
	for _, c := range []struct{ host, every, part, want string }{
		{"fra1", "1h", "cron", "33 * * * *"},
		{"fra1", "3h", "cron", "33 */3 * * *"},
		{"fra1", "24h", "cron", "33 12 * * *"},
		{"fra1", "3h", "kitten_cron", "10 */3 * * *"},
		{`edge["ams"]`, "12h", "cron", "53 */12 * * *"},
	} {
		if got := schedule(c.host, c.every, c.part); got != c.want {
			t.Errorf("%s every %s, %s: %q, want %q", c.host, c.every, c.part, got, c.want)
		}
	}
	minutes, hours := map[string]bool{}, map[string]bool{}
	for i := range 200 {
		fields := strings.Fields(schedule(fmt.Sprintf("mirror%d", i), "24h", "cron"))
		minutes[fields[0]], hours[fields[1]] = true, true
	}
	if len(minutes) <= 40 || len(hours) <= 18 {
		t.Errorf("200 hosts sync at %d minutes and %d hours", len(minutes), len(hours))
	}
}
