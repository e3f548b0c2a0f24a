package conformance

import "github.com/mirrorform/mirrorform/resources"

// The cases use parameters of the network namespace, since a container cannot change those of the
// kernel.
func init() {
	const name, file = "net.ipv4.tcp_keepalive_time", "/etc/sysctl.d/90-mirrorform-net.ipv4.tcp_keepalive_time.conf"
	addCases("system", testCase{
		kind: "sysctl", name: "number",
		variants: []any{
			&resources.Sysctl{Name: name, Value: "610", Previous: "7200"}, // as the manifest would have it
			&resources.Sysctl{Name: name, Value: "620"},
		},
		effect: []string{"grep", "-qx", "610", "/proc/sys/net/ipv4/tcp_keepalive_time"},
		edits: []edit{
			by("value", "sysctl", "-w", name+"=630"),
			by("text", "sh", "-c", "echo "+name+" = 640 > "+file),
			by("mode", "chmod", "0600", file),
			by("missing", "rm", file),
		},
	}, testCase{
		kind: "sysctl", name: "several numbers",
		variants: []any{&resources.Sysctl{Name: "net/ipv4/ip_local_port_range", Value: "32768  60998", Previous: "32768 60999"}},
		effect:   []string{"sh", "-c", "tr -s '[:blank:]' ' ' </proc/sys/net/ipv4/ip_local_port_range | grep -qx '32768 60998'"},
		edits:    []edit{by("value", "sysctl", "-w", "net.ipv4.ip_local_port_range=32768 60997")},
	})
}
