package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// lookTime limits the look from outside. What does not answer by then is not reached.
const lookTime = 5 * time.Second

// Outside is what this machine sees of a host: the addresses of names, and which ports answer.
type Outside struct {
	Names     map[string][]netip.Addr // by server name
	Unnamed   map[string]error        // names that were not resolved
	Addresses []netip.Addr            // of the host
	Ports     map[netip.AddrPort]error
}

// Look resolves the names of a host and connects to its ports, all at once.
func (h *Host) Look(ctx context.Context) *Outside {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	o := &Outside{Names: map[string][]netip.Addr{}, Unnamed: map[string]error{}, Ports: map[netip.AddrPort]error{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	resolve := func(name string, found func([]netip.Addr, error)) {
		all.Go(func() {
			list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
			for i := range list {
				list[i] = list[i].Unmap()
			}
			slices.SortFunc(list, netip.Addr.Compare)
			mu.Lock()
			defer mu.Unlock()
			found(slices.Compact(list), err)
		})
	}
	for _, name := range h.ServerNames() {
		resolve(name, func(list []netip.Addr, err error) {
			if o.Names[name] = list; err != nil {
				delete(o.Names, name)
				o.Unnamed[name] = err
			}
		})
	}
	if h.Address != "" {
		resolve(h.Address, func(list []netip.Addr, _ error) { o.Addresses = list })
	}
	all.Wait()
	for _, a := range o.public() {
		for _, port := range h.Ports() {
			all.Go(func() {
				at := netip.AddrPortFrom(a, uint16(port)) //nolint:gosec // validate has checked it
				c, err := new(net.Dialer).DialContext(ctx, "tcp", at.String())
				if err == nil {
					_ = c.Close() // nothing was sent
				}
				mu.Lock()
				defer mu.Unlock()
				o.Ports[at] = err
			})
		}
	}
	all.Wait()
	return o
}

// public returns the addresses that clients use: those of the names, else the host's own.
func (o *Outside) public() []netip.Addr {
	var list []netip.Addr
	for _, addresses := range o.Names {
		list = append(list, addresses...)
	}
	if len(list) == 0 {
		list = slices.Clone(o.Addresses)
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// names compares the names of the mirrors with the host's addresses.
func (h *Host) names(s *Seen, o *Outside) (list []Finding) {
	own := globalIPv6(s)
	for _, name := range h.ServerNames() {
		found := o.Names[name]
		if err := o.Unnamed[name]; err != nil {
			list = append(list, Finding{Fault, "dns", fmt.Sprintf("%s has no address here: %v", name, reason(err)),
				"create A and AAAA records for it, or set web.server_name to the name that it has"})
			continue
		}
		six := slices.ContainsFunc(found, netip.Addr.Is6)
		switch {
		case len(o.Addresses) > 0 && !slices.ContainsFunc(found, func(a netip.Addr) bool { return slices.Contains(o.Addresses, a) || slices.Contains(own, a) }):
			list = append(list, Finding{Warning, "dns", fmt.Sprintf("%s is %s, and the host %s", name, addresses(found), addresses(o.Addresses)),
				"correct the records, unless another machine forwards to the host"})
		default:
			list = append(list, Finding{OK, "dns", name + " is " + addresses(found), ""})
		}
		switch {
		case len(own) > 0 && !six:
			list = append(list, Finding{Note, "ipv6", "the host has IPv6, and " + name + " has no AAAA record", ""})
		case len(own) == 0 && six && len(found) > 0:
			list = append(list, Finding{Warning, "ipv6", name + " has an AAAA record, and the host has no public IPv6 address",
				"remove the record, or give the host the address: clients try IPv6 first"})
		}
	}
	return list
}

// globalIPv6 returns the public IPv6 addresses of a host. Lines of /proc/net/if_inet6 have an
// address, the interface's index, the length of the prefix, the scope, flags and the interface.
func globalIPv6(s *Seen) (list []netip.Addr) {
	r, err := s.Answers.Run(ipv6Query)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(r.Stdout) {
		fields := strings.Fields(line)
		if len(fields) < 6 || len(fields[0]) != 32 || fields[3] != "00" {
			continue
		}
		var b [16]byte
		valid := true
		for i := range b {
			n, err := strconv.ParseUint(fields[0][2*i:2*i+2], 16, 8)
			b[i], valid = byte(n), valid && err == nil
		}
		if a := netip.AddrFrom16(b); valid && !a.IsPrivate() {
			list = append(list, a)
		}
	}
	return list
}

// reach says which ports answer from here, as far as something listens there.
func (h *Host) reach(s *Seen, o *Outside) (list []Finding) {
	got, err := s.Answers.Listeners(h.listenersQuery())
	for _, at := range slices.SortedFunc(maps.Keys(o.Ports), netip.AddrPort.Compare) {
		failure := o.Ports[at]
		_, listens := holderOf(got, int(at.Port()))
		switch {
		case failure == nil:
			list = append(list, Finding{OK, "reach", at.String() + " answers", ""})
		case errors.Is(failure, syscall.ECONNREFUSED) && err == nil && !listens:
			list = append(list, Finding{Note, "reach", at.String() + " refuses, since nothing listens there yet", ""})
		case errors.Is(failure, syscall.ECONNREFUSED):
			list = append(list, Finding{Warning, "reach", at.String() + " refuses", "look at the firewalls on the way and at the address that the server listens on"})
		default:
			list = append(list, Finding{Warning, "reach", fmt.Sprintf("%s does not answer from here: %v", at, reason(failure)),
				"open the port in the provider's firewall; apply opens those of firewalld and ufw"})
		}
	}
	return list
}

// reason returns the innermost cause of an error of the network: the rest is in the finding.
func reason(err error) error {
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
		if dns.IsNotFound {
			return errors.New("no such name")
		}
		return errors.New(dns.Err)
	}
	if number := syscall.Errno(0); errors.As(err, &number) {
		return number
	}
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("no answer within %v", lookTime)
	}
	return err
}

func addresses(list []netip.Addr) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}
