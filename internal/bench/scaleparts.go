package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// scaleSet is a set of cases with the same number of resources per host and the same round-trip
// time.
type scaleSet struct {
	resources int
	delay     time.Duration
	hashed    bool  // known_hosts has hashed names (ssh_config(5)); all are tried
	plan      []int // numbers of hosts for a plan
	apply     []int // numbers of hosts for an apply without changes
}

// scaleSets are the measured sets. The others are compared with the first.
var scaleSets = []scaleSet{
	{resources: 20, plan: []int{1, 10, 100, 1000, 5000}, apply: []int{100, 1000}},
	{resources: 1, plan: []int{1000}},
	{resources: 200, plan: []int{100, 1000}},
	{resources: 20, delay: 100 * time.Millisecond, plan: []int{100, 1000}},
	{resources: 20, hashed: true, plan: []int{1000}},
}

// upTo returns the set without the cases of more than most hosts.
func (s scaleSet) upTo(most int) *scaleSet {
	more := func(n int) bool { return n > most }
	s.plan, s.apply = slices.DeleteFunc(slices.Clone(s.plan), more), slices.DeleteFunc(slices.Clone(s.apply), more)
	return &s
}

// most returns the largest number of hosts in a set.
func (s *scaleSet) most() int { return slices.Max(slices.Concat([]int{0}, s.plan, s.apply)) }

// scaleRow is the measurement for one number of hosts.
type scaleRow struct {
	Hosts, Resources int
	Delay            time.Duration
	Command          string
	Series           *series
	alone            int64 // peak memory with one host
}

// Network describes the round-trip time.
func (r *scaleRow) Network() string {
	if r.Delay == 0 {
		return "almost none"
	}
	return fmt.Sprintf("%d ms", r.Delay.Milliseconds())
}

// Memory returns the peak memory.
func (r *scaleRow) Memory() string { return fmt.Sprintf("%.0f MB", float64(r.Series.Peak())/1e6) }

// perHost returns the peak memory per host, in bytes.
func (r *scaleRow) perHost() int64 { return (r.Series.Peak() - r.alone) / int64(r.Hosts) }

// MemoryPerHost returns the peak memory per host. With few hosts the value has no meaning.
func (r *scaleRow) MemoryPerHost() string {
	if r.Hosts < 100 || r.alone == 0 {
		return "–"
	}
	return kilobytes(r.perHost())
}

// PerHost returns the wall time per host.
func (r *scaleRow) PerHost() time.Duration { return r.Series.Median() / time.Duration(r.Hosts) }

// CPUPerHost returns the controller's processor time per host.
func (r *scaleRow) CPUPerHost() time.Duration { return r.Series.CPU() / time.Duration(r.Hosts) }

// measureScale measures mirrorform on simulated hosts.
func (b *bench) measureScale(ctx context.Context) (err error) {
	memory, err := os.MkdirTemp(sharedMemory(), "mirrorform-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(memory)) }()
	var all []*simulation
	defer func() {
		for _, s := range all {
			err = errors.Join(err, s.end())
		}
	}()
	var sets []*scaleSet
	for _, set := range scaleSets {
		if limited := set.upTo(b.scaleHosts); limited.most() > 0 {
			sets = append(sets, limited)
		}
	}
	for _, set := range sets {
		s, err := b.prepareSet(ctx, memory, set, all)
		if err != nil {
			return err
		}
		all = append(all, s)
	}
	b.report.beginScale(b.scaleRounds)
	for i, set := range sets {
		for _, n := range set.plan {
			if err := b.measureSize(ctx, all[i], set, n, "plan"); err != nil {
				return err
			}
		}
		for _, n := range set.apply {
			if err := b.measureSize(ctx, all[i], set, n, "apply"); err != nil {
				return err
			}
		}
	}
	if err := b.scaleAnsible(ctx, all[0], sets[0].resources); err != nil {
		return err
	}
	b.report.Scale.judge()
	return nil
}

// sharedMemory returns a directory in memory if there is one, so that simulated hosts do not wait
// for a disk.
func sharedMemory() string {
	const dir = "/dev/shm"
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return dir
	}
	return ""
}

// prepareSet simulates the hosts of a set and converges them. A set with the same resources as an
// earlier one uses its hosts.
func (b *bench) prepareSet(ctx context.Context, memory string, set *scaleSet, earlier []*simulation) (*simulation,
	error) {
	for _, e := range earlier {
		if e.resources == set.resources && len(e.hosts) >= set.most() {
			s, err := b.simulate(ctx, e.dir, set)
			if err == nil {
				s.record = e.record
			}
			return s, err
		}
	}
	dir, err := os.MkdirTemp(memory, "hosts-")
	if err != nil {
		return nil, err
	}
	s, err := b.simulate(ctx, dir, set)
	if err != nil {
		return nil, err
	}
	if err := s.converge(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("converging %d simulated hosts: %w", set.most(), err), s.end())
	}
	return s, nil
}

// measureSize measures one command on the first n hosts.
func (b *bench) measureSize(ctx context.Context, s *simulation, set *scaleSet, n int, command string) (err error) {
	f, err := s.configuration(n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(f.dir)) }()
	run := f.plan
	if command == "apply" {
		run = f.applyNothing
	}
	one := &series{}
	if n < 1000 { // a warm-up run, which matters more with few hosts
		_, err = run(ctx)
	}
	for range b.scaleRounds {
		var s sample
		if err == nil {
			s, err = run(ctx)
		}
		one.samples = append(one.samples, s)
	}
	if err != nil {
		return fmt.Errorf("%s of %d hosts with %d resources: %w", command, n, set.resources, err)
	}
	row := scaleRow{Hosts: n, Resources: set.resources, Delay: set.delay, Command: "`mirrorform " + command + "`",
		Series: one}
	if set.hashed {
		row.Command += ", hashed known_hosts"
	}
	b.report.Scale.add(row)
	progress("%s, %d hosts, %d resources, round trip %s: %s, processor time %s, peak memory %s",
		row.Command, n, set.resources, row.Network(), seconds(one.Median()), seconds(one.CPU()), row.Memory())
	return nil
}

// add adds a row. Its memory per host is relative to the first row, which has one host.
func (s *scaleSection) add(r scaleRow) {
	if len(s.Rows) > 0 {
		r.alone = s.Rows[0].Series.Peak()
	}
	s.Rows = append(s.Rows, &r)
}

// find returns the row of a plan with 20 resources and no delay, or nil.
func (s *scaleSection) find(hosts int) *scaleRow {
	for _, r := range s.Rows {
		if r.Hosts == hosts && r.Resources == 20 && r.Delay == 0 && r.Command == "`mirrorform plan`" {
			return r
		}
	}
	return nil
}

// judge compares the results with the targets.
func (s *scaleSection) judge() {
	few, many := s.find(100), s.find(1000)
	if few == nil || many == nil {
		return
	}
	ratio := many.Series.ratio(few.Series)
	s.Goals = append(s.Goals,
		goal{"plan of 1,000 hosts with 20 resources each: time", "≤ 10 × that of 100", times(ratio), ratio <= 10},
		goal{"plan of 1,000 hosts with 20 resources each: memory per host", "under 100 KB", kilobytes(many.perHost()),
			many.perHost() < 100_000},
	)
}

// scaleAnsible measures Ansible on as many hosts as it handles within a few minutes. Directly
// before, it measures a plan of mirrorform with the same hosts, so that other load on the machine
// affects both.
func (b *bench) scaleAnsible(ctx context.Context, s *simulation, resources int) error {
	b.report.Scale.AnsibleLoad = loadAverages()
	for _, n := range []int{1, 10, 100} {
		if n > b.scaleOther || n > len(s.hosts) {
			break
		}
		var inventory strings.Builder
		for _, h := range s.hosts[:n] {
			fmt.Fprintf(&inventory, "%s ansible_host=%s ansible_port=%d ansible_user=root ansible_ssh_private_key_file=%s "+
				"root=%s\n", h.Name, h.Address, h.Port, s.identity, h.Root)
		}
		f, err := s.configuration(n)
		if err != nil {
			return err
		}
		beside, err := f.plan(ctx)
		if err := errors.Join(err, os.RemoveAll(f.dir)); err != nil {
			return err
		}
		a, err := b.playbook("scale", inventory.String(), s.knownHosts, n, 64)
		if err != nil {
			return err
		}
		one, err := a.play(ctx, true)
		if err := errors.Join(err, a.disconnect(context.WithoutCancel(ctx))); err != nil {
			return err
		}
		b.report.Scale.add(scaleRow{Hosts: n, Resources: resources, Command: "`mirrorform plan`, before Ansible",
			Series: &series{samples: []sample{beside}}})
		b.report.Scale.add(scaleRow{Hosts: n, Resources: resources, Command: "`ansible-playbook`",
			Series: &series{samples: []sample{one}}})
		progress("ansible-playbook, %d hosts: %s, processor time %s; mirrorform plan right before it: "+
			"%s, processor time %s", n, seconds(one.wall), seconds(one.cpu), seconds(beside.wall), seconds(beside.cpu))
	}
	return nil
}
