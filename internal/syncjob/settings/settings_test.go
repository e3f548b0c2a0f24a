package settings_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/syncjob/settings"
)

func example() *settings.Settings {
	return &settings.Settings{
		User: "mirror", Directory: "/srv/mirror/", Upstream: "rsync://rsync.example.org/almalinux/", Lock: "/run/lock", Log: "/var/log/sync.log",
		Mount: "/srv/mirror", State: "/var/lib/mirrorform-sync", Options: []string{"-avSH", "-f", "R .~tmp~", "--exclude=# it's $x"}, Safety: []string{"--safe-links"},
		MaxDelete: 200000, MaxDeletePercent: 50, Require: "TIME",
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	want := example()
	got, err := settings.Parse("# Managed by mirrorform.\n" + want.Text())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	argv := strings.Join(got.Command(true), " ")
	if argv != "/usr/bin/rsync -avSH -f R .~tmp~ --exclude=# it's $x rsync://rsync.example.org/almalinux/ /srv/mirror/ --safe-links --max-delete=200000" {
		t.Errorf("the command is %q", argv)
	}
	if argv := strings.Join(got.Command(false), " "); strings.Contains(argv, "max-delete") {
		t.Errorf("without a limit the command is %q", argv)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	good := example().Text()
	for _, tc := range []struct{ name, text, says string }{
		{"empty", "", "has no value"},
		{"a setting is missing", strings.Replace(good, "user mirror\n", "", 1), "user is missing"},
		{"unknown", good + "shell /bin/sh\n", `line 16: unknown setting "shell"`},
		{"twice", good + "lock /run/other\n", "lock is listed twice"},
		{"no value", good + "option \n", "has no value"},
		{"empty line", good + "\n\n", "has no value"},
		{"number", strings.Replace(good, "200000", "-1", 1), "greater than zero"},
		{"number twice", good + "max_delete 1\n", "one number"},
		{"percent", strings.Replace(good, "percent 50", "percent 101", 1), "more than 100"},
		{"carriage return", strings.Replace(good, "user mirror", "user mirror\r", 1), "control character"},
		{"relative path", strings.Replace(good, "lock /run/lock", "lock run/lock", 1), "not an absolute path"},
		{"path with dots", strings.Replace(good, "directory /srv/mirror/", "directory /srv/../etc/", 1), "not an absolute path"},
		{"the root directory", strings.Replace(good, "directory /srv/mirror/", "directory /", 1), "not a tree"},
		{"no final slash", strings.Replace(good, "directory /srv/mirror/", "directory /srv/mirror", 1), "not a tree"},
		{"upstream", strings.Replace(good, "rsync://", "http://", 1), "rsync:// URL"},
		{"required path", strings.Replace(good, "require TIME", "require a/TIME", 1), "not the name of a file"},
	} {
		if _, err := settings.Parse(tc.text); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
