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

// outerInterfaces returns the interfaces with a default route.
func outerInterfaces(got engine.Answers) (interfaces []string) {
	for q, parse := range map[*wire.Query]func(string) []string{&routes4: defaultRoutes4, &routes6: defaultRoutes6} {
		if f, err := got.File(*q); err == nil { // without IPv6, there is no file
			interfaces = append(interfaces, parse(string(f.Content))...)
		}
	}
	return interfaces
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
