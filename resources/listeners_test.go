package resources

import (
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// What conflicts was tried, with SO_REUSEADDR as nginx sets it.
func TestHoldsListen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		address       string
		ipv4          bool
		listen        string
		holds, covers bool
	}{
		{"0.0.0.0", false, "80", true, true},
		{"0.0.0.0", false, "*:80", true, true},
		{"0.0.0.0", false, "192.0.2.1:80", true, true},
		{"0.0.0.0", false, "[::]:80", false, false},
		{"0.0.0.0", false, "[2001:db8::1]:80", false, false},
		{"0.0.0.0", false, "8080", false, false},
		{"192.0.2.1", false, "80", true, false},
		{"192.0.2.1", false, "192.0.2.1:80", true, true},
		{"192.0.2.1", false, "192.0.2.2:80", false, false},
		{"127.0.0.1", false, "0.0.0.0:80", true, false},
		{"::", false, "[::]:80", true, true},
		{"::", false, "[2001:db8::1]:80", true, true},
		{"::", false, "80", false, false},
		{"::", true, "80", true, true},
		{"::", true, "192.0.2.1:80", true, true},
		{"::", true, "[::]:80", true, true},
		{"2001:db8:0:0:0:0:0:1", false, "[::]:80", true, false},
		{"2001:db8:0:0:0:0:0:1", false, "[2001:db8::1]:80", true, true},
		{"2001:db8:0:0:0:0:0:1", false, "[2001:db8::2]:80", false, false},
		{"2001:db8:0:0:0:0:0:1", false, "80", false, false},
		{"nonsense", false, "80", true, false},
		{"0.0.0.0", false, "nonsense", false, false},
	} {
		holds, covers := holdsListen(wire.Listener{Address: test.address, Port: 80, IPv4: test.ipv4}, test.listen)
		if holds != test.holds || covers != test.covers {
			t.Errorf("%s (IPv4 %v) and %s: %v, %v", test.address, test.ipv4, test.listen, holds, covers)
		}
	}
}

func TestTakenPortsUnknown(t *testing.T) {
	t.Parallel()
	q := listenersQuery("", "[::]:443", "80", "443")
	if q.Key() != "listeners [443 80]" {
		t.Error(q.Key())
	}
	got, err := engine.NewAnswers([]wire.Query{q}, []wire.Answer{{Error: "open /proc/net/tcp: permission denied"}})
	if err != nil {
		t.Fatal(err)
	}
	problems := takenPorts("", []string{"80", "443"}, nginxFacts, got)
	if len(problems) != 1 || problems[0].Severity != engine.Warning {
		t.Errorf("%+v", problems)
	}
}

// HTTP/3 needs the port of UDP as well.
func TestTakenPortOfUDP(t *testing.T) {
	t.Parallel()
	q := listenersQuery(wire.UDP, "[::]:443", "443")
	held := wire.Listener{Address: "0.0.0.0", Port: 443, Program: "vpn", PID: 7, Unit: "vpn.service"}
	for program, want := range map[string]string{
		"vpn":   "UDP port 443 is held by vpn (pid 7, vpn.service): nginx could not listen there",
		"nginx": "",
	} {
		held.Program = program
		got, err := engine.NewAnswers([]wire.Query{q}, []wire.Answer{{Listeners: &wire.Listeners{Sockets: []wire.Listener{held}}}})
		if err != nil {
			t.Fatal(err)
		}
		found := ""
		for _, p := range takenPorts(wire.UDP, []string{"443", "[::]:443"}, nginxFacts, got) {
			found += p.Attribute + ": " + p.Summary
		}
		if want != "" {
			want = "http3: " + want
		}
		if found != want {
			t.Errorf("held by %s: %q, want %q", program, found, want)
		}
	}
}
