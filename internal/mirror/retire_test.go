package mirror_test

import (
	"slices"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/resources"
)

// liveOf returns the names of the live parts, in order.
func liveOf(parts []engine.Part) (names []string) {
	for _, p := range parts {
		if mirror.Live(p.Name) {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// TestLiveAndData: the parts that are named there are those of a mirror with everything.
func TestLiveAndData(t *testing.T) {
	t.Parallel()
	parts := expand(t, "fra1", &mirror.Spec{
		Storage: mirror.Storage{Path: "/srv/mirror/almalinux", Device: "/dev/vdb", MountPoint: "/srv/mirror"},
		Kitten:  &mirror.Kitten{Path: "/srv/mirror/almalinux-kitten"},
		Web:     &mirror.Web{ServerName: "fra1.example.org", TLS: &mirror.TLS{ACME: &mirror.ACME{}}},
		Publish: &mirror.Publish{Sponsor: "Example", SponsorURL: "https://example.org", Email: "m@example.org"},
	})
	jobs := map[string]*syncs.Job{}
	for _, p := range parts {
		if j, ok := p.Data.(*syncs.Job); ok {
			jobs[p.Name] = j
		}
	}
	var data []string
	for _, p := range parts {
		crons, ok := mirror.Data(p.Name)
		if !ok {
			continue
		}
		data = append(data, p.Name)
		if _, isDirectory := p.State.(*resources.Directory); !isDirectory || len(crons) == 0 {
			t.Errorf("%s is a %s with the jobs %q", p.Name, p.Type, crons)
		}
		scheduled := 0
		for _, name := range crons {
			if j := jobs[name]; j != nil && j.Lock != "" {
				scheduled++
			}
		}
		if scheduled == 0 || len(crons) != 2*scheduled { // each by cron or by a timer
			t.Errorf("%s: %q, and %d have a lock", p.Name, crons, scheduled)
		}
	}
	slices.Sort(data)
	if live, want := liveOf(parts), []string{"cron", "kitten_cron", "publish", "site", "tls_site"}; !slices.Equal(live, want) {
		t.Errorf("live are %q, want %q", live, want)
	}
	byTimer := expand(t, "fra1", &mirror.Spec{
		Storage: mirror.Storage{Path: "/srv/mirror/almalinux"}, Sync: &mirror.Sync{Scheduler: "systemd"},
		Kitten: &mirror.Kitten{Path: "/srv/mirror/almalinux-kitten"}, Web: &mirror.Web{Server: "none"}, RsyncDaemon: &mirror.RsyncDaemon{},
	})
	want := []string{
		"kitten_rsync_module", "kitten_timer", "kitten_timer_service", "kitten_timer_unit",
		"rsync_module", "timer", "timer_service", "timer_unit",
	}
	if live := liveOf(byTimer); !slices.Equal(live, want) {
		t.Errorf("with timers and an rsync daemon, live are %q, want %q", live, want)
	}
	if !mirror.Live("snippet") {
		t.Error("a mirror in a site of the operator's is not live")
	}
	if want := []string{"directory", "kitten_directory", "mount_point"}; !slices.Equal(data, want) {
		t.Errorf("data is in %q, want %q", data, want)
	}
}
