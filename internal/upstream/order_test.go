package upstream

import "testing"

func TestHTTPSFirst(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][2]bool{
		"name: x\naddress:\n  http: a\n  https: b\n":                                              {false, false},
		"name: x\naddress:\n  rsync: c\n  https: b\n  http: a\n":                                  {true, false},
		"address: {http: a, https: b}\naddress_optional:\n  kitten:\n    https: b\n    http: a\n": {false, true},
		"": {}, "x": {}, "address: x": {}, "address: [": {}, "- a": {}, "address: {ftp: x}": {},
	} {
		main, kitten := HTTPSFirst([]byte(file))
		if got := [2]bool{main, kitten}; got != want {
			t.Errorf("%q: %v", file, got)
		}
	}
}
