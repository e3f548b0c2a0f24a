package resources

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// sizeUnits are the units of sizes: powers of 1000 (SI) and of 1024 (IEC 80000-13).
var sizeUnits = map[string]uint64{
	"B":  1,
	"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50,
}

// sizeText is a number without sign or exponent, at most one space, and letters.
var sizeText = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)$`)

// ParseSize reads a size in bytes: a number and a unit, such as "300GB", "1.5 TB" or "10GiB".
// Units are powers of 1000 or of 1024, and case-sensitive, since "Gb" means bits elsewhere. A size
// is greater than zero and a whole number of bytes.
func ParseSize(s string) (uint64, error) {
	m := sizeText.FindStringSubmatch(s)
	if m == nil || len(m[1]) > 37 { // 18 digits on each side of the point
		return 0, fmt.Errorf("invalid size %q: use a number and a unit, such as 300GB, 1.5TB or 10GiB", s)
	}
	number, unit := m[1], m[2]
	if unit == "" {
		return 0, fmt.Errorf("%q has no unit: use %sGB, %sTB or %sGiB", s, number, number, number)
	}
	factor, ok := sizeUnits[unit]
	if !ok {
		for name := range sizeUnits {
			if strings.EqualFold(name, unit) && name != "KB" {
				return 0, fmt.Errorf("%q: invalid unit %s: use %s%s", s, unit, number, name)
			}
		}
		return 0, fmt.Errorf("%q: invalid unit %s: use kB, MB, GB, TB or PB, or KiB, MiB, GiB, TiB or PiB", s, unit)
	}
	size, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, fmt.Errorf("%q is not a number", number)
	}
	size.Mul(size, new(big.Rat).SetUint64(factor))
	switch {
	case size.Sign() == 0:
		return 0, fmt.Errorf("invalid size %q: it must be greater than zero", s)
	case !size.IsInt():
		return 0, fmt.Errorf("%q is not a whole number of bytes", s)
	case !size.Num().IsUint64():
		return 0, fmt.Errorf("%q is too large: the limit is 18446744PB", s)
	}
	return size.Num().Uint64(), nil
}

// FormatSize formats a number of bytes with a unit of powers of 1000 and at most two decimals. It
// rounds down: 299.999 GB, just below a minimum of 300 GB, must not show as "300 GB".
func FormatSize(bytes uint64) string {
	units := []struct {
		name string
		size uint64
	}{{"PB", 1e15}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}}
	for _, u := range units {
		if bytes < u.size {
			continue
		}
		whole, hundredths := bytes/u.size, bytes%u.size/(u.size/100)
		text := fmt.Sprintf("%d.%02d", whole, hundredths)
		return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + " " + u.name
	}
	return fmt.Sprintf("%d B", bytes)
}
