package resources

import (
	"encoding/hex"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Routes of the host, which show the interface to the world.
var (
	routes4 = wire.Query{Verb: wire.AskFile, Arg: "/proc/1/net/route", Option: "head"}
	routes6 = wire.Query{Verb: wire.AskFile, Arg: "/proc/1/net/ipv6_route", Option: "head"}
)

// outerInterfaces returns the interfaces with a default route. Without IPv6, its file is absent.
func outerInterfaces(got engine.Answers) ([]string, error) {
	four, err := got.File(routes4)
	if err != nil {
		return nil, err
	}
	six, err := got.File(routes6)
	if err != nil {
		return nil, err
	}
	return append(defaultRoutes4(string(four.Content)), defaultRoutes6(string(six.Content))...), nil
}

// defaultRoutes4 returns the interfaces with a default route in /proc/net/route (proc(5)).
func defaultRoutes4(text string) (interfaces []string) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" {
			interfaces = append(interfaces, f[0])
		}
	}
	return interfaces
}

// defaultRoutes6 does the same for /proc/net/ipv6_route. The kernel's own reject route is on lo.
func defaultRoutes6(text string) (interfaces []string) {
	none := hex.EncodeToString(make([]byte, 16))
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 10 && f[0] == none && f[1] == "00" && f[9] != "lo" {
			interfaces = append(interfaces, f[9])
		}
	}
	return interfaces
}
