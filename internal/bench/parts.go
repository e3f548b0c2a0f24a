package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// packages are the packages of the mirror in testdata/mirror and testdata/ansible.
var packages = []string{"rsync", "logrotate", "cron", "nginx"}

// measureProgram measures the start of the program and the size of the helpers.
func (b *bench) measureProgram(ctx context.Context) error {
	const runs = 50
	start := b.report.begin("The program itself", "Program start", "")
	all, err := interleave(ctx, runs, contender{name: "`mirrorform version`", run: func(ctx context.Context) (sample,
		error) {
		results, err := execute(ctx, b.dir, nil, []string{b.program, "version"})
		return together(results), err
	}})
	if err != nil {
		return err
	}
	start.add(all[0], 0)
	b.report.goal("`mirrorform version`", "under 20 ms", milliseconds(all[0].Median()),
		all[0].Median() < 20*time.Millisecond)
	files, err := filepath.Glob(filepath.Join(b.helpers, "helper-*.gz"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("helper-*.gz not found in %s; run make build", b.helpers)
	}
	var rawMax, packedMax int64
	for _, file := range files {
		raw, packed, err := sizes(file)
		if err != nil {
			return err
		}
		arch := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "helper-"), ".gz")
		b.report.Helpers = append(b.report.Helpers, helperSize{arch, megabytes(raw), megabytes(packed)})
		rawMax, packedMax = max(rawMax, raw), max(packedMax, packed)
	}
	b.report.goal("largest helper", "≤ 3.5 MB", megabytes(rawMax), rawMax <= 3_500_000)
	b.report.goal("largest helper, compressed", "≤ 1.5 MB", megabytes(packedMax), packedMax <= 1_500_000)
	return nil
}

// sizes returns the uncompressed and compressed sizes of a gzip file, in bytes.
func sizes(file string) (raw, packed int64, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	r, err := gzip.NewReader(f)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", file, err)
	}
	raw, err = io.Copy(io.Discard, r)
	return raw, info.Size(), err
}

// measureConverge measures the first converge of fresh hosts. It keeps the hosts of the last round
// for the next parts.
func (b *bench) measureConverge(ctx context.Context) error {
	section := b.report.begin("First converge, packages included", "First converge",
		fmt.Sprintf("%d parallel `ssh root@HOST apt-get install` of the same packages", b.hosts))
	tool, reference := &series{Name: "`mirrorform apply --auto-approve`"}, &series{Name: "`ssh root@HOST apt-get " +
		"install -y …`"}
	if err := b.warm(ctx); err != nil {
		return err
	}
	for round := range b.fresh {
		if err := b.freshRound(ctx, round, tool, reference); err != nil {
			return err
		}
	}
	managed, err := b.boot(ctx, "ansible")
	if err != nil {
		return err
	}
	b.managed = managed
	if b.ansible, err = b.newAnsible(managed); err != nil {
		return err
	}
	if err := b.ansible.prepareHosts(ctx); err != nil {
		return err
	}
	s, err := b.ansible.play(ctx, false)
	if err := errors.Join(err, b.ansible.disconnect(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	other := &series{Name: "`ansible-playbook`, Python installed beforehand", samples: []sample{s}}
	section.add(reference, 1)
	section.add(tool, tool.ratio(reference))
	section.add(other, other.ratio(reference))
	for _, s := range []*series{reference, tool, other} {
		progress("%s: %s (%d runs)", s.Name, seconds(s.Median()), s.Runs())
	}
	ratio := tool.ratio(reference)
	b.report.goal(fmt.Sprintf("first converge, %d hosts", b.hosts), "≤ 1.15 × `apt-get install`", times(ratio),
		ratio <= 1.15)
	return nil
}

// warm installs the packages on a temporary host, so that the shared files of the hosts are in the
// page cache.
func (b *bench) warm(ctx context.Context) error {
	h, err := b.lab.Boot(ctx, lab.HostSpec{Name: "warm"})
	if err != nil {
		return err
	}
	_, err = h.Run(ctx, install()...)
	return errors.Join(err, h.Remove(ctx))
}

// install returns the command line that installs the mirror's packages.
func install() []string {
	return append([]string{"/usr/bin/env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q",
		"--no-install-recommends"}, packages...)
}

// freshRound measures mirrorform and apt-get, each on fresh hosts. The order changes from round to
// round.
func (b *bench) freshRound(ctx context.Context, round int, tool, reference *series) error {
	mirrors, err := b.boot(ctx, fmt.Sprintf("m%d", round+1))
	if err != nil {
		return err
	}
	others, err := b.boot(ctx, fmt.Sprintf("apt%d", round+1))
	if err != nil {
		return err
	}
	f, err := b.fleet("mirror", mirrors, asRoot, "")
	if err != nil {
		return err
	}
	turns := []func() error{
		func() error {
			s, err := f.apply(ctx)
			tool.samples = append(tool.samples, s)
			return err
		},
		func() error {
			s, err := b.onAll(ctx, others, "root", nil, install()...)
			reference.samples = append(reference.samples, s)
			return err
		},
	}
	if round%2 == 1 {
		slices.Reverse(turns)
	}
	for _, turn := range turns {
		if err := turn(); err != nil {
			return err
		}
	}
	if err := sameSoftware(ctx, mirrors[0], others[0]); err != nil {
		return err
	}
	progress("round %d of %d with fresh hosts: mirrorform %s, apt-get %s", round+1, b.fresh,
		seconds(tool.samples[round].wall), seconds(reference.samples[round].wall))
	if round < b.fresh-1 {
		return remove(ctx, append(mirrors, others...))
	}
	b.mirrors = mirrors
	return remove(ctx, others)
}

// sameSoftware checks that both hosts have the same packages, so that the comparison is valid.
func sameSoftware(ctx context.Context, a, b *lab.Host) error {
	list := []string{"dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n"}
	first, err := a.Run(ctx, list...)
	if err != nil {
		return err
	}
	second, err := b.Run(ctx, list...)
	if err != nil {
		return err
	}
	if string(first) != string(second) {
		return fmt.Errorf("%s and %s have different packages after the same installation", a.Name, b.Name)
	}
	return nil
}

// measureNoop measures plans without changes.
func (b *bench) measureNoop(ctx context.Context) error {
	section := b.report.begin("Plan without changes", "No-op plan",
		fmt.Sprintf("%d parallel `ssh root@HOST true`", b.hosts))
	byRoot, err := b.fleet("mirror", b.mirrors, asRoot, "")
	if err != nil {
		return err
	}
	bySudo, err := b.fleet("mirror", b.mirrors, asSudo, "")
	if err != nil {
		return err
	}
	for _, f := range []*fleet{byRoot, bySudo} { // for the mirrors.d files beside the configuration
		if _, err := f.apply(ctx); err != nil {
			return err
		}
	}
	all, err := interleave(ctx, b.rounds,
		contender{name: "`ssh root@HOST true`", before: b.logIn, run: func(ctx context.Context) (sample, error) {
			return b.onAll(ctx, b.mirrors, "root", nil, "true")
		}},
		contender{name: "`mirrorform plan`, root login", run: byRoot.plan},
		contender{name: "`mirrorform plan`, `become = \"sudo\"`", run: bySudo.plan},
		contender{name: "`ssh admin@HOST sudo -n true`", run: func(ctx context.Context) (sample, error) {
			return b.onAll(ctx, b.mirrors, "admin", nil, "sudo", "-n", "true")
		}},
		contender{name: "`ssh root@HOST true`, key exchange curve25519-sha256",
			run: func(ctx context.Context) (sample, error) {
				return b.onAll(ctx, b.mirrors, "root", classic, "true")
			}},
		contender{name: "`ssh admin@HOST sudo -n true`, the same key exchange",
			run: func(ctx context.Context) (sample, error) {
				return b.onAll(ctx, b.mirrors, "admin", classic, "sudo", "-n", "true")
			}},
		contender{
			name: "`ansible-playbook`, pipelining, changed=0", every: 4,
			run:   func(ctx context.Context) (sample, error) { return b.ansible.play(ctx, true) },
			after: b.ansible.disconnect,
		},
	)
	if err != nil {
		return err
	}
	for _, s := range all {
		section.add(s, s.ratio(all[0]))
	}
	root, sudo, other := all[1].ratio(all[0]), all[2].ratio(all[0]), all[6].ratio(all[1])
	b.report.goal(fmt.Sprintf("no-op plan, %d hosts, root login", b.hosts), "≤ 0.6 × `ssh HOST true`", times(root),
		root <= 0.6)
	b.report.goal(fmt.Sprintf("no-op plan, %d hosts, sudo", b.hosts), "≤ 0.6 × `ssh HOST true`", times(sudo),
		sudo <= 0.6)
	same := all[1].ratio(all[4])
	b.report.goal("the same with root login, and ssh with the key exchange that mirrorform uses",
		"≤ 1.1 × `ssh HOST true`", times(same), same <= 1.1)
	section.Note = fmt.Sprintf("In this run, Ansible took %.0f times as long as mirrorform. "+
		"ssh spends much of its time on its default key exchange: OpenSSH before 9.9 prefers sntrup761x25519-sha512, "+
		"which is slow to compute. mirrorform does not support it and uses curve25519-sha256 (with newer servers, "+
		"mlkem768x25519-sha256). "+
		"Compared with ssh that also uses curve25519-sha256, mirrorform's plan takes %s.", other, times(same))
	return nil
}

// logIn logs in to all hosts. systemd keeps an account's user manager for ten seconds after its
// last session (logind.conf(5), UserStopDelaySec), which is longer than a round. Without logIn,
// only the first contender after a pause would wait for the start of the user manager.
func (b *bench) logIn(ctx context.Context) error {
	_, err := b.onAll(ctx, b.mirrors, "root", classic, "true")
	if err == nil {
		_, err = b.onAll(ctx, b.mirrors, "admin", classic, "true")
	}
	return err
}

// The latencies, as round-trip times.
const (
	near = 100 * time.Millisecond
	far  = 500 * time.Millisecond
)

// measureLatency measures plans of one host with network latency.
func (b *bench) measureLatency(ctx context.Context) (err error) {
	h := b.mirrors[0]
	proxy, err := lab.NewProxy(h.Address + ":22")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proxy.Close()) }()
	const name = "Plan of one host with 100 ms of latency"
	section := b.report.begin(name, "Latency", "`ssh root@HOST true` at the same latency")
	section.Trips = true

	contenders, err := b.latencyContenders(ctx, h, proxy)
	if err != nil {
		return err
	}
	proxy.Delay(near/2, near/2)
	all, err := interleave(ctx, b.rounds, contenders...)
	if err != nil {
		return err
	}
	proxy.Delay(far/2, far/2)
	slow, err := interleave(ctx, 3, contenders...)
	if err != nil {
		return err
	}
	trips := make([]float64, len(all))
	for i, s := range all {
		trips[i] = float64(slow[i].Fastest()-s.Fastest()) / float64(far-near)
		row := section.add(s, s.ratio(all[0]))
		row.Trips = fmt.Sprintf("%.1f", trips[i])
		row.More = fmt.Sprintf("%+.1f", float64(s.Median()-all[0].Median())/float64(near))
	}
	for i, how := range []string{"by time", "by time, ssh with the key exchange that mirrorform uses"} {
		more := float64(all[2].Median()-all[i].Median()) / float64(near)
		b.report.goal("no-op plan with 100 ms of latency, 20 resources, "+how,
			"≤ 2 round trips more than `ssh HOST true`", fmt.Sprintf("%+.1f", more), more <= 2)
	}
	// Round trips are whole numbers, but measured values are not.
	counted := math.Round(trips[2]) - math.Round(trips[0])
	b.report.goal("the same, by counting round trips", "≤ 2 round trips more than `ssh HOST true`",
		fmt.Sprintf("%+.0f", counted), counted <= 2)
	growth := all[3].ratio(all[2])
	b.report.goal("200 resources instead of 20, at that latency", "≤ 1.1 ×", times(growth), growth <= 1.1)
	section.Note = "“More” is the difference from `ssh HOST true` in round trips of 100 ms, including all work. " +
		"“Round trips” is the number of consecutive round trips that the program waits for: " +
		"the difference between the fastest runs with 500 ms and 100 ms of latency, divided by 400 ms."
	return nil
}

// latencyContenders returns the commands that run through the proxy.
func (b *bench) latencyContenders(ctx context.Context, h *lab.Host, proxy *lab.Proxy) ([]contender, error) {
	hosts := []*lab.Host{h}
	type variant struct {
		name string
		as   login
		args []string
	}
	variants := []variant{
		{"`mirrorform plan`, 20 resources", asRoot, []string{"--var", "units=2"}},
		{"`mirrorform plan`, 200 resources", asRoot, []string{"--var", "units=20"}},
		{"`mirrorform plan`, 20 resources, `become = \"sudo\"`", asSudo, []string{"--var", "units=2"}},
	}
	plans := make([]contender, len(variants))
	for i, v := range variants {
		direct, err := b.fleet("many", hosts, v.as, "", v.args...)
		if err != nil {
			return nil, err
		}
		if _, err := direct.apply(ctx); err != nil {
			return nil, err
		}
		f, err := b.fleet("many", hosts, v.as, proxy.Addr(), v.args...)
		if err != nil {
			return nil, err
		}
		plans[i] = contender{name: v.name, run: f.plan}
	}
	_, port, err := split(proxy.Addr())
	if err != nil {
		return nil, err
	}
	// ssh(1) uses the first value of an option, so these come before the lab's options.
	through := []string{"-o", "HostKeyAlias=" + h.Address, "-o", "Hostname=127.0.0.1", "-o",
		fmt.Sprintf("Port=%d", port)}
	ssh := func(options ...string) func(context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) {
			return b.onAll(ctx, hosts, "root", append(slices.Clone(through), options...), "true")
		}
	}
	return append([]contender{
		{name: "`ssh root@HOST true`", run: ssh()},
		{name: "`ssh root@HOST true`, key exchange curve25519-sha256", run: ssh(classic...)},
	}, plans...), nil
}
