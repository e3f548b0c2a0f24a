package run

import (
	"fmt"
	"testing"
)

// TestShardOf pins the rule: machines with other versions share the work. The numbers were made with sha256sum(1).
func TestShardOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		parts, want int
	}{
		{"fra1", 10, 7}, {"fra1", 3, 2}, {`edge["ams"]`, 10, 1}, {"local", 10, 1}, {"fra1", 1, 1},
	} {
		if got := shardOf(c.name, c.parts); got != c.want {
			t.Errorf("%s is in part %d of %d, want %d", c.name, got, c.parts, c.want)
		}
	}
}

// TestShards checks that the parts of a fleet are disjoint, whole, and of about one size.
func TestShards(t *testing.T) {
	t.Parallel()
	const hosts, parts = 5000, 10
	size := [parts + 1]int{}
	for i := range hosts {
		name, in := fmt.Sprintf("mirror-%d", i), 0
		for part := 1; part <= parts; part++ {
			if s := (Shard{part, parts}); s.has(name) {
				in++
				size[part]++
			}
		}
		if in != 1 {
			t.Fatalf("%s is in %d parts", name, in)
		}
	}
	if all := (Shard{}); !all.has("fra1") || all.String() != "" {
		t.Error("the zero value is not everything")
	}
	for part := 1; part <= parts; part++ {
		if n := size[part]; n < hosts/parts*8/10 || n > hosts/parts*12/10 {
			t.Errorf("part %d has %d of %d hosts", part, n, hosts)
		}
	}
}
