package conformance

import "github.com/mirrorform/mirrorform/resources"

// Each firewall filters in the network namespace of its host.

func firewalldGroup() group {
	return group{
		name: "firewalld",
		// The first change copies the package's file of a zone, and each one keeps the file before it.
		prepare: [][]string{
			{"apt-get", "install", "-y", "--no-install-recommends", "firewalld", "netbase"},
			{"firewall-cmd", "--permanent", "--add-service=http"}, {"firewall-cmd", "--permanent", "--remove-service=http"},
			{"firewall-cmd", "--permanent", "--zone=work", "--add-port=6000-6010/udp"},
			{"firewall-cmd", "--permanent", "--zone=work", "--remove-port=6000-6010/udp"},
		},
		cases: func([]string) []testCase {
			return []testCase{{
				kind: "firewall", name: "service in firewalld", slow: true,
				// As the manifest would have it.
				variants: []any{&resources.Firewall{Service: "http", Where: "firewalld zone public"}},
				effect:   []string{"sh", "-c", "firewall-cmd --query-service=http && firewall-cmd --permanent --query-service=http"},
				edits: []edit{
					by("closed now", "firewall-cmd", "--remove-service=http"),
					by("closed permanently", "firewall-cmd", "--permanent", "--remove-service=http"),
				},
				touches: []string{"/etc/firewalld"},
			}, {
				kind: "firewall", name: "port in a zone of firewalld", slow: true,
				variants: []any{&resources.Firewall{Port: "6000-6010/udp", Zone: "work", Where: "firewalld zone work"}},
				effect:   []string{"firewall-cmd", "--zone=work", "--query-port=6005/udp"},
				edits:    []edit{by("closed", "sh", "-c", "firewall-cmd --permanent --zone=work --remove-port=6000-6010/udp && firewall-cmd --reload")},
				touches:  []string{"/etc/firewalld"},
			}}
		},
	}
}

func ufwGroup() group {
	return group{
		name: "ufw",
		prepare: [][]string{
			{"apt-get", "install", "-y", "--no-install-recommends", "ufw"}, {"ufw", "allow", "22/tcp"}, {"ufw", "--force", "enable"},
			{"ufw", "allow", "80/tcp"}, {"ufw", "delete", "allow", "80/tcp"},
		},
		cases: func([]string) []testCase {
			return []testCase{{
				kind: "firewall", name: "service in ufw", slow: true,
				variants: []any{&resources.Firewall{Service: "http", Where: "ufw"}},
				effect:   []string{"sh", "-c", "iptables -C ufw-user-input -p tcp --dport 80 -j ACCEPT && ip6tables -C ufw6-user-input -p tcp --dport 80 -j ACCEPT"},
				edits:    []edit{by("closed", "ufw", "delete", "allow", "80/tcp")},
				touches:  []string{"/etc/ufw"},
			}}
		},
	}
}
