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

// fleet is a fleet of such hosts, what is wanted on them, and what was reported. A test replaces
// what it is about.
type fleet struct {
	Connect        func(ctx context.Context, host string) (*engine.Session, error)
	Login          func(host string) string
	ConfirmTimeout func(host string) time.Duration
	Parallelism    int
	engine.Ledger

	Wanted  func(host string, facts map[string]*wire.Facts) ([]*engine.Resource, error)
	LeftOut func(host string, facts map[string]*wire.Facts) func(engine.Address) bool
	Select  func(t engine.Target, all []*engine.Resource) []*engine.Resource
	Adjust  func(selected []*engine.Resource) []*engine.Resource
	Replace []string
	Entry   engine.Entry
	Report  engine.Report

	t     *testing.T
	hosts map[string]*host
	list  []engine.Host
	plans []*engine.Plan

	mu       sync.Mutex
	progress []engine.Progress
}

// lock is the lock that fleets take unless a test replaces it.
var lock = engine.Lock{Operator: "alice@laptop", Command: "apply", Timeout: 10 * time.Second}

// newFleet makes a fleet; its plans are closed at the end of the test.
func newFleet(t *testing.T, hosts map[string]*host, wanted map[string][]*engine.Resource) *fleet {
	for name, h := range hosts {
		if h != nil && h.machine == "" && len(hosts) > 1 {
			h.machine = fmt.Sprintf("%x", sha256.Sum256([]byte(name)))[:32]
		}
	}
	f := &fleet{
		Connect: func(_ context.Context, name string) (*engine.Session, error) {
			if hosts[name] == nil {
				return nil, errors.New("no route to host")
			}
			return hosts[name].connect()
		},
		Login:          func(string) string { return "" },
		ConfirmTimeout: func(string) time.Duration { return 0 },
		Ledger:         engine.Ledger{Types: registry(), Configuration: "ours", Version: "1.2.3"},
		Wanted:         func(name string, _ map[string]*wire.Facts) ([]*engine.Resource, error) { return wanted[name], nil },
		LeftOut: func(string, map[string]*wire.Facts) func(engine.Address) bool {
			return func(engine.Address) bool { return false }
		},
		Select: func(_ engine.Target, all []*engine.Resource) []*engine.Resource { return all },
		Adjust: func(selected []*engine.Resource) []*engine.Resource { return selected },
		Entry:  lock,
		t:      t, hosts: hosts,
	}
	f.Report = func(p engine.Progress) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.progress = append(f.progress, p)
	}
	t.Cleanup(f.Close)
	return f
}

// access and intent are the fleet as the engine sees it.
type (
	access struct{ *fleet }
	intent struct{ *fleet }
)

func (a access) Connect(ctx context.Context, host string) (*engine.Session, error) {
	return a.fleet.Connect(ctx, host)
}
func (a access) Login(host string) string                 { return a.fleet.Login(host) }
func (a access) ConfirmTimeout(host string) time.Duration { return a.fleet.ConfirmTimeout(host) }

func (i intent) Wanted(host string, facts map[string]*wire.Facts) ([]*engine.Resource, error) {
	return i.fleet.Wanted(host, facts)
}

func (i intent) LeftOut(host string, facts map[string]*wire.Facts) func(engine.Address) bool {
	return i.fleet.LeftOut(host, facts)
}

func (i intent) Select(t engine.Target, all []*engine.Resource) []*engine.Resource {
	return i.fleet.Select(t, all)
}

func (i intent) Adjust(selected []*engine.Resource) []*engine.Resource {
	return i.fleet.Adjust(selected)
}
func (i intent) Replaced() []string { return i.Replace }

func (f *fleet) engine() *engine.Fleet { return engine.NewFleet(access{f}, f.Parallelism, f.Ledger) }

// Plan plans hosts, with the connections that stay open until Close.
func (f *fleet) Plan(ctx context.Context, hosts []engine.Host) *engine.Plan {
	return f.PlanAgain(ctx, &engine.Plan{}, hosts)
}

// PlanAgain plans hosts that have an approved plan.
func (f *fleet) PlanAgain(ctx context.Context, approved *engine.Plan, hosts []engine.Host) *engine.Plan {
	p := engine.NewPlanner(f.engine(), intent{f}, f.Entry, f.Report).PlanAgain(ctx, approved, hosts)
	f.plans = append(f.plans, p)
	return p
}

// Apply applies a plan.
func (f *fleet) Apply(ctx context.Context, plan *engine.Plan) *engine.Result {
	return f.ApplyWith(ctx, plan, engine.ApplyOptions{})
}

// ApplyWith applies a plan with options.
func (f *fleet) ApplyWith(ctx context.Context, plan *engine.Plan, o engine.ApplyOptions) *engine.Result {
	return engine.NewApplier(plan, f.Report).Apply(ctx, o)
}

// Close closes all plans.
func (f *fleet) Close() {
	for _, p := range f.plans {
		p.Close()
	}
	f.plans = nil
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
	result := f.Apply(f.t.Context(), plan)
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
