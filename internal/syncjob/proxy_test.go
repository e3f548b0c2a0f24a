package syncjob

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// The guard's listing, the dry run and the sync all connect through the proxy.
func TestProxy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proxy := startProxy(t, "")
	s.settings.Around = []string{"/usr/bin/env", "RSYNC_PROXY=" + proxy.Address}
	s.cron(0)
	if got := proxy.Answers(); len(got) != 3 || slices.ContainsFunc(got, func(a string) bool { return !strings.HasPrefix(a, "200 ") }) {
		t.Errorf("the proxy answered %q", got)
	}
}

// A proxy's password is in a file, and no output has it.
func TestProxyPassword(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proxy := startProxy(t, "me:a:canary@of mine")
	s.settings.Proxy = filepath.Join(filepath.Dir(s.tree), "proxy")
	s.says(s.cron(statusConfig), "cannot read the proxy: ")
	for _, c := range []struct {
		password string
		status   int
		answers  []string
	}{
		{"another canary", statusAbsent, []string{"407"}},
		{"a:canary@of mine", 0, []string{"200", "200", "200"}},
	} {
		put(t, s.settings.Proxy, "me:"+c.password+"@"+proxy.Address+"\n")
		before := len(proxy.Answers())
		if out := s.cron(c.status); strings.Contains(out, "canary") {
			t.Errorf("the output has the password: %s", out)
		}
		var got []string
		for _, a := range proxy.Answers()[before:] {
			status, _, _ := strings.Cut(a, " ")
			got = append(got, status)
		}
		if !slices.Equal(got, c.answers) {
			t.Errorf("%s: the proxy answered %q, want %q", c.password, got, c.answers)
		}
	}
}

func startProxy(t *testing.T, account string) *labtest.ConnectProxy {
	t.Helper()
	p, err := labtest.StartConnectProxy("127.0.0.1:0", account)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}
