package faults

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
	"github.com/mirrorform/mirrorform/resources"
)

const manifestFile = stateDir + "/manifest.json"

// sample returns a manifest as a fleet of simulated hosts leaves it, and the machine ID in it.
func sample(t testing.TB) (text []byte, machine string) {
	t.Helper()
	types := resources.All()
	hosts := map[string]*play{"h": {}}
	var committed []byte
	hosts["h"].committed = func(manifest []byte) { committed = manifest }
	f := &fleet{hosts: hosts, types: types, wanted: func(host string) []*engine.Resource {
		secret, content := "canary-4411\n", "x\n"
		f, s := engine.Address{Host: host, Type: "file", Name: "f"}, engine.Address{Host: host, Type: "file", Name: "s"}
		return []*engine.Resource{
			{Address: f, Kind: types.Kind("file"), State: &resources.File{Path: "/etc/f", Content: &content, Mode: "0600"}, Source: "main.hcl:1", PreventDestroy: true},
			{Address: s, Kind: types.Kind("file"), State: &resources.File{Path: "/etc/s", Content: &secret}, Source: "main.hcl:7",
				Sensitive: map[string]bool{"content": true}, DependsOn: []engine.Address{f}},
		}
	}}
	if _, result := f.apply(t); result.Failed() {
		t.Fatalf("the played host fails: %v", result.Hosts[0].Err)
	}
	if len(committed) < 500 || strings.Contains(string(committed), "canary") {
		t.Fatalf("the manifest: %s", committed)
	}
	return committed, strings.Repeat("f", 32)
}

// TestFault17ManifestBits: each bit of a manifest is flipped, and the manifest is truncated after
// each byte. It is refused or has the same meaning as before (the case of some names in JSON does
// not count).
func TestFault17ManifestBits(t *testing.T) {
	t.Parallel()
	text, machine := sample(t)
	good, err := engine.DecodeManifest(text, machine)
	if err != nil || len(good.Resources) != 2 {
		t.Fatalf("%+v, %v", good, err)
	}
	same, count := 0, 0
	for at := range text {
		for bit := range 8 {
			damaged := append([]byte(nil), text...)
			damaged[at] ^= 1 << bit
			count++
			m, err := engine.DecodeManifest(damaged, machine)
			switch {
			case err == nil && !reflect.DeepEqual(m, good):
				t.Errorf("byte %d, bit %d: it is taken, and says something else", at, bit)
			case err == nil && bit != 5: // of ASCII letters: the case
				t.Errorf("byte %d (%q), bit %d: it is taken", at, text[at], bit)
			case err == nil:
				same++
			}
		}
	}
	if same > len(text)/4 {
		t.Errorf("%d of %d damaged manifests are taken as sound", same, count)
	}
	for n := 1; n < len(text)-1; n++ { // without the last newline it is whole
		count++
		if _, err := engine.DecodeManifest(text[:n], machine); err == nil {
			t.Errorf("cut off after %d bytes it is taken", n)
		}
	}
	record(t, 17, "every bit of a manifest flipped; cut after every byte", count, "refused, or read with the same meaning")
}

// orphaned prepares hosts with two managed files, and returns a site whose configuration no longer
// has one of them. With an intact manifest, apply would remove that file.
func orphaned(t testing.TB, hosts ...*lab.Host) *site {
	t.Helper()
	var entries []host
	names := "host.h"
	for i, h := range hosts {
		entries = append(entries, host{Host: h})
		if len(hosts) > 1 {
			if i == 0 {
				names = "host.h1"
				continue
			}
			names += fmt.Sprintf(", host.h%d", i+1)
		}
	}
	s := newSite(t, entries...)
	stays := fileBlock(names, "stays", "/etc/ctl/stays", "stays\n", "")
	s.write("main.hcl", stays+fileBlock(names, "orphan", "/etc/ctl/orphan", "orphan\n", ""))
	s.apply().says(t, 0)
	s.write("main.hcl", stays)
	s.run("plan", "--detailed-exitcode").says(t, 2, "file.orphan") // it is noticed, and would be removed
	return s
}

// refusedFor fails the test unless a run failed for each of the hosts with the next step, and wrote
// nothing on any of them.
func refusedFor(t testing.TB, what string, hosts []*lab.Host, r result) {
	t.Helper()
	if r.exit != 1 || strings.Count(r.output, "state rebuild") < 1 || !strings.Contains(r.output, "manifest") {
		t.Errorf("%s: exit status %d:\n%s", what, r.exit, r.output)
	}
	for _, h := range hosts {
		if !succeeds(h, "test -e /etc/ctl/orphan -a -e /etc/ctl/stays") {
			t.Errorf("%s: a file was deleted on %s", what, h.Name)
		}
	}
}

// TestFault17ManifestBytes: bytes of the manifest on real hosts are flipped, several hosts in
// parallel. Nothing is deleted or written, and plan and apply report the next step.
func TestFault17ManifestBytes(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	program(t)
	hosts := labtest.Hosts(t, size(2, 6))
	s := orphaned(t, hosts...)
	manifests, checks, shortest := make([]string, len(hosts)), make([]func(string), len(hosts)), 0
	for i, h := range hosts {
		manifests[i] = read(t, h, manifestFile)
		if shortest == 0 || len(manifests[i]) < shortest {
			shortest = len(manifests[i])
		}
	}
	bytes := spread(shortest, size(20, shortest))
	count := 0
	for len(bytes) > 0 {
		n := min(len(hosts), len(bytes))
		for i, at := range bytes[:n] {
			damaged := []byte(manifests[i])
			damaged[at-1] ^= 1
			put(t, hosts[i], manifestFile, string(damaged), 0o600)
			checks[i] = unwritten(t, hosts[i])
			count++
		}
		limit := make([]string, 0, 2*n)
		for i := range n {
			limit = append(limit, "--limit", fmt.Sprint("h", i+1))
		}
		what := fmt.Sprintf("bytes %v flipped", bytes[:n])
		// Every time with apply; plan is the same up to there.
		r := s.apply(limit...)
		refusedFor(t, what, hosts[:n], r)
		for i := range n {
			if !strings.Contains(r.output, fmt.Sprintf("h%d: plan failed", i+1)) {
				t.Errorf("%s: nothing is said of h%d:\n%s", what, i+1, r.output)
			}
			checks[i](what)
		}
		bytes = bytes[n:]
	}
	r := s.run("plan")
	refusedFor(t, "plan", hosts, r)
	for i, h := range hosts {
		put(t, h, manifestFile, manifests[i], 0o600)
	}
	for _, h := range hosts {
		oracle(t, s, h, result{exit: 1})
		if succeeds(h, "test -e /etc/ctl/orphan") {
			t.Error("with a sound manifest the orphan is not removed, so the test shows nothing")
		}
	}
	record(t, 17, "bytes of the manifest flipped on real hosts", count, "refused with the next step; nothing written or deleted")
}

// TestFault17ManifestGone: the manifest is missing, empty, truncated, a directory, a link or not
// JSON. Nothing is deleted, and state rebuild repairs it.
func TestFault17ManifestGone(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s := orphaned(t, h)
	sound := read(t, h, manifestFile)
	cases := []struct {
		name, script string
		refused      bool
	}{
		{"missing", "rm " + manifestFile, false},
		{"empty", ": >" + manifestFile, false},
		{"cut in half", "truncate -s " + fmt.Sprint(len(sound)/2) + " " + manifestFile, true},
		{"a directory", "rm " + manifestFile + " && mkdir " + manifestFile, true},
		{"a link to nothing", "rm " + manifestFile + " && ln -s /nonexistent " + manifestFile, true},
		{"a named pipe", "rm " + manifestFile + " && mkfifo " + manifestFile, true},
		{"zeros", "head -c 4096 /dev/zero >" + manifestFile, true},
		{"twice", "cat " + manifestFile + " " + manifestFile + " >/root/m && cat /root/m >" + manifestFile, true},
		{"an empty object", "echo {} >" + manifestFile, true},
		{"16 MB", "head -c 16777216 /dev/zero | tr '\\0' ' ' >" + manifestFile, true},
	}
	for _, c := range cases {
		sh(t, h, c.script)
		check := unwritten(t, h)
		plan := s.run("plan")
		check(c.name + ": plan")
		if !succeeds(h, "test -e /etc/ctl/orphan -a -e /etc/ctl/stays") {
			t.Errorf("%s: a file was deleted", c.name)
		}
		if c.refused {
			refusedFor(t, c.name+", plan", []*lab.Host{h}, plan)
			refusedFor(t, c.name+", apply", []*lab.Host{h}, s.apply())
			check(c.name + ": apply")
			s.run("state", "rebuild", "h").says(t, 0)
			if !succeeds(h, "ls -d "+manifestFile+".1") {
				t.Errorf("%s: the old manifest was not kept", c.name)
			}
		} else if plan.exit != 0 {
			t.Errorf("%s: plan has exit status %d:\n%s", c.name, plan.exit, plan.output)
		}
		oracle(t, s, h, plan)
		if !succeeds(h, "test -e /etc/ctl/orphan -a -e /etc/ctl/stays") {
			t.Errorf("%s: a file was deleted afterwards", c.name)
		}
		sh(t, h, "rm -rf "+manifestFile+"*")
		put(t, h, manifestFile, sound, 0o600)
	}
	oracle(t, s, h, result{exit: 1})
	if succeeds(h, "test -e /etc/ctl/orphan") {
		t.Error("with the sound manifest the orphan is not removed, so the test shows nothing")
	}
	record(t, 17, "manifest missing, empty, truncated or not a file", len(cases), "nothing deleted; refused with the next step, or a new manifest started")
}

// reseal returns an edited manifest with a valid checksum.
func reseal(t testing.TB, text string, edit func(*engine.Manifest)) string {
	t.Helper()
	m := new(engine.Manifest)
	if err := json.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	edit(m)
	out, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestFault18ForeignManifest: a cloned host has the manifest of another machine, and a host that a
// newer mirrorform has managed has a newer manifest. Both are refused, and nothing is deleted
// because of them.
func TestFault18ForeignManifest(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	program(t)
	hosts := labtest.Hosts(t, 2)
	s := orphaned(t, hosts...)
	one, two := read(t, hosts[0], manifestFile), read(t, hosts[1], manifestFile)
	h := hosts[1]
	newer := strings.Replace(two, "\"format_version\": 2", "\"format_version\": 3", 1)
	if newer == two {
		t.Fatalf("no format in %s", two)
	}
	id := read(t, h, "/etc/machine-id")
	cases := []struct{ name, manifest, machine, says string }{
		{"copied from another host", one, id, "another machine"},
		{"of a newer format", newer, id, "format 3"},
		{"of a newer format, with what that may bring", strings.Replace(newer, "{", "{\n \"encryption\": {\"key\": 7},", 1), id, "format 3"},
		{"the machine has another machine-id now", two, strings.Repeat("0123456789abcdef", 2) + "\n", "another machine"},
		{"without a machine-id", reseal(t, two, func(m *engine.Manifest) { m.Machine = "" }), id, "another machine"},
	}
	for _, c := range cases {
		put(t, h, manifestFile, c.manifest, 0o600)
		put(t, h, "/etc/machine-id", c.machine, 0o444)
		check := unwritten(t, h)
		for _, args := range [][]string{{"plan", "--limit", "h2"}, {"apply", "--auto-approve", "--limit", "h2"}} {
			r := s.run(args...)
			r.says(t, 1, c.says)
			if !succeeds(h, "test -e /etc/ctl/orphan -a -e /etc/ctl/stays") {
				t.Errorf("%s: a file was deleted:\n%s", c.name, r.output)
			}
			if !strings.Contains(r.output, "state rebuild") && !strings.Contains(c.name, "newer") {
				t.Errorf("%s: no way out is named:\n%s", c.name, r.output)
			}
		}
		check(c.name)
		put(t, h, "/etc/machine-id", id, 0o444)
	}
	// The way out: the clone's manifest is made anew from what is there. The orphan is nobody's then, and stays.
	put(t, h, manifestFile, one, 0o600)
	s.run("state", "rebuild", "h2").says(t, 0)
	s.apply("--limit", "h2").says(t, 0)
	if !succeeds(h, "test -e /etc/ctl/orphan -a -e /etc/ctl/stays") {
		t.Error("after state rebuild something was deleted that the rebuilt manifest does not have")
	}
	for _, h := range hosts {
		oracle(t, s, h, result{exit: 1})
	}
	if succeeds(hosts[0], "test -e /etc/ctl/orphan") {
		t.Error("with its own manifest the other host keeps the orphan, so the test shows nothing")
	}
	record(t, 18, "manifest of a cloned host, or of a newer version", len(cases), "refused with the next step; nothing deleted")
}
