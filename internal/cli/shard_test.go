package cli

import "testing"

func TestShardFlag(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"1/1", "3/10", "10000/10000"} {
		var s shardFlag
		if err := s.Set(text); err != nil || s.String() != text {
			t.Errorf("%s: %v, reads as %s", text, err, &s)
		}
	}
	for _, text := range []string{"", "3", "0/3", "4/3", "-1/3", "1/0", "a/b", "1/10001", "1/3/5", " 1/3"} {
		var s shardFlag
		if err := s.Set(text); err == nil {
			t.Errorf("%q is taken as %s", text, &s)
		}
	}
}
