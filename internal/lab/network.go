package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// networkPools are the prefixes of the private networks (RFC 1918) from which labs take a /24.
var networkPools = []string{"10.213", "172.29", "192.168"}

// freeNetwork returns the first three bytes of a network that neither a lab nor an interface of the
// machine uses, and a number for its bridge. The caller holds lockAll.
func freeNetwork() (network string, number int, err error) {
	dirs, err := labDirs()
	if err != nil {
		return "", 0, err
	}
	taken := map[string]bool{}
	for _, dir := range dirs {
		if s, err := readState(dir); err == nil {
			taken[s.Network], taken[s.Bridge] = true, true
		}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", 0, fmt.Errorf("reading the machine's addresses: %w", err)
	}
	for pool, prefix := range networkPools {
		for i := 1; i < 255; i++ {
			network, number := fmt.Sprintf("%s.%d", prefix, i), 256*pool+i
			bridge := fmt.Sprintf("mflab%d", number)
			if _, err := os.Stat("/sys/class/net/" + bridge); err == nil || taken[network] || taken[bridge] {
				continue
			}
			if !overlaps(network+".0/24", addresses) && !overlaps(network6(network)+"::/64", addresses) {
				return network, number, nil
			}
		}
	}
	return "", 0, errors.New("all networks for labs are in use; end a lab with mirrorform lab down")
}

// network6 returns the prefix of the IPv6 network of a lab, without the "::/64" at its end. It is a
// unique local one (RFC 4193): its global ID spells "mflab", and its subnet ID has the last two
// bytes of the lab's IPv4 network.
func network6(network string) string {
	var a, b, c int
	_, _ = fmt.Sscanf(network, "%d.%d.%d", &a, &b, &c) // always matches: see networkPools
	return fmt.Sprintf("fd6d:666c:6162:%x", b<<8|c)
}

// ipv6Settings has the kernel's settings for IPv6, unless the kernel has none.
const ipv6Settings = "/proc/sys/net/ipv6"

// hasIPv6 reports whether the kernel has IPv6, even if it is turned off for other interfaces.
func hasIPv6() bool {
	_, err := os.Stat(ipv6Settings)
	return err == nil
}

func overlaps(network string, addresses []net.Addr) bool {
	_, mine, err := net.ParseCIDR(network)
	if err != nil {
		return true
	}
	for _, address := range addresses {
		if other, ok := address.(*net.IPNet); ok && (other.Contains(mine.IP) || mine.Contains(other.IP)) {
			return true
		}
	}
	return false
}

// makeBridge creates a bridge with addresses for the machine; address6 may be "". They are usable
// at once, without duplicate address detection (RFC 4862). The bridge has a fixed hardware
// address. Otherwise it would have the address of one of its ports, which changes when hosts start
// and stop, and other hosts would use the old address until their neighbour entries expire.
func makeBridge(ctx context.Context, bridge, address, address6 string) error {
	var mac [6]byte
	_, _ = rand.Read(mac[:]) // never fails, see crypto/rand
	mac[0] = mac[0]&^1 | 2   // unicast, locally administered
	failed := func(err error) error { return fmt.Errorf("creating the lab's network: %w", err) }
	if _, err := run(ctx, "ip", "link", "add", bridge, "address", net.HardwareAddr(mac[:]).String(), "type", "bridge"); err != nil {
		return failed(err)
	}
	steps := [][]string{{"ip", "address", "add", address, "dev", bridge}}
	// The machine asks for the hardware address of a booting host before the host can answer. Repeat
	// the request after 10 ms instead of one second.
	settings := map[string]string{"/proc/sys/net/ipv4/neigh/" + bridge + "/retrans_time_ms": "10\n"}
	if address6 != "" {
		steps = append(steps, []string{"ip", "address", "add", address6, "dev", bridge, "nodad"})
		settings[ipv6Settings+"/neigh/"+bridge+"/retrans_time_ms"] = "10\n"
		settings[ipv6Settings+"/conf/"+bridge+"/disable_ipv6"] = "0\n" // the machine may turn it off by default
	}
	for path, value := range settings {
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return failed(err)
		}
	}
	for _, argv := range append(steps, []string{"ip", "link", "set", bridge, "up"}) {
		if _, err := run(ctx, argv...); err != nil {
			return failed(err)
		}
	}
	return nil
}

// removeBridge removes the bridge and the host links on it, if they exist.
func removeBridge(ctx context.Context, bridge string) error {
	return poll(ctx, 20*time.Second, func() (bool, error) {
		base := filepath.Join("/sys/class/net", bridge)
		if _, err := os.Stat(base); errors.Is(err, os.ErrNotExist) {
			return true, nil
		}
		ports, err := os.ReadDir(filepath.Join(base, "brif"))
		if err != nil {
			return false, nil // the bridge is being removed
		}
		for _, port := range ports {
			// The kernel also removes the ports when the hosts have ended.
			_, _ = run(ctx, "ip", "link", "delete", port.Name())
		}
		if _, err := run(ctx, "ip", "link", "delete", bridge); err != nil {
			if strings.Contains(err.Error(), "Cannot find device") {
				return true, nil
			}
			return false, fmt.Errorf("removing the lab's network: %w", err)
		}
		return true, nil
	})
}
