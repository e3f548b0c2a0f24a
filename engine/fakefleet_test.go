package engine_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// fleet is an engine.Fleet of such hosts, and what it reported.
type fleet struct {
	*engine.Fleet
	t     *testing.T
	hosts map[string]*host
	list  []engine.Host

	mu       sync.Mutex
	progress []engine.Progress
}

// newFleet makes a fleet; it is closed at the end of the test.
func newFleet(t *testing.T, hosts map[string]*host, wanted map[string][]*engine.Resource) *fleet {
	f := &fleet{t: t, hosts: hosts}
	for name, h := range hosts {
		if h != nil && h.machine == "" && len(hosts) > 1 {
			h.machine = fmt.Sprintf("%x", sha256.Sum256([]byte(name)))[:32]
		}
	}
	f.Fleet = &engine.Fleet{
		Connect: func(_ context.Context, name string) (*engine.Session, error) {
			if hosts[name] == nil {
				return nil, errors.New("no route to host")
			}
			return hosts[name].connect()
		},
		Wanted:        func(name string, _ map[string]*wire.Facts) ([]*engine.Resource, error) { return wanted[name], nil },
		Types:         registry(),
		Configuration: "ours",
		Version:       "1.2.3",
		Lock:          &engine.Lock{Operator: "alice@laptop", Command: "apply", Timeout: 10 * time.Second},
		Report: func(p engine.Progress) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.progress = append(f.progress, p)
		},
	}
	t.Cleanup(f.Close)
	return f
}

// single is a fleet of one host, "h".
func single(t *testing.T, h *host, wanted ...*engine.Resource) *fleet {
	f := newFleet(t, map[string]*host{"h": h}, map[string][]*engine.Resource{"h": wanted})
	f.list = []engine.Host{{Name: "h"}}
	return f
}

func (f *fleet) plan() *engine.HostPlan {
	f.t.Helper()
	return f.Plan(f.t.Context(), f.list).Hosts[0]
}

// apply plans and applies, and ends all sessions.
func (f *fleet) apply() (*engine.HostPlan, *engine.HostResult) {
	f.t.Helper()
	plan := f.Plan(f.t.Context(), f.list)
	result := f.Apply(f.t.Context(), plan, f.list)
	f.Close()
	synctest.Wait()
	return plan.Hosts[0], result.Hosts[0]
}

// reported is what was reported in a stage.
func (f *fleet) reported(stage engine.Stage) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, p := range f.progress {
		if p.Stage == stage {
			list = append(list, p.Summary)
		}
	}
	return list
}

// bubble runs a test with a clock of its own, in which waiting takes no time.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// converge applies to a host without a failure.
func converge(t *testing.T, h *host, wanted ...*engine.Resource) *engine.Manifest {
	t.Helper()
	_, r := single(t, h, wanted...).apply()
	if r.Err != nil {
		t.Fatalf("apply: %v", r.Err)
	}
	return h.managed(t)
}

// managed is the host's manifest.
func (h *host) managed(t *testing.T) *engine.Manifest {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	m, err := engine.DecodeManifest(h.manifest, h.id())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// managedList is the addresses in the host's manifest.
func (h *host) managedList(t *testing.T) string {
	t.Helper()
	var list []string
	for _, e := range h.managed(t).Resources {
		list = append(list, e.Address)
	}
	return strings.Join(list, " ")
}

// changes are a plan's changes, in their order.
func changes(p *engine.HostPlan) string {
	var list []string
	for i := range p.Changes {
		list = append(list, p.Changes[i].String())
	}
	return strings.Join(list, "; ")
}

// contains fails unless the text has all of the parts.
func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s: %q is missing in: %s", what, p, text)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
