package lab_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// What was synced is there after a power cut, and what was not is not: the page cache is lost.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			h := labtest.Host(t, lab.HostSpec{Name: "cut", System: kind})
			on(t, h, "sh", "-c", "mkdir /srv/cut && echo synced >/srv/cut/synced && sync -f /")
			image := filepath.Join(t.TempDir(), "image")
			lost := false
			for try := 0; try < 5 && !lost; try++ { // a sync(2) of the machine's may come between
				on(t, h, "sh", "-c", "rm -f /srv/cut/lost; echo lost >/srv/cut/temporary && mv /srv/cut/temporary /srv/cut/lost")
				if err := h.Snapshot(t.Context(), image); err != nil {
					t.Fatal(err)
				}
				on(t, h, "sh", "-c", "echo later >/srv/cut/later && sync -f /")
				if err := h.PowerCut(t.Context(), image); err != nil {
					t.Fatal(err)
				}
				lost = on(t, h, "sh", "-c", "cat /srv/cut/lost 2>/dev/null || true") != "lost"
			}
			if !lost {
				t.Errorf("what nobody synced survives the power cut, so it is none")
			}
			for range 2 { // a copy serves more than once
				if err := h.PowerCut(t.Context(), image); err != nil {
					t.Fatal(err)
				}
				if got := on(t, h, "cat", "/srv/cut/synced"); got != "synced" {
					t.Errorf("what was synced is %q after the power cut", got)
				}
				if got := on(t, h, "ls", "-A", "/srv/cut"); strings.Contains(got, "later") {
					t.Errorf("what came after the copy is there: %s", got)
				}
			}
			if got := on(t, h, "systemctl", "is-active", "ssh"); got != "active" {
				t.Errorf("sshd is %s", got)
			}
		})
	}
}
