package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
	"github.com/mirrorform/mirrorform/internal/matrix"
	"github.com/rogpeppe/go-internal/testscript"
)

// labMain ends the lab after the tests.
type labMain struct{ *testing.M }

func (m labMain) Run() int { return labtest.Main(m.M) }

// TestLab runs the whole tool against real hosts: testdata/lab, each script in all its variants.
func TestLab(t *testing.T) {
	t.Parallel()
	l := labtest.Lab(t)
	if _, err := l.Upstream(t.Context()); err != nil {
		t.Fatal(err)
	}
	runScripts(t, "../../testdata/lab", labParams(l))
}

// labParams has what scripts need to work with hosts of a lab.
func labParams(l *lab.Lab) testscript.Params {
	return testscript.Params{
		Setup: func(env *testscript.Env) error {
			env.Values[hostsKey{}] = &scriptHosts{lab: l, byName: map[string]*lab.Host{}}
			env.Values[caKey{}] = new(*lab.CA)
			env.Values[receiverKey{}] = new(*receiver)
			env.Values[proxyKey{}] = new(*labtest.ConnectProxy)
			env.Values[pollsKey{}] = map[string]*poller{}
			env.Values[downloadsKey{}] = map[string]*running{}
			env.Setenv("LABKEY", l.KeyPath())
			env.Setenv("KNOWN_HOSTS", l.KnownHosts())
			env.Setenv("GATEWAY", l.Gateway)
			examples, err := filepath.Abs(ciExamples)
			if err != nil {
				return err
			}
			env.Setenv("CI_EXAMPLES", examples)
			env.Setenv("OWN_TYPE", filepath.Join(filepath.Dir(examples), "owntype"))
			return setUp(env)
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "ipv6":
				return l.Gateway6 != "", nil
			case "vm": // virtual machines are wanted
				return labtest.VMs(), nil
			}
			return false, fmt.Errorf("unknown condition %s", name)
		},
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status, "repeat": repeat, "boot": boot, "on": on, "reboot": reboot, "eventually": eventually, "edit": edit,
			"github": github, "behind": behind, "serve": serve, "workflow": workflow, "pipeline": pipeline, "fleet": fleet, "power": power, "listing": listOn, "frozen": frozen, "dump": dump, "acme": acme,
			"poll": poll, "http3": askHTTP3, "put": put, "install": install, "download": download,
			"receive": receive, "proxy": proxy, "lay": lay, "around": around, "pack": pack,
		},
	}
}

// hostsKey is the key of a script's *scriptHosts.
type hostsKey struct{}

// scriptHosts are the hosts that one script booted, by the name that it gave them.
type scriptHosts struct {
	lab    *lab.Lab
	byName map[string]*lab.Host
}

var (
	bootMu sync.Mutex
	booted int
)

func hostsOf(ts *testscript.TestScript) *scriptHosts {
	return ts.Value(hostsKey{}).(*scriptHosts)
}

func hostOf(ts *testscript.TestScript, name string) *lab.Host {
	h := hostsOf(ts).byName[name]
	if h == nil {
		ts.Fatalf("no host %s was booted", name)
	}
	return h
}

// boot boots a host, writes NAME.hcl with its host block, and puts its address into $NAME:
//
//	boot NAME [user=USER] [become=BECOME] [os=el9] [vm] [disk=2GB]…
//
// Without os, it has the operating system of the script's variant. $NAME_6 is its IPv6 address.
// $NAME_DISK0 and so on are the disks' paths on the host.
func boot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: boot NAME [user=USER] [become=BECOME] [os=OS] [vm] [disk=SIZE]…")
	}
	name, user, become := args[0], "admin", "sudo"
	bootMu.Lock()
	booted++
	spec := lab.HostSpec{Name: fmt.Sprintf("%s-%d", name, booted)}
	bootMu.Unlock()
	own := true // whether it has the operating system of the variant
	switch system := systemOf(ts); system {
	case matrix.VM:
		spec.VM = true
	default:
		spec.OS = lab.OS(system)
	}
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "user":
			user = value
		case "become":
			become = value
		case "os":
			spec.OS, spec.VM, own = lab.OS(value), false, false
		case "vm":
			spec.VM = true
		case "disk":
			size, err := humanize.ParseBytes(value)
			ts.Check(err)
			spec.Disks = append(spec.Disks, int64(size))
		default:
			ts.Fatalf("boot: %s", arg)
		}
	}
	hosts := hostsOf(ts)
	h, err := hosts.lab.Boot(context.Background(), spec)
	ts.Check(err)
	ts.Defer(func() {
		if err := h.Remove(context.Background()); err != nil {
			ts.Logf("removing host %s: %v", h.Name, err)
		}
	})
	hosts.byName[name] = h
	if own {
		recordVersions(ts, h)
	}
	ts.Setenv(name, h.Address)
	ts.Setenv(name+"_6", h.Address6)
	for i, d := range h.Disks {
		ts.Setenv(fmt.Sprintf("%s_DISK%d", name, i), d.Path)
	}
	key, err := h.HostKey()
	ts.Check(err)
	block := fmt.Sprintf("host %q {\n  address    = %q\n  user       = %q\n  become     = %q\n  identities = [%q]\n  host_key   = %q\n}\n",
		name, h.Address, user, become, hosts.lab.KeyPath(), key)
	ts.Check(os.WriteFile(ts.MkAbs(name+".hcl"), []byte(block), 0o644))
}

// behind takes a host off the network, so that it is reached through another one only, and writes its host block anew:
//
//	behind NAME OUTER
func behind(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: behind NAME OUTER")
	}
	h := hostOf(ts, args[0])
	address, err := h.MoveBehind(context.Background(), hostOf(ts, args[1]))
	ts.Check(err)
	ts.Setenv(args[0], address)
	file := ts.MkAbs(args[0] + ".hcl")
	block, err := os.ReadFile(file)
	ts.Check(err)
	text := strings.ReplaceAll(string(block), fmt.Sprintf("%q", h.Address), fmt.Sprintf("%q\n  jump       = host.%s", address, args[1]))
	ts.Check(os.WriteFile(file, []byte(text), 0o644))
}

// on runs a program on a host, past ssh: on NAME PROGRAM ARGUMENT…; stdout and stderr see what it printed.
func on(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: on NAME PROGRAM ARGUMENT…")
	}
	out, err := hostOf(ts, args[0]).Run(context.Background(), args[1:]...)
	_, _ = ts.Stdout().Write(out)
	if err != nil {
		_, _ = fmt.Fprintln(ts.Stderr(), err)
	}
	if neg != (err != nil) {
		ts.Fatalf("on %s: %v", strings.Join(args, " "), err)
	}
}

// reboot reboots a host and waits until it is back: reboot NAME
func reboot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: reboot NAME")
	}
	ts.Check(hostOf(ts, args[0]).Reboot(context.Background()))
}

// eventually runs a program on a host until it succeeds, for at most two minutes: eventually NAME PROGRAM ARGUMENT…
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually NAME PROGRAM ARGUMENT…")
	}
	h := hostOf(ts, args[0])
	for begin := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		out, err := h.Run(context.Background(), args[1:]...)
		if err == nil {
			_, _ = ts.Stdout().Write(out)
			return
		}
		if time.Since(begin) > 2*time.Minute {
			ts.Fatalf("%s on %s, still after two minutes: %v", strings.Join(args[1:], " "), args[0], err)
		}
	}
}
