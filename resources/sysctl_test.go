package resources

import (
	"slices"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// TestSysctlRisk has only changes of the network confirmed, however the parameter is spelt.
func TestSysctlRisk(t *testing.T) {
	t.Parallel()
	for name, risky := range map[string]bool{
		"net.ipv4.ip_forward": true, "net/ipv6/conf/all/forwarding": true, "net.core.somaxconn": true,
		"vm.swappiness": false, "kernel/sysrq": false, "fs.net.x": false,
	} {
		s := &Sysctl{Name: name}
		for _, what := range []string{sysctlType{}.Risk(s, nil), sysctlType{}.Risk(nil, s), sysctlType{}.Risk(s, s)} {
			if (what != "") != risky {
				t.Errorf("%s: %q", name, what)
			}
		}
	}
}

func TestSysctlPath(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{ // sysctl.d(5)
		"net.ipv4.conf.enp3s0/200.forwarding": "net/ipv4/conf/enp3s0.200/forwarding",
		"net/ipv4/conf/enp3s0.200/forwarding": "net/ipv4/conf/enp3s0.200/forwarding",
		"kernel.domainname":                   "kernel/domainname",
		"kernel/domainname":                   "kernel/domainname",
	} {
		if got := (sysctlType{}).path(&Sysctl{Name: name}); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// TestSysctlAsksOnce has one program for all parameters of a host: equal questions are asked once.
func TestSysctlAsksOnce(t *testing.T) {
	t.Parallel()
	run := func(name string) (argv []string) {
		for _, q := range (sysctlType{}).Ask(engine.Target{}, sysctlType{}.Complete(engine.Target{}, &Sysctl{Name: name, Value: "1"})) {
			if q.Verb == wire.AskRun {
				argv = append(argv, q.Args...)
			}
		}
		return argv
	}
	if a, b := run("net.ipv4.ip_forward"), run("vm.swappiness"); len(a) == 0 || !slices.Equal(a, b) {
		t.Errorf("asked with %q and with %q", a, b)
	}
}
