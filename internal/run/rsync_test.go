package run

import (
	"maps"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

func TestRsyncModules(t *testing.T) {
	t.Parallel()
	module := func(path string, served bool) *resources.RsyncModule {
		return &resources.RsyncModule{Path: path, Served: &served}
	}
	got := RsyncModules(&engine.HostPlan{Compared: []engine.Compared{
		{Want: module("/srv/a", true), Have: module("/srv/a", true)},
		{Want: module("/srv/b", true), Have: module("/srv/b", false)},
		{Want: module("/srv/c", true)},
		{Have: module("/srv/d", true)},
		{Want: &resources.File{Path: "/etc/motd"}},
	}})
	want := map[string]string{"/srv/a": "served", "/srv/b": "not served", "/srv/c": "not served"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
