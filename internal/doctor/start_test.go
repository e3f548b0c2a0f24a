package doctor

import (
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

func TestNewStart(t *testing.T) {
	t.Parallel()
	const mounts = "100 ext4 rw,relatime /\n9000 tmpfs rw /run\n500 xfs rw,noatime /data\n900 xfs ro /cdrom\n800 ext4 rw /with\\x20space\n700 vfat rw /boot/efi\n600 ext4 rw /boot\n"
	for _, c := range []struct {
		hostname, mounts, program string
		want                      string // name, path, server
		remark                    string
	}{
		{"FRA1.example.org", mounts, "", "fra1 /data/almalinux nginx", "/data has the most space."},
		{"9front", "", "nginx", "mirror1 /srv/mirror/almalinux nginx", "nginx serves other sites"},
		{"localhost", "5 ext4 rw /\n", "httpd", "mirror1 /srv/mirror/almalinux apache", "Apache serves"},
		{"a_b ü", "5 xfs rw /srv/almalinux\n", "caddy", "a_b /srv/almalinux caddy", "Caddy serves"},
		{"", "x y z\n", "lighttpd", "mirror1 /srv/mirror/almalinux none", "held by lighttpd"},
	} {
		l := &wire.Listeners{}
		if c.program != "" {
			l.Sockets = []wire.Listener{{Port: 80, Program: c.program}}
		}
		got, err := engine.NewAnswers(StartQuestions(), []wire.Answer{{Listeners: l}, {Run: &wire.Run{Stdout: c.mounts}}})
		if err != nil {
			t.Fatal(err)
		}
		facts := &wire.Facts{Hostname: c.hostname}
		if c.program == "httpd" {
			facts.OS.Family = "el"
		}
		s := NewStart(facts, got)
		if text := s.Name + " " + s.Path + " " + s.Server; text != c.want || !strings.Contains(strings.Join(s.Remarks, "\n"), c.remark) {
			t.Errorf("%q: %s, %q; want %s", c.hostname, text, s.Remarks, c.want)
		}
	}
	unknown, _ := engine.NewAnswers(StartQuestions(), []wire.Answer{{Error: "denied"}, {Error: "denied"}})
	if s := NewStart(&wire.Facts{}, unknown); s.Server != "nginx" || len(s.Remarks) != 1 {
		t.Errorf("nothing is known: %+v", s)
	}
}
