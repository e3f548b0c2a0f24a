package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

func TestNewRollout(t *testing.T) {
	t.Parallel()
	if r := newRollout(&config.Config{}, []engine.Host{{Name: "a"}}, nil); r != nil || r.waves() != nil {
		t.Errorf("there is a rollout without a block: %+v", r)
	}
	c := &config.Rollout{SpreadBy: "country", Waves: []config.Wave{{Title: "1", Hosts: []string{"a"}}, {Title: "2", Hosts: []string{"b", "c"}}, {Title: "3", Hosts: []string{"d"}}}}
	byName := map[string]*config.DeclaredHost{}
	for name, country := range map[string]string{"a": "DE", "b": "DE", "c": "", "d": "NL"} {
		byName[name] = &config.DeclaredHost{Name: name, Labels: map[string]string{"country": country}}
	}
	r := limitRollout(c, []engine.Host{{Name: "c"}, {Name: "d"}, {Name: "local", Last: true}}, byName)
	var got []string
	for _, w := range r.waves() {
		got = append(got, fmt.Sprintf("%s %v %v", w.Title, w.Hosts, w.Last))
	}
	if want := []string{"2 [c] false", "3 [d] false", " [local] true"}; !slices.Equal(got, want) || r.count() != 2 {
		t.Errorf("waves %q, %d of them counted; want %q", got, r.count(), want)
	}
	if r.Group("a") != "DE" || r.Group("b") != "DE" || r.Group("c") != "" {
		t.Error("the groups are not the countries")
	}
}

// silent hears of a run and tells nobody.
type silent struct{ Observer }

func (silent) Note(string)                                       {}
func (silent) Warning(string)                                    {}
func (silent) Diagnostics(hcl.Diagnostics, map[string]*hcl.File) {}

// newDriver is a driver with a gate, in a directory of its own.
func newDriver(t *testing.T, g *config.Gate) *waveDriver {
	t.Helper()
	r := &rollout{gate: g, Rollout: engine.Rollout{Waves: []engine.Wave{{Hosts: []string{"a", "b"}}, {Hosts: []string{"c"}}}}}
	return &waveDriver{Run: &Run{Scope: &Scope{sources: Sources{Dir: t.TempDir(), Types: mirror.Types()}, observer: silent{}}, rollout: r, connector: &connector{}}}
}

func TestGateCommand(t *testing.T) {
	t.Setenv(becomePasswordVar, "canary-7d1e")
	good, bad := &engine.HostResult{Host: "a"}, &engine.HostResult{Host: "b", Err: io.EOF}
	gate := func(t *testing.T, argv ...string) (*waveDriver, error) {
		t.Helper()
		d := newDriver(t, &config.Gate{Command: argv, Timeout: time.Minute})
		return d, d.Gate(t.Context(), 1, []*engine.HostResult{good, bad, {Host: "c"}})
	}
	d, err := gate(t, "sh", "-c", `printf '%s|%s|%s|%s|%s' "$MIRRORFORM_WAVE" "$MIRRORFORM_WAVES" "$MIRRORFORM_HOSTS" "$MIRRORFORM_BECOME_PASSWORD" "$1" >out`, "sh", "$(id); x")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(d.sources.Dir, "out")); err != nil || string(text) != "2|2|a\nc||$(id); x" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := gate(t, "sh", "-c", "echo it is ill; echo really >&2; exit 4"); err == nil || err.Error() != "sh: exit status 4\nit is ill\nreally" {
		t.Errorf("%v", err)
	}
	if _, err := gate(t, "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo end; exit 1"); err == nil || len(err.Error()) > maxGateOutput+100 || !strings.HasSuffix(err.Error(), "xend") {
		t.Errorf("%.100v", err)
	}
	if _, err := gate(t, "./no-such-program"); err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("%v", err)
	}
}

// TestGateVerify: a gate has the mirrors looked at that the good hosts of its wave publish, and
// does not pass when one is not accepted.
func TestGateVerify(t *testing.T) {
	t.Parallel()
	d := newDriver(t, &config.Gate{Verify: true, Timeout: time.Minute})
	text := `
host "fra1" {
  address = "192.0.2.1"
}
host "ams1" {
  address = "192.0.2.2"
}
mirror "almalinux" {
  hosts = [host.fra1, host.ams1]
  storage { path = "/srv/mirror/almalinux" }
  publish {
    name        = "${target.name}.example.com"
    sponsor     = "Example Org"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
  }
}
`
	if err := os.WriteFile(filepath.Join(d.sources.Dir, "fleet.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.Scope, err = NewScope(d.sources, Selection{}, silent{}); err != nil {
		t.Fatal(err)
	}
	d.approved = &engine.Plan{}
	var looked []string
	refused := errors.New("verify does not accept it")
	d.Options.Verify = func(_ context.Context, c *config.Config, mirrors []upstream.Mirror, shown bool) error {
		looked = nil
		for _, m := range mirrors {
			looked = append(looked, m.Host+" "+m.File.Name)
		}
		if c != d.Config || shown {
			t.Error("the gate is not given what its run has")
		}
		if len(mirrors) > 1 {
			return refused
		}
		return nil
	}
	one, other := &engine.HostResult{Host: "fra1"}, &engine.HostResult{Host: "ams1"}
	gate := func(results ...*engine.HostResult) string {
		err = d.Gate(t.Context(), 0, results)
		return strings.Join(looked, ", ")
	}
	if got := gate(one); got != "fra1 fra1.example.com" || err != nil {
		t.Errorf("looked at %q, %v", got, err)
	}
	if got := gate(one, other); !strings.Contains(got, "ams1 ams1.example.com") || !errors.Is(err, refused) {
		t.Errorf("looked at %q, %v", got, err)
	}
	other.Err = io.EOF
	if got := gate(one, other); got != "fra1 fra1.example.com" || err != nil {
		t.Errorf("a host that failed is not looked at: %q, %v", got, err)
	}
}

// A command that hangs is ended with what it started.
func TestGateTimeout(t *testing.T) {
	t.Parallel()
	d := newDriver(t, &config.Gate{Command: []string{"sh", "-c", "sleep 600 & echo $! >pid; wait"}, Timeout: time.Second})
	err := d.Gate(t.Context(), 0, nil)
	if err == nil || !strings.Contains(err.Error(), "it did not finish within 1s") {
		t.Errorf("%v", err)
	}
	pid, err := os.ReadFile(filepath.Join(d.sources.Dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	// It was killed; on a busy machine it may not have died yet.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		state, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "status"))
		if err != nil || strings.Contains(string(state), "State:\tZ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("sleep still runs:\n%s", state)
		}
	}
}

func TestPauseInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	newDriver(t, nil).Pause(ctx, 1, time.Hour) // returns
}

func TestLastRun(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	fleet := "host \"h\" {\n  for_each = toset([\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"])\n  address = \"${each.key}.example.org\"\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "fleet.hcl"), []byte(fleet), 0o600); err != nil {
		t.Fatal(err)
	}
	sc, err := NewScope(Sources{Dir: dir, Types: mirror.Types()}, Selection{}, silent{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readLastRun(dir); err == nil || !strings.Contains(err.Error(), "no last run") {
		t.Errorf("%v", err)
	}
	r := &Run{Scope: sc, Options: Options{Command: "apply"}}
	name := func(key string) string { return fmt.Sprintf("h[%q]", key) }
	r.recordOutcomes(map[string]engine.Outcome{
		name("a"): engine.Changed, name("b"): engine.Failed, name("c"): engine.Unreachable, name("d"): engine.RolledBack, name("e"): engine.NotStarted,
		name("f"): outcomeUnknown, "gone": engine.Failed,
	})
	failed := func() string {
		t.Helper()
		l, err := readLastRun(dir)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(l.failed(), " ")
	}
	if got := failed(); got != `gone h["b"] h["c"] h["d"] h["e"] h["f"]` {
		t.Errorf("failed: %s", got)
	}
	// Another run of some hosts leaves the others; what the configuration does not have any more is dropped.
	r.recordOutcomes(map[string]engine.Outcome{name("b"): engine.Unchanged, name("c"): engine.Failed})
	if got := failed(); got != `h["c"] h["d"] h["e"] h["f"]` {
		t.Errorf("failed: %s", got)
	}
	failing := Selection{Limit: []string{FailedHosts}}
	hosts, _, err := failing.hosts(sc.Config.Hosts(), dir)
	if err != nil || len(hosts) != 4 || hosts[0].Name != name("c") {
		t.Errorf("%v, %v", hosts, err)
	}
	if saved, err := failing.saved(dir); err != nil || strings.Join(saved, " ") != failed() {
		t.Errorf("saved: %q, %v", saved, err)
	}
	file, err := lastRunFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readLastRun(dir); err == nil || !strings.Contains(err.Error(), "corrupt") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(file, []byte(`{"format_version": 2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readLastRun(dir); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("%v", err)
	}
}
