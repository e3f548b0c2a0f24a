package conformance

import (
	"slices"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// gibibyte is the size of the disks. Their files are sparse.
const gibibyte = 1 << 30

// added has cases by the name of their group, from files about a single type.
var added = map[string][]testCase{}

func addCases(group string, cases ...testCase) { added[group] = append(added[group], cases...) }

// groups are the hosts, each with the types that are checked on it.
var groups = []group{
	{
		name: "files",
		cases: func([]string) []testCase {
			return slices.Concat(directoryCases(), treeCases(), fileCases(), symlinkCases(), cronCases(), programCases())
		},
		refusals: func([]string) []refusal { return slices.Concat(fileRefusals(), pathRefusals()) },
		failures: fileFailures(),
	},
	{
		name: "system",
		cases: func([]string) []testCase {
			return slices.Concat(groupCases(), userCases(), serviceCases(), added["system"])
		},
		refusals: func([]string) []refusal { return hostileRefusals() },
		failures: accountFailures(),
	},
	{
		name:     "packages",
		cases:    func([]string) []testCase { return aptCases() },
		refusals: func([]string) []refusal { return aptRefusals() },
	},
	{
		name: "web",
		prepare: [][]string{
			{"apt-get", "install", "-y", "--no-install-recommends", "nginx-light", "logrotate", "curl", "rsync"}, {"rm", "/etc/nginx/sites-enabled/default"}, reload,
		},
		cases:    func([]string) []testCase { return slices.Concat(nginxCases(), logrotateCases(), added["web"]) },
		failures: slices.Concat(nginxFailures(), rsyncFailures()),
	},
	apacheGroup(),
	firewalldGroup(),
	ufwGroup(),
	{
		name: "caddy",
		prepare: [][]string{
			{"apt-get", "install", "-y", "--no-install-recommends", "caddy", "curl"},
			{"sh", "-c", "echo 'import Caddyfile.d/*.caddyfile' >>/etc/caddy/Caddyfile && mkdir /etc/caddy/Caddyfile.d"}, reloadCaddy,
		},
		cases:    func([]string) []testCase { return caddyCases() },
		failures: caddyFailures(),
	},
	{
		name: "disks", spec: lab.HostSpec{Disks: []int64{gibibyte, gibibyte}},
		prepare:  [][]string{{"apt-get", "install", "-y", "--no-install-recommends", "xfsprogs", "e2fsprogs", "fdisk"}},
		cases:    diskCases,
		refusals: diskRefusals,
	},
	{
		name: "el", spec: lab.HostSpec{OS: lab.EL9},
		prepare: [][]string{{"dnf", "install", "-y", "cronie"}},
		cases: func([]string) []testCase {
			// The least of each, for what is otherwise there: the tools, and where packages put things.
			return slices.Concat(directoryCases()[:1], fileCases()[1:2], cronCases()[:1], groupCases()[1:], userCases()[1:], serviceCases()[1:2], dnfCases()[:2])
		},
	},
}
