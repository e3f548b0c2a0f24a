package lang

import (
	"errors"
	"math/big"
	"net"
	"net/netip"

	"github.com/apparentlymart/go-cidr/cidr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

var networkFunctions = map[string]function.Function{
	"cidrcontains": function.New(&function.Spec{
		Params: []function.Parameter{param("prefix", cty.String), param("address", cty.String)},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return prefixContains(args[0].AsString(), args[1].AsString())
		},
	}),
	"cidrhost": function.New(&function.Spec{
		Params: []function.Parameter{param("prefix", cty.String), param("hostnum", cty.Number)},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			network, err := parsePrefix(args[0])
			if err != nil {
				return cty.NilVal, err
			}
			number, err := wholeNumber(args[1], 1)
			if err != nil {
				return cty.NilVal, err
			}
			ip, err := cidr.HostBig(network, number)
			if err != nil {
				return cty.NilVal, function.NewArgError(1, err)
			}
			return cty.StringVal(ip.String()), nil
		},
	}),
	"cidrnetmask": function.New(&function.Spec{
		Params: []function.Parameter{param("prefix", cty.String)},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			network, err := parsePrefix(args[0])
			if err != nil {
				return cty.NilVal, err
			}
			if network.IP.To4() == nil {
				return cty.NilVal, function.NewArgErrorf(0, "it must be an IPv4 network: IPv6 has no network masks")
			}
			return cty.StringVal(net.IP(network.Mask).String()), nil
		},
	}),
	"cidrsubnet": function.New(&function.Spec{
		Params: []function.Parameter{param("prefix", cty.String), param("newbits", cty.Number), param("netnum", cty.Number)},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			network, err := parsePrefix(args[0])
			if err != nil {
				return cty.NilVal, err
			}
			bits, err := prefixBits(args[1], 1)
			if err != nil {
				return cty.NilVal, err
			}
			number, err := wholeNumber(args[2], 2)
			if err != nil {
				return cty.NilVal, err
			}
			subnet, err := cidr.SubnetBig(network, bits, number)
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(subnet.String()), nil
		},
	}),
	"cidrsubnets": function.New(&function.Spec{
		Params:   []function.Parameter{param("prefix", cty.String)},
		VarParam: &function.Parameter{Name: "newbits", Type: cty.Number},
		Type:     function.StaticReturnType(cty.List(cty.String)),
		Impl:     subnets,
	}),
}

func parsePrefix(v cty.Value) (*net.IPNet, error) {
	_, network, err := net.ParseCIDR(v.AsString())
	if err != nil {
		return nil, function.NewArgErrorf(0, "%q is not a network in CIDR notation, such as 192.0.2.0/24", v.AsString())
	}
	return network, nil
}

// prefixContains reports whether a prefix contains an address, or all of another prefix. To compare
// IPv4 with IPv6 is an error: "false" would hide the mistake.
func prefixContains(prefix, other string) (cty.Value, error) {
	outer, err := netip.ParsePrefix(prefix)
	if err != nil {
		return cty.NilVal, function.NewArgErrorf(0, "%q is not a network in CIDR notation, such as 192.0.2.0/24", prefix)
	}
	inner, err := netip.ParsePrefix(other)
	if err != nil {
		address, err := netip.ParseAddr(other)
		if err != nil || address.Zone() != "" {
			return cty.NilVal, function.NewArgErrorf(1, "%q is neither an IP address nor a network in CIDR notation", other)
		}
		inner = netip.PrefixFrom(address, address.BitLen())
	}
	if outer.Addr().Is4() != inner.Addr().Is4() {
		return cty.NilVal, function.NewArgErrorf(1,
			"%s and %s are of different address families: compare IPv4 with IPv4 and IPv6 with IPv6", other, prefix)
	}
	return cty.BoolVal(outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())), nil
}

func wholeNumber(v cty.Value, arg int) (*big.Int, error) {
	n, accuracy := v.AsBigFloat().Int(nil)
	if n == nil || accuracy != big.Exact {
		return nil, function.NewArgErrorf(arg, "it must be a whole number")
	}
	return n, nil
}

func prefixBits(v cty.Value, arg int) (int, error) {
	n, err := wholeNumber(v, arg)
	if err != nil {
		return 0, err
	}
	if !n.IsInt64() || n.Int64() < 0 || n.Int64() > 128 {
		return 0, function.NewArgErrorf(arg, "it must be between 0 and 128")
	}
	return int(n.Int64()), nil
}

// subnets returns consecutive networks within a prefix. Each prefix length is that of the prefix
// plus the given bits.
func subnets(args []cty.Value, _ cty.Type) (cty.Value, error) {
	network, err := parsePrefix(args[0])
	if err != nil {
		return cty.NilVal, err
	}
	if len(args) == 1 {
		return cty.ListValEmpty(cty.String), nil
	}
	start, total := network.Mask.Size()
	var list []cty.Value
	var current *net.IPNet
	for i, a := range args[1:] {
		bits, err := prefixBits(a, i+1)
		if err != nil {
			return cty.NilVal, err
		}
		length := start + bits
		if bits < 1 || length > total {
			return cty.NilVal, function.NewArgErrorf(i+1, "it must be between 1 and %d for this prefix", total-start)
		}
		if current == nil {
			current = &net.IPNet{IP: network.IP, Mask: net.CIDRMask(length, total)}
		} else {
			var over bool
			if current, over = cidr.NextSubnet(current, length); over {
				return cty.NilVal, function.NewArgError(i+1, errors.New("there is no room for this network"))
			}
		}
		if !network.Contains(current.IP) {
			return cty.NilVal, function.NewArgErrorf(i+1,
				"there is no room in %s for this /%d network", network, length)
		}
		list = append(list, cty.StringVal(current.String()))
	}
	return cty.ListVal(list), nil
}
