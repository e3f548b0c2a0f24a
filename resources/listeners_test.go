package resources

import (
	"strings"
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

// A server with one socket for both families gets no port of which either family is taken.
func TestHoldsBothFamilies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		address, listen string
		both, one       bool // whether it is held for such a server, and for nginx
	}{
		{"::1", "80", true, false},
		{"::", "0.0.0.0:80", true, false},
		{"127.0.0.1", "[::]:80", true, false},
		{"127.0.0.1", "80", true, true},
		{"::1", "8080", false, false},
		{"::1", "127.0.0.1:80", false, false},
	} {
		socket := wire.Listener{Address: test.address, Port: 80}
		for _, server := range []struct {
			facts ServerFacts
			want  bool
		}{{apacheDebian, test.both}, {apacheEL, test.both}, {caddyFacts, test.both}, {nginxFacts, test.one}} {
			if holds, _ := server.facts.holds(socket, test.listen); holds != server.want {
				t.Errorf("%s and %s: %s: %v", test.address, test.listen, server.facts.Name, holds)
			}
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
	problems := takenPorts(engine.Target{}, "", []string{"80", "443"}, nginxFacts, got)
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
		for _, p := range takenPorts(engine.Target{}, wire.UDP, []string{"443", "[::]:443"}, nginxFacts, got) {
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

// A program that the plan stops makes room. One that served sites of this configuration and stays
// is named with what to do.
func TestTakenPortsOfAnotherServer(t *testing.T) {
	t.Parallel()
	nginxOn := func(ports ...int) (found wire.Listeners) {
		for _, port := range ports {
			found.Sockets = append(found.Sockets,
				wire.Listener{Address: "0.0.0.0", Port: port, Program: "nginx", PID: 7, Unit: "nginx.service"},
				wire.Listener{Address: "::", Port: port, Program: "nginx", PID: 7, Unit: "nginx.service"})
		}
		return found
	}
	apache := ServerFacts{Name: "Apache", Program: "apache2"}
	own := []engine.Record{{Own: true, Type: "nginx_site"}}
	for name, test := range map[string]struct {
		target   engine.Target
		found    wire.Listeners
		severity engine.Severity
		want     []string // the beginning of each problem
	}{
		"stopped": {
			engine.Target{Stops: []string{"nginx.service"}, Records: own}, nginxOn(80, 443), engine.Warning,
			[]string{"HTTP on port 80 is interrupted while nginx hands over to Apache: ", "HTTP on port 443 is interrupted while nginx hands over to Apache: "},
		},
		"another is stopped": {
			engine.Target{Stops: []string{"caddy.service"}}, nginxOn(80), engine.Error,
			[]string{"port 80 is held by nginx (pid 7, nginx.service): Apache could not listen there: stop it, or choose another port"},
		},
		"it stays": {
			engine.Target{Records: own}, nginxOn(80), engine.Error,
			[]string{"port 80 is held by nginx (pid 7, nginx.service): Apache could not listen there: it was on the host before or serves other sites, " +
				`so it stays: choose another port, or have nginx serve the files (in a mirror: web.server = "nginx", with site = "join" to add ` +
				"them to a site of your own); to stop it: systemctl disable --now nginx.service"},
		},
		"it stays, of another configuration": {
			engine.Target{Records: []engine.Record{{Type: "nginx_site"}}}, nginxOn(80), engine.Error,
			[]string{"port 80 is held by nginx (pid 7, nginx.service): Apache could not listen there: stop it, or choose another port"},
		},
		"on other ports": {engine.Target{Records: own}, nginxOn(8080), engine.Error, nil},
	} {
		listens := []string{"80", "[::]:80", "443", "[::]:443"}
		got, err := engine.NewAnswers([]wire.Query{listenersQuery("", listens...)}, []wire.Answer{{Listeners: &test.found}})
		if err != nil {
			t.Fatal(err)
		}
		problems := takenPorts(test.target, "", listens, apache, got)
		if len(problems) != len(test.want) {
			t.Errorf("%s: %q", name, problems)
			continue
		}
		for i, p := range problems {
			if p.Severity != test.severity || !strings.HasPrefix(p.String(), test.want[i]) {
				t.Errorf("%s: %v %s, want %v %s", name, p.Severity, p, test.severity, test.want[i])
			}
		}
	}
}
