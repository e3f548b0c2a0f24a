package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/rogpeppe/go-internal/testscript"
)

// rolloutHostsVar is the environment variable that says how many hosts the rollout script has, from 8; make test-rollout sets it to 30.
const rolloutHostsVar = "MIRRORFORM_ROLLOUT_HOSTS"

// fleet boots the hosts of the rollout script, all at once, and writes their blocks: h01 and so on, with four countries, and local.hosts. They are for the waves
// ["wave=canary", "25%", "25%"], of which the last takes two, with a rest:
//
//	fleet
//
// $HOSTS is how many there are, $WAVE how many are in a quarter. $OFF is the last host of the second wave, $BAD the last of the third, and $GOOD the
// first one of it; $THIRD are all of it. $NOT_STARTED are in no wave up to the third.
func fleet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: fleet")
	}
	n := 8
	if text := os.Getenv(rolloutHostsVar); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		if err != nil || n < 8 || n > 99 {
			ts.Fatalf("%s is %q: it takes 8 to 99", rolloutHostsVar, text)
		}
	}
	hosts := hostsOf(ts)
	var specs []lab.HostSpec
	bootMu.Lock()
	booted++
	for i := 1; i <= n; i++ {
		specs = append(specs, lab.HostSpec{Name: fmt.Sprintf("h%02d-%d", i, booted)})
	}
	bootMu.Unlock()
	list, err := hosts.lab.BootAll(context.Background(), specs...)
	for _, h := range list {
		if h == nil {
			continue
		}
		ts.Defer(func() {
			if err := h.Remove(context.Background()); err != nil {
				ts.Logf("removing host %s: %v", h.Name, err)
			}
		})
	}
	ts.Check(err)
	var blocks strings.Builder
	for i, h := range list {
		name := fmt.Sprintf("h%02d", i+1)
		hosts.byName[name] = h
		key, err := h.HostKey()
		ts.Check(err)
		labels := fmt.Sprintf("country = %q", []string{"DE", "NL", "SG", "US"}[i%4])
		if i == 0 {
			labels += `, wave = "canary"`
		}
		fmt.Fprintf(&blocks, "host %q {\n  address         = %q\n  user            = \"admin\"\n  become          = \"sudo\"\n  identities      = [%q]\n"+
			"  host_key        = %q\n  connect_timeout = \"10s\"\n  labels          = { %s }\n}\n\n", name, h.Address, hosts.lab.KeyPath(), key, labels)
	}
	blocks.WriteString("locals {\n  hosts = [")
	for i := range list {
		fmt.Fprintf(&blocks, "host.h%02d, ", i+1)
	}
	blocks.WriteString("]\n}\n")
	ts.Check(os.WriteFile(ts.MkAbs("hosts.hcl"), []byte(blocks.String()), 0o644))
	quarter := (n + 3) / 4
	rest := n - 1 - 2*quarter
	for name, value := range map[string]int{
		"HOSTS": n, "WAVE": quarter, "ROLLED_BACK": quarter - 1, "NOT_STARTED": rest, "CHANGED": quarter, "FAILED": quarter + 1 + rest, "NOT_INTERRUPTED": n - 1,
	} {
		ts.Setenv(name, strconv.Itoa(value))
	}
	var third []string
	for i := 2 + quarter; i <= 1+2*quarter; i++ {
		third = append(third, fmt.Sprintf("h%02d", i))
	}
	ts.Setenv("THIRD", strings.Join(third, " "))
	for name, i := range map[string]int{"OFF": 1 + quarter, "GOOD": 2 + quarter, "BAD": 1 + 2*quarter} {
		ts.Setenv(name, fmt.Sprintf("h%02d", i))
	}
}

// listOn writes what a shell script prints on each of some hosts to a file: listing FILE SCRIPT HOSTS
func listOn(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: listing FILE SCRIPT HOSTS")
	}
	var all strings.Builder
	for name := range strings.FieldsSeq(args[2]) {
		out, err := hostOf(ts, name).Run(context.Background(), "sh", "-c", args[1])
		ts.Check(err)
		fmt.Fprintf(&all, "%s:\n%s", name, out)
	}
	if all.Len() == 0 {
		ts.Fatalf("listing: there are no hosts in %q", args[2])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(all.String()), 0o644))
}

// power switches a host off as a power cut does, or on: power off|on NAME
func power(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: power off|on NAME")
	}
	h := hostOf(ts, args[1])
	switch args[0] {
	case "off":
		ts.Check(h.Kill(context.Background()))
	case "on":
		ts.Check(h.Start(context.Background()))
	default:
		ts.Fatalf("power: %s", args[0])
	}
}
