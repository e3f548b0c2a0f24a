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

// ParseSize reads a size in bytes: a number with a unit, like "300GB", "1.5 TB" or "10GiB". Units of 1000 and of 1024 are told
// apart, and case counts, since "Gb" and "gb" are read as bits elsewhere. A size is above zero and a whole number of bytes.
func ParseSize(s string) (uint64, error) {
	m := sizeText.FindStringSubmatch(s)
	if m == nil || len(m[1]) > 37 { // 18 digits on each side of the point
		return 0, fmt.Errorf("%q is no size: write a number and a unit, like 300GB, 1.5TB or 10GiB", s)
	}
	number, unit := m[1], m[2]
	if unit == "" {
		return 0, fmt.Errorf("%q has no unit: write %sGB, %sTB or %sGiB", s, number, number, number)
	}
	factor, ok := sizeUnits[unit]
	if !ok {
		for name := range sizeUnits {
			if strings.EqualFold(name, unit) && name != "KB" {
				return 0, fmt.Errorf("%q: %s is no unit of bytes, write %s%s", s, unit, number, name)
			}
		}
		return 0, fmt.Errorf("%q: %s is no unit: use kB, MB, GB, TB or PB, or KiB, MiB, GiB, TiB or PiB", s, unit)
	}
	size, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, fmt.Errorf("%q is no number", number)
	}
	size.Mul(size, new(big.Rat).SetUint64(factor))
	switch {
	case size.Sign() == 0:
		return 0, fmt.Errorf("%q is nothing: a size is above zero", s)
	case !size.IsInt():
		return 0, fmt.Errorf("%q is not a whole number of bytes", s)
	case !size.Num().IsUint64():
		return 0, fmt.Errorf("%q is too large: the limit is 18446744PB", s)
	}
	return size.Num().Uint64(), nil
}

// FormatSize writes a number of bytes in the largest unit of 1000 in which it is at least 1, with at most two decimals. It
// rounds down, so that what is too small never reads as if it were enough: "299.99 GB".
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
