package resources

import (
	"strings"
	"testing"
)

func TestParseSchedule(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0 */3 * * *":                "0 */3 * * *",
		"  5\t4  1,15 * 5 ":          "5 4 1,15 * 5",
		"0-59/15 8-18 1-31 1-12 0-7": "0-59/15 8-18 1-31 1-12 0-7",
		"0 0 * jan *":                "0 0 * jan *",
		"0 0 * * SUN":                "0 0 * * SUN",
		"0,10,20-30/5 1,2 * * 1-5":   "0,10,20-30/5 1,2 * * 1-5",
		"@reboot":                    "@reboot",
		"@daily":                     "@daily",
		"59 23 31 12 7":              "59 23 31 12 7",
		"00 04 * * *":                "00 04 * * *",
		"*/59 */23 */31 */12 */7":    "*/59 */23 */31 */12 */7",
	} {
		if got, err := ParseSchedule(text); got.String() != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for text, part := range map[string]string{
		"60 * * * *":                   "minute: 60 is not between 0 and 59",
		"* 24 * * *":                   "hour: 24",
		"* * 32 * *":                   "day of month: 32",
		"* * 0 * *":                    "day of month: 0",
		"* * * 0 *":                    "month: 0",
		"* * * * 8":                    "day of week: 8",
		"30-10 * * * *":                "ends before it begins",
		"*/60 * * * *":                 "the step must be a number from 1 to 59",
		"*/-1 * * * *":                 "the step",
		"1-2-3 * * * *":                "is not a number",
		"*-5 * * * *":                  "is not a number",
		"1- * * * *":                   "is not a number",
		"-1 * * * *":                   "is not a number",
		"+1 * * * *":                   "is not a number",
		"1/2 * * * *":                  "a step must follow * or a range",
		"*/2/3 * * * *":                "the step",
		"* * * jan,feb *":              "a name must be alone",
		"* * * foo *":                  "is not a number",
		"jan * * * *":                  "is not a number",
		"* * * * * *":                  "6 fields",
		"@REBOOT":                      "use five fields",
		"@every 1h":                    "use five fields",
		"? * * * *":                    "is not a number",
		"0 0 L * *":                    "is not a number",
		"* * * * *\n":                  "control character",
		"99999999999999999999 * * * *": "is not a number",
	} {
		if got, err := ParseSchedule(text); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %q, %v, want an error with %q", text, got, err, part)
		}
	}
}

func FuzzParseSchedule(f *testing.F) {
	for _, s := range []string{"0 */3 * * *", "@reboot; x", "0 0 * * sun", "1-5/2,7 * * * *", "*\n* * * * * root id", "٣ * * * *"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		read, err := ParseSchedule(s)
		got := read.String()
		if err != nil {
			return
		}
		if strings.Trim(strings.ToLower(got), "0123456789*/,- @abcdefghijklmnopqrstuvwxyz") != "" {
			t.Fatalf("%q is taken as %q", s, got)
		}
		if again, err := ParseSchedule(got); again.String() != got || err != nil {
			t.Fatalf("%q becomes %q, which becomes %q, %v", s, got, again, err)
		}
	})
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{
		"300GB": 300e9, "300 GB": 300e9, "1.5TB": 15e11, "0.5TB": 5e11, "10GiB": 10 << 30, "1.5KiB": 1536, "1kB": 1000, "1KB": 1000, "42B": 42, "2PB": 2e15, "18446PB": 18446e15,
	} {
		if got, err := ParseSize(text); got != want || err != nil {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for text, part := range map[string]string{
		"":              "invalid size",
		"GB":            "invalid size",
		"300":           "has no unit: use 300GB",
		"300gb":         "invalid unit gb: use 300GB",
		"300Gb":         "use 300GB",
		"300gib":        "use 300GiB",
		"300G":          "invalid unit G",
		"300EB":         "invalid unit EB",
		"-300GB":        "invalid size",
		"+300GB":        "invalid size",
		"3e2GB":         "eGB",
		"1,5TB":         "invalid size",
		".5TB":          "invalid size",
		"5.TB":          "invalid size",
		"300  GB":       "invalid size",
		" 300GB":        "invalid size",
		"300GB\n":       "invalid size",
		"0GB":           "must be greater than zero",
		"0.5B":          "not a whole number",
		"18447000PB":    "too large",
		"٣GB":           "invalid size",
		"0x10GB":        "invalid size",
		"300GB; reboot": "invalid size",
	} {
		if got, err := ParseSize(text); err == nil || text != "3e2GB" && !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %d, %v, want an error with %q", text, got, err, part)
		}
	}
}

func TestFormatSize(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[uint64]string{
		0: "0 B", 999: "999 B", 1000: "1 kB", 1500: "1.5 kB", 299_999_999_999: "299.99 GB", 300e9: "300 GB", 15e11: "1.5 TB", 1<<64 - 1: "18446.74 PB", 100e9: "100 GB",
	} {
		if got := FormatSize(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"300GB", "1.5 TB", "10GiB", "0.001kB", "18446744PB", "1.000000000000000001PB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		size, err := ParseSize(s)
		if err != nil {
			return
		}
		again, err := ParseSize(FormatSize(size))
		if err != nil || again > size || size-again > size/50 {
			t.Fatalf("%q is %d, written %s, which is %d, %v", s, size, FormatSize(size), again, err)
		}
	})
}
