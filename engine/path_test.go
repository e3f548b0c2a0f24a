package engine_test

import (
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

func TestPathWithin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p, dir string
		want   bool
	}{
		{"/srv/mirror", "/srv/mirror", true}, {"/srv/mirror/almalinux", "/srv/mirror", true}, {"/srv", "/", true}, {"/", "/", true},
		{"/srv/mirror2", "/srv/mirror", false}, {"/srv", "/srv/mirror", false}, {"/", "/srv", false},
	} {
		if got := engine.PathWithin(c.p, c.dir); got != c.want {
			t.Errorf("%s within %s: %t", c.p, c.dir, got)
		}
	}
}
